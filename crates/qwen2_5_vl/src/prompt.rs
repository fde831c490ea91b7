//! A prompt as the model takes it, and its three-axis positions (`get_rope_index`).

use burn::tensor::Tensor;

use crate::config::Qwen2_5_VLConfig;
use crate::error::PromptError;

/// One tokenized prompt with its images, as pixels or encoded.
#[derive(Clone, Debug, Default)]
pub struct Prompt {
    /// Token ids, each image already expanded to one image token per visual token.
    pub input_ids: Vec<u32>,
    /// Normalised patches of all images, `[patches, channels · frames · rows · columns]`.
    pub pixel_values: Vec<f32>,
    /// Frames, rows and columns of patches of each image, in order of appearance.
    pub image_grid_thw: Vec<[usize; 3]>,
    /// Visual tokens of all images on the model's device, `[visual tokens, hidden_size]`, in place
    /// of pixel values: [`crate::Qwen2_5_VL::encode_images`].
    pub image_embeds: Option<Tensor<2>>,
}

/// Rotary positions of one prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct RopeIndex {
    /// Temporal, height and width position of each token.
    pub positions: [Vec<i32>; 3],
    /// The position of the token after the prompt, the same on all three axes.
    pub next: i32,
}

impl RopeIndex {
    /// What Hugging Face calls `rope_deltas`: next position minus prompt length.
    pub fn rope_delta(&self) -> i32 {
        self.next - self.positions[0].len() as i32
    }
}

impl Prompt {
    /// Checks ids, grids and pixel values against each other and against the model.
    ///
    /// # Errors
    ///
    /// When the prompt is empty, holds ids outside the vocabulary or video tokens, or when image
    /// tokens, grids and pixel values or visual tokens disagree.
    pub fn validate(&self, config: &Qwen2_5_VLConfig) -> Result<(), PromptError> {
        if self.input_ids.is_empty() {
            return Err(PromptError::Empty);
        }
        let vocab_size = config.text_config.vocab_size;
        let outside = self.input_ids.iter().position(|&id| id as usize >= vocab_size);
        if let Some(position) = outside {
            let id = self.input_ids[position];
            return Err(PromptError::TokenId { id, position, vocab_size });
        }
        let vision = &config.vision_config;
        let (mut patches, mut features) = (0usize, 0usize);
        for &grid in &self.image_grid_thw {
            let count = grid_patches(grid, vision.spatial_merge_size)?;
            patches = patches.saturating_add(count);
            features = features.saturating_add(count / vision.merge_unit());
        }
        let mut expected = patches.saturating_mul(vision.patch_dim());
        if let Some(embeds) = &self.image_embeds {
            let (found, wanted) = (embeds.dims(), [features, config.text_config.hidden_size]);
            if found != wanted {
                return Err(PromptError::ImageEmbeds { found, expected: wanted });
            }
            expected = 0;
        }
        if self.pixel_values.len() != expected {
            return Err(PromptError::PixelValues { found: self.pixel_values.len(), expected });
        }
        self.check_image_tokens(config, features)
    }

    fn check_image_tokens(
        &self,
        config: &Qwen2_5_VLConfig,
        features: usize,
    ) -> Result<(), PromptError> {
        if self.input_ids.contains(&config.video_token_id) {
            return Err(PromptError::Video);
        }
        let tokens = self.input_ids.iter().filter(|&&id| id == config.image_token_id).count();
        if tokens != features {
            let images = self.image_grid_thw.len();
            return Err(PromptError::ImageTokens { tokens, images, features });
        }
        Ok(())
    }

    /// Rotary positions of the prompt: text counts up on all axes, an image spreads its visual
    /// tokens over frames, rows and columns, and text goes on after the largest of them
    /// (`Qwen2_5_VLModel.get_rope_index`).
    ///
    /// # Errors
    ///
    /// When image tokens and grids disagree, or a video token is present.
    pub fn rope_index(&self, config: &Qwen2_5_VLConfig) -> Result<RopeIndex, PromptError> {
        let merge = config.vision_config.spatial_merge_size;
        let mut features = 0usize;
        for &grid in &self.image_grid_thw {
            features = features.saturating_add(grid_patches(grid, merge)? / (merge * merge));
        }
        self.check_image_tokens(config, features)?;

        let length = self.input_ids.len();
        let mut positions = [(); 3].map(|()| Vec::with_capacity(length));
        let mut grids = self.image_grid_thw.iter();
        let mut next = 0;
        while positions[0].len() < length {
            if self.input_ids[positions[0].len()] != config.image_token_id {
                positions.iter_mut().for_each(|axis| axis.push(next));
                next += 1;
                continue;
            }
            let &[frames, rows, columns] = grids.next().expect("image tokens were counted above");
            let (rows, columns) = (rows / merge, columns / merge);
            // A picture has one frame and lasts no time.
            for _ in 0..frames {
                for row in 0..rows {
                    for column in 0..columns {
                        positions[0].push(next);
                        positions[1].push(next + row as i32);
                        positions[2].push(next + column as i32);
                    }
                }
            }
            next += rows.max(columns) as i32;
        }
        Ok(RopeIndex { positions, next })
    }
}

/// Patches of a grid, after checking that it can be merged.
fn grid_patches(grid: [usize; 3], merge: usize) -> Result<usize, PromptError> {
    let [frames, rows, columns] = grid;
    if frames != 1 {
        return Err(PromptError::Grid { grid, rule: "must have 1 frame; video is not supported" });
    }
    if rows == 0 || columns == 0 || rows % merge != 0 || columns % merge != 0 {
        let rule = "must have rows and columns that are multiples of spatial_merge_size";
        return Err(PromptError::Grid { grid, rule });
    }
    rows.checked_mul(columns).ok_or(PromptError::Grid { grid, rule: "is too large" })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn config() -> Qwen2_5_VLConfig {
        let json = include_str!("../../../tests/reference/model/config.json");
        Qwen2_5_VLConfig::from_json(json).unwrap()
    }

    fn prompt(pieces: &[Result<usize, [usize; 3]>]) -> Prompt {
        let mut prompt = Prompt::default();
        for piece in pieces {
            match *piece {
                Ok(words) => prompt.input_ids.extend(vec![7; words]),
                Err(grid) => {
                    let tokens = grid[0] * grid[1] * grid[2] / 4;
                    prompt.input_ids.extend(vec![492; tokens]);
                    prompt.image_grid_thw.push(grid);
                }
            }
        }
        prompt
    }

    #[test]
    fn text_counts_up_and_images_spread_over_rows_and_columns() {
        let prompt = prompt(&[Ok(2), Err([1, 4, 6]), Ok(1)]);
        let index = prompt.rope_index(&config()).unwrap();
        assert_eq!(index.positions[0], [0, 1, 2, 2, 2, 2, 2, 2, 5]);
        assert_eq!(index.positions[1], [0, 1, 2, 2, 2, 3, 3, 3, 5]);
        assert_eq!(index.positions[2], [0, 1, 2, 3, 4, 2, 3, 4, 5]);
        assert_eq!((index.next, index.rope_delta()), (6, -3));
    }

    #[test]
    fn prompts_that_do_not_fit_are_refused() {
        let cases = [
            (prompt(&[]), "empty"),
            (Prompt { input_ids: vec![1, 9999], ..prompt(&[]) }, "9999"),
            (Prompt { input_ids: vec![493], ..prompt(&[]) }, "video"),
            (Prompt { image_grid_thw: vec![], ..prompt(&[Err([1, 4, 4])]) }, "4 image tokens"),
            (prompt(&[Ok(1), Err([1, 4, 4])]), "pixel values"),
            (prompt(&[Ok(1), Err([2, 4, 4])]), "1 frame"),
            (prompt(&[Ok(1), Err([1, 3, 4])]), "spatial_merge_size"),
            (prompt(&[Ok(1), Err([1, 0, 4])]), "spatial_merge_size"),
        ];
        for (prompt, expected) in cases {
            let error = prompt.validate(&config()).unwrap_err().to_string();
            assert!(error.contains(expected), "{expected}: {error}");
        }
    }

    proptest! {
        #[test]
        fn positions_cover_every_token_and_never_fall_behind(
            pieces in proptest::collection::vec(
                prop_oneof![
                    (1usize..5).prop_map(Ok),
                    (1usize..5, 1usize..5).prop_map(|(h, w)| Err([1, 2 * h, 2 * w])),
                ],
                1..6,
            ),
        ) {
            let prompt = prompt(&pieces);
            let index = prompt.rope_index(&config()).unwrap();
            let mut spatial = 0;
            for axis in &index.positions {
                prop_assert_eq!(axis.len(), prompt.input_ids.len());
                spatial = spatial.max(*axis.iter().max().unwrap());
            }
            prop_assert_eq!(index.next, spatial + 1);
            prop_assert!(index.positions[0].is_sorted());
            prop_assert!(index.next as usize <= prompt.input_ids.len());
        }
    }
}

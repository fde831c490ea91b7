//! Pictures to normalised patches (Hugging Face's `Qwen2VLImageProcessor`).

use image::RgbImage;
use serde::Deserialize;

use crate::error::ProcessorError;
use crate::resize::{resize, smart_resize};

/// Settings of `preprocessor_config.json`; sizes in pixels.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct ImageProcessor {
    pub patch_size: u32,
    pub temporal_patch_size: u32,
    pub merge_size: u32,
    pub image_mean: [f32; 3],
    pub image_std: [f32; 3],
    pub rescale_factor: f64,
    pub do_resize: bool,
    pub do_rescale: bool,
    pub do_normalize: bool,
    min_pixels: Option<u64>,
    max_pixels: Option<u64>,
    size: Size,
}

/// Today's names for the pixel bounds.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Size {
    shortest_edge: Option<u64>,
    longest_edge: Option<u64>,
    min_pixels: Option<u64>,
    max_pixels: Option<u64>,
}

impl Default for ImageProcessor {
    fn default() -> Self {
        Self {
            patch_size: 14,
            temporal_patch_size: 2,
            merge_size: 2,
            image_mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
            image_std: [0.268_629_54, 0.261_302_58, 0.275_777_11],
            rescale_factor: 1.0 / 255.0,
            do_resize: true,
            do_rescale: true,
            do_normalize: true,
            min_pixels: None,
            max_pixels: None,
            size: Size::default(),
        }
    }
}

/// A picture cut into patches.
#[derive(Clone, Debug, PartialEq)]
pub struct PixelPatches {
    /// `[patches, channels · frames · rows · columns]`; the patches of one merged square together
    pub values: Vec<f32>,
    /// Frames, rows and columns of patches.
    pub grid_thw: [usize; 3],
}

impl ImageProcessor {
    /// Reads `preprocessor_config.json`, with older or newer key names.
    ///
    /// # Errors
    ///
    /// When the text is not JSON or a value is impossible.
    pub fn from_json(json: &str) -> Result<Self, ProcessorError> {
        let processor: Self = serde_json::from_str(json).map_err(|error| ProcessorError::File {
            file: "preprocessor_config.json",
            message: error.to_string(),
        })?;
        processor.validate()?;
        Ok(processor)
    }

    fn validate(&self) -> Result<(), ProcessorError> {
        let rules: [(&'static str, bool, &'static str); 6] = [
            ("patch_size", (1..=256).contains(&self.patch_size), "must be between 1 and 256"),
            ("merge_size", (1..=16).contains(&self.merge_size), "must be between 1 and 16"),
            (
                "temporal_patch_size",
                (1..=16).contains(&self.temporal_patch_size),
                "must be between 1 and 16",
            ),
            (
                "image_std",
                self.image_std.iter().all(|std| std.is_finite() && *std > 0.0),
                "must be positive",
            ),
            ("rescale_factor", self.rescale_factor.is_finite(), "must be finite"),
            (
                "max_pixels",
                self.min_pixels() <= self.max_pixels()
                    && (1..=1 << 32).contains(&self.max_pixels()),
                "must be at least min_pixels and at most 2³²",
            ),
        ];
        match rules.into_iter().find(|(_, holds, _)| !holds) {
            Some((key, _, rule)) => Err(ProcessorError::Preprocessor { key, rule }),
            None => Ok(()),
        }
    }

    /// Fewest pixels a picture is brought to.
    pub fn min_pixels(&self) -> u64 {
        let size = &self.size;
        self.min_pixels.or(size.min_pixels).or(size.shortest_edge).unwrap_or(56 * 56)
    }

    /// Most pixels a picture is brought to.
    pub fn max_pixels(&self) -> u64 {
        let size = &self.size;
        self.max_pixels.or(size.max_pixels).or(size.longest_edge).unwrap_or(28 * 28 * 1280)
    }

    /// Limits the pixels a picture is brought to.
    pub fn with_pixels(mut self, min_pixels: Option<u64>, max_pixels: Option<u64>) -> Self {
        self.min_pixels = min_pixels.or(self.min_pixels);
        self.max_pixels = max_pixels.or(self.max_pixels);
        self
    }

    /// Height and width that a picture of this size is brought to.
    ///
    /// # Errors
    ///
    /// When the picture is empty or too elongated, or needs resizing but `do_resize` is off.
    pub fn resized(&self, height: u32, width: u32) -> Result<(u32, u32), ProcessorError> {
        let factor = self.patch_size * self.merge_size;
        if !self.do_resize {
            return if height % factor == 0 && width % factor == 0 && height * width > 0 {
                Ok((height, width))
            } else {
                Err(ProcessorError::Preprocessor {
                    key: "do_resize",
                    rule: "is off but the picture's sides are no multiples of patch · merge size",
                })
            };
        }
        smart_resize(height, width, factor, self.min_pixels(), self.max_pixels())
    }

    /// Resizes, rescales, normalises and cuts a picture.
    ///
    /// # Errors
    ///
    /// When the picture is empty or too elongated.
    pub fn preprocess(&self, picture: &RgbImage) -> Result<PixelPatches, ProcessorError> {
        let (width, height) = picture.dimensions();
        let (height, width) = self.resized(height, width)?;
        Ok(self.patches(&resize(picture, height, width)?))
    }

    /// Value of each of the 256 levels in each channel after rescaling and normalising.
    fn levels(&self) -> [[f32; 256]; 3] {
        let scale = if self.do_rescale { self.rescale_factor } else { 1.0 };
        std::array::from_fn(|channel| {
            std::array::from_fn(|level| {
                let value = level as f64 * scale;
                if !self.do_normalize {
                    return value as f32;
                }
                let mean = f64::from(self.image_mean[channel]);
                ((value - mean) / f64::from(self.image_std[channel])) as f32
            })
        })
    }

    fn patches(&self, picture: &RgbImage) -> PixelPatches {
        let side = self.patch_size as usize;
        let merge = self.merge_size as usize;
        let frames = self.temporal_patch_size as usize;
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let (rows, columns) = (height / side, width / side);
        let levels = self.levels();
        let pixels = picture.as_raw();
        let mut values = Vec::with_capacity(rows * columns * 3 * frames * side * side);
        for block in 0..(rows / merge) * (columns / merge) {
            let (block_row, block_column) = (block / (columns / merge), block % (columns / merge));
            for inner in 0..merge * merge {
                let top = (block_row * merge + inner / merge) * side;
                let left = (block_column * merge + inner % merge) * side;
                for (channel, levels) in levels.iter().enumerate() {
                    let start = values.len();
                    for row in top..top + side {
                        let line = &pixels[(row * width + left) * 3..][..side * 3];
                        values
                            .extend(line[channel..].iter().step_by(3).map(|&v| levels[v as usize]));
                    }
                    // A picture stands still: every frame of its patch is the same.
                    let frame = start..values.len();
                    for _ in 1..frames {
                        values.extend_from_within(frame.clone());
                    }
                }
            }
        }
        PixelPatches { values, grid_thw: [1, rows, columns] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_and_newer_key_names_give_the_same_bounds() {
        let cases = [
            r#"{"min_pixels": 3136, "max_pixels": 50176}"#,
            r#"{"size": {"shortest_edge": 3136, "longest_edge": 50176}}"#,
            r#"{"size": {"min_pixels": 3136, "max_pixels": 50176}}"#,
        ];
        for json in cases {
            let processor = ImageProcessor::from_json(json).unwrap();
            assert_eq!((processor.min_pixels(), processor.max_pixels()), (3136, 50176), "{json}");
        }
    }

    #[test]
    fn impossible_settings_are_refused_by_name() {
        let cases = [
            (r#"{"patch_size": 0}"#, "patch_size"),
            (r#"{"merge_size": 1000}"#, "merge_size"),
            (r#"{"image_std": [0, 1, 1]}"#, "image_std"),
            (r#"{"min_pixels": 10, "max_pixels": 5}"#, "max_pixels"),
            (r#"{"patch_size": "big"}"#, "preprocessor_config.json"),
            ("", "preprocessor_config.json"),
        ];
        for (json, expected) in cases {
            let error = ImageProcessor::from_json(json).unwrap_err().to_string();
            assert!(error.contains(expected), "{json}: {error}");
        }
    }
}

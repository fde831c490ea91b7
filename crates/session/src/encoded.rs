//! Visual tokens of the pictures asked about last: a picture does not change from turn to turn.

use std::sync::PoisonError;

use burn::tensor::Tensor;
use image::RgbImage;
use qwen2_5_vl::{Prompt, PromptError};

use crate::Pretrained;

/// What the vision tower made of some pictures.
#[derive(Debug)]
pub(crate) struct Encoded {
    pictures: Vec<RgbImage>,
    image_embeds: Tensor<2>,
}

impl Pretrained {
    /// Puts the visual tokens of a prompt's pictures in place of their pixels; the tower runs only
    /// where they are not the pictures of the last call.
    ///
    /// # Errors
    ///
    /// When the prompt does not fit the model.
    pub fn encode_images(
        &self,
        prompt: &mut Prompt,
        pictures: &[RgbImage],
    ) -> Result<(), PromptError> {
        if pictures.is_empty() {
            return Ok(());
        }
        let mut last = self.encoded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = last.as_ref().filter(|known| known.pictures == pictures) {
            prompt.pixel_values = Vec::new();
            prompt.image_embeds = Some(known.image_embeds.clone());
            return Ok(());
        }
        // The old tokens make room first.
        *last = None;
        self.model.encode_images(prompt)?;
        let pictures = pictures.to_vec();
        *last = prompt.image_embeds.clone().map(|image_embeds| Encoded { pictures, image_embeds });
        Ok(())
    }
}

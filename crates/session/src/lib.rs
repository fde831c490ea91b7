//! A model with its processor, ready to be asked: requests in, responses out as JSON, the same on
//! the command line, over HTTP and in the browser.

mod encoded;
mod parts;
mod perceived;
mod request;
mod response;
mod selftest;

use std::sync::{Arc, Mutex};

use encoded::Encoded;
use generation::GenerationConfig;
use image::RgbImage;
use processor::{Message, Processor, ProcessorError};
use qwen2_5_vl::{Prompt, Qwen2_5_VL};

pub use parts::{Companion, FILES, OLDER_FILES, Parts, PartsError};
pub use perceived::{PerceiveRequest, pieces};
pub use request::{Prepared, Request};
pub use response::{Timing, Usage};
pub use selftest::{Agreement, SelfTest};

/// A model with all that is needed to talk to it.
#[derive(Debug)]
pub struct Pretrained {
    /// The model, on the device it was loaded to; the visual tokens of the last pictures are its.
    pub model: Qwen2_5_VL,
    /// Pictures and text to model input; the threads that prepare data share it.
    pub processor: Arc<Processor>,
    /// The model's own defaults for sampling.
    pub generation: GenerationConfig,
    /// What to call it in messages.
    pub name: String,
    /// The files besides the weights, which a copy of this model takes along.
    pub companions: Vec<Companion>,
    encoded: Mutex<Option<Encoded>>,
}

/// Why a request cannot be answered.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum SessionError {
    #[error("{0}")]
    Request(String),
    #[error(transparent)]
    Processor(#[from] ProcessorError),
    #[error(transparent)]
    Generate(#[from] generation::GenerateError),
    #[error(transparent)]
    Perceive(#[from] perceive::PerceiveError),
}

impl Pretrained {
    /// Puts a model and its parts together.
    pub fn new(model: Qwen2_5_VL, parts: Parts) -> Self {
        let Parts { processor, generation, name, companions, .. } = parts;
        let processor = Arc::new(processor);
        Self { model, processor, generation, name, companions, encoded: Mutex::default() }
    }

    /// Model input of a conversation and its pictures.
    ///
    /// # Errors
    ///
    /// When messages and pictures disagree, or one of them cannot be processed.
    pub fn prompt(
        &self,
        messages: &[Message],
        pictures: &[RgbImage],
    ) -> Result<Prompt, ProcessorError> {
        let input = self.processor.encode(messages, pictures)?;
        Ok(Prompt {
            input_ids: input.input_ids,
            pixel_values: input.pixel_values,
            image_grid_thw: input.image_grid_thw,
            ..Default::default()
        })
    }

    /// Ids that end a response: the configuration's, else the chat template's own.
    pub fn eos_token_ids(&self) -> Vec<u32> {
        let mut ids = self.generation.eos_token_id.clone();
        if ids.is_empty() {
            let names = ["<|im_end|>", "<|endoftext|>"];
            ids.extend(names.iter().filter_map(|name| self.processor.tokenizer.token_to_id(name)));
        }
        ids
    }
}

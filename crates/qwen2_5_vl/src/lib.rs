//! Qwen2.5-VL on [Burn](https://burn.dev): the vision tower, the text decoder with multimodal
//! rotary positions, and checkpoints in Hugging Face's format.
//!
//! Structs are named after Hugging Face's and their fields after the checkpoint's keys, so that a
//! weight's path in the module tree is its name in the file. The model knows tensors, not files
//! or images: [`weights`] reads checkpoints, the `processor` crate makes [`Prompt`]s.

// Names are Hugging Face's.
#![allow(non_camel_case_types)]

mod attention;
mod cache;
mod config;
mod elementwise;
mod error;
mod feed_forward;
#[cfg(all(feature = "gpu", not(feature = "fusion")))]
mod kernel;
mod linear;
mod lora;
mod model;
mod parallel;
mod prompt;
mod quantized;
mod rope;
mod table;
pub mod text;
pub mod vision;
pub mod weights;
mod window;

pub use attention::{KeyValues, Mask, attention};
pub use cache::{Kept, KvCache, Prefix, indices};
pub use config::{Qwen2_5_VLConfig, RopeParameters, TextConfig, VisionConfig};
pub use error::{ConfigError, PromptError, WeightsError};
pub use linear::{Embedding, Linear, RmsNorm};
pub use lora::Lora;
pub use model::{PromptBatch, Qwen2_5_VL};
pub use parallel::{map_on_cores, workers};
pub use prompt::{Prompt, RopeIndex};
pub use quantized::{BLOCK, Quantization};
pub use rope::Rope;
pub use table::Table;
pub use window::{ImageGroup, WindowBatch, WindowLayout};

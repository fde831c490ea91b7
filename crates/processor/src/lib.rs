//! From pictures, chats and text to what Qwen2.5-VL takes: pixel patches, grids and token ids;
//! and from its tokens back to text.
//!
//! Pure functions of bytes in memory: no files, threads or clocks, so it runs in a browser too.

mod answer;
mod chat;
mod error;
mod image;
mod preprocess;
mod processor;
mod prompt;
mod resize;
mod tokenizer;

pub use answer::Answer;
pub use chat::{ChatTemplate, Content, Message, QWEN2_5_VL_TEMPLATE};
pub use error::ProcessorError;
pub use image::{MAX_PIXELS, decode};
pub use preprocess::{ImageProcessor, PixelPatches};
pub use processor::{ModelInput, PretrainedFiles, Processor};
pub use prompt::INSTRUCTION;
pub use resize::smart_resize;
pub use tokenizer::{DecodeStream, Tokenizer};

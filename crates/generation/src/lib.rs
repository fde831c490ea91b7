//! What a model says: sampling and decoding of responses, and scoring of given ones.
//!
//! Both run a prompt once and let all responses to it attend to that one prefix.

mod compaction;
mod config;
mod generate;
#[cfg(not(target_arch = "wasm32"))]
mod head;
#[cfg(not(target_arch = "wasm32"))]
mod layers;
#[cfg(not(target_arch = "wasm32"))]
mod recording;
mod sampling;
mod score;
mod sharing;

pub use config::GenerationConfig;
#[cfg(not(target_arch = "wasm32"))]
pub use generate::generate_blocking;
pub use generate::{Completion, Details, Finish, GenerateError, GenerateOptions, Token, generate};
#[cfg(not(target_arch = "wasm32"))]
pub use head::{Divergence, divergence};
#[cfg(not(target_arch = "wasm32"))]
pub use recording::{Activations, RecordOptions, Recording, ScoreCotangents};
pub use sampling::SamplingParams;
pub use score::{Scores, score, score_uneven, token_scores, top_scores};

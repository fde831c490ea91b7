//! CPPO training on native devices: data, rollouts, updates, checkpoints, metrics, evaluation.
//!
//! Data walks one way: [`data`] → [`rollout`] → reward → [`update`] → [`checkpoint`];
//! [`train()`] is the loop, readable top to bottom.

pub mod atomic;
pub mod benchmark;
pub mod checkpoint;
pub mod collective;
pub mod config;
pub mod data;
pub mod evaluate;
pub mod forward;
pub mod hooks;
pub mod hub;
pub mod lora;
pub mod loss_scale;
pub mod metrics;
pub mod optim;
pub mod pieces;
pub mod plan;
pub mod pretrained;
pub mod reward;
pub mod rollout;
pub mod run;
pub mod sft;
pub mod tokenizer;
pub mod train;
mod training;
pub mod update;
mod zero;

pub use sft::sft;
pub use tokenizer::train_tokenizer;
pub use train::{Outcome, TrainError, train};

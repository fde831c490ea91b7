//! The configuration of a run: one typed tree, read from YAML and dotted overrides.

mod check;
mod load;
mod schema;

pub use load::{ConfigError, load, to_yaml};
pub use schema::{
    Augment, ComputeDtype, DataConfig, GymConfig, Logger, LoraConfig, ModelConfig, OptimConfig,
    Overlong, Quantize, Resume, RolloutConfig, Schedule, SftConfig, TrainConfig, TrainerConfig,
    Unreadable,
};

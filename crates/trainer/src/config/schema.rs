//! The keys of a run's configuration. Names are verl's, defaults the paper's 3B recipe.

use std::path::PathBuf;

use burn::tensor::DType;
use cppo::AlgorithmConfig;
use cppo::perturbation::Perturbations;
use gym::{Difficulty, Family};
use qwen2_5_vl::Quantization;
use serde::{Deserialize, Serialize};

use crate::data::Mapping;

/// `cppo train`: reinforcement learning.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct TrainConfig {
    pub algorithm: AlgorithmConfig,
    pub data: DataConfig,
    pub model: ModelConfig,
    pub rollout: RolloutConfig,
    pub optim: OptimConfig,
    pub trainer: TrainerConfig,
}

/// `cppo sft`: supervised warm start on worked responses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct SftConfig {
    pub augment: Augment,
    pub data: DataConfig,
    pub model: ModelConfig,
    pub optim: OptimConfig,
    pub trainer: TrainerConfig,
}

/// Perturbed pictures among those of the warm start: a model that never saw a picture without
/// information has no use for entropy shifts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// Share of pictures under a preserving perturbation.
    pub preserving_share: f64,
    /// Share of pictures under a removing perturbation.
    pub removing_share: f64,
    /// What is drawn from.
    pub perturbations: Perturbations,
}

/// Prompts, pictures and answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// Training examples: a parquet or JSON lines file, a folder of them, `OWNER/NAME` or
    /// `OWNER/NAME@SPLIT` on the Hugging Face hub, or `gym`.
    pub train: String,
    /// Validation examples; likewise. Empty: none.
    pub val: String,
    /// Validation examples used, the first ones; 0 for all.
    pub val_max_samples: usize,
    /// Names of columns, where they are not those of a known layout.
    pub mapping: Mapping,
    /// Where relative picture paths start; by default at the data file.
    pub image_dir: Option<PathBuf>,
    /// Longest prompt in tokens, those of pictures included.
    pub max_prompt_tokens: usize,
    /// What happens to longer prompts.
    pub overlong: Overlong,
    /// What happens to examples that cannot be read: rows, pictures or prompts that are damaged.
    pub unreadable: Unreadable,
    /// Append CPPO's instruction to think first and to box the answer.
    pub instruction: bool,
    /// Order of the examples.
    pub seed: u64,
    /// Threads that read and encode the next examples while the device computes; 0 for none.
    pub workers: usize,
    /// Most examples that are ready before they are needed.
    pub prefetch: usize,
    /// Questions and pictures of `gym`.
    pub gym: GymConfig,
}

/// What the perception gym asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GymConfig {
    /// Kinds of questions.
    pub families: Vec<Family>,
    /// How hard the pictures are to read.
    pub difficulty: Difficulty,
    /// Seed of the pictures.
    pub seed: u64,
    /// Share of the worked responses for training whose number is one off, as a careless annotator
    /// would write it; the answer that is rewarded stays right.
    pub careless_share: f64,
}

/// What happens to a prompt that is too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlong {
    /// The run ends.
    Error,
    /// The next example takes its place, and it is counted.
    #[default]
    Skip,
    /// Text is cut off at the end of the question; pictures never are.
    Truncate,
}

/// What happens to an example that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unreadable {
    /// The run ends.
    Error,
    /// The next example takes its place, and it is counted.
    #[default]
    Skip,
}

/// The policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// Folder in Hugging Face layout, hub id, or empty for the embedded demo model.
    pub path: String,
    /// Draw new weights with this seed instead of loading them.
    pub init_seed: Option<u64>,
    /// Leave the vision tower as it is.
    pub freeze_vision: bool,
    /// Train low-rank adapters and leave the weights as they are; by default the weights are
    /// trained.
    pub lora: Option<LoraConfig>,
    /// Keep the frozen weights of linear layers in blocks of integers (QLoRA); only with `lora`.
    pub quantize: Option<Quantize>,
    /// Number format of computation; weights, gradients and the optimizer's state stay f32.
    pub dtype: ComputeDtype,
}

/// Bits of a frozen weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Quantize {
    Q8,
    Q4,
}

impl From<Quantize> for Quantization {
    fn from(quantize: Quantize) -> Self {
        match quantize {
            Quantize::Q8 => Self::Q8,
            Quantize::Q4 => Self::Q4,
        }
    }
}

/// Low-rank adapters; names and defaults are those of PEFT's `LoraConfig`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoraConfig {
    /// Rank.
    pub r: usize,
    /// The adapters' outputs are multiplied by `lora_alpha / r`.
    pub lora_alpha: f64,
    /// Multiply by `lora_alpha / √r` instead.
    pub use_rslora: bool,
    /// Layers that get an adapter, by the ends of their names; by default all linear ones.
    pub target_modules: Vec<String>,
    /// Whether layers of the vision tower are among them.
    pub vision: bool,
    /// Seed of the first weights.
    pub init_seed: u64,
}

/// Number format of computation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ComputeDtype {
    /// 32 bits.
    #[default]
    F32,
    /// The range of f32 with 8 bits of precision.
    Bf16,
    /// 11 bits of precision in a small range; the loss is scaled to fit.
    F16,
}

impl From<ComputeDtype> for DType {
    fn from(dtype: ComputeDtype) -> Self {
        match dtype {
            ComputeDtype::F32 => Self::F32,
            ComputeDtype::Bf16 => Self::BF16,
            ComputeDtype::F16 => Self::F16,
        }
    }
}

impl std::fmt::Display for ComputeDtype {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        })
    }
}

/// How responses are drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RolloutConfig {
    /// Responses per prompt.
    pub n: usize,
    /// Divides the logits, when drawing and when scoring.
    pub temperature: f64,
    /// Draws among the likeliest tokens that together reach this probability.
    pub top_p: f64,
    /// Draws among the k likeliest tokens; 0 for all.
    pub top_k: usize,
    /// Longest response in tokens.
    pub max_response_tokens: usize,
    /// Responses decoded together.
    pub batch_responses: usize,
    /// Seed of the draws.
    pub seed: u64,
}

/// AdamW and its schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimConfig {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the moments.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled decay of matrices; norms and biases are left alone.
    pub weight_decay: f64,
    /// Largest norm of all gradients together; 0 for no limit.
    pub grad_clip: f64,
    /// Course of the learning rate after the warm-up.
    pub schedule: Schedule,
    /// Steps over which the learning rate rises from 0.
    pub warmup_steps: usize,
    /// The cosine ends at this share of `lr`.
    pub min_lr_ratio: f64,
}

/// Course of the learning rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Schedule {
    #[default]
    Constant,
    Cosine,
}

/// The run itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainerConfig {
    /// Everything the run writes goes here.
    pub run_dir: PathBuf,
    /// auto, cpu, wgpu, vulkan, metal or cuda.
    pub device: String,
    /// Steps in all; 0 for as many as `epochs` takes.
    pub total_steps: usize,
    /// Passes over the training examples, where `total_steps` is 0.
    pub epochs: usize,
    /// Prompts per step.
    pub batch_prompts: usize,
    /// Prompts per optimizer update.
    pub mini_batch_prompts: usize,
    /// Responses in one forward and backward; less takes less memory and gives the same update.
    pub micro_batch_responses: usize,
    /// Updates per prompt drawn.
    pub ppo_epochs: usize,
    /// Steps between checkpoints; 0 for one at the end.
    pub save_every: usize,
    /// Steps between evaluations, also done before the first; 0 for none.
    pub eval_every: usize,
    /// Responses to each validation example.
    pub eval_n: usize,
    /// Temperature of these; by default 0 for one response and 1 for several.
    pub eval_temperature: Option<f64>,
    /// Checkpoints kept besides the best one; 0 for all.
    pub keep: usize,
    /// Whether a run goes on where it stopped.
    pub resume: Resume,
    /// Run each layer again in backward instead of keeping its activations.
    pub recompute: bool,
    /// Keep each parameter's optimizer state on one rank only (ZeRO-1), and exchange the updated
    /// weights.
    pub shard_optimizer: bool,
    /// Longest wait for another rank, in seconds.
    pub rank_timeout_s: u64,
    /// Write every response to `rollouts/`.
    pub dump_rollouts: bool,
    /// Where metrics go.
    pub loggers: Vec<Logger>,
}

impl TrainerConfig {
    /// Temperature of validation responses.
    pub fn eval_temperature(&self) -> f64 {
        self.eval_temperature.unwrap_or(if self.eval_n > 1 { 1.0 } else { 0.0 })
    }
}

/// Whether a run goes on where it stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resume {
    /// From the last whole checkpoint, if there is one.
    #[default]
    Auto,
    /// A run folder that holds a run is an error.
    Never,
}

/// Where metrics go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Logger {
    Console,
    Jsonl,
    Tensorboard,
}

impl Default for Augment {
    fn default() -> Self {
        let perturbations = Perturbations::default();
        Self { preserving_share: 0.0, removing_share: 0.0, perturbations }
    }
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            train: String::new(),
            val: String::new(),
            val_max_samples: 0,
            mapping: Mapping::default(),
            image_dir: None,
            max_prompt_tokens: 512,
            overlong: Overlong::Skip,
            unreadable: Unreadable::Skip,
            instruction: true,
            seed: 0,
            workers: 2,
            prefetch: 64,
            gym: GymConfig::default(),
        }
    }
}

impl Default for GymConfig {
    fn default() -> Self {
        let families = vec![Family::CountColor, Family::CountShape];
        Self { families, difficulty: Difficulty::Standard, seed: 0, careless_share: 0.0 }
    }
}

impl Default for LoraConfig {
    fn default() -> Self {
        Self {
            r: 8,
            lora_alpha: 8.0,
            use_rslora: false,
            target_modules: Vec::new(),
            vision: false,
            init_seed: 0,
        }
    }
}

impl ModelConfig {
    /// Whether anything of the vision tower is trained.
    pub fn trains_vision(&self) -> bool {
        !self.freeze_vision && self.lora.as_ref().is_none_or(|lora| lora.vision)
    }
}

impl Default for RolloutConfig {
    fn default() -> Self {
        Self {
            n: 5,
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            max_response_tokens: 4096,
            batch_responses: 256,
            seed: 0,
        }
    }
}

impl Default for OptimConfig {
    fn default() -> Self {
        Self {
            lr: 1e-6,
            betas: [0.9, 0.999],
            eps: 1e-8,
            weight_decay: 0.01,
            grad_clip: 1.0,
            schedule: Schedule::Constant,
            warmup_steps: 0,
            min_lr_ratio: 0.0,
        }
    }
}

impl Default for TrainerConfig {
    fn default() -> Self {
        Self {
            run_dir: "runs/cppo".into(),
            device: "auto".into(),
            total_steps: 0,
            epochs: 2,
            batch_prompts: 512,
            mini_batch_prompts: 64,
            micro_batch_responses: 8,
            ppo_epochs: 1,
            save_every: 0,
            eval_every: 0,
            eval_n: 1,
            eval_temperature: None,
            keep: 3,
            resume: Resume::Auto,
            recompute: true,
            shard_optimizer: false,
            rank_timeout_s: 1800,
            dump_rollouts: true,
            loggers: vec![Logger::Console, Logger::Jsonl, Logger::Tensorboard],
        }
    }
}

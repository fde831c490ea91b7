//! What a run will need in memory, before it starts.

use burn::module::Module;
use qwen2_5_vl::{Qwen2_5_VL, Qwen2_5_VLConfig};
use serde::Serialize;

use crate::config::TrainConfig;

/// Bytes of one f32 number.
const NUMBER: u64 = 4;

/// Logits and their temporaries that scoring holds at a time: four arrays of 2²⁴ numbers.
const LOGITS: u64 = 4 * (1 << 24) * NUMBER;

/// An estimate of the device memory that training takes at most, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct MemoryPlan {
    /// Numbers that the model consists of.
    pub parameters: u64,
    pub weights: u64,
    pub reference: u64,
    pub gradients: u64,
    pub optimizer: u64,
    /// Of one update, for the longest prompts and responses allowed.
    pub activations: u64,
    /// Of one rollout batch, likewise.
    pub kv_cache: u64,
}

impl MemoryPlan {
    /// The plan of a run; activations are counted by the arrays that a layer keeps.
    pub fn new(model: &Qwen2_5_VL, config: &TrainConfig) -> Self {
        let parameters = model.num_params() as u64;
        let weights = parameters * NUMBER;
        let has_reference = config.algorithm.kl_coef != 0.0;
        Self {
            parameters,
            weights,
            reference: if has_reference { weights } else { 0 },
            gradients: weights,
            optimizer: 2 * weights,
            activations: activations(model.config(), config),
            kv_cache: kv_cache(model.config(), config),
        }
    }

    /// The larger of the rollout's and the update's need.
    pub fn peak(&self) -> u64 {
        let lasting = self.weights + self.reference + self.optimizer;
        lasting + self.kv_cache.max(self.gradients + self.activations)
    }
}

/// Tokens of `responses` responses and of the prompts they answer.
fn tokens(responses: usize, config: &TrainConfig) -> (u64, u64) {
    let prompts = responses.div_ceil(config.rollout.n);
    let (prompt, response) = (config.data.max_prompt_tokens, config.rollout.max_response_tokens);
    ((prompts * prompt) as u64, (responses * response) as u64)
}

fn activations(model: &Qwen2_5_VLConfig, config: &TrainConfig) -> u64 {
    let (text, trainer) = (&model.text_config, &config.trainer);
    let mini_batch = trainer.mini_batch_prompts * config.rollout.n;
    let (prompt, response) = tokens(trainer.micro_batch_responses.min(mini_batch), config);
    let (hidden, layers) = (text.hidden_size as u64, text.num_hidden_layers as u64);
    let keys = (config.data.max_prompt_tokens + config.rollout.max_response_tokens) as u64;
    // Norms, projections, rotated heads and sums; the gated product; scores and their softmax.
    let per_token = 12 * hidden
        + 4 * text.intermediate_size as u64
        + 3 * text.num_attention_heads as u64 * keys;
    let layer = (prompt + response) * per_token * NUMBER;
    let inputs = (prompt + response) * hidden * NUMBER;
    let views = if config.algorithm.name == cppo::Algorithm::Grpo { 1 } else { 3 };
    match trainer.recompute {
        true => layers * inputs + layer + LOGITS,
        false => {
            let pieces = mini_batch.div_ceil(trainer.micro_batch_responses) as u64;
            views * pieces * layers * layer + LOGITS
        }
    }
}

fn kv_cache(model: &Qwen2_5_VLConfig, config: &TrainConfig) -> u64 {
    let text = &model.text_config;
    let (prompt, response) = tokens(config.rollout.batch_responses, config);
    let width = 2 * (text.num_key_value_heads * text.head_dim()) as u64;
    (prompt + response) * width * text.num_hidden_layers as u64 * NUMBER
}

impl std::fmt::Display for MemoryPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let gigabytes = |bytes: u64| bytes as f64 / 1e9;
        writeln!(f, "{:.3} M parameters", self.parameters as f64 / 1e6)?;
        for (name, bytes) in [
            ("weights", self.weights),
            ("reference", self.reference),
            ("gradients", self.gradients),
            ("optimizer", self.optimizer),
            ("activations", self.activations),
            ("kv cache", self.kv_cache),
            ("peak", self.peak()),
        ] {
            writeln!(f, "{name:<12} {:>9.3} GB", gigabytes(bytes))?;
        }
        Ok(())
    }
}

//! What a run will need in memory, before it starts.

use burn::module::Module;
use cppo::{Algorithm, Gate};
use qwen2_5_vl::{BLOCK, Linear, Qwen2_5_VL, Qwen2_5_VLConfig, workers};
use serde::Serialize;

use crate::config::{ComputeDtype, Quantize, TrainConfig};

/// Bytes of one f32 number.
const NUMBER: u64 = 4;

/// Logits that scoring holds at a time, for each piece in work.
const MAX_LOGITS: u64 = 1 << 24;

/// What the backend keeps for itself, such as packed matrices.
const RUNTIME: u64 = 16 << 20;

/// Arrays of attention's scores: with mask, as exponentials, as weights, and those by run of keys.
const SCORE_ARRAYS: u64 = 4;

/// Logits, their exponentials, and the derivatives of both.
const LOGIT_ARRAYS: u64 = 5;

/// An estimate of the device memory that training takes at most, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct MemoryPlan {
    /// Numbers that the model consists of.
    pub parameters: u64,
    /// Those of them that training changes.
    pub trainable: u64,
    pub weights: u64,
    pub reference: u64,
    pub gradients: u64,
    pub optimizer: u64,
    /// Of one update, for the longest prompts and responses allowed.
    pub activations: u64,
    /// Logits that are in memory at a time, with what is computed from them.
    pub logits: u64,
    /// Of one update: what of activations, logits and gradients is there at the same time.
    pub update: u64,
    /// Of one rollout batch, likewise.
    pub kv_cache: u64,
}

impl MemoryPlan {
    /// The plan of one of the ranks of a run. Activations are counted by the arrays that Burn's graph keeps; half of
    /// a prompt's tokens are taken to be a picture's, and half of the responses to be let in by
    /// the gate.
    pub fn new(model: &Qwen2_5_VL, config: &TrainConfig, ranks: usize) -> Self {
        Self::sized(model, config, ranks, workers(&model.device()), model.num_quantized())
    }

    /// The plan on a GPU, which runs one piece at a time, of a model that need not be there yet.
    pub fn on_gpu(model: &Qwen2_5_VL, config: &TrainConfig, ranks: usize) -> Self {
        let quantized = config.model.quantize.map(|bits| quantizable(model, bits));
        Self::sized(model, config, ranks, 1, quantized.unwrap_or_default())
    }

    fn sized(
        model: &Qwen2_5_VL,
        config: &TrainConfig,
        ranks: usize,
        workers: usize,
        (quantized, packed): (usize, usize),
    ) -> Self {
        let parameters = model.num_params() as u64;
        let weights = (parameters - quantized as u64) * NUMBER + packed as u64;
        let frozen = match config.model.lora.is_none() && !config.model.trains_vision() {
            true => model.visual.num_params(),
            false => 0,
        };
        let trainable = (model.num_trainable() - frozen) as u64;
        let update = Update::new(config, ranks, workers);
        let owners = if config.trainer.shard_optimizer { ranks as u64 } else { 1 };
        let gradients = update.gradient_sets * trainable * NUMBER;
        let unpacked = update.unpacked(model.config(), config, quantized as u64);
        let activations = update.activations(model.config(), config, weights) + unpacked;
        let logits = update.logits(model.config());
        // A model without its adapters shares its weights with the one that has them.
        let has_reference = config.algorithm.kl_coef != 0.0 && model.adapter().is_none();
        Self {
            parameters,
            trainable,
            weights,
            reference: if has_reference { weights } else { 0 },
            gradients,
            optimizer: (2 * trainable * NUMBER).div_ceil(owners),
            activations,
            logits,
            // Stored activations are released as gradients come.
            update: match config.trainer.recompute {
                true => activations + logits.max(gradients),
                false => (activations + logits).max(gradients),
            },
            kv_cache: kv_cache(model.config(), config),
        }
    }

    /// The larger of the rollout's and the update's need.
    pub fn peak(&self) -> u64 {
        let lasting = self.weights + self.reference + self.optimizer;
        lasting + RUNTIME + self.kv_cache.max(self.update)
    }
}

/// Weights that quantization takes, and their bytes afterwards: blocks with a scale each.
fn quantizable(model: &Qwen2_5_VL, quantize: Quantize) -> (usize, usize) {
    let bits = match quantize {
        Quantize::Q8 => 8,
        Quantize::Q4 => 4,
    };
    let mut model = model.clone();
    let numbers = |(_, linear): (String, &mut Linear)| {
        let shape = linear.weight.lazy_shape();
        if shape[1] % BLOCK == 0 { shape.num_elements() } else { 0 }
    };
    let quantized: usize = model.linears_mut().into_iter().map(numbers).sum();
    (quantized, quantized * bits / 8 + quantized / BLOCK * NUMBER as usize)
}

/// Tokens of `responses` responses and of the prompts they answer.
fn tokens(responses: usize, config: &TrainConfig) -> (u64, u64) {
    let prompts = responses.div_ceil(config.rollout.n);
    let (prompt, response) = (config.data.max_prompt_tokens, config.rollout.max_response_tokens);
    ((prompts * prompt) as u64, (responses * response) as u64)
}

/// What is in memory at a time of one update.
struct Update {
    /// Prompts and responses of all views.
    prompt_tokens: u64,
    response_tokens: u64,
    /// Those of the original view, whose logits all get a gradient.
    original_tokens: u64,
    /// Pieces that run at a time.
    workers: u64,
    /// Gradients of all parameters, one for each piece in work and one for their sum.
    gradient_sets: u64,
}

impl Update {
    fn new(config: &TrainConfig, ranks: usize, workers: usize) -> Self {
        let (algorithm, trainer) = (&config.algorithm, &config.trainer);
        let gated = if algorithm.cpl.gate == Gate::None { 1.0 } else { 0.5 };
        let (views, share) = match algorithm.name {
            Algorithm::Grpo => (0.0, 0.0),
            Algorithm::Cppo if algorithm.cpl.coef == 0.0 => (0.0, 0.0),
            Algorithm::Cppo => (2.0, gated),
            Algorithm::Papo | Algorithm::Vppo => (1.0, 1.0),
        };
        let own = trainer.mini_batch_prompts.div_ceil(ranks);
        let prompts = own as f64 * (1.0 + views);
        let originals = (own * config.rollout.n) as f64;
        let responses = originals * (1.0 + views * share);
        let limit = trainer.micro_batch_responses as f64;
        let workers = workers as f64;
        let pieces = (responses / limit).ceil().max(workers.min(prompts));
        let workers = workers.min(pieces);
        let kept = match trainer.recompute && responses > limit {
            true => workers / pieces,
            false => 1.0,
        };
        let tokens = |count: f64, length: usize| (count * kept).ceil() as u64 * length as u64;
        Self {
            prompt_tokens: tokens(prompts, config.data.max_prompt_tokens),
            original_tokens: tokens(originals, config.rollout.max_response_tokens),
            response_tokens: tokens(responses, config.rollout.max_response_tokens),
            workers: workers as u64,
            gradient_sets: if pieces > workers { workers as u64 + 1 } else { workers as u64 },
        }
    }

    fn activations(&self, model: &Qwen2_5_VLConfig, config: &TrainConfig, weights: u64) -> u64 {
        let (text, vision) = (&model.text_config, &model.vision_config);
        let (prompt, response) = (self.prompt_tokens, self.response_tokens);
        let (width, depth) = (vision.hidden_size as u64, vision.depth as u64);
        let (hidden, layers) = (text.hidden_size as u64, text.num_hidden_layers as u64);
        let patches = prompt / 2 * vision.merge_unit() as u64;
        let half = config.model.dtype != ComputeDtype::F32;
        let number = if half { NUMBER / 2 } else { NUMBER };
        // Measured with frozen weights: those that norms multiply, and one more, are not kept.
        let not_kept = if config.model.lora.is_some() { 3 } else { 0 };
        let blocks = if config.model.trains_vision() { depth } else { 0 };
        // Both norms, queries before and after rotation, keys, values, the gated product.
        let kv_width = (text.num_key_value_heads * text.head_dim()) as u64;
        let per_token = (10 - not_kept) * hidden + 4 * kv_width + 5 * text.intermediate_size as u64;
        let per_patch = 16 * width + 5 * vision.intermediate_size as u64;
        // Scores and their softmax are f32 always.
        let heads = text.num_attention_heads as u64;
        let keys = config.data.max_prompt_tokens as u64;
        let own = keys + config.rollout.max_response_tokens as u64;
        let scores = SCORE_ARRAYS * heads * (prompt * keys + response * own) * NUMBER;
        let seen = (vision.window_size / vision.patch_size).pow(2) as u64;
        let patch_scores = SCORE_ARRAYS * vision.num_heads as u64 * patches * seen * NUMBER;
        let layer = (prompt + response) * per_token * number + scores;
        let block = patches * per_patch * number + patch_scores;
        let cast = if half { self.workers * weights / 2 } else { 0 };
        match config.trainer.recompute {
            false => layers * layer + blocks * block + cast,
            true => {
                let inputs = layers * (prompt + response) * hidden + depth * patches * width;
                inputs * number + layer.max(block)
            }
        }
    }

    /// Quantized weights that a graph holds as floats: those of all layers, or of one at a time.
    fn unpacked(&self, model: &Qwen2_5_VLConfig, config: &TrainConfig, weights: u64) -> u64 {
        let layers = match config.trainer.recompute {
            true => model.text_config.num_hidden_layers as u64,
            false => 1,
        };
        self.workers * weights / layers * NUMBER
    }

    fn logits(&self, model: &Qwen2_5_VLConfig) -> u64 {
        let numbers = self.original_tokens * model.text_config.vocab_size as u64;
        LOGIT_ARRAYS * numbers.min(self.workers * MAX_LOGITS) * NUMBER
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
        let millions = |count: u64| count as f64 / 1e6;
        write!(f, "{:.3} M parameters", millions(self.parameters))?;
        match self.trainable == self.parameters {
            true => writeln!(f)?,
            false => writeln!(f, ", {:.3} M of them trained", millions(self.trainable))?,
        }
        for (name, bytes) in [
            ("weights", self.weights),
            ("reference", self.reference),
            ("gradients", self.gradients),
            ("optimizer", self.optimizer),
            ("activations", self.activations),
            ("logits", self.logits),
            ("kv cache", self.kv_cache),
            ("update", self.update),
            ("peak", self.peak()),
        ] {
            writeln!(f, "{name:<12} {:>9.3} GB", gigabytes(bytes))?;
        }
        Ok(())
    }
}

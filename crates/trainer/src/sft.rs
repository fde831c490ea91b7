//! Supervised warm start on worked responses.

use std::time::Instant;

use burn::optim::GradientsAccumulator;
use burn::tensor::Device;
use cppo::perturbation::{Seed, View as Kind};
use cppo::{AlgorithmConfig, Cotangent};
use qwen2_5_vl::Prompt;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::collective::{Collective, agree, share, sum_gradients};
use crate::config::{RolloutConfig, SftConfig};
use crate::data::{Example, indices};
use crate::forward::{Forward, ForwardOptions, Rows};
use crate::hooks::Hooks;
use crate::loss_scale::LossScale;
use crate::metrics::Metrics;
use crate::optim::{Optim, learning_rate};
use crate::pretrained::Pretrained;
use crate::reward::Programs;
use crate::rollout::mixed;
use crate::train::{Outcome, TrainError};
use crate::training::{Judging, Training};
use crate::update::{UpdateError, step};

/// Responses longer than this end evaluation early.
const MAX_RESPONSE_TOKENS: usize = 128;

/// Trains `policy`, whose model is on `device` without autodiff, to give the worked responses.
///
/// The loss is the mean of `-ln p` over the response tokens of a batch.
///
/// # Errors
///
/// When the data, the run folder or the device fail; the last checkpoint stays whole.
pub fn sft(
    policy: Pretrained,
    config: &SftConfig,
    device: &Device,
    hooks: &mut Hooks,
) -> Result<Outcome, TrainError> {
    let rollout = RolloutConfig { max_response_tokens: MAX_RESPONSE_TOKENS, ..Default::default() };
    let judging =
        Judging { rollout, algorithm: AlgorithmConfig::default(), programs: Programs::default() };
    let parts = (&config.data, &config.model, &config.optim, &config.trainer);
    let mut training = Training::open(policy, config, parts, judging, device, hooks)?;
    while training.goes_on() {
        let started = Instant::now();
        let Training { policy, optim, loader, state, total_steps, scale, .. } = &mut training;
        let examples = loader.next(config.trainer.batch_prompts, &policy.processor)?;
        agree(hooks.ranks, "examples", indices(&examples))?;
        let lr = learning_rate(&config.optim, state.step, *total_steps);
        let metrics =
            learn(policy, (optim, scale), &examples, (state.step, lr), config, hooks.ranks)?;
        training.end_step(metrics, started, hooks)?;
    }
    training.outcome()
}

/// One optimizer update on a batch of examples, which ranks share out.
fn learn(
    policy: &mut Pretrained,
    (optim, scale): (&mut Optim, &mut LossScale),
    examples: &[Example],
    (step_number, lr): (usize, f64),
    config: &SftConfig,
    ranks: &dyn Collective,
) -> Result<Metrics, TrainError> {
    let eos = policy.eos_token_ids();
    let mut prompts = Vec::with_capacity(examples.len());
    let mut ids = Vec::with_capacity(examples.len());
    for (place, example) in examples.iter().enumerate() {
        let response = example.response.as_ref().ok_or_else(|| {
            TrainError::Config(format!(
                "example {} has no worked response; name its column by data.mapping.response_key",
                example.index
            ))
        })?;
        let encoded = policy.processor.tokenizer.encode(response);
        let mut encoded = encoded.map_err(|error| TrainError::Update(error.into()))?;
        encoded.extend(eos.first());
        ids.push(encoded);
        let seed = Seed { run: config.data.seed, step: step_number as u64, prompt: place as u64 };
        prompts.push(augmented(example, seed, policy, config)?);
    }
    let tokens = ids.iter().map(Vec::len).max().unwrap_or(0);
    let total: usize = ids.iter().map(Vec::len).sum();
    let own = share(ranks, ids.len());
    let wanted = |row: usize| if own.contains(&row) { vec![row] } else { Vec::new() };
    let wanted: Vec<Vec<usize>> = (0..ids.len()).map(wanted).collect();
    let rows = Rows {
        prompts: &prompts,
        ids: ids.iter().map(Vec::as_slice).collect(),
        tokens,
        wanted: &wanted,
    };
    let options = ForwardOptions::new(&config.trainer, &config.model, 1.0);
    let model = &policy.model;
    let forward = Forward::new(model, rows, options).map_err(UpdateError::from)?;
    let mut cotangent = Cotangent::zeros(ids.len() * tokens);
    for (row, ids) in ids.iter().enumerate() {
        cotangent.logprobs[row * tokens..][..ids.len()].fill(-1.0 / total as f32);
    }
    let loss: f64 = forward
        .scores
        .logprobs
        .iter()
        .zip(&cotangent.logprobs)
        .map(|(&logprob, &slope)| f64::from(logprob) * f64::from(slope))
        .sum();
    let mut losses = [loss as f32];
    ranks.all_reduce("losses", &mut losses).map_err(UpdateError::from)?;
    let mut gradients = GradientsAccumulator::new();
    let cotangent = cotangent.scaled(scale.factor());
    forward.backward(model, &cotangent, &[], &mut gradients).map_err(UpdateError::from)?;
    let gradients = sum_gradients(ranks, model, gradients.grads())?;
    let clip = config.optim.grad_clip;
    let report = step(&mut policy.model, optim, scale, gradients, lr, clip, ranks)?;
    Ok(Metrics::from_iter([
        ("train/loss", f64::from(losses[0])),
        ("train/lr", lr),
        ("train/grad_norm", report.norm),
        ("train/skipped_updates", f64::from(u8::from(report.skipped))),
    ]))
}

/// The prompt, by chance with a perturbed picture.
fn augmented(
    example: &Example,
    seed: Seed,
    policy: &Pretrained,
    config: &SftConfig,
) -> Result<Prompt, UpdateError> {
    let augment = &config.augment;
    let mut stream = ChaCha8Rng::seed_from_u64(mixed(mixed(seed.run, seed.step), seed.prompt));
    let chance: f64 = stream.random();
    let kind = if chance < augment.preserving_share {
        Kind::Preserving
    } else if chance < augment.preserving_share + augment.removing_share {
        Kind::Removing
    } else {
        return Ok(example.prompt.clone());
    };
    let pictures = augment.perturbations.perturb(kind, &example.pictures, seed);
    Ok(example.with_pictures(&pictures, &policy.processor)?)
}

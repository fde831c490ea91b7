//! Supervised warm start on worked responses.

use std::time::Instant;

use burn::module::Module;
use burn::optim::GradientsAccumulator;
use burn::tensor::Device;
use cppo::perturbation::{Seed, View as Kind};
use cppo::{AlgorithmConfig, Cotangent};
use generation::{Activations, RecordOptions};
use gym::Split;
use qwen2_5_vl::Prompt;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::checkpoint::TrainerState;
use crate::config::{RolloutConfig, SftConfig};
use crate::data::{Example, Loader, Source};
use crate::evaluate::Validation;
use crate::hooks::Hooks;
use crate::metrics::Metrics;
use crate::optim::{Optim, learning_rate};
use crate::pretrained::Pretrained;
use crate::rollout::mixed;
use crate::run::Run;
use crate::train::{Outcome, TrainError, epochs_to_steps};
use crate::update::{UpdateError, step};
use crate::view::{Rows, View, ViewOptions};

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
    let source = Source::open(&config.data.train, Split::Train, &config.data)?
        .filter(|source| !source.is_empty())
        .ok_or_else(|| {
            TrainError::Config(format!("data.train: {} holds no examples", config.data.train))
        })?;
    let mut loader = Loader::new(source, &config.data);
    let total_steps = epochs_to_steps(&config.trainer, loader.epoch_len())?;
    let validation = match Source::open(&config.data.val, Split::Validation, &config.data)? {
        Some(source) if config.trainer.eval_every > 0 => {
            Some(Validation::new(source, &policy, &config.data)?)
        }
        _ => None,
    };
    let mut optim = Optim::new(&config.optim);
    let mut run = Run::open(config, &config.trainer)?;
    let mut state = TrainerState::default();
    let mut policy = match run.resume(&mut optim, device)? {
        Some((resumed, saved)) => {
            state = saved;
            resumed
        }
        None => policy,
    };
    policy.model = policy.model.to_device(&device.clone().autodiff()).train();
    loader.place = state.place;
    loader.skipped = std::mem::take(&mut state.skipped);

    while state.step < total_steps && !hooks.stopped() {
        let started = Instant::now();
        let examples = loader.next(config.trainer.batch_prompts, &policy.processor)?;
        let lr = learning_rate(&config.optim, state.step, total_steps);
        let mut metrics = learn(&mut policy, &mut optim, &examples, state.step, lr, config)?;
        state.step += 1;
        state.place = loader.place;
        state.skipped = loader.skipped.clone();
        metrics.merge(loader.metrics());
        metrics.set("training/global_step", state.step as f64);
        let last = state.step == total_steps || hooks.stopped();
        let due = |every: usize| every > 0 && state.step % every == 0;
        if let Some(validation) = &validation
            && (due(config.trainer.eval_every) || last)
        {
            let rollout =
                RolloutConfig { max_response_tokens: MAX_RESPONSE_TOKENS, ..Default::default() };
            let found =
                validation.evaluate(&policy, &rollout, &AlgorithmConfig::default(), hooks)?;
            let accuracy = found.get(Validation::ACCURACY).unwrap_or(0.0);
            if state.best.is_none_or(|(best, _)| accuracy > best) {
                state.best = Some((accuracy, state.step));
            }
            metrics.merge(found);
        }
        metrics.set("timing_s/step", started.elapsed().as_secs_f64());
        run.log(state.step, &metrics)?;
        if due(config.trainer.save_every) || last {
            run.save(&policy, &optim, &state)?;
        }
        (hooks.on_step)(state.step, &metrics);
    }
    let accuracy = run.accuracy()?;
    Ok(Outcome { steps: state.step, stopped: state.step < total_steps, accuracy })
}

/// One optimizer update on a batch of examples.
fn learn(
    policy: &mut Pretrained,
    optim: &mut Optim,
    examples: &[Example],
    step_number: usize,
    lr: f64,
    config: &SftConfig,
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
    let rows: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
    let tokens = rows.iter().map(|row| row.len()).max().unwrap_or(0);
    let total: usize = rows.iter().map(|row| row.len()).sum();
    let rows = Rows { ids: &rows, tokens };
    let wanted: Vec<Vec<usize>> = (0..ids.len()).map(|row| vec![row]).collect();
    let trainer = &config.trainer;
    let options = ViewOptions {
        record: RecordOptions {
            temperature: 1.0,
            activations: match trainer.recompute {
                true => Activations::Recomputed,
                false => Activations::Stored,
            },
            train_vision: !config.model.freeze_vision,
        },
        limit: trainer.micro_batch_responses,
        keep: !trainer.recompute || ids.len() <= trainer.micro_batch_responses,
    };
    let model = &policy.model;
    let mut view =
        View::score(model, &prompts, rows, &wanted, options).map_err(UpdateError::from)?;
    let mut cotangent = Cotangent::zeros(ids.len() * tokens);
    for (row, ids) in ids.iter().enumerate() {
        cotangent.logprobs[row * tokens..][..ids.len()].fill(-1.0 / total as f32);
    }
    let loss: f64 = view
        .scores
        .logprobs
        .iter()
        .zip(&cotangent.logprobs)
        .map(|(&logprob, &slope)| f64::from(logprob) * f64::from(slope))
        .sum();
    let mut gradients = GradientsAccumulator::new();
    view.backward(model, &cotangent, &[], &mut gradients).map_err(UpdateError::from)?;
    drop(view);
    let report = step(&mut policy.model, optim, gradients.grads(), lr, config.optim.grad_clip);
    Ok(Metrics::from_iter([
        ("train/loss", loss),
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

//! The training loop: rollout → reward → advantage → update, one step after the other.

use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;
use generation::GenerateError;
use gym::Split;
use qwen2_5_vl::{PromptError, Qwen2_5_VL};

use crate::checkpoint::{CheckpointError, TrainerState};
use crate::config::{TrainConfig, TrainerConfig};
use crate::data::{DataError, ExampleError, Loader, Source};
use crate::evaluate::Validation;
use crate::hooks::Hooks;
use crate::metrics::Metrics;
use crate::optim::Optim;
use crate::pieces::pieces;
use crate::pretrained::{Pretrained, PretrainedError};
use crate::rollout::{Draws, Group, Response, rollout};
use crate::run::{Run, RunError};
use crate::update::{Moment, UpdateError, update};

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum TrainError {
    #[error("{0}")]
    Config(String),
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Example(#[from] ExampleError),
    #[error(transparent)]
    Pretrained(#[from] PretrainedError),
    #[error(transparent)]
    Generate(#[from] GenerateError),
    #[error(transparent)]
    Prompt(#[from] PromptError),
    #[error(transparent)]
    Update(#[from] UpdateError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Run(#[from] RunError),
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Steps done.
    pub steps: usize,
    /// Whether it was asked to stop before its last step.
    pub stopped: bool,
    /// Greedy validation accuracy before the first and after the last step, where evaluated.
    pub accuracy: Option<(f64, f64)>,
}

/// Trains `policy`, whose model is on `device` without autodiff, by the configured objective.
///
/// # Errors
///
/// When the data, the run folder or the device fail; the last checkpoint stays whole.
pub fn train(
    policy: Pretrained,
    config: &TrainConfig,
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

    // The reference is the policy that the run started from, also where the run goes on.
    let reference = (config.algorithm.kl_coef != 0.0).then(|| policy.model.clone());
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

    let evaluate = |policy: &Pretrained, hooks: &mut Hooks| -> Result<_, TrainError> {
        let Some(validation) = &validation else { return Ok(None) };
        let started = Instant::now();
        let mut metrics = validation.evaluate(policy, &config.rollout, &config.algorithm, hooks)?;
        metrics.set("timing_s/testing", started.elapsed().as_secs_f64());
        Ok(Some(metrics))
    };
    if state.step == 0
        && let Some(metrics) = evaluate(&policy, hooks)?
    {
        run.log(0, &metrics)?;
        (hooks.on_step)(0, &metrics);
    }

    while state.step < total_steps && !hooks.stopped() {
        let started = Instant::now();
        let (groups, mut metrics) = experience(&policy, &mut loader, state.step, config, hooks)?;
        let groups =
            with_logprobs(groups, &policy.model, reference.as_ref(), config, &mut metrics)?;
        if config.trainer.dump_rollouts {
            run.dump(state.step + 1, &groups)?;
        }
        let updating = Instant::now();
        let updates =
            learn(&mut policy, &mut optim, &groups, state.step, total_steps, config, hooks)?;
        metrics.merge(Metrics::reduce(&updates));
        metrics.set("timing_s/update_actor", updating.elapsed().as_secs_f64());

        state.step += 1;
        state.place = loader.place;
        state.skipped = loader.skipped.clone();
        metrics.merge(loader.metrics());
        metrics.set("training/global_step", state.step as f64);
        if let Some(length) = loader.epoch_len() {
            metrics.set("training/epoch", loader.place as f64 / length as f64);
        }
        let last = state.step == total_steps || hooks.stopped();
        let due = |every: usize| every > 0 && state.step % every == 0;
        if (due(config.trainer.eval_every) || last)
            && let Some(found) = evaluate(&policy, hooks)?
        {
            let accuracy = found.get(Validation::ACCURACY).unwrap_or(0.0);
            if state.best.is_none_or(|(best, _)| accuracy > best) {
                state.best = Some((accuracy, state.step));
            }
            metrics.merge(found);
        }
        timing(&mut metrics, &groups, started);
        run.log(state.step, &metrics)?;
        let best_now = state.best.is_some_and(|(_, step)| step == state.step);
        if due(config.trainer.save_every) || last || best_now {
            run.save(&policy, &optim, &state)?;
        }
        (hooks.on_step)(state.step, &metrics);
    }
    Ok(Outcome { steps: state.step, stopped: state.step < total_steps, accuracy: run.accuracy()? })
}

/// Steps of the whole run.
pub(crate) fn epochs_to_steps(
    trainer: &TrainerConfig,
    epoch: Option<usize>,
) -> Result<usize, TrainError> {
    match (trainer.total_steps, epoch) {
        (0, Some(length)) => Ok((trainer.epochs * length).div_ceil(trainer.batch_prompts).max(1)),
        (0, None) => {
            Err(TrainError::Config("trainer.total_steps must be set: data.train has no end".into()))
        }
        (steps, _) => Ok(steps),
    }
}

/// Most batches drawn for one step where groups that teach nothing are left out.
const MAX_DRAWS: usize = 10;

/// Draws responses to the next prompts and judges them.
fn experience(
    policy: &Pretrained,
    loader: &mut Loader,
    step: usize,
    config: &TrainConfig,
    hooks: &mut Hooks,
) -> Result<(Vec<Group>, Metrics), TrainError> {
    let started = Instant::now();
    let wanted = config.trainer.batch_prompts;
    let (mut groups, mut all) = (Vec::new(), Vec::new());
    let mut drawn = 0;
    while groups.len() < wanted && drawn < MAX_DRAWS * wanted {
        let examples = loader.next(wanted, &policy.processor)?;
        let draws = Draws { seed: config.rollout.seed, step: step as u64, first: drawn };
        drawn += examples.len();
        let fresh = rollout(policy, examples, draws, &config.rollout, &config.algorithm, hooks)?;
        all.extend(fresh.iter().flat_map(|group| group.responses.clone()));
        let teaches = |group: &Group| {
            let rewards: Vec<f32> =
                group.responses.iter().map(|response| response.reward.score).collect();
            !config.algorithm.filter_groups || !cppo::is_uniform(&rewards)
        };
        groups.extend(fresh.into_iter().filter(teaches));
    }
    groups.truncate(wanted);
    let mut metrics = describe(&all, config);
    metrics.set("timing_s/gen", started.elapsed().as_secs_f64());
    if config.algorithm.filter_groups {
        metrics.set("train/num_gen_batches", (drawn / wanted) as f64);
    }
    Ok((groups, metrics))
}

/// Rewards, lengths and the like of the responses drawn, by verl's names.
fn describe(responses: &[Response], config: &TrainConfig) -> Metrics {
    let mut metrics = Metrics::default();
    let mut add = |name: &str, value: &dyn Fn(&Response) -> f64| {
        let values: Vec<f64> = responses.iter().map(value).collect();
        metrics.summarize(name, &values);
    };
    add("critic/score", &|response| f64::from(response.reward.score));
    add("critic/rewards", &|response| f64::from(response.reward.score));
    add("critic/advantages", &|response| f64::from(response.advantage));
    add("response_length", &|response| response.ids.len() as f64);
    let mean = |value: &dyn Fn(&Response) -> f64| {
        responses.iter().map(value).sum::<f64>() / responses.len().max(1) as f64
    };
    metrics.set("reward/accuracy", mean(&|response| f64::from(response.reward.accuracy)));
    metrics.set("reward/format", mean(&|response| f64::from(response.reward.format)));
    metrics.set("response_length/clip_ratio", mean(&|r| f64::from(u8::from(!r.ended))));
    let groups: Vec<&[Response]> = responses.chunks(config.rollout.n).collect();
    let uniform = |group: &&&[Response]| {
        group.windows(2).all(|pair| pair[0].reward.score == pair[1].reward.score)
    };
    let share = groups.iter().filter(uniform).count() as f64 / groups.len().max(1) as f64;
    metrics.set("critic/frac_reward_zero_std", share);
    metrics
}

/// Scores the responses under the reference, and under the policy that drew them where it will
/// have changed by the time they are used.
fn with_logprobs(
    mut groups: Vec<Group>,
    policy: &Qwen2_5_VL,
    reference: Option<&Qwen2_5_VL>,
    config: &TrainConfig,
    metrics: &mut Metrics,
) -> Result<Vec<Group>, PromptError> {
    let trainer = &config.trainer;
    if trainer.ppo_epochs > 1 || groups.len() > trainer.mini_batch_prompts {
        let started = Instant::now();
        let logprobs = logprobs(&policy.valid(), &groups, config)?;
        let responses = groups.iter_mut().flat_map(|group| &mut group.responses);
        responses.zip(logprobs).for_each(|(response, values)| response.old_logprobs = values);
        metrics.set("timing_s/old_log_prob", started.elapsed().as_secs_f64());
    }
    if let Some(reference) = reference {
        let started = Instant::now();
        let logprobs = logprobs(reference, &groups, config)?;
        let responses = groups.iter_mut().flat_map(|group| &mut group.responses);
        responses.zip(logprobs).for_each(|(response, values)| response.ref_logprobs = values);
        metrics.set("timing_s/ref", started.elapsed().as_secs_f64());
    }
    Ok(groups)
}

/// ln p of the tokens of every response, group after group.
fn logprobs(
    model: &Qwen2_5_VL,
    groups: &[Group],
    config: &TrainConfig,
) -> Result<Vec<Vec<f32>>, PromptError> {
    let responses: Vec<&Response> = groups.iter().flat_map(|group| &group.responses).collect();
    let mut next = 0;
    let rows: Vec<Vec<usize>> = groups
        .iter()
        .map(|group| {
            let rows = next..next + group.responses.len();
            next = rows.end;
            rows.collect()
        })
        .collect();
    let mut logprobs = vec![Vec::new(); responses.len()];
    for piece in pieces(&rows, config.trainer.micro_batch_responses) {
        let prompts: Vec<_> =
            piece.prompts.iter().map(|&group| groups[group].example.prompt.clone()).collect();
        let ids: Vec<Vec<u32>> = piece.rows.iter().map(|&row| responses[row].ids.clone()).collect();
        let scores = generation::score(model, &prompts, &ids, config.rollout.temperature)?;
        let [_, tokens] = scores.logprobs.dims();
        let values: Vec<f32> = scores.logprobs.into_data().iter::<f32>().collect();
        for (&row, values) in piece.rows.iter().zip(values.chunks(tokens)) {
            logprobs[row] = values[..responses[row].ids.len()].to_vec();
        }
    }
    Ok(logprobs)
}

/// The optimizer updates of one step.
fn learn(
    policy: &mut Pretrained,
    optim: &mut Optim,
    groups: &[Group],
    step: usize,
    total_steps: usize,
    config: &TrainConfig,
    hooks: &mut Hooks,
) -> Result<Vec<Metrics>, UpdateError> {
    let size = config.trainer.mini_batch_prompts;
    let total = config.trainer.ppo_epochs * groups.len().div_ceil(size);
    let mut updates = Vec::with_capacity(total);
    for _ in 0..config.trainer.ppo_epochs {
        for (index, mini_batch) in groups.chunks(size).enumerate() {
            let moment = Moment { step, total_steps, first: index * size };
            updates.push(update(policy, optim, mini_batch, config, moment)?);
            hooks.progress("update", updates.len(), total);
        }
    }
    Ok(updates)
}

/// Throughput of a step.
fn timing(metrics: &mut Metrics, groups: &[Group], started: Instant) {
    let seconds = started.elapsed().as_secs_f64();
    let tokens: usize = groups
        .iter()
        .flat_map(|group| {
            let prompt = group.example.prompt.input_ids.len();
            group.responses.iter().map(move |response| prompt + response.ids.len())
        })
        .sum();
    metrics.set("timing_s/step", seconds);
    metrics.set("perf/total_num_tokens", tokens as f64);
    metrics.set("perf/throughput", tokens as f64 / seconds);
}

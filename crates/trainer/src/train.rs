//! The training loop: rollout → reward → advantage → update, one step after the other.

use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;
use generation::GenerateError;
use qwen2_5_vl::{PromptError, Qwen2_5_VL};

use crate::checkpoint::CheckpointError;
use crate::collective::{Collective, CollectiveError, agree, share};
use crate::config::TrainConfig;
use crate::data::{DataError, ExampleError, indices};
use crate::hooks::Hooks;
use crate::metrics::Metrics;
use crate::pieces::pieces;
use crate::pretrained::{Pretrained, PretrainedError};
use crate::reward::{self, Programs, RewardError};
use crate::rollout::{Draws, Group, Response, members_of, rollout};
use crate::run::RunError;
use crate::training::{Judging, Training};
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
    Reward(#[from] RewardError),
    #[error(transparent)]
    Update(#[from] UpdateError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Collective(#[from] CollectiveError),
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
    // The reference is the policy that the run started from, also where the run goes on; new
    // adapters change nothing, so it is the model without them and shares its weights.
    let reference = (config.algorithm.kl_coef != 0.0).then(|| {
        policy.model.clone().without_adapters().with_compute_dtype(config.model.dtype.into())
    });
    let judging = Judging {
        rollout: config.rollout.clone(),
        algorithm: config.algorithm.clone(),
        programs: Programs::start(&config.algorithm.reward)?,
    };
    let parts = (&config.data, &config.model, &config.optim, &config.trainer);
    let mut training = Training::open(policy, config, parts, judging, device, hooks)?;
    training.evaluate_start(hooks)?;
    while training.goes_on() {
        let started = Instant::now();
        let (groups, mut metrics) = experience(&mut training, config, hooks)?;
        let model = &training.policy.model;
        let reference = reference.as_ref();
        let groups = with_logprobs(groups, model, reference, config, hooks.ranks, &mut metrics)?;
        if config.trainer.dump_rollouts {
            training.run.dump(training.state.step + 1, &groups)?;
        }
        let updating = Instant::now();
        let updates = learn(&mut training, &groups, config, hooks)?;
        metrics.merge(Metrics::reduce(&updates));
        metrics.set("timing_s/update_actor", updating.elapsed().as_secs_f64());
        metrics.set("perf/total_num_tokens", total_tokens(&groups) as f64);
        training.end_step(metrics, started, hooks)?;
    }
    training.outcome()
}

/// Most batches drawn for one step where groups that teach nothing are left out.
const MAX_DRAWS: usize = 10;

/// Draws responses to the next prompts and judges them.
fn experience(
    training: &mut Training,
    config: &TrainConfig,
    hooks: &mut Hooks,
) -> Result<(Vec<Group>, Metrics), TrainError> {
    let started = Instant::now();
    let wanted = config.trainer.batch_prompts;
    let (mut groups, mut all) = (Vec::new(), Vec::new());
    let mut drawn = 0;
    while groups.len() < wanted && drawn < MAX_DRAWS * wanted {
        let Training { policy, loader, state, judging, .. } = training;
        let examples = loader.next(wanted, &policy.processor)?;
        agree(hooks.ranks, "examples", indices(&examples))?;
        let draws = Draws { seed: config.rollout.seed, step: state.step as u64, first: drawn };
        drawn += examples.len();
        let mut fresh =
            rollout(policy, examples, draws, &config.rollout, &config.algorithm, hooks)?;
        judging.programs.judge(&mut fresh, &config.algorithm, hooks.ranks)?;
        all.extend(fresh.iter().flat_map(|group| group.responses.clone()));
        let teaches =
            |group: &Group| !config.algorithm.filter_groups || !cppo::is_uniform(&group.rewards());
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
    metrics.merge(reward::metrics(responses.iter().map(|response| &response.reward)));
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
    ranks: &dyn Collective,
    metrics: &mut Metrics,
) -> Result<Vec<Group>, TrainError> {
    let trainer = &config.trainer;
    if trainer.ppo_epochs > 1 || groups.len() > trainer.mini_batch_prompts {
        let started = Instant::now();
        let logprobs = logprobs(&policy.valid(), &groups, config, ranks)?;
        let responses = groups.iter_mut().flat_map(|group| &mut group.responses);
        responses.zip(logprobs).for_each(|(response, values)| response.old_logprobs = values);
        metrics.set("timing_s/old_log_prob", started.elapsed().as_secs_f64());
    }
    if let Some(reference) = reference {
        let started = Instant::now();
        let logprobs = logprobs(reference, &groups, config, ranks)?;
        let responses = groups.iter_mut().flat_map(|group| &mut group.responses);
        responses.zip(logprobs).for_each(|(response, values)| response.ref_logprobs = values);
        metrics.set("timing_s/ref", started.elapsed().as_secs_f64());
    }
    Ok(groups)
}

/// ln p of the tokens of every response, group after group; ranks share out the groups.
fn logprobs(
    model: &Qwen2_5_VL,
    groups: &[Group],
    config: &TrainConfig,
    ranks: &dyn Collective,
) -> Result<Vec<Vec<f32>>, TrainError> {
    let responses: Vec<&Response> = groups.iter().flat_map(|group| &group.responses).collect();
    let mut logprobs: Vec<Vec<f32>> =
        responses.iter().map(|response| vec![0.0; response.ids.len()]).collect();
    let cost = |_, rows: &[usize]| rows.len();
    let own = members_of(groups, &share(ranks, groups.len()));
    for piece in pieces(&own, config.trainer.micro_batch_responses, 1, cost) {
        let prompts: Vec<_> =
            piece.prompts.iter().map(|&group| groups[group].example.prompt.clone()).collect();
        let ids: Vec<Vec<u32>> = piece.rows.iter().map(|&row| responses[row].ids.clone()).collect();
        let temperature = config.rollout.temperature;
        let scores = generation::score_uneven(model, &prompts, &piece.counts, &ids, temperature)?;
        let [_, tokens] = scores.logprobs.dims();
        let values: Vec<f32> = scores.logprobs.into_data().iter::<f32>().collect();
        for (&row, values) in piece.rows.iter().zip(values.chunks(tokens)) {
            let length = logprobs[row].len();
            logprobs[row].copy_from_slice(&values[..length]);
        }
    }
    // The others' are 0 here, and ours are 0 there.
    let mut all = logprobs.concat();
    ranks.all_reduce("log-probabilities", &mut all)?;
    let mut all = all.into_iter();
    Ok(logprobs.iter().map(|own| all.by_ref().take(own.len()).collect()).collect())
}

/// The optimizer updates of one step.
fn learn(
    training: &mut Training,
    groups: &[Group],
    config: &TrainConfig,
    hooks: &mut Hooks,
) -> Result<Vec<Metrics>, UpdateError> {
    let (step, total_steps) = (training.state.step, training.total_steps);
    let size = config.trainer.mini_batch_prompts;
    let total = config.trainer.ppo_epochs * groups.len().div_ceil(size);
    let mut updates = Vec::with_capacity(total);
    for _ in 0..config.trainer.ppo_epochs {
        for (index, mini_batch) in groups.chunks(size).enumerate() {
            let moment = Moment { step, total_steps, first: index * size };
            let Training { policy, optim, scale, .. } = &mut *training;
            let ranks = hooks.ranks;
            updates.push(update(policy, optim, scale, mini_batch, config, moment, ranks)?);
            hooks.progress("update", updates.len(), total);
        }
    }
    Ok(updates)
}

/// Tokens of all prompts and responses, a prompt counted for each of its responses as in verl.
fn total_tokens(groups: &[Group]) -> usize {
    let of_group = |group: &Group| {
        let prompt = group.example.prompt.input_ids.len();
        group.responses.iter().map(|response| prompt + response.ids.len()).sum::<usize>()
    };
    groups.iter().map(of_group).sum()
}

//! One optimizer update: score all views, evaluate the objective, pull its cotangents back.

use std::ops::Range;
use std::time::Instant;

use burn::optim::{GradientsAccumulator, GradientsParams};
use cppo::perturbation::{Seed, View as Kind};
use cppo::{
    Algorithm, AlgorithmConfig, Batch, Cotangent, Kl, Objective, ViewScores, objective,
    takes_gradient, takes_views,
};
use processor::ProcessorError;
use qwen2_5_vl::{Prompt, PromptError, Qwen2_5_VL};

use crate::collective::{Collective, CollectiveError, leads, share, sum_gradients};
use crate::config::TrainConfig;
use crate::forward::{Forward, ForwardOptions, Rows};
use crate::loss_scale::LossScale;
use crate::metrics::Metrics;
use crate::optim::{Optim, global_norm, learning_rate, scaled};
use crate::pretrained::Pretrained;
use crate::rollout::{Group, members_of};

/// Why an update failed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum UpdateError {
    #[error(transparent)]
    Prompt(#[from] PromptError),
    #[error(transparent)]
    Processor(#[from] ProcessorError),
    #[error(transparent)]
    Collective(#[from] CollectiveError),
}

/// Where in training an update happens.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Training step, from 0.
    pub step: usize,
    /// Steps in all.
    pub total_steps: usize,
    /// Place of the mini-batch's first prompt in the step's batch.
    pub first: usize,
}

impl Moment {
    /// Seed of the perturbations of a group of the mini-batch.
    pub fn seed(&self, run: u64, group: usize) -> Seed {
        Seed { run, step: self.step as u64, prompt: (self.first + group) as u64 }
    }
}

/// The pictures of a group under a perturbation: kind, and number of the group in the mini-batch.
pub type Perturb<'a> = dyn Fn(Kind, usize) -> Result<Prompt, ProcessorError> + 'a;

/// Gradient of the objective on one mini-batch times `loss_scale`, and what it is made of.
///
/// Ranks share out the groups: each scores its own, all evaluate the objective on all scores, and
/// the gradients of the groups are summed.
///
/// # Errors
///
/// When a prompt does not fit the model, a perturbed picture cannot be processed, or another rank
/// fails.
pub fn gradient(
    model: &Qwen2_5_VL,
    groups: &[Group],
    perturb: &Perturb,
    config: &TrainConfig,
    loss_scale: f64,
    ranks: &dyn Collective,
) -> Result<(Objective, GradientsParams), UpdateError> {
    let started = Instant::now();
    let mini = MiniBatch::new(groups, &share(ranks, groups.len()));
    let algorithm = &config.algorithm;
    let scored = takes_gradient(&mini.advantages, &mini.correct, algorithm);
    let viewed = takes_views(&mini.advantages, &mini.correct, algorithm);
    let views = Views::new(groups, &mini, perturb, [&scored, &viewed], algorithm)?;
    let pairs = match algorithm.cpl.kl_kind {
        Kl::Full if algorithm.name == Algorithm::Cppo => views.pairs.to_vec(),
        _ => Vec::new(),
    };
    let options = ForwardOptions {
        compares: !pairs.is_empty(),
        ..ForwardOptions::new(&config.trainer, &config.model, config.rollout.temperature)
    };
    let mut forward = Forward::new(model, mini.rows(&views), options)?;
    pairs.iter().for_each(|pairs| forward.compare(model, pairs));
    let forwarded = started.elapsed().as_secs_f64();

    let mut split = views.split(&mini, &forward.scores);
    sum_scores(&mut split, ranks)?;
    let [original, preserving, removing] = split;
    let batch = Batch {
        tokens: mini.tokens,
        max_response_tokens: config.rollout.max_response_tokens,
        lengths: &mini.lengths,
        advantages: &mini.advantages,
        correct: &mini.correct,
        scored: &scored,
        // Where the policy has not changed since the responses were drawn, it drew them.
        old_logprobs: mini.old.as_deref().unwrap_or(&original.logprobs),
        ref_logprobs: mini.reference.as_deref(),
        original: &original,
        preserving: Some(&preserving),
        removing: Some(&removing),
    };
    let mut objective = objective(&batch, algorithm);
    let mut sum = GradientsAccumulator::new();
    let cotangent = views.join(&mini, &objective).scaled(loss_scale);
    forward.backward(model, &cotangent, &pairs, &mut sum)?;
    let backward = started.elapsed().as_secs_f64() - forwarded;
    objective.metrics.extend([("timing_s/forward", forwarded), ("timing_s/backward", backward)]);
    let gradients = sum_gradients(ranks, model, sum.grads())?;
    Ok((objective, gradients))
}

fn arrays_of(view: &mut ViewScores) -> [&mut Vec<f32>; 3] {
    [&mut view.logprobs, &mut view.entropies, &mut view.kl]
}

/// Fills in the scores of the other ranks' groups, which are 0 here as ours are there.
fn sum_scores(
    views: &mut [ViewScores; VIEWS],
    ranks: &dyn Collective,
) -> Result<(), CollectiveError> {
    if ranks.size() == 1 {
        return Ok(());
    }
    let mut all: Vec<f32> = Vec::new();
    for array in views.iter_mut().flat_map(arrays_of) {
        all.extend_from_slice(array);
    }
    ranks.all_reduce("scores", &mut all)?;
    let mut rest = all.as_slice();
    for array in views.iter_mut().flat_map(arrays_of) {
        let (values, after) = rest.split_at(array.len());
        array.copy_from_slice(values);
        rest = after;
    }
    Ok(())
}

/// One optimizer update on a mini-batch.
///
/// A gradient that is not finite leaves the policy as it is, and is counted.
///
/// # Errors
///
/// As [`gradient`].
pub fn update(
    policy: &mut Pretrained,
    optim: &mut Optim,
    scale: &mut LossScale,
    groups: &[Group],
    config: &TrainConfig,
    moment: Moment,
    ranks: &dyn Collective,
) -> Result<Metrics, UpdateError> {
    let perturb = |kind: Kind, group: usize| {
        let seed = moment.seed(config.rollout.seed, group);
        groups[group].example.view(kind, seed, &policy.processor, &config.algorithm)
    };
    let (objective, gradients) =
        gradient(&policy.model, groups, &perturb, config, scale.factor(), ranks)?;
    let mut metrics = Metrics::default();
    for (name, value) in &objective.metrics {
        metrics.set(*name, *value);
    }
    let lr = learning_rate(&config.optim, moment.step, moment.total_steps);
    if scale.is_dynamic() {
        metrics.set("actor/loss_scale", scale.factor());
    }
    let clip = config.optim.grad_clip;
    let report = step(&mut policy.model, optim, scale, gradients, lr, clip, ranks)?;
    metrics.set("actor/lr", lr);
    metrics.set("actor/grad_norm", report.norm);
    metrics.set("actor/skipped_updates", f64::from(u8::from(report.skipped)));
    Ok(metrics)
}

/// What an optimizer step did.
#[derive(Clone, Copy, Debug)]
pub struct StepReport {
    /// Global gradient norm before clipping.
    pub norm: f64,
    /// The gradient was not finite, and nothing was changed.
    pub skipped: bool,
}

/// Takes the loss's scale out of the gradient, clips it by global norm and updates; a gradient
/// that is not finite changes nothing.
///
/// # Errors
///
/// When another rank fails.
pub fn step(
    model: &mut Qwen2_5_VL,
    optim: &mut Optim,
    scale: &mut LossScale,
    gradients: GradientsParams,
    lr: f64,
    grad_clip: f64,
    ranks: &dyn Collective,
) -> Result<StepReport, CollectiveError> {
    let inverse = 1.0 / scale.factor();
    let norm = agreed(global_norm(model, &gradients), ranks)? * inverse;
    scale.note(norm.is_finite());
    if !norm.is_finite() {
        return Ok(StepReport { norm, skipped: true });
    }
    // torch.nn.utils.clip_grad_norm_ divides by norm + 1e-6.
    let factor = if grad_clip > 0.0 { (grad_clip / (norm + 1e-6)).min(1.0) } else { 1.0 };
    let factor = factor * inverse;
    let gradients = if factor < 1.0 { scaled(model, gradients, factor) } else { gradients };
    *model = optim.step(model.clone(), gradients, lr, ranks)?;
    Ok(StepReport { norm, skipped: false })
}

/// Rank 0's norm on all ranks: devices may add up in another order, and the last digit would
/// drive the ranks' weights apart.
fn agreed(norm: f64, ranks: &dyn Collective) -> Result<f64, CollectiveError> {
    if ranks.size() == 1 {
        return Ok(norm);
    }
    let mut norms = [if leads(ranks) { norm as f32 } else { 0.0 }];
    ranks.all_reduce("the gradient's norm", &mut norms)?;
    Ok(f64::from(norms[0]))
}

/// The responses of a mini-batch as rows.
struct MiniBatch<'a> {
    ids: Vec<&'a [u32]>,
    tokens: usize,
    lengths: Vec<usize>,
    advantages: Vec<f32>,
    correct: Vec<bool>,
    /// Rows of each of this rank's groups.
    members: Vec<Vec<usize>>,
    old: Option<Vec<f32>>,
    reference: Option<Vec<f32>>,
}

impl<'a> MiniBatch<'a> {
    /// The groups of all ranks, of which `own` are this one's.
    fn new(groups: &'a [Group], own: &Range<usize>) -> Self {
        let responses: Vec<_> = groups.iter().flat_map(|group| &group.responses).collect();
        let lengths: Vec<usize> = responses.iter().map(|response| response.ids.len()).collect();
        let tokens = lengths.iter().copied().max().unwrap_or(0);
        let padded = |values: &dyn Fn(usize) -> &'a [f32]| {
            (0..responses.len()).all(|row| !values(row).is_empty()).then(|| {
                let mut all = vec![0.0; responses.len() * tokens];
                for (row, part) in all.chunks_mut(tokens.max(1)).enumerate() {
                    part[..lengths[row]].copy_from_slice(values(row));
                }
                all
            })
        };
        Self {
            ids: responses.iter().map(|response| response.ids.as_slice()).collect(),
            tokens,
            advantages: responses.iter().map(|response| response.advantage).collect(),
            correct: responses.iter().map(|response| response.reward.accuracy == 1.0).collect(),
            members: members_of(groups, own),
            old: padded(&|row| &responses[row].old_logprobs),
            reference: padded(&|row| &responses[row].ref_logprobs),
            lengths,
        }
    }

    /// Every response under every view.
    fn rows<'r>(&'r self, views: &'r Views) -> Rows<'r> {
        Rows {
            prompts: &views.prompts,
            ids: self.ids.repeat(VIEWS),
            tokens: self.tokens,
            wanted: &views.wanted,
        }
    }

    /// The rows of each group for which `flags` says so.
    fn wanted(&self, flags: &[bool]) -> Vec<Vec<usize>> {
        let chosen = |rows: &Vec<usize>| rows.iter().copied().filter(|&row| flags[row]).collect();
        self.members.iter().map(chosen).collect()
    }
}

/// The original, preserving and removing views, in this order.
const VIEWS: usize = 3;

/// The prompts and rows of all views: those of view v follow those of the views before it.
struct Views {
    prompts: Vec<Prompt>,
    /// The rows to run of each prompt.
    wanted: Vec<Vec<usize>>,
    /// Rows of the original that run under each perturbation as well, and those there.
    pairs: [Vec<(usize, usize)>; VIEWS - 1],
    /// Rows of the original whose pictures a perturbation left as they are.
    equal: [Vec<usize>; VIEWS - 1],
}

impl Views {
    fn new(
        groups: &[Group],
        mini: &MiniBatch,
        perturb: &Perturb,
        [scored, viewed]: [&[bool]; 2],
        algorithm: &AlgorithmConfig,
    ) -> Result<Self, ProcessorError> {
        let mut views = Self {
            prompts: groups.iter().map(|group| group.example.prompt.clone()).collect(),
            wanted: mini.wanted(scored),
            pairs: Default::default(),
            equal: Default::default(),
        };
        for (view, kind) in [Kind::Preserving, Kind::Removing].into_iter().enumerate() {
            let takes = algorithm.name == Algorithm::Cppo || kind == Kind::Removing;
            for (group, rows) in mini.wanted(viewed).into_iter().enumerate() {
                let mut prompt = Prompt::default();
                let mut wanted = Vec::new();
                if takes && !rows.is_empty() {
                    prompt = perturb(kind, group)?;
                    if prompt.pixel_values == views.prompts[group].pixel_values {
                        views.equal[view].extend(&rows);
                    } else {
                        let here = |row: &usize| (view + 1) * mini.ids.len() + row;
                        wanted = rows.iter().map(here).collect();
                        views.pairs[view].extend(rows.into_iter().zip(wanted.iter().copied()));
                    }
                }
                views.prompts.push(prompt);
                views.wanted.push(wanted);
            }
        }
        Ok(views)
    }

    /// The scores of each view; what did not run under one counts as in the original.
    fn split(&self, mini: &MiniBatch, scores: &ViewScores) -> [ViewScores; VIEWS] {
        let size = mini.ids.len() * mini.tokens;
        let view = |view: usize| ViewScores {
            logprobs: scores.logprobs[view * size..][..size].to_vec(),
            entropies: scores.entropies[view * size..][..size].to_vec(),
            kl: scores.kl[view * size..][..size].to_vec(),
        };
        let original = view(0);
        let perturbed = [0, 1].map(|index| {
            let there = view(index + 1);
            let mut scores = original.clone();
            for &(row, _) in &self.pairs[index] {
                let places = row * mini.tokens..(row + 1) * mini.tokens;
                let copy = |to: &mut Vec<f32>, from: &[f32]| {
                    to[places.clone()].copy_from_slice(&from[places.clone()]);
                };
                copy(&mut scores.logprobs, &there.logprobs);
                copy(&mut scores.entropies, &there.entropies);
                copy(&mut scores.kl, &there.kl);
            }
            scores
        });
        let [preserving, removing] = perturbed;
        [original, preserving, removing]
    }

    /// The cotangents of all views; a view that equals the original is the original, and its
    /// gradient goes the same way.
    fn join(&self, mini: &MiniBatch, objective: &Objective) -> Cotangent {
        let mut all = objective.original.clone();
        for (view, rows) in
            [&objective.preserving, &objective.removing].into_iter().zip(&self.equal)
        {
            let mut view = view.clone();
            for place in rows.iter().flat_map(|row| row * mini.tokens..(row + 1) * mini.tokens) {
                all.logprobs[place] += std::mem::take(&mut view.logprobs[place]);
                all.entropies[place] += std::mem::take(&mut view.entropies[place]);
                view.kl[place] = 0.0;
            }
            all.logprobs.extend(view.logprobs);
            all.entropies.extend(view.entropies);
            all.kl.extend(view.kl);
        }
        all
    }
}

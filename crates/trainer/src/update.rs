//! One optimizer update: score the views, evaluate the objective, pull its cotangents back.

use burn::optim::{GradientsAccumulator, GradientsParams};
use cppo::perturbation::{Seed, View as Kind};
use cppo::{
    Algorithm, AlgorithmConfig, Batch, Kl, Objective, ViewScores, objective, takes_gradient,
    takes_views,
};
use processor::ProcessorError;
use qwen2_5_vl::{Prompt, PromptError, Qwen2_5_VL};

use crate::config::TrainConfig;
use crate::metrics::Metrics;
use crate::optim::{Optim, global_norm, learning_rate, scaled};
use crate::pretrained::Pretrained;
use crate::rollout::{Group, members};
use crate::view::{Rows, View, ViewOptions};

/// Why an update failed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum UpdateError {
    #[error(transparent)]
    Prompt(#[from] PromptError),
    #[error(transparent)]
    Processor(#[from] ProcessorError),
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
pub type Views<'a> = dyn Fn(Kind, usize) -> Result<Prompt, ProcessorError> + 'a;

/// Gradient of the objective on one mini-batch, and what it is made of.
///
/// # Errors
///
/// When a prompt does not fit the model or a perturbed picture cannot be processed.
pub fn gradient(
    model: &Qwen2_5_VL,
    groups: &[Group],
    views: &Views,
    config: &TrainConfig,
) -> Result<(Objective, GradientsParams), UpdateError> {
    let mini = MiniBatch::new(groups);
    let algorithm = &config.algorithm;
    let temperature = config.rollout.temperature;
    let options = ViewOptions::new(&config.trainer, &config.model, temperature, mini.ids.len());

    let scored = takes_gradient(&mini.advantages, &mini.correct, algorithm);
    let wanted = mini.wanted(&scored);
    let prompts: Vec<Prompt> = groups.iter().map(|group| group.example.prompt.clone()).collect();
    let mut original = View::score(model, &prompts, mini.rows(), &wanted, options)?;

    let wanted = mini.wanted(&takes_views(&mini.advantages, &mini.correct, algorithm));
    let perturbed_prompts = match wanted.iter().all(Vec::is_empty) {
        true => None,
        false => Some(PerturbedPrompts::new(&prompts, views, &wanted, algorithm)?),
    };
    let mut perturbed = match &perturbed_prompts {
        None => None,
        Some(views) => Some(Perturbed::score(
            model,
            (&prompts, &original),
            views,
            &mini,
            algorithm.cpl.kl_kind == Kl::Full,
            options,
        )?),
    };

    let old = mini.old(&original.scores);
    // Where no response needs the views they count as the original: nothing is removed.
    let [preserving, removing] = match &perturbed {
        Some(views) => [&views.preserving.scores, &views.removing.scores],
        None => [&original.scores; 2],
    };
    let batch = Batch {
        tokens: mini.tokens,
        max_response_tokens: config.rollout.max_response_tokens,
        lengths: &mini.lengths,
        advantages: &mini.advantages,
        correct: &mini.correct,
        scored: &scored,
        old_logprobs: &old,
        ref_logprobs: mini.reference.as_deref(),
        original: &original.scores,
        preserving: Some(preserving),
        removing: Some(removing),
    };
    let mut objective = objective(&batch, algorithm);
    if let Some(views) = &perturbed_prompts {
        // A view that equals the original is the original: its gradient goes the same way.
        views.merge_equal(&mini, &mut objective);
    }
    let mut sum = GradientsAccumulator::new();
    original.backward(model, &objective.original, &[], &mut sum)?;
    drop(original);
    if let Some(perturbed) = &mut perturbed {
        perturbed.backward(model, &objective, &mut sum)?;
    }
    Ok((objective, sum.grads()))
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
    groups: &[Group],
    config: &TrainConfig,
    moment: Moment,
) -> Result<Metrics, UpdateError> {
    let perturb = |kind: Kind, group: usize| {
        let seed = moment.seed(config.rollout.seed, group);
        groups[group].example.view(kind, seed, &policy.processor, &config.algorithm)
    };
    let (objective, gradients) = gradient(&policy.model, groups, &perturb, config)?;
    let mut metrics = Metrics::default();
    for (name, value) in &objective.metrics {
        metrics.set(*name, *value);
    }
    apply(&mut policy.model, optim, gradients, config, moment, &mut metrics);
    Ok(metrics)
}

/// Clips the gradient and lets the optimizer act on it.
fn apply(
    model: &mut Qwen2_5_VL,
    optim: &mut Optim,
    gradients: GradientsParams,
    config: &TrainConfig,
    moment: Moment,
    metrics: &mut Metrics,
) {
    let lr = learning_rate(&config.optim, moment.step, moment.total_steps);
    let report = step(model, optim, gradients, lr, config.optim.grad_clip);
    metrics.set("actor/lr", lr);
    metrics.set("actor/grad_norm", report.norm);
    metrics.set("actor/skipped_updates", f64::from(u8::from(report.skipped)));
}

/// What an optimizer step did.
#[derive(Clone, Copy, Debug)]
pub struct StepReport {
    /// Global gradient norm before clipping.
    pub norm: f64,
    /// The gradient was not finite, and nothing was changed.
    pub skipped: bool,
}

/// Clips by global norm and updates; a gradient that is not finite changes nothing.
pub fn step(
    model: &mut Qwen2_5_VL,
    optim: &mut Optim,
    gradients: GradientsParams,
    lr: f64,
    grad_clip: f64,
) -> StepReport {
    let norm = global_norm(model, &gradients);
    if !norm.is_finite() {
        return StepReport { norm, skipped: true };
    }
    // torch.nn.utils.clip_grad_norm_ divides by norm + 1e-6.
    let factor = if grad_clip > 0.0 { (grad_clip / (norm + 1e-6)).min(1.0) } else { 1.0 };
    let gradients = if factor < 1.0 { scaled(model, gradients, factor) } else { gradients };
    *model = optim.step(model.clone(), gradients, lr);
    StepReport { norm, skipped: false }
}

/// The responses of a mini-batch as rows.
struct MiniBatch<'a> {
    ids: Vec<&'a [u32]>,
    tokens: usize,
    lengths: Vec<usize>,
    advantages: Vec<f32>,
    correct: Vec<bool>,
    /// Rows of each group.
    members: Vec<Vec<usize>>,
    old: Option<Vec<f32>>,
    reference: Option<Vec<f32>>,
}

impl<'a> MiniBatch<'a> {
    fn new(groups: &'a [Group]) -> Self {
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
            members: members(groups),
            old: padded(&|row| &responses[row].old_logprobs),
            reference: padded(&|row| &responses[row].ref_logprobs),
            lengths,
        }
    }

    fn rows(&self) -> Rows<'_> {
        Rows { ids: &self.ids, tokens: self.tokens }
    }

    /// The rows of each group for which `flags` says so.
    fn wanted(&self, flags: &[bool]) -> Vec<Vec<usize>> {
        let chosen = |rows: &Vec<usize>| rows.iter().copied().filter(|&row| flags[row]).collect();
        self.members.iter().map(chosen).collect()
    }

    /// Where the policy has not changed since the responses were drawn, it drew them.
    fn old(&self, current: &ViewScores) -> Vec<f32> {
        self.old.clone().unwrap_or_else(|| current.logprobs.clone())
    }
}

/// Prompts under both perturbations, and the rows that need them.
struct PerturbedPrompts {
    preserving: Vec<Prompt>,
    removing: Vec<Prompt>,
    wanted: [Vec<Vec<usize>>; 2],
    /// Rows whose view has the very pixels of the original.
    equal: [Vec<usize>; 2],
}

impl PerturbedPrompts {
    fn new(
        originals: &[Prompt],
        views: &Views,
        wanted: &[Vec<usize>],
        algorithm: &AlgorithmConfig,
    ) -> Result<Self, ProcessorError> {
        let prompts = |kind: Kind| -> Result<_, ProcessorError> {
            let mut prompts = originals.to_vec();
            let mut rest = wanted.to_vec();
            let mut equal = Vec::new();
            for group in (0..originals.len()).filter(|&group| !wanted[group].is_empty()) {
                prompts[group] = views(kind, group)?;
                if prompts[group].pixel_values == originals[group].pixel_values {
                    equal.append(&mut rest[group]);
                }
            }
            Ok((prompts, rest, equal))
        };
        let (removing, removing_wanted, removing_equal) = prompts(Kind::Removing)?;
        let (preserving, preserving_wanted, preserving_equal) = match algorithm.name {
            Algorithm::Cppo => prompts(Kind::Preserving)?,
            _ => (Vec::new(), vec![Vec::new(); wanted.len()], Vec::new()),
        };
        Ok(Self {
            preserving,
            removing,
            wanted: [preserving_wanted, removing_wanted],
            equal: [preserving_equal, removing_equal],
        })
    }

    fn merge_equal(&self, mini: &MiniBatch, objective: &mut Objective) {
        let views = [&mut objective.preserving, &mut objective.removing];
        for (view, rows) in views.into_iter().zip(&self.equal) {
            for place in rows.iter().flat_map(|row| row * mini.tokens..(row + 1) * mini.tokens) {
                objective.original.logprobs[place] += std::mem::take(&mut view.logprobs[place]);
                objective.original.entropies[place] += std::mem::take(&mut view.entropies[place]);
                view.kl[place] = 0.0;
            }
        }
    }
}

/// The perturbed views, scored.
struct Perturbed<'a> {
    /// The original view of the same rows, for divergences over the vocabulary.
    anchors: Option<[View<'a>; 2]>,
    preserving: View<'a>,
    removing: View<'a>,
}

impl<'a> Perturbed<'a> {
    fn score(
        model: &Qwen2_5_VL,
        (originals, original): (&'a [Prompt], &View),
        prompts: &'a PerturbedPrompts,
        mini: &'a MiniBatch,
        full: bool,
        options: ViewOptions,
    ) -> Result<Self, PromptError> {
        let score = |prompts, wanted: &[Vec<usize>]| {
            View::score(model, prompts, mini.rows(), wanted, options)
        };
        let mut preserving = score(&prompts.preserving, &prompts.wanted[0])?;
        let mut removing = score(&prompts.removing, &prompts.wanted[1])?;
        let anchors = match full {
            false => None,
            true => {
                let anchors =
                    [score(originals, &prompts.wanted[0])?, score(originals, &prompts.wanted[1])?];
                preserving.compare(model, &anchors[0]);
                removing.compare(model, &anchors[1]);
                Some(anchors)
            }
        };
        for (view, rows) in [&mut preserving, &mut removing].into_iter().zip(&prompts.equal) {
            for place in rows.iter().flat_map(|row| row * mini.tokens..(row + 1) * mini.tokens) {
                view.scores.logprobs[place] = original.scores.logprobs[place];
                view.scores.entropies[place] = original.scores.entropies[place];
            }
        }
        Ok(Self { anchors, preserving, removing })
    }

    fn backward(
        &mut self,
        model: &Qwen2_5_VL,
        objective: &Objective,
        sum: &mut GradientsAccumulator<Qwen2_5_VL>,
    ) -> Result<(), PromptError> {
        let views = [
            (&mut self.preserving, &objective.preserving),
            (&mut self.removing, &objective.removing),
        ];
        for (index, (view, cotangent)) in views.into_iter().enumerate() {
            let Some(anchors) = &mut self.anchors else {
                view.backward(model, cotangent, &[], sum)?;
                continue;
            };
            let nothing = cppo::Cotangent::zeros(cotangent.kl.len());
            let kl: &[f32] = &cotangent.kl;
            let anchor = &mut anchors[index];
            let divergence = [(view.predicting(), false, kl)];
            anchor.backward(model, &nothing, &divergence, sum)?;
            let ends = anchor.predicting().to_vec();
            view.backward(model, cotangent, &[(&ends, true, kl)], sum)?;
        }
        Ok(())
    }
}

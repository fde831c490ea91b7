//! The objective: a pure function from scores to the loss and its derivatives by the scores.
//!
//! Each view of the pictures is then one forward and backward of `Σ score · cotangent`, so a single
//! graph is alive at a time, whatever the number of responses.

use crate::aggregate::token_weights;
use crate::batch::{Batch, Cotangent, Objective};
use crate::config::{Algorithm, AlgorithmConfig, Kl};
use crate::perception::is_gated_in;
use crate::policy::policy_term;
use crate::{baselines, contrastive, kl};

/// Which responses need the perturbed views: the others' views would get no gradient.
pub fn takes_views(advantages: &[f32], correct: &[bool], config: &AlgorithmConfig) -> Vec<bool> {
    let taken = |(&advantage, &correct): (&f32, &bool)| match config.name {
        Algorithm::Grpo => false,
        Algorithm::Cppo => {
            config.cpl.coef != 0.0 && is_gated_in(config.cpl.gate, advantage, correct)
        }
        Algorithm::Papo => config.papo.coef != 0.0 || config.papo.entropy_coef != 0.0,
        Algorithm::Vppo => true,
    };
    advantages.iter().zip(correct).map(taken).collect()
}

/// Which responses get a gradient at all: with zero advantage and no other term nothing flows.
pub fn takes_gradient(advantages: &[f32], correct: &[bool], config: &AlgorithmConfig) -> Vec<bool> {
    let other_terms = config.kl_coef != 0.0 || config.entropy_coef != 0.0;
    let views = takes_views(advantages, correct, config);
    advantages
        .iter()
        .zip(views)
        .map(|(&advantage, view)| advantage * config.pg_coef as f32 != 0.0 || other_terms || view)
        .collect()
}

/// The loss of one optimizer batch:
/// `pg_coef · policy + kl_coef · KL(policy ‖ reference) - entropy_coef · entropy`, plus
/// `cpl.coef · contrastive` (CPPO) or the term of another algorithm.
///
/// Everything is normalized over this batch, so the derivatives may be pulled back in pieces.
///
/// # Panics
///
/// When arrays that the configuration needs are missing or shorter than `responses · tokens`.
pub fn objective(batch: &Batch, config: &AlgorithmConfig) -> Objective {
    let length = batch.lengths.len() * batch.tokens;
    let mut objective = Objective {
        original: Cotangent::zeros(length),
        preserving: Cotangent::zeros(length),
        removing: Cotangent::zeros(length),
        perception: vec![false; length],
        ..Default::default()
    };
    let weights = token_weights(config.loss_agg, batch.lengths, batch.max_response_tokens);
    let focus = match config.name {
        Algorithm::Vppo => Some(baselines::vppo_focus(batch, &config.vppo)),
        _ => None,
    };
    add_policy(batch, config, &weights, focus.as_ref(), &mut objective);
    if config.kl_coef != 0.0 {
        add_reference(batch, config, &weights, &mut objective);
    }
    add_entropy(batch, config, &weights, &mut objective);
    match config.name {
        Algorithm::Cppo if config.cpl.coef != 0.0 => {
            contrastive::add(batch, &config.cpl, &mut objective);
        }
        Algorithm::Papo => baselines::add_papo(batch, &config.papo, &weights, &mut objective),
        _ => {}
    }
    objective.metrics.push(("actor/loss", objective.loss));
    objective
}

/// The responses that were scored, with their weights.
fn scored<'a>(
    batch: &'a Batch,
    weights: &'a [f64],
) -> impl Iterator<Item = (usize, f64)> + use<'a> {
    weights.iter().copied().enumerate().filter(|&(response, _)| batch.scored[response])
}

fn add_policy(
    batch: &Batch,
    config: &AlgorithmConfig,
    weights: &[f64],
    focus: Option<&baselines::Focus>,
    objective: &mut Objective,
) {
    let (mut loss, mut clipped, mut clipped_lower, mut ppo_kl) = (0.0, 0.0, 0.0, 0.0);
    let mut tokens = 0usize;
    for (response, weight) in scored(batch, weights) {
        let scale = focus.map_or(1.0, |focus| focus.scales[response]);
        for place in batch.row(response) {
            let logprob = f64::from(batch.original.logprobs[place]);
            let old = f64::from(batch.old_logprobs[place]);
            let advantage = f64::from(batch.advantages[response]) * scale;
            let term = policy_term(logprob, old, advantage, config);
            clipped += f64::from(u8::from(term.clipped));
            clipped_lower += f64::from(u8::from(term.clipped_lower));
            ppo_kl -= term.log_ratio;
            tokens += 1;
            if focus.is_some_and(|focus| !focus.tokens[place]) {
                continue;
            }
            loss += weight * term.value;
            objective.original.logprobs[place] +=
                (config.pg_coef * weight * term.by_logprob) as f32;
        }
    }
    objective.loss += config.pg_coef * loss;
    let mean = |sum: f64| sum / tokens.max(1) as f64;
    objective.metrics.extend([
        ("actor/pg_loss", loss),
        ("actor/pg_clipfrac", mean(clipped)),
        ("actor/pg_clipfrac_lower", mean(clipped_lower)),
        ("actor/ppo_kl", mean(ppo_kl)),
    ]);
}

fn add_reference(
    batch: &Batch,
    config: &AlgorithmConfig,
    weights: &[f64],
    objective: &mut Objective,
) {
    let reference = batch.ref_logprobs.expect("kl_coef needs the reference's log-probabilities");
    assert_ne!(config.kl_kind, Kl::Full, "algorithm.kl_kind is checked when the config is read");
    let mut loss = 0.0;
    for (response, weight) in scored(batch, weights) {
        for place in batch.row(response) {
            let logprob = f64::from(batch.original.logprobs[place]);
            let term = kl::kl(config.kl_kind, logprob, f64::from(reference[place]));
            loss += weight * term.value;
            objective.original.logprobs[place] += (config.kl_coef * weight * term.by_p) as f32;
        }
    }
    objective.loss += config.kl_coef * loss;
    objective.metrics.extend([("actor/kl_loss", loss), ("actor/kl_coef", config.kl_coef)]);
}

fn add_entropy(
    batch: &Batch,
    config: &AlgorithmConfig,
    weights: &[f64],
    objective: &mut Objective,
) {
    let (mut entropy, mut total) = (0.0, 0.0);
    for (response, weight) in scored(batch, weights) {
        for place in batch.row(response) {
            entropy += weight * f64::from(batch.original.entropies[place]);
            total += weight;
            objective.original.entropies[place] -= (config.entropy_coef * weight) as f32;
        }
    }
    objective.loss -= config.entropy_coef * entropy;
    objective.metrics.push(("actor/entropy", if total > 0.0 { entropy / total } else { 0.0 }));
}

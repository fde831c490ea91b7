//! The contrastive perception loss (paper, section 3.3): on perception tokens the distribution
//! stays close under preserved information and moves away when information is removed.

use crate::batch::{Batch, Objective, ViewScores};
use crate::config::{CplConfig, Kl};
use crate::kl::{KlTerm, kl};
use crate::perception::{is_gated_in, perception};

/// `-ln( e^(-d⁺/τ) / (e^(-d⁺/τ) + e^(-d⁻/τ)) )` and its derivative by `d⁺`, that by `d⁻` being
/// its negative.
pub fn contrast(preserving: f64, removing: f64, tau: f64) -> (f64, f64) {
    let x = (preserving - removing) / tau;
    let value = x.max(0.0) + (-x.abs()).exp().ln_1p();
    (value, 1.0 / (1.0 + (-x).exp()) / tau)
}

/// Adds the term to the objective: its mean over the perception tokens of the responses that the
/// gate lets in.
///
/// # Panics
///
/// When one of the perturbed views is missing.
pub(crate) fn add(batch: &Batch, config: &CplConfig, objective: &mut Objective) {
    let preserving = batch.preserving.expect("the contrastive loss needs the preserving view");
    let removing = batch.removing.expect("the contrastive loss needs the removing view");
    let mut tokens = Vec::new();
    let (mut gated, mut gated_tokens, mut shift) = (0, 0, 0.0);
    for response in 0..batch.lengths.len() {
        if !is_gated_in(config.gate, batch.advantages[response], batch.correct[response]) {
            continue;
        }
        let row = batch.row(response);
        gated += 1;
        gated_tokens += row.len();
        let (entropy, removed) = (&batch.original.entropies, &removing.entropies);
        let found = perception(&entropy[row.clone()], &removed[row.clone()], config);
        for (token, place) in row.enumerate().filter(|&(token, _)| found.selected[token]) {
            tokens.push(place);
            shift += f64::from(found.shift[token]);
        }
    }
    let weight = config.coef / tokens.len().max(1) as f64;
    let (mut loss, mut near, mut far, mut right) = (0.0, 0.0, 0.0, 0.0);
    for &place in &tokens {
        let positive = distance(config.kl_kind, batch.original, preserving, place);
        let negative = distance(config.kl_kind, batch.original, removing, place);
        let (value, slope) = contrast(positive.value, negative.value, config.tau);
        loss += value;
        near += positive.value;
        far += negative.value;
        right += f64::from(u8::from(negative.value > positive.value));
        let slope = weight * slope;
        objective.perception[place] = true;
        if config.kl_kind == Kl::Full {
            objective.preserving.kl[place] += slope as f32;
            objective.removing.kl[place] -= slope as f32;
        } else {
            objective.original.logprobs[place] += (slope * (positive.by_p - negative.by_p)) as f32;
            objective.preserving.logprobs[place] += (slope * positive.by_q) as f32;
            objective.removing.logprobs[place] -= (slope * negative.by_q) as f32;
        }
    }
    objective.loss += weight * loss;
    let mean = |sum: f64| sum / tokens.len().max(1) as f64;
    objective.metrics.extend([
        ("actor/cpl_loss", mean(loss)),
        ("cpl/gated_share", gated as f64 / batch.lengths.len().max(1) as f64),
        ("cpl/mask_density", tokens.len() as f64 / gated_tokens.max(1) as f64),
    ]);
    if !tokens.is_empty() {
        objective.metrics.extend([
            ("cpl/shift", mean(shift)),
            ("cpl/kl_preserving", mean(near)),
            ("cpl/kl_removing", mean(far)),
            ("cpl/contrastive_accuracy", mean(right)),
        ]);
    }
}

fn distance(kind: Kl, original: &ViewScores, view: &ViewScores, place: usize) -> KlTerm {
    match kind {
        Kl::Full => KlTerm { value: f64::from(view.kl[place]), by_p: 0.0, by_q: 0.0 },
        kind => kl(kind, f64::from(original.logprobs[place]), f64::from(view.logprobs[place])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contrast_equals_the_published_anchors() {
        let cases = [
            (0.0, 0.0, std::f64::consts::LN_2),
            (0.1, 0.3, 0.126928),
            (0.3, 0.1, 2.126928),
            (0.02, 0.367879, 0.030379),
            (0.0, 4.0, 0.0),
        ];
        for (preserving, removing, expected) in cases {
            let (found, _) = contrast(preserving, removing, 0.1);
            assert!((found - expected).abs() < 1e-6, "{preserving} {removing}: {found}");
        }
    }

    #[test]
    fn its_derivative_equals_finite_differences_and_stays_finite() {
        let step = 1e-6;
        for (preserving, removing) in [(0.0, 0.0), (0.1, 0.3), (0.3, 0.1), (2.0, 0.0), (0.0, 10.0)]
        {
            let value = |d: f64| contrast(d, removing, 0.1).0;
            let expected = (value(preserving + step) - value(preserving - step)) / 2.0 / step;
            let (_, found) = contrast(preserving, removing, 0.1);
            assert!((found - expected).abs() < 1e-5, "{preserving} {removing}: {found} {expected}");
        }
        let (value, slope) = contrast(1e4, 0.0, 0.1);
        assert!(value.is_finite() && slope.is_finite());
    }
}

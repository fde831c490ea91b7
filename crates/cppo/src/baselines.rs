//! The published methods that CPPO is compared with: PAPO and VPPO.

use crate::batch::{Batch, Objective};
use crate::config::{Kl, PapoConfig, VppoConfig};
use crate::kl::kl;

/// PAPO (arXiv 2507.06448, equation 3): maximizes `KL(original ‖ masked)` by its k3 estimate and
/// minimizes the entropies under both pictures, which keeps the KL from growing by noise.
///
/// # Panics
///
/// When the removing view is missing.
pub(crate) fn add_papo(
    batch: &Batch,
    config: &PapoConfig,
    weights: &[f64],
    objective: &mut Objective,
) {
    let removing = batch.removing.expect("PAPO needs the removing view");
    let (mut divergence, mut entropy, mut entropy_removed) = (0.0, 0.0, 0.0);
    for (response, &weight) in weights.iter().enumerate() {
        for place in batch.row(response) {
            let (p, q) = (batch.original.logprobs[place], removing.logprobs[place]);
            let term = kl(Kl::K3, f64::from(p), f64::from(q));
            divergence += weight * term.value;
            objective.original.logprobs[place] -= (config.coef * weight * term.by_p) as f32;
            objective.removing.logprobs[place] -= (config.coef * weight * term.by_q) as f32;
            entropy += weight * f64::from(batch.original.entropies[place]);
            entropy_removed += weight * f64::from(removing.entropies[place]);
            let slope = (config.entropy_coef * weight) as f32;
            objective.original.entropies[place] += slope;
            objective.removing.entropies[place] += slope;
        }
    }
    objective.loss += config.entropy_coef * (entropy + entropy_removed) - config.coef * divergence;
    objective.metrics.extend([
        ("actor/kl_prcp_loss", divergence),
        ("actor/aug_entropy_loss", entropy_removed),
        ("actor/ori_entropy_loss", entropy),
    ]);
}

/// What VPPO's policy loss looks at.
pub(crate) struct Focus {
    /// The tokens that depend on the picture most, `[responses, tokens]`.
    pub tokens: Vec<bool>,
    /// Factor of each response's advantage.
    pub scales: Vec<f64>,
}

/// VPPO (arXiv 2510.09285, section 3.2): a token's dependency on the picture is the k3 estimate of
/// `KL(original ‖ masked)` when it was drawn; the policy loss keeps the `ceil(top · tokens)` most
/// dependent of each response, and advantages grow with a response's mean dependency, from
/// `scale_min` upwards with mean 1.
///
/// # Panics
///
/// When the removing view is missing.
pub(crate) fn vppo_focus(batch: &Batch, config: &VppoConfig) -> Focus {
    let removing = batch.removing.expect("VPPO needs the removing view");
    let dependency = |place: usize| {
        let (p, q) = (batch.old_logprobs[place], removing.logprobs[place]);
        kl(Kl::K3, f64::from(p), f64::from(q)).value
    };
    let mut tokens = vec![false; batch.lengths.len() * batch.tokens];
    let mut means = Vec::with_capacity(batch.lengths.len());
    for response in 0..batch.lengths.len() {
        let row = batch.row(response);
        let mut ranked: Vec<(usize, f64)> =
            row.clone().map(|place| (place, dependency(place))).collect();
        means.push(ranked.iter().map(|(_, d)| d).sum::<f64>() / row.len().max(1) as f64);
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let count = (config.top * row.len() as f64).ceil() as usize;
        ranked.iter().take(count).for_each(|&(place, _)| tokens[place] = true);
    }
    Focus { tokens, scales: scales(&means, config.scale_min) }
}

/// Maps the smallest mean to `least` and all of them linearly such that the average is 1.
fn scales(means: &[f64], least: f64) -> Vec<f64> {
    let low = means.iter().copied().fold(f64::INFINITY, f64::min);
    let high = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if high - low <= 1e-6 {
        return vec![1.0; means.len()];
    }
    let share = means.iter().map(|mean| (mean - low) / (high - low));
    let average = share.clone().sum::<f64>() / means.len() as f64;
    share.map(|share| least + share * (1.0 - least) / average).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_start_at_the_least_and_average_one() {
        let found = scales(&[0.0, 1.0, 2.0, 5.0], 0.9);
        assert!((found[0] - 0.9).abs() < 1e-12);
        assert!((found.iter().sum::<f64>() / 4.0 - 1.0).abs() < 1e-12, "{found:?}");
        assert!((found[3] - (0.9 + 0.1 / 0.4)).abs() < 1e-12);
        assert_eq!(scales(&[0.5; 3], 0.9), [1.0; 3]);
    }
}

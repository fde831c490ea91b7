//! The clipped policy loss of one token (PPO, with verl's dual clip).

use crate::config::AlgorithmConfig;

/// Log-ratios beyond this are clamped (verl).
const MAX_LOG_RATIO: f64 = 20.0;

/// The loss of one token, its derivative, and what was clipped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PolicyTerm {
    /// The loss.
    pub value: f64,
    /// Derivative by the current log-probability.
    pub by_logprob: f64,
    /// The ratio left the trust region on the side that would have paid.
    pub clipped: bool,
    /// The dual clip bounded the loss of a bad token.
    pub clipped_lower: bool,
    /// `ln p - ln p_old`, clamped
    pub log_ratio: f64,
}

/// `max(-A·r, -A·clip(r))`, at most `-A·c` where `A < 0`, with `r = exp(ln p - ln p_old)`.
pub fn policy_term(
    logprob: f64,
    old_logprob: f64,
    advantage: f64,
    config: &AlgorithmConfig,
) -> PolicyTerm {
    let difference = logprob - old_logprob;
    let log_ratio = difference.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO);
    let ratio = log_ratio.exp();
    let plain = -advantage * ratio;
    let bounded = -advantage * ratio.clamp(1.0 - config.clip_low, 1.0 + config.clip_high);
    let ceiling = -advantage * config.clip_c;
    let clipped = bounded > plain;
    let clipped_lower = advantage < 0.0 && plain.max(bounded) > ceiling;
    let stopped = clipped || clipped_lower || difference.abs() > MAX_LOG_RATIO;
    PolicyTerm {
        value: if clipped_lower { ceiling } else { plain.max(bounded) },
        by_logprob: if stopped { 0.0 } else { plain },
        clipped,
        clipped_lower,
        log_ratio,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loss_equals_the_published_anchors() {
        let cases = [
            (-0.5, -1.0, 1.0, -1.2),
            (-1.5, -1.0, 1.0, -0.606531),
            (-0.5, -1.0, -1.0, 1.648721),
            (-1.5, -1.0, -1.0, 0.8),
            (0.0, -3.0, -1.0, 3.0),
            (0.0, -40.0, 1.0, -1.2),
        ];
        for (logprob, old, advantage, expected) in cases {
            let found = policy_term(logprob, old, advantage, &AlgorithmConfig::default()).value;
            assert!((found - expected).abs() < 1e-6, "{logprob} {old} {advantage}: {found}");
        }
    }

    #[test]
    fn what_is_not_a_number_stays_so() {
        let term = policy_term(f64::NAN, -1.0, 1.0, &AlgorithmConfig::default());
        assert!(term.by_logprob.is_nan());
    }

    #[test]
    fn the_derivative_equals_finite_differences() {
        let config = AlgorithmConfig { clip_low: 0.2, clip_high: 0.28, ..Default::default() };
        let step = 1e-6;
        for advantage in [1.5, -0.7, 0.0] {
            for shift in [-2.0, -0.3, -0.1, 0.0, 0.1, 0.24, 0.3, 1.05, 1.2, 25.0, -25.0] {
                let value = |shift: f64| policy_term(-1.0 + shift, -1.0, advantage, &config).value;
                let expected = (value(shift + step) - value(shift - step)) / 2.0 / step;
                let found = policy_term(-1.0 + shift, -1.0, advantage, &config).by_logprob;
                assert!((found - expected).abs() < 1e-5, "{advantage} {shift}: {found} {expected}");
            }
        }
    }
}

//! Estimates of `KL(p ‖ q)` from the log-probabilities of a sampled token, with derivatives.

use crate::config::Kl;

/// Log-ratios beyond this are clamped (verl).
const MAX_LOG_RATIO: f64 = 20.0;

/// k3 beyond this is clamped (verl).
const MAX_K3: f64 = 10.0;

/// A value and its derivatives by `ln p` and `ln q`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KlTerm {
    /// The estimate in nats.
    pub value: f64,
    /// Derivative by `ln p`.
    pub by_p: f64,
    /// Derivative by `ln q`.
    pub by_q: f64,
}

/// The estimate for one token (Schulman, "Approximating KL divergence", with verl's clamps).
///
/// # Panics
///
/// For [`Kl::Full`], which needs whole distributions.
pub fn kl(kind: Kl, p: f64, q: f64) -> KlTerm {
    let difference = p - q;
    match kind {
        Kl::K1 => KlTerm { value: difference, by_p: 1.0, by_q: -1.0 },
        Kl::K2 => {
            KlTerm { value: difference * difference / 2.0, by_p: difference, by_q: -difference }
        }
        Kl::K3 => {
            let ratio = (-difference).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO);
            let value = ratio.exp() - ratio - 1.0;
            let outside = difference.abs() > MAX_LOG_RATIO || value > MAX_K3;
            let slope = if outside { 0.0 } else { ratio.exp() - 1.0 };
            let value = if value > MAX_K3 { MAX_K3 } else { value };
            KlTerm { value, by_p: -slope, by_q: slope }
        }
        Kl::Full => unreachable!("the full divergence is computed from logits"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k3_equals_the_published_anchors() {
        let cases = [
            (-1.0, -2.0, 0.367879),
            (-2.0, -1.0, 0.718282),
            (-0.1, -5.0, 3.907447),
            (-5.0, -0.1, 10.0),
            (-1.5, -1.5, 0.0),
            (0.0, -50.0, 10.0),
        ];
        for (p, q, expected) in cases {
            let found = kl(Kl::K3, p, q).value;
            assert!((found - expected).abs() < 1e-6, "{p} {q}: {found}");
        }
    }

    #[test]
    fn derivatives_equal_finite_differences() {
        let step = 1e-6;
        for kind in [Kl::K1, Kl::K2, Kl::K3] {
            for (p, q) in [(-1.0, -2.0), (-2.0, -1.0), (-3.0, -0.5), (-0.1, -5.0), (-9.0, -0.1)] {
                let term = kl(kind, p, q);
                let by_p = (kl(kind, p + step, q).value - kl(kind, p - step, q).value) / 2.0 / step;
                let by_q = (kl(kind, p, q + step).value - kl(kind, p, q - step).value) / 2.0 / step;
                assert!((term.by_p - by_p).abs() < 1e-6, "{kind:?} {p} {q}: {term:?} {by_p}");
                assert!((term.by_q - by_q).abs() < 1e-6, "{kind:?} {p} {q}: {term:?} {by_q}");
            }
        }
    }

    #[test]
    fn what_is_not_a_number_stays_so() {
        for kind in [Kl::K2, Kl::K3] {
            let term = kl(kind, f64::NAN, -1.0);
            assert!(term.value.is_nan() && term.by_p.is_nan(), "{kind:?}");
        }
    }

    #[test]
    fn nothing_flows_beyond_the_clamps() {
        for (p, q) in [(-5.0, -0.1), (-30.0, -0.1), (0.0, -50.0)] {
            let term = kl(Kl::K3, p, q);
            assert_eq!((term.by_p, term.by_q), (0.0, 0.0), "{p} {q}");
        }
    }
}

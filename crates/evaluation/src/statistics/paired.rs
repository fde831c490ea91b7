//! Whether two models differ on the same questions.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{Clusters, Estimate, mean};

/// Up to so many differences all patterns of signs are tried.
const EXACT: usize = 14;

/// Patterns of signs that are drawn beyond that.
const FLIPS: usize = 10_000;

/// Two models on the same questions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Questions compared.
    pub questions: usize,
    /// Mean of the first.
    pub first: f64,
    /// Mean of the second.
    pub second: f64,
    /// Second less first, with its 95 % interval.
    pub difference: Estimate,
    /// The chance of a difference this large, either way, if neither were better.
    pub p_value: f64,
    /// How the chance was found.
    pub test: Test,
}

/// How the chance of a difference is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    /// McNemar's exact test: right or wrong, once per question.
    McNemar,
    /// All patterns of signs of the differences.
    SignFlipExact,
    /// 10 000 patterns of signs, drawn.
    SignFlip,
}

/// Compares the scores of two models, question by question.
pub fn compare(first: &[f64], second: &[f64], clusters: &Clusters, seed: u64) -> Comparison {
    let differences: Vec<f64> = second.iter().zip(first).map(|(b, a)| b - a).collect();
    let sums: Vec<f64> = clusters.sums(&differences).into_iter().map(|(sum, _)| sum).collect();
    let changed: Vec<f64> = sums.into_iter().filter(|sum| sum.abs() > 1e-12).collect();
    let (p_value, test) = if changed.iter().all(|sum| sum.abs() == 1.0) {
        let better = changed.iter().filter(|sum| **sum > 0.0).count();
        (binomial(changed.len(), better.min(changed.len() - better)), Test::McNemar)
    } else if changed.len() <= EXACT {
        let patterns = 1u32 << changed.len();
        let signs = (0..patterns).map(|pattern| move |place: usize| pattern >> place & 1 == 1);
        (extreme(&changed, signs) as f64 / f64::from(patterns), Test::SignFlipExact)
    } else {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let drawn = (0..FLIPS).map(|_| {
            let signs: Vec<bool> = changed.iter().map(|_| rng.random()).collect();
            move |place: usize| signs[place]
        });
        // The pattern found is one of them, so that no chance is 0.
        ((1 + extreme(&changed, drawn)) as f64 / (1 + FLIPS) as f64, Test::SignFlip)
    };
    Comparison {
        questions: differences.len(),
        first: mean(first),
        second: mean(second),
        difference: clusters.estimate(&differences, seed),
        p_value,
        test,
    }
}

/// How many patterns of signs lead as far from 0 as the differences themselves.
fn extreme<S: Fn(usize) -> bool>(changed: &[f64], patterns: impl Iterator<Item = S>) -> usize {
    let found = changed.iter().sum::<f64>().abs();
    patterns
        .filter(|sign| {
            let signed = changed.iter().enumerate().map(|(place, difference)| match sign(place) {
                true => *difference,
                false => -difference,
            });
            signed.sum::<f64>().abs() >= found - 1e-9
        })
        .count()
}

/// Chance that of `total` fair coins at most `fewer`, or at least as many less, show heads.
fn binomial(total: usize, fewer: usize) -> f64 {
    // ln C(total, k) - total ln 2, from one k to the next.
    let mut log = -(total as f64) * std::f64::consts::LN_2;
    let mut tail = 0.0;
    for k in 0..=fewer {
        tail += log.exp();
        log += ((total - k) as f64).ln() - ((k + 1) as f64).ln();
    }
    (2.0 * tail).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn alone(count: usize) -> Clusters {
        Clusters::new(vec![None; count])
    }

    fn compared(first: &[f64], second: &[f64]) -> Comparison {
        compare(first, second, &alone(first.len()), 0)
    }

    #[test]
    fn right_or_wrong_is_compared_by_mcnemar() {
        // 8 questions better, 2 worse: 2 · (1 + 10 + 45) / 1024.
        let first = [[0.0; 8].as_slice(), &[1.0; 2], &[1.0; 20]].concat();
        let second = [[1.0; 8].as_slice(), &[0.0; 2], &[1.0; 20]].concat();
        let found = compared(&first, &second);
        assert_eq!(found.test, Test::McNemar);
        assert!((found.p_value - 112.0 / 1024.0).abs() < 1e-12, "{found:?}");
        assert!((found.difference.value - 0.2).abs() < 1e-12, "{found:?}");
        assert!(found.difference.low > 0.0 && found.difference.high < 0.45, "{found:?}");
        assert_eq!(compared(&first, &first).p_value, 1.0);
        let many = compared(&[0.0; 3000], &[1.0; 3000]);
        assert!(many.p_value < 1e-300, "{many:?}");
    }

    #[test]
    fn shares_are_compared_by_changing_signs() {
        // |±0.5 ±0.25 ±0.25| reaches 1 with equal signs only: 2 of 8 patterns.
        let found = compared(&[0.0, 0.25, 0.0], &[0.5, 0.5, 0.25]);
        assert_eq!((found.test, found.p_value), (Test::SignFlipExact, 0.25));
        // Of 40 equal signs none is reached by chance in 10 000 draws.
        let better: Vec<f64> = (0..40).map(|index| 0.25 + 0.01 * f64::from(index)).collect();
        let found = compared(&[0.0; 40], &better);
        assert_eq!((found.test, found.p_value), (Test::SignFlip, 1.0 / 10_001.0));
    }

    #[test]
    fn a_family_counts_once() {
        let names = [Some("a"), Some("a"), Some("b"), Some("b")];
        let clusters = Clusters::new(names);
        let found = compare(&[0.0; 4], &[1.0; 4], &clusters, 0);
        assert_eq!((found.test, found.p_value), (Test::SignFlipExact, 0.5));
    }

    proptest! {
        #[test]
        fn the_two_models_may_change_places(
            scores in prop::collection::vec((0u8..=4, 0u8..=4), 1..12)
        ) {
            let (first, second): (Vec<f64>, Vec<f64>) =
                scores.iter().map(|(a, b)| (f64::from(*a) / 4.0, f64::from(*b) / 4.0)).unzip();
            let (there, back) = (compared(&first, &second), compared(&second, &first));
            prop_assert!((there.p_value - back.p_value).abs() < 1e-12);
            prop_assert!((there.difference.value + back.difference.value).abs() < 1e-12);
            prop_assert!(there.p_value > 0.0 && there.p_value <= 1.0);
        }
    }
}

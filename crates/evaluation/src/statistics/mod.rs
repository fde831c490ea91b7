//! Means of judged responses, how far they can be trusted, and whether two models differ.

mod bootstrap;
mod paired;

pub use bootstrap::{Clusters, Estimate};
pub use paired::{Comparison, Test, compare};

use std::collections::HashMap;

use crate::judge::Judgement;

/// Mean; NaN of nothing.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Unbiased standard deviation; None for fewer than two values.
pub fn std(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let mean = mean(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

/// pass@k: the chance that one of `k` samples is right, where `right` of `n` drawn are
/// (the unbiased estimator of arXiv 2107.03374, `1 - C(n - right, k) / C(n, k)`).
///
/// A `k` above `n` counts as `n`.
pub fn pass_at(n: usize, right: usize, k: usize) -> f64 {
    let k = k.min(n);
    let wrong = n.saturating_sub(right);
    if k == 0 {
        return 0.0;
    }
    if wrong < k {
        return 1.0;
    }
    // C(wrong, k) / C(n, k), factor by factor.
    1.0 - (wrong + 1..=n).map(|total| 1.0 - k as f64 / total as f64).product::<f64>()
}

/// maj@n: whether the answer given most often is right; of equally many the one given first.
/// Responses without an answer do not vote.
pub fn majority(samples: &[Judgement]) -> bool {
    let mut votes: HashMap<&str, (usize, usize)> = HashMap::new();
    for (place, sample) in samples.iter().enumerate() {
        if let Some(vote) = &sample.vote {
            votes.entry(vote).or_insert((0, place)).0 += 1;
        }
    }
    let most = votes.into_values().max_by_key(|&(count, place)| (count, std::cmp::Reverse(place)));
    most.is_some_and(|(_, place)| samples[place].correct)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn close(found: f64, expected: f64) -> bool {
        (found - expected).abs() < 1e-12
    }

    #[test]
    fn pass_at_k_is_the_unbiased_estimator() {
        // Of 4 samples 1 is right: C(3,2)/C(4,2) = 3/6. Of 10 samples 3: C(7,3)/C(10,3) = 35/120.
        let cases = [
            (4, 1, 1, 0.25),
            (4, 1, 2, 0.5),
            (4, 1, 4, 1.0),
            (4, 0, 4, 0.0),
            (10, 3, 3, 1.0 - 35.0 / 120.0),
            (8, 8, 3, 1.0),
            (8, 2, 1, 0.25),
            (4, 1, 9, 1.0),
            (4, 1, 0, 0.0),
            (0, 0, 1, 0.0),
        ];
        for (n, right, k, expected) in cases {
            let found = pass_at(n, right, k);
            assert!(close(found, expected), "{right} of {n}, k = {k}: {found}");
        }
    }

    #[test]
    fn deviations_are_unbiased() {
        assert_eq!(std(&[1.0]), None);
        assert!(close(std(&[2.0, 4.0, 4.0, 6.0]).unwrap(), (8.0f64 / 3.0).sqrt()));
        assert!(close(mean(&[2.0, 4.0, 4.0, 6.0]), 4.0));
    }

    #[test]
    fn the_majority_decides_and_the_first_of_equals() {
        let sample = |text: &str| Judgement {
            answer: None,
            vote: (!text.is_empty()).then(|| text.trim_end_matches('!').to_string()),
            correct: text.ends_with('!'),
        };
        let cases: [(&[&str], bool); 7] = [
            (&["4!", "5", "4!"], true),
            (&["4!", "5", "5"], false),
            (&["4!", "5"], true),
            (&["5", "4!"], false),
            (&["", "", "4!"], true),
            (&["", ""], false),
            (&[], false),
        ];
        for (votes, expected) in cases {
            let samples: Vec<Judgement> = votes.iter().map(|vote| sample(vote)).collect();
            assert_eq!(majority(&samples), expected, "{votes:?}");
        }
    }

    proptest! {
        #[test]
        fn more_samples_never_pass_less(n in 1usize..40, share in 0.0f64..1.0) {
            let right = (share * n as f64) as usize;
            let passes: Vec<f64> = (1..=n).map(|k| pass_at(n, right, k)).collect();
            prop_assert!(close(passes[0], right as f64 / n as f64));
            prop_assert!(passes.windows(2).all(|pair| pair[0] <= pair[1] + 1e-12));
            prop_assert_eq!(passes[n - 1], f64::from(u8::from(right > 0)));
        }
    }
}

//! Confidence intervals by resampling questions.

use std::collections::HashMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::mean;

/// Times that the questions are drawn again.
const RESAMPLES: usize = 2000;

/// A mean over questions and its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The mean.
    pub value: f64,
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
}

/// Which questions belong together; they are drawn, or have their signs changed, as one.
#[derive(Clone, Debug, PartialEq)]
pub struct Clusters {
    /// Number of each question's cluster.
    of: Vec<usize>,
    count: usize,
}

impl Clusters {
    /// Clusters by family; a question without one stands alone.
    pub fn new<'a>(families: impl IntoIterator<Item = Option<&'a str>>) -> Self {
        let mut known: HashMap<&str, usize> = HashMap::new();
        let mut count = 0;
        let mut next = || {
            count += 1;
            count - 1
        };
        let of = families.into_iter().map(|family| match family {
            Some(family) => *known.entry(family).or_insert_with(&mut next),
            None => next(),
        });
        let of = of.collect();
        Self { of, count }
    }

    /// Sum and number of the values of each cluster.
    pub(super) fn sums(&self, values: &[f64]) -> Vec<(f64, usize)> {
        let mut sums = vec![(0.0, 0); self.count];
        for (&cluster, value) in self.of.iter().zip(values) {
            let (sum, count) = &mut sums[cluster];
            *sum += value;
            *count += 1;
        }
        sums
    }

    /// The mean of one value per question with its interval: the percentile bootstrap over
    /// clusters, the same for the same seed.
    pub fn estimate(&self, values: &[f64], seed: u64) -> Estimate {
        let value = mean(values);
        let sums = self.sums(values);
        if sums.is_empty() {
            return Estimate { value, low: value, high: value };
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut draw = || {
            let (mut sum, mut count) = (0.0, 0);
            for _ in 0..sums.len() {
                let (more, size) = sums[rng.random_range(0..sums.len())];
                sum += more;
                count += size;
            }
            sum / count as f64
        };
        let mut means: Vec<f64> = (0..RESAMPLES).map(|_| draw()).collect();
        means.sort_by(f64::total_cmp);
        Estimate { value, low: quantile(&means, 0.025), high: quantile(&means, 0.975) }
    }
}

/// The value below which `share` of the sorted values lie, between two of them where it must.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    low + (high - low) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn alone(count: usize) -> Clusters {
        Clusters::new(vec![None; count])
    }

    #[test]
    fn quantiles_lie_between_values() {
        let cases = [(0.0, 1.0), (0.5, 3.0), (0.25, 2.0), (0.125, 1.5), (1.0, 5.0)];
        for (share, expected) in cases {
            assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0, 5.0], share), expected);
        }
    }

    #[test]
    fn the_interval_is_that_of_the_normal_approximation_where_it_holds() {
        // 400 questions, half of them right: 1.96 · sqrt(0.25 / 400) = 0.049.
        let values: Vec<f64> = (0..400).map(|index| f64::from(index % 2)).collect();
        let found = alone(400).estimate(&values, 1);
        assert_eq!(found.value, 0.5);
        assert!((found.low - 0.451).abs() < 0.005, "{found:?}");
        assert!((found.high - 0.549).abs() < 0.005, "{found:?}");
        assert_eq!(alone(400).estimate(&values, 1), found);
        let values: Vec<f64> = (0..400).map(|index| f64::from(index).sin()).collect();
        assert_ne!(alone(400).estimate(&values, 2), alone(400).estimate(&values, 1));
    }

    #[test]
    fn families_are_drawn_together() {
        // Ten equal forms of 40 problems say no more than 40 questions.
        let values: Vec<f64> = (0..400).map(|index| f64::from((index / 10) % 2)).collect();
        let names: Vec<String> = (0..400).map(|index| (index / 10).to_string()).collect();
        let clusters = Clusters::new(names.iter().map(|name| Some(name.as_str())));
        let width = |estimate: Estimate| estimate.high - estimate.low;
        let (alone, together) =
            (width(alone(400).estimate(&values, 1)), width(clusters.estimate(&values, 1)));
        assert!((together / alone - 10f64.sqrt()).abs() < 0.4, "{together} {alone}");
    }

    #[test]
    fn nothing_and_one_question_have_an_estimate() {
        assert!(alone(0).estimate(&[], 0).value.is_nan());
        assert_eq!(alone(1).estimate(&[1.0], 0), Estimate { value: 1.0, low: 1.0, high: 1.0 });
    }

    proptest! {
        #[test]
        fn the_mean_lies_in_its_interval(
            values in prop::collection::vec(0.0f64..1.0, 1..50), seed in 0u64..9
        ) {
            let found = alone(values.len()).estimate(&values, seed);
            let [least, most] = [f64::min, f64::max]
                .map(|pick| values.iter().copied().reduce(pick).unwrap());
            prop_assert!(least - 1e-9 <= found.low && found.low <= found.high);
            prop_assert!(found.high <= most + 1e-9);
            if values.len() > 20 {
                prop_assert!(found.low <= found.value && found.value <= found.high);
            }
        }
    }
}

//! Mean, largest and smallest of many values.

use super::Metrics;

impl Metrics {
    /// Sets `prefix/mean`, `prefix/max` and `prefix/min` of the values; nothing when there are none.
    /// A NaN among the values makes all three NaN.
    pub fn summarize<T: Copy + Into<f64>>(&mut self, prefix: &str, values: &[T]) {
        if values.is_empty() {
            return;
        }
        let values: Vec<f64> = values.iter().map(|&value| value.into()).collect();
        self.set(format!("{prefix}/mean"), mean(&values));
        self.set(format!("{prefix}/max"), max(&values));
        self.set(format!("{prefix}/min"), min(&values));
    }
}

/// The mean; NaN of no values.
pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The largest value; unlike `f64::max`, NaN if one is NaN.
pub(super) fn max(values: &[f64]) -> f64 {
    let larger = |a: f64, b: f64| if b > a || b.is_nan() { b } else { a };
    values.iter().copied().fold(f64::NEG_INFINITY, larger)
}

/// The smallest value; unlike `f64::min`, NaN if one is NaN.
pub(super) fn min(values: &[f64]) -> f64 {
    let smaller = |a: f64, b: f64| if b < a || b.is_nan() { b } else { a };
    values.iter().copied().fold(f64::INFINITY, smaller)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_hold_mean_max_and_min() {
        let cases: [(&[f32], Option<[f64; 3]>); 4] = [
            (&[], None),
            (&[2.0], Some([2.0, 2.0, 2.0])),
            (&[1.0, -2.0, 4.0], Some([1.0, 4.0, -2.0])),
            (&[f32::NEG_INFINITY, 1.0], Some([f64::NEG_INFINITY, 1.0, f64::NEG_INFINITY])),
        ];
        for (values, expected) in cases {
            let mut metrics = Metrics::default();
            metrics.summarize("critic/score", values);
            let names = ["critic/score/mean", "critic/score/max", "critic/score/min"];
            let expected: Metrics =
                expected.into_iter().flat_map(|values| names.into_iter().zip(values)).collect();
            assert_eq!(metrics, expected, "{values:?}");
        }
    }

    #[test]
    fn a_nan_among_the_values_shows_wherever_it_stands() {
        for values in [[f32::NAN, 1.0, 2.0], [1.0, f32::NAN, 2.0], [1.0, 2.0, f32::NAN]] {
            let mut metrics = Metrics::default();
            metrics.summarize("x", &values);
            assert_eq!(metrics.iter().count(), 3);
            assert!(metrics.iter().all(|(_, value)| value.is_nan()), "{values:?}");
        }
    }
}

//! What a training step measures, and where it is written.

pub mod console;
pub mod jsonl;
mod summary;
pub mod tensorboard;

use std::collections::BTreeMap;

/// Named numbers of one step, in the order of their names, which are verl's (`actor/pg_loss`,
/// `timing_s/gen`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Sets a metric, in place of any earlier value.
    pub fn set(&mut self, name: impl Into<String>, value: f64) {
        self.0.insert(name.into(), value);
    }

    /// A metric's value.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    /// All metrics by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// Takes over the metrics of `other`, whose values win.
    pub fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The metrics of a step from those of its parts (optimizer batches): of names ending in
    /// `/max` and `/min` the largest and smallest, else the mean, over the parts that have the
    /// name. NaN stays NaN.
    pub fn reduce(parts: &[Self]) -> Self {
        let mut columns: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for (name, value) in parts.iter().flat_map(Self::iter) {
            columns.entry(name).or_default().push(value);
        }
        let reduced = columns.into_iter().map(|(name, values)| {
            let value = match name.rsplit('/').next() {
                Some("max") => summary::max(&values),
                Some("min") => summary::min(&values),
                _ => summary::mean(&values),
            };
            (name.to_string(), value)
        });
        Self(reduced.collect())
    }
}

impl<N: Into<String>> FromIterator<(N, f64)> for Metrics {
    fn from_iter<I: IntoIterator<Item = (N, f64)>>(metrics: I) -> Self {
        Self(metrics.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_ordered_by_name_and_the_last_value_wins() {
        let mut metrics = Metrics::default();
        metrics.set("b", 1.0);
        metrics.set("a/x", 2.0);
        metrics.set("b", 3.0);
        metrics.merge(Metrics::from_iter([("c", 4.0), ("a/x", 5.0)]));
        assert_eq!(metrics.iter().collect::<Vec<_>>(), [("a/x", 5.0), ("b", 3.0), ("c", 4.0)]);
        assert_eq!((metrics.get("c"), metrics.get("d")), (Some(4.0), None));
    }

    #[test]
    fn parts_are_reduced_to_the_mean_and_extremes_to_extremes() {
        let parts = [
            Metrics::from_iter([("loss", 1.0), ("s/max", 1.0), ("s/min", -1.0), ("bad", f64::NAN)]),
            Metrics::from_iter([("loss", 2.0), ("s/max", 5.0), ("s/min", -3.0), ("bad", 1.0)]),
            Metrics::from_iter([("s/max", 2.0), ("s/min", 2.0), ("once/mean", 7.0)]),
        ];
        let reduced = Metrics::reduce(&parts);
        let cases = [("loss", 1.5), ("s/max", 5.0), ("s/min", -3.0), ("once/mean", 7.0)];
        for (name, value) in cases {
            assert_eq!(reduced.get(name), Some(value), "{name}");
        }
        assert!(reduced.get("bad").is_some_and(f64::is_nan));
        assert_eq!(Metrics::reduce(&[]), Metrics::default());
    }
}

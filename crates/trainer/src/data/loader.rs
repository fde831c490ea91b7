//! The next examples of training, leaving out those that cannot be used.

use std::collections::BTreeMap;

use processor::Processor;

use super::{Example, ExampleError, Order, Source};
use crate::config::DataConfig;
use crate::metrics::Metrics;

/// Examples that were left out, by reason.
pub type Skipped = BTreeMap<String, usize>;

/// Examples of a source without end that may be left out in a row.
const PATIENCE: usize = 1000;

/// Hands out examples from a place on; the place is all that a resumed run needs.
pub struct Loader {
    source: Source,
    order: Order,
    config: DataConfig,
    /// Examples visited so far, over all epochs.
    pub place: usize,
    /// Examples left out so far.
    pub skipped: Skipped,
}

impl Loader {
    /// A loader that starts at the first example.
    pub fn new(source: Source, config: &DataConfig) -> Self {
        let order = Order::new(source.len(), config.seed);
        Self { source, order, config: config.clone(), place: 0, skipped: Skipped::new() }
    }

    /// Examples of one epoch; None for no end.
    pub fn epoch_len(&self) -> Option<usize> {
        self.source.len()
    }

    /// The next `count` examples that can be used.
    ///
    /// # Errors
    ///
    /// When an example cannot be used and `data.overlong` or `data.unreadable` says so, or a whole
    /// epoch, or of a source without end 1000 in a row, holds none that can.
    pub fn next(
        &mut self,
        count: usize,
        processor: &Processor,
    ) -> Result<Vec<Example>, ExampleError> {
        let mut examples = Vec::with_capacity(count);
        let mut failures = 0;
        // One that can be used may come first in an epoch and last in the next.
        let patience = self.source.len().map_or(PATIENCE, |length| 2 * length - 1);
        while examples.len() < count {
            let index = self.order.index(self.place);
            self.place += 1;
            let example = self
                .source
                .sample(index)
                .map_err(ExampleError::from)
                .and_then(|sample| Example::new(sample, index, processor, &self.config));
            match example {
                Ok(example) => {
                    failures = 0;
                    examples.push(example);
                }
                Err(error) => {
                    failures += 1;
                    if !error.may_be_skipped(&self.config) || failures >= patience {
                        return Err(error);
                    }
                    *self.skipped.entry(error.reason().into()).or_default() += 1;
                }
            }
        }
        Ok(examples)
    }
}

/// How many examples were left out, in all as `name` and by reason below it.
pub fn skipped_metrics(name: &str, skipped: &Skipped) -> Metrics {
    let mut metrics = Metrics::default();
    metrics.set(name, skipped.values().sum::<usize>() as f64);
    for (reason, count) in skipped {
        metrics.set(format!("{name}/{reason}"), *count as f64);
    }
    metrics
}

//! The next examples of training, leaving out those that cannot be used.

use std::collections::BTreeMap;

use processor::Processor;

use super::{Example, ExampleError, Order, Source};
use crate::config::{DataConfig, Overlong};

/// Examples in a row that may fail where there is no end of them.
const ENDLESS_TRIES: usize = 1000;

/// Examples that were left out, by reason.
pub type Skipped = BTreeMap<String, usize>;

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
    /// When an example cannot be used and `data.overlong` is `error`, or a whole epoch holds none
    /// that can (a thousand in a row, where there is no end).
    pub fn next(
        &mut self,
        count: usize,
        processor: &Processor,
    ) -> Result<Vec<Example>, ExampleError> {
        let mut examples = Vec::with_capacity(count);
        let mut failures = 0;
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
                    let hopeless = failures >= self.source.len().unwrap_or(ENDLESS_TRIES);
                    if self.config.overlong == Overlong::Error || hopeless {
                        return Err(error);
                    }
                    *self.skipped.entry(error.reason().into()).or_default() += 1;
                }
            }
        }
        Ok(examples)
    }
}

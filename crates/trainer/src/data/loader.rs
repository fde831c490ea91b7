//! The next examples of training, leaving out those that cannot be used.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use processor::Processor;

use super::ahead::Ahead;
use super::example::numbered;
use super::{Example, ExampleError, Order, Source};
use crate::config::DataConfig;
use crate::metrics::Metrics;

/// Examples that were left out, by reason.
pub type Skipped = BTreeMap<String, usize>;

/// Examples of a source without end that may be left out in a row.
const PATIENCE: usize = 1000;

/// Hands out examples from a place on; the place is all that a resumed run needs.
///
/// `data.workers` threads prepare the next `data.prefetch` examples while those before them are
/// used. Which examples come, and what is left out, does not depend on either number.
pub struct Loader {
    source: Arc<Source>,
    order: Order,
    config: DataConfig,
    ahead: Option<Ahead<Result<Example, ExampleError>>>,
    /// Place up to which examples are asked for.
    asked: usize,
    /// Examples visited so far, over all epochs.
    pub place: usize,
    /// Examples left out so far.
    pub skipped: Skipped,
    /// How long the calls of [`Self::next`] took since this was set to zero.
    pub waited: Duration,
}

impl Loader {
    /// A loader that starts at the first example.
    pub fn new(source: Source, config: &DataConfig) -> Self {
        let order = Order::new(source.len(), config.seed);
        Self {
            source: Arc::new(source),
            order,
            config: config.clone(),
            ahead: None,
            asked: 0,
            place: 0,
            skipped: Skipped::new(),
            waited: Duration::ZERO,
        }
    }

    /// Examples of one epoch; None for no end.
    pub fn epoch_len(&self) -> Option<usize> {
        self.source.len()
    }

    /// The next `count` examples that can be used, prepared by the processor of the first call.
    ///
    /// # Errors
    ///
    /// When an example cannot be used and `data.overlong` or `data.unreadable` says so, or a whole
    /// epoch, or of a source without end 1000 in a row, holds none that can.
    pub fn next(
        &mut self,
        count: usize,
        processor: &Arc<Processor>,
    ) -> Result<Vec<Example>, ExampleError> {
        let started = Instant::now();
        let mut examples = Vec::with_capacity(count);
        let mut failures = 0;
        // One that can be used may come first in an epoch and last in the next.
        let patience = self.source.len().map_or(PATIENCE, |length| 2 * length - 1);
        while examples.len() < count {
            let example = self.visit(processor);
            self.place += 1;
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
        // The threads go on while these are used.
        self.ask(processor);
        self.waited += started.elapsed();
        Ok(examples)
    }

    /// The example at the place.
    fn visit(&mut self, processor: &Arc<Processor>) -> Result<Example, ExampleError> {
        let ready = self.ask(processor).take();
        ready.unwrap_or_else(|| {
            prepared(&self.source, self.order.index(self.place), processor, &self.config)
        })
    }

    /// Asks for the `data.prefetch` examples from the place on.
    fn ask(&mut self, processor: &Arc<Processor>) -> &mut Ahead<Result<Example, ExampleError>> {
        let Self { source, order, config, ahead, asked, place, .. } = self;
        // A place that was set from outside makes worthless what was asked for.
        if ahead.as_ref().is_some_and(|ahead| *asked != *place + ahead.len()) {
            *ahead = None;
        }
        let ahead = ahead.get_or_insert_with(|| {
            *asked = *place;
            let (source, processor, config) = (source.clone(), processor.clone(), config.clone());
            Ahead::new(config.workers, move |index| prepared(&source, index, &processor, &config))
        });
        while ahead.len() < config.prefetch {
            ahead.ask(order.index(*asked));
            *asked += 1;
        }
        ahead
    }
}

/// Reads and encodes an example.
fn prepared(
    source: &Source,
    index: usize,
    processor: &Processor,
    config: &DataConfig,
) -> Result<Example, ExampleError> {
    guarded(index, || Example::new(source.sample(index)?, index, processor, config))
        .map_err(|error| error.at(|| source.name(index)))
}

/// Turns a panic into an error, in threads and without them.
fn guarded(
    index: usize,
    prepare: impl FnOnce() -> Result<Example, ExampleError>,
) -> Result<Example, ExampleError> {
    catch_unwind(AssertUnwindSafe(prepare)).unwrap_or_else(|panic| {
        Err(ExampleError::Panicked { place: numbered(index), message: message_of(panic.as_ref()) })
    })
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message").into()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_while_preparing_is_an_error_at_its_example() {
        for workers in [0, 1, 3] {
            let mut ahead = Ahead::new(workers, |index| {
                guarded(index, || match index {
                    2 => panic!("on {}", "purpose"),
                    _ => {
                        Err(ExampleError::Overlong { place: numbered(index), tokens: 2, limit: 1 })
                    }
                })
            });
            (0..5).for_each(|index| ahead.ask(index));
            for index in 0..5 {
                let error = ahead.take().unwrap().unwrap_err();
                assert_eq!(error.reason(), if index == 2 { "panicked" } else { "overlong" });
                let message = error.to_string();
                assert!(message.starts_with(&format!("example {index}: ")), "{message}");
                assert_eq!(message.contains("(on purpose)"), index == 2, "{message}");
                assert_eq!(error.may_be_skipped(&DataConfig::default()), index != 2);
            }
        }
    }
}

//! Accuracy on validation examples.

use std::collections::BTreeMap;

use cppo::AlgorithmConfig;

use crate::config::{DataConfig, RolloutConfig};
use crate::data::{Example, ExampleError, Skipped, Source, skipped_metrics};
use crate::hooks::Hooks;
use crate::metrics::Metrics;
use crate::pretrained::Pretrained;
use crate::rollout::{Draws, rollout};
use crate::train::TrainError;

/// Validation examples, read and encoded once.
pub struct Validation {
    examples: Vec<Example>,
    skipped: Skipped,
}

impl Validation {
    /// Reads the first `data.val_max_samples` examples of `source`; those that cannot be used are
    /// left out and counted.
    ///
    /// # Errors
    ///
    /// When an example cannot be used and `data.overlong` or `data.unreadable` says so, when no
    /// example can be used, or the source is without end and no number is given.
    pub fn new(
        source: Source,
        policy: &Pretrained,
        config: &DataConfig,
    ) -> Result<Self, TrainError> {
        let limit = if config.val_max_samples == 0 { usize::MAX } else { config.val_max_samples };
        let count = match source.len() {
            Some(length) => length.min(limit),
            None if limit == usize::MAX => {
                return Err(TrainError::Config(
                    "data.val_max_samples must be set: data.val has no end".into(),
                ));
            }
            None => limit,
        };
        let mut examples = Vec::with_capacity(count);
        let (mut last, mut skipped) = (None, Skipped::new());
        for index in 0..count {
            let example = source
                .sample(index)
                .map_err(ExampleError::from)
                .and_then(|sample| Example::new(sample, index, &policy.processor, config));
            match example {
                Ok(example) => examples.push(example),
                Err(error) if !error.may_be_skipped(config) => return Err(error.into()),
                Err(error) => {
                    *skipped.entry(error.reason().into()).or_default() += 1;
                    last = Some(error);
                }
            }
        }
        match (examples.is_empty(), last) {
            (true, Some(error)) => Err(error.into()),
            _ => Ok(Self { examples, skipped }),
        }
    }

    /// Greedy accuracy over all examples and for each source, by verl's names; the first metric is
    /// the one over all.
    ///
    /// # Errors
    ///
    /// When the device fails.
    pub fn evaluate(
        &self,
        policy: &Pretrained,
        config: &RolloutConfig,
        algorithm: &AlgorithmConfig,
        hooks: &mut Hooks,
    ) -> Result<Metrics, TrainError> {
        let config =
            RolloutConfig { n: 1, temperature: 0.0, top_p: 1.0, top_k: 0, ..config.clone() };
        let draws = Draws { seed: 0, step: 0, first: 0 };
        let groups = rollout(policy, self.examples.clone(), draws, &config, algorithm, hooks)?;
        let mut sums: BTreeMap<String, (f64, f64, f64)> = BTreeMap::new();
        for group in &groups {
            for name in ["all", group.example.source.as_str()] {
                let (accuracy, score, count) = sums.entry(name.into()).or_default();
                *accuracy += f64::from(group.responses[0].reward.accuracy);
                *score += f64::from(group.responses[0].reward.score);
                *count += 1.0;
            }
        }
        let mut metrics = skipped_metrics("val/skipped", &self.skipped);
        for (name, (accuracy, score, count)) in sums {
            metrics.set(format!("val-core/{name}/acc/mean@1"), accuracy / count);
            metrics.set(format!("val-aux/{name}/reward/mean@1"), score / count);
        }
        Ok(metrics)
    }

    /// The name of the accuracy over all examples.
    pub const ACCURACY: &'static str = "val-core/all/acc/mean@1";
}

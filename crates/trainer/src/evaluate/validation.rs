//! Accuracy on validation examples, and what reward programs say of the responses.

use std::collections::BTreeMap;

use cppo::AlgorithmConfig;
use cppo::reward::Reward;
use evaluation::Judgement;
use evaluation::statistics::{majority, mean, pass_at};

use crate::config::{DataConfig, RolloutConfig, TrainerConfig};
use crate::data::{Example, ExampleError, Skipped, Source, skipped_metrics};
use crate::hooks::Hooks;
use crate::metrics::Metrics;
use crate::pretrained::Pretrained;
use crate::reward;
use crate::rollout::{Draws, Group, Response, rollout};
use crate::train::TrainError;
use crate::training::Judging;

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
                .and_then(|sample| Example::new(sample, index, &policy.processor, config))
                .map_err(|error| error.at(|| source.name(index)));
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
            (true, None) => Err(TrainError::Config(format!(
                "data.val: {} holds no examples; name other files, or leave it out",
                config.val
            ))),
            _ => Ok(Self { examples, skipped }),
        }
    }

    /// Accuracy over all examples and for each source, by verl's names: the mean of
    /// `trainer.eval_n` responses, and of several the best and the majority. Beside it stand the
    /// whole reward and its programs' scores, which accuracy knows nothing of.
    ///
    /// # Errors
    ///
    /// When the device or a reward program fails.
    pub(crate) fn evaluate(
        &self,
        policy: &Pretrained,
        judging: &mut Judging,
        trainer: &TrainerConfig,
        hooks: &mut Hooks,
    ) -> Result<Metrics, TrainError> {
        let Judging { rollout: config, algorithm, programs } = judging;
        let (n, temperature) = (trainer.eval_n, trainer.eval_temperature());
        let config = RolloutConfig { n, temperature, top_p: 1.0, top_k: 0, ..config.clone() };
        let draws = Draws { seed: 0, step: 0, first: 0 };
        let mut groups = rollout(policy, self.examples.clone(), draws, &config, algorithm, hooks)?;
        programs.judge(&mut groups, algorithm, hooks.ranks)?;
        let mut by_source: BTreeMap<&str, Vec<&Group>> = BTreeMap::new();
        for group in &groups {
            for name in ["all", group.example.source.as_str()] {
                by_source.entry(name).or_default().push(group);
            }
        }
        let mut metrics = skipped_metrics("val/skipped", &self.skipped);
        for (name, groups) in by_source {
            let judged: Vec<Vec<Judgement>> =
                groups.iter().map(|group| judgements(group, algorithm)).collect();
            let over = |value: &dyn Fn(&[Judgement]) -> f64| {
                mean(&judged.iter().map(|samples| value(samples)).collect::<Vec<_>>())
            };
            let right = |samples: &[Judgement]| samples.iter().filter(|one| one.correct).count();
            let accuracy = over(&|samples| right(samples) as f64 / n as f64);
            metrics.set(format!("val-core/{name}/acc/mean@{n}"), accuracy);
            if n > 1 {
                let best = over(&|samples| pass_at(n, right(samples), n));
                metrics.set(format!("val-core/{name}/acc/best@{n}/mean"), best);
                let majority = over(&|samples| f64::from(u8::from(majority(samples))));
                metrics.set(format!("val-core/{name}/acc/maj@{n}/mean"), majority);
            }
            let scores = groups.iter().flat_map(|group| group.rewards()).map(f64::from);
            let scores: Vec<f64> = scores.collect();
            metrics.set(format!("val-aux/{name}/reward/mean@{n}"), mean(&scores));
            let responses = groups.iter().flat_map(|group| &group.responses);
            let said = reward::metrics(responses.map(|response| &response.reward));
            said.iter()
                .for_each(|(said, value)| metrics.set(format!("val-aux/{name}/{said}@{n}"), value));
        }
        Ok(metrics)
    }

    /// How the name of the accuracy over all examples begins; the number of responses follows.
    pub const ACCURACY: &'static str = "val-core/all/acc/mean@";
}

fn judgements(group: &Group, algorithm: &AlgorithmConfig) -> Vec<Judgement> {
    let grader = algorithm.reward.grader;
    let judgement = |response: &Response| {
        let Reward { answer, accuracy, .. } = &response.reward;
        // Who is alone has no need to vote.
        let votes = answer.as_ref().filter(|_| group.responses.len() > 1);
        let vote = votes.map(|answer| grader.grade(answer, &group.example.answer).answer);
        Judgement { answer: answer.clone(), vote, correct: *accuracy == 1.0 }
    };
    group.responses.iter().map(judgement).collect()
}

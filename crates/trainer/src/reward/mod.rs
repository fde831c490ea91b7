//! Terms of the reward that come from outside: programs that score responses.
//!
//! A program reads one JSON line for each response from its standard input, with the keys `id`,
//! `prompt`, `response`, `answer` and `data_source`, and writes one for each to its standard output,
//! in any order: `id`, `score` and, if it likes, `metrics`, an object of numbers. It lives as long as
//! the run and ends when its input does. Where it does not answer in time, ends, or writes anything
//! else, it is killed and started again, and asked about the same batch.

mod process;
mod program;

use std::collections::BTreeMap;

use cppo::AlgorithmConfig;
use cppo::reward::{Reward, RewardConfig};

use crate::collective::{Collective, gather, share};
use crate::metrics::Metrics;
use crate::rollout::{Group, Response};
use crate::train::TrainError;
pub use program::{Asked, Program, RewardError};

/// The programs of a run.
#[derive(Default)]
pub struct Programs(Vec<Program>);

impl Programs {
    /// Starts all of them.
    ///
    /// # Errors
    ///
    /// When one cannot be started.
    pub fn start(config: &RewardConfig) -> Result<Self, RewardError> {
        config.programs.iter().map(Program::start).collect::<Result<_, _>>().map(Self)
    }

    /// Adds the programs' scores to the rewards, and compares each group's responses again; ranks
    /// share out the groups.
    ///
    /// # Errors
    ///
    /// When a program fails again and again, here or on another rank.
    pub fn judge(
        &mut self,
        groups: &mut [Group],
        algorithm: &AlgorithmConfig,
        ranks: &dyn Collective,
    ) -> Result<(), TrainError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let own = share(ranks, groups.len());
        let own = &mut groups[own];
        for program in &mut self.0 {
            let asked: Vec<Asked> = own.iter().flat_map(asked).collect();
            let judged = program.judge(&asked)?;
            for (response, said) in responses(own).zip(judged) {
                response.reward.add(program.config(), said);
            }
        }
        let own: Vec<Reward> = responses(own).map(|response| response.reward.clone()).collect();
        let all = gather(ranks, "rewards", own)?.into_iter().flatten();
        responses(groups).zip(all).for_each(|(response, reward)| response.reward = reward);
        groups.iter_mut().for_each(|group| group.compare(algorithm));
        Ok(())
    }
}

fn responses(groups: &mut [Group]) -> impl Iterator<Item = &mut Response> {
    groups.iter_mut().flat_map(|group| &mut group.responses)
}

fn asked(group: &Group) -> impl Iterator<Item = Asked<'_>> {
    group.responses.iter().map(|response| Asked {
        prompt: &group.example.question,
        response: &response.text,
        answer: &group.example.answer,
        data_source: &group.example.source,
    })
}

/// Means of what the programs said: `reward/NAME/mean` and `reward/NAME/METRIC/mean`.
pub fn metrics<'a>(rewards: impl IntoIterator<Item = &'a Reward>) -> Metrics {
    let mut sums: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    let mut add = |name: String, value: f64| {
        let (sum, count) = sums.entry(name).or_default();
        *sum += value;
        *count += 1.0;
    };
    for (name, said) in rewards.into_iter().flat_map(|reward| &reward.programs) {
        add(format!("reward/{name}/mean"), f64::from(said.score));
        for (metric, &value) in &said.metrics {
            add(format!("reward/{name}/{metric}/mean"), value);
        }
    }
    sums.into_iter().map(|(name, (sum, count))| (name, sum / count)).collect()
}

#[cfg(all(test, unix))]
mod tests;

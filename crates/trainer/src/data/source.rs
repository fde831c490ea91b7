//! Where examples come from, and in which order.

use std::path::Path;

use gym::{Gym, Split};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::example::numbered;
use super::{DataError, Dataset, Sample, files};
use crate::config::DataConfig;
use crate::rollout::mixed;

/// Examples by number.
pub enum Source {
    /// Drawn as they are asked for, without end; with the share of careless worked responses.
    Gym(Gym, Split, f64),
    /// Those of files.
    Files(Box<Dataset>),
}

impl Source {
    /// Opens `data.train` or `data.val`; None where `path` is empty.
    ///
    /// # Errors
    ///
    /// When the files are missing or not what they should be.
    pub fn open(path: &str, split: Split, config: &DataConfig) -> Result<Option<Self>, DataError> {
        Ok(match path {
            "" => None,
            "gym" => {
                let gym = &config.gym;
                let (families, difficulty) = (gym.families.clone(), gym.difficulty);
                let careless = if split == Split::Train { gym.careless_share } else { 0.0 };
                Some(Self::Gym(Gym { families, difficulty, seed: gym.seed }, split, careless))
            }
            path => {
                let (paths, usual) = (&[Path::new(path)], usual(split));
                let image_dir = config.image_dir.as_deref();
                let dataset = Dataset::open_split(paths, usual, &config.mapping, image_dir)?;
                Some(Self::Files(Box::new(dataset)))
            }
        })
    }

    /// Brings data sets of the hub into the cache, where [`Self::open`] then finds them.
    ///
    /// # Errors
    ///
    /// When files are missing, here or on the hub.
    pub fn download(config: &DataConfig) -> Result<(), DataError> {
        for (path, split) in [(&config.train, Split::Train), (&config.val, Split::Validation)] {
            if !["", "gym"].contains(&path.as_str()) {
                files(Path::new(path), usual(split))?;
            }
        }
        Ok(())
    }

    /// Examples in all; None for no end.
    pub fn len(&self) -> Option<usize> {
        match self {
            Self::Gym(..) => None,
            Self::Files(dataset) => Some(dataset.len()),
        }
    }

    /// Whether there are no examples at all.
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// What to call an example: its file and row, or its number where it is drawn.
    pub(crate) fn name(&self, index: usize) -> String {
        match self {
            Self::Files(dataset) => dataset.place(index).map(|place| place.to_string()).ok(),
            Self::Gym(..) => None,
        }
        .unwrap_or_else(|| numbered(index))
    }

    /// One example.
    ///
    /// # Errors
    ///
    /// When its row cannot be used.
    pub fn sample(&self, index: usize) -> Result<Sample, DataError> {
        match self {
            Self::Files(dataset) => dataset.get(index),
            Self::Gym(gym, split, careless) => {
                let mut item = gym.item(*split, index as u64);
                let mut stream = ChaCha8Rng::seed_from_u64(mixed(gym.seed, index as u64));
                if stream.random::<f64>() < *careless {
                    item.response = miscounted(&item.response, &item.answer);
                }
                Ok(item.into())
            }
        }
    }
}

/// The split taken where a data set has several and none is named.
fn usual(split: Split) -> &'static str {
    if split == Split::Train { "train" } else { "validation" }
}

/// The response with a number one off in the box; one that ends in a word stays as it is.
fn miscounted(response: &str, answer: &str) -> String {
    let boxed = |answer: &str| format!("\\boxed{{{answer}}}");
    match answer.parse::<u32>() {
        Ok(count) if count < 3 => {
            response.replace(&boxed(answer), &boxed(&(count + 1).to_string()))
        }
        Ok(count) => response.replace(&boxed(answer), &boxed(&(count - 1).to_string())),
        Err(_) => response.into(),
    }
}

/// Which example stands at which place of training: each epoch is a new seeded permutation.
pub struct Order {
    length: Option<usize>,
    seed: u64,
    epoch: Option<(usize, Vec<u32>)>,
}

impl Order {
    /// The order of `length` examples, or of examples without end.
    pub fn new(length: Option<usize>, seed: u64) -> Self {
        Self { length, seed, epoch: None }
    }

    /// Number of the example at a place, counted over all epochs.
    pub fn index(&mut self, place: usize) -> usize {
        let Some(length) = self.length else { return place };
        let epoch = place / length;
        if self.epoch.as_ref().is_none_or(|(other, _)| *other != epoch) {
            let mut order: Vec<u32> = (0..length as u32).collect();
            order.shuffle(&mut ChaCha8Rng::seed_from_u64(mixed(self.seed, epoch as u64)));
            self.epoch = Some((epoch, order));
        }
        let (_, order) = self.epoch.as_ref().expect("made above");
        order[place % length] as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_epoch_visits_every_example_once_in_another_order() {
        let mut order = Order::new(Some(50), 7);
        let visits: Vec<usize> = (0..100).map(|place| order.index(place)).collect();
        let (first, second) = visits.split_at(50);
        for epoch in [first, second] {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..50).collect::<Vec<_>>());
        }
        assert_ne!(first, second);
        // Any place can be asked for first, so a run resumes in the middle of an epoch.
        assert_eq!(Order::new(Some(50), 7).index(73), visits[73]);
        let mut other = Order::new(Some(50), 8);
        assert_ne!((0..50).map(|place| other.index(place)).collect::<Vec<_>>(), first);
    }

    #[test]
    fn careless_annotators_are_one_off() {
        let cases = [("0", "1"), ("2", "3"), ("3", "2"), ("12", "11"), ("red", "red")];
        for (answer, expected) in cases {
            let response = |answer: &str| format!("<think> a. </think> \\boxed{{{answer}}}");
            assert_eq!(miscounted(&response(answer), answer), response(expected));
        }
    }

    #[test]
    fn examples_without_end_come_as_they_are_numbered() {
        assert_eq!(Order::new(None, 7).index(123), 123);
    }
}

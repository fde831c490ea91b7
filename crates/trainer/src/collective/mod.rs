//! Ranks: processes that train one policy together, each on a device of its own.
//!
//! Every rank reads the same prompts and holds the same weights. Ranks share out the groups of a
//! batch, exchange what they found, and go on with the same numbers, so that a run does not depend
//! on how many there are: responses and scores are gathered, gradients summed.

#[cfg(feature = "mpi")]
mod mpi;
mod tensors;
mod threads;

use std::ops::Range;

use serde::Serialize;
use serde::de::DeserializeOwned;

#[cfg(feature = "mpi")]
pub use self::mpi::Mpi;
pub use tensors::{Addend, sum_gradients, sum_tensors};
pub use threads::{Thread, threads};

/// The ranks of a run, seen from one of them.
///
/// All ranks make the same exchanges in the same order; `what` names an exchange in errors.
pub trait Collective {
    /// This rank, from 0; rank 0 alone writes the run folder.
    fn rank(&self) -> usize;

    /// Ranks in all.
    fn size(&self) -> usize;

    /// Every rank's bytes, in the order of ranks.
    ///
    /// # Errors
    ///
    /// When a rank failed, or did not come within the time-out.
    fn all_gather(&self, what: &str, bytes: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError>;

    /// Replaces values by their sum over all ranks, which is the same on each to the last bit.
    ///
    /// # Errors
    ///
    /// When a rank failed, or did not come within the time-out.
    fn all_reduce(&self, what: &str, values: &mut [f32]) -> Result<(), CollectiveError>;
}

/// Why ranks cannot go on together.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[allow(missing_docs)]
pub enum CollectiveError {
    #[error(
        "rank {ranks} did not come to exchange {what} within {seconds} s (trainer.rank_timeout_s); \
         the same command goes on from the last checkpoint"
    )]
    Missing { ranks: String, what: String, seconds: u64 },
    #[error("another rank failed while this one exchanged {what}")]
    Failed { what: String },
    #[error("rank 0: {0}")]
    Leader(String),
    #[error(
        "rank {rank} has other {what} than rank 0; give all ranks the same files and the same \
         command, and see data/skipped for rows that only some could read"
    )]
    Differs { rank: usize, what: String },
}

/// A run of one process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Single;

impl Collective for Single {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn all_gather(&self, _what: &str, bytes: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
        Ok(vec![bytes.to_vec()])
    }

    fn all_reduce(&self, _what: &str, _values: &mut [f32]) -> Result<(), CollectiveError> {
        Ok(())
    }
}

/// Whether this rank writes for all.
pub fn leads(ranks: &dyn Collective) -> bool {
    ranks.rank() == 0
}

/// This rank's part of `total` things: a block, as long as the others' or one longer.
pub fn share(ranks: &dyn Collective, total: usize) -> Range<usize> {
    let bound = |rank: usize| rank * total / ranks.size();
    bound(ranks.rank())..bound(ranks.rank() + 1)
}

/// Every rank's value, in the order of ranks.
///
/// # Errors
///
/// As [`Collective::all_gather`].
pub fn gather<T: Serialize + DeserializeOwned>(
    ranks: &dyn Collective,
    what: &str,
    value: T,
) -> Result<Vec<T>, CollectiveError> {
    if ranks.size() == 1 {
        return Ok(vec![value]);
    }
    let bytes = serde_json::to_vec(&value).expect("plain data");
    let parts = ranks.all_gather(what, &bytes)?;
    let read = |part: &Vec<u8>| serde_json::from_slice(part).expect("written by the same program");
    Ok(parts.iter().map(read).collect())
}

/// Checks that all ranks have the same value, of a kind that would make them go on differently.
///
/// # Errors
///
/// Names the first rank whose value is not rank 0's, and `what` it is.
pub fn agree<T: Serialize + DeserializeOwned + PartialEq>(
    ranks: &dyn Collective,
    what: &str,
    value: T,
) -> Result<(), CollectiveError> {
    let all = gather(ranks, what, value)?;
    match all.iter().position(|other| *other != all[0]) {
        None => Ok(()),
        Some(rank) => Err(CollectiveError::Differs { rank, what: what.into() }),
    }
}

/// What rank 0 makes, on all ranks; where it fails there, it fails on all.
///
/// # Errors
///
/// The leader's own error on rank 0, its message elsewhere.
pub fn from_leader<T, E>(
    ranks: &dyn Collective,
    what: &str,
    make: impl FnOnce() -> Result<T, E>,
) -> Result<T, E>
where
    T: Serialize + DeserializeOwned,
    E: std::fmt::Display + From<CollectiveError>,
{
    let made = leads(ranks).then(make);
    let told = made.as_ref().map(|made| match made {
        Ok(value) => Ok(serde_json::to_value(value).expect("plain data")),
        Err(error) => Err(error.to_string()),
    });
    let told = gather(ranks, what, told)?.swap_remove(0);
    match (made, told) {
        (Some(made), _) => made,
        (None, Some(Ok(value))) => {
            Ok(serde_json::from_value(value).expect("written by the same program"))
        }
        (None, Some(Err(message))) => Err(CollectiveError::Leader(message).into()),
        (None, None) => unreachable!("rank 0 always tells"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `work` on ranks that are threads; the results by rank.
    fn on_ranks<T: Send>(size: usize, work: impl Fn(&dyn Collective) -> T + Sync) -> Vec<T> {
        std::thread::scope(|scope| {
            let started = threads(size, std::time::Duration::from_secs(20)).into_iter();
            let work = &work;
            let running: Vec<_> = started.map(|rank| scope.spawn(move || work(&rank))).collect();
            running.into_iter().map(|rank| rank.join().unwrap()).collect()
        })
    }

    #[test]
    fn shares_cover_everything_once_and_differ_by_at_most_one() {
        for (size, total) in (1..6).flat_map(|size| (0..20).map(move |total| (size, total))) {
            let shares = on_ranks(size, |ranks| share(ranks, total));
            let all: Vec<usize> = shares.iter().cloned().flatten().collect();
            assert_eq!(all, (0..total).collect::<Vec<_>>());
            let lengths = || shares.iter().map(ExactSizeIterator::len);
            assert!(lengths().max().unwrap() - lengths().min().unwrap() <= 1);
        }
    }

    #[test]
    fn values_come_in_the_order_of_ranks() {
        for size in [1, 2, 5] {
            let found = on_ranks(size, |ranks| gather(ranks, "names", ranks.rank() * 3).unwrap());
            let expected: Vec<usize> = (0..size).map(|rank| rank * 3).collect();
            assert!(found.iter().all(|values| *values == expected), "{found:?}");
        }
    }

    #[test]
    fn ranks_that_differ_are_named() {
        let found = on_ranks(3, |ranks| agree(ranks, "examples", ranks.rank() == 2));
        let differs = CollectiveError::Differs { rank: 2, what: "examples".into() };
        assert_eq!(found, [Err(differs.clone()), Err(differs.clone()), Err(differs)]);
        assert_eq!(on_ranks(2, |ranks| agree(ranks, "examples", 7)), [Ok(()), Ok(())]);
    }

    #[test]
    fn what_the_leader_makes_or_fails_at_is_the_same_on_all_ranks() {
        #[derive(Debug, PartialEq, thiserror::Error)]
        enum Error {
            #[error("no space")]
            Own,
            #[error(transparent)]
            Ranks(#[from] CollectiveError),
        }
        let made = on_ranks(3, |ranks| from_leader(ranks, "x", || Ok::<_, Error>(7)));
        assert_eq!(made, [Ok(7), Ok(7), Ok(7)]);
        let failed = on_ranks(2, |ranks| from_leader(ranks, "x", || Err::<u8, _>(Error::Own)));
        let told = CollectiveError::Leader("no space".into());
        assert_eq!(failed, [Err(Error::Own), Err(Error::Ranks(told))]);
    }
}

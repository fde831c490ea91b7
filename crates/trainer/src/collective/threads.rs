//! Ranks that are threads of one process, for tests.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Collective, CollectiveError};

/// One of several ranks of this process.
#[derive(Debug)]
pub struct Thread {
    rank: usize,
    shared: Arc<Shared>,
}

/// Ranks that share this process; those that wait for another longer than `timeout` fail.
pub fn threads(size: usize, timeout: Duration) -> Vec<Thread> {
    let round = Round { parts: vec![None; size], ..Round::default() };
    let shared = Arc::new(Shared { round: Mutex::new(round), turn: Condvar::new(), timeout });
    (0..size).map(|rank| Thread { rank, shared: shared.clone() }).collect()
}

#[derive(Debug)]
struct Shared {
    round: Mutex<Round>,
    turn: Condvar,
    timeout: Duration,
}

/// One exchange after the other: ranks bring their parts, and all take the whole.
#[derive(Debug, Default)]
struct Round {
    number: usize,
    parts: Vec<Option<Vec<u8>>>,
    whole: Vec<Vec<u8>>,
    /// Ranks that have yet to take the whole.
    waiting: usize,
    /// A rank gave up, or is gone.
    failed: bool,
}

impl Shared {
    fn round(&self) -> MutexGuard<'_, Round> {
        self.round.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collective for Thread {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.shared.round().parts.len()
    }

    fn all_gather(&self, what: &str, bytes: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
        let Shared { turn, timeout, .. } = &*self.shared;
        let failed = || CollectiveError::Failed { what: what.into() };
        let before = |round: &mut Round| round.waiting > 0 && !round.failed;
        let mut round =
            turn.wait_while(self.shared.round(), before).unwrap_or_else(PoisonError::into_inner);
        round.parts[self.rank] = Some(bytes.to_vec());
        let number = round.number;
        if round.parts.iter().all(Option::is_some) {
            round.whole = round.parts.iter_mut().filter_map(Option::take).collect();
            round.waiting = round.whole.len();
            round.number += 1;
            turn.notify_all();
        }
        let missing = |round: &mut Round| round.number == number && !round.failed;
        let (mut round, waited) = turn
            .wait_timeout_while(round, *timeout, missing)
            .unwrap_or_else(PoisonError::into_inner);
        if round.number == number {
            let absent =
                |(rank, part): (usize, &Option<_>)| part.is_none().then(|| rank.to_string());
            let ranks: Vec<String> = round.parts.iter().enumerate().filter_map(absent).collect();
            round.failed = true;
            turn.notify_all();
            return Err(match waited.timed_out() {
                true => CollectiveError::Missing {
                    ranks: ranks.join(", "),
                    what: what.into(),
                    seconds: timeout.as_secs(),
                },
                false => failed(),
            });
        }
        round.waiting -= 1;
        turn.notify_all();
        Ok(round.whole.clone())
    }

    fn all_reduce(&self, what: &str, values: &mut [f32]) -> Result<(), CollectiveError> {
        let parts = self.all_gather(what, bytemuck::cast_slice(values))?;
        values.fill(0.0);
        for part in parts {
            let part: Vec<f32> = bytemuck::pod_collect_to_vec(&part);
            values.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
        }
        Ok(())
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shared.round().failed = true;
            self.shared.turn.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_exchanges_in_a_row_never_mix() {
        std::thread::scope(|scope| {
            for rank in threads(3, Duration::from_secs(20)) {
                scope.spawn(move || {
                    for round in 0..500 {
                        let mut values = [rank.rank() as f32, round as f32];
                        rank.all_reduce("values", &mut values).unwrap();
                        assert_eq!(values, [3.0, 3.0 * round as f32]);
                    }
                });
            }
        });
    }

    #[test]
    fn a_rank_that_does_not_come_is_named() {
        let mut ranks = threads(3, Duration::from_millis(50)).into_iter();
        let (absent, first, second) =
            (ranks.next().unwrap(), ranks.next().unwrap(), ranks.next().unwrap());
        let errors = std::thread::scope(|scope| {
            let wait = |rank: Thread| scope.spawn(move || rank.all_gather("scores", &[]));
            [wait(first), wait(second)].map(|rank| rank.join().unwrap().unwrap_err().to_string())
        });
        assert!(errors.iter().any(|e| e.contains("rank 0 did not come to exchange scores")));
        drop(absent);
    }

    #[test]
    fn a_panic_on_one_rank_ends_the_others() {
        let mut ranks = threads(2, Duration::from_secs(60)).into_iter();
        let (lost, other) = (ranks.next().unwrap(), ranks.next().unwrap());
        let panicked = std::thread::spawn(move || {
            let _lost = lost;
            panic!("on purpose");
        });
        let error = other.all_gather("scores", &[]).unwrap_err();
        assert_eq!(error, CollectiveError::Failed { what: "scores".into() });
        assert!(panicked.join().is_err());
    }
}

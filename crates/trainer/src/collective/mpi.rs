//! Ranks that an MPI launcher such as `mpirun` or Slurm's `srun` started.

use std::cell::Cell;
use std::time::{Duration, Instant};

use ::mpi::Threading;
use ::mpi::collective::{CommunicatorCollectives, SystemOperation};
use ::mpi::datatype::PartitionMut;
use ::mpi::environment::Universe;
use ::mpi::point_to_point::{Destination, Source};
use ::mpi::request::{Request, scope};
use ::mpi::topology::{Communicator, SimpleCommunicator};

use super::{Collective, CollectiveError};

/// This process among those of its launcher; without one, a run of one process.
pub struct Mpi {
    /// Ends MPI when it goes.
    _universe: Universe,
    world: SimpleCommunicator,
    local_rank: usize,
    timeout: Duration,
    /// Exchanges begun so far.
    exchanges: Cell<u64>,
}

/// Longest message: counts are 32 bits in MPI.
const LARGEST: usize = i32::MAX as usize;
/// Marks the message of a rank that waits for others.
const HERE: i32 = 7;
/// How long ranks that wait have to say so, when time is over.
const ROLL_CALL: Duration = Duration::from_secs(3);

impl Mpi {
    /// Joins the other processes; an exchange that takes longer than `timeout` ends the run.
    ///
    /// # Errors
    ///
    /// When MPI was started before in this process.
    pub fn start(timeout: Duration) -> Result<Self, String> {
        let (universe, _) = ::mpi::initialize_with_threading(Threading::Funneled)
            .ok_or("MPI runs already in this process")?;
        let world = universe.world();
        let local_rank = world.split_shared(world.rank()).rank() as usize;
        Ok(Self { _universe: universe, world, local_rank, timeout, exchanges: Cell::new(0) })
    }

    /// This rank among those on the same machine.
    pub fn local_rank(&self) -> usize {
        self.local_rank
    }

    /// Ends all ranks at once.
    pub fn abort(&self, code: i32) -> ! {
        self.world.abort(code)
    }

    /// Waits until an exchange is done. One that is not in time ends all ranks from here, because
    /// MPI may still write to its buffers.
    fn finish<'a, D: ?Sized, S: ::mpi::request::Scope<'a>>(
        &self,
        what: &str,
        mut request: Request<'a, D, S>,
    ) {
        let mut wait = Wait::new(self);
        while let Err(unfinished) = request.test() {
            request = unfinished;
            if wait.is_over() {
                let (ranks, seconds) = (wait.absent(), self.timeout.as_secs());
                let error = CollectiveError::Missing { ranks, what: what.into(), seconds };
                eprintln!("cppo: {error}");
                self.abort(1);
            }
            // Short exchanges are polled; long ones leave the core to others.
            if wait.started.elapsed() > Duration::from_millis(1) {
                std::thread::sleep(Duration::from_micros(100));
            }
        }
        wait.hear();
    }
}

/// A rank that waits in an exchange. The others tell rank 0 that they do, so that it knows who is
/// missing when the time of one of them is over.
struct Wait<'a> {
    mpi: &'a Mpi,
    /// Number of the exchange, the same on all ranks.
    number: u64,
    started: Instant,
    /// Said to rank 0 that this rank waits.
    told: bool,
    /// Who waits, as rank 0 knows it.
    here: Vec<bool>,
    /// The time of one of them is over.
    over: bool,
}

impl<'a> Wait<'a> {
    fn new(mpi: &'a Mpi) -> Self {
        let number = mpi.exchanges.get() + 1;
        mpi.exchanges.set(number);
        let mut here = vec![false; mpi.size()];
        here[0] = true;
        Self { mpi, number, started: Instant::now(), told: false, here, over: false }
    }

    fn is_over(&mut self) -> bool {
        let waited = self.started.elapsed();
        if !self.told && waited > (self.mpi.timeout / 2).min(Duration::from_secs(1)) {
            self.told = true;
            self.tell(false);
        }
        self.hear();
        self.over || waited > self.mpi.timeout
    }

    fn tell(&self, over: bool) {
        if self.mpi.rank() != 0 {
            let message = [self.number, u64::from(over)];
            self.mpi.world.process_at_rank(0).send_with_tag(&message[..], HERE);
        }
    }

    /// On rank 0: takes in what the others told.
    fn hear(&mut self) {
        if self.mpi.rank() != 0 {
            return;
        }
        let world = &self.mpi.world;
        while let Some(status) = world.any_process().immediate_probe_with_tag(HERE) {
            let source = status.source_rank();
            let (message, _) = world.process_at_rank(source).receive_vec_with_tag::<u64>(HERE);
            if let [number, over] = message[..]
                && number == self.number
            {
                self.here[source as usize] = true;
                self.over |= over == 1;
            }
        }
    }

    /// Which ranks did not come.
    fn absent(&mut self) -> String {
        let started = Instant::now();
        if self.mpi.rank() != 0 {
            self.tell(true);
            // Rank 0 says who is missing and ends the run, unless it is rank 0 that is.
            std::thread::sleep(2 * ROLL_CALL);
            return "0".into();
        }
        while started.elapsed() < ROLL_CALL {
            self.hear();
            std::thread::sleep(Duration::from_millis(10));
        }
        let absent = self.here.iter().enumerate().filter(|(_, here)| !**here);
        absent.map(|(rank, _)| rank.to_string()).collect::<Vec<_>>().join(", ")
    }
}

impl Drop for Mpi {
    fn drop(&mut self) {
        // The others would wait for this rank, and MPI's end for the others.
        if std::thread::panicking() {
            self.abort(101);
        }
    }
}

impl Collective for Mpi {
    fn rank(&self) -> usize {
        self.world.rank() as usize
    }

    fn size(&self) -> usize {
        self.world.size() as usize
    }

    fn all_gather(&self, what: &str, bytes: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
        let mut lengths = vec![0u64; self.size()];
        let own = [bytes.len() as u64];
        scope(|scope| {
            let world = &self.world;
            let request = world.immediate_all_gather_into(scope, &own[..], &mut lengths[..]);
            self.finish(what, request);
        });
        let total: u64 = lengths.iter().sum();
        assert!(total <= LARGEST as u64, "{total} bytes of {what} are more than MPI exchanges");
        let counts: Vec<i32> = lengths.iter().map(|&length| length as i32).collect();
        let offset = |end: &mut i32, count: &i32| {
            *end += count;
            Some(*end - count)
        };
        let offsets: Vec<i32> = counts.iter().scan(0, offset).collect();
        let mut all = vec![0u8; total as usize];
        {
            let mut parts = PartitionMut::new(&mut all[..], &counts[..], &offsets[..]);
            scope(|scope| {
                let world = &self.world;
                let request = world.immediate_all_gather_varcount_into(scope, bytes, &mut parts);
                self.finish(what, request);
            });
        }
        let part = |(&offset, &count): (&i32, &i32)| {
            all[offset as usize..(offset + count) as usize].to_vec()
        };
        Ok(offsets.iter().zip(&counts).map(part).collect())
    }

    fn all_reduce(&self, what: &str, values: &mut [f32]) -> Result<(), CollectiveError> {
        for values in values.chunks_mut(LARGEST) {
            let own = values.to_vec();
            scope(|scope| {
                let sum = SystemOperation::sum();
                let world = &self.world;
                let request = world.immediate_all_reduce_into(scope, &own[..], values, sum);
                self.finish(what, request);
            });
        }
        Ok(())
    }
}

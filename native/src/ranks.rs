//! The processes that train together: those of an MPI launcher, or this one alone.

use std::time::Duration;

use trainer::collective::Collective;

use crate::failure::Failure;

#[cfg(feature = "mpi")]
use trainer::collective::Mpi as World;
#[cfg(not(feature = "mpi"))]
use trainer::collective::Single as World;

/// This process among its launcher's.
pub struct Ranks {
    world: World,
}

impl Ranks {
    /// Joins the other processes; an exchange that takes longer than `timeout` ends the run.
    #[cfg(feature = "mpi")]
    pub fn join(timeout: Duration) -> Result<Self, Failure> {
        Ok(Self { world: World::start(timeout).map_err(Failure::usage)? })
    }

    /// This process alone; refuses to do the same run several times over.
    #[cfg(not(feature = "mpi"))]
    pub fn join(_timeout: Duration) -> Result<Self, Failure> {
        /// Where Open MPI, MPICH and its kin, and Slurm tell how many processes they started.
        const LAUNCHERS: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"];
        let launched = |name: &&str| std::env::var(name).is_ok_and(|size| size != "1");
        match LAUNCHERS.into_iter().find(launched) {
            None => Ok(Self { world: World }),
            Some(name) => Err(Failure::usage(format!(
                "{name} says that several processes were started, and this program was built \
                 without MPI; build it with --features mpi"
            ))),
        }
    }

    /// The ranks as the trainer sees them.
    pub fn world(&self) -> &dyn Collective {
        &self.world
    }

    /// Number of this process among those of its machine: which of several devices it takes.
    pub fn local_rank(&self) -> usize {
        #[cfg(feature = "mpi")]
        return self.world.local_rank();
        #[cfg(not(feature = "mpi"))]
        return 0;
    }

    /// Says why this process fails and ends the others, which would wait for it; alone, hands the
    /// failure back.
    pub fn end_all(&self, failure: Failure) -> Failure {
        #[cfg(feature = "mpi")]
        if self.world.size() > 1 {
            eprintln!("cppo: rank {}: {}", self.world.rank(), failure.message);
            self.world.abort(failure.code);
        }
        failure
    }
}

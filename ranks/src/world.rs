//! The ranks that this process was started with.

use crate::{Ranks, Result};

/// All ranks of a program, which must live until the last message is sent.
#[derive(Debug)]
pub struct World {
    ranks: Ranks,
    /// Ends MPI when it is dropped.
    #[cfg(feature = "mpi")]
    _universe: crate::message_passing::Universe,
}

impl World {
    /// The ranks that `mpirun` started; a single one in a build without the feature `mpi`, and for
    /// a program that was started without `mpirun`. To be called once in a process.
    ///
    /// # Errors
    /// If MPI can't be initialised.
    #[cfg(feature = "mpi")]
    pub fn join() -> Result<Self> {
        let (universe, ranks) = crate::message_passing::initialise()?;
        Ok(Self { ranks, _universe: universe })
    }

    /// A single rank: this build has no MPI.
    ///
    /// # Errors
    /// Never, in this build.
    #[cfg(not(feature = "mpi"))]
    pub fn join() -> Result<Self> {
        Ok(Self { ranks: Ranks::one() })
    }

    /// The ranks.
    #[must_use]
    pub const fn ranks(&self) -> &Ranks {
        &self.ranks
    }
}

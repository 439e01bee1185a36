//! Ranks that `mpirun` started, on one or many machines.

use std::fmt;

use mpi::Threading;
use mpi::datatype::{Partition, PartitionMut};
use mpi::environment;
use mpi::topology::{Communicator, SimpleCommunicator};
use mpi::traits::CommunicatorCollectives;

use crate::{Error, Parts, PartsMut, Ranks, Result, Transport};

/// MPI, initialised; ends it when dropped.
pub(crate) struct Universe(
    #[expect(dead_code, reason = "held to be dropped")] environment::Universe,
);

impl fmt::Debug for Universe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Universe")
    }
}

/// The ranks of `MPI_COMM_WORLD`, whose handle is the same for every thread.
#[derive(Debug)]
struct World;

/// Initialises MPI for calls from any thread, one at a time: a pool's threads compute, and
/// whichever is at the end of a layer communicates.
pub(crate) fn initialise() -> Result<(Universe, Ranks)> {
    let (universe, threading) = environment::initialize_with_threading(Threading::Serialized)
        .ok_or_else(|| Error::Library("it is initialised already".into()))?;
    if threading < Threading::Serialized {
        return Err(Error::Library(format!(
            "this library offers {threading:?}, and calls from several threads in turn \
            (MPI_THREAD_SERIALIZED) are needed"
        )));
    }
    let world = universe.world();
    let ranks = Ranks::over(world.rank() as usize, world.size() as usize, World);
    Ok((Universe(universe), ranks))
}

/// Lengths and their first places as MPI counts them.
fn counts(lengths: &[usize]) -> Result<(Vec<i32>, Vec<i32>)> {
    let mut end = 0usize;
    let starts = lengths.iter().map(|&length| {
        let start = end;
        end += length;
        start
    });
    let starts: Vec<usize> = starts.collect();
    if i32::try_from(end).is_err() {
        return Err(Error::Library(format!("a message of {end} bytes is beyond 2³¹")));
    }
    let counted = |values: &[usize]| values.iter().map(|&value| value as i32).collect();
    Ok((counted(lengths), counted(&starts)))
}

impl Transport for World {
    fn all_to_all(&self, send: Parts<'_>, receive: PartsMut<'_>) -> Result<()> {
        let world = SimpleCommunicator::world();
        let rank = world.rank() as usize;
        let (mut send_counts, send_starts) = counts(send.lengths)?;
        let (receive_counts, receive_starts) = counts(receive.lengths)?;
        if receive_counts[rank] == 0 {
            send_counts[rank] = 0;
        }
        let send = Partition::new(send.bytes, send_counts, send_starts);
        let mut receive = PartitionMut::new(receive.bytes, receive_counts, receive_starts);
        world.all_to_all_varcount_into(&send, &mut receive);
        Ok(())
    }

    fn all_gather(&self, send: &[u8], receive: PartsMut<'_>) -> Result<()> {
        let (lengths, starts) = counts(receive.lengths)?;
        let mut receive = PartitionMut::new(receive.bytes, lengths, starts);
        SimpleCommunicator::world().all_gather_varcount_into(send, &mut receive);
        Ok(())
    }

    fn abort(&self, exit_code: u8) -> ! {
        SimpleCommunicator::world().abort(exit_code.into())
    }
}

//! Several processes that train or evaluate one model together: data-parallel work.
//!
//! Each of the n processes is a *rank*, counted from 0, and takes a contiguous share of every batch
//! ([`Ranks::share`]). What they know together is a sum over ranks ([`Ranks::sum`]) or what each
//! says ([`Ranks::gather`]). A [`Transport`] moves bytes and adds nothing: sums are taken here, in
//! ascending order of the ranks, so that a result depends on how many ranks there are and on
//! nothing else, whatever library, network and message sizes.
//!
//! ```
//! use rung_ranks::{Ranks, threads};
//!
//! let sums = threads::on_each(3, |ranks: Ranks| {
//!     let mut values = vec![ranks.rank() as f64, 1.0];
//!     ranks.sum(&mut values).unwrap();
//!     values
//! });
//! assert_eq!(sums, vec![vec![3.0, 3.0]; 3]);
//! ```
//!
//! | file | what is in it |
//! |---|---|
//! | `transport.rs` | what a library has to offer |
//! | `threads.rs` | ranks that are threads of one process: for tests, without a library |
//! | `logical.rs` | ranks of which several are in each process |
//! | `world.rs`, `message_passing.rs` | the ranks that `mpirun` started (feature `mpi`) |
//!
//! Chapter 8 of the reader's book, `docs/book/src/`, has the training step that sums over ranks.

mod logical;
#[cfg(feature = "mpi")]
mod message_passing;
pub mod threads;
mod transport;
mod world;

use std::ops::{AddAssign, Range};
use std::process;
use std::sync::{Arc, Mutex, PoisonError};

use bytemuck::Pod;

pub use transport::{Parts, PartsMut, Transport};
pub use world::World;

/// Why ranks could not work together.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Another rank has ended.
    #[error("rank {rank} has ended while rank {here} waited for it")]
    Gone {
        /// The rank that ended.
        rank: usize,
        /// The rank that noticed.
        here: usize,
    },
    /// A message is not of the length that was agreed on.
    #[error("bug: rank {rank} sent {found} bytes, {expected} were expected; please report it")]
    Length {
        /// The sender.
        rank: usize,
        /// What came.
        found: usize,
        /// What was expected.
        expected: usize,
    },
    /// Logical ranks that are no multiple of those that have them.
    #[error("{count} logical ranks can't be shared by {size} ranks alike")]
    Uneven {
        /// How many logical ranks are wanted.
        count: usize,
        /// How many ranks there are.
        size: usize,
    },
    /// The library refused.
    #[error("MPI: {0}")]
    Library(String),
}

/// A result of working together.
pub type Result<T> = std::result::Result<T, Error>;

/// Bytes that are summed at once: bounds the memory that a sum takes beside the numbers themselves,
/// and is far below the 2³¹ bytes that MPI can count.
const PIECE_BYTES: usize = 1 << 24;

/// The ranks that share a work, seen from one of them. Every method that communicates must be
/// called by all ranks, in the same order.
#[derive(Clone, Debug)]
pub struct Ranks(
    /// `None` for a single one, which takes no memory.
    Option<Arc<Group>>,
);

/// Several ranks, seen from one of them.
#[derive(Debug)]
struct Group {
    rank: usize,
    size: usize,
    transport: Box<dyn Transport>,
    /// Where a sum receives the numbers of the others: kept, since filling megabytes with zeros in
    /// every step takes as long as adding them up. Of `u64` to lie as any number must.
    received: Mutex<Vec<u64>>,
}

impl Default for Ranks {
    fn default() -> Self {
        Self::one()
    }
}

impl Ranks {
    /// A single rank, which shares with nobody.
    #[must_use]
    pub const fn one() -> Self {
        Self(None)
    }

    /// Rank `rank` of the `size` that a transport connects.
    #[must_use]
    pub fn over(rank: usize, size: usize, transport: impl Transport + 'static) -> Self {
        let transport = Box::new(transport);
        Self(Some(Arc::new(Group { rank, size, transport, received: Mutex::default() })))
    }

    /// What connects this rank with others, if there are some.
    fn others(&self) -> Option<&dyn Transport> {
        self.0.as_deref().filter(|group| group.size > 1).map(|group| &*group.transport)
    }

    /// Which rank this is, from 0.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.0.as_ref().map_or(0, |group| group.rank)
    }

    /// How many ranks there are.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.as_ref().map_or(1, |group| group.size)
    }

    /// Whether this is rank 0, which alone writes and speaks.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.rank() == 0
    }

    /// Whether there are others.
    #[must_use]
    pub fn are_many(&self) -> bool {
        self.size() > 1
    }

    /// The rows of `0..total` that are this rank's.
    #[must_use]
    pub fn share(&self, total: usize) -> Range<usize> {
        self.share_of(self.rank(), total)
    }

    /// The rows of `0..total` that are a rank's: [r·total/n, (r+1)·total/n), rounded down, so that
    /// shares differ by one row at most.
    #[must_use]
    pub fn share_of(&self, rank: usize, total: usize) -> Range<usize> {
        let (n, total) = (self.size() as u128, total as u128);
        let edge = |rank: usize| (rank as u128 * total / n) as usize;
        edge(rank)..edge(rank + 1)
    }

    /// Replaces `values[i]` on every rank by Σ_r `values[i]` of rank r, added in ascending order of
    /// r. All ranks end with the same bits.
    ///
    /// Each rank owns a contiguous share of the values, receives the others' numbers for it, adds,
    /// and sends the sums to all: 2·(n−1)/n times the bytes of `values` leave each rank.
    ///
    /// # Errors
    /// If another rank has ended.
    pub fn sum<T: Pod + AddAssign>(&self, values: &mut [T]) -> Result<()> {
        let Some(group) = self.0.as_deref().filter(|group| group.size > 1) else { return Ok(()) };
        let mut received = group.received.lock().unwrap_or_else(PoisonError::into_inner);
        let piece = (PIECE_BYTES / size_of::<T>().max(1)).max(1);
        values.chunks_mut(piece).try_for_each(|values| self.sum_piece(&mut received, values))
    }

    fn sum_piece<T: Pod + AddAssign>(
        &self,
        received: &mut Vec<u64>,
        values: &mut [T],
    ) -> Result<()> {
        let Some(others) = self.others() else { return Ok(()) };
        let (rank, count) = (self.rank(), values.len());
        let owned = |rank| self.share_of(rank, count).len() * size_of::<T>();
        let owned_by: Vec<usize> = (0..self.size()).map(owned).collect();
        let mine = self.share(count);
        // This rank's own numbers stay where they are.
        let expected: Vec<usize> =
            (0..self.size()).map(|from| if from == rank { 0 } else { owned_by[rank] }).collect();
        let bytes: usize = expected.iter().sum();
        let words = bytes.div_ceil(size_of::<u64>());
        if received.len() < words {
            received.resize(words, 0);
        }
        let into = &mut bytemuck::cast_slice_mut(received)[..bytes];
        let send = Parts { bytes: bytemuck::cast_slice(values), lengths: &owned_by };
        others.all_to_all(send, PartsMut { bytes: into, lengths: &expected })?;
        let (sums, of_others) = bytemuck::cast_slice_mut::<_, T>(into).split_at_mut(mine.len());
        if !mine.is_empty() {
            // The first of the others are in `sums` already: rank 0's, or rank 1's where this is
            // rank 0, to which that is added as well as the other way round.
            let before = rank.saturating_sub(1);
            let of_others = of_others.chunks_exact(mine.len());
            let terms = (of_others.clone().take(before))
                .chain([&values[mine]])
                .chain(of_others.skip(before));
            for term in terms {
                sums.iter_mut().zip(term).for_each(|(sum, &value)| *sum += value);
            }
        }
        let all = PartsMut { bytes: bytemuck::cast_slice_mut(values), lengths: &owned_by };
        others.all_gather(bytemuck::cast_slice(sums), all)
    }

    /// What each rank says, in ascending order; the lengths may differ.
    ///
    /// # Errors
    /// If another rank has ended.
    pub fn gather(&self, mine: &[u8]) -> Result<Vec<Vec<u8>>> {
        let lengths = self.lengths(mine.len())?;
        let all = self.joined(mine, &lengths)?;
        let parts = Parts { bytes: &all, lengths: &lengths };
        Ok(parts.each().map(<[u8]>::to_vec).collect())
    }

    /// The numbers of every rank end to end, in ascending order; as many from each.
    ///
    /// # Errors
    /// If another rank has ended.
    pub fn gather_numbers<T: Pod>(&self, mine: &[T]) -> Result<Vec<T>> {
        self.joined(mine, &vec![mine.len(); self.size()])
    }

    /// The values of every rank end to end, in ascending order; the ranks may have different
    /// numbers of them.
    ///
    /// # Errors
    /// If another rank has ended.
    pub fn join<T: Pod>(&self, mine: Vec<T>) -> Result<Vec<T>> {
        match self.are_many() {
            true => self.joined(&mine, &self.lengths(mine.len())?),
            false => Ok(mine),
        }
    }

    /// The values of every rank end to end, `lengths[r]` of rank r.
    fn joined<T: Pod>(&self, mine: &[T], lengths: &[usize]) -> Result<Vec<T>> {
        let Some(others) = self.others() else { return Ok(mine.to_vec()) };
        let mut all = vec![T::zeroed(); lengths.iter().sum()];
        let lengths: Vec<usize> = lengths.iter().map(|&length| length * size_of::<T>()).collect();
        let all_parts = PartsMut { bytes: bytemuck::cast_slice_mut(&mut all), lengths: &lengths };
        others.all_gather(bytemuck::cast_slice(mine), all_parts)?;
        Ok(all)
    }

    /// [`Ranks::join`] for rank 0 alone: the others get nothing, and need no memory for it.
    /// Messages are of bounded size, whatever there is.
    ///
    /// # Errors
    /// If another rank has ended.
    pub fn join_on_first<T: Pod>(&self, mine: Vec<T>) -> Result<Vec<T>> {
        self.join_in_pieces(mine, PIECE_BYTES / self.size() / size_of::<T>().max(1))
    }

    /// The same in messages of at most so many values of each rank.
    fn join_in_pieces<T: Pod>(&self, mine: Vec<T>, piece: usize) -> Result<Vec<T>> {
        let Some(others) = self.others() else { return Ok(mine) };
        let lengths = self.lengths(mine.len())?;
        let piece = piece.max(1);
        let mut of_ranks: Vec<Vec<T>> = match self.is_first() {
            true => lengths.iter().map(|&length| Vec::with_capacity(length)).collect(),
            false => Vec::new(),
        };
        for start in (0..lengths.iter().copied().max().unwrap_or(0)).step_by(piece) {
            let part = |length: usize| start.min(length)..(start + piece).min(length);
            let send = &mine[part(mine.len())];
            let (mut sent, mut received) = (vec![0; self.size()], vec![0; self.size()]);
            sent[0] = size_of_val(send);
            let counts: Vec<usize> = match self.is_first() {
                true => lengths.iter().map(|&length| part(length).len()).collect(),
                false => Vec::new(),
            };
            let bytes = counts.iter().map(|count| count * size_of::<T>());
            received.iter_mut().zip(bytes).for_each(|(length, bytes)| *length = bytes);
            let mut values = vec![T::zeroed(); counts.iter().sum()];
            let into = bytemuck::cast_slice_mut(&mut values);
            let send = Parts { bytes: bytemuck::cast_slice(send), lengths: &sent };
            others.all_to_all(send, PartsMut { bytes: into, lengths: &received })?;
            let mut rest = values.as_slice();
            for (of_rank, &count) in of_ranks.iter_mut().zip(&counts) {
                of_rank.extend_from_slice(rest.split_off(..count).unwrap_or(&[]));
            }
        }
        Ok(of_ranks.concat())
    }

    /// How many values each rank has.
    fn lengths(&self, mine: usize) -> Result<Vec<usize>> {
        let lengths = self.gather_numbers(&[mine as u64])?;
        Ok(lengths.into_iter().map(|length| length as usize).collect())
    }

    /// What each rank sends to this one, `expected[r]` bytes of rank r, end to end; part r of
    /// `send` goes to rank r.
    fn exchanged(&self, send: Parts<'_>, expected: &[usize]) -> Result<Vec<u8>> {
        let Some(others) = self.others() else { return Ok(send.bytes.to_vec()) };
        let mut received = vec![0; expected.iter().sum()];
        others.all_to_all(send, PartsMut { bytes: &mut received, lengths: expected })?;
        Ok(received)
    }

    /// What rank 0 says.
    ///
    /// # Errors
    /// If another rank has ended.
    pub fn from_first(&self, mine: &[u8]) -> Result<Vec<u8>> {
        let said = if self.is_first() { mine } else { &[] };
        Ok(self.gather(said)?.swap_remove(0))
    }

    /// Whether any rank says yes.
    ///
    /// # Errors
    /// If another rank has ended.
    pub fn any(&self, mine: bool) -> Result<bool> {
        Ok(self.gather_numbers(&[u8::from(mine)])?.contains(&1))
    }

    /// Ends all ranks at once, with this exit code.
    pub fn abort(&self, exit_code: u8) -> ! {
        match self.others() {
            Some(others) => others.abort(exit_code),
            None => process::exit(exit_code.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_contiguous_and_differ_by_one_row_at_most() {
        for size in [1, 2, 4, 7] {
            threads::on_each(size, |ranks| {
                for total in [0, 1, 6, 7, 256, 1001] {
                    let shares: Vec<_> = (0..size).map(|r| ranks.share_of(r, total)).collect();
                    let edges = shares.windows(2).all(|pair| pair[0].end == pair[1].start);
                    assert!(edges && shares[0].start == 0 && shares[size - 1].end == total);
                    let lengths = shares.iter().map(ExactSizeIterator::len);
                    let (least, most) = (lengths.clone().min(), lengths.max());
                    assert!(most.unwrap() - least.unwrap() <= 1, "{shares:?}");
                }
            });
        }
    }

    /// Numbers whose sum depends on the order: the result must be that of ascending ranks.
    #[test]
    fn a_sum_is_that_of_ascending_ranks_whatever_the_length() {
        let value = |rank: usize, i: usize| [1e-8, 1.0, 1e8][rank % 3] + i as f32;
        for size in [1, 2, 3, 7] {
            // Miri takes minutes for more.
            for len in [0, 1, 5, if cfg!(miri) { 20 } else { 1000 }] {
                let expected: Vec<f32> = (0..len)
                    .map(|i| (1..size).fold(value(0, i), |sum, rank| sum + value(rank, i)))
                    .collect();
                let sums = threads::on_each(size, |ranks| {
                    let mut values: Vec<f32> = (0..len).map(|i| value(ranks.rank(), i)).collect();
                    ranks.sum(&mut values).unwrap();
                    values
                });
                assert!(sums.iter().all(|sum| *sum == expected), "{size} ranks, {len} values");
            }
        }
    }

    #[test]
    fn a_sum_of_several_pieces_is_whole() {
        let len = PIECE_BYTES / 8 + 3;
        for sum in threads::on_each(2, |ranks| {
            let mut values = vec![1.0f64 + ranks.rank() as f64; len];
            ranks.sum(&mut values).unwrap();
            values
        }) {
            assert!(sum.len() == len && sum.iter().all(|&value| value == 3.0));
        }
    }

    #[test]
    fn what_ranks_say_comes_in_their_order() {
        let heard = threads::on_each(3, |ranks| {
            let mine = vec![ranks.rank() as u8; ranks.rank()];
            let from_first = ranks.from_first(format!("rank {}", ranks.rank()).as_bytes());
            let any = (ranks.any(ranks.rank() == 2).unwrap(), ranks.any(false).unwrap());
            (ranks.gather(&mine).unwrap(), from_first.unwrap(), any)
        });
        for (all, first, any) in heard {
            assert_eq!(all, [vec![], vec![1], vec![2, 2]]);
            assert_eq!(first, b"rank 0");
            assert_eq!(any, (true, false));
        }
    }

    #[test]
    fn what_ranks_have_is_joined_in_their_order() {
        for size in [1, 2, 3, 7] {
            let values = |rank: usize| -> Vec<u16> {
                let len = [5, 0, 9][rank % 3];
                (0..len).map(|i| 100 * rank as u16 + i).collect()
            };
            let expected = (0..size).flat_map(values).collect::<Vec<_>>();
            let joined = threads::on_each(size, |ranks| {
                let of_pieces = |piece| ranks.join_in_pieces(values(ranks.rank()), piece).unwrap();
                let on_first = [1, 2, 4, 100].map(of_pieces);
                (ranks.join(values(ranks.rank())).unwrap(), on_first)
            });
            for (rank, (on_all, on_first)) in joined.into_iter().enumerate() {
                assert_eq!(on_all, expected, "{size} ranks");
                let first = if rank == 0 { expected.as_slice() } else { &[] };
                assert!(on_first.iter().all(|found| found == first), "{rank} of {size}");
            }
        }
    }

    #[test]
    fn a_rank_that_ends_is_an_error_for_those_that_wait() {
        let ends = threads::on_each(3, |ranks| match ranks.rank() {
            1 => None,
            _ => Some(ranks.sum(&mut [1.0f32; 8]).unwrap_err().to_string()),
        });
        assert_eq!(ends[0].as_deref(), Some("rank 1 has ended while rank 0 waited for it"));
        assert!(ends[1].is_none() && ends[2].is_some());
    }
}

//! Work on many images a chunk at a time, with less at once on a device that lacks the memory.

use std::ops::Range;

use rung_ranks::Ranks;

use super::together;
use crate::error::Result;

/// Does `work` for the parts of `0..total` in order, `at_once` each; `false` if `stop` said so
/// before the end.
///
/// A part that the device has no memory for is tried again with half as much, down to one; `work`
/// must therefore leave nothing behind when it fails.
///
/// # Errors
/// What `work` returns, unless fewer at once can help.
pub fn in_chunks(
    total: usize,
    at_once: usize,
    stop: impl Fn() -> bool,
    mut work: impl FnMut(Range<usize>) -> Result<()>,
) -> Result<bool> {
    let (mut at_once, mut start) = (at_once.max(1), 0);
    while start < total {
        if stop() {
            return Ok(false);
        }
        let size = at_once.min(total - start);
        match work(start..start + size) {
            Ok(()) => start += size,
            Err(error) if error.is_out_of_memory() && size > 1 => at_once = size.div_ceil(2),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// [`in_chunks`] of this rank's share of `0..total`, of which each rank has a contiguous part;
/// `false` on all ranks if one of them was stopped.
///
/// # Errors
/// As [`in_chunks`], and if another rank has ended.
pub fn in_shared_chunks(
    ranks: &Ranks,
    total: usize,
    at_once: usize,
    stop: impl Fn() -> bool,
    mut work: impl FnMut(Range<usize>) -> Result<()>,
) -> Result<bool> {
    let Range { start, end } = ranks.share(total);
    let all_done =
        in_chunks(end - start, at_once, stop, |part| work(start + part.start..start + part.end))?;
    Ok(!together::any(ranks, !all_done)?)
}

/// How many of `0..total` all ranks have done together when this one has done its share up to
/// `end`: about as many on each.
pub fn done_by_all(ranks: &Ranks, total: usize, end: usize) -> usize {
    (end.saturating_sub(ranks.share(total).start) * ranks.size()).min(total)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::error::{Context, Error};

    /// The parts of ten that are done on a device with memory for `room` at once.
    fn parts(at_once: usize, room: usize) -> Result<Vec<Range<usize>>> {
        let mut done = Vec::new();
        in_chunks(
            10,
            at_once,
            || false,
            |part| {
                if part.len() > room {
                    let (device, requested_bytes) = ("cpu".to_string(), part.len());
                    let lacking = rung_kernels::Error::OutOfMemory {
                        device,
                        requested_bytes,
                        device_bytes: None,
                    };
                    return Err(lacking).context("reading").context("working");
                }
                done.push(part);
                Ok(())
            },
        )?;
        Ok(done)
    }

    #[test]
    fn a_part_that_lacks_memory_is_halved_until_it_fits() {
        assert_eq!(parts(4, 4).unwrap(), [0..4, 4..8, 8..10]);
        assert_eq!(parts(100, 3).unwrap(), [0..3, 3..6, 6..9, 9..10]);
        assert_eq!(parts(0, 1).unwrap().len(), 10);
        assert!(parts(4, 0).unwrap_err().is_out_of_memory());
    }

    #[test]
    fn another_failure_is_not_tried_again() {
        let mut tries = 0;
        let failed = in_chunks(
            10,
            4,
            || false,
            |_| {
                tries += 1;
                Err(Error::new("the device is gone"))
            },
        );
        assert!(failed.is_err());
        assert_eq!(tries, 1);
    }

    #[test]
    fn ranks_share_the_parts_and_a_stop_of_one_is_that_of_all() {
        for stopped in [None, Some(1)] {
            let shared = rung_ranks::threads::on_each(3, |ranks| {
                let mut done = Vec::new();
                let stop = || Some(ranks.rank()) == stopped;
                let work = |part: Range<usize>| {
                    done.push((part.clone(), done_by_all(&ranks, 10, part.end)));
                    Ok(())
                };
                (in_shared_chunks(&ranks, 10, 2, stop, work).unwrap(), done)
            });
            assert!(shared.iter().all(|(all_done, _)| *all_done == stopped.is_none()));
            let of = |rank: usize| shared[rank].1.clone();
            assert_eq!(of(0), [(0..2, 6), (2..3, 9)]);
            assert_eq!(of(2), [(6..8, 6), (8..10, 10)]);
            assert_eq!(of(1).is_empty(), stopped.is_some());
        }
    }

    #[test]
    fn a_stop_comes_before_the_next_part() {
        let done = Cell::new(0);
        let work = |part: Range<usize>| {
            done.set(part.end);
            Ok(())
        };
        assert!(!in_chunks(10, 4, || done.get() >= 4, work).unwrap());
        assert_eq!(done.get(), 4);
    }
}

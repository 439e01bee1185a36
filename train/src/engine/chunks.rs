//! Work on many images a chunk at a time, with less at once on a device that lacks the memory.

use std::ops::Range;

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

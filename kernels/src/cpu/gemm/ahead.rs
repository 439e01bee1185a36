//! What is packed next, fetched while tiles are multiplied.

use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};

/// Numbers in a cache line.
const LINE: usize = 16;

/// The cache lines of a part of an operand, which are fetched to the second-level cache a few at a
/// time.
///
/// The part consists of runs of numbers that lie side by side, a matrix row apart: what hardware
/// fetches ahead ends, for nothing, behind each run.
pub(super) struct Ahead {
    run: *const f32,
    runs_left: usize,
    run_len: usize,
    run_stride: usize,
    /// Numbers of the run that are fetched.
    fetched: usize,
    lines_at_once: usize,
}

impl Ahead {
    /// Nothing to fetch.
    pub(super) const NOTHING: Self = Self {
        run: std::ptr::null(),
        runs_left: 0,
        run_len: 0,
        run_stride: 0,
        fetched: 0,
        lines_at_once: 0,
    };

    /// `runs` runs of `run_len` numbers each, the first at `first`, in so many calls of
    /// [`fetch_some`](Self::fetch_some).
    pub(super) fn new(
        first: *const f32,
        runs: usize,
        run_len: usize,
        run_stride: usize,
        calls: usize,
    ) -> Self {
        let lines_at_once = (runs * run_len.div_ceil(LINE)).div_ceil(calls);
        Self { run: first, runs_left: runs, run_len, run_stride, fetched: 0, lines_at_once }
    }

    /// Fetches the next few lines, if any are left.
    #[inline]
    pub(super) fn fetch_some(&mut self) {
        for _ in 0..self.lines_at_once {
            if self.runs_left == 0 {
                return;
            }
            // SAFETY: a prefetch may point anywhere.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(self.run.wrapping_add(self.fetched).cast()) };
            self.fetched += LINE;
            if self.fetched >= self.run_len {
                (self.run, self.fetched) = (self.run.wrapping_add(self.run_stride), 0);
                self.runs_left -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_every_run_is_fetched_in_so_many_calls() {
        for (runs, run_len, calls) in
            [(1, 1, 1), (16, 256, 15), (256, 16, 43), (5, 20, 3), (0, 7, 2)]
        {
            let mut ahead = Ahead::new(std::ptr::null(), runs, run_len, 1000, calls);
            for _ in 0..calls {
                ahead.fetch_some();
            }
            assert_eq!(ahead.runs_left, 0, "{runs} runs of {run_len} in {calls} calls");
        }
    }

    #[test]
    fn nothing_is_fetched_of_nothing() {
        let mut ahead = Ahead::NOTHING;
        ahead.fetch_some();
        assert!(ahead.run.is_null());
    }
}

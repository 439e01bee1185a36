//! Times and their spread.

use std::time::Instant;

/// The spread of several times, in any unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timing {
    /// The middle one (of an even number, the mean of the two in the middle).
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Timing {
    /// The spread of these times; zeros if there are none.
    pub fn of(times: &[f64]) -> Self {
        let mut sorted = times.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (Some(&min), Some(&max)) = (sorted.first(), sorted.last()) else {
            return Self { median: 0.0, min: 0.0, max: 0.0 };
        };
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Self { median, min, max }
    }
}

/// What `work` returns, and how many milliseconds it took.
///
/// # Errors
/// What `work` returns.
pub fn timed_ms<R, E>(work: impl FnOnce() -> Result<R, E>) -> Result<(R, f64), E> {
    let started = Instant::now();
    let result = work()?;
    Ok((result, started.elapsed().as_secs_f64() * 1e3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(Timing::of(&[3.0, 1.0, 2.0]), Timing { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(Timing::of(&[4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert_eq!(Timing::of(&[]).max, 0.0);
    }
}

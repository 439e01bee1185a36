//! Memory for what a file holds: bounded by the file, and refused as an error.
//!
//! | what | bound |
//! |------|-------|
//! | plain content | the length of the file |
//! | compressed content | 16 MiB and a hundred times the file |
//! | one array | what the machine has left, asked for before the first byte is read |

use crate::{Error, Result, cgroup};

/// What compressed content may inflate to whatever its size: labels and blank images compress by
/// more than [`INFLATION`].
const SMALL_CONTENT: u64 = 16 << 20;
/// What compressed content may inflate to for each byte of it. Black-and-white images stored as
/// doubles, the most wasteful form in use, inflate to about fifty.
const INFLATION: u64 = 100;
/// Memory that is asked for without a look at what the machine has left.
const UNQUESTIONED_BYTES: u64 = 64 << 20;

/// The most bytes that are read from compressed content of so many bytes: a small file that claims
/// more is made to fill the memory of whoever opens it.
pub(crate) const fn inflated_at_most(compressed: u64) -> u64 {
    compressed.saturating_mul(INFLATION).saturating_add(SMALL_CONTENT)
}

/// An empty vector with room for exactly `count` elements.
///
/// # Errors
/// [`Error::Memory`] if the machine has not as much left.
pub(crate) fn reserved<T>(count: usize, what: &str) -> Result<Vec<T>> {
    let bytes = (count as u64).saturating_mul(size_of::<T>() as u64);
    let refuse = || Error::Memory { what: what.to_string(), bytes, available: available() };
    if bytes > UNQUESTIONED_BYTES && available().is_some_and(|available| bytes > available) {
        return Err(refuse());
    }
    let mut values = Vec::new();
    values.try_reserve_exact(count).map_err(|_| refuse())?;
    Ok(values)
}

/// Bytes that this process can still have without others being slowed down, where the system says
/// it: by what the machine has and by the limits of the control groups (containers, batch systems).
#[must_use]
pub fn available() -> Option<u64> {
    [of_machine(), cgroup::available()].into_iter().flatten().min()
}

fn of_machine() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_machine_has_is_refused_with_the_figure() {
        assert!(reserved::<u64>(1000, "pixels").unwrap().capacity() >= 1000);
        for count in [usize::MAX, usize::MAX / 8, 1 << 50] {
            let error = reserved::<u64>(count, "pixels").unwrap_err().to_string();
            assert!(error.starts_with("pixels: ") && error.contains(" MB of memory"), "{error}");
        }
    }
}

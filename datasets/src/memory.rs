//! Memory for what a file holds: bounded by the file, and refused as an error.
//!
//! | what | bound |
//! |------|-------|
//! | plain content | the length of the file |
//! | compressed content | 16 MiB and a hundred times the file; or 1032 times, within 4 GiB and half of what the machine has left |
//! | one array | what the machine has left, asked for before the first byte is read |

use rung_kernels::attempt;

use crate::{Error, Result, cgroup};

/// What compressed content may inflate to whatever its size.
const SMALL_CONTENT: u64 = 16 << 20;
/// What compressed content may inflate to for each byte of it, however much memory that takes: as
/// much as black-and-white images stored as doubles.
const INFLATION: u64 = 100;
/// The most that DEFLATE makes of a byte: two bits for a match of 258 bytes. Images of 0 and 1 with
/// a byte for each pixel come to some 300.
const MOST_INFLATION: u64 = 1032;
/// What content of more than [`INFLATION`] may take. The largest of its kind in use, dSprites, is
/// 3.0 GB.
const MOST_INFLATED: u64 = 4 << 30;
/// Memory that is asked for without a look at what the machine has left.
const UNQUESTIONED_BYTES: u64 = 64 << 20;

/// The most bytes that are read from compressed content of so many bytes: a small file that claims
/// more is made to fill the memory of whoever opens it.
pub(crate) fn inflated_at_most(compressed: u64) -> u64 {
    inflated_within(compressed, available)
}

/// The same on a machine that has as many bytes left as `available` says, where that is known. It
/// is asked only if the answer depends on it, which it does not for a few kilobytes.
fn inflated_within(compressed: u64, available: impl FnOnce() -> Option<u64>) -> u64 {
    let usual = compressed.saturating_mul(INFLATION).saturating_add(SMALL_CONTENT);
    let most = compressed.saturating_mul(MOST_INFLATION);
    if most <= usual {
        return usual;
    }
    let room = available().map_or(MOST_INFLATED, |available| MOST_INFLATED.min(available / 2));
    usual.max(most.min(room))
}

/// An empty vector with room for exactly `count` elements, of `what`.
///
/// # Errors
/// [`Error::Memory`] if the machine has not as much left.
pub fn reserved<T>(count: usize, what: &str) -> Result<Vec<T>> {
    let bytes = (count as u64).saturating_mul(size_of::<T>() as u64);
    let refuse = || Error::Memory { what: what.to_string(), bytes, available: available() };
    if bytes > UNQUESTIONED_BYTES && available().is_some_and(|available| bytes > available) {
        return Err(refuse());
    }
    let mut values = Vec::new();
    attempt(|| values.try_reserve_exact(count)).map_err(|_| refuse())?;
    Ok(values)
}

/// A number of bytes in words.
#[must_use]
pub fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// Bytes that this process can still have without others being slowed down, where the system says
/// it: by what the machine has, by the limits of the control groups (containers, batch systems),
/// and by its own (`ulimit -v`).
#[must_use]
pub fn available() -> Option<u64> {
    [of_machine(), cgroup::available(), of_process()].into_iter().flatten().min()
}

/// What the limit on this process's address space leaves, if there is one.
fn of_process() -> Option<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    left_of_address_space(&limits, &status)
}

/// The same from what `/proc/self/limits` and `/proc/self/status` say.
fn left_of_address_space(limits: &str, status: &str) -> Option<u64> {
    let soft = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    let limit: u64 = soft.split_whitespace().next()?.parse().ok()?;
    Some(limit.saturating_sub(kilobytes(status, "VmSize:")?))
}

fn of_machine() -> Option<u64> {
    kilobytes(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")
}

/// The bytes in the line `name` of a file of the kernel's that counts in kB.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_inflates_as_far_as_deflate_can_within_half_of_what_is_left() {
        const KB: u64 = 1 << 10;
        const MB: u64 = 1 << 20;
        let within = |compressed, available| inflated_within(compressed, || available);
        assert_eq!(within(MB, Some(1 << 40)), 1032 * MB);
        assert_eq!(within(MB, Some(400 * MB)), 200 * MB);
        assert_eq!(within(MB, Some(2 * MB)), 116 * MB, "the usual");
        assert_eq!(within(20 * MB, None), MOST_INFLATED);
        assert_eq!(within(100 * MB, None), 10_016 * MB, "the usual is more");
        assert_eq!(within(u64::MAX, Some(0)), u64::MAX);
        let usual = inflated_within(10 * KB, || panic!("asked what is left"));
        assert_eq!(usual, 16 * MB + 1000 * KB);
    }

    #[test]
    fn a_limit_on_the_address_space_counts() {
        let limits = |soft: &str| {
            format!("Limit Soft Hard Units\nMax address space         {soft}    unlimited  bytes\n")
        };
        let status = "VmPeak:\t  400 kB\nVmSize:\t  300 kB\n";
        assert_eq!(left_of_address_space(&limits("1024000"), status), Some(700 * 1024));
        assert_eq!(left_of_address_space(&limits("1024"), status), Some(0));
        assert_eq!(left_of_address_space(&limits("unlimited"), status), None);
        assert_eq!(left_of_address_space("", status), None);
    }

    #[test]
    fn what_no_machine_has_is_refused_with_the_figure() {
        assert!(reserved::<u64>(1000, "pixels").unwrap().capacity() >= 1000);
        for count in [usize::MAX, usize::MAX / 8, 1 << 50] {
            let error = reserved::<u64>(count, "pixels").unwrap_err().to_string();
            assert!(error.starts_with("pixels: ") && error.contains(" MB of memory"), "{error}");
        }
    }
}

//! Allocations that may fail: those whose caller says so to the allocator, because it can do with
//! less or has an error for its own caller.
//!
//! The program ends in an error where any other allocation fails. An allocator cannot tell the two
//! apart by itself.

use std::cell::Cell;

thread_local!(static DEPTH: Cell<u32> = const { Cell::new(0) });

/// Does `work`, whose allocations on this thread may fail.
pub fn attempt<R>(work: impl FnOnce() -> R) -> R {
    struct Deeper;
    impl Drop for Deeper {
        fn drop(&mut self) {
            DEPTH.set(DEPTH.get() - 1);
        }
    }
    DEPTH.set(DEPTH.get() + 1);
    let _deeper = Deeper;
    work()
}

/// Whether an allocation on this thread may fail; allocates nothing.
#[must_use]
pub fn is_attempt() -> bool {
    DEPTH.get() > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_ends_with_its_work_however_that_ends() {
        assert!(!is_attempt());
        assert!(attempt(|| attempt(is_attempt) && is_attempt()));
        assert!(!is_attempt());
        assert!(std::panic::catch_unwind(|| attempt(|| panic!("as it should"))).is_err());
        assert!(!is_attempt());
        assert!(!attempt(|| std::thread::spawn(is_attempt).join().unwrap()), "of one thread alone");
    }
}

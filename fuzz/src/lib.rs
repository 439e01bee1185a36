//! Everything that comes from outside, under random input: one function a format.
//!
//! The contract of each is the same. Whatever the bytes, it returns: no panic, no abort, memory
//! below half a gigabyte. Most functions read the bytes twice: as they are, and as the *content* of
//! a file whose container (archive, compression, checksum) is made right around them, so that what
//! lies behind a checksum is reached too.
//!
//! `run.sh` runs them under libFuzzer; `cargo fuzz run NAME` does as well.

mod files;
#[cfg(feature = "program")]
mod program;

pub use files::{cifar, idx, mat, norb, npy, npz, picture, tar, zip};
#[cfg(feature = "program")]
pub use program::{checkpoint, config, preset, report, seeds};

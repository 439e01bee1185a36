//! Counter-based random numbers: the n-th number of a stream is a function, not a state.
//!
//! [`Philox`] maps a key and a 128-bit counter to four random words. The key is the seed of a run;
//! the counter holds the address of the number: which stream (purpose and layer), which step of
//! training, which element. Any thread, and any device, can therefore compute any number alone, and
//! a resumed run needs no generator state but its step. Start with `philox.rs` (integers);
//! `normal.rs` turns the words into floats; `registry.rs` says whose stream and steps are which.

mod normal;
mod philox;
mod registry;

pub use normal::{normal_at, normal_quad, uniform_at, uniform_from_word};
pub use philox::{Address, Philox, philox4x32};
pub use registry::{Phase, Stream};

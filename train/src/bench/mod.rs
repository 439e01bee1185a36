//! What `rung bench` measures: a training step and its profile, an evaluation, the kernels, the processor's peak, and steps on demand.
//!
//! The images are random pixels made here, so that nothing needs files; they go the way of a training run all the same: copied to the
//! device as bytes, gathered and binarised there, batch by batch.

pub mod convolutions;
pub mod evaluate;
pub mod kernels;
pub mod passes;
pub mod peak;
mod profile;
pub mod rates;
pub mod serve;
pub mod step;
mod timing;
mod workload;

pub use timing::{Timing, timed_ms};
pub use workload::{Subject, Workload};

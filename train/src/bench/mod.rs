//! What `rung bench` measures: a training step and its profile, an evaluation, the kernels, the
//! CPU's peak, steps on demand, and two programs turn by turn.
//!
//! The images are random pixels made here, so that nothing needs files; they go the way of a
//! training run all the same: copied to the device as bytes, gathered and binarised there, batch by
//! batch.

pub mod compare;
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

pub use timing::{Timing, timed_ms};

use crate::config::Config;
use crate::engine::device::DeviceChoice;

/// What is measured, from the command line.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The configuration of the preset, with the batch size that was asked for.
    pub config: Config,
    /// What computes it.
    pub device: DeviceChoice,
    /// Print JSON.
    pub json: bool,
}

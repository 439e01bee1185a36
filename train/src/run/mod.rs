//! The folder of a run: what lies in it, who may write to it, and how a trained model comes out of
//! it again.
//!
//! Start with `folder.rs`, which knows the place of everything. `checkpoint.rs` keeps the numbers
//! of a model, `metrics.rs` and `tensorboard.rs` what was measured on the way, `evaluations.rs`
//! what was measured of the trained model; `load.rs` opens a run as `arguments.rs` lets the user
//! ask for it, `export.rs` writes a model for other programs, and `atomic_file.rs` replaces files
//! as a whole.

pub mod arguments;
pub mod atomic_file;
pub mod checkpoint;
pub mod evaluations;
pub mod export;
pub mod folder;
pub mod load;
pub mod metrics;
pub mod tensorboard;

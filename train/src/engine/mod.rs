//! The engine: what trains, whatever is trained. What that is, is a [`Task`](crate::tasks::Task);
//! nothing here knows which.
//!
//! `prepared.rs` is what a training begins or goes on with, `training_images.rs` what it learns
//! from, `trainer.rs` one step, `terms.rs` what the steps report, summed on the device,
//! `training.rs` the loop over epochs, `soundness.rs` when it refuses to go on, `records.rs` what
//! an epoch writes down, `saving.rs` its files and checkpoints, `previews.rs` the pictures on the
//! way, `finish.rs` what a finished run ends with, `together.rs` what the ranks agree on. Around
//! them: `batch_norm.rs` has the exact statistics, `memory.rs` says what a training takes,
//! by a step on the random pixels of `workload.rs`; `device.rs` and `spin_wait.rs` are where it
//! computes, `chunks.rs` halves what lacks memory, `interrupt.rs` hears Ctrl-C.

pub mod batch_norm;
pub mod chunks;
pub mod device;
mod finish;
pub mod interrupt;
pub mod memory;
mod prepared;
mod previews;
mod records;
mod saving;
mod soundness;
pub mod spin_wait;
mod terms;
pub(crate) mod together;
mod trainer;
mod training;
mod training_images;
mod workload;

pub use finish::Ending;
pub use prepared::{BestScore, Prepared};
pub use terms::Terms;
pub use trainer::{Skipped, Trainer};
pub use training::{Outcome, Training};
pub use training_images::TrainingImages;
pub use workload::Workload;

//! Training: the loop, what it measures, and how it stops and goes on.
//!
//! `prepared.rs` is what a training begins or goes on with; `trainer.rs` is one step; `terms.rs` sums what the steps report, on the device; `run.rs` is the loop over epochs with its
//! checkpoints, metrics and pictures; `finish.rs` is what a finished run ends with; `previews.rs` draws the pictures of the events on
//! the way. What is trained is a [`Task`](crate::tasks::Task): nothing here knows which.

mod finish;
mod prepared;
mod previews;
mod records;
mod run;
mod terms;
mod trainer;

pub use finish::Ending;
pub use prepared::{Prepared, best_score};
pub use run::{Outcome, Training, TrainingImages};
pub use terms::Terms;
pub use trainer::Trainer;

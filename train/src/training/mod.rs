//! Training: the loop, what it measures, and how it stops and goes on.
//!
//! `prepared.rs` is what a training begins or goes on with; `step.rs` is one step; `terms.rs` sums what the steps report, on the device; `run.rs` is the loop over epochs with its checkpoints,
//! metrics and pictures; `finish.rs` is what a finished run ends with; `showing.rs` draws the pictures of
//! the events on the way; `labelled.rs` has the images of known class for semi-supervised training.

mod finish;
mod labelled;
mod prepared;
mod records;
mod run;
mod showing;
mod step;
mod terms;

pub use finish::Ending;
pub use labelled::LabelledImages;
pub use prepared::Prepared;
pub use run::{Outcome, Training, TrainingImages};
pub use step::Trainer;
pub use terms::Terms;

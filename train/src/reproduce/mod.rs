//! `rung reproduce`: the tables and figures of the papers, by command.
//!
//! `experiments.rs` is what the papers report, as data; `plan.rs` says which runs that takes and
//! what is left of each; `queue.rs` works on several at once; `estimate.rs` measures how long it
//! will take; `measured.rs` is what a finished run has brought, `report/paired.rs` compares two
//! image by image; `table.rs` sets the paper's numbers beside ours; `card.rs` is a run on one page.
//! The runs themselves are ordinary ones: each lies in a folder of its own, and every other command
//! works on it. Start with `experiments.rs`.

pub mod card;
pub mod estimate;
pub mod experiments;
pub mod measured;
pub mod plan;
pub mod queue;
pub mod table;

pub use experiments::{EXPERIMENTS, Experiment};
pub use plan::{Plan, Planned, Stage};

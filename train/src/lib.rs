//! Rung as a library: what the program is made of, for programs that load its runs and use its
//! models.
//!
//! # The map
//! | room | what |
//! |---|---|
//! | [`cli`] | one file a subcommand; nothing below imports it |
//! | [`config`], [`presets`] | the configuration of a run, and where it comes from |
//! | [`data`] | from a data set to the tensors that a model sees |
//! | [`tasks`] | what can be trained: the families, each with its loss, its scores and its use |
//! | [`engine`] | what trains, whatever the task |
//! | [`model`] | a model on a device, from a configuration or a checkpoint |
//! | [`run`] | the folder of a run: checkpoints, metrics, events, evaluations |
//! | [`report`], [`reproduce`], [`mod@bench`] | the page of a run, the papers' tables, measurements of speed |
//! | [`progress`], [`error`] | what the user sees |
//!
//! Chapter 15 of the reader's book, `docs/book/src/`, reads the report of a run.
//!
//! A run is loaded and sampled from in `examples/sample_a_run.rs`.

pub mod bench;
pub mod cli;
pub mod config;
pub mod data;
pub mod engine;
pub mod error;
pub mod model;
pub mod presets;
pub mod progress;
pub mod report;
pub mod reproduce;
pub mod run;
pub mod tasks;

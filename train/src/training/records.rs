//! What a run writes down after an epoch: a line of metrics, and the same numbers for TensorBoard.

use rung_datasets::Split;
use rung_models::Group;
use serde_json::json;

use super::terms::TermMeans;
use crate::config::Change;
use crate::error::Result;
use crate::evaluation::{Evaluation, rounded};
use crate::metrics::{MetricsWriter, Record, unix_s};
use crate::tensorboard::EventWriter;

/// Significant digits of a unit's divergence in an epoch that is not evaluated in full: more than its sampling error has.
const UNIT_DIGITS: usize = 4;

/// The line of `starts.jsonl`: when, where and with what a run begins or goes on, and with what changes of its configuration.
pub(super) fn start_record(step: u64, parameters: usize, device: &str, changes: &[Change]) -> Record {
    let mut line = Record::new();
    line.insert("step".into(), json!(step));
    line.insert("unix_s".into(), json!(unix_s()));
    line.insert("device".into(), json!(device));
    line.insert("threads".into(), json!(rayon::current_num_threads()));
    line.insert("system".into(), json!(format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)));
    line.insert("rung".into(), json!(env!("CARGO_PKG_VERSION")));
    line.insert("parameters".into(), json!(parameters));
    if !changes.is_empty() {
        let changed = |change: &Change| (change.key.clone(), json!({"from": change.from, "to": change.to}));
        line.insert("changed".into(), changes.iter().map(changed).collect());
    }
    line
}

/// What happened in an epoch.
#[derive(Debug)]
pub(super) struct EpochRecord<'a> {
    pub(super) epoch: u64,
    pub(super) step: u64,
    /// The stochastic groups that the terms are of.
    pub(super) groups: &'a [Group],
    /// The part of the data set that the held-out images are.
    pub(super) held_out_split: Split,
    pub(super) warmup: f64,
    pub(super) learning_rate: f64,
    pub(super) train: &'a TermMeans,
    pub(super) elapsed_s: f64,
    pub(super) images: u64,
    pub(super) held_out: Option<&'a Evaluation>,
    /// What some of the held-out images say in an epoch that is not evaluated in full.
    pub(super) glance: Option<&'a Evaluation>,
}

impl EpochRecord<'_> {
    pub(super) fn write(&self, metrics: &mut MetricsWriter, events: &mut EventWriter) -> Result<()> {
        metrics.write(self.step, &self.line())?;
        self.write_events(events)
    }

    /// The line of `metrics.jsonl`, but for the step; `docs/run-folder.md` documents the keys.
    fn line(&self) -> Record {
        let mut line = Record::new();
        let mut add = |key: &str, value: serde_json::Value| line.insert(key.into(), value);
        add("epoch", json!(self.epoch));
        add("warmup", json!(self.warmup));
        add("learning_rate", json!(self.learning_rate));
        add("train_bound_nats", json!(self.train.bound()));
        add("train_log_p_x_nats", json!(self.train.log_p_x));
        add("groups", json!(self.groups.iter().map(Group::name).collect::<Vec<_>>()));
        add("train_kl_nats", json!(self.train.kl));
        add("epoch_s", json!(self.elapsed_s));
        add("images_per_s", json!(self.images as f64 / self.elapsed_s.max(1e-9)));
        add("held_out_split", json!(self.held_out_split.to_string()));
        if let Some(held_out) = self.held_out {
            add("held_out_bound_1_nats", json!(held_out.bound_1.mean));
            add("held_out_standard_error_nats", json!(held_out.bound_1.standard_error));
            add("held_out_log_p_x_nats", json!(held_out.log_p_x));
            add("held_out_kl_nats", json!(held_out.kl));
            add("held_out_kl_per_unit_nats", json!(held_out.kl_per_unit));
            add("active_units", json!(held_out.active_units()));
            if let Some(error) = held_out.error_rate {
                add("held_out_error_rate", json!(error));
            }
        }
        if let Some(glance) = self.glance {
            add("glance_images", json!(glance.images));
            add("glance_bound_1_nats", json!(glance.bound_1.mean));
            add("glance_kl_per_unit_nats", json!(rounded(&glance.kl_per_unit, UNIT_DIGITS)));
            add("active_units", json!(glance.active_units()));
            if let Some(error) = glance.error_rate {
                add("glance_error_rate", json!(error));
            }
        }
        line
    }

    fn write_events(&self, events: &mut EventWriter) -> Result<()> {
        let mut scalar = |tag: &str, value: f64| events.scalar(tag, self.step, value as f32);
        scalar("schedule/warmup", self.warmup)?;
        scalar("schedule/learning_rate", self.learning_rate)?;
        scalar("train/bound_nats", self.train.bound())?;
        scalar("train/log_p_x_nats", self.train.log_p_x)?;
        let keys: Vec<String> = self.groups.iter().map(Group::key).collect();
        for (key, kl) in keys.iter().zip(&self.train.kl) {
            scalar(&format!("train/kl_{key}_nats"), *kl)?;
        }
        let active = self.held_out.or(self.glance).into_iter().flat_map(Evaluation::active_units);
        for (key, active) in keys.iter().zip(active) {
            scalar(&format!("held_out/active_units_{key}"), active as f64)?;
        }
        if let Some(error) = self.held_out.or(self.glance).and_then(|evaluation| evaluation.error_rate) {
            scalar("held_out/error_rate", error)?;
        }
        if let Some(held_out) = self.held_out {
            scalar("held_out/bound_1_nats", held_out.bound_1.mean)?;
            for (key, kl) in keys.iter().zip(&held_out.kl) {
                scalar(&format!("held_out/kl_{key}_nats"), *kl)?;
            }
            for (key, units) in keys.iter().zip(&held_out.kl_per_unit) {
                let units: Vec<f32> = units.iter().map(|&kl| kl as f32).collect();
                events.histogram(&format!("held_out/kl_per_unit_{key}_nats"), self.step, &units)?;
            }
        }
        events.flush()
    }
}

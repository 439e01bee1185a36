//! What a run writes down after an epoch: a line of metrics, and the same numbers for TensorBoard.

use rung_datasets::Split;
use serde_json::json;

use crate::config::Change;
use crate::error::Result;
use crate::run::metrics::{MetricsWriter, Record, unix_s};
use crate::run::tensorboard::EventWriter;
use crate::tasks::{Measures, On, Scores};

/// The line of `starts.jsonl`: when, where and with what a run begins or goes on, and with what
/// changes of its configuration.
pub(super) fn start_record(
    step: u64,
    parameters: usize,
    device: &str,
    changes: &[Change],
) -> Record {
    let mut line = Record::new();
    line.insert("step".into(), json!(step));
    line.insert("unix_s".into(), json!(unix_s()));
    line.insert("device".into(), json!(device));
    line.insert("threads".into(), json!(rayon::current_num_threads()));
    line.insert(
        "system".into(),
        json!(format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)),
    );
    line.insert("rung".into(), json!(env!("CARGO_PKG_VERSION")));
    line.insert("parameters".into(), json!(parameters));
    if !changes.is_empty() {
        let changed =
            |change: &Change| (change.key.clone(), json!({"from": change.from, "to": change.to}));
        line.insert("changed".into(), changes.iter().map(changed).collect());
    }
    line
}

/// What happened in an epoch.
#[derive(Debug)]
pub(super) struct EpochRecord<'a> {
    pub(super) epoch: u64,
    pub(super) step: u64,
    /// Whether the held-out score is the best so far.
    pub(super) is_best: bool,
    /// What changes over the epochs, by name.
    pub(super) schedules: Vec<(&'static str, f64)>,
    pub(super) learning_rate: f64,
    /// Steps of it that were skipped, where steps are.
    pub(super) skipped: Option<u64>,
    pub(super) train: Measures,
    pub(super) elapsed_s: f64,
    pub(super) images: u64,
    /// The part of the data set that the held-out images are.
    pub(super) held_out_split: Split,
    pub(super) held_out: &'a dyn Scores,
    /// Whether these are all of them.
    pub(super) on: On,
}

impl EpochRecord<'_> {
    pub(super) fn write(
        &self,
        metrics: &mut MetricsWriter,
        events: &mut EventWriter,
    ) -> Result<()> {
        metrics.write(self.step, &self.line())?;
        self.write_events(events)
    }

    /// The line of `metrics.jsonl`, but for the step; `docs/run-folder.md` documents the keys.
    fn line(&self) -> Record {
        let mut line = self.fields();
        let mut add = |key: &str, value: serde_json::Value| line.insert(key.into(), value);
        for (name, value) in &self.schedules {
            add(name, json!(value));
        }
        add("learning_rate", json!(self.learning_rate));
        if let Some(skipped) = self.skipped {
            add("skipped_steps", json!(skipped));
        }
        if self.is_best {
            add("is_best", json!(true));
        }
        add("epoch_s", json!(self.elapsed_s));
        add("images_per_s", json!(self.images as f64 / self.elapsed_s.max(1e-9)));
        add("held_out_split", json!(self.held_out_split.to_string()));
        line
    }

    /// What programs read of the progress: the epoch and what was measured in it.
    pub(super) fn fields(&self) -> Record {
        let mut fields = Record::from_iter([("epoch".to_string(), json!(self.epoch))]);
        self.train.add_to(&mut fields, On::Train);
        self.held_out.measures().add_to(&mut fields, self.on);
        fields
    }

    fn write_events(&self, events: &mut EventWriter) -> Result<()> {
        for (name, value) in self.schedules.iter().chain([&("learning_rate", self.learning_rate)]) {
            events.scalar(&format!("schedule/{name}"), self.step, *value as f32)?;
        }
        if let Some(skipped) = self.skipped {
            events.scalar("train/skipped_steps", self.step, skipped as f32)?;
        }
        self.train.write_events(events, self.step, On::Train)?;
        self.held_out.measures().write_events(events, self.step, self.on)?;
        events.flush()
    }
}

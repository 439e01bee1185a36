//! What a training writes into: its metrics, its checkpoints, and a configuration that has changed.

use super::prepared::{
    BEST_EPOCH, BEST_SCORE, BEST_SCORE_NAME, EPOCH_SUMS, SKIPPED_IN_A_ROW, SKIPPED_IN_EPOCH,
};
use super::together;
use super::trainer::{Skipped, Trainer};
use super::training::Training;
use crate::config::{Change, Config, ScheduleName};
use crate::error::Result;
use crate::model::snapshot::{save_average, save_optimiser};
use crate::run::checkpoint::{CheckpointData, TensorData};
use crate::run::folder::RunFolder;
use crate::run::metrics::MetricsWriter;
use crate::run::tensorboard::EventWriter;

/// What a training writes into as it goes.
pub(super) struct Files {
    pub(super) metrics: MetricsWriter,
    pub(super) events: EventWriter,
}

impl Files {
    pub(super) fn open(run: &RunFolder, step: u64, config: &Config) -> Result<Self> {
        let metrics = MetricsWriter::open(&run.metrics(), step)?;
        let mut events = EventWriter::create(&run.events(), step)?;
        events.hyperparameters(&config.flat()?)?;
        Ok(Self { metrics, events })
    }
}

/// A configuration that takes the place of the run's own with its next checkpoint.
pub(super) struct NewConfig {
    /// What of the past it does not tell.
    pub(super) remark: Option<String>,
}

/// What a new number of epochs makes untrue of the past: a schedule that ends with the training had
/// other learning rates so far.
pub(super) fn remark_on_schedule(
    config: &Config,
    changes: &[Change],
    step: u64,
    per_epoch: u64,
) -> Option<String> {
    let change = changes.iter().find(|change| change.key == "train.epochs")?;
    let ends_with_training = match config.optimiser.schedule {
        ScheduleName::Cosine => "a cosine",
        _ if config.optimiser.final_decay_epochs > 0 => "a decay",
        _ => return None,
    };
    if step == 0 {
        return None;
    }
    let before =
        change.from.as_ref().map_or_else(|| "another number of".into(), ToString::to_string);
    Some(format!(
        "the learning rates of the first {} epochs were those of {ends_with_training} over \
        {before} epochs, not over {}: config.toml alone does not repeat this run",
        step.div_ceil(per_epoch),
        change.to
    ))
}

impl Training<'_> {
    /// Writes the newest checkpoint, the metrics before it being on the disk, if this is the rank
    /// that writes and all others have the same numbers.
    pub(super) fn checkpoint(&mut self) -> Result<()> {
        self.check_sound()?;
        together::check_same_model(&self.trainer.model)?;
        if self.files.is_some() {
            self.write_checkpoint()?;
        }
        // None goes on, or ends, before it is written.
        together::any(&self.trainer.model.ranks, false).map(drop)
    }

    fn write_checkpoint(&mut self) -> Result<()> {
        if let Some(Files { metrics, .. }) = &mut self.files {
            metrics.sync()?;
        }
        let data = self.snapshot()?;
        let per_epoch = self.steps_per_epoch()?;
        let epoch = self.step / per_epoch;
        // Before the last one: a process that is killed between the two goes on from before this
        // epoch, and comes by here again.
        if self.step.is_multiple_of(per_epoch) && self.is_kept(epoch) {
            self.save_new_config()?;
            data.save(&self.checkpoints.numbered(epoch))?;
        }
        self.save_last(&data)
    }

    /// Whether the checkpoint after an epoch is kept for good.
    pub(super) fn is_kept(&self, epoch: u64) -> bool {
        let keep = self.config.train.keep_every_epochs;
        keep > 0 && epoch.is_multiple_of(keep)
    }

    /// Makes `data` the run's last checkpoint.
    pub(super) fn save_last(&mut self, data: &CheckpointData) -> Result<()> {
        self.save_new_config()?;
        self.checkpoints.save_last(data)
    }

    /// A configuration that is another since the run went on takes its place before the first
    /// checkpoint, so that none is beyond the end of the configuration.
    fn save_new_config(&mut self) -> Result<()> {
        if let Some(NewConfig { remark }) = &self.new_config {
            self.run.save_changed_config(self.config, remark.as_deref())?;
            self.new_config = None;
        }
        Ok(())
    }

    /// All that a resumed run needs.
    pub(super) fn snapshot(&self) -> Result<CheckpointData> {
        let mut data = CheckpointData::default();
        let Trainer { model, optimiser, average, .. } = &self.trainer;
        model.save(&mut data)?;
        if let Some(average) = average {
            save_average(average, &model.store, &mut data)?;
        }
        save_optimiser(&**optimiser, &model.store, &mut data)?;
        data.metadata.insert("step".into(), self.step.to_string());
        if let Some(best) = self.best {
            data.metadata.insert(BEST_SCORE.into(), best.score.to_string());
            data.metadata.insert(BEST_EPOCH.into(), best.epoch.to_string());
            data.metadata.insert(BEST_SCORE_NAME.into(), model.task.score().name.into());
        }
        let (sums, steps) = self.terms.state()?;
        if steps > 0 {
            data.tensors.insert(EPOCH_SUMS.into(), TensorData::from_f64(&[sums.len()], &sums)?);
            data.metadata.insert("epoch_steps".into(), steps.to_string());
        }
        if self.trainer.skips() {
            let Skipped { in_epoch, in_a_row } = self.trainer.skipped;
            data.metadata.insert(SKIPPED_IN_EPOCH.into(), in_epoch.to_string());
            data.metadata.insert(SKIPPED_IN_A_ROW.into(), in_a_row.to_string());
        }
        Ok(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_that_ends_with_the_training_is_remarked_on_when_the_end_moves() {
        let mut before = Config::default();
        (before.train.epochs, before.optimiser.schedule) = (2, ScheduleName::Cosine);
        let mut now = before.clone();
        now.train.epochs = 4;
        let remark = |now: &Config, step| {
            remark_on_schedule(now, &now.changes_from(&before).unwrap(), step, 10)
        };
        let expected = "the learning rates of the first 2 epochs were those of a cosine over 2 \
        epochs, not over 4: config.toml alone does not repeat this run";
        assert_eq!(remark(&now, 20).as_deref(), Some(expected));
        assert_eq!(remark(&now, 0), None, "nothing was trained with the other rates");
        assert_eq!(remark(&before, 20), None);
        now.optimiser.schedule = ScheduleName::Step;
        assert_eq!(remark(&now, 20), None, "its rates do not depend on the end");
    }
}

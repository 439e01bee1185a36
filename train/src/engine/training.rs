//! The loop over epochs: steps, metrics, checkpoints; how a run stops and goes on.

use std::mem;
use std::time::Instant;

use rung_autograd::{Device, Tensor};
use rung_datasets::batch::shuffled;
use rung_datasets::{DataRecord, Split};
use rung_models::{BatchShare, Mode, Pass};

use super::interrupt::Interrupt;
use super::prepared::{
    BEST_EPOCH, BEST_SCORE, BEST_SCORE_NAME, Best, EPOCH_SUMS, Prepared, SKIPPED_IN_A_ROW,
    SKIPPED_IN_EPOCH,
};
use super::records::{EpochRecord, start_record};
use super::spin_wait::SpinWait;
use super::terms::Terms;
use super::together;
use super::trainer::{Skipped, Trainer};
use crate::config::{Change, Config, ScheduleName};
use crate::data::DeviceImages;
use crate::error::{Context, Error, Result};
use crate::model::Model;
use crate::model::snapshot::{save_average, save_optimiser};
use crate::progress::{Console, Progress};
use crate::run::checkpoint::{CheckpointData, Checkpoints, TensorData};
use crate::run::folder::RunFolder;
use crate::run::metrics::{self, MetricsWriter};
use crate::run::tensorboard::EventWriter;
use crate::tasks::{At, Loss, On, Request, Scores};

/// Held-out images that every epoch is judged by: enough to tell an active unit from a dead one,
/// for under a hundredth of the time of an epoch of MNIST.
const QUICK_IMAGES: usize = 1000;

/// A held-out score behind that of training by more than this part of it is explained.
const FAR_BEHIND: f64 = 0.1;
/// Batches of fewer images than this are named as a cause where a training breaks down.
const SMALL_BATCH: usize = 8;

/// Steps after which the loss is looked at on a device that works on its own: to look is to wait
/// for it.
const CHECK_EVERY_STEPS: u64 = 50;

/// How training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All epochs are done, or as many as the score got better in and its patience after them.
    Finished,
    /// It was asked to stop, and a checkpoint was written.
    Interrupted,
}

/// A run in progress.
pub struct Training<'a> {
    pub(super) config: &'a Config,
    pub(super) run: &'a RunFolder,
    pub(super) console: &'a Console,
    pub(super) trainer: Trainer,
    pub(super) images: &'a TrainingImages,
    pub(super) checkpoints: Checkpoints,
    /// Of the rank that writes, and no other.
    pub(super) files: Option<Files>,
    terms: Terms,
    /// Whether it has been said why the held-out score may be far behind that of training.
    is_lag_explained: bool,
    /// Steps done.
    pub(super) step: u64,
    /// The best held-out score so far.
    best: Option<Best>,
    /// The run goes on with another configuration, which is not written yet.
    new_config: Option<NewConfig>,
}

/// What a training writes into as it goes.
pub(super) struct Files {
    metrics: MetricsWriter,
    pub(super) events: EventWriter,
}

impl Files {
    fn open(run: &RunFolder, step: u64, config: &Config) -> Result<Self> {
        let metrics = MetricsWriter::open(&run.metrics(), step)?;
        let mut events = EventWriter::create(&run.events(), step)?;
        events.hyperparameters(&config.flat()?)?;
        Ok(Self { metrics, events })
    }
}

/// A configuration that takes the place of the run's own with its next checkpoint.
struct NewConfig {
    /// What of the past it does not tell.
    remark: Option<String>,
}

/// What a new number of epochs makes untrue of the past: a schedule that ends with the training had
/// other learning rates so far.
fn remark_on_schedule(
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
        {before} epochs, not over {}: config.toml alone \
         does not repeat this run",
        step.div_ceil(per_epoch),
        change.to
    ))
}

/// The splits a run uses, on the device.
#[derive(Debug)]
pub struct TrainingImages {
    /// What the data set is.
    pub record: DataRecord,
    /// What the model learns from.
    pub train: DeviceImages,
    /// What progress is judged by: the validation images if there are some, else the test images.
    pub held_out: DeviceImages,
    /// Which of the two.
    pub held_out_split: Split,
}

impl TrainingImages {
    /// Steps in an epoch of batches of `batch` images.
    ///
    /// # Errors
    /// If a batch needs more images than there are.
    pub fn steps_per_epoch(&self, batch: usize) -> Result<u64> {
        let images = self.train.count();
        match images / batch {
            0 => Err(Error::new(format!(
                "a batch of {batch} needs more than the {images} training images"
            ))
            .with_advice("choose a smaller --batch-size")),
            steps => Ok(steps as u64),
        }
    }
}

impl<'a> Training<'a> {
    /// A run that goes on from where `prepared` stands, with its files open. `changes` are those of
    /// its configuration, which are written with the next checkpoint. Of several ranks the first
    /// alone writes.
    ///
    /// # Errors
    /// If the run's files cannot be written, or a rank has other parameters.
    pub fn open(
        config: &'a Config,
        run: &'a RunFolder,
        console: &'a Console,
        images: &'a TrainingImages,
        prepared: Prepared,
        changes: &[Change],
    ) -> Result<Self> {
        let Prepared { trainer, terms, step, best } = prepared;
        let Model { task, store, ranks, .. } = &trainer.model;
        // From here on rank 0 changes files that the others have read.
        together::check_same_parameters(ranks, store)?;
        let checkpoints = Checkpoints::new(run.checkpoints());
        if ranks.is_first() {
            if let Some(chosen) = task.chosen() {
                run.keep_chosen(&chosen)?;
            }
            let device = store.device().description();
            let record = start_record(step, store.element_count(), &device, changes);
            metrics::append(&run.starts(), &record)?;
            checkpoints.remove_litter();
        }
        let remark = remark_on_schedule(
            config,
            changes,
            step,
            images.steps_per_epoch(config.train.batch_size)?,
        );
        if let Some(remark) = &remark {
            console.warn(remark);
        }
        let files = ranks.is_first().then(|| Files::open(run, step, config)).transpose()?;
        Ok(Self {
            config,
            run,
            console,
            trainer,
            images,
            checkpoints,
            files,
            terms,
            is_lag_explained: false,
            step,
            best,
            new_config: (!changes.is_empty()).then_some(NewConfig { remark }),
        })
    }

    /// Steps in an epoch.
    ///
    /// # Errors
    /// As [`TrainingImages::steps_per_epoch`].
    pub fn steps_per_epoch(&self) -> Result<u64> {
        self.images.steps_per_epoch(self.config.train.batch_size)
    }

    /// Trains up to the configured number of epochs, or until the held-out score has got no better
    /// for as long as the configuration has patience, or until asked to stop.
    ///
    /// # Errors
    /// If a term of the loss is no longer finite, the device fails, or a file cannot be written.
    pub fn run(&mut self, interrupt: &Interrupt) -> Result<Outcome> {
        let per_epoch = self.steps_per_epoch()?;
        let total = self.config.train.epochs * per_epoch;
        let mut progress = self.console.progress("training", "steps", self.step, total);
        let mut note = String::new();
        let _spin_wait = SpinWait::on(self.device());
        while self.step < total && !self.stops_early(self.step / per_epoch) {
            let epoch = self.step / per_epoch + 1;
            progress.set_part(&format!("epoch {epoch}/{}", self.config.train.epochs));
            let order = self.order(epoch)?;
            let started = Instant::now();
            let first = self.step;
            while self.step < epoch * per_epoch {
                self.one_step(&order, epoch, per_epoch)?;
                progress.update(self.step, &note);
                if self.step < epoch * per_epoch && self.stops(interrupt)? {
                    self.checkpoint()?;
                    return Ok(Outcome::Interrupted);
                }
            }
            note = self.end_epoch(
                epoch,
                started.elapsed().as_secs_f64(),
                self.step - first,
                &mut progress,
            )?;
            progress.update(self.step, &note);
            progress.milestone(&note);
            let (stopping, is_last) = (self.stops(interrupt)?, self.is_last(epoch));
            if stopping
                || is_last
                || epoch.is_multiple_of(self.config.train.checkpoint_every_epochs)
                || self.is_kept(epoch)
            {
                self.checkpoint()?;
            }
            if stopping && !is_last {
                return Ok(Outcome::Interrupted);
            }
        }
        drop(progress);
        if let Some(Files { events, .. }) = &mut self.files {
            events.session_end()?;
            events.flush()?;
        }
        self.explain_early_stop(self.step / per_epoch);
        Ok(Outcome::Finished)
    }

    /// Whether to stop, which all ranks hear alike.
    fn stops(&self, interrupt: &Interrupt) -> Result<bool> {
        together::any(&self.trainer.model.ranks, interrupt.requested())
    }

    /// Whether no epoch follows this one.
    fn is_last(&self, epoch: u64) -> bool {
        epoch == self.config.train.epochs || self.stops_early(epoch)
    }

    fn stops_early(&self, epoch: u64) -> bool {
        self.config.train.stops_early(self.best.map(|best| best.epoch), epoch)
    }

    /// Says why a training ends before its last epoch.
    fn explain_early_stop(&self, epoch: u64) {
        let Some(best) = self.best.filter(|_| epoch < self.config.train.epochs) else { return };
        let score = self.trainer.model.task.score().name;
        self.console.info(&format!(
            "epoch {epoch}: the training stops early, for the {score} of held-out images has been \
            best after epoch {} (train.patience_epochs = {}); checkpoints/best is that epoch's \
            model, the last one this epoch's",
            best.epoch, self.config.train.patience_epochs
        ));
    }

    /// The order of an epoch, on the device.
    fn order(&self, epoch: u64) -> Result<Tensor> {
        let count = self.images.train.count();
        let order = shuffled(self.config.train.seed, epoch, count as u32);
        Tensor::from_u32(self.device(), &order, [count]).context("copying the order of the images")
    }

    fn one_step(&mut self, order: &Tensor, epoch: u64, per_epoch: u64) -> Result<()> {
        let size = self.config.train.batch_size;
        let start = (self.step % per_epoch) as usize * size;
        let BatchShare { first, rows, .. } = self.trainer.share;
        let indices = order.slice(0, start + first, rows).context("gathering a batch")?;
        let at = At { epoch, step: self.step };
        let batch = self.trainer.model.task.batch(&self.images.train, &indices, at)?;
        let loss = self.trainer.step(&batch, at)?;
        if self.is_check_due(per_epoch)
            && let Some(culprit) = self.culprit(&loss)?
        {
            let why = self.trainer.first_not_finite(&batch, at)?;
            let why = together::first_word(&self.trainer.model.ranks, why)?;
            let why = why.map_or_else(String::new, |why| format!(": {why}"));
            return Err(self.ruined(&format!("{culprit} is no longer a finite number{why}")));
        }
        self.terms.add(&loss.terms)?;
        self.step += 1;
        Ok(())
    }

    /// Whether this step's loss is looked at: always where that costs nothing; elsewhere now and
    /// then, and before an epoch's end is written down. Parameters that are no longer finite stay
    /// so, so that a later look sees what an earlier one missed.
    fn is_check_due(&self, per_epoch: u64) -> bool {
        let next = self.step + 1;
        self.device().name() == "cpu"
            || next.is_multiple_of(CHECK_EVERY_STEPS)
            || next.is_multiple_of(per_epoch)
    }

    /// The term of a loss that is NaN or infinite, if there is one.
    fn culprit(&self, loss: &Loss) -> Result<Option<&str>> {
        let is_finite =
            |term: &Tensor| term.to_scalar().map(f64::is_finite).context("reading the loss");
        if is_finite(&loss.loss)? {
            return Ok(None);
        }
        for (name, term) in self.trainer.model.task.terms().iter().zip(&loss.terms) {
            if !is_finite(term)? {
                return Ok(Some(name));
            }
        }
        Ok(Some("the loss"))
    }

    /// Refuses to go on when a term of the loss is NaN or infinite.
    fn check_finite(&self, loss: &Loss) -> Result<()> {
        self.culprit(loss)?.map_or(Ok(()), |culprit| {
            Err(self.ruined(&format!("{culprit} is no longer a finite number")))
        })
    }

    fn ruined(&self, what: &str) -> Error {
        let mut advice = String::from("try a lower --learning-rate");
        if self.config.train.batch_size < SMALL_BATCH {
            advice += &format!(
                " or a larger --batch-size: the gradient of {} images is noise",
                self.config.train.batch_size
            );
        }
        if self.checkpoints.any() {
            advice += &format!(
                "; the last checkpoint before it is kept in {}",
                self.run.checkpoints().display()
            );
        }
        Error::new(format!("step {}: {what}", self.step + 1)).with_advice(advice)
    }

    /// Refuses to keep a model that its last step has ruined, which the loss before that step could
    /// not show.
    fn check_sound(&self) -> Result<()> {
        let images = &self.images.held_out;
        let count = images.count().min(self.config.train.batch_size);
        let Model { task, store, statistics, .. } = &self.trainer.model;
        for mode in [Mode::BatchOnly, Mode::Frozen(statistics)] {
            let mut pass = Pass::new(store, None, mode, self.config.train.seed, self.step);
            let loss = task
                .probe(&mut pass, images, count)
                .context("checking the model before it is kept")?;
            self.check_finite(&loss)?;
        }
        Ok(())
    }

    fn end_epoch(
        &mut self,
        epoch: u64,
        elapsed_s: f64,
        steps: u64,
        progress: &mut Progress<'_>,
    ) -> Result<String> {
        let Some(means) = self.terms.means()? else { return Ok(String::new()) };
        self.terms.reset()?;
        let is_full = epoch == self.config.train.epochs
            || epoch.is_multiple_of(self.config.train.evaluate_every_epochs);
        self.check_sound()?;
        let all = self.images.held_out.count();
        let scores = self.evaluate_held_out(if is_full { all } else { QUICK_IMAGES.min(all) })?;
        let in_epoch = mem::take(&mut self.trainer.skipped.in_epoch);
        let skipped = self.trainer.skips().then_some(in_epoch);
        let is_best = is_full && self.is_best(scores.value());
        let task = &self.trainer.model.task;
        let record = EpochRecord {
            epoch,
            is_best,
            step: self.step,
            schedules: task.schedules(epoch),
            learning_rate: self.trainer.learning_rate(epoch),
            skipped,
            train: task.training(&means),
            elapsed_s,
            images: steps * self.config.train.batch_size as u64,
            held_out_split: self.images.held_out_split,
            held_out: &*scores,
            on: if is_full { On::HeldOut } else { On::Quick },
        };
        let mut note =
            format!("epoch {epoch}: {}, held out {}", task.brief(&means), scores.brief());
        if in_epoch > 0 {
            note += &format!(", {in_epoch} of {steps} steps skipped");
        }
        let trained = task.score().training_key.and_then(|key| record.train.number(key));
        if let Some(Files { metrics, events }) = &mut self.files {
            record.write(metrics, events)?;
        }
        progress.set_fields(record.fields());
        if is_full {
            self.write_previews()?;
        }
        if is_best {
            self.best = Some(Best { score: scores.value(), epoch });
            if self.files.is_some() {
                self.snapshot()?.save(&self.checkpoints.best())?;
            }
        }
        if let Some(trained) = trained {
            self.explain_lag(epoch, trained, scores.value());
        }
        Ok(note)
    }

    /// Says, once, why a held-out score far behind that of training is no reason to worry, where
    /// running statistics of batch normalisation are behind it.
    fn explain_lag(&mut self, epoch: u64, trained: f64, held_out: f64) {
        let score = self.trainer.model.task.score();
        let has_statistics = self.trainer.model.statistics.iter().next().is_some();
        let is_far_behind = score.is_better(trained, held_out)
            && (trained - held_out).abs() > FAR_BEHIND * trained.abs();
        if self.is_lag_explained || !has_statistics || !is_far_behind {
            return;
        }
        self.is_lag_explained = true;
        let name = score.name;
        self.console.info(&format!(
            "epoch {epoch}: the held-out {name} ({held_out:.2}) is far behind that of training \
            ({trained:.2}) because it is measured \
             with running statistics of batch normalisation, which lag behind while the parameters \
             change fast; they catch up, and the \
             training ends with exact ones"
        ));
    }

    /// The score of the first `count` held-out images, with the running statistics and the EMA of
    /// the parameters, if there is one.
    fn evaluate_held_out(&mut self, count: usize) -> Result<Box<dyn Scores>> {
        let images = &self.images.held_out;
        let rows = self.trainer.model.rows_at_once();
        let request = Request::once(count, rows, self.config.train.seed);
        self.trainer.with_average(|model| model.evaluate(&model.statistics, images, request))
    }

    /// Whether a score of held-out images is better than all before it.
    fn is_best(&self, value: f64) -> bool {
        let score = self.trainer.model.task.score();
        value.is_finite() && self.best.is_none_or(|best| score.is_better(value, best.score))
    }

    /// Writes the newest checkpoint, the metrics before it being on the disk, if this is the rank
    /// that writes and all others have the same parameters.
    fn checkpoint(&mut self) -> Result<()> {
        self.check_sound()?;
        let Model { ranks, store, .. } = &self.trainer.model;
        together::check_same_parameters(ranks, store)?;
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
    fn is_kept(&self, epoch: u64) -> bool {
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

    fn device(&self) -> &Device {
        self.trainer.model.store.device()
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
        epochs, not over 4: config.toml alone \
                        does not repeat this run";
        assert_eq!(remark(&now, 20).as_deref(), Some(expected));
        assert_eq!(remark(&now, 0), None, "nothing was trained with the other rates");
        assert_eq!(remark(&before, 20), None);
        now.optimiser.schedule = ScheduleName::Step;
        assert_eq!(remark(&now, 20), None, "its rates do not depend on the end");
    }
}

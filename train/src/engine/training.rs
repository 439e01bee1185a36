//! The loop over epochs: steps, what each epoch ends with, how a run stops.

use std::mem;
use std::time::Instant;

use rung_autograd::{Device, Tensor};
use rung_datasets::batch::shuffled;
use rung_models::BatchShare;

use super::interrupt::Interrupt;
use super::prepared::{Best, Prepared};
use super::records::{EpochRecord, start_record};
use super::saving::{Files, NewConfig, remark_on_schedule};
use super::spin_wait::SpinWait;
use super::terms::Terms;
use super::together;
use super::trainer::Trainer;
use super::training_images::TrainingImages;
use crate::config::{Change, Config};
use crate::error::{Context, Result};
use crate::model::Model;
use crate::progress::{Console, Progress};
use crate::run::checkpoint::Checkpoints;
use crate::run::folder::RunFolder;
use crate::run::metrics::{self};
use crate::tasks::{At, On, Request, Scores};

/// Held-out images that every epoch is judged by: enough to tell an active unit from a dead one,
/// for under a hundredth of the time of an epoch of MNIST.
const QUICK_IMAGES: usize = 1000;

/// A held-out score behind that of training by more than this part of it is explained.
const FAR_BEHIND: f64 = 0.1;
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
    pub(super) terms: Terms,
    /// Whether it has been said why the held-out score may be far behind that of training.
    is_lag_explained: bool,
    /// Steps done.
    pub(super) step: u64,
    /// The best held-out score so far.
    pub(super) best: Option<Best>,
    /// The run goes on with another configuration, which is not written yet.
    pub(super) new_config: Option<NewConfig>,
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
        // From here on rank 0 changes files that the others have read.
        together::check_same_model(&trainer.model)?;
        let Model { task, store, ranks, .. } = &trainer.model;
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
        let BatchShare { first, rows, ranks, .. } = &self.trainer.share;
        let indices = order.slice(0, start + first, *rows).context("gathering a batch")?;
        let at = At { epoch, step: self.step };
        let batch = self.trainer.model.task.batch(&self.images.train, &indices, at, ranks)?;
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
            ({trained:.2}) because it is measured with running statistics of batch normalisation, \
            which lag behind while the parameters change fast; they catch up, and the training \
            ends with exact ones"
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

    pub(super) fn device(&self) -> &Device {
        self.trainer.model.store.device()
    }
}

//! What a training begins or goes on with, put together before anything of its run is written.

use super::terms::Terms;
use super::trainer::{Skipped, Trainer};
use super::training_images::TrainingImages;
use crate::config::{Config, TrainConfig};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::model::snapshot::{load_average, load_optimiser};
use crate::run::checkpoint::CheckpointData;

/// Name of the sums of the epoch so far, in a checkpoint written in the middle of one.
pub(super) const EPOCH_SUMS: &str = "training.epoch_sums";
/// Steps of the epoch so far that were skipped, and how many in a row, in a checkpoint's metadata.
pub(super) const SKIPPED_IN_EPOCH: &str = "epoch_skipped_steps";
pub(super) const SKIPPED_IN_A_ROW: &str = "skipped_steps_in_a_row";
/// The best score so far and what it is, in a checkpoint's metadata, its key before there were
/// other scores than bounds, and its epoch.
pub(super) const BEST_SCORE: &str = "best_score";
pub(super) const BEST_SCORE_NAME: &str = "best_score_name";
const BEST_BOUND: &str = "best_bound_nats";
pub(super) const BEST_EPOCH: &str = "best_epoch";

/// The best held-out score of a training so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Best {
    pub(super) score: f64,
    pub(super) epoch: u64,
}

/// The best score on held-out images that a checkpoint tells of.
#[derive(Debug, Clone, PartialEq)]
pub struct BestScore {
    /// The score.
    pub value: f64,
    /// [`Score::name`](crate::tasks::Score::name); checkpoints did not always say it.
    pub name: Option<String>,
}

impl BestScore {
    /// That of a checkpoint, if it tells of one.
    pub fn of(data: &CheckpointData) -> Option<Self> {
        let value = |key: &&str| data.metadata.get(*key)?.parse().ok();
        let value = [BEST_SCORE, BEST_BOUND].iter().find_map(value)?;
        Some(Self { value, name: data.metadata.get(BEST_SCORE_NAME).cloned() })
    }
}

/// A training with all of its numbers in memory, and no file of its run touched.
#[derive(Debug)]
pub struct Prepared {
    /// The model, with what moves it.
    pub trainer: Trainer,
    /// The sums of the epoch so far.
    pub(super) terms: Terms,
    /// Steps done.
    pub step: u64,
    /// The best held-out score so far.
    pub(super) best: Option<Best>,
}

impl Prepared {
    /// A training that starts at step 0: from the parameters that `model` has where the
    /// configuration says from which, else from fresh ones.
    ///
    /// # Errors
    /// If the device has no memory, or there are no labels where the configuration wants some.
    pub fn fresh(config: &Config, mut model: Model, images: &TrainingImages) -> Result<Self> {
        if config.train.init_from.is_empty() {
            model.initialise(&images.train, config)?;
        }
        Self::new(config, model, images)
    }

    /// A training that goes on from a checkpoint.
    ///
    /// # Errors
    /// If the checkpoint is of another model, or beyond the last epoch of the configuration.
    pub fn resumed(
        config: &Config,
        mut model: Model,
        images: &TrainingImages,
        data: &CheckpointData,
    ) -> Result<Self> {
        model.load(data)?;
        let step = data.steps("step")?;
        let per_epoch = images.steps_per_epoch(config.train.batch_size)?;
        let (done, epochs) = (step.div_ceil(per_epoch), config.train.epochs);
        if done > epochs {
            return Err(Error::new(format!(
                "the run is in epoch {done} (step {step}), and train.epochs is {epochs}"
            ))
            .with_advice(format!(
                "a run can't be made shorter than it is: --epochs {done} or more"
            )));
        }
        let mut prepared = Self::new(config, model, images)?;
        let Trainer { model, optimiser, average, .. } = &mut prepared.trainer;
        load_optimiser(&mut **optimiser, &model.store, data)?;
        if let Some(average) = average {
            load_average(average, &model.store, data)?;
        }
        if let Some(sums) = data.tensors.get(EPOCH_SUMS) {
            prepared.terms.restore(&sums.to_f64(), data.steps("epoch_steps")?)?;
        }
        if data.metadata.contains_key(SKIPPED_IN_EPOCH) {
            let [in_epoch, in_a_row] =
                [data.steps(SKIPPED_IN_EPOCH)?, data.steps(SKIPPED_IN_A_ROW)?];
            prepared.trainer.skipped = Skipped { in_epoch, in_a_row };
        }
        // Early versions did not say the epoch: there patience begins anew.
        let epoch = match data.metadata.contains_key(BEST_EPOCH) {
            true => data.steps(BEST_EPOCH)?,
            false => step / per_epoch,
        };
        // A run that was begun when another score counted has no best by this one yet.
        let score = prepared.trainer.model.task.score();
        let is_same = |best: &BestScore| best.name.as_ref().is_none_or(|name| name == score.name);
        let best = BestScore::of(data).filter(is_same);
        let best = best.map(|best| Best { score: best.value, epoch });
        Ok(Self { step, best, ..prepared })
    }

    fn new(config: &Config, mut model: Model, images: &TrainingImages) -> Result<Self> {
        let TrainConfig { seed, batch_size, .. } = config.train;
        model.task.prepare(&images.train, &images.held_out, seed, batch_size)?;
        let (device, dtype, terms) =
            (model.store.device().clone(), model.store.dtype(), model.task.terms().len());
        Ok(Self {
            terms: Terms::new(&device, dtype, terms)?,
            trainer: Trainer::new(model, config)?,
            step: 0,
            best: None,
        })
    }
}

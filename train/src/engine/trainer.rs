//! One step of training: loss, gradient, clipping, optimiser, EMA of the parameters.

use rung_autograd::optim::{
    Adam, AdamOptions, Adamax, AdamaxOptions, ClipOrder, Moved, Optimiser, ParameterAverage,
    RmsProp, RmsPropOptions, Schedule, Sgd, StepSize, final_decay, minimise_on,
};
use rung_autograd::{NotFinite, Tape};
use rung_models::{BatchNormStatistics, BatchShare, Mode, Pass};

use super::together::mean_of_all;
use crate::config::{
    Config, GradientClipOrder, LEAST_NORMALISED_BATCH, OptimiserConfig, OptimiserName,
    ScheduleName, TrainConfig,
};
use crate::error::{Advise, Context, Error, Result};
use crate::model::Model;
use crate::tasks::{At, Batch, Loss};

/// A model with what moves it.
#[derive(Debug)]
pub struct Trainer {
    /// The model.
    pub model: Model,
    /// The optimiser.
    pub optimiser: Box<dyn Optimiser>,
    /// The average of its parameters, if there is one.
    pub average: Option<ParameterAverage>,
    /// Steps that were skipped.
    pub skipped: Skipped,
    /// Which rows of a batch are this rank's.
    pub share: BatchShare,
    tape: Tape,
    settings: Settings,
}

/// Steps whose gradients were too large.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Since the epoch began.
    pub in_epoch: u64,
    /// Without one that was not skipped between.
    pub in_a_row: u64,
}

/// Steps skipped in a row after which none can be expected to succeed.
const HOPELESS: u64 = 100;

/// What an error of the average happened in.
const AVERAGING: &str = "averaging the parameters";
const LOSS: &str = "reading the loss";

/// The part of the configuration that a step reads.
#[derive(Debug, Clone)]
struct Settings {
    seed: u64,
    momentum: f64,
    /// With the learning rate before any schedule.
    size: StepSize,
    schedule: Schedule,
    final_decay_epochs: u64,
    /// The decay of the first moment before any milestone, and what it goes halfway to at each; 0
    /// for no change.
    beta_1: (f64, f64),
    epochs: u64,
    checkpoint_activations: bool,
}

impl Trainer {
    /// A trainer for a fresh or loaded model.
    ///
    /// # Errors
    /// If the device has no memory for the optimiser's state, or the model's ranks can't share a
    /// batch.
    pub fn new(model: Model, config: &Config) -> Result<Self> {
        let share = share_of_batch(&model, config)?;
        let optimiser = optimiser(&model, &config.optimiser)?;
        let train = &config.train;
        let average = (train.average_decay > 0.0)
            .then(|| ParameterAverage::new(&model.store, train.average_decay));
        let average = average.transpose().context("allocating the EMA of the parameters")?;
        let limit = |value: f64| if value > 0.0 { value } else { f64::INFINITY };
        let settings = Settings {
            seed: train.seed,
            momentum: config.family.batch_norm_momentum().unwrap_or(0.0),
            size: StepSize {
                learning_rate: config.optimiser.learning_rate,
                norm_limit: limit(train.gradient_norm_limit),
                norm_of_networks: train.gradient_norm_of_networks,
                element_limit: limit(train.gradient_element_limit),
                clip_order: match train.gradient_clip_order {
                    GradientClipOrder::NormFirst => ClipOrder::NormFirst,
                    GradientClipOrder::ElementsFirst => ClipOrder::ElementsFirst,
                },
                skipped_norm: limit(train.skipped_gradient_norm),
                l2_penalty: config.optimiser.l2_penalty,
            },
            schedule: schedule(&config.optimiser),
            final_decay_epochs: config.optimiser.final_decay_epochs,
            beta_1: (config.optimiser.beta_1, config.optimiser.beta_1_limit),
            epochs: train.epochs,
            checkpoint_activations: train.checkpoint_activations,
        };
        let (skipped, tape) = (Skipped::default(), Tape::new());
        Ok(Self { model, optimiser, average, skipped, share, tape, settings })
    }

    /// The learning rate in an epoch, counted from 1.
    pub fn learning_rate(&self, epoch: u64) -> f64 {
        let Settings { schedule, size, epochs, final_decay_epochs, .. } = &self.settings;
        let (epoch, epochs) = (epoch as usize, *epochs as usize);
        let rate = schedule.rate(size.learning_rate, epoch, epochs);
        rate * final_decay(*final_decay_epochs as usize, epoch, epochs)
    }

    /// The decay of the first moment in an epoch, counted from 1, where it changes.
    fn beta_1(&self, epoch: u64) -> Option<f64> {
        let (first, limit) = self.settings.beta_1;
        let passed = self.settings.schedule.passed(epoch as usize);
        (limit > 0.0).then(|| limit - (limit - first) * 0.5_f64.powf(passed as f64))
    }

    /// Does `work` with the parameters that the model is used with: their average, where there is
    /// one.
    ///
    /// # Errors
    /// What `work` returns.
    pub fn with_average<R>(&mut self, work: impl FnOnce(&Model) -> Result<R>) -> Result<R> {
        let Self { model, average, .. } = self;
        let Some(average) = average else { return work(model) };
        average.swap(&mut model.store).context(AVERAGING)?;
        let result = work(model);
        average.swap(&mut model.store).context(AVERAGING)?;
        result
    }

    /// Leaves the model with the parameters it is used with, for good: no step is made after it.
    ///
    /// # Errors
    /// If a tensor holds the parameters.
    pub fn use_average(&mut self) -> Result<()> {
        match self.average.take() {
            Some(mut average) => average.swap(&mut self.model.store).context(AVERAGING),
            None => Ok(()),
        }
    }

    /// Moves the parameters once; `at` addresses the noise. Returns the loss before the move, that
    /// of the whole batch: `batch` is this rank's share of it.
    ///
    /// # Errors
    /// If the device fails, another rank has ended, or every step is skipped.
    pub fn step(&mut self, batch: &Batch, at: At) -> Result<Loss> {
        let size = StepSize { learning_rate: self.learning_rate(at.epoch), ..self.settings.size };
        if let Some(beta_1) = self.beta_1(at.epoch) {
            self.optimiser.set_beta_1(beta_1);
        }
        // What a step that is skipped must leave as it was.
        let before = self.skips().then(|| self.model.statistics.copied());
        let before = before.transpose().context("keeping the batch-norm statistics")?;
        let Model { task, store, statistics, .. } = &mut self.model;
        let mode = Mode::Batch(statistics, self.settings.momentum);
        let mut pass = Pass::new(store, Some(&self.tape), mode, self.settings.seed, at.step)
            .recomputing_activations(self.settings.checkpoint_activations)
            .sharing(&self.share);
        let mine = task.loss(&mut pass, batch, at)?;
        statistics.average_over(&self.share).context("averaging the batch-norm statistics")?;
        let loss = mean_of_all(&self.share, &mine)?;
        let are_many = self.share.ranks.are_many();
        // Where looking costs nothing, a loss that is no number moves nothing: the parameters stay
        // those that made it, and can say how.
        let is_known = are_many || store.device().name() == "cpu";
        if is_known && !loss.loss.to_scalar().context(LOSS)?.is_finite() {
            self.tape.clear();
            return Ok(loss);
        }
        let (tape, optimiser) = (&self.tape, &mut *self.optimiser);
        let part = match are_many {
            true => mine.loss.scale(self.share.weight()).context(LOSS)?,
            false => mine.loss,
        };
        drop(mine.terms);
        let moved = minimise_on(&self.share.ranks, &part, tape, store, optimiser, &size)
            .context("moving the parameters")?;
        if moved == Moved::Skipped {
            if let Some(before) = before {
                *statistics = before;
            }
            self.skip()?;
            return Ok(loss);
        }
        self.skipped.in_a_row = 0;
        if let Some(average) = &mut self.average {
            average.update(store).context(AVERAGING)?;
        }
        Ok(loss)
    }
}

impl Trainer {
    /// Where the loss of a batch first has a number that is not finite, in words: the step is
    /// repeated with an eye on every operation. `None` if all is finite this time.
    ///
    /// # Errors
    /// If the device fails.
    pub fn first_not_finite(&self, batch: &Batch, at: At) -> Result<Option<String>> {
        let Model { task, store, .. } = &self.model;
        let tape = Tape::watching();
        let mut pass = Pass::new(store, Some(&tape), Mode::BatchOnly, self.settings.seed, at.step)
            .sharing(&self.share);
        task.loss(&mut pass, batch, at)?;
        let Some(NotFinite { operation, shape, parameter }) = tape.first_not_finite() else {
            return Ok(None);
        };
        let name = parameter.map(|id| store.parameter(id).name.clone()).unwrap_or_default();
        let layer = name.rsplit_once('.').map_or(name.as_str(), |(layer, _)| layer);
        Ok(Some(match operation {
            None => format!(
                "the parameter {name} {shape} is not finite: the gradient of a step before was not"
            ),
            Some(operation) if layer.is_empty() => {
                format!("the first operation whose output is not finite is {operation} {shape}")
            }
            Some(operation) => format!(
                "the first operation whose output is not finite is {operation} {shape}, in or \
                 behind the layer {layer}"
            ),
        }))
    }

    /// Whether steps are skipped at all.
    pub fn skips(&self) -> bool {
        self.settings.size.skipped_norm.is_finite()
    }

    /// Counts a step that was skipped.
    fn skip(&mut self) -> Result<()> {
        self.skipped.in_epoch += 1;
        self.skipped.in_a_row += 1;
        if self.skipped.in_a_row < HOPELESS {
            return Ok(());
        }
        let limit = self.settings.size.skipped_norm;
        Err(Error::new(format!(
            "the gradient's norm was above train.skipped_gradient_norm = {limit} in {HOPELESS} \
            steps in a row: nothing is learnt"
        ))
        .with_advice("try a larger one, or a lower --learning-rate"))
    }
}

/// Which rows of a batch are this rank's, and whose it normalises with.
fn share_of_batch(model: &Model, config: &Config) -> Result<BatchShare> {
    let (ranks, TrainConfig { batch_size, batch_norm_statistics, .. }) =
        (&model.ranks, &config.train);
    let share = BatchShare::of_batch(ranks, *batch_size).map_err(Error::from_source);
    let least = batch_size / ranks.size();
    let share = share.and_then(|share| match batch_norm_statistics {
        BatchNormStatistics::Rank if least < LEAST_NORMALISED_BATCH => Err(Error::new(format!(
            "train.batch_norm_statistics = rank: a rank has {least} of the {batch_size} images of \
            a batch, and batch normalisation needs at least {LEAST_NORMALISED_BATCH}"
        ))),
        &batch_norm_statistics => Ok(BatchShare { batch_norm_statistics, ..share }),
    });
    share.with_advice(|| "start fewer ranks, or choose a larger --batch-size".into())
}

fn optimiser(model: &Model, config: &OptimiserConfig) -> Result<Box<dyn Optimiser>> {
    let OptimiserConfig { beta_1, beta_2, epsilon, momentum, .. } = *config;
    let doing = "allocating the optimiser's state";
    Ok(match config.name {
        OptimiserName::Adam => Box::new(
            Adam::new(&model.store, AdamOptions { beta_1, beta_2, epsilon }).context(doing)?,
        ),
        OptimiserName::Adamax => Box::new(
            Adamax::new(&model.store, AdamaxOptions { beta_1, beta_2, epsilon }).context(doing)?,
        ),
        OptimiserName::Rmsprop => Box::new(
            RmsProp::new(&model.store, RmsPropOptions { decay: beta_2, epsilon }).context(doing)?,
        ),
        OptimiserName::Sgd => Box::new(Sgd::new(&model.store, momentum).context(doing)?),
    })
}

fn schedule(config: &OptimiserConfig) -> Schedule {
    let (factor, every) = (config.schedule_factor, config.schedule_every_epochs);
    match config.schedule {
        ScheduleName::Constant => Schedule::Constant,
        ScheduleName::Step => Schedule::StepDecay { factor, every: every as usize },
        ScheduleName::Milestones => Schedule::Milestones {
            factor,
            epochs: config.schedule_milestones.iter().map(|&epoch| epoch as usize).collect(),
        },
        ScheduleName::Exponential => {
            Schedule::Exponential { factor: factor.powf(1.0 / every.max(1) as f64) }
        }
        ScheduleName::Cosine => Schedule::Cosine { final_factor: config.schedule_final_factor },
    }
}

#[cfg(test)]
mod tests {
    use rung_datasets::ImageShape;

    use crate::config::sources::{Sources, layered};
    use crate::engine::Workload;

    /// The statistics after one step, where steps with a gradient's norm above this are skipped.
    fn statistics_after_a_step(skipped_gradient_norm: f64) -> Vec<f64> {
        let sets = ["model.latent_sizes=[3]", "model.hidden_sizes=[5]", "train.batch_size=4"];
        let sets: Vec<String> = sets.into_iter().map(str::to_owned).collect();
        let mut config = layered(&Sources { sets: &sets, ..Sources::default() }).unwrap();
        config.train.skipped_gradient_norm = skipped_gradient_norm;
        let device = rung_autograd::Device::cpu();
        let shape = ImageShape::new(1, 4, 4);
        let mut workload = Workload::with_images(&config, shape, 8, &device).unwrap();
        workload.step().unwrap();
        let skipped = u64::from(skipped_gradient_norm < 1.0);
        assert_eq!(workload.trainer.skipped.in_a_row, skipped);
        let statistics = workload.trainer.model.statistics.iter();
        statistics.flat_map(|(_, layer)| layer.mean.to_f64().unwrap()).collect()
    }

    #[test]
    fn a_step_that_is_skipped_leaves_the_batch_norm_statistics_as_they_were() {
        assert!(statistics_after_a_step(1e9).iter().any(|&mean| mean != 0.0));
        let skipped = statistics_after_a_step(1e-9);
        assert!(!skipped.is_empty() && skipped.iter().all(|&mean| mean == 0.0), "{skipped:?}");
    }
}

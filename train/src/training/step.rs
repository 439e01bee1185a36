//! One step of training: bound, gradient, clipping, optimiser.

use rung_autograd::optim::{Adam, AdamOptions, Adamax, AdamaxOptions, Optimiser, ParameterAverage, Schedule, Sgd};
use rung_autograd::{Tape, Tensor};
use rung_models::objective::{Bound, bound};
use rung_models::semi_supervised::{Labelled, SemiSupervisedConfig, semi_supervised_bound};
use rung_models::{Mode, Pass};

use super::labelled::LabelledBatch;
use crate::config::{Config, OptimiserConfig, OptimiserName, ScheduleName};
use crate::error::{Context, Error, Result};
use crate::model::Model;
use crate::tasks::Family;

/// A model with what moves it.
#[derive(Debug)]
pub struct Trainer {
    /// The model.
    pub model: Model,
    /// The optimiser.
    pub optimiser: Box<dyn Optimiser>,
    /// The average of its parameters, if there is one.
    pub average: Option<ParameterAverage>,
    tape: Tape,
    settings: Settings,
}

/// What an error of the average happened in.
const AVERAGING: &str = "averaging the parameters";

/// The part of the configuration that a step reads.
#[derive(Debug, Clone)]
struct Settings {
    family: Family,
    seed: u64,
    momentum: f64,
    norm_limit: f64,
    element_limit: f64,
    schedule: Schedule,
    learning_rate: f64,
    epochs: u64,
    checkpoint_activations: bool,
}

impl Trainer {
    /// A trainer for a fresh or loaded model.
    ///
    /// # Errors
    /// If the device has no memory for the optimiser's state.
    pub fn new(model: Model, config: &Config) -> Result<Self> {
        let optimiser = optimiser(&model, &config.optimiser)?;
        let train = &config.train;
        let average = (train.average_decay > 0.0).then(|| ParameterAverage::new(&model.store, train.average_decay));
        let average = average.transpose().context("allocating the average of the parameters")?;
        let limit = |value: f64| if value > 0.0 { value } else { f64::INFINITY };
        let settings = Settings {
            family: config.family.clone(),
            seed: train.seed,
            momentum: config.family.batch_norm_momentum().unwrap_or(0.0),
            norm_limit: limit(train.gradient_norm_limit),
            element_limit: limit(train.gradient_element_limit),
            schedule: schedule(&config.optimiser),
            learning_rate: config.optimiser.learning_rate,
            epochs: train.epochs,
            checkpoint_activations: train.checkpoint_activations,
        };
        Ok(Self { model, optimiser, average, tape: Tape::new(), settings })
    }

    /// The weight of the latent terms in an epoch, counted from 1.
    pub fn warmup(&self, epoch: u64) -> f64 {
        self.settings.family.objective(epoch).beta
    }

    /// The learning rate in an epoch, counted from 1.
    pub fn learning_rate(&self, epoch: u64) -> f64 {
        let Settings { schedule, learning_rate, epochs, .. } = &self.settings;
        schedule.rate(*learning_rate, epoch as usize, *epochs as usize)
    }

    /// Does `work` with the parameters that the model is used with: their average, where there is one.
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

    /// Moves the parameters once, with labelled images beside those of `x` in semi-supervised training; `step` addresses the noise. Returns the
    /// bound before the move.
    ///
    /// # Errors
    /// If the device fails.
    pub fn step(&mut self, x: &Tensor, labelled: Option<&LabelledBatch>, epoch: u64, step: u64) -> Result<Bound> {
        let objective = self.settings.family.objective(epoch);
        let learning_rate = self.learning_rate(epoch);
        let Model { network, store, statistics, .. } = &mut self.model;
        let mode = Mode::Batch(statistics, self.settings.momentum);
        let mut pass = Pass::new(store, Some(&self.tape), mode, self.settings.seed, step)
            .recomputing_activations(self.settings.checkpoint_activations);
        let bound = match labelled {
            None => bound(&**network, &mut pass, x, &objective),
            Some(LabelledBatch { x: known, class, share }) => {
                let classifier = network
                    .classifier()
                    .ok_or_else(|| Error::new("bug: labels for a model without classes; please report it"))?;
                let config = SemiSupervisedConfig {
                    beta: objective.beta,
                    free_bits_nats: objective.free_bits_nats,
                    labelled_share: *share,
                    classification_weight: self
                        .settings
                        .family
                        .labels()
                        .map_or(0.0, |labels| labels.classification_weight),
                };
                semi_supervised_bound(classifier, &mut pass, Labelled { x: known, class }, x, &config)
            }
        };
        let bound = bound.context("computing the bound")?;
        store.clear_gradients();
        self.tape.backward_into(&[&bound.loss], store).context("computing the gradient")?;
        let Settings { norm_limit, element_limit, .. } = self.settings;
        if norm_limit.is_finite() || element_limit.is_finite() {
            self.optimiser.step_clipped(store, learning_rate, norm_limit, element_limit)
        } else {
            self.optimiser.step(store, learning_rate)
        }
        .context("moving the parameters")?;
        if let Some(average) = &mut self.average {
            average.update(store).context(AVERAGING)?;
        }
        Ok(bound)
    }
}

fn optimiser(model: &Model, config: &OptimiserConfig) -> Result<Box<dyn Optimiser>> {
    let OptimiserConfig { beta_1, beta_2, epsilon, momentum, .. } = *config;
    let doing = "allocating the optimiser's state";
    Ok(match config.name {
        OptimiserName::Adam => {
            Box::new(Adam::new(&model.store, AdamOptions { beta_1, beta_2, epsilon }).context(doing)?)
        }
        OptimiserName::Adamax => {
            Box::new(Adamax::new(&model.store, AdamaxOptions { beta_1, beta_2, epsilon }).context(doing)?)
        }
        OptimiserName::Sgd => Box::new(Sgd::new(&model.store, momentum).context(doing)?),
    })
}

fn schedule(config: &OptimiserConfig) -> Schedule {
    let (factor, every) = (config.schedule_factor, config.schedule_every_epochs);
    match config.schedule {
        ScheduleName::Constant => Schedule::Constant,
        ScheduleName::Step => Schedule::StepDecay { factor, every: every as usize },
        ScheduleName::Exponential => Schedule::Exponential { factor: factor.powf(1.0 / every.max(1) as f64) },
        ScheduleName::Cosine => Schedule::Cosine { final_factor: config.schedule_final_factor },
    }
}

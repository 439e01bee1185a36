//! How long a run will take, from a few steps and a small evaluation of its own model on this
//! machine.

use std::time::Instant;

use rung_autograd::Device;

use super::plan::{Planned, Stage, Wishes};
use crate::bench::{Timing, timed_ms};
use crate::config::DataConfig;
use crate::engine::Workload;
use crate::error::{Error, Result};
use crate::tasks::Request;
use crate::tasks::latent::evaluation::DEFAULT_ROWS;

/// Steps that are timed, after one that isn't; fewer where they take long.
const STEPS: usize = 5;
/// Time after which no further step is begun, in seconds.
const ENOUGH_S: f64 = 2.0;

/// The time that is left of a run, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Of one step of training, measured; 0 if there is none to do.
    pub step_s: f64,
    /// Of all steps that are left.
    pub training_s: f64,
    /// Of the evaluation.
    pub evaluation_s: f64,
}

impl Estimate {
    /// All of it.
    pub fn total_s(&self) -> f64 {
        self.training_s + self.evaluation_s
    }

    /// Measures what is left of a run, on random pixels in the shape of its data.
    ///
    /// # Errors
    /// If the data set is unknown or the device fails.
    pub fn measure(planned: &Planned, wishes: &Wishes, device: &Device) -> Result<Self> {
        if planned.stage == Stage::Done {
            return Ok(Self { step_s: 0.0, training_s: 0.0, evaluation_s: 0.0 });
        }
        let config = &planned.config;
        let (train, test) = image_counts(&config.data)?;
        let mut workload = Workload::new(config, device)?;
        let steps = planned.epochs_left() * (train / config.train.batch_size as u64);
        let step_s = if steps > 0 { step_s(&mut workload)? } else { 0.0 };
        let images = match wishes.count {
            0 => test,
            count => count.min(test),
        };
        let samples =
            if wishes.importance_samples > 1 { images * wishes.importance_samples } else { 0 };
        let evaluation_s = if samples > 0 {
            sample_s(&workload, config.train.seed)? * samples as f64
        } else {
            0.0
        };
        Ok(Self { step_s, training_s: step_s * steps as f64, evaluation_s })
    }
}

/// Training and test images that a configuration takes of its data set.
fn image_counts(data: &DataConfig) -> Result<(u64, u64)> {
    if data.sequences_of().is_some() {
        let sequences = data.sequences();
        return Ok((sequences.train as u64, sequences.test as u64));
    }
    let known = rung_datasets::registry::find(&data.name).map_err(Error::from_source)?;
    let limited =
        |all: usize, limit: usize| if limit == 0 { all as u64 } else { limit.min(all) as u64 };
    let train = known.train_count.saturating_sub(data.validation_images);
    Ok((limited(train, data.train_images), limited(known.test_count, data.test_images)))
}

/// The median time of a step.
fn step_s(workload: &mut Workload) -> Result<f64> {
    let started = Instant::now();
    workload.step()?;
    let mut times = Vec::new();
    while times.is_empty() || (times.len() < STEPS && started.elapsed().as_secs_f64() < ENOUGH_S) {
        times.push(timed_ms(|| workload.step())?.1);
    }
    Ok(Timing::of(&times).median / 1e3)
}

/// The time of one importance sample of one image.
fn sample_s(workload: &Workload, seed: u64) -> Result<f64> {
    let rows = DEFAULT_ROWS as usize;
    let model = &workload.trainer.model;
    let request = Request { importance_samples: 4 * rows, ..Request::once(1, rows, seed) };
    let (_, ms) = timed_ms(|| model.evaluate(&model.statistics, &workload.images, request))?;
    Ok(ms / 1e3 / (4 * rows) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validation_images_are_not_trained_on() {
        let mut data = DataConfig { name: "mnist".into(), ..DataConfig::default() };
        assert_eq!(image_counts(&data).unwrap(), (60_000, 10_000));
        data.validation_images = 10_000;
        assert_eq!(image_counts(&data).unwrap(), (50_000, 10_000));
        data.train_images = 55_000;
        data.test_images = 100;
        assert_eq!(image_counts(&data).unwrap(), (50_000, 100));
    }
}

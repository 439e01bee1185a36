//! The memory that training takes, known before it begins.

use rung_autograd::Device;
use rung_datasets::ImageShape;
use rung_datasets::memory::megabytes;

use crate::config::{Config, OptimiserName};
use crate::engine::Workload;
use crate::error::{Error, Result};
use crate::model::parameter_list;

/// Bytes of a number in training.
const NUMBER_BYTES: usize = 4;

/// Bytes that training takes besides the images.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Parameters, and as much again for their gradients.
    pub parameters: usize,
    /// The optimiser's moments.
    pub optimiser: usize,
    /// The EMA of the parameters, if there is one.
    pub average: usize,
    /// Everything else that one step needs: activations, noise, what the backward pass keeps.
    pub step: usize,
}

impl Memory {
    /// The memory of a configuration's training on images of this shape. That of a step is measured
    /// on random pixels: of hierarchical convolutional VAEs, whose steps are long, with batches of
    /// one and two images, from which that of a whole batch follows, every image taking the same.
    ///
    /// # Errors
    /// If the configuration makes no model or there is no memory.
    pub fn measure(config: &Config, shape: ImageShape) -> Result<Self> {
        let bytes = parameter_list(config, shape)?.element_count() * NUMBER_BYTES;
        let mut memory = Self {
            parameters: 2 * bytes,
            optimiser: if config.optimiser.name == OptimiserName::Sgd { bytes } else { 2 * bytes },
            average: if config.train.average_decay > 0.0 { bytes } else { 0 },
            step: 0,
        };
        let fixed = memory.total();
        let step = |batch: usize| Ok(used_bytes(config, shape, batch)?.saturating_sub(fixed));
        let batch = config.train.batch_size;
        memory.step = if config.family.batch_norm_momentum().is_none() && batch > 2 {
            let (of_one, of_two): (usize, usize) = (step(1)?, step(2)?);
            of_one + (batch - 1) * of_two.saturating_sub(of_one)
        } else {
            step(batch)?
        };
        Ok(memory)
    }

    /// All of it.
    pub const fn total(&self) -> usize {
        self.parameters + self.optimiser + self.average + self.step
    }

    /// One line.
    pub fn text(&self) -> String {
        let average = match self.average {
            0 => String::new(),
            bytes => format!("their average {}, ", megabytes(bytes as u64)),
        };
        format!(
            "memory of training: {} besides the images: parameters and gradients {}, \
            {average}optimiser {}, a step {} (measured)",
            megabytes(self.total() as u64),
            megabytes(self.parameters as u64),
            megabytes(self.optimiser as u64),
            megabytes(self.step as u64)
        )
    }

    /// Refuses a training that can't fit into what the machine has left.
    ///
    /// # Errors
    /// If it takes more than `available` bytes, with what would take less.
    pub fn check(&self, available: Option<usize>, batch_size: usize) -> Result<()> {
        let Some(available) = available.filter(|&available| available < self.total()) else {
            return Ok(());
        };
        let fixed = self.total() - self.step;
        let advice = match available
            .checked_sub(fixed)
            .map(|left| left / (self.step / batch_size).max(1))
        {
            Some(fitting) if fitting > 0 => {
                format!("a --batch-size of {fitting} or less would fit")
            }
            _ => "the parameters alone do not fit: choose a smaller model (rung info --presets)"
                .into(),
        };
        let (needed, available) = (megabytes(self.total() as u64), megabytes(available as u64));
        Err(Error::new(format!(
            "training takes {needed} of memory, and this machine has {available} left"
        ))
        .with_advice(advice))
    }
}

/// The bytes that a training of one step on so many images has used, but for the images.
fn used_bytes(config: &Config, shape: ImageShape, batch: usize) -> Result<usize> {
    let mut config = config.clone();
    config.train.batch_size = batch;
    // A device of its own has a pool of its own, which starts empty.
    let device = Device::cpu();
    let workload = Workload::with_images(&config, shape, 1, &device)?;
    let mut workload = workload.from_epoch(config.family.largest_epoch());
    workload.step()?;
    Ok(device.statistics().pool.bytes - workload.images.count() * shape.values())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::sources::{Sources, layered};

    #[test]
    fn what_does_not_fit_is_refused_with_what_would() {
        let memory = Memory {
            parameters: 100_000_000,
            optimiser: 100_000_000,
            average: 0,
            step: 480_000_000,
        };
        assert!(memory.check(Some(680_000_000), 48).is_ok() && memory.check(None, 48).is_ok());
        let refused = memory.check(Some(400_000_000), 48).unwrap_err();
        assert_eq!(
            refused.cause(),
            "training takes 680.0 MB of memory, and this machine has 400.0 MB left"
        );
        assert_eq!(refused.advice(), Some("a --batch-size of 20 or less would fit"));
        let hopeless = memory.check(Some(150_000_000), 48).unwrap_err();
        assert!(hopeless.advice().unwrap().contains("smaller model"));
    }

    #[test]
    fn recomputed_activations_take_a_third_less() {
        let preset = Sources { preset: Some("biva-mnist-small"), ..Default::default() };
        let mut config = layered(&preset).unwrap();
        let step = |config: &Config| {
            Memory::measure(config, ImageShape::new(1, 28, 28)).unwrap().step as f64
        };
        let kept = step(&config);
        config.train.checkpoint_activations = true;
        let recomputed = step(&config);
        assert!(recomputed < 0.67 * kept, "{recomputed} bytes for {kept}");
    }

    #[test]
    fn images_that_the_model_draws_itself_are_counted_from_the_first_epoch() {
        let step = |sets: &[String]| {
            let preset = Sources { preset: Some("mnist-matnet-small"), sets, ..Default::default() };
            let config = layered(&preset).unwrap();
            Memory::measure(&config, ImageShape::new(1, 28, 28)).unwrap().step as f64
        };
        let (without, with) = (step(&[]), step(&["objective.fantasy_start_epoch=3".into()]));
        assert!(with > 1.2 * without, "{with} bytes for {without}");
    }

    /// What two images say of three.
    #[test]
    fn the_memory_of_a_step_grows_with_every_image_alike() {
        let config = layered(&Sources { preset: Some("biva-mnist-small"), ..Default::default() });
        let (config, shape) = (config.unwrap(), ImageShape::new(1, 28, 28));
        let [one, two, five] =
            [1, 2, 5].map(|batch| used_bytes(&config, shape, batch).unwrap() as f64);
        let expected = one + 4.0 * (two - one);
        assert!((five / expected - 1.0).abs() < 0.02, "{one}, {two}, {five}");
    }
}

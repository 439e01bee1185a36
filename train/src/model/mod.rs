//! A model on a device: its architecture, parameters and statistics, made from a configuration or a
//! checkpoint.

pub mod snapshot;

use std::ops::Range;

use rung_autograd::rng::{Address, Phase, Stream};
use rung_autograd::{DType, Device, ParameterList, ParameterStore, Tensor};
use rung_datasets::ImageShape;
use rung_datasets::batch::shuffled;
use rung_models::{Group, LatentModel, Mode, Pass, Statistics, StatisticsList, initialise};
use rung_ranks::Ranks;

use crate::config::Config;
use crate::data::DeviceImages;
use crate::error::{Context, Error, Result};
use crate::run::checkpoint::CheckpointData;
use crate::tasks::latent::evaluation::DEFAULT_ROWS;
use crate::tasks::{Family, Request, Scores, Task};

/// Metadata key of the shape of an image, channels x height x width.
pub const IMAGE_SHAPE: &str = "image_shape";
/// More values than any image has that a model is trained on.
const MOST_VALUES: usize = 1 << 24;

/// A batch of fewer images says too little for data-dependent initialisation, which then looks at
/// so many.
const FEW_INITIAL_IMAGES: usize = 16;
const ENOUGH_INITIAL_IMAGES: usize = 64;

/// Numbers in a feature map of all rows.
const LARGEST_MAP: usize = 1 << 21;

/// The weight that reads the image: [values of an image, units].
pub const FIRST_WEIGHT: &str = "inference.up.1.hidden.0.weight";

/// A model with its numbers.
#[derive(Debug)]
pub struct Model {
    /// What it was made from.
    pub family: Family,
    /// The shape of its images.
    pub shape: ImageShape,
    /// What is trained: the networks and their loss.
    pub task: Box<dyn Task>,
    /// Their parameters and gradients.
    pub store: ParameterStore,
    /// The running statistics of batch normalisation.
    pub statistics: Statistics,
    /// Who shares the work on it: each rank has all of its numbers.
    pub ranks: Ranks,
}

impl Model {
    /// The model of a configuration for images of this shape, with fresh parameters.
    ///
    /// # Errors
    /// If the configuration makes no model or the device has no memory.
    pub fn new(config: &Config, shape: ImageShape, device: &Device, dtype: DType) -> Result<Self> {
        let family = config.family.clone();
        let (mut parameters, mut statistics) = (ParameterList::new(), StatisticsList::default());
        let task = family.task(shape, &mut parameters, &mut statistics)?;
        let address = Address::new(config.train.seed, Stream::InitialValue.first(), 0);
        let store =
            parameters.build(device, dtype, address).context("allocating the parameters")?;
        let statistics = statistics.build(device, dtype).context("allocating the statistics")?;
        Ok(Self { family, shape, task, store, statistics, ranks: Ranks::one() })
    }

    /// Sets the scale of the layers that have data-dependent initialisation from the first batch of
    /// the training, or the first 64 images where a batch has fewer than 16.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn initialise(&mut self, images: &DeviceImages, config: &Config) -> Result<()> {
        let doing = "initialising the layers from a batch";
        let Some(initial_sigma) = self.family.initial_sigma() else { return Ok(()) };
        let count = images.count();
        let order = shuffled(config.train.seed, 1, count as u32);
        let images_seen = match config.train.batch_size {
            few if few < FEW_INITIAL_IMAGES => ENOUGH_INITIAL_IMAGES,
            enough => enough,
        };
        let batch = &order[..images_seen.min(count)];
        let indices = Tensor::from_u32(self.store.device(), batch, [batch.len()]).context(doing)?;
        let x = images.batch(&indices, 1).context(doing)?;
        let Self { task, store, .. } = self;
        let Some(network) = task.latent() else { return Ok(()) };
        initialise(network, store, &x, initial_sigma, config.train.seed).context(doing)?;
        Ok(())
    }

    /// The shape of the images that the model of a checkpoint was made for, which the checkpoints
    /// of early versions do not say.
    pub fn shape_in(data: &CheckpointData) -> Option<ImageShape> {
        data.metadata.get(IMAGE_SHAPE).and_then(|text| parse_shape(text))
    }

    /// Images times samples that an evaluation computes at once where nobody says otherwise: enough
    /// to keep a device busy, and few enough that the largest feature maps of stages stay below
    /// some 8 MB each.
    pub fn rows_at_once(&self) -> usize {
        (LARGEST_MAP / self.family.largest_map(self.shape)).clamp(1, DEFAULT_ROWS as usize)
    }

    /// The model as one of latent variables.
    ///
    /// # Errors
    /// If it is none.
    pub fn latent(&self) -> Result<&dyn LatentModel> {
        self.task.latent().ok_or_else(|| no_latents(&self.family))
    }

    /// The scores of images, without a word on the way.
    ///
    /// # Errors
    /// As [`Task::evaluate`].
    pub fn evaluate(
        &self,
        statistics: &Statistics,
        images: &DeviceImages,
        request: Request,
    ) -> Result<Box<dyn Scores>> {
        let scores =
            self.task.evaluate(self, statistics, images, request, &|| false, &mut |_, _| ())?;
        scores.ok_or_else(|| {
            Error::new("bug: an evaluation without interruption gave nothing; please report it")
        })
    }

    /// Such a pass through some images of a part of the data set, which begins with their sample
    /// `first_sample`. Its noise is addressed by image and sample: what it gives does not depend on
    /// the images and samples beside.
    ///
    /// # Errors
    /// If there are more images than a phase has noise for.
    pub fn image_pass<'a>(
        &'a self,
        statistics: &'a Statistics,
        (seed, phase): (u64, Phase),
        images: &Range<usize>,
        first_sample: usize,
    ) -> rung_autograd::Result<Pass<'a>> {
        phase.nth(images.end.saturating_sub(1))?;
        let pass = self.frozen_pass(statistics, seed, phase.nth(images.start)?);
        Ok(pass.of_images(images.len(), first_sample))
    }

    /// A pass that normalises with `statistics` and records nothing.
    pub fn frozen_pass<'a>(&'a self, statistics: &'a Statistics, seed: u64, step: u64) -> Pass<'a> {
        Pass::new(&self.store, None, Mode::Frozen(statistics), seed, step)
    }
}

/// Why a model can't be sampled from or encode images.
pub fn no_latents(family: &Family) -> Error {
    Error::new(format!("a {} has no latent variables", family.name()))
        .with_advice("rung evaluate and rung report work for every run")
}

/// The parameters that a model would have, without their memory.
///
/// # Errors
/// If the configuration makes no model.
pub fn parameter_list(config: &Config, shape: ImageShape) -> Result<ParameterList> {
    let mut parameters = ParameterList::new();
    config.family.task(shape, &mut parameters, &mut StatisticsList::default())?;
    Ok(parameters)
}

/// The stochastic groups that a model would have, nearest to the data first.
///
/// # Errors
/// If the configuration makes no model.
pub fn groups(config: &Config, shape: ImageShape) -> Result<Vec<Group>> {
    let task =
        config.family.task(shape, &mut ParameterList::new(), &mut StatisticsList::default())?;
    Ok(task.latent().map_or_else(Vec::new, LatentModel::groups))
}

/// `3x32x32`.
fn parse_shape(text: &str) -> Option<ImageShape> {
    let sizes: Vec<usize> = text.split('x').map(|size| size.parse().ok()).collect::<Option<_>>()?;
    let &[channels, height, width] = sizes.as_slice() else { return None };
    let fits = channels.checked_mul(height)?.checked_mul(width)?;
    (1..=MOST_VALUES).contains(&fits).then(|| ImageShape::new(channels, height, width))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_is_read_or_refused() {
        assert_eq!(parse_shape("3x32x32"), Some(ImageShape::new(3, 32, 32)));
        for wrong in
            ["", "784", "1x28", "1x28x28x1", "0x28x28", "axbxc", "4294967296x4294967296x4294967296"]
        {
            assert_eq!(parse_shape(wrong), None, "{wrong}");
        }
    }
}

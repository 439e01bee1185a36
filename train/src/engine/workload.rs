//! A training on random pixels, without files: what `rung bench` times, and what the memory of a
//! training is measured by.

use rung_autograd::rng::{Address, Stream};
use rung_autograd::{DType, Device, Tensor};
use rung_datasets::batch::shuffled;
use rung_datasets::{Binarisation, DataRecord, Dataset, ImageShape, Images, Labels, Pixels, Split};

use super::{Terms, Trainer};
use crate::config::{self, Config};
use crate::data::treatment;
use crate::data::{DeviceImages, published_shape};
use crate::error::{Context, Error, Result};
use crate::model::Model;
use crate::tasks;
use crate::tasks::At;

/// Images that an epoch has; more if a batch needs more.
const IMAGES: usize = 8192;
/// Share of the pixels that are white: about that of MNIST.
const INK: f64 = 0.19;

/// A training run without files.
pub struct Workload {
    /// The model and its optimiser.
    pub trainer: Trainer,
    /// What it is trained on.
    pub images: DeviceImages,
    terms: Terms,
    order: Tensor,
    batch: usize,
    seed: u64,
    first_epoch: u64,
    step: u64,
}

impl Workload {
    /// A fresh model and random pixels on a device.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn new(config: &Config, device: &Device) -> Result<Self> {
        Self::with_images(
            config,
            published_shape(&config.data)?,
            config.train.batch_size.max(IMAGES),
            device,
        )
    }

    /// The same with `count` images of this shape, at least one batch and one for each label.
    ///
    /// # Errors
    /// As [`Workload::new`].
    pub fn with_images(
        config: &Config,
        shape: ImageShape,
        count: usize,
        device: &Device,
    ) -> Result<Self> {
        let (batch, seed) = (config.train.batch_size, config.train.seed);
        let images = random_images(
            config,
            shape,
            count.max(batch).max(config.family.labels().map_or(0, |labels| labels.labels)),
            device,
        )?;
        let mut model = Model::new(config, images.shape(), device, DType::F32)?;
        model.initialise(&images, config)?;
        model.task.prepare(&images, &images, seed, batch)?;
        let terms = Terms::new(device, DType::F32, model.task.terms().len())?;
        let order = order(device, seed, 1, images.count())?;
        Ok(Self {
            trainer: Trainer::new(model, config)?,
            images,
            terms,
            order,
            batch,
            seed,
            first_epoch: 1,
            step: 0,
        })
    }

    /// The same, whose steps begin with this epoch's.
    pub fn from_epoch(self, first_epoch: u64) -> Self {
        Self { first_epoch, ..self }
    }

    /// One step as training does it: gathers and binarises a batch, moves the parameters, sums the
    /// terms; and waits until it is done. The loss stays on the device.
    ///
    /// # Errors
    /// If the device fails.
    pub fn step(&mut self) -> Result<Tensor> {
        let per_epoch = (self.images.count() / self.batch) as u64;
        let (epoch, index) = (self.step / per_epoch + self.first_epoch, self.step % per_epoch);
        if index == 0 {
            self.order =
                order(self.trainer.model.store.device(), self.seed, epoch, self.images.count())?;
        }
        let indices = self
            .order
            .slice(0, index as usize * self.batch, self.batch)
            .context("gathering a batch")?;
        let at = At { epoch, step: self.step };
        let Trainer { model, share, .. } = &self.trainer;
        let batch = model.task.batch(&self.images, &indices, at, &share.ranks)?;
        let loss = self.trainer.step(&batch, at)?;
        self.terms.add(&loss.terms)?;
        self.step += 1;
        self.trainer.model.store.device().finish().context("waiting for the device")?;
        Ok(loss.loss)
    }

    /// Numbers in all parameters.
    pub fn parameters(&self) -> usize {
        self.trainer.model.store.element_count()
    }
}

fn order(device: &Device, seed: u64, epoch: u64, count: usize) -> Result<Tensor> {
    Tensor::from_u32(device, &shuffled(seed, epoch, count as u32), [count])
        .context("copying the order of the images")
}

/// Random images in the shape of the preset's: white with the share of ink and black for Bernoulli
/// models, any byte for Gaussian ones.
fn random_images(
    config: &Config,
    shape: ImageShape,
    count: usize,
    device: &Device,
) -> Result<DeviceImages> {
    let grey = config.family.pixels().0 != tasks::Pixels::Binary
        || config.data.binarisation == config::Binarisation::None;
    let white_below = (INK * 2f64.powi(32)) as u32;
    let address = Address::new(config.train.seed, Stream::BenchmarkPixel.first(), 0);
    let pixel = |word: u32| match grey {
        true => (word >> 24) as u8,
        false => {
            if word < white_below {
                255
            } else {
                0
            }
        }
    };
    let values = count * shape.values();
    let mut pixels: Vec<u8> =
        (0..values.div_ceil(4) as u32).flat_map(|block| address.words(block)).map(pixel).collect();
    pixels.truncate(values);
    // Of these images any may be of any class.
    let classes = config.family.labels().map_or(1, |labels| labels.classes) as u32;
    let positions = config.family.positions();
    let labels = Labels {
        values: (0..(count * positions) as u32).map(|index| index % classes).collect(),
        positions,
        class_names: (0..classes).map(|class| class.to_string()).collect(),
    };
    let dataset = dataset(shape, pixels, labels).map_err(Error::from_source)?;
    let mut config = config.clone();
    treatment::settle(&mut config, &DataRecord::of(&dataset))?;
    DeviceImages::new(
        &dataset,
        Split::Train,
        count,
        &config.data,
        config.train.seed,
        device,
        DType::F32,
    )
}

fn dataset(shape: ImageShape, pixels: Vec<u8>, labels: Labels) -> rung_datasets::Result<Dataset> {
    let one = Images::new(shape, Pixels::U8(pixels[..shape.values()].to_vec()), None)?;
    let train = Images::new(shape, Pixels::U8(pixels), Some(labels))?;
    Dataset::new("random pixels", train, one, Binarisation::PerEpoch)
}

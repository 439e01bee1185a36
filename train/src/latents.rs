//! The latent variables of images: what `rung encode` writes.

use rung_autograd::Tensor;
use rung_models::{Group, Statistics};

use crate::error::{Context, Result};
use crate::model::{DeviceImages, Model};

/// Images that pass through the model at once.
const BATCH: usize = 1000;
/// Steps of the noise of latents start here, far from those of training, evaluation and pictures.
const ENCODING_STEPS: u64 = 1 << 52;

/// One layer of all images so far, [images, units] row by row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LayerLatents {
    /// Units of the layer.
    pub units: usize,
    /// A sample from q(z_i | ·), given the samples of the layers it depends on.
    pub z: Vec<f32>,
    /// The mean of the distribution that the sample is from.
    pub mean: Vec<f32>,
    /// Its variance.
    pub variance: Vec<f32>,
}

/// Infers the latents of images, a batch at a time.
pub struct Encoder<'a> {
    model: &'a Model,
    statistics: &'a Statistics,
    images: &'a DeviceImages,
    seed: u64,
    layers: Vec<LayerLatents>,
    done: usize,
}

impl<'a> Encoder<'a> {
    /// An encoder that has done nothing yet.
    pub fn new(model: &'a Model, statistics: &'a Statistics, images: &'a DeviceImages, seed: u64) -> Self {
        let layer = |group: &Group| LayerLatents { units: group.units, ..LayerLatents::default() };
        let layers = model.network.groups().iter().map(layer).collect();
        Self { model, statistics, images, seed, layers, done: 0 }
    }

    /// Images that are done.
    pub const fn done(&self) -> usize {
        self.done
    }

    /// The latents so far, z_1 first.
    pub fn layers(&self) -> &[LayerLatents] {
        &self.layers
    }

    /// Infers the next images, up to `count` in all.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn next_batch(&mut self, count: usize) -> Result<()> {
        let doing = "encoding images";
        let size = BATCH.min(count - self.done);
        let x = self.images.range(self.done, size, 0).context(doing)?;
        let step = ENCODING_STEPS + (self.done / BATCH) as u64;
        let mut pass = self.model.frozen_pass(self.statistics, self.seed, step);
        let sampled = self.model.network.infer(&mut pass, &x, 1).context(doing)?;
        let read = |values: &Tensor| values.to_f32().context(doing);
        for (layer, latent) in self.layers.iter_mut().zip(&sampled.latents) {
            layer.z.extend(read(&latent.z)?);
            layer.mean.extend(read(&latent.q.mean)?);
            layer.variance.extend(read(&latent.q.variance)?);
        }
        self.done += size;
        Ok(())
    }
}

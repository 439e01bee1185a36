//! Pictures of what a model knows: samples and reconstructions as images.

use rung_autograd::Tensor;
use rung_autograd::rng::{Address, Phase, Stream};
use rung_datasets::ImageShape;
use rung_models::{Group, LatentSource, Statistics};

use crate::data::DeviceImages;
use crate::data::image_grid::Images;
use crate::engine::chunks::in_chunks;
use crate::error::{Context, Error, Result};
use crate::model::Model;

/// What of p(x|z) is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drawing {
    /// Its mean; a draw where the mean has no closed form.
    Mean,
    /// A draw from it.
    Sample,
}

/// Said where a picture of the mean of p(x|z) was to be drawn that has no closed form.
pub const PIXELS_ARE_DRAWN: &str = "pixels are drawn, one after another: an autoregressive p(x|z) has no mean image in closed form";

/// Columns of a grid of `count` images: about a square.
pub fn columns_for(count: usize) -> usize {
    (count as f64).sqrt().ceil().max(1.0) as usize
}

/// What samples of the generative model are to be.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// Where they start.
    pub source: LatentSource,
    /// Their seed.
    pub seed: u64,
    /// What of p(x|z) is shown.
    pub drawing: Drawing,
    /// Factor of the standard deviations of each layer's prior, z_1 first; layers beyond the list
    /// keep theirs.
    pub temperatures: &'a [f64],
}

impl Wanted<'_> {
    /// The means of p(x|z) for latents from here, as the model has them.
    pub fn means(source: LatentSource, seed: u64) -> Self {
        Self { source, seed, drawing: Drawing::Mean, temperatures: &[] }
    }
}

/// Images from the generative model. Where pixels are drawn one after another, `progress` hears how
/// many are done, and of how many.
///
/// # Errors
/// If there is no such layer or the device has no memory.
pub fn samples(
    model: &Model,
    statistics: &Statistics,
    wanted: &Wanted<'_>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Images> {
    let doing = "drawing samples";
    let &Wanted { ref source, seed, drawing, temperatures } = wanted;
    let (LatentSource::StandardNormal { layer, .. }
    | LatentSource::SharedAbove { layer, .. }
    | LatentSource::Given { layer, .. }) = *source;
    let network = model.latent()?;
    let of_group = |group: Group| temperatures.get(group.layer - 1).copied().unwrap_or(1.0);
    let temperatures: Vec<f64> = network.groups().into_iter().map(of_group).collect();
    let mut pass = model
        .frozen_pass(statistics, seed, Phase::Sample.nth(layer).context(doing)?)
        .with_temperatures(&temperatures);
    let p_x = network.generate(&mut pass, source).context(doing)?;
    let noise = Address::new(seed, Stream::DrawnPixel.first(), Phase::Sample.first());
    let pixels = match drawing {
        Drawing::Mean => p_x.picture(noise, progress),
        Drawing::Sample => p_x.sample(noise, progress),
    };
    images(&pixels.context(doing)?, model.shape)
}

/// The first `count` images, each beside the mean image of p(x|z) for one posterior sample, or a
/// draw where the mean has no closed form; fewer at once on a device that lacks the memory.
///
/// # Errors
/// If the device has no memory for one image at a time.
pub fn reconstructions(
    model: &Model,
    statistics: &Statistics,
    data: &DeviceImages,
    count: usize,
    seed: u64,
) -> Result<Images> {
    let doing = "reconstructing images";
    let shape = data.shape();
    let mut pixels = Vec::with_capacity(2 * count * shape.values());
    in_chunks(
        count,
        count,
        || false,
        |part| {
            let x = data.range(part.start, part.len(), 0).context(doing)?;
            let mut pass = model
                .image_pass(statistics, (seed, Phase::Reconstruction), &part, 0)
                .context(doing)?;
            let sampled = model.latent()?.infer(&mut pass, &x, 1).context(doing)?;
            let step = Phase::Reconstruction.nth(part.start).context(doing)?;
            let noise = Address::new(seed, Stream::DrawnPixel.first(), step);
            let picture = sampled.p_x.picture(noise, &mut |_, _| ()).context(doing)?;
            let reconstructions = images(&picture, shape)?;
            let originals =
                images(&data.intensities(part.start, part.len()).context(doing)?, shape)?;
            pixels.extend(originals.side_by_side(&reconstructions)?.pixels());
            Ok(())
        },
    )?;
    Images::new([2 * count, shape.channels, shape.height, shape.width], pixels)
}

/// Rows of values in about [0, 1] as images.
pub(super) fn images(values: &Tensor, shape: ImageShape) -> Result<Images> {
    let &[count, size] = values.shape().sizes() else {
        return Err(Error::new("bug: images that are no matrix; please report it"));
    };
    if size != shape.values() {
        return Err(Error::new(format!(
            "the model makes images of {size} values, the data set's have {}",
            shape.values()
        )));
    }
    let mut pixels = values.to_f32().context("reading images")?;
    pixels.iter_mut().for_each(|pixel| *pixel = pixel.clamp(0.0, 1.0));
    Images::new([count, shape.channels, shape.height, shape.width], pixels)
}

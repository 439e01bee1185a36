//! Pictures of what a model knows: samples and reconstructions as images.

use rung_autograd::rng::Address;
use rung_autograd::{Shape, Tensor};
use rung_datasets::ImageShape;
use rung_models::Statistics;
use rung_models::distributions::Bernoulli;
use rung_models::hierarchy::{LatentSource, ObservationParameters};

use crate::error::{Context, Error, Result};
use crate::model::{DeviceImages, Model};
use crate::picture::Images;

/// Steps of the noise of pictures start here, far from those of training and evaluation.
pub const PICTURE_STEPS: u64 = 1 << 56;
/// The stream of drawn pixels.
const PIXELS: u32 = 0x2000;

/// Columns of a grid of `count` images: about a square.
pub fn columns_for(count: usize) -> usize {
    (count as f64).sqrt().ceil().max(1.0) as usize
}

/// `count` images from the generative model, drawn at `layer` from the standard normal (the top layer gives samples of the model).
///
/// They are the means of p(x|z_1), or draws from it.
///
/// # Errors
/// If there is no such layer or the device has no memory.
pub fn samples(
    model: &Model,
    statistics: &Statistics,
    shape: ImageShape,
    layer: usize,
    count: usize,
    seed: u64,
    draw_pixels: bool,
) -> Result<Images> {
    let mut pass = model.frozen_pass(statistics, seed, PICTURE_STEPS + layer as u64);
    let source = LatentSource::StandardNormal { layer, count };
    let p_x = model.hierarchy.generate(&mut pass, &source).context("drawing samples")?;
    let pixels = if draw_pixels { draw(&p_x, seed) } else { p_x.mean() };
    images(&pixels.context("drawing samples")?, shape)
}

/// The first `count` images, each beside the mean image of one posterior sample.
///
/// # Errors
/// If the device has no memory.
pub fn reconstructions(
    model: &Model,
    statistics: &Statistics,
    data: &DeviceImages,
    count: usize,
    seed: u64,
) -> Result<Images> {
    let doing = "reconstructing images";
    let x = data.range(0, count, 0).context(doing)?;
    let mut pass = model.frozen_pass(statistics, seed, PICTURE_STEPS);
    let sampled = model.hierarchy.infer(&mut pass, &x, 1).context(doing)?;
    let reconstructions = images(&sampled.p_x.mean().context(doing)?, data.shape())?;
    images(&data.intensities(0, count).context(doing)?, data.shape())?.side_by_side(&reconstructions)
}

/// A draw from p(x|z_1).
fn draw(p_x: &ObservationParameters, seed: u64) -> rung_autograd::Result<Tensor> {
    let address = Address::new(seed, PIXELS, PICTURE_STEPS);
    match p_x {
        ObservationParameters::Bernoulli(logits) => Bernoulli { logits: logits.clone() }.sample(address),
        ObservationParameters::Gaussian(p_x) => {
            let shape: Shape = *p_x.mean.shape();
            p_x.sample_with(&Tensor::normal(p_x.mean.device(), p_x.mean.dtype(), address, shape)?)
        }
    }
}

/// Rows of values in about [0, 1] as images.
fn images(values: &Tensor, shape: ImageShape) -> Result<Images> {
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

//! Pictures of what a model knows: samples and reconstructions as images.

use rung_autograd::rng::{Address, Phase, Stream};
use rung_autograd::{Shape, Tensor};
use rung_datasets::ImageShape;
use rung_models::{Group, LatentModel, LatentSource, ObservationParameters, Statistics};

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
pub const PIXELS_ARE_DRAWN: &str = "pixels are drawn, one after another: an autoregressive p(x|z) \
has no mean image in closed form";

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
    let temperatures = of_groups(network, temperatures);
    let mut pass = model
        .frozen_pass(statistics, seed, Phase::Sample.nth(layer).context(doing)?)
        .with_temperatures(&temperatures);
    let p_x = network.generate(&mut pass, source).context(doing)?;
    drawn(model, &p_x, seed, drawing, progress)
}

/// The temperature of each group, from those of the layers.
fn of_groups(network: &dyn LatentModel, temperatures: &[f64]) -> Vec<f64> {
    let of_group = |group: Group| temperatures.get(group.layer - 1).copied().unwrap_or(1.0);
    network.groups().into_iter().map(of_group).collect()
}

/// The images of given latents, one row of each for every image. `given` has the samples of each
/// group that is known, in the order of [`LatentModel::groups`]; the highest of them is where the
/// generative model starts, and what is missing below it is drawn. `class` is the class of each
/// image, for models with classes; without it, each has the next class in turn.
///
/// # Errors
/// If no group is given, the model can't start at the highest one, or the device has no memory.
pub fn decoded(
    model: &Model,
    statistics: &Statistics,
    given: &[Option<Tensor>],
    class: Option<&[u32]>,
    (seed, drawing, temperatures): (u64, Drawing, &[f64]),
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Images> {
    let doing = "decoding latents";
    let network = model.latent()?;
    let groups = network.groups();
    let highest = groups.iter().zip(given).rev().find_map(|(group, z)| Some((group, z.as_ref()?)));
    let Some((Group { layer, .. }, z)) = highest else {
        return Err(Error::new("no latents are given"));
    };
    let source = LatentSource::Given { layer: *layer, z: z.clone() };
    let temperatures = of_groups(network, temperatures);
    let mut pass = model
        .frozen_pass(statistics, seed, Phase::Sample.nth(*layer).context(doing)?)
        .with_temperatures(&temperatures)
        .with_given(given);
    let p_x = match (network.classifier(), class) {
        (Some(classifier), Some(class)) => {
            let rows = class_rows(model, class, classifier.classes()).context(doing)?;
            classifier.generate_of(&mut pass, &source, &rows)
        }
        _ => network.generate(&mut pass, &source),
    };
    drawn(model, &p_x.context(doing)?, seed, drawing, progress)
}

/// For each image 1 at its class and 0 elsewhere: [images, classes].
fn class_rows(model: &Model, class: &[u32], classes: usize) -> rung_autograd::Result<Tensor> {
    let (device, dtype) = (model.store.device(), model.store.dtype());
    let mut ones = vec![0.0; class.len() * classes];
    let rows = ones.chunks_exact_mut(classes).zip(class);
    rows.for_each(|(row, &class)| row[class as usize] = 1.0);
    Tensor::from_f64(device, &ones, [class.len(), classes])?.to_dtype(dtype)
}

/// `count` images of one class; or, without one, `count` rows of an image of every class, each row
/// with one z. Gives the columns of a grid of them too.
///
/// # Errors
/// If the model has no classes or not this one, or the device has no memory.
pub fn samples_of_classes(
    model: &Model,
    statistics: &Statistics,
    (count, class): (usize, Option<usize>),
    (seed, drawing, temperatures): (u64, Drawing, &[f64]),
    progress: &mut dyn FnMut(usize, usize),
) -> Result<(Images, usize)> {
    let doing = "drawing samples";
    let network = model.latent()?;
    let classifier = network.classifier().ok_or_else(|| {
        Error::new("the model has no classes")
            .with_advice("a training with --labels N makes one that has")
    })?;
    let classes = classifier.classes();
    let wanted: Vec<u32> = match class {
        Some(class) if class < classes => vec![class as u32; count],
        Some(class) => {
            return Err(Error::usage(format!(
                "--class {class}: the model has classes 0 to {}",
                classes - 1
            )));
        }
        None => (0..count).flat_map(|_| 0..classes as u32).collect(),
    };
    let class_rows = class_rows(model, &wanted, classes).context(doing)?;
    let layer = network.depth();
    let temperatures = of_groups(network, temperatures);
    let mut pass = model
        .frozen_pass(statistics, seed, Phase::Sample.nth(layer).context(doing)?)
        .with_temperatures(&temperatures);
    let source = match class {
        Some(_) => LatentSource::StandardNormal { layer, count },
        None => {
            let groups = network.groups();
            let units = groups.last().map_or(0, |group| group.units);
            let z = pass.prior_noise(groups.len(), Shape::from([count, units]));
            let z = z.and_then(|z| z.repeat_rows(classes)).context(doing)?;
            LatentSource::Given { layer, z }
        }
    };
    let p_x = classifier.generate_of(&mut pass, &source, &class_rows).context(doing)?;
    let columns = class.map_or(classes, |_| columns_for(count));
    Ok((drawn(model, &p_x, seed, drawing, progress)?, columns))
}

/// The images of p(x|z): its means, or draws from it.
fn drawn(
    model: &Model,
    p_x: &ObservationParameters,
    seed: u64,
    drawing: Drawing,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Images> {
    let noise = Address::new(seed, Stream::DrawnPixel.first(), Phase::Sample.first());
    let pixels = match drawing {
        Drawing::Mean => p_x.picture(noise, progress),
        Drawing::Sample => p_x.sample(noise, progress),
    };
    images(&pixels.context("drawing samples")?, model.shape)
}

/// The first `count` images, and what the model makes of each: the mean image of p(x|z) for one
/// posterior sample, or a draw where the mean has no closed form; fewer at once on a device that
/// lacks the memory.
///
/// # Errors
/// If the device has no memory for one image at a time.
pub fn reconstructions(
    model: &Model,
    statistics: &Statistics,
    data: &DeviceImages,
    count: usize,
    seed: u64,
) -> Result<(Images, Images)> {
    let doing = "reconstructing images";
    let shape = data.shape();
    let room = || Vec::with_capacity(count * shape.values());
    let (mut originals, mut reconstructions) = (room(), room());
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
            reconstructions.extend(images(&picture, shape)?.pixels());
            let originals_here = data.intensities(part.start, part.len()).context(doing)?;
            originals.extend(images(&originals_here, shape)?.pixels());
            Ok(())
        },
    )?;
    let all = [count, shape.channels, shape.height, shape.width];
    Ok((Images::new(all, originals)?, Images::new(all, reconstructions)?))
}

/// The first `count` images, each followed by what it would be in every class, with the latents
/// that are inferred for it (the analogies of Kingma et al. 2014): [count · (1 + classes)] images.
/// `None` for models that can't tell the class from the latents below it.
///
/// # Errors
/// If the device has no memory.
pub fn analogies(
    model: &Model,
    statistics: &Statistics,
    data: &DeviceImages,
    count: usize,
    seed: u64,
) -> Result<Option<(Images, usize)>> {
    let doing = "varying the class of images";
    let Some(classifier) = model.latent()?.classifier() else { return Ok(None) };
    let (shape, classes) = (data.shape(), classifier.classes());
    let x = data.expected(0, count).context(doing)?;
    let mut pass = model
        .image_pass(statistics, (seed, Phase::Reconstruction), &(0..count), 0)
        .context(doing)?;
    let Some(p_x) = classifier.vary_class(&mut pass, &x).context(doing)? else { return Ok(None) };
    let originals = images(&data.intensities(0, count).context(doing)?, shape)?;
    let varied = images(&p_x.mean().context(doing)?, shape)?;
    let size = shape.values();
    let pixels = originals
        .pixels()
        .chunks(size)
        .zip(varied.pixels().chunks(classes * size))
        .flat_map(|(own, varied)| own.iter().chain(varied))
        .copied()
        .collect();
    let all = [count * (1 + classes), shape.channels, shape.height, shape.width];
    Ok(Some((Images::new(all, pixels)?, 1 + classes)))
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

//! The latent variables of images: what `rung encode` writes.

use std::ops::Range;

use rung_autograd::rng::Phase;
use rung_models::{Group, Latent, LatentModel, Statistics};

use crate::data::DeviceImages;
use crate::engine::chunks::{done_by_all, in_shared_chunks};
use crate::engine::together;
use crate::error::{Context, Result};
use crate::model::Model;

/// Images that pass through the model at once.
const BATCH: usize = 1000;

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
    /// log q − log p of each unit at the samples, mean over the images, in nats.
    pub kl_nats: Vec<f64>,
}

/// What `rung encode` finds of images.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Encoded {
    /// Each layer, z_1 first.
    pub layers: Vec<LayerLatents>,
    /// q(y|x, ·) at the samples, [images, classes]; empty without classes.
    pub class_probs: Vec<f32>,
}

/// The latents of the first `count` images, z_1 first; `progress` hears how many are done. `None`
/// if `stop` said so. The ranks that the model is shared with take contiguous parts of the images;
/// rank 0 alone gets the arrays of all, and the others empty ones.
///
/// # Errors
/// If the device fails, or has no memory for one image, or another rank has ended.
pub fn encode(
    model: &Model,
    statistics: &Statistics,
    images: &DeviceImages,
    (count, seed): (usize, u64),
    stop: impl Fn() -> bool,
    mut progress: impl FnMut(usize),
) -> Result<Option<Encoded>> {
    let layer = |group: &Group| LayerLatents {
        units: group.units,
        kl_nats: vec![0.0; group.units],
        ..LayerLatents::default()
    };
    let network = model.latent()?;
    let layers = network.groups().iter().map(layer).collect();
    let mut encoded = Encoded { layers, class_probs: Vec::new() };
    let ranks = &model.ranks;
    let all_done = in_shared_chunks(ranks, count, BATCH, stop, |part| {
        let Batch { layers, kl, class_probs } =
            batch((network, model), statistics, images, part.clone(), seed)
                .context("encoding images")?;
        let share = part.len() as f64 / count as f64;
        for (layer, of_part) in encoded.layers.iter_mut().zip(kl) {
            layer.kl_nats.iter_mut().zip(of_part).for_each(|(sum, mean)| *sum += share * mean);
        }
        for (layer, [z, mean, variance]) in encoded.layers.iter_mut().zip(layers) {
            layer.z.extend(z);
            layer.mean.extend(mean);
            layer.variance.extend(variance);
        }
        encoded.class_probs.extend(class_probs);
        progress(done_by_all(ranks, count, part.end));
        Ok(())
    })?;
    if !all_done {
        return Ok(None);
    }
    let Encoded { layers, class_probs } = encoded;
    let join = |values| together::joined_on_first(ranks, values);
    let layers = layers.into_iter().map(|layer| {
        Ok(LayerLatents {
            units: layer.units,
            z: join(layer.z)?,
            mean: join(layer.mean)?,
            variance: join(layer.variance)?,
            kl_nats: together::sum(ranks, layer.kl_nats)?,
        })
    });
    let layers = layers.collect::<Result<_>>()?;
    Ok(Some(Encoded { layers, class_probs: join(class_probs)? }))
}

/// What is found of some images.
struct Batch {
    /// Sample, mean and variance of each layer, [images, units].
    layers: Vec<[Vec<f32>; 3]>,
    /// log q − log p of each unit, mean over the images.
    kl: Vec<Vec<f64>>,
    /// [images, classes].
    class_probs: Vec<f32>,
}

/// The latents of some images, and the probabilities of their classes.
fn batch(
    (network, model): (&dyn LatentModel, &Model),
    statistics: &Statistics,
    images: &DeviceImages,
    part: Range<usize>,
    seed: u64,
) -> rung_autograd::Result<Batch> {
    let x = images.range(part.start, part.len(), 0)?;
    let mut pass = model.image_pass(statistics, (seed, Phase::Encoding), &part, 0)?;
    let sampled = network.infer(&mut pass, &x, 1)?;
    let read = |latent: &Latent| {
        Ok([latent.z.to_f32()?, latent.q.mean.to_f32()?, latent.q.variance.to_f32()?])
    };
    let log_q = sampled.class.as_ref().and_then(|class| class.log_q.as_ref());
    let class_probs = log_q.map_or(Ok(Vec::new()), |log_q| log_q.exp()?.to_f32())?;
    let layers = sampled.latents.iter().map(read).collect::<rung_autograd::Result<_>>()?;
    let kl = |latent: &Latent| {
        let densities = latent.densities()?;
        densities.log_q_per_unit.sub(&densities.log_p_per_unit)?.to_f64()
    };
    let kl = sampled.latents.iter().map(kl).collect::<rung_autograd::Result<_>>()?;
    Ok(Batch { layers, kl, class_probs })
}

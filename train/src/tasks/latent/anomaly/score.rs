//! The bounds L^{>k} of every image.

use std::ops::Range;

use rung_autograd::rng::Phase;
use rung_models::Statistics;

use crate::data::DeviceImages;
use crate::engine::chunks::{done_by_all, in_shared_chunks};
use crate::engine::together;
use crate::error::{Context, Error, Result};
use crate::model::Model;
use crate::tasks::latent::evaluation::LogWeights;

/// What to compute.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    /// Images to score, from the first.
    pub images: usize,
    /// Importance samples of each bound.
    pub importance_samples: usize,
    /// Rows computed at once: images times samples.
    pub rows: usize,
    /// Seed of the samples.
    pub seed: u64,
}

/// L^{>k} of each image in nats, `by_layer[k][image]`, k from 0 to L − 1.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageBounds {
    /// The bounds.
    pub by_layer: Vec<Vec<f64>>,
}

impl ImageBounds {
    /// The scores −L^{>k}: the higher, the more anomalous.
    pub fn plain(&self, k: usize) -> Vec<f64> {
        self.by_layer[k].iter().map(|bound| -bound).collect()
    }

    /// The scores L − L^{>k}: how much the k lowest layers add.
    pub fn ratio(&self, k: usize) -> Vec<f64> {
        self.by_layer[0].iter().zip(&self.by_layer[k]).map(|(whole, above)| whole - above).collect()
    }

    /// How many images there are.
    pub fn count(&self) -> usize {
        self.by_layer.first().map_or(0, Vec::len)
    }
}

/// The bounds of the first images of a set; `progress` hears how many images are done. `None` if
/// `stop` said so. The ranks that the model is shared with take contiguous parts of the images, and
/// all get the bounds of all.
///
/// # Errors
/// If the device fails, or another rank has ended.
pub fn bounds(
    (model, statistics): (&Model, &Statistics),
    images: &DeviceImages,
    request: Request,
    stop: impl Fn() -> bool,
    mut progress: impl FnMut(usize),
) -> Result<Option<ImageBounds>> {
    let (depth, ranks) = (model.latent()?.depth(), &model.ranks);
    let mut by_layer = vec![Vec::new(); depth];
    let at_once = request.rows / request.importance_samples;
    let all_done = in_shared_chunks(ranks, request.images, at_once, &stop, |part| {
        // An empty batch is one that was stopped, which the next look finds out.
        let batch = batch((model, statistics), images, request, &part, &stop)?.unwrap_or_default();
        by_layer.iter_mut().zip(batch).for_each(|(all, of_batch)| all.extend(of_batch));
        progress(done_by_all(ranks, request.images, part.end));
        Ok(())
    })?;
    if !all_done || together::any(ranks, stop())? {
        return Ok(None);
    }
    let by_layer = by_layer.into_iter().map(|of_layer| together::joined(ranks, of_layer));
    let by_layer: Vec<Vec<f64>> = by_layer.collect::<Result<_>>()?;
    if by_layer.iter().flatten().any(|bound| bound.is_nan()) {
        return Err(Error::new(
            "a bound is not a number: training has ruined this model's parameters",
        )
        .with_advice("look at an older checkpoint, with --checkpoint best or previous"));
    }
    Ok(Some(ImageBounds { by_layer }))
}

/// The bounds of some images, for each k; `None` if `stop` said so. Samples are drawn so many at a
/// time that with all images there are no more rows than were asked for.
fn batch(
    (model, statistics): (&Model, &Statistics),
    images: &DeviceImages,
    request: Request,
    part: &Range<usize>,
    stop: &impl Fn() -> bool,
) -> Result<Option<Vec<Vec<f64>>>> {
    let doing = "scoring images";
    let samples = request.importance_samples;
    let at_once = (request.rows / part.len().max(1)).clamp(1, samples.max(1));
    let x = images.range(part.start, part.len(), 0).context(doing)?;
    let network = model.latent()?;
    let pass = |first_sample| {
        let noise = (request.seed, Phase::Anomaly);
        model.image_pass(statistics, noise, part, first_sample)
    };
    let posterior =
        pass(0).and_then(|mut pass| network.infer_bottom_up(&mut pass, &x)).context(doing)?;
    let log_weights = |skipped: usize, first: usize, count: usize| {
        let sampled = posterior.sample_above(&mut pass(first)?, count, skipped)?;
        sampled.log_weights(&x)?.to_f64()
    };
    let mut bounds = Vec::with_capacity(network.depth());
    for skipped in 0..network.depth() {
        let mut weights = vec![LogWeights::default(); part.len()];
        for first in (0..samples).step_by(at_once) {
            if stop() {
                return Ok(None);
            }
            let count = at_once.min(samples - first);
            let values = log_weights(skipped, first, count).context(doing)?;
            weights
                .iter_mut()
                .zip(values.chunks_exact(count))
                .for_each(|(image, chunk)| image.add(chunk));
        }
        bounds.push(weights.iter().map(|image| image.bound(samples)).collect());
    }
    Ok(Some(bounds))
}

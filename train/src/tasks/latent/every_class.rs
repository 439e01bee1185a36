//! The importance-weighted bound with the class summed out exactly, in place of the likeliest one.

use rung_autograd::rng::Phase;
use rung_models::{Classifier, Statistics};

use super::evaluation::{Estimate, LogWeights, estimate};
use crate::data::DeviceImages;
use crate::engine::chunks::in_shared_chunks;
use crate::engine::together;
use crate::error::{Context, Error, Result};
use crate::model::Model;
use crate::tasks::task::Request;

/// L_K = mean over images of ln (1/K) Σ_k Σ_y p(x, y, z_ky) / q(z_ky|x, y), in nats, over the
/// request's importance samples k and every class y. It costs as many rows as there are classes for
/// each sample. `None` if `stop` said so. The ranks that the model is shared with take contiguous
/// parts of the images, and all get the bound of all.
///
/// # Errors
/// If the family has no such weights, the device fails, another rank has ended, or the bound is not
/// finite.
pub(super) fn bound(
    classifier: &dyn Classifier,
    (model, statistics): (&Model, &Statistics),
    images: &DeviceImages,
    request: Request,
    stop: &dyn Fn() -> bool,
) -> Result<Option<Estimate>> {
    let doing = "summing over the classes";
    let (classes, samples) = (classifier.classes(), request.importance_samples);
    let count = request.images.min(images.count());
    let samples_at_once = (request.rows / classes).clamp(1, samples);
    let at_once = request.rows / (samples_at_once * classes);
    let mut bounds = Vec::with_capacity(count);
    let all_done = in_shared_chunks(&model.ranks, count, at_once, stop, |part| {
        let x = images.range(part.start, part.len(), 0).context("gathering images")?;
        let mut weights = vec![LogWeights::default(); part.len()];
        for done in (0..samples).step_by(samples_at_once) {
            let size = samples_at_once.min(samples - done);
            let phase = (request.seed, Phase::Evaluation);
            let mut pass = model.image_pass(statistics, phase, &part, done).context(doing)?;
            let by_class = classifier.log_weights_by_class(&mut pass, &x, size).context(doing)?;
            let Some(by_class) = by_class else {
                return Err(Error::new(format!(
                    "a {} does not offer its weights by class",
                    model.family.name()
                ))
                .with_advice("leave --every-class out: the likeliest class bounds log p(x) too"));
            };
            let by_class = by_class.to_f64().context(doing)?;
            for (image, rows) in weights.iter_mut().zip(by_class.chunks_exact(size * classes)) {
                image.add(rows);
            }
        }
        bounds.extend(weights.iter().map(|weights| weights.bound(samples)));
        Ok(())
    })?;
    if !all_done {
        return Ok(None);
    }
    let bound = estimate(together::joined(&model.ranks, bounds)?.into_iter());
    if !bound.mean.is_finite() {
        return Err(Error::new("the bound with every class is not a finite number")
            .with_advice("look at an older checkpoint, with --checkpoint best or previous"));
    }
    Ok(Some(bound))
}

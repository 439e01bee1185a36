//! How a latent-variable model classifies images: q(y|x), averaged over samples of what q(y|x, ·)
//! is conditioned on.

use rung_autograd::rng::Phase;
use rung_models::{Classifier, Statistics};

use crate::data::DeviceImages;
use crate::engine::chunks::in_shared_chunks;
use crate::engine::together;
use crate::error::{Context, Result};
use crate::model::Model;
use crate::tasks::judged::Judged;
use crate::tasks::task::Request;

/// Classifies images by (1/M) Σ_m q(y|x, a_m), with M the request's class samples, and compares the
/// likeliest class with the label, of those images that have one. The model sees the expected
/// pixels ([`DeviceImages::expected`]): grey levels where it was trained on draws from them. `None`
/// if `stop` said so. The ranks that the model is shared with take contiguous parts of the images,
/// and all judge all of them.
///
/// # Errors
/// If the device fails, another rank has ended, or a probability is no number.
pub(super) fn judge(
    classifier: &dyn Classifier,
    (model, statistics): (&Model, &Statistics),
    images: &DeviceImages,
    labels: &[u32],
    request: Request,
    stop: &dyn Fn() -> bool,
) -> Result<Option<Judged>> {
    let doing = "classifying images";
    let (classes, samples) = (classifier.classes(), request.class_samples.max(1));
    let mut of_images = Vec::new();
    let count = request.images.min(images.count());
    let at_once = (request.rows / samples).clamp(1, count.max(1));
    let all_done = in_shared_chunks(&model.ranks, count, at_once, stop, |part| {
        let x = images.expected(part.start, part.len()).context("gathering images")?;
        let phase = (request.seed, Phase::Evaluation);
        let mut pass = model.image_pass(statistics, phase, &part, 0).context(doing)?;
        let log_probs = classifier.class_log_probs(&mut pass, &x, samples);
        let log_probs = log_probs.and_then(|log_probs| log_probs.to_f64()).context(doing)?;
        let rows = log_probs.chunks_exact(samples * classes);
        of_images.extend(rows.flat_map(|rows| mean_log_probs(rows, classes)));
        Ok(())
    })?;
    if !all_done {
        return Ok(None);
    }
    let of_images = together::joined(&model.ranks, of_images)?;
    Judged::of_images(classes, labels, &of_images).map(Some)
}

/// ln (1/M) Σ_m exp of each column of M rows.
pub(super) fn mean_log_probs(rows: &[f64], classes: usize) -> Vec<f64> {
    let samples = (rows.len() / classes) as f64;
    let mean = |class: usize| {
        let column = || rows.iter().skip(class).step_by(classes);
        let largest = column().copied().fold(f64::NEG_INFINITY, f64::max);
        if largest == f64::NEG_INFINITY {
            return largest;
        }
        largest + (column().map(|value| (value - largest).exp()).sum::<f64>() / samples).ln()
    };
    (0..classes).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_averaged_and_not_their_logarithms() {
        let rows = [0.9f64.ln(), 0.1f64.ln(), 0.3f64.ln(), 0.7f64.ln()];
        let means = mean_log_probs(&rows, 2);
        assert!((means[0] - 0.6f64.ln()).abs() < 1e-12 && (means[1] - 0.4f64.ln()).abs() < 1e-12);
        let certain = mean_log_probs(&[0.0, f64::NEG_INFINITY, -1e300, f64::NEG_INFINITY], 2);
        assert!((certain[0] - 0.5f64.ln()).abs() < 1e-12, "{certain:?}");
        assert_eq!(certain[1], f64::NEG_INFINITY);
    }
}

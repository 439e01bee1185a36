//! The bounds of a trained model on a set of images (specification section 11), streamed so that memory does not grow with K.
//!
//! Batch normalisation has frozen statistics, so every image's bound is independent of the images beside it, and chunks of importance
//! samples can be joined exactly: with m the largest log weight so far and s = Σ exp(log w − m), a chunk updates both, and at the end
//! L_K = m + ln s − ln K.

use rung_autograd::Tensor;
use rung_autograd::rng::Phase;
use rung_models::{Sampled, Statistics};

use crate::awake::Awake;
use crate::chunks::in_chunks;
use crate::error::{Error, Result};
use crate::model::{DeviceImages, Model};

/// Rows computed at once unless a person says otherwise.
pub const DEFAULT_ROWS: u32 = 1000;

/// What to estimate.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    /// Importance samples an image, K.
    pub importance_samples: usize,
    /// Images to use, from the first.
    pub images: usize,
    /// Rows computed at once: images times samples.
    pub rows: usize,
    /// Seed of the samples.
    pub seed: u64,
}

/// A mean over images and its standard error.
#[derive(Debug, Clone, Copy, Default)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Standard deviation of the images' values over the root of their number.
    pub standard_error: f64,
}

/// The bounds and their terms, in nats per image.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// Images that were used.
    pub images: usize,
    /// The one-sample bound L_1: the first of the K samples of each image.
    pub bound_1: Estimate,
    /// The importance-weighted bound L_K.
    pub bound_k: Estimate,
    /// Mean effective sample size (Σw)²/Σw² of an image's K weights.
    pub effective_sample_size: f64,
    /// Mean log p(x|z_1).
    pub log_p_x: f64,
    /// Mean log q(z_i), z_1 first.
    pub log_q: Vec<f64>,
    /// Mean log p(z_i), z_1 first.
    pub log_p: Vec<f64>,
    /// Mean log q − log p of every unit of every layer.
    pub kl_per_unit: Vec<Vec<f64>>,
    /// Share of the images whose most likely class is not theirs, where the model and the images have classes.
    pub error_rate: Option<f64>,
}

impl Evaluation {
    /// Units of each layer whose divergence exceeds 0.01 nats: the active ones.
    pub fn active_units(&self) -> Vec<usize> {
        let active = |units: &Vec<f64>| units.iter().filter(|&&kl| kl > ACTIVE_NATS).count();
        self.kl_per_unit.iter().map(active).collect()
    }

    /// Mean divergence of each layer: the sum over its units.
    pub fn kl(&self) -> Vec<f64> {
        self.log_q.iter().zip(&self.log_p).map(|(q, p)| q - p).collect()
    }
}

/// The numbers with `digits` significant ones: what a file keeps of a divergence that is written for every unit and epoch.
pub fn rounded(values: &[Vec<f64>], digits: usize) -> Vec<Vec<f64>> {
    let round = |&value: &f64| format!("{value:.*e}", digits.saturating_sub(1)).parse().unwrap_or(value);
    values.iter().map(|units| units.iter().map(round).collect()).collect()
}

/// A unit is active if its divergence exceeds this many nats (specification section 12).
pub const ACTIVE_NATS: f64 = 0.01;

/// Estimates the bounds; `progress` hears how many images are done and the mean L_K so far. `None` if `stop` said so.
///
/// # Errors
/// If the device fails, or a bound is not a finite number.
pub fn evaluate(
    model: &Model,
    statistics: &Statistics,
    images: &DeviceImages,
    request: Request,
    stop: impl Fn() -> bool,
    mut progress: impl FnMut(usize, f64),
) -> Result<Option<Evaluation>> {
    let count = request.images.min(images.count());
    let _awake = Awake::on(model.store.device());
    // Buffers of a training step, and at the end those of the evaluation, have sizes that nothing else asks for.
    model.store.device().release_free();
    let mut sums = Sums::new(model);
    let (mut rows, mut start, mut batch) = (request.rows, 0, 0u64);
    while start < count {
        let samples_at_once = request.importance_samples.min(rows).max(1);
        let size = (rows / samples_at_once).clamp(1, count - start);
        let first_step = Phase::Evaluation.first() + (batch << 24);
        batch += 1;
        let evaluated =
            images.range(start, size, 0).map_err(|error| Error::caused("gathering images", error)).and_then(|x| {
                let chunks = Chunks { model, statistics, x: &x, seed: request.seed, first_step };
                chunks.evaluate(request.importance_samples, samples_at_once, &stop)
            });
        match evaluated {
            Ok(Some(batch)) => sums.add(batch, request.importance_samples),
            Ok(None) => return Ok(None),
            // A device without the memory for so much at once may have it for half.
            Err(error) if error.is_out_of_memory() && size * samples_at_once > 1 => {
                rows = (size * samples_at_once).div_ceil(2);
                continue;
            }
            Err(error) => return Err(error),
        }
        start += size;
        progress(start, sums.bound_so_far());
    }
    let error_rate = error_rate(model, statistics, images, count, request)?;
    model.store.device().release_free();
    let evaluation = Evaluation { error_rate, ..sums.finish(request.importance_samples) };
    if !(evaluation.bound_1.mean.is_finite() && evaluation.bound_k.mean.is_finite()) {
        return Err(Error::new("the bound is not a finite number: training has ruined this model's parameters")
            .with_advice("look at an older checkpoint, with --checkpoint best or previous"));
    }
    Ok(Some(evaluation))
}

/// The samples of one batch of images, a chunk at a time.
struct Chunks<'a> {
    model: &'a Model,
    statistics: &'a Statistics,
    x: &'a Tensor,
    seed: u64,
    /// Addresses the noise of the first chunk; each further sample counts one on.
    first_step: u64,
}

impl Chunks<'_> {
    /// The weights of all samples of each image. What doesn't depend on a sample is computed once; the first chunk also gives the terms.
    fn evaluate(&self, samples: usize, at_once: usize, stop: &impl Fn() -> bool) -> Result<Option<Batch>> {
        let failed = |error| Error::caused("evaluating", error);
        let images = self.x.shape().sizes()[0];
        let pass = |done: usize| self.model.frozen_pass(self.statistics, self.seed, self.first_step + done as u64);
        let upward = self.model.network.upward(&mut pass(0), self.x).map_err(failed)?;
        let mut batch = Batch { weights: vec![LogWeights::default(); images], terms: TermSums::new(self.model) };
        for done in (0..samples).step_by(at_once) {
            if stop() {
                return Ok(None);
            }
            let count = at_once.min(samples - done);
            let sampled = self.model.network.sample_posterior(&mut pass(done), &upward, count).map_err(failed)?;
            let log_weights = sampled.log_weights(self.x).and_then(|weights| weights.to_f64()).map_err(failed)?;
            for (image, chunk) in batch.weights.iter_mut().zip(log_weights.chunks_exact(count)) {
                image.add(chunk);
            }
            if done == 0 {
                batch.terms.add_sampled(&sampled, self.x, images).map_err(failed)?;
            }
        }
        Ok(Some(batch))
    }
}

/// What a batch of images gives.
struct Batch {
    weights: Vec<LogWeights>,
    terms: TermSums,
}

/// The log weights of one image, streamed.
#[derive(Clone, Debug)]
struct LogWeights {
    first: Option<f64>,
    largest: f64,
    /// Σ exp(log w − largest).
    sum: f64,
    /// Σ exp(2(log w − largest)).
    sum_of_squares: f64,
}

impl Default for LogWeights {
    fn default() -> Self {
        Self { first: None, largest: f64::NEG_INFINITY, sum: 0.0, sum_of_squares: 0.0 }
    }
}

impl LogWeights {
    fn add(&mut self, log_weights: &[f64]) {
        self.first = self.first.or(log_weights.first().copied());
        for &log_weight in log_weights {
            if log_weight > self.largest {
                let shrink = (self.largest - log_weight).exp();
                self.sum *= shrink;
                self.sum_of_squares *= shrink * shrink;
                self.largest = log_weight;
            }
            let weight = (log_weight - self.largest).exp();
            self.sum += weight;
            self.sum_of_squares += weight * weight;
        }
    }

    fn bound(&self, importance_samples: usize) -> f64 {
        self.largest + self.sum.ln() - (importance_samples as f64).ln()
    }

    fn effective_sample_size(&self) -> f64 {
        self.sum * self.sum / self.sum_of_squares
    }
}

/// The terms of the bound, summed over images.
struct TermSums {
    log_p_x: f64,
    log_q: Vec<f64>,
    log_p: Vec<f64>,
    kl_per_unit: Vec<Vec<f64>>,
}

impl TermSums {
    fn new(model: &Model) -> Self {
        let groups = model.network.groups();
        let zeros = vec![0.0; groups.len()];
        let kl_per_unit = groups.iter().map(|group| vec![0.0; group.units]).collect();
        Self { log_p_x: 0.0, log_q: zeros.clone(), log_p: zeros, kl_per_unit }
    }

    /// Adds the terms of a chunk of samples, averaged over the samples of each image.
    fn add_sampled(&mut self, sampled: &Sampled, x: &Tensor, images: usize) -> rung_autograd::Result<()> {
        let total = |term: Tensor| -> rung_autograd::Result<f64> { Ok(term.mean_all()?.to_scalar()? * images as f64) };
        self.log_p_x += total(sampled.p_x.log_prob(x)?)?;
        for (index, latent) in sampled.latents.iter().enumerate() {
            self.log_q[index] += total(latent.log_q()?)?;
            self.log_p[index] += total(latent.log_p()?)?;
            for (sum, mean) in self.kl_per_unit[index].iter_mut().zip(latent.log_ratio_per_unit()?.to_f64()?) {
                *sum += mean * images as f64;
            }
        }
        Ok(())
    }

    /// Every sum, in one order.
    fn each_mut(&mut self) -> impl Iterator<Item = &mut f64> {
        let layers = self.log_q.iter_mut().chain(&mut self.log_p).chain(self.kl_per_unit.iter_mut().flatten());
        std::iter::once(&mut self.log_p_x).chain(layers)
    }
}

/// What is known of the images so far.
struct Sums {
    weights: Vec<LogWeights>,
    sum_of_bounds: f64,
    terms: TermSums,
}

impl Sums {
    fn new(model: &Model) -> Self {
        Self { weights: Vec::new(), sum_of_bounds: 0.0, terms: TermSums::new(model) }
    }

    fn add(&mut self, mut batch: Batch, importance_samples: usize) {
        self.sum_of_bounds += batch.weights.iter().map(|weights| weights.bound(importance_samples)).sum::<f64>();
        self.weights.append(&mut batch.weights);
        self.terms.each_mut().zip(batch.terms.each_mut()).for_each(|(sum, term)| *sum += *term);
    }

    fn bound_so_far(&self) -> f64 {
        self.sum_of_bounds / self.weights.len() as f64
    }

    fn finish(mut self, importance_samples: usize) -> Evaluation {
        let images = self.weights.len();
        let n = images.max(1) as f64;
        self.terms.each_mut().for_each(|sum| *sum /= n);
        let TermSums { log_p_x, log_q, log_p, kl_per_unit } = self.terms;
        Evaluation {
            images,
            bound_1: estimate(self.weights.iter().filter_map(|weights| weights.first)),
            bound_k: estimate(self.weights.iter().map(|weights| weights.bound(importance_samples))),
            effective_sample_size: self.weights.iter().map(LogWeights::effective_sample_size).sum::<f64>() / n,
            log_p_x,
            log_q,
            log_p,
            kl_per_unit,
            error_rate: None,
        }
    }
}

/// The share of the first `count` images whose most likely class, by one sample of the latents, is not theirs; `None` without classes.
fn error_rate(
    model: &Model,
    statistics: &Statistics,
    images: &DeviceImages,
    count: usize,
    request: Request,
) -> Result<Option<f64>> {
    let (Some(classifier), Some(labels)) = (model.network.classifier(), images.labels()) else { return Ok(None) };
    let (classes, failed) = (classifier.classes(), |error| Error::caused("classifying", error));
    let mut wrong = 0;
    in_chunks(
        count,
        request.rows,
        || false,
        |part| {
            let (start, size) = (part.start, part.len());
            let mut pass = model.frozen_pass(statistics, request.seed, Phase::Evaluation.first() + start as u64);
            let x = images.range(start, size, 0).map_err(failed)?;
            let log_q = classifier.class_log_probs(&mut pass, &x).and_then(|log_q| log_q.to_f64()).map_err(failed)?;
            for (row, &label) in log_q.chunks_exact(classes).zip(&labels[start..]) {
                let likeliest = (0..classes).max_by(|&a, &b| row[a].total_cmp(&row[b]));
                wrong += usize::from(likeliest != Some(label as usize));
            }
            Ok(())
        },
    )?;
    Ok(Some(wrong as f64 / count.max(1) as f64))
}

fn estimate(values: impl Iterator<Item = f64> + Clone) -> Estimate {
    let count = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / count;
    let variance = values.map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
    Estimate { mean, standard_error: (variance / count).sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::sources::{Sources, layered};
    use rung_autograd::DType;
    use rung_datasets::Split;
    use rung_models::objective::{ObjectiveConfig, bound};

    fn weights(chunks: &[&[f64]]) -> LogWeights {
        let mut weights = LogWeights::default();
        chunks.iter().for_each(|chunk| weights.add(chunk));
        weights
    }

    #[test]
    fn rounding_keeps_the_significant_digits() {
        let rounded = rounded(&[vec![0.012_345_6, 12.345_6], vec![-0.0, f64::NAN]], 3);
        assert_eq!(rounded[0], [0.0123, 12.3]);
        assert!(rounded[1][0] == 0.0 && rounded[1][1].is_nan());
    }

    /// Specification section 17: log-mean-exp(−90, −88.5, −93) = −89.388158, softmax 0.180784, 0.810216, 0.009001.
    #[test]
    fn streaming_in_any_chunks_gives_the_bound() {
        for chunks in [&[&[-90.0, -88.5, -93.0][..]][..], &[&[-90.0], &[-88.5, -93.0]], &[&[-90.0], &[-88.5], &[-93.0]]]
        {
            let weights = weights(chunks);
            assert!((weights.bound(3) - -89.388158).abs() < 1e-6);
            let shares = [0.180784f64, 0.810216, 0.009001];
            let expected = 1.0 / shares.iter().map(|share| share * share).sum::<f64>();
            assert!((weights.effective_sample_size() - expected).abs() < 1e-4);
            assert_eq!(weights.first, Some(-90.0));
        }
    }

    #[test]
    fn one_sample_is_its_own_bound_whatever_its_size() {
        for log_weight in [-1e5, 0.0, 3e4] {
            let weights = weights(&[&[log_weight]]);
            assert_eq!(weights.bound(1), log_weight);
            assert_eq!(weights.effective_sample_size(), 1.0);
        }
    }

    #[test]
    fn the_standard_error_is_that_of_a_mean() {
        let Estimate { mean, standard_error } = estimate([1.0, 2.0, 3.0, 4.0].into_iter());
        assert_eq!(mean, 2.5);
        assert!((standard_error - (5.0f64 / 3.0 / 4.0).sqrt()).abs() < 1e-12);
    }

    /// What is computed once per image and in chunks is what the objective computes at once, with the same noise.
    #[test]
    fn an_evaluation_is_the_bound_of_the_objective() {
        let device = rung_autograd::Device::cpu();
        let sizes = ["model.latent_sizes=[4,3]".to_string(), "model.hidden_sizes=[9,8]".into()];
        let config = layered(&Sources { sets: &sizes, ..Sources::default() }).unwrap();
        let glyphs = rung_datasets::GlyphCounts { train: 2, validation: 0, test: 5 };
        let options = rung_datasets::Options { glyphs, ..Default::default() };
        let dataset = rung_datasets::open("glyphs", ".".as_ref(), &options).unwrap();
        let images = DeviceImages::new(&dataset, Split::Test, 0, &config.data, 1, &device, DType::F64).unwrap();
        let model = Model::new(&config, images.shape(), &device, DType::F64).unwrap();
        let request = Request { importance_samples: 6, images: 5, rows: 30, seed: 3 };
        let with = |rows: usize| {
            evaluate(&model, &model.statistics, &images, Request { rows, ..request }, || false, |_, _| ())
                .unwrap()
                .unwrap()
        };
        let all_at_once = with(30);
        let mut pass = model.frozen_pass(&model.statistics, 3, Phase::Evaluation.first());
        let objective = ObjectiveConfig { importance_samples: 6, ..ObjectiveConfig::default() };
        let expected = bound(&*model.network, &mut pass, &images.range(0, 5, 0).unwrap(), &objective).unwrap();
        assert!((all_at_once.bound_k.mean + expected.loss.to_scalar().unwrap()).abs() < 1e-9);
        assert!((all_at_once.log_p_x - expected.log_p_x.to_scalar().unwrap()).abs() < 1e-9);
        assert!((all_at_once.kl()[1] - expected.kl[1].to_scalar().unwrap()).abs() < 1e-9);
        let per_unit: f64 = all_at_once.kl_per_unit[0].iter().sum();
        assert!((per_unit - all_at_once.kl()[0]).abs() < 1e-9);
        for rows in [1, 4, 7, 12] {
            let chunked = with(rows);
            assert_eq!(chunked.images, 5);
            assert!(chunked.bound_k.mean.is_finite() && (1.0..=6.0).contains(&chunked.effective_sample_size));
        }
        let stopped = evaluate(&model, &model.statistics, &images, request, || true, |_, _| ()).unwrap();
        assert!(stopped.is_none());
    }
}

//! The bounds of a trained model on a set of images (specification section 11), streamed so that
//! memory does not grow with K.
//!
//! Batch normalisation has frozen statistics, so every image's bound is independent of the images
//! beside it, and chunks of importance samples can be joined exactly: with m the largest log weight
//! so far and s = Σ exp(log w − m), a chunk updates both, and at the end L_K = m + ln s − ln K.

use std::fmt::{self, Display, Formatter};
use std::ops::Range;

use rung_autograd::Tensor;
use rung_autograd::ops::concat;
use rung_autograd::rng::Phase;
use rung_models::objective::Densities;
use rung_models::{LatentModel, Sampled, Statistics};
use rung_ranks::Ranks;

use crate::data::DeviceImages;
use crate::engine::chunks::done_by_all;
use crate::engine::spin_wait::SpinWait;
use crate::engine::together;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::tasks::Request;

/// Rows computed at once unless the user says otherwise.
pub const DEFAULT_ROWS: u32 = 1000;

/// Tensors that `concat` joins at once.
const JOINED_AT_ONCE: usize = 6;

/// A mean over images and its standard error; shown as `-88.50 ± 0.12`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Standard deviation of the images' values over the root of their number; one image has none.
    pub standard_error: Option<f64>,
}

impl Display for Estimate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:>width$.2}", self.mean, width = f.width().unwrap_or(0))?;
        self.standard_error.map_or(Ok(()), |error| write!(f, " ± {error:.2}"))
    }
}

/// The bounds and their terms, in nats per image.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// Images that were used.
    pub images: usize,
    /// The one-sample bound L_1, the mean over the K samples of each image: log p(x|z_1) − Σ KL,
    /// plus log p(y) with classes.
    pub bound_1: Estimate,
    /// The importance-weighted bound L_K.
    pub bound_k: Estimate,
    /// L_K of each image, in order.
    pub bounds_k: Vec<f64>,
    /// Mean effective sample size (Σw)²/Σw² of an image's K weights.
    pub effective_sample_size: f64,
    /// Mean log p(x|z_1). This and the other terms are means over the K samples too.
    pub log_p_x: f64,
    /// log p(y) of the class that a model with classes takes for a sample; `None` without classes.
    pub log_p_class: Option<f64>,
    /// Mean KL of each group at the samples, log q(z_i) − log p(z_i), z_1 first.
    pub kl: Vec<f64>,
    /// Mean log q(z_i), z_1 first.
    pub log_q: Vec<f64>,
    /// Mean log p(z_i), z_1 first.
    pub log_p: Vec<f64>,
    /// Mean log q − log p of every unit of every layer.
    pub kl_per_unit: Vec<Vec<f64>>,
}

impl Evaluation {
    /// Units of each layer whose KL exceeds 0.01 nats: the active ones.
    pub fn active_units(&self) -> Vec<usize> {
        let active = |units: &Vec<f64>| units.iter().filter(|&&kl| kl > ACTIVE_NATS).count();
        self.kl_per_unit.iter().map(active).collect()
    }
}

/// A unit is active if its KL exceeds this many nats (specification section 12).
pub const ACTIVE_NATS: f64 = 0.01;

/// Estimates the bounds; `progress` hears how many images are done and the mean L_K so far. `None`
/// if `stop` said so. The ranks that the model is shared with take contiguous parts of the images,
/// and all get the bounds of all.
///
/// # Errors
/// If the device fails, another rank has ended, or a bound is not a finite number.
pub fn evaluate(
    network: &dyn LatentModel,
    model: &Model,
    statistics: &Statistics,
    images: &DeviceImages,
    request: Request,
    stop: &dyn Fn() -> bool,
    mut progress: impl FnMut(usize, f64),
) -> Result<Option<Evaluation>> {
    let count = request.images.min(images.count());
    let _spin_wait = SpinWait::on(model.store.device());
    // Buffers of a training step, and at the end those of the evaluation, have sizes that nothing
    // else asks for.
    model.store.device().release_free();
    let mut sums = Sums::new(network);
    let ranks = &model.ranks;
    let Range { start: first, end } = ranks.share(count);
    let (mut rows, mut start, mut is_stopped) = (request.rows, first, false);
    while start < end && !is_stopped {
        let samples_at_once = request.importance_samples.min(rows).max(1);
        let size = (rows / samples_at_once).clamp(1, end - start);
        let part = start..start + size;
        let evaluated = images
            .range(start, size, 0)
            .map_err(|error| Error::caused("gathering images", error))
            .and_then(|x| {
                let chunks =
                    Chunks { network, model, statistics, images: part, x: &x, seed: request.seed };
                chunks.evaluate(request.importance_samples, samples_at_once, stop)
            });
        match evaluated {
            Ok(Some(batch)) => sums.add(batch, request.importance_samples),
            Ok(None) => is_stopped = true,
            // A device without the memory for so much at once may have it for half.
            Err(error) if error.is_out_of_memory() && size * samples_at_once > 1 => {
                rows = (size * samples_at_once).div_ceil(2);
                continue;
            }
            Err(error) => return Err(error),
        }
        start += size;
        progress(done_by_all(ranks, count, start), sums.bound_so_far());
    }
    if together::any(ranks, is_stopped)? {
        return Ok(None);
    }
    sums.join(ranks)?;
    model.store.device().release_free();
    let evaluation = sums.finish(request.importance_samples);
    if !(evaluation.bound_1.mean.is_finite() && evaluation.bound_k.mean.is_finite()) {
        return Err(Error::new(
            "the bound is not a finite number: training has ruined this model's parameters",
        )
        .with_advice("look at an older checkpoint, with --checkpoint best or previous"));
    }
    Ok(Some(evaluation))
}

/// The samples of one batch of images, a chunk at a time.
struct Chunks<'a> {
    network: &'a dyn LatentModel,
    model: &'a Model,
    statistics: &'a Statistics,
    /// Which images they are.
    images: Range<usize>,
    x: &'a Tensor,
    seed: u64,
}

impl Chunks<'_> {
    /// The weights and the terms of all samples of each image. What doesn't depend on a sample is
    /// computed once.
    fn evaluate(
        &self,
        samples: usize,
        at_once: usize,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Batch>> {
        let failed = |error| Error::caused("evaluating", error);
        let pass = |first_sample: usize| {
            self.model.image_pass(
                self.statistics,
                (self.seed, Phase::Evaluation),
                &self.images,
                first_sample,
            )
        };
        let posterior = pass(0)
            .and_then(|mut pass| self.network.infer_bottom_up(&mut pass, self.x))
            .map_err(failed)?;
        let mut batch = Batch::new(self.network, self.images.len());
        for done in (0..samples).step_by(at_once) {
            if stop() {
                return Ok(None);
            }
            let count = at_once.min(samples - done);
            let sampled = pass(done).and_then(|mut pass| posterior.sample(&mut pass, count));
            sampled.and_then(|sampled| batch.add(&sampled, self.x, count)).map_err(failed)?;
        }
        Ok(Some(batch))
    }
}

/// What a batch of images gives.
struct Batch {
    weights: Vec<LogWeights>,
    terms: TermSums,
    log_p_class: Option<f64>,
}

impl Batch {
    fn new(network: &dyn LatentModel, images: usize) -> Self {
        let weights = vec![LogWeights::default(); images];
        Self { weights, terms: TermSums::new(network), log_p_class: None }
    }

    /// Adds `count` samples of each image. All that is read comes in one copy from the device.
    fn add(&mut self, sampled: &Sampled, x: &Tensor, count: usize) -> rung_autograd::Result<()> {
        let rows = self.weights.len() * count;
        let mut parts = vec![sampled.p_x.log_prob(x)?];
        for latent in &sampled.latents {
            let Densities { log_ratio, log_q_per_unit, log_p_per_unit } = latent.densities()?;
            parts.extend([log_ratio, log_q_per_unit, log_p_per_unit]);
        }
        let values = end_to_end(parts)?;
        let (log_p_x, mut rest) = values.split_at(rows);
        self.log_p_class = sampled.class.as_ref().map(|class| class.log_p);
        let log_p_class = self.log_p_class.unwrap_or(0.0);
        let mut log_weights: Vec<f64> =
            log_p_x.iter().map(|log_p_x| log_p_x + log_p_class).collect();
        self.terms.log_p_x += log_p_x.iter().sum::<f64>();
        for (kl, (log_q, per_unit)) in self
            .terms
            .kl
            .iter_mut()
            .zip(self.terms.log_q.iter_mut().zip(&mut self.terms.kl_per_unit))
        {
            let (ratios, after) = rest.split_at(rows);
            let (log_qs, after) = after.split_at(per_unit.len());
            let (log_ps, after) = after.split_at(per_unit.len());
            rest = after;
            log_weights.iter_mut().zip(ratios).for_each(|(weight, ratio)| *weight -= ratio);
            *kl += ratios.iter().sum::<f64>();
            *log_q += log_qs.iter().sum::<f64>() * rows as f64;
            for (sum, (log_q, log_p)) in per_unit.iter_mut().zip(log_qs.iter().zip(log_ps)) {
                *sum += (log_q - log_p) * rows as f64;
            }
        }
        for (image, chunk) in self.weights.iter_mut().zip(log_weights.chunks_exact(count)) {
            image.add(chunk);
        }
        Ok(())
    }
}

/// All elements of some tensors of one axis, in one copy from the device.
fn end_to_end(mut parts: Vec<Tensor>) -> rung_autograd::Result<Vec<f64>> {
    while parts.len() > 1 {
        let join = |parts: &[Tensor]| concat(&parts.iter().collect::<Vec<_>>(), 0);
        parts = parts.chunks(JOINED_AT_ONCE).map(join).collect::<rung_autograd::Result<_>>()?;
    }
    parts.first().map_or_else(|| Ok(Vec::new()), Tensor::to_f64)
}

/// The log weights of one image, streamed.
#[derive(Clone, Debug)]
pub(super) struct LogWeights {
    /// Σ log w.
    total: f64,
    largest: f64,
    /// Σ exp(log w − largest).
    sum: f64,
    /// Σ exp(2(log w − largest)).
    sum_of_squares: f64,
}

impl Default for LogWeights {
    fn default() -> Self {
        Self { total: 0.0, largest: f64::NEG_INFINITY, sum: 0.0, sum_of_squares: 0.0 }
    }
}

impl LogWeights {
    /// Adds some samples.
    pub(super) fn add(&mut self, log_weights: &[f64]) {
        for &log_weight in log_weights {
            self.total += log_weight;
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

    /// L_K of the K samples that were added.
    pub(super) fn bound(&self, importance_samples: usize) -> f64 {
        self.largest + self.sum.ln() - (importance_samples as f64).ln()
    }

    fn effective_sample_size(&self) -> f64 {
        self.sum * self.sum / self.sum_of_squares
    }
}

/// The terms of the bound, summed over images and samples.
struct TermSums {
    log_p_x: f64,
    kl: Vec<f64>,
    log_q: Vec<f64>,
    kl_per_unit: Vec<Vec<f64>>,
}

impl TermSums {
    fn new(network: &dyn LatentModel) -> Self {
        let groups = network.groups();
        let zeros = vec![0.0; groups.len()];
        let kl_per_unit = groups.iter().map(|group| vec![0.0; group.units]).collect();
        Self { log_p_x: 0.0, kl: zeros.clone(), log_q: zeros, kl_per_unit }
    }

    /// Every sum, in one order.
    fn each_mut(&mut self) -> impl Iterator<Item = &mut f64> {
        let layers =
            self.kl.iter_mut().chain(&mut self.log_q).chain(self.kl_per_unit.iter_mut().flatten());
        std::iter::once(&mut self.log_p_x).chain(layers)
    }
}

/// What is known of the images so far.
struct Sums {
    weights: Vec<LogWeights>,
    sum_of_bounds: f64,
    terms: TermSums,
    log_p_class: Option<f64>,
}

impl Sums {
    fn new(network: &dyn LatentModel) -> Self {
        Self {
            weights: Vec::new(),
            sum_of_bounds: 0.0,
            terms: TermSums::new(network),
            log_p_class: None,
        }
    }

    fn add(&mut self, mut batch: Batch, importance_samples: usize) {
        self.sum_of_bounds +=
            batch.weights.iter().map(|weights| weights.bound(importance_samples)).sum::<f64>();
        self.weights.append(&mut batch.weights);
        self.terms.each_mut().zip(batch.terms.each_mut()).for_each(|(sum, term)| *sum += *term);
        self.log_p_class = batch.log_p_class;
    }

    /// The images of all ranks, in order, from each rank's part of them.
    fn join(&mut self, ranks: &Ranks) -> Result<()> {
        if !ranks.are_many() {
            return Ok(());
        }
        let flat = |weights: &LogWeights| {
            let &LogWeights { total, largest, sum, sum_of_squares } = weights;
            [total, largest, sum, sum_of_squares]
        };
        let weights: Vec<f64> = self.weights.iter().flat_map(flat).collect();
        let class = self.log_p_class.map_or(f64::NAN, |log_p| log_p);
        let mut terms: Vec<f64> = self.terms.each_mut().map(|term| *term).collect();
        terms.push(class);
        let weights = together::joined(ranks, weights)?;
        let count = terms.len();
        let all = together::joined(ranks, terms)?;
        let joined = weights.chunks_exact(4).map(|four| LogWeights {
            total: four[0],
            largest: four[1],
            sum: four[2],
            sum_of_squares: four[3],
        });
        self.weights = joined.collect();
        let of_ranks = || all.chunks_exact(count);
        for (index, term) in self.terms.each_mut().enumerate() {
            *term = of_ranks().map(|of_rank| of_rank[index]).sum();
        }
        // A rank without images has heard of no class.
        self.log_p_class = of_ranks().map(|of_rank| of_rank[count - 1]).find(|p| !p.is_nan());
        Ok(())
    }

    fn bound_so_far(&self) -> f64 {
        self.sum_of_bounds / self.weights.len() as f64
    }

    fn finish(mut self, importance_samples: usize) -> Evaluation {
        let (images, samples) = (self.weights.len(), importance_samples as f64);
        let n = images.max(1) as f64;
        self.terms.each_mut().for_each(|sum| *sum /= n * samples);
        let TermSums { log_p_x, kl, log_q, kl_per_unit } = self.terms;
        let bounds_k: Vec<f64> =
            self.weights.iter().map(|weights| weights.bound(importance_samples)).collect();
        Evaluation {
            images,
            bound_1: estimate(self.weights.iter().map(|weights| weights.total / samples)),
            bound_k: estimate(bounds_k.iter().copied()),
            bounds_k,
            effective_sample_size: self
                .weights
                .iter()
                .map(LogWeights::effective_sample_size)
                .sum::<f64>()
                / n,
            log_p_x,
            log_p_class: self.log_p_class,
            log_p: log_q.iter().zip(&kl).map(|(log_q, kl)| log_q - kl).collect(),
            log_q,
            kl,
            kl_per_unit,
        }
    }
}

pub(super) fn estimate(values: impl Iterator<Item = f64> + Clone) -> Estimate {
    let count = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / count;
    let squares = values.map(|value| (value - mean).powi(2)).sum::<f64>();
    Estimate {
        mean,
        standard_error: (count > 1.0).then(|| (squares / (count - 1.0) / count).sqrt()),
    }
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

    /// Specification section 17: log-mean-exp(−90, −88.5, −93) = −89.388158, softmax 0.180784,
    /// 0.810216, 0.009001.
    #[test]
    fn streaming_in_any_chunks_gives_the_bound() {
        for chunks in [
            &[&[-90.0, -88.5, -93.0][..]][..],
            &[&[-90.0], &[-88.5, -93.0]],
            &[&[-90.0], &[-88.5], &[-93.0]],
        ] {
            let weights = weights(chunks);
            assert!((weights.bound(3) - -89.388158).abs() < 1e-6);
            let shares = [0.180784f64, 0.810216, 0.009001];
            let expected = 1.0 / shares.iter().map(|share| share * share).sum::<f64>();
            assert!((weights.effective_sample_size() - expected).abs() < 1e-4);
            assert!((weights.total - -271.5).abs() < 1e-9);
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
        assert!((standard_error.unwrap() - (5.0f64 / 3.0 / 4.0).sqrt()).abs() < 1e-12);
        let one = estimate(std::iter::once(-3.0));
        assert_eq!((one.standard_error, one.to_string().as_str()), (None, "-3.00"));
    }

    /// The same but for the order of sums; the terms add up to L_1.
    fn assert_same(found: &Evaluation, expected: &Evaluation) {
        let numbers = |evaluation: &Evaluation| {
            let Evaluation { bound_1, bound_k, effective_sample_size, log_p_x, .. } = evaluation;
            let mut numbers = vec![bound_1.mean, bound_k.mean, *effective_sample_size, *log_p_x];
            numbers.extend([bound_1.standard_error, bound_k.standard_error].into_iter().flatten());
            numbers.extend(evaluation.kl.iter().chain(&evaluation.log_q).chain(&evaluation.log_p));
            numbers.extend(evaluation.kl_per_unit.iter().flatten());
            numbers
        };
        for (found, expected) in numbers(found).into_iter().zip(numbers(expected)) {
            assert!(
                (found - expected).abs() < 1e-9 * (1.0 + expected.abs()),
                "{found} is not {expected}"
            );
        }
        let sum = found.log_p_x + found.log_p_class.unwrap_or(0.0) - found.kl.iter().sum::<f64>();
        assert!(
            (found.bound_1.mean - sum).abs() < 1e-9,
            "L_1 is {}, its terms add up to {sum}",
            found.bound_1.mean
        );
    }

    /// What is computed once per image and in chunks is what the objective computes at once, with
    /// the same noise.
    #[test]
    fn an_evaluation_is_the_bound_of_the_objective() {
        let device = rung_autograd::Device::cpu();
        let sizes = ["model.latent_sizes=[4,3]".to_string(), "model.hidden_sizes=[9,8]".into()];
        let config = layered(&Sources { sets: &sizes, ..Sources::default() }).unwrap();
        let glyphs = rung_datasets::GlyphCounts { train: 2, validation: 0, test: 5 };
        let options = rung_datasets::Options { glyphs, ..Default::default() };
        let dataset = rung_datasets::open("glyphs", ".".as_ref(), &options).unwrap();
        let images =
            DeviceImages::new(&dataset, Split::Test, 0, &config.data, 1, &device, DType::F64)
                .unwrap();
        let model = Model::new(&config, images.shape(), &device, DType::F64).unwrap();
        let network = model.latent().unwrap();
        let request = Request { importance_samples: 6, ..Request::once(5, 30, 3) };
        let with = |rows: usize| {
            evaluate(
                network,
                &model,
                &model.statistics,
                &images,
                Request { rows, ..request },
                &|| false,
                |_, _| (),
            )
            .unwrap()
            .unwrap()
        };
        let all_at_once = with(30);
        let mut pass =
            model.image_pass(&model.statistics, (3, Phase::Evaluation), &(0..5), 0).unwrap();
        let objective = ObjectiveConfig { importance_samples: 6, ..ObjectiveConfig::default() };
        let expected =
            bound(model.latent().unwrap(), &mut pass, &images.range(0, 5, 0).unwrap(), &objective)
                .unwrap();
        assert!((all_at_once.bound_k.mean + expected.loss.to_scalar().unwrap()).abs() < 1e-9);
        assert!((all_at_once.log_p_x - expected.log_p_x.to_scalar().unwrap()).abs() < 1e-9);
        assert!((all_at_once.kl[1] - expected.kl[1].to_scalar().unwrap()).abs() < 1e-9);
        let per_unit: f64 = all_at_once.kl_per_unit[0].iter().sum();
        assert!((per_unit - all_at_once.kl[0]).abs() < 1e-9);
        for rows in [1, 4, 7, 12] {
            let chunked = with(rows);
            assert_eq!(chunked.images, 5);
            assert_same(&chunked, &all_at_once);
        }
        let stopped =
            evaluate(network, &model, &model.statistics, &images, request, &|| true, |_, _| ())
                .unwrap();
        assert!(stopped.is_none());
    }
}

//! L^{>k}, the bound whose k lowest layers are drawn from p, against its closed form in
//! linear-Gaussian models of every family.
//!
//! Parameters are set so that every mean is an affine function of the samples it is conditioned on,
//! and every variance a constant. All that a pass computes is then affine in independent standard
//! normal numbers, so a second implementation that computes with such functions instead of numbers
//! ([`Affine`]) knows the expectation of every term: L^{>k} without sampling.

#[path = "skipped_layers/affine.rs"]
mod affine;
#[path = "skipped_layers/biva.rs"]
mod biva;
#[path = "skipped_layers/vector.rs"]
mod vector;

use rung_autograd::rng::{Address, uniform_at};
use rung_autograd::{ParameterStore, Tensor};
use rung_models::{LatentModel, Mode, Pass, Statistics};

/// Samples of each estimate, and how many are drawn at once.
const SAMPLES: usize = 200_000;
const AT_ONCE: usize = 20_000;
/// A normal number exceeds this many standard deviations once in 26 million times; the seeds are
/// fixed besides.
const STANDARD_ERRORS: f64 = 5.5;

/// Uniform on (low, high), another for each parameter and element.
fn uniform(parameter: usize, element: usize, low: f64, high: f64) -> f64 {
    low + (high - low) * uniform_at(&Address::new(5, parameter as u32, 0), element)
}

/// Mean and standard error of the log weights of one image.
fn estimate(
    model: &dyn LatentModel,
    store: &ParameterStore,
    statistics: &Statistics,
    x: &[f64],
    skipped: usize,
) -> (f64, f64) {
    let x = Tensor::from_f64(store.device(), x, [1, x.len()]).unwrap();
    let mut log_weights = Vec::with_capacity(SAMPLES);
    for step in 0..(SAMPLES / AT_ONCE) as u64 {
        let mut pass = Pass::new(store, None, Mode::Frozen(statistics), 11, step);
        let posterior = model.infer_bottom_up(&mut pass, &x).unwrap();
        let sampled = posterior.sample_above(&mut pass, AT_ONCE, skipped).unwrap();
        log_weights.extend(sampled.log_weights(&x).unwrap().to_f64().unwrap());
    }
    let count = log_weights.len() as f64;
    let mean = log_weights.iter().sum::<f64>() / count;
    let variance =
        log_weights.iter().map(|weight| (weight - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (mean, (variance / count).sqrt())
}

/// Asserts that the estimates of L^{>k} are those of the closed form, for every k.
fn assert_bounds(name: &str, expected: &[f64], estimate: impl Fn(usize) -> (f64, f64)) {
    for (skipped, &expected) in expected.iter().enumerate() {
        let (mean, standard_error) = estimate(skipped);
        assert!(standard_error < 0.1, "{name}: an error of {standard_error} nats finds nothing");
        let errors = (mean - expected) / standard_error;
        assert!(
            errors.abs() < STANDARD_ERRORS,
            "{name}: L^>{skipped} is {mean:.4}, {errors:.1} standard errors from {expected:.4}"
        );
    }
}

//! Chapter 11: how likely is the data?

use rung_autograd::rng::{Address, normal_at};
use rung_autograd::{DType, ParameterStore, Tensor};

use crate::chapter_09::{PIXELS, Vae, Weights, images, train};
use crate::{Result, cpu};

// ANCHOR: log_mean_exp
/// ln of the mean of e^w over `log_weights`, without leaving the range of floats.
fn log_mean_exp(log_weights: &[f64]) -> f64 {
    let largest = log_weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return largest; // every weight is zero
    }
    let sum: f64 = log_weights.iter().map(|w| (w - largest).exp()).sum();
    largest + (sum / log_weights.len() as f64).ln()
}

/// Prints the logarithm of a mean of small numbers, the naive way and with the largest taken out.
pub fn underflow() -> Result<()> {
    let log_weights = [-800.0, -801.0, -805.0];
    let naive = (log_weights.iter().map(|w: &f64| w.exp()).sum::<f64>() / 3.0).ln();
    println!("naive {naive}, with the largest taken out {:.4}", log_mean_exp(&log_weights));
    Ok(())
}
// ANCHOR_END: log_mean_exp

// ANCHOR: exact
/// ln N(x; mean, variance).
fn log_normal(x: f64, mean: f64, variance: f64) -> f64 {
    -0.5 * ((2.0 * std::f64::consts::PI * variance).ln() + (x - mean).powi(2) / variance)
}

/// Prints L_K of a model whose likelihood is known: z ~ N(0, 1) and x ~ N(z, 1), so that x is
/// N(0, 2) and the posterior of z is N(x/2, ½). The approximation q is too wide and beside it.
pub fn exact() -> Result<()> {
    let (x, q_mean, q_variance) = (1.5, 0.2, 1.0);
    println!("ln p(x) = {:.4}", log_normal(x, 0.0, 2.0));
    let log_weight = |n: usize| {
        let z = q_mean + normal_at(&Address::new(1, 0, 0), n);
        log_normal(x, z, 1.0) + log_normal(z, 0.0, 1.0) - log_normal(z, q_mean, q_variance)
    };
    for k in [1, 10, 100, 1000] {
        let repeats = 100_000 / k;
        let bounds: Vec<f64> = (0..repeats)
            .map(|r| log_mean_exp(&(r * k..(r + 1) * k).map(log_weight).collect::<Vec<_>>()))
            .collect();
        let (mean, error) = mean_and_error(&bounds);
        println!("L_{k:<4} = {mean:.4} ± {error:.4}");
    }
    Ok(())
}

/// Mean, and its standard error.
fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}
// ANCHOR_END: exact

// ANCHOR: vae
/// The log weights ln p(x|z) + ln p(z) − ln q(z|x) of `k` draws for each image: [images · k].
fn log_weights(
    vae: &Vae,
    store: &ParameterStore,
    x: &Tensor,
    k: usize,
    chunk: u64,
) -> Result<Vec<f64>> {
    let weights = Weights { store, tape: None };
    let q = vae.posterior(weights, x)?.repeat_rows(k)?;
    let shape = *q.mean.shape();
    let z =
        q.sample_with(&Tensor::normal(&cpu(), DType::F32, Address::new(2, 0, chunk), shape)?)?;
    // Each image meets k rows: the library repeats x without copying it.
    let log_p_x = vae.logits(weights, &z)?.bernoulli_log_prob(x)?;
    let log_ratio = z.standard_normal_log_prob()?.sub(&q.log_prob(&z)?)?;
    Ok(log_p_x.add(&log_ratio)?.to_f64()?)
}

/// Prints L_K of the VAE of chapter 9 on 100 held-out glyphs.
pub fn vae() -> Result<()> {
    const IMAGES: usize = 100;
    const MOST: usize = 1000;
    let (vae, store) = train(600, |_, _, _| ())?;
    let mut of_image: Vec<Vec<f64>> = Vec::new();
    for image in 0..IMAGES as u64 {
        of_image.push(log_weights(&vae, &store, &images(100_000 + image, 1)?, MOST, image)?);
    }
    for k in [1, 10, 100, MOST] {
        let bounds: Vec<f64> = of_image.iter().map(|weights| log_mean_exp(&weights[..k])).collect();
        let (mean, error) = mean_and_error(&bounds);
        let bits = -mean / (PIXELS as f64 * std::f64::consts::LN_2);
        println!("L_{k:<4} {mean:8.2} ± {error:.2} nats, {bits:.4} bits per dimension");
    }
    // The same images and draws: the differences vary less than the bounds.
    let gains: Vec<f64> = of_image.iter().map(|w| log_mean_exp(w) - w[0]).collect();
    let (gain, error) = mean_and_error(&gains);
    println!("L_{MOST} − L_1, image by image: {gain:.2} ± {error:.2}");
    let ess =
        of_image.iter().map(|weights| effective_samples(weights)).sum::<f64>() / IMAGES as f64;
    println!("of {MOST} draws, {ess:.0} count");
    Ok(())
}
// ANCHOR_END: vae

// ANCHOR: ess
/// How many equally weighted draws would vary as much: (Σw)² / Σw².
fn effective_samples(log_weights: &[f64]) -> f64 {
    let largest = log_weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights = log_weights.iter().map(|w| (w - largest).exp());
    weights.clone().sum::<f64>().powi(2) / weights.map(|w| w * w).sum::<f64>()
}
// ANCHOR_END: ess

// ANCHOR: dequantised
/// Prints the log-density of 8-bit pixels that are all alike, as a Gaussian narrows around them,
/// and with noise that makes them continuous.
pub fn unbounded() -> Result<()> {
    println!("deviation   of whole numbers   of numbers + uniform noise");
    for deviation in [1.0, 0.1, 0.01, 0.001] {
        let whole = log_normal(100.0, 100.0, deviation * deviation);
        let mean: f64 = (0..10_000)
            .map(|n| log_normal((n as f64 + 0.5) / 10_000.0 - 0.5, 0.0, deviation * deviation))
            .sum::<f64>()
            / 10_000.0;
        println!("{deviation:9}   {whole:12.2}   {mean:18.2}");
    }
    Ok(())
}
// ANCHOR_END: dequantised

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_weights_all_count_and_one_weight_counts_alone() {
        assert!((effective_samples(&[-700.0; 8]) - 8.0).abs() < 1e-12);
        assert!((effective_samples(&[0.0, -800.0, -900.0]) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_mean_of_nothing_likely_is_minus_infinity_and_no_nan() {
        assert_eq!(log_mean_exp(&[f64::NEG_INFINITY; 2]), f64::NEG_INFINITY);
    }
}

//! Chapter 9: a variational autoencoder, trained on glyphs.

use rung_autograd::ops::Gaussian;
use rung_autograd::optim::{Adam, AdamOptions, StepSize, minimise};
use rung_autograd::rng::{Address, normal_at};
use rung_autograd::{
    DType, Initialiser, ParameterId, ParameterList, ParameterStore, Result as RungResult, Tape,
    Tensor,
};
use rung_datasets::glyphs;

use crate::svg::{Anchor, INK, Svg};
use crate::{Result, cpu};

// ANCHOR: data
pub(crate) const PIXELS: usize = 28 * 28;

/// Glyphs `start..start + count` of the built-in pen: [count, pixels], each pixel 1 with the
/// probability that its grey value says.
pub(crate) fn images(start: u64, count: u32) -> Result<Tensor> {
    let images = glyphs::images(1, start, count)?;
    let grey = images.intensities(0..images.count());
    let cpu = cpu();
    let grey = Tensor::from_f32(&cpu, &grey, [images.count(), PIXELS])?;
    let u = Tensor::uniform(&cpu, DType::F32, Address::new(1, 0, start), [images.count(), PIXELS])?;
    let pairs = grey.to_f32()?.into_iter().zip(u.to_f32()?);
    let bits: Vec<f32> = pairs.map(|(grey, u)| if u < grey { 1.0 } else { 0.0 }).collect();
    Ok(Tensor::from_f32(&cpu, &bits, [images.count(), PIXELS])?)
}
// ANCHOR_END: data

// ANCHOR: layer
/// The parameters of a model, and the tape that records, if one does.
#[derive(Clone, Copy)]
pub(crate) struct Weights<'a> {
    pub(crate) store: &'a ParameterStore,
    pub(crate) tape: Option<&'a Tape>,
}

/// x · W + b.
pub(crate) struct Layer {
    weight: ParameterId,
    bias: ParameterId,
}

impl Layer {
    pub(crate) fn new(list: &mut ParameterList, name: &str, inputs: usize, outputs: usize) -> Self {
        let initialiser = Initialiser::glorot_normal(inputs, outputs, 1.0);
        Self {
            weight: list.add(format!("{name}.weight"), [inputs, outputs], initialiser),
            bias: list.add(format!("{name}.bias"), [outputs], Initialiser::Constant(0.0)),
        }
    }

    pub(crate) fn forward(&self, weights: Weights<'_>, x: &Tensor) -> RungResult<Tensor> {
        let parameter = |id| weights.store.tensor(id, weights.tape);
        x.linear(&parameter(self.weight), Some(&parameter(self.bias)))
    }
}
// ANCHOR_END: layer

// ANCHOR: model
const HIDDEN: usize = 128;
const LATENTS: usize = 8;

/// q(z|x) = N(m(x), v(x)), p(z) = N(0, 1), p(x|z) = independent Bernoulli pixels.
pub(crate) struct Vae {
    encoder: Layer,
    head: Layer,
    decoder: Layer,
    pixels: Layer,
}

impl Vae {
    pub(crate) fn new(list: &mut ParameterList) -> Self {
        Self {
            encoder: Layer::new(list, "encoder", PIXELS, HIDDEN),
            head: Layer::new(list, "head", HIDDEN, 2 * LATENTS),
            decoder: Layer::new(list, "decoder", LATENTS, HIDDEN),
            pixels: Layer::new(list, "pixels", HIDDEN, PIXELS),
        }
    }

    /// q(z|x) for each row of x.
    pub(crate) fn posterior(&self, weights: Weights<'_>, x: &Tensor) -> RungResult<Gaussian> {
        let hidden = self.encoder.forward(weights, x)?.tanh()?;
        self.head.forward(weights, &hidden)?.gaussian_head(1e-5)
    }

    /// The logits of p(x|z) for each row of z.
    pub(crate) fn logits(&self, weights: Weights<'_>, z: &Tensor) -> RungResult<Tensor> {
        self.pixels.forward(weights, &self.decoder.forward(weights, z)?.tanh()?)
    }
}
// ANCHOR_END: model

// ANCHOR: bound
impl Vae {
    /// ln p(x|z) at one sample z of q(z|x), and KL(q(z|x) ‖ p(z)): a number for each row.
    fn terms(&self, weights: Weights<'_>, x: &Tensor, noise: &Tensor) -> RungResult<[Tensor; 2]> {
        let q = self.posterior(weights, x)?;
        let z = q.sample_with(noise)?;
        let log_p_x = self.logits(weights, &z)?.bernoulli_log_prob(x)?;
        Ok([log_p_x, q.kl_to_standard_normal()?])
    }
}
// ANCHOR_END: bound

// ANCHOR: train
const BATCH: usize = 100;
const BATCHES: u64 = 20;

/// A model that was trained for so many steps. Every 200 steps `report` gets the step and the
/// terms.
pub(crate) fn train(
    steps: u64,
    mut report: impl FnMut(u64, f64, f64),
) -> Result<(Vae, ParameterStore)> {
    let (cpu, mut list) = (cpu(), ParameterList::new());
    let vae = Vae::new(&mut list);
    let mut store = list.build(&cpu, DType::F32, Address::new(1, 1, 0))?;
    let mut adam = Adam::new(&store, AdamOptions::default())?;
    let batches: Vec<Tensor> = (0..BATCHES)
        .map(|batch| images(batch * BATCH as u64, BATCH as u32))
        .collect::<Result<_>>()?;
    let tape = Tape::new();
    for step in 0..steps {
        let x = &batches[(step % BATCHES) as usize];
        let noise = Tensor::normal(&cpu, DType::F32, Address::new(1, 2, step), [BATCH, LATENTS])?;
        let weights = Weights { store: &store, tape: Some(&tape) };
        let [log_p_x, kl] = vae.terms(weights, x, &noise)?.map(|term| term.mean_all());
        let (log_p_x, kl) = (log_p_x?, kl?);
        let loss = kl.sub(&log_p_x)?;
        if step % 200 == 0 || step + 1 == steps {
            report(step, log_p_x.to_scalar()?, kl.to_scalar()?);
        }
        minimise(&loss, &tape, &mut store, &mut adam, &StepSize::unlimited(2e-3))?;
    }
    Ok((vae, store))
}

/// Trains, and prints the terms of the bound on the way and on images that were not trained on.
pub fn training() -> Result<()> {
    let (vae, store) = train(1200, |step, log_p_x, kl| {
        println!("step {step:4}  ln p(x|z) {log_p_x:8.2}  KL {kl:6.2}  ELBO {:8.2}", log_p_x - kl);
    })?;
    let x = images(100_000, 1000)?;
    let noise = Tensor::normal(&cpu(), DType::F32, Address::new(1, 3, 0), [1000, LATENTS])?;
    let [log_p_x, kl] = vae.terms(Weights { store: &store, tape: None }, &x, &noise)?;
    let bounds = log_p_x.sub(&kl)?.to_f64()?;
    let mean = bounds.iter().sum::<f64>() / 1000.0;
    let variance = bounds.iter().map(|bound| (bound - mean).powi(2)).sum::<f64>() / 999.0;
    println!("held out: ELBO {mean:.2} ± {:.2} nats an image", (variance / 1000.0).sqrt());
    Ok(())
}
// ANCHOR_END: train

// ANCHOR: jensen
/// Prints ln p(x) of a model that is small enough to sum, and its bound for several q.
///
/// z is 0 or 1 with probability ½, and x = 1 with probability 0.9 if z = 1, else 0.2.
pub fn jensen() -> Result<()> {
    let joint = |z: usize| 0.5 * [0.2_f64, 0.9][z]; // p(x = 1, z)
    let log_p_x = (joint(0) + joint(1)).ln();
    println!("ln p(x) = {log_p_x:.4}, p(z = 1 | x) = {:.4}", joint(1) / (joint(0) + joint(1)));
    for q in [0.3, 0.5, 0.7, 9.0 / 11.0, 0.95] {
        let bound = q * (joint(1) / q).ln() + (1.0 - q) * (joint(0) / (1.0 - q)).ln();
        println!("q(z = 1) = {q:.4}: ELBO {bound:.4}, gap {:.4}", log_p_x - bound);
    }
    Ok(())
}
// ANCHOR_END: jensen

// ANCHOR: estimators
/// Prints two estimates of the slope in m of z²'s mean, z ~ N(m, 1), at m = 1: it is 2.
pub fn estimators() -> Result<()> {
    let (m, count) = (1.0, 100_000);
    let noise = |n| normal_at(&Address::new(1, 4, 0), n);
    let print = |name: &str, estimate: &dyn Fn(f64) -> f64| {
        let values: Vec<f64> = (0..count).map(|n| estimate(noise(n))).collect();
        let mean = values.iter().sum::<f64>() / count as f64;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count as f64;
        println!("{name:20} mean {mean:.2}, standard deviation {:.1}", variance.sqrt());
    };
    // d/dm (m + ε)² = 2(m + ε).
    print("reparameterised", &|noise| 2.0 * (m + noise));
    // E[f(z) · d/dm ln N(z; m, 1)] = E[z² · (z − m)].
    print("score function", &|noise| (m + noise).powi(2) * noise);
    Ok(())
}
// ANCHOR_END: estimators

// ANCHOR: kl
/// Prints a KL in closed form, and by samples.
pub fn kl() -> Result<()> {
    let (mean, variance) = (1.5_f64, 0.25_f64);
    let closed = 0.5 * (mean * mean + variance - 1.0 - variance.ln());
    let count = 100_000;
    let sampled: f64 = (0..count)
        .map(|n| {
            let noise = normal_at(&Address::new(1, 5, 0), n);
            let z = mean + variance.sqrt() * noise;
            // ln q − ln p; the constants cancel.
            -0.5 * (variance.ln() + noise * noise) + 0.5 * z * z
        })
        .sum::<f64>()
        / count as f64;
    println!("closed form {closed:.3}, mean of {count} samples {sampled:.3}");
    Ok(())
}
// ANCHOR_END: kl

/// Images, their reconstructions, and samples of the prior.
///
/// # Errors
/// If the training fails.
pub(crate) fn pictures() -> Result<String> {
    const SHOWN: usize = 10;
    let (vae, store) = train(1200, |_, _, _| ())?;
    let weights = Weights { store: &store, tape: None };
    let x = images(100_000, SHOWN as u32)?;
    let mean = vae.posterior(weights, &x)?.mean;
    let reconstructed = vae.logits(weights, &mean)?.sigmoid()?;
    let z = Tensor::normal(&cpu(), DType::F32, Address::new(1, 6, 0), [SHOWN, LATENTS])?;
    let sampled = vae.logits(weights, &z)?.sigmoid()?;
    let rows = [("held-out images", x), ("reconstructions", reconstructed), ("samples", sampled)];
    let mut svg = Svg::new(740.0, 220.0, "Glyphs, their reconstructions, and samples of the model");
    for (row, (what, tensor)) in rows.into_iter().enumerate() {
        let y = 10.0 + 68.0 * row as f64;
        svg.text([8.0, y + 34.0], Anchor::Start, INK, what);
        for (nth, image) in tensor.to_f64()?.chunks(PIXELS).enumerate() {
            svg.grey_image([130.0 + 60.0 * nth as f64, y], 2.0, 28, image);
        }
    }
    Ok(svg.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_rises_above_that_of_independent_pixels() {
        let mut bounds = Vec::new();
        train(201, |_, log_p_x, kl| bounds.push(log_p_x - kl)).unwrap();
        // All pixels at probability ½ are 784 ln 2 = 543 nats.
        assert!(bounds[0] < -500.0 && bounds[1] > -250.0, "{bounds:?}");
    }
}

//! A variational autoencoder in a page: every 4×4 image of bars or stripes, explained by two
//! latents.
//!
//! Run it with `cargo run -p rung-models --example vae`.

use rung_autograd::ops::Activation;
use rung_autograd::optim::{Adam, AdamOptions, Optimiser};
use rung_autograd::rng::Address;
use rung_autograd::{DType, Device, Initialiser, ParameterList, Result, Tape, Tensor};
use rung_models::layers::{Builder, Dense, DenseConfig, GaussianHead, GaussianHeadConfig, Mlp};
use rung_models::{Mode, Pass, StatisticsList};

const SIDE: usize = 4;
const PIXELS: usize = SIDE * SIDE;
const HIDDEN: usize = 64;
const LATENTS: usize = 4;
/// Copies of each image in a batch, each with noise of its own.
const COPIES: usize = 8;
const SEED: u64 = 1;

/// Every image whose columns, or whose rows, are all dark or all light: 30 of them, so that no
/// model finds more than −ln 30 = −3.40 nats per image.
fn bars_and_stripes() -> Vec<[f64; PIXELS]> {
    let image = |on: usize, stride: usize| {
        std::array::from_fn(|pixel| (on >> (pixel / stride % SIDE) & 1) as f64)
    };
    let columns = (0..1 << SIDE).map(|on| image(on, 1));
    let rows = (1..(1 << SIDE) - 1).map(|on| image(on, SIDE));
    columns.chain(rows).collect()
}

/// q(z|x) is a Gaussian, p(z) the standard normal, p(x|z) independent Bernoulli pixels.
struct Vae {
    encoder: Mlp,
    posterior: GaussianHead,
    decoder: Mlp,
    logits: Dense,
}

impl Vae {
    fn new(builder: &mut Builder<'_>) -> Self {
        let (inputs, weight) = (HIDDEN, Initialiser::glorot_normal(HIDDEN, PIXELS, 1.0));
        let (activation, bias) = (Activation::Identity, Initialiser::Constant(0.0));
        let logits = DenseConfig { inputs, outputs: PIXELS, norm: None, activation, weight, bias };
        let head = GaussianHeadConfig { inputs, units: LATENTS, norm: None, variance_floor: 1e-5 };
        Self {
            encoder: Mlp::new(
                &mut builder.at("encoder"),
                PIXELS,
                HIDDEN,
                2,
                Activation::Tanh,
                None,
            ),
            posterior: GaussianHead::new(&mut builder.at("posterior"), &head),
            decoder: Mlp::new(
                &mut builder.at("decoder"),
                LATENTS,
                HIDDEN,
                2,
                Activation::Tanh,
                None,
            ),
            logits: Dense::new(&mut builder.at("logits"), &logits),
        }
    }

    /// ELBO of each row, in nats: log p(x|z) at one sample z of q(z|x), less KL(q(z|x) ‖ p(z)).
    fn elbo(&self, pass: &mut Pass<'_>, x: &Tensor) -> Result<Tensor> {
        let hidden = self.encoder.forward(pass, x)?;
        let q = self.posterior.forward(pass, &hidden)?;
        let z = q.sample_with(&pass.posterior_noise(1, *q.mean.shape())?)?;
        let hidden = self.decoder.forward(pass, &z)?;
        let logits = self.logits.forward(pass, &hidden)?;
        logits.bernoulli_log_prob(x)?.sub(&q.kl_to_standard_normal()?)
    }
}

/// Trains for so many steps; gives the mean ELBO of the steps of each fifth of them.
fn train(steps: u64) -> Result<Vec<f64>> {
    let (device, mut parameters, mut statistics) =
        (Device::cpu(), ParameterList::new(), StatisticsList::default());
    let vae = Vae::new(&mut Builder::new(&mut parameters, &mut statistics));
    let mut store = parameters.build(&device, DType::F32, Address::new(SEED, 0, 0))?;
    let mut adam = Adam::new(&store, AdamOptions::default())?;
    let images = bars_and_stripes();
    let x =
        Tensor::from_values(&device, DType::F32, images.as_flattened(), [images.len(), PIXELS])?;
    let x = x.repeat_rows(COPIES)?;
    let (tape, mut means) = (Tape::new(), vec![0.0; 5]);
    for step in 0..steps {
        store.clear_gradients();
        let mut pass = Pass::new(&store, Some(&tape), Mode::BatchOnly, SEED, step);
        let loss = vae.elbo(&mut pass, &x)?.mean_all()?.neg()?;
        tape.backward_into(&[&loss], &mut store)?;
        adam.step(&mut store, 3e-3)?;
        means[(step * 5 / steps) as usize] -= loss.to_scalar()? * 5.0 / steps as f64;
    }
    Ok(means)
}

fn main() -> Result<()> {
    for (elbo, fifth) in train(2000)?.iter().zip(1..) {
        println!("{fifth}/5 of the training: ELBO {elbo:.2} nats per image");
    }
    let count = bars_and_stripes().len();
    println!("no model has more than −ln {count} = {:.2}", -(count as f64).ln());
    Ok(())
}

#[test]
fn the_bound_rises_towards_that_of_the_data() {
    let (elbo, best) = (train(1000).unwrap(), -(bars_and_stripes().len() as f64).ln());
    // Each pixel is light in half of the images: all that is known without latents.
    let without_latents = -(PIXELS as f64) * std::f64::consts::LN_2;
    assert!(elbo.windows(2).all(|fifths| fifths[0] < fifths[1]), "{elbo:?}");
    assert!(elbo[4] > 0.5 * without_latents && elbo[4] < best, "{elbo:?} against {best}");
}

//! Chapter 15: symptoms.

use rung_autograd::optim::{Adam, AdamOptions, StepSize, minimise};
use rung_autograd::rng::Address;
use rung_autograd::{DType, ParameterList, Tape, Tensor};

use crate::chapter_09::{PIXELS, Vae, Weights, images};
use crate::{Result, cpu};

// ANCHOR: patients
/// A training with something wrong, or nothing.
#[derive(Clone, Copy)]
struct Patient {
    name: &'static str,
    learning_rate: f64,
    /// What the reconstruction is multiplied with: 1, if it is a bound that is trained.
    reconstruction: f64,
    /// How many different batches there are.
    batches: u64,
    /// Noise on the latents while training; without it the model is an autoencoder.
    noise: f64,
}

const HEALTHY: Patient =
    Patient { name: "healthy", learning_rate: 2e-3, reconstruction: 1.0, batches: 20, noise: 1.0 };

const PATIENTS: [Patient; 6] = [
    HEALTHY,
    Patient { name: "too slow", learning_rate: 1e-5, ..HEALTHY },
    Patient { name: "too fast", learning_rate: 0.3, ..HEALTHY },
    Patient { name: "mean over pixels", reconstruction: 1.0 / PIXELS as f64, ..HEALTHY },
    Patient { name: "one batch of data", batches: 1, ..HEALTHY },
    Patient { name: "no noise on z", noise: 0.0, ..HEALTHY },
];
// ANCHOR_END: patients

// ANCHOR: chart
/// What is written on the chart of a training.
struct Chart {
    train: f64,
    held_out: f64,
    kl: f64,
    active: usize,
    gradient_norm: f64,
}

fn examine(patient: Patient) -> Result<Chart> {
    let mut list = ParameterList::new();
    let vae = Vae::new(&mut list);
    let mut store = list.build(&cpu(), DType::F32, Address::new(1, 1, 0))?;
    let mut adam = Adam::new(&store, AdamOptions::default())?;
    let batches: Vec<Tensor> =
        (0..patient.batches).map(|batch| images(batch * 100, 100)).collect::<Result<_>>()?;
    let (tape, mut chart) = (Tape::new(), None);
    let terms = |weights: Weights<'_>, x: &Tensor, noise: f64, address| -> Result<[Tensor; 3]> {
        let q = vae.posterior(weights, x)?;
        let noise = Tensor::normal(&cpu(), DType::F32, address, *q.mean.shape())?.scale(noise)?;
        let log_p_x = vae.logits(weights, &q.sample_with(&noise)?)?.bernoulli_log_prob(x)?;
        // KL of each unit: ½ (m² + v − 1 − ln v).
        let kl =
            q.mean.square()?.add(&q.variance)?.sub(&q.variance.log()?)?.shift(-1.0)?.scale(0.5)?;
        Ok([log_p_x.mean_all()?, kl.sum(1)?.mean_all()?, kl.mean(0)?])
    };
    for step in 0..300 {
        let x = &batches[(step % patient.batches) as usize];
        let weights = Weights { store: &store, tape: Some(&tape) };
        let [log_p_x, kl, _] = terms(weights, x, patient.noise, Address::new(1, 2, step))?;
        let loss = kl.sub(&log_p_x.scale(patient.reconstruction)?)?;
        let train = (log_p_x.to_scalar()?, kl.to_scalar()?);
        minimise(&loss, &tape, &mut store, &mut adam, &StepSize::unlimited(patient.learning_rate))?;
        if step == 299 {
            let squares = store.ids().map(|id| -> Result<f64> {
                Ok(store.gradient(id)?.square()?.sum_all()?.to_scalar()?)
            });
            chart = Some((train, squares.sum::<Result<f64>>()?.sqrt()));
        }
    }
    let (train, gradient_norm) = chart.ok_or("no step was made")?;
    let weights = Weights { store: &store, tape: None };
    let [log_p_x, kl, of_units] =
        terms(weights, &images(100_000, 500)?, 1.0, Address::new(1, 3, 0))?;
    let active = of_units.to_f64()?.iter().filter(|kl| **kl > 0.01).count();
    Ok(Chart {
        train: train.0 - train.1,
        held_out: log_p_x.to_scalar()? - kl.to_scalar()?,
        kl: kl.to_scalar()?,
        active,
        gradient_norm,
    })
}
// ANCHOR_END: chart

// ANCHOR: charts
/// Prints the charts of all patients.
pub fn charts() -> Result<()> {
    println!("                     train  held out     KL  active   |gradient|");
    for patient in PATIENTS {
        let Chart { train, held_out, kl, active, gradient_norm } = examine(patient)?;
        println!(
            "{:18} {train:7.0}   {held_out:7.0} {kl:6.1} {active:7} {gradient_norm:12.1}",
            patient.name
        );
    }
    Ok(())
}
// ANCHOR_END: charts

// ANCHOR: noise
/// Prints how far apart two means of `count` images are by chance alone, for a bound whose standard
/// deviation over images is 30 nats.
pub fn chance() -> Result<()> {
    for count in [100_u32, 1000, 10_000] {
        let error = 30.0 / f64::from(count).sqrt();
        println!(
            "{count:6} images: ± {error:.2}; two runs differ by {:.2} or less in 19 of 20 cases",
            1.96 * 2.0_f64.sqrt() * error
        );
    }
    Ok(())
}
// ANCHOR_END: noise

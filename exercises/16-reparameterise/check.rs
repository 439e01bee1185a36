use exercises::{Outcome, Part, cases, close, cpu, gradients_as, said};
use rung_autograd::rng::Address;
use rung_autograd::{DType, Tensor};

use super::answer::sample;

pub const PARTS: &[Part] =
    &[("the sample", value), ("its gradient", gradient), ("mean and variance of many", moments)];

fn value() -> Outcome {
    cases(10, |random| {
        let shape = [random.whole(1, 4), random.whole(1, 4)];
        let m = random.tensor(&shape, -2.0, 2.0).map_err(said)?;
        let s = random.tensor(&shape, -2.0, 2.0).map_err(said)?;
        let noise = random.tensor(&shape, -2.0, 2.0).map_err(said)?;
        let values = |tensor: &Tensor| tensor.to_f64().map_err(said);
        let wanted: Vec<f64> = values(&m)?
            .iter()
            .zip(values(&s)?)
            .zip(values(&noise)?)
            .map(|((m, s), noise)| m + (s.exp().ln_1p() + 1e-5).sqrt() * noise)
            .collect();
        let found = values(&sample(&m, &s, &noise).map_err(said)?)?;
        close("the sample", &found, &wanted, 1e-9)
    })
}

fn gradient() -> Outcome {
    cases(10, |random| {
        let shape = [random.whole(1, 4), random.whole(1, 4)];
        let mut draw = || random.tensor(&shape, -2.0, 2.0).map_err(said);
        let (m, s, noise) = (draw()?, draw()?, draw()?);
        // ln(1 + eˢ), written out.
        let variance = |s: &Tensor| s.exp()?.shift(1.0)?.log()?.shift(1e-5);
        let wanted = |x: &[Tensor]| variance(&x[1])?.sqrt()?.mul(&noise)?.add(&x[0]);
        let answer = |x: &[Tensor]| sample(&x[0], &x[1], &noise);
        gradients_as("the sample", &[m, s], answer, wanted)
    })
}

/// Of 100,000 samples with the variance 1.70 six standard errors are 0.025 for the mean and 0.046
/// for the variance; the noise is the same each time.
fn moments() -> Outcome {
    let many = || {
        let (cpu, count) = (cpu(), 100_000);
        let noise = Tensor::normal(&cpu, DType::F64, Address::new(1, 0, 0), [count])?;
        let constant = |value| Tensor::full(&cpu, DType::F64, value, [count]);
        sample(&constant(1.0)?, &constant(1.5)?, &noise)?.to_f64()
    };
    let samples = many().map_err(said)?;
    let mean = samples.iter().sum::<f64>() / samples.len() as f64;
    let variance = samples.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / samples.len() as f64;
    let wanted = 1.5_f64.exp().ln_1p() + 1e-5;
    close("mean and variance of many samples", &[mean, variance], &[1.0, wanted], 0.05)
}

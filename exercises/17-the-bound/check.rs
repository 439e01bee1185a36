use exercises::{Outcome, cases, close, cpu, gradients, said};
use rung_autograd::Tensor;
use rung_autograd::ops::Gaussian;

use super::answer::elbo;

pub fn check() -> Outcome {
    cases(10, |random| {
        let (batch, pixels, units) = (random.whole(1, 4), random.whole(1, 6), random.whole(1, 3));
        let bits: Vec<f64> =
            random.many(batch * pixels, 0.0, 2.0).iter().map(|v| v.floor()).collect();
        let x = Tensor::from_f64(&cpu(), &bits, [batch, pixels]).map_err(said)?;
        let mut draw =
            |columns, low, high| random.tensor(&[batch, columns], low, high).map_err(said);
        let logits = draw(pixels, -4.0, 4.0)?;
        let q = Gaussian { mean: draw(units, -2.0, 2.0)?, variance: draw(units, 0.2, 2.0)? };
        let wanted = || -> rung_autograd::Result<Vec<f64>> {
            logits.bernoulli_log_prob(&x)?.sub(&q.kl_to_standard_normal()?)?.to_f64()
        };
        let found = elbo(&x, &logits, &q).and_then(|elbo| elbo.to_f64()).map_err(said)?;
        close("the bound", &found, &wanted().map_err(said)?, 1e-9)?;

        let far = draw(pixels, 199.0, 201.0)?;
        let found = elbo(&x, &far, &q).and_then(|elbo| elbo.to_f64()).map_err(said)?;
        if found.iter().any(|bound| !bound.is_finite()) {
            return Err(format!("logits of 200 give {found:?}"));
        }
        gradients("the bound", &[logits.clone(), q.mean.clone(), q.variance.clone()], |inputs| {
            let q = Gaussian { mean: inputs[1].clone(), variance: inputs[2].clone() };
            elbo(&x, &inputs[0], &q)
        })
    })
}

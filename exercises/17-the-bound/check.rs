use exercises::{Outcome, Part, Random, cases, close, cpu, gradients_as, said};
use rung_autograd::Tensor;
use rung_autograd::ops::Gaussian;

use super::answer::elbo;

pub const PARTS: &[Part] =
    &[("the value", value), ("probabilities of 0 and 1", certain), ("the gradient", gradient)];

struct Drawn {
    x: Tensor,
    logits: Tensor,
    q: Gaussian,
}

/// A batch whose logits are between these.
fn draw(random: &mut Random, low: f64, high: f64) -> Result<Drawn, String> {
    let (batch, pixels, units) = (random.whole(1, 4), random.whole(1, 6), random.whole(1, 3));
    let bits: Vec<f64> = random.many(batch * pixels, 0.0, 2.0).iter().map(|v| v.floor()).collect();
    let x = Tensor::from_f64(&cpu(), &bits, [batch, pixels]).map_err(said)?;
    let mut draw = |columns, low, high| random.tensor(&[batch, columns], low, high).map_err(said);
    let logits = draw(pixels, low, high)?;
    let q = Gaussian { mean: draw(units, -2.0, 2.0)?, variance: draw(units, 0.2, 2.0)? };
    Ok(Drawn { x, logits, q })
}

/// The bound by the library.
fn wanted(x: &Tensor, logits: &Tensor, q: &Gaussian) -> rung_autograd::Result<Tensor> {
    logits.bernoulli_log_prob(x)?.sub(&q.kl_to_standard_normal()?)
}

fn is_the_bound(Drawn { x, logits, q }: &Drawn) -> Outcome {
    let found = elbo(x, logits, q).and_then(|elbo| elbo.to_f64()).map_err(said)?;
    let wanted = wanted(x, logits, q).and_then(|elbo| elbo.to_f64()).map_err(said)?;
    close("the bound", &found, &wanted, 1e-9)
}

fn value() -> Outcome {
    cases(10, |random| is_the_bound(&draw(random, -4.0, 4.0)?))
}

/// Beyond ±745 a probability in f64 is 0 or 1.
fn certain() -> Outcome {
    cases(10, |random| {
        is_the_bound(&draw(random, -1001.0, -999.0)?)?;
        is_the_bound(&draw(random, 999.0, 1001.0)?)
    })
}

fn gradient() -> Outcome {
    cases(10, |random| {
        let Drawn { x, logits, q } = draw(random, -4.0, 4.0)?;
        let inputs = [logits, q.mean, q.variance];
        let gaussian =
            |inputs: &[Tensor]| Gaussian { mean: inputs[1].clone(), variance: inputs[2].clone() };
        let answer = |inputs: &[Tensor]| elbo(&x, &inputs[0], &gaussian(inputs));
        let wanted = |inputs: &[Tensor]| wanted(&x, &inputs[0], &gaussian(inputs));
        gradients_as("the bound", &inputs, answer, wanted)
    })
}

use exercises::{Outcome, Part, Random, cases, close, gradients_as, said};
use rung_autograd::Tensor;
use rung_autograd::ops::Gaussian;

use super::answer::kl;

pub const PARTS: &[Part] = &[("the value", value), ("the gradient", gradient)];

fn draw(random: &mut Random) -> Result<[Gaussian; 2], String> {
    let shape = [random.whole(1, 4), random.whole(1, 4)];
    let mut draw = |low, high| random.tensor(&shape, low, high).map_err(said);
    let mut gaussian =
        || Ok::<_, String>(Gaussian { mean: draw(-2.0, 2.0)?, variance: draw(0.2, 2.0)? });
    Ok([gaussian()?, gaussian()?])
}

fn value() -> Outcome {
    cases(10, |random| {
        let [q, p] = draw(random)?;
        let found = kl(&q, &p).and_then(|kl| kl.to_f64()).map_err(said)?;
        let wanted = q.kl(&p).and_then(|kl| kl.to_f64()).map_err(said)?;
        close("KL(q ‖ p)", &found, &wanted, 1e-9)?;
        let itself = kl(&q, &q).and_then(|kl| kl.to_f64()).map_err(said)?;
        close("KL(q ‖ q)", &itself, &vec![0.0; itself.len()], 1e-9)
    })
}

fn gradient() -> Outcome {
    cases(10, |random| {
        let [q, p] = draw(random)?;
        let inputs = [q.mean, q.variance, p.mean, p.variance];
        let gaussians = |x: &[Tensor]| {
            let gaussian =
                |mean: usize| Gaussian { mean: x[mean].clone(), variance: x[mean + 1].clone() };
            (gaussian(0), gaussian(2))
        };
        let answer = |x: &[Tensor]| kl(&gaussians(x).0, &gaussians(x).1);
        let wanted = |x: &[Tensor]| gaussians(x).0.kl(&gaussians(x).1);
        gradients_as("KL(q ‖ p)", &inputs, answer, wanted)
    })
}

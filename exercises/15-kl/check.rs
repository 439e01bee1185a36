use exercises::{Outcome, cases, close, gradients, said};
use rung_autograd::ops::Gaussian;

use super::answer::kl;

pub fn check() -> Outcome {
    cases(10, |random| {
        let shape = [random.whole(1, 4), random.whole(1, 4)];
        let mut draw = |low, high| random.tensor(&shape, low, high).map_err(said);
        let q = Gaussian { mean: draw(-2.0, 2.0)?, variance: draw(0.2, 2.0)? };
        let p = Gaussian { mean: draw(-2.0, 2.0)?, variance: draw(0.2, 2.0)? };
        let found = kl(&q, &p).and_then(|kl| kl.to_f64()).map_err(said)?;
        let wanted = q.kl(&p).and_then(|kl| kl.to_f64()).map_err(said)?;
        close("KL(q ‖ p)", &found, &wanted, 1e-9)?;
        let itself = kl(&q, &q).and_then(|kl| kl.to_f64()).map_err(said)?;
        close("KL(q ‖ q)", &itself, &vec![0.0; shape[0]], 1e-9)?;
        let inputs = [q.mean, q.variance, p.mean, p.variance];
        gradients("KL(q ‖ p)", &inputs, |x| {
            let gaussian =
                |mean: usize| Gaussian { mean: x[mean].clone(), variance: x[mean + 1].clone() };
            kl(&gaussian(0), &gaussian(2))
        })
    })
}

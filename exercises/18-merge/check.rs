use exercises::{Outcome, cases, close, gradients, said};
use rung_autograd::Tensor;
use rung_autograd::ops::{Gaussian, merge as wanted};

use super::answer::merge;

fn values(gaussian: &Gaussian) -> Result<Vec<f64>, String> {
    let mut values = gaussian.mean.to_f64().map_err(said)?;
    values.extend(gaussian.variance.to_f64().map_err(said)?);
    Ok(values)
}

pub fn check() -> Outcome {
    cases(10, |random| {
        let shape = [random.whole(1, 3), random.whole(1, 4)];
        let mut draw = |low, high| random.tensor(&shape, low, high).map_err(said);
        let first = Gaussian { mean: draw(-2.0, 2.0)?, variance: draw(0.2, 2.0)? };
        let second = Gaussian { mean: draw(-2.0, 2.0)?, variance: draw(0.2, 2.0)? };
        let found = values(&merge(&first, &second).map_err(said)?)?;
        close(
            "means, then variances",
            &found,
            &values(&wanted(&first, &second).map_err(said)?)?,
            1e-9,
        )?;
        let vague = Gaussian { mean: draw(-2.0, 2.0)?, variance: draw(1e30, 2e30)? };
        let unchanged = values(&merge(&first, &vague).map_err(said)?)?;
        close("merged with an opinion that says nothing", &unchanged, &values(&first)?, 1e-9)?;
        let inputs = [first.mean, first.variance, second.mean, second.variance];
        let gaussian = |x: &[Tensor]| Gaussian { mean: x[0].clone(), variance: x[1].clone() };
        gradients("the mean", &inputs, |x| Ok(merge(&gaussian(x), &gaussian(&x[2..]))?.mean))?;
        gradients(
            "the variance",
            &inputs,
            |x| Ok(merge(&gaussian(x), &gaussian(&x[2..]))?.variance),
        )
    })
}

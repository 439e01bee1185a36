use exercises::{Outcome, Part, Random, cases, close, gradients_as, said};
use rung_autograd::Tensor;
use rung_autograd::ops::{Gaussian, merge as wanted};

use super::answer::merge;

fn values(gaussian: &Gaussian) -> Result<Vec<f64>, String> {
    let mut values = gaussian.mean.to_f64().map_err(said)?;
    values.extend(gaussian.variance.to_f64().map_err(said)?);
    Ok(values)
}

pub const PARTS: &[Part] =
    &[("the merge", product), ("a Gaussian that says nothing", vague), ("the gradients", gradient)];

fn draw(random: &mut Random, variances: [(f64, f64); 2]) -> Result<[Gaussian; 2], String> {
    let shape = [random.whole(1, 3), random.whole(1, 4)];
    let mut gaussian = |(low, high)| {
        let mean = random.tensor(&shape, -2.0, 2.0).map_err(said)?;
        Ok::<_, String>(Gaussian {
            mean,
            variance: random.tensor(&shape, low, high).map_err(said)?,
        })
    };
    Ok([gaussian(variances[0])?, gaussian(variances[1])?])
}

fn product() -> Outcome {
    cases(10, |random| {
        let [first, second] = draw(random, [(0.2, 2.0); 2])?;
        let found = values(&merge(&first, &second).map_err(said)?)?;
        let wanted = values(&wanted(&first, &second).map_err(said)?)?;
        close("means, then variances", &found, &wanted, 1e-9)
    })
}

fn vague() -> Outcome {
    cases(10, |random| {
        let [first, vague] = draw(random, [(0.2, 2.0), (1e30, 2e30)])?;
        let unchanged = values(&merge(&first, &vague).map_err(said)?)?;
        close("merged with an opinion that says nothing", &unchanged, &values(&first)?, 1e-9)
    })
}

fn gradient() -> Outcome {
    cases(10, |random| {
        let [first, second] = draw(random, [(0.2, 2.0); 2])?;
        let inputs = [first.mean, first.variance, second.mean, second.variance];
        let gaussian = |x: &[Tensor]| Gaussian { mean: x[0].clone(), variance: x[1].clone() };
        let answer = |x: &[Tensor]| merge(&gaussian(x), &gaussian(&x[2..]));
        let wanted = |x: &[Tensor]| wanted(&gaussian(x), &gaussian(&x[2..]));
        gradients_as("the mean", &inputs, |x| Ok(answer(x)?.mean), |x| Ok(wanted(x)?.mean))?;
        gradients_as(
            "the variance",
            &inputs,
            |x| Ok(answer(x)?.variance),
            |x| Ok(wanted(x)?.variance),
        )
    })
}

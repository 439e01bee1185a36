use exercises::{Outcome, Part, cases, close, cpu, gradients_as, said};
use rung_autograd::{Tape, Tensor};

use super::answer::log_cosh;

pub const PARTS: &[Part] =
    &[("far from zero", far), ("the value", values), ("the gradient, by hand", gradient)];

fn far() -> Outcome {
    let x = Tensor::from_f64(&cpu(), &[-1000.0, 0.0, 1000.0], [3]).map_err(said)?;
    let far = log_cosh(&x).and_then(|y| y.to_f64()).map_err(said)?;
    let wanted = 1000.0 - std::f64::consts::LN_2;
    close("log cosh at −1000, 0, 1000", &far, &[wanted, 0.0, wanted], 1e-9)
}

fn values() -> Outcome {
    cases(10, |random| {
        let shape = [random.whole(1, 5), random.whole(1, 5)];
        let x = random.tensor(&shape, -3.0, 3.0).map_err(said)?;
        let values = x.to_f64().map_err(said)?;
        let wanted: Vec<f64> = values.iter().map(|x| x.cosh().ln()).collect();
        let found = log_cosh(&x).and_then(|y| y.to_f64()).map_err(said)?;
        close("log cosh", &found, &wanted, 1e-9)
    })
}

fn gradient() -> Outcome {
    cases(10, |random| {
        let shape = [random.whole(1, 5), random.whole(1, 5)];
        let x = random.tensor(&shape, -3.0, 3.0).map_err(said)?;
        // cosh x = (eˣ + e⁻ˣ)/2, recorded as it is.
        let wanted = |x: &[Tensor]| x[0].exp()?.add(&x[0].scale(-1.0)?.exp()?)?.log();
        gradients_as("log cosh", &[x.clone()], |x| log_cosh(&x[0]), wanted)?;

        let tape = Tape::new();
        log_cosh(&tape.variable(&x).map_err(said)?).map_err(said)?;
        // As the chapter writes it: a product, a difference and a sum.
        if tape.len() > 3 {
            return Err(format!(
                "{} operations are recorded, and 3 suffice: nothing is recorded of what is \
                computed from x.detach()",
                tape.len()
            ));
        }
        Ok(())
    })
}

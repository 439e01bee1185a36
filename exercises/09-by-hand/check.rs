use exercises::{Outcome, cases, close, cpu, gradients, said};
use rung_autograd::{Tape, Tensor};

use super::answer::log_cosh;

pub fn check() -> Outcome {
    let x = Tensor::from_f64(&cpu(), &[-1000.0, 0.0, 1000.0], [3]).map_err(said)?;
    let far = log_cosh(&x).and_then(|y| y.to_f64()).map_err(said)?;
    let wanted = 1000.0 - std::f64::consts::LN_2;
    close("log cosh at −1000, 0, 1000", &far, &[wanted, 0.0, wanted], 1e-9)?;
    cases(10, |random| {
        let shape = [random.whole(1, 5), random.whole(1, 5)];
        let x = random.tensor(&shape, -3.0, 3.0).map_err(said)?;
        let values = x.to_f64().map_err(said)?;
        let wanted: Vec<f64> = values.iter().map(|x| x.cosh().ln()).collect();
        let found = log_cosh(&x).and_then(|y| y.to_f64()).map_err(said)?;
        close("log cosh", &found, &wanted, 1e-9)?;
        gradients("log cosh", &[x.clone()], |x| log_cosh(&x[0]))?;

        let tape = Tape::new();
        log_cosh(&tape.variable(&x).map_err(said)?).map_err(said)?;
        if tape.len() > 2 {
            return Err(format!(
                "{} operations are recorded: the gradient is not by hand (2 suffice)",
                tape.len()
            ));
        }
        Ok(())
    })
}

use exercises::{Outcome, Part, cases, close, said, same};
use rung_autograd::Tape;

use super::answer::backward;

pub const PARTS: &[Part] =
    &[("the adjoint of x", of_x), ("the adjoint of W", of_weight), ("the adjoint of b", of_bias)];

fn of_x() -> Outcome {
    adjoint("x", 0)
}

fn of_weight() -> Outcome {
    adjoint("W", 1)
}

fn of_bias() -> Outcome {
    adjoint("b", 2)
}

fn adjoint(name: &str, place: usize) -> Outcome {
    cases(30, |random| {
        let sizes = (random.whole(1, 6), random.whole(1, 6), random.whole(1, 6));
        let (batch, inputs, outputs) = sizes;
        let mut draw = |shape: &[usize]| random.tensor(shape, -2.0, 2.0);
        let mut drawn = || {
            let (x, w) = (draw(&[batch, inputs])?, draw(&[inputs, outputs])?);
            Ok((x, w, draw(&[outputs])?, draw(&[batch, outputs])?))
        };
        let (x, weight, bias, grad_out) = drawn().map_err(said)?;

        let tape = Tape::new();
        let variable = |tensor| tape.variable(tensor).map_err(said);
        let tracked = [variable(&x)?, variable(&weight)?, variable(&bias)?];
        let out = tracked[0].linear(&tracked[1], Some(&tracked[2])).map_err(said)?;
        let loss = out.mul(&grad_out).and_then(|product| product.sum_all()).map_err(said)?;
        let gradients = tape.backward(&loss).map_err(said)?;

        let found = backward(&x, &weight, &grad_out).map_err(said)?;
        let (found, wanted) = (&found[place], gradients.of(&tracked[place]).map_err(said)?);
        let what = format!("the adjoint of {name} (batch, inputs, outputs = {sizes:?})");
        same(&format!("shape of {what}"), &found.shape().sizes(), &wanted.shape().sizes())?;
        close(&what, &found.to_f64().map_err(said)?, &wanted.to_f64().map_err(said)?, 1e-9)
    })
}

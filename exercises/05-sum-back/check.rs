use exercises::{Outcome, cases, close, said};
use rung_autograd::{Result, Tape, Tensor};

use super::answer::{Matrix, of_added_row, of_scaled_rows};

/// The gradients of Σ w·f(left, right), by the library.
fn wanted(
    f: fn(&Tensor, &Tensor) -> Result<Tensor>,
    left: &Tensor,
    right: &Tensor,
    weight: &Tensor,
) -> Result<(Vec<f64>, Vec<f64>)> {
    let tape = Tape::new();
    let (left, right) = (tape.variable(left)?, tape.variable(right)?);
    let gradients = tape.backward(&f(&left, &right)?.mul(weight)?.sum_all()?)?;
    Ok((gradients.of(&left)?.to_f64()?, gradients.of(&right)?.to_f64()?))
}

pub fn check() -> Outcome {
    cases(50, |random| {
        let (rows, columns) = (random.whole(1, 5), random.whole(1, 5));
        let mut draw = |shape: &[usize]| random.tensor(shape, -2.0, 2.0).map_err(said);
        let (x, grad) = (draw(&[rows, columns])?, draw(&[rows, columns])?);
        let (b, s) = (draw(&[columns])?, draw(&[rows, 1])?);
        let matrix = |tensor: &Tensor| -> std::result::Result<Matrix, String> {
            Ok(Matrix { rows, columns, values: tensor.to_f64().map_err(said)? })
        };
        let what = format!("[{rows}, {columns}]");
        let (_, grad_b) = wanted(Tensor::add, &x, &b, &grad).map_err(said)?;
        close(&format!("grad_b of {what}"), &of_added_row(&matrix(&grad)?), &grad_b, 1e-9)?;

        let (grad_x, grad_s) = wanted(Tensor::mul, &x, &s, &grad).map_err(said)?;
        let scale = s.to_f64().map_err(said)?;
        let found = of_scaled_rows(&matrix(&x)?, &scale, &matrix(&grad)?);
        close(&format!("grad_x of {what}"), &found.0, &grad_x, 1e-9)?;
        close(&format!("grad_s of {what}"), &found.1, &grad_s, 1e-9)
    })
}

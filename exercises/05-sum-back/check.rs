use exercises::{Outcome, Part, cases, close, said};
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

pub const PARTS: &[Part] = &[
    ("the row that is added", added_row),
    ("the matrix that is scaled", scaled_matrix),
    ("the column that scales", scaling_column),
];

fn matrix(tensor: &Tensor) -> std::result::Result<Matrix, String> {
    let &[rows, columns] = tensor.shape().sizes() else { return Err("no matrix".into()) };
    Ok(Matrix { rows, columns, values: tensor.to_f64().map_err(said)? })
}

fn added_row() -> Outcome {
    cases(50, |random| {
        let (rows, columns) = (random.whole(1, 5), random.whole(1, 5));
        let mut draw = |shape: &[usize]| random.tensor(shape, -2.0, 2.0).map_err(said);
        let (x, grad, b) = (draw(&[rows, columns])?, draw(&[rows, columns])?, draw(&[columns])?);
        let (_, grad_b) = wanted(Tensor::add, &x, &b, &grad).map_err(said)?;
        let what = format!("grad_b of [{rows}, {columns}]");
        close(&what, &of_added_row(&matrix(&grad)?), &grad_b, 1e-9)
    })
}

/// What is found and what is wanted for both operands of x[r, c] · s[r].
fn scaled(compare: fn(&str, [(&[f64], &[f64]); 2]) -> Outcome) -> Outcome {
    cases(50, |random| {
        let (rows, columns) = (random.whole(1, 5), random.whole(1, 5));
        let mut draw = |shape: &[usize]| random.tensor(shape, -2.0, 2.0).map_err(said);
        let (x, grad, s) = (draw(&[rows, columns])?, draw(&[rows, columns])?, draw(&[rows, 1])?);
        let (grad_x, grad_s) = wanted(Tensor::mul, &x, &s, &grad).map_err(said)?;
        let scale = s.to_f64().map_err(said)?;
        let found = of_scaled_rows(&matrix(&x)?, &scale, &matrix(&grad)?);
        compare(&format!("[{rows}, {columns}]"), [(&found.0, &grad_x), (&found.1, &grad_s)])
    })
}

fn scaled_matrix() -> Outcome {
    scaled(|what, [(found, wanted), _]| close(&format!("grad_x of {what}"), found, wanted, 1e-9))
}

fn scaling_column() -> Outcome {
    scaled(|what, [_, (found, wanted)]| close(&format!("grad_s of {what}"), found, wanted, 1e-9))
}

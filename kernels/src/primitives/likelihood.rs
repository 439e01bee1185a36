//! Parity cases of the discrete likelihoods.

use super::Primitive;
use super::case::{Case, Draw, Expected, MATRICES, sum_factor};
use super::elementwise::{sigmoid, softplus};
use super::reduce::log_sum_exp_value;
use crate::DType;
use crate::backend::Matrix;

pub(super) static PRIMITIVES: [Primitive; 4] = [
    Primitive { name: "bernoulli_log_prob", cases: bernoulli_log_prob },
    Primitive { name: "bernoulli_log_prob_backward", cases: bernoulli_log_prob_backward },
    Primitive { name: "cross_entropy", cases: cross_entropy },
    Primitive { name: "cross_entropy_backward", cases: cross_entropy_backward },
];

/// Every matrix, with each row of x repeated once or, where that divides the rows, more often.
fn repeated_matrices() -> impl Iterator<Item = (Matrix, usize)> {
    let with = |(rows, columns)| (Matrix { rows, columns }, if rows % 20 == 0 { 20 } else { 1 });
    MATRICES.into_iter().chain([(6, 7), (100, 784)]).map(with)
}

/// Black, white and grey pixels, and the logits of each row.
fn pixels_and_logits(draw: &mut Draw, matrix: Matrix, repeat: usize) -> Case {
    let len = matrix.element_count();
    Case::new(format!("{matrix:?}, repeat {repeat}"))
        .float(draw.uniform(-0.5, 1.5, len / repeat).into_iter().map(|x| x.clamp(0.0, 1.0)).collect())
        .float(
            draw.normal(len)
                .into_iter()
                .enumerate()
                .map(|(i, x)| if i % 7 == 0 { 20.0 * x } else { 2.0 * x })
                .collect(),
        )
}

fn bernoulli_log_prob(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (matrix, repeat) in repeated_matrices() {
        let columns = matrix.columns;
        cases.push(
            pixels_and_logits(draw, matrix, repeat)
                .output(matrix.rows)
                .call(move |device, x, out| device.bernoulli_log_prob(matrix, repeat, x[0], x[1], out[0].reborrow()))
                .expect(move |x, _| {
                    let terms = |r: usize, c: usize| {
                        let l = x[1][r * columns + c];
                        [x[0][r / repeat * columns + c] * l, -softplus(l)]
                    };
                    vec![(0..matrix.rows).map(|r| Expected::sum((0..columns).flat_map(|c| terms(r, c)))).collect()]
                }),
        );
    }
    cases
}

fn bernoulli_log_prob_backward(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (matrix, repeat) in repeated_matrices() {
        let (len, columns) = (matrix.element_count(), matrix.columns);
        cases.push(
            pixels_and_logits(draw, matrix, repeat)
                .float(draw.normal(matrix.rows))
                .output(len)
                .call(move |device, x, out| {
                    device.bernoulli_log_prob_backward(matrix, repeat, x[0], x[1], x[2], out[0].reborrow())
                })
                .expect(move |x, _| {
                    let element = |i: usize| {
                        let (r, c) = (i / columns, i % columns);
                        let (g, x, s) = (x[2][r], x[0][r / repeat * columns + c], sigmoid(x[1][i]));
                        Expected { value: g * (x - s), scale: 5.0 * g.abs() * (x + s) }
                    };
                    vec![(0..len).map(element).collect()]
                }),
        );
    }
    cases
}

fn labelled(draw: &mut Draw, matrix: Matrix) -> Case {
    Case::new(format!("{matrix:?}"))
        .float(draw.normal(matrix.element_count()).into_iter().map(|x| 5.0 * x).collect())
        .typed(DType::U32, draw.integers(matrix.columns, matrix.rows))
}

fn cross_entropy(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (rows, columns) in MATRICES {
        let matrix = Matrix { rows, columns };
        cases.push(
            labelled(draw, matrix)
                .output(rows)
                .call(move |device, x, out| device.cross_entropy(matrix, x[0], x[1], out[0].reborrow()))
                .expect(move |x, _| {
                    let row = |(logits, &label): (&[f64], &f64)| {
                        let (sum, logit) = (log_sum_exp_value(logits.iter().copied()), logits[label as usize]);
                        Expected { value: sum.value - logit, scale: sum.scale + 2.0 * (sum.value.abs() + logit.abs()) }
                    };
                    vec![x[0].chunks_exact(columns).zip(&x[1]).map(row).collect()]
                }),
        );
    }
    cases
}

fn cross_entropy_backward(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (rows, columns) in MATRICES {
        let matrix = Matrix { rows, columns };
        cases.push(
            labelled(draw, matrix)
                .float(draw.normal(rows))
                .output(rows * columns)
                .call(move |device, x, out| device.cross_entropy_backward(matrix, x[0], x[1], x[2], out[0].reborrow()))
                .expect(move |x, _| {
                    let row = |r: usize| {
                        let logits = &x[0][r * columns..(r + 1) * columns];
                        let sum = log_sum_exp_value(logits.iter().copied()).value;
                        let element = move |c: usize| {
                            let probability = (logits[c] - sum).exp();
                            let hit = f64::from(u8::from(c == x[1][r] as usize));
                            let error = sum_factor(columns) + 8.0 + 2.0 * (logits[c].abs() + sum.abs());
                            Expected {
                                value: x[2][r] * (probability - hit),
                                scale: x[2][r].abs() * (error * probability + 2.0 * hit),
                            }
                        };
                        (0..columns).map(element)
                    };
                    vec![(0..rows).flat_map(row).collect()]
                }),
        );
    }
    cases
}

//! Parity cases of the likelihood of binary data.

use super::case::{Case, Draw, Expected, MATRICES};
use super::elementwise::{sigmoid, softplus};
use crate::backend::Matrix;

/// Every matrix, with each row of x repeated once or, where that divides the rows, more often.
fn repeated_matrices() -> impl Iterator<Item = (Matrix, usize)> {
    let with = |(rows, columns)| (Matrix { rows, columns }, if rows % 20 == 0 { 20 } else { 1 });
    MATRICES.into_iter().chain([(6, 7), (100, 784)]).map(with)
}

/// Black, white and grey pixels, and the logits of each row.
fn pixels_and_logits(draw: &mut Draw, matrix: Matrix, repeat: usize) -> Case {
    let len = matrix.element_count();
    Case::new(format!("{matrix:?}, repeat {repeat}"))
        .float(
            draw.uniform(-0.5, 1.5, len / repeat).into_iter().map(|x| x.clamp(0.0, 1.0)).collect(),
        )
        .float(
            draw.normal(len)
                .into_iter()
                .enumerate()
                .map(|(i, x)| if i % 7 == 0 { 20.0 * x } else { 2.0 * x })
                .collect(),
        )
}

pub(super) fn bernoulli_log_prob(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (matrix, repeat) in repeated_matrices() {
        let columns = matrix.columns;
        cases.push(
            pixels_and_logits(draw, matrix, repeat)
                .output(matrix.rows)
                .call(move |device, x, out| {
                    device.bernoulli_log_prob(matrix, repeat, x[0], x[1], out[0].reborrow())
                })
                .expect(move |x, _| {
                    let terms = |r: usize, c: usize| {
                        let l = x[1][r * columns + c];
                        [x[0][r / repeat * columns + c] * l, -softplus(l)]
                    };
                    vec![
                        (0..matrix.rows)
                            .map(|r| Expected::sum((0..columns).flat_map(|c| terms(r, c))))
                            .collect(),
                    ]
                }),
        );
    }
    cases
}

pub(super) fn bernoulli_log_prob_backward(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (matrix, repeat) in repeated_matrices() {
        let (len, columns) = (matrix.element_count(), matrix.columns);
        cases.push(
            pixels_and_logits(draw, matrix, repeat)
                .float(draw.normal(matrix.rows))
                .output(len)
                .call(move |device, x, out| {
                    device.bernoulli_log_prob_backward(
                        matrix,
                        repeat,
                        x[0],
                        x[1],
                        x[2],
                        out[0].reborrow(),
                    )
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

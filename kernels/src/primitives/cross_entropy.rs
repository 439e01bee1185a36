//! Parity cases of the cross-entropy.

use super::case::{Case, Draw, Expected, MATRICES, sum_factor};
use super::softmax::log_sum_exp_value;
use crate::DType;
use crate::backend::Matrix;

fn labelled(draw: &mut Draw, matrix: Matrix) -> Case {
    Case::new(format!("{matrix:?}"))
        .float(draw.normal(matrix.element_count()).into_iter().map(|x| 5.0 * x).collect())
        .typed(DType::U32, draw.integers(matrix.columns, matrix.rows))
}

pub(super) fn cross_entropy(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (rows, columns) in MATRICES {
        let matrix = Matrix { rows, columns };
        cases.push(
            labelled(draw, matrix)
                .output(rows)
                .call(move |device, x, out| {
                    device.cross_entropy(matrix, x[0], x[1], out[0].reborrow())
                })
                .expect(move |x, _| {
                    let row = |(logits, &label): (&[f64], &f64)| {
                        let (sum, logit) =
                            (log_sum_exp_value(logits.iter().copied()), logits[label as usize]);
                        Expected {
                            value: sum.value - logit,
                            scale: sum.scale + 2.0 * (sum.value.abs() + logit.abs()),
                        }
                    };
                    vec![x[0].chunks_exact(columns).zip(&x[1]).map(row).collect()]
                }),
        );
    }
    cases
}

pub(super) fn cross_entropy_backward(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (rows, columns) in MATRICES {
        let matrix = Matrix { rows, columns };
        cases.push(
            labelled(draw, matrix)
                .float(draw.normal(rows))
                .output(rows * columns)
                .call(move |device, x, out| {
                    device.cross_entropy_backward(matrix, x[0], x[1], x[2], out[0].reborrow())
                })
                .expect(move |x, _| {
                    let row = |r: usize| {
                        let logits = &x[0][r * columns..(r + 1) * columns];
                        let sum = log_sum_exp_value(logits.iter().copied()).value;
                        let element = move |c: usize| {
                            let probability = (logits[c] - sum).exp();
                            let hit = f64::from(u8::from(c == x[1][r] as usize));
                            let error =
                                sum_factor(columns) + 8.0 + 2.0 * (logits[c].abs() + sum.abs());
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

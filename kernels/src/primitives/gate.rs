//! Parity cases of gates.

use super::case::{Case, Draw, Expected, MATRICES};
use super::elementwise::sigmoid;
use crate::backend::Matrix;

/// The two halves of a row, the right one with values that shut and open the gate.
fn gates(draw: &mut Draw, matrix: Matrix) -> Case {
    let x = draw.normal(2 * matrix.element_count()).into_iter().enumerate();
    Case::new(format!("{matrix:?}"))
        .float(x.map(|(i, x)| if i % 7 == 0 { 20.0 * x } else { 2.0 * x }).collect())
}

pub(super) fn gate(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (rows, columns) in MATRICES {
        let matrix = Matrix { rows, columns };
        cases.push(
            gates(draw, matrix)
                .output(rows * columns)
                .call(move |device, x, out| device.gate(matrix, x[0], out[0].reborrow()))
                .expect(move |x, _| {
                    let pairs = x[0]
                        .chunks_exact(2 * columns)
                        .flat_map(|row| row[..columns].iter().zip(&row[columns..]));
                    vec![
                        pairs
                            .map(|(left, right)| Expected::ulps(left * sigmoid(*right), 8.0))
                            .collect(),
                    ]
                }),
        );
    }
    cases
}

pub(super) fn gate_backward(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (rows, columns) in MATRICES {
        let matrix = Matrix { rows, columns };
        cases.push(
            gates(draw, matrix)
                .float(draw.normal(rows * columns))
                .output(2 * rows * columns)
                .call(move |device, x, out| {
                    device.gate_backward(matrix, x[0], x[1], out[0].reborrow())
                })
                .expect(move |x, _| {
                    let element = |i: usize| {
                        let (row, c) = (i / (2 * columns), i % (2 * columns));
                        let (of_row, grad) =
                            (&x[0][row * 2 * columns..], x[1][row * columns + c % columns]);
                        let open = sigmoid(of_row[columns + c % columns]);
                        if c < columns {
                            return Expected::ulps(grad * open, 8.0);
                        }
                        // 1 − s is as exact as s, not as exact as itself.
                        let factor = grad * of_row[c - columns] * open;
                        Expected { value: factor * (1.0 - open), scale: 8.0 * factor.abs() }
                    };
                    vec![(0..2 * rows * columns).map(element).collect()]
                }),
        );
    }
    cases
}

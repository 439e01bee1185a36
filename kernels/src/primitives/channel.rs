//! Parity cases of what is done channel by channel: weight normalisation, and gates.

use super::Primitive;
use super::case::{Case, Draw, Expected, MATRICES, sum_factor};
use super::elementwise::sigmoid;
use crate::AxisExtent;
use crate::backend::Matrix;

pub(super) static PRIMITIVES: [Primitive; 4] = [
    Primitive { name: "weight_norm", cases: weight_norm },
    Primitive { name: "weight_norm_backward", cases: weight_norm_backward },
    Primitive { name: "gate", cases: gate },
    Primitive { name: "gate_backward", cases: gate_backward },
];

/// [outer, channels, inner]: dense weights and convolutions (inner 1), transposed ones (inner more), ragged and empty ones.
const WEIGHTS: [[usize; 3]; 10] = [
    [1, 1, 1],
    [7, 5, 1],
    [784, 33, 1],
    [9, 300, 1],
    [3136, 8, 1],
    [9, 31, 16],
    [25, 5, 67],
    [1, 3, 1031],
    [0, 3, 2],
    [2, 0, 3],
];

fn weights(draw: &mut Draw) -> Vec<(AxisExtent, Case)> {
    let with = |[outer, axis, inner]: [usize; 3]| {
        let extent = AxisExtent { outer, axis, inner };
        let case = Case::new(format!("{extent:?}")).float(draw.normal(outer * axis * inner));
        (extent, case.float(draw.normal(axis)))
    };
    WEIGHTS.into_iter().map(with).collect()
}

/// The numbers of channel `c` of several arrays, side by side.
fn channel<const N: usize>(extent: AxisExtent, arrays: [&[f64]; N], c: usize) -> Vec<[f64; N]> {
    let AxisExtent { outer, axis, inner } = extent;
    let places = (0..outer).flat_map(|o| (0..inner).map(move |i| (o * axis + c) * inner + i));
    places.map(|at| arrays.map(|array| array[at])).collect()
}

/// ‖v‖ of each channel.
fn norms(extent: AxisExtent, v: &[f64]) -> Vec<f64> {
    let squares = |c| channel(extent, [v], c).into_iter().map(|[v]| v * v).sum::<f64>();
    (0..extent.axis).map(squares).map(f64::sqrt).collect()
}

fn weight_norm(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (extent, case) in weights(draw) {
        let AxisExtent { outer, axis, inner } = extent;
        let error = sum_factor(outer * inner) + 4.0;
        cases.push(
            case.output(outer * axis * inner)
                .call(move |device, x, out| device.weight_norm(extent, x[0], x[1], out[0].reborrow()))
                .expect(move |x, _| {
                    let norms = norms(extent, &x[0]);
                    let element = |(i, v): (usize, &f64)| {
                        let c = i / inner % axis;
                        Expected::ulps(x[1][c] * v / norms[c], error)
                    };
                    vec![x[0].iter().enumerate().map(element).collect()]
                }),
        );
    }
    cases
}

fn weight_norm_backward(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for wanted in [[true, true], [true, false], [false, true]] {
        for (extent, case) in weights(draw) {
            let AxisExtent { outer, axis, inner } = extent;
            let (len, error) = (outer * axis * inner, sum_factor(outer * inner) + 8.0);
            let lens = [len, axis].into_iter().zip(wanted).filter_map(|(len, wanted)| wanted.then_some(len));
            cases.push(
                lens.fold(case.float(draw.normal(len)), Case::output)
                    .call(move |device, x, out| {
                        let mut out = out.iter_mut().map(|out| out.reborrow());
                        let grad_v = if wanted[0] { out.next() } else { None };
                        let grad_gain = if wanted[1] { out.next() } else { None };
                        device.weight_norm_backward(extent, x[0], x[1], x[2], grad_v, grad_gain)
                    })
                    .expect(move |x, _| {
                        let (v, gain, grad) = (&x[0], &x[1], &x[2]);
                        let norms = norms(extent, v);
                        let overlap = |c: usize| {
                            let products = channel(extent, [v, grad], c).into_iter().map(|[v, grad]| v * grad);
                            Expected::sum(products).times(1.0 / norms[c])
                        };
                        let along: Vec<_> = (0..axis).map(overlap).collect();
                        let element = |i: usize| {
                            let c = i / inner % axis;
                            let (factor, direction) = (gain[c] / norms[c], v[i] / norms[c]);
                            let terms = [factor * grad[i], -factor * along[c].value * direction];
                            let slip = (factor * direction).abs() * along[c].scale;
                            let magnitude = terms[0].abs() + terms[1].abs();
                            Expected { value: terms[0] + terms[1], scale: error * magnitude + slip }
                        };
                        let slip =
                            |along: Expected| Expected { scale: along.scale + error * along.value.abs(), ..along };
                        let both = [(0..len).map(element).collect(), along.iter().copied().map(slip).collect()];
                        both.into_iter().zip(wanted).filter_map(|(array, wanted)| wanted.then_some(array)).collect()
                    }),
            );
        }
    }
    cases
}

/// The two halves of a row, the right one with values that shut and open the gate.
fn gates(draw: &mut Draw, matrix: Matrix) -> Case {
    let x = draw.normal(2 * matrix.element_count()).into_iter().enumerate();
    Case::new(format!("{matrix:?}")).float(x.map(|(i, x)| if i % 7 == 0 { 20.0 * x } else { 2.0 * x }).collect())
}

fn gate(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (rows, columns) in MATRICES {
        let matrix = Matrix { rows, columns };
        cases.push(
            gates(draw, matrix)
                .output(rows * columns)
                .call(move |device, x, out| device.gate(matrix, x[0], out[0].reborrow()))
                .expect(move |x, _| {
                    let pairs =
                        x[0].chunks_exact(2 * columns).flat_map(|row| row[..columns].iter().zip(&row[columns..]));
                    vec![pairs.map(|(left, right)| Expected::ulps(left * sigmoid(*right), 8.0)).collect()]
                }),
        );
    }
    cases
}

fn gate_backward(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (rows, columns) in MATRICES {
        let matrix = Matrix { rows, columns };
        cases.push(
            gates(draw, matrix)
                .float(draw.normal(rows * columns))
                .output(2 * rows * columns)
                .call(move |device, x, out| device.gate_backward(matrix, x[0], x[1], out[0].reborrow()))
                .expect(move |x, _| {
                    let element = |i: usize| {
                        let (row, c) = (i / (2 * columns), i % (2 * columns));
                        let (of_row, grad) = (&x[0][row * 2 * columns..], x[1][row * columns + c % columns]);
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

//! Parity cases of weight normalisation.

use super::case::{Case, Draw, Expected, sum_factor};
use crate::AxisExtent;

/// [outer, channels, inner]: dense weights and convolutions (inner 1), transposed ones (inner
/// more), ragged and empty ones.
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

pub(super) fn weight_norm(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (extent, case) in weights(draw) {
        let AxisExtent { outer, axis, inner } = extent;
        let error = sum_factor(outer * inner) + 4.0;
        cases.push(
            case.output(outer * axis * inner)
                .call(move |device, x, out| {
                    device.weight_norm(extent, x[0], x[1], out[0].reborrow())
                })
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

pub(super) fn weight_norm_backward(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for wanted in [[true, true], [true, false], [false, true]] {
        for (extent, case) in weights(draw) {
            let AxisExtent { outer, axis, inner } = extent;
            let (len, error) = (outer * axis * inner, sum_factor(outer * inner) + 8.0);
            let lens = [len, axis]
                .into_iter()
                .zip(wanted)
                .filter_map(|(len, wanted)| wanted.then_some(len));
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
                            let products =
                                channel(extent, [v, grad], c).into_iter().map(|[v, grad]| v * grad);
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
                        let slip = |along: Expected| Expected {
                            scale: along.scale + error * along.value.abs(),
                            ..along
                        };
                        let both = [
                            (0..len).map(element).collect(),
                            along.iter().copied().map(slip).collect(),
                        ];
                        both.into_iter()
                            .zip(wanted)
                            .filter_map(|(array, wanted)| wanted.then_some(array))
                            .collect()
                    }),
            );
        }
    }
    cases
}

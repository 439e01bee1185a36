//! Parity cases of the primitives along an axis.

use super::Primitive;
use super::case::{Case, Draw, Expected, sum_factor};
use crate::{AxisExtent, Reduction};

pub(super) static PRIMITIVES: [Primitive; 9] = [
    Primitive { name: "reduce", cases: reduce },
    Primitive { name: "extremum_backward", cases: extremum_backward },
    Primitive { name: "expand", cases: expand },
    Primitive { name: "log_sum_exp", cases: log_sum_exp },
    Primitive { name: "log_sum_exp_backward", cases: log_sum_exp_backward },
    Primitive { name: "softmax", cases: softmax },
    Primitive { name: "softmax_backward", cases: softmax_backward },
    Primitive { name: "log_softmax", cases: log_softmax },
    Primitive { name: "log_softmax_backward", cases: log_softmax_backward },
];

/// Sums along rows, down columns, in the middle; long axes and short; `true` where the axis is empty.
const EXTENTS: [([usize; 3], bool); 15] = [
    ([1, 1, 1], false),
    ([0, 3, 2], false),
    ([3, 7, 1], false),
    ([67, 131, 1], false),
    ([1, 257, 1], false),
    ([1, 70_001, 1], false),
    ([1, 1031, 3], false),
    ([1, 67, 300], false),
    ([5, 11, 64], false),
    ([2, 3, 257], false),
    ([1031, 1, 3], false),
    ([1, 260, 300], false),
    ([260, 300, 1], false),
    ([1, 4099, 65], false),
    ([3, 0, 2], true),
];

fn extents(with_empty: bool) -> impl Iterator<Item = AxisExtent> {
    EXTENTS
        .into_iter()
        .filter(move |&(_, is_empty)| with_empty || !is_empty)
        .map(|([outer, axis, inner], _)| AxisExtent { outer, axis, inner })
}

const fn whole(extent: AxisExtent) -> usize {
    extent.outer * extent.axis * extent.inner
}

const fn reduced(extent: AxisExtent) -> usize {
    extent.outer * extent.inner
}

/// Position in `x` of element `a` along the axis, for result `i`.
const fn position(extent: AxisExtent, i: usize, a: usize) -> usize {
    (i / extent.inner * extent.axis + a) * extent.inner + i % extent.inner
}

/// The elements of `x` behind result `i`.
fn along<'a>(extent: AxisExtent, i: usize, x: &'a [f64]) -> impl Iterator<Item = f64> + Clone + 'a {
    (0..extent.axis).map(move |a| x[position(extent, i, a)])
}

/// An array of the whole shape from a function of the result's index and the position in the whole.
fn for_whole(extent: AxisExtent, mut element: impl FnMut(usize, usize) -> Expected) -> Vec<Expected> {
    let mut out = vec![Expected::exact(0.0); whole(extent)];
    for i in 0..reduced(extent) {
        for a in 0..extent.axis {
            out[position(extent, i, a)] = element(i, position(extent, i, a));
        }
    }
    out
}

fn reduce_value(reduction: Reduction, x: impl Iterator<Item = f64> + Clone, count: usize) -> Expected {
    // `f64::max` would drop a NaN.
    let extremum = |start: f64, better: fn(f64, f64) -> bool| {
        Expected::exact(x.clone().fold(start, |best, x| if better(x, best) || x.is_nan() { x } else { best }))
    };
    match reduction {
        Reduction::Sum => Expected::sum(x),
        Reduction::Mean if count == 0 => Expected::exact(f64::NAN),
        Reduction::Mean => Expected::sum(x).times(1.0 / count as f64),
        Reduction::Maximum => extremum(f64::NEG_INFINITY, |x, best| x > best),
        Reduction::Minimum => extremum(f64::INFINITY, |x, best| x < best),
    }
}

fn reduce(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for reduction in [Reduction::Sum, Reduction::Mean, Reduction::Maximum, Reduction::Minimum] {
        for extent in extents(true) {
            cases.push(
                Case::new(format!("{reduction:?}, {extent:?}"))
                    .float(draw.normal(whole(extent)))
                    .output(reduced(extent))
                    .call(move |device, x, out| device.reduce(reduction, extent, x[0], out[0].reborrow()))
                    .expect(move |x, _| {
                        vec![
                            (0..reduced(extent))
                                .map(|i| reduce_value(reduction, along(extent, i, &x[0]), extent.axis))
                                .collect(),
                        ]
                    }),
            );
        }
    }
    cases
}

fn extremum_backward(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (extent, reduction) in
        extents(false).flat_map(|extent| [(extent, Reduction::Maximum), (extent, Reduction::Minimum)])
    {
        // Few distinct values, so that many are tied: the first takes the gradient.
        let x = draw.integers(5, whole(extent));
        let out =
            (0..reduced(extent)).map(|i| reduce_value(reduction, along(extent, i, &x), extent.axis).value).collect();
        cases.push(
            Case::new(format!("{reduction:?}, {extent:?}"))
                .float(x)
                .float(out)
                .float(draw.normal(reduced(extent)))
                .output(whole(extent))
                .call(move |device, x, o| device.extremum_backward(extent, x[0], x[1], x[2], o[0].reborrow()))
                .expect(move |x, _| {
                    let mut grad_x = vec![Expected::exact(0.0); whole(extent)];
                    for i in 0..reduced(extent) {
                        let first = (0..extent.axis).map(|a| position(extent, i, a)).find(|&at| x[0][at] == x[1][i]);
                        grad_x[first.expect("bug: an extremum that no element attains")] = Expected::exact(x[2][i]);
                    }
                    vec![grad_x]
                }),
        );
    }
    cases
}

fn expand(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (extent, factor) in extents(true).flat_map(|extent| [(extent, 1.0), (extent, 1.0 / 7.0)]) {
        cases.push(
            Case::new(format!("factor {factor}, {extent:?}"))
                .float(draw.normal(reduced(extent)))
                .output(whole(extent))
                .call(move |device, x, out| device.expand(factor, extent, x[0], out[0].reborrow()))
                .expect(move |x, _| vec![for_whole(extent, |i, _| Expected::ulps(factor * x[0][i], 2.0))]),
        );
    }
    cases
}

/// ln Σ exp, with an error of the sum's and of the largest exponent.
pub(super) fn log_sum_exp_value(x: impl Iterator<Item = f64> + Clone) -> Expected {
    let largest = x.clone().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return Expected::exact(largest);
    }
    let count = x.clone().count();
    let value = largest + x.map(|x| (x - largest).exp()).sum::<f64>().ln();
    Expected { value, scale: 2.0 * (largest.abs() + value.abs()) + sum_factor(count) + 4.0 }
}

/// Ordinary numbers, with one row of large ones.
fn logits(draw: &mut Draw, len: usize) -> Vec<f64> {
    draw.normal(len).into_iter().enumerate().map(|(i, x)| if i % 11 == 0 { 40.0 * x } else { 2.0 * x }).collect()
}

fn log_sum_exp(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for extent in extents(false) {
        for is_empty_mass in [false, true] {
            let x = if is_empty_mass { vec![f64::NEG_INFINITY; whole(extent)] } else { logits(draw, whole(extent)) };
            cases.push(
                Case::new(format!("all −∞ {is_empty_mass}, {extent:?}"))
                    .float(x)
                    .output(reduced(extent))
                    .call(move |device, x, out| device.log_sum_exp(extent, x[0], out[0].reborrow()))
                    .expect(move |x, _| {
                        vec![(0..reduced(extent)).map(|i| log_sum_exp_value(along(extent, i, &x[0]))).collect()]
                    }),
            );
        }
    }
    cases
}

fn log_sum_exp_backward(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for extent in extents(false) {
        let mut x = logits(draw, whole(extent));
        (0..extent.axis.min(whole(extent))).for_each(|a| x[position(extent, 0, a)] = f64::NEG_INFINITY);
        let out = (0..reduced(extent)).map(|i| log_sum_exp_value(along(extent, i, &x)).value).collect();
        cases.push(
            Case::new(format!("{extent:?}"))
                .float(x)
                .float(out)
                .float(draw.normal(reduced(extent)))
                .output(whole(extent))
                .call(move |device, x, o| device.log_sum_exp_backward(extent, x[0], x[1], x[2], o[0].reborrow()))
                .expect(move |x, _| {
                    let element = |i: usize, at: usize| {
                        let difference = x[0][at] - x[1][i];
                        let value = x[2][i] * difference.exp();
                        if x[1][i] == f64::NEG_INFINITY {
                            Expected::exact(0.0)
                        } else {
                            Expected::ulps(value, 6.0 + difference.abs())
                        }
                    };
                    vec![for_whole(extent, element)]
                }),
        );
    }
    cases
}

fn softmax(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for extent in extents(false) {
        cases.push(
            Case::new(format!("{extent:?}"))
                .float(logits(draw, whole(extent)))
                .output(whole(extent))
                .call(move |device, x, out| device.softmax(extent, x[0], out[0].reborrow()))
                .expect(move |x, _| {
                    let sums: Vec<_> =
                        (0..reduced(extent)).map(|i| log_sum_exp_value(along(extent, i, &x[0])).value).collect();
                    let element = |i: usize, at: usize| {
                        let difference = x[0][at] - sums[i];
                        Expected::ulps(
                            difference.exp(),
                            sum_factor(extent.axis) + 6.0 + 2.0 * (x[0][at].abs() + sums[i].abs()),
                        )
                    };
                    vec![for_whole(extent, element)]
                }),
        );
    }
    cases
}

fn softmax_backward(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for extent in extents(false) {
        cases.push(
            Case::new(format!("{extent:?}"))
                .float(draw.uniform(0.0, 2.0 / extent.axis as f64, whole(extent)))
                .float(draw.normal(whole(extent)))
                .output(whole(extent))
                .call(move |device, x, out| device.softmax_backward(extent, x[0], x[1], out[0].reborrow()))
                .expect(move |x, _| {
                    let (out, grad_out) = (&x[0], &x[1]);
                    let terms = |i| along(extent, i, out).zip(along(extent, i, grad_out)).map(|(out, g)| out * g);
                    let sums: Vec<_> = (0..reduced(extent)).map(|i| Expected::sum(terms(i))).collect();
                    let element = |i: usize, at: usize| Expected {
                        value: out[at] * (grad_out[at] - sums[i].value),
                        scale: out[at].abs() * (4.0 * (grad_out[at].abs() + sums[i].value.abs()) + sums[i].scale),
                    };
                    vec![for_whole(extent, element)]
                }),
        );
    }
    cases
}

fn log_softmax(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for extent in extents(false) {
        cases.push(
            Case::new(format!("{extent:?}"))
                .float(logits(draw, whole(extent)))
                .output(whole(extent))
                .call(move |device, x, out| device.log_softmax(extent, x[0], out[0].reborrow()))
                .expect(move |x, _| {
                    let sums: Vec<_> =
                        (0..reduced(extent)).map(|i| log_sum_exp_value(along(extent, i, &x[0]))).collect();
                    let element = |i: usize, at: usize| Expected {
                        value: x[0][at] - sums[i].value,
                        scale: 2.0 * (x[0][at].abs() + sums[i].value.abs()) + sums[i].scale,
                    };
                    vec![for_whole(extent, element)]
                }),
        );
    }
    cases
}

fn log_softmax_backward(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for extent in extents(false) {
        cases.push(
            Case::new(format!("{extent:?}"))
                .float(draw.uniform(-6.0, 0.0, whole(extent)))
                .float(draw.normal(whole(extent)))
                .output(whole(extent))
                .call(move |device, x, out| device.log_softmax_backward(extent, x[0], x[1], out[0].reborrow()))
                .expect(move |x, _| {
                    let (out, grad_out) = (&x[0], &x[1]);
                    let sums: Vec<_> =
                        (0..reduced(extent)).map(|i| Expected::sum(along(extent, i, grad_out))).collect();
                    let element = |i: usize, at: usize| {
                        let weight = out[at].exp();
                        let value = grad_out[at] - weight * sums[i].value;
                        Expected {
                            value,
                            scale: 2.0 * grad_out[at].abs() + weight * (sums[i].scale + 8.0 * sums[i].value.abs()),
                        }
                    };
                    vec![for_whole(extent, element)]
                }),
        );
    }
    cases
}

//! Parity cases of log-sum-exp and softmax.

use super::case::{Case, Draw, Expected, sum_factor};
use super::reduce::{along, extents, for_whole, position, reduced, whole};

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
    draw.normal(len)
        .into_iter()
        .enumerate()
        .map(|(i, x)| if i % 11 == 0 { 40.0 * x } else { 2.0 * x })
        .collect()
}

pub(super) fn log_sum_exp(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for extent in extents(false) {
        for is_empty_mass in [false, true] {
            let x = if is_empty_mass {
                vec![f64::NEG_INFINITY; whole(extent)]
            } else {
                logits(draw, whole(extent))
            };
            cases.push(
                Case::new(format!("all −∞ {is_empty_mass}, {extent:?}"))
                    .float(x)
                    .output(reduced(extent))
                    .call(move |device, x, out| device.log_sum_exp(extent, x[0], out[0].reborrow()))
                    .expect(move |x, _| {
                        vec![
                            (0..reduced(extent))
                                .map(|i| log_sum_exp_value(along(extent, i, &x[0])))
                                .collect(),
                        ]
                    }),
            );
        }
    }
    cases
}

pub(super) fn log_sum_exp_backward(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for extent in extents(false) {
        let mut x = logits(draw, whole(extent));
        (0..extent.axis.min(whole(extent)))
            .for_each(|a| x[position(extent, 0, a)] = f64::NEG_INFINITY);
        let out =
            (0..reduced(extent)).map(|i| log_sum_exp_value(along(extent, i, &x)).value).collect();
        cases.push(
            Case::new(format!("{extent:?}"))
                .float(x)
                .float(out)
                .float(draw.normal(reduced(extent)))
                .output(whole(extent))
                .call(move |device, x, o| {
                    device.log_sum_exp_backward(extent, x[0], x[1], x[2], o[0].reborrow())
                })
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

pub(super) fn softmax(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for extent in extents(false) {
        cases.push(
            Case::new(format!("{extent:?}"))
                .float(logits(draw, whole(extent)))
                .output(whole(extent))
                .call(move |device, x, out| device.softmax(extent, x[0], out[0].reborrow()))
                .expect(move |x, _| {
                    let sums: Vec<_> = (0..reduced(extent))
                        .map(|i| log_sum_exp_value(along(extent, i, &x[0])).value)
                        .collect();
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

pub(super) fn softmax_backward(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for extent in extents(false) {
        cases.push(
            Case::new(format!("{extent:?}"))
                .float(draw.uniform(0.0, 2.0 / extent.axis as f64, whole(extent)))
                .float(draw.normal(whole(extent)))
                .output(whole(extent))
                .call(move |device, x, out| {
                    device.softmax_backward(extent, x[0], x[1], out[0].reborrow())
                })
                .expect(move |x, _| {
                    let (out, grad_out) = (&x[0], &x[1]);
                    let terms = |i| {
                        along(extent, i, out)
                            .zip(along(extent, i, grad_out))
                            .map(|(out, g)| out * g)
                    };
                    let sums: Vec<_> =
                        (0..reduced(extent)).map(|i| Expected::sum(terms(i))).collect();
                    let element = |i: usize, at: usize| Expected {
                        value: out[at] * (grad_out[at] - sums[i].value),
                        scale: out[at].abs()
                            * (4.0 * (grad_out[at].abs() + sums[i].value.abs()) + sums[i].scale),
                    };
                    vec![for_whole(extent, element)]
                }),
        );
    }
    cases
}

pub(super) fn log_softmax(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for extent in extents(false) {
        cases.push(
            Case::new(format!("{extent:?}"))
                .float(logits(draw, whole(extent)))
                .output(whole(extent))
                .call(move |device, x, out| device.log_softmax(extent, x[0], out[0].reborrow()))
                .expect(move |x, _| {
                    let sums: Vec<_> = (0..reduced(extent))
                        .map(|i| log_sum_exp_value(along(extent, i, &x[0])))
                        .collect();
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

pub(super) fn log_softmax_backward(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for extent in extents(false) {
        cases.push(
            Case::new(format!("{extent:?}"))
                .float(draw.uniform(-6.0, 0.0, whole(extent)))
                .float(draw.normal(whole(extent)))
                .output(whole(extent))
                .call(move |device, x, out| {
                    device.log_softmax_backward(extent, x[0], x[1], out[0].reborrow())
                })
                .expect(move |x, _| {
                    let (out, grad_out) = (&x[0], &x[1]);
                    let sums: Vec<_> = (0..reduced(extent))
                        .map(|i| Expected::sum(along(extent, i, grad_out)))
                        .collect();
                    let element = |i: usize, at: usize| {
                        let weight = out[at].exp();
                        let value = grad_out[at] - weight * sums[i].value;
                        Expected {
                            value,
                            scale: 2.0 * grad_out[at].abs()
                                + weight * (sums[i].scale + 8.0 * sums[i].value.abs()),
                        }
                    };
                    vec![for_whole(extent, element)]
                }),
        );
    }
    cases
}

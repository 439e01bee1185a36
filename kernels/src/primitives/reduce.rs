//! Parity cases of the primitives along an axis.

use super::case::{Case, Draw, Expected, LENGTHS};
use crate::{AxisExtent, Reduction};

/// Sums along rows, down columns, in the middle; long axes and short; `true` where the axis is
/// empty.
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

pub(super) fn extents(with_empty: bool) -> impl Iterator<Item = AxisExtent> {
    EXTENTS
        .into_iter()
        .filter(move |&(_, is_empty)| with_empty || !is_empty)
        .map(|([outer, axis, inner], _)| AxisExtent { outer, axis, inner })
}

pub(super) const fn whole(extent: AxisExtent) -> usize {
    extent.outer * extent.axis * extent.inner
}

pub(super) const fn reduced(extent: AxisExtent) -> usize {
    extent.outer * extent.inner
}

/// Position in `x` of element `a` along the axis, for result `i`.
pub(super) const fn position(extent: AxisExtent, i: usize, a: usize) -> usize {
    (i / extent.inner * extent.axis + a) * extent.inner + i % extent.inner
}

/// The elements of `x` behind result `i`.
pub(super) fn along<'a>(
    extent: AxisExtent,
    i: usize,
    x: &'a [f64],
) -> impl Iterator<Item = f64> + Clone + 'a {
    (0..extent.axis).map(move |a| x[position(extent, i, a)])
}

/// An array of the whole shape from a function of the result's index and the position in the whole.
pub(super) fn for_whole(
    extent: AxisExtent,
    mut element: impl FnMut(usize, usize) -> Expected,
) -> Vec<Expected> {
    let mut out = vec![Expected::exact(0.0); whole(extent)];
    for i in 0..reduced(extent) {
        for a in 0..extent.axis {
            out[position(extent, i, a)] = element(i, position(extent, i, a));
        }
    }
    out
}

fn reduce_value(
    reduction: Reduction,
    x: impl Iterator<Item = f64> + Clone,
    count: usize,
) -> Expected {
    // `f64::max` would drop a NaN.
    let extremum = |start: f64, better: fn(f64, f64) -> bool| {
        Expected::exact(
            x.clone().fold(start, |best, x| if better(x, best) || x.is_nan() { x } else { best }),
        )
    };
    match reduction {
        Reduction::Sum => Expected::sum(x),
        Reduction::Mean if count == 0 => Expected::exact(f64::NAN),
        Reduction::Mean => Expected::sum(x).times(1.0 / count as f64),
        Reduction::Maximum => extremum(f64::NEG_INFINITY, |x, best| x > best),
        Reduction::Minimum => extremum(f64::INFINITY, |x, best| x < best),
    }
}

pub(super) fn reduce(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for reduction in [Reduction::Sum, Reduction::Mean, Reduction::Maximum, Reduction::Minimum] {
        for extent in extents(true) {
            cases.push(
                Case::new(format!("{reduction:?}, {extent:?}"))
                    .float(draw.normal(whole(extent)))
                    .output(reduced(extent))
                    .call(move |device, x, out| {
                        device.reduce(reduction, extent, x[0], out[0].reborrow())
                    })
                    .expect(move |x, _| {
                        vec![
                            (0..reduced(extent))
                                .map(|i| {
                                    reduce_value(reduction, along(extent, i, &x[0]), extent.axis)
                                })
                                .collect(),
                        ]
                    }),
            );
        }
    }
    cases
}

pub(super) fn extremum_backward(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (extent, reduction) in extents(false)
        .flat_map(|extent| [(extent, Reduction::Maximum), (extent, Reduction::Minimum)])
    {
        // Few distinct values, so that many are tied: the first takes the gradient.
        let x = draw.integers(5, whole(extent));
        let out = (0..reduced(extent))
            .map(|i| reduce_value(reduction, along(extent, i, &x), extent.axis).value)
            .collect();
        cases.push(
            Case::new(format!("{reduction:?}, {extent:?}"))
                .float(x)
                .float(out)
                .float(draw.normal(reduced(extent)))
                .output(whole(extent))
                .call(move |device, x, o| {
                    device.extremum_backward(extent, x[0], x[1], x[2], o[0].reborrow())
                })
                .expect(move |x, _| {
                    let mut grad_x = vec![Expected::exact(0.0); whole(extent)];
                    for i in 0..reduced(extent) {
                        let first = (0..extent.axis)
                            .map(|a| position(extent, i, a))
                            .find(|&at| x[0][at] == x[1][i]);
                        grad_x[first.expect("bug: an extremum that no element attains")] =
                            Expected::exact(x[2][i]);
                    }
                    vec![grad_x]
                }),
        );
    }
    cases
}

pub(super) fn expand(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (extent, factor) in extents(true).flat_map(|extent| [(extent, 1.0), (extent, 1.0 / 7.0)]) {
        cases.push(
            Case::new(format!("factor {factor}, {extent:?}"))
                .float(draw.normal(reduced(extent)))
                .output(whole(extent))
                .call(move |device, x, out| device.expand(factor, extent, x[0], out[0].reborrow()))
                .expect(move |x, _| {
                    vec![for_whole(extent, |i, _| Expected::ulps(factor * x[0][i], 2.0))]
                }),
        );
    }
    cases
}

pub(super) fn sum_of_squares(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for len in LENGTHS {
        cases.push(
            Case::new(format!("length {len}"))
                .float(draw.normal(len))
                .output(1)
                .call(|device, x, out| device.sum_of_squares(x[0], out[0].reborrow()))
                // Summed in f64: an f32 shows little more than its own rounding, however long the
                // sum.
                .expect(|x, _| {
                    vec![vec![Expected::ulps(
                        compensated_sum(x[0].iter().map(|x| x * x)),
                        4.0 + (x[0].len() as f64).sqrt() / 16.0,
                    )]]
                }),
        );
    }
    cases
}

/// A sum that carries what each addition lost (Neumaier 1974), so that its own error does not show.
fn compensated_sum(terms: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut lost) = (0.0, 0.0);
    for term in terms {
        let next: f64 = sum + term;
        lost +=
            if f64::abs(sum) >= f64::abs(term) { (sum - next) + term } else { (term - next) + sum };
        sum = next;
    }
    sum + lost
}

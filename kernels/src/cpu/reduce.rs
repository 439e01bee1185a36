//! Reductions along an axis, the adjoint of an extremum, the adjoint of a sum, and the sum of
//! squares.
//!
//! Where the axis is the last one a row is summed in lanes; elsewhere neighbouring columns are
//! summed side by side.

use std::ops::Range;

use super::lanes::{is_nan, larger, map, smaller, sum};
use super::parallel::{
    BLOCK_WORK, LIGHT, Parts, Rows, for_each_block, for_each_block_of, rows, sum_over_blocks,
};
use super::real::Real;
use super::typed::{Extent, Float, check, for_float, operands};
use crate::{AxisExtent, Reduction, Result, View, ViewMut};

/// Columns reduced side by side: running values of half a kilobyte.
pub(super) const STRIP: usize = 128;

/// Rows added in the type itself before the sum goes over to f64, which bounds the rounding of long
/// f32 columns.
pub(super) const ROWS_PER_PARTIAL: usize = 128;

/// Neighbouring columns of one outer index: column `inner` and the `width − 1` after it.
#[derive(Clone, Copy)]
pub(super) struct Strip {
    extent: AxisExtent,
    outer: usize,
    inner: usize,
    width: usize,
}

impl Strip {
    /// The `width` columns from `inner` of the first outer index.
    #[inline(always)]
    pub(super) const fn of_slab(extent: AxisExtent, inner: usize, width: usize) -> Self {
        Self { extent, outer: 0, inner, width }
    }

    /// Positions along the axis.
    #[inline(always)]
    pub(super) const fn axis(&self) -> usize {
        self.extent.axis
    }

    /// The strip's part of position `at` of the axis.
    #[inline(always)]
    pub(super) fn row<'a, T>(&self, x: &'a [T], at: usize) -> &'a [T] {
        let start = (self.outer * self.extent.axis + at) * self.extent.inner + self.inner;
        &x[start..start + self.width]
    }
}

/// Runs `body` for the strips that make up the columns from `first` (counted over outer and inner),
/// with their part of `out`.
#[inline(always)]
pub(super) fn for_each_strip<T>(
    extent: AxisExtent,
    first: usize,
    mut out: &mut [T],
    mut body: impl FnMut(Strip, &mut [T]),
) {
    let mut column = first;
    while !out.is_empty() {
        let (outer, inner) = (column / extent.inner, column % extent.inner);
        let width = STRIP.min(extent.inner - inner).min(out.len());
        let (now, rest) = out.split_at_mut(width);
        body(Strip { extent, outer, inner, width }, now);
        (out, column) = (rest, column + width);
    }
}

/// Runs `body` for blocks of columns, counted over outer and inner; a block is never narrower than
/// a strip can be.
#[inline]
pub(super) fn for_each_column_block<P: Parts>(
    extent: AxisExtent,
    work: usize,
    parts: P,
    body: impl Fn(Range<usize>, P) + Sync,
) {
    let work_per_column = extent.axis * work;
    let block = (BLOCK_WORK / work_per_column.max(1)).max(STRIP.min(extent.inner));
    for_each_block_of(block, extent.outer * extent.inner, work_per_column, parts, body);
}

/// `reduce`, as declared.
pub(super) fn reduce(
    reduction: Reduction,
    extent: AxisExtent,
    x: View<'_>,
    out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "reduce";
    check(NAME, Extent::Axis(extent), operands!(x))?;
    check(NAME, Extent::AroundAxis(extent), operands!(out))?;
    for_float!(NAME, (x, out) => reduce_slices(reduction, extent, x, out));
    Ok(())
}

fn reduce_slices<T: Float>(reduction: Reduction, extent: AxisExtent, x: &[T], out: &mut [T]) {
    if extent.inner == 1 && extent.axis > 0 {
        let parts = (rows(x, extent.axis), out);
        return for_each_block(
            extent.outer,
            extent.axis,
            parts,
            |_, (Rows { slice: x, .. }, out)| {
                for (x, out) in x.chunks_exact(extent.axis).zip(out) {
                    *out = reduce_row(reduction, x);
                }
            },
        );
    }
    for_each_column_block(extent, LIGHT, out, |range, out| {
        for_each_strip(extent, range.start, out, |strip, out| {
            reduce_strip(reduction, strip, x, out)
        });
    });
}

fn reduce_row<T: Float>(reduction: Reduction, x: &[T]) -> T {
    T::vectorised(
        #[inline(always)]
        || match reduction {
            Reduction::Sum => T::from_f64(sum(x)),
            Reduction::Mean => T::from_f64(sum(x) / x.len() as f64),
            Reduction::Maximum => super::lanes::maximum(x),
            Reduction::Minimum => super::lanes::minimum(x),
        },
    )
}

fn reduce_strip<T: Float>(reduction: Reduction, strip: Strip, x: &[T], out: &mut [T]) {
    T::vectorised(
        #[inline(always)]
        || match reduction {
            Reduction::Sum => sum_strip(strip, x, 1.0, out),
            Reduction::Mean => sum_strip(strip, x, strip.extent.axis as f64, out),
            Reduction::Maximum => extremum_strip(
                strip,
                x,
                T::NEG_INFINITY,
                out,
                #[inline(always)]
                |a, b| larger(a, b),
            ),
            Reduction::Minimum => extremum_strip(
                strip,
                x,
                -T::NEG_INFINITY,
                out,
                #[inline(always)]
                |a, b| smaller(a, b),
            ),
        },
    );
}

#[inline(always)]
fn sum_strip<T: Float>(strip: Strip, x: &[T], divisor: f64, out: &mut [T]) {
    let mut totals = [0.0; STRIP];
    for start in (0..strip.extent.axis).step_by(ROWS_PER_PARTIAL) {
        let mut partial = [T::ZERO; STRIP];
        for at in start..strip.extent.axis.min(start + ROWS_PER_PARTIAL) {
            for (partial, &x) in partial.iter_mut().zip(strip.row(x, at)) {
                *partial += x;
            }
        }
        for (total, partial) in totals.iter_mut().zip(partial) {
            *total += partial.to_f64();
        }
    }
    for (out, total) in out.iter_mut().zip(totals) {
        *out = T::from_f64(total / divisor);
    }
}

#[inline(always)]
fn extremum_strip<T: Float>(
    strip: Strip,
    x: &[T],
    start: T,
    out: &mut [T],
    choose: impl Fn(T, T) -> T,
) {
    out.fill(start);
    for at in 0..strip.extent.axis {
        for (out, &x) in out.iter_mut().zip(strip.row(x, at)) {
            *out = choose(*out, x);
        }
    }
}

/// `extremum_backward`, as declared.
pub(super) fn extremum_backward(
    extent: AxisExtent,
    x: View<'_>,
    out: View<'_>,
    grad_out: View<'_>,
    grad_x: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "extremum_backward";
    check(NAME, Extent::Axis(extent), operands!(x, grad_x))?;
    check(NAME, Extent::AroundAxis(extent), operands!(out, grad_out))?;
    for_float!(NAME, (x, out, grad_out, grad_x) =>
        extremum_backward_slices(extent, x, out, grad_out, grad_x));
    Ok(())
}

fn extremum_backward_slices<T: Float>(
    extent: AxisExtent,
    x: &[T],
    out: &[T],
    grad_out: &[T],
    grad_x: &mut [T],
) {
    let slab = extent.axis * extent.inner;
    if slab == 0 {
        return;
    }
    let parts =
        (rows(x, slab), rows(out, extent.inner), rows(grad_out, extent.inner), rows(grad_x, slab));
    for_each_block(extent.outer, slab, parts, |_, (x, out, grad_out, grad_x)| {
        let results =
            out.slice.chunks_exact(extent.inner).zip(grad_out.slice.chunks_exact(extent.inner));
        for ((x, grad_x), (out, grad_out)) in
            x.slice.chunks_exact(slab).zip(grad_x.slice.chunks_exact_mut(slab)).zip(results)
        {
            grad_x.fill(T::ZERO);
            for (column, (&out, &grad_out)) in out.iter().zip(grad_out).enumerate() {
                let attains = |x: T| x == out || (is_nan(x) && is_nan(out));
                if let Some(first) =
                    x[column..].iter().step_by(extent.inner).position(|&x| attains(x))
                {
                    grad_x[first * extent.inner + column] = grad_out;
                }
            }
        }
    });
}

/// `expand`, as declared.
pub(super) fn expand(factor: f64, extent: AxisExtent, x: View<'_>, out: ViewMut<'_>) -> Result<()> {
    const NAME: &str = "expand";
    check(NAME, Extent::AroundAxis(extent), operands!(x))?;
    check(NAME, Extent::Axis(extent), operands!(out))?;
    for_float!(NAME, (x, out) => expand_slices(factor, extent, x, out));
    Ok(())
}

fn expand_slices<T: Float>(factor: f64, extent: AxisExtent, x: &[T], out: &mut [T]) {
    let factor = T::from_f64(factor);
    if out.is_empty() {
        return;
    }
    if extent.inner == 1 {
        let parts = (x, rows(out, extent.axis));
        return for_each_block(extent.outer, extent.axis * LIGHT, parts, |_, (x, out)| {
            for (&x, out) in x.iter().zip(out.slice.chunks_exact_mut(extent.axis)) {
                out.fill(factor * x);
            }
        });
    }
    for_each_block(
        extent.outer * extent.axis,
        extent.inner,
        rows(out, extent.inner),
        |range, Rows { slice: out, .. }| {
            for (row, out) in out.chunks_exact_mut(extent.inner).enumerate() {
                let start = (range.start + row) / extent.axis * extent.inner;
                T::vectorised(
                    #[inline(always)]
                    || {
                        map(
                            [&x[start..start + extent.inner]],
                            out,
                            #[inline(always)]
                            |[x]| factor * x,
                        );
                    },
                );
            }
        },
    );
}

/// Running sums of squares in f64.
const SQUARES: usize = 16;

/// `sum_of_squares`, as declared.
pub(super) fn sum_of_squares(x: View<'_>, out: ViewMut<'_>) -> Result<()> {
    const NAME: &str = "sum_of_squares";
    check(NAME, Extent::Elements(1), operands!(out))?;
    for_float!(NAME, (x, out) => out[0] = squares(x));
    Ok(())
}

fn squares<T: Float>(x: &[T]) -> T {
    let body = |x: &[T]| {
        T::vectorised(
            #[inline(always)]
            || squares_of_block(x),
        )
    };
    T::from_f64(sum_over_blocks(x, &body))
}

#[inline(always)]
fn squares_of_block<T: Real>(x: &[T]) -> f64 {
    let mut lanes = [0.0; SQUARES];
    let (whole, rest) = x.as_chunks::<SQUARES>();
    for x in whole {
        for (lane, x) in lanes.iter_mut().zip(x) {
            *lane += x.to_f64() * x.to_f64();
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *lane += x.to_f64() * x.to_f64();
    }
    lanes.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_close, normals, same_on_any_threads};
    use super::*;

    const EXTENTS: [(usize, usize, usize); 10] = [
        (1, 1, 1),
        (0, 3, 2),
        (3, 5, 0),
        (2, 3, 4),
        (1, 257, 301),
        (211, 307, 1),
        (1, 70_001, 1),
        (7, 131, 17),
        (1, 20_011, 3),
        (40, 2, 1500),
    ];

    fn columns_of(extent: AxisExtent, x: &[f32]) -> Vec<Vec<f64>> {
        let at =
            |o: usize, a: usize, i: usize| f64::from(x[(o * extent.axis + a) * extent.inner + i]);
        let pairs = (0..extent.outer).flat_map(|o| (0..extent.inner).map(move |i| (o, i)));
        pairs.map(|(o, i)| (0..extent.axis).map(|a| at(o, a, i)).collect()).collect()
    }

    #[test]
    fn reductions_agree_with_loops_in_f64() {
        for (outer, axis, inner) in EXTENTS {
            let extent = AxisExtent { outer, axis, inner };
            let x = normals(1, outer * axis * inner);
            for reduction in
                [Reduction::Sum, Reduction::Mean, Reduction::Maximum, Reduction::Minimum]
            {
                let out = same_on_any_threads(|| {
                    let mut out = vec![0f32; outer * inner];
                    reduce(reduction, extent, View::F32(&x), ViewMut::F32(&mut out)).unwrap();
                    out
                });
                let of_column = |column: &Vec<f64>| match reduction {
                    Reduction::Sum => column.iter().sum(),
                    Reduction::Mean => column.iter().sum::<f64>() / axis as f64,
                    Reduction::Maximum => column.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                    Reduction::Minimum => column.iter().copied().fold(f64::INFINITY, f64::min),
                };
                let expected: Vec<f64> = columns_of(extent, &x).iter().map(of_column).collect();
                // Partial sums of 128 terms are of the order of 10; long f32 sums of 70,000 terms
                // in lanes of 4,400, of 100.
                assert_close(&format!("{reduction:?} of {extent:?}"), &out, &expected, 1e-4);
            }
        }
    }

    #[test]
    fn an_empty_axis_has_the_neutral_element() {
        for inner in [1, 2] {
            let extent = AxisExtent { outer: 1, axis: 0, inner };
            let of = |reduction| {
                let mut out = vec![7.0; inner];
                reduce(reduction, extent, View::F64(&[]), ViewMut::F64(&mut out)).unwrap();
                out[0]
            };
            assert_eq!(of(Reduction::Sum), 0.0);
            assert!(of(Reduction::Mean).is_nan());
            assert_eq!(of(Reduction::Maximum), f64::NEG_INFINITY);
            assert_eq!(of(Reduction::Minimum), f64::INFINITY);
        }
    }

    #[test]
    fn an_extremum_with_nan_is_nan_wherever_it_stands() {
        for inner in [1, 3] {
            for at in [0, 20, 36] {
                let mut x = vec![1.0; 37 * inner];
                x[at * inner] = f64::NAN;
                let mut out = vec![0.0; inner];
                let extent = AxisExtent { outer: 1, axis: 37, inner };
                reduce(Reduction::Maximum, extent, View::F64(&x), ViewMut::F64(&mut out)).unwrap();
                assert!(out[0].is_nan());
                reduce(Reduction::Minimum, extent, View::F64(&x), ViewMut::F64(&mut out)).unwrap();
                assert!(out[0].is_nan());
            }
        }
    }

    #[test]
    fn the_first_of_equal_extrema_takes_the_gradient() {
        let extent = AxisExtent { outer: 2, axis: 3, inner: 2 };
        let x = [1.0, 5.0, 3.0, 5.0, 3.0, 0.0, 7.0, 7.0, 8.0, 9.0, 7.0, 9.0];
        let mut grad_x = [-1.0; 12];
        let (out, grad_out) = ([3.0, 5.0, 8.0, 9.0], [1.0, 2.0, 3.0, 4.0]);
        extremum_backward(
            extent,
            View::F64(&x),
            View::F64(&out),
            View::F64(&grad_out),
            ViewMut::F64(&mut grad_x),
        )
        .unwrap();
        assert_eq!(grad_x, [0.0, 2.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3.0, 4.0, 0.0, 0.0]);
    }

    #[test]
    fn expansion_repeats_along_the_axis() {
        for (outer, axis, inner) in EXTENTS {
            let x = normals(2, outer * inner);
            let out = same_on_any_threads(|| {
                let mut out = vec![0f32; outer * axis * inner];
                expand(
                    0.5,
                    AxisExtent { outer, axis, inner },
                    View::F32(&x),
                    ViewMut::F32(&mut out),
                )
                .unwrap();
                out
            });
            assert!(
                out.iter()
                    .enumerate()
                    .all(|(i, &out)| out == 0.5 * x[i / (axis * inner) * inner + i % inner])
            );
        }
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused() {
        let extent = AxisExtent { outer: 2, axis: 3, inner: 4 };
        let error =
            reduce(Reduction::Sum, extent, View::F32(&[0.0; 23]), ViewMut::F32(&mut [0.0; 8]))
                .unwrap_err();
        assert_eq!(error.to_string(), "reduce: x has 23 elements, 2 × 3 × 4 need 24");
    }

    #[test]
    fn sums_of_squares_agree_with_f64() {
        for len in [0, 1, 17, 4099, 150_001] {
            let x = normals(1, len);
            let out = same_on_any_threads(|| {
                let mut out = [9f32];
                sum_of_squares(View::F32(&x), ViewMut::F32(&mut out)).unwrap();
                out
            });
            let expected: f64 = x.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
            assert_close("out", &out, &[expected], 1e-7);
        }
    }
}

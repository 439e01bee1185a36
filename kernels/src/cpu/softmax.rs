//! Log-sum-exp and softmax along an axis, with their adjoints.
//!
//! Rows (the axis is the last one) are treated one by one. Elsewhere log-sum-exp works on strips of
//! neighbouring columns, and the others on slabs: all of the axis for one outer index, position by
//! position.

use super::lanes::{larger, map, maximum, sum, sum_of, update};
use super::parallel::{HEAVY, Rows, for_each_block, rows};
use super::real::Real;
use super::reduce::{STRIP, Strip, for_each_column_block, for_each_strip};
use super::typed::{Extent, Float, check, for_float, operands};
use crate::{AxisExtent, Result, View, ViewMut};

/// `log_sum_exp`, as declared.
pub(super) fn log_sum_exp(extent: AxisExtent, x: View<'_>, out: ViewMut<'_>) -> Result<()> {
    const NAME: &str = "log_sum_exp";
    check(NAME, Extent::Axis(extent), operands!(x))?;
    check(NAME, Extent::AroundAxis(extent), operands!(out))?;
    for_float!(NAME, (x, out) => log_sum_exp_slices(extent, x, out));
    Ok(())
}

fn log_sum_exp_slices<T: Float>(extent: AxisExtent, x: &[T], out: &mut [T]) {
    if extent.inner == 1 && extent.axis > 0 {
        let parts = (rows(x, extent.axis), out);
        return for_each_block(
            extent.outer,
            extent.axis * HEAVY,
            parts,
            |_, (Rows { slice: x, .. }, out)| {
                T::vectorised(
                    #[inline(always)]
                    || {
                        for (x, out) in x.chunks_exact(extent.axis).zip(out) {
                            *out = log_sum_exp_of_row(x);
                        }
                    },
                );
            },
        );
    }
    for_each_column_block(extent, HEAVY, out, |range, out| {
        for_each_strip(extent, range.start, out, |strip, out| {
            T::vectorised(
                #[inline(always)]
                || log_sum_exp_of_strip(strip, x, out),
            );
        });
    });
}

/// m + ln Σ exp(x − m), with m the largest element; m itself where it is infinite or NaN.
#[inline(always)]
pub(super) fn log_sum_exp_of_row<T: Real>(x: &[T]) -> T {
    let largest = maximum(x);
    if !largest.to_f64().is_finite() {
        return largest;
    }
    let total = sum_of(
        [x],
        #[inline(always)]
        |[x]| (x - largest).exp(),
    );
    largest + T::from_f64(total).ln()
}

#[inline(always)]
fn log_sum_exp_of_strip<T: Float>(strip: Strip, x: &[T], out: &mut [T]) {
    let mut totals = [T::ZERO; STRIP];
    out.fill(T::NEG_INFINITY);
    for at in 0..strip.axis() {
        update(
            [strip.row(x, at)],
            out,
            #[inline(always)]
            |out, [x]| larger(x, out),
        );
    }
    let totals = &mut totals[..out.len()];
    for at in 0..strip.axis() {
        update(
            [strip.row(x, at), out],
            totals,
            #[inline(always)]
            |total, [x, largest]| total + (x - largest).exp(),
        );
    }
    update(
        [&*totals],
        out,
        #[inline(always)]
        |largest, [total]| {
            let finite = largest.abs() < -T::NEG_INFINITY;
            let sum = largest + total.ln();
            if finite { sum } else { largest }
        },
    );
}

/// `log_sum_exp_backward`, as declared.
pub(super) fn log_sum_exp_backward(
    extent: AxisExtent,
    x: View<'_>,
    out: View<'_>,
    grad_out: View<'_>,
    grad_x: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "log_sum_exp_backward";
    check(NAME, Extent::Axis(extent), operands!(x, grad_x))?;
    check(NAME, Extent::AroundAxis(extent), operands!(out, grad_out))?;
    for_float!(NAME, (x, out, grad_out, grad_x) =>
        log_sum_exp_backward_slices(extent, x, out, grad_out, grad_x));
    Ok(())
}

fn log_sum_exp_backward_slices<T: Float>(
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
    for_each_block(extent.outer, slab * HEAVY, parts, |_, (x, out, grad_out, grad_x)| {
        let results =
            out.slice.chunks_exact(extent.inner).zip(grad_out.slice.chunks_exact(extent.inner));
        let slabs = x.slice.chunks_exact(slab).zip(grad_x.slice.chunks_exact_mut(slab));
        for ((x, grad_x), (out, grad_out)) in slabs.zip(results) {
            T::vectorised(
                #[inline(always)]
                || log_sum_exp_backward_of_slab(extent, x, out, grad_out, grad_x),
            );
        }
    });
}

#[inline(always)]
fn log_sum_exp_backward_of_slab<T: Float>(
    extent: AxisExtent,
    x: &[T],
    out: &[T],
    grad_out: &[T],
    grad_x: &mut [T],
) {
    if extent.inner == 1 {
        let (out, grad_out) = (out[0], grad_out[0]);
        return map(
            [x],
            grad_x,
            #[inline(always)]
            |[x]| weight(x, out, grad_out),
        );
    }
    for (x, grad_x) in x.chunks_exact(extent.inner).zip(grad_x.chunks_exact_mut(extent.inner)) {
        map(
            [x, out, grad_out],
            grad_x,
            #[inline(always)]
            |[x, out, grad_out]| weight(x, out, grad_out),
        );
    }
}

/// grad_out · exp(x − out), 0 where out is −∞.
#[inline(always)]
fn weight<T: Real>(x: T, out: T, grad_out: T) -> T {
    let value = grad_out * (x - out).exp();
    if out == T::NEG_INFINITY { T::ZERO } else { value }
}

/// The four primitives that write as much as they read, seen as one: x (or out) and grad_out in,
/// one array out.
#[derive(Clone, Copy)]
enum Variant {
    Softmax,
    SoftmaxBackward,
    LogSoftmax,
    LogSoftmaxBackward,
}

/// `softmax`, as declared.
pub(super) fn softmax(extent: AxisExtent, x: View<'_>, out: ViewMut<'_>) -> Result<()> {
    run("softmax", Variant::Softmax, extent, x, None, out)
}

/// `softmax_backward`, as declared.
pub(super) fn softmax_backward(
    extent: AxisExtent,
    out: View<'_>,
    grad_out: View<'_>,
    grad_x: ViewMut<'_>,
) -> Result<()> {
    run("softmax_backward", Variant::SoftmaxBackward, extent, out, Some(grad_out), grad_x)
}

/// `log_softmax`, as declared.
pub(super) fn log_softmax(extent: AxisExtent, x: View<'_>, out: ViewMut<'_>) -> Result<()> {
    run("log_softmax", Variant::LogSoftmax, extent, x, None, out)
}

/// `log_softmax_backward`, as declared.
pub(super) fn log_softmax_backward(
    extent: AxisExtent,
    out: View<'_>,
    grad_out: View<'_>,
    grad_x: ViewMut<'_>,
) -> Result<()> {
    run("log_softmax_backward", Variant::LogSoftmaxBackward, extent, out, Some(grad_out), grad_x)
}

fn run(
    name: &'static str,
    variant: Variant,
    extent: AxisExtent,
    x: View<'_>,
    grad_out: Option<View<'_>>,
    out: ViewMut<'_>,
) -> Result<()> {
    check(name, Extent::Axis(extent), operands!(x, grad_out, out))?;
    for_float!(name, (x, grad_out, out) => run_slices(variant, extent, x, grad_out, out));
    Ok(())
}

fn run_slices<T: Float>(
    variant: Variant,
    extent: AxisExtent,
    x: &[T],
    grad_out: Option<&[T]>,
    out: &mut [T],
) {
    let slab = extent.axis * extent.inner;
    if slab == 0 {
        return;
    }
    // Forward has no adjoint to read; a second look at x in its place saves a branch in each loop.
    let parts = (rows(x, slab), rows(grad_out.unwrap_or(x), slab), rows(out, slab));
    for_each_block(extent.outer, slab * HEAVY, parts, |_, (x, grad_out, out)| {
        let inputs = x.slice.chunks_exact(slab).zip(grad_out.slice.chunks_exact(slab));
        for ((x, grad_out), out) in inputs.zip(out.slice.chunks_exact_mut(slab)) {
            T::vectorised(
                #[inline(always)]
                || {
                    if extent.inner == 1 {
                        run_row(variant, x, grad_out, out);
                    } else {
                        run_slab(variant, extent.inner, x, grad_out, out);
                    }
                },
            );
        }
    });
}

#[inline(always)]
fn run_row<T: Float>(variant: Variant, x: &[T], grad_out: &[T], out: &mut [T]) {
    match variant {
        Variant::Softmax => {
            let largest = maximum(x);
            map(
                [x],
                out,
                #[inline(always)]
                |[x]| (x - largest).exp(),
            );
            let factor = T::from_f64(1.0 / sum(out));
            for out in out {
                *out = *out * factor;
            }
        }
        Variant::SoftmaxBackward => {
            let inner_product = T::from_f64(sum_of(
                [x, grad_out],
                #[inline(always)]
                |[x, grad]| x * grad,
            ));
            map(
                [x, grad_out],
                out,
                #[inline(always)]
                |[x, grad]| x * (grad - inner_product),
            );
        }
        Variant::LogSoftmax => {
            let normaliser = log_sum_exp_of_row(x);
            map(
                [x],
                out,
                #[inline(always)]
                |[x]| x - normaliser,
            );
        }
        Variant::LogSoftmaxBackward => {
            let total = T::from_f64(sum(grad_out));
            map(
                [x, grad_out],
                out,
                #[inline(always)]
                |[x, grad]| grad - x.exp() * total,
            );
        }
    }
}

/// The same for an axis before others: strips of columns, with one running value for each column.
#[inline(always)]
fn run_slab<T: Float>(variant: Variant, inner: usize, x: &[T], grad_out: &[T], out: &mut [T]) {
    for start in (0..inner).step_by(STRIP) {
        let end = inner.min(start + STRIP);
        let mut running = [T::ZERO; STRIP];
        let running = &mut running[..end - start];
        let pairs = || {
            x.chunks_exact(inner)
                .map(|x| &x[start..end])
                .zip(grad_out.chunks_exact(inner).map(|grad| &grad[start..end]))
        };
        match variant {
            Variant::Softmax | Variant::LogSoftmax => {
                let strip = Strip::of_slab(
                    AxisExtent { outer: 1, axis: x.len() / inner, inner },
                    start,
                    end - start,
                );
                log_sum_exp_of_strip(strip, x, running);
            }
            Variant::SoftmaxBackward => {
                for (x, grad) in pairs() {
                    update(
                        [x, grad],
                        running,
                        #[inline(always)]
                        |total, [x, grad]| total + x * grad,
                    );
                }
            }
            Variant::LogSoftmaxBackward => {
                for (_, grad) in pairs() {
                    update(
                        [grad],
                        running,
                        #[inline(always)]
                        |total, [grad]| total + grad,
                    );
                }
            }
        }
        for ((x, grad), out) in pairs().zip(out.chunks_exact_mut(inner)) {
            finish_row(variant, x, grad, running, &mut out[start..end]);
        }
    }
}

/// What each element becomes, given the running value of its column.
#[inline(always)]
fn finish_row<T: Float>(variant: Variant, x: &[T], grad_out: &[T], running: &[T], out: &mut [T]) {
    match variant {
        Variant::Softmax => map(
            [x, running],
            out,
            #[inline(always)]
            |[x, normaliser]| (x - normaliser).exp(),
        ),
        Variant::SoftmaxBackward => map(
            [x, grad_out, running],
            out,
            #[inline(always)]
            |[x, grad, inner_product]| x * (grad - inner_product),
        ),
        Variant::LogSoftmax => map(
            [x, running],
            out,
            #[inline(always)]
            |[x, normaliser]| x - normaliser,
        ),
        Variant::LogSoftmaxBackward => map(
            [x, grad_out, running],
            out,
            #[inline(always)]
            |[x, grad, total]| grad - x.exp() * total,
        ),
    }
}

#[cfg(test)]
mod tests;

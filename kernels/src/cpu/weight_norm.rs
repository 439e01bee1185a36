//! Weight normalisation: each channel of a weight scaled to the length that its gain says.
//!
//! A weight is seen as [outer, channels, inner]. Where the channels are the last axis (inner = 1),
//! neighbouring channels are summed side by side down the rows; elsewhere each channel is made of
//! `outer` runs of `inner` numbers.

use std::ops::Range;

use super::lanes::{sum_of, update};
use super::parallel::{BLOCK_WORK, ColumnsMut, LIGHT, Parts, for_each_block_of};
use super::reduce::{ROWS_PER_PARTIAL, STRIP, Strip};
use super::typed::{Extent, Float, check, for_float, operands};
use crate::{AxisExtent, Result, View, ViewMut};

/// Channels that a task takes at least: a cache line of f32, so that no two tasks write to one line
/// of a row.
const MIN_CHANNELS: usize = 16;

/// `weight_norm`, as declared.
pub(super) fn weight_norm(
    extent: AxisExtent,
    v: View<'_>,
    gain: View<'_>,
    out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "weight_norm";
    check(NAME, Extent::Axis(extent), operands!(v, out))?;
    check(NAME, Extent::Elements(extent.axis), operands!(gain))?;
    for_float!(NAME, (v, gain, out) => normalise(extent, v, gain, out));
    Ok(())
}

fn normalise<T: Float>(extent: AxisExtent, v: &[T], gain: &[T], out: &mut [T]) {
    for_each_channel_block(extent, Channels::new(out, extent), |range, mut out| {
        T::vectorised(
            #[inline(always)]
            || {
                for strip in strips(range.clone()) {
                    let mut factors = [T::ZERO; STRIP];
                    let squares = products(extent, &strip, v, v);
                    for ((factor, square), &gain) in
                        factors.iter_mut().zip(squares).zip(&gain[strip.clone()])
                    {
                        *factor = T::from_f64(gain.to_f64() / square.sqrt());
                    }
                    for outer in 0..extent.outer {
                        let out =
                            out.run(outer, strip.start - range.start..strip.end - range.start);
                        let v = run(extent, v, outer, &strip);
                        scale(extent.inner, &factors[..strip.len()], v, out, only_new);
                    }
                }
            },
        );
    });
}

/// `weight_norm_backward`, as declared.
pub(super) fn weight_norm_backward(
    extent: AxisExtent,
    v: View<'_>,
    gain: View<'_>,
    grad_out: View<'_>,
    grad_v: Option<ViewMut<'_>>,
    grad_gain: Option<ViewMut<'_>>,
) -> Result<()> {
    const NAME: &str = "weight_norm_backward";
    check(NAME, Extent::Axis(extent), operands!(v, grad_out, grad_v))?;
    check(NAME, Extent::Elements(extent.axis), operands!(gain, grad_gain))?;
    for_float!(NAME, (v, gain, grad_out, grad_v, grad_gain) =>
        adjoints(extent, [v, gain, grad_out], grad_v, grad_gain));
    Ok(())
}

/// grad_v = a·grad_out + b·v with a = gain/n and b = −gain·⟨grad_out, v⟩/n³ of the channel.
fn adjoints<T: Float>(
    extent: AxisExtent,
    [v, gain, grad_out]: [&[T]; 3],
    grad_v: Option<&mut [T]>,
    grad_gain: Option<&mut [T]>,
) {
    let parts = (grad_v.map(|grad_v| Channels::new(grad_v, extent)), grad_gain);
    for_each_channel_block(extent, parts, |range, (mut grad_v, mut grad_gain)| {
        T::vectorised(
            #[inline(always)]
            || {
                for strip in strips(range.clone()) {
                    let (squares, overlaps) =
                        (products(extent, &strip, v, v), products(extent, &strip, grad_out, v));
                    let (mut of_grad, mut of_v) = ([T::ZERO; STRIP], [T::ZERO; STRIP]);
                    for (at, channel) in strip.clone().enumerate() {
                        let norm = squares[at].sqrt();
                        let (gain, along) = (gain[channel].to_f64() / norm, overlaps[at] / norm);
                        of_grad[at] = T::from_f64(gain);
                        of_v[at] = T::from_f64(-gain * along / norm);
                        if let Some(grad_gain) = &mut grad_gain {
                            grad_gain[channel - range.start] = T::from_f64(along);
                        }
                    }
                    let Some(grad_v) = &mut grad_v else { continue };
                    for outer in 0..extent.outer {
                        let out =
                            grad_v.run(outer, strip.start - range.start..strip.end - range.start);
                        let (grad_out, v) =
                            (run(extent, grad_out, outer, &strip), run(extent, v, outer, &strip));
                        scale(extent.inner, &of_grad[..strip.len()], grad_out, out, only_new);
                        scale(extent.inner, &of_v[..strip.len()], v, out, sum);
                    }
                }
            },
        );
    });
}

/// The channels' numbers, for writing: a unit is one channel.
struct Channels<'a, T> {
    columns: ColumnsMut<'a, T>,
    inner: usize,
}

impl<'a, T> Channels<'a, T> {
    fn new(array: &'a mut [T], extent: AxisExtent) -> Self {
        Self { columns: ColumnsMut::new(array, extent.axis * extent.inner), inner: extent.inner }
    }

    /// The numbers of some channels in one outer index.
    #[inline(always)]
    fn run(&mut self, outer: usize, channels: Range<usize>) -> &mut [T] {
        &mut self.columns.row(outer)[channels.start * self.inner..channels.end * self.inner]
    }
}

impl<T: Send> Parts for Channels<'_, T> {
    fn cut(self, units: usize) -> (Self, Self) {
        let (first, rest) = self.columns.cut(units * self.inner);
        (Self { columns: first, inner: self.inner }, Self { columns: rest, inner: self.inner })
    }
}

/// Runs `body` for blocks of channels.
fn for_each_channel_block<P: Parts>(
    extent: AxisExtent,
    parts: P,
    body: impl Fn(Range<usize>, P) + Sync,
) {
    let work = (extent.outer * extent.inner * LIGHT).max(1);
    let block = (BLOCK_WORK / work).next_multiple_of(MIN_CHANNELS).max(MIN_CHANNELS);
    for_each_block_of(block, extent.axis, work, parts, body);
}

/// Up to [`STRIP`] channels at a time.
#[inline(always)]
fn strips(channels: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let end = channels.end;
    channels.step_by(STRIP).map(move |start| start..end.min(start + STRIP))
}

/// The run of some channels' numbers in one outer index.
#[inline(always)]
fn run<'a, T>(extent: AxisExtent, x: &'a [T], outer: usize, channels: &Range<usize>) -> &'a [T] {
    let row = outer * extent.axis;
    &x[(row + channels.start) * extent.inner..(row + channels.end) * extent.inner]
}

/// Σ_{o,i} a·b of each channel of a strip, in an order that depends on the sizes alone.
#[inline(always)]
fn products<T: Float>(
    extent: AxisExtent,
    channels: &Range<usize>,
    a: &[T],
    b: &[T],
) -> [f64; STRIP] {
    let mut totals = [0.0; STRIP];
    if extent.inner == 1 {
        let rows = AxisExtent { outer: 1, axis: extent.outer, inner: extent.axis };
        sum_down(Strip::of_slab(rows, channels.start, channels.len()), a, b, &mut totals);
        return totals;
    }
    for outer in 0..extent.outer {
        for (total, channel) in totals.iter_mut().zip(channels.clone()) {
            let both = [
                run(extent, a, outer, &(channel..channel + 1)),
                run(extent, b, outer, &(channel..channel + 1)),
            ];
            *total += sum_of(
                both,
                #[inline(always)]
                |[a, b]| a * b,
            );
        }
    }
    totals
}

/// Σ a·b down the rows of neighbouring columns; some rows in the type itself, then on in f64.
#[inline(always)]
fn sum_down<T: Float>(strip: Strip, a: &[T], b: &[T], totals: &mut [f64; STRIP]) {
    for start in (0..strip.axis()).step_by(ROWS_PER_PARTIAL) {
        let mut partial = [T::ZERO; STRIP];
        for at in start..strip.axis().min(start + ROWS_PER_PARTIAL) {
            for ((partial, &a), &b) in
                partial.iter_mut().zip(strip.row(a, at)).zip(strip.row(b, at))
            {
                *partial += a * b;
            }
        }
        for (total, partial) in totals.iter_mut().zip(partial) {
            *total += partial.to_f64();
        }
    }
}

/// What is new in the place of what was there.
#[inline(always)]
fn only_new<T>(_: T, new: T) -> T {
    new
}

/// What is new, added to what was there.
#[inline(always)]
fn sum<T: Float>(old: T, new: T) -> T {
    old + new
}

/// out = combine(out, factor[c] · x) for a strip of channels in one outer index; `x` and `out` are
/// their runs.
#[inline(always)]
fn scale<T: Float>(
    inner: usize,
    factors: &[T],
    x: &[T],
    out: &mut [T],
    combine: impl Fn(T, T) -> T,
) {
    if inner == 1 {
        return update(
            [x, factors],
            out,
            #[inline(always)]
            |out, [x, factor]| combine(out, factor * x),
        );
    }
    for ((x, out), &factor) in x.chunks_exact(inner).zip(out.chunks_exact_mut(inner)).zip(factors) {
        update(
            [x],
            out,
            #[inline(always)]
            |out, [x]| combine(out, factor * x),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_close, normals, positives, same_on_any_threads};
    use super::*;

    /// [outer, channels, inner] with few and many of each, and more than a strip of channels.
    const EXTENTS: [[usize; 3]; 7] =
        [[1, 1, 1], [5, 3, 1], [1031, 17, 1], [9, 300, 1], [9, 31, 16], [25, 5, 130], [2, 0, 3]];

    #[test]
    fn weights_and_their_adjoints_agree_with_f64_on_any_number_of_threads() {
        for [outer, axis, inner] in EXTENTS {
            let extent = AxisExtent { outer, axis, inner };
            let len = outer * axis * inner;
            let (v, gain, grad_out) = (normals(1, len), positives(2, axis), normals(3, len));
            let (out, grad_v, grad_gain) = same_on_any_threads(|| {
                let (mut out, mut grad_v, mut grad_gain) =
                    (vec![0f32; len], vec![0f32; len], vec![0f32; axis]);
                let (v, gain, grad_out) = (View::F32(&v), View::F32(&gain), View::F32(&grad_out));
                weight_norm(extent, v, gain, ViewMut::F32(&mut out)).unwrap();
                let grads = (ViewMut::F32(&mut grad_v), ViewMut::F32(&mut grad_gain));
                weight_norm_backward(extent, v, gain, grad_out, Some(grads.0), Some(grads.1))
                    .unwrap();
                (out, grad_v, grad_gain)
            });
            let channel_of = |i: usize| i / inner % axis;
            let (mut norms, mut along) = (vec![0.0; axis], vec![0.0; axis]);
            for i in 0..len {
                norms[channel_of(i)] += f64::from(v[i]).powi(2);
                along[channel_of(i)] += f64::from(v[i]) * f64::from(grad_out[i]);
            }
            norms.iter_mut().for_each(|norm| *norm = norm.sqrt());
            along.iter_mut().zip(&norms).for_each(|(along, norm)| *along /= norm);
            let factor = |c: usize| f64::from(gain[c]) / norms[c];
            let expected: Vec<f64> =
                (0..len).map(|i| factor(channel_of(i)) * f64::from(v[i])).collect();
            assert_close("out", &out, &expected, 1e-6);
            assert_close("grad_gain", &grad_gain, &along, 1e-5);
            let grad = |i: usize| {
                let c = channel_of(i);
                factor(c) * (f64::from(grad_out[i]) - along[c] * f64::from(v[i]) / norms[c])
            };
            assert_close("grad_v", &grad_v, &(0..len).map(grad).collect::<Vec<_>>(), 1e-5);
        }
    }

    #[test]
    fn gradients_that_are_not_wanted_are_left_out() {
        let extent = AxisExtent { outer: 2, axis: 1, inner: 1 };
        let (v, gain, grad_out) =
            (View::F32(&[3.0, 4.0]), View::F32(&[10.0]), View::F32(&[1.0, 2.0]));
        let (mut grad_v, mut grad_gain) = ([0f32; 2], [0f32; 1]);
        weight_norm_backward(extent, v, gain, grad_out, None, Some(ViewMut::F32(&mut grad_gain)))
            .unwrap();
        weight_norm_backward(extent, v, gain, grad_out, Some(ViewMut::F32(&mut grad_v)), None)
            .unwrap();
        // ‖v‖ = 5 and ⟨grad_out, v⟩ = 11: 11/5, and 10/5 · ((1, 2) − 11/25 · (3, 4)).
        assert_close("grad_gain", &grad_gain, &[2.2], 1e-6);
        assert_close("grad_v", &grad_v, &[-0.64, 0.48], 1e-6);
    }

    #[test]
    fn a_gain_for_each_channel_is_needed() {
        let extent = AxisExtent { outer: 2, axis: 3, inner: 1 };
        let error = weight_norm(
            extent,
            View::F32(&[1.0; 6]),
            View::F32(&[1.0; 2]),
            ViewMut::F32(&mut [0.0; 6]),
        );
        assert_eq!(
            error.unwrap_err().to_string(),
            "weight_norm: gain has 2 elements, 3 are needed"
        );
    }
}

//! One element at a time: functions of one number and their adjoints, functions of two with
//! broadcasting, and a·x + b·out.

use super::lanes::{larger, map, smaller, update};
use super::parallel::{HEAVY, LIGHT, for_each_block};
use super::real::Real;
use super::scalar::{Scalar, with_scalar};
use super::typed::{Extent, Float, check, for_float, operands};
use crate::function::binary_functions;
use crate::shape::Broadcast;
use crate::{
    BinaryFunction, DerivativeNeeds, Error, MAX_RANK, Result, UnaryFunction, View, ViewMut,
};

/// How much work one evaluation of a function is.
pub(super) const fn work_of(function: UnaryFunction) -> usize {
    if function.is_transcendental() { HEAVY } else { LIGHT }
}

/// `unary`, as declared.
pub(super) fn unary(function: UnaryFunction, x: View<'_>, out: ViewMut<'_>) -> Result<()> {
    const NAME: &str = "unary";
    check(NAME, Extent::Like("out", out.len()), operands!(x))?;
    for_float!(NAME, (x, out) => apply(function, x, out));
    Ok(())
}

fn apply<T: Float>(function: UnaryFunction, x: &[T], out: &mut [T]) {
    with_scalar!(T, function, |f| for_each_block(
        out.len(),
        work_of(function),
        (x, out),
        |_, (x, out)| {
            T::vectorised(
                #[inline(always)]
                || {
                    map(
                        [x],
                        out,
                        #[inline(always)]
                        |[x]| f.value(x),
                    );
                },
            );
        }
    ));
}

/// `unary_backward`, as declared.
pub(super) fn unary_backward(
    function: UnaryFunction,
    saved: View<'_>,
    grad_out: View<'_>,
    grad_x: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "unary_backward";
    let saved =
        if function.derivative_needs() == DerivativeNeeds::Nothing { grad_out } else { saved };
    check(NAME, Extent::Like("grad_x", grad_x.len()), operands!(saved, grad_out))?;
    for_float!(NAME, (saved, grad_out, grad_x) =>
        apply_derivative(function, saved, grad_out, grad_x));
    Ok(())
}

fn apply_derivative<T: Float>(
    function: UnaryFunction,
    saved: &[T],
    grad_out: &[T],
    grad_x: &mut [T],
) {
    let parts = (saved, grad_out, grad_x);
    with_scalar!(T, function, |f| for_each_block(
        parts.2.len(),
        work_of(function),
        parts,
        |_, (saved, grad_out, grad_x)| {
            T::vectorised(
                #[inline(always)]
                || {
                    map(
                        [saved, grad_out],
                        grad_x,
                        #[inline(always)]
                        |[saved, grad]| grad * f.derivative(saved),
                    );
                },
            );
        }
    ));
}

/// `scale_and_add`, as declared.
pub(super) fn scale_and_add(a: f64, x: View<'_>, b: f64, out: ViewMut<'_>) -> Result<()> {
    const NAME: &str = "scale_and_add";
    check(NAME, Extent::Like("out", out.len()), operands!(x))?;
    for_float!(NAME, (x, out) => scale_and_add_slices(a, x, b, out));
    Ok(())
}

fn scale_and_add_slices<T: Float>(a: f64, x: &[T], b: f64, out: &mut [T]) {
    let (a, b) = (T::from_f64(a), T::from_f64(b));
    for_each_block(out.len(), LIGHT, (x, out), |_, (x, out)| {
        T::vectorised(
            #[inline(always)]
            || {
                update(
                    [x],
                    out,
                    #[inline(always)]
                    |out, [x]| a * x + b * out,
                );
            },
        );
    });
}

/// `binary`, as declared.
pub(super) fn binary(
    function: BinaryFunction,
    broadcast: &Broadcast,
    left: View<'_>,
    right: View<'_>,
    out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "binary";
    check(NAME, Extent::Elements(broadcast.element_count()), operands!(out))?;
    if out.is_empty() {
        return Ok(());
    }
    for (name, strides, len) in [
        ("left", &broadcast.left_strides, left.len()),
        ("right", &broadcast.right_strides, right.len()),
    ] {
        let last: usize =
            broadcast.sizes.iter().zip(strides).map(|(size, stride)| (size - 1) * stride).sum();
        if last >= len {
            return Err(Error::argument(
                NAME,
                format!("{name} has {len} elements, its strides reach {}", last + 1),
            ));
        }
    }
    for_float!(NAME, (left, right, out) => binary_slices(function, broadcast, left, right, out));
    Ok(())
}

fn binary_slices<T: Float>(
    function: BinaryFunction,
    broadcast: &Broadcast,
    left: &[T],
    right: &[T],
    out: &mut [T],
) {
    /// The loop of each row of the table.
    macro_rules! choose {
        ({} $(
            $(#[$doc:meta])*
            $variant:ident { name: $name:literal, value: |$l:ident, $r:ident| $value:expr,
                $cl:literal }
        )+) => {
            match function {
                $(BinaryFunction::$variant => walk(
                    broadcast,
                    left,
                    right,
                    out,
                    #[inline(always)]
                    |$l, $r| $value,
                ),)+
            }
        };
    }
    binary_functions!(choose! {});
}

/// 1 for what holds, 0 for what does not.
#[inline(always)]
fn truth<T: Real>(holds: bool) -> T {
    if holds { T::ONE } else { T::ZERO }
}

/// Walks a broadcast: the innermost joined axis is a loop over slices or over one repeated element,
/// the others give its start.
fn walk<T: Float>(
    walk: &Broadcast,
    left: &[T],
    right: &[T],
    out: &mut [T],
    f: impl Fn(T, T) -> T + Sync,
) {
    const INNER: usize = MAX_RANK - 1;
    let width = walk.sizes[INNER];
    let steps = (walk.left_strides[INNER], walk.right_strides[INNER]);
    for_each_block(out.len(), LIGHT, out, |range, mut out| {
        T::vectorised(
            #[inline(always)]
            || {
                let (mut row, mut column) = (range.start / width, range.start % width);
                while !out.is_empty() {
                    let len = (width - column).min(out.len());
                    let (now, rest) = std::mem::take(&mut out).split_at_mut(len);
                    let (left_start, right_start) = starts_of_row(walk, row);
                    inner_loop(
                        steps,
                        &left[left_start + column * steps.0..],
                        &right[right_start + column * steps.1..],
                        now,
                        &f,
                    );
                    (out, row, column) = (rest, row + 1, 0);
                }
            },
        );
    });
}

#[inline(always)]
fn inner_loop<T: Real>(
    steps: (usize, usize),
    left: &[T],
    right: &[T],
    out: &mut [T],
    f: &impl Fn(T, T) -> T,
) {
    match steps {
        (1, 1) => map(
            [left, right],
            out,
            #[inline(always)]
            |[a, b]| f(a, b),
        ),
        (1, _) => {
            let b = right[0];
            map(
                [left],
                out,
                #[inline(always)]
                |[a]| f(a, b),
            );
        }
        (_, 1) => {
            let a = left[0];
            map(
                [right],
                out,
                #[inline(always)]
                |[b]| f(a, b),
            );
        }
        _ => out.fill(f(left[0], right[0])),
    }
}

/// Where both operands start in the `row`-th run of the innermost axis.
#[inline(always)]
fn starts_of_row(walk: &Broadcast, row: usize) -> (usize, usize) {
    let (mut rest, mut left, mut right) = (row, 0, 0);
    for axis in (0..MAX_RANK - 1).rev() {
        let size = walk.sizes[axis];
        if size > 1 {
            let position = rest % size;
            rest /= size;
            left += position * walk.left_strides[axis];
            right += position * walk.right_strides[axis];
        }
    }
    (left, right)
}

#[cfg(test)]
mod tests;

//! The adjoints of batch normalisation, with batch statistics or with given ones.

use super::super::elementwise::work_of;
use super::super::lanes::{Aligned, update};
use super::super::parallel::{ColumnsMut, LIGHT, for_each_block_of};
use super::super::scalar::{Scalar, with_activation};
use super::super::typed::{Extent, Float, NormVectors, check, for_float, operands};
use super::{Columns, Factors, PerColumn, WIDTH};
use crate::backend::{BatchNorm, BatchNormVectors};
use crate::{Result, View, ViewMut};

/// `Backend::batch_norm_backward`.
pub(in crate::cpu) fn batch_norm_backward(
    norm: &BatchNorm,
    x: View<'_>,
    vectors: BatchNormVectors<'_>,
    grad_out: View<'_>,
    grad_x: ViewMut<'_>,
    grad_scale: ViewMut<'_>,
    grad_shift: ViewMut<'_>,
) -> Result<()> {
    backward("batch_norm_backward", true, norm, x, vectors, grad_out, grad_x, grad_scale, grad_shift)
}

/// `Backend::normalise_backward`.
pub(in crate::cpu) fn normalise_backward(
    norm: &BatchNorm,
    x: View<'_>,
    vectors: BatchNormVectors<'_>,
    grad_out: View<'_>,
    grad_x: ViewMut<'_>,
    grad_scale: ViewMut<'_>,
    grad_shift: ViewMut<'_>,
) -> Result<()> {
    backward("normalise_backward", false, norm, x, vectors, grad_out, grad_x, grad_scale, grad_shift)
}

fn backward(
    name: &'static str,
    through_statistics: bool,
    norm: &BatchNorm,
    x: View<'_>,
    vectors: BatchNormVectors<'_>,
    grad_out: View<'_>,
    grad_x: ViewMut<'_>,
    grad_scale: ViewMut<'_>,
    grad_shift: ViewMut<'_>,
) -> Result<()> {
    check(name, Extent::Matrix(norm.matrix), operands!(x, grad_out, grad_x))?;
    check(name, Extent::Columns(norm.matrix.columns), operands!(vectors, grad_scale, grad_shift))?;
    for_float!(name, (x, vectors, grad_out, grad_x, grad_scale, grad_shift) => {
        backward_slices(through_statistics, norm, x, vectors, grad_out, grad_x, grad_scale, grad_shift);
    });
    Ok(())
}

fn backward_slices<T: Float>(
    through_statistics: bool,
    norm: &BatchNorm,
    x: &[T],
    vectors: NormVectors<'_, T>,
    grad_out: &[T],
    grad_x: &mut [T],
    grad_scale: &mut [T],
    grad_shift: &mut [T],
) {
    let matrix = norm.matrix;
    let work = matrix.rows * (2 * LIGHT + work_of(norm.activation));
    let parts = (ColumnsMut::new(grad_x, matrix.columns), grad_scale, grad_shift);
    for_each_block_of(WIDTH, matrix.columns, work, parts, |range, (mut grad_x, grad_scale, grad_shift)| {
        let factors = Factors::new(norm.epsilon, vectors.range(range.clone()));
        let columns = Columns::new(matrix, range);
        adjoint_sums(columns, norm, &factors, x, grad_out, &mut grad_x, grad_scale, grad_shift);
        finish_adjoint(columns, through_statistics, &factors, x, &mut grad_x, grad_scale, grad_shift);
    });
}

/// grad_scale and grad_shift; leaves g = grad_out · activation′ in `grad_x`.
fn adjoint_sums<T: Float>(
    columns: Columns,
    norm: &BatchNorm,
    factors: &Factors<T>,
    x: &[T],
    grad_out: &[T],
    grad_x: &mut ColumnsMut<'_, T>,
    grad_scale: &mut [T],
    grad_shift: &mut [T],
) {
    let [scale_sums, shift_sums] = with_activation!(T, norm.activation, |f| T::vectorised(
        #[inline(always)]
        || columns.sums(
            #[inline(always)]
            |rows, sums| {
                for row in rows {
                    add_adjoint_row(f, factors, columns.row(x, row), columns.row(grad_out, row), grad_x.row(row), sums);
                }
            },
        ),
    ));
    for (grad, sum) in grad_scale.iter_mut().zip(scale_sums.0).chain(grad_shift.iter_mut().zip(shift_sums.0)) {
        *grad = T::from_f64(sum);
    }
}

/// One row of [`adjoint_sums`].
#[inline(always)]
fn add_adjoint_row<T: Float>(
    f: impl Scalar<T>,
    factors: &Factors<T>,
    x: &[T],
    grad_out: &[T],
    grad_x: &mut [T],
    [scale_sums, shift_sums]: &mut [PerColumn<T>; 2],
) {
    let width = grad_x.len();
    let (x, grad_out) = (&x[..width], &grad_out[..width]);
    let (scale_sums, shift_sums) = (&mut scale_sums.0[..width], &mut shift_sums.0[..width]);
    let (mean, inverse_deviation) = (&factors.mean.0[..width], &factors.inverse_deviation.0[..width]);
    let (scale, shift) = (&factors.scale.0[..width], &factors.shift.0[..width]);
    for c in 0..width {
        let normalised = (x[c] - mean[c]) * inverse_deviation[c];
        let grad = grad_out[c] * f.slope_at(scale[c] * normalised + shift[c]);
        grad_x[c] = grad;
        scale_sums[c] += grad * normalised;
        shift_sums[c] += grad;
    }
}

/// From g to grad_x: scale/√(variance + ε) · (g − grad_shift/n − x̂·grad_scale/n), or without the last two for constant statistics.
fn finish_adjoint<T: Float>(
    columns: Columns,
    through_statistics: bool,
    factors: &Factors<T>,
    x: &[T],
    grad_x: &mut ColumnsMut<'_, T>,
    grad_scale: &[T],
    grad_shift: &[T],
) {
    let share = T::from_f64(if through_statistics { 1.0 / columns.matrix.rows as f64 } else { 0.0 });
    let zeros = Aligned([T::ZERO; WIDTH]);
    let (mut factor, mut slope, mut offset) = (zeros, zeros, zeros);
    for c in 0..columns.width {
        factor.0[c] = factors.scale.0[c] * factors.inverse_deviation.0[c];
        slope.0[c] = grad_scale[c] * share * factors.inverse_deviation.0[c];
        offset.0[c] = grad_shift[c] * share;
    }
    T::vectorised(
        #[inline(always)]
        || {
            for row in 0..columns.matrix.rows {
                update(
                    [columns.row(x, row), &factors.mean.0, &factor.0, &slope.0, &offset.0],
                    grad_x.row(row),
                    #[inline(always)]
                    |grad, [x, mean, factor, slope, offset]| factor * (grad - offset - (x - mean) * slope),
                );
            }
        },
    );
}

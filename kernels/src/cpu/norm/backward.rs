//! The adjoints of batch normalisation, with batch statistics or with given ones.

use super::super::elementwise::work_of;
use super::super::lanes::{map, tiles, update};
use super::super::parallel::LIGHT;
use super::super::scalar::{Scalar, with_activation};
use super::super::scratch::Scratch;
use super::super::typed::{Extent, Float, NormVectors, check, for_float, operands};
use super::bands::Bands;
use super::inverse_deviation;
use crate::backend::{BatchNorm, BatchNormVectors, Matrix};
use crate::{Result, View, ViewMut};

/// `batch_norm_backward`, as declared.
pub(in crate::cpu) fn batch_norm_backward(
    norm: &BatchNorm,
    x: View<'_>,
    vectors: BatchNormVectors<'_>,
    grad_out: View<'_>,
    grad_x: ViewMut<'_>,
    grad_scale: ViewMut<'_>,
    grad_shift: ViewMut<'_>,
) -> Result<()> {
    backward(
        "batch_norm_backward",
        true,
        norm,
        x,
        vectors,
        grad_out,
        grad_x,
        grad_scale,
        grad_shift,
    )
}

/// `normalise_backward`, as declared.
pub(in crate::cpu) fn normalise_backward(
    norm: &BatchNorm,
    x: View<'_>,
    vectors: BatchNormVectors<'_>,
    grad_out: View<'_>,
    grad_x: ViewMut<'_>,
    grad_scale: ViewMut<'_>,
    grad_shift: ViewMut<'_>,
) -> Result<()> {
    backward(
        "normalise_backward",
        false,
        norm,
        x,
        vectors,
        grad_out,
        grad_x,
        grad_scale,
        grad_shift,
    )
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
        let share = if through_statistics { 1.0 / norm.matrix.rows as f64 } else { 0.0 };
        let gradients = [grad_x, grad_scale, grad_shift];
        adjoints(norm.matrix, norm.epsilon, share, x, vectors, gradients,
            |bands, folded, sums, grad_x| {
                adjoint_sums(bands, norm, folded, vectors, x, grad_out, sums, grad_x);
            });
    });
    Ok(())
}

/// The adjoints of x, scale and shift. `sums_of` is told scale/√(variance + ε) of each column; it
/// gives Σ g·(x − mean) and Σ g of each column, band by band, and leaves g, the adjoint of the
/// normalised, scaled and shifted number, in `grad_x`. `share` is what the statistics owe to each
/// row, 1/rows or nothing.
pub(super) fn adjoints<T: Float>(
    matrix: Matrix,
    epsilon: f64,
    share: f64,
    x: &[T],
    vectors: NormVectors<'_, T>,
    [grad_x, grad_scale, grad_shift]: [&mut [T]; 3],
    sums_of: impl FnOnce(Bands, &[T], &mut [T], &mut [T]),
) {
    let columns = matrix.columns;
    let bands = Bands::new(matrix);
    let scratch_len = 4 * columns + bands.sums_len();
    let mut scratch = Scratch::take::<T>(scratch_len);
    let (inverse, rest) = scratch.as_mut_slice(scratch_len).split_at_mut(columns);
    let (folded, rest) = rest.split_at_mut(columns);
    let (slope, rest) = rest.split_at_mut(columns);
    let (offset, sums) = rest.split_at_mut(columns);
    inverse_deviation(epsilon, vectors.variance, inverse);
    map([inverse, vectors.scale], folded, |[inverse, scale]| scale * inverse);
    sums_of(bands, folded, sums, grad_x);
    let share = T::from_f64(share);
    for tile in tiles(columns) {
        let [products, grads] = bands.totals(sums, tile.clone());
        for (i, c) in tile.enumerate() {
            grad_scale[c] = T::from_f64(products.0[i]) * inverse[c];
            grad_shift[c] = T::from_f64(grads.0[i]);
            slope[c] = grad_scale[c] * share * inverse[c];
            offset[c] = grad_shift[c] * share;
        }
    }
    finish_adjoint(bands, x, [vectors.mean, folded, slope, offset], grad_x);
}

/// Σ g·(x − mean) and Σ g of each column, band by band; leaves g = grad_out · activation′ in
/// `grad_x`.
fn adjoint_sums<T: Float>(
    bands: Bands,
    norm: &BatchNorm,
    folded: &[T],
    vectors: NormVectors<'_, T>,
    x: &[T],
    grad_out: &[T],
    sums: &mut [T],
    grad_x: &mut [T],
) {
    let columns = folded.len();
    let work = LIGHT + work_of(norm.activation);
    let parts = (bands.cut_sums(sums), bands.cut(grad_x));
    with_activation!(T, norm.activation, |f| bands.for_each(
        work,
        parts,
        |band, (sums, grad_x)| {
            let rows = bands
                .of(x, band)
                .chunks_exact(columns)
                .zip(bands.of(grad_out, band).chunks_exact(columns));
            let (products, grads) = sums.slice.split_at_mut(columns);
            products.fill(T::ZERO);
            grads.fill(T::ZERO);
            T::vectorised(
                #[inline(always)]
                || {
                    for ((x, grad_out), grad_x) in rows.zip(grad_x.slice.chunks_exact_mut(columns))
                    {
                        add_adjoints_of_row(
                            f, folded, vectors, x, grad_out, grad_x, products, grads,
                        );
                    }
                },
            );
        }
    ));
}

/// g of one row, and what it adds to the sums.
#[inline(always)]
pub(super) fn add_adjoints_of_row<T: Float>(
    f: impl Scalar<T>,
    folded: &[T],
    vectors: NormVectors<'_, T>,
    x: &[T],
    grad_out: &[T],
    grad_x: &mut [T],
    products: &mut [T],
    grads: &mut [T],
) {
    let width = grad_x.len();
    let (x, grad_out) = (&x[..width], &grad_out[..width]);
    let (products, grads) = (&mut products[..width], &mut grads[..width]);
    let (mean, folded, shift) = (&vectors.mean[..width], &folded[..width], &vectors.shift[..width]);
    for c in 0..width {
        let deviation = x[c] - mean[c];
        let grad = grad_out[c] * f.derivative_at(deviation * folded[c] + shift[c]);
        grad_x[c] = grad;
        products[c] += grad * deviation;
        grads[c] += grad;
    }
}

/// From g to grad_x: folded · (g − offset − (x − mean) · slope), which is scale/√(variance + ε) ·
/// (g − grad_shift/n − x̂·grad_scale/n), or without the last two for constant statistics.
fn finish_adjoint<T: Float>(
    bands: Bands,
    x: &[T],
    [mean, folded, slope, offset]: [&[T]; 4],
    grad_x: &mut [T],
) {
    let columns = mean.len();
    bands.for_each(2 * LIGHT, bands.cut(grad_x), |band, grad_x| {
        T::vectorised(
            #[inline(always)]
            || {
                for (x, grad_x) in bands
                    .of(x, band)
                    .chunks_exact(columns)
                    .zip(grad_x.slice.chunks_exact_mut(columns))
                {
                    update(
                        [x, mean, folded, slope, offset],
                        grad_x,
                        #[inline(always)]
                        |grad, [x, mean, folded, slope, offset]| {
                            folded * (grad - offset - (x - mean) * slope)
                        },
                    );
                }
            },
        );
    });
}

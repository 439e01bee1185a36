//! Batch normalisation of a Gaussian head together with the head: what is normalised goes straight
//! to mean and variance.
//!
//! The bits are those of `batch_norm` followed by `gaussian_head`, in both directions.

use super::super::elementwise::work_of;
use super::super::lanes::map;
use super::super::parallel::LIGHT;
use super::super::scalar::{Identity, Softplus};
use super::super::scratch::Scratch;
use super::super::typed::{Extent, Float, NormVectors, Statistics, check, for_float, operands};
use super::backward::{add_adjoints_of_row, adjoints};
use super::bands::Bands;
use super::{find_statistics, fold_scale};
use crate::backend::{BatchNormVectors, BatchStatistics, NormalisedHead};
use crate::{Result, UnaryFunction, View, ViewMut};

/// `batch_norm_head`, as declared.
pub(in crate::cpu) fn batch_norm_head(
    head: &NormalisedHead,
    x: View<'_>,
    scale: View<'_>,
    shift: View<'_>,
    statistics: BatchStatistics<'_>,
    mean: ViewMut<'_>,
    variance: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "batch_norm_head";
    let joined = head.matrix.both_halves();
    check(NAME, Extent::Matrix(joined), operands!(x))?;
    check(NAME, Extent::Matrix(head.matrix), operands!(mean, variance))?;
    check(NAME, Extent::Columns(joined.columns), operands!(scale, shift, statistics))?;
    for_float!(NAME, (x, scale, shift, statistics, mean, variance) =>
        batch_norm_head_slices(head, x, scale, shift, statistics, mean, variance));
    Ok(())
}

fn batch_norm_head_slices<T: Float>(
    head: &NormalisedHead,
    x: &[T],
    scale: &[T],
    shift: &[T],
    statistics: Statistics<'_, T>,
    mean: &mut [T],
    variance: &mut [T],
) {
    let (joined, units) = (head.matrix.both_halves(), head.matrix.columns);
    let (bands, floor) = (Bands::new(joined), T::from_f64(head.floor));
    let [mean_of_batch, variance_of_batch] = find_statistics(bands, x, statistics);
    let vectors = NormVectors { mean: mean_of_batch, variance: variance_of_batch, scale, shift };
    let mut scratch = Scratch::take::<T>(joined.columns);
    let folded = fold_scale(head.epsilon, vectors, scratch.as_mut_slice(joined.columns));
    let halves = bands.halves();
    let parts = (halves.cut(mean), halves.cut(variance));
    bands.for_each(work_of(UnaryFunction::Softplus), parts, |band, (mean, variance)| {
        T::vectorised(
            #[inline(always)]
            || {
                let out =
                    mean.slice.chunks_exact_mut(units).zip(variance.slice.chunks_exact_mut(units));
                for (x, (mean, variance)) in bands.of(x, band).chunks_exact(2 * units).zip(out) {
                    map(
                        [
                            &x[..units],
                            &vectors.mean[..units],
                            &folded[..units],
                            &vectors.shift[..units],
                        ],
                        mean,
                        #[inline(always)]
                        |[x, mean, folded, shift]| (x - mean) * folded + shift,
                    );
                    map(
                        [
                            &x[units..],
                            &vectors.mean[units..],
                            &folded[units..],
                            &vectors.shift[units..],
                        ],
                        variance,
                        #[inline(always)]
                        |[x, mean, folded, shift]| ((x - mean) * folded + shift).softplus() + floor,
                    );
                }
            },
        );
    });
}

/// `batch_norm_head_backward`, as declared.
pub(in crate::cpu) fn batch_norm_head_backward(
    head: &NormalisedHead,
    x: View<'_>,
    vectors: BatchNormVectors<'_>,
    grad_mean: Option<View<'_>>,
    grad_variance: Option<View<'_>>,
    grad_x: ViewMut<'_>,
    grad_scale: ViewMut<'_>,
    grad_shift: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "batch_norm_head_backward";
    let joined = head.matrix.both_halves();
    check(NAME, Extent::Matrix(joined), operands!(x, grad_x))?;
    check(NAME, Extent::Matrix(head.matrix), operands!(grad_mean, grad_variance))?;
    check(NAME, Extent::Columns(joined.columns), operands!(vectors, grad_scale, grad_shift))?;
    for_float!(NAME, (x, vectors, grad_mean, grad_variance, grad_x, grad_scale, grad_shift) => {
        let share = 1.0 / joined.rows as f64;
        adjoints(joined, head.epsilon, share, x, vectors, [grad_x, grad_scale, grad_shift],
            |bands, folded, sums, grad_x| {
                head_sums(bands, folded, vectors, x, [grad_mean, grad_variance], sums, grad_x);
            });
    });
    Ok(())
}

/// Σ g·(x − mean) and Σ g of each column, band by band; leaves
/// g = [grad_mean | grad_variance · sigmoid(a)] in `grad_x`.
fn head_sums<T: Float>(
    bands: Bands,
    folded: &[T],
    vectors: NormVectors<'_, T>,
    x: &[T],
    [grad_mean, grad_variance]: [Option<&[T]>; 2],
    sums: &mut [T],
    grad_x: &mut [T],
) {
    let (columns, halves) = (folded.len(), bands.halves());
    let units = columns / 2;
    let (left, right) = (vectors.columns(0..units), vectors.columns(units..columns));
    let work = LIGHT + work_of(UnaryFunction::Softplus);
    let parts = (bands.cut_sums(sums), bands.cut(grad_x));
    bands.for_each(work, parts, |band, (sums, grad_x)| {
        sums.slice.fill(T::ZERO);
        let (products, grads) = sums.slice.split_at_mut(columns);
        let ((left_products, right_products), (left_grads, right_grads)) =
            (products.split_at_mut(units), grads.split_at_mut(units));
        let [grad_mean, grad_variance] =
            [grad_mean, grad_variance].map(|grad| grad.map(|grad| halves.of(grad, band)));
        T::vectorised(
            #[inline(always)]
            || {
                let rows = bands.of(x, band).chunks_exact(columns);
                for (row, (x, grad_x)) in
                    rows.zip(grad_x.slice.chunks_exact_mut(columns)).enumerate()
                {
                    let of_row = row * units..(row + 1) * units;
                    let (left_x, right_x) = grad_x.split_at_mut(units);
                    match grad_mean {
                        Some(grad) => add_adjoints_of_row(
                            Identity::new([0.0; 2]),
                            &folded[..units],
                            left,
                            &x[..units],
                            &grad[of_row.clone()],
                            left_x,
                            left_products,
                            left_grads,
                        ),
                        None => left_x.fill(T::ZERO),
                    }
                    match grad_variance {
                        Some(grad) => add_adjoints_of_row(
                            Softplus::new([0.0; 2]),
                            &folded[units..],
                            right,
                            &x[units..],
                            &grad[of_row],
                            right_x,
                            right_products,
                            right_grads,
                        ),
                        None => right_x.fill(T::ZERO),
                    }
                }
            },
        );
    });
}

//! Batch normalisation of the columns of a matrix, with its activation; the adjoints are in
//! `norm/backward.rs`.
//!
//! A task owns a band of whole rows: they lie one after the other in memory, so that hardware
//! fetches them ahead. (A task with some columns of all rows needs no sums of others, but its
//! pieces of rows lie a matrix row apart: on matrices that come from memory its passes took 1.4 to
//! 1.6 times as long.) The bands' sums are added in f64, in the order of the bands, so that the
//! order of every sum is fixed.

mod backward;
mod bands;
mod head;

use super::elementwise::work_of;
use super::gemm::{Epilogue, Finished};
use super::lanes::{map, tiles, update};
use super::matmul::check_product;
use super::parallel::LIGHT;
use super::scalar::{Scalar, with_activation};
use super::scratch::Scratch;
use super::typed::{Extent, Float, NormVectors, Statistics, check, for_float, operands};
use crate::backend::{BatchNorm, BatchNormVectors, BatchStatistics, Matrix};
use crate::{MatmulShape, Precision, Result, View, ViewMut};

pub(super) use backward::{batch_norm_backward, normalise_backward};
use bands::Bands;
pub(super) use head::{batch_norm_head, batch_norm_head_backward};

/// `column_statistics`, as declared.
pub(super) fn column_statistics(
    matrix: Matrix,
    x: View<'_>,
    mean: ViewMut<'_>,
    variance: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "column_statistics";
    check(NAME, Extent::Matrix(matrix), operands!(x))?;
    check(NAME, Extent::Columns(matrix.columns), operands!(mean, variance))?;
    for_float!(NAME, (x, mean, variance) => moments(Bands::new(matrix), x, mean, variance));
    Ok(())
}

/// `batch_norm`, as declared.
pub(super) fn batch_norm(
    norm: &BatchNorm,
    x: View<'_>,
    scale: View<'_>,
    shift: View<'_>,
    statistics: BatchStatistics<'_>,
    out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "batch_norm";
    check(NAME, Extent::Matrix(norm.matrix), operands!(x, out))?;
    check(NAME, Extent::Columns(norm.matrix.columns), operands!(scale, shift, statistics))?;
    for_float!(NAME, (x, scale, shift, statistics, out) =>
        batch_norm_slices(norm, x, scale, shift, statistics, out));
    Ok(())
}

fn batch_norm_slices<T: Float>(
    norm: &BatchNorm,
    x: &[T],
    scale: &[T],
    shift: &[T],
    statistics: Statistics<'_, T>,
    out: &mut [T],
) {
    let [mean, variance] = find_statistics(Bands::new(norm.matrix), x, statistics);
    normalise_slices(norm, x, NormVectors { mean, variance, scale, shift }, out);
}

/// Writes mean and variance of the columns of x, and moves the averages over batches, if there are
/// any; gives the two back.
fn find_statistics<'a, T: Float>(
    bands: Bands,
    x: &[T],
    statistics: Statistics<'a, T>,
) -> [&'a [T]; 2] {
    let Statistics { mean, variance, running } = statistics;
    moments(bands, x, mean, variance);
    if let Some(running) = running {
        move_average(running.mean, mean, running.weight);
        move_average(running.variance, variance, running.weight);
    }
    [mean, variance]
}

/// average ← (1 − weight) · average + weight · batch. With weight 1 even an average that is no
/// number is replaced.
fn move_average<T: Float>(average: &mut [T], batch: &[T], weight: f64) {
    if weight == 1.0 {
        return average.copy_from_slice(batch);
    }
    let (keep, add) = (T::from_f64(1.0 - weight), T::from_f64(weight));
    for (average, &batch) in average.iter_mut().zip(batch) {
        *average = keep * *average + add * batch;
    }
}

/// `matmul_normalise`, as declared.
pub(super) fn matmul_normalise(
    shape: MatmulShape,
    precision: Precision,
    left: View<'_>,
    right: View<'_>,
    norm: &BatchNorm,
    vectors: BatchNormVectors<'_>,
    out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "matmul_normalise";
    check_product(NAME, shape, precision, left, right, &out)?;
    check(NAME, Extent::Matrix(norm.matrix), &[("out", &out)])?;
    check(NAME, Extent::Columns(norm.matrix.columns), operands!(vectors))?;
    for_float!(NAME, (left, right, vectors, out) => {
        matmul_normalise_slices(shape, precision, left, right, norm, vectors, out);
    });
    Ok(())
}

fn matmul_normalise_slices<T: Float>(
    shape: MatmulShape,
    precision: Precision,
    left: &[T],
    right: &[T],
    norm: &BatchNorm,
    vectors: NormVectors<'_, T>,
    out: &mut [T],
) {
    let columns = norm.matrix.columns;
    let mut scratch = Scratch::take::<T>(columns);
    let folded = fold_scale(norm.epsilon, vectors, scratch.as_mut_slice(columns));
    let finish = |finished: Finished<'_, T>| normalise_in_place(norm, vectors, folded, finished);
    T::product(shape, precision, left, right, Epilogue::Then(&finish), out);
}

/// Normalises and activates a piece of a matrix.
fn normalise_in_place<T: Float>(
    norm: &BatchNorm,
    vectors: NormVectors<'_, T>,
    folded: &[T],
    Finished { first_column, mut elements }: Finished<'_, T>,
) {
    let columns = first_column..first_column + elements.width();
    let (mean, folded, shift) =
        (&vectors.mean[columns.clone()], &folded[columns.clone()], &vectors.shift[columns]);
    with_activation!(T, norm.activation, |f| T::vectorised(
        #[inline(always)]
        || {
            for row in 0..elements.rows() {
                update(
                    [mean, folded, shift],
                    elements.row(row),
                    #[inline(always)]
                    |x, [mean, folded, shift]| f.value((x - mean) * folded + shift),
                );
            }
        },
    ));
}

/// `normalise`, as declared.
pub(super) fn normalise(
    norm: &BatchNorm,
    x: View<'_>,
    vectors: BatchNormVectors<'_>,
    out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "normalise";
    check(NAME, Extent::Matrix(norm.matrix), operands!(x, out))?;
    check(NAME, Extent::Columns(norm.matrix.columns), operands!(vectors))?;
    for_float!(NAME, (x, vectors, out) => normalise_slices(norm, x, vectors, out));
    Ok(())
}

fn normalise_slices<T: Float>(
    norm: &BatchNorm,
    x: &[T],
    vectors: NormVectors<'_, T>,
    out: &mut [T],
) {
    let columns = norm.matrix.columns;
    let bands = Bands::new(norm.matrix);
    let mut scratch = Scratch::take::<T>(columns);
    let folded = fold_scale(norm.epsilon, vectors, scratch.as_mut_slice(columns));
    with_activation!(T, norm.activation, |f| bands.for_each(
        work_of(norm.activation),
        bands.cut(out),
        |band, out| {
            T::vectorised(
                #[inline(always)]
                || {
                    for (x, out) in bands
                        .of(x, band)
                        .chunks_exact(columns)
                        .zip(out.slice.chunks_exact_mut(columns))
                    {
                        map(
                            [x, vectors.mean, folded, vectors.shift],
                            out,
                            #[inline(always)]
                            |[x, mean, folded, shift]| f.value((x - mean) * folded + shift),
                        );
                    }
                },
            );
        }
    ));
}

/// 1/√(variance + ε), into `out`.
fn inverse_deviation<T: Float>(epsilon: f64, variance: &[T], out: &mut [T]) {
    T::vectorised(
        #[inline(always)]
        || {
            map(
                [variance],
                out,
                #[inline(always)]
                |[variance]| T::from_f64(1.0 / (variance.to_f64() + epsilon).sqrt()),
            );
        },
    );
}

/// scale/√(variance + ε), in `memory`.
fn fold_scale<'a, T: Float>(
    epsilon: f64,
    vectors: NormVectors<'_, T>,
    memory: &'a mut [T],
) -> &'a [T] {
    inverse_deviation(epsilon, vectors.variance, memory);
    for (folded, &scale) in memory.iter_mut().zip(vectors.scale) {
        *folded = scale * *folded;
    }
    memory
}

/// Mean and biased variance, from the deviations from a mean of some rows: Σ(x − p)²/n − (Σ(x −
/// p)/n)².
///
/// With p = 0 this loses all digits of a variance that is small beside the mean's square. With the
/// mean p of one band of B it loses little: rows that lie far from p make the variance itself at
/// least (1 − 1/B)/B of their squared distance.
fn moments<T: Float>(bands: Bands, x: &[T], mean: &mut [T], variance: &mut [T]) {
    let columns = mean.len();
    let mut sums = Scratch::take::<T>(bands.sums_len());
    let sums = sums.as_mut_slice(bands.sums_len());
    let pivot = mean_of_first_band(bands, x, mean);
    bands.for_each(2 * LIGHT, bands.cut_sums(sums), |band, sums| {
        let (deviations, squares) = sums.slice.split_at_mut(columns);
        T::vectorised(
            #[inline(always)]
            || add_deviations(bands.of(x, band), pivot, deviations, squares),
        );
    });
    T::vectorised(
        #[inline(always)]
        || {
            let count = bands.rows() as f64;
            for tile in tiles(columns) {
                let [deviations, squares] = bands.totals(sums, tile.clone());
                let totals = deviations.0.iter().zip(&squares.0);
                for ((mean, variance), (deviation, square)) in
                    mean[tile.clone()].iter_mut().zip(&mut variance[tile]).zip(totals)
                {
                    let (deviation, square) = (deviation / count, square / count);
                    *mean = T::from_f64(mean.to_f64() + deviation);
                    // Rounding must not make it negative; a NaN has to show.
                    let is_negative = square < deviation * deviation;
                    *variance =
                        T::from_f64(if is_negative { 0.0 } else { square - deviation * deviation });
                }
            }
        },
    );
}

/// The mean of each column over the first band.
fn mean_of_first_band<'a, T: Float>(bands: Bands, x: &[T], mean: &'a mut [T]) -> &'a [T] {
    let (band, columns) = (bands.of(x, 0), mean.len().max(1));
    mean.fill(T::ZERO);
    T::vectorised(
        #[inline(always)]
        || {
            for row in band.chunks_exact(columns) {
                update(
                    [row],
                    mean,
                    #[inline(always)]
                    |sum, [x]| sum + x,
                );
            }
            let count = T::from_f64((band.len() / columns) as f64);
            mean.iter_mut().for_each(|mean| *mean = *mean / count);
        },
    );
    mean
}

/// Σ(x − pivot) and Σ(x − pivot)² of each column over the rows of a band.
#[inline(always)]
fn add_deviations<T: Float>(band: &[T], pivot: &[T], deviations: &mut [T], squares: &mut [T]) {
    deviations.fill(T::ZERO);
    squares.fill(T::ZERO);
    for row in band.chunks_exact(pivot.len()) {
        add_deviations_of_row(row, pivot, deviations, squares);
    }
}

/// One row of [`add_deviations`].
#[inline(always)]
fn add_deviations_of_row<T: Float>(x: &[T], pivot: &[T], deviations: &mut [T], squares: &mut [T]) {
    let columns = pivot.len();
    let (x, deviations, squares) =
        (&x[..columns], &mut deviations[..columns], &mut squares[..columns]);
    for c in 0..columns {
        let deviation = x[c] - pivot[c];
        deviations[c] += deviation;
        squares[c] += deviation * deviation;
    }
}

#[cfg(test)]
mod tests;

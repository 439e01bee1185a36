//! Batch normalisation of the columns of a matrix, with its activation; the adjoints are in `norm/backward.rs`.
//!
//! A task owns a block of columns and walks down all rows, so that the order of every sum is fixed; its part of the matrix
//! stays in the second-level cache from one pass to the next. Sums run over [`ROWS_PER_PARTIAL`] rows in the type itself, then in f64.

mod backward;

use std::ops::Range;

use super::elementwise::work_of;
use super::lanes::{Aligned, map, update};
use super::matmul::{Epilogue, Finished, MatmulShape};
use super::parallel::{ColumnsMut, LIGHT, Parts, for_each_block_of};
use super::product::check_sizes;
use super::reduce::ROWS_PER_PARTIAL;
use super::scalar::{Scalar, with_activation};
use super::typed::{Extent, Float, NormVectors, Running, Statistics, check, for_float, operands};
use crate::backend::{BatchNorm, BatchNormVectors, BatchStatistics, Matrix};
use crate::{Result, View, ViewMut};

pub(super) use backward::{batch_norm_backward, normalise_backward};

/// Columns of a task: four cache lines of f32 in each row, which hardware prefetching takes for a stream.
const WIDTH: usize = 64;

/// Numbers for each column of a task.
type PerColumn<N> = Aligned<[N; WIDTH]>;

/// Rows summed before they are added to the running sums, which then pass through the cache a quarter as often.
const ROWS_AT_ONCE: usize = 4;

/// `Backend::column_statistics`.
pub(super) fn column_statistics(matrix: Matrix, x: View<'_>, mean: ViewMut<'_>, variance: ViewMut<'_>) -> Result<()> {
    const NAME: &str = "column_statistics";
    check(NAME, Extent::Matrix(matrix), operands!(x))?;
    check(NAME, Extent::Columns(matrix.columns), operands!(mean, variance))?;
    for_float!(NAME, (x, mean, variance) => column_moments(matrix, x, mean, variance));
    Ok(())
}

fn column_moments<T: Float>(matrix: Matrix, x: &[T], mean: &mut [T], variance: &mut [T]) {
    for_each_block_of(WIDTH, matrix.columns, matrix.rows * LIGHT, (mean, variance), |range, (mean, variance)| {
        moments(Columns::new(matrix, range), x, mean, variance);
    });
}

/// `Backend::batch_norm`.
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
    for_float!(NAME, (x, scale, shift, statistics, out) => batch_norm_slices(norm, x, scale, shift, statistics, out));
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
    let matrix = norm.matrix;
    let parts = (scale, shift, statistics, ColumnsMut::new(out, matrix.columns));
    let work = matrix.rows * (2 * LIGHT + work_of(norm.activation));
    for_each_block_of(WIDTH, matrix.columns, work, parts, |range, (scale, shift, statistics, mut out)| {
        let columns = Columns::new(matrix, range);
        let Statistics { mean, variance, running } = statistics;
        moments(columns, x, mean, variance);
        if let Some(running) = running {
            move_average(running.mean, mean, running.weight);
            move_average(running.variance, variance, running.weight);
        }
        normalise_columns(columns, norm, x, NormVectors { mean, variance, scale, shift }, &mut out);
    });
}

impl<T: Send> Parts for Statistics<'_, T> {
    #[inline]
    fn cut(self, units: usize) -> (Self, Self) {
        let (mean, variance, running) = (self.mean.cut(units), self.variance.cut(units), self.running.cut(units));
        (
            Self { mean: mean.0, variance: variance.0, running: running.0 },
            Self { mean: mean.1, variance: variance.1, running: running.1 },
        )
    }
}

impl<T: Send> Parts for Running<'_, T> {
    #[inline]
    fn cut(self, units: usize) -> (Self, Self) {
        let (mean, variance) = (self.mean.cut(units), self.variance.cut(units));
        (Self { mean: mean.0, variance: variance.0, ..self }, Self { mean: mean.1, variance: variance.1, ..self })
    }
}

/// average ← (1 − weight) · average + weight · batch. With weight 1 even an average that is no number is replaced.
fn move_average<T: Float>(average: &mut [T], batch: &[T], weight: f64) {
    if weight == 1.0 {
        return average.copy_from_slice(batch);
    }
    let (keep, add) = (T::from_f64(1.0 - weight), T::from_f64(weight));
    for (average, &batch) in average.iter_mut().zip(batch) {
        *average = keep * *average + add * batch;
    }
}

/// `Backend::matmul_normalise`.
pub(super) fn matmul_normalise(
    shape: MatmulShape,
    left: View<'_>,
    right: View<'_>,
    norm: &BatchNorm,
    vectors: BatchNormVectors<'_>,
    out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "matmul_normalise";
    check_sizes(NAME, shape, left, right, &out)?;
    check(NAME, Extent::Matrix(norm.matrix), &[("out", &out)])?;
    check(NAME, Extent::Columns(norm.matrix.columns), operands!(vectors))?;
    for_float!(NAME, (left, right, vectors, out) => {
        Float::product(shape, left, right, Epilogue::Then(&|finished| normalise_in_place(norm, vectors, finished)), out);
    });
    Ok(())
}

/// Normalises and activates a piece of a matrix.
fn normalise_in_place<T: Float>(norm: &BatchNorm, vectors: NormVectors<'_, T>, finished: Finished<'_, T>) {
    let Finished { mut first_column, elements: mut rest } = finished;
    while rest.width() > 0 {
        let width = rest.width().min(WIDTH);
        let (mut block, wider) = rest.cut(width);
        let factors = Factors::folded(norm.epsilon, vectors.range(first_column..first_column + width));
        with_activation!(T, norm.activation, |f| T::vectorised(
            #[inline(always)]
            || {
                for row in 0..block.rows() {
                    update(
                        [&factors.mean.0[..], &factors.scale.0, &factors.shift.0],
                        block.row(row),
                        #[inline(always)]
                        |x, [mean, scale, shift]| f.value((x - mean) * scale + shift),
                    );
                }
            },
        ));
        (first_column, rest) = (first_column + width, wider);
    }
}

/// `Backend::normalise`.
pub(super) fn normalise(norm: &BatchNorm, x: View<'_>, vectors: BatchNormVectors<'_>, out: ViewMut<'_>) -> Result<()> {
    const NAME: &str = "normalise";
    check(NAME, Extent::Matrix(norm.matrix), operands!(x, out))?;
    check(NAME, Extent::Columns(norm.matrix.columns), operands!(vectors))?;
    for_float!(NAME, (x, vectors, out) => normalise_slices(norm, x, vectors, out));
    Ok(())
}

fn normalise_slices<T: Float>(norm: &BatchNorm, x: &[T], vectors: NormVectors<'_, T>, out: &mut [T]) {
    let matrix = norm.matrix;
    let work = matrix.rows * work_of(norm.activation);
    for_each_block_of(WIDTH, matrix.columns, work, ColumnsMut::new(out, matrix.columns), |range, mut out| {
        normalise_columns(Columns::new(matrix, range.clone()), norm, x, vectors.range(range), &mut out);
    });
}

impl<'a, T> NormVectors<'a, T> {
    /// The vectors of some columns.
    #[inline(always)]
    fn range(&self, range: Range<usize>) -> NormVectors<'a, T> {
        NormVectors {
            mean: &self.mean[range.clone()],
            variance: &self.variance[range.clone()],
            scale: &self.scale[range.clone()],
            shift: &self.shift[range],
        }
    }
}

/// The columns of a task.
#[derive(Clone, Copy)]
struct Columns {
    matrix: Matrix,
    first: usize,
    width: usize,
}

impl Columns {
    #[inline(always)]
    fn new(matrix: Matrix, range: Range<usize>) -> Self {
        Self { matrix, first: range.start, width: range.len() }
    }

    /// Their part of a row of a whole matrix.
    #[inline(always)]
    fn row<'a, T>(&self, x: &'a [T], row: usize) -> &'a [T] {
        let start = row * self.matrix.columns + self.first;
        &x[start..start + self.width]
    }

    /// Sums over all rows of what `add` adds, for a group of up to four rows, to N running values per column.
    #[inline(always)]
    fn sums<T: Float, const N: usize>(
        &self,
        mut add: impl FnMut(Range<usize>, &mut [PerColumn<T>; N]),
    ) -> [PerColumn<f64>; N] {
        let mut totals = [Aligned([0.0; WIDTH]); N];
        for start in (0..self.matrix.rows).step_by(ROWS_PER_PARTIAL) {
            let mut partials = [Aligned([T::ZERO; WIDTH]); N];
            let end = self.matrix.rows.min(start + ROWS_PER_PARTIAL);
            for row in (start..end).step_by(ROWS_AT_ONCE) {
                add(row..end.min(row + ROWS_AT_ONCE), &mut partials);
            }
            for (totals, partials) in totals.iter_mut().zip(&partials) {
                for (total, partial) in totals.0.iter_mut().zip(&partials.0) {
                    *total += partial.to_f64();
                }
            }
        }
        totals
    }

    /// Σ f(x[r, c], y[c]) over all rows r, for each column c.
    #[inline(always)]
    fn sum_of<T: Float>(&self, x: &[T], y: &[T], f: impl Fn(T, T) -> T) -> PerColumn<f64> {
        let [sums] = self.sums(
            #[inline(always)]
            |rows, [sums]| {
                let sums = &mut sums.0[..self.width];
                if rows.len() == ROWS_AT_ONCE {
                    let row = rows.start;
                    return update(
                        [y, self.row(x, row), self.row(x, row + 1), self.row(x, row + 2), self.row(x, row + 3)],
                        sums,
                        #[inline(always)]
                        |sum, [y, a, b, c, d]| sum + ((f(a, y) + f(b, y)) + (f(c, y) + f(d, y))),
                    );
                }
                for row in rows {
                    update(
                        [y, self.row(x, row)],
                        sums,
                        #[inline(always)]
                        |sum, [y, x]| sum + f(x, y),
                    );
                }
            },
        );
        sums
    }
}

/// What the rows of a task have in common.
struct Factors<T> {
    mean: PerColumn<T>,
    /// 1/√(variance + ε).
    inverse_deviation: PerColumn<T>,
    scale: PerColumn<T>,
    shift: PerColumn<T>,
}

impl<T: Float> Factors<T> {
    #[inline(always)]
    fn new(epsilon: f64, vectors: NormVectors<'_, T>) -> Self {
        let width = vectors.mean.len();
        let zeros = Aligned([T::ZERO; WIDTH]);
        let mut factors = Self { mean: zeros, inverse_deviation: zeros, scale: zeros, shift: zeros };
        factors.mean.0[..width].copy_from_slice(vectors.mean);
        factors.scale.0[..width].copy_from_slice(vectors.scale);
        factors.shift.0[..width].copy_from_slice(vectors.shift);
        for (inverse, variance) in factors.inverse_deviation.0.iter_mut().zip(vectors.variance) {
            *inverse = T::from_f64(1.0 / (variance.to_f64() + epsilon).sqrt());
        }
        factors
    }

    /// The same with `scale` multiplied by `inverse_deviation`.
    #[inline(always)]
    fn folded(epsilon: f64, vectors: NormVectors<'_, T>) -> Self {
        let mut factors = Self::new(epsilon, vectors);
        for (scale, inverse) in factors.scale.0.iter_mut().zip(factors.inverse_deviation.0) {
            *scale = *scale * inverse;
        }
        factors
    }
}

/// Mean and biased variance, the variance from the deviations of a second pass.
fn moments<T: Float>(columns: Columns, x: &[T], mean: &mut [T], variance: &mut [T]) {
    T::vectorised(
        #[inline(always)]
        || {
            let count = columns.matrix.rows as f64;
            let sums = columns.sum_of(
                x,
                mean,
                #[inline(always)]
                |x, _| x,
            );
            for (mean, sum) in mean.iter_mut().zip(sums.0) {
                *mean = T::from_f64(sum / count);
            }
            let squares = columns.sum_of(
                x,
                mean,
                #[inline(always)]
                |x, mean| (x - mean) * (x - mean),
            );
            for (variance, square) in variance.iter_mut().zip(squares.0) {
                *variance = T::from_f64(square / count);
            }
        },
    );
}

fn normalise_columns<T: Float>(
    columns: Columns,
    norm: &BatchNorm,
    x: &[T],
    vectors: NormVectors<'_, T>,
    out: &mut ColumnsMut<'_, T>,
) {
    let factors = Factors::folded(norm.epsilon, vectors);
    with_activation!(T, norm.activation, |f| T::vectorised(
        #[inline(always)]
        || {
            for row in 0..columns.matrix.rows {
                map(
                    [columns.row(x, row), &factors.mean.0, &factors.scale.0, &factors.shift.0],
                    out.row(row),
                    #[inline(always)]
                    |[x, mean, scale, shift]| f.value((x - mean) * scale + shift),
                );
            }
        },
    ));
}

#[cfg(test)]
mod tests;

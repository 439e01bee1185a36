//! Log-densities of diagonal Gaussians and their adjoints; heads, samples and merges, KL and
//! log-ratio are in `gaussian/`.

use std::f64::consts::TAU;

mod kl;
mod log_ratio;
mod merge;

use super::lanes::{Aligned, TILE, map, map_2, or_scratch, sum_of, tiles, update};
use super::parallel::{HEAVY, LIGHT, Rows, for_each_block, rows};
use super::typed::{
    Extent, Float, Gaussian, GaussianAdjoint, check, for_float, operands, rows_before_repeat,
};
use crate::backend::{GaussianGradient, GaussianView, Matrix};
use crate::{Result, View, ViewMut};

pub(super) use kl::*;
pub(super) use log_ratio::*;
pub(super) use merge::*;

/// Row `row` of a matrix.
#[inline(always)]
pub(super) fn row_of<T>(x: &[T], columns: usize, row: usize) -> &[T] {
    &x[row * columns..(row + 1) * columns]
}

/// `gaussian_log_prob`, as declared.
pub(super) fn gaussian_log_prob(
    matrix: Matrix,
    repeat: usize,
    x: View<'_>,
    p: GaussianView<'_>,
    out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "gaussian_log_prob";
    let x_rows = rows_before_repeat(NAME, matrix.rows, repeat)?;
    check(NAME, Extent::Matrix(Matrix { rows: x_rows, ..matrix }), operands!(x))?;
    check(NAME, Extent::Matrix(matrix), operands!(p))?;
    check(NAME, Extent::Rows(matrix.rows), operands!(out))?;
    for_float!(NAME, (x, p, out) => log_prob(matrix, repeat, x, p, out));
    Ok(())
}

fn log_prob<T: Float>(matrix: Matrix, repeat: usize, x: &[T], p: Gaussian<'_, T>, out: &mut [T]) {
    let columns = matrix.columns;
    let constant = columns as f64 * TAU.ln();
    for_each_block(matrix.rows, columns * HEAVY, out, |range, out| {
        T::vectorised(
            #[inline(always)]
            || {
                for (row, out) in range.zip(out) {
                    let sum = sum_of(
                        [
                            row_of(x, columns, row / repeat),
                            row_of(p.mean, columns, row),
                            row_of(p.variance, columns, row),
                        ],
                        #[inline(always)]
                        |[x, mean, variance]| variance.ln() + (x - mean) * (x - mean) / variance,
                    );
                    *out = T::from_f64(-0.5 * (constant + sum));
                }
            },
        );
    });
}

/// `gaussian_log_prob_backward`, as declared.
pub(super) fn gaussian_log_prob_backward(
    matrix: Matrix,
    repeat: usize,
    x: View<'_>,
    p: GaussianView<'_>,
    grad_out: View<'_>,
    grad_x: Option<ViewMut<'_>>,
    grad_p: GaussianGradient<'_>,
) -> Result<()> {
    const NAME: &str = "gaussian_log_prob_backward";
    let x_rows = rows_before_repeat(NAME, matrix.rows, repeat)?;
    check(NAME, Extent::Matrix(Matrix { rows: x_rows, ..matrix }), operands!(x, grad_x))?;
    check(NAME, Extent::Matrix(matrix), operands!(p, grad_p))?;
    check(NAME, Extent::Rows(matrix.rows), operands!(grad_out))?;
    for_float!(NAME, (x, p, grad_out, grad_x, grad_p) => {
        log_prob_adjoint(matrix, repeat, x, p, grad_out, grad_x, grad_p);
    });
    Ok(())
}

fn log_prob_adjoint<T: Float>(
    matrix: Matrix,
    repeat: usize,
    x: &[T],
    p: Gaussian<'_, T>,
    grad_out: &[T],
    grad_x: Option<&mut [T]>,
    grad_p: GaussianAdjoint<'_, T>,
) {
    let (columns, width) = (matrix.columns, matrix.columns * repeat);
    let outputs = (rows(grad_x, columns), rows(grad_p.mean, width), rows(grad_p.variance, width));
    for_each_block(
        matrix.rows / repeat,
        width * HEAVY,
        outputs,
        |range, (mut grad_x, mut grad_mean, mut grad_variance)| {
            T::vectorised(
                #[inline(always)]
                || {
                    for (at, row) in range.enumerate() {
                        let p = Gaussian {
                            mean: row_of(p.mean, width, row),
                            variance: row_of(p.variance, width, row),
                        };
                        let grad_p = GaussianAdjoint {
                            mean: grad_mean.optional_row(at),
                            variance: grad_variance.optional_row(at),
                        };
                        let (x, grad_out) =
                            (row_of(x, columns, row), row_of(grad_out, repeat, row));
                        log_prob_adjoint_of_row(x, p, grad_out, grad_x.optional_row(at), grad_p);
                    }
                },
            );
        },
    );
}

/// The adjoints for one row of x and all the rows of the Gaussian that it serves.
#[inline(always)]
fn log_prob_adjoint_of_row<T: Float>(
    x: &[T],
    p: Gaussian<'_, T>,
    grad_out: &[T],
    mut grad_x: Option<&mut [T]>,
    mut grad_p: GaussianAdjoint<'_, T>,
) {
    let (mut scores, mut spare) = (Aligned([T::ZERO; TILE]), Aligned([T::ZERO; TILE]));
    let half = T::from_f64(0.5);
    for tile in tiles(x.len()) {
        if let Some(grad_x) = &mut grad_x {
            grad_x[tile.clone()].fill(T::ZERO);
        }
        for (repeat, &grad) in grad_out.iter().enumerate() {
            let row = tile.start + repeat * x.len()..tile.end + repeat * x.len();
            let scores = or_scratch(&mut grad_p.mean, row.clone(), &mut scores);
            let of_variance = or_scratch(&mut grad_p.variance, row.clone(), &mut spare);
            map_2(
                [&x[tile.clone()], &p.mean[row.clone()], &p.variance[row]],
                [&mut *scores, of_variance],
                #[inline(always)]
                |[x, mean, variance]| {
                    let precision = T::ONE / variance;
                    let score = (x - mean) * precision;
                    [grad * score, grad * half * ((x - mean) * score - T::ONE) * precision]
                },
            );
            if let Some(grad_x) = &mut grad_x {
                update(
                    [&*scores],
                    &mut grad_x[tile.clone()],
                    #[inline(always)]
                    |sum, [score]| sum - score,
                );
            }
        }
    }
}

/// `standard_normal_log_prob`, as declared.
pub(super) fn standard_normal_log_prob(
    matrix: Matrix,
    x: View<'_>,
    out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "standard_normal_log_prob";
    check(NAME, Extent::Matrix(matrix), operands!(x))?;
    check(NAME, Extent::Rows(matrix.rows), operands!(out))?;
    for_float!(NAME, (x, out) => standard_normal(matrix.columns, x, out));
    Ok(())
}

fn standard_normal<T: Float>(columns: usize, x: &[T], out: &mut [T]) {
    let constant = columns as f64 * TAU.ln();
    for_each_block(out.len(), columns * LIGHT, out, |range, out| {
        T::vectorised(
            #[inline(always)]
            || {
                for (row, out) in range.zip(out) {
                    let sum = sum_of(
                        [row_of(x, columns, row)],
                        #[inline(always)]
                        |[x]| x * x,
                    );
                    *out = T::from_f64(-0.5 * (constant + sum));
                }
            },
        );
    });
}

/// `standard_normal_log_prob_backward`, as declared.
pub(super) fn standard_normal_log_prob_backward(
    matrix: Matrix,
    x: View<'_>,
    grad_out: View<'_>,
    grad_x: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "standard_normal_log_prob_backward";
    check(NAME, Extent::Matrix(matrix), operands!(x, grad_x))?;
    check(NAME, Extent::Rows(matrix.rows), operands!(grad_out))?;
    for_float!(NAME, (x, grad_out, grad_x) =>
        standard_normal_adjoint(matrix.columns, x, grad_out, grad_x));
    Ok(())
}

fn standard_normal_adjoint<T: Float>(columns: usize, x: &[T], grad_out: &[T], grad_x: &mut [T]) {
    for_each_block(
        grad_out.len(),
        columns * LIGHT,
        rows(grad_x, columns),
        |range, mut grad_x: Rows<&mut [T]>| {
            T::vectorised(
                #[inline(always)]
                || {
                    for (at, row) in range.enumerate() {
                        let factor = -grad_out[row];
                        map(
                            [row_of(x, columns, row)],
                            grad_x.row(at),
                            #[inline(always)]
                            |[x]| factor * x,
                        );
                    }
                },
            );
        },
    );
}

#[cfg(test)]
mod tests;

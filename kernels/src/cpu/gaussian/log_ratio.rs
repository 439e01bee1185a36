//! The log-ratio of two diagonal Gaussians at a sample, and its adjoints.

use crate::backend::{GaussianGradient, GaussianView, Matrix};
use crate::cpu::lanes::{Aligned, TILE, map, map_4, or_scratch, sum_of, tiles};
use crate::cpu::parallel::{HEAVY, for_each_block, rows};
use crate::cpu::typed::{Extent, Float, Gaussian, GaussianAdjoint, check, for_float, operands};
use crate::{Result, View, ViewMut};

/// `gaussian_log_ratio`, as declared.
pub(in crate::cpu) fn gaussian_log_ratio(
    matrix: Matrix,
    z: View<'_>,
    q: GaussianView<'_>,
    p: Option<GaussianView<'_>>,
    out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "gaussian_log_ratio";
    check(NAME, Extent::Matrix(matrix), operands!(z, q, p))?;
    check(NAME, Extent::Rows(matrix.rows), operands!(out))?;
    for_float!(NAME, (z, q, p, out) => log_ratio(matrix.columns, z, q, p, out));
    Ok(())
}

fn log_ratio<T: Float>(
    columns: usize,
    z: &[T],
    q: Gaussian<'_, T>,
    p: Option<Gaussian<'_, T>>,
    out: &mut [T],
) {
    for_each_block(out.len(), columns * HEAVY, out, |range, out| {
        T::vectorised(
            #[inline(always)]
            || {
                for (row, out) in range.zip(out) {
                    let (z, q) = (&z[row * columns..(row + 1) * columns], q.row(columns, row));
                    let sum = match p {
                        Some(p) => log_ratio_of_row(z, q, p.row(columns, row)),
                        None => log_ratio_of_row_from_standard(z, q),
                    };
                    *out = T::from_f64(0.5 * sum);
                }
            },
        );
    });
}

/// Σ ln(vp/vq) + (z − mp)²/vp − (z − mq)²/vq: one logarithm for each unit.
#[inline(always)]
fn log_ratio_of_row<T: Float>(z: &[T], q: Gaussian<'_, T>, p: Gaussian<'_, T>) -> f64 {
    sum_of(
        [z, q.mean, q.variance, p.mean, p.variance],
        #[inline(always)]
        |[z, q_mean, q_variance, p_mean, p_variance]| {
            let (from_q, from_p) = (z - q_mean, z - p_mean);
            (p_variance / q_variance).ln() + from_p * from_p / p_variance
                - from_q * from_q / q_variance
        },
    )
}

#[inline(always)]
fn log_ratio_of_row_from_standard<T: Float>(z: &[T], q: Gaussian<'_, T>) -> f64 {
    sum_of(
        [z, q.mean, q.variance],
        #[inline(always)]
        |[z, mean, variance]| {
            let from_q = z - mean;
            z * z - variance.ln() - from_q * from_q / variance
        },
    )
}

/// `gaussian_log_ratio_backward`, as declared.
pub(in crate::cpu) fn gaussian_log_ratio_backward(
    matrix: Matrix,
    z: View<'_>,
    q: GaussianView<'_>,
    p: Option<GaussianView<'_>>,
    grad_out: View<'_>,
    grad_z: Option<ViewMut<'_>>,
    grad_q: GaussianGradient<'_>,
    grad_p: GaussianGradient<'_>,
) -> Result<()> {
    const NAME: &str = "gaussian_log_ratio_backward";
    check(NAME, Extent::Matrix(matrix), operands!(z, q, p, grad_z, grad_q, grad_p))?;
    check(NAME, Extent::Rows(matrix.rows), operands!(grad_out))?;
    for_float!(NAME, (z, q, p, grad_out, grad_z, grad_q, grad_p) => {
        log_ratio_adjoint(matrix.columns, Point { z, q, p }, grad_out,
            Adjoints { z: grad_z, q: grad_q, p: grad_p });
    });
    Ok(())
}

/// Where the ratio is taken; no `p` is the standard normal.
#[derive(Clone, Copy)]
struct Point<'a, T> {
    z: &'a [T],
    q: Gaussian<'a, T>,
    p: Option<Gaussian<'a, T>>,
}

/// Where its adjoints go.
struct Adjoints<'a, T> {
    z: Option<&'a mut [T]>,
    q: GaussianAdjoint<'a, T>,
    p: GaussianAdjoint<'a, T>,
}

fn log_ratio_adjoint<T: Float>(
    columns: usize,
    at: Point<'_, T>,
    grad_out: &[T],
    grad: Adjoints<'_, T>,
) {
    let outputs = (
        rows(grad.z, columns),
        (rows(grad.q.mean, columns), rows(grad.q.variance, columns)),
        (rows(grad.p.mean, columns), rows(grad.p.variance, columns)),
    );
    for_each_block(
        grad_out.len(),
        columns * HEAVY,
        outputs,
        |range, (mut z, (mut q_mean, mut q_variance), (mut p_mean, mut p_variance))| {
            T::vectorised(
                #[inline(always)]
                || {
                    for (local, row) in range.enumerate() {
                        let q = GaussianAdjoint {
                            mean: q_mean.optional_row(local),
                            variance: q_variance.optional_row(local),
                        };
                        let p = GaussianAdjoint {
                            mean: p_mean.optional_row(local),
                            variance: p_variance.optional_row(local),
                        };
                        let point = Point {
                            z: &at.z[row * columns..(row + 1) * columns],
                            q: at.q.row(columns, row),
                            p: at.p.map(|p| p.row(columns, row)),
                        };
                        adjoint_of_row(
                            point,
                            grad_out[row],
                            Adjoints { z: z.optional_row(local), q, p },
                        );
                    }
                },
            );
        },
    );
}

#[inline(always)]
fn adjoint_of_row<T: Float>(at: Point<'_, T>, grad: T, mut out: Adjoints<'_, T>) {
    let (zeros, ones) = ([T::ZERO; TILE], [T::ONE; TILE]);
    let mut spare = [Aligned([T::ZERO; TILE]); 4];
    let half = T::from_f64(0.5) * grad;
    for tile in tiles(at.z.len()) {
        let standard = Gaussian { mean: &zeros[..tile.len()], variance: &ones[..tile.len()] };
        let (z, q) = (&at.z[tile.clone()], at.q.range(tile.clone()));
        let p = at.p.map_or(standard, |p| p.range(tile.clone()));
        let [spare_0, spare_1, spare_2, spare_3] = &mut spare;
        let [q_mean, q_variance, p_mean, p_variance] = [
            or_scratch(&mut out.q.mean, tile.clone(), spare_0),
            or_scratch(&mut out.q.variance, tile.clone(), spare_1),
            or_scratch(&mut out.p.mean, tile.clone(), spare_2),
            or_scratch(&mut out.p.variance, tile.clone(), spare_3),
        ];
        map_4(
            [z, q.mean, q.variance, p.mean, p.variance],
            [&mut *q_mean, q_variance, &mut *p_mean, p_variance],
            #[inline(always)]
            |[z, q_mean, q_variance, p_mean, p_variance]| {
                let (q_precision, p_precision) = (T::ONE / q_variance, T::ONE / p_variance);
                let (q_score, p_score) = ((z - q_mean) * q_precision, (z - p_mean) * p_precision);
                [
                    grad * q_score,
                    half * (q_score * q_score - q_precision),
                    -(grad * p_score),
                    half * (p_precision - p_score * p_score),
                ]
            },
        );
        // A shift of the sample and of both means together changes nothing.
        if let Some(grad_z) = &mut out.z {
            map(
                [&*q_mean, &*p_mean],
                &mut grad_z[tile],
                #[inline(always)]
                |[q_mean, p_mean]| -(q_mean + p_mean),
            );
        }
    }
}

//! The KL of two diagonal Gaussians, and its adjoints.

use super::row_of;
use crate::backend::{GaussianGradient, GaussianView, Matrix};
use crate::cpu::lanes::{Aligned, TILE, map_4, or_scratch, sum_of, tiles};
use crate::cpu::parallel::{HEAVY, for_each_block, rows};
use crate::cpu::typed::{Extent, Float, Gaussian, GaussianAdjoint, check, for_float, operands};
use crate::{Result, View, ViewMut};

/// `gaussian_kl`, as declared.
pub(in crate::cpu) fn gaussian_kl(
    matrix: Matrix,
    q: GaussianView<'_>,
    p: Option<GaussianView<'_>>,
    out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "gaussian_kl";
    check(NAME, Extent::Matrix(matrix), operands!(q, p))?;
    check(NAME, Extent::Rows(matrix.rows), operands!(out))?;
    for_float!(NAME, (q, p, out) => kl(matrix.columns, q, p, out));
    Ok(())
}

fn kl<T: Float>(columns: usize, q: Gaussian<'_, T>, p: Option<Gaussian<'_, T>>, out: &mut [T]) {
    for_each_block(out.len(), columns * HEAVY, out, |range, out| {
        T::vectorised(
            #[inline(always)]
            || {
                for (row, out) in range.zip(out) {
                    let q = q.row(columns, row);
                    let sum = match p {
                        Some(p) => kl_of_row(q, p.row(columns, row)),
                        None => kl_of_row_from_standard(q),
                    };
                    *out = T::from_f64(0.5 * sum);
                }
            },
        );
    });
}

impl<'a, T> Gaussian<'a, T> {
    /// The parameters of one row.
    #[inline(always)]
    pub(super) fn row(&self, columns: usize, row: usize) -> Gaussian<'a, T> {
        Gaussian {
            mean: row_of(self.mean, columns, row),
            variance: row_of(self.variance, columns, row),
        }
    }

    /// The parameters of some units.
    #[inline(always)]
    pub(super) fn range(&self, range: std::ops::Range<usize>) -> Gaussian<'a, T> {
        Gaussian { mean: &self.mean[range.clone()], variance: &self.variance[range] }
    }
}

/// Σ r − 1 − ln r + d²/vp with r = vq/vp: one logarithm and one division for each unit.
#[inline(always)]
fn kl_of_row<T: Float>(q: Gaussian<'_, T>, p: Gaussian<'_, T>) -> f64 {
    sum_of(
        [q.mean, q.variance, p.mean, p.variance],
        #[inline(always)]
        |[q_mean, q_variance, p_mean, p_variance]| {
            let precision = T::ONE / p_variance;
            let (ratio, distance) = (q_variance * precision, q_mean - p_mean);
            ratio - T::ONE - ratio.ln() + distance * distance * precision
        },
    )
}

#[inline(always)]
fn kl_of_row_from_standard<T: Float>(q: Gaussian<'_, T>) -> f64 {
    sum_of(
        [q.mean, q.variance],
        #[inline(always)]
        |[mean, variance]| variance - T::ONE - variance.ln() + mean * mean,
    )
}

/// `gaussian_kl_backward`, as declared.
pub(in crate::cpu) fn gaussian_kl_backward(
    matrix: Matrix,
    q: GaussianView<'_>,
    p: Option<GaussianView<'_>>,
    grad_out: View<'_>,
    grad_q: GaussianGradient<'_>,
    grad_p: GaussianGradient<'_>,
) -> Result<()> {
    const NAME: &str = "gaussian_kl_backward";
    check(NAME, Extent::Matrix(matrix), operands!(q, p, grad_q, grad_p))?;
    check(NAME, Extent::Rows(matrix.rows), operands!(grad_out))?;
    for_float!(NAME, (q, p, grad_out, grad_q, grad_p) =>
        kl_adjoint(matrix.columns, q, p, grad_out, grad_q, grad_p));
    Ok(())
}

fn kl_adjoint<T: Float>(
    columns: usize,
    q: Gaussian<'_, T>,
    p: Option<Gaussian<'_, T>>,
    grad_out: &[T],
    grad_q: GaussianAdjoint<'_, T>,
    grad_p: GaussianAdjoint<'_, T>,
) {
    let outputs = (
        (rows(grad_q.mean, columns), rows(grad_q.variance, columns)),
        (rows(grad_p.mean, columns), rows(grad_p.variance, columns)),
    );
    for_each_block(
        grad_out.len(),
        columns * HEAVY,
        outputs,
        |range, ((mut q_mean, mut q_variance), (mut p_mean, mut p_variance))| {
            T::vectorised(
                #[inline(always)]
                || {
                    for (at, row) in range.enumerate() {
                        let grad_q = GaussianAdjoint {
                            mean: q_mean.optional_row(at),
                            variance: q_variance.optional_row(at),
                        };
                        let grad_p = GaussianAdjoint {
                            mean: p_mean.optional_row(at),
                            variance: p_variance.optional_row(at),
                        };
                        let p = p.as_ref().map(|p| p.row(columns, row));
                        kl_adjoint_of_row(q.row(columns, row), p, grad_out[row], grad_q, grad_p);
                    }
                },
            );
        },
    );
}

#[inline(always)]
fn kl_adjoint_of_row<T: Float>(
    q: Gaussian<'_, T>,
    p: Option<Gaussian<'_, T>>,
    grad: T,
    mut grad_q: GaussianAdjoint<'_, T>,
    mut grad_p: GaussianAdjoint<'_, T>,
) {
    let (zeros, ones) = ([T::ZERO; TILE], [T::ONE; TILE]);
    let mut spare = [Aligned([T::ZERO; TILE]); 4];
    let half = T::from_f64(0.5) * grad;
    for tile in tiles(q.mean.len()) {
        let p = p
            .map_or(Gaussian { mean: &zeros[..tile.len()], variance: &ones[..tile.len()] }, |p| {
                p.range(tile.clone())
            });
        let q = q.range(tile.clone());
        let [spare_0, spare_1, spare_2, spare_3] = &mut spare;
        let outputs = [
            or_scratch(&mut grad_q.mean, tile.clone(), spare_0),
            or_scratch(&mut grad_q.variance, tile.clone(), spare_1),
            or_scratch(&mut grad_p.mean, tile.clone(), spare_2),
            or_scratch(&mut grad_p.variance, tile.clone(), spare_3),
        ];
        map_4(
            [q.mean, q.variance, p.mean, p.variance],
            outputs,
            #[inline(always)]
            |[q_mean, q_variance, p_mean, p_variance]| {
                let (precision, distance) = (T::ONE / p_variance, q_mean - p_mean);
                let derivative = distance * precision;
                let excess = (q_variance + distance * distance) * precision;
                [
                    grad * derivative,
                    half * (precision - T::ONE / q_variance),
                    -(grad * derivative),
                    half * (T::ONE - excess) * precision,
                ]
            },
        );
    }
}

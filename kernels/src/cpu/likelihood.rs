//! The likelihood of binary data.

use super::gaussian::row_of;
use super::lanes::{larger, map, sum_less_ln_1p};
use super::parallel::{HEAVY, for_each_block, rows};
use super::typed::{Extent, Float, check, for_float, operands, rows_before_repeat};
use crate::backend::Matrix;
use crate::{Result, View, ViewMut};

/// `bernoulli_log_prob`, as declared.
pub(super) fn bernoulli_log_prob(
    matrix: Matrix,
    repeat: usize,
    x: View<'_>,
    logits: View<'_>,
    out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "bernoulli_log_prob";
    let x_rows = rows_before_repeat(NAME, matrix.rows, repeat)?;
    check(NAME, Extent::Matrix(Matrix { rows: x_rows, ..matrix }), operands!(x))?;
    check(NAME, Extent::Matrix(matrix), operands!(logits))?;
    check(NAME, Extent::Rows(matrix.rows), operands!(out))?;
    for_float!(NAME, (x, logits, out) => bernoulli(matrix.columns, repeat, x, logits, out));
    Ok(())
}

fn bernoulli<T: Float>(columns: usize, repeat: usize, x: &[T], logits: &[T], out: &mut [T]) {
    for_each_block(out.len(), columns * HEAVY, out, |range, out| {
        T::vectorised(
            #[inline(always)]
            || {
                for (row, out) in range.zip(out) {
                    // softplus(l) = max(l, 0) + ln(1 + e^−|l|)
                    let sum = sum_less_ln_1p(
                        [row_of(x, columns, row / repeat), row_of(logits, columns, row)],
                        #[inline(always)]
                        |[x, logit]| [x * logit - larger(logit, T::ZERO), (-logit.abs()).exp()],
                    );
                    *out = T::from_f64(sum);
                }
            },
        );
    });
}

/// `bernoulli_log_prob_backward`, as declared.
pub(super) fn bernoulli_log_prob_backward(
    matrix: Matrix,
    repeat: usize,
    x: View<'_>,
    logits: View<'_>,
    grad_out: View<'_>,
    grad_logits: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "bernoulli_log_prob_backward";
    let x_rows = rows_before_repeat(NAME, matrix.rows, repeat)?;
    check(NAME, Extent::Matrix(Matrix { rows: x_rows, ..matrix }), operands!(x))?;
    check(NAME, Extent::Matrix(matrix), operands!(logits, grad_logits))?;
    check(NAME, Extent::Rows(matrix.rows), operands!(grad_out))?;
    for_float!(NAME, (x, logits, grad_out, grad_logits) => {
        bernoulli_adjoint(matrix.columns, repeat, x, logits, grad_out, grad_logits);
    });
    Ok(())
}

fn bernoulli_adjoint<T: Float>(
    columns: usize,
    repeat: usize,
    x: &[T],
    logits: &[T],
    grad_out: &[T],
    grad_logits: &mut [T],
) {
    for_each_block(
        grad_out.len(),
        columns * HEAVY,
        rows(grad_logits, columns),
        |range, mut grad_logits| {
            T::vectorised(
                #[inline(always)]
                || {
                    for (at, row) in range.enumerate() {
                        let grad = grad_out[row];
                        map(
                            [row_of(x, columns, row / repeat), row_of(logits, columns, row)],
                            grad_logits.row(at),
                            #[inline(always)]
                            |[x, logit]| grad * (x - logit.sigmoid()),
                        );
                    }
                },
            );
        },
    );
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_close, normals, same_on_any_threads};
    use super::*;

    #[test]
    fn bernoulli_likelihoods_and_their_adjoints_agree_with_f64() {
        for (rows, columns, repeat) in
            [(1, 1, 1), (4, 3, 2), (3, 0, 1), (0, 3, 1), (131, 784, 1), (12, 1031, 3)]
        {
            let matrix = Matrix { rows, columns };
            let logits: Vec<f32> =
                normals(1, rows * columns).into_iter().map(|x| 4.0 * x).collect();
            let (x, grad_out) = (normals(2, rows / repeat * columns), normals(3, rows));
            let (out, grad_logits) = same_on_any_threads(|| {
                let (mut out, mut grad_logits) = (vec![0f32; rows], vec![0f32; logits.len()]);
                let views = (View::F32(&x), View::F32(&logits));
                bernoulli_log_prob(matrix, repeat, views.0, views.1, ViewMut::F32(&mut out))
                    .unwrap();
                let (g, grad) = (View::F32(&grad_out), ViewMut::F32(&mut grad_logits));
                bernoulli_log_prob_backward(matrix, repeat, views.0, views.1, g, grad).unwrap();
                (out, grad_logits)
            });
            let (mut expected, mut expected_grad) = (vec![0.0; rows], vec![0.0; logits.len()]);
            for (i, &logit) in logits.iter().enumerate() {
                let (row, logit) = (i / columns, f64::from(logit));
                let x = f64::from(x[row / repeat * columns + i % columns]);
                expected[row] += x * logit - logit.exp().ln_1p();
                expected_grad[i] = f64::from(grad_out[row]) * (x - 1.0 / (1.0 + (-logit).exp()));
            }
            assert_close("out", &out, &expected, 1e-6);
            assert_close("grad_logits", &grad_logits, &expected_grad, 1e-6);
        }
    }

    #[test]
    fn a_certain_pixel_has_probability_one_whatever_its_logit() {
        let mut out = [1f32];
        let matrix = Matrix { rows: 1, columns: 2 };
        bernoulli_log_prob(
            matrix,
            1,
            View::F32(&[1.0, 0.0]),
            View::F32(&[1e30, -1e30]),
            ViewMut::F32(&mut out),
        )
        .unwrap();
        assert_eq!(out, [0.0]);
    }

    /// Where every pixel is nearly certain, the sum is as small as its terms, and they have to keep
    /// their digits.
    #[test]
    fn nearly_certain_pixels_keep_their_digits() {
        let matrix = Matrix { rows: 1, columns: 784 };
        let (x, logits) = (vec![1f32; 784], vec![15f32; 784]);
        let mut out = [0f32];
        bernoulli_log_prob(matrix, 1, View::F32(&x), View::F32(&logits), ViewMut::F32(&mut out))
            .unwrap();
        let expected = -784.0 * (-15f64).exp().ln_1p();
        assert!((f64::from(out[0]) / expected - 1.0).abs() < 1e-5, "{out:?}, expected {expected}");
    }
}

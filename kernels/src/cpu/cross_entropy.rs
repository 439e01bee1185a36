//! The cross-entropy of labels under a softmax of logits.

use super::gaussian::row_of;
use super::lanes::map;
use super::parallel::{HEAVY, for_each_block, rows};
use super::softmax::log_sum_exp_of_row;
use super::typed::{Extent, Float, check, check_indices, for_float, indices_of, operands};
use crate::backend::Matrix;
use crate::{Error, Result, View, ViewMut};

/// `cross_entropy`, as declared.
pub(super) fn cross_entropy(
    matrix: Matrix,
    logits: View<'_>,
    labels: View<'_>,
    out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "cross_entropy";
    let labels = checked_labels(NAME, matrix, labels)?;
    check(NAME, Extent::Matrix(matrix), operands!(logits))?;
    check(NAME, Extent::Rows(matrix.rows), operands!(out))?;
    for_float!(NAME, (logits, out) => entropies(matrix.columns, logits, labels, out));
    Ok(())
}

fn checked_labels<'a>(
    operation: &'static str,
    matrix: Matrix,
    labels: View<'a>,
) -> Result<&'a [u32]> {
    check(operation, Extent::Rows(matrix.rows), operands!(labels))?;
    let labels = indices_of(operation, "labels", labels)?;
    if matrix.rows > 0 && matrix.columns == 0 {
        return Err(Error::argument(operation, "there are no columns to choose from"));
    }
    check_indices(operation, "labels", labels, matrix.columns)?;
    Ok(labels)
}

fn entropies<T: Float>(columns: usize, logits: &[T], labels: &[u32], out: &mut [T]) {
    for_each_block(out.len(), columns * HEAVY, (labels, out), |range, (labels, out)| {
        T::vectorised(
            #[inline(always)]
            || {
                for ((row, &label), out) in range.zip(labels).zip(out) {
                    let logits = row_of(logits, columns, row);
                    *out = log_sum_exp_of_row(logits) - logits[label as usize];
                }
            },
        );
    });
}

/// `cross_entropy_backward`, as declared.
pub(super) fn cross_entropy_backward(
    matrix: Matrix,
    logits: View<'_>,
    labels: View<'_>,
    grad_out: View<'_>,
    grad_logits: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "cross_entropy_backward";
    let labels = checked_labels(NAME, matrix, labels)?;
    check(NAME, Extent::Matrix(matrix), operands!(logits, grad_logits))?;
    check(NAME, Extent::Rows(matrix.rows), operands!(grad_out))?;
    for_float!(NAME, (logits, grad_out, grad_logits) =>
        entropy_adjoints(matrix.columns, logits, labels, grad_out, grad_logits));
    Ok(())
}

fn entropy_adjoints<T: Float>(
    columns: usize,
    logits: &[T],
    labels: &[u32],
    grad_out: &[T],
    grad_logits: &mut [T],
) {
    for_each_block(
        labels.len(),
        columns * HEAVY,
        (labels, grad_out, rows(grad_logits, columns)),
        |range, (labels, grads, mut out)| {
            T::vectorised(
                #[inline(always)]
                || {
                    for (at, (row, (&label, &grad))) in
                        range.zip(labels.iter().zip(grads)).enumerate()
                    {
                        let (logits, out) = (row_of(logits, columns, row), out.row(at));
                        let normaliser = log_sum_exp_of_row(logits);
                        map(
                            [logits],
                            out,
                            #[inline(always)]
                            |[logit]| grad * (logit - normaliser).exp(),
                        );
                        out[label as usize] = out[label as usize] - grad;
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
    fn cross_entropies_and_their_adjoints_agree_with_f64() {
        for (rows, columns) in [(1, 1), (5, 10), (263, 257), (0, 4)] {
            let matrix = Matrix { rows, columns };
            let (logits, grad_out) = (normals(4, rows * columns), normals(5, rows));
            let labels: Vec<u32> = (0..rows).map(|r| (r * 7 % columns) as u32).collect();
            let (out, grad_logits) = same_on_any_threads(|| {
                let (mut out, mut grad_logits) = (vec![0f32; rows], vec![0f32; logits.len()]);
                let views = (View::F32(&logits), View::U32(&labels));
                cross_entropy(matrix, views.0, views.1, ViewMut::F32(&mut out)).unwrap();
                let (g, grad) = (View::F32(&grad_out), ViewMut::F32(&mut grad_logits));
                cross_entropy_backward(matrix, views.0, views.1, g, grad).unwrap();
                (out, grad_logits)
            });
            for (r, &label) in labels.iter().enumerate() {
                let row: Vec<f64> =
                    logits[r * columns..(r + 1) * columns].iter().map(|&x| f64::from(x)).collect();
                let normaliser = row.iter().map(|x| x.exp()).sum::<f64>().ln();
                assert_close("out", &out[r..=r], &[normaliser - row[label as usize]], 1e-6);
                let grad = |(c, x): (usize, &f64)| {
                    f64::from(grad_out[r])
                        * ((x - normaliser).exp() - f64::from(c == label as usize))
                };
                let expected: Vec<f64> = row.iter().enumerate().map(grad).collect();
                assert_close(
                    "grad_logits",
                    &grad_logits[r * columns..(r + 1) * columns],
                    &expected,
                    1e-6,
                );
            }
        }
    }

    #[test]
    fn a_label_outside_the_columns_is_refused() {
        let (matrix, logits) = (Matrix { rows: 1, columns: 3 }, View::F32(&[0.0; 3]));
        let error =
            cross_entropy(matrix, logits, View::U32(&[3]), ViewMut::F32(&mut [0.0])).unwrap_err();
        assert_eq!(error.to_string(), "cross_entropy: labels[0] is 3, which must be below 3");
        let error = cross_entropy(matrix, logits, View::U32(&[0, 1]), ViewMut::F32(&mut [0.0]))
            .unwrap_err();
        assert_eq!(error.to_string(), "cross_entropy: labels has 2 elements, 1 rows need 1");
    }
}

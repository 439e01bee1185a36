//! The gate of a block: one half of its channels times the sigmoid of the other.

use super::gaussian::row_of;
use super::lanes::{map, map_2};
use super::parallel::{HEAVY, for_each_block, rows};
use super::typed::{Extent, Float, check, for_float, operands};
use crate::backend::Matrix;
use crate::{Result, View, ViewMut};

/// `gate`, as declared.
pub(super) fn gate(matrix: Matrix, x: View<'_>, out: ViewMut<'_>) -> Result<()> {
    const NAME: &str = "gate";
    check(NAME, Extent::Matrix(matrix.both_halves()), operands!(x))?;
    check(NAME, Extent::Matrix(matrix), operands!(out))?;
    for_float!(NAME, (x, out) => gate_rows(matrix, x, out));
    Ok(())
}

fn gate_rows<T: Float>(matrix: Matrix, x: &[T], out: &mut [T]) {
    let columns = matrix.columns;
    for_each_block(matrix.rows, columns * HEAVY, rows(out, columns), |range, mut out| {
        T::vectorised(
            #[inline(always)]
            || {
                for (at, row) in range.enumerate() {
                    let (left, right) = row_of(x, 2 * columns, row).split_at(columns);
                    map(
                        [left, right],
                        out.row(at),
                        #[inline(always)]
                        |[left, right]| left * right.sigmoid(),
                    );
                }
            },
        );
    });
}

/// `gate_backward`, as declared.
pub(super) fn gate_backward(
    matrix: Matrix,
    x: View<'_>,
    grad_out: View<'_>,
    grad_x: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "gate_backward";
    check(NAME, Extent::Matrix(matrix.both_halves()), operands!(x, grad_x))?;
    check(NAME, Extent::Matrix(matrix), operands!(grad_out))?;
    for_float!(NAME, (x, grad_out, grad_x) => gate_adjoint(matrix, x, grad_out, grad_x));
    Ok(())
}

fn gate_adjoint<T: Float>(matrix: Matrix, x: &[T], grad_out: &[T], grad_x: &mut [T]) {
    let columns = matrix.columns;
    for_each_block(matrix.rows, columns * HEAVY, rows(grad_x, 2 * columns), |range, mut grad_x| {
        T::vectorised(
            #[inline(always)]
            || {
                for (at, row) in range.enumerate() {
                    let (left, right) = row_of(x, 2 * columns, row).split_at(columns);
                    let (grad_left, grad_right) = grad_x.row(at).split_at_mut(columns);
                    map_2(
                        [left, right, row_of(grad_out, columns, row)],
                        [grad_left, grad_right],
                        #[inline(always)]
                        |[left, right, grad]| {
                            let open = right.sigmoid();
                            [grad * open, grad * left * open * (T::ONE - open)]
                        },
                    );
                }
            },
        );
    });
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_close, normals, same_on_any_threads};
    use super::*;

    #[test]
    fn gates_and_their_adjoints_agree_with_f64_on_any_number_of_threads() {
        for (rows, columns) in [(1, 1), (0, 3), (7, 5), (1031, 64)] {
            let matrix = Matrix { rows, columns };
            let (x, grad_out) = (normals(1, 2 * rows * columns), normals(2, rows * columns));
            let (out, grad_x) = same_on_any_threads(|| {
                let (mut out, mut grad_x) = (vec![0f32; grad_out.len()], vec![0f32; x.len()]);
                gate(matrix, View::F32(&x), ViewMut::F32(&mut out)).unwrap();
                gate_backward(
                    matrix,
                    View::F32(&x),
                    View::F32(&grad_out),
                    ViewMut::F32(&mut grad_x),
                )
                .unwrap();
                (out, grad_x)
            });
            for (i, &grad) in grad_out.iter().enumerate() {
                let at = i / columns * 2 * columns + i % columns;
                let (left, grad) = (f64::from(x[at]), f64::from(grad));
                let open = 1.0 / (1.0 + (-f64::from(x[at + columns])).exp());
                assert_close("out", &out[i..=i], &[left * open], 1e-6);
                assert_close("left half", &grad_x[at..=at], &[grad * open], 1e-6);
                let expected = [grad * left * open * (1.0 - open)];
                assert_close("right half", &grad_x[at + columns..=at + columns], &expected, 1e-6);
            }
        }
    }
}

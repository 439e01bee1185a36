//! The gate of a residual block.

use super::context::Context;
use super::program::File;
use crate::backend::Matrix;
use crate::check::{Extent, check, common_float, operands};
use crate::{Result, View, ViewMut};

/// `gate`, as declared.
pub(super) fn gate(
    context: &Context,
    matrix: Matrix,
    x: View<'_>,
    mut out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "gate";
    check(NAME, Extent::Matrix(matrix.both_halves()), operands!(x))?;
    check(NAME, Extent::Matrix(matrix), operands!(out))?;
    let dtype = common_float(NAME, operands!(x, out))?;
    let launch = context.launch(NAME, dtype, File::Gate, NAME).count(matrix.columns);
    launch.input(x).output(&mut out).over_rows(matrix.columns, matrix.rows)
}

/// `gate_backward`, as declared.
pub(super) fn gate_backward(
    context: &Context,
    matrix: Matrix,
    x: View<'_>,
    grad_out: View<'_>,
    mut grad_x: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "gate_backward";
    check(NAME, Extent::Matrix(matrix.both_halves()), operands!(x, grad_x))?;
    check(NAME, Extent::Matrix(matrix), operands!(grad_out))?;
    let dtype = common_float(NAME, operands!(x, grad_out, grad_x))?;
    let launch = context.launch(NAME, dtype, File::Gate, NAME).count(matrix.columns);
    launch.input(x).input(grad_out).output(&mut grad_x).over_rows(matrix.columns, matrix.rows)
}

//! The likelihood of binary data.

use super::context::Context;
use super::program::File;
use crate::backend::Matrix;
use crate::check::{Extent, check, common_float, operands, rows_before_repeat};
use crate::{Result, View, ViewMut};

/// `bernoulli_log_prob`, as declared.
pub(super) fn bernoulli_log_prob(
    context: &Context,
    matrix: Matrix,
    repeat: usize,
    x: View<'_>,
    logits: View<'_>,
    mut out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "bernoulli_log_prob";
    let x_rows = rows_before_repeat(NAME, matrix.rows, repeat)?;
    check(NAME, Extent::Matrix(Matrix { rows: x_rows, ..matrix }), operands!(x))?;
    check(NAME, Extent::Matrix(matrix), operands!(logits))?;
    check(NAME, Extent::Rows(matrix.rows), operands!(out))?;
    let dtype = common_float(NAME, operands!(x, logits, out))?;
    let launch =
        context.launch(NAME, dtype, File::Likelihood, NAME).count(matrix.columns).count(repeat);
    launch.input(x).input(logits).output(&mut out).sharing_rows(matrix.rows, 1)
}

/// `bernoulli_log_prob_backward`, as declared.
pub(super) fn bernoulli_log_prob_backward(
    context: &Context,
    matrix: Matrix,
    repeat: usize,
    x: View<'_>,
    logits: View<'_>,
    grad_out: View<'_>,
    mut grad_logits: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "bernoulli_log_prob_backward";
    let x_rows = rows_before_repeat(NAME, matrix.rows, repeat)?;
    check(NAME, Extent::Matrix(Matrix { rows: x_rows, ..matrix }), operands!(x))?;
    check(NAME, Extent::Matrix(matrix), operands!(logits, grad_logits))?;
    check(NAME, Extent::Rows(matrix.rows), operands!(grad_out))?;
    let dtype = common_float(NAME, operands!(x, logits, grad_out, grad_logits))?;
    let launch =
        context.launch(NAME, dtype, File::Likelihood, NAME).count(matrix.columns).count(repeat);
    let launch = launch.input(x).input(logits).input(grad_out);
    launch.output(&mut grad_logits).over_rows(matrix.columns, matrix.rows)
}

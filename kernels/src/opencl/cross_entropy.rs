//! The cross-entropy of labels.

use super::context::Context;
use super::program::File;
use super::rows::checked_indices;
use crate::backend::Matrix;
use crate::check::{Extent, check, common_float, operands};
use crate::{Error, Result, View, ViewMut};

/// `cross_entropy`, as declared.
pub(super) fn cross_entropy(
    context: &Context,
    matrix: Matrix,
    logits: View<'_>,
    labels: View<'_>,
    mut out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "cross_entropy";
    check_labels(context, NAME, matrix, labels)?;
    check(NAME, Extent::Matrix(matrix), operands!(logits))?;
    check(NAME, Extent::Rows(matrix.rows), operands!(out))?;
    let dtype = common_float(NAME, operands!(logits, out))?;
    let launch = context
        .launch(NAME, dtype, File::CrossEntropy, NAME)
        .count(matrix.rows)
        .count(matrix.columns);
    launch.input(logits).input(labels).output(&mut out).over_items(matrix.rows)
}

/// `cross_entropy_backward`, as declared.
pub(super) fn cross_entropy_backward(
    context: &Context,
    matrix: Matrix,
    logits: View<'_>,
    labels: View<'_>,
    grad_out: View<'_>,
    mut grad_logits: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "cross_entropy_backward";
    check_labels(context, NAME, matrix, labels)?;
    check(NAME, Extent::Matrix(matrix), operands!(logits, grad_logits))?;
    check(NAME, Extent::Rows(matrix.rows), operands!(grad_out))?;
    let dtype = common_float(NAME, operands!(logits, grad_out, grad_logits))?;
    let launch = context
        .launch(NAME, dtype, File::CrossEntropy, NAME)
        .count(matrix.rows)
        .count(matrix.columns);
    launch
        .input(logits)
        .input(labels)
        .input(grad_out)
        .output(&mut grad_logits)
        .over_items(matrix.rows)
}

fn check_labels(
    context: &Context,
    operation: &'static str,
    matrix: Matrix,
    labels: View<'_>,
) -> Result<()> {
    check(operation, Extent::Rows(matrix.rows), operands!(labels))?;
    if matrix.rows > 0 && matrix.columns == 0 {
        return Err(Error::argument(operation, "there are no columns to choose from"));
    }
    checked_indices(context, operation, "labels", labels, Some(matrix.columns))
}

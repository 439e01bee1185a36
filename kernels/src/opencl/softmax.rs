//! Log-sum-exp and softmax along an axis, and the cross-entropy of labels.

use super::context::Context;
use super::launch::Launch;
use super::program::File;
use super::rows::checked_indices;
use crate::backend::Matrix;
use crate::check::{Extent, check, common_float, operands};
use crate::{AxisExtent, DType, Error, Result, View, ViewMut};

/// A launch with a work-item for each place around the axis, and the count of these.
fn along<'a>(context: &'a Context, name: &'static str, dtype: DType, extent: AxisExtent) -> (Launch<'a>, usize) {
    let count = extent.outer * extent.inner;
    (context.launch(name, dtype, File::Softmax, name).count(count).count(extent.axis).count(extent.inner), count)
}

/// `Backend::log_sum_exp`.
pub(super) fn log_sum_exp(context: &Context, extent: AxisExtent, x: View<'_>, mut out: ViewMut<'_>) -> Result<()> {
    const NAME: &str = "log_sum_exp";
    check(NAME, Extent::Axis(extent), operands!(x))?;
    check(NAME, Extent::AroundAxis(extent), operands!(out))?;
    let (launch, count) = along(context, NAME, common_float(NAME, operands!(x, out))?, extent);
    launch.input(x).output(&mut out).over_items(count)
}

/// `Backend::log_sum_exp_backward`.
pub(super) fn log_sum_exp_backward(
    context: &Context,
    extent: AxisExtent,
    x: View<'_>,
    out: View<'_>,
    grad_out: View<'_>,
    mut grad_x: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "log_sum_exp_backward";
    check(NAME, Extent::Axis(extent), operands!(x, grad_x))?;
    check(NAME, Extent::AroundAxis(extent), operands!(out, grad_out))?;
    let dtype = common_float(NAME, operands!(x, out, grad_out, grad_x))?;
    let (launch, count) = along(context, NAME, dtype, extent);
    launch.input(x).input(out).input(grad_out).output(&mut grad_x).over_items(count)
}

/// `Backend::softmax`.
pub(super) fn softmax(context: &Context, extent: AxisExtent, x: View<'_>, out: ViewMut<'_>) -> Result<()> {
    forward(context, "softmax", extent, x, out)
}

/// `Backend::log_softmax`.
pub(super) fn log_softmax(context: &Context, extent: AxisExtent, x: View<'_>, out: ViewMut<'_>) -> Result<()> {
    forward(context, "log_softmax", extent, x, out)
}

fn forward(context: &Context, name: &'static str, extent: AxisExtent, x: View<'_>, mut out: ViewMut<'_>) -> Result<()> {
    check(name, Extent::Axis(extent), operands!(x, out))?;
    let (launch, count) = along(context, name, common_float(name, operands!(x, out))?, extent);
    launch.input(x).output(&mut out).over_items(count)
}

/// `Backend::softmax_backward`.
pub(super) fn softmax_backward(
    context: &Context,
    extent: AxisExtent,
    out: View<'_>,
    grad_out: View<'_>,
    grad_x: ViewMut<'_>,
) -> Result<()> {
    backward(context, "softmax_backward", extent, out, grad_out, grad_x)
}

/// `Backend::log_softmax_backward`.
pub(super) fn log_softmax_backward(
    context: &Context,
    extent: AxisExtent,
    out: View<'_>,
    grad_out: View<'_>,
    grad_x: ViewMut<'_>,
) -> Result<()> {
    backward(context, "log_softmax_backward", extent, out, grad_out, grad_x)
}

fn backward(
    context: &Context,
    name: &'static str,
    extent: AxisExtent,
    out: View<'_>,
    grad_out: View<'_>,
    mut grad_x: ViewMut<'_>,
) -> Result<()> {
    check(name, Extent::Axis(extent), operands!(out, grad_out, grad_x))?;
    let dtype = common_float(name, operands!(out, grad_out, grad_x))?;
    let (launch, count) = along(context, name, dtype, extent);
    launch.input(out).input(grad_out).output(&mut grad_x).over_items(count)
}

/// `Backend::cross_entropy`.
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
    let launch = context.launch(NAME, dtype, File::Softmax, NAME).count(matrix.rows).count(matrix.columns);
    launch.input(logits).input(labels).output(&mut out).over_items(matrix.rows)
}

/// `Backend::cross_entropy_backward`.
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
    let launch = context.launch(NAME, dtype, File::Softmax, NAME).count(matrix.rows).count(matrix.columns);
    launch.input(logits).input(labels).input(grad_out).output(&mut grad_logits).over_items(matrix.rows)
}

fn check_labels(context: &Context, operation: &'static str, matrix: Matrix, labels: View<'_>) -> Result<()> {
    check(operation, Extent::Rows(matrix.rows), operands!(labels))?;
    if matrix.rows > 0 && matrix.columns == 0 {
        return Err(Error::argument(operation, "there are no columns to choose from"));
    }
    checked_indices(context, operation, "labels", labels, Some(matrix.columns))
}

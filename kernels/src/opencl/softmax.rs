//! Log-sum-exp and softmax along an axis.

use super::context::Context;
use super::launch::Launch;
use super::program::File;
use crate::check::{Extent, check, common_float, operands};
use crate::{AxisExtent, DType, Result, View, ViewMut};

/// A launch with a work-item for each place around the axis, and the count of these.
fn along<'a>(
    context: &'a Context,
    name: &'static str,
    dtype: DType,
    extent: AxisExtent,
) -> (Launch<'a>, usize) {
    let count = extent.outer * extent.inner;
    (
        context
            .launch(name, dtype, File::Softmax, name)
            .count(count)
            .count(extent.axis)
            .count(extent.inner),
        count,
    )
}

/// `log_sum_exp`, as declared.
pub(super) fn log_sum_exp(
    context: &Context,
    extent: AxisExtent,
    x: View<'_>,
    mut out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "log_sum_exp";
    check(NAME, Extent::Axis(extent), operands!(x))?;
    check(NAME, Extent::AroundAxis(extent), operands!(out))?;
    let (launch, count) = along(context, NAME, common_float(NAME, operands!(x, out))?, extent);
    launch.input(x).output(&mut out).over_items(count)
}

/// `log_sum_exp_backward`, as declared.
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

/// `softmax`, as declared.
pub(super) fn softmax(
    context: &Context,
    extent: AxisExtent,
    x: View<'_>,
    out: ViewMut<'_>,
) -> Result<()> {
    forward(context, "softmax", extent, x, out)
}

/// `log_softmax`, as declared.
pub(super) fn log_softmax(
    context: &Context,
    extent: AxisExtent,
    x: View<'_>,
    out: ViewMut<'_>,
) -> Result<()> {
    forward(context, "log_softmax", extent, x, out)
}

fn forward(
    context: &Context,
    name: &'static str,
    extent: AxisExtent,
    x: View<'_>,
    mut out: ViewMut<'_>,
) -> Result<()> {
    check(name, Extent::Axis(extent), operands!(x, out))?;
    let (launch, count) = along(context, name, common_float(name, operands!(x, out))?, extent);
    launch.input(x).output(&mut out).over_items(count)
}

/// `softmax_backward`, as declared.
pub(super) fn softmax_backward(
    context: &Context,
    extent: AxisExtent,
    out: View<'_>,
    grad_out: View<'_>,
    grad_x: ViewMut<'_>,
) -> Result<()> {
    backward(context, "softmax_backward", extent, out, grad_out, grad_x)
}

/// `log_softmax_backward`, as declared.
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

//! What is done channel by channel: weight normalisation, and the gate of a block.

use super::context::Context;
use super::program::File;
use crate::backend::Matrix;
use crate::check::{Extent, check, common_float, operands};
use crate::{AxisExtent, Result, View, ViewMut};

/// `Convolutional::weight_norm`.
pub(super) fn weight_norm(
    context: &Context,
    extent: AxisExtent,
    v: View<'_>,
    gain: View<'_>,
    mut out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "weight_norm";
    check(NAME, Extent::Axis(extent), operands!(v, out))?;
    check(NAME, Extent::Elements(extent.axis), operands!(gain))?;
    let dtype = common_float(NAME, operands!(v, gain, out))?;
    let AxisExtent { outer, axis, inner } = extent;
    if inner == 1 {
        let launch = context.launch(NAME, dtype, File::Channel, "weight_norm_columns").count(outer).count(axis);
        return launch.input(v).input(gain).output(&mut out).sharing_columns(axis, 1);
    }
    let launch = context.launch(NAME, dtype, File::Channel, "weight_norm_runs").count(outer).count(axis).count(inner);
    launch.input(v).input(gain).output(&mut out).sharing_rows(axis, 1)
}

/// `Convolutional::weight_norm_backward`.
pub(super) fn weight_norm_backward(
    context: &Context,
    extent: AxisExtent,
    v: View<'_>,
    gain: View<'_>,
    grad_out: View<'_>,
    mut grad_v: Option<ViewMut<'_>>,
    mut grad_gain: Option<ViewMut<'_>>,
) -> Result<()> {
    const NAME: &str = "weight_norm_backward";
    check(NAME, Extent::Axis(extent), operands!(v, grad_out, grad_v))?;
    check(NAME, Extent::Elements(extent.axis), operands!(gain, grad_gain))?;
    let dtype = common_float(NAME, operands!(v, gain, grad_out, grad_v, grad_gain))?;
    let AxisExtent { outer, axis, inner } = extent;
    let columns = inner == 1;
    let kernel = if columns { "weight_norm_backward_columns" } else { "weight_norm_backward_runs" };
    let launch = context.launch(NAME, dtype, File::Channel, kernel).count(outer).count(axis);
    let launch = if columns { launch } else { launch.count(inner) };
    let launch = launch.input(v).input(gain).input(grad_out);
    let launch = launch.output_or_null(&mut grad_v).output_or_null(&mut grad_gain);
    if columns { launch.sharing_columns(axis, 1) } else { launch.sharing_rows(axis, 1) }
}

/// `Convolutional::gate`.
pub(super) fn gate(context: &Context, matrix: Matrix, x: View<'_>, mut out: ViewMut<'_>) -> Result<()> {
    const NAME: &str = "gate";
    check(NAME, Extent::Matrix(matrix.both_halves()), operands!(x))?;
    check(NAME, Extent::Matrix(matrix), operands!(out))?;
    let dtype = common_float(NAME, operands!(x, out))?;
    let launch = context.launch(NAME, dtype, File::Channel, NAME).count(matrix.columns);
    launch.input(x).output(&mut out).over_rows(matrix.columns, matrix.rows)
}

/// `Convolutional::gate_backward`.
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
    let launch = context.launch(NAME, dtype, File::Channel, NAME).count(matrix.columns);
    launch.input(x).input(grad_out).output(&mut grad_x).over_rows(matrix.columns, matrix.rows)
}

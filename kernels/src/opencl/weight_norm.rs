//! Weight normalisation.

use super::context::Context;
use super::program::File;
use crate::check::{Extent, check, common_float, operands};
use crate::{AxisExtent, Result, View, ViewMut};

/// `weight_norm`, as declared.
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
        let launch = context
            .launch(NAME, dtype, File::WeightNorm, "weight_norm_columns")
            .count(outer)
            .count(axis);
        return launch.input(v).input(gain).output(&mut out).sharing_columns(axis, 1);
    }
    let launch = context
        .launch(NAME, dtype, File::WeightNorm, "weight_norm_runs")
        .count(outer)
        .count(axis)
        .count(inner);
    launch.input(v).input(gain).output(&mut out).sharing_rows(axis, 1)
}

/// `weight_norm_backward`, as declared.
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
    let launch = context.launch(NAME, dtype, File::WeightNorm, kernel).count(outer).count(axis);
    let launch = if columns { launch } else { launch.count(inner) };
    let launch = launch.input(v).input(gain).input(grad_out);
    let launch = launch.output_or_null(&mut grad_v).output_or_null(&mut grad_gain);
    if columns { launch.sharing_columns(axis, 1) } else { launch.sharing_rows(axis, 1) }
}

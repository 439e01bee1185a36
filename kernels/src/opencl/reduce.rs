//! Reductions. A long sum with few results is cut into parts that are summed by two launches, so
//! that the whole device works on it.

use std::sync::Arc;

use super::context::Context;
use super::launch::Launch;
use super::program::File;
use crate::check::{Extent, check, common_float, operands};
use crate::{AxisExtent, DType, Reduction, Result, View, ViewMut};

/// Elements of a part: enough work for a group, and a fixed number, so that the order of a sum
/// depends on its length alone.
const PART: usize = 4096;

/// `reduce`, as declared.
pub(super) fn reduce(
    context: &Arc<Context>,
    reduction: Reduction,
    extent: AxisExtent,
    x: View<'_>,
    mut out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "reduce";
    check(NAME, Extent::Axis(extent), operands!(x))?;
    check(NAME, Extent::AroundAxis(extent), operands!(out))?;
    let dtype = common_float(NAME, operands!(x, out))?;
    let AxisExtent { outer, axis, inner } = extent;
    let extremum = match reduction {
        Reduction::Sum => return sum(context, dtype, extent, 1.0, x, out),
        Reduction::Mean => return sum(context, dtype, extent, 1.0 / axis as f64, x, out),
        Reduction::Maximum => "maximum",
        Reduction::Minimum => "minimum",
    };
    let launch = context
        .launch(NAME, dtype, File::Reduce, extremum)
        .count(outer * inner)
        .count(axis)
        .count(inner);
    launch.input(x).output(&mut out).over_items(outer * inner)
}

fn sum(
    context: &Arc<Context>,
    dtype: DType,
    extent: AxisExtent,
    factor: f64,
    x: View<'_>,
    mut out: ViewMut<'_>,
) -> Result<()> {
    let AxisExtent { outer, axis, inner } = extent;
    // An empty mean is 0/0; a factor of infinity times a sum of 0 says the same.
    if inner == 1 {
        return sum_rows(context, "reduce", "sum_rows", dtype, (outer, axis), factor, x, out);
    }
    let launch = context
        .launch("reduce", dtype, File::Reduce, "sum_columns")
        .count(axis)
        .count(inner)
        .real(factor);
    launch.input(x).output(&mut out).sharing_columns(inner, outer)
}

/// The sum (of squares) of each row, in parts if the rows are long and few.
fn sum_rows(
    context: &Arc<Context>,
    operation: &'static str,
    kernel: &'static str,
    dtype: DType,
    (rows, columns): (usize, usize),
    factor: f64,
    x: View<'_>,
    mut out: ViewMut<'_>,
) -> Result<()> {
    fn launch<'a>(
        context: &'a Context,
        operation: &'static str,
        kernel: &'static str,
        dtype: DType,
        sizes: (usize, usize),
        factor: f64,
    ) -> Launch<'a> {
        let launch = context
            .launch(operation, dtype, File::Reduce, kernel)
            .count(sizes.0)
            .count(sizes.1)
            .real(factor);
        if kernel == "sum_rows" { launch.joinable() } else { launch }
    }
    let parts = columns.div_ceil(PART);
    if parts <= 1 || rows >= context.compute_units {
        let whole = launch(context, operation, kernel, dtype, (columns, columns), factor);
        return whole.input(x).output(&mut out).sharing_rows(rows, 1);
    }
    let mut partial = Context::allocate(context, dtype, rows * parts)?;
    let fresh = partial.get_mut().expect("bug: a fresh buffer is shared; please report it");
    let in_parts = launch(context, operation, kernel, dtype, (columns, PART), 1.0);
    in_parts.input(x).output(&mut fresh.view_mut()).sharing_rows(rows, parts)?;
    let of_parts = launch(context, operation, "sum_rows", dtype, (parts, parts), factor);
    of_parts.input(partial.view()).output(&mut out).sharing_rows(rows, 1)
}

/// `sum_of_squares`, as declared.
pub(super) fn sum_of_squares(context: &Arc<Context>, x: View<'_>, out: ViewMut<'_>) -> Result<()> {
    const NAME: &str = "sum_of_squares";
    check(NAME, Extent::Elements(1), operands!(out))?;
    let dtype = common_float(NAME, operands!(x, out))?;
    sum_rows(context, NAME, "sum_of_squares", dtype, (1, x.len()), 1.0, x, out)
}

/// `extremum_backward`, as declared.
pub(super) fn extremum_backward(
    context: &Context,
    extent: AxisExtent,
    x: View<'_>,
    out: View<'_>,
    grad_out: View<'_>,
    mut grad_x: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "extremum_backward";
    check(NAME, Extent::Axis(extent), operands!(x, grad_x))?;
    check(NAME, Extent::AroundAxis(extent), operands!(out, grad_out))?;
    let dtype = common_float(NAME, operands!(x, out, grad_out, grad_x))?;
    let count = extent.outer * extent.inner;
    let launch = context.launch(NAME, dtype, File::Reduce, "extremum_backward").count(count);
    let launch = launch.count(extent.axis).count(extent.inner).input(x).input(out).input(grad_out);
    launch.output(&mut grad_x).over_items(count)
}

/// `expand`, as declared.
pub(super) fn expand(
    context: &Context,
    factor: f64,
    extent: AxisExtent,
    x: View<'_>,
    mut out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "expand";
    check(NAME, Extent::AroundAxis(extent), operands!(x))?;
    check(NAME, Extent::Axis(extent), operands!(out))?;
    let dtype = common_float(NAME, operands!(x, out))?;
    let AxisExtent { outer, axis, inner } = extent;
    if inner == 1 {
        let launch =
            context.launch(NAME, dtype, File::Reduce, "expand_rows").count(axis).real(factor);
        return launch.input(x).output(&mut out).over_rows(axis, outer);
    }
    let launch = context
        .launch(NAME, dtype, File::Reduce, "expand_columns")
        .count(axis)
        .count(inner)
        .real(factor);
    launch.input(x).output(&mut out).over_rows(inner, outer * axis)
}

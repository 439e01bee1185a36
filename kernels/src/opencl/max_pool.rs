//! Maxima of windows: a work-item for some channels of one position.

use super::context::Context;
use super::launch::Launch;
use super::program::File;
use crate::backend::Pool2d;
use crate::check::{Extent, check, common_float, operands};
use crate::{DType, Result, View, ViewMut};

/// `max_pool2d`, as declared.
pub(super) fn max_pool2d(
    context: &Context,
    pool: Pool2d,
    x: View<'_>,
    mut out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "max_pool2d";
    pool.check(NAME)?;
    check(NAME, Extent::Matrix(pool.input_matrix()), operands!(x))?;
    check(NAME, Extent::Matrix(pool.output_matrix()), operands!(out))?;
    let dtype = common_float(NAME, operands!(x, out))?;
    let launch = sized(context, NAME, dtype, &pool).input(x);
    launch.output(&mut out).over_rows(pool.channels, pool.output_matrix().rows)
}

/// `max_pool2d_backward`, as declared.
pub(super) fn max_pool2d_backward(
    context: &Context,
    pool: Pool2d,
    x: View<'_>,
    out: View<'_>,
    grad_out: View<'_>,
    mut grad_x: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "max_pool2d_backward";
    pool.check(NAME)?;
    check(NAME, Extent::Matrix(pool.input_matrix()), operands!(x, grad_x))?;
    check(NAME, Extent::Matrix(pool.output_matrix()), operands!(out, grad_out))?;
    let dtype = common_float(NAME, operands!(x, out, grad_out, grad_x))?;
    let launch = sized(context, NAME, dtype, &pool).input(x).input(out).input(grad_out);
    launch.output(&mut grad_x).over_rows(pool.channels, pool.input_matrix().rows)
}

/// A launch with the sizes that both kernels take first.
fn sized<'a>(context: &'a Context, name: &'static str, dtype: DType, pool: &Pool2d) -> Launch<'a> {
    let ([height, width], [rows, columns]) = (pool.input, pool.output());
    let launch = context.launch(name, dtype, File::MaxPool, name).count(pool.channels);
    launch.count(pool.size).count(height).count(width).count(rows).count(columns)
}

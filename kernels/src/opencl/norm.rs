//! Batch normalisation with its activation: one launch each way.

use std::sync::Arc;

use super::context::Context;
use super::elementwise::kernel_of;
use super::launch::Launch;
use super::matmul;
use super::program::File;
use crate::backend::{
    BatchNorm, BatchNormVectors, BatchStatistics, Matrix, NormalisedHead, RunningStatistics,
};
use crate::check::{Extent, check, common_float, operands};
use crate::{MatmulShape, Precision, Result, View, ViewMut};

/// `column_statistics`, as declared.
pub(super) fn column_statistics(
    context: &Context,
    matrix: Matrix,
    x: View<'_>,
    mut mean: ViewMut<'_>,
    mut variance: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "column_statistics";
    check(NAME, Extent::Matrix(matrix), operands!(x))?;
    check(NAME, Extent::Columns(matrix.columns), operands!(mean, variance))?;
    let dtype = common_float(NAME, operands!(x, mean, variance))?;
    let launch =
        context.launch(NAME, dtype, File::Norm, NAME).count(matrix.rows).count(matrix.columns);
    launch.input(x).output(&mut mean).output(&mut variance).sharing_columns(matrix.columns, 1)
}

/// `batch_norm`, as declared.
pub(super) fn batch_norm(
    context: &Context,
    norm: &BatchNorm,
    x: View<'_>,
    scale: View<'_>,
    shift: View<'_>,
    mut statistics: BatchStatistics<'_>,
    mut out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "batch_norm";
    let Matrix { rows, columns } = norm.matrix;
    check(NAME, Extent::Matrix(norm.matrix), operands!(x, out))?;
    check(NAME, Extent::Columns(columns), operands!(scale, shift, statistics))?;
    let dtype = common_float(NAME, operands!(x, scale, shift, statistics, out))?;
    let (kernel, a, b) = kernel_of!(norm.activation, "batch_norm_");
    let launch = context
        .launch(NAME, dtype, File::Norm, kernel)
        .count(rows)
        .count(columns)
        .real(norm.epsilon);
    let launch = launch.real(a).real(b).real(weight_of(&statistics));
    let launch = launch.input(x).input(scale).input(shift);
    let launch = with_statistics(launch, &mut statistics);
    launch.output(&mut out).joinable().sharing_columns(columns, 1)
}

/// What the averages over batches move by, if there are any.
fn weight_of(statistics: &BatchStatistics<'_>) -> f64 {
    statistics.running.as_ref().map_or(0.0, |running| running.weight)
}

/// The launch with the arrays of the statistics, the averages null where there are none.
fn with_statistics<'a, 'b: 'a>(
    launch: Launch<'a>,
    BatchStatistics { mean, variance, running }: &'b mut BatchStatistics<'_>,
) -> Launch<'a> {
    let launch = launch.output(mean).output(variance);
    match running {
        Some(RunningStatistics { mean, variance, .. }) => launch.output(mean).output(variance),
        None => launch.null().null(),
    }
}

/// `batch_norm_head`, as declared.
pub(super) fn batch_norm_head(
    context: &Context,
    head: &NormalisedHead,
    x: View<'_>,
    scale: View<'_>,
    shift: View<'_>,
    mut statistics: BatchStatistics<'_>,
    mut mean: ViewMut<'_>,
    mut variance: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "batch_norm_head";
    let (joined, units) = (head.matrix.both_halves(), head.matrix.columns);
    check(NAME, Extent::Matrix(joined), operands!(x))?;
    check(NAME, Extent::Matrix(head.matrix), operands!(mean, variance))?;
    check(NAME, Extent::Columns(joined.columns), operands!(scale, shift, statistics))?;
    let dtype = common_float(NAME, operands!(x, scale, shift, statistics, mean, variance))?;
    let launch = context.launch(NAME, dtype, File::Norm, NAME).count(joined.rows).count(units);
    let launch = launch.real(head.epsilon).real(head.floor).real(weight_of(&statistics));
    let launch = launch.input(x).input(scale).input(shift);
    let launch = with_statistics(launch, &mut statistics);
    let launch = launch.output(&mut mean).output(&mut variance);
    launch.joinable().sharing_columns_of_head(units)
}

/// `batch_norm_head_backward`, as declared.
pub(super) fn batch_norm_head_backward(
    context: &Context,
    head: &NormalisedHead,
    x: View<'_>,
    vectors: BatchNormVectors<'_>,
    grad_mean: Option<View<'_>>,
    grad_variance: Option<View<'_>>,
    mut grad_x: ViewMut<'_>,
    mut grad_scale: ViewMut<'_>,
    mut grad_shift: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "batch_norm_head_backward";
    let (joined, units) = (head.matrix.both_halves(), head.matrix.columns);
    check(NAME, Extent::Matrix(joined), operands!(x, grad_x))?;
    check(NAME, Extent::Matrix(head.matrix), operands!(grad_mean, grad_variance))?;
    check(NAME, Extent::Columns(joined.columns), operands!(vectors, grad_scale, grad_shift))?;
    let dtype = common_float(
        NAME,
        operands!(x, vectors, grad_mean, grad_variance, grad_x, grad_scale, grad_shift),
    )?;
    let launch = context.launch(NAME, dtype, File::Norm, NAME).count(joined.rows).count(units);
    let launch = launch.real(head.epsilon).real(1.0 / joined.rows as f64);
    let launch = launch.input(x).input(vectors.mean).input(vectors.variance);
    let launch = launch.input(vectors.scale).input(vectors.shift);
    let launch = launch.input_or_null(grad_mean).input_or_null(grad_variance);
    let launch = launch.output(&mut grad_x).output(&mut grad_scale).output(&mut grad_shift);
    launch.joinable().sharing_columns_of_head(units)
}

/// `normalise`, as declared.
pub(super) fn normalise(
    context: &Context,
    norm: &BatchNorm,
    x: View<'_>,
    vectors: BatchNormVectors<'_>,
    mut out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "normalise";
    let Matrix { rows, columns } = norm.matrix;
    check(NAME, Extent::Matrix(norm.matrix), operands!(x, out))?;
    check(NAME, Extent::Columns(columns), operands!(vectors))?;
    let dtype = common_float(NAME, operands!(x, vectors, out))?;
    let (kernel, a, b) = kernel_of!(norm.activation, "normalise_");
    let launch = context
        .launch(NAME, dtype, File::Norm, kernel)
        .count(rows)
        .count(columns)
        .real(norm.epsilon);
    let launch = launch.real(a).real(b).input(x).input(vectors.mean).input(vectors.variance);
    launch.input(vectors.scale).input(vectors.shift).output(&mut out).sharing_columns(columns, 1)
}

/// `Backend::matmul_normalise`, in two launches: the product waits in memory of the pool, since the
/// kernels' arrays must not overlap.
pub(super) fn matmul_normalise(
    context: &Arc<Context>,
    shape: MatmulShape,
    precision: Precision,
    left: View<'_>,
    right: View<'_>,
    norm: &BatchNorm,
    vectors: BatchNormVectors<'_>,
    out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "matmul_normalise";
    check(
        NAME,
        Extent::Matrix(Matrix { rows: shape.rows, columns: shape.columns }),
        operands!(out),
    )?;
    check(NAME, Extent::Matrix(norm.matrix), operands!(out))?;
    check(NAME, Extent::Columns(norm.matrix.columns), operands!(vectors))?;
    let dtype = common_float(NAME, operands!(left, right, vectors, out))?;
    let mut product = Context::allocate(context, dtype, out.len())?;
    let fresh = product.get_mut().expect("bug: a fresh buffer is shared; please report it");
    matmul::matmul(context, shape, precision, left, right, None, fresh.view_mut())?;
    normalise(context, norm, product.view(), vectors, out)
}

/// `batch_norm_backward`, as declared.
pub(super) fn batch_norm_backward(
    context: &Context,
    norm: &BatchNorm,
    x: View<'_>,
    vectors: BatchNormVectors<'_>,
    grad_out: View<'_>,
    grad_x: ViewMut<'_>,
    grad_scale: ViewMut<'_>,
    grad_shift: ViewMut<'_>,
) -> Result<()> {
    let share = 1.0 / norm.matrix.rows as f64;
    let gradients = [grad_x, grad_scale, grad_shift];
    backward(context, "batch_norm_backward", share, norm, x, vectors, grad_out, gradients)
}

/// `normalise_backward`, as declared.
pub(super) fn normalise_backward(
    context: &Context,
    norm: &BatchNorm,
    x: View<'_>,
    vectors: BatchNormVectors<'_>,
    grad_out: View<'_>,
    grad_x: ViewMut<'_>,
    grad_scale: ViewMut<'_>,
    grad_shift: ViewMut<'_>,
) -> Result<()> {
    let gradients = [grad_x, grad_scale, grad_shift];
    backward(context, "normalise_backward", 0.0, norm, x, vectors, grad_out, gradients)
}

/// Both adjoints: `share` is what the statistics owe to each row, 1/rows or nothing.
fn backward(
    context: &Context,
    name: &'static str,
    share: f64,
    norm: &BatchNorm,
    x: View<'_>,
    vectors: BatchNormVectors<'_>,
    grad_out: View<'_>,
    [mut grad_x, mut grad_scale, mut grad_shift]: [ViewMut<'_>; 3],
) -> Result<()> {
    let Matrix { rows, columns } = norm.matrix;
    check(name, Extent::Matrix(norm.matrix), operands!(x, grad_out, grad_x))?;
    check(name, Extent::Columns(columns), operands!(vectors, grad_scale, grad_shift))?;
    let dtype =
        common_float(name, operands!(x, vectors, grad_out, grad_x, grad_scale, grad_shift))?;
    let (kernel, a, b) = kernel_of!(norm.activation, "norm_backward_");
    let launch = context
        .launch(name, dtype, File::Norm, kernel)
        .count(rows)
        .count(columns)
        .real(norm.epsilon);
    let launch =
        launch.real(a).real(b).real(share).input(x).input(vectors.mean).input(vectors.variance);
    let launch = launch.input(vectors.scale).input(vectors.shift).input(grad_out);
    launch
        .output(&mut grad_x)
        .output(&mut grad_scale)
        .output(&mut grad_shift)
        .joinable()
        .sharing_columns(columns, 1)
}

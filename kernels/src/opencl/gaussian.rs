//! What a ladder does with Gaussians unit by unit: heads that make them, samples drawn from them, two merged into one.

use super::context::Context;
use super::program::File;
use crate::backend::{GaussianGradient, GaussianView, Matrix};
use crate::check::{Extent, check, common_float, operands};
use crate::{Result, View, ViewMut};

/// `Backend::gaussian_head`.
pub(super) fn gaussian_head(
    context: &Context,
    matrix: Matrix,
    floor: f64,
    x: View<'_>,
    mut mean: ViewMut<'_>,
    mut variance: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "gaussian_head";
    check(NAME, Extent::Matrix(matrix.both_halves()), operands!(x))?;
    check(NAME, Extent::Matrix(matrix), operands!(mean, variance))?;
    let dtype = common_float(NAME, operands!(x, mean, variance))?;
    let launch = context.launch(NAME, dtype, File::Gaussian, NAME).count(matrix.columns).real(floor);
    launch.input(x).output(&mut mean).output(&mut variance).over_rows(matrix.columns, matrix.rows)
}

/// `Backend::gaussian_head_backward`.
pub(super) fn gaussian_head_backward(
    context: &Context,
    matrix: Matrix,
    x: View<'_>,
    grad_mean: Option<View<'_>>,
    grad_variance: Option<View<'_>>,
    mut grad_x: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "gaussian_head_backward";
    check(NAME, Extent::Matrix(matrix.both_halves()), operands!(x, grad_x))?;
    check(NAME, Extent::Matrix(matrix), operands!(grad_mean, grad_variance))?;
    let dtype = common_float(NAME, operands!(x, grad_mean, grad_variance, grad_x))?;
    let launch = context.launch(NAME, dtype, File::Gaussian, NAME).count(matrix.columns).input(x);
    let launch = launch.input_or_null(grad_mean).input_or_null(grad_variance);
    launch.output(&mut grad_x).over_rows(matrix.columns, matrix.rows)
}

/// `Backend::reparameterise`.
pub(super) fn reparameterise(
    context: &Context,
    q: GaussianView<'_>,
    noise: View<'_>,
    mut out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "reparameterise";
    let n = out.len();
    check(NAME, Extent::Like("out", n), operands!(q, noise))?;
    let dtype = common_float(NAME, operands!(q, noise, out))?;
    let launch = context.launch(NAME, dtype, File::Gaussian, NAME).count(n);
    launch.input(q.mean).input(q.variance).input(noise).output(&mut out).over(n)
}

/// `Backend::reparameterise_backward`.
pub(super) fn reparameterise_backward(
    context: &Context,
    variance: View<'_>,
    noise: View<'_>,
    grad_out: View<'_>,
    add: bool,
    mut grad: GaussianGradient<'_>,
) -> Result<()> {
    const NAME: &str = "reparameterise_backward";
    let n = grad_out.len();
    check(NAME, Extent::Like("grad_out", n), operands!(variance, noise, grad))?;
    let dtype = common_float(NAME, operands!(variance, noise, grad_out, grad))?;
    let launch = context.launch(NAME, dtype, File::Gaussian, NAME).count(n).word(u32::from(add));
    let launch = launch.input(variance).input(noise).input(grad_out);
    launch.output_or_null(&mut grad.mean).output_or_null(&mut grad.variance).over(n)
}

/// `Backend::merge`.
pub(super) fn merge(
    context: &Context,
    first: GaussianView<'_>,
    second: GaussianView<'_>,
    mut mean: ViewMut<'_>,
    mut variance: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "merge";
    let n = mean.len();
    check(NAME, Extent::Like("mean", n), operands!(first, second, variance))?;
    let dtype = common_float(NAME, operands!(first, second, mean, variance))?;
    let launch = context.launch(NAME, dtype, File::Gaussian, NAME).count(n);
    let launch = launch.input(first.mean).input(first.variance).input(second.mean).input(second.variance);
    launch.output(&mut mean).output(&mut variance).over(n)
}

/// `Backend::merge_backward`.
pub(super) fn merge_backward(
    context: &Context,
    first: GaussianView<'_>,
    second: GaussianView<'_>,
    grad_mean: Option<View<'_>>,
    grad_variance: Option<View<'_>>,
    mut grad_first: GaussianGradient<'_>,
    mut grad_second: GaussianGradient<'_>,
) -> Result<()> {
    const NAME: &str = "merge_backward";
    let n = first.mean.len();
    check(
        NAME,
        Extent::Like("first.mean", n),
        operands!(first, second, grad_mean, grad_variance, grad_first, grad_second),
    )?;
    let dtype = common_float(NAME, operands!(first, second, grad_mean, grad_variance, grad_first, grad_second))?;
    let launch = context.launch(NAME, dtype, File::Gaussian, NAME).count(n);
    let launch = launch.input(first.mean).input(first.variance).input(second.mean).input(second.variance);
    let launch = launch.input_or_null(grad_mean).input_or_null(grad_variance);
    let launch = launch.output_or_null(&mut grad_first.mean).output_or_null(&mut grad_first.variance);
    launch.output_or_null(&mut grad_second.mean).output_or_null(&mut grad_second.variance).over(n)
}

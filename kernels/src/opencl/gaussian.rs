//! What a ladder does with diagonal Gaussians: heads, samples, merges, log-densities and KL, and
//! all adjoints.

use super::context::Context;
use super::program::File;
use crate::backend::{GaussianGradient, GaussianView, Matrix};
use crate::check::{Extent, check, common_float, operands, rows_before_repeat};
use crate::{Result, View, ViewMut};

/// `gaussian_head`, as declared.
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
    let launch =
        context.launch(NAME, dtype, File::Gaussian, NAME).count(matrix.columns).real(floor);
    let launch = launch.input(x).output(&mut mean).output(&mut variance);
    launch.joinable().over_rows(matrix.columns, matrix.rows)
}

/// `gaussian_head_backward`, as declared.
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
    launch.output(&mut grad_x).joinable().over_rows(matrix.columns, matrix.rows)
}

/// `reparameterise`, as declared.
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

/// `reparameterise_backward`, as declared.
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

/// `merge`, as declared.
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
    let launch =
        launch.input(first.mean).input(first.variance).input(second.mean).input(second.variance);
    launch.output(&mut mean).output(&mut variance).over(n)
}

/// `merge_backward`, as declared.
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
    let dtype = common_float(
        NAME,
        operands!(first, second, grad_mean, grad_variance, grad_first, grad_second),
    )?;
    let launch = context.launch(NAME, dtype, File::Gaussian, NAME).count(n);
    let launch =
        launch.input(first.mean).input(first.variance).input(second.mean).input(second.variance);
    let launch = launch.input_or_null(grad_mean).input_or_null(grad_variance);
    let launch =
        launch.output_or_null(&mut grad_first.mean).output_or_null(&mut grad_first.variance);
    launch.output_or_null(&mut grad_second.mean).output_or_null(&mut grad_second.variance).over(n)
}

/// `gaussian_log_prob`, as declared.
pub(super) fn gaussian_log_prob(
    context: &Context,
    matrix: Matrix,
    repeat: usize,
    x: View<'_>,
    p: GaussianView<'_>,
    mut out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "gaussian_log_prob";
    let x_rows = rows_before_repeat(NAME, matrix.rows, repeat)?;
    check(NAME, Extent::Matrix(Matrix { rows: x_rows, ..matrix }), operands!(x))?;
    check(NAME, Extent::Matrix(matrix), operands!(p))?;
    check(NAME, Extent::Rows(matrix.rows), operands!(out))?;
    let dtype = common_float(NAME, operands!(x, p, out))?;
    let launch =
        context.launch(NAME, dtype, File::Gaussian, NAME).count(matrix.columns).count(repeat);
    launch.input(x).input(p.mean).input(p.variance).output(&mut out).sharing_rows(matrix.rows, 1)
}

/// `gaussian_log_prob_backward`, as declared.
pub(super) fn gaussian_log_prob_backward(
    context: &Context,
    matrix: Matrix,
    repeat: usize,
    x: View<'_>,
    p: GaussianView<'_>,
    grad_out: View<'_>,
    mut grad_x: Option<ViewMut<'_>>,
    mut grad_p: GaussianGradient<'_>,
) -> Result<()> {
    const NAME: &str = "gaussian_log_prob_backward";
    let x_rows = rows_before_repeat(NAME, matrix.rows, repeat)?;
    check(NAME, Extent::Matrix(Matrix { rows: x_rows, ..matrix }), operands!(x, grad_x))?;
    check(NAME, Extent::Matrix(matrix), operands!(p, grad_p))?;
    check(NAME, Extent::Rows(matrix.rows), operands!(grad_out))?;
    let dtype = common_float(NAME, operands!(x, p, grad_out, grad_x, grad_p))?;
    let launch =
        context.launch(NAME, dtype, File::Gaussian, NAME).count(matrix.columns).count(repeat);
    let launch =
        launch.input(x).input(p.mean).input(p.variance).input(grad_out).output_or_null(&mut grad_x);
    let launch = launch.output_or_null(&mut grad_p.mean).output_or_null(&mut grad_p.variance);
    launch.over_rows(matrix.columns, x_rows)
}

/// `standard_normal_log_prob`, as declared.
pub(super) fn standard_normal_log_prob(
    context: &Context,
    matrix: Matrix,
    x: View<'_>,
    mut out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "standard_normal_log_prob";
    check(NAME, Extent::Matrix(matrix), operands!(x))?;
    check(NAME, Extent::Rows(matrix.rows), operands!(out))?;
    let dtype = common_float(NAME, operands!(x, out))?;
    let launch = context.launch(NAME, dtype, File::Gaussian, NAME).count(matrix.columns);
    launch.input(x).output(&mut out).sharing_rows(matrix.rows, 1)
}

/// `standard_normal_log_prob_backward`, as declared.
pub(super) fn standard_normal_log_prob_backward(
    context: &Context,
    matrix: Matrix,
    x: View<'_>,
    grad_out: View<'_>,
    mut grad_x: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "standard_normal_log_prob_backward";
    check(NAME, Extent::Matrix(matrix), operands!(x, grad_x))?;
    check(NAME, Extent::Rows(matrix.rows), operands!(grad_out))?;
    let dtype = common_float(NAME, operands!(x, grad_out, grad_x))?;
    let launch = context.launch(NAME, dtype, File::Gaussian, NAME).count(matrix.columns);
    launch.input(x).input(grad_out).output(&mut grad_x).over_rows(matrix.columns, matrix.rows)
}

/// `gaussian_log_ratio`, as declared.
pub(super) fn gaussian_log_ratio(
    context: &Context,
    matrix: Matrix,
    z: View<'_>,
    q: GaussianView<'_>,
    p: Option<GaussianView<'_>>,
    mut out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "gaussian_log_ratio";
    check(NAME, Extent::Matrix(matrix), operands!(z, q, p))?;
    check(NAME, Extent::Rows(matrix.rows), operands!(out))?;
    let dtype = common_float(NAME, operands!(z, q, p, out))?;
    let launch = context.launch(NAME, dtype, File::Gaussian, NAME).count(matrix.columns);
    let launch = launch.input(z).input(q.mean).input(q.variance);
    let launch = launch.input_or_null(p.map(|p| p.mean)).input_or_null(p.map(|p| p.variance));
    launch.output(&mut out).joinable().sharing_rows(matrix.rows, 1)
}

/// `gaussian_log_ratio_backward`, as declared.
pub(super) fn gaussian_log_ratio_backward(
    context: &Context,
    matrix: Matrix,
    z: View<'_>,
    q: GaussianView<'_>,
    p: Option<GaussianView<'_>>,
    grad_out: View<'_>,
    mut grad_z: Option<ViewMut<'_>>,
    mut grad_q: GaussianGradient<'_>,
    mut grad_p: GaussianGradient<'_>,
) -> Result<()> {
    const NAME: &str = "gaussian_log_ratio_backward";
    check(NAME, Extent::Matrix(matrix), operands!(z, q, p, grad_z, grad_q, grad_p))?;
    check(NAME, Extent::Rows(matrix.rows), operands!(grad_out))?;
    let dtype = common_float(NAME, operands!(z, q, p, grad_out, grad_z, grad_q, grad_p))?;
    let launch = context.launch(NAME, dtype, File::Gaussian, NAME).count(matrix.columns);
    let launch = launch.input(z).input(q.mean).input(q.variance);
    let launch = launch
        .input_or_null(p.map(|p| p.mean))
        .input_or_null(p.map(|p| p.variance))
        .input(grad_out);
    let launch = launch.output_or_null(&mut grad_z);
    let launch = launch.output_or_null(&mut grad_q.mean).output_or_null(&mut grad_q.variance);
    let launch = launch.output_or_null(&mut grad_p.mean).output_or_null(&mut grad_p.variance);
    launch.joinable().over_rows(matrix.columns, matrix.rows)
}

/// `gaussian_kl`, as declared.
pub(super) fn gaussian_kl(
    context: &Context,
    matrix: Matrix,
    q: GaussianView<'_>,
    p: Option<GaussianView<'_>>,
    mut out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "gaussian_kl";
    check(NAME, Extent::Matrix(matrix), operands!(q, p))?;
    check(NAME, Extent::Rows(matrix.rows), operands!(out))?;
    let dtype = common_float(NAME, operands!(q, p, out))?;
    let kernel = if p.is_some() { NAME } else { "gaussian_kl_standard" };
    let launch = context.launch(NAME, dtype, File::Gaussian, kernel).count(matrix.columns);
    let launch = launch.input(q.mean).input(q.variance);
    let launch = match p {
        Some(p) => launch.input(p.mean).input(p.variance),
        None => launch,
    };
    launch.output(&mut out).sharing_rows(matrix.rows, 1)
}

/// `gaussian_kl_backward`, as declared.
pub(super) fn gaussian_kl_backward(
    context: &Context,
    matrix: Matrix,
    q: GaussianView<'_>,
    p: Option<GaussianView<'_>>,
    grad_out: View<'_>,
    mut grad_q: GaussianGradient<'_>,
    mut grad_p: GaussianGradient<'_>,
) -> Result<()> {
    const NAME: &str = "gaussian_kl_backward";
    check(NAME, Extent::Matrix(matrix), operands!(q, p, grad_q, grad_p))?;
    check(NAME, Extent::Rows(matrix.rows), operands!(grad_out))?;
    let dtype = common_float(NAME, operands!(q, p, grad_out, grad_q, grad_p))?;
    let launch = context.launch(NAME, dtype, File::Gaussian, NAME).count(matrix.columns);
    let launch = launch.input(q.mean).input(q.variance);
    let launch = launch
        .input_or_null(p.map(|p| p.mean))
        .input_or_null(p.map(|p| p.variance))
        .input(grad_out);
    let launch = launch.output_or_null(&mut grad_q.mean).output_or_null(&mut grad_q.variance);
    let launch = launch.output_or_null(&mut grad_p.mean).output_or_null(&mut grad_p.variance);
    launch.over_rows(matrix.columns, matrix.rows)
}

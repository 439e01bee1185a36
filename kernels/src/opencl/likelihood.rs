//! Densities and divergences, one number for each row, with their adjoints: Gaussian, standard normal, Bernoulli.

use super::context::Context;
use super::program::File;
use crate::backend::{GaussianGradient, GaussianView, Matrix};
use crate::check::{Extent, check, common_float, operands, rows_before_repeat};
use crate::{Result, View, ViewMut};

/// `Backend::gaussian_log_prob`.
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
    let launch = context.launch(NAME, dtype, File::Gaussian, NAME).count(matrix.columns).count(repeat);
    launch.input(x).input(p.mean).input(p.variance).output(&mut out).sharing_rows(matrix.rows, 1)
}

/// `Backend::gaussian_log_prob_backward`.
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
    let launch = context.launch(NAME, dtype, File::Gaussian, NAME).count(matrix.columns).count(repeat);
    let launch = launch.input(x).input(p.mean).input(p.variance).input(grad_out).output_or_null(&mut grad_x);
    let launch = launch.output_or_null(&mut grad_p.mean).output_or_null(&mut grad_p.variance);
    launch.over_rows(matrix.columns, x_rows)
}

/// `Backend::standard_normal_log_prob`.
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

/// `Backend::standard_normal_log_prob_backward`.
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

/// `Backend::gaussian_log_ratio`.
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
    let kernel = if p.is_some() { NAME } else { "gaussian_log_ratio_standard" };
    let launch = context.launch(NAME, dtype, File::Gaussian, kernel).count(matrix.columns);
    let launch = launch.input(z).input(q.mean).input(q.variance);
    let launch = match p {
        Some(p) => launch.input(p.mean).input(p.variance),
        None => launch,
    };
    launch.output(&mut out).sharing_rows(matrix.rows, 1)
}

/// `Backend::gaussian_log_ratio_backward`.
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
    let launch = launch.input_or_null(p.map(|p| p.mean)).input_or_null(p.map(|p| p.variance)).input(grad_out);
    let launch = launch.output_or_null(&mut grad_z);
    let launch = launch.output_or_null(&mut grad_q.mean).output_or_null(&mut grad_q.variance);
    let launch = launch.output_or_null(&mut grad_p.mean).output_or_null(&mut grad_p.variance);
    launch.over_rows(matrix.columns, matrix.rows)
}

/// `Backend::gaussian_kl`.
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

/// `Backend::gaussian_kl_backward`.
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
    let launch = launch.input_or_null(p.map(|p| p.mean)).input_or_null(p.map(|p| p.variance)).input(grad_out);
    let launch = launch.output_or_null(&mut grad_q.mean).output_or_null(&mut grad_q.variance);
    let launch = launch.output_or_null(&mut grad_p.mean).output_or_null(&mut grad_p.variance);
    launch.over_rows(matrix.columns, matrix.rows)
}

/// `Backend::bernoulli_log_prob`.
pub(super) fn bernoulli_log_prob(
    context: &Context,
    matrix: Matrix,
    repeat: usize,
    x: View<'_>,
    logits: View<'_>,
    mut out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "bernoulli_log_prob";
    let x_rows = rows_before_repeat(NAME, matrix.rows, repeat)?;
    check(NAME, Extent::Matrix(Matrix { rows: x_rows, ..matrix }), operands!(x))?;
    check(NAME, Extent::Matrix(matrix), operands!(logits))?;
    check(NAME, Extent::Rows(matrix.rows), operands!(out))?;
    let dtype = common_float(NAME, operands!(x, logits, out))?;
    let launch = context.launch(NAME, dtype, File::Gaussian, NAME).count(matrix.columns).count(repeat);
    launch.input(x).input(logits).output(&mut out).sharing_rows(matrix.rows, 1)
}

/// `Backend::bernoulli_log_prob_backward`.
pub(super) fn bernoulli_log_prob_backward(
    context: &Context,
    matrix: Matrix,
    repeat: usize,
    x: View<'_>,
    logits: View<'_>,
    grad_out: View<'_>,
    mut grad_logits: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "bernoulli_log_prob_backward";
    let x_rows = rows_before_repeat(NAME, matrix.rows, repeat)?;
    check(NAME, Extent::Matrix(Matrix { rows: x_rows, ..matrix }), operands!(x))?;
    check(NAME, Extent::Matrix(matrix), operands!(logits, grad_logits))?;
    check(NAME, Extent::Rows(matrix.rows), operands!(grad_out))?;
    let dtype = common_float(NAME, operands!(x, logits, grad_out, grad_logits))?;
    let launch = context.launch(NAME, dtype, File::Gaussian, NAME).count(matrix.columns).count(repeat);
    let launch = launch.input(x).input(logits).input(grad_out);
    launch.output(&mut grad_logits).over_rows(matrix.columns, matrix.rows)
}

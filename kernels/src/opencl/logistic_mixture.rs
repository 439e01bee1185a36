//! The likelihood of pixels under mixtures of discretised logistics: pixel by pixel, then summed
//! over each image.

use std::sync::Arc;

use super::context::Context;
use super::launch::Launch;
use super::program::File;
use super::reduce::reduce;
use crate::backend::LogisticMixture;
use crate::check::{Extent, check, common_float, operands};
use crate::{AxisExtent, DType, Reduction, Result, View, ViewMut};

/// `logistic_mixture_log_prob`, as declared.
pub(super) fn logistic_mixture_log_prob(
    context: &Arc<Context>,
    mixture: LogisticMixture,
    x: View<'_>,
    parameters: View<'_>,
    out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "logistic_mixture_log_prob";
    mixture.check(NAME)?;
    check(NAME, Extent::Matrix(mixture.data_matrix()), operands!(x))?;
    check(NAME, Extent::Matrix(mixture.parameter_matrix()), operands!(parameters))?;
    check(NAME, Extent::Rows(mixture.images), operands!(out))?;
    let dtype = common_float(NAME, operands!(x, parameters, out))?;
    let count = mixture.images * mixture.pixels;
    let mut of_pixels = Context::allocate(context, dtype, count)?;
    let fresh = of_pixels.get_mut().expect("bug: a fresh buffer is shared; please report it");
    let launch = sized(context, NAME, "log_prob", dtype, &mixture).input(x).input(parameters);
    launch.output(&mut fresh.view_mut()).over_items(count)?;
    let extent = AxisExtent { outer: mixture.images, axis: mixture.pixels, inner: 1 };
    reduce(context, Reduction::Sum, extent, of_pixels.view(), out)
}

/// `logistic_mixture_log_prob_backward`, as declared.
pub(super) fn logistic_mixture_log_prob_backward(
    context: &Arc<Context>,
    mixture: LogisticMixture,
    x: View<'_>,
    parameters: View<'_>,
    grad_out: View<'_>,
    mut grad_parameters: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "logistic_mixture_log_prob_backward";
    mixture.check(NAME)?;
    check(NAME, Extent::Matrix(mixture.data_matrix()), operands!(x))?;
    check(
        NAME,
        Extent::Matrix(mixture.parameter_matrix()),
        operands!(parameters, grad_parameters),
    )?;
    check(NAME, Extent::Rows(mixture.images), operands!(grad_out))?;
    let dtype = common_float(NAME, operands!(x, parameters, grad_out, grad_parameters))?;
    let launch = sized(context, NAME, "log_prob_backward", dtype, &mixture);
    let launch = launch.input(x).input(parameters).input(grad_out);
    launch.output(&mut grad_parameters).over_items(mixture.images * mixture.pixels)
}

/// A launch with the sizes that both kernels take first.
fn sized<'a>(
    context: &'a Context,
    operation: &'static str,
    kernel: &'static str,
    dtype: DType,
    mixture: &LogisticMixture,
) -> Launch<'a> {
    let launch = context.launch(operation, dtype, File::LogisticMixture, kernel);
    let launch =
        launch.count(mixture.images * mixture.pixels).count(mixture.pixels).count(mixture.repeat);
    launch.count(mixture.channels).count(mixture.components).real(mixture.half_bin())
}

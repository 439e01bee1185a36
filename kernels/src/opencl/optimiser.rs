//! Optimisers: one launch over all parameters.

use super::context::Context;
use super::program::File;
use crate::backend::{AdamStep, AdamaxStep, Clipping, RmsPropStep};
use crate::check::{Extent, check, common_float, operands};
use crate::{Result, View, ViewMut};

/// `clip_gradient`, as declared.
pub(super) fn clip_gradient(
    context: &Context,
    clipping: Clipping<'_>,
    mut gradient: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "clip_gradient";
    check(NAME, Extent::Elements(1), operands!(clipping))?;
    let dtype = common_float(NAME, operands!(clipping, gradient))?;
    let n = gradient.len();
    let launch = context.launch(NAME, dtype, File::Optimiser, "clip_gradient").count(n);
    let launch = launch.wide(clipping.norm_limit).real(clipping.element_limit);
    launch.input(clipping.squared_norm).output(&mut gradient).over(n)
}

/// `adam`, as declared.
pub(super) fn adam(
    context: &Context,
    step: AdamStep,
    clipping: Option<Clipping<'_>>,
    gradient: View<'_>,
    mut value: ViewMut<'_>,
    mut first_moment: ViewMut<'_>,
    mut second_moment: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "adam";
    let n = gradient.len();
    check(NAME, Extent::Elements(1), operands!(clipping))?;
    check(NAME, Extent::Like("gradient", n), operands!(value, first_moment, second_moment))?;
    let dtype =
        common_float(NAME, operands!(clipping, gradient, value, first_moment, second_moment))?;
    let (norm_limit, element_limit) = limits_of(clipping);
    let launch =
        context.launch(NAME, dtype, File::Optimiser, "adam").count(n).real(step.corrected_rate);
    let launch =
        launch.real(step.beta_1).real(1.0 - step.beta_1).real(step.beta_2).real(1.0 - step.beta_2);
    let launch = launch.real(step.epsilon).wide(norm_limit).real(element_limit);
    let launch =
        launch.input_or_null(clipping.map(|clipping| clipping.squared_norm)).input(gradient);
    launch.output(&mut value).output(&mut first_moment).output(&mut second_moment).over(n)
}

/// `adamax`, as declared.
pub(super) fn adamax(
    context: &Context,
    step: AdamaxStep,
    gradient: View<'_>,
    mut value: ViewMut<'_>,
    mut first_moment: ViewMut<'_>,
    mut infinity_norm: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "adamax";
    let n = gradient.len();
    check(NAME, Extent::Like("gradient", n), operands!(value, first_moment, infinity_norm))?;
    let dtype = common_float(NAME, operands!(gradient, value, first_moment, infinity_norm))?;
    let launch =
        context.launch(NAME, dtype, File::Optimiser, "adamax").count(n).real(step.corrected_rate);
    let launch =
        launch.real(step.beta_1).real(1.0 - step.beta_1).real(step.beta_2).real(step.epsilon);
    let launch = launch.input(gradient);
    launch.output(&mut value).output(&mut first_moment).output(&mut infinity_norm).over(n)
}

/// `rmsprop`, as declared.
pub(super) fn rmsprop(
    context: &Context,
    step: RmsPropStep,
    clipping: Option<Clipping<'_>>,
    gradient: View<'_>,
    mut value: ViewMut<'_>,
    mut mean_square: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "rmsprop";
    let n = gradient.len();
    check(NAME, Extent::Elements(1), operands!(clipping))?;
    check(NAME, Extent::Like("gradient", n), operands!(value, mean_square))?;
    let dtype = common_float(NAME, operands!(clipping, gradient, value, mean_square))?;
    let (norm_limit, element_limit) = limits_of(clipping);
    let launch =
        context.launch(NAME, dtype, File::Optimiser, NAME).count(n).real(step.learning_rate);
    let launch = launch.real(step.decay).real(1.0 - step.decay).real(step.epsilon);
    let launch = launch.wide(norm_limit).real(element_limit);
    let launch =
        launch.input_or_null(clipping.map(|clipping| clipping.squared_norm)).input(gradient);
    launch.output(&mut value).output(&mut mean_square).over(n)
}

/// The limits of the norm and of each element; infinite where there is no clipping.
fn limits_of(clipping: Option<Clipping<'_>>) -> (f64, f64) {
    clipping.map_or((f64::INFINITY, f64::INFINITY), |clipping| {
        (clipping.norm_limit, clipping.element_limit)
    })
}

/// `sgd`, as declared.
pub(super) fn sgd(
    context: &Context,
    learning_rate: f64,
    momentum: f64,
    gradient: View<'_>,
    mut value: ViewMut<'_>,
    mut velocity: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "sgd";
    let n = gradient.len();
    check(NAME, Extent::Like("gradient", n), operands!(value, velocity))?;
    let dtype = common_float(NAME, operands!(gradient, value, velocity))?;
    let launch = context
        .launch(NAME, dtype, File::Optimiser, "sgd")
        .count(n)
        .real(learning_rate)
        .real(momentum);
    launch.input(gradient).output(&mut value).output(&mut velocity).over(n)
}

//! Element by element. The kernels of a file are named by their function, which is chosen here.

use super::context::Context;
use super::program::File;
use crate::check::{Extent, check, common_float, operands};
use crate::shape::Broadcast;
use crate::{BinaryFunction, DerivativeNeeds, Error, MAX_RANK, Result, UnaryFunction, View, ViewMut};

/// The name of the kernel `$family` of a function of one number, and the function's parameters.
macro_rules! kernel_of {
    ($function:expr, $family:literal) => {{
        use $crate::UnaryFunction as F;
        match $function {
            F::Identity => (concat!($family, "identity"), 0.0, 0.0),
            F::Negate => (concat!($family, "negate"), 0.0, 0.0),
            F::Exp => (concat!($family, "exp"), 0.0, 0.0),
            F::Log => (concat!($family, "log"), 0.0, 0.0),
            F::Sqrt => (concat!($family, "sqrt"), 0.0, 0.0),
            F::Square => (concat!($family, "square"), 0.0, 0.0),
            F::Reciprocal => (concat!($family, "reciprocal"), 0.0, 0.0),
            F::Power(power) => (concat!($family, "power"), power, 0.0),
            F::Abs => (concat!($family, "abs"), 0.0, 0.0),
            F::Relu => (concat!($family, "relu"), 0.0, 0.0),
            F::LeakyRelu(slope) => (concat!($family, "leaky_relu"), slope, 0.0),
            F::Elu(scale) => (concat!($family, "elu"), scale, 0.0),
            F::Tanh => (concat!($family, "tanh"), 0.0, 0.0),
            F::Sigmoid => (concat!($family, "sigmoid"), 0.0, 0.0),
            F::Softplus => (concat!($family, "softplus"), 0.0, 0.0),
            F::Sin => (concat!($family, "sin"), 0.0, 0.0),
            F::Cos => (concat!($family, "cos"), 0.0, 0.0),
            F::Clamp(low, high) => (concat!($family, "clamp"), low, high),
            F::Affine(factor, offset) => (concat!($family, "affine"), factor, offset),
        }
    }};
}

pub(super) use kernel_of;

/// `Backend::unary`.
pub(super) fn unary(context: &Context, function: UnaryFunction, x: View<'_>, mut out: ViewMut<'_>) -> Result<()> {
    const NAME: &str = "unary";
    check(NAME, Extent::Like("out", out.len()), operands!(x))?;
    let (n, dtype) = (out.len(), common_float(NAME, operands!(x, out))?);
    let (kernel, a, b) = kernel_of!(function, "unary_");
    let launch = context.launch(NAME, dtype, File::Elementwise, kernel).count(n).real(a).real(b);
    launch.input(x).output(&mut out).over(n)
}

/// `Backend::unary_backward`.
pub(super) fn unary_backward(
    context: &Context,
    function: UnaryFunction,
    saved: View<'_>,
    grad_out: View<'_>,
    mut grad_x: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "unary_backward";
    let saved = if function.derivative_needs() == DerivativeNeeds::Nothing { grad_out } else { saved };
    check(NAME, Extent::Like("grad_x", grad_x.len()), operands!(saved, grad_out))?;
    let (n, dtype) = (grad_x.len(), common_float(NAME, operands!(saved, grad_out, grad_x))?);
    let (kernel, a, b) = kernel_of!(function, "unary_backward_");
    let launch = context.launch(NAME, dtype, File::Elementwise, kernel).count(n).real(a).real(b);
    launch.input(saved).input(grad_out).output(&mut grad_x).over(n)
}

/// `Backend::scale_and_add`.
pub(super) fn scale_and_add(context: &Context, a: f64, x: View<'_>, b: f64, mut out: ViewMut<'_>) -> Result<()> {
    const NAME: &str = "scale_and_add";
    check(NAME, Extent::Like("out", out.len()), operands!(x))?;
    let (n, dtype) = (out.len(), common_float(NAME, operands!(x, out))?);
    let launch = context.launch(NAME, dtype, File::Elementwise, "scale_and_add").count(n).real(a).real(b);
    launch.input(x).output(&mut out).over(n)
}

/// `Backend::binary`.
pub(super) fn binary(
    context: &Context,
    function: BinaryFunction,
    broadcast: &Broadcast,
    left: View<'_>,
    right: View<'_>,
    mut out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "binary";
    check(NAME, Extent::Elements(broadcast.element_count()), operands!(out))?;
    if out.is_empty() {
        return Ok(());
    }
    for (name, strides, len) in
        [("left", &broadcast.left_strides, left.len()), ("right", &broadcast.right_strides, right.len())]
    {
        let last: usize = broadcast.sizes.iter().zip(strides).map(|(size, stride)| (size - 1) * stride).sum();
        if last >= len {
            return Err(Error::argument(NAME, format!("{name} has {len} elements, its strides reach {}", last + 1)));
        }
    }
    let dtype = common_float(NAME, operands!(left, right, out))?;
    let (width, n) = (broadcast.sizes[MAX_RANK - 1], out.len());
    let mut launch = context.launch(NAME, dtype, File::Elementwise, binary_kernel(function));
    for axes in [&broadcast.sizes, &broadcast.left_strides, &broadcast.right_strides] {
        launch = launch.eight(six(axes)?);
    }
    launch.input(left).input(right).output(&mut out).over_rows(width, n / width)
}

/// Sizes or strides of the six axes as the kernel takes them.
fn six(axes: &[usize; MAX_RANK]) -> Result<[u32; 8]> {
    let mut words = [0; 8];
    for (word, &axis) in words.iter_mut().zip(axes) {
        *word = u32::try_from(axis).map_err(|_| {
            Error::argument("binary", format!("a size or stride of {axis} is more than a kernel counts"))
        })?;
    }
    Ok(words)
}

const fn binary_kernel(function: BinaryFunction) -> &'static str {
    match function {
        BinaryFunction::Add => "binary_add",
        BinaryFunction::Subtract => "binary_subtract",
        BinaryFunction::Multiply => "binary_multiply",
        BinaryFunction::Divide => "binary_divide",
        BinaryFunction::Maximum => "binary_maximum",
        BinaryFunction::Minimum => "binary_minimum",
        BinaryFunction::Less => "binary_less",
        BinaryFunction::LessOrEqual => "binary_less_or_equal",
        BinaryFunction::Greater => "binary_greater",
        BinaryFunction::GreaterOrEqual => "binary_greater_or_equal",
        BinaryFunction::Equal => "binary_equal",
        BinaryFunction::NotEqual => "binary_not_equal",
    }
}

//! Element by element. The kernels of a file are named by their function, which is chosen here.

use super::context::Context;
use super::program::File;
use crate::check::{Extent, check, common_float, operands};
use crate::function::binary_functions;
use crate::shape::Broadcast;
use crate::{
    BinaryFunction, DerivativeNeeds, Error, MAX_RANK, Result, UnaryFunction, View, ViewMut,
};

/// The name of the kernel `$family` of a function of one number, and the function's parameters.
macro_rules! kernel_of {
    ({ $function:expr, $family:tt } $(
        $(#[$doc:meta])*
        $variant:ident $(($($parameters:tt)+))? { name: $name:literal, $($row:tt)+ }
    )+) => {{
        let function: $crate::UnaryFunction = $function;
        let kernel = match function {
            $($crate::UnaryFunction::$variant { .. } => concat!($family, $name),)+
        };
        let [a, b] = function.parameters();
        (kernel, a, b)
    }};
    ($function:expr, $family:tt) => {
        $crate::function::unary_functions!(kernel_of! { $function, $family })
    };
}

pub(super) use kernel_of;

/// `unary`, as declared.
pub(super) fn unary(
    context: &Context,
    function: UnaryFunction,
    x: View<'_>,
    mut out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "unary";
    check(NAME, Extent::Like("out", out.len()), operands!(x))?;
    let (n, dtype) = (out.len(), common_float(NAME, operands!(x, out))?);
    let (kernel, a, b) = kernel_of!(function, "unary_");
    let launch = context.launch(NAME, dtype, File::Elementwise, kernel).count(n).real(a).real(b);
    launch.input(x).output(&mut out).over(n)
}

/// `unary_backward`, as declared.
pub(super) fn unary_backward(
    context: &Context,
    function: UnaryFunction,
    saved: View<'_>,
    grad_out: View<'_>,
    mut grad_x: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "unary_backward";
    let saved =
        if function.derivative_needs() == DerivativeNeeds::Nothing { grad_out } else { saved };
    check(NAME, Extent::Like("grad_x", grad_x.len()), operands!(saved, grad_out))?;
    let (n, dtype) = (grad_x.len(), common_float(NAME, operands!(saved, grad_out, grad_x))?);
    let (kernel, a, b) = kernel_of!(function, "unary_backward_");
    let launch = context.launch(NAME, dtype, File::Elementwise, kernel).count(n).real(a).real(b);
    launch.input(saved).input(grad_out).output(&mut grad_x).over(n)
}

/// `scale_and_add`, as declared.
pub(super) fn scale_and_add(
    context: &Context,
    a: f64,
    x: View<'_>,
    b: f64,
    mut out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "scale_and_add";
    check(NAME, Extent::Like("out", out.len()), operands!(x))?;
    let (n, dtype) = (out.len(), common_float(NAME, operands!(x, out))?);
    let launch =
        context.launch(NAME, dtype, File::Elementwise, "scale_and_add").count(n).real(a).real(b);
    launch.input(x).output(&mut out).joinable().over(n)
}

/// `binary`, as declared.
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
    for (name, strides, len) in [
        ("left", &broadcast.left_strides, left.len()),
        ("right", &broadcast.right_strides, right.len()),
    ] {
        let last: usize =
            broadcast.sizes.iter().zip(strides).map(|(size, stride)| (size - 1) * stride).sum();
        if last >= len {
            return Err(Error::argument(
                NAME,
                format!("{name} has {len} elements, its strides reach {}", last + 1),
            ));
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
            Error::argument(
                "binary",
                format!("a size or stride of {axis} is more than a kernel counts"),
            )
        })?;
    }
    Ok(words)
}

const fn binary_kernel(function: BinaryFunction) -> &'static str {
    /// The name of the kernel of each row of the table.
    macro_rules! choose {
        ({} $($(#[$doc:meta])* $variant:ident { name: $name:literal, $($row:tt)+ })+) => {
            match function {
                $(BinaryFunction::$variant => concat!("binary_", $name),)+
            }
        };
    }
    binary_functions!(choose! {})
}

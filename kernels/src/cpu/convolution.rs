//! Convolutions: checks in front of the products with patches, and the shapes that are plain
//! products.

use super::gemm::Epilogue;
use super::typed::{Extent, Float, check, for_float, operands};
use crate::backend::Convolution;
use crate::{MatmulShape, Result, View, ViewMut};

/// `conv2d`, as declared.
pub(super) fn conv2d(
    convolution: Convolution,
    x: View<'_>,
    weight: View<'_>,
    bias: Option<View<'_>>,
    out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "conv2d";
    convolution.check(NAME)?;
    check(NAME, Extent::Matrix(convolution.input_matrix()), operands!(x))?;
    check(NAME, Extent::Matrix(convolution.weight_matrix()), operands!(weight))?;
    check(NAME, Extent::Elements(convolution.out_channels), operands!(bias))?;
    check(NAME, Extent::Matrix(convolution.output_matrix()), operands!(out))?;
    for_float!(NAME, (x, weight, bias, out) => forward(&convolution, x, weight, bias, out));
    Ok(())
}

fn forward<T: Float>(
    convolution: &Convolution,
    x: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    out: &mut [T],
) {
    let Some(tap) = convolution.single_tap() else {
        return T::convolve(convolution, x, weight, bias, out);
    };
    let shape = MatmulShape { inner: convolution.in_channels, ..convolution.product() };
    let epilogue = bias.map_or(Epilogue::Store, Epilogue::AddBias);
    T::product(shape, x, &weight[tap..tap + shape.right_len()], epilogue, out);
}

/// `conv2d_transpose`, as declared.
pub(super) fn conv2d_transpose(
    convolution: Convolution,
    y: View<'_>,
    weight: View<'_>,
    bias: Option<View<'_>>,
    out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "conv2d_transpose";
    convolution.check(NAME)?;
    check(NAME, Extent::Matrix(convolution.output_matrix()), operands!(y))?;
    check(NAME, Extent::Matrix(convolution.weight_matrix()), operands!(weight))?;
    check(NAME, Extent::Elements(convolution.in_channels), operands!(bias))?;
    check(NAME, Extent::Matrix(convolution.input_matrix()), operands!(out))?;
    for_float!(NAME, (y, weight, bias, out) => transposed(&convolution, y, weight, bias, out));
    Ok(())
}

fn transposed<T: Float>(
    convolution: &Convolution,
    y: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    out: &mut [T],
) {
    let Some(tap) = convolution.single_tap() else {
        return T::convolve_transposed(convolution, y, weight, bias, out);
    };
    let (rows, columns) = (convolution.output_matrix().rows, convolution.in_channels);
    let inner = convolution.out_channels;
    let shape = MatmulShape { right_transposed: true, ..MatmulShape::plain(rows, columns, inner) };
    let epilogue = bias.map_or(Epilogue::Store, Epilogue::AddBias);
    T::product(shape, y, &weight[tap..tap + shape.right_len()], epilogue, out);
}

/// `conv2d_weight_gradient`, as declared.
pub(super) fn conv2d_weight_gradient(
    convolution: Convolution,
    x: View<'_>,
    grad_out: View<'_>,
    grad_weight: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "conv2d_weight_gradient";
    convolution.check(NAME)?;
    check(NAME, Extent::Matrix(convolution.input_matrix()), operands!(x))?;
    check(NAME, Extent::Matrix(convolution.output_matrix()), operands!(grad_out))?;
    check(NAME, Extent::Matrix(convolution.weight_matrix()), operands!(grad_weight))?;
    for_float!(NAME, (x, grad_out, grad_weight) => weight_gradient(&convolution, x, grad_out, grad_weight));
    Ok(())
}

fn weight_gradient<T: Float>(
    convolution: &Convolution,
    x: &[T],
    grad_out: &[T],
    grad_weight: &mut [T],
) {
    let Some(tap) = convolution.single_tap() else {
        return T::correlate_weight(convolution, x, grad_out, grad_weight);
    };
    let (rows, columns) = (convolution.in_channels, convolution.out_channels);
    let inner = convolution.output_matrix().rows;
    let shape = MatmulShape { left_transposed: true, ..MatmulShape::plain(rows, columns, inner) };
    let (before, rest) = grad_weight.split_at_mut(tap);
    let (own, after) = rest.split_at_mut(shape.out_len());
    before.fill(T::ZERO);
    after.fill(T::ZERO);
    T::product(shape, x, grad_out, Epilogue::Store, own);
}

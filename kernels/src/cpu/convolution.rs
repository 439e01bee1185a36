//! Convolutions: checks in front of the products with patches, and the shapes that are plain
//! products.

use super::gemm::Epilogue;
use super::parallel::{for_each_block_of, rows};
use super::scratch::Scratch;
use super::typed::{Extent, Float, check, for_float, operands};
use crate::backend::{Convolution, Padding};
use crate::{MatmulShape, Precision, Result, View, ViewMut};

/// Channels of a map that fill so little of a vector that its gradient is summed from planes: those
/// of an image.
const FEW_CHANNELS: usize = 3;

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
    T::product(shape, Precision::Full, x, &weight[tap..tap + shape.right_len()], epilogue, out);
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
        // With padding as well, but there it would change the bits of what has been trained.
        let has_few = convolution.in_channels <= FEW_CHANNELS;
        if has_few && convolution.padding == Padding::Valid {
            return summed_planes(convolution, y, weight, bias, out);
        }
        return T::convolve_transposed(convolution, y, weight, bias, out);
    };
    let (rows, columns) = (convolution.output_matrix().rows, convolution.in_channels);
    let inner = convolution.out_channels;
    let shape = MatmulShape { right_transposed: true, ..MatmulShape::plain(rows, columns, inner) };
    let epilogue = bias.map_or(Epilogue::Store, Epilogue::AddBias);
    T::product(shape, Precision::Full, y, &weight[tap..tap + shape.right_len()], epilogue, out);
}

/// The transposed convolution without padding to a map of few channels, an image at a time: the
/// product weight · yᵀ gives a plane of positions for each tap and channel, which fills vectors as
/// the channels do not; then the planes are added where their tap reads, in the order of the taps.
fn summed_planes<T: Float>(
    convolution: &Convolution,
    y: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    out: &mut [T],
) {
    let one = Convolution { batch: 1, ..*convolution };
    let (positions, terms) = (one.output_matrix().rows, one.weight_matrix().rows);
    let inner = convolution.out_channels;
    let shape =
        MatmulShape { right_transposed: true, ..MatmulShape::plain(terms, positions, inner) };
    let ([_, width], [_, columns]) = (convolution.input, convolution.output());
    let (channels, step) = (convolution.in_channels, convolution.stride * convolution.in_channels);
    let (planes_len, image_len) = (shape.out_len(), one.input_matrix().element_count());
    let work = shape.multiply_adds().max(1);
    Scratch::reserve::<T>(rayon::current_num_threads().min(convolution.batch), planes_len);
    for_each_block_of(1, convolution.batch, work, rows(out, image_len), |range, mut out| {
        let mut scratch = Scratch::take::<T>(planes_len);
        let planes = scratch.as_mut_slice::<T>(planes_len);
        for (at, image) in range.enumerate() {
            let out = out.row(at);
            for (i, out) in out.iter_mut().enumerate() {
                *out = bias.map_or(T::ZERO, |bias| bias[i % channels]);
            }
            if planes_len == 0 {
                continue;
            }
            let y = &y[image * shape.right_len()..][..shape.right_len()];
            T::product(shape, Precision::Full, weight, y, Epilogue::Store, planes);
            for (term, plane) in planes.chunks_exact(positions).enumerate() {
                let (tap, channel) = (term / channels, term % channels);
                let (a, b) = (tap / convolution.kernel[1], tap % convolution.kernel[1]);
                for (p, plane) in plane.chunks_exact(columns).enumerate() {
                    let row = p * convolution.stride + a;
                    add_apart(plane, &mut out[(row * width + b) * channels + channel..], step);
                }
            }
        }
    });
}

/// out[i · step] += x[i].
fn add_apart<T: Float>(x: &[T], out: &mut [T], step: usize) {
    if step == 1 {
        return out.iter_mut().zip(x).for_each(|(out, &x)| *out += x);
    }
    out.iter_mut().step_by(step).zip(x).for_each(|(out, &x)| *out += x);
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
    for_float!(NAME, (x, grad_out, grad_weight) =>
        weight_gradient(&convolution, x, grad_out, grad_weight));
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
    T::product(shape, Precision::Full, x, grad_out, Epilogue::Store, own);
}

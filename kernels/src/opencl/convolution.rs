//! Convolutions as matrix products with patches: of some images at a time, so that the patches fit
//! into a bounded buffer.

use std::ops::Range;
use std::sync::Arc;

use super::context::Context;
use super::launch::Launch;
use super::matmul::{matmul, matmul_accumulate};
use super::program::File;
use super::transfer::fill;
use crate::backend::Convolution;
use crate::check::{Extent, check, common_float, operands};
use crate::{DType, MatmulShape, Precision, Result, SharedBuffer, View, ViewMut};

/// Numbers of the patches' buffer (64 MiB of f32); an image whose patches are more has a larger
/// one.
const PATCHES_LEN: usize = 16 << 20;

/// `conv2d`, as declared.
pub(super) fn conv2d(
    context: &Arc<Context>,
    convolution: Convolution,
    x: View<'_>,
    weight: View<'_>,
    bias: Option<View<'_>>,
    mut out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "conv2d";
    convolution.check(NAME)?;
    check(NAME, Extent::Matrix(convolution.input_matrix()), operands!(x))?;
    check(NAME, Extent::Matrix(convolution.weight_matrix()), operands!(weight))?;
    check(NAME, Extent::Elements(convolution.out_channels), operands!(bias))?;
    check(NAME, Extent::Matrix(convolution.output_matrix()), operands!(out))?;
    let dtype = common_float(NAME, operands!(x, weight, bias, out))?;
    if let Some(tap) = convolution.single_tap() {
        let shape = MatmulShape { inner: convolution.in_channels, ..convolution.product() };
        return matmul(
            context,
            shape,
            Precision::Full,
            x,
            weight.range(tap..tap + shape.right_len()),
            bias,
            out,
        );
    }
    let chunks = Chunks::new(&convolution);
    let mut patches = chunks.patches(context, dtype)?;
    for images in chunks.all() {
        let part = Convolution { batch: images.len(), ..convolution };
        write_patches(
            context,
            NAME,
            &part,
            x.range(chunks.of_input(&images)),
            whole(&mut patches),
        )?;
        let shape = part.product();
        let out = out.reborrow().range(chunks.of_output(&images));
        matmul(
            context,
            shape,
            Precision::Full,
            patches.view().range(0..shape.left_len()),
            weight,
            bias,
            out,
        )?;
    }
    Ok(())
}

/// `conv2d_transpose`, as declared.
pub(super) fn conv2d_transpose(
    context: &Arc<Context>,
    convolution: Convolution,
    y: View<'_>,
    weight: View<'_>,
    bias: Option<View<'_>>,
    mut out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "conv2d_transpose";
    convolution.check(NAME)?;
    check(NAME, Extent::Matrix(convolution.output_matrix()), operands!(y))?;
    check(NAME, Extent::Matrix(convolution.weight_matrix()), operands!(weight))?;
    check(NAME, Extent::Elements(convolution.in_channels), operands!(bias))?;
    check(NAME, Extent::Matrix(convolution.input_matrix()), operands!(out))?;
    let dtype = common_float(NAME, operands!(y, weight, bias, out))?;
    // Of each result a patch of adjoints: y · weightᵀ.
    let spread = |rows, columns| MatmulShape {
        right_transposed: true,
        ..MatmulShape::plain(rows, columns, convolution.out_channels)
    };
    if let Some(tap) = convolution.single_tap() {
        let shape = spread(convolution.output_matrix().rows, convolution.in_channels);
        return matmul(
            context,
            shape,
            Precision::Full,
            y,
            weight.range(tap..tap + shape.right_len()),
            bias,
            out,
        );
    }
    let chunks = Chunks::new(&convolution);
    let mut patches = chunks.patches(context, dtype)?;
    for images in chunks.all() {
        let part = Convolution { batch: images.len(), ..convolution };
        let shape = spread(part.output_matrix().rows, part.weight_matrix().rows);
        let y = y.range(chunks.of_output(&images));
        matmul(
            context,
            shape,
            Precision::Full,
            y,
            weight,
            None,
            whole(&mut patches).range(0..shape.out_len()),
        )?;
        let mut out = out.reborrow().range(chunks.of_input(&images));
        let launch = sized(context, NAME, "sum_patches", dtype, &part)
            .input(patches.view())
            .input_or_null(bias);
        launch.output(&mut out).over_rows(part.in_channels, part.input_matrix().rows)?;
    }
    Ok(())
}

/// `conv2d_weight_gradient`, as declared.
pub(super) fn conv2d_weight_gradient(
    context: &Arc<Context>,
    convolution: Convolution,
    x: View<'_>,
    grad_out: View<'_>,
    mut grad_weight: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "conv2d_weight_gradient";
    convolution.check(NAME)?;
    check(NAME, Extent::Matrix(convolution.input_matrix()), operands!(x))?;
    check(NAME, Extent::Matrix(convolution.output_matrix()), operands!(grad_out))?;
    check(NAME, Extent::Matrix(convolution.weight_matrix()), operands!(grad_weight))?;
    let dtype = common_float(NAME, operands!(x, grad_out, grad_weight))?;
    let sum = |rows, inner| MatmulShape {
        left_transposed: true,
        ..MatmulShape::plain(rows, convolution.out_channels, inner)
    };
    if let Some(tap) = convolution.single_tap() {
        let shape = sum(convolution.in_channels, convolution.output_matrix().rows);
        fill(context, 0.0, grad_weight.reborrow())?;
        return matmul(
            context,
            shape,
            Precision::Full,
            x,
            grad_out,
            None,
            grad_weight.range(tap..tap + shape.out_len()),
        );
    }
    let chunks = Chunks::new(&convolution);
    let mut patches = chunks.patches(context, dtype)?;
    fill(context, 0.0, grad_weight.reborrow())?;
    for images in chunks.all() {
        let part = Convolution { batch: images.len(), ..convolution };
        write_patches(
            context,
            NAME,
            &part,
            x.range(chunks.of_input(&images)),
            whole(&mut patches),
        )?;
        let shape = sum(part.weight_matrix().rows, part.output_matrix().rows);
        let (patches, grad_out) =
            (patches.view().range(0..shape.left_len()), grad_out.range(chunks.of_output(&images)));
        matmul_accumulate(
            context,
            shape,
            Precision::Full,
            patches,
            grad_out,
            grad_weight.reborrow(),
        )?;
    }
    Ok(())
}

/// Images whose patches are written out at once.
struct Chunks {
    batch: usize,
    images: usize,
    /// Numbers of an image's input, output and patches.
    lens: [usize; 3],
}

impl Chunks {
    fn new(convolution: &Convolution) -> Self {
        let one = Convolution { batch: 1, ..*convolution };
        let patches = one.product().left_len();
        let images = (PATCHES_LEN / patches.max(1)).clamp(1, convolution.batch.max(1));
        let lens =
            [one.input_matrix().element_count(), one.output_matrix().element_count(), patches];
        Self { batch: convolution.batch, images, lens }
    }

    /// A buffer for the patches, from the pool.
    fn patches(&self, context: &Arc<Context>, dtype: DType) -> Result<SharedBuffer> {
        Context::allocate(context, dtype, self.images * self.lens[2])
    }

    fn all(&self) -> impl Iterator<Item = Range<usize>> {
        let (batch, images) = (self.batch, self.images);
        (0..batch).step_by(images).map(move |start| start..batch.min(start + images))
    }

    fn of_input(&self, images: &Range<usize>) -> Range<usize> {
        images.start * self.lens[0]..images.end * self.lens[0]
    }

    fn of_output(&self, images: &Range<usize>) -> Range<usize> {
        images.start * self.lens[1]..images.end * self.lens[1]
    }
}

/// A buffer that nobody else holds, for writing.
fn whole(buffer: &mut SharedBuffer) -> ViewMut<'_> {
    buffer.get_mut().expect("bug: a fresh buffer is shared; please report it").view_mut()
}

fn write_patches(
    context: &Context,
    operation: &'static str,
    part: &Convolution,
    x: View<'_>,
    mut patches: ViewMut<'_>,
) -> Result<()> {
    let taps = part.output_matrix().rows * part.kernel[0] * part.kernel[1];
    let launch = sized(context, operation, "patches", x.dtype(), part).input(x);
    launch.output(&mut patches).over_rows(part.in_channels, taps)
}

/// A launch with the sizes that both kernels take first.
fn sized<'a>(
    context: &'a Context,
    operation: &'static str,
    kernel: &'static str,
    dtype: DType,
    part: &Convolution,
) -> Launch<'a> {
    let ([height, width], [rows, columns]) = (part.input, part.output());
    let ([kernel_height, kernel_width], [row, column]) = (part.kernel, part.padding_before());
    let sizes = [height, width, rows, columns, kernel_height, kernel_width, row, column];
    let launch = context.launch(operation, dtype, File::Convolution, kernel);
    launch.count(part.in_channels).count(part.stride).counts(sizes)
}

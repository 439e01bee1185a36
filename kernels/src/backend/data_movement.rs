//! Declarations: arrays filled, converted, rearranged and gathered.

use crate::Result;
use crate::rng::Address;
use crate::shape::{Block, Matrix};
use crate::view::{View, ViewMut};

/// How pixels become the numbers a model sees; see [`DataMovement::gather_pixels`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PixelMap {
    /// value = pixel · factor.
    Scale(f64),
    /// value = 1 if pixel · factor ≥ 0.5, else 0.
    Threshold(f64),
    /// value = 1 with probability pixel / 255 (pixel, for floats): the draw of image n, pixel d is
    /// element n·columns + d.
    Bernoulli(Address),
    /// value = (pixel + u) · factor with u uniform on (0, 1), addressed likewise.
    Dequantise(Address, f64),
}

/// The declarations of [`DataMovement`], given to the macro `$consumer`; see `backend.rs`.
macro_rules! data_movement {
    ($consumer:ident!) => {
        $consumer! {
            /// Arrays filled, converted, rearranged and gathered, without arithmetic but for the
            /// sum in an adjoint.
            trait DataMovement;

            /// `out[i] = value` (rounded to the dtype).
            transfer::fill(value: f64, out: ViewMut<'_>);

            /// `out[i] = x[i]`, converted between dtypes (to an integer: truncated, saturating).
            transfer::convert(x: View<'_>, out: ViewMut<'_>);

            /// Copies a rectangle; see [`Block`]. Elements of `out` outside of it keep their
            /// values.
            rows::copy_block(block: Block, x: View<'_>, out: ViewMut<'_>);

            /// `out[b, j, i] = x[b, i, j]` for `batch` matrices.
            rows::transpose(batch: usize, matrix: Matrix, x: View<'_>, out: ViewMut<'_>);

            /// `out[r, c] = x[indices[r], c]`; an index outside `x` is refused.
            rows::gather_rows(columns: usize, x: View<'_>, indices: View<'_>, out: ViewMut<'_>);

            /// `grad_x[i, c] = Σ grad_out[r, c]` over the r with `indices[r] = i`, summed in the
            /// order of r; 0 where there is none.
            rows::gather_rows_backward(
                columns: usize, indices: View<'_>, grad_out: View<'_>, grad_x: ViewMut<'_>
            );

            /// `out[r · times + t, c] = x[r, c]`: each row `times` times in a row.
            rows::repeat_rows(matrix: Matrix, times: usize, x: View<'_>, out: ViewMut<'_>);

            /// `out[r, d] = map(pixels[indices[r], d])`: a batch gathered, and binarised or
            /// dequantised, in one pass.
            ///
            /// `pixels` is u8, or float with values in [0, 1]; `columns` are the pixels of an
            /// image. With `Bernoulli` a u8 pixel p draws
            /// 1 where word < round(p · 2³² / 255), so that 0 never and 255 always does; a float
            /// pixel where word < p · 2³².
            pixels::gather_pixels(
                map: PixelMap, columns: usize, pixels: View<'_>, indices: View<'_>,
                out: ViewMut<'_>
            );
        }
    };
}

pub(crate) use data_movement;

data_movement!(declare_trait!);

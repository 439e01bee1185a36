//! A batch of images gathered from a data set on the device, and scaled, binarised or dequantised
//! on the way.

use super::context::Context;
use super::program::File;
use super::random::words;
use super::rows::checked_indices;
use crate::backend::{Matrix, PixelMap};
use crate::check::{Extent, check, operands, row_count};
use crate::rng::Address;
use crate::{DType, Error, Result, View, ViewMut};

/// `gather_pixels`, as declared.
pub(super) fn gather_pixels(
    context: &Context,
    map: PixelMap,
    columns: usize,
    pixels: View<'_>,
    indices: View<'_>,
    mut out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "gather_pixels";
    let rows = indices.len();
    check(NAME, Extent::Matrix(Matrix { rows, columns }), operands!(out))?;
    let images = row_count(NAME, "pixels", pixels.len(), columns)?;
    checked_indices(context, NAME, "indices", indices, (columns > 0).then_some(images))?;
    let (from, dtype) = (pixels.dtype(), out.dtype());
    if !dtype.is_float() || (from != DType::U8 && from != dtype) {
        let rule = "pixels must be u8 or of the dtype of out, which must be a float";
        return Err(Error::DType {
            operation: NAME,
            rule,
            dtypes: vec![("pixels", from), ("out", dtype)],
        });
    }
    let is_bytes = from == DType::U8;
    let kernel = |bytes, reals| {
        context.launch(NAME, dtype, File::Pixels, if is_bytes { bytes } else { reals })
    };
    let none = Address::new(0, 0, 0);
    let launch = match map {
        PixelMap::Scale(factor) => kernel("gather_pixels_scale_u8", "gather_pixels_scale_real")
            .count(columns)
            .eight(words(none))
            .real(factor),
        PixelMap::Threshold(factor) => {
            kernel("gather_pixels_threshold_u8", "gather_pixels_threshold_real")
                .count(columns)
                .wide(factor)
        }
        PixelMap::Bernoulli(address) => {
            kernel("gather_pixels_bernoulli_u8", "gather_pixels_bernoulli_real")
                .count(columns)
                .eight(words(address))
                .real(1.0)
        }
        PixelMap::Dequantise(address, factor) => {
            kernel("gather_pixels_dequantise_u8", "gather_pixels_dequantise_real")
                .count(columns)
                .eight(words(address))
                .real(factor)
        }
    };
    launch.input(pixels).input(indices).output(&mut out).over_rows(columns, rows)
}

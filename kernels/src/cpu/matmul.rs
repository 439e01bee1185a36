//! The matrix product as primitives: checks in front of the one door, `gemm/`.

use super::gemm::Epilogue;
use super::typed::{Extent, Float, check, for_float, operands};
use crate::backend::Matrix;
use crate::{MatmulShape, Result, View, ViewMut};

/// `matmul`, as declared.
pub(super) fn matmul(
    shape: MatmulShape,
    left: View<'_>,
    right: View<'_>,
    bias: Option<View<'_>>,
    out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "matmul";
    check_sizes(NAME, shape, left, right, &out)?;
    check(NAME, Extent::Columns(shape.columns), operands!(bias))?;
    for_float!(NAME, (left, right, bias, out) => {
        let epilogue = bias.map_or(Epilogue::Store, Epilogue::AddBias);
        Float::product(shape, left, right, epilogue, out);
    });
    Ok(())
}

/// `matmul_accumulate`, as declared.
pub(super) fn matmul_accumulate(
    shape: MatmulShape,
    left: View<'_>,
    right: View<'_>,
    out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "matmul_accumulate";
    check_sizes(NAME, shape, left, right, &out)?;
    for_float!(NAME, (left, right, out) =>
        Float::product(shape, left, right, Epilogue::Accumulate, out));
    Ok(())
}

/// Refuses operands whose lengths are not those of `shape`.
pub(super) fn check_sizes(
    name: &'static str,
    shape: MatmulShape,
    left: View<'_>,
    right: View<'_>,
    out: &ViewMut<'_>,
) -> Result<()> {
    let stored = |rows, columns, transposed| {
        Extent::Matrix(if transposed {
            Matrix { rows: columns, columns: rows }
        } else {
            Matrix { rows, columns }
        })
    };
    check(name, stored(shape.rows, shape.inner, shape.left_transposed), operands!(left))?;
    check(name, stored(shape.inner, shape.columns, shape.right_transposed), operands!(right))?;
    check(name, stored(shape.rows, shape.columns, false), &[("out", out)])
}

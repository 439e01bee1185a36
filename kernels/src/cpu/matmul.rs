//! The matrix product as primitives: checks in front of the one door, `gemm/`.

use super::gemm::{Engine, Epilogue};
use super::typed::{Extent, Float, check, for_float, operands};
use crate::backend::Matrix;
use crate::{Error, MatmulShape, Precision, Result, View, ViewMut};

/// `matmul`, as declared.
pub(super) fn matmul(
    shape: MatmulShape,
    precision: Precision,
    left: View<'_>,
    right: View<'_>,
    bias: Option<View<'_>>,
    out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "matmul";
    check_product(NAME, shape, precision, left, right, &out)?;
    check(NAME, Extent::Columns(shape.columns), operands!(bias))?;
    for_float!(NAME, (left, right, bias, out) => {
        let epilogue = bias.map_or(Epilogue::Store, Epilogue::AddBias);
        Float::product(shape, precision, left, right, epilogue, out);
    });
    Ok(())
}

/// `matmul_accumulate`, as declared.
pub(super) fn matmul_accumulate(
    shape: MatmulShape,
    precision: Precision,
    left: View<'_>,
    right: View<'_>,
    out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "matmul_accumulate";
    check_product(NAME, shape, precision, left, right, &out)?;
    for_float!(NAME, (left, right, out) =>
        Float::product(shape, precision, left, right, Epilogue::Accumulate, out));
    Ok(())
}

/// Refuses operands whose lengths are not those of `shape`, and a precision that this CPU lacks.
pub(super) fn check_product(
    name: &'static str,
    shape: MatmulShape,
    precision: Precision,
    left: View<'_>,
    right: View<'_>,
    out: &ViewMut<'_>,
) -> Result<()> {
    if Engine::of(precision).is_none() {
        return Err(Error::argument(name, format!("this CPU has no products in {precision:?}")));
    }
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

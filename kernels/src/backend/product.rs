//! Declarations: matrix products.

use crate::Result;
use crate::shape::{MatmulShape, Precision};
use crate::view::{View, ViewMut};

/// The declarations of [`Products`], given to the macro `$consumer`; see `backend.rs`.
macro_rules! product {
    ($consumer:ident!) => {
        $consumer! {
            /// Matrix products; a device refuses a precision that it lacks.
            trait Products;

            /// out = op(left) · op(right), plus bias[column] to each row if there is one.
            matmul::matmul(
                shape: MatmulShape, precision: Precision, left: View<'_>, right: View<'_>,
                bias: Option<View<'_>>, out: ViewMut<'_>
            );

            /// out += op(left) · op(right).
            matmul::matmul_accumulate(
                shape: MatmulShape, precision: Precision, left: View<'_>, right: View<'_>,
                out: ViewMut<'_>
            );
        }
    };
}

pub(crate) use product;

product!(declare_trait!);

//! Declarations: element by element.

use crate::Result;
use crate::function::{BinaryFunction, UnaryFunction};
use crate::shape::{Broadcast, Matrix};
use crate::view::{View, ViewMut};

/// The declarations of [`Elementwise`], given to the macro `$consumer`; see `backend.rs`.
macro_rules! elementwise {
    ($consumer:ident!) => {
        $consumer! {
            /// Functions of one and of two numbers, element by element, and gates.
            trait Elementwise;

            /// `out[i] = f(x[i])`.
            elementwise::unary(function: UnaryFunction, x: View<'_>, out: ViewMut<'_>);

            /// `grad_x[i] = grad_out[i] · f′`; `saved` is x or f(x), as
            /// [`UnaryFunction::derivative_needs`] says (any view where it says nothing).
            elementwise::unary_backward(
                function: UnaryFunction, saved: View<'_>, grad_out: View<'_>,
                grad_x: ViewMut<'_>
            );

            /// `out = f(left, right)`, broadcast.
            elementwise::binary(
                function: BinaryFunction, broadcast: &Broadcast, left: View<'_>,
                right: View<'_>, out: ViewMut<'_>
            );

            /// `out[i] = a · x[i] + b · out[i]`: the one primitive that updates in place; b = 1
            /// accumulates.
            elementwise::scale_and_add(a: f64, x: View<'_>, b: f64, out: ViewMut<'_>);

            /// `out = left half · sigmoid(right half)` for `x` of `[rows, 2·columns]`; `matrix` is
            /// one half.
            gate::gate(matrix: Matrix, x: View<'_>, out: ViewMut<'_>);

            /// With `s = sigmoid(right half)`:
            /// `grad_x = [grad_out · s | grad_out · left half · s(1 − s)]`.
            gate::gate_backward(
                matrix: Matrix, x: View<'_>, grad_out: View<'_>, grad_x: ViewMut<'_>
            );
        }
    };
}

pub(crate) use elementwise;

elementwise!(declare_trait!);

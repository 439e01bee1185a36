//! Declarations: along an axis.

use crate::Result;
use crate::function::Reduction;
use crate::shape::AxisExtent;
use crate::view::{View, ViewMut};

/// The declarations of [`Reductions`], given to the macro `$consumer`; see `backend.rs`.
macro_rules! reduction {
    ($consumer:ident!) => {
        $consumer! {
            /// Sums, extrema and softmax along an axis.
            trait Reductions;

            /// `out[o, i]` is the reduction over a of `x[o, a, i]`. An empty axis: sum 0, mean NaN,
            /// maximum −∞, minimum +∞.
            reduce::reduce(
                reduction: Reduction, extent: AxisExtent, x: View<'_>, out: ViewMut<'_>
            );

            /// grad_x of maximum or minimum: grad_out at the first position that attains `out`, 0
            /// elsewhere.
            reduce::extremum_backward(
                extent: AxisExtent, x: View<'_>, out: View<'_>, grad_out: View<'_>,
                grad_x: ViewMut<'_>
            );

            /// `out[o, a, i] = factor · x[o, i]`: the adjoint of a sum (factor 1) or a mean
            /// (1/axis).
            reduce::expand(factor: f64, extent: AxisExtent, x: View<'_>, out: ViewMut<'_>);

            /// `out[0] = Σ x[i]²`, summed in f64.
            reduce::sum_of_squares(x: View<'_>, out: ViewMut<'_>);

            /// `out[o, i] = m + ln Σ_a exp(x[o, a, i] − m)`, `m = max_a x`. All −∞ gives −∞.
            softmax::log_sum_exp(extent: AxisExtent, x: View<'_>, out: ViewMut<'_>);

            /// `grad_x[o, a, i] = grad_out[o, i] · exp(x[o, a, i] − out[o, i])`; 0 where out is −∞.
            softmax::log_sum_exp_backward(
                extent: AxisExtent, x: View<'_>, out: View<'_>, grad_out: View<'_>,
                grad_x: ViewMut<'_>
            );

            /// `out[o, a, i] = exp(x[o, a, i]) / Σ_a exp(x[o, a, i])`, without overflow.
            softmax::softmax(extent: AxisExtent, x: View<'_>, out: ViewMut<'_>);

            /// `grad_x = out · (grad_out − Σ_a out · grad_out)`.
            softmax::softmax_backward(
                extent: AxisExtent, out: View<'_>, grad_out: View<'_>, grad_x: ViewMut<'_>
            );

            /// `out[o, a, i] = x[o, a, i] − log_sum_exp_a x`.
            softmax::log_softmax(extent: AxisExtent, x: View<'_>, out: ViewMut<'_>);

            /// `grad_x = grad_out − exp(out) · Σ_a grad_out`.
            softmax::log_softmax_backward(
                extent: AxisExtent, out: View<'_>, grad_out: View<'_>, grad_x: ViewMut<'_>
            );
        }
    };
}

pub(crate) use reduction;

reduction!(declare_trait!);

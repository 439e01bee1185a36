//! Declarations: log-likelihoods of data.

use super::LogisticMixture;
use crate::Result;
use crate::shape::Matrix;
use crate::view::{View, ViewMut};

/// The declarations of [`Likelihoods`], given to the macro `$consumer`; see `backend.rs`.
macro_rules! likelihood {
    ($consumer:ident!) => {
        $consumer! {
            /// Log-likelihoods of data: of binary data, of classes, of pixels with levels.
            trait Likelihoods;

            /// `out[r] = Σ_c x·l − softplus(l)` for logits l, with row r div `repeat` of x for row
            /// r of the logits.
            likelihood::bernoulli_log_prob(
                matrix: Matrix, repeat: usize, x: View<'_>, logits: View<'_>, out: ViewMut<'_>
            );

            /// `grad_logits[r, c] = grad_out[r] · (x − sigmoid(l))`.
            likelihood::bernoulli_log_prob_backward(
                matrix: Matrix, repeat: usize, x: View<'_>, logits: View<'_>,
                grad_out: View<'_>, grad_logits: ViewMut<'_>
            );

            /// `out[r] = log_sum_exp_c logits[r, c] − logits[r, labels[r]]`; a label outside the
            /// columns is refused.
            cross_entropy::cross_entropy(
                matrix: Matrix, logits: View<'_>, labels: View<'_>, out: ViewMut<'_>
            );

            /// `grad_logits[r, c] = grad_out[r] · (softmax(logits)[r, c] − [c = labels[r]])`.
            cross_entropy::cross_entropy_backward(
                matrix: Matrix, logits: View<'_>, labels: View<'_>, grad_out: View<'_>,
                grad_logits: ViewMut<'_>
            );

            /// `out[r] = Σ_pixels ln Σ_j π_j Π_c P_{c,j}(x)`: see [`LogisticMixture`] for the
            /// parameters; data in `[−1, 1]`, row r div `repeat`.
            ///
            /// With `S = e^−s` for the log-scale s ≥ −7, half bin h, `A = S(x − μ + h)` and
            /// `B = S(x − μ − h)`:
            /// `ln P = ln(1 − e^(−2hS)) − softplus(−A) − softplus(B)`; without B at the least
            /// value, `−softplus(−A)`, without A at the largest, `−softplus(B)`.
            logistic_mixture::logistic_mixture_log_prob(
                mixture: LogisticMixture, x: View<'_>, parameters: View<'_>, out: ViewMut<'_>
            );

            /// With `r_j` the posterior weight of component j, `a = σ(A)` (1 at the largest value),
            /// `b = σ(B)` (0 at the least), `u = 2hS` and `g = grad_out[r]`:
            /// `grad_logit = g·(r_j − π_j)`, `grad_μ = −g·r_j·S(1 − a − b)`,
            /// `grad_s = g·r_j·(B·b − A(1 − a) − u/(eᵘ − 1))`, the last term between the extremes
            /// only, and 0 where the log-scale is below −7; for a coefficient `k = tanh ρ` that
            /// multiplies colour y, `grad_ρ = grad_μ·(1 − k²)·y`.
            logistic_mixture::logistic_mixture_log_prob_backward(
                mixture: LogisticMixture, x: View<'_>, parameters: View<'_>, grad_out: View<'_>,
                grad_parameters: ViewMut<'_>
            );
        }
    };
}

pub(crate) use likelihood;

likelihood!(declare_trait!);

//! What convolutional models need beyond the rest of the contract; the conventions are those of [`Backend`](super::Backend).

use crate::Result;
use crate::backend::{Convolution, LogisticMixture, Matrix};
use crate::shape::AxisExtent;
use crate::view::{View, ViewMut};

/// The part of the contract that is for images. Feature maps are `[batch, height, width, channel]`: rows of channels.
pub trait Convolutional {
    // ---------------------------------------------------------------- channels

    /// Weight normalisation (Salimans and Kingma 2016) of the channels along an axis: with n[c] = √(Σ_{o,i} v[o, c, i]²),
    /// out[o, c, i] = gain[c]/n[c] · v[o, c, i]. A channel of zeros has no direction and gives NaN.
    fn weight_norm(&self, extent: AxisExtent, v: View<'_>, gain: View<'_>, out: ViewMut<'_>) -> Result<()>;

    /// Adjoints of [`Convolutional::weight_norm`]: grad_gain[c] = Σ_{o,i} grad_out·v / n[c],
    /// grad_v[o, c, i] = gain[c]/n[c] · (grad_out[o, c, i] − grad_gain[c] · v[o, c, i]/n[c]).
    fn weight_norm_backward(
        &self,
        extent: AxisExtent,
        v: View<'_>,
        gain: View<'_>,
        grad_out: View<'_>,
        grad_v: Option<ViewMut<'_>>,
        grad_gain: Option<ViewMut<'_>>,
    ) -> Result<()>;

    /// out = left half · sigmoid(right half) for `x` of [rows, 2·columns]; `matrix` is one half.
    fn gate(&self, matrix: Matrix, x: View<'_>, out: ViewMut<'_>) -> Result<()>;

    /// With s = sigmoid(right half): grad_x = [grad_out · s | grad_out · left half · s(1 − s)].
    fn gate_backward(&self, matrix: Matrix, x: View<'_>, grad_out: View<'_>, grad_x: ViewMut<'_>) -> Result<()>;

    // ---------------------------------------------------------------- convolutions

    /// out[n, p, q, o] = Σ_{a,b,c} x[n, p·s + a − p₀, q·s + b − q₀, c] · weight[a, b, c, o] + bias[o], with zeros outside of x; see [`Convolution`].
    fn conv2d(
        &self,
        convolution: Convolution,
        x: View<'_>,
        weight: View<'_>,
        bias: Option<View<'_>>,
        out: ViewMut<'_>,
    ) -> Result<()>;

    /// The adjoint of [`Convolutional::conv2d`] in its input, plus a bias for each input channel: with `y` shaped like the output,
    /// out[n, h, w, c] = Σ y[n, p, q, o] · weight[a, b, c, o] + bias[c] over all p·s + a − p₀ = h, q·s + b − q₀ = w and o.
    fn conv2d_transpose(
        &self,
        convolution: Convolution,
        y: View<'_>,
        weight: View<'_>,
        bias: Option<View<'_>>,
        out: ViewMut<'_>,
    ) -> Result<()>;

    /// The adjoint of [`Convolutional::conv2d`] in its weight:
    /// grad_weight[a, b, c, o] = Σ_{n,p,q} x[n, p·s + a − p₀, q·s + b − q₀, c] · grad_out[n, p, q, o].
    fn conv2d_weight_gradient(
        &self,
        convolution: Convolution,
        x: View<'_>,
        grad_out: View<'_>,
        grad_weight: ViewMut<'_>,
    ) -> Result<()>;

    // ---------------------------------------------------------------- likelihood of colours

    /// out[r] = Σ over pixels of ln Σ_j π_j Π_c P_{c,j}(x): see [`LogisticMixture`] for the parameters; data in [−1, 1], row r div `repeat`.
    ///
    /// With S = e^−s for the log-scale s ≥ −7, half bin h, A = S(x − μ + h) and B = S(x − μ − h):
    /// ln P = ln(1 − e^(−2hS)) − softplus(−A) − softplus(B); without B at the least value, −softplus(−A), without A at the largest, −softplus(B).
    fn logistic_mixture_log_prob(
        &self,
        mixture: LogisticMixture,
        x: View<'_>,
        parameters: View<'_>,
        out: ViewMut<'_>,
    ) -> Result<()>;

    /// With r_j the posterior weight of component j, a = σ(A) (1 at the largest value), b = σ(B) (0 at the least) and u = 2hS:
    /// grad_logit = g·(r_j − π_j), grad_μ = −g·r_j·S(1 − a − b), grad_s = g·r_j·(B·b − A(1 − a) − u/(eᵘ − 1)), the last term between the
    /// extremes only, and 0 where the log-scale is below −7; a coefficient k = tanh ρ that multiplies colour y: grad_ρ = grad_μ·(1 − k²)·y.
    fn logistic_mixture_log_prob_backward(
        &self,
        mixture: LogisticMixture,
        x: View<'_>,
        parameters: View<'_>,
        grad_out: View<'_>,
        grad_parameters: ViewMut<'_>,
    ) -> Result<()>;
}

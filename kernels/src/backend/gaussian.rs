//! Declarations: diagonal Gaussians.

use crate::Result;
use crate::shape::Matrix;
use crate::view::{View, ViewMut};

/// Mean and variance of a diagonal Gaussian.
#[derive(Clone, Copy, Debug)]
pub struct GaussianView<'a> {
    /// Mean of each unit.
    pub mean: View<'a>,
    /// Variance (σ²) of each unit.
    pub variance: View<'a>,
}

/// Where the adjoints of a Gaussian's parameters go.
#[derive(Debug)]
pub struct GaussianGradient<'a> {
    /// Adjoint of the mean.
    pub mean: Option<ViewMut<'a>>,
    /// Adjoint of the variance.
    pub variance: Option<ViewMut<'a>>,
}

/// The declarations of [`Gaussians`], given to the macro `$consumer`; see `backend.rs`.
macro_rules! gaussian {
    ($consumer:ident!) => {
        $consumer! {
            /// Diagonal Gaussians: heads that make them, samples, merges of two, log-densities and
            /// KL, and all adjoints.
            trait Gaussians;

            /// Splits the joined product of a Gaussian head, `x` of `[rows, 2·columns]` (`matrix`
            /// is one half):
            /// `mean = left half`, `variance = softplus(right half) + floor`.
            gaussian::gaussian_head(
                matrix: Matrix, floor: f64, x: View<'_>, mean: ViewMut<'_>,
                variance: ViewMut<'_>
            );

            /// `grad_x = [grad_mean | grad_variance · sigmoid(right half)]`; a missing adjoint
            /// counts as 0.
            gaussian::gaussian_head_backward(
                matrix: Matrix, x: View<'_>, grad_mean: Option<View<'_>>,
                grad_variance: Option<View<'_>>, grad_x: ViewMut<'_>
            );

            /// `out = mean + √variance · noise`.
            gaussian::reparameterise(q: GaussianView<'_>, noise: View<'_>, out: ViewMut<'_>);

            /// `grad_mean = grad_out`, `grad_variance = grad_out · noise / (2√variance)`; with
            /// `add`, added to what `grad` holds.
            gaussian::reparameterise_backward(
                variance: View<'_>, noise: View<'_>, grad_out: View<'_>, add: bool,
                grad: GaussianGradient<'_>
            );

            /// Precision-weighted merge (Sønderby 2016, eqs 17 and 18), with `S = v₁ + v₂`:
            /// `variance = v₁v₂/S`, `mean = (m₁v₂ + m₂v₁)/S`.
            gaussian::merge(
                first: GaussianView<'_>, second: GaussianView<'_>, mean: ViewMut<'_>,
                variance: ViewMut<'_>
            );

            /// `grad_m₁ = gₘv₂/S`, `grad_v₁ = gₘ·v₂(m₂ − m₁)/S² + gᵥ(v₂/S)²`, and the same with 1
            /// and 2 exchanged; a missing adjoint counts as 0.
            gaussian::merge_backward(
                first: GaussianView<'_>, second: GaussianView<'_>, grad_mean: Option<View<'_>>,
                grad_variance: Option<View<'_>>, grad_first: GaussianGradient<'_>,
                grad_second: GaussianGradient<'_>
            );

            /// `out[r] = Σ_c −½[ln 2π + ln variance + (x − mean)²/variance]`, with row r div
            /// `repeat` of x for row r of the Gaussian.
            gaussian::gaussian_log_prob(
                matrix: Matrix, repeat: usize, x: View<'_>, p: GaussianView<'_>,
                out: ViewMut<'_>
            );

            /// With `d = x − mean` and `g = grad_out[r]`: `grad_x = −g·d/variance` (summed over the
            /// repeats), `grad_mean = g·d/variance`,
            /// `grad_variance = g·(d²/variance − 1)/(2·variance)`.
            gaussian::gaussian_log_prob_backward(
                matrix: Matrix, repeat: usize, x: View<'_>, p: GaussianView<'_>,
                grad_out: View<'_>, grad_x: Option<ViewMut<'_>>, grad_p: GaussianGradient<'_>
            );

            /// `out[r] = Σ_c −½[ln 2π + x²]`.
            gaussian::standard_normal_log_prob(matrix: Matrix, x: View<'_>, out: ViewMut<'_>);

            /// `grad_x[r, c] = −grad_out[r] · x[r, c]`.
            gaussian::standard_normal_log_prob_backward(
                matrix: Matrix, x: View<'_>, grad_out: View<'_>, grad_x: ViewMut<'_>
            );

            /// `out[r] = KL(q‖p) = ½ Σ_c [ln vp − ln vq + (vq + (mq − mp)²)/vp − 1]`; `p` None is
            /// the standard normal.
            gaussian::gaussian_kl(
                matrix: Matrix, q: GaussianView<'_>, p: Option<GaussianView<'_>>,
                out: ViewMut<'_>
            );

            /// With `d = mq − mp` and `g = grad_out[r]`: `grad_mq = g·d/vp`,
            /// `grad_vq = ½g(1/vp − 1/vq)`, `grad_mp = −g·d/vp`,
            /// `grad_vp = ½g(1/vp − (vq + d²)/vp²)`.
            gaussian::gaussian_kl_backward(
                matrix: Matrix, q: GaussianView<'_>, p: Option<GaussianView<'_>>,
                grad_out: View<'_>, grad_q: GaussianGradient<'_>, grad_p: GaussianGradient<'_>
            );

            /// `out[r] = log q(z) − log p(z) = Σ_c ½[ln(vp/vq) + (z − mp)²/vp − (z − mq)²/vq]`; `p`
            /// None is the standard normal.
            gaussian::gaussian_log_ratio(
                matrix: Matrix, z: View<'_>, q: GaussianView<'_>, p: Option<GaussianView<'_>>,
                out: ViewMut<'_>
            );

            /// With `dq = (z − mq)/vq`, `dp = (z − mp)/vp` and `g = grad_out[r]`:
            /// `grad_z = g(dp − dq)`, `grad_mq = g·dq`, `grad_vq = ½g(dq² − 1/vq)`,
            /// `grad_mp = −g·dp`, `grad_vp = ½g(1/vp − dp²)`.
            gaussian::gaussian_log_ratio_backward(
                matrix: Matrix, z: View<'_>, q: GaussianView<'_>, p: Option<GaussianView<'_>>,
                grad_out: View<'_>, grad_z: Option<ViewMut<'_>>, grad_q: GaussianGradient<'_>,
                grad_p: GaussianGradient<'_>
            );
        }
    };
}

pub(crate) use gaussian;

gaussian!(declare_trait!);

//! Declarations: optimisers.

use crate::Result;
use crate::view::{View, ViewMut};

/// One step of Adam (Kingma and Ba 2015), with the moments not corrected one by one.
///
/// `m ← β₁m + (1−β₁)g`, `v ← β₂v + (1−β₂)g²`, `θ ← θ − η·√(1−β₂ᵗ)/(1−β₁ᵗ) · m/(√v + ε)`
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// η · √(1−β₂ᵗ)/(1−β₁ᵗ): the learning rate with both bias corrections.
    pub corrected_rate: f64,
    /// Decay of the first moment.
    pub beta_1: f64,
    /// Decay of the second moment.
    pub beta_2: f64,
    /// Added to √v, after the square root.
    pub epsilon: f64,
}

/// Limits of a gradient whose norm the host has not seen: with `n = √squared_norm[0]`,
/// `g ← clamp(g · min(n, norm_limit)/(n + 10⁻⁷), ±element_limit)`. An infinite limit does nothing.
#[derive(Clone, Copy, Debug)]
pub struct Clipping<'a> {
    /// Sum of the squares of the gradient: one number, on the device.
    pub squared_norm: View<'a>,
    /// Limit of the norm of the whole gradient.
    pub norm_limit: f64,
    /// Limit of each element, applied after that of the norm.
    pub element_limit: f64,
}

/// One step of Adamax (Kingma and Ba 2015, section 7.1).
///
/// `m ← β₁m + (1−β₁)g`, `u ← max(β₂u, |g|)`, `θ ← θ − η/(1−β₁ᵗ) · m/(u + ε)`
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamaxStep {
    /// η/(1−β₁ᵗ).
    pub corrected_rate: f64,
    /// Decay of the first moment.
    pub beta_1: f64,
    /// Decay of the infinity norm.
    pub beta_2: f64,
    /// Added to u.
    pub epsilon: f64,
}

/// One step of RMSprop (Tieleman and Hinton 2012), with ε under the root.
///
/// `v ← βv + (1−β)g²`, `θ ← θ − η · g/√(v + ε)`
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsPropStep {
    /// η.
    pub learning_rate: f64,
    /// Decay β of the mean square.
    pub decay: f64,
    /// Added to v under the root.
    pub epsilon: f64,
}

/// The declarations of [`Optimisers`], given to the macro `$consumer`; see `backend.rs`.
macro_rules! optimiser {
    ($consumer:ident!) => {
        $consumer! {
            /// Steps of the optimisers, each one pass over all parameters.
            trait Optimisers;

            /// Clips a gradient in place; see [`Clipping`].
            optimiser::clip_gradient(clipping: Clipping<'_>, gradient: ViewMut<'_>);

            /// See [`AdamStep`]; the three are updated in place, as if the gradient had been
            /// clipped before. The gradient stays as it is.
            optimiser::adam(
                step: AdamStep, clipping: Option<Clipping<'_>>, gradient: View<'_>,
                value: ViewMut<'_>, first_moment: ViewMut<'_>, second_moment: ViewMut<'_>
            );

            /// See [`AdamaxStep`]; the three are updated in place.
            optimiser::adamax(
                step: AdamaxStep, gradient: View<'_>, value: ViewMut<'_>,
                first_moment: ViewMut<'_>, infinity_norm: ViewMut<'_>
            );

            /// See [`RmsPropStep`]; value and mean square are updated in place, as if the gradient
            /// had been clipped before. The gradient stays as it is.
            optimiser::rmsprop(
                step: RmsPropStep, clipping: Option<Clipping<'_>>, gradient: View<'_>,
                value: ViewMut<'_>, mean_square: ViewMut<'_>
            );

            /// Gradient descent with momentum μ: `velocity ← μ·velocity + g`,
            /// `value ← value − rate·velocity`.
            optimiser::sgd(
                learning_rate: f64, momentum: f64, gradient: View<'_>, value: ViewMut<'_>,
                velocity: ViewMut<'_>
            );
        }
    };
}

pub(crate) use optimiser;

optimiser!(declare_trait!);

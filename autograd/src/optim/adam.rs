//! Adam (Kingma and Ba 2015).

use rung_kernels::Result;
use rung_kernels::backend::{AdamStep, Clipping};

use super::clip::{check_limits, squared_norm};
use super::{Optimiser, OptimiserState};
use crate::parameters::ParameterStore;

/// The constants of [`Adam`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamOptions {
    /// Decay of the first moment.
    pub beta_1: f64,
    /// Decay of the second moment.
    pub beta_2: f64,
    /// Added to √v; see [`Adam`] for where it stands.
    pub epsilon: f64,
}

impl Default for AdamOptions {
    /// β₁ = 0.9, β₂ = 0.999, ε = 10⁻⁴: the values of the ladder's published code. Most libraries
    /// have ε = 10⁻⁸.
    fn default() -> Self {
        Self { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-4 }
    }
}

/// Adam: steps of about the learning rate in each coordinate, from running means of the gradient
/// and of its square.
///
/// m ← β₁m + (1−β₁)g;  v ← β₂v + (1−β₂)g²
/// θ ← θ − η · √(1−β₂ᵗ)/(1−β₁ᵗ) · m/(√v + ε)
///
/// **Where ε stands is a choice, and with ε = 10⁻⁴ a visible one.** Here it is added to the √v that
/// has not been corrected for its bias: the efficient form at the end of section 2 of the paper,
/// and the form of the ladder's published code. The other form, m̂/(√v̂ + ε) with both moments
/// corrected, is this one with ε·√(1−β₂ᵗ) in the place of ε: in the first steps √v is still small,
/// and there ε weighs about thirty times more here. For a first gradient of 10⁻³ at η = 10⁻³ the
/// step is 2.40·10⁻⁴ here and 9.1·10⁻⁴ there.
///
/// **State.** `first_moment` (m), `second_moment` (v), and the count of steps t.
#[derive(Debug)]
pub struct Adam {
    options: AdamOptions,
    state: OptimiserState,
}

impl Adam {
    /// An optimiser for the parameters of `store`, with moments of zero.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn new(store: &ParameterStore, options: AdamOptions) -> Result<Self> {
        Ok(Self { options, state: OptimiserState::new(store, ["first_moment", "second_moment"])? })
    }
}

impl Optimiser for Adam {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn step(&mut self, store: &mut ParameterStore, learning_rate: f64) -> Result<()> {
        self.step_with(store, learning_rate, None)
    }

    fn step_clipped(
        &mut self,
        store: &mut ParameterStore,
        learning_rate: f64,
        norm_limit: f64,
        element_limit: f64,
    ) -> Result<()> {
        check_limits(norm_limit, element_limit)?;
        let squared_norm = squared_norm(store)?;
        let clipping = Clipping { squared_norm: squared_norm.view(), norm_limit, element_limit };
        self.step_with(store, learning_rate, Some(clipping))
    }

    fn set_beta_1(&mut self, beta_1: f64) {
        self.options.beta_1 = beta_1;
    }

    fn state(&self) -> &OptimiserState {
        &self.state
    }

    fn state_mut(&mut self) -> &mut OptimiserState {
        &mut self.state
    }
}

impl Adam {
    fn step_with(
        &mut self,
        store: &mut ParameterStore,
        learning_rate: f64,
        clipping: Option<Clipping<'_>>,
    ) -> Result<()> {
        store.values_mut("adam")?;
        let AdamOptions { beta_1, beta_2, epsilon } = self.options;
        let (t, [first_moment, second_moment]) = self.state.advance("adam", store)?;
        let (first_correction, second_correction) =
            (1.0 - power(beta_1, t), 1.0 - power(beta_2, t));
        let step = AdamStep {
            corrected_rate: learning_rate * second_correction.sqrt() / first_correction,
            beta_1,
            beta_2,
            epsilon,
        };
        let device = store.device().clone();
        let (gradient, value) = store.gradients_and_values()?;
        device.adam(step, clipping, gradient.as_view(), value, first_moment, second_moment)
    }
}

/// `decay` to the power of the count of steps.
pub(super) fn power(decay: f64, steps: u64) -> f64 {
    decay.powf(steps as f64)
}

//! Adamax (Kingma and Ba 2015, section 7.1).

use rung_kernels::Result;
use rung_kernels::backend::AdamaxStep;

use super::adam::power;
use super::{Optimiser, OptimiserState};
use crate::parameters::ParameterStore;

/// The constants of [`Adamax`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamaxOptions {
    /// Decay of the first moment.
    pub beta_1: f64,
    /// Decay of the infinity norm.
    pub beta_2: f64,
    /// Added to the infinity norm, which keeps a parameter that never got a gradient where it is.
    pub epsilon: f64,
}

impl Default for AdamaxOptions {
    /// β₁ = 0.9, β₂ = 0.999, ε = 10⁻⁸.
    fn default() -> Self {
        Self { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-8 }
    }
}

/// Adamax: Adam with a decaying maximum of |g| in the place of the root of the second moment.
///
/// m ← β₁m + (1−β₁)g;  u ← max(β₂u, |g|)
/// θ ← θ − η/(1−β₁ᵗ) · m/(u + ε)
///
/// The maximum needs no bias correction, and no step is larger than about η.
///
/// **State.** `first_moment` (m), `infinity_norm` (u), and the count of steps t.
#[derive(Debug)]
pub struct Adamax {
    options: AdamaxOptions,
    state: OptimiserState,
}

impl Adamax {
    /// An optimiser for the parameters of `store`, with moments of zero.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn new(store: &ParameterStore, options: AdamaxOptions) -> Result<Self> {
        Ok(Self { options, state: OptimiserState::new(store, ["first_moment", "infinity_norm"])? })
    }
}

impl Optimiser for Adamax {
    fn name(&self) -> &'static str {
        "adamax"
    }

    fn step(&mut self, store: &mut ParameterStore, learning_rate: f64) -> Result<()> {
        store.values_mut("adamax")?;
        let AdamaxOptions { beta_1, beta_2, epsilon } = self.options;
        let (t, [first_moment, infinity_norm]) = self.state.advance("adamax", store)?;
        let step = AdamaxStep {
            corrected_rate: learning_rate / (1.0 - power(beta_1, t)),
            beta_1,
            beta_2,
            epsilon,
        };
        let device = store.device().clone();
        let (gradient, value) = store.gradients_and_values()?;
        device.adamax(step, gradient.as_view(), value, first_moment, infinity_norm)
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

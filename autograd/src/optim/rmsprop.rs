//! RMSprop (Tieleman and Hinton 2012).

use rung_kernels::Result;
use rung_kernels::backend::{Clipping, RmsPropStep};

use super::clip::{check_limits, squared_norm};
use super::{Optimiser, OptimiserState};
use crate::parameters::ParameterStore;

/// The constants of [`RmsProp`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsPropOptions {
    /// Decay β of the mean square.
    pub decay: f64,
    /// Added to the mean square, under the root.
    pub epsilon: f64,
}

impl Default for RmsPropOptions {
    /// β = 0.9, ε = 10⁻⁶.
    fn default() -> Self {
        Self { decay: 0.9, epsilon: 1e-6 }
    }
}

/// RMSprop: each gradient divided by the root of a running mean of its square.
///
/// v ← βv + (1−β)g²;  θ ← θ − η · g/√(v + ε)
///
/// ε stands under the root, as in the published code of the recurrent spatial transformer: where
/// gradients vanish the step is at most g/√ε. The mean is not corrected for starting at 0.
///
/// **State.** `mean_square` (v), and the count of steps.
#[derive(Debug)]
pub struct RmsProp {
    options: RmsPropOptions,
    state: OptimiserState,
}

impl RmsProp {
    /// An optimiser for the parameters of `store`, with a mean square of zero.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn new(store: &ParameterStore, options: RmsPropOptions) -> Result<Self> {
        Ok(Self { options, state: OptimiserState::new(store, ["mean_square"])? })
    }

    fn step_with(
        &mut self,
        store: &mut ParameterStore,
        learning_rate: f64,
        clipping: Option<Clipping<'_>>,
    ) -> Result<()> {
        store.values_mut("rmsprop")?;
        let RmsPropOptions { decay, epsilon } = self.options;
        let (_, [mean_square]) = self.state.advance("rmsprop", store)?;
        let step = RmsPropStep { learning_rate, decay, epsilon };
        let device = store.device().clone();
        let (gradient, value) = store.gradients_and_values()?;
        device.rmsprop(step, clipping, gradient.as_view(), value, mean_square)
    }
}

impl Optimiser for RmsProp {
    fn name(&self) -> &'static str {
        "rmsprop"
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

    fn state(&self) -> &OptimiserState {
        &self.state
    }

    fn state_mut(&mut self) -> &mut OptimiserState {
        &mut self.state
    }
}

//! Stochastic gradient descent with momentum.

use rung_kernels::Result;

use super::{Optimiser, OptimiserState};
use crate::parameters::ParameterStore;

/// Stochastic gradient descent with (heavy-ball) momentum.
///
/// velocity ← μ · velocity + g;  θ ← θ − η · velocity
///
/// With μ = 0 it is plain gradient descent.
///
/// **State.** `velocity`, and the count of steps.
#[derive(Debug)]
pub struct Sgd {
    momentum: f64,
    state: OptimiserState,
}

impl Sgd {
    /// An optimiser for the parameters of `store`, with a velocity of zero.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn new(store: &ParameterStore, momentum: f64) -> Result<Self> {
        Ok(Self { momentum, state: OptimiserState::new(store, ["velocity"])? })
    }
}

impl Optimiser for Sgd {
    fn name(&self) -> &'static str {
        "sgd"
    }

    fn step(&mut self, store: &mut ParameterStore, learning_rate: f64) -> Result<()> {
        store.values_mut("sgd")?;
        let (_, [velocity]) = self.state.advance("sgd", store)?;
        let device = store.device().clone();
        let (gradient, value) = store.gradients_and_values()?;
        device.sgd(learning_rate, self.momentum, gradient.as_view(), value, velocity)
    }

    fn state(&self) -> &OptimiserState {
        &self.state
    }

    fn state_mut(&mut self) -> &mut OptimiserState {
        &mut self.state
    }
}

//! One step of training, from a recorded loss to moved parameters.

use rung_kernels::Result;

use super::Optimiser;
use crate::parameters::ParameterStore;
use crate::tape::Tape;
use crate::tensor::Tensor;

/// How far a step goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepSize {
    /// The learning rate.
    pub learning_rate: f64,
    /// Largest global norm of the gradient; infinite for no limit.
    pub norm_limit: f64,
    /// Largest magnitude of a gradient's element, after the norm's limit; infinite for no limit.
    pub element_limit: f64,
}

impl StepSize {
    /// A step without limits of the gradient.
    #[must_use]
    pub const fn unlimited(learning_rate: f64) -> Self {
        Self { learning_rate, norm_limit: f64::INFINITY, element_limit: f64::INFINITY }
    }
}

/// Moves the parameters once against the gradient of `loss`, which was recorded on `tape`: clears
/// the gradients, computes them, clips them where there is a limit, and lets the optimiser step.
/// What trains, measures or tests a training goes through here.
///
/// # Errors
/// As [`Tape::backward_into`] and [`Optimiser::step_clipped`].
pub fn minimise(
    loss: &Tensor,
    tape: &Tape,
    store: &mut ParameterStore,
    optimiser: &mut dyn Optimiser,
    size: &StepSize,
) -> Result<()> {
    let StepSize { learning_rate, norm_limit, element_limit } = *size;
    store.clear_gradients();
    tape.backward_into(&[loss], store)?;
    if norm_limit.is_finite() || element_limit.is_finite() {
        optimiser.step_clipped(store, learning_rate, norm_limit, element_limit)
    } else {
        optimiser.step(store, learning_rate)
    }
}

//! One step of training, from a recorded loss to moved parameters.

use rung_kernels::Result;
use rung_ranks::Ranks;

use super::clip::squared_norm;
use super::{Optimiser, clip_gradients, clip_networks};
use crate::parameters::ParameterStore;
use crate::tape::Tape;
use crate::tensor::Tensor;

/// Which limit of the gradient comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClipOrder {
    /// The norm's, then each element's: [`clip_gradients`].
    #[default]
    NormFirst,
    /// Each element's, then that of the norm that is left: the recurrent spatial transformer's.
    ElementsFirst,
}

/// How far a step goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepSize {
    /// The learning rate.
    pub learning_rate: f64,
    /// Largest global norm of the gradient; infinite for no limit.
    pub norm_limit: f64,
    /// Whether the norm is that of each network's gradient ([`clip_networks`]) in place of that of
    /// all.
    pub norm_of_networks: bool,
    /// Largest magnitude of a gradient's element; infinite for no limit.
    pub element_limit: f64,
    /// Which of the two comes first.
    pub clip_order: ClipOrder,
    /// Global norm of the gradient, before any limit, above which nothing is moved: a step that an
    /// unlucky batch would lead astray is skipped; infinite for none. To look at the norm is to
    /// wait for the device.
    pub skipped_norm: f64,
    /// c of the penalty c · Σ θᵢ² that the loss is taken to have beside what it says; 0 for none.
    pub l2_penalty: f64,
}

impl StepSize {
    /// A step without limits of the gradient.
    #[must_use]
    pub const fn unlimited(learning_rate: f64) -> Self {
        Self {
            learning_rate,
            norm_limit: f64::INFINITY,
            norm_of_networks: false,
            element_limit: f64::INFINITY,
            clip_order: ClipOrder::NormFirst,
            skipped_norm: f64::INFINITY,
            l2_penalty: 0.0,
        }
    }
}

/// Whether a step moved the parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// It did.
    Yes,
    /// The gradient's norm was above [`StepSize::skipped_norm`], or not a number where there is
    /// such a limit: parameters and optimiser are as they were.
    Skipped,
}

/// Moves the parameters once against the gradient of `loss`, which was recorded on `tape`: clears
/// the gradients, computes them, adds that of the penalty, clips where there is a limit, and lets
/// the optimiser step.
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
) -> Result<Moved> {
    minimise_on(&Ranks::one(), loss, tape, store, optimiser, size)
}

/// [`minimise`] of the sum of the losses of all ranks: the gradient is summed over them before
/// anything looks at it, so that all move alike.
///
/// # Errors
/// As [`minimise`]; `Failed` if another rank has ended.
pub fn minimise_on(
    ranks: &Ranks,
    loss: &Tensor,
    tape: &Tape,
    store: &mut ParameterStore,
    optimiser: &mut dyn Optimiser,
    size: &StepSize,
) -> Result<Moved> {
    let StepSize { learning_rate, norm_limit, norm_of_networks, .. } = *size;
    let mut element_limit = size.element_limit;
    store.clear_gradients();
    tape.backward_into(&[loss], store)?;
    store.sum_gradients(ranks)?;
    if size.l2_penalty > 0.0 {
        add_penalty(store, size.l2_penalty)?;
    }
    if size.skipped_norm.is_finite() {
        let norm = squared_norm(store)?.to_scalar()?.sqrt();
        if norm.is_nan() || norm > size.skipped_norm {
            return Ok(Moved::Skipped);
        }
    }
    if size.clip_order == ClipOrder::ElementsFirst && element_limit.is_finite() {
        clip_gradients(store, f64::INFINITY, element_limit)?;
        element_limit = f64::INFINITY;
    }
    if norm_of_networks {
        clip_networks(store, norm_limit, element_limit)?;
        optimiser.step(store, learning_rate)?;
    } else if norm_limit.is_finite() || element_limit.is_finite() {
        optimiser.step_clipped(store, learning_rate, norm_limit, element_limit)?;
    } else {
        optimiser.step(store, learning_rate)?;
    }
    store.device().end_step()?;
    Ok(Moved::Yes)
}

/// Adds the gradient of penalty · Σ θᵢ², 2 · penalty · θ.
fn add_penalty(store: &mut ParameterStore, penalty: f64) -> Result<()> {
    let device = store.device().clone();
    let (gradient, value) = store.gradients_and_values()?;
    device.scale_and_add(2.0 * penalty, value.as_view(), 1.0, gradient)
}

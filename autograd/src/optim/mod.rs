//! Optimisers: what turns gradients into better parameters.
//!
//! All parameters of a model lie in one flat buffer, their gradients in a second, and each moment
//! of an optimiser in one more of the same length. A step is therefore one pass (one kernel launch)
//! whatever the number of parameters, and allocates nothing.
//!
//! [`minimise`] is one step of training, from a recorded loss to moved parameters. [`Optimiser`] is
//! the trait; [`Adam`], [`Adamax`], [`RmsProp`] and [`Sgd`] implement it. [`clip_gradients`] goes
//! between backward and the step ([`Optimiser::step_clipped`] does both; [`clip_networks`] limits
//! the norm of each network alone), a [`Schedule`] gives the learning rate of an epoch, and a
//! [`ParameterAverage`] follows the parameters for evaluation. `state.rs`
//! holds the moments, which a checkpoint saves and restores.
//!
//! # Example
//! ```
//! use rung_autograd::optim::{Adam, AdamOptions, StepSize, minimise};
//! use rung_autograd::rng::Address;
//! use rung_autograd::{DType, Device, Initialiser, ParameterList, Tape};
//!
//! let mut list = ParameterList::new();
//! let x = list.add("x", [3], Initialiser::Constant(1.0));
//! let mut store = list.build(&Device::cpu(), DType::F64, Address::new(0, 0, 0))?;
//! let mut adam = Adam::new(&store, AdamOptions::default())?;
//! let tape = Tape::new();
//! for _ in 0..400 {
//!     let loss = store.tensor(x, Some(&tape)).square()?.sum_all()?;
//!     minimise(&loss, &tape, &mut store, &mut adam, &StepSize::unlimited(0.01))?;
//! }
//! assert!(store.tensor(x, None).to_f64()?.iter().all(|value| value.abs() < 1e-3));
//! # Ok::<(), rung_autograd::Error>(())
//! ```

mod adam;
mod adamax;
mod average;
mod clip;
mod minimise;
mod rmsprop;
mod schedule;
mod sgd;
mod state;
#[cfg(test)]
mod tests;

pub use adam::{Adam, AdamOptions};
pub use adamax::{Adamax, AdamaxOptions};
pub use average::ParameterAverage;
pub use clip::{clip_gradients, clip_networks};
pub use minimise::{ClipOrder, Moved, StepSize, minimise, minimise_on};
pub use rmsprop::{RmsProp, RmsPropOptions};
pub use schedule::{Schedule, final_decay};
pub use sgd::Sgd;
pub use state::OptimiserState;

use rung_kernels::Result;

use crate::parameters::ParameterStore;

/// A rule that moves parameters against their gradients.
pub trait Optimiser: std::fmt::Debug {
    /// The name a configuration and a checkpoint use: `adam`, `adamax`, `rmsprop`, `sgd`.
    fn name(&self) -> &'static str;

    /// Moves every parameter once. A parameter that got no gradient since they were cleared has the
    /// gradient zero: its moments decay.
    ///
    /// # Errors
    /// `Shared` while a tensor or a tape holds the parameters; `Argument` if the store is not the
    /// one the optimiser was made for (another number of elements, dtype or device).
    fn step(&mut self, store: &mut ParameterStore, learning_rate: f64) -> Result<()>;

    /// [`clip_gradients`], then [`Optimiser::step`]: in one pass where the optimiser can, which
    /// leaves the gradients as they were.
    ///
    /// # Errors
    /// As both.
    fn step_clipped(
        &mut self,
        store: &mut ParameterStore,
        learning_rate: f64,
        norm_limit: f64,
        element_limit: f64,
    ) -> Result<()> {
        clip_gradients(store, norm_limit, element_limit)?;
        self.step(store, learning_rate)
    }

    /// Sets the decay of the first moment for the steps to come, where the rule has one.
    /// Corrections of its bias take this value for that of all steps before, of which after
    /// some dozen steps nothing is left to correct.
    fn set_beta_1(&mut self, beta_1: f64) {
        let _ = beta_1;
    }

    /// What the optimiser remembers between steps.
    fn state(&self) -> &OptimiserState;

    /// What the optimiser remembers between steps, for restoring a checkpoint.
    fn state_mut(&mut self) -> &mut OptimiserState;
}

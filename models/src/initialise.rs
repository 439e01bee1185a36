//! Data-dependent initialisation: the first pass through a model sets the scale of its layers
//! (Salimans and Kingma 2016).

use rung_autograd::rng::Phase;
use rung_autograd::{ParameterStore, Result, Tensor};

use crate::latent::LatentModel;
use crate::objective::{ObjectiveConfig, bound};
use crate::pass::{InitialValue, Initialisation, Mode, Pass};

/// Sets gain and bias of every weight-normalised layer from one batch of training images `x`
/// [batch, `data_size`], in the order in which the layers are executed, so that each channel's
/// output has the mean 0 and the standard deviation `output_sigma`; gives how many parameters were
/// set, 0 for models without such layers.
///
/// # Errors
/// If the device has no memory, or `x` does not fit.
pub fn initialise(
    model: &dyn LatentModel,
    store: &mut ParameterStore,
    x: &Tensor,
    output_sigma: f64,
    seed: u64,
) -> Result<usize> {
    let mut initialisation = Initialisation { output_sigma, values: Vec::new() };
    let mut pass = Pass::new(
        store,
        None,
        Mode::Initialise(&mut initialisation),
        seed,
        Phase::Initialisation.first(),
    );
    bound(model, &mut pass, x, &ObjectiveConfig::default())?;
    for InitialValue { parameter, value } in &initialisation.values {
        store.set(*parameter, &value.to_f64()?)?;
    }
    Ok(initialisation.values.len())
}

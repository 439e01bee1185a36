//! Clipping of gradients, without the host seeing them.

use rung_kernels::backend::Clipping;
use rung_kernels::{Error, Result, Shape, UnaryFunction};

use crate::parameters::ParameterStore;
use crate::tensor::Tensor;

/// Limits the norm of all gradients together, then each element; gives the norm there was before.
///
/// n = √Σ gᵢ²  over all parameters
/// gᵢ ← clamp(gᵢ · min(n, norm_limit)/(n + 10⁻⁷), ±element_limit)
///
/// The norm is a scalar on the device: reading it is left to whoever shows it, so that a step need
/// not wait. A limit of infinity does nothing; the ladder's published code has 4 and 0.9. A NaN or
/// an infinity in any gradient shows in the norm.
///
/// # Errors
/// `Argument` if a limit is not positive; `Shared` while a tensor or a tape holds the parameters.
pub fn clip_gradients(
    store: &mut ParameterStore,
    norm_limit: f64,
    element_limit: f64,
) -> Result<Tensor> {
    check_limits(norm_limit, element_limit)?;
    let (device, dtype) = (store.device().clone(), store.dtype());
    let squared_norm = squared_norm(store)?;
    let (gradient, _) = store.gradients_and_values()?;
    device.clip_gradient(
        Clipping { squared_norm: squared_norm.view(), norm_limit, element_limit },
        gradient,
    )?;
    Tensor::build(&device, dtype, Shape::SCALAR, |out| {
        device.unary(UnaryFunction::Sqrt, squared_norm.view(), out)
    })
}

/// Limits as [`clip_gradients`] does, with the norm of each network
/// ([`ParameterStore::networks`]) in the place of that of all gradients: so the gradient of one
/// network, however large, leaves the steps of another as they are.
///
/// # Errors
/// As [`clip_gradients`].
pub fn clip_networks(
    store: &mut ParameterStore,
    norm_limit: f64,
    element_limit: f64,
) -> Result<()> {
    check_limits(norm_limit, element_limit)?;
    let (device, dtype) = (store.device().clone(), store.dtype());
    for index in 0..store.networks().len() {
        let range = store.networks()[index].clone();
        let (gradient, _) = store.gradients_and_values()?;
        let mut gradient = gradient.range(range);
        let squared_norm = Tensor::build(&device, dtype, Shape::SCALAR, |out| {
            device.sum_of_squares(gradient.as_view(), out)
        })?;
        let clipping = Clipping { squared_norm: squared_norm.view(), norm_limit, element_limit };
        device.clip_gradient(clipping, gradient.reborrow())?;
    }
    Ok(())
}

/// Σ gᵢ² over all parameters: a scalar on the device.
pub(super) fn squared_norm(store: &mut ParameterStore) -> Result<Tensor> {
    let (device, dtype) = (store.device().clone(), store.dtype());
    let (gradient, _) = store.gradients_and_values()?;
    Tensor::build(&device, dtype, Shape::SCALAR, |out| {
        device.sum_of_squares(gradient.as_view(), out)
    })
}

pub(super) fn check_limits(norm_limit: f64, element_limit: f64) -> Result<()> {
    for (name, limit) in [("norm_limit", norm_limit), ("element_limit", element_limit)] {
        if limit.is_nan() || limit <= 0.0 {
            return Err(Error::argument(
                "clip_gradients",
                format!("{name} is {limit}, must be positive (infinity for no limit)"),
            ));
        }
    }
    Ok(())
}

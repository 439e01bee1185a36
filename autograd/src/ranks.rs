//! What ranks that share a work know together: the gradient of a batch, numbers of a data set.

use rung_kernels::{Error, Result, View, ViewMut};
use rung_ranks::Ranks;

use crate::parameters::ParameterStore;

/// Another rank has ended, as an error of an operation.
pub(crate) fn failed(error: rung_ranks::Error) -> Error {
    Error::Failed { device: "ranks".into(), what: error.to_string() }
}

/// [`Ranks::join`], whose error is that of an operation.
///
/// # Errors
/// `Failed` if another rank has ended.
pub fn joined(ranks: &Ranks, mine: Vec<f64>) -> Result<Vec<f64>> {
    ranks.join(mine).map_err(failed)
}

/// [`Ranks::sum`], whose error is that of an operation.
///
/// # Errors
/// `Failed` if another rank has ended.
pub fn summed(ranks: &Ranks, mut mine: Vec<f64>) -> Result<Vec<f64>> {
    ranks.sum(&mut mine).map_err(failed)?;
    Ok(mine)
}

impl ParameterStore {
    /// Replaces the flat gradient by its sum over the ranks, added in ascending order of the ranks:
    /// the same bits on all of them. Waits for the device.
    ///
    /// # Errors
    /// `Shared` while a tensor or a tape holds the parameters; `Failed` if another rank has ended.
    pub fn sum_gradients(&mut self, ranks: &Ranks) -> Result<()> {
        if !ranks.are_many() {
            return Ok(());
        }
        let device = self.device().clone();
        let (mut gradient, values) = self.gradients_and_values()?;
        let len = values.len();
        match &mut gradient {
            ViewMut::F32(gradient) => return ranks.sum(gradient).map_err(failed),
            ViewMut::F64(gradient) => return ranks.sum(gradient).map_err(failed),
            _ => {}
        }
        // A device with memory of its own: through the host's.
        match gradient.dtype() {
            rung_kernels::DType::F32 => {
                let mut host = vec![0f32; len];
                device.download(gradient.as_view(), ViewMut::F32(&mut host))?;
                ranks.sum(&mut host).map_err(failed)?;
                device.upload(View::F32(&host), gradient)
            }
            _ => {
                let mut host = vec![0f64; len];
                device.download(gradient.as_view(), ViewMut::F64(&mut host))?;
                ranks.sum(&mut host).map_err(failed)?;
                device.upload(View::F64(&host), gradient)
            }
        }
    }
}

//! The terms of the loss summed over steps, on the device; read back only when a line is to be
//! shown.

use rung_autograd::{DType, Device, Shape, Tensor};

use crate::error::{Context, Error, Result};

/// Sums over the steps since the last reset.
#[derive(Debug)]
pub struct Terms {
    sums: Vec<Tensor>,
    steps: u64,
}

impl Terms {
    /// Sums of so many terms.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn new(device: &Device, dtype: DType, count: usize) -> Result<Self> {
        let zero = || Tensor::zeros(device, dtype, Shape::SCALAR).context("allocating sums");
        Ok(Self { sums: (0..count).map(|_| zero()).collect::<Result<_>>()?, steps: 0 })
    }

    /// Adds the terms of a step.
    ///
    /// # Errors
    /// If the device fails.
    pub fn add(&mut self, terms: &[Tensor]) -> Result<()> {
        for (sum, term) in self.sums.iter_mut().zip(terms) {
            sum.accumulate(term).context("summing terms")?;
        }
        self.steps += 1;
        Ok(())
    }

    /// The means over the steps; `None` before the first.
    ///
    /// # Errors
    /// If the device fails.
    pub fn means(&self) -> Result<Option<Vec<f64>>> {
        let (sums, steps) = self.state()?;
        Ok((steps > 0).then(|| sums.iter().map(|sum| sum / steps as f64).collect()))
    }

    /// Starts again at zero.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn reset(&mut self) -> Result<()> {
        *self = Self::new(&self.sums[0].device().clone(), self.sums[0].dtype(), self.sums.len())?;
        Ok(())
    }

    /// The sums and the number of steps, for a checkpoint in the middle of an epoch.
    ///
    /// # Errors
    /// If the device fails.
    pub fn state(&self) -> Result<(Vec<f64>, u64)> {
        let read = |sum: &Tensor| sum.to_scalar().context("reading sums");
        Ok((self.sums.iter().map(read).collect::<Result<_>>()?, self.steps))
    }

    /// Goes on from [`Terms::state`].
    ///
    /// # Errors
    /// If the number of terms is another model's, or the device has no memory.
    pub fn restore(&mut self, sums: &[f64], steps: u64) -> Result<()> {
        if sums.len() != self.sums.len() {
            return Err(Error::new(format!(
                "the checkpoint has sums of {} terms, the model has {}",
                sums.len(),
                self.sums.len()
            )));
        }
        for (sum, &value) in self.sums.iter_mut().zip(sums) {
            *sum = Tensor::full(&sum.device().clone(), sum.dtype(), value, Shape::SCALAR)
                .context("restoring sums")?;
        }
        self.steps = steps;
        Ok(())
    }
}

//! The terms of the bound summed over steps, on the device; read back only when a line is to be shown.

use rung_autograd::{DType, Device, Shape, Tensor};
use rung_models::objective::Bound;

use crate::error::{Context, Error, Result};

/// Sums over the steps since the last reset.
#[derive(Debug)]
pub struct Terms {
    /// log p(x|z_1), then the divergence of each layer.
    sums: Vec<Tensor>,
    steps: u64,
}

/// Means over steps, in nats per image.
#[derive(Debug, Clone, PartialEq)]
pub struct TermMeans {
    /// log p(x|z_1).
    pub log_p_x: f64,
    /// Divergence of each layer, z_1 first.
    pub kl: Vec<f64>,
}

impl TermMeans {
    /// The evidence lower bound: all terms with weight 1, whatever the warm-up.
    pub fn bound(&self) -> f64 {
        self.log_p_x - self.kl.iter().sum::<f64>()
    }
}

impl Terms {
    /// Sums for a model with `layers` latent layers.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn new(device: &Device, dtype: DType, layers: usize) -> Result<Self> {
        let zero = || Tensor::zeros(device, dtype, Shape::SCALAR).context("allocating sums");
        Ok(Self { sums: (0..=layers).map(|_| zero()).collect::<Result<_>>()?, steps: 0 })
    }

    /// Adds the terms of a step.
    ///
    /// # Errors
    /// If the device fails.
    pub fn add(&mut self, bound: &Bound) -> Result<()> {
        let terms = std::iter::once(&bound.log_p_x).chain(&bound.kl);
        for (sum, term) in self.sums.iter_mut().zip(terms) {
            sum.accumulate(term).context("summing terms")?;
        }
        self.steps += 1;
        Ok(())
    }

    /// The means; `None` before the first step.
    ///
    /// # Errors
    /// If the device fails.
    pub fn means(&self) -> Result<Option<TermMeans>> {
        let read = |sum: &Tensor| sum.to_scalar().context("reading sums");
        let sums: Vec<f64> = self.sums.iter().map(read).collect::<Result<_>>()?;
        let steps = self.steps as f64;
        Ok((self.steps > 0)
            .then(|| TermMeans { log_p_x: sums[0] / steps, kl: sums[1..].iter().map(|sum| sum / steps).collect() }))
    }

    /// Starts again at zero.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn reset(&mut self) -> Result<()> {
        *self = Self::new(&self.sums[0].device().clone(), self.sums[0].dtype(), self.sums.len() - 1)?;
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
            *sum = Tensor::full(&sum.device().clone(), sum.dtype(), value, Shape::SCALAR).context("restoring sums")?;
        }
        self.steps = steps;
        Ok(())
    }
}

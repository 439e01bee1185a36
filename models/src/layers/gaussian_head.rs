//! The mean head and the variance head of a Gaussian, multiplied as one product.

use rung_autograd::ops::{Activation, Gaussian};
use rung_autograd::{Initialiser, Result, Tensor};

use super::{Builder, Dense, DenseConfig, NormConfig};
use crate::pass::Pass;
use crate::steps::{Deviation, StepRecorder, Value};

/// Sizes and settings of a Gaussian head.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GaussianHeadConfig {
    /// Units of the input.
    pub inputs: usize,
    /// Units of the Gaussian.
    pub units: usize,
    /// Batch normalisation of the pre-activations, if there is one.
    pub norm: Option<NormConfig>,
    /// Added to the variance right after the softplus, so that it is never 0.
    pub variance_floor: f64,
}

/// mean = head(h), variance = softplus(head(h)) + floor (specification sections 2 and 6.2).
///
/// The columns 0..units of `weight` are the mean's, the columns units..2·units the variance's, and
/// so in `bias` and `norm`.
#[derive(Clone, Debug)]
pub struct GaussianHead {
    joined: Dense,
    variance_floor: f64,
}

impl GaussianHead {
    /// Adds the head's parameters. Each half of the weight is Glorot normal for its own fan-out; a
    /// bias starts at 0 for the mean, at 1 for the variance (so that it starts at
    /// softplus(1) = 1.313).
    #[must_use]
    pub fn new(builder: &mut Builder<'_>, config: &GaussianHeadConfig) -> Self {
        let dense = DenseConfig {
            inputs: config.inputs,
            outputs: 2 * config.units,
            norm: config.norm,
            activation: Activation::Identity,
            weight: Initialiser::glorot_normal(config.inputs, config.units, 1.0),
            bias: Initialiser::Halves { first: 0.0, second: 1.0 },
        };
        Self {
            joined: Dense::new(&mut builder.at("head"), &dense),
            variance_floor: config.variance_floor,
        }
    }

    /// The Gaussian for each row of `h`.
    ///
    /// # Errors
    /// `Shape` if `h` has other columns.
    pub fn forward(&self, pass: &mut Pass<'_>, h: &Tensor) -> Result<Gaussian> {
        self.joined.forward_head(pass, h, self.variance_floor)
    }

    /// From the second half of the head's columns to the standard deviation.
    pub(crate) const fn deviation(&self) -> Deviation {
        Deviation::Softplus { floor: self.variance_floor }
    }

    /// Both halves of the columns as a step.
    pub(crate) fn record(&self, recorder: &mut StepRecorder<'_>, h: Value) -> Result<Value> {
        self.joined.record(recorder, h)
    }

    /// The layer whose columns are both heads'.
    pub(crate) const fn layer(&self) -> &Dense {
        &self.joined
    }

    /// The Gaussian for each row of that layer's output.
    pub(crate) fn gaussian(&self, joined: &Tensor) -> Result<Gaussian> {
        joined.gaussian_head(self.variance_floor)
    }
}

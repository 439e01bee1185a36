//! From z_1 to the data: p(x|z_1).

use rung_autograd::ops::Activation;
use rung_autograd::{Initialiser, Result, Tensor};

use super::config::{HierarchyConfig, Observation};
use crate::layers::{Builder, Dense, DenseConfig, GaussianHead, GaussianHeadConfig, Mlp};
use crate::observation::ObservationParameters;
use crate::pass::Pass;
use crate::steps::{StepPixels, StepRecorder, Value};

/// The network of p(x|z_1). Its output layer has no batch normalisation.
#[derive(Clone, Debug)]
pub(super) struct ObservationNetwork {
    hidden: Mlp,
    head: Head,
}

#[derive(Clone, Debug)]
enum Head {
    Bernoulli(Dense),
    Gaussian(GaussianHead),
}

impl ObservationNetwork {
    pub(super) fn new(builder: &mut Builder<'_>, config: &HierarchyConfig) -> Self {
        let (width, norm) = (config.hidden_sizes[0], config.hidden_norm());
        let activation = config.nonlinearity.activation(config.leaky_slope);
        let hidden =
            Mlp::new(builder, config.latent_sizes[0], width, config.mlp_layers, activation, norm);
        let head = match config.observation {
            Observation::Bernoulli => {
                let logits = DenseConfig {
                    inputs: width,
                    outputs: config.data_size,
                    norm: None,
                    activation: Activation::Identity,
                    weight: Initialiser::glorot_normal(width, config.data_size, 1.0),
                    bias: Initialiser::Constant(0.0),
                };
                Head::Bernoulli(Dense::new(&mut builder.at("logits"), &logits))
            }
            Observation::Gaussian => {
                let gaussian = GaussianHeadConfig {
                    inputs: width,
                    units: config.data_size,
                    norm: None,
                    variance_floor: config.variance_floor,
                };
                Head::Gaussian(GaussianHead::new(builder, &gaussian))
            }
        };
        Self { hidden, head }
    }

    /// The layers before the head.
    pub(super) fn hidden_layers(&self) -> impl Iterator<Item = &Dense> {
        self.hidden.layers()
    }

    /// p(x | z_1) as steps.
    pub(super) fn record(&self, recorder: &mut StepRecorder<'_>, z_1: Value) -> Result<StepPixels> {
        let h = self.hidden.record(recorder, z_1)?;
        match &self.head {
            Head::Bernoulli(logits) => logits.record(recorder, h).map(|_| StepPixels::Logits),
            Head::Gaussian(head) => head.record(recorder, h).map(|_| StepPixels::Means),
        }
    }

    pub(super) fn forward(
        &self,
        pass: &mut Pass<'_>,
        z_1: &Tensor,
    ) -> Result<ObservationParameters> {
        let h = self.hidden.forward(pass, z_1)?;
        Ok(match &self.head {
            Head::Bernoulli(logits) => ObservationParameters::Bernoulli(logits.forward(pass, &h)?),
            Head::Gaussian(head) => ObservationParameters::Gaussian(head.forward(pass, &h)?),
        })
    }
}

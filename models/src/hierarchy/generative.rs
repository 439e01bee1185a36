//! The generative model: p(z_L) = N(0, I), p(z_i | z_{i+1}) and p(x | z_1) (Sønderby 2016,
//! eqs 1 to 4).

use rung_autograd::ops::Gaussian;
use rung_autograd::{Result, Tensor};

use super::config::HierarchyConfig;
use super::observation::ObservationNetwork;
use crate::layers::{Builder, Dense, GaussianHead, GaussianHeadConfig, Mlp};
use crate::observation::ObservationParameters;
use crate::pass::Pass;
use crate::steps::{StepPixels, StepRecorder, Value};

/// A network that gives a Gaussian: a multilayer perceptron, then the joined heads.
#[derive(Clone, Debug)]
pub(super) struct GaussianNetwork {
    hidden: Mlp,
    head: GaussianHead,
}

impl GaussianNetwork {
    pub(super) fn new(
        builder: &mut Builder<'_>,
        config: &HierarchyConfig,
        inputs: usize,
        width: usize,
        units: usize,
    ) -> Self {
        let hidden = Mlp::new(
            builder,
            inputs,
            width,
            config.mlp_layers,
            config.nonlinearity.activation(config.leaky_slope),
            config.hidden_norm(),
        );
        let head = GaussianHeadConfig {
            inputs: width,
            units,
            norm: config.head_norm(),
            variance_floor: config.variance_floor,
        };
        Self { hidden, head: GaussianHead::new(builder, &head) }
    }

    /// The hidden layer and the Gaussian it leads to.
    pub(super) fn forward_with_hidden(
        &self,
        pass: &mut Pass<'_>,
        x: &Tensor,
    ) -> Result<(Tensor, Gaussian)> {
        let h = self.hidden.forward(pass, x)?;
        let gaussian = self.head.forward(pass, &h)?;
        Ok((h, gaussian))
    }

    pub(super) fn forward(&self, pass: &mut Pass<'_>, x: &Tensor) -> Result<Gaussian> {
        Ok(self.forward_with_hidden(pass, x)?.1)
    }

    /// p of a group as steps.
    fn record(&self, recorder: &mut StepRecorder<'_>, x: Value, group: usize) -> Result<()> {
        let h = self.hidden.record(recorder, x)?;
        let joined = self.head.record(recorder, h)?;
        recorder.gaussian(group, joined, self.head.deviation());
        Ok(())
    }

    /// The layers before the head.
    pub(super) fn hidden_layers(&self) -> impl Iterator<Item = &Dense> {
        self.hidden.layers()
    }

    /// All layers, the head's last.
    pub(super) fn layers(&self) -> impl Iterator<Item = &Dense> {
        self.hidden.layers().chain([self.head.layer()])
    }

    pub(super) const fn head(&self) -> &GaussianHead {
        &self.head
    }
}

/// The networks of p.
#[derive(Clone, Debug)]
pub(super) struct Generative {
    /// `between[i − 1]` makes p(z_i | z_{i+1}).
    pub(super) between: Vec<GaussianNetwork>,
    observation: ObservationNetwork,
}

impl Generative {
    pub(super) fn new(builder: &mut Builder<'_>, config: &HierarchyConfig) -> Self {
        let mut builder = builder.at("generative");
        let network = |index: usize| {
            let (inputs, units) = (config.latent_sizes[index + 1], config.latent_sizes[index]);
            GaussianNetwork::new(
                &mut builder.at(index + 1),
                config,
                inputs,
                config.generative_width(index),
                units,
            )
        };
        let between = (0..config.depth() - 1).map(network).collect();
        Self { between, observation: ObservationNetwork::new(&mut builder.at("x"), config) }
    }

    /// p(z_i | z_{i+1}) for the sample of layer i + 1; `index` is i − 1.
    pub(super) fn prior(
        &self,
        pass: &mut Pass<'_>,
        index: usize,
        z_above: &Tensor,
    ) -> Result<Gaussian> {
        self.between[index].forward(pass, z_above)
    }

    /// The layers of p(x | z_1) before its head, which has no batch normalisation.
    pub(super) fn observation_layers(&self) -> impl Iterator<Item = &Dense> {
        self.observation.hidden_layers()
    }

    /// All of it as steps, from z_L down to the data; `units` are those of the layers.
    pub(super) fn record(
        &self,
        recorder: &mut StepRecorder<'_>,
        units: &[usize],
    ) -> Result<StepPixels> {
        let top = units.len() - 1;
        let mut z = recorder.sample(top, units[top]);
        for index in (0..top).rev() {
            self.between[index].record(recorder, z, index)?;
            z = recorder.sample(index, units[index]);
        }
        self.observation.record(recorder, z)
    }

    /// p(x | z_1).
    pub(super) fn observe(
        &self,
        pass: &mut Pass<'_>,
        z_1: &Tensor,
    ) -> Result<ObservationParameters> {
        self.observation.forward(pass, z_1)
    }
}

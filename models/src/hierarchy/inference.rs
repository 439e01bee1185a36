//! The two orders of inference. Posterior and prior of a layer stand side by side, so that what
//! they share is visible.

use rung_autograd::ops::{Gaussian, merge};
use rung_autograd::{Result, Tensor};

use super::config::{HierarchyConfig, Inference};
use super::generative::{GaussianNetwork, Generative};
use crate::latent::{Latent, Prior};
use crate::layers::Builder;
use crate::pass::Pass;

/// The networks of q.
#[derive(Clone, Debug)]
pub(super) struct InferenceNetworks {
    order: Inference,
    /// `up[i − 1]` leads to layer i from below.
    pub(super) up: Vec<GaussianNetwork>,
    /// `down[i − 1]` leads to layer i from z_{i+1}; empty where inference is bottom-up or shares
    /// the prior's.
    pub(super) down: Vec<GaussianNetwork>,
}

impl InferenceNetworks {
    pub(super) fn new(builder: &mut Builder<'_>, config: &HierarchyConfig) -> Self {
        let mut builder = builder.at("inference");
        let rises_through_mean =
            !matches!(config.inference, Inference::Ladder { rises_through_mean: false, .. });
        let up = |index: usize| {
            let inputs = match index {
                0 => config.data_size,
                _ if rises_through_mean => config.latent_sizes[index - 1],
                _ => config.hidden_sizes[index - 1],
            };
            let (width, units) = (config.hidden_sizes[index], config.latent_sizes[index]);
            GaussianNetwork::new(&mut builder.at("up").at(index + 1), config, inputs, width, units)
        };
        let up = (0..config.depth()).map(up).collect();
        let has_own_down =
            matches!(config.inference, Inference::Ladder { shares_generative: false, .. });
        let down = |index: usize| {
            let (inputs, width) = (config.latent_sizes[index + 1], config.hidden_sizes[index + 1]);
            GaussianNetwork::new(
                &mut builder.at("down").at(index + 1),
                config,
                inputs,
                width,
                config.latent_sizes[index],
            )
        };
        let down =
            if has_own_down { (0..config.depth() - 1).map(down).collect() } else { Vec::new() };
        Self { order: config.inference, up, down }
    }

    /// The deterministic part, everything that does not depend on a sample: bottom-up Gaussians
    /// from layer 1, only the first for the VAE, all for a ladder.
    pub(super) fn messages(&self, pass: &mut Pass<'_>, x: &Tensor) -> Result<Vec<Gaussian>> {
        let Inference::Ladder { rises_through_mean, .. } = self.order else {
            return Ok(vec![self.up[0].forward(pass, x)?]);
        };
        let mut messages: Vec<Gaussian> = Vec::with_capacity(self.up.len());
        let mut input = x.clone();
        for network in &self.up {
            let (hidden, message) = network.forward_with_hidden(pass, &input)?;
            input = if rises_through_mean { message.mean.clone() } else { hidden };
            messages.push(message);
        }
        Ok(messages)
    }

    /// Samples every layer from q, `samples` times for each image, and gives the priors at those
    /// samples; z_1 first.
    pub(super) fn sample(
        &self,
        pass: &mut Pass<'_>,
        messages: &[Gaussian],
        samples: usize,
        generative: &Generative,
    ) -> Result<Vec<Latent>> {
        match self.order {
            Inference::BottomUp => self.sample_bottom_up(pass, messages, samples, generative),
            Inference::Ladder { shares_generative, .. } => {
                self.sample_top_down(pass, messages, samples, generative, shares_generative)
            }
        }
    }

    /// Sønderby 2016, eqs 5 and 6: q(z_i | z_{i−1}) from the sample below.
    fn sample_bottom_up(
        &self,
        pass: &mut Pass<'_>,
        messages: &[Gaussian],
        samples: usize,
        generative: &Generative,
    ) -> Result<Vec<Latent>> {
        let mut latents: Vec<Latent> = Vec::with_capacity(self.up.len());
        for (index, network) in self.up.iter().enumerate() {
            let q = match latents.last() {
                None => messages[0].repeat_rows(samples)?,
                Some(below) => network.forward(pass, &below.z)?,
            };
            let z = sample_posterior(pass, index, &q)?;
            latents.push(Latent { q, p: Prior::StandardNormal, z });
        }
        for index in 1..latents.len() {
            let p = generative.prior(pass, index - 1, &latents[index].z)?;
            latents[index - 1].p = Prior::Gaussian(p);
        }
        Ok(latents)
    }

    /// Sønderby 2016, eqs 17 to 21: from the top, each layer's message from below merged with one
    /// from above.
    fn sample_top_down(
        &self,
        pass: &mut Pass<'_>,
        messages: &[Gaussian],
        samples: usize,
        generative: &Generative,
        shares_generative: bool,
    ) -> Result<Vec<Latent>> {
        let mut latents: Vec<Latent> = Vec::with_capacity(self.up.len());
        for index in (0..self.up.len()).rev() {
            let from_below = messages[index].repeat_rows(samples)?;
            let (q, p) = match latents.last() {
                None => (from_below, Prior::StandardNormal),
                Some(Latent { z: z_above, .. }) => {
                    let p = generative.prior(pass, index, z_above)?;
                    let q = if shares_generative {
                        merge(&from_below, &p)?
                    } else {
                        merge(&from_below, &self.down[index].forward(pass, z_above)?)?
                    };
                    (q, Prior::Gaussian(p))
                }
            };
            let z = sample_posterior(pass, index, &q)?;
            latents.push(Latent { q, p, z });
        }
        latents.reverse();
        Ok(latents)
    }
}

/// A sample of layer `index` + 1 from its q.
fn sample_posterior(pass: &Pass<'_>, index: usize, q: &Gaussian) -> Result<Tensor> {
    q.sample_with(&pass.posterior_noise(index + 1, *q.mean.shape())?)
}

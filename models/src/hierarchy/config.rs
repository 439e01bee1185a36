//! The architecture of a hierarchy, as data.

use rung_autograd::ops::Activation;
use rung_autograd::{Error, Result};

use crate::layers::NormConfig;

/// The order and the wiring of inference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inference {
    /// q(z_1|x) Π q(z_i | z_{i−1}): each layer is inferred from the sample below ("VAE"; Sønderby 2016, eqs 5 and 6).
    BottomUp,
    /// q(z_L|x) Π q(z_i | z_{i+1}, x): a deterministic way up, then samples on the way down, each merged with what the way up
    /// found ("probabilistic ladder" and "Ladder VAE"; Sønderby 2016, eqs 13 to 21).
    Ladder {
        /// The top-down factor of q is the prior's network (Ladder VAE) instead of one of its own (probabilistic ladder).
        shares_generative: bool,
        /// The way up continues from the mean head (probabilistic ladder) instead of the hidden layer (Ladder VAE).
        rises_through_mean: bool,
    },
}

impl Inference {
    /// The preprint's probabilistic ladder network.
    pub const PROBABILISTIC_LADDER: Self = Self::Ladder { shares_generative: false, rises_through_mean: true };
    /// The published Ladder VAE.
    pub const LADDER_VAE: Self = Self::Ladder { shares_generative: true, rises_through_mean: false };
}

/// The distribution of the data given z_1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observation {
    /// Independent Bernoulli pixels, by logits.
    Bernoulli,
    /// Independent Gaussian pixels, mean and variance both from the network.
    Gaussian,
}

/// Width of the generative network from z_{i+1} to z_i.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GenerativeWidths {
    /// h_{i+1}, as the papers say.
    Paper,
    /// h_i, as in the authors' code (for the ladder).
    Code,
}

/// A hierarchical model with Gaussian latent layers.
#[derive(Clone, Debug, PartialEq)]
pub struct HierarchyConfig {
    /// Numbers in one example: pixels.
    pub data_size: usize,
    /// Units of z_1, z_2, ….
    pub latent_sizes: Vec<usize>,
    /// Hidden width of each layer's networks, h_1, h_2, ….
    pub hidden_sizes: Vec<usize>,
    /// Dense layers in each multilayer perceptron.
    pub mlp_layers: usize,
    /// Nonlinearity of the hidden layers.
    pub activation: Activation,
    /// How the latents are inferred.
    pub inference: Inference,
    /// How the data are distributed.
    pub observation: Observation,
    /// Batch normalisation of the hidden layers.
    pub hidden_norm: Option<NormConfig>,
    /// Batch normalisation of the mean and variance heads of the latents.
    pub head_norm: Option<NormConfig>,
    /// Added to every variance right after its softplus.
    pub variance_floor: f64,
    /// Width of the generative networks between latents.
    pub generative_widths: GenerativeWidths,
}

impl HierarchyConfig {
    /// The five-layer probabilistic ladder of the preprint for `data_size` Bernoulli pixels.
    #[must_use]
    pub fn paper(data_size: usize, layers: usize, inference: Inference) -> Self {
        let norm = Some(NormConfig { epsilon: 1e-5 });
        Self {
            data_size,
            latent_sizes: [64, 32, 16, 8, 4].into_iter().take(layers).collect(),
            hidden_sizes: [512, 256, 128, 64, 32].into_iter().take(layers).collect(),
            mlp_layers: 2,
            activation: Activation::LeakyRelu(0.1),
            inference,
            observation: Observation::Bernoulli,
            hidden_norm: norm,
            head_norm: norm,
            variance_floor: 1e-5,
            generative_widths: GenerativeWidths::Paper,
        }
    }

    /// Latent layers, L.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.latent_sizes.len()
    }

    /// Width of the network that makes z_i from z_{i+1} in the generative model; `index` is i − 1.
    pub(super) fn generative_width(&self, index: usize) -> usize {
        match self.generative_widths {
            GenerativeWidths::Paper => self.hidden_sizes[index + 1],
            GenerativeWidths::Code => self.hidden_sizes[index],
        }
    }

    /// Refuses sizes that make no model.
    ///
    /// # Errors
    /// `Argument` naming the size and the rule.
    pub fn check(&self) -> Result<()> {
        let refuse = |what: String| Err(Error::argument("model", what));
        if self.latent_sizes.is_empty() {
            return refuse("there must be at least one latent layer".into());
        }
        if self.latent_sizes.len() != self.hidden_sizes.len() {
            let (latents, hiddens) = (self.latent_sizes.len(), self.hidden_sizes.len());
            return refuse(format!("{latents} latent sizes need as many hidden sizes, not {hiddens}"));
        }
        let sizes = self.latent_sizes.iter().chain(&self.hidden_sizes).chain([&self.data_size]);
        if sizes.copied().any(|size| size == 0) {
            return refuse("every size must be at least 1".into());
        }
        if !(self.variance_floor > 0.0 && self.variance_floor.is_finite()) {
            return refuse(format!("the variance floor must be above 0, not {}", self.variance_floor));
        }
        Ok(())
    }
}

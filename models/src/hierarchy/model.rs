//! A hierarchy as a whole: inference, priors, likelihood, and sampling from the prior.

use rung_autograd::ops::Gaussian;
use rung_autograd::{Error, ParameterList, Result, Shape, Tensor};

use super::config::{HierarchyConfig, Inference};
use super::generative::Generative;
use super::inference::{InferenceNetworks, Upward, draw};
use super::observation::ObservationParameters;
use crate::layers::Builder;
use crate::pass::Pass;
use crate::statistics::StatisticsList;

/// A deep latent-variable model: see the [module](super).
#[derive(Clone, Debug)]
pub struct Hierarchy {
    config: HierarchyConfig,
    pub(super) inference: InferenceNetworks,
    pub(super) generative: Generative,
}

/// One latent layer, for each row: a sample, and the two distributions the bound compares at it.
#[derive(Clone, Debug)]
pub struct Latent {
    /// The distribution the sample was drawn from: q(z_i | ·).
    pub q: Gaussian,
    /// The prior of the layer given the sample above; `None` is the standard normal of the top.
    pub p: Option<Gaussian>,
    /// The sample.
    pub z: Tensor,
}

/// Samples of all layers from q, and the likelihood they lead to.
#[derive(Clone, Debug)]
pub struct Sampled {
    /// The layers, z_1 first. Rows are images times samples: row = image · samples + sample.
    pub latents: Vec<Latent>,
    /// p(x | z_1).
    pub p_x: ObservationParameters,
}

/// Where sampling from the generative model starts.
#[derive(Clone, Debug)]
pub enum LatentSource {
    /// z_i ~ N(0, I) at this layer (1 is nearest to the data), then ancestral samples below it; the top layer gives samples of the model.
    StandardNormal {
        /// The layer i.
        layer: usize,
        /// How many samples.
        count: usize,
    },
    /// A given z_i.
    Given {
        /// The layer i.
        layer: usize,
        /// One row for each sample.
        z: Tensor,
    },
}

impl Hierarchy {
    /// Adds the model's parameters and statistics to the lists.
    ///
    /// # Errors
    /// `Argument` if the configuration makes no model.
    pub fn new(
        config: HierarchyConfig,
        parameters: &mut ParameterList,
        statistics: &mut StatisticsList,
    ) -> Result<Self> {
        config.check()?;
        let mut builder = Builder::new(parameters, statistics);
        let inference = InferenceNetworks::new(&mut builder, &config);
        let generative = Generative::new(&mut builder, &config);
        Ok(Self { config, inference, generative })
    }

    /// What the model was made from.
    #[must_use]
    pub const fn config(&self) -> &HierarchyConfig {
        &self.config
    }

    /// The part of inference that exists once per image.
    ///
    /// # Errors
    /// `Shape` if `x` is not [batch, `data_size`].
    pub fn upward(&self, pass: &mut Pass<'_>, x: &Tensor) -> Result<Upward> {
        self.inference.upward(pass, x)
    }

    /// Draws `samples` samples of all layers for each image.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn sample_posterior(&self, pass: &mut Pass<'_>, upward: &Upward, samples: usize) -> Result<Sampled> {
        let latents = self.inference.sample(pass, upward, samples, &self.generative)?;
        let p_x = self.generative.observe(pass, &latents[0].z)?;
        Ok(Sampled { latents, p_x })
    }

    /// Both steps of inference for a batch.
    ///
    /// # Errors
    /// As [`Hierarchy::upward`].
    pub fn infer(&self, pass: &mut Pass<'_>, x: &Tensor, samples: usize) -> Result<Sampled> {
        let upward = self.upward(pass, x)?;
        self.sample_posterior(pass, &upward, samples)
    }

    /// Samples from the generative model, all layers from the source downwards and p(x | z_1).
    ///
    /// # Errors
    /// `Argument` if there is no such layer; `Shape` if a given z has the wrong columns.
    pub fn generate(&self, pass: &mut Pass<'_>, source: &LatentSource) -> Result<ObservationParameters> {
        let (LatentSource::StandardNormal { layer, .. } | LatentSource::Given { layer, .. }) = *source;
        let depth = self.config.depth();
        if layer == 0 || layer > depth {
            return Err(Error::argument("generate", format!("layer {layer} is not one of the model's 1 to {depth}")));
        }
        let units = self.config.latent_sizes[layer - 1];
        let mut z = match source {
            LatentSource::StandardNormal { count, .. } => pass.latent_noise(layer, Shape::from([*count, units]))?,
            LatentSource::Given { z, .. } => z.clone(),
        };
        for index in (0..layer - 1).rev() {
            let p = self.generative.prior(pass, index, &z)?;
            z = draw(pass, index, &p)?;
        }
        self.generative.observe(pass, &z)
    }

    /// The layers where KL(q‖p) in closed form is the layer's term of the bound: those whose conditions are all sampled before.
    ///
    /// For a ladder these are all, for bottom-up inference only the top (specification section 7.3).
    #[must_use]
    pub fn analytic_layers(&self) -> std::ops::Range<usize> {
        let depth = self.config.depth();
        match self.config.inference {
            Inference::BottomUp => depth - 1..depth,
            Inference::Ladder { .. } => 0..depth,
        }
    }
}

//! A hierarchy as a whole: inference, priors, likelihood, and sampling from the prior.

use rung_autograd::ops::Gaussian;
use rung_autograd::{ParameterList, ParameterStore, Result, Shape, Tensor};

use super::config::{HierarchyConfig, Inference};
use super::generative::Generative;
use super::inference::InferenceNetworks;
use crate::latent::{
    Group, LatentModel, LatentSource, Posterior, Sampled, WholeData, layer_out_of_range,
    no_layer_left,
};
use crate::layers::Builder;
use crate::observation::ObservationParameters;
use crate::pass::Pass;
use crate::statistics::{Statistics, StatisticsList};
use crate::steps::{Recorded, StepRecorder};

/// A model of the family of the [module](super).
#[derive(Clone, Debug)]
pub struct Hierarchy {
    config: HierarchyConfig,
    pub(super) inference: InferenceNetworks,
    pub(super) generative: Generative,
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
}

/// q(z|x) of some images: what the bottom-up pass found of them.
#[derive(Debug)]
struct HierarchyPosterior<'a> {
    model: &'a Hierarchy,
    /// Bottom-up Gaussians from layer 1: only the first for the VAE, all for a ladder.
    messages: Vec<Gaussian>,
}

impl Posterior for HierarchyPosterior<'_> {
    fn sample_above(
        &self,
        pass: &mut Pass<'_>,
        samples: usize,
        skipped_layers: usize,
    ) -> Result<Sampled> {
        let Self { model, messages } = self;
        if skipped_layers >= model.config.depth() {
            return Err(no_layer_left(skipped_layers, model.config.depth()));
        }
        let mut latents = model.inference.sample(pass, messages, samples, &model.generative)?;
        latents.drain(..skipped_layers);
        let p_x = model.descend(pass, skipped_layers + 1, latents[0].z.clone())?;
        Ok(Sampled { latents, p_x, class: None })
    }
}

impl Hierarchy {
    /// z of `layer` given, the layers below it sampled from their priors, and p(x | z_1).
    fn descend(
        &self,
        pass: &mut Pass<'_>,
        layer: usize,
        mut z: Tensor,
    ) -> Result<ObservationParameters> {
        for index in (0..layer - 1).rev() {
            let p = self.generative.prior(pass, index, &z)?;
            z = pass.sample_prior(index + 1, &p, false)?;
        }
        self.generative.observe(pass, &z)
    }
}

impl LatentModel for Hierarchy {
    fn data_size(&self) -> usize {
        self.config.data_size
    }

    fn groups(&self) -> Vec<Group> {
        let group = |(index, &units)| Group { layer: index + 1, role: "", own_name: None, units };
        self.config.latent_sizes.iter().enumerate().map(group).collect()
    }

    fn infer_bottom_up<'a>(
        &'a self,
        pass: &mut Pass<'_>,
        x: &Tensor,
    ) -> Result<Box<dyn Posterior + 'a>> {
        let messages = self.inference.messages(pass, x)?;
        Ok(Box::new(HierarchyPosterior { model: self, messages }))
    }

    fn generate(
        &self,
        pass: &mut Pass<'_>,
        source: &LatentSource,
    ) -> Result<ObservationParameters> {
        let depth = self.config.depth();
        let known = |layer: usize| {
            if (1..=depth).contains(&layer) {
                Ok(layer)
            } else {
                Err(layer_out_of_range(layer, depth))
            }
        };
        let standard_normal = |pass: &Pass<'_>, layer: usize, count: usize| {
            pass.prior_noise(layer, Shape::from([count, self.config.latent_sizes[layer - 1]]))
        };
        match source {
            LatentSource::StandardNormal { layer, count } => {
                let z = standard_normal(pass, known(*layer)?, *count)?;
                self.descend(pass, *layer, z)
            }
            LatentSource::SharedAbove { layer, count } if *layer >= depth => {
                let z = standard_normal(pass, depth, *count)?;
                self.descend(pass, depth, z)
            }
            LatentSource::SharedAbove { layer, count } => {
                let mut z = standard_normal(pass, depth, 1)?;
                for index in (*layer..depth - 1).rev() {
                    let p = self.generative.prior(pass, index, &z)?;
                    z = pass.sample_prior(index + 1, &p, false)?;
                }
                self.descend(pass, layer + 1, z.repeat_rows(*count)?)
            }
            LatentSource::Given { layer, z } => self.descend(pass, known(*layer)?, z.clone()),
        }
    }

    fn generative_steps(&self, pass: &Pass<'_>) -> Result<Recorded> {
        let mut recorder = StepRecorder::new(pass);
        let pixels = self.generative.record(&mut recorder, &self.config.latent_sizes)?;
        Ok(Ok(recorder.finish(pixels)))
    }

    fn recompute_statistics(
        &self,
        store: &ParameterStore,
        data: &WholeData<'_>,
        noise: (u64, u64),
        statistics: &mut Statistics,
    ) -> Result<()> {
        self.recompute_in_chunks(store, data, noise, statistics)
    }

    /// For a ladder these are all groups, for bottom-up inference only the top (specification
    /// section 7.3).
    fn has_analytic_kl(&self, group: usize) -> bool {
        match self.config.inference {
            Inference::BottomUp => group + 1 == self.config.depth(),
            Inference::Ladder { .. } => true,
        }
    }
}

//! A MatNet as a whole: the three chains, the samples, and sampling from the prior.

use rung_autograd::ops::Gaussian;
use rung_autograd::{Error, ParameterList, Result, Shape, Tensor};

use super::config::MatNetConfig;
use super::generative::Generative;
use super::inference::{BottomUp, Inference};
use crate::biva::StageObservation;
use crate::latent::{
    Clusters, Group, Latent, LatentModel, LatentSource, Posterior, Prior, Sampled, no_layer_left,
    starts_at_top,
};
use crate::layers::Builder;
use crate::mixture_prior::{GaussianMixture, MixturePrior};
use crate::observation::ObservationParameters;
use crate::pass::Pass;
use crate::statistics::StatisticsList;

/// A model of the family of the [module](super).
#[derive(Clone, Debug)]
pub struct MatNet {
    config: MatNetConfig,
    inference: Inference,
    generative: Generative,
}

/// Where the latents below the top are from.
enum From<'a> {
    /// From q, by what the bottom-up chain found, but for the lowest layers, which are drawn from p.
    Posterior { bottom_up: &'a BottomUp, skipped_layers: usize },
    /// From p; the layers above this one have one noise for all rows.
    Prior { shared_above: usize },
}

impl MatNet {
    /// Adds the model's parameters to the list; there are no statistics.
    ///
    /// # Errors
    /// `Argument` if the configuration makes no model.
    pub fn new(
        config: MatNetConfig,
        parameters: &mut ParameterList,
        statistics: &mut StatisticsList,
    ) -> Result<Self> {
        config.check()?;
        config.check_image()?;
        let mut builder = Builder::new(parameters, statistics);
        let inference = Inference::new(&mut builder, &config, config.image.channels);
        let generative = Generative::new(&mut builder, &config);
        Ok(Self { config, inference, generative })
    }

    /// What the model was made from.
    #[must_use]
    pub const fn config(&self) -> &MatNetConfig {
        &self.config
    }

    /// Rows of planar images as feature maps; values of a mixture of logistics are moved from
    /// [0, 1] to [−1, 1].
    fn maps(&self, x: &Tensor) -> Result<Tensor> {
        let maps = self.config.image.maps("matnet", x)?;
        match self.config.observation {
            StageObservation::Bernoulli => Ok(maps),
            StageObservation::LogisticMixture => maps.affine(2.0, -1.0),
        }
    }

    /// Samples of the top from its prior.
    fn sample_top(&self, pass: &Pass<'_>, rows: usize) -> Result<Tensor> {
        let depth = self.config.depth();
        let noise = pass.prior_noise(depth, Shape::from([rows, self.config.top_units]))?;
        let Some(prior) = self.generative.top_prior() else { return Ok(noise) };
        let mixture = prior.mixture(pass)?;
        // The position above the top is no group's.
        let choice = pass.prior_noise(depth + 1, mixture.choice_shape(rows))?;
        mixture.sample_of(&mixture.uniform_components(&choice)?, &noise)
    }

    /// From z_L down to the data. Gives the latents of the layers below the top, nearest to the data
    /// first, and p(x|z).
    fn descend(
        &self,
        pass: &mut Pass<'_>,
        top: &Tensor,
        source: &From<'_>,
    ) -> Result<(Vec<Latent>, ObservationParameters)> {
        let (rows, scale) = (top.shape().sizes()[0], self.generative.scale(pass));
        let mut number = self.config.depth();
        let mut latents = Vec::with_capacity(number);
        let mut state = self.generative.start(pass, top)?;
        let mut merged = match source {
            From::Posterior { .. } => Some(self.inference.start(pass, top)?),
            From::Prior { .. } => None,
        };
        for block in (0..self.config.blocks.len()).rev() {
            for layer in (0..self.config.blocks[block].layers).rev() {
                number -= 1;
                let place = (block, layer);
                let p = self.generative.prior(pass, place, &state)?;
                let latent = match (source, &merged) {
                    (From::Posterior { bottom_up, skipped_layers }, Some(above))
                        if number > *skipped_layers =>
                    {
                        let (q, next) =
                            self.inference.merge(pass, place, &state, bottom_up, above, &scale)?;
                        merged = Some(next);
                        let z = sample_posterior(pass, number, &q)?;
                        Latent { q, p: p.into(), z }
                    }
                    _ => {
                        let shape = Shape::from([rows, self.config.latent_map(block).units()]);
                        let p_or_standard = match &p {
                            Some(p) => p.clone(),
                            None => standard_normal(top, shape)?,
                        };
                        let is_shared = matches!(source, From::Prior { shared_above } if number > *shared_above);
                        let z = sample_prior(pass, number, &p_or_standard, is_shared)?;
                        Latent { q: p_or_standard, p: p.into(), z }
                    }
                };
                state = self.generative.advance(pass, place, &state, &latent.z)?;
                latents.push(latent);
            }
            if block > 0 {
                state = self.generative.leave(pass, block, &state)?;
                merged = match merged {
                    Some(merged) => Some(self.inference.leave(pass, block, merged)?),
                    None => None,
                };
            }
        }
        latents.reverse();
        Ok((latents, self.generative.observe(pass, &state)?))
    }
}

/// N(0, I) of this shape, where `like` is.
fn standard_normal(like: &Tensor, shape: Shape) -> Result<Gaussian> {
    let filled = |value| Tensor::full(like.device(), like.dtype(), value, shape);
    Ok(Gaussian { mean: filled(0.0)?, variance: filled(1.0)? })
}

/// A sample of layer `number` from its q.
fn sample_posterior(pass: &Pass<'_>, number: usize, q: &Gaussian) -> Result<Tensor> {
    q.sample_with(&pass.posterior_noise(number, *q.mean.shape())?)
}

/// A sample of layer `number` from its p, with noise of its own for every row or one for all.
fn sample_prior(pass: &Pass<'_>, number: usize, p: &Gaussian, is_shared: bool) -> Result<Tensor> {
    let shape = *p.mean.shape();
    if is_shared {
        let noise = pass.prior_noise(number, shape.with_axis(0, 1))?;
        return p.sample_with(&noise.repeat_rows(shape.sizes()[0])?);
    }
    p.sample_with(&pass.prior_noise(number, shape)?)
}

/// q(z|x) of some images: what the bottom-up chain found of them.
#[derive(Debug)]
struct MatNetPosterior<'a> {
    model: &'a MatNet,
    bottom_up: BottomUp,
}

impl Posterior for MatNetPosterior<'_> {
    fn sample_above(
        &self,
        pass: &mut Pass<'_>,
        samples: usize,
        skipped_layers: usize,
    ) -> Result<Sampled> {
        let (model, depth) = (self.model, self.model.config.depth());
        if skipped_layers >= depth {
            return Err(no_layer_left(skipped_layers, depth));
        }
        let bottom_up = self.bottom_up.repeated(samples)?;
        let q = bottom_up.top(&model.generative.scale(pass))?;
        let z = sample_posterior(pass, depth, &q)?;
        let source = From::Posterior { bottom_up: &bottom_up, skipped_layers };
        let (mut latents, p_x) = model.descend(pass, &z, &source)?;
        latents.drain(..skipped_layers);
        let p = match model.generative.top_prior() {
            None => Prior::StandardNormal,
            Some(prior) => Prior::Mixture(prior.mixture(pass)?),
        };
        latents.push(Latent { q, p, z });
        Ok(Sampled { latents, p_x, class: None })
    }
}

impl LatentModel for MatNet {
    fn data_size(&self) -> usize {
        self.config.image.units()
    }

    fn groups(&self) -> Vec<Group> {
        let blocks = self.config.blocks.iter().enumerate();
        let units = blocks.flat_map(|(index, block)| {
            std::iter::repeat_n(self.config.latent_map(index).units(), block.layers)
        });
        let group = |(units, layer)| Group { layer, role: "", own_name: None, units };
        units.chain([self.config.top_units]).zip(1..).map(group).collect()
    }

    fn infer_bottom_up<'a>(
        &'a self,
        pass: &mut Pass<'_>,
        x: &Tensor,
    ) -> Result<Box<dyn Posterior + 'a>> {
        let bottom_up = self.inference.bottom_up(pass, &self.maps(x)?)?;
        Ok(Box::new(MatNetPosterior { model: self, bottom_up }))
    }

    fn generate(
        &self,
        pass: &mut Pass<'_>,
        source: &LatentSource,
    ) -> Result<ObservationParameters> {
        let depth = self.config.depth();
        let top = |pass: &Pass<'_>, rows: usize| self.sample_top(pass, rows);
        let (z, source) = match source {
            LatentSource::StandardNormal { layer, count } => {
                starts_at_top(*layer, depth)?;
                (top(pass, *count)?, From::Prior { shared_above: depth })
            }
            LatentSource::SharedAbove { layer, count } if *layer < depth => {
                (top(pass, 1)?.repeat_rows(*count)?, From::Prior { shared_above: *layer })
            }
            LatentSource::SharedAbove { count, .. } => {
                (top(pass, *count)?, From::Prior { shared_above: depth })
            }
            LatentSource::Given { layer, z } => {
                starts_at_top(*layer, depth)?;
                (z.clone(), From::Prior { shared_above: depth })
            }
        };
        Ok(self.descend(pass, &z, &source)?.1)
    }

    fn clusters(&self) -> Option<&dyn Clusters> {
        self.generative.top_prior().is_some().then_some(self)
    }

    /// Of all groups: every q and p is given samples from above alone.
    fn has_analytic_kl(&self, _group: usize) -> bool {
        true
    }
}

impl Clusters for MatNet {
    fn count(&self) -> usize {
        self.generative.top_prior().map_or(0, MixturePrior::components)
    }

    fn sample(&self, pass: &Pass<'_>, each: usize) -> Result<Tensor> {
        let components: Vec<u32> =
            (0..self.count() as u32).flat_map(|k| std::iter::repeat_n(k, each)).collect();
        let shape = Shape::from([components.len(), self.config.top_units]);
        let noise = pass.prior_noise(self.config.depth(), shape)?;
        self.mixture(pass)?.sample_of(&components, &noise)
    }

    fn log_responsibilities(&self, pass: &Pass<'_>, z: &Tensor) -> Result<Tensor> {
        self.mixture(pass)?.log_responsibilities(z)
    }
}

impl MatNet {
    fn mixture(&self, pass: &Pass<'_>) -> Result<GaussianMixture> {
        match self.generative.top_prior() {
            Some(prior) => prior.mixture(pass),
            None => Err(Error::argument("clusters", "the prior of the top is no mixture")),
        }
    }
}

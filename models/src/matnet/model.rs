//! A MatNet as a whole: the three chains, the samples, and sampling from the prior.

use rung_autograd::ops::Gaussian;
use rung_autograd::{Error, Initialiser, ParameterId, ParameterList, Result, Shape, Tensor};

use super::config::MatNetConfig;
use super::generative::Generative;
use super::inference::{BottomUp, Inference};
use super::missing::Missing;
use super::transition::beside;
use crate::biva::StageObservation;
use crate::latent::{
    Clusters, Group, Imputer, Latent, LatentModel, LatentSource, Posterior, Prior, Sampled,
    no_layer_left, starts_at_top,
};
use crate::layers::Builder;
use crate::mixture_prior::{GaussianMixture, MixturePrior};
use crate::observation::{ObservationParameters, PartlyObserved};
use crate::pass::Pass;
use crate::statistics::StatisticsList;
use crate::steps::Recorded;

/// Log-odds at which a Bernoulli variable is certain.
const CERTAIN: f64 = 1000.0;

/// A model of the family of the [module](super).
#[derive(Clone, Debug)]
pub struct MatNet {
    config: MatNetConfig,
    inference: Inference,
    generative: Generative,
    completion: Option<Completion>,
}

/// What a model that fills in missing pixels has beside the others: p of the latents given what is
/// observed.
#[derive(Clone, Debug)]
struct Completion {
    /// Its bottom-up and merge chains, which give p where those of the inference model give q.
    policy: Inference,
    /// What is seen in the place of missing pixels, [values].
    fill: ParameterId,
}

/// Some images of which only a part is observed.
#[derive(Clone, Debug)]
struct Observed {
    /// The images, [row, values].
    x: Tensor,
    /// 1 where a pixel is missing, [row, values].
    mask: Tensor,
    /// What is seen of them: the images with the missing pixels filled, and the mask.
    visible: Tensor,
    /// What the policy's bottom-up chain found.
    found: BottomUp,
}

/// Where the latents below the top are from.
enum From<'a> {
    /// From q, by what the bottom-up chain found, but for the lowest layers, which are drawn from
    /// p.
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
        let (channels, values) = (config.image.channels, config.image.units());
        let completion = (config.missing != Missing::None).then(|| {
            let mut builder = builder.at("policy");
            let fill = builder.parameter("fill", [values], Initialiser::Constant(0.0));
            Completion { policy: Inference::new(&mut builder, &config, 2 * channels), fill }
        });
        // q sees what p sees, and the whole image with the mask again.
        let seen = if completion.is_some() { 4 * channels } else { channels };
        let inference = Inference::new(&mut builder.at("inference"), &config, seen);
        let generative = Generative::new(&mut builder, &config);
        Ok(Self { config, inference, generative, completion })
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

    /// Samples of the top from its prior, given what is observed where the model needs that.
    fn sample_top(
        &self,
        pass: &Pass<'_>,
        rows: usize,
        observed: Option<&Observed>,
    ) -> Result<Tensor> {
        let depth = self.config.depth();
        let noise = pass.prior_noise(depth, Shape::from([rows, self.config.top_units]))?;
        if let Some(observed) = observed {
            return observed.found.top(&self.generative.scale(pass))?.sample_with(&noise);
        }
        let Some(prior) = self.generative.top_prior() else { return Ok(noise) };
        let mixture = prior.mixture(pass)?;
        mixture.sample_of(&self.drawn_components(pass, &mixture, rows)?, &noise)
    }

    /// A component for each row, each as likely as any other.
    fn drawn_components(
        &self,
        pass: &Pass<'_>,
        mixture: &GaussianMixture,
        rows: usize,
    ) -> Result<Vec<u32>> {
        // The position above the top is no group's.
        let choice = pass.prior_noise(self.config.depth() + 1, mixture.choice_shape(rows))?;
        mixture.uniform_components(&choice)
    }

    /// What is to be seen of these images where `mask` is 0; `None` in a model of whole images.
    fn observe(&self, pass: &Pass<'_>, x: &Tensor, mask: &Tensor) -> Result<Option<Observed>> {
        let Some(Completion { policy, fill }) = &self.completion else { return Ok(None) };
        let filled = mask.mul(&pass.parameter(*fill))?;
        let visible = self.maps(&mask.affine(-1.0, 1.0)?.mul(x)?.add(&filled)?)?;
        let visible = beside(&[&visible, &self.maps(mask)?])?;
        let found = policy.bottom_up(pass, &visible)?;
        Ok(Some(Observed { x: x.clone(), mask: mask.clone(), visible, found }))
    }

    /// Images of which nothing is observed.
    fn observe_nothing(&self, pass: &Pass<'_>, rows: usize) -> Result<Option<Observed>> {
        if self.completion.is_none() {
            return Ok(None);
        }
        let scale = self.generative.scale(pass);
        let filled = |value| {
            Tensor::full(scale.device(), scale.dtype(), value, [rows, self.config.image.units()])
        };
        self.observe(pass, &filled(0.0)?, &filled(1.0)?)
    }

    /// q's bottom-up chain: over the images, and over what p sees where the model fills in missing
    /// pixels.
    fn inferred(
        &self,
        pass: &Pass<'_>,
        x: &Tensor,
        observed: Option<&Observed>,
    ) -> Result<BottomUp> {
        let whole = self.maps(x)?;
        match observed {
            None => self.inference.bottom_up(pass, &whole),
            Some(Observed { visible, mask, .. }) => {
                let seen = beside(&[visible, &whole, &self.maps(mask)?])?;
                self.inference.bottom_up(pass, &seen)
            }
        }
    }

    /// From z_L down to the data. Gives the latents of the layers below the top, nearest to the
    /// data first, and p(x|z).
    fn descend(
        &self,
        pass: &mut Pass<'_>,
        top: &Tensor,
        source: &From<'_>,
        observed: Option<&Observed>,
    ) -> Result<(Vec<Latent>, ObservationParameters)> {
        let (rows, scale) = (top.shape().sizes()[0], self.generative.scale(pass));
        let mut number = self.config.depth();
        let mut latents = Vec::with_capacity(number);
        let mut state = self.generative.start(pass, top)?;
        let mut merged = match source {
            From::Posterior { .. } => Some(self.inference.start(pass, top)?),
            From::Prior { .. } => None,
        };
        let mut policy = match (&self.completion, observed) {
            (Some(Completion { policy, .. }), Some(Observed { found, .. })) => {
                Some((policy, found, policy.start(pass, top)?))
            }
            _ => None,
        };
        let mut refined = None;
        for block in (0..self.config.blocks.len()).rev() {
            let spread = self.generative.spread(block, top)?;
            for layer in (0..self.config.blocks[block].layers).rev() {
                number -= 1;
                let place = (block, layer);
                let p = match &mut policy {
                    None => self.generative.prior(pass, place, &state)?,
                    Some((policy, found, merged)) => {
                        let (p, next) = policy.merge(pass, place, &state, found, merged, &scale)?;
                        *merged = next;
                        Some(p)
                    }
                };
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
                        let is_shared = matches!(source,
                            From::Prior { shared_above } if number > *shared_above);
                        let z = pass.sample_prior(number, &p_or_standard, is_shared)?;
                        Latent { q: p_or_standard, p: p.into(), z }
                    }
                };
                let z = &latent.z;
                state = self.generative.advance(pass, place, &state, z, spread.as_ref())?;
                refined = self.generative.refine(pass, block, &state, refined)?;
                latents.push(latent);
            }
            if block > 0 {
                state = self.generative.leave(pass, block, &state)?;
                if let Some((policy, _, merged)) = &mut policy {
                    *merged = policy.leave(pass, block, merged.clone())?;
                }
                merged = match merged {
                    Some(merged) => Some(self.inference.leave(pass, block, merged)?),
                    None => None,
                };
            }
        }
        latents.reverse();
        let p_x = self.generative.observe(pass, &state, refined)?;
        Ok((latents, observed.map_or(Ok(p_x.clone()), |observed| observed.complete(p_x))?))
    }
}

impl Observed {
    /// The same for each of `samples` samples of every image.
    fn repeated(&self, samples: usize) -> Result<Self> {
        Ok(Self {
            x: self.x.repeat_rows(samples)?,
            mask: self.mask.repeat_rows(samples)?,
            visible: self.visible.clone(),
            found: self.found.repeated(samples)?,
        })
    }

    /// p(x|z) of the missing pixels, the observed ones being certain: of Bernoulli variables at
    /// log-odds of ± 1000 the log-probability is 0 in every float.
    fn complete(&self, p_x: ObservationParameters) -> Result<ObservationParameters> {
        let logits = match p_x {
            ObservationParameters::Bernoulli(logits) => logits,
            ObservationParameters::LogisticMixture(p_x) => {
                let (x, missing) = (self.x.clone(), self.mask.clone());
                return Ok(ObservationParameters::PartlyObserved(PartlyObserved {
                    p_x,
                    x,
                    missing,
                }));
            }
            _ => {
                let bug = "bug: missing pixels of another distribution; please report it";
                return Err(Error::argument("matnet", bug));
            }
        };
        let certain = self.x.affine(2.0 * CERTAIN, -CERTAIN)?;
        let observed = self.mask.affine(-1.0, 1.0)?.mul(&certain)?;
        Ok(ObservationParameters::Bernoulli(self.mask.mul(&logits)?.add(&observed)?))
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

/// q(z|x) of some images: what the bottom-up chain found of them.
#[derive(Debug)]
struct MatNetPosterior<'a> {
    model: &'a MatNet,
    bottom_up: BottomUp,
    observed: Option<Observed>,
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
        let observed = self.observed.as_ref().map(|observed| observed.repeated(samples));
        let observed = observed.transpose()?;
        let (mut latents, p_x) = model.descend(pass, &z, &source, observed.as_ref())?;
        latents.drain(..skipped_layers);
        let p = match (&observed, model.generative.top_prior()) {
            (Some(Observed { found, .. }), _) => {
                Prior::Gaussian(found.top(&model.generative.scale(pass))?)
            }
            (None, Some(prior)) => Prior::Mixture(prior.mixture(pass)?),
            (None, None) => Prior::StandardNormal,
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
        let observed = match &self.completion {
            None => None,
            Some(_) => self.observe(pass, x, &self.masks(pass, x.shape().sizes()[0])?)?,
        };
        let bottom_up = self.inferred(pass, x, observed.as_ref())?;
        Ok(Box::new(MatNetPosterior { model: self, bottom_up, observed }))
    }

    fn generate(
        &self,
        pass: &mut Pass<'_>,
        source: &LatentSource,
    ) -> Result<ObservationParameters> {
        let depth = self.config.depth();
        let rows = match source {
            LatentSource::StandardNormal { count, .. }
            | LatentSource::SharedAbove { count, .. } => *count,
            LatentSource::Given { z, .. } => z.shape().sizes()[0],
        };
        let observed = self.observe_nothing(pass, rows)?;
        let top = |pass: &Pass<'_>, rows: usize| {
            self.sample_top(pass, rows, self.observe_nothing(pass, rows)?.as_ref())
        };
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
        Ok(self.descend(pass, &z, &source, observed.as_ref())?.1)
    }

    fn generative_steps(&self, pass: &Pass<'_>) -> Result<Recorded> {
        if self.completion.is_some() {
            return Ok(Err("it is a model of missing pixels given the others"));
        }
        let units: Vec<usize> = self.groups().iter().map(|group| group.units).collect();
        self.generative.record(pass, &units)
    }

    /// The components that [`LatentModel::generate`] draws.
    fn drawn_choices(&self, pass: &Pass<'_>, rows: usize) -> Result<Vec<u32>> {
        let Some(prior) = self.generative.top_prior() else { return Ok(Vec::new()) };
        self.drawn_components(pass, &prior.mixture(pass)?, rows)
    }

    fn imputer(&self) -> Option<&dyn Imputer> {
        self.completion.is_some().then_some(self)
    }

    fn clusters(&self) -> Option<&dyn Clusters> {
        self.generative.top_prior().is_some().then_some(self)
    }

    /// Of all groups: every q and p is given samples from above alone.
    fn has_analytic_kl(&self, _group: usize) -> bool {
        true
    }
}

impl Imputer for MatNet {
    fn masks(&self, pass: &Pass<'_>, images: usize) -> Result<Tensor> {
        let masks = self.config.masks();
        let noise = pass.mask_noise(Shape::from([images, masks.noise()]))?;
        let values: Vec<f64> = noise
            .to_f64()?
            .chunks_exact(masks.noise().max(1))
            .flat_map(|noise| masks.mask(noise))
            .collect();
        let shape = [images, self.config.image.units()];
        Tensor::from_values(noise.device(), noise.dtype(), &values, shape)
    }

    fn quadrants(&self) -> Option<usize> {
        (self.config.missing == Missing::Quadrants).then_some(self.config.missing_count)
    }

    fn complete(
        &self,
        pass: &mut Pass<'_>,
        x: &Tensor,
        mask: &Tensor,
        samples: usize,
    ) -> Result<ObservationParameters> {
        let observed = self.observe(pass, x, mask)?.ok_or_else(no_imputer)?.repeated(samples)?;
        let z = self.sample_top(pass, observed.x.shape().sizes()[0], Some(&observed))?;
        let source = From::Prior { shared_above: self.config.depth() };
        Ok(self.descend(pass, &z, &source, Some(&observed))?.1)
    }

    fn infer_missing(&self, pass: &mut Pass<'_>, x: &Tensor, mask: &Tensor) -> Result<Sampled> {
        let observed = self.observe(pass, x, mask)?.ok_or_else(no_imputer)?;
        let bottom_up = self.inferred(pass, x, Some(&observed))?;
        MatNetPosterior { model: self, bottom_up, observed: Some(observed) }.sample(pass, 1)
    }
}

fn no_imputer() -> Error {
    Error::argument("impute", "the model is one of whole images")
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

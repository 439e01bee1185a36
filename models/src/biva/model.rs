//! A stage-wise model as a whole: both ways, the samples, and sampling from the prior.

use rung_autograd::ops::Gaussian;
use rung_autograd::{Error, ParameterList, Result, Shape, Tensor};

use super::config::{BivaConfig, Paths, StageObservation};
use super::generative::{Descent, Generative, StageDistributions};
use super::inference::{Found, Inference, StageFeatures};
use crate::latent::{
    Group, Latent, LatentModel, LatentSource, Sampled, Upward, UpwardState, layer_out_of_range, no_layer_left,
};
use crate::layers::Builder;
use crate::observation::ObservationParameters;
use crate::pass::Pass;
use crate::statistics::StatisticsList;

/// A model of the family of the [module](super).
#[derive(Clone, Debug)]
pub struct Biva {
    config: BivaConfig,
    pub(super) inference: Inference,
    pub(super) generative: Generative,
}

/// The two groups of a stage, or the one there is.
#[derive(Debug, Default)]
struct StageLatents {
    bottom_up: Option<Latent>,
    top_down: Option<Latent>,
}

/// Where the latents below the top are from.
enum From<'a> {
    /// From q, by what the way up found, but for the lowest layers, which are drawn from p.
    Posterior { found: &'a mut Found, skipped_layers: usize },
    /// From p; the layers above this one have one noise for all rows.
    Prior { shared_above: usize },
}

impl From<'_> {
    /// What the way up found at a layer (from 1), if that is to be used.
    fn inferred(&mut self, layer: usize) -> Option<&mut StageFeatures> {
        match self {
            Self::Posterior { found, skipped_layers } if layer > *skipped_layers => found.stages.get_mut(layer - 1),
            _ => None,
        }
    }

    fn is_shared(&self, layer: usize) -> bool {
        matches!(self, Self::Prior { shared_above } if layer > *shared_above)
    }
}

impl Biva {
    /// Adds the model's parameters to the list; there are no statistics.
    ///
    /// # Errors
    /// `Argument` if the configuration makes no model.
    pub fn new(config: BivaConfig, parameters: &mut ParameterList, statistics: &mut StatisticsList) -> Result<Self> {
        config.check()?;
        let mut builder = Builder::new(parameters, statistics);
        let inference = Inference::new(&mut builder, &config);
        let generative = Generative::new(&mut builder, &config);
        Ok(Self { config, inference, generative })
    }

    /// What the model was made from.
    #[must_use]
    pub const fn config(&self) -> &BivaConfig {
        &self.config
    }

    /// Rows of planar images as feature maps; values of a mixture of logistics are moved from [0, 1] to [−1, 1].
    fn maps(&self, x: &Tensor) -> Result<Tensor> {
        let image = self.config.image;
        let &[rows, values] = x.shape().sizes() else {
            return Err(Error::shape("biva", "x must be [batch, values]", &[("x", *x.shape())]));
        };
        if values != image.units() {
            let rule = format!("an image has {} values, not {values}", image.units());
            return Err(Error::shape("biva", rule, &[("x", *x.shape())]));
        }
        let positions = image.height * image.width;
        let turned = if positions == 1 || image.channels == 1 {
            x.clone()
        } else {
            x.reshape([rows, image.channels, positions])?.transpose()?
        };
        let maps = turned.reshape([rows, image.height, image.width, image.channels])?;
        match self.config.observation {
            StageObservation::Bernoulli => Ok(maps),
            StageObservation::LogisticMixture { .. } => maps.affine(2.0, -1.0),
        }
    }

    /// The position of a stage's first group among all groups.
    fn first_group(&self, index: usize) -> usize {
        if self.config.paths == Paths::Bidirectional { 2 * index } else { index }
    }

    /// A sample of the group at this position, with noise of its own for every row or one for all.
    fn draw(&self, pass: &Pass<'_>, group: usize, distribution: &Gaussian, is_shared: bool) -> Result<Tensor> {
        let shape = *distribution.mean.shape();
        if is_shared {
            let noise = pass.latent_noise(group + 1, shape.with_axis(0, 1))?;
            return distribution.sample_with(&noise.repeat_rows(shape.sizes()[0])?);
        }
        distribution.sample_with(&pass.latent_noise(group + 1, shape)?)
    }

    /// Samples of a stage's groups given what is above: from q where the way up's findings are given, else from p.
    fn sample_stage(
        &self,
        pass: &Pass<'_>,
        index: usize,
        distributions: StageDistributions,
        bottom_up: Option<(Gaussian, Tensor)>,
        is_shared: bool,
    ) -> Result<StageLatents> {
        let StageDistributions { p_bottom_up, p_top_down, q_top_down } = distributions;
        let first = self.first_group(index);
        let mut latents = StageLatents::default();
        if let Some(p) = p_bottom_up {
            let (q, z) = match bottom_up {
                Some(found) => found,
                None => (p.clone(), self.draw(pass, first, &p, is_shared)?),
            };
            latents.bottom_up = Some(Latent { q, p: Some(p), z });
        }
        if let Some(p) = p_top_down {
            let position = first + usize::from(latents.bottom_up.is_some());
            let q = q_top_down.unwrap_or_else(|| p.clone());
            let z = self.draw(pass, position, &q, is_shared)?;
            latents.top_down = Some(Latent { q, p: Some(p), z });
        }
        Ok(latents)
    }

    /// From z_L down to the data. Gives the latents of each stage below the top, nearest to the data first.
    fn descend(
        &self,
        pass: &mut Pass<'_>,
        top: &Tensor,
        mut source: From<'_>,
    ) -> Result<(Vec<StageLatents>, ObservationParameters)> {
        let mut descent = Descent::default();
        let mut latents: Vec<StageLatents> = Vec::with_capacity(self.config.depth());
        for index in (0..self.config.depth()).rev() {
            let samples = match latents.last() {
                None => vec![top.clone()],
                Some(stage) => stage.top_down.iter().chain(&stage.bottom_up).map(|latent| latent.z.clone()).collect(),
            };
            let inferred = if index > 0 { source.inferred(index) } else { None };
            let features = inferred.as_ref().and_then(|stage| stage.deterministic.clone());
            let samples: Vec<&Tensor> = samples.iter().collect();
            let distributions = self.generative.descend(pass, &mut descent, index, &samples, features.as_ref())?;
            if let Some(distributions) = distributions {
                let bottom_up = inferred.and_then(|stage| stage.group.take());
                let is_shared = source.is_shared(index);
                latents.push(self.sample_stage(pass, index - 1, distributions, bottom_up, is_shared)?);
            }
        }
        latents.reverse();
        Ok((latents, self.generative.observe(pass, descent)?))
    }
}

impl LatentModel for Biva {
    fn data_size(&self) -> usize {
        self.config.image.units()
    }

    fn groups(&self) -> Vec<Group> {
        let mut groups = Vec::new();
        let maps = self.config.stage_maps();
        for (index, (stage, &map)) in self.config.stages.iter().zip(&maps).enumerate() {
            let (layer, units) = (index + 1, stage.latent.units(map));
            if self.config.paths == Paths::Bidirectional && layer < self.config.depth() {
                groups.extend(["bottom-up", "top-down"].map(|role| Group { layer, role, units }));
            } else {
                groups.push(Group { layer, role: "", units });
            }
        }
        groups
    }

    /// With the deterministic way up of the LVAE too, each sample has its own: K complete passes (specification B, section 12).
    fn upward(&self, _pass: &mut Pass<'_>, x: &Tensor) -> Result<Upward> {
        Ok(Upward(UpwardState::Images(self.maps(x)?)))
    }

    fn sample_above(
        &self,
        pass: &mut Pass<'_>,
        upward: &Upward,
        samples: usize,
        skipped_layers: usize,
    ) -> Result<Sampled> {
        let UpwardState::Images(x) = &upward.0 else { return Err(upward.foreign()) };
        if skipped_layers >= self.config.depth() {
            return Err(no_layer_left(skipped_layers, self.config.depth()));
        }
        let x = if samples == 1 { x.clone() } else { repeated(x, samples)? };
        let draw = |pass: &mut Pass<'_>, index: usize, q: &Gaussian| self.draw(pass, self.first_group(index), q, false);
        let mut found = self.inference.forward(pass, &x, self.config.skips, draw)?;
        let top_group = self.groups().len() - 1;
        let (q, z) = (found.top.clone(), self.draw(pass, top_group, &found.top, false)?);
        let (stages, p_x) = self.descend(pass, &z, From::Posterior { found: &mut found, skipped_layers })?;
        let kept = stages.into_iter().skip(skipped_layers);
        let mut latents: Vec<Latent> =
            kept.flat_map(|stage| stage.bottom_up.into_iter().chain(stage.top_down)).collect();
        latents.push(Latent { q, p: None, z });
        Ok(Sampled { latents, p_x })
    }

    fn generate(&self, pass: &mut Pass<'_>, source: &LatentSource) -> Result<ObservationParameters> {
        let depth = self.config.depth();
        let top = |pass: &Pass<'_>, rows: usize| {
            let groups = self.groups();
            pass.latent_noise(groups.len(), Shape::from([rows, groups[groups.len() - 1].units]))
        };
        let is_top = |layer: usize| match layer {
            layer if layer == depth => Ok(()),
            layer if layer == 0 || layer > depth => Err(layer_out_of_range(layer, depth)),
            _ => {
                let rule = format!("every layer is conditioned on all above it: sampling starts at the top, {depth}");
                Err(Error::argument("generate", rule))
            }
        };
        let (z, source) = match source {
            LatentSource::StandardNormal { layer, count } => {
                is_top(*layer)?;
                (top(pass, *count)?, From::Prior { shared_above: depth })
            }
            LatentSource::SharedAbove { layer, count } if *layer < depth => {
                (top(pass, 1)?.repeat_rows(*count)?, From::Prior { shared_above: *layer })
            }
            LatentSource::SharedAbove { count, .. } => (top(pass, *count)?, From::Prior { shared_above: depth }),
            LatentSource::Given { layer, z } => {
                is_top(*layer)?;
                (z.clone(), From::Prior { shared_above: depth })
            }
        };
        Ok(self.descend(pass, &z, source)?.1)
    }

    /// Not for a bottom-up group: its prior is conditioned on samples that depend on its own.
    fn has_analytic_kl(&self, group: usize) -> bool {
        match self.config.paths {
            Paths::TopDown => true,
            Paths::BottomUp => group + 1 == self.config.depth(),
            Paths::Bidirectional => group % 2 == 1 || group + 1 == self.groups().len(),
        }
    }
}

/// Each map `times` times in a row.
fn repeated(maps: &Tensor, times: usize) -> Result<Tensor> {
    let &[rows, height, width, channels] = maps.shape().sizes() else {
        return Err(Error::argument("biva", "bug: not a feature map; please report it"));
    };
    let flat = maps.reshape([rows, height * width * channels])?.repeat_rows(times)?;
    flat.reshape([rows * times, height, width, channels])
}

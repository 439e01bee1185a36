//! What every deep latent-variable model has in common: stochastic groups, samples of them from q,
//! and samples of the data from p.
//!
//! The bounds ([`crate::objective`]) and the programs that train, evaluate and draw pictures know a
//! model by [`LatentModel`] and [`Posterior`] alone.

use std::fmt::Debug;
use std::ops::Range;

use rung_autograd::ops::Gaussian;
use rung_autograd::{Error, ParameterId, ParameterStore, Ranks, Result, Tensor};

use crate::labelled::Classifier;
use crate::mixture_prior::GaussianMixture;
use crate::observation::ObservationParameters;
use crate::pass::Pass;
use crate::statistics::Statistics;
use crate::steps::Recorded;

/// A stochastic group: latent units whose KL is one term of the bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The stochastic layer it belongs to; 1 is nearest to the data. A layer has one group or,
    /// with bidirectional inference, two.
    pub layer: usize,
    /// What tells it from the layer's other group; empty if there is none.
    pub role: &'static str,
    /// Its name where the family's papers have one of its own, such as `a`; else it is z_i.
    pub own_name: Option<&'static str>,
    /// Its units: those of all positions, if it is a map.
    pub units: usize,
}

impl Group {
    /// `z_2`; with the direction of its inference where the layer has two groups: `z_2 bottom-up`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} {}", self.letter(), self.role).trim_end().to_string()
    }

    /// The name where there is little room: `z_2`, or `z_2↑` and `z_2↓` for the bottom-up and the
    /// top-down group of a layer.
    #[must_use]
    pub fn symbol(&self) -> String {
        format!("{}{}", self.letter(), self.arrow())
    }

    fn letter(&self) -> String {
        self.own_name.map_or_else(|| format!("z_{}", self.layer), str::to_string)
    }

    /// The name as a part of a key or a tag: `2`, or `2_bottom_up` where the layer has two groups,
    /// or a name of its own.
    #[must_use]
    pub fn key(&self) -> String {
        let layer = self.own_name.map_or_else(|| self.layer.to_string(), str::to_string);
        format!("{layer}_{}", self.role.replace('-', "_")).trim_end_matches('_').to_string()
    }

    /// The name of an array of its samples: `z_2`, `z_1_bottom_up`, or its own name.
    #[must_use]
    pub fn sample_key(&self) -> String {
        self.own_name.map_or_else(|| format!("z_{}", self.key()), str::to_string)
    }

    /// The direction of its inference where its layer has two groups, else nothing.
    #[must_use]
    pub fn arrow(&self) -> &'static str {
        match self.role {
            "bottom-up" => "↑",
            "top-down" => "↓",
            _ => "",
        }
    }
}

/// The prior of a group, given the samples above.
#[derive(Clone, Debug)]
pub enum Prior {
    /// N(0, I), such as that of a top layer.
    StandardNormal,
    /// A Gaussian for each row.
    Gaussian(Gaussian),
    /// A mixture, the same for all rows.
    Mixture(GaussianMixture),
}

impl From<Option<Gaussian>> for Prior {
    /// `None` is N(0, I).
    fn from(p: Option<Gaussian>) -> Self {
        p.map_or(Self::StandardNormal, Self::Gaussian)
    }
}

/// One stochastic group, for each row: a sample, and the two distributions the bound compares at
/// it.
#[derive(Clone, Debug)]
pub struct Latent {
    /// The distribution the sample was drawn from: q(z_i | ·).
    pub q: Gaussian,
    /// The prior of the group given the samples above.
    pub p: Prior,
    /// The sample, [row, units].
    pub z: Tensor,
}

/// Samples of the latents from q, and the likelihood they lead to.
#[derive(Clone, Debug)]
pub struct Sampled {
    /// The groups, nearest to the data first. Rows are images times samples: row = image · samples
    /// + sample.
    pub latents: Vec<Latent>,
    /// p(x | z).
    pub p_x: ObservationParameters,
    /// The class y that each row is conditioned on; `None` in a model without classes.
    pub class: Option<SampledClass>,
}

/// What a class y adds to the terms of the bound, in a model with classes.
#[derive(Clone, Debug)]
pub struct SampledClass {
    /// log p(y) in nats: that of every row, as p(y) is uniform.
    pub log_p: f64,
    /// log q(y|x, z) of each row, [row, classes], where the model chose the class by it; `None`
    /// where the classes were given.
    pub log_q: Option<Tensor>,
}

/// Where sampling from the generative model starts.
#[derive(Clone, Debug)]
pub enum LatentSource {
    /// z_i ~ N(0, I) at this layer (1 is nearest to the data), or its prior where that is a
    /// mixture, then ancestral samples below it; the
    /// top layer gives samples of the model.
    StandardNormal {
        /// The layer i.
        layer: usize,
        /// How many samples.
        count: usize,
    },
    /// Samples of the model that share one draw of the layers above this one; the layers up to it
    /// are drawn for each.
    SharedAbove {
        /// The highest layer that varies; 0 for samples that differ in nothing.
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

impl LatentSource {
    /// How many samples there will be.
    pub(crate) fn count(&self) -> usize {
        match self {
            Self::StandardNormal { count, .. } | Self::SharedAbove { count, .. } => *count,
            Self::Given { z, .. } => z.shape().sizes().first().copied().unwrap_or(0),
        }
    }
}

/// A data set as a model sees it.
#[allow(missing_debug_implementations, reason = "a closure has nothing to show")]
pub struct WholeData<'a> {
    /// Some images, by their numbers: [range, `data_size`].
    pub images: &'a dyn Fn(Range<usize>) -> Result<Tensor>,
    /// How many images there are.
    pub count: usize,
    /// Images that pass through a layer at once.
    pub chunk: usize,
    /// Who shares the work: each rank takes some of the chunks.
    pub ranks: &'a Ranks,
}

impl WholeData<'_> {
    /// The images of this rank's chunks. Where a chunk begins and ends does not depend on how many
    /// ranks there are; one of many may have none.
    pub(crate) fn chunks(&self) -> Vec<Range<usize>> {
        let size = self.chunk.max(1);
        let chunks = self.ranks.share(self.count.div_ceil(size));
        chunks.map(|chunk| chunk * size..self.count.min((chunk + 1) * size)).collect()
    }
}

/// Why no more than L − 1 layers can be skipped.
pub(crate) fn no_layer_left(skipped_layers: usize, depth: usize) -> Error {
    let rule = format!(
        "{skipped_layers} layers can't be skipped in a model of {depth}: at least the top must be \
        inferred"
    );
    Error::argument("sample_above", rule)
}

/// Why sampling can't start at a layer.
pub(crate) fn layer_out_of_range(layer: usize, depth: usize) -> Error {
    Error::argument("generate", format!("layer {layer} is not one of the model's 1 to {depth}"))
}

/// Refuses to start sampling at another layer than the top, in a model whose layers are conditioned
/// on all above them.
pub(crate) fn starts_at_top(layer: usize, depth: usize) -> Result<()> {
    match layer {
        layer if layer == depth => Ok(()),
        layer if layer == 0 || layer > depth => Err(layer_out_of_range(layer, depth)),
        _ => {
            let rule = format!(
                "every layer is conditioned on all above it: sampling starts at the top, {depth}"
            );
            Err(Error::argument("generate", rule))
        }
    }
}

/// A deep latent-variable model p(z) p(x|z) with an inference model q(z|x).
pub trait LatentModel: Debug {
    /// Elements of one example.
    fn data_size(&self) -> usize;

    /// The stochastic groups, nearest to the data first.
    fn groups(&self) -> Vec<Group>;

    /// The part of inference that exists once per image, however many samples are drawn: what of
    /// the bottom-up pass depends on no sample. It gives q(z|x) of the images `x` [batch,
    /// `data_size`].
    ///
    /// # Errors
    /// `Shape` if `x` is not [batch, `data_size`].
    fn infer_bottom_up<'a>(
        &'a self,
        pass: &mut Pass<'_>,
        x: &Tensor,
    ) -> Result<Box<dyn Posterior + 'a>>;

    /// Samples from the generative model, all layers from the source downwards and p(x | z).
    ///
    /// # Errors
    /// `Argument` if sampling can't start at that layer; `Shape` if a given z has the wrong
    /// columns.
    fn generate(&self, pass: &mut Pass<'_>, source: &LatentSource)
    -> Result<ObservationParameters>;

    /// Whether KL(q‖p) in closed form is the term of the bound for the group at this position of
    /// [`LatentModel::groups`]: it is where all conditions of both are sampled before the group.
    fn has_analytic_kl(&self, group: usize) -> bool;

    /// Recomputes every statistic of batch normalisation as that of one batch of all images, each
    /// with one sample of the latents; `noise` is the seed and the step of the noise. Equal, up to
    /// rounding, to a pass of [`Mode::Batch`](crate::Mode::Batch) over all images with weight 1. A
    /// model without statistics has nothing to do.
    ///
    /// # Errors
    /// If there are no images, or the device has no memory.
    fn recompute_statistics(
        &self,
        store: &ParameterStore,
        data: &WholeData<'_>,
        noise: (u64, u64),
        statistics: &mut Statistics,
    ) -> Result<()> {
        let _ = (store, data, noise, statistics);
        Ok(())
    }

    /// The generative model as steps with plain numbers, those of a pass with frozen statistics:
    /// the same images come from the same latents.
    ///
    /// # Errors
    /// If the device's numbers can't be read.
    fn generative_steps(&self, pass: &Pass<'_>) -> Result<Recorded> {
        let _ = pass;
        Ok(Err("this family is not among those whose generative model a page runs"))
    }

    /// What the [choice](crate::Operation::Choice) of the steps is for each of the first `rows`
    /// images from the prior in a pass: every class in turn; empty without a choice.
    ///
    /// # Errors
    /// If the device's numbers can't be read.
    fn drawn_choices(&self, pass: &Pass<'_>, rows: usize) -> Result<Vec<u32>> {
        let _ = pass;
        let in_turn =
            |model: &dyn Classifier| (0..rows).map(|row| (row % model.classes()) as u32).collect();
        Ok(self.classifier().map(in_turn).unwrap_or_default())
    }

    /// What fills in missing pixels, if the model is p(x_missing | x_observed).
    fn imputer(&self) -> Option<&dyn Imputer> {
        None
    }

    /// The components of the top layer's prior, if that is a mixture.
    fn clusters(&self) -> Option<&dyn Clusters> {
        None
    }

    /// What the model can do with classes, if it has any.
    fn classifier(&self) -> Option<&dyn Classifier> {
        None
    }

    /// The weight matrices that a prior of the weights is over; none for families without one.
    fn weights(&self) -> Vec<ParameterId> {
        Vec::new()
    }

    /// Stochastic layers, L.
    fn depth(&self) -> usize {
        self.groups().last().map_or(0, |group| group.layer)
    }

    /// Both steps of inference for a batch: `samples` samples of all layers for each image.
    ///
    /// # Errors
    /// As [`LatentModel::infer_bottom_up`].
    fn infer(&self, pass: &mut Pass<'_>, x: &Tensor, samples: usize) -> Result<Sampled> {
        self.infer_bottom_up(pass, x)?.sample(pass, samples)
    }
}

/// A model of the missing pixels of images given the observed ones. A mask is 1 where a pixel is
/// missing, [batch, `data_size`]; what `x` has there is not seen but by q.
pub trait Imputer: Debug {
    /// A mask for each image, as training draws them.
    ///
    /// # Errors
    /// If the device has no memory.
    fn masks(&self, pass: &Pass<'_>, images: usize) -> Result<Tensor>;

    /// Quadrants that such a mask hides; `None` if it hides other parts.
    fn quadrants(&self) -> Option<usize>;

    /// `samples` completions of each image, with latents from p: the observed pixels as they are.
    ///
    /// # Errors
    /// `Shape` if images or masks are not [batch, `data_size`].
    fn complete(
        &self,
        pass: &mut Pass<'_>,
        x: &Tensor,
        mask: &Tensor,
        samples: usize,
    ) -> Result<ObservationParameters>;

    /// One sample of the latents from q for each image: log p(x|z) is that of the missing pixels.
    ///
    /// # Errors
    /// As [`Imputer::complete`].
    fn infer_missing(&self, pass: &mut Pass<'_>, x: &Tensor, mask: &Tensor) -> Result<Sampled>;
}

/// The components of a top layer's prior: classes that no label named.
pub trait Clusters: Debug {
    /// How many there are, K.
    fn count(&self) -> usize;

    /// `each` samples of the top layer from every component, those of the first before those of the
    /// second: [count · each, units].
    ///
    /// # Errors
    /// If the device has no memory.
    fn sample(&self, pass: &Pass<'_>, each: usize) -> Result<Tensor>;

    /// ln r(k|z) of samples of the top layer, [row, component].
    ///
    /// # Errors
    /// `Shape` unless `z` is [row, units of the top].
    fn log_responsibilities(&self, pass: &Pass<'_>, z: &Tensor) -> Result<Tensor>;
}

/// q(z|x) of some images: what [`LatentModel::infer_bottom_up`] found of them, to draw samples from
/// as often as is wanted. Each family has a type of its own for it.
pub trait Posterior: Debug {
    /// Draws `samples` samples for each image: the layers above `skipped_layers` from q, those up
    /// to it from the prior given the layers above. The latents are those of the layers above; with
    /// the likelihood they give the bound L^{>k} of Maaløe 2019, and with `skipped_layers` = 0 the
    /// bound itself.
    ///
    /// # Errors
    /// `Argument` if no layer is left; if the device has no memory.
    fn sample_above(
        &self,
        pass: &mut Pass<'_>,
        samples: usize,
        skipped_layers: usize,
    ) -> Result<Sampled>;

    /// Draws `samples` samples of all layers for each image.
    ///
    /// # Errors
    /// If the device has no memory.
    fn sample(&self, pass: &mut Pass<'_>, samples: usize) -> Result<Sampled> {
        self.sample_above(pass, samples, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_a_name_for_each_place() {
        let of = |layer, role, own_name| {
            let group = Group { layer, role, own_name, units: 3 };
            [group.name(), group.symbol(), group.key()]
        };
        let names = |layer, role| of(layer, role, None);
        assert_eq!(of(1, "", Some("a")), ["a", "a", "a"]);
        assert_eq!(names(2, ""), ["z_2", "z_2", "2"]);
        assert_eq!(names(12, "bottom-up"), ["z_12 bottom-up", "z_12↑", "12_bottom_up"]);
        assert_eq!(names(1, "top-down"), ["z_1 top-down", "z_1↓", "1_top_down"]);
    }
}

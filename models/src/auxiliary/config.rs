//! The architecture of a deep generative model with an auxiliary variable, as data: `[model]` of a
//! configuration file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::hierarchy::Observation;
use crate::layers::{Nonlinearity, NormConfig};
use crate::map_shape::MapShape;
use crate::rules::{BrokenRule, LARGEST_LAYER, layer_sizes, positive, rule};

/// Classes beyond which one row for each is more than any step should compute.
const MOST_CLASSES: usize = 1000;
/// The largest limit of a log variance whose exponential is far from the limits of `f32`.
const LARGEST_LOG_VARIANCE: f64 = 40.0;

/// Where the auxiliary variable a stands in the generative model. In a file it is the family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuxiliaryFamily {
    /// p(x|y, z) p(a|x, y, z): a changes q alone, which becomes a mixture over a.
    #[default]
    Adgm,
    /// p(a|y, z) p(x|a, y, z): a is a second stochastic layer, and x sees z past it.
    Sdgm,
    /// p(x|y, z) without a (Kingma et al. 2014, "M2"): what both are compared with.
    M2,
}

/// ADGM, SDGM or M2: five networks of the same hidden layers, over an image, its class and one or
/// two latent variables.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuxiliaryConfig {
    /// Where the auxiliary variable stands.
    pub family: AuxiliaryFamily,
    /// Units of z.
    pub latent_units: usize,
    /// Units of a; of no account in `m2`.
    pub auxiliary_units: usize,
    /// Width of each hidden layer of every network, first to last.
    pub hidden_sizes: Vec<usize>,
    /// The nonlinearity of the hidden layers.
    pub nonlinearity: Nonlinearity,
    /// Slope of `leaky_relu` below zero.
    pub leaky_slope: f64,
    /// The distribution of an image given what is above it.
    pub observation: Observation,
    /// The generative model of a in `adgm` is p(a|x, y, z), and p(a|y, z) if this is false.
    pub auxiliary_reads_image: bool,
    /// Batch normalisation of the hidden layers.
    pub batch_norm: bool,
    /// Added to the variance under the square root of batch normalisation.
    pub batch_norm_epsilon: f64,
    /// Weight of the newest batch in the running statistics.
    pub batch_norm_momentum: f64,
    /// Standard deviation of the initial weights and biases of the Gaussian heads: so small that
    /// q and p both start at about N(0, 1).
    pub head_sigma: f64,
    /// Every log variance is clamped to ± this: a density of pixels that hardly vary grows without
    /// bound otherwise.
    pub log_variance_limit: f64,
    /// Elements of one example, pixels. They are the data's, so that no file names them.
    #[serde(skip)]
    pub data_size: usize,
    /// How many classes there are; 0 for a model without them (the auxiliary VAE).
    #[serde(skip)]
    pub classes: usize,
}

impl Default for AuxiliaryConfig {
    /// The sizes that the authors train on MNIST (specification, section 4).
    fn default() -> Self {
        Self {
            family: AuxiliaryFamily::Adgm,
            latent_units: 100,
            auxiliary_units: 100,
            hidden_sizes: vec![500, 500],
            nonlinearity: Nonlinearity::Relu,
            leaky_slope: 0.1,
            observation: Observation::Bernoulli,
            auxiliary_reads_image: true,
            batch_norm: true,
            batch_norm_epsilon: 1e-4,
            batch_norm_momentum: 0.1,
            head_sigma: 1e-3,
            log_variance_limit: 7.0,
            data_size: 0,
            classes: 0,
        }
    }
}

impl AuxiliaryConfig {
    /// The same architecture for examples of this shape, of so many classes; 0 for no classes.
    #[must_use]
    pub fn for_images(self, image: MapShape, classes: usize) -> Self {
        Self { data_size: image.units(), classes, ..self }
    }

    /// The family's name in the literature.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match (self.family, self.classes) {
            (AuxiliaryFamily::Adgm, _) => "auxiliary deep generative model (ADGM)",
            (AuxiliaryFamily::Sdgm, _) => "skip deep generative model (SDGM)",
            (AuxiliaryFamily::M2, _) => "semi-supervised VAE (M2)",
        }
    }

    /// Whether there is an auxiliary variable.
    #[must_use]
    pub fn has_auxiliary(&self) -> bool {
        self.family != AuxiliaryFamily::M2
    }

    /// Whether x is generated from a.
    #[must_use]
    pub fn generates_from_auxiliary(&self) -> bool {
        self.family == AuxiliaryFamily::Sdgm
    }

    /// Whether a is generated from x.
    #[must_use]
    pub fn auxiliary_sees_image(&self) -> bool {
        self.family == AuxiliaryFamily::Adgm && self.auxiliary_reads_image
    }

    /// Batch normalisation of the hidden layers.
    #[must_use]
    pub fn norm(&self) -> Option<NormConfig> {
        self.batch_norm.then_some(NormConfig { epsilon: self.batch_norm_epsilon })
    }

    /// Refuses what makes no model, whatever the data.
    ///
    /// # Errors
    /// The first rule that is broken, with key and value.
    pub fn check(&self) -> Result<(), BrokenRule> {
        layer_sizes("hidden_sizes", &self.hidden_sizes)?;
        for (key, units) in
            [("latent_units", self.latent_units), ("auxiliary_units", self.auxiliary_units)]
        {
            let rule_words = format!("must be 1 to {LARGEST_LAYER}");
            rule((1..=LARGEST_LAYER).contains(&units), key, units, rule_words)?;
        }
        let slope = self.leaky_slope;
        rule((0.0..1.0).contains(&slope), "leaky_slope", slope, "must be at least 0 and below 1")?;
        positive("batch_norm_epsilon", self.batch_norm_epsilon)?;
        let momentum = self.batch_norm_momentum;
        rule(
            momentum > 0.0 && momentum <= 1.0,
            "batch_norm_momentum",
            momentum,
            "must be above 0 and at most 1",
        )?;
        positive("head_sigma", self.head_sigma)?;
        let limit = self.log_variance_limit;
        rule(
            limit > 0.0 && limit <= LARGEST_LOG_VARIANCE,
            "log_variance_limit",
            limit,
            format!("must be above 0 and at most {LARGEST_LOG_VARIANCE}"),
        )
    }

    /// Refuses data that the model can't be for.
    ///
    /// # Errors
    /// The first rule that is broken, with key and value.
    pub fn check_data(&self) -> Result<(), BrokenRule> {
        rule(self.data_size > 0, "data_size", 0, "an example must have at least one value")?;
        let classes = self.classes;
        rule(
            classes <= MOST_CLASSES,
            "classes",
            classes,
            format!("must be at most {MOST_CLASSES}, as a step computes each of them"),
        )
    }
}

//! The architecture of a hierarchy, as data: `[model]` of a configuration file.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::layers::{Nonlinearity, NormConfig};
use crate::map_shape::MapShape;
use crate::rules::{BrokenRule, layer_sizes, positive, rule};

/// The order and the wiring of inference. In a file it is the family: `vae`, `ladder` or `lvae`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inference {
    /// q(z_1|x) Π q(z_i | z_{i−1}): each layer is inferred from the sample below ("VAE"; Sønderby
    /// 2016, eqs 5 and 6).
    BottomUp,
    /// q(z_L|x) Π q(z_i | z_{i+1}, x): a deterministic bottom-up pass, then samples in a top-down
    /// pass, each merged with what the bottom-up pass found ("probabilistic ladder" and "Ladder
    /// VAE"; Sønderby 2016, eqs 13 to 21).
    Ladder {
        /// The top-down factor of q is the prior's network (Ladder VAE) instead of one of its own
        /// (probabilistic ladder).
        shares_generative: bool,
        /// The bottom-up pass continues from the mean head (probabilistic ladder) instead of the
        /// hidden layer (Ladder VAE).
        rises_through_mean: bool,
    },
}

impl Inference {
    /// The preprint's probabilistic ladder network.
    pub const PROBABILISTIC_LADDER: Self =
        Self::Ladder { shares_generative: false, rises_through_mean: true };
    /// The published Ladder VAE.
    pub const LADDER_VAE: Self =
        Self::Ladder { shares_generative: true, rises_through_mean: false };
    /// What a file can name, with the names in a file and in the literature. Other wirings exist
    /// for experiments in code.
    pub const NAMED: [(&str, Self, &str); 3] = [
        ("vae", Self::BottomUp, "VAE"),
        ("ladder", Self::PROBABILISTIC_LADDER, "probabilistic ladder"),
        ("lvae", Self::LADDER_VAE, "Ladder VAE"),
    ];
}

impl Serialize for Inference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match Self::NAMED.iter().find(|(_, inference, _)| inference == self) {
            Some((name, ..)) => serializer.serialize_str(name),
            None => Err(serde::ser::Error::custom(format!(
                "{self:?} has no name in a configuration file"
            ))),
        }
    }
}

impl JsonSchema for Inference {
    fn schema_name() -> Cow<'static, str> {
        "Inference".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let named = Self::NAMED.iter().map(
            |(name, _, title)| json_schema!({ "const": name, "description": format!("{title}.") }),
        );
        json_schema!({ "oneOf": named.collect::<Vec<Schema>>() })
    }
}

impl<'de> Deserialize<'de> for Inference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wanted = String::deserialize(deserializer)?;
        let found = Self::NAMED.iter().find(|(name, ..)| *name == wanted);
        let unknown = || serde::de::Error::unknown_variant(&wanted, &["vae", "ladder", "lvae"]);
        found.map(|(_, inference, _)| *inference).ok_or_else(unknown)
    }
}

/// The distribution of the data given z_1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Observation {
    /// Independent Bernoulli pixels, by logits.
    Bernoulli,
    /// Independent Gaussian pixels, mean and variance both from the network.
    Gaussian,
}

/// Width of the generative network from z_{i+1} to z_i.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GenerativeWidths {
    /// h_{i+1}, as the papers say.
    Paper,
    /// h_i, as in the authors' code (for the ladder).
    Code,
}

/// A hierarchical model with Gaussian latent layers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HierarchyConfig {
    /// How the latents are inferred.
    #[serde(rename = "family")]
    pub inference: Inference,
    /// Units of each stochastic layer, z_1 first.
    pub latent_sizes: Vec<usize>,
    /// Width of the dense layers that belong to each stochastic layer, h_1 first.
    pub hidden_sizes: Vec<usize>,
    /// Dense layers in each multilayer perceptron.
    pub mlp_layers: usize,
    /// The nonlinearity of the dense layers.
    pub nonlinearity: Nonlinearity,
    /// Slope of `leaky_relu` below zero.
    pub leaky_slope: f64,
    /// The distribution of an image given z_1.
    pub observation: Observation,
    /// Batch normalisation in the dense layers.
    pub batch_norm_hidden: bool,
    /// Batch normalisation of every latent mean and variance before its link function.
    pub batch_norm_heads: bool,
    /// Added to the variance under the square root of batch normalisation.
    pub batch_norm_epsilon: f64,
    /// Weight of the newest batch in the running statistics.
    pub batch_norm_momentum: f64,
    /// Added to every variance right after its softplus.
    pub variance_floor: f64,
    /// Width of the generative networks between latents.
    pub generative_widths: GenerativeWidths,
    /// Elements of one example, pixels. They are the data's, so that no file names them.
    #[serde(skip)]
    pub data_size: usize,
}

impl Default for HierarchyConfig {
    fn default() -> Self {
        Self::paper(0, 5, Inference::PROBABILISTIC_LADDER)
    }
}

impl HierarchyConfig {
    /// The five-layer probabilistic ladder of the preprint for `data_size` Bernoulli pixels.
    #[must_use]
    pub fn paper(data_size: usize, layers: usize, inference: Inference) -> Self {
        Self {
            inference,
            latent_sizes: [64, 32, 16, 8, 4].into_iter().take(layers).collect(),
            hidden_sizes: [512, 256, 128, 64, 32].into_iter().take(layers).collect(),
            mlp_layers: 2,
            nonlinearity: Nonlinearity::LeakyRelu,
            leaky_slope: 0.1,
            observation: Observation::Bernoulli,
            batch_norm_hidden: true,
            batch_norm_heads: true,
            batch_norm_epsilon: 1e-5,
            batch_norm_momentum: 0.1,
            variance_floor: 1e-5,
            generative_widths: GenerativeWidths::Paper,
            data_size,
        }
    }

    /// The same architecture for examples of this shape.
    #[must_use]
    pub fn for_images(self, image: MapShape) -> Self {
        Self { data_size: image.units(), ..self }
    }

    /// The family's name in the literature.
    #[must_use]
    pub fn name(&self) -> &'static str {
        let named = Inference::NAMED.iter().find(|(_, inference, _)| *inference == self.inference);
        named.map_or("ladder of an unnamed wiring", |(.., name)| name)
    }

    /// Batch normalisation of the hidden layers.
    #[must_use]
    pub fn hidden_norm(&self) -> Option<NormConfig> {
        self.batch_norm_hidden.then_some(NormConfig { epsilon: self.batch_norm_epsilon })
    }

    /// Batch normalisation of the mean and variance heads of the latents.
    #[must_use]
    pub fn head_norm(&self) -> Option<NormConfig> {
        self.batch_norm_heads.then_some(NormConfig { epsilon: self.batch_norm_epsilon })
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

    /// Refuses what makes no model.
    ///
    /// # Errors
    /// The first rule that is broken, with key and value.
    pub fn check(&self) -> Result<(), BrokenRule> {
        let (latent, hidden) = (&self.latent_sizes, &self.hidden_sizes);
        layer_sizes("latent_sizes", latent)?;
        layer_sizes("hidden_sizes", hidden)?;
        rule(
            latent.len() == hidden.len(),
            "hidden_sizes",
            format!("{hidden:?}"),
            format!(
                "must have one size for each stochastic layer, and latent_sizes has {}",
                latent.len()
            ),
        )?;
        rule(
            (1..=64).contains(&self.mlp_layers),
            "mlp_layers",
            self.mlp_layers,
            "must be 1 to 64",
        )?;
        let slope = self.leaky_slope;
        rule((0.0..1.0).contains(&slope), "leaky_slope", slope, "must be at least 0 and below 1")?;
        positive("batch_norm_epsilon", self.batch_norm_epsilon)?;
        positive("variance_floor", self.variance_floor)?;
        let momentum = self.batch_norm_momentum;
        rule(
            momentum > 0.0 && momentum <= 1.0,
            "batch_norm_momentum",
            momentum,
            "must be above 0 and at most 1",
        )
    }
}

//! The architecture of a MatNet as data: `[model]` of a configuration file.

use rung_autograd::Initialiser;
use rung_autograd::ops::Activation;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::missing::{Masks, Missing};
use crate::autoregressive::AutoregressiveConfig;
use crate::biva::StageObservation;
use crate::layers::{Nonlinearity, Product};
use crate::map_shape::MapShape;
use crate::mixture_prior::{MixtureKl, MixturePriorConfig};
use crate::observation::PixelObservation;
use crate::rules::{BrokenRule, LARGEST_KERNEL, LARGEST_LAYER, positive, rule};

/// Side of the kernels of convolutions.
const KERNEL: usize = 3;
/// The norm of a row or column of an initial weight.
const WEIGHT_GAIN: f64 = 1.1;
/// More latent layers than any model here needs.
const MOST_LAYERS: usize = 1000;

/// The family's name in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MatNetFamily {
    /// Matryoshka networks.
    #[default]
    #[serde(rename = "matnet")]
    MatNet,
}

/// The step that a state makes; see `transition.rs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Module {
    /// A residual step of two convolutions, the sample beside the state at the first.
    #[default]
    Residual,
    /// As `residual`, but the sample is added to the state before it: the fully connected models.
    Additive,
    /// A gated recurrent unit.
    Gru,
}

/// The prior of the layers below the top.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LayerPrior {
    /// N(0, I): layers depend on those above them by the deterministic path alone.
    #[default]
    StandardNormal,
    /// A Gaussian whose mean, and with `gru` its variance too, are functions of the state above.
    Conditional,
}

/// The latent layers of one resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MatNetBlock {
    /// Channels of the states.
    pub channels: usize,
    /// Latent units at each position, in each layer.
    pub latent_channels: usize,
    /// Latent layers.
    pub layers: usize,
    /// By how much its maps are smaller than those below.
    #[serde(default = "one")]
    pub stride: usize,
    /// The block refines the image, at its full resolution: its layers are gated units that share
    /// their weights, all reading the first bottom-up state, and the parameters of the pixels are
    /// the sum of what every one of its states gives. For the first block.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refines: bool,
}

const fn one() -> usize {
    1
}

/// A MatNet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MatNetConfig {
    /// Which family this describes.
    pub family: MatNetFamily,
    /// The step that states make at a latent layer.
    pub module: Module,
    /// An image is one position with all its pixels as channels: the fully connected models.
    pub flat_images: bool,
    /// The distribution of an image given the latents.
    pub observation: StageObservation,
    /// Components of the mixture where `observation` is `logistic_mixture`.
    pub mixture_components: usize,
    /// Layers of the masked network that predicts each pixel from those before it and the latents;
    /// 0 for pixels that are independent given the latents.
    pub autoregressive_layers: usize,
    /// Channels of each of these layers.
    pub autoregressive_channels: usize,
    /// Side of the square of pixels that the first of these layers sees the earlier half of; odd.
    pub autoregressive_kernel: usize,
    /// The prior of the layers below the top.
    pub prior: LayerPrior,
    /// Which pixels are missing, where the model is to fill them in.
    pub missing: Missing,
    /// How many quadrants or squares.
    pub missing_count: usize,
    /// Side of a square.
    pub missing_side: usize,
    /// Whether the top-down state passes through every layer. Without it (an ablation) a layer's
    /// state is a function of its sample alone, and layers depend on those above them by the
    /// prior.
    pub deterministic_paths: bool,
    /// Units of the top layer, a vector.
    pub top_units: usize,
    /// Components of a mixture of Gaussians as the prior of the top; 0 for the standard normal.
    pub top_components: usize,
    /// The first so many units of the top are the same in every component: N(0, I).
    pub top_shared_units: usize,
    /// What stands for the KL of the top where its prior is a mixture.
    pub top_kl: MixtureKl,
    /// Weight, in the loss, of the entropy of r(k|z) of the top's sample: above 0, each image is
    /// to be of one component.
    pub top_entropy_penalty: f64,
    /// Units of the dense layer between the top's vector and the maps.
    pub top_hidden: usize,
    /// Channels of the map between the pixels and the first block; 0 for none.
    pub image_channels: usize,
    /// The nonlinearity φ behind every layer but the heads; the published gated models have
    /// `tanh`.
    pub nonlinearity: Nonlinearity,
    /// Slope of `leaky_relu` below zero.
    pub leaky_slope: f64,
    /// The sample of the top lies, at every position, beside that of each other layer in the
    /// top-down chain.
    pub top_beside_samples: bool,
    /// First value of s, which multiplies every mean and log-variance of q and p.
    pub initial_scale: f64,
    /// The blocks, nearest to the data first.
    pub blocks: Vec<MatNetBlock>,
    /// Shape of an example, in memory planar: [batch, channel · height · width]. It is the data's,
    /// so that no file names it.
    #[serde(skip)]
    pub image: MapShape,
    /// The same before it was flattened.
    #[serde(skip)]
    pub picture: MapShape,
}

impl Default for MatNetConfig {
    fn default() -> Self {
        Self {
            family: MatNetFamily::MatNet,
            module: Module::Residual,
            flat_images: false,
            observation: StageObservation::Bernoulli,
            mixture_components: 10,
            autoregressive_layers: 0,
            autoregressive_channels: 32,
            autoregressive_kernel: 5,
            prior: LayerPrior::StandardNormal,
            missing: Missing::None,
            missing_count: 1,
            missing_side: 14,
            deterministic_paths: true,
            top_units: 32,
            top_components: 0,
            top_shared_units: 0,
            top_kl: MixtureKl::MonteCarlo,
            top_entropy_penalty: 0.0,
            top_hidden: 128,
            image_channels: 0,
            nonlinearity: Nonlinearity::LeakyRelu,
            leaky_slope: 0.1,
            top_beside_samples: false,
            initial_scale: 0.2,
            blocks: Vec::new(),
            image: MapShape::default(),
            picture: MapShape::default(),
        }
    }
}

impl MatNetConfig {
    /// The same architecture for examples of this shape.
    #[must_use]
    pub fn for_images(self, picture: MapShape) -> Self {
        let image = match self.flat_images {
            true => MapShape { height: 1, width: 1, channels: picture.units() },
            false => picture,
        };
        Self { image, picture, ..self }
    }

    /// The family's name in the literature.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match (self.deterministic_paths, self.flat_images) {
            _ if !matches!(self.missing, Missing::None) => "MatNet of missing pixels",
            (false, _) => "MatNet without deterministic paths",
            (true, true) => "fully connected MatNet",
            (true, false) => "MatNet",
        }
    }

    /// The mixture that is the prior of the top, if it is one.
    pub(super) fn mixture_prior(&self) -> Option<MixturePriorConfig> {
        (self.top_components > 0).then_some(MixturePriorConfig {
            components: self.top_components,
            units: self.top_units,
            shared: self.top_shared_units,
            kl: self.top_kl,
            entropy_penalty: self.top_entropy_penalty,
        })
    }

    /// The masks of the missing pixels.
    pub(super) const fn masks(&self) -> Masks {
        let Self { missing, missing_count: count, missing_side: side, picture: image, .. } = *self;
        Masks { missing, count, side, image }
    }

    /// Latent layers, L.
    #[must_use]
    pub fn depth(&self) -> usize {
        1 + self.blocks.iter().map(|block| block.layers).sum::<usize>()
    }

    /// The map of each block's states, nearest to the data first.
    #[must_use]
    pub fn block_maps(&self) -> Vec<MapShape> {
        let each = |map: &mut MapShape, block: &MatNetBlock| {
            *map = map.shrunk(block.stride).with_channels(block.channels);
            Some(*map)
        };
        self.blocks.iter().scan(self.image, each).collect()
    }

    /// The step that the states of a block make.
    pub(super) fn module_of(&self, block: usize) -> Module {
        if self.blocks[block].refines { Module::Gru } else { self.module }
    }

    /// Channels that the top-down chain reads beside a state of a block.
    pub(super) fn read_beside(&self, block: usize) -> usize {
        let top = if self.top_beside_samples { self.top_units } else { 0 };
        self.blocks[block].latent_channels + top
    }

    /// The map of the uppermost block's states.
    pub(super) fn top_map(&self) -> MapShape {
        self.block_maps().last().copied().unwrap_or(self.image)
    }

    /// Units of a latent layer of a block, by the block's position.
    pub(super) fn latent_map(&self, block: usize) -> MapShape {
        self.block_maps()[block].with_channels(self.blocks[block].latent_channels)
    }

    /// Components of the mixture of logistics, where that is the observation.
    #[must_use]
    pub fn mixture(&self) -> Option<usize> {
        (self.observation == StageObservation::LogisticMixture).then_some(self.mixture_components)
    }

    /// How the pixels are distributed.
    #[must_use]
    pub fn pixels(&self) -> PixelObservation {
        PixelObservation { image: self.image, components: self.mixture() }
    }

    /// The network that predicts each pixel from those before it, if there is one.
    #[must_use]
    pub fn autoregressive(&self) -> Option<AutoregressiveConfig> {
        (self.autoregressive_layers > 0).then_some(AutoregressiveConfig {
            layers: self.autoregressive_layers,
            channels: self.autoregressive_channels,
            kernel: self.autoregressive_kernel,
        })
    }

    /// φ.
    pub(super) const fn activation(&self) -> Activation {
        self.nonlinearity.activation(self.leaky_slope)
    }

    /// A convolution that keeps the size of a map. Maps of one position need the middle of the
    /// kernel alone.
    pub(super) fn plain(&self) -> Product {
        self.down(1)
    }

    /// A convolution that makes a map smaller.
    pub(super) fn down(&self, stride: usize) -> Product {
        Product::Convolution { kernel: self.kernel(), stride }
    }

    /// The convolution, exactly adjoint to [`MatNetConfig::down`], that makes a map larger.
    pub(super) fn up(&self, stride: usize) -> Product {
        match stride {
            1 => self.plain(),
            stride => Product::Transposed { kernel: self.kernel(), stride },
        }
    }

    fn kernel(&self) -> usize {
        if self.flat_images { 1 } else { KERNEL }
    }

    /// How every weight starts.
    pub(super) const fn weight(&self) -> Initialiser {
        Initialiser::Orthogonal { gain: WEIGHT_GAIN }
    }

    /// Refuses what makes no model, whatever the images.
    ///
    /// # Errors
    /// The first rule that is broken, with key and value.
    pub fn check(&self) -> Result<(), BrokenRule> {
        rule(
            !self.blocks.is_empty(),
            "blocks",
            "[]",
            "there must be at least one (rung info --preset mnist-matnet-small shows some)",
        )?;
        for (block, number) in self.blocks.iter().zip(1..) {
            block.check(number)?;
            rule(
                !block.refines || self.may_refine(number),
                format!("blocks[{number}].refines"),
                true,
                "is for the first block, with a stride of 1, image_channels = 0 and deterministic \
                paths",
            )?;
        }
        let depth = self.depth();
        rule(
            depth <= MOST_LAYERS,
            "blocks",
            format!("{depth} latent layers"),
            format!("must be at most {MOST_LAYERS} with the top"),
        )?;
        for (key, units) in [("top_units", self.top_units), ("top_hidden", self.top_hidden)] {
            rule((1..=LARGEST_LAYER).contains(&units), key, units, "must be 1 to 65536")?;
        }
        let (components, penalty) = (self.top_components, self.top_entropy_penalty);
        rule(components <= 10_000, "top_components", components, "must be at most 10000")?;
        let (shared, units) = (self.top_shared_units, self.top_units);
        rule(
            shared < units,
            "top_shared_units",
            shared,
            format!("must be below top_units = {units}"),
        )?;
        let valid = penalty >= 0.0 && penalty.is_finite();
        rule(valid, "top_entropy_penalty", penalty, "must be 0 or more")?;
        let needs_mixture = "needs a mixture: top_components above 0";
        rule(components > 0 || shared == 0, "top_shared_units", shared, needs_mixture)?;
        rule(components > 0 || penalty == 0.0, "top_entropy_penalty", penalty, needs_mixture)?;
        let channels = self.image_channels;
        rule(channels <= LARGEST_LAYER, "image_channels", channels, "must be at most 65536")?;
        let components = self.mixture_components;
        rule(
            (1..=100).contains(&components),
            "mixture_components",
            components,
            "must be 1 to 100",
        )?;
        if let Some(autoregressive) = self.autoregressive() {
            autoregressive.check()?;
            rule(
                !self.flat_images && self.image_channels > 0,
                "autoregressive_layers",
                autoregressive.layers,
                "needs features at every pixel: flat_images = false and image_channels above 0",
            )?;
        }
        self.masks().check()?;
        let is_whole = self.missing == Missing::None;
        let plain = self.autoregressive_layers == 0
            && self.prior == LayerPrior::StandardNormal
            && self.top_components == 0;
        rule(
            is_whole || plain,
            "missing",
            format!("{:?}", self.missing).to_lowercase(),
            "needs autoregressive_layers = 0, and no priors beside those that the observed pixels \
            give",
        )?;
        let slope = self.leaky_slope;
        rule((0.0..1.0).contains(&slope), "leaky_slope", slope, "must be at least 0 and below 1")?;
        positive("initial_scale", self.initial_scale)?;
        rule(
            self.deterministic_paths || self.prior == LayerPrior::Conditional,
            "deterministic_paths",
            false,
            "needs model.prior = conditional: nothing else would lead from the layers above the \
            first to the data",
        )?;
        rule(
            self.deterministic_paths || self.module != Module::Gru,
            "deterministic_paths",
            false,
            "needs model.module = residual or additive: a gated unit is a path",
        )
    }

    /// Whether the block with this number, from 1, can refine the image.
    fn may_refine(&self, number: usize) -> bool {
        let is_full_size = self.blocks[0].stride == 1 && self.image_channels == 0;
        number == 1 && is_full_size && self.deterministic_paths
    }

    /// Refuses blocks that do not fit the images.
    ///
    /// # Errors
    /// The first rule that is broken, with key and value.
    pub fn check_image(&self) -> Result<(), BrokenRule> {
        let MapShape { height, width, channels } = self.image;
        let shape = format!("{channels}x{height}x{width}");
        rule(self.image.units() > 0, "image", &shape, "an image must have at least one value")?;
        self.masks().check_image()?;
        let mut map = self.image;
        for (block, number) in self.blocks.iter().zip(1..) {
            let (MapShape { height, width, .. }, stride) = (map, block.stride);
            rule(
                height.is_multiple_of(stride) && width.is_multiple_of(stride),
                format!("blocks[{number}].stride"),
                stride,
                format!(
                    "a map of {height}x{width} can't shrink by a stride of {stride} and grow back"
                ),
            )?;
            map = map.shrunk(stride);
        }
        rule(
            self.mixture().is_none() || matches!(channels, 1 | 3),
            "observation",
            "logistic_mixture",
            format!("a mixture of logistics is for 1 or 3 channels, not {channels}"),
        )
    }
}

impl MatNetBlock {
    /// Refuses sizes that make no block; `number` is its place, from 1.
    fn check(&self, number: usize) -> Result<(), BrokenRule> {
        let sizes = [
            ("channels", self.channels, LARGEST_LAYER),
            ("latent_channels", self.latent_channels, LARGEST_LAYER),
            ("layers", self.layers, MOST_LAYERS),
            ("stride", self.stride, LARGEST_KERNEL),
        ];
        sizes.into_iter().try_for_each(|(name, size, most)| {
            let key = format!("blocks[{number}].{name}");
            rule((1..=most).contains(&size), key, size, format!("must be 1 to {most}"))
        })
    }
}

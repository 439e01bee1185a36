//! The architecture of BIVA and its relatives as data: `[model]` of a configuration file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::stage::{BlockConfig, LatentConfig, StageConfig};
use crate::autoregressive::AutoregressiveConfig;
use crate::map_shape::MapShape;
use crate::observation::PixelObservation;
use crate::rules::{BrokenRule, dropout_rate, positive, rule};

/// Which passes of inference are stochastic. In a file it is the family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Paths {
    /// Samples in the bottom-up pass: the VAE.
    #[serde(rename = "staged_vae")]
    BottomUp,
    /// Samples in the top-down pass, where inference meets the generative model: the LVAE.
    #[serde(rename = "staged_lvae")]
    TopDown,
    /// Both, with a group of latents each in every stage but the top: BIVA (Maaløe 2019).
    #[serde(rename = "biva")]
    Bidirectional,
}

/// How a head's second output r becomes a variance σ².
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogVariance {
    /// ln σ² = softplus(r) + 10⁻⁸, so that σ ≥ 1: the published configurations.
    Softplus,
    /// ln σ² = r.
    Free,
    /// σ = ln(1 + 2^r) / ln 2 + 10⁻⁶, which is 1 at r = 0.
    SoftplusDeviation,
}

/// The distribution of the data given the latents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StageObservation {
    /// Independent Bernoulli values, by logits.
    Bernoulli,
    /// A mixture of discretised logistics at each position, for 256 levels (Salimans 2017).
    LogisticMixture,
}

/// BIVA, or one of its relatives: a hierarchical convolutional VAE of gated blocks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BivaConfig {
    /// Which passes of inference are stochastic.
    #[serde(rename = "family")]
    pub paths: Paths,
    /// An image is one position with all its pixels as channels: the fully connected models.
    pub flat_images: bool,
    /// Whether stages see the features of the stages before them beside the samples.
    pub skips: bool,
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
    /// How a head's second output r becomes a variance σ².
    pub log_variance: LogVariance,
    /// Dropout rate of the blocks of the bottom-up pass.
    pub inference_dropout: f64,
    /// Dropout rate of the blocks of the top-down pass.
    pub generative_dropout: f64,
    /// Standard deviation of every layer's output on the first batch, by data-dependent
    /// initialisation: the published models' 0.01 suits hundreds of epochs, a short training
    /// starts faster from larger ones.
    pub initial_sigma: f64,
    /// The stages, nearest to the data first.
    pub stages: Vec<StageConfig>,
    /// Shape of an example, in memory planar: [batch, channel · height · width]. It is the data's,
    /// so that no file names it.
    #[serde(skip)]
    pub image: MapShape,
    /// Classes y that p(x, z|y) and the top-down posterior are conditioned on, with a classifier
    /// q(y|x, z) in the bottom-up pass; 0 for none. They are the data's.
    #[serde(skip)]
    pub classes: usize,
}

impl Default for BivaConfig {
    fn default() -> Self {
        Self {
            paths: Paths::Bidirectional,
            flat_images: false,
            skips: true,
            observation: StageObservation::Bernoulli,
            mixture_components: 10,
            autoregressive_layers: 0,
            autoregressive_channels: 32,
            autoregressive_kernel: 5,
            log_variance: LogVariance::Softplus,
            inference_dropout: 0.0,
            generative_dropout: 0.0,
            initial_sigma: 0.01,
            stages: Vec::new(),
            image: MapShape::default(),
            classes: 0,
        }
    }
}

impl Paths {
    pub(super) const fn has_bottom_up(self) -> bool {
        !matches!(self, Self::TopDown)
    }

    pub(super) const fn has_top_down(self) -> bool {
        !matches!(self, Self::BottomUp)
    }
}

impl BivaConfig {
    /// The published model for 28x28 binary images: six stages, 31,550,946 parameters.
    #[must_use]
    pub fn mnist() -> Self {
        let stage = |kernel: usize, stride: usize, units: usize| StageConfig {
            blocks: [1, 1, stride]
                .map(|stride| BlockConfig { channels: 64, kernel, stride })
                .to_vec(),
            latent: LatentConfig::Dense { units },
        };
        Self {
            image: MapShape { height: 28, width: 28, channels: 1 },
            stages: vec![
                stage(5, 2, 48),
                stage(3, 1, 40),
                stage(3, 1, 32),
                stage(3, 1, 24),
                stage(3, 1, 16),
                stage(3, 2, 8),
            ],
            inference_dropout: 0.5,
            generative_dropout: 0.5,
            ..Self::default()
        }
    }

    /// The published model for 32x32 colour images: fifteen stages, 102,948,560 parameters.
    #[must_use]
    pub fn cifar10() -> Self {
        let stage = |index: usize| {
            let (kernel, stride) = match index {
                0 => (5, 2),
                10 | 14 => (3, 2),
                _ => (3, 1),
            };
            let side = match index {
                0..10 => 16,
                10..14 => 8,
                _ => 4,
            };
            StageConfig {
                blocks: [1, 1, stride]
                    .map(|stride| BlockConfig { channels: 96, kernel, stride })
                    .to_vec(),
                latent: LatentConfig::Map { channels: 38 - 2 * index, kernel: side },
            }
        };
        Self {
            image: MapShape { height: 32, width: 32, channels: 3 },
            stages: (0..15).map(stage).collect(),
            observation: StageObservation::LogisticMixture,
            inference_dropout: 0.2,
            ..Self::default()
        }
    }

    /// A fully connected model (specification B, section 14): every map is one position with
    /// `width` channels.
    #[must_use]
    pub fn dense(data_size: usize, width: usize, latent_sizes: &[usize], blocks: usize) -> Self {
        let block = BlockConfig { channels: width, kernel: 1, stride: 1 };
        let stage = |&units: &usize| StageConfig {
            blocks: vec![block; blocks],
            latent: LatentConfig::Dense { units },
        };
        Self {
            image: MapShape { height: 1, width: 1, channels: data_size },
            flat_images: true,
            stages: latent_sizes.iter().map(stage).collect(),
            ..Self::default()
        }
    }

    /// The same architecture for examples of this shape.
    #[must_use]
    pub fn for_images(self, image: MapShape) -> Self {
        let image = match self.flat_images {
            true => MapShape { height: 1, width: 1, channels: image.units() },
            false => image,
        };
        Self { image, ..self }
    }

    /// The family's name in the literature.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match (self.paths, self.skips) {
            (Paths::BottomUp, _) => "hierarchical convolutional VAE",
            (Paths::TopDown, true) => "LVAE+",
            (Paths::TopDown, false) => "hierarchical convolutional LVAE",
            (Paths::Bidirectional, _) => "BIVA",
        }
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

    /// Stages, L.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.stages.len()
    }

    /// The map that each stage's blocks make in the bottom-up pass.
    #[must_use]
    pub fn stage_maps(&self) -> Vec<MapShape> {
        let blocks = |map: MapShape, stage: &StageConfig| {
            stage
                .blocks
                .iter()
                .fold(map, |map, block| map.shrunk(block.stride).with_channels(block.channels))
        };
        let each = |map: &mut MapShape, stage: &StageConfig| {
            *map = blocks(*map, stage);
            Some(*map)
        };
        self.stages.iter().scan(self.image, each).collect()
    }

    /// Refuses what makes no model, whatever the images.
    ///
    /// # Errors
    /// The first rule that is broken, with key and value.
    pub fn check(&self) -> Result<(), BrokenRule> {
        let Some(first) = self.stages.first() else {
            return rule(
                false,
                "stages",
                "[]",
                "there must be at least one (rung info --preset biva-mnist-small shows some)",
            );
        };
        for (index, stage) in self.stages.iter().enumerate() {
            let (number, blocks) = (index + 1, stage.blocks.len());
            stage.check(number)?;
            rule(
                blocks == first.blocks.len(),
                format!("stages[{number}]"),
                format!("{blocks} blocks"),
                format!(
                    "stage {number} has {blocks} blocks, stage 1 {}: all need the same number",
                    first.blocks.len()
                ),
            )?;
        }
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
                !self.flat_images,
                "autoregressive_layers",
                autoregressive.layers,
                "needs images with positions: flat_images = false",
            )?;
        }
        dropout_rate("inference_dropout", self.inference_dropout)?;
        dropout_rate("generative_dropout", self.generative_dropout)?;
        positive("initial_sigma", self.initial_sigma)?;
        rule(
            self.classes != 1 && (self.classes == 0 || self.paths == Paths::Bidirectional),
            "classes",
            self.classes,
            "there must be at least 2, and inference in both passes (family biva)",
        )
    }

    /// Refuses stages that do not fit the images.
    ///
    /// # Errors
    /// The first rule that is broken, with key and value.
    pub fn check_image(&self) -> Result<(), BrokenRule> {
        let MapShape { height, width, channels } = self.image;
        let shape = format!("{channels}x{height}x{width}");
        rule(self.image.units() > 0, "image", &shape, "an image must have at least one value")?;
        let mut map = self.image;
        for (index, stage) in self.stages.iter().enumerate() {
            for block in &stage.blocks {
                let (height, width, stride) = (map.height, map.width, block.stride);
                rule(
                    height.is_multiple_of(stride) && width.is_multiple_of(stride),
                    format!("stages[{}].strides", index + 1),
                    stride,
                    format!(
                        "a map of {height}x{width} can't shrink by a stride of {stride} and grow \
                        back"
                    ),
                )?;
                map = map.shrunk(stride).with_channels(block.channels);
            }
        }
        rule(
            self.mixture().is_none() || matches!(channels, 1 | 3),
            "observation",
            "logistic_mixture",
            format!("a mixture of logistics is for 1 or 3 channels, not {channels}"),
        )
    }
}

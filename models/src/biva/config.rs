//! The architecture of a stage-wise model as data: stages of gated blocks, each with its latents.

use rung_autograd::{Error, Result};

/// Height, width and channels of a feature map; in memory [row, height, width, channel].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapShape {
    /// Rows of positions.
    pub height: usize,
    /// Columns of positions.
    pub width: usize,
    /// Numbers at a position.
    pub channels: usize,
}

/// One gated block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockConfig {
    /// Channels of its output.
    pub channels: usize,
    /// Side of its square kernels.
    pub kernel: usize,
    /// By how much it shrinks a map on the way up and enlarges it on the way down.
    pub stride: usize,
}

/// The shape of a stage's latent groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LatentConfig {
    /// A vector, from the whole map and to the whole map.
    Dense {
        /// Its length.
        units: usize,
    },
    /// A map as large as the stage's.
    Map {
        /// Its channels.
        channels: usize,
        /// Side of the square kernels of its heads.
        kernel: usize,
    },
}

/// One stage: blocks from the data up, then the latents. The generative model has the same blocks in reverse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageConfig {
    /// The blocks, in the order of the way up.
    pub blocks: Vec<BlockConfig>,
    /// The latents.
    pub latent: LatentConfig,
}

/// Which ways of inference are stochastic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paths {
    /// Samples on the way up: the VAE.
    BottomUp,
    /// Samples on the way down, where inference meets the generative model: the LVAE.
    TopDown,
    /// Both, with a group of latents each in every stage but the top: BIVA (Maaløe 2019).
    Bidirectional,
}

/// How a head's second output r becomes a variance σ².
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogVariance {
    /// ln σ² = softplus(r) + 10⁻⁸, so that σ ≥ 1: the published configurations.
    Softplus,
    /// ln σ² = r.
    Free,
    /// σ = ln(1 + 2^r) / ln 2 + 10⁻⁶, which is 1 at r = 0.
    SoftplusDeviation,
}

/// The distribution of the data given the latents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageObservation {
    /// Independent Bernoulli values, by logits.
    Bernoulli,
    /// A mixture of discretised logistics at each position, for 256 levels (Salimans 2017).
    LogisticMixture {
        /// Components of the mixture.
        components: usize,
    },
}

/// A stage-wise model.
#[derive(Clone, Debug, PartialEq)]
pub struct BivaConfig {
    /// Shape of an example. In memory examples are planar: [batch, channel · height · width].
    pub image: MapShape,
    /// The stages, nearest to the data first.
    pub stages: Vec<StageConfig>,
    /// Which ways of inference are stochastic.
    pub paths: Paths,
    /// Whether stages see the features of the stages before them beside the samples.
    pub skips: bool,
    /// How the data are distributed.
    pub observation: StageObservation,
    /// The parametrisation of every variance.
    pub log_variance: LogVariance,
    /// Dropout rate of the blocks on the way up.
    pub inference_dropout: f64,
    /// Dropout rate of the blocks on the way down.
    pub generative_dropout: f64,
    /// Classes y that p(x, z|y) and the top-down posterior are conditioned on, with a classifier q(y|x, z) on the way up; 0 for none.
    pub classes: usize,
}

impl MapShape {
    /// Numbers in a map.
    #[must_use]
    pub const fn units(self) -> usize {
        self.height * self.width * self.channels
    }

    /// The same positions with other channels.
    #[must_use]
    pub const fn with_channels(self, channels: usize) -> Self {
        Self { channels, ..self }
    }

    /// The map that a convolution with this stride makes of it: ⌈side/stride⌉ positions a side.
    #[must_use]
    pub const fn shrunk(self, stride: usize) -> Self {
        Self { height: self.height.div_ceil(stride), width: self.width.div_ceil(stride), ..self }
    }

    /// The map that a transposed convolution with this stride makes of it.
    #[must_use]
    pub const fn enlarged(self, stride: usize) -> Self {
        Self { height: self.height * stride, width: self.width * stride, ..self }
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

impl LatentConfig {
    /// Units of one group on a map of this shape.
    #[must_use]
    pub const fn units(self, map: MapShape) -> usize {
        match self {
            Self::Dense { units } => units,
            Self::Map { channels, .. } => map.with_channels(channels).units(),
        }
    }
}

impl BivaConfig {
    /// The published model for 28x28 binary images: six stages, 31,550,946 parameters.
    #[must_use]
    pub fn mnist() -> Self {
        let stage = |kernel: usize, stride: usize, units: usize| StageConfig {
            blocks: [1, 1, stride].map(|stride| BlockConfig { channels: 64, kernel, stride }).to_vec(),
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
            paths: Paths::Bidirectional,
            skips: true,
            observation: StageObservation::Bernoulli,
            log_variance: LogVariance::Softplus,
            inference_dropout: 0.5,
            generative_dropout: 0.5,
            classes: 0,
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
                blocks: [1, 1, stride].map(|stride| BlockConfig { channels: 96, kernel, stride }).to_vec(),
                latent: LatentConfig::Map { channels: 38 - 2 * index, kernel: side },
            }
        };
        Self {
            image: MapShape { height: 32, width: 32, channels: 3 },
            stages: (0..15).map(stage).collect(),
            paths: Paths::Bidirectional,
            skips: true,
            observation: StageObservation::LogisticMixture { components: 10 },
            log_variance: LogVariance::Softplus,
            inference_dropout: 0.2,
            generative_dropout: 0.0,
            classes: 0,
        }
    }

    /// A fully connected model (specification B, section 14): every map is one position with `width` channels.
    #[must_use]
    pub fn dense(data_size: usize, width: usize, latent_sizes: &[usize], blocks: usize) -> Self {
        let block = BlockConfig { channels: width, kernel: 1, stride: 1 };
        let stage = |&units: &usize| StageConfig { blocks: vec![block; blocks], latent: LatentConfig::Dense { units } };
        Self {
            image: MapShape { height: 1, width: 1, channels: data_size },
            stages: latent_sizes.iter().map(stage).collect(),
            inference_dropout: 0.0,
            generative_dropout: 0.0,
            ..Self::mnist()
        }
    }

    /// Stages, L.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.stages.len()
    }

    /// The map that each stage's blocks make on the way up.
    #[must_use]
    pub fn stage_maps(&self) -> Vec<MapShape> {
        let blocks = |map: MapShape, stage: &StageConfig| {
            stage.blocks.iter().fold(map, |map, block| map.shrunk(block.stride).with_channels(block.channels))
        };
        let each = |map: &mut MapShape, stage: &StageConfig| {
            *map = blocks(*map, stage);
            Some(*map)
        };
        self.stages.iter().scan(self.image, each).collect()
    }

    /// Refuses sizes that make no model.
    ///
    /// # Errors
    /// `Argument` naming the size and the rule.
    pub fn check(&self) -> Result<()> {
        let refuse = |what: String| Err(Error::argument("model", what));
        let Some(first) = self.stages.first() else { return refuse("there must be at least one stage".into()) };
        if self.image.units() == 0 {
            return refuse("an image must have at least one value".into());
        }
        let mut map = self.image;
        for (index, stage) in self.stages.iter().enumerate() {
            let number = index + 1;
            if stage.blocks.is_empty() || stage.blocks.len() != first.blocks.len() {
                let blocks = stage.blocks.len();
                return refuse(format!(
                    "stage {number} has {blocks} blocks, stage 1 {}: all need the same number, at least 1",
                    first.blocks.len()
                ));
            }
            for block in &stage.blocks {
                if block.channels == 0 || block.kernel == 0 || block.stride == 0 {
                    return refuse(format!("stage {number}: channels, kernel and stride must be at least 1"));
                }
                if !map.height.is_multiple_of(block.stride) || !map.width.is_multiple_of(block.stride) {
                    let (height, width, stride) = (map.height, map.width, block.stride);
                    return refuse(format!(
                        "stage {number}: a map of {height}x{width} can't shrink by a stride of {stride} and grow back"
                    ));
                }
                map = map.shrunk(block.stride).with_channels(block.channels);
            }
            if stage.latent.units(map) == 0 || matches!(stage.latent, LatentConfig::Map { kernel: 0, .. }) {
                return refuse(format!("stage {number}: latents need at least one unit"));
            }
        }
        for rate in [self.inference_dropout, self.generative_dropout] {
            if !(0.0..1.0).contains(&rate) {
                return refuse(format!("a dropout rate must be at least 0 and below 1, not {rate}"));
            }
        }
        if self.classes == 1 || (self.classes > 0 && self.paths != Paths::Bidirectional) {
            return refuse(format!("{} classes: there must be at least 2, and both ways of inference", self.classes));
        }
        match self.observation {
            StageObservation::LogisticMixture { components: 0 } => {
                refuse("a mixture needs at least one component".into())
            }
            StageObservation::LogisticMixture { .. } if !matches!(self.image.channels, 1 | 3) => {
                refuse(format!("a mixture of logistics is for 1 or 3 channels, not {}", self.image.channels))
            }
            _ => Ok(()),
        }
    }
}

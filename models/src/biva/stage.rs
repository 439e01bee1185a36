//! One stage as data, and how it is written in a configuration file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::map_shape::MapShape;
use crate::rules::{BrokenRule, LARGEST_KERNEL, LARGEST_LAYER, rule};

/// One gated block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockConfig {
    /// Channels of its output.
    pub channels: usize,
    /// Side of its square kernels.
    pub kernel: usize,
    /// By how much it shrinks a map in the bottom-up pass and enlarges it in the top-down pass.
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

/// One stage: blocks from the data up, then the latents. The generative model has the same blocks
/// in reverse.
///
/// In a file all its blocks have the same `channels`; `kernels` has the side of each, `strides` the
/// stride of each (none at all for 1 everywhere), and the latents are a vector of `latent_units` or
/// a map of `latent_channels`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "StageTable", into = "StageTable")]
pub struct StageConfig {
    /// The blocks, in the order of the bottom-up pass.
    pub blocks: Vec<BlockConfig>,
    /// The latents.
    pub latent: LatentConfig,
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

/// A stage in a configuration file.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct StageTable {
    /// Channels of all its blocks.
    channels: usize,
    /// Side of the square kernel of each block.
    kernels: Vec<usize>,
    /// Stride of each block; none at all for 1 everywhere.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    strides: Vec<usize>,
    #[serde(skip_serializing_if = "is_zero")]
    /// Units of its latents, if they are a vector.
    latent_units: usize,
    #[serde(skip_serializing_if = "is_zero")]
    /// Channels of its latents, if they are a map.
    latent_channels: usize,
    #[serde(skip_serializing_if = "is_zero")]
    /// Side of the square kernels of the heads of such a map.
    latent_kernel: usize,
}

fn is_zero(value: &usize) -> bool {
    *value == 0
}

impl TryFrom<StageTable> for StageConfig {
    type Error = BrokenRule;

    fn try_from(table: StageTable) -> Result<Self, BrokenRule> {
        let StageTable { channels, kernels, strides, latent_units, latent_channels, latent_kernel } =
            table;
        rule(
            strides.is_empty() || strides.len() == kernels.len(),
            "strides",
            format!("{strides:?}"),
            "needs one stride for each block, or none at all",
        )?;
        rule(
            (latent_units == 0) != (latent_channels == 0),
            "latent_units",
            latent_units,
            "a stage needs either latent_units or latent_channels",
        )?;
        rule(
            (latent_channels == 0) == (latent_kernel == 0),
            "latent_kernel",
            latent_kernel,
            "must be given with latent_channels, and not without",
        )?;
        let block = |(index, &kernel): (usize, &usize)| BlockConfig {
            channels,
            kernel,
            stride: strides.get(index).copied().unwrap_or(1),
        };
        let latent = match latent_channels {
            0 => LatentConfig::Dense { units: latent_units },
            channels => LatentConfig::Map { channels, kernel: latent_kernel },
        };
        Ok(Self { blocks: kernels.iter().enumerate().map(block).collect(), latent })
    }
}

impl From<StageConfig> for StageTable {
    fn from(stage: StageConfig) -> Self {
        let has_strides = stage.blocks.iter().any(|block| block.stride != 1);
        let (latent_units, latent_channels, latent_kernel) = match stage.latent {
            LatentConfig::Dense { units } => (units, 0, 0),
            LatentConfig::Map { channels, kernel } => (0, channels, kernel),
        };
        Self {
            channels: stage.blocks.first().map_or(0, |block| block.channels),
            kernels: stage.blocks.iter().map(|block| block.kernel).collect(),
            strides: stage
                .blocks
                .iter()
                .map(|block| block.stride)
                .filter(|_| has_strides)
                .collect(),
            latent_units,
            latent_channels,
            latent_kernel,
        }
    }
}

impl StageConfig {
    /// Refuses sizes that make no stage; `number` is its place, from 1.
    pub(super) fn check(&self, number: usize) -> Result<(), BrokenRule> {
        let key = |name: &str| format!("stages[{number}].{name}");
        let list = |value: fn(&BlockConfig) -> usize| {
            format!("{:?}", self.blocks.iter().map(value).collect::<Vec<_>>())
        };
        let within = |most: usize, value: fn(&BlockConfig) -> usize| {
            !self.blocks.is_empty()
                && self.blocks.iter().all(|block| (1..=most).contains(&value(block)))
        };
        let channels = |block: &BlockConfig| block.channels;
        let first = self.blocks.first().map_or(0, channels);
        rule(within(LARGEST_LAYER, channels), key("channels"), first, "must be 1 to 65536")?;
        let kernel = |block: &BlockConfig| block.kernel;
        let sides = "needs one side for each block, each 1 to 64";
        rule(within(LARGEST_KERNEL, kernel), key("kernels"), list(kernel), sides)?;
        let stride = |block: &BlockConfig| block.stride;
        let strides = "needs one stride for each block, each 1 to 64, or none at all";
        rule(within(LARGEST_KERNEL, stride), key("strides"), list(stride), strides)?;
        match self.latent {
            LatentConfig::Dense { units } => rule(
                (1..=LARGEST_LAYER).contains(&units),
                key("latent_units"),
                units,
                "must be 1 to 65536",
            ),
            LatentConfig::Map { channels, kernel } => {
                let valid = (1..=LARGEST_LAYER).contains(&channels);
                rule(valid, key("latent_channels"), channels, "must be 1 to 65536")?;
                let valid = (1..=LARGEST_KERNEL).contains(&kernel);
                rule(valid, key("latent_kernel"), kernel, "must be 1 to 64")
            }
        }
    }
}

//! The stages of a stage-wise model, as data.

use serde::{Deserialize, Serialize};

/// What `[staged]` holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StagedConfig {
    /// The stages, nearest to the data first.
    pub stages: Vec<StageSettings>,
    /// An image is one position with all its pixels as channels: the fully connected models.
    pub flat_images: bool,
    /// Stages see the features of the stages before them beside the samples.
    pub skips: bool,
    /// How a head's second output r becomes a variance.
    pub log_variance: LogVariance,
    /// Components of the mixture where `model.observation` is `logistic_mixture`.
    pub mixture_components: usize,
    /// Classes of the images, where `train.labels` says that some are known.
    pub classes: usize,
    /// Dropout rate on the way up.
    pub inference_dropout: f64,
    /// Dropout rate on the way down.
    pub generative_dropout: f64,
    /// Standard deviation of every layer's output on the first batch, by data-dependent initialisation: the published models' 0.01
    /// suits hundreds of epochs, a short training starts faster from larger ones.
    pub initial_sigma: f64,
}

/// One stage. Its latents are a vector of `latent_units`, or a map of `latent_channels`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct StageSettings {
    /// Channels of every block.
    pub channels: usize,
    /// Sides of the blocks' square kernels, from the data up.
    pub kernels: Vec<usize>,
    /// Strides of the blocks; empty for 1 everywhere.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub strides: Vec<usize>,
    /// Length of a latent vector; 0 for a map.
    #[serde(skip_serializing_if = "is_zero")]
    pub latent_units: usize,
    /// Channels of a latent map; 0 for a vector.
    #[serde(skip_serializing_if = "is_zero")]
    pub latent_channels: usize,
    /// Side of the kernels that make a latent map.
    #[serde(skip_serializing_if = "is_zero")]
    pub latent_kernel: usize,
}

/// How a head's second output r becomes a variance σ².
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogVariance {
    /// ln σ² = softplus(r), so that σ is at least 1: the published configurations.
    Softplus,
    /// ln σ² = r.
    Free,
    /// σ = ln(1 + 2^r)/ln 2.
    SoftplusDeviation,
}

impl Default for StagedConfig {
    fn default() -> Self {
        Self {
            stages: Vec::new(),
            flat_images: false,
            skips: true,
            log_variance: LogVariance::Softplus,
            mixture_components: 10,
            classes: 10,
            inference_dropout: 0.0,
            generative_dropout: 0.0,
            initial_sigma: 0.01,
        }
    }
}

fn is_zero(value: &usize) -> bool {
    *value == 0
}

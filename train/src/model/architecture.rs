//! From the configuration's `[model]` to the description that `rung-models` builds from.

use rung_autograd::ParameterList;
use rung_datasets::ImageShape;
use rung_models::biva::{BlockConfig, LatentConfig, LogVariance, MapShape, Paths, StageConfig, StageObservation};
use rung_models::hierarchy::{GenerativeWidths, Inference, Observation};
use rung_models::layers::NormConfig;
use rung_models::{Activation, Biva, BivaConfig, Hierarchy, HierarchyConfig, LatentModel, StatisticsList};

use crate::config::{self, Config, DataConfig, Family, ModelConfig, Nonlinearity, StageSettings};
use crate::error::{Context, Error, Result};

/// A model as data: what `rung-models` builds from.
#[derive(Debug, Clone, PartialEq)]
pub enum Architecture {
    /// A hierarchy of dense layers.
    Hierarchy(HierarchyConfig),
    /// Stages of gated blocks.
    Staged(BivaConfig),
}

impl Architecture {
    /// What a configuration describes, for images of this shape.
    #[must_use]
    pub fn new(config: &Config, shape: ImageShape) -> Self {
        if config.model.family.is_staged() {
            Self::Staged(staged(config, shape))
        } else {
            Self::Hierarchy(hierarchy(&config.model, shape.values()))
        }
    }

    /// Adds the model's parameters and statistics to the lists.
    ///
    /// # Errors
    /// If the configuration makes no model.
    pub fn build(
        &self,
        parameters: &mut ParameterList,
        statistics: &mut StatisticsList,
    ) -> Result<Box<dyn LatentModel>> {
        let doing = "building the model";
        Ok(match self {
            Self::Hierarchy(config) => Box::new(Hierarchy::new(config.clone(), parameters, statistics).context(doing)?),
            Self::Staged(config) => Box::new(Biva::new(config.clone(), parameters, statistics).context(doing)?),
        })
    }
}

/// The name of a family in the literature.
#[must_use]
pub const fn family_name(config: &Config) -> &'static str {
    match config.model.family {
        Family::Vae => "VAE",
        Family::Ladder => "probabilistic ladder",
        Family::Lvae => "Ladder VAE",
        Family::StagedVae => "stage-wise VAE",
        Family::StagedLvae if config.staged.skips => "LVAE+",
        Family::StagedLvae => "stage-wise LVAE",
        Family::Biva => "BIVA",
    }
}

fn hierarchy(config: &ModelConfig, data_size: usize) -> HierarchyConfig {
    let norm = |wanted: bool| wanted.then_some(NormConfig { epsilon: config.batch_norm_epsilon });
    HierarchyConfig {
        data_size,
        latent_sizes: config.latent_sizes.clone(),
        hidden_sizes: config.hidden_sizes.clone(),
        mlp_layers: config.mlp_layers,
        activation: match config.nonlinearity {
            Nonlinearity::LeakyRelu => Activation::LeakyRelu(config.leaky_slope),
            Nonlinearity::Relu => Activation::Relu,
            Nonlinearity::Elu => Activation::Elu(1.0),
            Nonlinearity::Tanh => Activation::Tanh,
            Nonlinearity::Softplus => Activation::Softplus,
        },
        inference: match config.family {
            Family::Ladder => Inference::PROBABILISTIC_LADDER,
            Family::Lvae => Inference::LADDER_VAE,
            _ => Inference::BottomUp,
        },
        observation: match config.observation {
            config::Observation::Gaussian => Observation::Gaussian,
            _ => Observation::Bernoulli,
        },
        hidden_norm: norm(config.batch_norm_hidden),
        head_norm: norm(config.batch_norm_heads),
        variance_floor: config.variance_floor,
        generative_widths: match config.generative_widths {
            config::GenerativeWidths::Paper => GenerativeWidths::Paper,
            config::GenerativeWidths::Code => GenerativeWidths::Code,
        },
    }
}

fn staged(config: &Config, shape: ImageShape) -> BivaConfig {
    let settings = &config.staged;
    let ImageShape { channels, height, width } = shape;
    let image = match settings.flat_images {
        true => MapShape { height: 1, width: 1, channels: shape.values() },
        false => MapShape { height, width, channels },
    };
    BivaConfig {
        image,
        stages: settings.stages.iter().map(stage).collect(),
        paths: match config.model.family {
            Family::StagedVae => Paths::BottomUp,
            Family::StagedLvae => Paths::TopDown,
            _ => Paths::Bidirectional,
        },
        skips: settings.skips,
        observation: match config.model.observation {
            config::Observation::LogisticMixture => {
                StageObservation::LogisticMixture { components: settings.mixture_components }
            }
            _ => StageObservation::Bernoulli,
        },
        log_variance: match settings.log_variance {
            config::LogVariance::Softplus => LogVariance::Softplus,
            config::LogVariance::Free => LogVariance::Free,
            config::LogVariance::SoftplusDeviation => LogVariance::SoftplusDeviation,
        },
        inference_dropout: settings.inference_dropout,
        generative_dropout: settings.generative_dropout,
        classes: if config.train.labels > 0 { settings.classes } else { 0 },
    }
}

fn stage(settings: &StageSettings) -> StageConfig {
    let stride = |index: usize| settings.strides.get(index).copied().unwrap_or(1);
    let block = |(index, &kernel): (usize, &usize)| {
        let (channels, stride) = (settings.channels, stride(index));
        BlockConfig { channels, kernel, stride }
    };
    StageConfig {
        blocks: settings.kernels.iter().enumerate().map(block).collect(),
        latent: match settings.latent_channels {
            0 => LatentConfig::Dense { units: settings.latent_units },
            channels => LatentConfig::Map { channels, kernel: settings.latent_kernel },
        },
    }
}

/// The shape of an image of the configured data set, where its name alone tells: for what is computed without any data, such as the size
/// of a preset's model.
///
/// # Errors
/// If the data set is no published one: only its files know their shape.
pub fn published_shape(config: &DataConfig) -> Result<ImageShape> {
    let known = rung_datasets::registry::find(&config.name);
    known.map(|known| known.shape).map_err(|error| {
        Error::new(format!("the shape of the images of {} is not known before they are opened: {error}", config.name))
            .with_advice(
                "name a data set of `rung data list`, or train on your own first: the run then knows its shape",
            )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_published_name_tells_a_shape() {
        let named = |name: &str| published_shape(&DataConfig { name: name.into(), ..DataConfig::default() });
        assert_eq!(named("norb").unwrap(), ImageShape::new(1, 32, 32));
        assert_eq!(named("cifar-10").unwrap(), ImageShape::new(3, 32, 32));
        for own in ["npz:a.npz", "images:cats"] {
            assert!(named(own).unwrap_err().to_string().contains("not known before"), "{own}");
        }
    }
}

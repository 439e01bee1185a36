//! From the configuration's `[model]` to the description that `rung-models` builds from.

use rung_datasets::ImageShape;
use rung_models::hierarchy::{GenerativeWidths, Inference, Observation};
use rung_models::layers::NormConfig;
use rung_models::{Activation, HierarchyConfig};

use crate::config::{self, DataConfig, Family, ModelConfig, Nonlinearity};

/// The hierarchy that a configuration describes, for images of `data_size` values.
pub fn architecture(config: &ModelConfig, data_size: usize) -> HierarchyConfig {
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
            Family::Vae => Inference::BottomUp,
            Family::Ladder => Inference::PROBABILISTIC_LADDER,
            Family::Lvae => Inference::LADDER_VAE,
        },
        observation: match config.observation {
            config::Observation::Bernoulli => Observation::Bernoulli,
            config::Observation::Gaussian => Observation::Gaussian,
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

/// The shape of an image of the configured data set, as far as its name tells; the data set itself has the last word.
///
/// A person's own images (`npz:FILE`) are taken for grey ones of 28x28, and those of a folder for grey ones.
pub fn expected_shape(config: &DataConfig) -> ImageShape {
    let by_name = || rung_datasets::registry::find(&config.name).ok().map(|known| known.shape);
    match config.name.starts_with("images:") {
        true => ImageShape::new(1, config.image_size, config.image_size),
        false => by_name().unwrap_or(ImageShape::new(1, 28, 28)),
    }
}

/// The shape of images of `values` values: the expected one if it has as many, else the first of these that has: grey or coloured
/// squares, one row.
pub fn shape_of_size(expected: ImageShape, values: usize) -> ImageShape {
    let square = |channels: usize| {
        let side = (values / channels).isqrt();
        ImageShape::new(channels, side, side)
    };
    let candidates = [expected, square(1), square(3)];
    let fitting = candidates.into_iter().find(|shape| shape.values() == values);
    fitting.unwrap_or(ImageShape::new(1, 1, values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_follow_from_names_and_sizes() {
        let named =
            |name: &str| expected_shape(&DataConfig { name: name.into(), image_size: 40, ..DataConfig::default() });
        assert_eq!(named("norb"), ImageShape::new(1, 32, 32));
        assert_eq!(named("images:cats"), ImageShape::new(1, 40, 40));
        assert_eq!(named("npz:a.npz"), ImageShape::new(1, 28, 28));
        let grey = ImageShape::new(1, 28, 28);
        assert_eq!(shape_of_size(grey, 784), grey);
        assert_eq!(shape_of_size(ImageShape::new(1, 14, 56), 784), ImageShape::new(1, 14, 56));
        assert_eq!(shape_of_size(grey, 4800), ImageShape::new(3, 40, 40));
        assert_eq!(shape_of_size(grey, 10), ImageShape::new(1, 1, 10));
    }
}

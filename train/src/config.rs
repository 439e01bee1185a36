//! The complete configuration of a run: every choice that decides its result, with its default.
//!
//! A run's `config.toml` is a [`Config`] written out in full, so it repeats the run on its own.
//! [`sources`] puts one together (defaults < preset < files < flags), [`validate`](Config::validate)
//! holds the rules. Read [`ModelConfig`] first: it is the architecture as data.

pub mod layers;
pub mod nearest;
pub mod sources;
mod staged;
mod validate;

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Result};

pub use staged::{LogVariance, StageSettings, StagedConfig};

/// Everything that decides a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The preset that this configuration was made from; empty if there was none.
    pub preset: String,
    /// The architecture.
    pub model: ModelConfig,
    /// The stages of a stage-wise model; the other families do without.
    pub staged: StagedConfig,
    /// What it is trained on.
    pub data: DataConfig,
    /// The training protocol.
    pub train: TrainConfig,
    /// The optimiser and its learning-rate schedule.
    pub optimiser: OptimiserConfig,
}

/// Which model it is: the first three are hierarchies of dense layers, the others are made of stages of gated blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Bottom-up: z_1 given x, then z_i given z_{i-1}.
    Vae,
    /// The preprint's probabilistic ladder: upward messages merged with a top-down network of its own.
    Ladder,
    /// The published Ladder VAE: upward messages merged with the generative network's distribution.
    Lvae,
    /// Stages with samples on the way up.
    StagedVae,
    /// Stages with samples on the way down; with skip connections the LVAE+.
    StagedLvae,
    /// Stages with samples on both ways: the bidirectional-inference VAE.
    Biva,
}

impl Family {
    /// Whether it is made of stages, by [`Config::staged`], and not of dense layers, by the sizes in [`ModelConfig`].
    #[must_use]
    pub const fn is_staged(self) -> bool {
        matches!(self, Self::StagedVae | Self::StagedLvae | Self::Biva)
    }
}

/// The nonlinearity of every hidden layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nonlinearity {
    /// max(x, slope · x) with `leaky_slope`.
    LeakyRelu,
    /// max(x, 0).
    Relu,
    /// x above 0, exp(x) − 1 below.
    Elu,
    /// The hyperbolic tangent.
    Tanh,
    /// ln(1 + exp(x)).
    Softplus,
}

/// The distribution of an image given z_1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observation {
    /// One Bernoulli variable a pixel.
    Bernoulli,
    /// One Gaussian a pixel, with its own mean and variance.
    Gaussian,
    /// A mixture of discretised logistics a pixel, over the 256 levels of a byte; for stage-wise models.
    LogisticMixture,
}

/// How wide the ladder's generative networks are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GenerativeWidths {
    /// Between z_{i+1} and z_i: the hidden size of layer i + 1, as the paper says.
    Paper,
    /// Between z_{i+1} and z_i: the hidden size of layer i, as the authors' program does.
    Code,
}

/// How grey pixels become binary ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Binarisation {
    /// Drawn anew before every epoch; the test set is drawn once.
    Dynamic,
    /// Drawn once.
    Static,
    /// 1 where the pixel is above a half.
    Threshold,
    /// Left as they are.
    None,
}

/// When uniform noise is added to pixels that were rounded to 0..255.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dequantisation {
    /// Drawn once, as the paper does.
    Once,
    /// Drawn anew before every epoch; the test set is drawn once.
    EveryEpoch,
    /// Never.
    None,
}

/// Which rule moves the parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptimiserName {
    /// Adam.
    Adam,
    /// Adam with the largest gradient seen in place of the second moment.
    Adamax,
    /// Gradient descent with momentum.
    Sgd,
}

/// How the learning rate changes over the epochs; see [`OptimiserConfig`] for the parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleName {
    /// Never.
    Constant,
    /// Times `schedule_factor` after every `schedule_every_epochs` epochs.
    Step,
    /// The same decay, a little after every epoch.
    Exponential,
    /// Half a cosine wave down to `schedule_final_factor` at the last epoch.
    Cosine,
}

/// The architecture as data. Layer 1 is nearest to the image, the last one is the top.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// The inference model.
    pub family: Family,
    /// Units of each stochastic layer, z_1 first.
    pub latent_sizes: Vec<usize>,
    /// Width of the dense layers that belong to each stochastic layer.
    pub hidden_sizes: Vec<usize>,
    /// Dense layers in each network.
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
    /// Width of the ladder's generative networks.
    pub generative_widths: GenerativeWidths,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            family: Family::Ladder,
            latent_sizes: vec![64, 32, 16, 8, 4],
            hidden_sizes: vec![512, 256, 128, 64, 32],
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
        }
    }
}

/// What the model is trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// A data set's name (`rung data list`), `npz:FILE` or `images:FOLDER`.
    pub name: String,
    /// Where data sets lie; empty for the default place.
    pub directory: String,
    /// How grey pixels become binary ones.
    pub binarisation: Binarisation,
    /// When noise is added to pixels that were rounded.
    pub dequantisation: Dequantisation,
    /// Height and width that the pictures of `images:FOLDER` are resized to.
    pub image_size: usize,
    /// Training images to use; 0 for all (the glyphs then have 10,000).
    pub train_images: usize,
    /// Training images held out to choose the best checkpoint by; 0 for none.
    pub validation_images: usize,
    /// Test images to use; 0 for all (the glyphs then have 2,000).
    pub test_images: usize,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            name: "glyphs".into(),
            directory: String::new(),
            binarisation: Binarisation::Dynamic,
            dequantisation: Dequantisation::None,
            image_size: 28,
            train_images: 0,
            validation_images: 0,
            test_images: 0,
        }
    }
}

impl DataConfig {
    /// The same treatment of the images of another data set; how many of its own a configuration takes says nothing about those.
    #[must_use]
    pub fn for_data_set(&self, name: &str) -> Self {
        if name == self.name {
            return self.clone();
        }
        let Self { train_images, validation_images, test_images, .. } = Self::default();
        Self { name: name.into(), train_images, validation_images, test_images, ..self.clone() }
    }
}

/// The training protocol.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Passes over the training images.
    pub epochs: u64,
    /// Images in a step; what remains of an epoch after the last full batch is left out.
    pub batch_size: usize,
    /// The seed of every random number in the run.
    pub seed: u64,
    /// Epochs over which the weight of the latent terms rises from 0 to 1; 0 for no warm-up.
    pub warmup_epochs: u64,
    /// Independent samples of the bound that are averaged.
    pub monte_carlo_samples: usize,
    /// Samples inside the logarithm of the importance-weighted bound.
    pub importance_samples: usize,
    /// Closed-form divergences in place of sampled log-ratios, where that is valid.
    pub analytic_kl: bool,
    /// Nats of each latent group's divergence that cost nothing, in each image; 0 for none.
    pub free_bits_nats: f64,
    /// Training images whose class is known, as many of each; 0 for training without labels.
    pub labels: usize,
    /// Weight of the classifier's log-likelihood of these, in a loss per image.
    pub classification_weight: f64,
    /// Share that the exponential moving average of the parameters keeps at each step; the average is what is evaluated. 0 for no average.
    pub average_decay: f64,
    /// Whether the blocks of a model of stages are computed again in backward, which takes less memory and more time.
    pub checkpoint_activations: bool,
    /// Largest global norm of a gradient; 0 for no limit.
    pub gradient_norm_limit: f64,
    /// Largest magnitude of a gradient's element, after the norm's limit; 0 for no limit.
    pub gradient_element_limit: f64,
    /// Epochs between checkpoints.
    pub checkpoint_every_epochs: u64,
    /// Epochs between checkpoints that are kept for good; 0 for last and best alone.
    pub keep_every_epochs: u64,
    /// Epochs between evaluations on held-out images.
    pub evaluate_every_epochs: u64,
    /// A run or a checkpoint whose parameters the training starts from; empty for fresh ones.
    pub init_from: String,
    /// The device: `cpu`, a name that `rung devices` lists, or `auto` for a GPU if there is one.
    pub device: String,
    /// CPU threads; 0 for one a core.
    pub threads: usize,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: 2000,
            batch_size: 256,
            seed: 1,
            warmup_epochs: 200,
            monte_carlo_samples: 1,
            importance_samples: 1,
            analytic_kl: false,
            free_bits_nats: 0.0,
            labels: 0,
            classification_weight: 60.0,
            average_decay: 0.0,
            checkpoint_activations: false,
            gradient_norm_limit: 4.0,
            gradient_element_limit: 0.9,
            checkpoint_every_epochs: 1,
            keep_every_epochs: 0,
            evaluate_every_epochs: 10,
            init_from: String::new(),
            device: "cpu".into(),
            threads: 0,
        }
    }
}

/// The optimiser and its learning-rate schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimiserConfig {
    /// The rule.
    pub name: OptimiserName,
    /// The learning rate before any schedule.
    pub learning_rate: f64,
    /// Decay of the first moment (adam, adamax).
    pub beta_1: f64,
    /// Decay of the second moment (adam, adamax).
    pub beta_2: f64,
    /// Added to the root of the second moment (adam, adamax).
    pub epsilon: f64,
    /// Momentum (sgd).
    pub momentum: f64,
    /// How the learning rate changes over the epochs.
    pub schedule: ScheduleName,
    /// Factor of the learning rate every `schedule_every_epochs` epochs (step, exponential).
    pub schedule_factor: f64,
    /// See `schedule_factor`.
    pub schedule_every_epochs: u64,
    /// Share of the learning rate that is left at the last epoch (cosine).
    pub schedule_final_factor: f64,
}

impl Default for OptimiserConfig {
    fn default() -> Self {
        Self {
            name: OptimiserName::Adam,
            learning_rate: 0.001,
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: 1e-4,
            momentum: 0.9,
            schedule: ScheduleName::Constant,
            schedule_factor: 0.75,
            schedule_every_epochs: 200,
            schedule_final_factor: 0.0,
        }
    }
}

impl Config {
    /// The whole configuration as TOML, every default spelled out.
    ///
    /// # Errors
    /// If a value has no TOML form (a seed above 2^63 − 1).
    pub fn to_toml(&self) -> Result<String> {
        let body = toml::to_string_pretty(self).context("writing the configuration")?;
        Ok(format!("# The complete configuration of this run. To repeat it: rung train --config FILE\n\n{body}"))
    }

    /// Reads and checks a configuration file; keys that are missing have their defaults.
    ///
    /// # Errors
    /// If the file can't be read, isn't TOML, has a key that doesn't exist, or breaks a rule.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::io("read", path, &e))?;
        let mut layers = layers::Layers::new(&Self::default())?;
        layers.add_text(&path.display().to_string(), &text)?;
        layers.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_configuration_reads_back_equal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let mut config = Config { preset: "mnist-ladder-5".into(), ..Config::default() };
        config.model.leaky_slope = 0.012_345_678_901_234_5;
        std::fs::write(&path, config.to_toml().unwrap()).unwrap();
        assert_eq!(Config::load(&path).unwrap(), config);
    }

    #[test]
    fn the_limits_of_a_data_set_are_not_those_of_another() {
        let data = DataConfig { train_images: 5, test_images: 6, directory: "d".into(), ..DataConfig::default() };
        assert_eq!(data.for_data_set("glyphs"), data);
        let other = data.for_data_set("mnist");
        assert_eq!((other.name.as_str(), other.directory.as_str()), ("mnist", "d"));
        assert_eq!((other.train_images, other.test_images), (0, 0));
    }

    #[test]
    fn every_default_is_spelled_out() {
        let text = Config::default().to_toml().unwrap();
        let keys = text.lines().filter(|line| line.contains(" = ")).count();
        assert_eq!(keys, 1 + 13 + 7 + 10 + 20 + 10, "{text}");
    }
}

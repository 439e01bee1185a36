//! The rules of a configuration. A broken one names the key, its value and the rule.

use super::{Binarisation, Config, Dequantisation, Family, Observation, OptimiserConfig, StageSettings, TrainConfig};
use crate::error::{Error, Result};

/// More units than any layer can sensibly have; a slip of the keys is caught before memory is.
const LARGEST_LAYER: usize = 65_536;
/// A larger kernel than any image needs.
const LARGEST_KERNEL: usize = 64;
/// More epochs than any training makes, and few enough that their steps can be counted.
const MOST_EPOCHS: u64 = 1_000_000_000;
/// More samples an image than any step can sensibly draw.
const MOST_SAMPLES: usize = 1_000_000;

impl Config {
    /// Checks every rule.
    ///
    /// # Errors
    /// The first rule that is broken, with key and value.
    pub fn validate(&self) -> Result<()> {
        if self.model.family.is_staged() {
            self.validate_stages()?;
        } else {
            self.validate_hierarchy()?;
        }
        self.validate_batch_norm()?;
        self.validate_data()?;
        self.train.validate()?;
        self.optimiser.validate()?;
        let rows = self.train.batch_size * self.train.monte_carlo_samples * self.train.importance_samples;
        rule(
            rows >= 2
                || self.model.family.is_staged()
                || !(self.model.batch_norm_hidden || self.model.batch_norm_heads),
            "train.batch_size",
            self.train.batch_size,
            "must be at least 2 with batch normalisation, which compares the images of a batch",
        )
    }

    fn validate_stages(&self) -> Result<()> {
        let staged = &self.staged;
        rule(
            !staged.stages.is_empty(),
            "staged.stages",
            "[]",
            "a model of stages needs at least one (rung info --preset biva-mnist-small shows some)",
        )?;
        staged.stages.iter().enumerate().try_for_each(|(index, stage)| stage.validate(index + 1))?;
        rule(
            self.model.observation != Observation::Gaussian,
            "model.observation",
            "gaussian",
            "must be bernoulli or logistic_mixture for a model of stages",
        )?;
        let components = staged.mixture_components;
        rule((1..=100).contains(&components), "staged.mixture_components", components, "must be 1 to 100")?;
        for (key, rate) in [
            ("staged.inference_dropout", staged.inference_dropout),
            ("staged.generative_dropout", staged.generative_dropout),
        ] {
            rule((0.0..1.0).contains(&rate), key, rate, "must be at least 0 and below 1")?;
        }
        let train = &self.train;
        rule(
            train.labels == 0 || (self.model.family == Family::Biva && (2..=1000).contains(&staged.classes)),
            "train.labels",
            train.labels,
            "needs model.family = biva and staged.classes from 2 to 1000",
        )?;
        rule(
            train.labels == 0
                || (train.importance_samples, train.monte_carlo_samples, train.analytic_kl) == (1, 1, false),
            "train.labels",
            train.labels,
            "needs one sample and sampled divergences: train.importance_samples = 1, monte_carlo_samples = 1, analytic_kl = false",
        )?;
        let weight = train.classification_weight;
        rule(weight >= 0.0 && weight.is_finite(), "train.classification_weight", weight, "must be 0 or more")?;
        let sigma = staged.initial_sigma;
        rule(sigma > 0.0 && sigma.is_finite(), "staged.initial_sigma", sigma, "must be above 0")
    }

    fn validate_hierarchy(&self) -> Result<()> {
        let model = &self.model;
        rule(self.train.labels == 0, "train.labels", self.train.labels, "needs model.family = biva")?;
        rule(
            !self.train.checkpoint_activations,
            "train.checkpoint_activations",
            true,
            "needs a model of stages: set model.family to biva, staged_lvae or staged_vae",
        )?;
        rule(
            model.observation != Observation::LogisticMixture,
            "model.observation",
            "logistic_mixture",
            "needs a model of stages: set model.family to biva, staged_lvae or staged_vae",
        )?;
        let (latent, hidden) = (&model.latent_sizes, &model.hidden_sizes);
        let known_size = |size: &usize| (1..=LARGEST_LAYER).contains(size);
        let size_rule = "needs at least one layer, each with 1 to 65536 units";
        let valid = !latent.is_empty() && latent.iter().all(known_size);
        rule(valid, "model.latent_sizes", list(latent), size_rule)?;
        let valid = !hidden.is_empty() && hidden.iter().all(known_size);
        rule(valid, "model.hidden_sizes", list(hidden), size_rule)?;
        rule(
            latent.len() == hidden.len(),
            "model.hidden_sizes",
            list(hidden),
            &format!("must have one size for each stochastic layer, and model.latent_sizes has {}", latent.len()),
        )?;
        rule((1..=64).contains(&model.mlp_layers), "model.mlp_layers", model.mlp_layers, "must be 1 to 64")?;
        rule(
            (0.0..1.0).contains(&model.leaky_slope),
            "model.leaky_slope",
            model.leaky_slope,
            "must be at least 0 and below 1",
        )
    }

    fn validate_batch_norm(&self) -> Result<()> {
        let model = &self.model;
        positive("model.batch_norm_epsilon", model.batch_norm_epsilon)?;
        positive("model.variance_floor", model.variance_floor)?;
        rule(
            model.batch_norm_momentum > 0.0 && model.batch_norm_momentum <= 1.0,
            "model.batch_norm_momentum",
            model.batch_norm_momentum,
            "must be above 0 and at most 1",
        )
    }

    fn validate_data(&self) -> Result<()> {
        let data = &self.data;
        rule(!data.name.trim().is_empty(), "data.name", "\"\"", "must name a data set (rung data list shows them)")?;
        rule((1..=1024).contains(&data.image_size), "data.image_size", data.image_size, "must be 1 to 1024")?;
        let models_grey_values = match self.model.observation {
            Observation::Bernoulli => None,
            Observation::Gaussian => Some("gaussian"),
            Observation::LogisticMixture => Some("logistic_mixture"),
        };
        rule(
            models_grey_values.is_none() || data.binarisation == Binarisation::None,
            "data.binarisation",
            format!("{:?}", data.binarisation).to_lowercase(),
            &format!(
                "must be none when model.observation is {}, which models grey values",
                models_grey_values.unwrap_or_default()
            ),
        )?;
        rule(
            self.model.observation == Observation::Gaussian || data.dequantisation == Dequantisation::None,
            "data.dequantisation",
            format!("{:?}", data.dequantisation).to_lowercase(),
            "must be none unless model.observation is gaussian, the one that is a density",
        )
    }
}

impl StageSettings {
    fn validate(&self, number: usize) -> Result<()> {
        let key = |name: &str| format!("staged.stages[{number}].{name}");
        rule((1..=LARGEST_LAYER).contains(&self.channels), &key("channels"), self.channels, "must be 1 to 65536")?;
        rule(
            !self.kernels.is_empty() && self.kernels.iter().all(|side| (1..=LARGEST_KERNEL).contains(side)),
            &key("kernels"),
            list(&self.kernels),
            "needs one side for each block, each 1 to 64",
        )?;
        rule(
            (self.strides.is_empty() || self.strides.len() == self.kernels.len())
                && self.strides.iter().all(|stride| (1..=LARGEST_KERNEL).contains(stride)),
            &key("strides"),
            list(&self.strides),
            "needs one stride for each block, each 1 to 64, or none at all",
        )?;
        let (units, channels, kernel) = (self.latent_units, self.latent_channels, self.latent_kernel);
        rule(
            (units == 0) != (channels == 0) && units.max(channels) <= LARGEST_LAYER,
            &key("latent_units"),
            units,
            "a stage needs either latent_units or latent_channels, 1 to 65536",
        )?;
        rule(
            (channels == 0) == (kernel == 0) && kernel <= LARGEST_KERNEL,
            &key("latent_kernel"),
            kernel,
            "must be 1 to 64 with latent_channels, and not given without",
        )
    }
}

impl TrainConfig {
    fn validate(&self) -> Result<()> {
        for (key, value) in [
            ("train.epochs", self.epochs),
            ("train.checkpoint_every_epochs", self.checkpoint_every_epochs),
            ("train.evaluate_every_epochs", self.evaluate_every_epochs),
        ] {
            rule((1..=MOST_EPOCHS).contains(&value), key, value, "must be 1 to 1000000000")?;
        }
        for (key, value) in [
            ("train.batch_size", self.batch_size),
            ("train.monte_carlo_samples", self.monte_carlo_samples),
            ("train.importance_samples", self.importance_samples),
        ] {
            let valid = (1..=MOST_SAMPLES).contains(&value);
            rule(valid, key, value, "must be 1 to 1000000")?;
        }
        rule(
            i64::try_from(self.seed).is_ok(),
            "train.seed",
            self.seed,
            "must be below 2^63, the largest whole number a TOML file holds",
        )?;
        rule(
            !self.analytic_kl || self.importance_samples == 1,
            "train.analytic_kl",
            true,
            "needs train.importance_samples = 1: the importance-weighted bound has no closed form",
        )?;
        rule(
            self.free_bits_nats >= 0.0 && self.free_bits_nats.is_finite(),
            "train.free_bits_nats",
            self.free_bits_nats,
            "must be a number of nats, or 0 for none",
        )?;
        rule(
            self.free_bits_nats == 0.0 || self.importance_samples == 1,
            "train.free_bits_nats",
            self.free_bits_nats,
            "needs train.importance_samples = 1: the importance-weighted bound has no divergence to free",
        )?;
        rule(
            (0.0..1.0).contains(&self.average_decay),
            "train.average_decay",
            self.average_decay,
            "must be at least 0 and below 1",
        )?;
        for (key, value) in [
            ("train.gradient_norm_limit", self.gradient_norm_limit),
            ("train.gradient_element_limit", self.gradient_element_limit),
        ] {
            let valid = value >= 0.0 && value.is_finite();
            rule(valid, key, value, "must be a limit above 0, or 0 for none")?;
        }
        rule(!self.device.trim().is_empty(), "train.device", "\"\"", "must name a device (rung devices lists them)")
    }
}

impl OptimiserConfig {
    fn validate(&self) -> Result<()> {
        positive("optimiser.learning_rate", self.learning_rate)?;
        positive("optimiser.epsilon", self.epsilon)?;
        for (key, value) in [
            ("optimiser.beta_1", self.beta_1),
            ("optimiser.beta_2", self.beta_2),
            ("optimiser.momentum", self.momentum),
        ] {
            let valid = (0.0..1.0).contains(&value);
            rule(valid, key, value, "must be at least 0 and below 1")?;
        }
        rule(
            self.schedule_factor > 0.0 && self.schedule_factor <= 1.0,
            "optimiser.schedule_factor",
            self.schedule_factor,
            "must be above 0 and at most 1",
        )?;
        rule(
            self.schedule_every_epochs >= 1,
            "optimiser.schedule_every_epochs",
            self.schedule_every_epochs,
            "must be at least 1",
        )?;
        rule(
            (0.0..=1.0).contains(&self.schedule_final_factor),
            "optimiser.schedule_final_factor",
            self.schedule_final_factor,
            "must be 0 to 1",
        )
    }
}

fn rule(holds: bool, key: &str, value: impl std::fmt::Display, rule: &str) -> Result<()> {
    if holds {
        return Ok(());
    }
    Err(Error::new(format!("{key} = {value}: {rule}")))
}

fn positive(key: &str, value: f64) -> Result<()> {
    let holds = value > 0.0 && value.is_finite();
    rule(holds, key, value, "must be a number above 0")
}

fn list(sizes: &[usize]) -> String {
    format!("{sizes:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::layers::Layers;

    fn refused(pairs: &[&str]) -> String {
        let mut layers = Layers::new(&Config::default()).unwrap();
        for pair in pairs {
            layers.set(pair).unwrap();
        }
        layers.finish().unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_are_valid() {
        Config::default().validate().unwrap();
    }

    #[test]
    fn a_broken_rule_names_key_value_and_rule() {
        assert_eq!(refused(&["train.epochs=0"]), "train.epochs = 0: must be 1 to 1000000000");
        assert_eq!(
            refused(&["model.latent_sizes=[64, 32]"]),
            "model.hidden_sizes = [512, 256, 128, 64, 32]: must have one size for each stochastic \
             layer, and model.latent_sizes has 2"
        );
        assert_eq!(
            refused(&["optimiser.learning_rate=nan"]),
            "optimiser.learning_rate = NaN: must be a number above 0"
        );
        assert_eq!(
            refused(&["model.observation=gaussian"]),
            "data.binarisation = dynamic: must be none when model.observation is gaussian, which \
             models grey values"
        );
    }

    #[test]
    fn a_seed_that_toml_can_not_hold_is_refused() {
        let mut config = Config::default();
        config.train.seed = u64::MAX;
        let message = config.validate().unwrap_err().to_string();
        assert!(message.starts_with("train.seed = 18446744073709551615"));
    }

    #[test]
    fn every_rule_is_kept() {
        for pair in [
            "model.latent_sizes=[]",
            "model.latent_sizes=[0,1,1,1,1]",
            "model.hidden_sizes=[70000,1,1,1,1]",
            "model.mlp_layers=0",
            "model.leaky_slope=1.0",
            "model.batch_norm_epsilon=0",
            "model.batch_norm_momentum=0",
            "model.variance_floor=-1",
            "data.name=",
            "data.image_size=0",
            "data.dequantisation=once",
            "model.observation=logistic_mixture",
            "train.free_bits_nats=-1",
            "train.average_decay=1",
            "train.checkpoint_activations=true",
            "train.labels=100",
            "train.epochs=9223372036854775807",
            "train.checkpoint_every_epochs=0",
            "train.evaluate_every_epochs=0",
            "train.batch_size=1",
            "train.batch_size=9000000000000",
            "train.monte_carlo_samples=0",
            "train.gradient_norm_limit=inf",
            "train.gradient_element_limit=-1",
            "train.device=",
            "optimiser.epsilon=0",
            "optimiser.beta_1=1",
            "optimiser.schedule_factor=1.5",
            "optimiser.schedule_every_epochs=0",
            "optimiser.schedule_final_factor=2",
        ] {
            let key = pair.split('=').next().unwrap();
            let message = refused(&[pair]);
            assert!(message.starts_with(&format!("{key} = ")), "{pair}: {message}");
        }
        assert!(
            refused(&["train.analytic_kl=true", "train.importance_samples=5"]).contains("train.importance_samples = 1")
        );
    }
}

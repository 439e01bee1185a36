//! The rules of a configuration. A broken one names the key, its value and the rule.

use rung_datasets::Sequences;
use rung_models::BatchNormStatistics;

use super::{
    Binarisation, Config, DataConfig, Dequantisation, OptimiserConfig, OptimiserName, ScheduleName,
    TrainConfig,
};
use crate::error::{Error, Result};
use crate::run::arguments::MOST_THREADS;
use crate::tasks::Pixels;

/// More epochs than any training makes, and few enough that their steps can be counted.
const MOST_EPOCHS: u64 = 1_000_000_000;
/// More images than any data set has, and few enough that all parts together can be numbered.
const MOST_IMAGES: usize = 1_000_000_000;
/// More logical ranks than any machine trains well; each takes a thread.
const MOST_LOGICAL_RANKS: usize = 1024;
/// More images than any step sees.
const LARGEST_BATCH: usize = 1_000_000;
/// Images that a batch needs for batch normalisation: over two or three the deviations of some
/// units are near 0, and the running statistics of a few layers then miss those of the next batch
/// by orders of magnitude.
pub(crate) const LEAST_NORMALISED_BATCH: usize = 4;

impl Config {
    /// Checks every rule.
    ///
    /// # Errors
    /// The first rule that is broken, with key and value.
    pub fn validate(&self) -> Result<()> {
        self.family.check().map_err(|broken| Error::new(broken.to_string()))?;
        self.validate_data()?;
        self.train.validate()?;
        self.optimiser.validate()?;
        rule(
            self.family.has_checkpointing() || !self.train.checkpoint_activations,
            "train.checkpoint_activations",
            true,
            "needs a model with blocks to recompute: set model.family to biva, staged_lvae, \
            staged_vae or matnet",
        )?;
        rule(
            self.train.batch_norm_statistics == BatchNormStatistics::Batch
                || self.family.batch_norm_momentum().is_some(),
            "train.batch_norm_statistics",
            "rank",
            "needs a model with batch normalisation",
        )?;
        // Samples of one image do not count: they are the same to every layer below the first
        // latent one.
        rule(
            self.train.batch_size >= LEAST_NORMALISED_BATCH
                || self.family.batch_norm_momentum().is_none(),
            "train.batch_size",
            self.train.batch_size,
            "must be at least 4 with batch normalisation, which divides by the deviation over the \
            images of a batch",
        )
    }

    fn validate_data(&self) -> Result<()> {
        let data = &self.data;
        rule(
            !data.name.trim().is_empty(),
            "data.name",
            "\"\"",
            "must name a data set (rung data list shows them)",
        )?;
        let size_rule = "must be 1 to 1024, or 0 for the pictures' own size";
        rule(data.image_size <= 1024, "data.image_size", data.image_size, size_rule)?;
        for (key, count) in [
            ("data.train_images", data.train_images),
            ("data.validation_images", data.validation_images),
            ("data.test_images", data.test_images),
        ] {
            rule(count <= MOST_IMAGES, key, count, "must be 0 to 1000000000")?;
        }
        data.validate_sequences()?;
        let (pixels, observation) = self.family.pixels();
        rule(
            matches!(pixels, Pixels::Binary | Pixels::Any)
                || matches!(data.binarisation, Binarisation::None | Binarisation::Auto),
            "data.binarisation",
            format!("{:?}", data.binarisation).to_lowercase(),
            &format!(
                "must be none when model.observation is {observation}, which models grey values"
            ),
        )?;
        rule(
            pixels == Pixels::Real || data.dequantisation == Dequantisation::None,
            "data.dequantisation",
            format!("{:?}", data.dequantisation).to_lowercase(),
            "must be none unless model.observation is gaussian, the one that is a density",
        )
    }
}

impl DataConfig {
    /// Checks what sequences are made of, which is there for every data set.
    fn validate_sequences(&self) -> Result<()> {
        let within = |key, value, (least, most): (usize, usize)| {
            let allowed = format!("must be {least} to {most}");
            rule((least..=most).contains(&value), key, value, &allowed)
        };
        let canvas = self.sequence_canvas;
        within("data.sequence_canvas", canvas, (16, Sequences::LARGEST_CANVAS))?;
        within("data.sequence_digits", self.sequence_digits, (1, Sequences::MOST_DIGITS))?;
        within(
            "data.sequence_distractors",
            self.sequence_distractors,
            (0, Sequences::MOST_DISTRACTORS),
        )?;
        let pooling = self.sequence_pooling;
        rule(
            pooling > 0 && canvas.is_multiple_of(pooling),
            "data.sequence_pooling",
            pooling,
            &format!("must divide data.sequence_canvas = {canvas}"),
        )?;
        rule(
            i64::try_from(self.sequence_seed).is_ok(),
            "data.sequence_seed",
            self.sequence_seed,
            "must be below 2^63, the largest whole number a TOML file holds",
        )?;
        if self.sequences_of().is_none() {
            return Ok(());
        }
        for (key, count) in [
            ("data.train_images", self.train_images),
            ("data.validation_images", self.validation_images),
            ("data.test_images", self.test_images),
        ] {
            within(key, count, (0, Sequences::MOST_EXAMPLES))?;
        }
        Ok(())
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
        let (patience, every) = (self.patience_epochs, self.evaluate_every_epochs);
        rule(
            patience == 0 || (every..=MOST_EPOCHS).contains(&patience),
            "train.patience_epochs",
            patience,
            &format!(
                "must be 0, or at least train.evaluate_every_epochs = {every}: between two \
                evaluations there is no other score"
            ),
        )?;
        let allowed = format!("must be 0 (one a core) to {MOST_THREADS}");
        rule(self.threads <= MOST_THREADS, "train.threads", self.threads, &allowed)?;
        let valid = (1..=LARGEST_BATCH).contains(&self.batch_size);
        rule(valid, "train.batch_size", self.batch_size, "must be 1 to 1000000")?;
        let most = self.batch_size.min(MOST_LOGICAL_RANKS);
        rule(
            self.logical_ranks <= most,
            "train.logical_ranks",
            self.logical_ranks,
            &format!("must be 0 (as many as there are ranks) to {most}, each with an image"),
        )?;
        rule(
            i64::try_from(self.seed).is_ok(),
            "train.seed",
            self.seed,
            "must be below 2^63, the largest whole number a TOML file holds",
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
            ("train.skipped_gradient_norm", self.skipped_gradient_norm),
        ] {
            let valid = value >= 0.0 && value.is_finite();
            rule(valid, key, value, "must be a limit above 0, or 0 for none")?;
        }
        rule(
            !self.device.trim().is_empty(),
            "train.device",
            "\"\"",
            "must name a device (rung devices lists them)",
        )
    }
}

impl OptimiserConfig {
    fn validate(&self) -> Result<()> {
        positive("optimiser.learning_rate", self.learning_rate)?;
        positive("optimiser.epsilon", self.epsilon)?;
        for (key, value) in [
            ("optimiser.beta_1", self.beta_1),
            ("optimiser.beta_1_limit", self.beta_1_limit),
            ("optimiser.beta_2", self.beta_2),
            ("optimiser.momentum", self.momentum),
        ] {
            let valid = (0.0..1.0).contains(&value);
            rule(valid, key, value, "must be at least 0 and below 1")?;
        }
        let penalty = self.l2_penalty;
        rule(
            penalty >= 0.0 && penalty.is_finite(),
            "optimiser.l2_penalty",
            penalty,
            "must be 0 or more",
        )?;
        let milestones = &self.schedule_milestones;
        let is_rising = milestones.windows(2).all(|pair| pair[0] < pair[1]);
        rule(
            is_rising && milestones.first().is_none_or(|&first| first > 0),
            "optimiser.schedule_milestones",
            format!("{milestones:?}"),
            "must be epochs from 1, each later than the one before",
        )?;
        rule(
            (self.schedule == ScheduleName::Milestones) != milestones.is_empty(),
            "optimiser.schedule_milestones",
            format!("{milestones:?}"),
            "must be given with optimiser.schedule = milestones, and not without",
        )?;
        rule(
            self.beta_1_limit == 0.0 || self.schedule == ScheduleName::Milestones,
            "optimiser.beta_1_limit",
            self.beta_1_limit,
            "needs optimiser.schedule = milestones, at which beta_1 changes",
        )?;
        rule(
            self.beta_1_limit == 0.0
                || matches!(self.name, OptimiserName::Adam | OptimiserName::Adamax),
            "optimiser.beta_1_limit",
            self.beta_1_limit,
            "needs an optimiser with beta_1, adam or adamax",
        )?;
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
             layer, and latent_sizes has 2"
        );
        assert_eq!(
            refused(&["optimiser.learning_rate=nan"]),
            "optimiser.learning_rate = NaN: must be a number above 0"
        );
        assert_eq!(
            refused(&["model.observation=gaussian", "data.binarisation=dynamic"]),
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
            "data.image_size=1025",
            "data.train_images=4294967360",
            "data.validation_images=4294967295",
            "data.test_images=9000000000000000000",
            "data.sequence_canvas=8",
            "data.sequence_canvas=1025",
            "data.sequence_digits=0",
            "data.sequence_distractors=1001",
            "data.sequence_pooling=0",
            "data.sequence_pooling=3",
            "data.dequantisation=once",
            "objective.free_bits_nats=-1",
            "train.average_decay=1",
            "train.checkpoint_activations=true",
            "train.epochs=9223372036854775807",
            "train.checkpoint_every_epochs=0",
            "train.evaluate_every_epochs=0",
            "train.patience_epochs=9",
            "train.batch_size=1",
            "train.batch_size=9000000000000",
            "train.threads=20000",
            "train.logical_ranks=2000",
            "objective.monte_carlo_samples=0",
            "train.gradient_norm_limit=inf",
            "train.gradient_element_limit=-1",
            "train.skipped_gradient_norm=-1",
            "train.device=",
            "optimiser.epsilon=0",
            "optimiser.beta_1=1",
            "optimiser.beta_1_limit=1",
            "optimiser.beta_1_limit=0.95",
            "optimiser.l2_penalty=-1",
            "optimiser.schedule_milestones=[5]",
            "objective.warmup_start=2",
            "objective.squared_kl=true",
            "optimiser.schedule_factor=1.5",
            "optimiser.schedule_every_epochs=0",
            "optimiser.schedule_final_factor=2",
        ] {
            let key = pair.split('=').next().unwrap();
            let message = refused(&[pair]);
            assert!(message.starts_with(&format!("{key} = ")), "{pair}: {message}");
        }
        assert!(
            refused(&["train.batch_size=2", "objective.monte_carlo_samples=2"])
                .contains("images of a batch")
        );
        assert!(
            refused(&[
                "train.batch_norm_statistics=rank",
                "model.batch_norm_hidden=false",
                "model.batch_norm_heads=false"
            ])
            .contains("needs a model with batch normalisation")
        );
        assert!(
            refused(&["objective.analytic_kl=true", "objective.importance_samples=5"])
                .contains("objective.importance_samples = 1")
        );
    }
}

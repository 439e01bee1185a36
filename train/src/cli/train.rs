//! `rung train`: the arguments, and the configuration that they make.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use toml::Value;

use super::shared::{DataDirArgs, DeviceArgs};
use super::time::TimeArgs;
use crate::config::Config;
use crate::config::layers::Layers;
use crate::config::sources::{Sources, layered};
use crate::error::{Error, Result};

/// Train a model, or go on with a run.
#[derive(Debug, Default, Args)]
#[command(before_help = "Most people want:\n  \
        rung train --preset mnist-ladder-5    the paper's five-layer ladder on MNIST\n  \
        rung train --resume runs/ladder       go on with a run that was stopped")]
pub struct TrainArgs {
    /// Start from a built-in configuration; rung info --presets lists them
    #[arg(long, value_name = "NAME")]
    pub preset: Option<String>,
    /// Train on this data set: a name from rung data list, npz:FILE, images:FOLDER or
    /// sequences:NAME
    #[arg(long, value_name = "NAME")]
    pub dataset: Option<String>,
    /// Where data sets lie.
    #[command(flatten)]
    pub data_dir: DataDirArgs,
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Folder of the new run [default: runs/NAME-N, the first that is free]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Go on with this run from its last checkpoint
    #[arg(
        long,
        value_name = "RUN",
        conflicts_with_all = ["preset", "dataset", "out", "config", "set", "warmup_epochs",
            "batch_size", "learning_rate", "seed", "init_from", "labels"]
    )]
    pub resume: Option<PathBuf>,
    /// Lay a TOML file over the preset; may be given several times
    #[arg(long, value_name = "FILE")]
    pub config: Vec<PathBuf>,
    /// Set any key of the configuration, such as `model.latent_sizes=[32,8]`; may be given several
    /// times
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Passes over the training images; with --resume, a new end
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub epochs: Option<u32>,
    /// Epochs over which the latent terms gain their full weight; 0 for none
    #[arg(long, value_name = "N")]
    pub warmup_epochs: Option<u32>,
    /// Images in a step
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub batch_size: Option<u32>,
    /// Learning rate before any schedule
    #[arg(long, value_name = "RATE")]
    pub learning_rate: Option<f64>,
    /// Learn to classify too, from so many labelled training images and all the others
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub labels: Option<u32>,
    /// Activation checkpointing: recompute the blocks of BIVA and its relatives in backward, for
    /// less memory, more time and the same gradients
    #[arg(long)]
    pub checkpoint_activations: bool,
    /// Seed of every random number
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    pub seed: Option<i64>,
    /// Start from the parameters of a finished run or a checkpoint file
    #[arg(long, value_name = "RUN")]
    pub init_from: Option<PathBuf>,
    /// When to stop.
    #[command(flatten)]
    pub time: TimeArgs,
}

impl TrainArgs {
    /// The configuration of a new run.
    ///
    /// # Errors
    /// As [`layered`].
    pub fn configuration(&self) -> Result<Config> {
        layered(&Sources {
            preset: self.preset.as_deref(),
            files: &self.config,
            flags: self.flags()?,
            sets: &self.set,
        })
    }

    /// The configuration of a run to go on with: what it was, but for the flags that may change.
    ///
    /// # Errors
    /// If a flag breaks a rule.
    pub fn resumed_configuration(&self, saved: &Config) -> Result<Config> {
        let mut saved = saved.clone();
        if let Some(folder) = self.data_dir.folder() {
            saved.data.look_in(folder);
        }
        let mut layers = Layers::new(&saved)?;
        for (flag, key, value) in self.flags()? {
            layers.assign(flag, key, value).map_err(Error::as_usage)?;
        }
        layers.finish().map_err(Error::as_usage)
    }

    /// The name of a new run's folder before its number: the preset's, with the data set's if the
    /// preset has another one.
    pub fn run_name(config: &Config) -> String {
        let plain: String =
            config.data.name.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
        match config.preset.as_str() {
            "" => plain,
            preset if preset.starts_with(&plain) => preset.into(),
            preset => format!("{preset}-{plain}"),
        }
    }

    fn flags(&self) -> Result<Vec<(&'static str, &'static str, Value)>> {
        let text = |flag: &str, path: &Path| match path.to_str() {
            Some(text) => Ok(Value::String(text.into())),
            None => Err(Error::usage(format!(
                "{flag} {}: the path isn't UTF-8, which a configuration file has to be",
                path.display()
            ))),
        };
        let number = |n: u32| Value::Integer(n.into());
        let mut flags = Vec::new();
        let mut add = |flag, key, value: Option<Value>| flags.extend(value.map(|v| (flag, key, v)));
        let data_dir = self.data_dir.folder();
        let data_dir = data_dir.map(|path| text("--data-dir", path)).transpose()?;
        let init_from = self.init_from.as_deref();
        let init_from = init_from.map(|path| text("--init-from", path)).transpose()?;
        add("--dataset", "data.name", self.dataset.clone().map(Value::String));
        add("--data-dir", "data.directory", data_dir);
        add("--device", "train.device", self.device.device.clone().map(Value::String));
        add("--threads", "train.threads", self.device.threads.map(number));
        let precision = self.device.precision.and_then(|precision| precision.to_possible_value());
        let precision = precision.map(|value| Value::String(value.get_name().into()));
        add("--precision", "train.precision", precision);
        add("--epochs", "train.epochs", self.epochs.map(number));
        add("--warmup-epochs", "objective.warmup_epochs", self.warmup_epochs.map(number));
        add("--batch-size", "train.batch_size", self.batch_size.map(number));
        add("--learning-rate", "optimiser.learning_rate", self.learning_rate.map(Value::Float));
        add(
            "--checkpoint-activations",
            "train.checkpoint_activations",
            self.checkpoint_activations.then_some(Value::Boolean(true)),
        );
        add("--labels", "objective.labels", self.labels.map(number));
        add("--seed", "train.seed", self.seed.map(Value::Integer));
        add("--init-from", "train.init_from", init_from);
        Ok(flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use crate::config::Precision;
    use clap::Parser;

    fn train(line: &str) -> TrainArgs {
        let cli = Cli::try_parse_from(format!("rung train {line}").split_whitespace()).unwrap();
        match cli.command {
            Some(Command::Train(arguments)) => *arguments,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_flag_reaches_its_key() {
        let config = train(
            "--preset mnist-vae-2 --dataset omniglot --data-dir d --device opencl:0 --threads 3 \
             --precision bf16 \
             --epochs 4 --warmup-epochs 5 --batch-size 6 --learning-rate 0.5 --seed 7 \
             --init-from runs/a --set train.keep_every_epochs=8",
        )
        .configuration()
        .unwrap();
        assert!(!config.train.checkpoint_activations);
        let staged = train("--preset biva-mnist-small --checkpoint-activations --labels 50")
            .configuration()
            .unwrap();
        assert!(staged.train.checkpoint_activations);
        assert_eq!(staged.family.labels().unwrap().labels, 50);
        assert_eq!(config.preset, "mnist-vae-2");
        assert_eq!((config.data.name.as_str(), config.data.directory.as_str()), ("omniglot", "d"));
        assert_eq!((config.train.device.as_str(), config.train.threads), ("opencl:0", 3));
        assert_eq!(config.train.precision, Precision::BFloat16);
        assert_eq!((config.train.epochs, config.family.warmup_epochs()), (4, 5));
        assert_eq!((config.train.batch_size, config.train.seed), (6, 7));
        assert_eq!(config.optimiser.learning_rate, 0.5);
        assert_eq!(config.train.init_from, "runs/a");
        assert_eq!(config.train.keep_every_epochs, 8);
    }

    #[test]
    fn a_resumed_run_keeps_its_configuration_but_for_the_flags() {
        let mut saved = Config::default();
        saved.train.seed = 99;
        let config = train("--resume runs/a --epochs 3000").resumed_configuration(&saved).unwrap();
        assert_eq!((config.train.seed, config.train.epochs), (99, 3000));
    }

    #[test]
    fn an_unknown_preset_is_a_wrong_command_line() {
        let error = train("--preset mnist-lader-5").configuration().unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.cause().contains("did you mean mnist-ladder-5?"), "{error}");
    }

    #[test]
    fn a_run_is_named_after_its_preset_and_data_set() {
        let mut config = Config::default();
        assert_eq!(TrainArgs::run_name(&config), "glyphs");
        config.preset = "mnist-ladder-5".into();
        config.data.name = "mnist".into();
        assert_eq!(TrainArgs::run_name(&config), "mnist-ladder-5");
        config.data.name = "images:my/cats".into();
        assert_eq!(TrainArgs::run_name(&config), "mnist-ladder-5-images-my-cats");
    }
}

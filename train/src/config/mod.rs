//! The complete configuration of a run: every choice that decides its result, with its default.
//!
//! A run's `config.toml` is a [`Config`] written out in full, so it repeats the run on its own.
//! [`sources`] puts one together (defaults < preset < files < flags),
//! [`validate`](Config::validate) holds the rules. The sections `[model]` and `[objective]` are a
//! [`Family`]'s.

pub mod layers;
mod paths;
pub mod reference;
mod renamed;
pub mod sources;
mod validate;

use std::collections::BTreeMap;
use std::path::Path;

use clap::ValueEnum;
use rung_datasets::{Sequences, sequences};
use rung_models::BatchNormStatistics;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

pub(crate) use self::validate::LEAST_NORMALISED_BATCH;
use crate::error::{Context, Result};
use crate::run::atomic_file;
use crate::tasks::{FAMILY_KEY, Family};

/// Everything that decides a run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// The preset that this configuration was made from; empty if there was none.
    pub preset: String,
    /// What is trained: `[model]`, whose keys are those of its `family`, and `[objective]`.
    pub family: Family,
    /// What it is trained on.
    pub data: DataConfig,
    /// The training protocol.
    pub train: TrainConfig,
    /// The optimiser and its learning-rate schedule.
    pub optimiser: OptimiserConfig,
}

/// How grey pixels become binary ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Binarisation {
    /// What the data and the observation model ask for: `dynamic` for grey images described by
    /// Bernoulli variables, `none` for those described by their levels. A run's `config.toml` has
    /// what was chosen.
    Auto,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Dequantisation {
    /// Drawn once, as the paper does.
    Once,
    /// Drawn anew before every epoch; the test set is drawn once.
    EveryEpoch,
    /// Never.
    None,
}

/// How a picture is brought to the height and width of the images; its aspect is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImageFit {
    /// All of it is shown, with background beside it.
    Pad,
    /// Its middle is shown; what reaches beyond is cut off.
    Crop,
}

/// The grey behind transparent pixels and beside padded pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Background {
    /// White behind dark ink, black behind light ink, and beside padded pictures what their edges
    /// are nearer to.
    Auto,
    /// White.
    White,
    /// Black.
    Black,
}

/// Which rule moves the parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OptimiserName {
    /// Adam.
    Adam,
    /// Adam with the largest gradient seen in place of the second moment.
    Adamax,
    /// Gradients divided by the root of a running mean of their squares.
    Rmsprop,
    /// Gradient descent with momentum.
    Sgd,
}

/// Which limit of a gradient comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GradientClipOrder {
    /// That of the norm, then each element's.
    NormFirst,
    /// Each element's, then that of the norm that is left.
    ElementsFirst,
}

/// How matrix products round their operands.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ValueEnum,
)]
pub enum Precision {
    /// Not at all: everything is f32.
    #[default]
    #[serde(rename = "f32")]
    #[value(name = "f32")]
    Full,
    /// To bfloat16, with sums in f32, on CPUs with AVX-512 BF16; all else is f32.
    #[serde(rename = "bf16")]
    #[value(name = "bf16")]
    BFloat16,
}

impl From<Precision> for rung_kernels::Precision {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::Full => Self::Full,
            Precision::BFloat16 => Self::BFloat16,
        }
    }
}

/// How the learning rate changes over the epochs; see [`OptimiserConfig`] for the parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleName {
    /// Never.
    Constant,
    /// Times `schedule_factor` after every `schedule_every_epochs` epochs.
    Step,
    /// Times `schedule_factor` at the end of each of `schedule_milestones`.
    Milestones,
    /// The same decay, a little after every epoch.
    Exponential,
    /// Half a cosine wave down to `schedule_final_factor` at the last epoch.
    Cosine,
}

/// What the model is trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// A data set's name (`rung data list`), `npz:FILE`, `images:FOLDER`, or `sequences:NAME`:
    /// cluttered sequences of the digits of any of these.
    pub name: String,
    /// Where data sets lie; empty for the default place.
    pub directory: String,
    /// How grey pixels become binary ones.
    pub binarisation: Binarisation,
    /// When noise is added to pixels that were rounded.
    pub dequantisation: Dequantisation,
    /// Height and width that the pictures of `images:FOLDER` are resized to; 0 for their own, and
    /// of several sizes the commonest or the median.
    pub image_size: usize,
    /// What becomes of pictures of another aspect than the images'.
    pub image_fit: ImageFit,
    /// What lies behind transparent pixels and beside padded pictures.
    pub background: Background,
    /// Height and width of the canvas of `sequences:NAME`, before pooling.
    pub sequence_canvas: usize,
    /// Digits on it, from left to right.
    pub sequence_digits: usize,
    /// Patches on it that are cut from other digits.
    pub sequence_distractors: usize,
    /// Side of the squares of pixels whose mean is one pixel of the image; 1 for no pooling.
    pub sequence_pooling: usize,
    /// Seed of what lies where.
    pub sequence_seed: u64,
    /// Training images to use; 0 for all (the glyphs then have 10,000, sequences 60,000).
    pub train_images: usize,
    /// Training images held out to choose the best checkpoint by; 0 for none.
    pub validation_images: usize,
    /// Test images to use; 0 for all (the glyphs then have 2,000, sequences 10,000).
    pub test_images: usize,
}

impl Default for DataConfig {
    fn default() -> Self {
        let sequences = Sequences::default();
        Self {
            name: "glyphs".into(),
            directory: String::new(),
            binarisation: Binarisation::Auto,
            dequantisation: Dequantisation::None,
            image_size: 0,
            image_fit: ImageFit::Pad,
            background: Background::Auto,
            sequence_canvas: sequences.canvas,
            sequence_digits: sequences.digits,
            sequence_distractors: sequences.distractors,
            sequence_pooling: sequences.pooling,
            sequence_seed: sequences.seed,
            train_images: 0,
            validation_images: 0,
            test_images: 0,
        }
    }
}

impl DataConfig {
    /// What sequences are made of.
    #[must_use]
    pub fn sequences(&self) -> Sequences {
        let defaults = Sequences::default();
        let count = |configured: usize, default| if configured == 0 { default } else { configured };
        Sequences {
            canvas: self.sequence_canvas,
            digits: self.sequence_digits,
            distractors: self.sequence_distractors,
            pooling: self.sequence_pooling,
            seed: self.sequence_seed,
            train: count(self.train_images, defaults.train),
            validation: self.validation_images,
            test: count(self.test_images, defaults.test),
        }
    }

    /// The name of the data set whose digits the sequences have, if the images are sequences.
    pub fn sequences_of(&self) -> Option<&str> {
        self.name.strip_prefix(sequences::SCHEME)?.strip_prefix(':')
    }

    /// The same treatment of the images of another data set; how many of its own a configuration
    /// takes says nothing about those.
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Passes over the training images.
    pub epochs: u64,
    /// Images in a step; what remains of an epoch after the last full batch is left out.
    pub batch_size: usize,
    /// The seed of every random number in the run.
    pub seed: u64,
    /// Share that the EMA of the parameters keeps at each step; the EMA is what is evaluated. 0
    /// for none.
    pub average_decay: f64,
    /// Activation checkpointing: blocks are recomputed in the backward pass, which takes less
    /// memory and more time.
    pub checkpoint_activations: bool,
    /// Largest global norm of a gradient; 0 for no limit.
    pub gradient_norm_limit: f64,
    /// The norm's limit is for the gradients of each network, inference and generative, alone.
    pub gradient_norm_of_networks: bool,
    /// Largest magnitude of a gradient's element; 0 for no limit.
    pub gradient_element_limit: f64,
    /// Which of the two limits comes first.
    pub gradient_clip_order: GradientClipOrder,
    /// Global norm of a gradient, before any limit, above which its step is skipped and counted; 0
    /// for none.
    pub skipped_gradient_norm: f64,
    /// Epochs between checkpoints.
    pub checkpoint_every_epochs: u64,
    /// Epochs between checkpoints that are kept for good; 0 for last and best alone.
    pub keep_every_epochs: u64,
    /// Epochs between evaluations on held-out images.
    pub evaluate_every_epochs: u64,
    /// Early stopping: epochs after the best held-out score that a training goes on for without a
    /// better one; 0 for all epochs, whatever the score.
    pub patience_epochs: u64,
    /// A run or a checkpoint whose parameters the training starts from; empty for fresh ones.
    pub init_from: String,
    /// The device: `cpu`, a name that `rung devices` lists, or `auto` for a GPU if there is one.
    pub device: String,
    /// CPU threads; 0 for one a core.
    pub threads: usize,
    /// How products of matrices round their operands while the model is trained; convolutions do
    /// not round.
    pub precision: Precision,
    /// Logical ranks that the batch is shared by, whatever the number of ranks of MPI, which must
    /// divide it: the same bits on any of them. 0 for as many as there are, on one rank for one.
    pub logical_ranks: usize,
    /// Whose rows batch normalisation takes its statistics over, where ranks share a batch.
    pub batch_norm_statistics: BatchNormStatistics,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: 2000,
            batch_size: 256,
            seed: 1,
            average_decay: 0.0,
            checkpoint_activations: false,
            gradient_norm_limit: 4.0,
            gradient_norm_of_networks: false,
            gradient_element_limit: 0.9,
            gradient_clip_order: GradientClipOrder::NormFirst,
            skipped_gradient_norm: 0.0,
            checkpoint_every_epochs: 1,
            keep_every_epochs: 0,
            evaluate_every_epochs: 10,
            patience_epochs: 0,
            init_from: String::new(),
            device: "cpu".into(),
            threads: 0,
            precision: Precision::Full,
            logical_ranks: 0,
            batch_norm_statistics: BatchNormStatistics::Batch,
        }
    }
}

impl TrainConfig {
    /// Whether a training stops early after `epoch`, where `best` is the epoch of its best held-out
    /// score so far.
    pub fn stops_early(&self, best: Option<u64>, epoch: u64) -> bool {
        let patience = self.patience_epochs;
        patience > 0 && best.is_some_and(|best| epoch.saturating_sub(best) >= patience)
    }

    /// Whether what a training brings is the model of its best epoch, not of its last: where it may
    /// stop early.
    pub const fn is_for_the_best(&self) -> bool {
        self.patience_epochs > 0
    }
}

/// The optimiser and its learning-rate schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OptimiserConfig {
    /// The rule.
    pub name: OptimiserName,
    /// The learning rate before any schedule.
    pub learning_rate: f64,
    /// Decay of the first moment (adam, adamax).
    pub beta_1: f64,
    /// What `beta_1` goes halfway to at each of `schedule_milestones`; 0 for no change.
    pub beta_1_limit: f64,
    /// Decay of the second moment (adam, adamax), or of the mean square (rmsprop).
    pub beta_2: f64,
    /// Added to the root of the second moment (adam, adamax), or to the mean square under its root
    /// (rmsprop).
    pub epsilon: f64,
    /// Momentum (sgd).
    pub momentum: f64,
    /// c of a penalty c · Σ θ² on all parameters, beside the objective; 0 for none.
    pub l2_penalty: f64,
    /// How the learning rate changes over the epochs.
    pub schedule: ScheduleName,
    /// Factor of the learning rate every `schedule_every_epochs` epochs (step, exponential), or at
    /// the end of each milestone.
    pub schedule_factor: f64,
    /// See `schedule_factor`.
    pub schedule_every_epochs: u64,
    /// Epochs at whose ends the learning rate falls (milestones).
    pub schedule_milestones: Vec<u64>,
    /// Last epochs over which the learning rate of any schedule falls linearly, to 0 after the
    /// last; 0 for none.
    pub final_decay_epochs: u64,
    /// Share of the learning rate that is left at the last epoch (cosine).
    pub schedule_final_factor: f64,
}

impl Default for OptimiserConfig {
    fn default() -> Self {
        Self {
            name: OptimiserName::Adam,
            learning_rate: 0.001,
            beta_1: 0.9,
            beta_1_limit: 0.0,
            beta_2: 0.999,
            epsilon: 1e-4,
            momentum: 0.9,
            l2_penalty: 0.0,
            schedule: ScheduleName::Constant,
            schedule_factor: 0.75,
            schedule_every_epochs: 200,
            schedule_milestones: Vec::new(),
            final_decay_epochs: 0,
            schedule_final_factor: 0.0,
        }
    }
}

/// One key of a configuration that is another than before.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The dotted key.
    pub key: String,
    /// What it was; none where there was no such key.
    pub from: Option<Value>,
    /// What it is.
    pub to: Value,
}

fn flatten(prefix: &str, table: Table, values: &mut BTreeMap<String, Value>) {
    for (name, value) in table {
        match value {
            Value::Table(section) => flatten(&format!("{prefix}{name}."), section, values),
            value => drop(values.insert(format!("{prefix}{name}"), value)),
        }
    }
}

impl Config {
    /// The configuration as a table, every default spelled out.
    ///
    /// # Errors
    /// If a value has no TOML form (a seed above 2^63 − 1).
    pub fn to_table(&self) -> Result<Table> {
        let tables = || -> Result<Table, toml::ser::Error> {
            let (model, objective) = self.family.tables()?;
            Ok(Table::from_iter([
                ("preset".to_string(), Value::String(self.preset.clone())),
                ("model".into(), Value::Table(model)),
                ("objective".into(), Value::Table(objective)),
                ("data".into(), Value::try_from(&self.data)?),
                ("train".into(), Value::try_from(&self.train)?),
                ("optimiser".into(), Value::try_from(&self.optimiser)?),
            ]))
        };
        tables().context("writing the configuration")
    }

    /// Reads what [`Config::to_table`] gives.
    ///
    /// # Errors
    /// If a value is of the wrong kind.
    pub fn from_table(mut table: Table) -> Result<Self, toml::de::Error> {
        let mut section = |name: &str| match table.remove(name) {
            Some(Value::Table(section)) => section,
            _ => Table::new(),
        };
        let (model, objective) = (section("model"), section("objective"));
        let (data, train, optimiser) = (section("data"), section("train"), section("optimiser"));
        let family = model.get(FAMILY_KEY).and_then(Value::as_str).unwrap_or_default().to_string();
        Ok(Self {
            preset: table.get("preset").and_then(Value::as_str).unwrap_or_default().into(),
            family: Family::read(&family, model, objective)?,
            data: DataConfig::deserialize(data)?,
            train: TrainConfig::deserialize(train)?,
            optimiser: OptimiserConfig::deserialize(optimiser)?,
        })
    }

    /// The whole configuration as TOML, every default spelled out.
    ///
    /// # Errors
    /// As [`Config::to_table`].
    pub fn to_toml(&self) -> Result<String> {
        let body =
            toml::to_string_pretty(&self.to_table()?).context("writing the configuration")?;
        Ok(format!(
            "# The complete configuration of this run. To repeat it: rung train --config \
            FILE\n\n{}",
            reference::commented(self, &body)?
        ))
    }

    /// The value of every dotted key.
    ///
    /// # Errors
    /// As [`Config::to_toml`].
    pub fn flat(&self) -> Result<BTreeMap<String, Value>> {
        let mut values = BTreeMap::new();
        flatten("", self.to_table()?, &mut values);
        Ok(values)
    }

    /// The dotted keys whose values differ from those of `before`, with both values.
    ///
    /// # Errors
    /// As [`Config::to_toml`].
    pub fn changes_from(&self, before: &Self) -> Result<Vec<Change>> {
        let (mut was, is) = (before.flat()?, self.flat()?);
        let changes = is.into_iter().map(|(key, to)| Change { from: was.remove(&key), to, key });
        Ok(changes.filter(|change| change.from.as_ref() != Some(&change.to)).collect())
    }

    /// Reads and checks a configuration file; keys that are missing have their defaults.
    ///
    /// # Errors
    /// If the file can't be read, isn't TOML, has a key that doesn't exist, or breaks a rule.
    pub fn load(path: &Path) -> Result<Self> {
        let text = atomic_file::read_text(path)?;
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
        let Family::Hierarchy(hierarchy) = &mut config.family else { panic!("{config:?}") };
        hierarchy.model.leaky_slope = 0.012_345_678_901_234_5;
        std::fs::write(&path, config.to_toml().unwrap()).unwrap();
        assert_eq!(Config::load(&path).unwrap(), config);
    }

    #[test]
    fn changes_are_named_by_key() {
        let (before, mut now) = (Config::default(), Config::default());
        assert_eq!(now.changes_from(&before).unwrap(), []);
        now.train.epochs = 7;
        let change = Change {
            key: "train.epochs".into(),
            from: Some(Value::Integer(2000)),
            to: Value::Integer(7),
        };
        assert_eq!(now.changes_from(&before).unwrap(), [change]);
    }

    #[test]
    fn the_limits_of_a_data_set_are_not_those_of_another() {
        let data = DataConfig {
            train_images: 5,
            test_images: 6,
            directory: "d".into(),
            ..DataConfig::default()
        };
        assert_eq!(data.for_data_set("glyphs"), data);
        let other = data.for_data_set("mnist");
        assert_eq!((other.name.as_str(), other.directory.as_str()), ("mnist", "d"));
        assert_eq!((other.train_images, other.test_images), (0, 0));
    }

    #[test]
    fn every_default_is_spelled_out_and_no_key_of_another_family() {
        let text = Config::default().to_toml().unwrap();
        let is_key = |line: &&str| !line.starts_with('#') && line.contains(" = ");
        let keys = text.lines().filter(is_key).count();
        assert_eq!(keys, 1 + 13 + 7 + 15 + 20 + 14, "{text}");
        let biva = Config { family: Family::named("biva").unwrap(), ..Config::default() }
            .to_toml()
            .unwrap();
        assert!(biva.contains("stages = ") && !biva.contains("latent_sizes"), "{biva}");
    }
}

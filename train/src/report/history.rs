//! What a run has recorded of itself: its epochs, its starts, and the evaluations of its model.

use rung_datasets::Sequences;
use rung_models::Group;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::charts::bound::subscript;
use crate::config::{Binarisation, Config, DataConfig, Dequantisation};
use crate::data::treatment::Measure;
use crate::error::{Error, Result};
use crate::model::groups;
use crate::run::evaluations::TRAINED_ON;
use crate::run::folder::RunFolder;
use crate::run::load::image_shape;
use crate::run::metrics;
use crate::tasks::Curve;
use crate::tasks::latent::anomaly::Outcome;

/// A run as its folder tells it.
#[derive(Debug, Clone)]
pub struct History {
    /// The last part of the folder's path.
    pub name: String,
    /// The folder.
    pub folder: RunFolder,
    /// The configuration.
    pub config: Config,
    /// The stochastic groups of its model, nearest to the data first.
    pub groups: Vec<Group>,
    /// The epochs, in order.
    pub epochs: Vec<Epoch>,
    /// When and where the training began and went on.
    pub starts: Vec<Start>,
    /// The bounds that were measured of the model after training or between.
    pub evaluations: Vec<EvaluationLine>,
    /// The scores that were measured of the model of a task without bounds.
    pub scores: Vec<Map<String, Value>>,
    /// How its scores separate two data sets, if that was looked at.
    pub anomaly: Option<Outcome>,
}

/// One line of `metrics.jsonl`; a number that was not finite is missing.
#[derive(Debug, Clone, Deserialize)]
pub struct Epoch {
    /// Epochs done.
    pub epoch: u64,
    /// Steps done.
    pub step: u64,
    /// Weight of the latent terms.
    #[serde(default)]
    pub warmup: f64,
    /// One-sample bound over the epoch's batches, in nats.
    pub train_bound_nats: Option<f64>,
    /// Its term log p(x|z_1), in nats.
    pub train_log_p_x_nats: Option<f64>,
    /// Its KL of each group, z_1 first, in nats.
    #[serde(default)]
    pub train_kl_nats: Vec<Option<f64>>,
    /// Time of the epoch's steps.
    #[serde(default)]
    pub epoch_s: f64,
    /// The part of the data set that the held-out images are; runs of early versions don't say.
    pub held_out_split: Option<String>,
    /// Whether its held-out score was the best so far; runs of early versions don't say.
    #[serde(default)]
    pub is_best: bool,
    /// L_1 of the held-out images, in nats.
    pub held_out_bound_1_nats: Option<f64>,
    /// All other quantities, by their names.
    #[serde(flatten)]
    pub others: Map<String, Value>,
    #[serde(default)]
    held_out_kl_per_unit_nats: Vec<Vec<Option<f64>>>,
    #[serde(default)]
    #[serde(alias = "glance_kl_per_unit_nats")]
    quick_kl_per_unit_nats: Vec<Vec<Option<f64>>>,
}

/// One line of `starts.jsonl`.
#[derive(Debug, Clone, Deserialize)]
pub struct Start {
    /// Steps done before.
    pub step: u64,
    /// When, in seconds since 1970.
    pub unix_s: u64,
    /// The device in words.
    pub device: String,
    /// Operating system and architecture.
    pub system: String,
    /// Version of the program.
    pub rung: String,
    /// Numbers in all parameters.
    pub parameters: u64,
}

/// One line of `evaluations.jsonl`.
#[derive(Debug, Clone, Deserialize)]
pub struct EvaluationLine {
    /// Steps of training that the model had had.
    pub step: u64,
    /// One-sample bound L_1, in nats.
    pub bound_1_nats: f64,
    /// Standard error of L_1 over images; one image has none.
    pub bound_1_standard_error_nats: Option<f64>,
    /// L_K, in nats.
    pub bound_k_nats: f64,
    /// −L_K in bits for each value of an image.
    #[serde(default)]
    pub bits_per_dim: Option<f64>,
    /// What the bounds are bounds of.
    #[serde(default)]
    pub measure: Measure,
    /// Standard error of L_K over images; one image has none.
    pub standard_error_nats: Option<f64>,
    /// K.
    pub importance_samples: u64,
    /// Images that were measured.
    pub images: u64,
    /// Images that the part of the data set has.
    #[serde(default)]
    pub images_in_split: u64,
    /// Part of the data set.
    pub split: String,
    /// Active units of each layer.
    #[serde(default)]
    pub active_units: Vec<usize>,
    /// What batch normalisation used; none where the model has none of it.
    #[serde(default)]
    pub statistics: Option<String>,
    /// Seed of the samples; runs of early versions don't say.
    #[serde(default)]
    pub seed: Option<u64>,
    /// Seed of pixels that were drawn.
    #[serde(default)]
    pub pixel_seed: Option<u64>,
    /// The name that the bounds of single images are kept under, where they are.
    #[serde(default)]
    pub image_bounds: Option<String>,
    /// The part of the data set that the checkpoint was chosen by, if it was the best one.
    #[serde(default)]
    pub chosen_on: Option<String>,
    /// The time it took.
    #[serde(default)]
    pub seconds: f64,
    /// The data set of the training, where the images were of another one.
    #[serde(default)]
    pub trained_on: Option<String>,
}

/// A line of `evaluations.jsonl`: bounds, or the scores of a task without any.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Evaluated {
    Bounds(Box<EvaluationLine>),
    Scores(Map<String, Value>),
}

impl EvaluationLine {
    /// Whether no image of the part was left out.
    pub fn is_whole_split(&self) -> bool {
        self.images > 0 && self.images == self.images_in_split
    }
}

impl Epoch {
    /// log q − log p of every unit of every layer in nats, z_1 first, if it was measured in this
    /// epoch.
    pub fn kl_per_unit(&self) -> Option<&[Vec<Option<f64>>]> {
        let all = [&self.held_out_kl_per_unit_nats, &self.quick_kl_per_unit_nats];
        all.into_iter().find(|layers| !layers.is_empty()).map(Vec::as_slice)
    }

    /// Units of each group with a KL above
    /// [`ACTIVE_NATS`](crate::tasks::latent::evaluation::ACTIVE_NATS), if it was measured in this
    /// epoch.
    pub fn active_units(&self) -> Option<Vec<usize>> {
        let active =
            |units: &Vec<Option<f64>>| units.iter().flatten().filter(|&&kl| is_active(kl)).count();
        Some(self.kl_per_unit()?.iter().map(active).collect())
    }
}

impl History {
    /// Reads what a run has recorded so far; a run that has just begun has no epochs yet.
    ///
    /// # Errors
    /// If it can't be read, or a line in it is not what this program writes.
    pub fn read(run: &RunFolder) -> Result<Self> {
        Self::of(run, run.load_config()?)
    }

    /// The same of a run whose configuration is read already.
    ///
    /// # Errors
    /// As [`History::read`].
    pub fn of(run: &RunFolder, config: Config) -> Result<Self> {
        let path = run.path();
        // "." and the like have no name of their own.
        let whole = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        let name = whole
            .file_name()
            .map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned());
        let (mut evaluations, mut scores) = (Vec::new(), Vec::new());
        for line in lines(&run.evaluations())? {
            match line {
                // Images of another data set say nothing of this training.
                Evaluated::Bounds(line) if line.trained_on.is_some() => {}
                Evaluated::Scores(line) if line.contains_key(TRAINED_ON) => {}
                Evaluated::Bounds(line) => evaluations.push(*line),
                Evaluated::Scores(line) => scores.push(line),
            }
        }
        Ok(Self {
            name,
            folder: run.clone(),
            groups: groups(&config, image_shape(run, &config)?)?,
            config,
            epochs: lines(&run.metrics())?,
            starts: lines(&run.starts())?,
            evaluations,
            scores,
            anomaly: Outcome::read(run)?,
        })
    }

    /// The name of a group on a chart: its own, such as `a`, or `z₂`, with an arrow for the
    /// direction of its inference where its layer has two.
    pub fn group_name(&self, index: usize) -> String {
        let Some(group) = self.groups.get(index) else { return String::new() };
        format!("{}{}", self.layer_name(group.layer), group.arrow())
    }

    /// The name of a layer: that of its groups, without an arrow.
    pub fn layer_name(&self, layer: usize) -> String {
        let group = self.groups.iter().find(|group| group.layer == layer);
        let own_name = group.and_then(|group| group.own_name);
        own_name.map_or_else(|| format!("z{}", subscript(layer as u64)), str::to_string)
    }

    /// Each value after the name of its group: `z₁↑ 12, z₁↓ 3`.
    pub fn by_group(&self, values: &[usize]) -> String {
        let pair = |(index, value)| format!("{} {value}", self.group_name(index));
        values.iter().enumerate().map(pair).collect::<Vec<_>>().join(", ")
    }

    /// The data set and how its pixels were treated: bounds of runs that differ in it can't be
    /// compared.
    pub fn data(&self) -> String {
        let data = &self.config.data;
        let DataConfig { binarisation, dequantisation, .. } = data;
        let name = match data.sequences_of() {
            None => data.name.clone(),
            Some(_) => {
                let Sequences { canvas, digits, distractors, pooling, .. } = data.sequences();
                let side = data.sequences().shape().width;
                let pooled = if pooling == 1 { String::new() } else { format!(" of {canvas}") };
                let (name, digits_end) = (&data.name, if digits == 1 { "" } else { "s" });
                let patches = if distractors == 1 { "patch" } else { "patches" };
                format!(
                    "{name}, {digits} digit{digits_end} and {distractors} {patches}, \
                    {side}x{side}{pooled}"
                )
            }
        };
        let treatment = match (binarisation, dequantisation) {
            (Binarisation::Auto | Binarisation::Dynamic, _) => ", binarised dynamically",
            (Binarisation::Static, _) => ", binarised once",
            (Binarisation::Threshold, _) => ", binarised by a threshold",
            (Binarisation::None, Dequantisation::None) => "",
            (Binarisation::None, _) => ", dequantised",
        };
        format!("{name}{treatment}")
    }

    /// Whether the model has batch normalisation, and so statistics of it.
    pub fn has_batch_norm(&self) -> bool {
        self.config.family.batch_norm_momentum().is_some()
    }

    /// The part of the data set that the best checkpoint is chosen by, if it is recorded.
    pub fn held_out_split(&self) -> Option<&str> {
        self.epochs.last()?.held_out_split.as_deref()
    }

    /// Units of each group.
    pub fn group_sizes(&self) -> Vec<usize> {
        self.groups.iter().map(|group| group.units).collect()
    }

    /// Stochastic layers.
    pub fn depth(&self) -> usize {
        self.groups.last().map_or(0, |group| group.layer)
    }

    /// Epochs done.
    pub fn epochs_done(&self) -> u64 {
        self.epochs.last().map_or(0, |epoch| epoch.epoch)
    }

    /// The epoch of the best held-out score, whose model the best checkpoint is.
    pub fn best_epoch(&self) -> Option<&Epoch> {
        self.epochs.iter().rev().find(|epoch| epoch.is_best)
    }

    /// Whether all epochs of the configuration are done, or the training has stopped early.
    pub fn is_finished(&self) -> bool {
        self.epochs_done() >= self.config.train.epochs || self.has_stopped_early()
    }

    /// Whether the training has ended before its last epoch, as its score got no better.
    pub fn has_stopped_early(&self) -> bool {
        let (done, best) = (self.epochs_done(), self.best_epoch().map(|epoch| epoch.epoch));
        let train = &self.config.train;
        done < train.epochs && train.stops_early(best, done)
    }

    /// How many epochs are done: `20 of 300`, and whether no more will be.
    pub fn epochs_text(&self) -> String {
        let stopped = if self.has_stopped_early() { ", stopped early" } else { "" };
        format!("{} of {}{stopped}", self.epochs_done(), self.config.train.epochs)
    }

    /// The time of all epochs' steps.
    pub fn training_s(&self) -> f64 {
        self.epochs.iter().map(|epoch| epoch.epoch_s).sum()
    }

    /// The KL of every unit as it was measured last, with the epoch.
    pub fn last_kl_per_unit(&self) -> Option<(u64, &[Vec<Option<f64>>])> {
        self.epochs.iter().rev().find_map(|epoch| Some((epoch.epoch, epoch.kl_per_unit()?)))
    }

    /// Active units of each layer as they were measured last.
    pub fn active_units(&self) -> Option<Vec<usize>> {
        self.epochs.iter().rev().find_map(Epoch::active_units)
    }

    /// The step of the model that the training is judged by: of the best epoch where it may stop
    /// early, else of the last.
    pub fn judged_step(&self) -> Option<u64> {
        match self.config.train.is_for_the_best() {
            true => self.best_epoch().map(|epoch| epoch.step),
            false => self.epochs.last().map(|epoch| epoch.step),
        }
    }

    /// The first quantity of the family's curves on held-out images: its name, and the value with
    /// its unit.
    pub fn last_score(&self) -> Option<(&'static str, String)> {
        let (curve, value) = self.last_score_value()?;
        Some((curve.title, format!("{value:.2} {}", curve.unit)))
    }

    /// The same as a number in the unit of the curve: by the newest evaluation of the model that
    /// the training is judged by, on the test images if there is one; else by the newest of any,
    /// and where nothing was evaluated by the newest epoch.
    pub fn last_score_value(&self) -> Option<(Curve, f64)> {
        let curve = *self.config.family.curves().first()?;
        let split = |line: &Map<String, Value>| line.get("split")?.as_str().map(str::to_owned);
        let is_judged = |line: &Map<String, Value>| {
            line.get("step").and_then(Value::as_u64) == self.judged_step()
        };
        let held_out = self.scores.iter().enumerate().filter(|(_, line)| {
            line.contains_key(curve.key) && split(line).is_none_or(|split| split != "train")
        });
        let evaluated = held_out.max_by_key(|&(index, line)| {
            (is_judged(line), split(line).is_none_or(|split| split == "test"), index)
        });
        let in_epochs = || {
            let key = format!("held_out_{}", curve.key);
            self.epochs.iter().rev().find_map(|epoch| epoch.others.get(&key))
        };
        let value = evaluated.and_then(|(_, line)| line.get(curve.key)).or_else(in_epochs)?;
        Some((curve, curve.drawn(value.as_f64()?)))
    }

    /// The evaluation of the newest model that says most: the most images, then the most importance
    /// samples, then the newest.
    pub fn best_evaluation(&self) -> Option<&EvaluationLine> {
        let step = self.evaluations.iter().map(|line| line.step).max()?;
        let newest =
            self.evaluations.iter().filter(|line| line.step == step && line.split != "train");
        newest
            .max_by_key(|line| (line.importance_samples > 1, line.images, line.importance_samples))
    }

    /// The newest one-sample bound of all held-out images: of an evaluation after training, else of
    /// the last epoch that had one.
    pub fn last_bound_1(&self) -> Option<f64> {
        let step = self.epochs.iter().rev().find(|epoch| epoch.held_out_bound_1_nats.is_some());
        let evaluated = self
            .evaluations
            .iter()
            .filter(|line| line.split != "train")
            .max_by_key(|line| (line.step, line.images));
        match (step, evaluated) {
            (Some(epoch), Some(line)) if line.step < epoch.step => epoch.held_out_bound_1_nats,
            (_, Some(line)) => Some(line.bound_1_nats),
            (Some(epoch), None) => epoch.held_out_bound_1_nats,
            (None, None) => None,
        }
    }

    /// The epoch in which a step lies: where an evaluation belongs on the axis of epochs.
    pub fn epoch_of(&self, step: u64) -> f64 {
        let per_epoch =
            self.epochs.last().map_or(1.0, |last| last.step as f64 / last.epoch.max(1) as f64);
        step as f64 / per_epoch
    }
}

/// Runs on one data set, treated alike.
#[derive(Debug)]
pub struct DataGroup<'a> {
    /// See [`History::data`].
    pub data: String,
    /// The runs, each with its place among all that are compared.
    pub runs: Vec<(usize, &'a History)>,
    /// The group's place among the groups.
    pub index: usize,
}

impl<'a> DataGroup<'a> {
    /// The runs alone.
    pub fn histories(&self) -> Vec<&'a History> {
        self.runs.iter().map(|&(_, history)| history).collect()
    }

    /// An identifier of letters and hyphens for a chart of this group, unique in the page.
    pub fn chart_id(&self, name: &str) -> String {
        format!("{name}{}", "-other".repeat(self.index))
    }
}

/// The runs by data set, in the order in which the data sets come: bounds are drawn in one chart
/// only where they can be compared.
pub fn data_groups<'a>(histories: &[&'a History]) -> Vec<DataGroup<'a>> {
    let mut groups: Vec<DataGroup<'a>> = Vec::new();
    for (place, &history) in histories.iter().enumerate() {
        let data = history.data();
        match groups.iter_mut().find(|group| group.data == data) {
            Some(group) => group.runs.push((place, history)),
            None => {
                groups.push(DataGroup { data, runs: vec![(place, history)], index: groups.len() })
            }
        }
    }
    groups
}

/// Whether a unit with this KL counts as active.
pub fn is_active(kl_nats: f64) -> bool {
    kl_nats > crate::tasks::latent::evaluation::ACTIVE_NATS
}

/// Every line of a file; none if there is no file.
fn lines<T: DeserializeOwned>(path: &std::path::Path) -> Result<Vec<T>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let parse = |(index, record)| {
        serde_json::from_value(Value::Object(record)).map_err(|error| {
            Error::new(format!("{}, line {}: {error}", path.display(), index + 1))
                .with_advice("remove the line, or move the file away")
        })
    };
    metrics::read(path)?.into_iter().enumerate().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_with(metrics: &str, evaluations: &str) -> (tempfile::TempDir, RunFolder) {
        let folder = tempfile::tempdir().unwrap();
        let (run, _lock) =
            RunFolder::create(&folder.path().join("run"), &Config::default()).unwrap();
        std::fs::write(run.metrics(), metrics).unwrap();
        std::fs::write(run.evaluations(), evaluations).unwrap();
        (folder, run)
    }

    fn evaluation(step: u64, k: u64, images: u64, split: &str) -> String {
        format!(
            "{{\"step\":{step},\"bound_1_nats\":-95,\"bound_1_standard_error_nats\":0.2,\"bound_k_nats\":-9{k},\
             \"standard_error_nats\":0.1,\"importance_samples\":{k},\"images\":{images},\"split\":\"{split}\"}}\n"
        )
    }

    #[test]
    fn units_come_from_the_full_evaluation_or_the_quick_one() {
        let (_folder, run) = run_with(
            "{\"step\":10,\"epoch\":1,\"quick_kl_per_unit_nats\":[[0.5,0.001],[null]]}\n\
             {\"step\":20,\"epoch\":2,\"held_out_kl_per_unit_nats\":[[0.5,0.02],[0.0]],\"train_bound_nats\":null}\n\
             {\"step\":30,\"epoch\":3}\n",
            "",
        );
        let history = History::read(&run).unwrap();
        assert_eq!(history.epochs[0].kl_per_unit().unwrap()[1], [None]);
        assert_eq!(history.last_kl_per_unit().unwrap().0, 2);
        assert_eq!(history.active_units().unwrap(), [2, 0]);
        assert_eq!(history.epoch_of(15), 1.5);
        assert!(!history.is_finished() && history.best_evaluation().is_none());
    }

    #[test]
    fn the_evaluation_that_says_most_of_the_newest_model_is_chosen() {
        let lines = [
            (10, 5, 100, "test"),
            (20, 1, 100, "test"),
            (20, 2, 50, "test"),
            (20, 3, 50, "test"),
            (20, 9, 900, "train"),
        ];
        let text: String = lines
            .iter()
            .map(|&(step, k, images, split)| evaluation(step, k, images, split))
            .collect();
        let (_folder, run) = run_with("", &text);
        let history = History::read(&run).unwrap();
        assert_eq!(history.best_evaluation().unwrap().importance_samples, 3);
        assert_eq!(history.last_bound_1(), Some(-95.0));
    }

    #[test]
    fn a_run_that_has_just_begun_has_an_empty_history() {
        let (_folder, run) = run_with("", "");
        std::fs::remove_file(run.metrics()).unwrap();
        let history = History::read(&run).unwrap();
        assert_eq!((history.epochs.len(), history.training_s()), (0, 0.0));
        assert_eq!(history.active_units(), None);
        assert_eq!(history.name, "run");
    }
}

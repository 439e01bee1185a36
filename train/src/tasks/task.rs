//! What is trained, as the engine knows it: the loss of a batch with its named terms, an
//! evaluation, and the score that decides which checkpoint is the best. No more is known of it by
//! the loop, the checkpoints, the metrics, the events and the progress.

use std::fmt::Debug;

use rung_autograd::{ParameterStore, Tensor};
use rung_models::{BatchShare, LatentModel, Pass, Statistics, WholeData};
use rung_ranks::Ranks;

use super::measures::Measures;
use crate::data::DeviceImages;
use crate::data::image_grid::Picture;
use crate::error::Result;
use crate::model::Model;
use crate::report::Figure;
use crate::run::metrics::Record;

/// When a step is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At {
    /// The epoch, counted from 1.
    pub epoch: u64,
    /// The steps before it.
    pub step: u64,
}

/// What a step sees: the images of the batch, and what goes with them.
#[derive(Debug)]
pub struct Batch {
    /// The images: [batch, values].
    pub x: Tensor,
    /// Their classes, a row each with 1 at the class and 0 elsewhere, where the task learns from
    /// them: [batch, classes].
    pub class: Option<Tensor>,
    /// Images of known class beside those of the batch.
    pub labelled: Option<LabelledBatch>,
}

/// The images of known class that a step sees beside its batch.
#[derive(Debug)]
pub struct LabelledBatch {
    /// The images: [labelled, values].
    pub x: Tensor,
    /// Their classes: [labelled, classes].
    pub class: Tensor,
    /// Share of labelled images in the whole training set.
    pub share: f64,
    /// Which of the step's labelled images are this rank's.
    pub rows: BatchShare,
}

/// The loss of a batch, and what it consists of: scalars on the device, means over the batch.
#[derive(Debug, Clone)]
pub struct Loss {
    /// What training minimises.
    pub loss: Tensor,
    /// The terms, in the order of [`Task::terms`].
    pub terms: Vec<Tensor>,
}

/// The score of an evaluation that decides which checkpoint is the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Score {
    /// What it is, in words: `bound`.
    pub name: &'static str,
    /// Its key in metrics, without what it was measured on: `bound_1_nats`.
    pub key: &'static str,
    /// The key of the same quantity among what the means of the terms say, if it is one of them.
    pub training_key: Option<&'static str>,
    /// Its unit.
    pub unit: &'static str,
    /// Which way it improves.
    pub direction: Direction,
}

impl Score {
    /// The share of images, or of what each shows several of, that are taken for another class.
    pub const fn error_rate(unit: &'static str) -> Self {
        let (name, key) = ("error rate", "error_rate");
        // An error in training that is lower is no lag of the statistics: the images were learned.
        Self { name, key, training_key: None, unit, direction: Direction::Down }
    }

    /// Whether a value is better than another.
    pub fn is_better(&self, value: f64, than: f64) -> bool {
        match self.direction {
            Direction::Up => value > than,
            Direction::Down => value < than,
        }
    }
}

/// Which way a score improves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Higher is better.
    Up,
    /// Lower is better.
    Down,
}

/// What is to be evaluated.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    /// Importance samples an image, K, or whatever the task averages over.
    pub importance_samples: usize,
    /// Samples that the probabilities of an image's classes are averaged over, where they depend
    /// on what is sampled.
    pub class_samples: usize,
    /// Whether log p(x) is bounded with every class summed out too, where a model has classes.
    pub every_class: bool,
    /// Images to use, from the first.
    pub images: usize,
    /// Rows computed at once: images times samples.
    pub rows: usize,
    /// Seed of the samples.
    pub seed: u64,
}

impl Request {
    /// Samples of the class probabilities in a training's own evaluations, few and many
    /// (specification A, section 7).
    pub const FEW_CLASS_SAMPLES: usize = 5;
    /// The same for results.
    pub const MANY_CLASS_SAMPLES: usize = 100;

    /// One importance sample of each image, and few of its class: a look at a training.
    pub const fn once(images: usize, rows: usize, seed: u64) -> Self {
        let class_samples = Self::FEW_CLASS_SAMPLES;
        Self { importance_samples: 1, class_samples, every_class: false, images, rows, seed }
    }
}

/// The result of an evaluation.
pub trait Scores: Debug + Send {
    /// The value that the best checkpoint is chosen by.
    fn value(&self) -> f64;

    /// Images that were used.
    fn images(&self) -> usize;

    /// The score of each image, in order, with its key, where the whole is their mean: what scores
    /// of other models on the same images can be compared with image by image.
    fn of_images(&self) -> Option<(&'static str, &[f64])> {
        None
    }

    /// The few numbers that an evaluation is remembered by, with their keys.
    fn headline(&self) -> Vec<(String, f64)>;

    /// What an epoch's record says of it.
    fn measures(&self) -> Measures;

    /// What is seen of it under the progress, in a few words.
    fn brief(&self) -> String;

    /// What `evaluations.jsonl` and `--json` say of it.
    fn record(&self, elapsed_s: f64) -> Record;

    /// What `rung evaluate` prints of it: lines before and after the one that says what was
    /// evaluated.
    fn text(&self, elapsed_s: f64) -> [String; 2];

    /// What a finished training prints of it; `split` is the part of the data set.
    fn conclusion(&self, split: &str) -> Vec<String>;
}

/// A figure of the report, made by a task.
#[derive(Debug, Clone)]
pub struct Panel {
    /// The heading of the section that it stands in.
    pub section: &'static str,
    /// The figure.
    pub figure: Figure,
}

/// The sizes of the pictures that a task shows of a model.
#[derive(Debug, Clone, Copy)]
pub struct PictureSizes {
    /// Images of a grid.
    pub samples: usize,
    /// Images beside what the model makes of them.
    pub pairs: usize,
    /// Columns of both.
    pub columns: usize,
    /// Width of a pixel.
    pub scale: usize,
}

/// What is trained.
pub trait Task: Debug {
    /// The names of the loss's terms in text: `log p(x|z)`, `the KL of z_2`.
    fn terms(&self) -> &[String];

    /// The score that decides which checkpoint is the best: that of the held-out images that the
    /// task was [prepared](Task::prepare) with.
    fn score(&self) -> Score;

    /// What the first lines of a training say of the model and of the protocol, in a few words
    /// each.
    fn announcement(&self) -> [String; 2];

    /// Makes ready to train on these images with batches of this size, and to be judged by the
    /// held-out ones.
    ///
    /// # Errors
    /// If they lack what the task learns from, such as labels.
    fn prepare(
        &mut self,
        images: &DeviceImages,
        held_out: &DeviceImages,
        seed: u64,
        batch_size: usize,
    ) -> Result<()> {
        let _ = (images, held_out, seed, batch_size);
        Ok(())
    }

    /// What [`Task::prepare`] chose that a result depends on, such as the images whose labels are
    /// known: a run keeps it in `chosen.json`.
    fn chosen(&self) -> Option<serde_json::Value> {
        None
    }

    /// The images of these numbers as a step sees them. They are a rank's own; what the task adds
    /// to them it shares among the ranks.
    ///
    /// # Errors
    /// If the device has no memory.
    fn batch(
        &self,
        images: &DeviceImages,
        indices: &Tensor,
        at: At,
        ranks: &Ranks,
    ) -> Result<Batch>;

    /// The loss of a batch.
    ///
    /// # Errors
    /// If the device fails.
    fn loss(&self, pass: &mut Pass<'_>, batch: &Batch, at: At) -> Result<Loss>;

    /// The loss of the first `count` images in a pass that leaves no trace, whose terms are all
    /// finite if the model is sound.
    ///
    /// # Errors
    /// If the device fails.
    fn probe(&self, pass: &mut Pass<'_>, images: &DeviceImages, count: usize) -> Result<Loss>;

    /// What else changes over the epochs, under its name: `warmup`.
    fn schedules(&self, epoch: u64) -> Vec<(&'static str, f64)>;

    /// What the means of the terms over an epoch say.
    fn training(&self, means: &[f64]) -> Measures;

    /// What is seen of these means under the progress, in a few words.
    fn brief(&self, means: &[f64]) -> String;

    /// Replaces every statistic of batch normalisation by that of one batch of all images, as
    /// [`LatentModel::recompute_statistics`] says; nothing to do for a model without statistics.
    ///
    /// # Errors
    /// If there are no images, or the device has no memory.
    fn recompute_statistics(
        &self,
        store: &ParameterStore,
        data: &WholeData<'_>,
        noise: (u64, u64),
        statistics: &mut Statistics,
    ) -> rung_autograd::Result<()>;

    /// Evaluates a model on images; `progress` hears how many are done, and what is known so far in
    /// a few words. `None` if `stop` said so.
    ///
    /// # Errors
    /// If the device fails, or a score is not a finite number.
    fn evaluate(
        &self,
        model: &Model,
        statistics: &Statistics,
        images: &DeviceImages,
        request: Request,
        stop: &dyn Fn() -> bool,
        progress: &mut dyn FnMut(usize, &str),
    ) -> Result<Option<Box<dyn Scores>>>;

    /// Pictures of what a model knows, by the names of their files.
    ///
    /// # Errors
    /// If the device has no memory.
    fn pictures(
        &self,
        model: &Model,
        statistics: &Statistics,
        images: &DeviceImages,
        seed: u64,
        sizes: PictureSizes,
    ) -> Result<Vec<(&'static str, Picture)>>;

    /// What the report shows of the model beside its pictures and latents: figures by the section
    /// that they stand in.
    ///
    /// # Errors
    /// If the device has no memory.
    fn panels(
        &self,
        model: &Model,
        statistics: &Statistics,
        images: &DeviceImages,
    ) -> Result<Vec<Panel>> {
        let _ = (model, statistics, images);
        Ok(Vec::new())
    }

    /// The model as one of latent variables, if it is one: what can be sampled, encoded,
    /// reconstructed and told from other images.
    fn latent(&self) -> Option<&dyn LatentModel> {
        None
    }
}

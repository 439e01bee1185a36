//! Networks that read sequences of digits, with spatial transformers or without: trained on the
//! labels of every position, judged by the error per digit and per sequence (`judged.rs`), shown
//! with the places that they look at (`figures.rs`).

mod figures;
mod judged;

use std::mem;

use rung_autograd::{ParameterList, ParameterStore, Tensor};
use rung_datasets::ImageShape;
use rung_kernels::backend::Convolution;
use rung_models::classifier::{ClassificationConfig, classification};
use rung_models::rules::{BrokenRule, rule};
use rung_models::spn::{Spn, SpnFamily};
use rung_models::{Pass, SpnConfig, Statistics, StatisticsList, WholeData};
use rung_ranks::Ranks;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::figures::Reading;
use self::judged::Judged;
use crate::data::DeviceImages;
use crate::data::image_grid::Picture;
use crate::engine::chunks::{done_by_all, in_shared_chunks};
use crate::engine::together;
use crate::error::{Context, Error, Result};
use crate::model::Model;
use crate::tasks::description::{Curve, Pixels, map_shape};
use crate::tasks::judged::not_a_probability;
use crate::tasks::measures::{Measures, Place, Quantity};
use crate::tasks::one_hot::{classes_of, labelled_batch, one_hot, one_hot_or_zeros};
use crate::tasks::task::{At, Batch, Loss, Panel, PictureSizes, Request, Score, Scores, Task};
use crate::tasks::{Described, Description, in_section};

/// Sequences that were misread and are kept, the worst first.
const MISTAKES: usize = 12;

/// Canvases that the report and the previews show.
const SHOWN: usize = 12;

/// A network and its objective.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SpatialTransformer {
    /// `[model]`.
    pub model: SpnConfig,
    /// `[objective]`.
    pub objective: SequenceObjective,
}

/// What `[objective]` holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SequenceObjective {
    /// The cross-entropy of each position.
    #[serde(flatten)]
    pub loss: ClassificationConfig,
    /// Classes of a digit.
    pub classes: usize,
    /// Digits of an image.
    pub positions: usize,
    /// Epochs in which the dropout rate rises from 0 to `model.dropout`, by the same amount each;
    /// 0 for all of it from the first.
    pub dropout_ramp_epochs: u64,
}

impl Default for SequenceObjective {
    fn default() -> Self {
        Self {
            loss: ClassificationConfig::default(),
            classes: 10,
            positions: 3,
            dropout_ramp_epochs: 5,
        }
    }
}

impl Described for SpatialTransformer {
    const NAMES: &'static [&'static str] = &["rnn_spn", "ffn_spn", "sequence_convnet"];
    type Model = SpnConfig;
    type Objective = SequenceObjective;

    fn new(model: SpnConfig, objective: SequenceObjective) -> Self {
        Self { model, objective }
    }

    fn parts(&self) -> (&SpnConfig, &SequenceObjective) {
        (&self.model, &self.objective)
    }
}

impl SpatialTransformer {
    /// The network for images of this shape.
    fn config(&self, shape: ImageShape) -> SpnConfig {
        let SequenceObjective { positions, classes, .. } = self.objective;
        self.model.clone().for_sequences(map_shape(shape), positions, classes)
    }
}

impl Description for SpatialTransformer {
    fn name(&self) -> &'static str {
        self.model.name()
    }

    fn check(&self) -> Result<(), BrokenRule> {
        self.model.check().map_err(|broken| in_section("model", broken))?;
        self.objective.loss.check().map_err(|broken| in_section("objective", broken))?;
        let SequenceObjective { classes, positions, .. } = self.objective;
        rule((2..=1000).contains(&classes), "objective.classes", classes, "must be 2 to 1000")?;
        rule((1..=64).contains(&positions), "objective.positions", positions, "must be 1 to 64")
    }

    fn pixels(&self) -> (Pixels, &'static str) {
        (Pixels::Any, "none")
    }

    fn task(
        &self,
        shape: ImageShape,
        parameters: &mut ParameterList,
        statistics: &mut StatisticsList,
    ) -> Result<Box<dyn Task>> {
        let network = Spn::new(self.config(shape), parameters, statistics);
        let terms = ["the cross-entropy", "the error rate"].map(String::from).to_vec();
        Ok(Box::new(SequenceTask {
            network: network.context("building the model")?,
            objective: self.objective.clone(),
            terms,
            classes: None,
        }))
    }

    fn settle_classes(&mut self, classes: usize) -> Option<usize> {
        let configured = mem::replace(&mut self.objective.classes, classes);
        (configured != classes).then_some(configured)
    }

    fn positions(&self) -> usize {
        self.objective.positions
    }

    fn settle_positions(&mut self, positions: usize) {
        self.objective.positions = positions;
    }

    fn curves(&self) -> Vec<Curve> {
        let mut curves = vec![
            Curve { title: "Error per digit", key: "error_rate", unit: "%" },
            Curve { title: "Error per sequence", key: "sequence_error_rate", unit: "%" },
            Curve { title: "Cross-entropy", key: "cross_entropy_nats", unit: "nats per digit" },
        ];
        if self.model.family != SpnFamily::SequenceConvnet {
            curves.extend(judged::GLIMPSE_CURVES);
        }
        curves
    }

    fn warmup_epochs(&self) -> u64 {
        0
    }

    fn epoch_keys(&mut self) -> Vec<(&'static str, &mut u64)> {
        vec![("dropout_ramp_epochs", &mut self.objective.dropout_ramp_epochs)]
    }

    fn draws_layers_alone(&self) -> bool {
        false
    }

    fn remedies(&self) -> Vec<&'static str> {
        Vec::new()
    }

    fn layer_networks(&self, _layer: usize) -> String {
        String::new()
    }

    fn networks_heading(&self) -> &'static str {
        ""
    }

    fn swept(&self) -> Option<(&'static str, f64)> {
        let has_transformer = self.model.family != SpnFamily::SequenceConvnet;
        has_transformer.then_some(("down-sampling factor d", self.model.downsampling))
    }

    fn convolutions(&self, shape: ImageShape, rows: usize) -> Vec<Convolution> {
        self.config(shape).convolutions(rows)
    }

    fn largest_map(&self, shape: ImageShape) -> usize {
        self.config(shape).largest_map()
    }
}

/// Training a network to read.
#[derive(Debug)]
struct SequenceTask {
    network: Spn,
    objective: SequenceObjective,
    terms: Vec<String>,
    /// The classes of each training image, a row of positions · classes numbers each with a 1 at
    /// every position's class and 0 elsewhere, on the device.
    classes: Option<Tensor>,
}

impl SequenceTask {
    /// The labels of the images, all positions of one after the other.
    fn labels<'a>(&self, images: &'a DeviceImages) -> Result<&'a [u32]> {
        let (found, positions) = (images.positions(), self.objective.positions);
        let Some(labels) = images.labels() else {
            return Err(Error::new(
                "reading digits is learned from labels, and the images of the data set have none",
            )
            .with_advice("--dataset sequences:mnist or sequences:glyphs has them"));
        };
        if found != positions {
            return Err(Error::new(format!(
                "an image has {found} labels, and the model reads {positions}"
            )));
        }
        Ok(labels)
    }

    /// The dropout rate of an epoch, counted from 1: 0 in the first, all of it after the ramp.
    fn dropout_rate(&self, epoch: u64) -> f64 {
        let ramp = self.objective.dropout_ramp_epochs;
        let share = if ramp == 0 { 1.0 } else { epoch.saturating_sub(1) as f64 / ramp as f64 };
        self.network.config().dropout * share.min(1.0)
    }

    /// The loss of images whose classes are `class` [images, positions · classes].
    fn loss_of(&self, pass: &mut Pass<'_>, x: &Tensor, class: &Tensor, rate: f64) -> Result<Loss> {
        let found = self.network.look(pass, x, rate).and_then(|look| {
            let class = class.reshape(*look.log_probs.shape())?;
            classification(&look.log_probs, &class, &self.objective.loss)
        });
        let found = found.context("reading images")?;
        Ok(Loss { loss: found.loss, terms: vec![found.cross_entropy, found.error_rate] })
    }

    /// Reads images; `None` if `stop` said so. The ranks that the model is shared with take
    /// contiguous parts of the images, and all judge all of them.
    fn judge(
        &self,
        model: &Model,
        statistics: &Statistics,
        images: &DeviceImages,
        request: Request,
        stop: &dyn Fn() -> bool,
        progress: &mut dyn FnMut(usize, &str),
    ) -> Result<Option<Judged>> {
        let (labels, ranks) = (self.labels(images)?, &model.ranks);
        let config = self.network.config();
        let (mut so_far, mut of_images, mut thetas) = (Judged::new(config), Vec::new(), Vec::new());
        let count = request.images.min(images.count());
        let all_done = in_shared_chunks(ranks, count, request.rows, stop, |part| {
            let x = images.range(part.start, part.len(), 0).context("gathering images")?;
            let mut pass = model.frozen_pass(statistics, request.seed, 0);
            let look = self.network.look(&mut pass, &x, 0.0).context("reading images")?;
            let log_probs = look.log_probs.to_f64().context("reading images")?;
            let theta = look.glimpses.map_or_else(
                || Ok(Vec::new()),
                |glimpses| glimpses.theta.to_f64().context("reading images"),
            )?;
            so_far.add(part.clone(), labels, &log_probs, &theta);
            of_images.extend(log_probs);
            thetas.extend(theta);
            let error = format!("error {:.2} %", 100.0 * so_far.error_rate());
            progress(done_by_all(ranks, count, part.end), &error);
            Ok(())
        })?;
        if !all_done {
            return Ok(None);
        }
        let of_images = together::joined(ranks, of_images)?;
        let mut judged = Judged::new(config);
        judged.add(0..count, labels, &of_images, &together::joined(ranks, thetas)?);
        if !judged.cross_entropy_nats.is_finite() {
            return Err(not_a_probability());
        }
        judged.keep_worst(MISTAKES);
        Ok(Some(judged))
    }

    /// What the network sees on some images, and reads.
    fn readings(
        &self,
        model: &Model,
        statistics: &Statistics,
        images: &DeviceImages,
        numbers: &[usize],
    ) -> Result<Vec<Reading>> {
        let labels = self.labels(images)?;
        let read = |&image: &usize| {
            let x = images.range(image, 1, 0).context("gathering images")?;
            let mut pass = model.frozen_pass(statistics, 0, 0);
            let positions = self.objective.positions;
            let labels = &labels[image * positions..][..positions];
            Reading::new(&self.network, &mut pass, &x, labels).context("reading images")
        };
        numbers.iter().map(read).collect()
    }
}

impl Task for SequenceTask {
    fn terms(&self) -> &[String] {
        &self.terms
    }

    fn score(&self) -> Score {
        Score::error_rate("share of digits")
    }

    fn announcement(&self) -> [String; 2] {
        let config = self.network.config();
        let digits = format!("{} digits of {} classes", config.positions, config.classes);
        let [height, width] = config.glimpse();
        let seen = match config.glimpses() {
            0 => "the whole canvas is seen at once".to_string(),
            1 => format!("1 glimpse of {height}x{width}"),
            count => format!("{count} glimpses of {height}x{width}"),
        };
        [digits, seen]
    }

    fn prepare(
        &mut self,
        images: &DeviceImages,
        _held_out: &DeviceImages,
        _seed: u64,
        _batch_size: usize,
    ) -> Result<()> {
        let (classes, labels) = (self.objective.classes, self.labels(images)?);
        let rows = one_hot(labels, classes, images.device(), images.dtype())?;
        let shape = [images.count(), self.objective.positions * classes];
        self.classes = Some(rows.reshape(shape).context("copying the labels to the device")?);
        Ok(())
    }

    fn batch(
        &self,
        images: &DeviceImages,
        indices: &Tensor,
        at: At,
        _ranks: &Ranks,
    ) -> Result<Batch> {
        labelled_batch(images, self.classes.as_ref(), indices, at)
    }

    fn loss(&self, pass: &mut Pass<'_>, batch: &Batch, at: At) -> Result<Loss> {
        self.loss_of(pass, &batch.x, classes_of(batch)?, self.dropout_rate(at.epoch))
    }

    fn probe(&self, pass: &mut Pass<'_>, images: &DeviceImages, count: usize) -> Result<Loss> {
        let x = images.range(0, count, 0).context("gathering images")?;
        let labels = &self.labels(images)?[..count * self.objective.positions];
        let class = one_hot_or_zeros(labels, self.objective.classes, x.device(), x.dtype())?;
        self.loss_of(pass, &x, &class, 0.0)
    }

    fn schedules(&self, epoch: u64) -> Vec<(&'static str, f64)> {
        let has_dropout = self.network.config().dropout > 0.0;
        if has_dropout { vec![("dropout", self.dropout_rate(epoch))] } else { Vec::new() }
    }

    fn training(&self, means: &[f64]) -> Measures {
        Measures::default()
            .with("cross_entropy_nats", Place::Everywhere, Quantity::Number(means[0]))
            .with("error_rate", Place::Everywhere, Quantity::Number(means[1]))
    }

    fn brief(&self, means: &[f64]) -> String {
        format!("error {:.2} % of digits, cross-entropy {:.3}", 100.0 * means[1], means[0])
    }

    fn recompute_statistics(
        &self,
        _store: &ParameterStore,
        _data: &WholeData<'_>,
        _noise: (u64, u64),
        _statistics: &mut Statistics,
    ) -> rung_autograd::Result<()> {
        Ok(())
    }

    fn evaluate(
        &self,
        model: &Model,
        statistics: &Statistics,
        images: &DeviceImages,
        request: Request,
        stop: &dyn Fn() -> bool,
        progress: &mut dyn FnMut(usize, &str),
    ) -> Result<Option<Box<dyn Scores>>> {
        let judged = self.judge(model, statistics, images, request, stop, progress)?;
        Ok(judged.map(|judged| Box::new(judged) as Box<dyn Scores>))
    }

    fn pictures(
        &self,
        model: &Model,
        statistics: &Statistics,
        images: &DeviceImages,
        _seed: u64,
        sizes: PictureSizes,
    ) -> Result<Vec<(&'static str, Picture)>> {
        let shown: Vec<usize> = (0..images.count().min(SHOWN).min(sizes.samples)).collect();
        let readings = self.readings(model, statistics, images, &shown)?;
        figures::pictures(&readings, sizes)
    }

    fn panels(
        &self,
        model: &Model,
        statistics: &Statistics,
        images: &DeviceImages,
    ) -> Result<Vec<Panel>> {
        let rows = model.rows_at_once();
        let request = Request::once(images.count(), rows, 0);
        let judged = self.judge(model, statistics, images, request, &|| false, &mut |_, _| ())?;
        let Some(judged) = judged else { return Ok(Vec::new()) };
        let first: Vec<usize> = (0..images.count().min(SHOWN)).collect();
        let first = self.readings(model, statistics, images, &first)?;
        let worst: Vec<usize> = judged.mistakes.iter().map(|mistake| mistake.image).collect();
        let worst = self.readings(model, statistics, images, &worst)?;
        figures::panels(&first, &worst, &judged)
    }
}

//! Classifiers of images without latent variables: trained on the labels of all images, judged by
//! their error rate (`judged.rs`).

use std::mem;

use rung_autograd::{ParameterList, ParameterStore, Tensor};
use rung_datasets::ImageShape;
use rung_models::classifier::{ClassificationConfig, ImageClassifier, classification};
use rung_models::rules::{BrokenRule, rule};
use rung_models::{ClassifierConfig, Pass, Statistics, StatisticsList, WholeData};
use rung_ranks::Ranks;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::DeviceImages;
use crate::data::image_grid::Picture;
use crate::engine::chunks::{done_by_all, in_shared_chunks};
use crate::engine::together;
use crate::error::{Context, Error, Result};
use crate::model::Model;
use crate::tasks::description::{Curve, Pixels, map_shape};
use crate::tasks::judged::{Judged, mistaken_images};
use crate::tasks::measures::{Measures, Place, Quantity};
use crate::tasks::one_hot::{classes_of, labelled_batch, one_hot, one_hot_or_zeros};
use crate::tasks::task::{At, Batch, Loss, Panel, PictureSizes, Request, Score, Scores, Task};
use crate::tasks::{Described, Description, in_section};

/// A classifier and its objective.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Classifier {
    /// `[model]`.
    pub model: ClassifierConfig,
    /// `[objective]`.
    pub objective: ClassifierObjective,
}

/// What `[objective]` holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ClassifierObjective {
    /// The cross-entropy.
    #[serde(flatten)]
    pub loss: ClassificationConfig,
    /// Classes of the images.
    pub classes: usize,
}

impl Default for ClassifierObjective {
    fn default() -> Self {
        Self { loss: ClassificationConfig::default(), classes: 10 }
    }
}

impl Described for Classifier {
    const NAMES: &'static [&'static str] = &["classifier"];
    type Model = ClassifierConfig;
    type Objective = ClassifierObjective;

    fn new(model: ClassifierConfig, objective: ClassifierObjective) -> Self {
        Self { model, objective }
    }

    fn parts(&self) -> (&ClassifierConfig, &ClassifierObjective) {
        (&self.model, &self.objective)
    }
}

impl Description for Classifier {
    fn name(&self) -> &'static str {
        self.model.name()
    }

    fn check(&self) -> Result<(), BrokenRule> {
        self.model.check().map_err(|broken| in_section("model", broken))?;
        self.objective.loss.check().map_err(|broken| in_section("objective", broken))?;
        let classes = self.objective.classes;
        rule((2..=1000).contains(&classes), "objective.classes", classes, "must be 2 to 1000")
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
        let config = self.model.clone().for_images(map_shape(shape), self.objective.classes);
        let network =
            ImageClassifier::new(config, parameters, statistics).context("building the model")?;
        let terms = ["the cross-entropy", "the error rate"].map(String::from).to_vec();
        Ok(Box::new(ClassifierTask {
            network,
            objective: self.objective.loss,
            terms,
            classes: None,
        }))
    }

    fn settle_classes(&mut self, classes: usize) -> Option<usize> {
        let configured = mem::replace(&mut self.objective.classes, classes);
        (configured != classes).then_some(configured)
    }

    fn curves(&self) -> Vec<Curve> {
        vec![
            Curve { title: "Error rate", key: "error_rate", unit: "%" },
            Curve { title: "Cross-entropy", key: "cross_entropy_nats", unit: "nats per image" },
        ]
    }

    fn warmup_epochs(&self) -> u64 {
        0
    }

    fn epoch_keys(&mut self) -> Vec<(&'static str, &mut u64)> {
        Vec::new()
    }

    fn batch_norm_momentum(&self) -> Option<f64> {
        self.model.batch_norm.then_some(self.model.batch_norm_momentum)
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

    fn largest_map(&self, shape: ImageShape) -> usize {
        let image = map_shape(shape);
        let convolved = self.model.convolutions.iter().scan(image, |map, block| {
            *map = map.shrunk(block.stride).with_channels(block.channels);
            Some(map.units())
        });
        convolved.fold(image.units(), usize::max)
    }
}

/// Training a classifier.
#[derive(Debug)]
struct ClassifierTask {
    network: ImageClassifier,
    objective: ClassificationConfig,
    terms: Vec<String>,
    /// The class of each training image, a row each with 1 at the class and 0 elsewhere, on the
    /// device.
    classes: Option<Tensor>,
}

impl ClassifierTask {
    fn loss_of(&self, pass: &mut Pass<'_>, x: &Tensor, class: &Tensor) -> Result<Loss> {
        let log_probs = self.network.log_probs(pass, x);
        let found =
            log_probs.and_then(|log_probs| classification(&log_probs, class, &self.objective));
        let found = found.context("classifying images")?;
        Ok(Loss { loss: found.loss, terms: vec![found.cross_entropy, found.error_rate] })
    }
}

/// The labels of some images.
fn labels(images: &DeviceImages) -> Result<&[u32]> {
    if images.positions() > 1 {
        let positions = images.positions();
        return Err(Error::new(format!(
            "a classifier tells one class of an image, and these have {positions} labels each"
        )));
    }
    images.labels().ok_or_else(|| {
        Error::new("a classifier learns from labels, and the images of the data set have none")
            .with_advice(
                "rung data list tells which data sets have labels; docs/your-data.md how your \
            own get them",
            )
    })
}

impl Task for ClassifierTask {
    fn terms(&self) -> &[String] {
        &self.terms
    }

    fn score(&self) -> Score {
        Score::error_rate("share of images")
    }

    fn announcement(&self) -> [String; 2] {
        let smoothing = self.objective.label_smoothing;
        [
            format!("{} classes", self.network.config().classes),
            format!("label smoothing {smoothing}"),
        ]
    }

    fn prepare(
        &mut self,
        images: &DeviceImages,
        _held_out: &DeviceImages,
        _seed: u64,
        _batch_size: usize,
    ) -> Result<()> {
        self.classes = Some(one_hot(
            labels(images)?,
            self.network.config().classes,
            images.device(),
            images.dtype(),
        )?);
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

    fn loss(&self, pass: &mut Pass<'_>, batch: &Batch, _at: At) -> Result<Loss> {
        self.loss_of(pass, &batch.x, classes_of(batch)?)
    }

    fn probe(&self, pass: &mut Pass<'_>, images: &DeviceImages, count: usize) -> Result<Loss> {
        let x = images.range(0, count, 0).context("gathering images")?;
        let class = one_hot_or_zeros(
            &labels(images)?[..count],
            self.network.config().classes,
            x.device(),
            x.dtype(),
        )?;
        self.loss_of(pass, &x, &class)
    }

    fn schedules(&self, _epoch: u64) -> Vec<(&'static str, f64)> {
        Vec::new()
    }

    fn training(&self, means: &[f64]) -> Measures {
        Measures::default()
            .with("cross_entropy_nats", Place::Everywhere, Quantity::Number(means[0]))
            .with("error_rate", Place::Everywhere, Quantity::Number(means[1]))
    }

    fn brief(&self, means: &[f64]) -> String {
        format!("error {:.2} %, cross-entropy {:.3}", 100.0 * means[1], means[0])
    }

    fn recompute_statistics(
        &self,
        store: &ParameterStore,
        data: &WholeData<'_>,
        _noise: (u64, u64),
        statistics: &mut Statistics,
    ) -> rung_autograd::Result<()> {
        self.network.recompute_statistics(store, data, statistics)
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
        seed: u64,
        sizes: PictureSizes,
    ) -> Result<Vec<(&'static str, Picture)>> {
        let rows = model.rows_at_once();
        let request = Request::once(images.count(), rows, seed);
        let Some(judged) =
            self.judge(model, statistics, images, request, &|| false, &mut |_, _| ())?
        else {
            return Ok(Vec::new());
        };
        let worst = &judged.mistakes[..judged.mistakes.len().min(sizes.samples)];
        match mistaken_images(images, worst)? {
            Some(mistaken) => Ok(vec![(
                "mistakes",
                mistaken.grid_to_fit(sizes.columns.min(worst.len()), sizes.scale)?,
            )]),
            None => Ok(Vec::new()),
        }
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
        let mut panels = vec![Panel { section: "Classes", figure: judged.confusion_figure() }];
        if let Some(figure) = judged.mistakes_figure(images)? {
            panels.push(Panel { section: "Classes", figure });
        }
        Ok(panels)
    }
}

impl ClassifierTask {
    /// Classifies images; `None` if `stop` said so. The ranks that the model is shared with take
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
        let (labels, ranks) = (labels(images)?, &model.ranks);
        let classes = self.network.config().classes;
        let (mut so_far, mut of_images) = (Judged::new(classes), Vec::new());
        let count = request.images.min(images.count());
        let all_done = in_shared_chunks(ranks, count, request.rows, stop, |part| {
            let x = images.range(part.start, part.len(), 0).context("gathering images")?;
            let mut pass = model.frozen_pass(statistics, request.seed, 0);
            let log_probs =
                self.network.log_probs(&mut pass, &x).and_then(|log_probs| log_probs.to_f64());
            let log_probs = log_probs.context("classifying images")?;
            for (image, row) in part.clone().zip(log_probs.chunks_exact(classes)) {
                so_far.add(image, labels[image], row);
            }
            of_images.extend(log_probs);
            let error = format!("error {:.2} %", 100.0 * so_far.error_rate());
            progress(done_by_all(ranks, count, part.end), &error);
            Ok(())
        })?;
        if !all_done {
            return Ok(None);
        }
        let of_images = together::joined(ranks, of_images)?;
        Judged::of_images(classes, labels, &of_images).map(Some)
    }
}

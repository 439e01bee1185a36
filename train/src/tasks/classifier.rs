//! Classifiers of images without latent variables: trained on the labels of all images, judged by their error rate.

use std::cmp::Reverse;

use rung_autograd::{DType, ParameterList, ParameterStore, PixelMap, Tensor};
use rung_datasets::ImageShape;
use rung_models::classifier::{ClassificationConfig, ImageClassifier, classification};
use rung_models::rules::{BrokenRule, rule};
use rung_models::{ClassifierConfig, Pass, Statistics, StatisticsList, WholeData};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::description::{Curve, Pixels, map_shape};
use super::measures::{Measures, Place, Quantity};
use super::task::{At, Batch, Direction, Loss, Panel, PictureSizes, Request, Score, Scores, Task};
use super::{Described, Description, in_section};
use crate::data::DeviceImages;
use crate::data::image_grid::{Images, Picture};
use crate::engine::chunks::in_chunks;
use crate::error::{Context, Error, Result};
use crate::model::Model;
use crate::report::Figure;
use crate::report::base64::png_address;
use crate::report::svg::escape;
use crate::run::metrics::Record;

/// Mistakes that are kept, the worst first.
const MISTAKES: usize = 60;

/// A classifier and its objective.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Classifier {
    /// `[model]`.
    pub model: ClassifierConfig,
    /// `[objective]`.
    pub objective: ClassifierObjective,
}

/// What `[objective]` holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
        let network = ImageClassifier::new(config, parameters, statistics).context("building the model")?;
        let terms = ["the cross-entropy", "the error rate"].map(String::from).to_vec();
        Ok(Box::new(ClassifierTask { network, objective: self.objective.loss, terms, classes: None }))
    }

    fn settle_classes(&mut self, classes: usize) {
        self.objective.classes = classes;
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

    fn set_warmup_epochs(&mut self, _epochs: u64) {}

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
    /// The class of each training image, a row each with 1 at the class and 0 elsewhere, on the device.
    classes: Option<Tensor>,
}

impl ClassifierTask {
    /// The rows of these labels: [images, classes], 1 at the class and 0 elsewhere.
    fn rows_of(&self, labels: &[u32], like: &Tensor) -> Result<Tensor> {
        self.rows_on(labels, like.device(), like.dtype())
    }

    fn rows_on(&self, labels: &[u32], device: &rung_autograd::Device, dtype: DType) -> Result<Tensor> {
        let classes = self.network.config().classes;
        let mut ones = vec![0.0; labels.len() * classes];
        for (row, &label) in ones.chunks_exact_mut(classes).zip(labels) {
            let place = row.get_mut(label as usize).ok_or_else(|| {
                Error::new(format!("an image is of class {label}, and the model has {classes} classes"))
            })?;
            *place = 1.0;
        }
        let rows = Tensor::from_f64(device, &ones, [labels.len(), classes]).and_then(|rows| rows.to_dtype(dtype));
        rows.context("copying the labels to the device")
    }

    fn loss_of(&self, pass: &mut Pass<'_>, x: &Tensor, class: &Tensor) -> Result<Loss> {
        let log_probs = self.network.log_probs(pass, x);
        let found = log_probs.and_then(|log_probs| classification(&log_probs, class, &self.objective));
        let found = found.context("classifying images")?;
        Ok(Loss { loss: found.loss, terms: vec![found.cross_entropy, found.error_rate] })
    }
}

/// The labels of some images.
fn labels(images: &DeviceImages) -> Result<&[u32]> {
    images.labels().ok_or_else(|| {
        Error::new("a classifier learns from labels, and the images of the data set have none")
            .with_advice("rung data list tells which data sets have labels; docs/data.md how your own get them")
    })
}

impl Task for ClassifierTask {
    fn terms(&self) -> &[String] {
        &self.terms
    }

    fn score(&self) -> Score {
        Score {
            name: "error rate",
            key: "error_rate",
            // An error in training that is lower is no lag of the statistics: the images were learned.
            training_key: None,
            unit: "share of images",
            direction: Direction::Down,
        }
    }

    fn announcement(&self) -> [String; 2] {
        let smoothing = self.objective.label_smoothing;
        [format!("{} classes", self.network.config().classes), format!("label smoothing {smoothing}")]
    }

    fn prepare(&mut self, images: &DeviceImages, _seed: u64, _batch_size: usize) -> Result<()> {
        self.classes = Some(self.rows_on(labels(images)?, images.device(), images.dtype())?);
        Ok(())
    }

    fn batch(&self, images: &DeviceImages, indices: &Tensor, at: At) -> Result<Batch> {
        let doing = "gathering a batch";
        let classes = self.classes.as_ref();
        let classes =
            classes.ok_or_else(|| Error::new("bug: a batch before the labels are known; please report it"))?;
        let class = classes.gather_pixels(PixelMap::Scale(1.0), indices, images.dtype()).context(doing)?;
        let x = images.batch(indices, at.epoch).context(doing)?;
        Ok(Batch { x, class: Some(class), labelled: None })
    }

    fn loss(&self, pass: &mut Pass<'_>, batch: &Batch, _at: At) -> Result<Loss> {
        let class = batch.class.as_ref();
        let class = class.ok_or_else(|| Error::new("bug: a batch without classes; please report it"))?;
        self.loss_of(pass, &batch.x, class)
    }

    fn probe(&self, pass: &mut Pass<'_>, images: &DeviceImages, count: usize) -> Result<Loss> {
        let x = images.range(0, count, 0).context("gathering images")?;
        let class = self.rows_of(&labels(images)?[..count], &x)?;
        self.loss_of(pass, &x, &class)
    }

    fn schedules(&self, _epoch: u64) -> Vec<(&'static str, f64)> {
        Vec::new()
    }

    fn training(&self, means: &[f64]) -> Measures {
        Measures::default().with("cross_entropy_nats", Place::Everywhere, Quantity::Number(means[0])).with(
            "error_rate",
            Place::Everywhere,
            Quantity::Number(means[1]),
        )
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
        let request = Request { importance_samples: 1, images: images.count(), rows, seed };
        let Some(judged) = self.judge(model, statistics, images, request, &|| false, &mut |_, _| ())? else {
            return Ok(Vec::new());
        };
        let worst = &judged.mistakes[..judged.mistakes.len().min(sizes.samples)];
        match mistaken_images(images, worst)? {
            Some(mistaken) => Ok(vec![("mistakes", mistaken.grid(sizes.columns.min(worst.len()), sizes.scale)?)]),
            None => Ok(Vec::new()),
        }
    }

    fn panels(&self, model: &Model, statistics: &Statistics, images: &DeviceImages) -> Result<Vec<Panel>> {
        let rows = model.rows_at_once();
        let request = Request { importance_samples: 1, images: images.count(), rows, seed: 0 };
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
    /// Classifies images; `None` if `stop` said so.
    fn judge(
        &self,
        model: &Model,
        statistics: &Statistics,
        images: &DeviceImages,
        request: Request,
        stop: &dyn Fn() -> bool,
        progress: &mut dyn FnMut(usize, &str),
    ) -> Result<Option<Judged>> {
        let labels = labels(images)?;
        let classes = self.network.config().classes;
        let mut judged = Judged::new(classes);
        let count = request.images.min(images.count());
        let all_done = in_chunks(count, request.rows, stop, |part| {
            let x = images.range(part.start, part.len(), 0).context("gathering images")?;
            let mut pass = model.frozen_pass(statistics, request.seed, 0);
            let log_probs = self.network.log_probs(&mut pass, &x).and_then(|log_probs| log_probs.to_f64());
            let log_probs = log_probs.context("classifying images")?;
            for (image, row) in part.clone().zip(log_probs.chunks_exact(classes)) {
                judged.add(image, labels[image], row);
            }
            progress(part.end, &format!("error {:.2} %", 100.0 * judged.error_rate()));
            Ok(())
        })?;
        if !judged.cross_entropy_nats.is_finite() {
            return Err(Error::new("a class probability is not a number: training has ruined this model's parameters")
                .with_advice("look at an older checkpoint, with --checkpoint best or previous"));
        }
        judged.mistakes.sort_by(|one, other| other.nats.total_cmp(&one.nats));
        judged.mistakes.truncate(MISTAKES);
        Ok(all_done.then_some(judged))
    }
}

/// An image that was taken for one of another class.
#[derive(Debug, Clone, PartialEq)]
struct Mistake {
    image: usize,
    label: u32,
    /// The likeliest class.
    found: usize,
    /// −ln p(label|x): the larger, the surer the model was of something else.
    nats: f64,
}

/// How the images of a set were classified.
#[derive(Debug, Clone)]
struct Judged {
    classes: usize,
    images: usize,
    wrong: usize,
    /// Σ −ln p(label|x) over the images.
    cross_entropy_nats: f64,
    /// How many images of each class (row) were taken for each (column).
    confusion: Vec<usize>,
    mistakes: Vec<Mistake>,
}

impl Judged {
    fn new(classes: usize) -> Self {
        let confusion = vec![0; classes * classes];
        Self { classes, images: 0, wrong: 0, cross_entropy_nats: 0.0, confusion, mistakes: Vec::new() }
    }

    /// Adds an image of this label, by ln p(y|x) of every class.
    fn add(&mut self, image: usize, label: u32, log_probs: &[f64]) {
        let found = (0..self.classes).max_by(|&a, &b| log_probs[a].total_cmp(&log_probs[b])).unwrap_or(0);
        self.images += 1;
        let Some(log_prob) = log_probs.get(label as usize) else {
            // A class that the model has not can't be found.
            self.wrong += 1;
            return;
        };
        self.cross_entropy_nats -= log_prob;
        self.confusion[label as usize * self.classes + found] += 1;
        if found != label as usize {
            self.wrong += 1;
            self.mistakes.push(Mistake { image, label, found, nats: -log_prob });
        }
    }

    /// Share of the images whose likeliest class is not theirs.
    fn error_rate(&self) -> f64 {
        self.wrong as f64 / self.images.max(1) as f64
    }

    /// √(e (1 − e) / n); one image has none.
    fn standard_error(&self) -> Option<f64> {
        let error = self.error_rate();
        (self.images > 1).then(|| (error * (1.0 - error) / self.images as f64).sqrt())
    }

    fn cross_entropy(&self) -> f64 {
        self.cross_entropy_nats / self.images.max(1) as f64
    }

    fn error_text(&self) -> String {
        let spread = self.standard_error().map_or_else(String::new, |error| format!(" ± {:.2}", 100.0 * error));
        format!("{:.2}{spread} %", 100.0 * self.error_rate())
    }

    /// A table of which classes are taken for which, the commonest confusions darkest.
    fn confusion_figure(&self) -> Figure {
        let row_of = |label: usize| &self.confusion[label * self.classes..][..self.classes];
        let most = (0..self.classes).flat_map(|label| {
            row_of(label).iter().enumerate().filter(move |(found, _)| *found != label).map(|(_, count)| *count)
        });
        let most = most.max().unwrap_or(0).max(1) as f64;
        let cell = |label: usize, found: usize, count: usize| {
            let share = if label == found { 0.0 } else { count as f64 / most };
            let text = if count == 0 { String::new() } else { count.to_string() };
            let class = if label == found { "number diagonal" } else { "number" };
            format!(
                "<td class=\"{class}\" style=\"background:color-mix(in srgb, var(--c6) {:.0}%, transparent)\">{text}</td>",
                60.0 * share
            )
        };
        let rows: String = (0..self.classes)
            .map(|label| {
                let cells: String =
                    row_of(label).iter().enumerate().map(|(found, &count)| cell(label, found, count)).collect();
                format!("<tr><th>{label}</th>{cells}</tr>")
            })
            .collect();
        let heads: String = (0..self.classes).map(|found| format!("<th>{found}</th>")).collect();
        Figure {
            title: "Confusion matrix".into(),
            body: format!(
                "<div class=\"table\"><table><thead><tr><th></th>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
            ),
            caption: format!(
                "Held-out images: {}. Rows: the class of an image; columns: the likeliest class. {} of {} images are off the diagonal.",
                self.images, self.wrong, self.images
            ),
            class: "wide",
        }
    }

    /// The images that the model was surest of and wrong about.
    fn mistakes_figure(&self, images: &DeviceImages) -> Result<Option<Figure>> {
        let mut tiles = String::new();
        for mistake in &self.mistakes[..self.mistakes.len().min(24)] {
            let Some(picture) = mistaken_images(images, std::slice::from_ref(mistake))? else { continue };
            let address = png_address(&picture.grid(1, 2)?.png()?);
            let text = format!("{} taken for {}", mistake.label, mistake.found);
            tiles += &format!(
                "<div class=\"panel\"><img class=\"pixels\" alt=\"{}\" src=\"{address}\"><h4>{}</h4></div>",
                escape(&text),
                escape(&text)
            );
        }
        Ok((!tiles.is_empty()).then(|| Figure {
            title: "Worst mistakes".into(),
            body: format!("<div class=\"panels small\">{tiles}</div>"),
            caption: "Held-out images whose own class the model thought least likely, the worst first.".into(),
            class: "wide",
        }))
    }
}

/// The images of some mistakes; none where there are no mistakes.
fn mistaken_images(images: &DeviceImages, mistakes: &[Mistake]) -> Result<Option<Images>> {
    if mistakes.is_empty() {
        return Ok(None);
    }
    let mut pixels = Vec::new();
    for mistake in mistakes {
        let image = images.intensities(mistake.image, 1).and_then(|image| image.to_f32());
        pixels.extend(image.context("reading images")?.into_iter().map(|pixel| pixel.clamp(0.0, 1.0)));
    }
    let shape = images.shape();
    Images::new([mistakes.len(), shape.channels, shape.height, shape.width], pixels).map(Some)
}

impl Scores for Judged {
    fn value(&self) -> f64 {
        self.error_rate()
    }

    fn images(&self) -> usize {
        self.images
    }

    fn measures(&self) -> Measures {
        Measures::default()
            .with("images", Place::Line, Quantity::Count(self.images))
            .with("error_rate", Place::FullEvents, Quantity::Number(self.error_rate()))
            .with_some("error_rate_standard_error", Place::FullLine, self.standard_error().map(Quantity::Number))
            .with("cross_entropy_nats", Place::FullEvents, Quantity::Number(self.cross_entropy()))
    }

    fn brief(&self) -> String {
        format!("error {:.2} %, cross-entropy {:.3}", 100.0 * self.error_rate(), self.cross_entropy())
    }

    fn record(&self, elapsed_s: f64) -> Record {
        let confusion: Vec<&[usize]> = self.confusion.chunks_exact(self.classes).collect();
        let record = json!({
            "error_rate": self.error_rate(),
            "error_rate_standard_error": self.standard_error(),
            "cross_entropy_nats": self.cross_entropy(),
            "confusion": confusion,
            "images_per_s": self.images as f64 / elapsed_s.max(1e-9),
        });
        record.as_object().cloned().unwrap_or_default()
    }

    fn text(&self, elapsed_s: f64) -> [String; 2] {
        let scores = format!(
            "error rate     {} of the images\ncross-entropy  {:.4} nats per image\n",
            self.error_text(),
            self.cross_entropy()
        );
        let mut confused: Vec<(usize, usize, usize)> = (0..self.classes * self.classes)
            .map(|place| (self.confusion[place], place / self.classes, place % self.classes))
            .filter(|(count, label, found)| *count > 0 && label != found)
            .collect();
        confused.sort_by_key(|&(count, label, found)| (Reverse(count), label, found));
        let list: Vec<String> =
            confused.iter().take(5).map(|(count, label, found)| format!("{label} for {found}: {count}")).collect();
        let confused = if list.is_empty() { String::new() } else { format!("most often taken {}\n", list.join(", ")) };
        let rate = self.images as f64 / elapsed_s.max(1e-9);
        [scores, format!("{confused}{elapsed_s:.1} s, {rate:.0} images per second")]
    }

    fn conclusion(&self, split: &str) -> Vec<String> {
        vec![
            format!("{split} error rate: {}, {} images", self.error_text(), self.images),
            format!("{split} cross-entropy: {:.4} nats per image", self.cross_entropy()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_counted_where_they_are_made() {
        let mut judged = Judged::new(2);
        let row = |p: f64| [p.ln(), (1.0 - p).ln()];
        for (image, (label, p)) in [(0, 0.9), (0, 0.2), (1, 0.3), (1, 0.6)].into_iter().enumerate() {
            judged.add(image, label, &row(p));
        }
        assert_eq!((judged.images, judged.wrong, judged.confusion.clone()), (4, 2, vec![1, 1, 1, 1]));
        assert_eq!(judged.mistakes.iter().map(|mistake| mistake.image).collect::<Vec<_>>(), [1, 3]);
        let expected = -(0.9f64.ln() + 0.2f64.ln() + 0.7f64.ln() + 0.4f64.ln()) / 4.0;
        assert!((judged.cross_entropy() - expected).abs() < 1e-12);
        assert!((judged.standard_error().unwrap() - 0.25).abs() < 1e-12);
        assert_eq!(judged.error_text(), "50.00 ± 25.00 %");
        judged.add(4, 7, &row(0.5));
        assert_eq!(judged.wrong, 3, "a class that the model has not is never found");
    }
}

//! Latent-variable models as a task: trained on a bound of the likelihood, with labels for some
//! images where the model has classes.
//!
//! `settings.rs` is what `[objective]` holds, `labelled.rs` chooses the images of known class,
//! `classes.rs` judges how images are classified, `evaluation.rs` estimates the bounds and
//! `scores.rs` says them; `encoding.rs`, `pictures.rs` and `anomaly/` are what such a model is used
//! for.

pub mod anomaly;
mod boundary;
mod classes;
pub mod clusters;
pub mod encoding;
pub mod evaluation;
mod every_class;
pub mod groups;
pub mod imputation;
mod labelled;
pub mod pictures;
mod scores;
mod settings;

pub(super) use settings::Weighing;
pub use settings::{BoundSettings, LabelSettings};

use rung_autograd::{ParameterStore, Tensor};
use rung_models::objective::{Bound, ObjectiveConfig, bound};
use rung_models::semi_supervised::{SemiSupervisedConfig, semi_supervised_bound};
use rung_models::{
    Group, Labelled, LatentModel, LatentSource, Pass, Statistics, WholeData, fantasy_loss,
    weight_energy,
};
use rung_ranks::Ranks;

use self::classes::judge;
use self::evaluation::evaluate;
use self::groups::{brief, named};
use self::imputation::Mask;
use self::labelled::LabelledImages;
use self::pictures::Wanted;
use self::scores::BoundScores;
use crate::data::DeviceImages;
use crate::data::image_grid::Picture;
use crate::error::{Context, Error, Result};
use crate::model::Model;
use crate::report::Figure;
use crate::report::base64::png_address;
use crate::tasks::measures::{Measures, Part, Place, Quantity};
use crate::tasks::task::{
    At, Batch, Direction, LabelledBatch, Loss, Panel, PictureSizes, Request, Score, Scores, Task,
};

/// Images of each component of a mixture prior in the report.
const SAMPLES_OF_COMPONENT: usize = 10;

/// Images whose analogies the report shows.
const ANALOGIES: usize = 10;
/// Images of which the report shows completions, and how many of each.
const IMPUTED_IMAGES: usize = 12;
const COMPLETIONS: usize = 6;

/// A latent-variable model and the bound that it is trained on.
#[derive(Debug)]
pub(super) struct LatentTask {
    network: Box<dyn LatentModel>,
    bound: BoundSettings,
    labels: LabelSettings,
    weighing: Weighing,
    /// Precision of the prior of the weights; 0 for none.
    weight_precision: f64,
    /// The epoch from which the inference networks are trained on the model's own images too; 0 for
    /// never.
    fantasy_start_epoch: u64,
    labelled: Option<LabelledImages>,
    /// Whether the best checkpoint is that of the lowest error rate: where few labels are learned
    /// from and the held-out images have labels. Else it is that of the highest bound.
    is_judged_by_error: bool,
    /// Images that are trained on.
    images: usize,
    groups: Vec<Group>,
    /// log p(x|z), then the KL of each group; with labels then what is said of the classes.
    terms: Vec<String>,
}

impl LatentTask {
    /// The task of training a model on this bound, with labels where some are wanted.
    pub(super) fn new(
        network: Box<dyn LatentModel>,
        bound: BoundSettings,
        labels: LabelSettings,
    ) -> Self {
        let groups = network.groups();
        let kl = groups.iter().map(|group| format!("the KL of {}", group.name()));
        let classes = ["the cross-entropy of the labels", "the entropy of the class"];
        let classes = classes.map(str::to_string).into_iter().filter(|_| labels.labels > 0);
        let terms = std::iter::once("log p(x|z)".to_string()).chain(kl).chain(classes).collect();
        let (weighing, weight_precision, images) = (Weighing::ByShare, 0.0, 0);
        Self {
            network,
            bound,
            labels,
            weighing,
            weight_precision,
            fantasy_start_epoch: 0,
            labelled: None,
            is_judged_by_error: false,
            images,
            groups,
            terms,
        }
    }

    /// The same task, whose steps weigh labelled and other images in this way.
    pub(super) fn weighing(self, weighing: Weighing) -> Self {
        Self { weighing, ..self }
    }

    /// The same task with the prior N(0, 1/precision) of every weight; 0 for none.
    pub(super) fn with_weight_prior(self, weight_precision: f64) -> Self {
        Self { weight_precision, ..self }
    }

    /// The same task, which trains the inference networks on images that the model draws itself
    /// too, from this epoch on; 0 for never.
    pub(super) fn with_fantasies(self, fantasy_start_epoch: u64) -> Self {
        Self { fantasy_start_epoch, ..self }
    }

    /// The loss with that of as many images as the model draws itself, where the epoch has them.
    fn with_drawn_images(
        &self,
        pass: &Pass<'_>,
        loss: Loss,
        images: usize,
        epoch: u64,
    ) -> rung_autograd::Result<Loss> {
        if self.fantasy_start_epoch == 0 || epoch < self.fantasy_start_epoch {
            return Ok(loss);
        }
        let objective = self.bound.objective(epoch);
        let fantasies = fantasy_loss(&*self.network, pass, images, &objective)?;
        Ok(Loss { loss: loss.loss.add(&fantasies)?, ..loss })
    }

    /// The loss with what the prior of the weights costs each image: (precision/images) · ½ Σ W².
    fn with_prior(&self, pass: &Pass<'_>, loss: Loss) -> rung_autograd::Result<Loss> {
        if self.weight_precision == 0.0 {
            return Ok(loss);
        }
        let Some(energy) = weight_energy(pass, &self.network.weights())? else { return Ok(loss) };
        let share = self.weight_precision / self.images.max(1) as f64;
        Ok(Loss { loss: loss.loss.add(&energy.scale(share)?)?, ..loss })
    }

    /// How held-out images are classified, and what they would be in other classes, where the model
    /// has classes.
    fn class_panels(
        &self,
        model: &Model,
        statistics: &Statistics,
        images: &DeviceImages,
    ) -> Result<Vec<Panel>> {
        let section = "Classes";
        let mut panels = Vec::new();
        let (Some(classifier), Some(labels)) = (self.network.classifier(), images.single_labels())
        else {
            return Ok(panels);
        };
        let request = Request::once(images.count(), model.rows_at_once(), 0);
        let of = (model, statistics);
        if let Some(judged) = judge(classifier, of, images, labels, request, &|| false)? {
            panels.push(Panel { section, figure: judged.confusion_figure() });
            let mistakes = judged.mistakes_figure(images)?;
            panels.extend(mistakes.map(|figure| Panel { section, figure }));
        }
        if let Some(picture) = boundary::picture(classifier, of, images, labels)? {
            let address = png_address(&picture.png()?);
            let figure = Figure {
                title: "Decision boundary".into(),
                body: format!(
                    "<img class=\"pixels\" alt=\"The plane by class\" \
                src=\"{address}\">"
                ),
                caption: "The plane in the colours of the classes, as q(y|x) mixes them; held-out \
                points in those of their own."
                    .into(),
                class: "wide",
                ..Figure::default()
            };
            panels.push(Panel { section, figure });
        }
        let count = ANALOGIES.min(images.count());
        let analogies = pictures::analogies(model, statistics, images, count, 0)?;
        if let Some((images, columns)) = analogies {
            let address = png_address(&images.grid_to_fit(columns, 2)?.png()?);
            let figure = Figure {
                title: "Analogies".into(),
                body: format!(
                    "<img class=\"pixels\" alt=\"Images in every class\" \
                src=\"{address}\">"
                ),
                caption: "Held-out images, each followed by what it would be in every class, with \
                the latents that are inferred for it: the style stays."
                    .into(),
                class: "wide",
                ..Figure::default()
            };
            panels.push(Panel { section, figure });
        }
        Ok(panels)
    }

    /// Samples of each component, where the prior of the top is a mixture.
    fn component_panel(&self, model: &Model, statistics: &Statistics) -> Result<Option<Panel>> {
        let Some(clusters) = self.network.clusters() else { return Ok(None) };
        let samples = clusters::samples(model, statistics, SAMPLES_OF_COMPONENT, 1)?;
        let address = png_address(&samples.grid_to_fit(SAMPLES_OF_COMPONENT, 2)?.png()?);
        let figure = Figure {
            title: "Samples of each component".into(),
            body: format!(
                "<img class=\"pixels\" alt=\"{} rows of images, one for each component of the \
                prior\" src=\"{address}\">",
                clusters.count()
            ),
            caption: "A row for each component of the mixture that is the prior of the top layer. \
            Where components are classes, a row shows images of one; rung clusters says how far \
            they are."
                .into(),
            class: "wide",
            ..Figure::default()
        };
        Ok(Some(Panel { section: "Components", figure }))
    }

    /// Completions of images, where the model fills in missing pixels.
    fn imputation_panel(
        &self,
        model: &Model,
        statistics: &Statistics,
        images: &DeviceImages,
    ) -> Result<Option<Panel>> {
        if self.network.imputer().is_none() {
            return Ok(None);
        }
        let rows = IMPUTED_IMAGES.min(images.count());
        let of = (rows, COMPLETIONS);
        let grid = imputation::completions(model, statistics, images, &Mask::Drawn, of, 1)?;
        let address = png_address(&grid.grid_to_fit(COMPLETIONS + 2, 2)?.png()?);
        let figure = Figure {
            title: "Missing pixels filled in".into(),
            body: format!(
                "<img class=\"pixels\" alt=\"{rows} rows: a masked image, its completions, the \
                image\" src=\"{address}\">"
            ),
            caption: "In each row a held-out image with its missing pixels grey, completions of \
            it, each the mean of p(x|z) for one sample of the latents, and the image itself."
                .into(),
            class: "wide",
            ..Figure::default()
        };
        Ok(Some(Panel { section: "Imputation", figure }))
    }

    fn loss_of(bound: Bound) -> Loss {
        let classes = bound.classes.into_iter();
        let classes = classes.flat_map(|classes| [classes.cross_entropy, classes.entropy]);
        let terms = std::iter::once(bound.log_p_x).chain(bound.kl).chain(classes).collect();
        Loss { loss: bound.loss, terms }
    }
}

/// No quantities yet of these groups.
pub(super) fn of_groups(groups: &[Group]) -> Measures {
    let part = |group: &Group| Part { key: group.key(), name: group.name() };
    Measures { parts_key: "groups", parts: groups.iter().map(part).collect(), all: Vec::new() }
}

/// The evidence lower bound of these means: all terms with weight 1, whatever the warm-up.
fn bound_nats(means: &[f64]) -> f64 {
    means[0] - means[1..].iter().sum::<f64>()
}

impl Task for LatentTask {
    fn terms(&self) -> &[String] {
        &self.terms
    }

    fn score(&self) -> Score {
        if self.is_judged_by_error {
            return Score::error_rate("share of images");
        }
        Score {
            name: "bound",
            key: "bound_1_nats",
            training_key: Some("bound_nats"),
            unit: "nats",
            direction: Direction::Up,
        }
    }

    fn announcement(&self) -> [String; 2] {
        let units = named(&self.groups, self.groups.iter().map(|group| group.units));
        [
            format!("latent units {units}"),
            format!("warm-up over {} epochs", self.bound.warmup_epochs),
        ]
    }

    fn prepare(
        &mut self,
        images: &DeviceImages,
        held_out: &DeviceImages,
        seed: u64,
        batch_size: usize,
    ) -> Result<()> {
        self.images = images.count();
        let LabelSettings { labels, classes, .. } = self.labels;
        self.is_judged_by_error = labels > 0 && held_out.single_labels().is_some();
        self.labelled = match labels {
            0 => None,
            wanted => Some(LabelledImages::choose(
                images.single_labels(),
                (wanted, classes),
                seed,
                batch_size,
                images.dtype(),
            )?),
        };
        Ok(())
    }

    fn chosen(&self) -> Option<serde_json::Value> {
        self.labelled.as_ref().map(LabelledImages::chosen)
    }

    fn batch(
        &self,
        images: &DeviceImages,
        indices: &Tensor,
        at: At,
        ranks: &Ranks,
    ) -> Result<Batch> {
        let x = images.batch(indices, at.epoch).context("gathering a batch")?;
        let labelled = self.labelled.as_ref();
        let labelled = labelled.map(|labelled| labelled.batch(images, at.step, ranks));
        Ok(Batch { x, class: None, labelled: labelled.transpose()? })
    }

    fn loss(&self, pass: &mut Pass<'_>, batch: &Batch, at: At) -> Result<Loss> {
        let objective = self.bound.objective(at.epoch);
        let bound = match &batch.labelled {
            None => bound(&*self.network, pass, &batch.x, &objective),
            Some(LabelledBatch { x: known, class, share, rows }) => {
                pass.share_labelled(rows);
                let classifier = self.network.classifier().ok_or_else(|| {
                    Error::new("bug: labels for a model without classes; please report it")
                })?;
                let [labelled_weight, unlabelled_weight, classification_weight] =
                    self.weighing.weights(*share, self.labels.classification_weight);
                let config = SemiSupervisedConfig {
                    beta: objective.beta,
                    free_bits_nats: objective.free_bits_nats,
                    samples: objective.monte_carlo_samples,
                    labelled_weight,
                    unlabelled_weight,
                    classification_weight,
                };
                let others = (unlabelled_weight > 0.0).then_some(&batch.x);
                let labelled = Labelled { x: known, class };
                semi_supervised_bound(classifier, pass, labelled, others, &config)
            }
        };
        let loss = Self::loss_of(bound.context("computing the bound")?);
        let images = batch.x.shape().sizes()[0];
        let loss = self.with_drawn_images(pass, loss, images, at.epoch);
        let loss = loss.context("training on images of the model's own")?;
        self.with_prior(pass, loss).context("computing the prior of the weights")
    }

    fn probe(&self, pass: &mut Pass<'_>, images: &DeviceImages, count: usize) -> Result<Loss> {
        let doing = "computing the bound";
        let x = images.range(0, count, 0).context(doing)?;
        let bound = bound(&*self.network, pass, &x, &ObjectiveConfig::default()).context(doing)?;
        Ok(Self::loss_of(bound))
    }

    fn schedules(&self, epoch: u64) -> Vec<(&'static str, f64)> {
        vec![("warmup", self.bound.warmup(epoch))]
    }

    fn training(&self, means: &[f64]) -> Measures {
        let (bound, classes) = means.split_at(1 + self.groups.len());
        let class = |index: usize| classes.get(index).copied().map(Quantity::Number);
        of_groups(&self.groups)
            .with("bound_nats", Place::Everywhere, Quantity::Number(bound_nats(bound)))
            .with("log_p_x_nats", Place::Everywhere, Quantity::Number(bound[0]))
            .with("kl_nats", Place::Everywhere, Quantity::PerPart(bound[1..].to_vec()))
            .with_some("label_cross_entropy_nats", Place::Everywhere, class(0))
            .with_some("class_entropy_nats", Place::Everywhere, class(1))
    }

    fn brief(&self, means: &[f64]) -> String {
        let short = |&kl: &f64| if kl < 9.95 { format!("{kl:.1}") } else { format!("{kl:.0}") };
        let bound = &means[..=self.groups.len()];
        let kl = brief(&self.groups, bound[1..].iter().map(short));
        format!("bound {:.2}, KL {kl}", bound_nats(bound))
    }

    fn recompute_statistics(
        &self,
        store: &ParameterStore,
        data: &WholeData<'_>,
        noise: (u64, u64),
        statistics: &mut Statistics,
    ) -> rung_autograd::Result<()> {
        self.network.recompute_statistics(store, data, noise, statistics)
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
        // First, for a family may not offer it.
        let every_class = match self.network.classifier().filter(|_| request.every_class) {
            Some(classifier) => {
                let of = (model, statistics);
                let Some(bound) = every_class::bound(classifier, of, images, request, stop)? else {
                    return Ok(None);
                };
                Some(bound)
            }
            None => None,
        };
        let samples = request.importance_samples;
        let evaluation =
            evaluate(&*self.network, model, statistics, images, request, stop, |done, nats| {
                progress(done, &format!("L_{samples} {nats:.2} nats"));
            })?;
        let Some(evaluation) = evaluation else { return Ok(None) };
        let judged = match (self.network.classifier(), images.single_labels()) {
            (Some(classifier), Some(labels)) => {
                let of = (model, statistics);
                let Some(judged) = judge(classifier, of, images, labels, request, stop)? else {
                    return Ok(None);
                };
                Some(judged)
            }
            _ => None,
        };
        let measure = images.measure(model.family.pixels().0);
        let measured = (evaluation, judged);
        let scores = BoundScores::new(measured, &self.groups, request, images, measure)
            .of_missing_pixels(self.network.imputer().is_some())
            .by_error(self.is_judged_by_error)
            .with_every_class(every_class);
        Ok(Some(Box::new(scores)))
    }

    fn pictures(
        &self,
        model: &Model,
        statistics: &Statistics,
        images: &DeviceImages,
        seed: u64,
        sizes: PictureSizes,
    ) -> Result<Vec<(&'static str, Picture)>> {
        let PictureSizes { samples, pairs, columns, scale } = sizes;
        let source = LatentSource::StandardNormal { layer: self.network.depth(), count: samples };
        let drawn =
            pictures::samples(model, statistics, &Wanted::means(source, seed), &mut |_, _| ())?;
        let (originals, reconstructions) =
            pictures::reconstructions(model, statistics, images, pairs.min(images.count()), seed)?;
        let mut all = vec![
            ("samples", drawn.grid_to_fit(columns, scale)?),
            (
                "reconstructions",
                originals.side_by_side(&reconstructions)?.grid_to_fit(columns, scale)?,
            ),
        ];
        let count = columns.min(images.count());
        if let Some((analogies, columns)) =
            pictures::analogies(model, statistics, images, count, seed)?
        {
            all.push(("analogies", analogies.grid_to_fit(columns, scale)?));
        }
        Ok(all)
    }

    fn panels(
        &self,
        model: &Model,
        statistics: &Statistics,
        images: &DeviceImages,
    ) -> Result<Vec<Panel>> {
        let mut panels = self.class_panels(model, statistics, images)?;
        panels.extend(self.component_panel(model, statistics)?);
        panels.extend(self.imputation_panel(model, statistics, images)?);
        Ok(panels)
    }

    fn latent(&self) -> Option<&dyn LatentModel> {
        Some(&*self.network)
    }
}

//! Latent-variable models as a task: trained on a bound of the likelihood, with labels for some
//! images where the model has classes.
//!
//! `settings.rs` is what `[objective]` holds, `labelled.rs` chooses the images of known class, `evaluation.rs` estimates the bounds and
//! `scores.rs` says them; `encoding.rs`, `pictures.rs` and `anomaly/` are what such a model is used for.

pub mod anomaly;
pub mod clusters;
pub mod encoding;
pub mod evaluation;
pub mod groups;
mod labelled;
pub mod pictures;
mod scores;
mod settings;

pub use settings::{BoundSettings, LabelSettings};

use rung_autograd::{ParameterStore, Tensor};
use rung_models::objective::{Bound, ObjectiveConfig, bound};
use rung_models::semi_supervised::{Labelled, SemiSupervisedConfig, semi_supervised_bound};
use rung_models::{Group, LatentModel, LatentSource, Pass, Statistics, WholeData};

use self::evaluation::evaluate;
use self::groups::{brief, named};
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

/// A latent-variable model and the bound that it is trained on.
#[derive(Debug)]
pub(super) struct LatentTask {
    network: Box<dyn LatentModel>,
    bound: BoundSettings,
    labels: LabelSettings,
    labelled: Option<LabelledImages>,
    groups: Vec<Group>,
    /// log p(x|z), then the KL of each group.
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
        let terms = std::iter::once("log p(x|z)".to_string()).chain(kl).collect();
        Self { network, bound, labels, labelled: None, groups, terms }
    }

    fn loss_of(bound: Bound) -> Loss {
        Loss { loss: bound.loss, terms: std::iter::once(bound.log_p_x).chain(bound.kl).collect() }
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

    fn prepare(&mut self, images: &DeviceImages, seed: u64, batch_size: usize) -> Result<()> {
        let LabelSettings { labels, classes, .. } = self.labels;
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

    fn batch(&self, images: &DeviceImages, indices: &Tensor, at: At) -> Result<Batch> {
        let x = images.batch(indices, at.epoch).context("gathering a batch")?;
        let labelled =
            self.labelled.as_ref().map(|labelled| labelled.batch(images, at.epoch, at.step));
        Ok(Batch { x, class: None, labelled: labelled.transpose()? })
    }

    fn loss(&self, pass: &mut Pass<'_>, batch: &Batch, at: At) -> Result<Loss> {
        let objective = self.bound.objective(at.epoch);
        let bound = match &batch.labelled {
            None => bound(&*self.network, pass, &batch.x, &objective),
            Some(LabelledBatch { x: known, class, share }) => {
                let classifier = self.network.classifier().ok_or_else(|| {
                    Error::new("bug: labels for a model without classes; please report it")
                })?;
                let config = SemiSupervisedConfig {
                    beta: objective.beta,
                    free_bits_nats: objective.free_bits_nats,
                    labelled_share: *share,
                    classification_weight: self.labels.classification_weight,
                };
                semi_supervised_bound(
                    classifier,
                    pass,
                    Labelled { x: known, class },
                    &batch.x,
                    &config,
                )
            }
        };
        Ok(Self::loss_of(bound.context("computing the bound")?))
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
        of_groups(&self.groups)
            .with("bound_nats", Place::Everywhere, Quantity::Number(bound_nats(means)))
            .with("log_p_x_nats", Place::Everywhere, Quantity::Number(means[0]))
            .with("kl_nats", Place::Everywhere, Quantity::PerPart(means[1..].to_vec()))
    }

    fn brief(&self, means: &[f64]) -> String {
        let short = |&kl: &f64| if kl < 9.95 { format!("{kl:.1}") } else { format!("{kl:.0}") };
        format!(
            "bound {:.2}, KL {}",
            bound_nats(means),
            brief(&self.groups, means[1..].iter().map(short))
        )
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
        let samples = request.importance_samples;
        let evaluation =
            evaluate(&*self.network, model, statistics, images, request, stop, |done, nats| {
                progress(done, &format!("L_{samples} {nats:.2} nats"));
            })?;
        let measure = images.measure(model.family.pixels().0);
        let scores =
            |evaluation| BoundScores::new(evaluation, &self.groups, request, images, measure);
        Ok(evaluation.map(|evaluation| Box::new(scores(evaluation)) as Box<dyn Scores>))
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
        let pairs =
            pictures::reconstructions(model, statistics, images, pairs.min(images.count()), seed)?;
        Ok(vec![
            ("samples", drawn.grid(columns, scale)?),
            ("reconstructions", pairs.grid(columns, scale)?),
        ])
    }

    /// Samples of each component, where the prior of the top is a mixture.
    fn panels(
        &self,
        model: &Model,
        statistics: &Statistics,
        _images: &DeviceImages,
    ) -> Result<Vec<Panel>> {
        let Some(clusters) = self.network.clusters() else { return Ok(Vec::new()) };
        let samples = clusters::samples(model, statistics, SAMPLES_OF_COMPONENT, 1)?;
        let address = png_address(&samples.grid(SAMPLES_OF_COMPONENT, 2)?.png()?);
        let figure = Figure {
            title: "Samples of each component".into(),
            body: format!(
                "<img class=\"pixels\" alt=\"{} rows of images, one for each component of the prior\" src=\"{address}\">",
                clusters.count()
            ),
            caption: "A row for each component of the mixture that is the prior of the top layer. Where components are classes, \
                      a row shows images of one; rung clusters says how far they are."
                .into(),
            class: "wide",
        };
        Ok(vec![Panel { section: "Components", figure }])
    }

    fn latent(&self) -> Option<&dyn LatentModel> {
        Some(&*self.network)
    }
}

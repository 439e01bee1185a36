//! BIVA or one of its relatives as a whole: both passes, the samples, and sampling from the prior.

use rung_autograd::ops::{Gaussian, concat};
use rung_autograd::{Error, ParameterList, Result, Shape, Tensor};

use super::config::{BivaConfig, Paths, StageObservation};
use super::generative::{Descent, Generative, StageDistributions};
use super::inference::{Inference, StageFeatures};
use crate::labelled::{
    ClassTerms, Classifier, Labelled, check_classes, classes_in_turn, likeliest_class,
};
use crate::latent::{
    Group, Latent, LatentModel, LatentSource, Posterior, Prior, Sampled, SampledClass,
    no_layer_left, starts_at_top,
};
use crate::layers::Builder;
use crate::map_shape::repeat_maps;
use crate::observation::ObservationParameters;
use crate::pass::Pass;
use crate::share::RowsOf;
use crate::statistics::StatisticsList;
use crate::steps::Recorded;

/// A model of the family of the [module](super).
#[derive(Clone, Debug)]
pub struct Biva {
    config: BivaConfig,
    pub(super) inference: Inference,
    pub(super) generative: Generative,
}

/// The two groups of a stage, or the one there is.
#[derive(Debug, Default)]
struct StageLatents {
    bottom_up: Option<Latent>,
    top_down: Option<Latent>,
}

/// Where the latents below the top are from.
enum From<'a> {
    /// From q, by what the bottom-up pass found, but for the lowest layers, which are drawn from p.
    Posterior { stages: &'a mut [StageFeatures], skipped_layers: usize },
    /// From p; the layers above this one have one noise for all rows.
    Prior { shared_above: usize },
}

impl From<'_> {
    /// What the bottom-up pass found at a layer (from 1), if that is to be used.
    fn inferred(&mut self, layer: usize) -> Option<&mut StageFeatures> {
        match self {
            Self::Posterior { stages, skipped_layers } if layer > *skipped_layers => {
                stages.get_mut(layer - 1)
            }
            _ => None,
        }
    }

    fn is_shared(&self, layer: usize) -> bool {
        matches!(self, Self::Prior { shared_above } if layer > *shared_above)
    }
}

impl Biva {
    /// Adds the model's parameters to the list; there are no statistics.
    ///
    /// # Errors
    /// `Argument` if the configuration makes no model.
    pub fn new(
        config: BivaConfig,
        parameters: &mut ParameterList,
        statistics: &mut StatisticsList,
    ) -> Result<Self> {
        config.check()?;
        config.check_image()?;
        let mut builder = Builder::new(parameters, statistics);
        let inference = Inference::new(&mut builder, &config);
        let generative = Generative::new(&mut builder, &config);
        Ok(Self { config, inference, generative })
    }

    /// What the model was made from.
    #[must_use]
    pub const fn config(&self) -> &BivaConfig {
        &self.config
    }

    /// Rows of planar images as feature maps; values of a mixture of logistics are moved from
    /// [0, 1] to [−1, 1].
    fn maps(&self, x: &Tensor) -> Result<Tensor> {
        let maps = self.config.image.maps("biva", x)?;
        match self.config.observation {
            StageObservation::Bernoulli => Ok(maps),
            StageObservation::LogisticMixture => maps.affine(2.0, -1.0),
        }
    }

    /// The position of a stage's first group among all groups.
    fn first_group(&self, index: usize) -> usize {
        if self.config.paths == Paths::Bidirectional { 2 * index } else { index }
    }

    /// Samples of a stage's groups given what is above: from q where the findings of the bottom-up
    /// pass are given, else from p.
    fn sample_stage(
        &self,
        pass: &Pass<'_>,
        index: usize,
        distributions: StageDistributions,
        bottom_up: Option<(Gaussian, Tensor)>,
        is_shared: bool,
    ) -> Result<StageLatents> {
        let StageDistributions { p_bottom_up, p_top_down, q_top_down } = distributions;
        let first = self.first_group(index);
        let mut latents = StageLatents::default();
        if let Some(p) = p_bottom_up {
            let (q, z) = match bottom_up {
                Some(found) => found,
                None => (p.clone(), pass.sample_prior(first + 1, &p, is_shared)?),
            };
            latents.bottom_up = Some(Latent { q, p: Prior::Gaussian(p), z });
        }
        if let Some(p) = p_top_down {
            let position = first + usize::from(latents.bottom_up.is_some());
            let (q, z) = match q_top_down {
                Some(q) => {
                    let z = sample_posterior(pass, position, &q)?;
                    (q, z)
                }
                None => (p.clone(), pass.sample_prior(position + 1, &p, is_shared)?),
            };
            latents.top_down = Some(Latent { q, p: Prior::Gaussian(p), z });
        }
        Ok(latents)
    }

    /// The bottom-up pass, with a sample of every bottom-up group.
    fn ascend(&self, pass: &mut Pass<'_>, x: &Tensor) -> Result<Vec<StageFeatures>> {
        let draw = |pass: &mut Pass<'_>, index: usize, q: &Gaussian| {
            sample_posterior(pass, self.first_group(index), q)
        };
        self.inference.forward(pass, x, self.config.skips, draw)
    }

    /// For each row of `like` 1 at the next class in turn and 0 elsewhere; `None` without classes.
    fn classes_in_turn(&self, like: &Tensor) -> Result<Option<Tensor>> {
        let (rows, classes) = (like.shape().sizes()[0], self.config.classes);
        let in_turn = || classes_in_turn(like.device(), like.dtype(), rows, classes);
        (classes > 0).then(in_turn).transpose()
    }

    /// log p(y) in nats: all classes are as likely.
    fn log_p_class(&self) -> f64 {
        -(self.config.classes as f64).ln()
    }

    /// Samples of z_L and the top-down groups given what the bottom-up pass found and the class.
    fn sample_given(
        &self,
        pass: &mut Pass<'_>,
        stages: &mut [StageFeatures],
        class: Option<&Tensor>,
        skipped_layers: usize,
    ) -> Result<Sampled> {
        let q = self.inference.top(pass, stages, class)?;
        let z = sample_posterior(pass, self.groups().len() - 1, &q)?;
        let (stages, p_x) =
            self.descend(pass, &z, class, From::Posterior { stages, skipped_layers })?;
        let kept = stages.into_iter().skip(skipped_layers);
        let mut latents: Vec<Latent> =
            kept.flat_map(|stage| stage.bottom_up.into_iter().chain(stage.top_down)).collect();
        latents.push(Latent { q, p: Prior::StandardNormal, z });
        let class = class.map(|_| SampledClass { log_p: self.log_p_class(), log_q: None });
        Ok(Sampled { latents, p_x, class })
    }

    /// From z_L, and the class where there are classes, down to the data. Gives the latents of each
    /// stage below the top, nearest to the data first.
    fn descend(
        &self,
        pass: &mut Pass<'_>,
        top: &Tensor,
        class: Option<&Tensor>,
        mut source: From<'_>,
    ) -> Result<(Vec<StageLatents>, ObservationParameters)> {
        let mut descent = Descent::default();
        let mut latents: Vec<StageLatents> = Vec::with_capacity(self.config.depth());
        for index in (0..self.config.depth()).rev() {
            let samples = match latents.last() {
                None => vec![top.clone()],
                Some(stage) => stage
                    .top_down
                    .iter()
                    .chain(&stage.bottom_up)
                    .map(|latent| latent.z.clone())
                    .collect(),
            };
            let inferred = if index > 0 { source.inferred(index) } else { None };
            let features = inferred.as_ref().and_then(|stage| stage.deterministic.clone());
            let samples: Vec<&Tensor> = samples.iter().collect();
            let distributions = self.generative.descend(
                pass,
                &mut descent,
                index,
                &samples,
                class,
                features.as_ref(),
            )?;
            if let Some(distributions) = distributions {
                let bottom_up = inferred.and_then(|stage| stage.group.take());
                let is_shared = source.is_shared(index);
                latents.push(self.sample_stage(
                    pass,
                    index - 1,
                    distributions,
                    bottom_up,
                    is_shared,
                )?);
            }
        }
        latents.reverse();
        Ok((latents, self.generative.observe(pass, descent)?))
    }

    /// Samples from the generative model, of these classes or of every class in turn.
    fn generate_with(
        &self,
        pass: &mut Pass<'_>,
        source: &LatentSource,
        class: Option<&Tensor>,
    ) -> Result<ObservationParameters> {
        let depth = self.config.depth();
        let top = |pass: &Pass<'_>, rows: usize| {
            let groups = self.groups();
            pass.prior_noise(groups.len(), Shape::from([rows, groups[groups.len() - 1].units]))
        };
        let (z, source) = match source {
            LatentSource::StandardNormal { layer, count } => {
                starts_at_top(*layer, depth)?;
                (top(pass, *count)?, From::Prior { shared_above: depth })
            }
            LatentSource::SharedAbove { layer, count } if *layer < depth => {
                (top(pass, 1)?.repeat_rows(*count)?, From::Prior { shared_above: *layer })
            }
            LatentSource::SharedAbove { count, .. } => {
                (top(pass, *count)?, From::Prior { shared_above: depth })
            }
            LatentSource::Given { layer, z } => {
                starts_at_top(*layer, depth)?;
                (z.clone(), From::Prior { shared_above: depth })
            }
        };
        let class = match class {
            Some(class) => Some(class.clone()),
            None => self.classes_in_turn(&z)?,
        };
        Ok(self.descend(pass, &z, class.as_ref(), source)?.1)
    }

    /// One sample of the latents given a class, with log q(y|x, z) of every image: of labelled
    /// images given theirs, then of the others, if there are any, for every class in turn, row =
    /// image · classes + class.
    ///
    /// # Errors
    /// `Shape` if the sizes do not fit.
    pub fn sample_for_classes(
        &self,
        pass: &mut Pass<'_>,
        labelled: Labelled<'_>,
        others: Option<&Tensor>,
    ) -> Result<(Tensor, Sampled)> {
        let (classes, known) = (self.config.classes, labelled.x.shape().sizes()[0]);
        check_classes("sample_for_classes", labelled.class, known, classes)?;
        let x = match others {
            Some(others) => concat(&[labelled.x, others], 0)?,
            None => labelled.x.clone(),
        };
        let stages = self.ascend(pass, &self.maps(&x)?)?;
        let class_log_probs =
            self.inference.class_log_probs(pass, &stages)?.ok_or_else(no_classes)?;
        let change = |rows: &Tensor| for_every_class(rows, known, classes);
        let mut stages =
            stages.into_iter().map(|stage| stage.with_rows(change)).collect::<Result<Vec<_>>>()?;
        let class = match others.map(|others| others.shape().sizes()[0]) {
            Some(others @ 1..) => {
                let (device, dtype) = (x.device(), x.dtype());
                let in_turn = classes_in_turn(device, dtype, others * classes, classes)?;
                concat(&[labelled.class, &in_turn], 0)?
            }
            _ => labelled.class.clone(),
        };
        let sampled = self.sample_given(pass, &mut stages, Some(&class), 0)?;
        Ok((class_log_probs, sampled))
    }
}

/// q(z|x) of some images. Samples are drawn from the first layer on, so that nothing of the
/// bottom-up pass exists once per image. With the deterministic one of the LVAE too, each sample
/// has its own: K complete passes (specification B, section 12).
#[derive(Debug)]
struct BivaPosterior<'a> {
    model: &'a Biva,
    images: Tensor,
}

impl Posterior for BivaPosterior<'_> {
    fn sample_above(
        &self,
        pass: &mut Pass<'_>,
        samples: usize,
        skipped_layers: usize,
    ) -> Result<Sampled> {
        let Self { model, images } = self;
        if skipped_layers >= model.config.depth() {
            return Err(no_layer_left(skipped_layers, model.config.depth()));
        }
        let x = repeat_maps(images, samples)?;
        let mut stages = model.ascend(pass, &x)?;
        let log_q = model.inference.class_log_probs(pass, &stages)?;
        let class = log_q.as_ref().map(likeliest_class).transpose()?;
        let sampled = model.sample_given(pass, &mut stages, class.as_ref(), skipped_layers)?;
        let class = sampled.class.map(|class| SampledClass { log_q, ..class });
        Ok(Sampled { class, ..sampled })
    }
}

impl LatentModel for Biva {
    fn data_size(&self) -> usize {
        self.config.image.units()
    }

    fn groups(&self) -> Vec<Group> {
        let mut groups = Vec::new();
        let maps = self.config.stage_maps();
        for (index, (stage, &map)) in self.config.stages.iter().zip(&maps).enumerate() {
            let (layer, units) = (index + 1, stage.latent.units(map));
            if self.config.paths == Paths::Bidirectional && layer < self.config.depth() {
                groups.extend(["bottom-up", "top-down"].map(|role| Group {
                    layer,
                    role,
                    own_name: None,
                    units,
                }));
            } else {
                groups.push(Group { layer, role: "", own_name: None, units });
            }
        }
        groups
    }

    fn infer_bottom_up<'a>(
        &'a self,
        _pass: &mut Pass<'_>,
        x: &Tensor,
    ) -> Result<Box<dyn Posterior + 'a>> {
        Ok(Box::new(BivaPosterior { model: self, images: self.maps(x)? }))
    }

    fn generate(
        &self,
        pass: &mut Pass<'_>,
        source: &LatentSource,
    ) -> Result<ObservationParameters> {
        self.generate_with(pass, source, None)
    }

    fn generative_steps(&self, pass: &Pass<'_>) -> Result<Recorded> {
        let units: Vec<usize> = self.groups().iter().map(|group| group.units).collect();
        self.generative.record(pass, &units, self.config.classes)
    }

    fn classifier(&self) -> Option<&dyn Classifier> {
        (self.config.classes > 0).then_some(self)
    }

    /// Not for a bottom-up group: its prior is conditioned on samples that depend on its own.
    fn has_analytic_kl(&self, group: usize) -> bool {
        match self.config.paths {
            Paths::TopDown => true,
            Paths::BottomUp => group + 1 == self.config.depth(),
            Paths::Bidirectional => group % 2 == 1 || group + 1 == self.groups().len(),
        }
    }
}

impl Classifier for Biva {
    fn classes(&self) -> usize {
        self.config.classes
    }

    fn class_terms(
        &self,
        pass: &mut Pass<'_>,
        labelled: Labelled<'_>,
        others: Option<&Tensor>,
        samples: usize,
    ) -> Result<ClassTerms> {
        let x = labelled.x.repeat_rows(samples)?;
        let class = labelled.class.repeat_rows(samples)?;
        let others = others.map(|others| others.repeat_rows(samples)).transpose()?;
        let labelled = Labelled { x: &x, class: &class };
        let (class_log_probs, sampled) = pass.with_rows(RowsOf::Both(samples), |pass| {
            self.sample_for_classes(pass, labelled, others.as_ref())
        })?;
        let all = match &others {
            Some(others) => concat(&[&x, others], 0)?,
            None => x.clone(),
        };
        let images = for_every_class(&all, x.shape().sizes()[0], self.config.classes)?;
        Ok(ClassTerms {
            class_log_probs,
            log_p_x: sampled.p_x.log_prob(&images)?,
            kl: sampled.log_ratios()?,
            log_p_class: self.log_p_class(),
        })
    }

    fn class_log_probs(&self, pass: &mut Pass<'_>, x: &Tensor, samples: usize) -> Result<Tensor> {
        let stages = self.ascend(pass, &self.maps(&x.repeat_rows(samples)?)?)?;
        self.inference.class_log_probs(pass, &stages)?.ok_or_else(no_classes)
    }

    fn generate_of(
        &self,
        pass: &mut Pass<'_>,
        source: &LatentSource,
        class: &Tensor,
    ) -> Result<ObservationParameters> {
        check_classes("generate", class, source.count(), self.config.classes)?;
        self.generate_with(pass, source, Some(class))
    }
}

/// The first `labelled` rows, then every other one `classes` times in a row.
fn for_every_class(x: &Tensor, labelled: usize, classes: usize) -> Result<Tensor> {
    let shape = *x.shape();
    let rows = shape.sizes()[0];
    let flat = x.reshape([rows, shape.element_count() / rows.max(1)])?;
    let others = flat.slice(0, labelled, rows - labelled)?.repeat_rows(classes)?;
    let all = concat(&[&flat.slice(0, 0, labelled)?, &others], 0)?;
    all.reshape(shape.with_axis(0, labelled + (rows - labelled) * classes))
}

/// A sample of the group at this position from its q.
fn sample_posterior(pass: &Pass<'_>, group: usize, q: &Gaussian) -> Result<Tensor> {
    q.sample_with(&pass.posterior_noise(group + 1, *q.mean.shape())?)
}

fn no_classes() -> Error {
    Error::argument("classify", "the model has no classes")
}

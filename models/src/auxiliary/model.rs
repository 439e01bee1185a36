//! ADGM, SDGM or M2 as a whole: the inference model, the generative model, and what learning from
//! few labels asks of them.

use rung_autograd::ops::{Gaussian, concat};
use rung_autograd::{Error, ParameterId, ParameterList, ParameterStore, Result, Shape, Tensor};

use super::config::AuxiliaryConfig;
use super::network::{Classes, Head, Input, Network, total};
use super::posterior::AuxiliaryPosterior;
use crate::hierarchy::Observation;
use crate::labelled::{
    ClassTerms, Classifier, Labelled, check_classes, classes_in_turn, likeliest_class,
};
use crate::latent::{Group, LatentModel, LatentSource, Posterior, WholeData, starts_at_top};
use crate::layers::Builder;
use crate::observation::ObservationParameters;
use crate::pass::Pass;
use crate::share::RowsOf;
use crate::statistics::{Statistics, StatisticsList};
use crate::steps::{Choice, Deviation, GenerativeSteps, Recorded, StepPixels, StepRecorder};

/// A model of the family of the [module](super).
///
/// Its networks are `inference.auxiliary` (q(a|x)), `inference.class` (q(y|a, x)),
/// `inference.latent` (q(z|a, y, x)), `generative.auxiliary` (p(a|·)) and `generative.image`
/// (p(x|·)), each with `hidden.0.weight.image` and the like, `hidden.1.weight`, `head.weight`.
#[derive(Clone, Debug)]
pub struct AuxiliaryModel {
    config: AuxiliaryConfig,
    pub(super) q_a: Option<Network>,
    pub(super) q_y: Option<Network>,
    pub(super) q_z: Network,
    pub(super) p_a: Option<Network>,
    pub(super) p_x: Network,
}

/// What exists once per image: q(a|x), and the image's part in the first layers of the networks
/// that read it.
#[derive(Debug)]
pub(super) struct OfImages {
    pub(super) q_a: Option<Gaussian>,
    pub(super) to_class: Option<Tensor>,
    pub(super) to_latent: Tensor,
    pub(super) to_auxiliary: Option<Tensor>,
}

/// What exists once per sample of a, whatever the class: row = image · samples + sample.
#[derive(Debug)]
pub(super) struct Features {
    /// q(a|x) and the sample.
    pub(super) auxiliary: Option<(Gaussian, Tensor)>,
    /// log q(y|a, x).
    pub(super) class_log_probs: Option<Tensor>,
    /// The parts of image and a in the first layer of q(z|a, y, x), and of the image in that of
    /// p(a|x, y, z).
    to_latent: Tensor,
    pub(super) to_auxiliary: Option<Tensor>,
}

/// Whose noise is drawn: images with a label have noise of their own in a step that sees both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Images,
    LabelledImages,
}

impl AuxiliaryModel {
    /// Adds the model's parameters and statistics to the lists.
    ///
    /// # Errors
    /// `Argument` if the configuration makes no model.
    pub fn new(
        config: AuxiliaryConfig,
        parameters: &mut ParameterList,
        statistics: &mut StatisticsList,
    ) -> Result<Self> {
        use Input::{Auxiliary, Class, Image, Latent};
        config.check()?;
        config.check_data()?;
        let mut builder = Builder::new(parameters, statistics);
        let auxiliary = config.has_auxiliary();
        let from = |inputs: &[(bool, Input)]| {
            inputs
                .iter()
                .filter(|(is_read, _)| *is_read)
                .map(|(_, input)| *input)
                .collect::<Vec<_>>()
        };
        let mut network = |place: &str, name: &str, inputs: &[(bool, Input)], head: Head| {
            Network::new(&mut builder.at(place).at(name), &config, &from(inputs), head)
        };
        let (a, z) = (config.auxiliary_units, config.latent_units);
        let q_a = auxiliary
            .then(|| network("inference", "auxiliary", &[(true, Image)], Head::Gaussian(a)));
        let q_y = (config.classes > 0).then(|| {
            let inputs = [(true, Image), (auxiliary, Auxiliary)];
            network("inference", "class", &inputs, Head::Logits(config.classes))
        });
        let inputs = [(true, Image), (auxiliary, Auxiliary), (true, Class)];
        let q_z = network("inference", "latent", &inputs, Head::Gaussian(z));
        let p_a = auxiliary.then(|| {
            let inputs = [(config.auxiliary_sees_image(), Image), (true, Latent), (true, Class)];
            network("generative", "auxiliary", &inputs, Head::Gaussian(a))
        });
        let head = match config.observation {
            Observation::Bernoulli => Head::Logits(config.data_size),
            Observation::Gaussian => Head::Gaussian(config.data_size),
        };
        let inputs =
            [(config.generates_from_auxiliary(), Auxiliary), (true, Latent), (true, Class)];
        let p_x = network("generative", "image", &inputs, head);
        Ok(Self { q_a, q_y, q_z, p_a, p_x, config })
    }

    /// What the model was made from.
    #[must_use]
    pub const fn config(&self) -> &AuxiliaryConfig {
        &self.config
    }

    /// The position of a group, from 1: a, then z.
    fn position(&self, of: Of, is_latent: bool) -> usize {
        let groups = 1 + usize::from(self.config.has_auxiliary());
        let position = if is_latent { groups } else { 1 };
        position + if of == Of::LabelledImages { groups } else { 0 }
    }

    /// What exists once per image.
    pub(super) fn of_images(&self, pass: &mut Pass<'_>, x: &Tensor) -> Result<OfImages> {
        if x.shape().rank() != 2 || x.shape().last() != self.config.data_size {
            let rule = format!("x must be [batch, {}]", self.config.data_size);
            return Err(Error::shape("auxiliary", rule, &[("x", *x.shape())]));
        }
        let limit = self.config.log_variance_limit;
        let q_a = self.q_a.as_ref().map(|network| {
            let sum = total([network.product(pass, Input::Image, x)?])?;
            network.gaussian(pass, &sum, limit)
        });
        let product = |network: &Option<Network>| match network {
            Some(network) => network.product(pass, Input::Image, x),
            None => Ok(None),
        };
        Ok(OfImages {
            to_class: product(&self.q_y)?,
            to_latent: total([self.q_z.product(pass, Input::Image, x)?])?,
            to_auxiliary: product(&self.p_a)?,
            q_a: q_a.transpose()?,
        })
    }

    /// `samples` samples of a for each image, and what follows from them before a class is known.
    pub(super) fn features(
        &self,
        pass: &mut Pass<'_>,
        images: &OfImages,
        samples: usize,
        of: Of,
    ) -> Result<Features> {
        let repeated =
            |part: &Option<Tensor>| part.as_ref().map(|part| part.repeat_rows(samples)).transpose();
        let auxiliary = images.q_a.as_ref().map(|q| {
            let q = q.repeat_rows(samples)?;
            let noise = pass.posterior_noise(self.position(of, false), *q.mean.shape())?;
            let a = q.sample_with(&noise)?;
            Ok::<_, Error>((q, a))
        });
        let auxiliary = auxiliary.transpose()?;
        let a = auxiliary.as_ref().map(|(_, a)| a);
        Ok(Features {
            class_log_probs: self.classify(pass, repeated(&images.to_class)?, a)?,
            to_latent: total([
                Some(images.to_latent.repeat_rows(samples)?),
                of_auxiliary(&self.q_z, pass, a)?,
            ])?,
            to_auxiliary: repeated(&images.to_auxiliary)?,
            auxiliary,
        })
    }

    /// log q(y|a, x), if there are classes, from the image's part in the first layer.
    pub(super) fn classify(
        &self,
        pass: &mut Pass<'_>,
        of_image: Option<Tensor>,
        a: Option<&Tensor>,
    ) -> Result<Option<Tensor>> {
        let Some(network) = &self.q_y else { return Ok(None) };
        let sum = total([of_image, of_auxiliary(network, pass, a)?])?;
        network.outputs(pass, &sum)?.log_softmax(1).map(Some)
    }

    /// q(z|a, y, x) and a sample of it.
    pub(super) fn sample_latent(
        &self,
        pass: &mut Pass<'_>,
        features: &Features,
        classes: Classes<'_>,
        of: Of,
    ) -> Result<(Gaussian, Tensor)> {
        let sum = self.q_z.sum(pass, Some(features.to_latent.clone()), None, classes)?;
        let q = self.q_z.gaussian(pass, &sum, self.config.log_variance_limit)?;
        let (group, rows_each) = (self.position(of, true), classes.rows_each());
        let noise = pass.posterior_noise_of_each(group, *q.mean.shape(), rows_each)?;
        let z = q.sample_with(&noise)?;
        Ok((q, z))
    }

    /// p(a|·) given z and the class, and the image's part in the first layer where it reads that.
    pub(super) fn auxiliary_prior(
        &self,
        pass: &mut Pass<'_>,
        of_image: Option<Tensor>,
        z: &Tensor,
        classes: Classes<'_>,
    ) -> Result<Option<Gaussian>> {
        let Some(network) = &self.p_a else { return Ok(None) };
        let own = network.product(pass, Input::Latent, z)?;
        let sum = network.sum(pass, of_image, own, classes)?;
        network.gaussian(pass, &sum, self.config.log_variance_limit).map(Some)
    }

    /// p(x|·) given z, the class and, in the SDGM, a.
    pub(super) fn observe(
        &self,
        pass: &mut Pass<'_>,
        a: Option<&Tensor>,
        z: &Tensor,
        classes: Classes<'_>,
    ) -> Result<ObservationParameters> {
        let shared = of_auxiliary(&self.p_x, pass, a)?;
        let own = self.p_x.product(pass, Input::Latent, z)?;
        let sum = self.p_x.sum(pass, shared, own, classes)?;
        Ok(match self.config.observation {
            Observation::Bernoulli => {
                ObservationParameters::Bernoulli(self.p_x.outputs(pass, &sum)?)
            }
            Observation::Gaussian => {
                let limit = self.config.log_variance_limit;
                ObservationParameters::Gaussian(self.p_x.gaussian(pass, &sum, limit)?)
            }
        })
    }

    /// The terms of one kind of images; `others` says whether the step sees images without a label
    /// too. Batch normalisation uses the statistics of these rows alone, and averages those of
    /// networks that read no class over all images, of the others over images whose class is known:
    /// enumerated classes are not how the data are (specification, section 11.1).
    fn terms(
        &self,
        pass: &mut Pass<'_>,
        x: &Tensor,
        class: Option<&Tensor>,
        samples: usize,
        others: bool,
    ) -> Result<ClassTerms> {
        let of = if class.is_some() { Of::LabelledImages } else { Of::Images };
        let features = pass.averaging(class.is_none() || !others, |pass| {
            let images = self.of_images(pass, x)?;
            self.features(pass, &images, samples, of)
        })?;
        let class_log_probs = features.class_log_probs.clone().ok_or_else(no_classes)?;
        let repeated = class.map(|class| class.repeat_rows(samples)).transpose()?;
        let classes = match &repeated {
            Some(class) => Classes::Given(class),
            None => Classes::Every(self.config.classes),
        };
        let (latent_kl, p_a, log_p_x) = pass.averaging(class.is_some(), |pass| {
            let (q_z, z) = self.sample_latent(pass, &features, classes, of)?;
            let p_a = self.auxiliary_prior(pass, features.to_auxiliary.clone(), &z, classes)?;
            let a = features.auxiliary.as_ref().map(|(_, a)| a);
            let p_x = self.observe(pass, a, &z, classes)?;
            Ok::<_, Error>((q_z.log_ratio(None, &z)?, p_a, p_x.log_prob(x)?))
        })?;
        let mut kl = Vec::with_capacity(2);
        if let (Some((q_a, a)), Some(p_a)) = (&features.auxiliary, &p_a) {
            // log q(a|x) once per sample, log p(a|·) once per class too.
            let (rows, each) = (a.shape().sizes()[0], classes.rows_each());
            let log_q = q_a.log_prob(a)?.reshape([rows, 1])?;
            let log_p = p_a.log_prob(a)?.reshape([rows, each])?;
            kl.push(log_q.sub(&log_p)?.reshape([rows * each])?);
        }
        kl.push(latent_kl);
        Ok(ClassTerms { class_log_probs, log_p_x, kl, log_p_class: self.log_p_class() })
    }

    /// log p(y) in nats: all classes are as likely.
    pub(super) fn log_p_class(&self) -> f64 {
        -(self.config.classes as f64).ln()
    }

    /// Samples from the generative model; the class of each, if there are classes.
    fn generate_with(
        &self,
        pass: &mut Pass<'_>,
        source: &LatentSource,
        class: Option<&Tensor>,
    ) -> Result<ObservationParameters> {
        let depth = self.depth();
        let top = |pass: &Pass<'_>, rows: usize| {
            let shape = Shape::from([rows, self.config.latent_units]);
            pass.prior_noise(self.position(Of::Images, true), shape)
        };
        let (z, is_auxiliary_shared) = match source {
            LatentSource::StandardNormal { layer, count } => {
                starts_at_top(*layer, depth)?;
                (top(pass, *count)?, false)
            }
            LatentSource::SharedAbove { layer, count } if *layer < depth => {
                (top(pass, 1)?.repeat_rows(*count)?, *layer == 0)
            }
            LatentSource::SharedAbove { count, .. } => (top(pass, *count)?, false),
            LatentSource::Given { layer, z } => {
                starts_at_top(*layer, depth)?;
                (z.clone(), false)
            }
        };
        let rows = z.shape().sizes()[0];
        let in_turn = match (class, self.config.classes) {
            (None, 1..) => Some(classes_in_turn(z.device(), z.dtype(), rows, self.config.classes)?),
            _ => None,
        };
        let classes = match class.or(in_turn.as_ref()) {
            Some(class) => Classes::Given(class),
            None => Classes::None,
        };
        let a = if self.config.generates_from_auxiliary() {
            self.draw_auxiliary(pass, &z, classes, is_auxiliary_shared)?
        } else {
            None
        };
        self.observe(pass, a.as_ref(), &z, classes)
    }

    /// The generative model as steps.
    fn record(&self, pass: &Pass<'_>) -> Result<GenerativeSteps> {
        let AuxiliaryConfig { classes, latent_units, auxiliary_units, .. } = self.config;
        let mut recorder = StepRecorder::new(pass);
        let class = (classes > 0).then(|| recorder.choice(Choice::Class, classes));
        let group = |is_latent| self.position(Of::Images, is_latent) - 1;
        let z = recorder.sample(group(true), latent_units);
        let mut inputs = vec![(Input::Latent, Some(z)), (Input::Class, class)];
        if let (true, Some(network)) = (self.config.generates_from_auxiliary(), &self.p_a) {
            let head = network.record(&mut recorder, &inputs)?;
            let mean = recorder.channels(head, 0, auxiliary_units);
            let log_variance = recorder.channels(head, auxiliary_units, auxiliary_units);
            let log_variance = recorder.clamp(log_variance, self.config.log_variance_limit);
            let head = recorder.beside(&[mean, log_variance]);
            recorder.gaussian(group(false), head, Deviation::Exp);
            inputs.push((Input::Auxiliary, Some(recorder.sample(group(false), auxiliary_units))));
        }
        self.p_x.record(&mut recorder, &inputs)?;
        Ok(recorder.finish(match self.config.observation {
            Observation::Bernoulli => StepPixels::Logits,
            Observation::Gaussian => StepPixels::Means,
        }))
    }

    /// A sample of p(a|y, z), with noise of its own for every row or one for all.
    pub(super) fn draw_auxiliary(
        &self,
        pass: &mut Pass<'_>,
        z: &Tensor,
        classes: Classes<'_>,
        is_shared: bool,
    ) -> Result<Option<Tensor>> {
        let Some(p_a) = self.auxiliary_prior(pass, None, z, classes)? else { return Ok(None) };
        pass.sample_prior(self.position(Of::Images, false), &p_a, is_shared).map(Some)
    }
}

/// a's part in the first layer of a network, if it reads a.
pub(super) fn of_auxiliary(
    network: &Network,
    pass: &Pass<'_>,
    a: Option<&Tensor>,
) -> Result<Option<Tensor>> {
    match a {
        Some(a) => network.product(pass, Input::Auxiliary, a),
        None => Ok(None),
    }
}

impl LatentModel for AuxiliaryModel {
    fn data_size(&self) -> usize {
        self.config.data_size
    }

    /// a, if there is one, then z: the order of the SDGM's generative model, from the data upwards.
    fn groups(&self) -> Vec<Group> {
        let AuxiliaryConfig { auxiliary_units, latent_units, .. } = self.config;
        let mut units = vec![("z", latent_units)];
        if self.config.has_auxiliary() {
            units.insert(0, ("a", auxiliary_units));
        }
        let group = |((name, units), layer)| Group { layer, role: "", own_name: Some(name), units };
        units.into_iter().zip(1..).map(group).collect()
    }

    fn infer_bottom_up<'a>(
        &'a self,
        pass: &mut Pass<'_>,
        x: &Tensor,
    ) -> Result<Box<dyn Posterior + 'a>> {
        Ok(Box::new(AuxiliaryPosterior::new(self, self.of_images(pass, x)?)))
    }

    fn generate(
        &self,
        pass: &mut Pass<'_>,
        source: &LatentSource,
    ) -> Result<ObservationParameters> {
        self.generate_with(pass, source, None)
    }

    fn generative_steps(&self, pass: &Pass<'_>) -> Result<Recorded> {
        self.record(pass).map(Ok)
    }

    /// For z alone: p(a|·) is conditioned on z, which was drawn given a.
    fn has_analytic_kl(&self, group: usize) -> bool {
        group + 1 == self.depth()
    }

    fn recompute_statistics(
        &self,
        store: &ParameterStore,
        data: &WholeData<'_>,
        noise: (u64, u64),
        statistics: &mut Statistics,
    ) -> Result<()> {
        self.recompute_in_chunks(store, data, noise, statistics)
    }

    fn classifier(&self) -> Option<&dyn Classifier> {
        (self.config.classes > 0).then_some(self)
    }

    fn weights(&self) -> Vec<ParameterId> {
        let networks = [&self.q_a, &self.q_y, &self.p_a].into_iter().flatten();
        networks.chain([&self.q_z, &self.p_x]).flat_map(Network::weights).collect()
    }
}

impl Classifier for AuxiliaryModel {
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
        let Labelled { x, class } = labelled;
        check_classes("class_terms", class, x.shape().sizes()[0], self.config.classes)?;
        let known = pass.with_rows(RowsOf::Labelled, |pass| {
            self.terms(pass, x, Some(class), samples, others.is_some())
        })?;
        let Some(others) = others else { return Ok(known) };
        let unknown = self.terms(pass, others, None, samples, true)?;
        let joined = |(one, other): (&Tensor, &Tensor)| concat(&[one, other], 0);
        Ok(ClassTerms {
            class_log_probs: joined((&known.class_log_probs, &unknown.class_log_probs))?,
            log_p_x: joined((&known.log_p_x, &unknown.log_p_x))?,
            kl: known.kl.iter().zip(&unknown.kl).map(joined).collect::<Result<_>>()?,
            log_p_class: known.log_p_class,
        })
    }

    fn class_log_probs(&self, pass: &mut Pass<'_>, x: &Tensor, samples: usize) -> Result<Tensor> {
        let images = self.of_images(pass, x)?;
        let features = self.features(pass, &images, samples, Of::Images)?;
        features.class_log_probs.ok_or_else(no_classes)
    }

    fn log_weights_by_class(
        &self,
        pass: &mut Pass<'_>,
        x: &Tensor,
        samples: usize,
    ) -> Result<Option<Tensor>> {
        let terms = self.terms(pass, x, None, samples, false)?;
        let latents = terms.kl.iter().try_fold(terms.log_p_x, |sum, kl| sum.sub(kl))?;
        let log_weights = latents.shift(terms.log_p_class)?;
        let rows = x.shape().sizes()[0] * samples;
        log_weights.reshape([rows, self.config.classes]).map(Some)
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

    fn vary_class(&self, pass: &mut Pass<'_>, x: &Tensor) -> Result<Option<ObservationParameters>> {
        let images = self.of_images(pass, x)?;
        let features = self.features(pass, &images, 1, Of::Images)?;
        let log_q = features.class_log_probs.as_ref().ok_or_else(no_classes)?;
        let class = likeliest_class(log_q)?;
        let given = Classes::Given(&class);
        let (_, z) = self.sample_latent(pass, &features, given, Of::Images)?;
        let z = z.repeat_rows(self.config.classes)?;
        let a = features.auxiliary.as_ref().map(|(_, a)| a);
        self.observe(pass, a, &z, Classes::Every(self.config.classes)).map(Some)
    }
}

fn no_classes() -> Error {
    Error::argument("classify", "the model has no classes")
}

//! Families that `rung-models` has never heard of: its objectives take any type that has the
//! traits.

use rung_autograd::ops::concat;
use rung_autograd::{Error, ParameterList, ParameterStore};
use rung_models::objective::{ObjectiveConfig, bound};
use rung_models::semi_supervised::{SemiSupervisedConfig, semi_supervised_bound};
use rung_models::{
    ClassTerms, Classifier, Group, Labelled, Latent, LatentModel, LatentSource, Mode,
    ObservationParameters, Pass, Posterior, Prior, Sampled, Statistics, StatisticsList,
};

use super::*;

/// One layer of two units, inferred by the exact posterior.
#[derive(Debug)]
struct OneLayer;

/// What [`OneLayer`] finds of some images.
#[derive(Debug)]
struct OneLayerPosterior(Gaussian);

impl LatentModel for OneLayer {
    fn data_size(&self) -> usize {
        3
    }

    fn groups(&self) -> Vec<Group> {
        vec![Group { layer: 1, role: "", own_name: None, units: 2 }]
    }

    fn infer_bottom_up<'a>(
        &'a self,
        _pass: &mut Pass<'_>,
        x: &Tensor,
    ) -> Result<Box<dyn Posterior + 'a>> {
        let toy = Toy { device: x.device().clone(), x: x.clone() };
        Ok(Box::new(OneLayerPosterior(toy.q(0.0, 1.0)?)))
    }

    fn generate(
        &self,
        _pass: &mut Pass<'_>,
        source: &LatentSource,
    ) -> Result<ObservationParameters> {
        match source {
            LatentSource::Given { z, .. } => {
                Ok(ObservationParameters::Gaussian(Toy::likelihood(z.device(), z)?))
            }
            _ => Err(Error::argument("generate", "the toy needs a given z")),
        }
    }

    fn has_analytic_kl(&self, _group: usize) -> bool {
        true
    }
}

impl Posterior for OneLayerPosterior {
    fn sample_above(
        &self,
        pass: &mut Pass<'_>,
        samples: usize,
        skipped_layers: usize,
    ) -> Result<Sampled> {
        assert_eq!(skipped_layers, 0, "there is one layer");
        let q = self.0.repeat_rows(samples)?;
        let z = q.sample_with(&pass.posterior_noise(1, *q.mean.shape())?)?;
        let p_x = ObservationParameters::Gaussian(Toy::likelihood(z.device(), &z)?);
        Ok(Sampled { latents: vec![Latent { q, p: Prior::StandardNormal, z }], p_x, class: None })
    }
}

/// The bound of a family from outside is log p(x), as its posterior is exact.
#[test]
fn a_family_from_outside_has_its_bound() {
    let toy = Toy::new().unwrap();
    let expected = toy.log_evidence().iter().sum::<f64>() / IMAGES as f64;
    let (store, statistics) = nothing_learned(&toy.device);
    for (monte_carlo_samples, importance_samples) in [(1, 1), (3, 1), (1, 4), (2, 3)] {
        let objective = ObjectiveConfig {
            monte_carlo_samples,
            importance_samples,
            ..ObjectiveConfig::default()
        };
        let mut pass = Pass::new(&store, None, Mode::Frozen(&statistics), 3, 0);
        let found =
            -bound(&OneLayer, &mut pass, &toy.x, &objective).unwrap().loss.to_scalar().unwrap();
        assert!((found - expected).abs() < 1e-12, "{objective:?}: {found}, log p(x) is {expected}");
    }
}

/// A store without parameters, and no statistics.
fn nothing_learned(device: &Device) -> (ParameterStore, Statistics) {
    let store = ParameterList::new().build(device, DType::F64, Address::new(0, 0, 0)).unwrap();
    (store, StatisticsList::default().build(device, DType::F64).unwrap())
}

/// log p(y): all classes are as likely.
fn log_p_class() -> f64 {
    -(LOGITS.len() as f64).ln()
}

/// Logits of two pixels for each of three classes.
const LOGITS: [[f64; 2]; 3] = [[0.3, -1.2], [2.0, 0.4], [-0.7, 0.9]];

/// A mixture of Bernoulli images, one component a class, with the exact q(y|x) and no latent
/// variables.
#[derive(Debug)]
struct Mixture;

impl Mixture {
    /// log p(x|y) of each image for every class in turn: [image · classes].
    fn log_p_x(x: &Tensor) -> Result<Tensor> {
        let images = x.shape().sizes()[0];
        let logits =
            Tensor::from_f64(x.device(), LOGITS.as_flattened(), [1, 6])?.repeat_rows(images)?;
        logits.reshape([3 * images, 2])?.bernoulli_log_prob(&x.repeat_rows(3)?)
    }
}

impl Classifier for Mixture {
    fn classes(&self) -> usize {
        LOGITS.len()
    }

    fn class_terms(
        &self,
        pass: &mut Pass<'_>,
        labelled: Labelled<'_>,
        others: Option<&Tensor>,
        samples: usize,
    ) -> Result<ClassTerms> {
        let x = labelled.x.repeat_rows(samples)?;
        let logits = Tensor::from_f64(x.device(), LOGITS.as_flattened(), [3, 2])?;
        let class = labelled.class.repeat_rows(samples)?;
        let mut log_p_x = class.matmul(&logits)?.bernoulli_log_prob(&x)?;
        let mut class_log_probs = self.class_log_probs(pass, &x, 1)?;
        if let Some(others) = others {
            let others = others.repeat_rows(samples)?;
            log_p_x = concat(&[&log_p_x, &Self::log_p_x(&others)?], 0)?;
            let log_q = self.class_log_probs(pass, &others, 1)?;
            class_log_probs = concat(&[&class_log_probs, &log_q], 0)?;
        }
        Ok(ClassTerms { class_log_probs, log_p_x, kl: Vec::new(), log_p_class: log_p_class() })
    }

    fn class_log_probs(&self, _pass: &mut Pass<'_>, x: &Tensor, samples: usize) -> Result<Tensor> {
        let x = x.repeat_rows(samples)?;
        Self::log_p_x(&x)?.reshape([x.shape().sizes()[0], 3])?.log_softmax(1)
    }

    fn generate_of(
        &self,
        _pass: &mut Pass<'_>,
        _source: &LatentSource,
        class: &Tensor,
    ) -> Result<ObservationParameters> {
        let logits = Tensor::from_f64(class.device(), LOGITS.as_flattened(), [3, 2])?;
        class.matmul(&logits).map(ObservationParameters::Bernoulli)
    }
}

/// Without a label the objective is log p(x), as q(y|x) is exact; with one it is log p(x, y).
#[test]
fn a_classifier_without_latent_variables_learns_from_few_labels() {
    let device = Device::cpu();
    let (store, statistics) = nothing_learned(&device);
    let known = Tensor::from_f64(&device, &[1.0, 0.0], [1, 2]).unwrap();
    let class = Tensor::from_f64(&device, &[0.0, 1.0, 0.0], [1, 3]).unwrap();
    let unknown = Tensor::from_f64(&device, &[0.0, 0.0, 1.0, 1.0], [2, 2]).unwrap();
    let log_p = |pixels: [f64; 2], class: usize| -> f64 {
        let log_sigmoid = |logit: f64| -(-logit).exp().ln_1p();
        let pixel = |(&x, &logit): (&f64, &f64)| log_sigmoid(if x == 1.0 { logit } else { -logit });
        log_p_class() + pixels.iter().zip(&LOGITS[class]).map(pixel).sum::<f64>()
    };
    let evidence = |pixels| (0..3).map(|class| log_p(pixels, class).exp()).sum::<f64>().ln();
    let with_label = log_p([1.0, 0.0], 1);
    let without_label = f64::midpoint(evidence([0.0, 0.0]), evidence([1.0, 1.0]));
    let classified = with_label - evidence([1.0, 0.0]);

    let config = SemiSupervisedConfig {
        beta: 1.0,
        free_bits_nats: 0.0,
        samples: 1,
        labelled_weight: 0.25,
        unlabelled_weight: 0.75,
        classification_weight: 0.5,
    };
    let labelled = Labelled { x: &known, class: &class };
    let mut pass = Pass::new(&store, None, Mode::Frozen(&statistics), 3, 0);
    let found =
        semi_supervised_bound(&Mixture, &mut pass, labelled, Some(&unknown), &config).unwrap();
    let expected = -(0.25 * with_label + 0.75 * without_label + 0.5 * classified);
    let loss = found.loss.to_scalar().unwrap();
    assert!((loss - expected).abs() < 1e-12, "{loss}, not {expected}");
    assert_eq!(found.kl.len(), 0);
}

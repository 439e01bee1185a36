//! A mixture of Gaussians as the prior of a top layer: classes that nobody labelled (Bachman 2016).

use rung_autograd::ops::{Gaussian, concat};
use rung_autograd::{Error, Initialiser, ParameterId, Result, Shape, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::layers::{Builder, Product};
use crate::pass::Pass;
use crate::steps::{Choice, Deviation, StepRecorder};

/// Standard deviation of the components' first means and log-variances.
const INITIAL_SIGMA: f64 = 0.1;

/// What stands for KL(q‖p) in the bound, p being a mixture: it has no closed form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MixtureKl {
    /// ln q(z) − ln p(z) at the sample: unbiased.
    #[default]
    MonteCarlo,
    /// −ln (1/K) Σ_k exp(−KL_k), KL_k = KL(q‖component k) in closed form: an upper bound of the KL,
    /// so that the ELBO stays one.
    Mixture,
    /// min_k KL_k + ln K: the bound that the nearest component gives alone, by up to ln K above
    /// `mixture`.
    Nearest,
}

/// p(z) = (1/K) Σ_k N(z; m_k, exp v_k).
#[derive(Clone, Debug)]
pub struct GaussianMixture {
    /// m: [component, units].
    pub means: Tensor,
    /// v: [component, units].
    pub log_variances: Tensor,
    /// What stands for the KL.
    pub kl: MixtureKl,
    /// Weight, in the loss, of the entropy of r(k|z) at the sample of q: above 0, each image is to
    /// be of one component.
    pub entropy_penalty: f64,
}

/// The parameters of a [`GaussianMixture`].
#[derive(Clone, Debug)]
pub(crate) struct MixturePrior {
    means: ParameterId,
    log_variances: ParameterId,
    components: usize,
    shared: usize,
    kl: MixtureKl,
    entropy_penalty: f64,
}

/// Sizes and settings of a mixture prior.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MixturePriorConfig {
    /// Components, K.
    pub(crate) components: usize,
    /// Units of the layer.
    pub(crate) units: usize,
    /// The first so many units have mean 0 and variance 1 in every component.
    pub(crate) shared: usize,
    pub(crate) kl: MixtureKl,
    pub(crate) entropy_penalty: f64,
}

impl MixturePrior {
    /// Adds `means` and `log_variances` [components, units − shared], ~ N(0, 0.1²).
    pub(crate) fn new(builder: &mut Builder<'_>, config: MixturePriorConfig) -> Self {
        let MixturePriorConfig { components, units, shared, kl, entropy_penalty } = config;
        let mut parameter = |name| {
            let initialiser = Initialiser::Normal { sigma: INITIAL_SIGMA };
            builder.parameter(name, [components, units - shared], initialiser)
        };
        let (means, log_variances) = (parameter("means"), parameter("log_variances"));
        Self { means, log_variances, components, shared, kl, entropy_penalty }
    }

    /// Components, K.
    pub(crate) const fn components(&self) -> usize {
        self.components
    }

    /// The mixture in a pass.
    pub(crate) fn mixture(&self, pass: &Pass<'_>) -> Result<GaussianMixture> {
        let all_units = |id| {
            let own = pass.parameter(id);
            if self.shared == 0 {
                return Ok(own);
            }
            let shared = [self.components, self.shared];
            concat(&[&Tensor::zeros(own.device(), own.dtype(), shared)?, &own], 1)
        };
        Ok(GaussianMixture {
            means: all_units(self.means)?,
            log_variances: all_units(self.log_variances)?,
            kl: self.kl,
            entropy_penalty: self.entropy_penalty,
        })
    }
}

impl MixturePrior {
    /// p of a group given the chosen component, as steps.
    pub(crate) fn record(&self, recorder: &mut StepRecorder<'_>, group: usize) -> Result<()> {
        let GaussianMixture { means, log_variances, .. } = self.mixture(recorder.pass)?;
        let component = recorder.choice(Choice::Component, self.components);
        let both = concat(&[&means, &log_variances], 1)?;
        let bias = Tensor::zeros(both.device(), both.dtype(), [both.shape().last()])?;
        let head = recorder.product(self.means, Product::Dense, component, (&both, &bias))?;
        recorder.gaussian(group, head, Deviation::Exp);
        Ok(())
    }
}

impl GaussianMixture {
    /// K and the units.
    fn sizes(&self) -> (usize, usize) {
        self.means.shape().as_matrix()
    }

    /// ln K.
    fn log_components(&self) -> f64 {
        (self.sizes().0 as f64).ln()
    }

    /// Both parameters as [1, component, units], and `x` [row, units] as [row, 1, units].
    fn aligned(&self, x: &Tensor) -> Result<[Tensor; 3]> {
        let (components, units) = self.sizes();
        let &[rows, of] = x.shape().sizes() else {
            return Err(misfit(x, units));
        };
        if of != units {
            return Err(misfit(x, units));
        }
        let all = |parameter: &Tensor| parameter.reshape([1, components, units]);
        Ok([x.reshape([rows, 1, units])?, all(&self.means)?, all(&self.log_variances)?])
    }

    /// ln N(z; m_k, exp v_k) of each row and component, [row, component].
    fn log_component_densities(&self, z: &Tensor) -> Result<Tensor> {
        let [z, mean, log_variance] = self.aligned(z)?;
        let scaled = z.sub(&mean)?.square()?.mul(&log_variance.neg()?.exp()?)?;
        let terms = scaled.add(&log_variance)?.sum(2)?;
        let units = self.sizes().1 as f64;
        terms.affine(-0.5, -0.5 * units * std::f64::consts::TAU.ln())
    }

    /// ln p(z) of each row.
    ///
    /// # Errors
    /// `Shape` unless `z` is [row, units].
    pub fn log_prob(&self, z: &Tensor) -> Result<Tensor> {
        self.log_component_densities(z)?.log_sum_exp(1)?.shift(-self.log_components())
    }

    /// ln r(k|z), r_k = N(z; m_k, exp v_k)/Σ_j N(z; m_j, exp v_j): [row, component].
    ///
    /// # Errors
    /// `Shape` unless `z` is [row, units].
    pub fn log_responsibilities(&self, z: &Tensor) -> Result<Tensor> {
        self.log_component_densities(z)?.log_softmax(1)
    }

    /// The entropy of r(k|z) of each row, in nats.
    ///
    /// # Errors
    /// `Shape` unless `z` is [row, units].
    pub fn assignment_entropy(&self, z: &Tensor) -> Result<Tensor> {
        let log_r = self.log_responsibilities(z)?;
        log_r.exp()?.mul(&log_r)?.sum(1)?.neg()
    }

    /// KL(q‖component k) of each row and unit: [row, component, units].
    fn component_kl_per_unit(&self, q: &Gaussian) -> Result<Tensor> {
        let [mean_q, mean, log_variance] = self.aligned(&q.mean)?;
        let variance_q = q.variance.reshape(*mean_q.shape())?;
        let spread = variance_q.add(&mean_q.sub(&mean)?.square()?)?;
        let terms = spread.mul(&log_variance.neg()?.exp()?)?.add(&log_variance)?;
        terms.sub(&variance_q.log()?)?.affine(0.5, -0.5)
    }

    /// KL_k of each row and component, [row, component].
    ///
    /// # Errors
    /// `Shape` unless q is [row, units].
    pub fn component_kl(&self, q: &Gaussian) -> Result<Tensor> {
        self.component_kl_per_unit(q)?.sum(2)
    }

    /// What stands for KL(q‖p) of each row; `z` is a sample of q. See [`MixtureKl`].
    ///
    /// # Errors
    /// `Shape` unless all are [row, units].
    pub fn kl(&self, q: &Gaussian, z: &Tensor) -> Result<Tensor> {
        match self.kl {
            MixtureKl::MonteCarlo => self.log_ratio(q, z),
            MixtureKl::Mixture => {
                let log_sum = self.component_kl(q)?.neg()?.log_sum_exp(1)?;
                log_sum.affine(-1.0, self.log_components())
            }
            MixtureKl::Nearest => {
                let nearest = self.component_kl(q)?.neg()?.max(1)?;
                nearest.affine(-1.0, self.log_components())
            }
        }
    }

    /// ln q(z) − ln p(z) of each row.
    ///
    /// # Errors
    /// `Shape` unless all are [row, units].
    pub fn log_ratio(&self, q: &Gaussian, z: &Tensor) -> Result<Tensor> {
        q.log_prob(z)?.sub(&self.log_prob(z)?)
    }

    /// The KL of every unit of each row to the components, weighted by how near q is to each:
    /// Σ_k s_k KL_k, s = softmax(−KL_k): [row, units]. Its sum over the units is what `mixture` is
    /// but for the entropy of s.
    pub(crate) fn kl_per_unit(&self, q: &Gaussian) -> Result<Tensor> {
        let per_unit = self.component_kl_per_unit(q)?;
        let rows = q.mean.shape().sizes()[0];
        let shares = per_unit.sum(2)?.neg()?.softmax(1)?.reshape([rows, self.sizes().0, 1])?;
        per_unit.mul(&shares)?.sum(1)
    }

    /// ln p of each unit alone, the others integrated out: [row, units].
    pub(crate) fn log_marginals(&self, z: &Tensor) -> Result<Tensor> {
        let [z, mean, log_variance] = self.aligned(z)?;
        let scaled = z.sub(&mean)?.square()?.mul(&log_variance.neg()?.exp()?)?;
        let log_densities =
            scaled.add(&log_variance)?.affine(-0.5, -0.5 * std::f64::consts::TAU.ln())?;
        log_densities.log_sum_exp(1)?.shift(-self.log_components())
    }

    /// A sample of each of these components: m + exp(v/2) · noise, `noise` being [row, units].
    ///
    /// # Errors
    /// `Argument` if there is no such component; `Shape` if the noise does not fit.
    pub fn sample_of(&self, components: &[u32], noise: &Tensor) -> Result<Tensor> {
        let indices = Tensor::from_u32(noise.device(), components, [components.len()])?;
        let sigma = self.log_variances.scale(0.5)?.exp()?.gather(&indices)?;
        self.means.gather(&indices)?.add(&sigma.mul(noise)?)
    }

    /// A component for each row, uniformly: where the row's K standard normal numbers are largest.
    ///
    /// # Errors
    /// If the numbers can't be read.
    pub fn uniform_components(&self, noise: &Tensor) -> Result<Vec<u32>> {
        let largest = |row: &[f64]| {
            let most = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
            most.map_or(0, |(component, _)| component as u32)
        };
        Ok(noise.to_f64()?.chunks_exact(self.sizes().0.max(1)).map(largest).collect())
    }

    /// The shape of the noise that [`GaussianMixture::uniform_components`] reads.
    #[must_use]
    pub fn choice_shape(&self, rows: usize) -> Shape {
        Shape::from([rows, self.sizes().0])
    }
}

fn misfit(x: &Tensor, units: usize) -> Error {
    let rule = format!("must be [rows, {units}], as the components");
    Error::shape("mixture prior", rule, &[("x", *x.shape())])
}

//! The bounds a model is trained on and judged by, with every term by name and layer.
//!
//! One joint sample of the latents gives the log weight
//!
//! log w = log p(x|z_1) + β · Σ_i [log p(z_i | z_{i+1}) − log q(z_i | ·)]
//!
//! and K of them the importance-weighted bound ln (1/K) Σ_k w_k (Burda, Grosse, Salakhutdinov
//! 2016); K = 1 is the evidence lower bound (ELBO). In a model with classes log p(y) is added to
//! log w. β is the warm-up factor (Sønderby 2016, eq. 22): below 1 it is a training objective, no
//! bound.

use rung_autograd::ops::Gaussian;
use rung_autograd::{Error, Result, Tensor};

use crate::latent::{Latent, LatentModel, Prior, Sampled};
use crate::pass::Pass;

/// How the objective is estimated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ObjectiveConfig {
    /// Warm-up factor β of all latent terms.
    pub beta: f64,
    /// Monte Carlo samples M: bounds that are averaged.
    pub monte_carlo_samples: usize,
    /// Importance samples K inside each bound.
    pub importance_samples: usize,
    /// Use KL(q‖p) in closed form where it is valid ([`LatentModel::has_analytic_kl`]) and K = 1,
    /// instead of log q − log p at the sample.
    pub analytic_kl: bool,
    /// Free bits λ in nats: in each row a group's KL below λ counts as λ, with no gradient (Kingma
    /// 2016, for each example as in Maaløe 2019). 0 for none. With it the loss is no bound.
    pub free_bits_nats: f64,
    /// Below β = 1, the loss has (1 − β) Σ KL² too, over the closed-form KL of every unit (Bachman
    /// 2016): many small ones cost little and a large one much, so that the latent units share
    /// what there is to say. Needs [`ObjectiveConfig::analytic_kl`], for all groups.
    pub squared_kl: bool,
}

impl Default for ObjectiveConfig {
    fn default() -> Self {
        Self {
            beta: 1.0,
            monte_carlo_samples: 1,
            importance_samples: 1,
            analytic_kl: false,
            free_bits_nats: 0.0,
            squared_kl: false,
        }
    }
}

impl ObjectiveConfig {
    /// Samples of the latents that are drawn for each example.
    #[must_use]
    pub const fn samples(&self) -> usize {
        self.monte_carlo_samples * self.importance_samples
    }
}

/// A bound and its terms: scalars on the device, means over the batch, in nats per example.
#[derive(Clone, Debug)]
pub struct Bound {
    /// −L_{M,K} with the warm-up factor, and the entropy penalty of a mixture prior where there is
    /// one: what training minimises.
    pub loss: Tensor,
    /// Mean of log p(x|z_1).
    pub log_p_x: Tensor,
    /// Mean KL of each stochastic group, nearest to the data first: log q − log p at the sample,
    /// or in closed form.
    pub kl: Vec<Tensor>,
    /// What is said of the classes, where some images have labels.
    pub classes: Option<ClassMeans>,
}

/// Means over the images of a batch of which some have labels: scalars on the device, in nats.
#[derive(Clone, Debug)]
pub struct ClassMeans {
    /// Mean of −log q(y|x, z) at the class of the labelled images.
    pub cross_entropy: Tensor,
    /// Mean entropy of q(y|x, z) over the images without a label, or over all if every one has it.
    pub entropy: Tensor,
}

/// The objective for a batch `x` [batch, `data_size`].
///
/// # Errors
/// `Argument` if a number of samples is 0, or the KL in closed form is asked for with K > 1.
pub fn bound(
    model: &dyn LatentModel,
    pass: &mut Pass<'_>,
    x: &Tensor,
    config: &ObjectiveConfig,
) -> Result<Bound> {
    let ObjectiveConfig {
        beta,
        monte_carlo_samples,
        importance_samples,
        analytic_kl,
        free_bits_nats,
        squared_kl,
    } = *config;
    if monte_carlo_samples == 0 || importance_samples == 0 {
        return Err(Error::argument("bound", "at least one sample is needed"));
    }
    if analytic_kl && importance_samples > 1 {
        return Err(Error::argument(
            "bound",
            "an importance-weighted bound needs sampled log-ratios: set analytic_kl to false",
        ));
    }
    if free_bits_nats > 0.0 && importance_samples > 1 {
        return Err(Error::argument(
            "bound",
            "free bits are for one importance sample: they break the bound of more",
        ));
    }
    if squared_kl && !analytic_kl {
        return Err(Error::argument("bound", "the squared KL is a closed form: set analytic_kl"));
    }
    let sampled = model.infer(pass, x, config.samples())?;
    let log_p_x = sampled.p_x.log_prob(x)?;
    let mut kl = Vec::with_capacity(sampled.latents.len());
    let mut squares = Vec::new();
    for (index, latent) in sampled.latents.iter().enumerate() {
        let is_analytic = analytic_kl && model.has_analytic_kl(index);
        kl.push(if squared_kl && beta < 1.0 {
            if !is_analytic {
                let rule = "the squared KL needs a model whose groups all have a closed form";
                return Err(Error::argument("bound", rule));
            }
            let per_unit = latent.kl_per_unit()?;
            squares.push(per_unit.square()?.sum(1)?);
            match &latent.p {
                Prior::Mixture(p) => p.kl(&latent.q, &latent.z)?,
                Prior::StandardNormal | Prior::Gaussian(_) => per_unit.sum(1)?,
            }
        } else if is_analytic {
            latent.kl()?
        } else {
            latent.log_ratio()?
        });
    }
    let mut log_weights = sampled.assemble_log_weights(&log_p_x, &kl, beta, free_bits_nats)?;
    if !squares.is_empty() {
        log_weights = log_weights.add_scaled(beta - 1.0, &squares)?;
    }
    for kl in &mut kl {
        *kl = kl.detach().mean_all()?;
    }
    let mut loss = importance_bound(&log_weights, importance_samples)?.mean_all()?.neg()?;
    for latent in &sampled.latents {
        if let Prior::Mixture(p) = &latent.p
            && p.entropy_penalty > 0.0
        {
            let entropy = p.assignment_entropy(&latent.z)?.mean_all()?;
            loss = loss.add(&entropy.scale(p.entropy_penalty)?)?;
        }
    }
    Ok(Bound { loss, log_p_x: log_p_x.detach().mean_all()?, kl, classes: None })
}

/// ln (1/K) Σ_k w_k over groups of `importance_samples` neighbouring rows of log weights.
///
/// # Errors
/// `Shape` if the rows are not a multiple.
pub fn importance_bound(log_weights: &Tensor, importance_samples: usize) -> Result<Tensor> {
    if importance_samples == 1 {
        return Ok(log_weights.clone());
    }
    let groups = log_weights.shape().element_count() / importance_samples;
    log_weights
        .reshape([groups, importance_samples])?
        .log_sum_exp(1)?
        .shift(-(importance_samples as f64).ln())
}

/// The log weight of each row: log p(x|z) + log p(y) − β Σ_i max(KL_i, λ), the second where there
/// is a class, with the warm-up factor β and free bits λ in nats.
pub(crate) fn assemble_log_weights(
    log_p_x: &Tensor,
    kl: &[Tensor],
    log_p_class: Option<f64>,
    beta: f64,
    free_bits_nats: f64,
) -> Result<Tensor> {
    let sum = if free_bits_nats > 0.0 {
        let clamped = kl.iter().map(|kl| kl.clamp(free_bits_nats, f64::INFINITY));
        log_p_x.add_scaled(-beta, &clamped.collect::<Result<Vec<_>>>()?)?
    } else {
        log_p_x.add_scaled(-beta, kl)?
    };
    match log_p_class {
        None => Ok(sum),
        Some(log_p) => sum.shift(log_p),
    }
}

impl Sampled {
    /// [`assemble_log_weights`] of these samples.
    pub(crate) fn assemble_log_weights(
        &self,
        log_p_x: &Tensor,
        kl: &[Tensor],
        beta: f64,
        free_bits_nats: f64,
    ) -> Result<Tensor> {
        let log_p_class = self.class.as_ref().map(|class| class.log_p);
        assemble_log_weights(log_p_x, kl, log_p_class, beta, free_bits_nats)
    }

    /// log q(z_i|·) − log p(z_i|·) of each group at its sample, nearest to the data first.
    pub(crate) fn log_ratios(&self) -> Result<Vec<Tensor>> {
        self.latents.iter().map(Latent::log_ratio).collect()
    }

    /// log w of each row at β = 1, from the sampled log-ratios.
    ///
    /// # Errors
    /// `Shape` if `x` does not fit.
    pub fn log_weights(&self, x: &Tensor) -> Result<Tensor> {
        self.assemble_log_weights(&self.p_x.log_prob(x)?, &self.log_ratios()?, 1.0, 0.0)
    }
}

impl Latent {
    /// log q(z) − log p(z) of each row: a one-sample estimate of the KL.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn log_ratio(&self) -> Result<Tensor> {
        match &self.p {
            Prior::StandardNormal => self.q.log_ratio(None, &self.z),
            Prior::Gaussian(p) => self.q.log_ratio(Some(p), &self.z),
            Prior::Mixture(p) => p.log_ratio(&self.q, &self.z),
        }
    }

    /// KL(q‖p) of each row in closed form, given the samples above; of a mixture what
    /// [`MixtureKl`](crate::MixtureKl) says.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn kl(&self) -> Result<Tensor> {
        match &self.p {
            Prior::StandardNormal => self.q.kl_to_standard_normal(),
            Prior::Gaussian(p) => self.q.kl(p),
            Prior::Mixture(p) => p.kl(&self.q, &self.z),
        }
    }

    /// KL(q‖p) of every unit of each row in closed form, given the samples above, [row, units]:
    ///
    /// ½ (ln v_p − ln v_q + (v_q + (m_q − m_p)²)/v_p − 1);
    ///
    /// of a mixture, the mean over its components, the nearer ones weighing more.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn kl_per_unit(&self) -> Result<Tensor> {
        let Gaussian { mean, variance } = &self.q;
        let log_variance = variance.log()?;
        match &self.p {
            Prior::Mixture(p) => p.kl_per_unit(&self.q),
            Prior::StandardNormal => {
                variance.add(&mean.square()?)?.sub(&log_variance)?.affine(0.5, -0.5)
            }
            Prior::Gaussian(p) => {
                let spread = variance.add(&mean.sub(&p.mean)?.square()?)?.div(&p.variance)?;
                spread.add(&p.variance.log()?)?.sub(&log_variance)?.affine(0.5, -0.5)
            }
        }
    }

    /// What an evaluation reads of the densities at the sample, from one walk over the units.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn densities(&self) -> Result<Densities> {
        // What is the same for all rows is done once for each unit, to the means.
        let log_density =
            |sum: &Tensor| sum.mean(0)?.affine(-0.5, -0.5 * std::f64::consts::TAU.ln());
        let q = log_variance_and_distance(&self.z, &self.q.mean, &self.q.variance)?;
        let p = match &self.p {
            Prior::StandardNormal => self.z.square()?,
            Prior::Gaussian(p) => log_variance_and_distance(&self.z, &p.mean, &p.variance)?,
            Prior::Mixture(p) => {
                return Ok(Densities {
                    log_ratio: p.log_ratio(&self.q, &self.z)?,
                    log_q_per_unit: log_density(&q)?,
                    log_p_per_unit: p.log_marginals(&self.z)?.mean(0)?,
                });
            }
        };
        Ok(Densities {
            log_ratio: p.sub(&q)?.sum(1)?.scale(0.5)?,
            log_q_per_unit: log_density(&q)?,
            log_p_per_unit: log_density(&p)?,
        })
    }
}

/// log q and log p of a group at its sample, in nats.
#[derive(Clone, Debug)]
pub struct Densities {
    /// [`Latent::log_ratio`], of each row.
    pub log_ratio: Tensor,
    /// log q of every unit, averaged over the rows: `[units]`.
    pub log_q_per_unit: Tensor,
    /// log p likewise; of a mixture, the marginal density of each unit. A unit is called active if
    /// the difference of the two exceeds 0.01 (specification section 12).
    pub log_p_per_unit: Tensor,
}

/// ln v + (z − m)²/v for every unit.
fn log_variance_and_distance(z: &Tensor, mean: &Tensor, variance: &Tensor) -> Result<Tensor> {
    variance.log()?.add(&z.sub(mean)?.square()?.div(variance)?)
}

//! Distributions as types with `log_prob`, `sample`, `kl`: what a reader expects to find under
//! their names.
//!
//! [`Gaussian`] carries mean and variance and is used throughout the hierarchies;
//! [`StandardNormal`] is the prior of a top layer; [`Bernoulli`] and [`Categorical`] carry logits.
//! Rows are examples; every log-probability is summed over the columns, in nats.

use rung_autograd::ops::concat;
use rung_autograd::rng::Address;
use rung_autograd::{Error, Result, Shape, Tensor};

pub use rung_autograd::ops::Gaussian;

/// N(0, I) over a number of units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StandardNormal;

/// Independent binary variables, by logits: P(x = 1) = sigmoid(logit).
#[derive(Clone, Debug)]
pub struct Bernoulli {
    /// [batch, variables].
    pub logits: Tensor,
}

/// One of several classes, by logits: P(class c) = softmax(logits)_c.
#[derive(Clone, Debug)]
pub struct Categorical {
    /// [batch, classes].
    pub logits: Tensor,
}

impl StandardNormal {
    /// Log-density of each row.
    ///
    /// # Errors
    /// `Shape` unless `x` is [batch, units].
    pub fn log_prob(&self, x: &Tensor) -> Result<Tensor> {
        x.standard_normal_log_prob()
    }

    /// A sample of the shape and on the device of `like`; element i is element i of `address`.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn sample(&self, like: &Tensor, address: Address) -> Result<Tensor> {
        Tensor::normal(like.device(), like.dtype(), address, *like.shape())
    }
}

impl Bernoulli {
    /// Log-probability of each row of `x` in {0, 1}.
    ///
    /// # Errors
    /// `Shape` if the sizes do not fit.
    pub fn log_prob(&self, x: &Tensor) -> Result<Tensor> {
        self.logits.bernoulli_log_prob(x)
    }

    /// The probabilities of 1.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn mean(&self) -> Result<Tensor> {
        self.logits.sigmoid()
    }

    /// A draw of each variable.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn sample(&self, address: Address) -> Result<Tensor> {
        let probabilities = self.mean()?.detach();
        let (device, shape) = (probabilities.device(), *probabilities.shape());
        Tensor::build(device, probabilities.dtype(), shape, |out| {
            device.bernoulli(address, probabilities.view(), out)
        })
    }

    /// A draw of each variable as [`Bernoulli::sample`] has it where `before` rows more come before
    /// these: the rows of one rank of many.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn sample_behind(&self, before: usize, address: Address) -> Result<Tensor> {
        if before == 0 {
            return self.sample(address);
        }
        let (logits, shape) = (&self.logits, *self.logits.shape());
        let others = Tensor::zeros(logits.device(), logits.dtype(), shape.with_axis(0, before))?;
        let all = Self { logits: concat(&[&others, logits], 0)? }.sample(address)?;
        all.slice(0, before, shape.sizes()[0])
    }

    /// KL(self‖p) of each row: Σ q (l_q − l_p) − softplus(l_q) + softplus(l_p), with
    /// q = sigmoid(l_q).
    ///
    /// # Errors
    /// `Shape` if the shapes differ.
    pub fn kl(&self, p: &Self) -> Result<Tensor> {
        let (l_q, l_p) = (&self.logits, &p.logits);
        let mean_difference = l_q.sigmoid()?.mul(&l_q.sub(l_p)?)?;
        mean_difference.sub(&l_q.softplus()?)?.add(&l_p.softplus()?)?.sum(1)
    }
}

impl Categorical {
    /// Log-probability of each row's class (u32).
    ///
    /// # Errors
    /// `Shape`, `DType`, `Argument` as [`Tensor::cross_entropy`].
    pub fn log_prob(&self, classes: &Tensor) -> Result<Tensor> {
        self.logits.cross_entropy(classes)?.neg()
    }

    /// A class for each row, by the Gumbel-max trick: argmax of logits − ln(−ln u).
    ///
    /// # Errors
    /// `Shape` unless the logits are [batch, classes] with at least one class.
    pub fn sample(&self, address: Address) -> Result<Tensor> {
        let &[rows, classes] = self.logits.shape().sizes() else {
            return Err(Error::shape(
                "categorical",
                "logits must be [batch, classes]",
                &[("logits", *self.logits.shape())],
            ));
        };
        let (device, dtype) = (self.logits.device(), self.logits.dtype());
        let uniform = Tensor::uniform(device, dtype, address, Shape::from([rows, classes]))?;
        let scores = self.logits.detach().sub(&uniform.log()?.neg()?.log()?)?.to_f64()?;
        let largest = |row: &[f64]| {
            row.iter()
                .enumerate()
                .max_by(|a, b| a.1.total_cmp(b.1))
                .map_or(0, |(class, _)| class as u32)
        };
        let drawn: Vec<u32> = scores.chunks_exact(classes.max(1)).map(largest).collect();
        Tensor::from_u32(device, &drawn, [rows])
    }

    /// KL(self‖p) of each row: Σ_c q_c (ln q_c − ln p_c).
    ///
    /// # Errors
    /// `Shape` if the shapes differ.
    pub fn kl(&self, p: &Self) -> Result<Tensor> {
        let log_q = self.logits.log_softmax(1)?;
        log_q.exp()?.mul(&log_q.sub(&p.logits.log_softmax(1)?)?)?.sum(1)
    }
}

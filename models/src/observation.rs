//! The likelihood: the distribution of the data given the latents, by its parameters.

use rung_autograd::ops::Gaussian;
use rung_autograd::rng::Address;
use rung_autograd::{Error, Result, Tensor};

use crate::distributions::Bernoulli;

/// Levels of a value that a mixture of logistics is a distribution over.
const LEVELS: usize = 256;

/// The parameters of p(x|z), one row for each sample.
#[derive(Clone, Debug)]
pub enum ObservationParameters {
    /// Logits of the pixels.
    Bernoulli(Tensor),
    /// Mean and variance of the pixels.
    Gaussian(Gaussian),
    /// Discretised logistics at each position.
    LogisticMixture(LogisticMixture),
}

/// A mixture of logistics at each position, discretised to 256 levels (Salimans 2017; specification
/// B, section 9.2).
#[derive(Clone, Debug)]
pub struct LogisticMixture {
    /// [rows, positions, parameters a position]; see [`LogisticMixture::parameters`].
    pub parameters: Tensor,
    /// Channels of an image, 1 or 3.
    pub channels: usize,
}

impl ObservationParameters {
    /// log p(x|z) of each row, in nats. The rows are a multiple of those of `x`: its samples.
    ///
    /// # Errors
    /// `Shape` if the sizes do not fit.
    pub fn log_prob(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Bernoulli(logits) => logits.bernoulli_log_prob(x),
            Self::Gaussian(p_x) => p_x.log_prob(x),
            Self::LogisticMixture(p_x) => p_x.log_prob(x),
        }
    }

    /// The mean image of each row: what pictures show.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn mean(&self) -> Result<Tensor> {
        match self {
            Self::Bernoulli(logits) => logits.sigmoid(),
            Self::Gaussian(p_x) => Ok(p_x.mean.clone()),
            Self::LogisticMixture(p_x) => p_x.mean(),
        }
    }

    /// An image drawn from each row.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn sample(&self, address: Address) -> Result<Tensor> {
        match self {
            Self::Bernoulli(logits) => Bernoulli { logits: logits.clone() }.sample(address),
            Self::Gaussian(p_x) => {
                let (mean, shape) = (&p_x.mean, *p_x.mean.shape());
                p_x.sample_with(&Tensor::normal(mean.device(), mean.dtype(), address, shape)?)
            }
            Self::LogisticMixture(p_x) => p_x.sample(address),
        }
    }
}

impl LogisticMixture {
    /// Parameters a position for so many components: logits, means and log-scales, and for colours
    /// coefficients too.
    #[must_use]
    pub const fn parameters(components: usize, channels: usize) -> usize {
        if channels == 3 { 10 * components } else { 3 * components }
    }

    /// log p of each row of planar images with values in [0, 1].
    fn log_prob(&self, x: &Tensor) -> Result<Tensor> {
        let &[rows, values] = x.shape().sizes() else {
            return Err(Error::shape(
                "logistic_mixture",
                "x must be [batch, values]",
                &[("x", *x.shape())],
            ));
        };
        let positions = values / self.channels;
        let planes = x.reshape([rows, self.channels, positions])?;
        let points = if self.channels == 1 { planes } else { planes.transpose()? };
        let points = points.reshape([rows, positions, self.channels])?.affine(2.0, -1.0)?;
        self.parameters.logistic_mixture_log_prob(&points, LEVELS)
    }

    /// An image drawn from each row, planar, in [0, 1].
    fn sample(&self, address: Address) -> Result<Tensor> {
        self.image(&self.parameters.logistic_mixture_sample(self.channels, address)?)
    }

    /// The mean of each row, planar, in [0, 1]; a colour is conditioned on the means of the colours
    /// before it.
    fn mean(&self) -> Result<Tensor> {
        let &[rows, positions, width] = self.parameters.shape().sizes() else {
            return Err(Error::shape(
                "logistic_mixture",
                "[rows, positions, …]",
                &[("parameters", *self.parameters.shape())],
            ));
        };
        let components = width / Self::parameters(1, self.channels);
        let block = |start: usize| self.parameters.slice(2, start * components, components);
        let shares = block(0)?.softmax(2)?;
        let mean_of = |values: &Tensor| {
            shares.mul(values)?.sum(2)?.clamp(-1.0, 1.0)?.reshape([rows, positions, 1])
        };
        let red = mean_of(&block(1)?)?;
        if self.channels == 1 {
            return self.image(&red);
        }
        let coefficient = |start: usize| block(start)?.tanh();
        let green = mean_of(&block(4)?.add(&coefficient(3)?.mul(&red)?)?)?;
        let blue =
            block(7)?.add(&coefficient(6)?.mul(&red)?)?.add(&coefficient(9)?.mul(&green)?)?;
        self.image(&rung_autograd::ops::concat(&[&red, &green, &mean_of(&blue)?], 2)?)
    }

    /// [rows, positions, channels] in [−1, 1] as planar images in [0, 1].
    fn image(&self, points: &Tensor) -> Result<Tensor> {
        let &[rows, positions, channels] = points.shape().sizes() else {
            return Err(Error::shape(
                "logistic_mixture",
                "[rows, positions, channels]",
                &[("x", *points.shape())],
            ));
        };
        let planes = if channels == 1 { points.clone() } else { points.transpose()? };
        planes.reshape([rows, channels * positions])?.affine(0.5, 0.5)
    }
}

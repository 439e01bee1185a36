//! The likelihood: the distribution of the data given the latents, by its parameters.

use rung_autograd::ops::Gaussian;
use rung_autograd::rng::Address;
use rung_autograd::{Error, Result, Tensor};

use crate::autoregressive::Autoregressive;
use crate::distributions::Bernoulli;
use crate::map_shape::MapShape;

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
    /// Either of Bernoulli and logistics, each pixel given those before it.
    Autoregressive(Autoregressive),
    /// Discretised logistics at the missing positions of images that are observed elsewhere.
    PartlyObserved(PartlyObserved),
}

/// p(x_missing | z) beside pixels that are observed.
#[derive(Clone, Debug)]
pub struct PartlyObserved {
    /// The distribution of every position.
    pub p_x: LogisticMixture,
    /// The images, planar, in [0, 1]: [rows, values].
    pub x: Tensor,
    /// 1 where a position is missing, 0 where it is observed: [rows, values], alike in all channels
    /// of a position.
    pub missing: Tensor,
}

/// How the pixels of an image are distributed, position by position, given a map of parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PixelObservation {
    /// The shape of an image.
    pub image: MapShape,
    /// Components of a mixture of logistics over 256 levels; `None` for Bernoulli pixels.
    pub components: Option<usize>,
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
            Self::Autoregressive(p_x) => p_x.log_prob(x),
            Self::PartlyObserved(p_x) => p_x.log_prob(x),
        }
    }

    /// The mean image of each row.
    ///
    /// # Errors
    /// `Argument` if it has no closed form, as that of an autoregressive p(x|z); if the device has
    /// no memory.
    pub fn mean(&self) -> Result<Tensor> {
        match self {
            Self::Bernoulli(logits) => logits.sigmoid(),
            Self::Gaussian(p_x) => Ok(p_x.mean.clone()),
            Self::LogisticMixture(p_x) => p_x.mean(),
            Self::PartlyObserved(p_x) => p_x.completed(&p_x.p_x.mean()?),
            Self::Autoregressive(_) => Err(Error::argument(
                "mean",
                "the mean image of an autoregressive p(x|z) has no closed form: draw images from \
                it",
            )),
        }
    }

    /// What a picture shows of each row: the mean image, or one that is drawn where the mean has no
    /// closed form; `progress` as in [`ObservationParameters::sample`].
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn picture(
        &self,
        address: Address,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Tensor> {
        match self {
            Self::Autoregressive(p_x) => p_x.sample(address, progress),
            _ => self.mean(),
        }
    }

    /// An image drawn from each row. Where that is done pixel by pixel, `progress` hears how many
    /// positions are done, and of how many.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn sample(
        &self,
        address: Address,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Tensor> {
        match self {
            Self::Bernoulli(logits) => Bernoulli { logits: logits.clone() }.sample(address),
            Self::Gaussian(p_x) => {
                let (mean, shape) = (&p_x.mean, *p_x.mean.shape());
                p_x.sample_with(&Tensor::normal(mean.device(), mean.dtype(), address, shape)?)
            }
            Self::LogisticMixture(p_x) => p_x.sample(address),
            Self::Autoregressive(p_x) => p_x.sample(address, progress),
            Self::PartlyObserved(p_x) => p_x.completed(&p_x.p_x.sample(address)?),
        }
    }
}

impl PartlyObserved {
    /// log p of the missing positions of each row, in nats. The rows are a multiple of those of
    /// `x`: its samples.
    fn log_prob(&self, x: &Tensor) -> Result<Tensor> {
        let Self { p_x: LogisticMixture { parameters, channels }, missing, .. } = self;
        let &[rows, positions, width] = parameters.shape().sizes() else {
            return Err(not_positions(parameters));
        };
        let images = x.shape().sizes()[0];
        if rows.checked_rem(images) != Some(0) {
            let rule = format!("{rows} rows of parameters are no samples of {images} images");
            return Err(Error::shape("partly_observed", rule, &[("x", *x.shape())]));
        }
        // Every position is an image of its own, so that each has a log-probability.
        let points = points(x, *channels)?.repeat_rows(rows / images)?;
        let points = points.reshape([rows * positions, 1, *channels])?;
        let each = parameters.reshape([rows * positions, 1, width])?;
        let each = each.logistic_mixture_log_prob(&points, LEVELS)?.reshape([rows, positions])?;
        each.mul(&missing.slice(1, 0, positions)?)?.sum(1)
    }

    /// These images where positions are missing, the observed ones elsewhere.
    fn completed(&self, images: &Tensor) -> Result<Tensor> {
        let Self { x, missing, .. } = self;
        missing.mul(images)?.add(&missing.affine(-1.0, 1.0)?.mul(x)?)
    }
}

/// Planar images in [0, 1] as [rows, positions, channels] in [−1, 1].
fn points(x: &Tensor, channels: usize) -> Result<Tensor> {
    let &[rows, values] = x.shape().sizes() else {
        return Err(Error::shape(
            "logistic_mixture",
            "x must be [batch, values]",
            &[("x", *x.shape())],
        ));
    };
    let positions = values / channels;
    let planes = x.reshape([rows, channels, positions])?;
    let points = if channels == 1 { planes } else { planes.transpose()? };
    points.reshape([rows, positions, channels])?.affine(2.0, -1.0)
}

fn not_positions(parameters: &Tensor) -> Error {
    Error::shape("logistic_mixture", "[rows, positions, …]", &[("parameters", *parameters.shape())])
}

impl PixelObservation {
    /// Parameters of a position.
    #[must_use]
    pub fn parameters(&self) -> usize {
        let channels = self.image.channels;
        let mixture = |components| LogisticMixture::parameters(components, channels);
        self.components.map_or(channels, mixture)
    }

    /// The distribution of images from their parameters, [rows, height, width, parameters of a
    /// position].
    ///
    /// # Errors
    /// `Shape` if the map has another size.
    pub fn distribution(&self, map: &Tensor) -> Result<ObservationParameters> {
        let MapShape { height, width, channels } = self.image;
        let (rows, positions) = (map.shape().sizes()[0], height * width);
        let parameters = map.reshape([rows, positions, self.parameters()])?;
        if self.components.is_some() {
            let mixture = LogisticMixture { parameters, channels };
            return Ok(ObservationParameters::LogisticMixture(mixture));
        }
        let is_planar = channels == 1 || positions == 1;
        let planes = if is_planar { parameters } else { parameters.transpose()? };
        Ok(ObservationParameters::Bernoulli(planes.reshape([rows, channels * positions])?))
    }

    /// Uniform numbers that a draw of one position takes.
    pub(crate) fn noise_per_position(&self) -> usize {
        self.components.unwrap_or(0) + self.image.channels
    }

    /// One position drawn from its parameters [rows, parameters] with uniform numbers
    /// [rows, `noise_per_position`]: on the host, [rows, channels] in [0, 1], a mixture's values
    /// being rounded to its levels.
    pub(crate) fn draw(&self, parameters: &Tensor, uniform: &Tensor) -> Result<Vec<f64>> {
        if self.components.is_none() {
            return uniform.less(&parameters.sigmoid()?)?.to_f64();
        }
        let (rows, channels) = (parameters.shape().sizes()[0], self.image.channels);
        let mixture = parameters.reshape([rows, 1, self.parameters()])?;
        let steps = (LEVELS - 1) as f64;
        let level = |x: f64| ((0.5 * x + 0.5) * steps).round() / steps;
        let drawn = mixture.logistic_mixture_sample_with(channels, uniform)?;
        Ok(drawn.to_f64()?.into_iter().map(level).collect())
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
        self.parameters.logistic_mixture_log_prob(&points(x, self.channels)?, LEVELS)
    }

    /// An image drawn from each row, planar, in [0, 1].
    fn sample(&self, address: Address) -> Result<Tensor> {
        self.image(&self.parameters.logistic_mixture_sample(self.channels, address)?)
    }

    /// The mean of each row, planar, in [0, 1]; a colour is conditioned on the means of the colours
    /// before it.
    fn mean(&self) -> Result<Tensor> {
        let &[rows, positions, width] = self.parameters.shape().sizes() else {
            return Err(not_positions(&self.parameters));
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

//! Samples of a mixture of logistic distributions, made of other operations: generation is no
//! training loop.

use rung_kernels::backend::LogisticMixture;
use rung_kernels::rng::Address;
use rung_kernels::{Error, Result};

use super::super::shape::concat;
use super::components_of;
use crate::tensor::Tensor;

const NAME: &str = "logistic_mixture_sample";

/// What uniform numbers keep from 0 and 1, so that no sample lies more than 11.5 scales from its
/// mean.
const MARGIN: f64 = 1e-5;

impl Tensor {
    /// A sample of the mixture of logistic distributions with these parameters; see
    /// [`Tensor::logistic_mixture_log_prob`] for them.
    ///
    /// A component is drawn (Gumbel-max), then colour after colour from its logistic distribution,
    /// the mean pulled by the colours drawn before: x_c = clamp(μ_c + e^s·(ln u − ln(1 − u)),
    /// ±1). The sample is not rounded to levels, and not differentiated.
    ///
    /// | tensor | shape |
    /// |---|---|
    /// | self | `[images, pixels, 3n]` for one channel, `[images, pixels, 10n]` for three |
    /// | out | `[images, pixels, channels]`, in [−1, 1] |
    ///
    /// # Errors
    /// `Shape` if the numbers of a pixel do not fit the channels.
    pub fn logistic_mixture_sample(&self, channels: usize, address: Address) -> Result<Self> {
        let Mixtures { count, components, .. } = self.mixtures(channels)?;
        let noise =
            Self::uniform(&self.device, self.dtype(), address, [count, components + channels])?;
        self.logistic_mixture_sample_with(channels, &noise)
    }

    /// The sample that these uniform numbers on (0, 1) make; see
    /// [`Tensor::logistic_mixture_sample`].
    ///
    /// | tensor | shape |
    /// |---|---|
    /// | `noise` | `[images · pixels, n + channels]`: n choose the component, one is each channel's |
    ///
    /// # Errors
    /// `Shape` if the numbers of a pixel do not fit the channels, or the noise does not fit.
    pub fn logistic_mixture_sample_with(&self, channels: usize, noise: &Self) -> Result<Self> {
        let Mixtures { images, pixels, count, numbers, components } = self.mixtures(channels)?;
        if noise.shape.sizes() != [count, components + channels] {
            let rule = format!("the noise must be [{count}, {}]", components + channels);
            return Err(Error::shape(NAME, rule, &[("noise", noise.shape)]));
        }
        let kinds = self.detach().reshape([count, numbers / components, components])?;
        let chosen = choose(&kinds, &noise.slice(1, 0, components)?)?;
        let mut colours: Vec<Self> = Vec::with_capacity(channels);
        let group = if channels == 1 { 2 } else { 3 };
        for channel in 0..channels {
            let number =
                |channel: usize, kind: usize| chosen.slice(1, 1 + channel * group + kind, 1);
            let mut mean = number(channel, 0)?;
            for (earlier, colour) in colours.iter().enumerate() {
                // Red pulls green by red's coefficient; red and green pull blue by green's and
                // blue's.
                let coefficient = number(channel - 1 + earlier, 2)?.tanh()?;
                mean = mean.add(&coefficient.mul(colour)?)?;
            }
            let scale = number(channel, 1)?
                .clamp(LogisticMixture::LEAST_LOG_SCALE, f64::INFINITY)?
                .exp()?;
            let u = noise.slice(1, components + channel, 1)?.affine(1.0 - 2.0 * MARGIN, MARGIN)?;
            let logistic = u.log()?.sub(&u.affine(-1.0, 1.0)?.log()?)?;
            colours.push(mean.add(&scale.mul(&logistic)?)?.clamp(-1.0, 1.0)?);
        }
        concat(&colours.iter().collect::<Vec<_>>(), 1)?.reshape([images, pixels, channels])
    }

    fn mixtures(&self, channels: usize) -> Result<Mixtures> {
        let refused = |rule| Err(Error::shape(NAME, rule, &[("parameters", self.shape)]));
        let &[images, pixels, numbers] = self.shape.sizes() else {
            return refused("parameters must be [images, pixels, numbers]");
        };
        let Some(components) = components_of(numbers, channels) else {
            return refused(
                "a pixel of 1 channel takes 3 numbers for each component, one of 3 channels 10",
            );
        };
        Ok(Mixtures { images, pixels, count: images * pixels, numbers, components })
    }
}

/// The sizes of mixtures at pixels.
struct Mixtures {
    images: usize,
    pixels: usize,
    /// All pixels.
    count: usize,
    /// Parameters of a pixel.
    numbers: usize,
    components: usize,
}

/// Of numbers [count, kind, component], the first kind being logits, those of one component each:
/// [count, kind].
fn choose(kinds: &Tensor, uniform: &Tensor) -> Result<Tensor> {
    let &[count, all, components] = kinds.shape.sizes() else {
        return Err(Error::argument(
            "logistic_mixture_sample",
            "bug: three axes; please report it",
        ));
    };
    let gumbel = uniform.log()?.neg()?.log()?.neg()?;
    let scores = kinds.slice(1, 0, 1)?.reshape([count, components])?.add(&gumbel)?;
    let hit = scores.equal(&scores.max(1)?.reshape([count, 1])?)?;
    // Where two scores are the same number, their mean is taken.
    let weights = hit.div(&hit.sum(1)?.reshape([count, 1])?)?;
    kinds.mul(&weights.reshape([count, 1, components])?)?.sum(2)?.reshape([count, all])
}

//! The likelihood of colours: a mixture of discretised logistic distributions for each pixel
//! (Salimans et al. 2017), and samples of it.

mod sample;

use rung_kernels::backend::LogisticMixture;
use rung_kernels::{DType, Device, Error, Result, Shape, ViewMut};
use smallvec::smallvec;

use super::draw;
use crate::adjoint::Adjoint;
use crate::op::{CaseInput, Declaration, Operation, Refused, Saves, Shapes, apply_one};
use crate::tensor::Tensor;

/// The values of a byte.
const LEVELS_OF_A_BYTE: usize = 256;

/// `out[r] = Σ_pixels ln Σ_j π_j Π_c P_{c,j}(x)`; the gradient is that of the parameters, x being
/// data.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogisticMixtureLogProb {
    levels: usize,
}

/// Components of mixtures whose pixels have so many parameters, if that is possible.
fn components_of(parameters: usize, channels: usize) -> Option<usize> {
    let each = match channels {
        1 => 3,
        3 => 10,
        _ => return None,
    };
    (parameters > 0 && parameters.is_multiple_of(each)).then_some(parameters / each)
}

impl LogisticMixtureLogProb {
    fn mixture(&self, parameters: &Shape, x: &Shape) -> Result<LogisticMixture> {
        let refused = |rule: &str| {
            Err(Error::shape(self.name(), rule, &[("parameters", *parameters), ("x", *x)]))
        };
        let (&[images, pixels, numbers], &[x_images, x_pixels, channels]) =
            (parameters.sizes(), x.sizes())
        else {
            return refused(
                "parameters must be [images, pixels, numbers] and x [images, pixels, channels]",
            );
        };
        let Some(components) = components_of(numbers, channels) else {
            return refused(
                "a pixel of 1 channel takes 3 numbers for each component, one of 3 channels 10",
            );
        };
        let is_multiple = images == x_images || x_images > 0 && images.is_multiple_of(x_images);
        if pixels != x_pixels || !is_multiple {
            return refused(
                "pixels must agree, and the images of the parameters be a multiple of those of x",
            );
        }
        let repeat = if images == x_images { 1 } else { images / x_images };
        Ok(LogisticMixture { images, repeat, pixels, channels, components, levels: self.levels })
    }
}

impl Operation for LogisticMixtureLogProb {
    fn name(&self) -> &'static str {
        "logistic_mixture_log_prob"
    }

    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes> {
        let mixture = self.mixture(&inputs[0].shape, &inputs[1].shape)?;
        if mixture.levels < 2 {
            return Err(Error::argument(
                self.name(),
                format!("{} levels; 2 are needed", mixture.levels),
            ));
        }
        Ok(smallvec![Shape::from([mixture.images])])
    }

    fn forward(&self, inputs: &[&Tensor], outputs: &mut [ViewMut<'_>]) -> Result<()> {
        let (parameters, x) = (inputs[0], inputs[1]);
        let mixture = self.mixture(&parameters.shape, &x.shape)?;
        x.device.logistic_mixture_log_prob(
            mixture,
            x.view(),
            parameters.view(),
            outputs[0].reborrow(),
        )
    }

    fn saves(&self) -> Saves {
        Saves::inputs([0, 1])
    }

    fn backward(&self, adjoint: &mut Adjoint<'_>) -> Result<()> {
        let (device, parameters, x, grad_out) =
            (adjoint.device(), adjoint.saved(0), adjoint.saved(1), adjoint.grad_out());
        let mixture = self.mixture(&parameters.shape, &x.shape)?;
        adjoint.emit(0, |grad| {
            device.logistic_mixture_log_prob_backward(
                mixture,
                x.view(),
                parameters.view(),
                grad_out.view(),
                grad,
            )
        })
    }

    fn declarations() -> Vec<Declaration> {
        vec![Declaration {
            name: "logistic_mixture_log_prob",
            case: |rng| {
                use rand::RngExt;
                let (x_images, pixels, repeat) = (
                    draw::size(rng).min(3),
                    draw::size_or_zero(rng).min(5),
                    rng.random_range(1..3),
                );
                let (channels, levels) = (
                    if rng.random() { 1 } else { 3 },
                    if rng.random() { LEVELS_OF_A_BYTE } else { 5 },
                );
                let components = draw::size(rng).min(5);
                let mixture = LogisticMixture {
                    images: x_images * repeat,
                    repeat,
                    pixels,
                    channels,
                    components,
                    levels,
                };
                let x: Vec<f64> = (0..x_images * pixels * channels)
                    .map(|_| 2.0 * rng.random_range(0..levels) as f64 / (levels - 1) as f64 - 1.0)
                    .collect();
                draw::case(format!("{mixture:?}"), vec![parameters(rng, &mixture)], move |inputs| {
                    let (device, dtype) = (inputs[0].device(), inputs[0].dtype());
                    let x = Tensor::from_values(device, dtype, &x, [x_images, pixels, channels])?;
                    inputs[0].logistic_mixture_log_prob(&x, levels)
                })
            },
            refused: || {
                vec![
                    Refused {
                        call: |device| call(device, [2, 4, 10], [2, 4, 1], 256),
                        message: "1 channel takes 3",
                    },
                    Refused {
                        call: |device| call(device, [2, 4, 20], [2, 4, 2], 256),
                        message: "3 channels 10",
                    },
                    Refused {
                        call: |device| call(device, [2, 4, 20], [2, 5, 3], 256),
                        message: "pixels must agree",
                    },
                    Refused {
                        call: |device| call(device, [3, 4, 20], [2, 4, 3], 256),
                        message: "be a multiple",
                    },
                    Refused {
                        call: |device| call(device, [2, 4, 20], [2, 4, 3], 1),
                        message: "1 levels",
                    },
                ]
            },
        }]
    }
}

/// Random parameters: log-scales stay above the clamp.
fn parameters(rng: &mut rung_kernels::rng::Philox, mixture: &LogisticMixture) -> CaseInput {
    use rand::RngExt;
    let (per_pixel, group) =
        (mixture.parameters_per_pixel(), if mixture.channels == 1 { 2 } else { 3 });
    let mut input = draw::uniform(rng, [mixture.images, mixture.pixels, per_pixel], -1.5, 1.5);
    for (i, value) in input.values.iter_mut().enumerate() {
        let place = i % per_pixel / mixture.components;
        if place > 0 && (place - 1) % group == 1 {
            *value = rng.random_range(-3.0..0.5);
        }
    }
    input
}

fn call(device: &Device, parameters: [usize; 3], x: [usize; 3], levels: usize) -> Result<()> {
    let zeros = |shape| Tensor::zeros(device, DType::F64, shape);
    zeros(parameters)?.logistic_mixture_log_prob(&zeros(x)?, levels).map(drop)
}

impl Tensor {
    /// Log-probability of images under mixtures of discretised logistic distributions with these
    /// parameters, for each image, in nats.
    ///
    /// Of the n components j, with S = e^−s for the log-scale s (at least −7), half bin h =
    /// 1/(levels − 1), A = S(x − μ + h), B = S(x − μ − h):
    ///
    /// `ln P = ln(1 − e^(−2hS)) − softplus(−A) − softplus(B)`, at −1: `−softplus(−A)`, at 1:
    /// `−softplus(B)`, and
    /// `out[r] = Σ_pixels ln Σ_j π_j Π_c P_{c,j}(x_c)`, π the softmax of the mixture logits.
    ///
    /// | tensor | shape | unit |
    /// |---|---|---|
    /// | self, 1 channel | `[images, pixels, 3n]`: n logits, n means, n log-scales | |
    /// | self, 3 channels | `[images, pixels, 10n]`: n logits, then for each colour n means, n log-scales, n raw coefficients | |
    /// | `x` | `[images, pixels, channels]`, the levels evenly on [−1, 1] | |
    /// | out | `[images]` | nats |
    ///
    /// With coefficients k = tanh of the raw ones, true colours pull means: μ_G = m_G + k_R·x_R and
    /// μ_B = m_B + k_G·x_R + k_B·x_G, the index of k being the colour in whose group it is stored.
    /// There may be several images of parameters for each one of x (its samples): image r meets r
    /// div repeats. `x` is data: no gradient flows to it.
    ///
    /// **Edges.** Log-scales below −7 count as −7 and get no gradient. Both ends are in one
    /// logarithm, so that nothing is subtracted and masked.
    ///
    /// # Errors
    /// `Shape` if the sizes do not fit; `Argument` if there are fewer than two levels.
    ///
    /// # Example
    /// ```
    /// # use rung_autograd::{Device, Tensor};
    /// let cpu = Device::cpu();
    /// let grey = Tensor::from_f64(&cpu, &[128.0 / 127.5 - 1.0], [1, 1, 1])?;
    /// let mixture = Tensor::from_f64(&cpu, &[0.0, 0.1, -2.0], [1, 1, 3])?;
    /// let log_prob = mixture.logistic_mixture_log_prob(&grey, 256)?.to_scalar()?;
    /// assert!((log_prob - -4.3578957).abs() < 1e-7);
    /// # Ok::<(), rung_autograd::Error>(())
    /// ```
    pub fn logistic_mixture_log_prob(&self, x: &Self, levels: usize) -> Result<Self> {
        apply_one(LogisticMixtureLogProb { levels }, &[self, &x.detach()])
    }
}

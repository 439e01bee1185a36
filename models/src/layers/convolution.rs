//! The convolution: a sum over a window at each position, then batch normalisation if it has one,
//! then the activation.

use rung_autograd::ops::Activation;
use rung_autograd::{Initialiser, ParameterId, Result, Tensor};

use super::affine::Affine;
use super::{Builder, NormConfig};
use crate::pass::Pass;
use crate::statistics::StatisticsId;

/// Sizes and settings of a convolution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvolutionConfig {
    /// Channels of the input.
    pub inputs: usize,
    /// Channels of the output.
    pub outputs: usize,
    /// Side of the square kernel.
    pub kernel: usize,
    /// Distance of the positions it is applied at.
    pub stride: usize,
    /// Batch normalisation of each channel over the rows and positions, if the layer has one; then
    /// it has no bias, which would have no effect.
    pub norm: Option<NormConfig>,
    /// Applied last.
    pub activation: Activation,
    /// How the weight starts.
    pub weight: Initialiser,
}

/// y = activation(norm(x ∗ weight)) or activation(x ∗ weight + bias), with SAME padding.
#[derive(Clone, Debug)]
pub struct Convolution {
    weight: ParameterId,
    affine: Affine,
    stride: usize,
    outputs: usize,
}

impl Convolution {
    /// Adds the layer's parameters: `weight` `[kernel, kernel, inputs, outputs]` and
    /// `bias` or `norm.scale`, `norm.shift` `[outputs]`. A bias starts at 0.
    #[must_use]
    pub fn new(builder: &mut Builder<'_>, config: &ConvolutionConfig) -> Self {
        let ConvolutionConfig { inputs, outputs, kernel, stride, norm, activation, weight } =
            *config;
        let weight = builder.parameter("weight", [kernel, kernel, inputs, outputs], weight);
        let affine = Affine::new(builder, outputs, norm, Initialiser::Constant(0.0), activation);
        Self { weight, affine, stride, outputs }
    }

    /// Which statistics the layer is normalised with; `None` if it has no batch normalisation.
    pub(crate) const fn statistics(&self) -> Option<StatisticsId> {
        self.affine.statistics()
    }

    /// x ∗ weight (+ bias), what batch normalisation would normalise:
    /// [rows, ⌈height/stride⌉, ⌈width/stride⌉, outputs].
    pub(crate) fn pre_activation(&self, pass: &Pass<'_>, x: &Tensor) -> Result<Tensor> {
        x.conv2d(&pass.parameter(self.weight), self.affine.bias(pass).as_ref(), self.stride)
    }

    /// The layer applied to `x` [rows, height, width, inputs].
    ///
    /// # Errors
    /// `Shape` if `x` has not four axes, or has other channels.
    pub fn forward(&self, pass: &mut Pass<'_>, x: &Tensor) -> Result<Tensor> {
        let map = self.pre_activation(pass, x)?;
        let shape = *map.shape();
        // A position of an example is a row: the statistics are those of a channel.
        let rows = map.reshape([shape.element_count() / self.outputs, self.outputs])?;
        self.affine.apply(pass, &rows)?.reshape(shape)
    }
}

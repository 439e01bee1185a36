//! The convolution: a sum over a window at each position, then batch normalisation if it has one,
//! then the activation.

use rung_autograd::ops::Activation;
use rung_autograd::{Initialiser, Padding, ParameterId, Result, Tensor};

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
    /// What lies around the map.
    pub padding: Padding,
    /// Batch normalisation of each channel over the rows and positions, if the layer has one; then
    /// it has no bias, which would have no effect.
    pub norm: Option<NormConfig>,
    /// Applied last.
    pub activation: Activation,
    /// How the weight starts.
    pub weight: Initialiser,
}

/// y = activation(norm(x ∗ weight)) or activation(x ∗ weight + bias).
#[derive(Clone, Debug)]
pub struct Convolution {
    weight: ParameterId,
    affine: Affine,
    stride: usize,
    padding: Padding,
    outputs: usize,
}

impl Convolution {
    /// Adds the layer's parameters: `weight` `[kernel, kernel, inputs, outputs]` and
    /// `bias` or `norm.scale`, `norm.shift` `[outputs]`. A bias starts at 0.
    #[must_use]
    pub fn new(builder: &mut Builder<'_>, config: &ConvolutionConfig) -> Self {
        let ConvolutionConfig {
            inputs,
            outputs,
            kernel,
            stride,
            padding,
            norm,
            activation,
            weight,
        } = *config;
        let weight = builder.parameter("weight", [kernel, kernel, inputs, outputs], weight);
        let affine = Affine::new(builder, outputs, norm, Initialiser::Constant(0.0), activation);
        Self { weight, affine, stride, padding, outputs }
    }

    /// Which statistics the layer is normalised with; `None` if it has no batch normalisation.
    pub(crate) const fn statistics(&self) -> Option<StatisticsId> {
        self.affine.statistics()
    }

    /// A number that no other layer of the model has.
    pub(crate) const fn index(&self) -> usize {
        self.weight.index()
    }

    /// x ∗ weight (+ bias), what batch normalisation would normalise: [rows, height, width,
    /// outputs].
    pub(crate) fn pre_activation(&self, pass: &Pass<'_>, x: &Tensor) -> Result<Tensor> {
        let (weight, bias) = (pass.parameter(self.weight), self.affine.bias(pass));
        match self.padding {
            Padding::Same => x.conv2d(&weight, bias.as_ref(), self.stride),
            Padding::Valid => x.conv2d_valid(&weight, bias.as_ref(), self.stride),
        }
    }

    /// The layer applied to `x` [rows, height, width, inputs].
    ///
    /// # Errors
    /// `Shape` if `x` has not four axes, has other channels, or is smaller than a kernel without
    /// padding.
    pub fn forward(&self, pass: &mut Pass<'_>, x: &Tensor) -> Result<Tensor> {
        let map = self.pre_activation(pass, x)?;
        let shape = *map.shape();
        // A position of an example is a row: the statistics are those of a channel.
        let rows = map.reshape([shape.element_count() / self.outputs, self.outputs])?;
        self.affine.apply(pass, &rows)?.reshape(shape)
    }
}

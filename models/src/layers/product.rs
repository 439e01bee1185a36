//! What a weight is applied as: a matrix, a convolution, or the adjoint of one.

use rung_autograd::{Result, Shape, Tensor};

/// What the weight is applied as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// Rows times a matrix: [rows, inputs] gives [rows, outputs].
    Dense,
    /// A convolution with SAME padding: [rows, height, width, inputs] gives [rows, ⌈height/stride⌉,
    /// ⌈width/stride⌉, outputs].
    Convolution {
        /// Side of the square kernel.
        kernel: usize,
        /// Distance of the positions it is applied at.
        stride: usize,
    },
    /// The adjoint of a convolution: [rows, height, width, inputs] gives [rows, height · stride,
    /// width · stride, outputs].
    Transposed {
        /// Side of the square kernel.
        kernel: usize,
        /// By how much it enlarges.
        stride: usize,
    },
}

impl Product {
    /// The shape of a weight from `inputs` channels to `outputs`.
    pub(super) fn weight_shape(self, inputs: usize, outputs: usize) -> Shape {
        match self {
            Self::Dense => Shape::from([inputs, outputs]),
            Self::Convolution { kernel, .. } => Shape::from([kernel, kernel, inputs, outputs]),
            Self::Transposed { kernel, .. } => Shape::from([kernel, kernel, outputs, inputs]),
        }
    }

    /// The weight's axis of output channels.
    pub(super) const fn output_axis(self) -> usize {
        match self {
            Self::Dense => 1,
            Self::Convolution { .. } => 3,
            Self::Transposed { .. } => 2,
        }
    }

    /// The product of `x` and a weight, plus a bias for each output channel.
    ///
    /// # Errors
    /// `Shape` if `x` does not fit.
    pub(super) fn apply(
        self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
    ) -> Result<Tensor> {
        match self {
            Self::Dense => x.linear(weight, bias),
            Self::Convolution { stride, .. } => x.conv2d(weight, bias, stride),
            Self::Transposed { stride, .. } => x.conv_transpose2d(weight, bias, stride),
        }
    }
}

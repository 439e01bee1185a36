//! Declarations: convolutions, and their sizes.

use crate::shape::{MatmulShape, Matrix};
use crate::view::{View, ViewMut};
pub use crate::window::Padding;
use crate::window::Window;
use crate::{Error, Result};

/// A two-dimensional convolution, from a larger map to a smaller or equal one, and thereby also its
/// two adjoints.
///
/// | array | shape |
/// |---|---|
/// | input | `[batch, height, width, in_channels]` |
/// | weight | `[kernel height, kernel width, in_channels, out_channels]` |
/// | output | `[batch, out height, out width, out_channels]` |
///
/// [`Padding`] says how many positions the output has, and which zeros are added for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convolution {
    /// Images.
    pub batch: usize,
    /// Height and width of the input.
    pub input: [usize; 2],
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Input positions from an output to the next, along both axes.
    pub stride: usize,
    /// What lies around the input.
    pub padding: Padding,
}

impl Convolution {
    /// Height and width of the output.
    #[must_use]
    pub fn output(&self) -> [usize; 2] {
        self.along_axes(Padding::results)
    }

    /// Zeros before the first row and the first column.
    #[must_use]
    pub fn padding_before(&self) -> [usize; 2] {
        self.along_axes(Padding::before)
    }

    /// What the padding says of each axis; a stride of 0 is refused later.
    fn along_axes(&self, of: fn(Padding, usize, usize, usize) -> usize) -> [usize; 2] {
        [0, 1].map(|axis| of(self.padding, self.input[axis], self.kernel[axis], self.stride.max(1)))
    }

    /// The input as rows of channels.
    #[must_use]
    pub fn input_matrix(&self) -> Matrix {
        self.map(self.input, self.in_channels)
    }

    /// The output as rows of channels.
    #[must_use]
    pub fn output_matrix(&self) -> Matrix {
        self.map(self.output(), self.out_channels)
    }

    const fn map(&self, [height, width]: [usize; 2], columns: usize) -> Matrix {
        Matrix { rows: self.batch.saturating_mul(height).saturating_mul(width), columns }
    }

    /// The weight as a row for each term of an output's sum.
    #[must_use]
    pub const fn weight_matrix(&self) -> Matrix {
        let taps = self.kernel[0].saturating_mul(self.kernel[1]);
        Matrix { rows: taps.saturating_mul(self.in_channels), columns: self.out_channels }
    }

    /// The matrix product with as many multiply-adds: of all patches of the input with the weight.
    #[must_use]
    pub fn product(&self) -> MatmulShape {
        MatmulShape::plain(self.output_matrix().rows, self.out_channels, self.weight_matrix().rows)
    }

    /// Where each position has one term only: the kernel is a single number, or the map is. The
    /// whole is then a plain product, with the
    /// weight from this element on.
    pub(crate) fn single_tap(&self) -> Option<usize> {
        let is_pointwise = self.kernel == [1, 1] && self.stride == 1;
        let is_position = self.input == [1, 1] && self.output() == [1, 1];
        let [row, column] = self.padding_before();
        let tap = row * self.kernel[1] + column;
        (is_pointwise || is_position).then_some(tap * self.in_channels * self.out_channels)
    }

    /// The walk along rows and along columns.
    pub(crate) fn windows(&self) -> [Window; 2] {
        [0, 1].map(|axis| {
            Window::convolution(self.input[axis], self.kernel[axis], self.stride, self.padding)
        })
    }

    /// Refuses a stride or a kernel of 0, of which nothing could be made.
    pub(crate) fn check(&self, operation: &'static str) -> Result<()> {
        if self.stride > 0 && !self.kernel.contains(&0) {
            return Ok(());
        }
        let [height, width] = self.kernel;
        let what = format!(
            "the stride is {} and the kernel {height} × {width}; none may be 0",
            self.stride
        );
        Err(Error::argument(operation, what))
    }
}

/// The declarations of [`Convolutions`], given to the macro `$consumer`; see `backend.rs`.
macro_rules! convolution {
    ($consumer:ident!) => {
        $consumer! {
            /// Convolutions of feature maps, which are `[batch, height, width, channel]`: rows of
            /// channels.
            trait Convolutions;

            /// `out[n, p, q, o] = Σ_{a,b,c} x[n, p·s + a − p₀, q·s + b − q₀, c] ·
            /// weight[a, b, c, o] + bias[o]`, with zeros outside of x; (p₀, q₀) are the
            /// zeros that [`Convolution`] has before the first position.
            convolution::conv2d(
                convolution: Convolution, x: View<'_>, weight: View<'_>, bias: Option<View<'_>>,
                out: ViewMut<'_>
            );

            /// The adjoint of [`Convolutions::conv2d`] in its input, plus a bias for each input
            /// channel: with `y` shaped like the output,
            /// `out[n, h, w, c] = Σ y[n, p, q, o] · weight[a, b, c, o] + bias[c]` over all
            /// p·s + a − p₀ = h, q·s + b − q₀ = w and o.
            convolution::conv2d_transpose(
                convolution: Convolution, y: View<'_>, weight: View<'_>, bias: Option<View<'_>>,
                out: ViewMut<'_>
            );

            /// The adjoint of [`Convolutions::conv2d`] in its weight:
            /// `grad_weight[a, b, c, o] = Σ_{n,p,q} x[n, p·s + a − p₀, q·s + b − q₀, c] ·
            /// grad_out[n, p, q, o]`.
            convolution::conv2d_weight_gradient(
                convolution: Convolution, x: View<'_>, grad_out: View<'_>,
                grad_weight: ViewMut<'_>
            );
        }
    };
}

pub(crate) use convolution;

convolution!(declare_trait!);

//! Masked convolutions: the value at a position depends on positions before it in raster order, row
//! by row from the top left.
//!
//! The taps of a square kernel that lie before its centre are the first ones in memory, so the
//! mask is no multiplication: only these taps are parameters, and zeros follow them where a whole
//! kernel is needed.

use rung_autograd::ops::concat;
use rung_autograd::{Initialiser, ParameterId, Result, Tensor};

use crate::layers::Builder;
use crate::pass::Pass;

/// Which positions are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mask {
    /// Those before the current one (mask A): for the image.
    Before,
    /// These and the current one (mask B): for features, which know nothing of the current pixel.
    UpTo,
}

/// A convolution with a mask, stride 1 and SAME padding; the side of its kernel is odd.
#[derive(Clone, Debug)]
pub(super) struct MaskedConvolution {
    weight: ParameterId,
    taps: Taps,
    inputs: usize,
    outputs: usize,
}

/// The taps of a kernel that the mask lets through.
#[derive(Clone, Copy, Debug)]
struct Taps {
    side: usize,
    count: usize,
}

/// A masked convolution with its weight.
#[derive(Clone, Debug)]
pub(super) struct MaskedKernel {
    /// [taps · inputs, outputs].
    weight: Tensor,
    taps: Taps,
    inputs: usize,
    outputs: usize,
}

impl Taps {
    /// Those of a kernel with this odd side.
    const fn new(mask: Mask, side: usize) -> Self {
        let before = side * side / 2;
        let count = match mask {
            Mask::Before => before,
            Mask::UpTo => before + 1,
        };
        Self { side, count }
    }

    /// Row and column of each, from the position that the kernel is at.
    fn offsets(self) -> impl Iterator<Item = [isize; 2]> {
        let (side, half) = (self.side, (self.side / 2) as isize);
        (0..self.count).map(move |tap| [tap / side, tap % side].map(|i| i as isize - half))
    }
}

impl MaskedConvolution {
    /// Adds `weight` `[taps · inputs, outputs]`, Glorot normal.
    pub(super) fn new(
        builder: &mut Builder<'_>,
        (mask, side): (Mask, usize),
        inputs: usize,
        outputs: usize,
    ) -> Self {
        let taps = Taps::new(mask, side);
        let fan_in = taps.count * inputs;
        let initialiser = Initialiser::glorot_normal(fan_in, outputs, 1.0);
        let weight = builder.parameter("weight", [fan_in, outputs], initialiser);
        Self { weight, taps, inputs, outputs }
    }

    /// The convolution with the weight of this pass.
    pub(super) fn kernel(&self, pass: &Pass<'_>) -> MaskedKernel {
        let &Self { taps, inputs, outputs, .. } = self;
        MaskedKernel { weight: pass.parameter(self.weight), taps, inputs, outputs }
    }
}

impl MaskedKernel {
    /// The same with another weight in place of its own.
    pub(super) fn with_weight(&self, change: &mut impl FnMut(&Tensor) -> Tensor) -> Self {
        Self { weight: change(&self.weight), ..*self }
    }

    /// Of all positions at once: [rows, height, width, inputs] gives [rows, height, width,
    /// outputs].
    pub(super) fn convolve(&self, x: &Tensor) -> Result<Tensor> {
        let &Self { taps: Taps { side, count }, inputs, outputs, ref weight } = self;
        let hidden = [(side * side - count) * inputs, outputs];
        let hidden = Tensor::zeros(weight.device(), weight.dtype(), hidden)?;
        let kernel = concat(&[weight, &hidden], 0)?.reshape([side, side, inputs, outputs])?;
        x.conv2d(&kernel, None, 1)
    }

    /// Of one position, from what is at its taps: [rows, taps · inputs] gives [rows, outputs].
    pub(super) fn at_taps(&self, x: &Tensor) -> Result<Tensor> {
        x.matmul(&self.weight)
    }

    /// Row and column of each tap, from the position that the kernel is at.
    pub(super) fn offsets(&self) -> impl Iterator<Item = [isize; 2]> {
        self.taps.offsets()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_are_those_before_the_centre_in_raster_order() {
        let offsets = |mask, side| Taps::new(mask, side).offsets().collect::<Vec<_>>();
        assert_eq!(offsets(Mask::Before, 3), [[-1, -1], [-1, 0], [-1, 1], [0, -1]]);
        assert_eq!(offsets(Mask::UpTo, 3), [[-1, -1], [-1, 0], [-1, 1], [0, -1], [0, 0]]);
        let seven = offsets(Mask::Before, 7);
        assert_eq!((seven.len(), seven[23]), (24, [0, -1]));
        assert!(seven.iter().all(|&[row, column]| row < 0 || row == 0 && column < 0));
    }
}

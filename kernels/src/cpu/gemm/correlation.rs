//! Products with the patches of a map: what a convolution and its adjoints are, behind the same
//! door as the plain product.
//!
//! # A convolution is a matrix product
//! Each output position multiplies its patch of the map, `taps · channels` numbers, with one
//! matrix, the weight. Written out, the patches of all positions are a matrix with a row for each
//! position (*im2col*), in which every number of the map occurs once for each tap: 25 times for a
//! kernel of 5 × 5. The engine never writes it. Its micro-kernel asks of the left operand only that
//! the rows of a tile lie a fixed distance apart, and in a map they do: neighbouring positions of
//! one row are `step · channels` numbers apart. The terms of a sum lie side by side as well, as
//! long as the taps stay in one row of the kernel:
//!
//! ```text
//!   a row of the map, C channels a position:      │ 0 │ 0 │ x0 │ x1 │ x2 │ x3 │ … (zeros: padding)
//!   kernel of 5, position 0 reads                 └────────────────────┘
//!   position 1 reads the same, C numbers on           └────────────────────┘
//! ```
//!
//! So a kernel row is one *segment* of `5·C` terms, the next is the next row of the map, and a tile
//! is the product of positions of one row of the map with a panel of the weight, segment after
//! segment. Rows of the kernel that lie outside of the map are left out; columns that do are zeros,
//! for which rows are copied with their padding, a band of the map at a time. That copy is a few
//! hundredths of the work.
//!
//! The adjoint in the map, with a stride of s, is s² such convolutions, one for each remainder of
//! the positions (*phase*): `Window` has the algebra. The adjoint in the weight is a product that
//! sums over positions: `correlate_weight.rs`.

#[cfg(test)]
mod tests;

use super::element::Element;
use super::{Engine, MatmulShape};
use crate::backend::Convolution;
use crate::window::Window;

/// Results along both axes of maps, each made of patches of a source and a weight.
///
/// out[n, p, q, o] = Σ_{a,b,c} source[n, row(p, a), column(q, b), c] · weight(a, b)[c · along + o ·
/// across]
#[derive(Clone, Copy, Debug)]
pub(super) struct Correlation {
    pub(super) batch: usize,
    /// The walk down the rows.
    pub(super) rows: Window,
    /// The walk along the columns.
    pub(super) columns: Window,
    /// Channels of the source.
    pub(super) channels: usize,
    /// Channels of the result.
    pub(super) results: usize,
    /// Height and width of the map of results.
    pub(super) map: [usize; 2],
    /// Columns of the kernel.
    pub(super) kernel_width: usize,
    /// From a channel of the source to the next, in the weight of a tap.
    pub(super) along: usize,
    /// From a channel of the result to the next, in the weight of a tap.
    pub(super) across: usize,
}

impl Correlation {
    /// The convolution itself.
    fn forward(convolution: &Convolution) -> Self {
        let [rows, columns] = convolution.windows();
        Self {
            batch: convolution.batch,
            rows,
            columns,
            channels: convolution.in_channels,
            results: convolution.out_channels,
            map: convolution.output(),
            kernel_width: convolution.kernel[1],
            along: convolution.out_channels,
            across: 1,
        }
    }

    /// One phase of its adjoint.
    fn adjoint(convolution: &Convolution, phase: [usize; 2]) -> Self {
        let window = |axis: usize| {
            Window::adjoint(
                convolution.input[axis],
                convolution.kernel[axis],
                convolution.stride,
                convolution.padding,
                phase[axis],
            )
        };
        Self {
            batch: convolution.batch,
            rows: window(0),
            columns: window(1),
            channels: convolution.out_channels,
            results: convolution.in_channels,
            map: convolution.input,
            kernel_width: convolution.kernel[1],
            along: 1,
            across: convolution.out_channels,
        }
    }

    /// The product of all patches with the weight.
    pub(super) fn product(&self) -> MatmulShape {
        let positions = self.batch * self.rows.count * self.columns.count;
        MatmulShape::plain(positions, self.results, self.rows.taps * self.row_terms())
    }

    /// Terms of a sum that one row of the kernel has.
    pub(super) fn row_terms(&self) -> usize {
        self.columns.taps * self.channels
    }

    /// The first weight of a tap.
    pub(super) fn weight_of(&self, row_tap: usize, column_tap: usize) -> usize {
        let at =
            self.rows.kernel_of(row_tap) * self.kernel_width + self.columns.kernel_of(column_tap);
        at * self.channels * self.results
    }

    /// The first number of a source position's row of the map, and of its own.
    pub(super) fn source_of(&self, image: usize, row: usize, column: usize) -> usize {
        ((image * self.rows.source + row) * self.columns.source + column) * self.channels
    }

    /// Where a result lies.
    pub(super) fn place_of(&self, image: usize, row: usize, column: usize) -> usize {
        let row = image * self.map[0] + self.rows.place_of(row);
        (row * self.map[1] + self.columns.place_of(column)) * self.results
    }

    /// The taps of a result row that exist; none if such a row of the kernel has no terms.
    pub(super) fn row_taps(&self, row: usize) -> std::ops::Range<usize> {
        if self.row_terms() == 0 { 0..0 } else { self.rows.existing_taps(row) }
    }
}

/// A convolution of `x`: [`crate::backend::Convolutions::conv2d`] for slices of the right lengths.
///
/// **Accuracy.** As [`super::matmul`]. The bits don't depend on the number of threads.
/// **Workspace.** For each thread a block of the weight and a band of the map: 1 MiB and 128 KiB,
/// or what one row of positions needs.
pub(in crate::cpu) fn convolve<T: Element>(
    convolution: &Convolution,
    x: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    out: &mut [T],
) {
    convolve_with(Engine::best(), convolution, x, weight, bias, out);
}

/// [`convolve`] by a given engine.
pub(super) fn convolve_with<T: Element>(
    engine: Engine,
    convolution: &Convolution,
    x: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    out: &mut [T],
) {
    if !out.is_empty() {
        T::correlate(engine, &Correlation::forward(convolution), x, weight, bias, out);
    }
}

/// The adjoint of [`convolve`] in `x`, phase by phase; workspace and accuracy are the same.
pub(in crate::cpu) fn convolve_transposed<T: Element>(
    convolution: &Convolution,
    y: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    out: &mut [T],
) {
    convolve_transposed_with(Engine::best(), convolution, y, weight, bias, out);
}

/// [`convolve_transposed`] by a given engine.
pub(super) fn convolve_transposed_with<T: Element>(
    engine: Engine,
    convolution: &Convolution,
    y: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    out: &mut [T],
) {
    for row_phase in 0..convolution.stride.min(convolution.input[0]) {
        for column_phase in 0..convolution.stride.min(convolution.input[1]) {
            let phase = Correlation::adjoint(convolution, [row_phase, column_phase]);
            if !out.is_empty() {
                T::correlate(engine, &phase, y, weight, bias, out);
            }
        }
    }
}

/// The adjoint of [`convolve`] in the weight.
///
/// **Accuracy.** Within 4·√n·ε·Σ|terms| for the n positions. The bits don't depend on the number of
/// threads. **Workspace.** Partial sums of up to 4 MiB in all, and for each thread the packed rows
/// of up to a block of positions.
pub(in crate::cpu) fn correlate_weight<T: Element>(
    convolution: &Convolution,
    x: &[T],
    grad_out: &[T],
    grad_weight: &mut [T],
) {
    correlate_weight_with(Engine::best(), convolution, x, grad_out, grad_weight);
}

/// [`correlate_weight`] by a given engine.
pub(super) fn correlate_weight_with<T: Element>(
    engine: Engine,
    convolution: &Convolution,
    x: &[T],
    grad_out: &[T],
    grad_weight: &mut [T],
) {
    if x.is_empty() || grad_out.is_empty() {
        grad_weight.fill(T::ZERO);
    } else {
        T::correlate_weight(engine, &Correlation::forward(convolution), x, grad_out, grad_weight);
    }
}

//! Where everything lies on the canvas of a cluttered sequence.
//!
//! The words of the address (seed, [`Stream::Sequence`], n) are used in this order: an image for
//! each digit, the columns left of the first, the row of the first, the slope, and for each patch
//! its number in the bank, its row and its column. A whole number below k is ⌊w · k / 2³²⌋ for a
//! word w. The bank has [`BANK`] patches; patch j has the words of (seed,
//! [`Stream::SequencePatch`], j): the image that it is cut from, and the row and the column in it.

use rand::Rng;
use rung_kernels::rng::{Address, Philox, Stream};

use super::Sequences;
use crate::ImageShape;

/// Rows and columns of a patch.
pub(super) const PATCH_SIDE: usize = 9;
/// Patches that all splits of a data set share.
const BANK: usize = 100_000;

/// A digit on the canvas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Digit {
    /// Its number among the digits of its part.
    pub(super) image: usize,
    /// Its topmost row.
    pub(super) row: usize,
    /// Its leftmost column.
    pub(super) column: usize,
}

/// A patch on the canvas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Patch {
    /// The number of the digit that it is cut from, the validation digits after the training ones.
    pub(super) image: usize,
    /// Its topmost row in that digit.
    pub(super) from_row: usize,
    /// Its leftmost column in that digit.
    pub(super) from_column: usize,
    /// Its topmost row.
    pub(super) row: usize,
    /// Its leftmost column.
    pub(super) column: usize,
}

/// What lies on a canvas: digits from left to right, and patches, later ones over earlier ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) digits: Vec<Digit>,
    pub(super) patches: Vec<Patch>,
}

/// Whole numbers drawn from the words of an address, one after the other.
struct Numbers(Philox);

impl Numbers {
    fn of(seed: u64, stream: Stream, step: u64) -> Self {
        Self(Philox::new(Address::new(seed, stream.first(), step)))
    }

    /// A number below `count`; 0 if that is 0.
    fn below(&mut self, count: usize) -> usize {
        ((u64::from(self.0.next_u32()) * count as u64) >> 32) as usize
    }
}

/// The layout of example `number`, of digits of the shape `digit`; `images` are those of its part,
/// and those that patches are cut from.
///
/// With S the side of the canvas, T digits of h×w, and every number uniform:
/// digit k lies in the columns x + k·w, with x from 0 to S − T·w − 1, and in the row y + k·s, with
/// y from 0 to S − 1 and s from −h/2 to h/2 − 1, moved up or down as far as it takes to lie on the
/// canvas. Patches have their corner in row and column 0 to S − 10, cut from row and column 0 to
/// h − 10 and w − 10. All upper ends are those of the paper's code, which leaves out the last place
/// that would fit.
pub(super) fn layout(
    sequences: &Sequences,
    digit: ImageShape,
    images: (usize, usize),
    number: u64,
) -> Layout {
    let Sequences { canvas, digits, distractors, seed, .. } = *sequences;
    let ImageShape { height, width, .. } = digit;
    let mut numbers = Numbers::of(seed, Stream::Sequence, number);
    let chosen: Vec<usize> = (0..digits).map(|_| numbers.below(images.0)).collect();
    let left = numbers.below(canvas - digits * width);
    let top = numbers.below(canvas) as i64;
    let slope = numbers.below(height / 2 * 2) as i64 - (height / 2) as i64;
    let place = |(k, image): (usize, usize)| {
        let row = (top + slope * k as i64).clamp(0, (canvas - height) as i64);
        Digit { image, row: row as usize, column: left + k * width }
    };
    let digits = chosen.into_iter().enumerate().map(place).collect();
    let patches = (0..distractors).map(|_| {
        let mut source = Numbers::of(seed, Stream::SequencePatch, numbers.below(BANK) as u64);
        Patch {
            image: source.below(images.1),
            from_row: source.below(height - PATCH_SIDE),
            from_column: source.below(width - PATCH_SIDE),
            row: numbers.below(canvas - PATCH_SIDE),
            column: numbers.below(canvas - PATCH_SIDE),
        }
    });
    Layout { digits, patches: patches.collect() }
}

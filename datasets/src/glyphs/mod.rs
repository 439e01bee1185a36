//! The built-in data set: handwritten digits that the program writes itself, endlessly, with no
//! download.
//!
//! A digit is a few pen strokes (`shapes.rs`: ten digits, several ways to write each). A hand is a
//! set of random habits: slant, size, pressure, a bend of the paper (`hand.rs`). A pen turns
//! strokes into pixels (`pen.rs`). Read `shapes.rs` first; then [`glyph`] here, which puts the
//! three together.

mod hand;
mod pen;
#[rustfmt::skip] // tables of points, laid out by hand
mod shapes;

use rayon::prelude::*;
use rung_kernels::rng::{Address, Philox, Stream};

use crate::{Binarisation, Dataset, ImageShape, Images, Labels, Pixels, Result};

/// Rows and columns of a glyph.
pub const SIDE: usize = 28;
const PIXELS: usize = SIDE * SIDE;
const CLASSES: usize = 10;

/// Where the splits begin in the endless sequence: so far apart that none can reach the next,
/// whatever their sizes.
const VALIDATION_START: u64 = 1 << 40;
const TEST_START: u64 = 1 << 41;

/// How many glyphs each split has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GlyphCounts {
    /// Training glyphs: images 0, 1, … of the sequence.
    pub train: u32,
    /// Validation glyphs, from image 2⁴⁰.
    pub validation: u32,
    /// Test glyphs, from image 2⁴¹.
    pub test: u32,
}

impl Default for GlyphCounts {
    /// 10,000 to learn from, 1,000 to choose by, 2,000 to report on.
    fn default() -> Self {
        Self { train: 10_000, validation: 1_000, test: 2_000 }
    }
}

/// The 28×28 grey pixels of glyph `index` of the sequence with this seed, and its class: the digit
/// `index mod 10`.
///
/// A glyph depends on nothing else: not on the other glyphs, not on the number of threads. As in
/// MNIST, ink is 255 on 0, the drawing fits a box of 20×20 and its centre of mass lies in the
/// middle of the image.
///
/// # Example
/// ```
/// let (pixels, class) = rung_datasets::glyphs::glyph(1, 42);
/// assert_eq!(class, 2);
/// assert_eq!(pixels, rung_datasets::glyphs::glyph(1, 42).0);
/// ```
#[must_use]
pub fn glyph(seed: u64, index: u64) -> ([u8; SIDE * SIDE], u32) {
    let class = (index % CLASSES as u64) as u32;
    let mut rng = Philox::new(Address::new(seed, Stream::Glyph.first(), index));
    let strokes = hand::write(class as usize, &mut rng);
    (pen::draw(&strokes), class)
}

/// The glyphs `start .. start + count` of the sequence with this seed, drawn on all threads.
///
/// # Errors
/// None that a caller can cause; the type is that of [`Images::new`].
pub fn images(seed: u64, start: u64, count: u32) -> Result<Images> {
    let mut pixels = vec![0; count as usize * PIXELS];
    pixels.par_chunks_exact_mut(PIXELS).enumerate().for_each(|(i, image)| {
        image.copy_from_slice(&glyph(seed, start + i as u64).0);
    });
    let values = (0..u64::from(count)).map(|i| ((start + i) % CLASSES as u64) as u32).collect();
    let class_names = (0..CLASSES).map(|digit| digit.to_string()).collect();
    Images::new(
        ImageShape::new(1, SIDE, SIDE),
        Pixels::U8(pixels),
        Some(Labels::new(values, class_names)),
    )
}

/// The whole data set, by its seed and sizes.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) if there is to be no test glyph.
pub fn dataset(seed: u64, counts: GlyphCounts) -> Result<Dataset> {
    let train = images(seed, 0, counts.train)?;
    let test = images(seed, TEST_START, counts.test)?;
    let mut dataset = Dataset::new("glyphs", train, test, Binarisation::PerEpoch)?;
    if counts.validation > 0 {
        dataset.validation = Some(images(seed, VALIDATION_START, counts.validation)?);
    }
    Ok(dataset)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(images: &Images) -> &[u8] {
        match images.pixels() {
            Pixels::U8(bytes) => bytes,
            _ => panic!("glyphs are bytes"),
        }
    }

    #[test]
    fn a_glyph_is_a_function_of_seed_and_number() {
        let whole = images(3, 0, 40).unwrap();
        assert_eq!(whole, images(3, 0, 40).unwrap());
        let tail = images(3, 25, 15).unwrap();
        assert_eq!(bytes(&whole)[25 * PIXELS..], *bytes(&tail));
        assert_eq!(whole.labels().unwrap().values[25..], tail.labels().unwrap().values);
        assert_ne!(whole, images(4, 0, 40).unwrap());
    }

    #[test]
    fn no_two_glyphs_are_alike_and_splits_do_not_meet() {
        let counts = GlyphCounts { train: 300, validation: 300, test: 300 };
        let dataset = dataset(1, counts).unwrap();
        let validation = dataset.validation.unwrap();
        let all = [&dataset.train, &validation, &dataset.test].map(bytes).concat();
        let distinct: std::collections::HashSet<&[u8]> = all.chunks_exact(PIXELS).collect();
        assert_eq!(distinct.len(), 900);
    }

    #[test]
    fn classes_are_balanced() {
        let images = images(1, 0, 1000).unwrap();
        for class in 0..10 {
            let count =
                images.labels().unwrap().values.iter().filter(|&&label| label == class).count();
            assert_eq!(count, 100);
        }
    }

    /// MNIST's training images have a mean of 0.1307.
    #[test]
    fn there_is_as_much_ink_as_in_mnist() {
        let mean = images(1, 0, 4000).unwrap().mean_intensity();
        assert!((mean - 0.1307).abs() < 0.006, "{mean}");
    }

    #[test]
    fn the_centre_of_mass_is_the_middle_and_the_border_is_empty() {
        for image in bytes(&images(5, 0, 500).unwrap()).chunks_exact(PIXELS) {
            let mass: f64 = image.iter().map(|&ink| f64::from(ink)).sum();
            let moment = |position: fn(usize) -> usize| {
                let sum: f64 = image
                    .iter()
                    .enumerate()
                    .map(|(i, &ink)| position(i) as f64 * f64::from(ink))
                    .sum();
                sum / mass + 0.5 - SIDE as f64 / 2.0
            };
            assert!(moment(|i| i % SIDE).abs() <= 0.51 && moment(|i| i / SIDE).abs() <= 0.51);
            let border =
                |i: usize| [i % SIDE, i / SIDE].iter().any(|place| [0, SIDE - 1].contains(place));
            assert!(image.iter().enumerate().all(|(i, &ink)| !border(i) || ink == 0));
        }
    }

    #[test]
    fn a_data_set_without_test_glyphs_is_refused() {
        assert!(dataset(1, GlyphCounts { train: 5, validation: 0, test: 0 }).is_err());
        let empty_train = dataset(1, GlyphCounts { train: 0, validation: 0, test: 5 }).unwrap();
        assert!(empty_train.train.is_empty() && empty_train.validation.is_none());
    }
}

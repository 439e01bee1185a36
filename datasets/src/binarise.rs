//! From grey to black and white, and from bytes to reals: the two places where data meet random
//! numbers.
//!
//! This is the reference that a device kernel must equal bit for bit. Element `e = image · D + i`
//! (with `D` values an image and `image` the number in the file, not the place in a batch) uses
//! word `e` of an [`Address`]; the decision is one comparison of integers, so no rounding of a
//! division can flip a pixel.

use std::fmt;
use std::str::FromStr;

use rung_kernels::rng::{Address, Stream, uniform_from_word};

use crate::{Error, Images, Pixels, Result, Split};

/// What is done to intensities before a Bernoulli likelihood sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Binarisation {
    /// Nothing: intensities stay real.
    #[default]
    None,
    /// 1 from one half up.
    Threshold,
    /// One Bernoulli draw for each pixel, once for the whole run.
    Static,
    /// A new Bernoulli draw for each pixel in each epoch for training images; drawn once for all
    /// others.
    PerEpoch,
}

impl Binarisation {
    /// Every variant, in the order of the documentation.
    pub const ALL: [Self; 4] = [Self::None, Self::Threshold, Self::Static, Self::PerEpoch];

    /// The name on the command line: `none`, `threshold`, `static` or `dynamic`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Threshold => "threshold",
            Self::Static => "static",
            Self::PerEpoch => "dynamic",
        }
    }

    /// Where the draws for `split` in `epoch` live, or `None` if this binarisation draws nothing.
    ///
    /// Training images under [`PerEpoch`](Self::PerEpoch) have the step `epoch`; everything else
    /// has step 0, whatever the epoch, so a test set is fixed by its seed.
    #[must_use]
    pub const fn address(self, split: Split, seed: u64, epoch: u64) -> Option<Address> {
        let stream = match split {
            Split::Train => Stream::BinariseTrain.first(),
            Split::Validation => Stream::BinariseValidation.first(),
            Split::Test => Stream::BinariseTest.first(),
        };
        match (self, split) {
            (Self::None | Self::Threshold, _) => None,
            (Self::PerEpoch, Split::Train) => Some(Address::new(seed, stream, epoch)),
            (Self::PerEpoch | Self::Static, _) => Some(Address::new(seed, stream, 0)),
        }
    }

    /// The values a model sees for the chosen images, one image after the other.
    ///
    /// # Panics
    /// If a number in `images` is not below `data.count()`: that is a bug of the caller.
    #[must_use]
    pub fn apply(self, data: &Images, images: &[u32], split: Split, seed: u64, epoch: u64) -> Vec<f32> {
        match (self, self.address(split, seed, epoch)) {
            (_, Some(address)) => bernoulli(data, images, &address),
            (Self::Threshold, None) => map_rows(data, images, |_, pixel| match pixel {
                Pixel::Byte(byte) => f32::from(u8::from(byte >= 128)),
                Pixel::Real(real) => f32::from(u8::from(real >= 0.5)),
            }),
            (_, None) => map_rows(data, images, |_, pixel| match pixel {
                Pixel::Byte(byte) => f32::from(byte) / 255.0,
                Pixel::Real(real) => real,
            }),
        }
    }
}

impl fmt::Display for Binarisation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl FromStr for Binarisation {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|mode| mode.name() == text);
        found.ok_or_else(|| Error::Argument {
            what: "binarisation",
            expected: "none, threshold, static or dynamic".into(),
            found: format!("'{text}'"),
        })
    }
}

/// The number of words (out of 2³²) that make a byte pixel 1: ⌊(byte · 2³² + 127) / 255⌋, which is
/// byte · 2³² / 255 rounded.
///
/// 0 gives 0, so such a pixel is never 1; 255 gives 2³², above every word, so such a pixel always
/// is.
#[inline]
#[must_use]
pub const fn words_below_byte(byte: u8) -> u64 {
    (((byte as u64) << 32) + 127) / 255
}

/// The number of words (out of 2³²) that make a real pixel 1: `real`, cut to `[0, 1]`, times 2³²
/// and rounded (halves up).
///
/// The product is exact in f64 (a shift), so every device finds the same integer. NaN counts as 0.
#[inline]
#[must_use]
pub fn words_below_real(real: f32) -> u64 {
    let cut = if real > 0.0 { f64::from(real).min(1.0) } else { 0.0 };
    (cut * 4_294_967_296.0 + 0.5) as u64
}

/// One Bernoulli draw for each pixel of the chosen images: 1 where the pixel's word is below its
/// number of words.
///
/// For image number `n` and its value `i`: out = 1 if word(n · D + i) < words_below(pixel at (n,
/// i)), else 0. The rows of the result are in the order of `images`; the words depend on the
/// number, not on the row.
///
/// # Panics
/// If a number in `images` is not below `data.count()`: that is a bug of the caller.
#[must_use]
pub fn bernoulli(data: &Images, images: &[u32], address: &Address) -> Vec<f32> {
    let mut words = Words::new(address);
    map_rows(data, images, |element, pixel| {
        let below = match pixel {
            Pixel::Byte(byte) => words_below_byte(byte),
            Pixel::Real(real) => words_below_real(real),
        };
        f32::from(u8::from(u64::from(words.at(element)) < below))
    })
}

/// Uniform noise on bytes, for likelihoods that are densities: (pixel + u) / scale with u in (0, 1)
/// from the pixel's word.
///
/// For image number `n` and its value `i`: out = (pixel + (word(n · D + i) + ½) / 2³²) / scale, in
/// f64, rounded once to f32.
///
/// The noise is drawn once (step 0): the same image always has the same noise. Real pixels have no
/// steps to fill and are only divided by `scale`. The density of the values is `scale`^D times that
/// of the bytes: subtract `D · ln scale` nats to compare.
///
/// # Panics
/// If a number in `images` is not below `data.count()`: that is a bug of the caller.
#[must_use]
pub fn dequantise(data: &Images, images: &[u32], split: Split, seed: u64, scale: f32) -> Vec<f32> {
    let mut words = Words::new(&dequantise_address(split, seed));
    map_rows(data, images, |element, pixel| match pixel {
        Pixel::Byte(byte) => ((f64::from(byte) + uniform_from_word(words.at(element))) / f64::from(scale)) as f32,
        Pixel::Real(real) => (f64::from(real) / f64::from(scale)) as f32,
    })
}

/// Where the noise of [`dequantise`] lives.
#[must_use]
pub const fn dequantise_address(split: Split, seed: u64) -> Address {
    let stream = match split {
        Split::Train => Stream::DequantiseTrain.first(),
        Split::Validation => Stream::DequantiseValidation.first(),
        Split::Test => Stream::DequantiseTest.first(),
    };
    Address::new(seed, stream, 0)
}

/// The words of an address, remembering the last block: neighbours cost one generator call for
/// four.
struct Words {
    address: Address,
    block: Option<usize>,
    words: [u32; 4],
}

impl Words {
    fn new(address: &Address) -> Self {
        Self { address: *address, block: None, words: [0; 4] }
    }

    fn at(&mut self, element: usize) -> u32 {
        let block = element / 4;
        if self.block != Some(block) {
            self.words = self.address.words(block as u32);
            self.block = Some(block);
        }
        self.words[element % 4]
    }
}

enum Pixel {
    Byte(u8),
    Real(f32),
}

/// Maps every pixel of the chosen images, given its element number in the whole set.
fn map_rows(data: &Images, images: &[u32], mut value: impl FnMut(usize, Pixel) -> f32) -> Vec<f32> {
    let row = data.values_per_image();
    let mut out = Vec::with_capacity(images.len() * row);
    for &image in images {
        let first = image as usize * row;
        match data.pixels() {
            Pixels::U8(bytes) => {
                let pixels = bytes[first..first + row].iter().enumerate();
                out.extend(pixels.map(|(i, &byte)| value(first + i, Pixel::Byte(byte))));
            }
            Pixels::F32(reals) => {
                let pixels = reals[first..first + row].iter().enumerate();
                out.extend(pixels.map(|(i, &real)| value(first + i, Pixel::Real(real))));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ImageShape;

    const COUNT: usize = 20_000;

    fn constant(pixel: Pixels) -> Images {
        Images::new(ImageShape::new(1, 1, pixel.len() / COUNT), pixel, None).unwrap()
    }

    fn everything() -> Vec<u32> {
        (0..COUNT as u32).collect()
    }

    #[test]
    fn names_parse_and_print() {
        for mode in Binarisation::ALL {
            assert_eq!(mode.to_string().parse::<Binarisation>().unwrap(), mode);
        }
        assert_eq!(
            "dynamik".parse::<Binarisation>().unwrap_err().to_string(),
            "binarisation: expected none, threshold, static or dynamic, found 'dynamik'"
        );
    }

    #[test]
    fn numbers_of_words_are_the_rounded_share_of_all_words() {
        assert_eq!((words_below_byte(0), words_below_byte(255)), (0, 1 << 32));
        assert_eq!((words_below_real(0.0), words_below_real(1.0)), (0, 1 << 32));
        assert_eq!(words_below_real(0.5), 1 << 31);
        for odd in [f32::NAN, -1.0, f32::NEG_INFINITY] {
            assert_eq!(words_below_real(odd), 0);
        }
        assert_eq!(words_below_real(f32::INFINITY), 1 << 32);
        for byte in 0..=255u8 {
            let exact = f64::from(byte) * 4_294_967_296.0 / 255.0;
            assert_eq!(words_below_byte(byte), exact.round() as u64, "{byte}");
        }
    }

    #[test]
    fn bernoulli_frequencies_are_the_intensities() {
        for byte in [0u8, 1, 25, 128, 200, 254, 255] {
            let drawn = bernoulli(&constant(Pixels::U8(vec![byte; COUNT])), &everything(), &Address::new(9, 1, 4));
            let p = f64::from(byte) / 255.0;
            let mean = drawn.iter().map(|&v| f64::from(v)).sum::<f64>() / COUNT as f64;
            let standard_error = (p * (1.0 - p) / COUNT as f64).sqrt();
            assert!((mean - p).abs() <= 5.0 * standard_error, "{byte}: {mean} against {p}");
        }
    }

    #[test]
    fn an_image_is_drawn_alike_alone_and_in_company() {
        let data = constant(Pixels::U8((0..COUNT * 5).map(|i| (i % 251) as u8).collect()));
        let address = Address::new(1, 2, 3);
        let alone = bernoulli(&data, &[77], &address);
        let company = bernoulli(&data, &[9, 77, 3], &address);
        assert_eq!(alone, company[5..10]);
        for (i, &value) in alone.iter().enumerate() {
            let element = 77 * 5 + i;
            let ink = u64::from(address.word(element)) < words_below_byte((element % 251) as u8);
            assert_eq!(value, f32::from(u8::from(ink)));
        }
    }

    #[test]
    fn epochs_redraw_training_images_only() {
        let data = constant(Pixels::F32(vec![0.5; COUNT]));
        let draw = |mode: Binarisation, split, epoch| mode.apply(&data, &everything(), split, 6, epoch);
        use Binarisation::{PerEpoch, Static};
        assert_ne!(draw(PerEpoch, Split::Train, 0), draw(PerEpoch, Split::Train, 1));
        assert_eq!(draw(PerEpoch, Split::Test, 0), draw(PerEpoch, Split::Test, 1));
        assert_eq!(draw(Static, Split::Train, 0), draw(Static, Split::Train, 1));
        assert_ne!(draw(Static, Split::Train, 0), draw(Static, Split::Test, 0));
    }

    #[test]
    fn threshold_is_at_one_half() {
        let shape = ImageShape::new(1, 1, 2);
        let bytes = Images::new(shape, Pixels::U8(vec![127, 128]), None).unwrap();
        let reals = Images::new(shape, Pixels::F32(vec![0.499, 0.5]), None).unwrap();
        for data in [bytes, reals] {
            assert_eq!(Binarisation::Threshold.apply(&data, &[0], Split::Train, 0, 0), [0.0, 1.0]);
        }
    }

    #[test]
    fn dequantised_bytes_lie_in_their_cells_uniformly() {
        let data = constant(Pixels::U8(vec![255; COUNT]));
        let values = dequantise(&data, &everything(), Split::Train, 2, 256.0);
        assert_eq!(values, dequantise(&data, &everything(), Split::Train, 2, 256.0));
        assert!(values.iter().all(|&value| (255.0 / 256.0..=1.0).contains(&value)));
        let mean = values.iter().map(|&v| f64::from(v) * 256.0 - 255.0).sum::<f64>() / COUNT as f64;
        assert!((mean - 0.5).abs() < 5.0 / (12.0 * COUNT as f64).sqrt(), "{mean}");
    }
}

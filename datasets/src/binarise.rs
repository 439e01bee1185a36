//! What is drawn of pixels, and where the random numbers of it lie: the drawing itself is a
//! device's (`gather_pixels`).
//!
//! Element `e = image · D + i` (with `D` values an image and `image` the number in the file, not
//! the place in a batch) uses word `e` of an [`Address`].

use std::fmt;
use std::str::FromStr;

use rung_kernels::rng::{Address, Stream};

use crate::{Error, Result, Split};

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

/// Where the noise of dequantisation lives: it is drawn once (step 0), so that an image always has
/// the same.
#[must_use]
pub const fn dequantise_address(split: Split, seed: u64) -> Address {
    let stream = match split {
        Split::Train => Stream::DequantiseTrain.first(),
        Split::Validation => Stream::DequantiseValidation.first(),
        Split::Test => Stream::DequantiseTest.first(),
    };
    Address::new(seed, stream, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn epochs_redraw_training_images_only() {
        let draws = |mode: Binarisation, split, epoch| mode.address(split, 6, epoch).unwrap();
        use Binarisation::{PerEpoch, Static};
        assert_ne!(draws(PerEpoch, Split::Train, 0), draws(PerEpoch, Split::Train, 1));
        assert_eq!(draws(PerEpoch, Split::Test, 0), draws(PerEpoch, Split::Test, 1));
        assert_eq!(draws(Static, Split::Train, 0), draws(Static, Split::Train, 1));
        assert_ne!(draws(Static, Split::Train, 0), draws(Static, Split::Test, 0));
        assert_eq!(Binarisation::Threshold.address(Split::Train, 6, 0), None);
        assert_ne!(dequantise_address(Split::Train, 6), dequantise_address(Split::Test, 6));
    }
}

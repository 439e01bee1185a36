//! Whose random numbers lie where: every stream and every range of steps, declared here and nowhere
//! else.
//!
//! An [`Address`](super::Address) is a seed, a stream and a step. The stream says what its numbers
//! are for ([`Stream`]), the step in which work they are drawn ([`Phase`]). No two streams overlap,
//! and no two phases, so no number is ever used for two purposes: noise that is taken to be
//! independent is. The numbers of training must not change, or a seeded training ends with other
//! parameters.

use std::ops::RangeInclusive;

use crate::{Error, Result};

/// Declares one axis of the registry: an enum, and the range of numbers that each of its variants
/// has.
macro_rules! registry {
    (
        $(#[$about:meta])*
        $axis:ident of $number:ty { $($(#[$doc:meta])* $purpose:ident = $first:expr,
            $count:expr;)+ }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $axis { $($(#[$doc])* $purpose,)+ }

        impl $axis {
            /// Every one of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$purpose,)+];

            /// Its numbers.
            #[must_use]
            pub const fn range(self) -> RangeInclusive<$number> {
                match self {
                    $(Self::$purpose => $first..=$first + ($count - 1),)+
                }
            }

            /// Its first number, which is the only one where there is nothing to tell apart.
            #[must_use]
            pub const fn first(self) -> $number {
                *self.range().start()
            }

            /// Its number `index`, counted from 0.
            ///
            /// # Errors
            /// `Argument` if it has fewer.
            pub fn nth(self, index: usize) -> Result<$number> {
                let number = <$number>::try_from(index).ok();
                let number = number.and_then(|index| self.first().checked_add(index));
                number.filter(|number| self.range().contains(number)).ok_or_else(|| {
                    let all = $axis::len(self);
                    let refused = format!("{self:?} has no number {index}: it has {all}");
                    Error::argument("noise", refused)
                })
            }

            /// How many numbers it has.
            fn len(self) -> u64 {
                (self.range().end() - self.first()) as u64 + 1
            }
        }
    };
}

registry! {
    /// What random numbers are for.
    Stream of u32 {
        /// The noise of a latent group that is drawn from q, by the position of the group, from 1.
        PosteriorLatent = 0x1000, 0x1000;
        /// Pixels drawn from p(x|z).
        DrawnPixel = 0x2000, 1;
        /// Pixels that a benchmark makes up.
        BenchmarkPixel = 0x2100, 1;
        /// The noise of a latent group that is drawn from p, by the position of the group, from 1.
        /// A layer that was drawn from q on the bottom-up pass and then is skipped is drawn anew.
        PriorLatent = 0x3000, 0x1000;
        /// What chooses the missing pixels of an image.
        Mask = 0x4000, 1;
        /// The units that are dropped, by the number of the layer.
        Dropout = 0x0010_0000, 0x0010_0000;
        /// The initial values of a parameter, by its number.
        InitialValue = 0x0100_0000, 0x0100_0000;
        /// The Bernoulli draws of training images.
        BinariseTrain = 0xDA7A_0001, 1;
        /// The Bernoulli draws of validation images.
        BinariseValidation = 0xDA7A_0002, 1;
        /// The Bernoulli draws of test images.
        BinariseTest = 0xDA7A_0003, 1;
        /// The uniform noise added to training bytes.
        DequantiseTrain = 0xDA7A_0011, 1;
        /// The uniform noise added to validation bytes.
        DequantiseValidation = 0xDA7A_0012, 1;
        /// The uniform noise added to test bytes.
        DequantiseTest = 0xDA7A_0013, 1;
        /// The order of the training images in an epoch. Order 0, which no epoch has, chooses the
        /// images whose labels are known.
        Shuffle = 0xDA7A_0021, 1;
        /// Which images of a folder are for testing.
        Split = 0xDA7A_0022, 1;
        /// The order of the labelled images in a pass over them.
        ShuffleLabelled = 0xDA7A_0023, 1;
        /// The hand that draws the glyphs.
        Glyph = 0xDA7A_0031, 1;
        /// The noise of the half-moons' points.
        Moon = 0xDA7A_0032, 1;
        /// The layout of a cluttered sequence: which images lie on the canvas, and where.
        Sequence = 0xDA7A_0041, 1;
        /// The patches that clutter sequences: the image that each is cut from, and where.
        SequencePatch = 0xDA7A_0042, 1;
    }
}

/// Images that a phase has steps for, one each.
const IMAGES: u64 = 1 << 32;

registry! {
    /// The work that random numbers are drawn in. The streams of data are not part of any: their
    /// steps count epochs or images.
    Phase of u64 {
        /// Training, by its step.
        Training = 0, 1 << 48;
        /// An evaluation, by the image.
        Evaluation = 1 << 48, IMAGES;
        /// The latents of images, by the image.
        Encoding = 1 << 52, IMAGES;
        /// The bounds that score images as anomalous, by the image.
        Anomaly = 1 << 54, IMAGES;
        /// Samples of the model, by the layer they start from.
        Sample = 1 << 56, 1 << 16;
        /// The reconstruction of images, by the image.
        Reconstruction = 1 << 57, IMAGES;
        /// The images that a model draws itself to train on, by the step of the training.
        Fantasy = 1 << 58, 1 << 48;
        /// The pass that sets the scale of the layers before training.
        Initialisation = u64::MAX - 1, 1;
        /// The pass that collects the statistics of batch normalisation.
        Statistics = u64::MAX, 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlaps<T: PartialOrd>(a: &RangeInclusive<T>, b: &RangeInclusive<T>) -> bool {
        a.start() <= b.end() && b.start() <= a.end()
    }

    #[test]
    fn no_two_streams_and_no_two_phases_overlap() {
        for (index, a) in Stream::ALL.iter().enumerate() {
            assert!(!a.range().is_empty(), "{a:?}");
            for b in &Stream::ALL[..index] {
                assert!(!overlaps(&a.range(), &b.range()), "{a:?} and {b:?} share a stream");
            }
        }
        for (index, a) in Phase::ALL.iter().enumerate() {
            assert!(!a.range().is_empty(), "{a:?}");
            for b in &Phase::ALL[..index] {
                assert!(!overlaps(&a.range(), &b.range()), "{a:?} and {b:?} share a step");
            }
        }
    }

    #[test]
    fn a_number_beyond_the_range_is_refused() {
        assert_eq!(Stream::PriorLatent.nth(2).unwrap(), 0x3002);
        assert_eq!(Stream::PriorLatent.nth(0xfff).unwrap(), *Stream::PriorLatent.range().end());
        let error = Stream::PriorLatent.nth(0x1000).unwrap_err().to_string();
        assert_eq!(error, "noise: PriorLatent has no number 4096: it has 4096");
        assert!(Stream::Glyph.nth(1).is_err() && Phase::Statistics.nth(1).is_err());
        assert_eq!(Phase::Evaluation.nth(7).unwrap(), (1 << 48) + 7);
    }
}

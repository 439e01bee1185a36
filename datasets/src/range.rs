//! What the values of pixels are: found once, over all parts of a data set, before anything is done to them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Pixels;

/// What the pixel values of a data set are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ValueRange {
    /// Black and white alone: the bytes 0 and 255, or the reals 0 and 1.
    Binary,
    /// Whole numbers from 0 to 255, kept as bytes.
    Bytes,
    /// Real intensities from 0 to 1.
    Intensities,
    /// Real numbers of which some lie outside [0, 1].
    Real {
        /// The lowest of them.
        lowest: f32,
        /// The highest of them.
        highest: f32,
    },
}

impl ValueRange {
    /// The range of these pixels; no pixels at all count as black ones.
    #[must_use]
    pub fn of(pixels: &Pixels) -> Self {
        match pixels {
            Pixels::U8(bytes) if bytes.iter().all(|&byte| byte == 0 || byte == 255) => Self::Binary,
            Pixels::U8(_) => Self::Bytes,
            Pixels::F32(reals) if reals.iter().all(|&real| real == 0.0 || real == 1.0) => Self::Binary,
            Pixels::F32(reals) => {
                let lowest = reals.iter().copied().fold(f32::INFINITY, f32::min);
                let highest = reals.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                if lowest >= 0.0 && highest <= 1.0 { Self::Intensities } else { Self::Real { lowest, highest } }
            }
        }
    }

    /// The smallest range that holds the values of both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        let ends = |range: Self| match range {
            Self::Real { lowest, highest } => (lowest, highest),
            _ => (0.0, 1.0),
        };
        match (self, other) {
            (Self::Real { .. }, _) | (_, Self::Real { .. }) => {
                let ((low, high), (other_low, other_high)) = (ends(self), ends(other));
                Self::Real { lowest: low.min(other_low), highest: high.max(other_high) }
            }
            (Self::Intensities, _) | (_, Self::Intensities) => Self::Intensities,
            (Self::Bytes, _) | (_, Self::Bytes) => Self::Bytes,
            (Self::Binary, Self::Binary) => Self::Binary,
        }
    }

    /// Whether every value is an intensity from 0 (black) to 1 (white), bytes being divided by 255.
    #[must_use]
    pub const fn is_intensity(self) -> bool {
        !matches!(self, Self::Real { .. })
    }
}

impl fmt::Display for ValueRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Binary => formatter.write_str("black and white"),
            Self::Bytes => formatter.write_str("bytes 0 to 255"),
            Self::Intensities => formatter.write_str("real values in [0, 1]"),
            Self::Real { lowest, highest } => write!(formatter, "real values from {lowest} to {highest}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_values_is_told_from_the_others() {
        let of = |reals: &[f32]| ValueRange::of(&Pixels::F32(reals.to_vec()));
        assert_eq!(ValueRange::of(&Pixels::U8(vec![0, 255])), ValueRange::Binary);
        assert_eq!(ValueRange::of(&Pixels::U8(vec![0, 1])), ValueRange::Bytes);
        assert_eq!(of(&[1.0, 0.0]), ValueRange::Binary);
        assert_eq!(of(&[1.0, 0.25]), ValueRange::Intensities);
        assert_eq!(of(&[-1.0, 0.25]), ValueRange::Real { lowest: -1.0, highest: 0.25 });
        assert_eq!(of(&[0.0, 255.0]), ValueRange::Real { lowest: 0.0, highest: 255.0 });
    }

    #[test]
    fn a_union_holds_both() {
        use ValueRange::{Binary, Bytes, Intensities, Real};
        let real = Real { lowest: -1.0, highest: 0.5 };
        assert_eq!(real.union(Bytes), Real { lowest: -1.0, highest: 1.0 });
        assert_eq!(Binary.union(Bytes), Bytes);
        assert_eq!(Bytes.union(Intensities), Intensities);
        assert!(Bytes.is_intensity() && !real.is_intensity());
    }
}

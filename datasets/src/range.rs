//! What the values of pixels are: found once, over all parts of a data set, before anything is done
//! to them.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::memory::reserved;
use crate::npy::NpyValues;
use crate::{Error, Pixels, Result};

/// Values beyond this are no image's: their squares and sums leave what 32-bit numbers hold.
const LARGEST_VALUE: f64 = 1e6;
/// Parts of one scale may differ by this in their largest value; a division by 255 that one part
/// alone has had is more.
const LARGEST_RATIO: f64 = 50.0;

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
            Pixels::U8(_) | Pixels::Drawn(_) => Self::Bytes,
            Pixels::F32(reals) if reals.iter().all(|&real| real == 0.0 || real == 1.0) => {
                Self::Binary
            }
            Pixels::F32(reals) => {
                let lowest = reals.iter().copied().fold(f32::INFINITY, f32::min);
                let highest = reals.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                if lowest >= 0.0 && highest <= 1.0 {
                    Self::Intensities
                } else {
                    Self::Real { lowest, highest }
                }
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
            Self::Real { lowest, highest } => {
                write!(formatter, "values from {lowest} to {highest}")
            }
        }
    }
}

/// The values of one part of a data set, as they stand in its file.
struct Extent<'a> {
    name: &'a str,
    lowest: f64,
    highest: f64,
    is_whole: bool,
}

/// How numbers become pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    /// In [0, 1]: intensities.
    Unit,
    /// Whole numbers from 0 to 255.
    Bytes,
    /// Anything else.
    Other,
}

impl<'a> Extent<'a> {
    fn of(path: &Path, name: &'a str, values: &NpyValues) -> Result<Self> {
        let mut extent =
            Self { name, lowest: f64::INFINITY, highest: f64::NEG_INFINITY, is_whole: true };
        let (mut position, mut wrong) = (0usize, None);
        values.each(|value| {
            if !value.is_finite() || value.abs() > LARGEST_VALUE {
                wrong.get_or_insert((position, value));
            }
            position += 1;
            (extent.lowest, extent.highest) = (extent.lowest.min(value), extent.highest.max(value));
            extent.is_whole &= value.fract() == 0.0;
        });
        match wrong {
            None => Ok(extent),
            Some((position, value)) => {
                let expected = if value.is_finite() {
                    "a pixel's value, at most a million"
                } else {
                    "a finite number"
                };
                Err(Error::mismatch(
                    path,
                    format!("element {position} of '{name}'"),
                    expected,
                    value,
                ))
            }
        }
    }

    fn scale(&self) -> Scale {
        match (self.lowest >= 0.0, self.highest) {
            (true, high) if high <= 1.0 => Scale::Unit,
            (true, high) if high <= 255.0 && self.is_whole => Scale::Bytes,
            _ => Scale::Other,
        }
    }

    fn largest(&self) -> f64 {
        self.lowest.abs().max(self.highest.abs())
    }

    /// Whether nothing can be told of the scale: no values, or zeros alone.
    fn is_blank(&self) -> bool {
        !(self.largest() > 0.0 && self.largest().is_finite())
    }
}

impl fmt::Display for Extent<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_whole { "whole" } else { "real" };
        write!(
            formatter,
            "'{}' has {kind} numbers from {} to {}",
            self.name, self.lowest, self.highest
        )
    }
}

/// The classes of one-hot labels, `classes` numbers each: the place of the only 1 in numbers that
/// are zeros but for it. Else the number of the first label that is none, and its numbers.
pub(crate) fn one_hot(
    values: &NpyValues,
    classes: usize,
) -> std::result::Result<Vec<u32>, (usize, Vec<f32>)> {
    let only_one = |numbers: &[f32]| {
        let class = numbers.iter().position(|&number| number == 1.0)?;
        let zeros = numbers.iter().filter(|&&number| number == 0.0).count();
        (zeros == numbers.len() - 1).then_some(class as u32)
    };
    let (mut labels, mut row, mut wrong) = (Vec::new(), Vec::new(), None);
    values.each(|value| {
        if wrong.is_some() {
            return;
        }
        row.push(value as f32);
        if row.len() == classes {
            match only_one(&row) {
                Some(class) => labels.push(class),
                None => wrong = Some((labels.len(), row.clone())),
            }
            row.clear();
        }
    });
    wrong.map_or(Ok(labels), Err)
}

/// The pixels of all parts of a data set, by one choice for all: whole numbers from 0 to 255 become
/// bytes, and so does what is in [0, 1] if all of it is k/255; other numbers stay real. Values that
/// are kept as they are are not copied, and others are gone once they are converted.
///
/// # Errors
/// [`Error::Mismatch`] if a value is no finite number or beyond a million, or if the parts have
/// values of different scales; [`Error::Memory`].
pub(crate) fn pixels(path: &Path, parts: Vec<(&str, NpyValues)>) -> Result<Vec<Pixels>> {
    let extents = parts
        .iter()
        .map(|(name, values)| Extent::of(path, name, values))
        .collect::<Result<Vec<_>>>()?;
    let mut telling = extents.iter().filter(|extent| !extent.is_blank());
    let first = telling.next();
    let scale = first.map_or(Scale::Unit, Extent::scale);
    let differs = |other: &&Extent<'_>| {
        let ratio = first.map_or(1.0, |first| first.largest() / other.largest());
        other.scale() != scale || !(1.0 / LARGEST_RATIO..=LARGEST_RATIO).contains(&ratio)
    };
    if let (Some(first), Some(other)) = (first, telling.find(differs)) {
        let expected = format!("values of the same scale in every part, and {first}");
        return Err(Error::mismatch(path, "values", expected, format!("that {other}")));
    }
    let are_bytes = |values: &NpyValues| {
        let mut all = true;
        values.each(|value| all &= Pixels::byte_of(value as f32).is_some());
        all
    };
    let bytes = |values: NpyValues, of: fn(f64) -> u8| {
        let mut bytes = reserved(values.len(), "pixels")?;
        values.each(|value| bytes.push(of(value)));
        Ok(Pixels::U8(bytes))
    };
    let intensity: fn(f64) -> u8 = |value| Pixels::byte_of(value as f32).unwrap_or_default();
    let scale = match scale {
        Scale::Unit if !parts.iter().all(|(_, values)| are_bytes(values)) => Scale::Other,
        scale => scale,
    };
    let pixels = parts.into_iter().map(|(_, values)| match (scale, values) {
        (Scale::Bytes, NpyValues::U8(bytes)) => Ok(Pixels::U8(bytes)),
        (Scale::Bytes, values) => bytes(values, |value| value as u8),
        (Scale::Unit, values) => bytes(values, intensity),
        (Scale::Other, values) => Ok(Pixels::F32(values.into_f32()?)),
    });
    pixels.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(train: &[f64], test: &[f64]) -> Result<Vec<Pixels>> {
        let [train, test] = [train, test].map(|values| NpyValues::F64(values.to_vec()));
        pixels(Path::new("a.npz"), vec![("train", train), ("test", test)])
    }

    #[test]
    fn all_parts_become_the_same_kind_of_pixels() {
        let bytes = |pixels: &[u8]| Pixels::U8(pixels.to_vec());
        assert_eq!(parts(&[0.0, 255.0], &[9.0]).unwrap(), [bytes(&[0, 255]), bytes(&[9])]);
        assert_eq!(parts(&[0.0, 1.0], &[0.2]).unwrap(), [bytes(&[0, 255]), bytes(&[51])]);
        // One level between the bytes keeps the other part real too: noise for bytes must not reach
        // one part alone.
        assert_eq!(
            parts(&[0.0, 1.0], &[0.5]).unwrap(),
            [Pixels::F32(vec![0.0, 1.0]), Pixels::F32(vec![0.5])]
        );
        assert_eq!(parts(&[-1.0, 1.0], &[-0.5]).unwrap()[0], Pixels::F32(vec![-1.0, 1.0]));
        assert_eq!(
            parts(&[0.0, 255.0], &[0.0]).unwrap()[1],
            bytes(&[0]),
            "a blank image fits every scale"
        );
        assert_eq!(parts(&[0.0, 65_535.0], &[40_000.0]).unwrap()[1], Pixels::F32(vec![40_000.0]));
    }

    #[test]
    fn parts_of_different_scales_are_refused() {
        let message = |train: &[f64], test: &[f64]| parts(train, test).unwrap_err().to_string();
        assert_eq!(
            message(&[0.0, 255.0], &[0.0, 0.5]),
            "a.npz: values: expected values of the same scale in every part, and 'train' has whole \
            numbers from 0 to 255, found that 'test' has real numbers from 0 to 0.5"
        );
        for (train, test) in [
            (&[0.0, 255.0], &[0.0, 1.0]),
            (&[-1.0, 1.0], &[0.0, 1.0]),
            (&[0.0, 254.5], &[0.0, 255.0]),
            (&[0.0, 1.0], &[0.0, 0.003]),
        ] {
            assert!(message(train, test).contains("of the same scale"), "{train:?} {test:?}");
        }
        for wild in [f64::NAN, f64::INFINITY, -1e30] {
            assert!(
                message(&[0.0, wild], &[0.0])
                    .starts_with("a.npz: element 1 of 'train': expected a "),
                "{wild}"
            );
        }
    }

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

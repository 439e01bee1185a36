//! A data set: three splits of images, and what a trainer must know about them.

use std::fmt;

use crate::{Binarisation, Error, GlyphCounts, Images, Result, Sequences, ValueRange};

/// Which part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    /// The images a model learns from.
    Train,
    /// The images that choose between models.
    Validation,
    /// The images results are reported on.
    Test,
}

impl fmt::Display for Split {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        })
    }
}

/// Images for training and testing under one name.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// The name it was opened by.
    pub name: String,
    /// Training images; none if only the test part was asked for.
    pub train: Images,
    /// Validation images, if the data set has some or [`Options::validation`] asked for them.
    pub validation: Option<Images>,
    /// Test images.
    pub test: Images,
    /// What the literature does to these intensities before a Bernoulli likelihood; `None` where
    /// it uses another likelihood.
    pub binarisation: Binarisation,
    /// What the values of the pixels are, over training and test images together.
    pub values: ValueRange,
    /// What dequantisation divides by to reach about `[0, 1]`: the largest training byte plus 1
    /// (the most that byte plus noise can be), 256 for drawn ones, or 1 for real pixels.
    pub scale: f32,
    /// What a report on this data must say: a part is missing, both cameras were used, the set was
    /// rebuilt.
    pub notes: Vec<String>,
}

impl Dataset {
    /// A data set from its splits, with the scale that follows from the training bytes and the test
    /// bytes if there are none.
    ///
    /// # Errors
    /// [`Error::Argument`] if the splits have images of different shapes, or there is no test
    /// image.
    pub fn new(
        name: &str,
        train: Images,
        test: Images,
        binarisation: Binarisation,
    ) -> Result<Self> {
        if train.shape() != test.shape() {
            return Err(Error::Argument {
                what: "test images",
                expected: format!("the shape of the training images, {}", train.shape()),
                found: test.shape().to_string(),
            });
        }
        if test.is_empty() {
            return Err(Error::Argument {
                what: "test images",
                expected: "at least one".into(),
                found: "none".into(),
            });
        }
        let (train, test) = white_ones(train, test)?;
        let scale = scale_of(if train.is_empty() { &test } else { &train });
        let values = ValueRange::of(train.pixels()).union(ValueRange::of(test.pixels()));
        let name = name.to_string();
        Ok(Self {
            name,
            train,
            validation: None,
            test,
            binarisation,
            values,
            scale,
            notes: Vec::new(),
        })
    }

    /// Says so where the values of a user's own images, all bytes, leave most levels unused: a
    /// guess that may be wrong.
    pub(crate) fn note_dark_bytes(&mut self) {
        let highest = self.scale - 1.0;
        if self.values == ValueRange::Bytes && highest <= f32::from(MOST_OF_DARK) {
            self.notes.push(format!(
                "whole numbers up to {highest} alone are taken as bytes, of which 255 is white: \
                the images are dark; if {highest} is white, divide by it"
            ));
        }
    }

    /// The images of one split, if the data set has it.
    #[must_use]
    pub fn split(&self, split: Split) -> Option<&Images> {
        match split {
            Split::Train => Some(&self.train),
            Split::Validation => self.validation.as_ref(),
            Split::Test => Some(&self.test),
        }
    }

    /// Brings the labels to the numbering of these classes, those of another data set, by their
    /// names. A class that is not among them becomes unknown; a line says which.
    pub fn number_classes_by(&mut self, names: &[String]) {
        let labels = self.train.labels().or(self.test.labels());
        let Some(own) = labels.map(|labels| labels.class_names.clone()) else { return };
        if own == names || names.is_empty() {
            return;
        }
        let missing: Vec<String> =
            own.iter().filter(|name| !names.contains(name)).cloned().collect();
        for images in [Some(&mut self.train), self.validation.as_mut(), Some(&mut self.test)] {
            images.into_iter().for_each(|images| images.number_classes_by(names));
        }
        if !missing.is_empty() {
            self.notes.push(format!(
                "labels: {} not among the classes of the model's data set ({}), \
                 and taken as unknown",
                match missing.as_slice() {
                    [one] => format!("{one} is"),
                    several => format!("{} are", listed(several)),
                },
                listed(names)
            ));
        }
    }

    /// The data set with these validation images.
    ///
    /// # Errors
    /// [`Error::Argument`] if they are of another shape than the training images.
    pub(crate) fn with_validation(mut self, images: Option<Images>) -> Result<Self> {
        let Some(mut images) = images.filter(|images| !images.is_empty()) else { return Ok(self) };
        if images.shape() != self.train.shape() {
            return Err(Error::Argument {
                what: "validation images",
                expected: format!("the shape of the training images, {}", self.train.shape()),
                found: images.shape().to_string(),
            });
        }
        if self.values == ValueRange::Binary {
            images = images.with_white_ones();
        }
        self.values = self.values.union(ValueRange::of(images.pixels()));
        self.validation = Some(images);
        Ok(self)
    }

    /// Sets the last `count` training images aside for validation; nothing happens if `count` is 0
    /// or there are such images.
    ///
    /// # Errors
    /// [`Error::Argument`] if no training image would be left.
    pub(crate) fn set_validation_aside(mut self, count: usize) -> Result<Self> {
        if count == 0 || self.validation.is_some() {
            return Ok(self);
        }
        if count >= self.train.count() {
            return Err(Error::Argument {
                what: "validation images",
                expected: format!("fewer than the {} training images", self.train.count()),
                found: count.to_string(),
            });
        }
        let keep = self.train.count() - count;
        let (train, validation) = self.train.split_at(keep);
        self.train = train;
        self.validation = Some(validation);
        Ok(self)
    }
}

/// Whole numbers of which none is above 1 are black and white, not two shades of black: masks, and
/// copies of MNIST that were binarised.
fn white_ones(train: Images, test: Images) -> Result<(Images, Images)> {
    let highest = |images: &Images| match images.pixels() {
        crate::Pixels::U8(bytes) => bytes.iter().copied().max().unwrap_or(0),
        crate::Pixels::F32(_) | crate::Pixels::Drawn(_) => u8::MAX,
    };
    match (highest(&train), highest(&test)) {
        (0 | 1, 0 | 1) => Ok((train.with_white_ones(), test.with_white_ones())),
        (1, other) | (other, 1) if other > MOST_OF_DARK => Err(Error::Argument {
            what: "values of the training and test images",
            expected: "the same scale".into(),
            found: format!("0 and 1 alone in one part, up to {other} in the other"),
        }),
        _ => Ok((train, test)),
    }
}

/// Bytes up to here may be black pictures with a little noise as well as whole numbers of another
/// scale.
const MOST_OF_DARK: u8 = 63;

fn scale_of(images: &Images) -> f32 {
    match images.pixels() {
        crate::Pixels::U8(bytes) => f32::from(bytes.iter().copied().max().unwrap_or(255)) + 1.0,
        crate::Pixels::F32(_) => 1.0,
        crate::Pixels::Drawn(_) => 256.0,
    }
}

/// What becomes of colour in a folder of pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Colour {
    /// Grey if every pixel of every picture is, else three channels.
    #[default]
    Auto,
    /// One channel: luma (ITU-R BT.709 weights).
    Grey,
    /// Three channels: red, green, blue.
    Rgb,
}

/// How a picture of another height and width is brought to that of the data set; its aspect is
/// kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Fit {
    /// All of it is shown, with background beside it.
    #[default]
    Pad,
    /// Its middle is shown, what reaches beyond is cut off.
    Crop,
}

/// What lies behind transparent pixels and beside padded pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Background {
    /// What the pictures stand out from: white behind dark ink and black behind light ink on
    /// transparency, and beside padded pictures what their edges are nearer to.
    #[default]
    Auto,
    /// White.
    White,
    /// Black.
    Black,
}

/// The first few of these names, and how many more there are.
fn listed(names: &[String]) -> String {
    const LISTED: usize = 10;
    match names.len().checked_sub(LISTED).filter(|&more| more > 0) {
        Some(more) => format!("{} and {more} more", names[..LISTED].join(", ")),
        None => names.join(", "),
    }
}

/// How to open a data set; the default suits every known one.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The seed of the glyphs and of a folder's split. Not the seed of a run: two runs with
    /// different seeds should still learn from the same images.
    pub seed: u64,
    /// How many training images to set aside for validation, taken from the end, where the data
    /// set has no such split.
    pub validation: usize,
    /// Reads the test part alone and leaves `train` empty: for images that a model is applied to. A
    /// user's own images that have no parts are all of them test images then.
    pub test_only: bool,
    /// Height and width to which the pictures of a folder are resized. Without it they keep their
    /// own; of several sizes one is chosen.
    pub size: Option<(usize, usize)>,
    /// How pictures of a folder that have another aspect are brought to the size.
    pub fit: Fit,
    /// What lies behind and beside the pictures of a folder.
    pub background: Background,
    /// What becomes of colour in a folder of pictures.
    pub colour: Colour,
    /// How many glyphs to draw for each split.
    pub glyphs: GlyphCounts,
    /// What cluttered sequences are made of.
    pub sequences: Sequences,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ImageShape, Pixels};

    fn images(count: usize, side: usize) -> Images {
        Images::new(ImageShape::new(1, side, side), Pixels::U8(vec![7; count * side * side]), None)
            .unwrap()
    }

    #[test]
    fn a_data_set_refuses_splits_that_do_not_fit() {
        assert!(Dataset::new("x", images(2, 2), images(1, 3), Binarisation::None).is_err());
        let no_test = Dataset::new("x", images(2, 2), images(0, 2), Binarisation::None);
        assert_eq!(
            no_test.unwrap_err().to_string(),
            "test images: expected at least one, found none"
        );
    }

    #[test]
    fn zeros_and_ones_are_black_and_white() {
        let bytes = |pixels: &[u8]| {
            Images::new(ImageShape::new(1, 1, 1), Pixels::U8(pixels.to_vec()), None).unwrap()
        };
        let open = |train: &[u8], test: &[u8]| {
            Dataset::new("x", bytes(train), bytes(test), Binarisation::None)
        };
        let dataset = open(&[0, 1], &[0]).unwrap();
        assert_eq!(
            (dataset.train.pixels(), dataset.values),
            (&Pixels::U8(vec![0, 255]), ValueRange::Binary)
        );
        assert!(
            open(&[0, 1], &[200])
                .unwrap_err()
                .to_string()
                .contains("0 and 1 alone in one part, up to 200")
        );
        assert!(open(&[0, 200], &[0, 1]).is_err() && open(&[0, 200], &[0]).is_ok());
    }

    #[test]
    fn validation_comes_from_the_end_of_training() {
        let open = || Dataset::new("x", images(5, 2), images(1, 2), Binarisation::None).unwrap();
        assert_eq!(open().scale, 8.0);
        let dataset = open().set_validation_aside(2).unwrap();
        assert_eq!((dataset.train.count(), dataset.validation.unwrap().count()), (3, 2));
        assert!(open().set_validation_aside(0).unwrap().validation.is_none());
        assert!(open().set_validation_aside(5).is_err());
    }
}

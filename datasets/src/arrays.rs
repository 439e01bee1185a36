//! `npz:FILE`: a data set from anybody's arrays, found by the names people give them.
//!
//! | part | images | labels (whole numbers from 0, optional) |
//! |------|--------|--------|
//! | train | `train`, `x_train`, `train_images` | `y_train`, `train_labels` |
//! | validation | `validation`, `valid`, `val`, `x_validation`, `x_valid`, `x_val` | `y_validation`, `y_valid`, `y_val`, `validation_labels` |
//! | test | `test`, `x_test`, `test_images` | `y_test`, `test_labels` |
//! | all, split here | `images`, `x`, `data`, `arr_0` | `labels`, `y` |
//!
//! Shapes: `[N, D]` (a square if `D` is one, else one row), `[N, H, W]`, `[N, C, H, W]` or `[N, H, W, C]` with C of 1 or 3.
//! Values: whole numbers from 0 to 255 become bytes, and so does anything in `[0, 1]` that is k/255 (0 and 1 are black and white);
//! other real values stay as they are. The choice is made over all parts together.

use std::path::Path;

use crate::batch::shuffled_at;
use crate::npy::{NpyArray, NpyValues};
use crate::{Binarisation, Dataset, Error, ImageShape, Images, Labels, Options, Pixels, Result, npz};
use rung_kernels::rng::{Address, Stream};

const TRAIN: &[&str] = &["train", "x_train", "train_images"];
const TRAIN_LABELS: &[&str] = &["y_train", "train_labels"];
const VALIDATION: &[&str] = &["validation", "valid", "val", "x_validation", "x_valid", "x_val"];
const VALIDATION_LABELS: &[&str] = &["y_validation", "y_valid", "y_val", "validation_labels"];
const TEST: &[&str] = &["test", "x_test", "test_images"];
const TEST_LABELS: &[&str] = &["y_test", "test_labels"];
const ALL: &[&str] = &["images", "x", "data", "arr_0"];
const ALL_LABELS: &[&str] = &["labels", "y"];
/// One image in this many is set aside for testing where a source has no test part.
const TEST_SHARE: usize = 10;
/// More classes than this, and a label is not a class but a mistake.
const MOST_CLASSES: i64 = 1 << 16;

type Named = (String, NpyArray);

/// Opens a `.npz` file as a data set.
///
/// # Errors
/// As [`npz::read`]; [`Error::Mismatch`] if no array has a known name, or shapes, labels or values make no images.
pub(crate) fn open(path: &Path, options: &Options) -> Result<Dataset> {
    let arrays = npz::read(path)?;
    let find = |names: &[&str]| arrays.iter().find(|(name, _)| names.iter().any(|n| n.eq_ignore_ascii_case(name)));
    let train = find(TRAIN).map(|images| (images, find(TRAIN_LABELS)));
    let all = find(ALL).map(|images| (images, find(ALL_LABELS)));
    let Some(train) = train.or(all) else {
        let found: Vec<&str> = arrays.iter().map(|(name, _)| name.as_str()).collect();
        return Err(Error::mismatch(path, "arrays", "train, x_train, train_images or images", format!("{found:?}")));
    };
    let validation = find(VALIDATION).map(|images| (images, find(VALIDATION_LABELS)));
    let test = find(TEST).map(|images| (images, find(TEST_LABELS)));
    let parts: Vec<_> = [Some(train), validation, test].into_iter().flatten().collect();
    let range = Range::over(path, parts.iter().map(|(images, _)| *images))?;
    let classes = class_names(path, parts.iter().filter_map(|(_, labels)| *labels))?;
    let build = |part: (&Named, Option<&Named>)| images_of(path, part.0, part.1, range, &classes);

    let name = format!("npz:{}", path.display());
    let binarisation = if range == Range::Other { Binarisation::None } else { Binarisation::PerEpoch };
    let (train, test, note) = match test {
        Some(test) => (build(train)?, build(test)?, None),
        None => {
            let (train, test) = split_for_testing(build(train)?, options.seed, path)?;
            let note = format!("no test part in the file: {} images were drawn for it", test.count());
            (train, test, Some(note))
        }
    };
    let mut dataset = Dataset::new(&name, train, test, binarisation)?;
    dataset.validation = validation.map(build).transpose()?;
    dataset.notes.extend(note);
    Ok(dataset)
}

/// Draws a tenth of the images (at least one) for testing; both parts keep the order of the source.
pub(crate) fn split_for_testing(images: Images, seed: u64, path: &Path) -> Result<(Images, Images)> {
    let count = images.count();
    if count < 2 {
        return Err(Error::mismatch(path, "images", "at least 2, one to learn from and one to test on", count));
    }
    let order = shuffled_at(&Address::new(seed, Stream::Split.first(), 0), count as u32);
    let (test, train) = order.split_at((count / TEST_SHARE).max(1));
    let sorted = |part: &[u32]| {
        let mut part = part.to_vec();
        part.sort_unstable();
        part
    };
    Ok((images.select(&sorted(train)), images.select(&sorted(test))))
}

/// What the values of all parts together are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Range {
    /// In `[0, 1]`: intensities.
    Unit,
    /// Whole numbers, 0 to 255, some above 1.
    Bytes,
    /// Anything else that is finite.
    Other,
}

impl Range {
    fn over<'a>(path: &Path, arrays: impl Iterator<Item = &'a Named>) -> Result<Self> {
        let (mut low, mut high, mut whole) = (f64::INFINITY, f64::NEG_INFINITY, true);
        for (name, array) in arrays {
            let mut position = 0usize;
            let mut wrong = None;
            each(&array.values, |value| {
                if !value.is_finite() {
                    wrong.get_or_insert((position, value));
                }
                position += 1;
                (low, high) = (low.min(value), high.max(value));
                whole &= value.fract() == 0.0;
            });
            if let Some((position, value)) = wrong {
                let what = format!("element {position} of '{name}'");
                return Err(Error::mismatch(path, what, "a finite number", value));
            }
        }
        Ok(match (low >= 0.0, high) {
            (true, high) if high <= 1.0 => Self::Unit,
            (true, high) if high <= 255.0 && whole => Self::Bytes,
            _ => Self::Other,
        })
    }

    fn pixels(self, values: &NpyValues) -> Pixels {
        let reals = || {
            let mut reals = Vec::with_capacity(values.len());
            each(values, |value| reals.push(value as f32));
            reals
        };
        match (self, values) {
            (Self::Bytes, NpyValues::U8(bytes)) => Pixels::U8(bytes.clone()),
            (Self::Bytes, _) => {
                let mut bytes = Vec::with_capacity(values.len());
                each(values, |value| bytes.push(value as u8));
                Pixels::U8(bytes)
            }
            (Self::Unit, _) => Pixels::from_intensities(reals()),
            (Self::Other, _) => Pixels::F32(reals()),
        }
    }
}

fn each(values: &NpyValues, mut visit: impl FnMut(f64)) {
    match values {
        NpyValues::U8(values) => values.iter().for_each(|&value| visit(f64::from(value))),
        NpyValues::I64(values) => values.iter().for_each(|&value| visit(value as f64)),
        NpyValues::F32(values) => values.iter().for_each(|&value| visit(f64::from(value))),
        NpyValues::F64(values) => values.iter().for_each(|&value| visit(value)),
    }
}

/// One name for each class up to the largest label of any part; none without labels.
fn class_names<'a>(path: &Path, labels: impl Iterator<Item = &'a Named>) -> Result<Vec<String>> {
    let mut classes = 0;
    for (name, array) in labels {
        for (position, label) in labels_of(path, name, array)?.into_iter().enumerate() {
            if !(0..MOST_CLASSES).contains(&label) {
                let what = format!("element {position} of '{name}'");
                return Err(Error::mismatch(path, what, format!("a class from 0 to {}", MOST_CLASSES - 1), label));
            }
            classes = classes.max(label + 1);
        }
    }
    Ok((0..classes).map(|class| class.to_string()).collect())
}

fn labels_of(path: &Path, name: &str, array: &NpyArray) -> Result<Vec<i64>> {
    match &array.values {
        NpyValues::U8(values) => Ok(values.iter().map(|&value| i64::from(value)).collect()),
        NpyValues::I64(values) => Ok(values.clone()),
        _ => Err(Error::mismatch(path, format!("type of '{name}'"), "whole numbers", "real numbers")),
    }
}

fn images_of(path: &Path, images: &Named, labels: Option<&Named>, range: Range, classes: &[String]) -> Result<Images> {
    let (name, array) = images;
    let (shape, channels_last) = image_shape(&array.shape).ok_or_else(|| {
        let expected = "[N, D], [N, H, W], [N, C, H, W] or [N, H, W, C] with C of 1 or 3, no size 0";
        Error::mismatch(path, format!("shape of '{name}'"), expected, format!("{:?}", array.shape))
    })?;
    let mut pixels = range.pixels(&array.values);
    if channels_last && shape.channels > 1 {
        pixels = match pixels {
            Pixels::U8(values) => Pixels::U8(channels_first(&values, shape)),
            Pixels::F32(values) => Pixels::F32(channels_first(&values, shape)),
        };
    }
    let labels = match labels {
        None => None,
        Some((name, array)) => {
            let values = labels_of(path, name, array)?.into_iter().map(|label| label as u32).collect();
            Some(Labels { values, class_names: classes.to_vec() })
        }
    };
    Images::new(shape, pixels, labels)
}

/// The shape of one image, and whether its channels come last.
fn image_shape(sizes: &[usize]) -> Option<(ImageShape, bool)> {
    let (shape, last) = match *sizes {
        [_, values] => {
            let side = values.isqrt();
            let square = side * side == values;
            (if square { ImageShape::new(1, side, side) } else { ImageShape::new(1, 1, values) }, false)
        }
        [_, height, width] => (ImageShape::new(1, height, width), false),
        [_, channels @ (1 | 3), height, width] => (ImageShape::new(channels, height, width), false),
        [_, height, width, channels @ (1 | 3)] => (ImageShape::new(channels, height, width), true),
        _ => return None,
    };
    (shape.channels > 0 && shape.height > 0 && shape.width > 0 && sizes[0] > 0).then_some((shape, last))
}

fn channels_first<T: Copy>(values: &[T], shape: ImageShape) -> Vec<T> {
    let plane = shape.height * shape.width;
    let mut out = Vec::with_capacity(values.len());
    for image in values.chunks_exact(shape.values()) {
        for channel in 0..shape.channels {
            out.extend((0..plane).map(|pixel| image[pixel * shape.channels + channel]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::npz::NpzWriter;

    fn array(shape: &[usize], values: NpyValues) -> NpyArray {
        NpyArray { shape: shape.to_vec(), values }
    }

    fn opened(arrays: &[(&str, NpyArray)]) -> Result<Dataset> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        let mut writer = NpzWriter::create(&path).unwrap();
        for (name, array) in arrays {
            writer.add(name, array).unwrap();
        }
        writer.finish().unwrap();
        open(&path, &Options::default())
    }

    #[test]
    fn the_usual_names_and_shapes_are_understood() {
        let dataset = opened(&[
            ("x_train", array(&[2, 2, 1, 3], NpyValues::U8(vec![0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]))),
            ("y_train", array(&[2], NpyValues::I64(vec![0, 4]))),
            ("x_test", array(&[1, 2, 1, 3], NpyValues::I64(vec![250, 0, 0, 0, 0, 7]))),
            ("y_test", array(&[1, 1], NpyValues::U8(vec![6]))),
        ])
        .unwrap();
        assert_eq!(dataset.train.shape(), ImageShape::new(3, 2, 1));
        assert_eq!(dataset.train.pixels(), &Pixels::U8(vec![0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]));
        assert_eq!(dataset.test.pixels(), &Pixels::U8(vec![250, 0, 0, 0, 0, 7]));
        assert_eq!(dataset.train.labels().unwrap().classes(), 7);
    }

    #[test]
    fn flat_zeros_and_ones_are_black_and_white_squares() {
        let values = (0..40).map(|i| f64::from(i % 2)).collect();
        let dataset = opened(&[("images", array(&[10, 4], NpyValues::F64(values)))]).unwrap();
        assert_eq!(dataset.train.shape(), ImageShape::new(1, 2, 2));
        assert_eq!((dataset.train.count(), dataset.test.count()), (9, 1));
        assert_eq!(dataset.test.pixels(), &Pixels::U8(vec![0, 255, 0, 255]));
        assert_eq!(dataset.notes.len(), 1);
    }

    #[test]
    fn values_outside_stay_real_in_every_part() {
        let dataset = opened(&[
            ("train", array(&[2, 1], NpyValues::F32(vec![-0.5, 3.0]))),
            ("test", array(&[1, 1], NpyValues::F32(vec![1.0]))),
        ])
        .unwrap();
        assert_eq!(dataset.train.pixels(), &Pixels::F32(vec![-0.5, 3.0]));
        assert_eq!(dataset.test.pixels(), &Pixels::F32(vec![1.0]));
        assert_eq!((dataset.scale, dataset.binarisation), (1.0, Binarisation::None));
    }

    #[test]
    fn what_makes_no_images_is_refused_by_name() {
        let message = |arrays: &[(&str, NpyArray)]| opened(arrays).unwrap_err().to_string();
        let bytes = |shape: &[usize]| array(shape, NpyValues::U8(vec![7; shape.iter().product()]));
        assert!(message(&[("weights", bytes(&[2, 4]))]).contains("found [\"weights\"]"));
        assert!(message(&[("images", bytes(&[2, 5, 5, 5]))]).contains("shape of 'images'"));
        assert!(message(&[("images", bytes(&[0, 4]))]).contains("shape of 'images'"));
        assert!(message(&[("images", bytes(&[1, 4]))]).contains("at least 2"));
        let nan = array(&[2, 1], NpyValues::F32(vec![0.0, f32::NAN]));
        assert!(message(&[("images", nan)]).contains("element 1 of 'images': expected a finite number, found NaN"));
        let labels = |values| array(&[2], values);
        let with = |labels| message(&[("images", bytes(&[2, 4])), ("labels", labels)]);
        assert!(with(labels(NpyValues::F32(vec![0.0, 1.0]))).contains("whole numbers"));
        assert!(with(labels(NpyValues::I64(vec![0, -1]))).contains("element 1 of 'labels'"));
        assert!(with(array(&[3], NpyValues::U8(vec![0; 3]))).contains("labels: expected one for each of 2"));
        assert!(message(&[("train", bytes(&[2, 4])), ("test", bytes(&[2, 9]))]).contains("test images"));
    }
}

//! `npz:FILE`: a data set from anybody's arrays, found by the names people give them.
//!
//! | part | images | labels (whole numbers from 0, −1 for none, or one-hot; optional) |
//! |------|--------|--------|
//! | train | `train`, `x_train`, `train_images` | `y_train`, `train_labels` |
//! | validation | `validation`, `valid`, `val`, `x_validation`, `x_valid`, `x_val` | `y_validation`, `y_valid`, `y_val`, `validation_labels` |
//! | test | `test`, `x_test`, `test_images` | `y_test`, `test_labels` |
//! | all, split here | `images`, `x`, `data`, `arr_0` | `labels`, `y` |
//!
//! Shapes: `[N, D]` (a square if `D` is one, else one row), `[N, H, W]`, `[N, C, H, W]` or
//! `[N, H, W, C]` with C of 1 or 3. Values: see [`range::pixels`](crate::range). Labels may be
//! one-hot rows too.

use std::path::Path;

use crate::batch::shuffled_at;
use crate::memory::reserved;
use crate::npy::{NpyArray, NpyValues};
use crate::{
    Binarisation, Dataset, Error, ImageShape, Images, Labels, Options, Pixels, Result, npz, range,
};
use rung_kernels::rng::{Address, Stream};

const TRAIN: &[&str] = &["train", "x_train", "train_images"];
const TRAIN_LABELS: &[&str] = &["y_train", "train_labels"];
const VALIDATION: &[&str] = &["validation", "valid", "val", "x_validation", "x_valid", "x_val"];
const VALIDATION_LABELS: &[&str] = &["y_validation", "y_valid", "y_val", "validation_labels"];
const TEST: &[&str] = &["test", "x_test", "test_images"];
const TEST_LABELS: &[&str] = &["y_test", "test_labels"];
const ALL: &[&str] = &["images", "x", "data", "arr_0"];
const ALL_LABELS: &[&str] = &["labels", "y"];
/// The names of every array that can be used.
const KNOWN: [&[&str]; 8] =
    [TRAIN, TRAIN_LABELS, VALIDATION, VALIDATION_LABELS, TEST, TEST_LABELS, ALL, ALL_LABELS];
/// One image in this many is set aside for testing where a source has no test part.
const TEST_SHARE: usize = 10;
/// What an image without a label has in place of one.
const NO_LABEL: i64 = -1;
/// More classes than this, and a label is not a class but a mistake.
const MOST_CLASSES: i64 = 1 << 16;

type Named = (String, NpyArray);

/// Opens a `.npz` file as a data set.
///
/// # Errors
/// As [`npz::read`]; [`Error::Mismatch`] if no array has a known name, or shapes, labels or values
/// make no images.
pub(crate) fn open(path: &Path, options: &Options) -> Result<Dataset> {
    let is_one_of =
        |name: &str, names: &[&str]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
    let arrays = npz::read_wanted(path, |name| KNOWN.iter().any(|names| is_one_of(name, names)))?;
    let names: Vec<String> = arrays.iter().map(|(name, _)| name.clone()).collect();
    let mut arrays: Vec<Named> =
        arrays.into_iter().filter_map(|(name, array)| Some((name, array?))).collect();
    let mut part = |images: &[&str], labels: &[&str]| {
        let mut take = |names: &[&str]| {
            let place = arrays.iter().position(|(name, _)| is_one_of(name, names))?;
            // The others keep the order of the file, by which the next name is found.
            Some(arrays.remove(place))
        };
        Some((take(images)?, take(labels)))
    };
    let train = part(TRAIN, TRAIN_LABELS).or_else(|| part(ALL, ALL_LABELS));
    let validation = part(VALIDATION, VALIDATION_LABELS);
    let test = part(TEST, TEST_LABELS);
    let has = [train.is_some(), validation.is_some(), test.is_some()];
    if !(has[0] || options.test_only && has[2]) {
        return Err(Error::mismatch(
            path,
            "arrays",
            "train, x_train, train_images or images",
            format!("{names:?}"),
        ));
    }
    drop(arrays);
    let parts: Vec<(Named, Option<Named>)> =
        [train, validation, test].into_iter().flatten().collect();
    let mut notes = Vec::new();
    let is = |array: &Option<Named>, name: &String| array.as_ref().is_some_and(|a| a.0 == *name);
    let used = |name: &String| parts.iter().any(|(x, y)| x.0 == *name || is(y, name));
    let unused: Vec<&str> = names.iter().filter(|name| !used(name)).map(String::as_str).collect();
    if !unused.is_empty() {
        notes.push(format!("arrays of the file that are not used: {}", unused.join(", ")));
    }
    // One part alone may have no class but 0 and 1.
    let are_several = parts
        .iter()
        .filter_map(|(_, labels)| labels.as_ref())
        .any(|(_, labels)| is_several(labels));
    let mut named: Vec<(String, Vec<usize>)> = Vec::new();
    let mut values = Vec::new();
    let mut labels: Vec<Option<Classes>> = Vec::new();
    for ((name, array), of_part) in parts {
        let count = array.shape.first().copied().unwrap_or(0);
        labels.push(
            of_part
                .map(|labels| labels_of(path, &labels, count, are_several, &mut notes))
                .transpose()?,
        );
        named.push((name, array.shape));
        values.push(array.values);
    }
    check_positions(path, &labels)?;
    let classes = labels.iter().flatten().flat_map(|labels| &labels.values).copied();
    let classes = classes.filter(|&class| class != Labels::UNKNOWN).max();
    let classes = classes.map_or(0, |most| most + 1);
    let classes: Vec<String> = (0..classes).map(|class| class.to_string()).collect();
    let values = named.iter().map(|(name, _)| name.as_str()).zip(values).collect();
    let mut images = Vec::new();
    for ((part, pixels), labels) in named.iter().zip(range::pixels(path, values)?).zip(labels) {
        let labels = labels.map(|labels| {
            let Classes { values, positions, .. } = labels;
            Labels { positions, ..Labels::new(values, classes.clone()) }
        });
        images.push(images_of(path, part, pixels, labels, &mut notes)?);
    }
    let mut images = images.into_iter();
    let mut next = |is_there: bool| if is_there { images.next() } else { None };
    let (train, validation, test) = (next(has[0]), next(has[1]), next(has[2]));
    let (train, test) = match (train, test) {
        (Some(train), test) => (train, test),
        // Only the test part was asked for.
        (None, Some(test)) => (test.select(&[]), Some(test)),
        (None, None) => {
            return Err(Error::mismatch(path, "arrays", "training images", "none"));
        }
    };
    let (train, test) = match test {
        Some(test) => (train, test),
        None if options.test_only => {
            notes
                .push(format!("no test part in the file: all images are taken, {}", train.count()));
            train.split_at(0)
        }
        None => {
            let (train, test) = split_for_testing(train, options.seed, path)?;
            notes.push(format!(
                "no test part in the file: {} of the images drawn for testing",
                test.count()
            ));
            (train, test)
        }
    };
    let dataset =
        Dataset::new(&format!("npz:{}", path.display()), train, test, Binarisation::None)?;
    let mut dataset = dataset.with_validation(validation)?;
    if dataset.values.is_intensity() {
        dataset.binarisation = Binarisation::PerEpoch;
    }
    dataset.notes.splice(0..0, notes);
    dataset.note_dark_bytes();
    Ok(dataset)
}

/// Draws a tenth of the images (at least one) for testing; both parts keep the order of the source.
pub(crate) fn split_for_testing(
    images: Images,
    seed: u64,
    path: &Path,
) -> Result<(Images, Images)> {
    let count = images.count();
    if count < 2 {
        return Err(Error::mismatch(
            path,
            "images",
            "at least 2, one to learn from and one to test on",
            count,
        ));
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

/// The labels of one part.
struct Classes {
    /// The name of their array.
    name: String,
    /// Classes, or [`Labels::UNKNOWN`].
    values: Vec<u32>,
    /// Labels of each image.
    positions: usize,
}

/// Refuses parts whose images have not the same number of labels each.
fn check_positions(path: &Path, labels: &[Option<Classes>]) -> Result<()> {
    let mut labels = labels.iter().flatten();
    let Some(first) = labels.next() else { return Ok(()) };
    match labels.find(|labels| labels.positions != first.positions) {
        None => Ok(()),
        Some(labels) => Err(Error::mismatch(
            path,
            format!("labels '{}'", labels.name),
            format!("{} for each image, as in the first part", first.positions),
            labels.positions,
        )),
    }
}

/// The classes of the `count` images of one part: whole numbers, one for each image or several in a
/// row, or one-hot rows.
fn labels_of(
    path: &Path,
    (name, array): &Named,
    count: usize,
    are_several: bool,
    notes: &mut Vec<String>,
) -> Result<Classes> {
    let mut positions = 1;
    let (rows, columns) = match array.shape[..] {
        [rows, columns] => (rows, columns),
        _ => (array.values.len(), 1),
    };
    if rows != count {
        let what = format!("labels '{name}'");
        return Err(Error::mismatch(path, what, format!("one for each of {count} images"), rows));
    }
    let is_row = columns > 1;
    let values = if is_row && !are_several {
        notes.push(format!("labels '{name}': one-hot over {columns} classes"));
        one_hot(path, name, &array.values, columns)?
    } else {
        if is_row {
            positions = columns;
            notes.push(format!("labels '{name}': {columns} for each image, in the order of a row"));
        }
        // Several labels of an image are known together.
        whole(path, name, &array.values, !is_row)?
    };
    let without = values.iter().filter(|&&label| label == Labels::UNKNOWN).count();
    if without > 0 {
        let all = values.len();
        notes.push(format!("labels '{name}': {without} of {all} are none ({NO_LABEL})"));
    }
    Ok(Classes { name: name.clone(), values, positions })
}

/// Whether rows of labels are the classes of several positions: whole numbers of which some are
/// neither 0 nor 1, as those of a one-hot row are.
fn is_several(labels: &NpyArray) -> bool {
    if !labels.values.are_integers() || !matches!(labels.shape[..], [_, digits] if digits > 1) {
        return false;
    }
    let mut is_several = false;
    labels.values.each(|value| is_several |= value != 0.0 && value != 1.0);
    is_several
}

/// Labels that are whole numbers, of whatever type; -1 stands for none where that is allowed.
fn whole(path: &Path, name: &str, values: &NpyValues, may_lack: bool) -> Result<Vec<u32>> {
    let (mut labels, mut wrong) = (reserved(values.len(), "labels")?, None);
    values.each(|value| {
        labels.push(match value as i64 {
            NO_LABEL if may_lack && value.fract() == 0.0 => Labels::UNKNOWN,
            class @ 0..MOST_CLASSES if value.fract() == 0.0 => class as u32,
            _ => {
                wrong.get_or_insert((labels.len(), value));
                Labels::UNKNOWN
            }
        });
    });
    wrong.map_or(Ok(labels), |(position, found)| {
        let what = format!("element {position} of '{name}'");
        let expected = format!("a class from 0 to {}, or {NO_LABEL} for none", MOST_CLASSES - 1);
        Err(Error::mismatch(path, what, expected, found))
    })
}

/// The place of the 1 in each row, where all else is 0.
fn one_hot(path: &Path, name: &str, values: &NpyValues, classes: usize) -> Result<Vec<u32>> {
    range::one_hot(values, classes).map_err(|(position, row)| {
        let expected = "one class for each image, a whole number or a single 1 among zeros";
        let what = format!("row {position} of '{name}'");
        Error::mismatch(path, what, expected, format!("{row:?}"))
    })
}

fn images_of(
    path: &Path,
    (name, sizes): &(String, Vec<usize>),
    mut pixels: Pixels,
    labels: Option<Labels>,
    notes: &mut Vec<String>,
) -> Result<Images> {
    let (shape, channels_last) = image_shape(sizes).ok_or_else(|| {
        let expected =
            "[N, D], [N, H, W], [N, C, H, W] or [N, H, W, C] with C of 1 or 3, no size 0";
        Error::mismatch(path, format!("shape of '{name}'"), expected, format!("{sizes:?}"))
    })?;
    if let [_, values] = sizes[..] {
        notes.push(format!("rows of {values} values in '{name}': taken as images of {shape}"));
    }
    if channels_last && shape.channels > 1 {
        pixels = match pixels {
            Pixels::U8(values) => Pixels::U8(channels_first(&values, shape)?),
            Pixels::F32(values) => Pixels::F32(channels_first(&values, shape)?),
            drawn @ Pixels::Drawn(_) => drawn,
        };
    }
    Images::new(shape, pixels, labels)
}

/// The shape of one image, and whether its channels come last.
fn image_shape(sizes: &[usize]) -> Option<(ImageShape, bool)> {
    let (shape, last) = match *sizes {
        [_, values] => {
            let side = values.isqrt();
            let square = side * side == values;
            (
                if square { ImageShape::new(1, side, side) } else { ImageShape::new(1, 1, values) },
                false,
            )
        }
        [_, height, width] => (ImageShape::new(1, height, width), false),
        [_, channels @ (1 | 3), height, width] => (ImageShape::new(channels, height, width), false),
        [_, height, width, channels @ (1 | 3)] => (ImageShape::new(channels, height, width), true),
        _ => return None,
    };
    (shape.channels > 0 && shape.height > 0 && shape.width > 0 && sizes[0] > 0)
        .then_some((shape, last))
}

fn channels_first<T: Copy>(values: &[T], shape: ImageShape) -> Result<Vec<T>> {
    let plane = shape.height * shape.width;
    let mut out = reserved(values.len(), "pixels, channels first")?;
    for image in values.chunks_exact(shape.values()) {
        for channel in 0..shape.channels {
            out.extend((0..plane).map(|pixel| image[pixel * shape.channels + channel]));
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::ValueRange;
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
            (
                "x_train",
                array(&[2, 2, 1, 3], NpyValues::U8(vec![0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])),
            ),
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
        assert_eq!(dataset.notes.len(), 2);
    }

    #[test]
    fn values_outside_stay_real_in_every_part() {
        let dataset = opened(&[
            ("train", array(&[2, 1], NpyValues::F32(vec![-0.5, 3.0]))),
            ("test", array(&[1, 1], NpyValues::F32(vec![-1.0]))),
        ])
        .unwrap();
        assert_eq!(dataset.train.pixels(), &Pixels::F32(vec![-0.5, 3.0]));
        assert_eq!(dataset.test.pixels(), &Pixels::F32(vec![-1.0]));
        assert_eq!((dataset.scale, dataset.binarisation), (1.0, Binarisation::None));
        assert_eq!(dataset.values, ValueRange::Real { lowest: -1.0, highest: 3.0 });
    }

    #[test]
    fn images_may_have_no_label() {
        let dataset = opened(&[
            ("x_train", array(&[3, 4], NpyValues::U8(vec![7; 12]))),
            ("y_train", array(&[3], NpyValues::I64(vec![1, -1, 0]))),
            ("x_test", array(&[1, 4], NpyValues::U8(vec![7; 4]))),
        ])
        .unwrap();
        let labels = dataset.train.labels().unwrap();
        assert_eq!((labels.values.as_slice(), labels.classes()), (&[1, Labels::UNKNOWN, 0][..], 2));
        let note = "labels 'y_train': 1 of 3 are none (-1)";
        assert!(dataset.notes.iter().any(|found| found == note), "{:?}", dataset.notes);
    }

    #[test]
    fn one_hot_labels_are_classes_and_several_ones_are_refused() {
        let with = |labels: &[f32]| {
            opened(&[
                ("images", array(&[2, 2, 2], NpyValues::U8(vec![200; 8]))),
                ("labels", array(&[2, 3], NpyValues::F32(labels.to_vec()))),
            ])
        };
        let dataset = with(&[0.0, 0.0, 1.0, 1.0, 0.0, 0.0]).unwrap();
        assert_eq!(dataset.notes[0], "labels 'labels': one-hot over 3 classes");
        let both = [&dataset.train, &dataset.test].map(|images| images.labels().unwrap().values[0]);
        assert!(both == [2, 0] || both == [0, 2], "{both:?}");
        for several in [[0.0, 1.0, 1.0], [0.0, 0.0, 0.0], [0.0, 0.5, 0.5], [0.0, 2.0, 1.0]] {
            let error = with(&[&[0.0, 0.0, 1.0], &several[..]].concat()).unwrap_err().to_string();
            assert!(
                error.contains("row 1 of 'labels': expected one class for each image"),
                "{error}"
            );
        }
    }

    #[test]
    fn rows_of_whole_numbers_are_the_labels_of_several_digits() {
        let images = || array(&[2, 2, 2], NpyValues::U8(vec![200; 8]));
        let labels =
            |labels: &[i64], shape: &[usize]| array(shape, NpyValues::I64(labels.to_vec()));
        let with = |train: NpyArray, test: NpyArray| {
            opened(&[("train", images()), ("y_train", train), ("test", images()), ("y_test", test)])
        };
        let two = labels(&[7, 0, 1, 1], &[2, 2]);
        let dataset = with(two.clone(), labels(&[0, 1, 1, 0], &[2, 2])).unwrap();
        assert_eq!(dataset.test.labels().unwrap().values, [0, 1, 1, 0]);
        assert_eq!(dataset.notes[0], "labels 'y_train': 2 for each image, in the order of a row");
        let read = dataset.train.labels().unwrap();
        assert_eq!((&read.values[..], read.positions, read.classes()), (&[7, 0, 1, 1][..], 2, 8));
        let error = with(two, labels(&[3, 4], &[2])).unwrap_err().to_string();
        assert!(
            error.contains("'y_test': expected 2 for each image, as in the first part, found 1")
        );
        let negative = with(labels(&[7, -1, 1, 1], &[2, 2]), labels(&[3, 4, 1, 1], &[2, 2]));
        assert!(negative.unwrap_err().to_string().contains("element 1 of 'y_train'"));
    }

    #[test]
    fn what_is_not_used_may_be_of_any_type() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        let mut zip = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
        let images = crate::npy::encode(&array(&[2, 2, 2], NpyValues::U8(vec![200; 8]))).unwrap();
        let mut add = |name: &str, content: &[u8]| {
            zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(content).unwrap();
        };
        add("class_names.npy", &[crate::npy::header("<U1", &[2], 2).unwrap(), vec![0; 8]].concat());
        add("images.npy", &images);
        zip.finish().unwrap();
        let dataset = open(&path, &Options::default()).unwrap();
        assert_eq!(dataset.notes[0], "arrays of the file that are not used: class_names");
    }

    #[test]
    fn what_was_guessed_is_told_and_nothing_else() {
        let bytes =
            |shape: &[usize]| array(shape, NpyValues::U8(vec![200; shape.iter().product()]));
        let notes = |arrays: &[(&str, NpyArray)]| opened(arrays).unwrap().notes;
        assert!(notes(&[("train", bytes(&[2, 2, 2])), ("test", bytes(&[2, 2, 2]))]).is_empty());
        let guessed = notes(&[
            ("train", bytes(&[2, 12])),
            ("test", bytes(&[2, 1, 12])),
            ("other", bytes(&[1])),
        ]);
        assert_eq!(guessed[0], "arrays of the file that are not used: other");
        assert_eq!(guessed[1], "rows of 12 values in 'train': taken as images of 1x1x12");
        let digits = array(&[2, 2, 2], NpyValues::F64([0.0, 16.0].repeat(4)));
        assert!(
            notes(&[("train", digits.clone()), ("test", digits)])[0]
                .starts_with("whole numbers up to 16 alone")
        );
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
        assert!(
            message(&[("images", nan)])
                .contains("element 1 of 'images': expected a finite number, found NaN")
        );
        let labels = |values| array(&[2], values);
        let with = |labels| message(&[("images", bytes(&[2, 4])), ("labels", labels)]);
        for value in [1.5, -0.5, f32::NAN, f32::INFINITY] {
            let said = with(labels(NpyValues::F32(vec![0.0, value])));
            assert!(said.contains("element 1 of 'labels': expected a class from 0"), "{said}");
        }
        assert!(with(labels(NpyValues::I64(vec![0, -2]))).contains("element 1 of 'labels'"));
        assert!(
            with(array(&[3], NpyValues::U8(vec![0; 3])))
                .contains("labels 'labels': expected one for each of 2 images, found 3")
        );
        assert!(
            message(&[("train", bytes(&[2, 4])), ("test", bytes(&[2, 9]))]).contains("test images")
        );
        let validation =
            [("train", bytes(&[2, 4])), ("val", bytes(&[2, 9])), ("test", bytes(&[2, 4]))];
        assert!(
            message(&validation)
                .contains("validation images: expected the shape of the training images, 1x2x2")
        );
    }
}

//! OMNIGLOT and SVHN: which arrays hold what, and how MATLAB's columns become upright images.

use std::path::Path;

use super::{Variable, read, require};
use crate::memory::reserved;
use crate::npy::NpyValues;
use crate::{Error, ImageShape, Images, Labels, Pixels, Result, range};

const OMNIGLOT_SIDE: usize = 28;
/// An array of no images could claim any number of classes; names are made for each.
const MOST_CLASSES: usize = 10_000;
const SVHN_SIDE: usize = 32;
const SVHN_CHANNELS: usize = 3;

/// OMNIGLOT as distributed with the code of Burda et al.: the training and the test images of
/// `chardata.mat`.
///
/// `data` and `testdata` are 784×N, an image a column, itself stored in columns; `target` and
/// `testtarget` are one-hot over the 50 alphabets, which are the classes here. Their names are read
/// from `alphabets.txt` beside the file, a line each, if it is there.
///
/// # Errors
/// As [`read`]; [`Error::Mismatch`] if an array is missing or has other sizes.
pub fn omniglot(path: &Path) -> Result<(Images, Images)> {
    let mut variables = read(path, &["data", "testdata", "target", "testtarget"])?;
    let mut columns = |name| square_columns(require(&mut variables, name, path)?, path);
    let parts = vec![("data", columns("data")?), ("testdata", columns("testdata")?)];
    let mut pixels = range::pixels(path, parts)?.into_iter();
    let mut part = |target: &str| {
        let pixels = upright(pixels.next().unwrap_or(Pixels::U8(Vec::new())));
        let labels = one_hot(&variables, target, pixels.len() / OMNIGLOT_SIDE.pow(2), path)?;
        Images::new(ImageShape::new(1, OMNIGLOT_SIDE, OMNIGLOT_SIDE), pixels, labels)
    };
    Ok((part("target")?, part("testtarget")?))
}

/// The values of an array whose columns of 784 values are images.
fn square_columns(variable: Variable, path: &Path) -> Result<NpyValues> {
    let values = OMNIGLOT_SIDE * OMNIGLOT_SIDE;
    if variable.sizes.len() != 2 || variable.sizes[0] != values {
        let what = format!("sizes of '{}'", variable.name);
        return Err(Error::mismatch(
            path,
            what,
            format!("[{values}, N]"),
            format!("{:?}", variable.sizes),
        ));
    }
    Ok(variable.numbers)
}

/// Squares in column order, written in row order.
fn upright(mut pixels: Pixels) -> Pixels {
    fn turn<T: Copy + Default>(images: &mut [T]) {
        let mut rows = vec![T::default(); OMNIGLOT_SIDE * OMNIGLOT_SIDE];
        for image in images.chunks_exact_mut(rows.len()) {
            transpose(image, &mut rows, OMNIGLOT_SIDE);
            image.copy_from_slice(&rows);
        }
    }
    match &mut pixels {
        Pixels::U8(bytes) => turn(bytes),
        Pixels::F32(reals) => turn(reals),
        Pixels::Drawn(_) => {}
    }
    pixels
}

/// A square in column order, written in row order.
fn transpose<T: Copy>(columns: &[T], rows: &mut [T], side: usize) {
    for (i, value) in rows.iter_mut().enumerate() {
        *value = columns[i % side * side + i / side];
    }
}

/// The position of the 1 in each column of a one-hot array, if the file has that array.
fn one_hot(
    variables: &[Variable],
    name: &str,
    count: usize,
    path: &Path,
) -> Result<Option<Labels>> {
    let Some(variable) = variables.iter().find(|variable| variable.name == name) else {
        return Ok(None);
    };
    let wrong = |found: String| {
        Error::mismatch(path, format!("'{name}'"), format!("one-hot, [classes, {count}]"), found)
    };
    let [classes, columns] = variable.sizes[..] else {
        return Err(wrong(format!("{:?}", variable.sizes)));
    };
    if columns != count || !(1..=MOST_CLASSES).contains(&classes) {
        return Err(wrong(format!("{:?}", variable.sizes)));
    }
    let values = range::one_hot(&variable.numbers, classes)
        .map_err(|(position, _)| wrong(format!("no single 1 in column {position}")))?;
    Ok(Some(Labels::new(values, alphabet_names(path, classes))))
}

/// The names in `alphabets.txt` beside the file if they are as many as the classes, else numbers.
///
/// A name is the last tab-separated field of its line; lines that begin with `#` are comments.
fn alphabet_names(path: &Path, classes: usize) -> Vec<String> {
    let text = std::fs::read_to_string(path.with_file_name("alphabets.txt")).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let names: Vec<String> = lines
        .filter_map(|line| line.rsplit('\t').next())
        .map(|name| name.trim().replace('_', " "))
        .collect();
    if names.len() == classes {
        names
    } else {
        (1..=classes).map(|n| format!("alphabet {n}")).collect()
    }
}

/// One part of SVHN's cropped digits (`train_32x32.mat`): `X` is 32×32×3×N bytes in column order,
/// `y` the digits with 10 for 0.
///
/// # Errors
/// As [`read`]; [`Error::Mismatch`] if an array is missing, has other sizes, or a label is not 1 to
/// 10.
pub fn svhn(path: &Path) -> Result<Images> {
    let mut variables = read(path, &["X", "y"])?;
    let pixels = require(&mut variables, "X", path)?;
    let (NpyValues::U8(columns), [SVHN_SIDE, SVHN_SIDE, SVHN_CHANNELS, ..]) =
        (&pixels.numbers, &pixels.sizes[..])
    else {
        let found = format!("{:?}", pixels.sizes);
        return Err(Error::mismatch(path, "'X'", "bytes, [32, 32, 3, N]", found));
    };
    let plane = SVHN_SIDE * SVHN_SIDE;
    let mut upright = reserved(columns.len(), "images")?;
    upright.resize(columns.len(), 0);
    for (rows, columns) in upright.chunks_exact_mut(plane).zip(columns.chunks_exact(plane)) {
        transpose(columns, rows, SVHN_SIDE);
    }
    let count = columns.len() / (plane * SVHN_CHANNELS);
    let digits = require(&mut variables, "y", path)?.numbers.into_f32()?;
    if digits.len() != count {
        return Err(Error::mismatch(path, "'y'", format!("{count} labels"), digits.len()));
    }
    let mut values = Vec::with_capacity(count);
    for (position, &digit) in digits.iter().enumerate() {
        if !(1.0..=10.0).contains(&digit) || digit.fract() != 0.0 {
            return Err(Error::mismatch(path, format!("label {position}"), "1 to 10", digit));
        }
        values.push(digit as u32 % 10);
    }
    let class_names = (0..10).map(|digit| digit.to_string()).collect();
    let shape = ImageShape::new(SVHN_CHANNELS, SVHN_SIDE, SVHN_SIDE);
    Images::new(shape, Pixels::U8(upright), Some(Labels::new(values, class_names)))
}

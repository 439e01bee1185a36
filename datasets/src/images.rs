//! Images in memory: pixels, shape and labels, checked once when they are put together.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::checksum::hexadecimal;
use crate::sequences::Canvases;
use crate::{Error, Result};

/// The size of one image, in the order of its memory: `[channels, height, width]`, row-major.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ImageShape {
    /// 1 for grey, 3 for red, green, blue.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl ImageShape {
    /// A shape from its three sizes.
    #[must_use]
    pub const fn new(channels: usize, height: usize, width: usize) -> Self {
        Self { channels, height, width }
    }

    /// How many values one image has: channels · height · width.
    #[must_use]
    pub const fn values(&self) -> usize {
        self.channels * self.height * self.width
    }
}

/// `3x32x32`: channels, height, width.
impl fmt::Display for ImageShape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}x{}x{}", self.channels, self.height, self.width)
    }
}

/// Pixel values, `[image, channel, height, width]`, in the smallest type that holds the source
/// exactly.
#[derive(Clone, Debug, PartialEq)]
pub enum Pixels {
    /// 0..=255; as an intensity, `p / 255`.
    U8(Vec<u8>),
    /// Real values; for image data, intensities in `[0, 1]`.
    F32(Vec<f32>),
    /// Bytes that are not in memory: each image is drawn when it is asked for.
    Drawn(Canvases),
}

impl Pixels {
    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::U8(values) => values.len(),
            Self::F32(values) => values.len(),
            Self::Drawn(canvases) => canvases.count() * canvases.shape().values(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The byte k that an intensity stands for, if it is k/255 (to 2e-6).
    pub(crate) fn byte_of(intensity: f32) -> Option<u8> {
        let scaled = intensity * 255.0;
        let rounded = scaled.round();
        ((scaled - rounded).abs() <= 5e-4 && (0.0..=255.0).contains(&rounded))
            .then_some(rounded as u8)
    }

    /// Keeps real values as bytes when each is k/255 (to 2e-6), so that nothing is lost; otherwise
    /// leaves them as they are.
    #[must_use]
    pub fn from_intensities(values: Vec<f32>) -> Self {
        match values.iter().map(|&value| Self::byte_of(value)).collect::<Option<Vec<u8>>>() {
            Some(bytes) => Self::U8(bytes),
            None => Self::F32(values),
        }
    }
}

/// The class of every image, or those of the digits on it, as far as they are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    /// `positions` classes for each image, one image after the other; each below
    /// `class_names.len()`, or [`Labels::UNKNOWN`].
    pub values: Vec<u32>,
    /// Labels of an image: 1, or as many as a sequence has digits, which are labelled from left to
    /// right.
    pub positions: usize,
    /// The classes by name; their number is the number of classes.
    pub class_names: Vec<String>,
}

impl Labels {
    /// What stands for the class of an image without a label.
    pub const UNKNOWN: u32 = u32::MAX;

    /// One class for each image.
    #[must_use]
    pub fn new(values: Vec<u32>, class_names: Vec<String>) -> Self {
        Self { values, positions: 1, class_names }
    }

    /// How many classes there are.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.class_names.len()
    }

    /// The same classes in the numbering of another data set, by their names; a class that it has
    /// not is unknown.
    fn numbered_by(&mut self, names: &[String]) {
        let number = |name: &String| names.iter().position(|other| other == name);
        let numbers: Vec<Option<usize>> = self.class_names.iter().map(number).collect();
        for label in self.values.iter_mut().filter(|label| **label != Self::UNKNOWN) {
            *label = numbers[*label as usize].map_or(Self::UNKNOWN, |number| number as u32);
        }
        self.class_names = names.to_vec();
    }

    /// The same labels of the chosen images, in the order given.
    fn select(&self, indices: &[u32]) -> Self {
        let rows = indices.iter().map(|&index| index as usize * self.positions);
        let values = rows.flat_map(|first| &self.values[first..][..self.positions]).copied();
        Self { values: values.collect(), ..self.with_no_values() }
    }

    /// Keeps those of the first `count` images and gives the others.
    fn split_off(&mut self, count: usize) -> Self {
        let rest = self.values.split_off(count * self.positions);
        Self { values: rest, ..self.with_no_values() }
    }

    fn with_no_values(&self) -> Self {
        let (values, class_names) = (Vec::new(), self.class_names.clone());
        Self { values, positions: self.positions, class_names }
    }

    /// Refuses labels that are not as many for each of `count` images, or that have no class.
    fn check(&self, count: usize) -> Result<()> {
        if self.positions == 0 || self.positions.checked_mul(count) != Some(self.values.len()) {
            let each = match self.positions {
                1 => "one".to_string(),
                positions => positions.to_string(),
            };
            return refuse(
                "labels",
                format!("{each} for each of {count} images"),
                self.values.len().to_string(),
            );
        }
        let is_wild = |label: u32| label != Self::UNKNOWN && label as usize >= self.classes();
        let wild = self.values.iter().find(|&&label| is_wild(label));
        wild.map_or(Ok(()), |label| {
            refuse("labels", format!("a class below {}", self.classes()), label.to_string())
        })
    }
}

/// Values of the images that [`Images::pieces`] gives at a time.
const PIECE_VALUES: usize = 1 << 22;

/// The numbers of a run of images, of which there are no more than a `u32` can number.
fn numbers(images: Range<usize>) -> Vec<u32> {
    images.map(|image| image as u32).collect()
}

fn refuse<T>(what: &'static str, expected: String, found: String) -> Result<T> {
    Err(Error::Argument { what, expected, found })
}

/// A set of images of one shape, with their classes if these are known.
///
/// # Example
/// ```
/// use rung_datasets::{ImageShape, Images, Pixels};
///
/// let pixels = Pixels::U8(vec![0, 255, 51, 0, 0, 0, 0, 102]);
/// let images = Images::new(ImageShape::new(1, 2, 2), pixels, None)?;
/// assert_eq!(images.count(), 2);
/// assert_eq!(images.intensities(0..1), [0.0, 1.0, 0.2, 0.0]);
/// # Ok::<(), rung_datasets::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Images {
    shape: ImageShape,
    count: usize,
    pixels: Pixels,
    labels: Option<Labels>,
    /// The file of each image, where each is from one of its own; else empty.
    files: Vec<String>,
}

impl Images {
    /// Images from their parts.
    ///
    /// # Errors
    /// [`Error::Argument`] if a size of the shape is 0, the pixels are not a whole number of
    /// images, the labels are not one for each image, a label has no class, or there are more
    /// images than a `u32` can number.
    pub fn new(shape: ImageShape, pixels: Pixels, labels: Option<Labels>) -> Result<Self> {
        let values =
            shape.channels.checked_mul(shape.height).and_then(|v| v.checked_mul(shape.width));
        let values = match values {
            Some(values) if values > 0 => values,
            _ => {
                return refuse("image shape", "three sizes above 0".into(), format!("{shape:?}"));
            }
        };
        if !pixels.len().is_multiple_of(values) {
            return refuse(
                "pixels",
                format!("a multiple of {values} values"),
                pixels.len().to_string(),
            );
        }
        let count = pixels.len() / values;
        if u32::try_from(count).is_err() {
            return refuse("images", format!("at most {} of them", u32::MAX), count.to_string());
        }
        if let Some(labels) = &labels {
            labels.check(count)?;
        }
        Ok(Self { shape, count, pixels, labels, files: Vec::new() })
    }

    /// The images of these parts, one part after the other: of one shape and the same classes, all
    /// bytes.
    ///
    /// # Errors
    /// [`Error::Argument`] if they are not, or there are none.
    pub(crate) fn joined(parts: Vec<Self>) -> Result<Self> {
        let mut parts = parts.into_iter();
        let unequal = |what: &str| refuse("parts", "images alike".into(), what.into());
        let Some(first) = parts.next() else { return unequal("no images") };
        let (shape, mut labels) = (first.shape, first.labels);
        let Pixels::U8(mut bytes) = first.pixels else { return unequal("no bytes") };
        for part in parts {
            let Pixels::U8(others) = part.pixels else { return unequal("no bytes") };
            match (&mut labels, part.labels) {
                (Some(labels), Some(others)) if labels.class_names == others.class_names => {
                    labels.values.extend(others.values);
                }
                (None, None) => {}
                _ => return unequal("other classes"),
            }
            if part.shape != shape {
                return unequal("another shape");
            }
            bytes.extend(others);
        }
        Self::new(shape, Pixels::U8(bytes), labels)
    }

    /// The same images with 255 in place of every byte that is 1.
    pub(crate) fn with_white_ones(mut self) -> Self {
        if let Pixels::U8(bytes) = &mut self.pixels {
            bytes.iter_mut().filter(|byte| **byte == 1).for_each(|byte| *byte = u8::MAX);
        }
        self
    }

    /// The same images with these classes, or with none.
    ///
    /// # Errors
    /// As [`Images::new`].
    pub(crate) fn with_labels(self, labels: Option<Labels>) -> Result<Self> {
        if let Some(labels) = &labels {
            labels.check(self.count)?;
        }
        Ok(Self { labels, ..self })
    }

    /// The same images, which are from these files: one for each image.
    ///
    /// # Errors
    /// [`Error::Argument`] if the names are not one for each image.
    pub(crate) fn with_files(self, files: Vec<String>) -> Result<Self> {
        if files.len() != self.count {
            let expected = format!("one for each of {} images", self.count);
            return refuse("names of files", expected, files.len().to_string());
        }
        Ok(Self { files, ..self })
    }

    /// SHA-256 of the pixels, images of another shape or number format apart, and of the labels, in
    /// hexadecimal.
    #[must_use]
    pub fn sha256(&self) -> String {
        let mut state = Sha256::new();
        let format = match self.pixels {
            Pixels::U8(_) => "u8",
            Pixels::F32(_) => "f32",
            Pixels::Drawn(_) => "drawn",
        };
        state.update(format!("{format} {}x{}\0", self.count, self.shape));
        match &self.pixels {
            Pixels::U8(bytes) => state.update(bytes),
            Pixels::F32(reals) => reals.iter().for_each(|real| state.update(real.to_le_bytes())),
            Pixels::Drawn(canvases) => canvases.identify(&mut state),
        }
        let labels = self.labels.iter().flat_map(|labels| &labels.values);
        labels.for_each(|label| state.update(label.to_le_bytes()));
        hexadecimal(&state.finalize())
    }

    /// How many images there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The shape of each image.
    #[must_use]
    pub fn shape(&self) -> ImageShape {
        self.shape
    }

    /// How many values each image has: the `D` of the papers.
    #[must_use]
    pub fn values_per_image(&self) -> usize {
        self.shape.values()
    }

    /// All pixels, `[image, channel, height, width]`.
    #[must_use]
    pub fn pixels(&self) -> &Pixels {
        &self.pixels
    }

    /// The same images, a bounded number at a time and in order, in memory each time.
    pub fn pieces(&self) -> impl Iterator<Item = Self> {
        let at_once = (PIECE_VALUES / self.values_per_image()).max(1);
        (0..self.count)
            .step_by(at_once)
            .map(move |first| self.select(&numbers(first..self.count.min(first + at_once))))
    }

    /// The pixels alone, if they are bytes in memory.
    #[must_use]
    pub fn into_bytes(self) -> Option<Vec<u8>> {
        match self.pixels {
            Pixels::U8(bytes) => Some(bytes),
            Pixels::F32(_) | Pixels::Drawn(_) => None,
        }
    }

    /// The pixels alone.
    pub(crate) fn into_pixels(self) -> Pixels {
        self.pixels
    }

    /// The classes, if known.
    #[must_use]
    pub fn labels(&self) -> Option<&Labels> {
        self.labels.as_ref()
    }

    /// Brings the labels to the numbering of these classes, by their names; a class that is not
    /// among them is unknown.
    pub(crate) fn number_classes_by(&mut self, names: &[String]) {
        if let Some(labels) = &mut self.labels {
            labels.numbered_by(names);
        }
    }

    /// The file of each image, relative to the data set's folder, where each is from one of its
    /// own; else none.
    #[must_use]
    pub fn files(&self) -> &[String] {
        &self.files
    }

    /// The intensities in `[0, 1]` of a run of images, one after the other: `p / 255` of bytes,
    /// real values as they are.
    ///
    /// # Panics
    /// If `images` reaches past the last image: that is a bug of the caller.
    #[must_use]
    pub fn intensities(&self, images: Range<usize>) -> Vec<f32> {
        let values = self.values_per_image();
        let range = images.start * values..images.end * values;
        match &self.pixels {
            Pixels::U8(bytes) => bytes[range].iter().map(|&byte| f32::from(byte) / 255.0).collect(),
            Pixels::F32(reals) => reals[range].to_vec(),
            Pixels::Drawn(canvases) => {
                let drawn = canvases.draw(&numbers(images));
                drawn.into_iter().map(|byte| f32::from(byte) / 255.0).collect()
            }
        }
    }

    /// The mean intensity over all images: the mean ink of a set of drawings. 0 if there are none.
    #[must_use]
    pub fn mean_intensity(&self) -> f64 {
        let sum = match &self.pixels {
            Pixels::U8(bytes) => {
                bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>() as f64 / 255.0
            }
            Pixels::F32(reals) => reals.iter().map(|&real| f64::from(real)).sum(),
            Pixels::Drawn(canvases) => {
                let ink = |image: usize| -> f64 {
                    let drawn = canvases.draw(&numbers(image..image + 1));
                    drawn.into_iter().map(|byte| f64::from(byte) / 255.0).sum()
                };
                (0..self.count).map(ink).sum()
            }
        };
        sum / self.pixels.len().max(1) as f64
    }

    /// A copy of the chosen images, in the order given.
    ///
    /// # Panics
    /// If an index is not below [`Images::count`]: that is a bug of the caller.
    #[must_use]
    pub fn select(&self, indices: &[u32]) -> Self {
        let values = self.values_per_image();
        let rows = |index: u32| index as usize * values..(index as usize + 1) * values;
        let pixels = match &self.pixels {
            Pixels::U8(bytes) => {
                Pixels::U8(indices.iter().flat_map(|&i| &bytes[rows(i)]).copied().collect())
            }
            Pixels::F32(reals) => {
                Pixels::F32(indices.iter().flat_map(|&i| &reals[rows(i)]).copied().collect())
            }
            Pixels::Drawn(canvases) => Pixels::U8(canvases.draw(indices)),
        };
        let labels = self.labels.as_ref().map(|labels| labels.select(indices));
        let file = |&index: &u32| self.files.get(index as usize).cloned();
        let files = indices.iter().filter_map(file).collect();
        Self { shape: self.shape, count: indices.len(), pixels, labels, files }
    }

    /// Cuts the images in two at `count`: the first keeps that many (all, if there are fewer), the
    /// second has the rest.
    #[must_use]
    pub fn split_at(mut self, count: usize) -> (Self, Self) {
        let count = count.min(self.count);
        let values = count * self.values_per_image();
        let pixels = match &mut self.pixels {
            Pixels::U8(bytes) => Pixels::U8(bytes.split_off(values)),
            Pixels::F32(reals) => Pixels::F32(reals.split_off(values)),
            Pixels::Drawn(canvases) => Pixels::Drawn(canvases.split_off(count)),
        };
        let labels = self.labels.as_mut().map(|labels| labels.split_off(count));
        let files = self.files.split_off(count.min(self.files.len()));
        let rest = Self { shape: self.shape, count: self.count - count, pixels, labels, files };
        self.count = count;
        (self, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn four() -> Images {
        let labels = Labels::new(vec![0, 1, 0, 1], vec!["a".into(), "b".into()]);
        let files = ["p", "q", "r", "s"].map(String::from).to_vec();
        let images =
            Images::new(ImageShape::new(1, 1, 2), Pixels::U8((0..8).collect()), Some(labels));
        images.unwrap().with_files(files).unwrap()
    }

    #[test]
    fn images_refuse_parts_that_do_not_fit() {
        let shape = ImageShape::new(1, 2, 2);
        let message = |result: Result<Images>| result.unwrap_err().to_string();
        assert_eq!(
            message(Images::new(shape, Pixels::U8(vec![0; 5]), None)),
            "pixels: expected a multiple of 4 values, found 5"
        );
        let labels = |values: Vec<u32>| Some(Labels::new(values, vec!["only".into()]));
        assert_eq!(
            message(Images::new(shape, Pixels::U8(vec![0; 4]), labels(vec![0, 0]))),
            "labels: expected one for each of 1 images, found 2"
        );
        assert_eq!(
            message(Images::new(shape, Pixels::U8(vec![0; 4]), labels(vec![1]))),
            "labels: expected a class below 1, found 1"
        );
        assert!(Images::new(ImageShape::new(1, 0, 2), Pixels::U8(vec![]), None).is_err());
    }

    #[test]
    fn select_and_split_keep_pixels_and_labels_together() {
        let chosen = four().select(&[3, 0]);
        assert_eq!(chosen.pixels(), &Pixels::U8(vec![6, 7, 0, 1]));
        assert_eq!(chosen.labels().unwrap().values, [1, 0]);
        assert_eq!(chosen.files(), ["s", "p"]);
        assert!(four().with_files(vec!["p".into()]).is_err());
        let (head, tail) = four().split_at(3);
        assert_eq!((head.count(), tail.count()), (3, 1));
        assert_eq!(tail.pixels(), &Pixels::U8(vec![6, 7]));
        assert_eq!(tail.labels().unwrap().values, [1]);
        assert_eq!((head.files().len(), tail.files()), (3, &["s".to_string()][..]));
        assert_eq!(four().split_at(9).1.count(), 0);
    }

    #[test]
    fn multiples_of_a_255th_become_bytes_and_nothing_else_does() {
        let exact: Vec<f32> = (0..=255).map(|k| (f64::from(k) / 255.0) as f32).collect();
        assert_eq!(Pixels::from_intensities(exact), Pixels::U8((0..=255).collect()));
        for other in [0.5, -1.0 / 255.0, 256.0 / 255.0, f32::NAN] {
            assert!(
                matches!(Pixels::from_intensities(vec![0.0, other]), Pixels::F32(_)),
                "{other}"
            );
        }
    }
}

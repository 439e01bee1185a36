//! The IDX format of MNIST and its descendants: a magic number, the sizes, then bytes.
//!
//! | byte | what |
//! |------|------|
//! | 0, 1 | 0 |
//! | 2 | element type; 8 = unsigned byte, the only one used for images |
//! | 3 | number of dimensions `d` |
//! | 4 … 4 + 4d | sizes, 32-bit big-endian |
//! | then | the elements, last dimension fastest |

use std::path::Path;

use crate::source::{Source, product};
use crate::{Error, ImageShape, Images, Labels, Pixels, Result};

const UNSIGNED_BYTE: u8 = 8;
const MOST_DIMENSIONS: u8 = 4;

/// An array of bytes as an IDX file holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdxArray {
    /// The sizes, slowest first.
    pub dimensions: Vec<usize>,
    /// The elements, last dimension fastest.
    pub values: Vec<u8>,
}

/// Reads an IDX file, plain or gzip.
///
/// # Errors
/// [`Error::Format`] if the header is not one of bytes in 1 to 4 dimensions or the sizes are not
/// those of the file.
pub fn read(path: &Path) -> Result<IdxArray> {
    parse(Source::open(path, "idx")?)
}

fn parse(mut source: Source<'_>) -> Result<IdxArray> {
    let magic: [u8; 4] = source.array("magic number")?;
    let [0, 0, UNSIGNED_BYTE, rank @ 1..=MOST_DIMENSIONS] = magic else {
        let expected = "00 00 08 and 1 to 4 dimensions";
        let found = format!("{:02x} {:02x} {:02x} {:02x}", magic[0], magic[1], magic[2], magic[3]);
        return Err(source.wrong(0, "magic number", expected, found));
    };
    let mut sizes = Vec::with_capacity(rank.into());
    for axis in 0..rank {
        let size = u32::from_be_bytes(source.array(&format!("size of dimension {axis}"))?);
        sizes.push(u64::from(size));
    }
    let bytes = product(&sizes, 1)
        .ok_or_else(|| source.wrong(4, "sizes", "a product below 2⁶⁴", format!("{sizes:?}")))?;
    source.claim_rest(bytes, "elements")?;
    let values = source.take_bytes(bytes, "elements")?;
    source.expect_end()?;
    Ok(IdxArray { dimensions: sizes.into_iter().map(|size| size as usize).collect(), values })
}

/// Reads grey images and their labels from a pair of IDX files.
///
/// # Errors
/// As [`read`]; [`Error::Mismatch`] if the files are not `[count, height, width]` and `[count]`, or
/// a label has no class.
pub fn read_labelled(images: &Path, labels: &Path, class_names: &[&str]) -> Result<Images> {
    let pixels = read(images)?;
    let [count, height, width] = pixels.dimensions[..] else {
        return Err(Error::mismatch(images, "dimensions", "3", pixels.dimensions.len()));
    };
    let classes = read(labels)?;
    if classes.dimensions != [count] {
        return Err(Error::mismatch(
            labels,
            "sizes",
            format!("[{count}]"),
            format!("{:?}", classes.dimensions),
        ));
    }
    if let Some(position) =
        classes.values.iter().position(|&class| usize::from(class) >= class_names.len())
    {
        let what = format!("label {position}");
        let expected = format!("a class below {}", class_names.len());
        return Err(Error::mismatch(labels, what, expected, classes.values[position]));
    }
    let labels = Labels::new(
        classes.values.into_iter().map(u32::from).collect(),
        class_names.iter().map(|&name| name.to_string()).collect(),
    );
    Images::new(ImageShape::new(1, height, width), Pixels::U8(pixels.values), Some(labels))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::{file, gzip};
    use proptest::prelude::*;

    fn encode(sizes: &[u32], values: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, sizes.len() as u8];
        sizes.iter().for_each(|size| bytes.extend(size.to_be_bytes()));
        bytes.extend(values);
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<IdxArray> {
        parse(Source::over(Path::new("f"), "idx", bytes.len() as u64, bytes)?)
    }

    #[test]
    fn images_and_labels_are_read_plain_and_gzip() {
        let (_a, images) =
            file("images", &encode(&[2, 2, 3], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]));
        let (_b, labels) = file("labels.gz", &gzip(&encode(&[2], &[1, 0])));
        let read = read_labelled(&images, &labels, &["a", "b"]).unwrap();
        assert_eq!(read.shape(), ImageShape::new(1, 2, 3));
        assert_eq!(read.labels().unwrap().values, [1, 0]);
        assert_eq!(read.pixels(), &Pixels::U8((0..12).collect()));
    }

    #[test]
    fn every_lying_header_field_is_named() {
        let good = encode(&[2, 2, 2], &[9; 8]);
        assert!(decode(&good).is_ok());
        let with = |byte: usize, value: u8| {
            let mut bad = good.clone();
            bad[byte] = value;
            (decode(&bad).unwrap_err().to_string(), decode(&gzip(&bad)).unwrap_err().to_string())
        };
        for byte in 0..3 {
            assert!(with(byte, 1).0.contains("byte 0: magic number: expected 00 00 08"), "{byte}");
        }
        assert!(with(3, 0).0.contains("magic number"));
        assert!(with(3, 5).0.contains("magic number"));
        let (plain, packed) = with(7, 3);
        assert_eq!(
            plain,
            "f: idx: byte 16: elements: expected at most 8 bytes, for the file has no more, found \
            12 bytes"
        );
        assert!(packed.contains("the end after 8"), "{packed}");
        assert!(with(7, 1).0.contains("expected 8 bytes, to the end of the file, found 4"));
        assert!(with(7, 1).1.contains("nothing more"));
        let (plain, packed) = with(4, 255);
        assert!(plain.contains("has no more") && packed.contains("compressed data of this size"));
        let huge = encode(&[u32::MAX; 4], &[]);
        assert!(decode(&huge).unwrap_err().to_string().contains("a product below 2⁶⁴"));
    }

    #[test]
    fn every_cut_is_an_error() {
        let good = encode(&[2, 2, 2], &[9; 8]);
        let packed = gzip(&good);
        for cut in 0..good.len() {
            assert!(decode(&good[..cut]).is_err(), "{cut}");
        }
        for cut in 0..packed.len() {
            assert!(decode(&packed[..cut]).is_err(), "gzip, {cut}");
        }
    }

    #[test]
    fn images_and_labels_must_fit() {
        let (_a, images) = file("images", &encode(&[2, 1, 1], &[0, 1]));
        let (_b, three) = file("three", &encode(&[3], &[0, 0, 0]));
        let (_c, high) = file("high", &encode(&[2], &[0, 2]));
        let message =
            |labels: &Path| read_labelled(&images, labels, &["a", "b"]).unwrap_err().to_string();
        assert!(message(&three).ends_with("sizes: expected [2], found [3]"));
        assert!(message(&high).ends_with("label 1: expected a class below 2, found 2"));
        assert!(message(&images).ends_with("sizes: expected [2], found [2, 1, 1]"));
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn what_is_read_is_never_more_than_the_file(at in 0usize..24, value: u8) {
            let mut bytes = encode(&[2, 2, 2], &[9; 8]);
            let index = at % bytes.len();
            bytes[index] = value;
            if let Ok(array) = decode(&bytes) {
                prop_assert!(array.values.len() <= bytes.len());
            }
        }
    }
}

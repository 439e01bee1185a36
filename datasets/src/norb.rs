//! Small NORB: photographs of toys by a pair of cameras, in the binary matrices of its authors,
//! brought to 32×32.
//!
//! | byte | what (32-bit little-endian) |
//! |------|------|
//! | 0 | magic: 0x1E3D4C55 bytes, 0x1E3D4C54 integers (others exist, none is used here) |
//! | 4 | number of dimensions `d` |
//! | 8 … 8 + 4·max(d, 3) | sizes; at least three are written |
//! | then | the elements, last dimension fastest |
//!
//! Each of the 24,300 examples of a part is a stereo pair of 96×96. **Both cameras are used**
//! ([`Cameras`]): as two images that follow each other, which gives 48,600 images (the program of
//! the ladder paper took the left camera twice), or as one image of twice the width. A picture is
//! reduced by a factor of three with the bicubic kernel of Catmull and Rom, stretched by the same
//! factor against aliasing, and kept as bytes. The noise and the division of the papers are left to
//! dequantisation; the data set's scale is the largest training byte plus 1, where the papers
//! divide by the largest noised value, which is within 10⁻⁵ of it.

use std::path::Path;

use image::imageops::{FilterType, resize};
use image::{GrayImage, ImageBuffer};
use rayon::prelude::*;

use crate::source::{Source, product};
use crate::{Error, ImageShape, Images, Labels, Pixels, Result};

const BYTE_MATRIX: u32 = 0x1E3D_4C55;
const INTEGER_MATRIX: u32 = 0x1E3D_4C54;
const MOST_DIMENSIONS: u32 = 8;
const SOURCE_SIDE: usize = 96;
const SIDE: usize = 32;
const CAMERAS: usize = 2;
/// Pictures reduced at a time by all threads together.
const CHUNK: usize = 256;

/// The five kinds of toys, in the order of their numbers.
pub const CLASS_NAMES: [&str; 5] = ["animal", "human", "airplane", "truck", "car"];

/// What the two pictures of a stereo pair are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cameras {
    /// Two images of 32×32, one after the other, of the same class.
    Apart,
    /// One image of 32×64: the first camera's on the left, the second's on the right.
    Beside,
}

/// Reads the pictures (`-dat.mat`) and categories (`-cat.mat`) of one part, plain or gzip.
///
/// # Errors
/// [`Error::Format`] if a file is not such a matrix or its sizes are not those of the file;
/// [`Error::Mismatch`] if the two do not fit together or a category is not below 5.
pub fn read(pictures: &Path, categories: &Path, cameras: Cameras) -> Result<Images> {
    let labels = read_categories(Source::open(categories, "norb")?)?;
    let pixels = read_pictures(Source::open(pictures, "norb")?, labels.len())?;
    if let Some(position) = labels.iter().position(|&label| label as usize >= CLASS_NAMES.len()) {
        let what = format!("category {position}");
        return Err(Error::mismatch(categories, what, "0 to 4", labels[position]));
    }
    let (width, pixels, values) = match cameras {
        Cameras::Apart => {
            (SIDE, pixels, labels.into_iter().flat_map(|label| [label; CAMERAS]).collect())
        }
        Cameras::Beside => (CAMERAS * SIDE, beside(&pixels), labels),
    };
    let labels = Labels::new(values, CLASS_NAMES.map(String::from).to_vec());
    Images::new(ImageShape::new(1, SIDE, width), Pixels::U8(pixels), Some(labels))
}

/// Pairs of pictures that follow each other, brought into one picture each, row beside row.
fn beside(pictures: &[u8]) -> Vec<u8> {
    let pairs = pictures.chunks_exact(CAMERAS * SIDE * SIDE);
    let rows = pairs.flat_map(|pair| {
        let (left, right) = pair.split_at(SIDE * SIDE);
        left.chunks_exact(SIDE).zip(right.chunks_exact(SIDE))
    });
    rows.flat_map(|(left, right)| [left, right].concat()).collect()
}

/// The sizes of a matrix whose elements have the given magic number.
fn read_sizes(source: &mut Source<'_>, magic: u32, element_bytes: u64) -> Result<Vec<u64>> {
    let found = u32::from_le_bytes(source.array("magic number")?);
    if found != magic {
        return Err(source.wrong(
            0,
            "magic number",
            format!("0x{magic:08X}"),
            format!("0x{found:08X}"),
        ));
    }
    let rank = u32::from_le_bytes(source.array("number of dimensions")?);
    if !(1..=MOST_DIMENSIONS).contains(&rank) {
        return Err(source.wrong(
            4,
            "number of dimensions",
            format!("1 to {MOST_DIMENSIONS}"),
            rank,
        ));
    }
    let mut sizes = Vec::new();
    for axis in 0..rank.max(3) {
        let size = u32::from_le_bytes(source.array(&format!("size of dimension {axis}"))?);
        sizes.push(u64::from(size));
    }
    sizes.truncate(rank as usize);
    let bytes = product(&sizes, element_bytes)
        .ok_or_else(|| source.wrong(8, "sizes", "a product below 2⁶⁴", format!("{sizes:?}")))?;
    source.claim_rest(bytes, "elements")?;
    Ok(sizes)
}

fn read_categories(mut source: Source<'_>) -> Result<Vec<u32>> {
    let sizes = read_sizes(&mut source, INTEGER_MATRIX, 4)?;
    let [count] = sizes[..] else {
        return Err(Error::mismatch(source.path(), "dimensions", 1, sizes.len()));
    };
    let bytes = source.take_bytes(count * 4, "categories")?;
    source.expect_end()?;
    Ok(bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
}

fn read_pictures(mut source: Source<'_>, examples: usize) -> Result<Vec<u8>> {
    let sizes = read_sizes(&mut source, BYTE_MATRIX, 1)?;
    let expected = [examples as u64, CAMERAS as u64, SOURCE_SIDE as u64, SOURCE_SIDE as u64];
    if sizes != expected {
        return Err(Error::mismatch(
            source.path(),
            "sizes",
            format!("{expected:?}"),
            format!("{sizes:?}"),
        ));
    }
    let picture_bytes = SOURCE_SIDE * SOURCE_SIDE;
    let mut left = examples * CAMERAS;
    let mut reduced = Vec::new();
    while left > 0 {
        let pictures = left.min(CHUNK);
        let raw = source.take_bytes((pictures * picture_bytes) as u64, "pictures")?;
        let small: Vec<Vec<u8>> = raw.par_chunks_exact(picture_bytes).map(reduce).collect();
        reduced.extend(small.into_iter().flatten());
        left -= pictures;
    }
    source.expect_end()?;
    reduced.shrink_to_fit();
    Ok(reduced)
}

/// One picture of 96×96 brought to 32×32.
fn reduce(picture: &[u8]) -> Vec<u8> {
    let side = SOURCE_SIDE as u32;
    let whole: Option<ImageBuffer<image::Luma<u8>, &[u8]>> =
        ImageBuffer::from_raw(side, side, picture);
    let small: Option<GrayImage> =
        whole.map(|whole| resize(&whole, SIDE as u32, SIDE as u32, FilterType::CatmullRom));
    small.map(GrayImage::into_raw).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::{file, gzip};
    use proptest::prelude::*;

    fn encode(magic: u32, sizes: &[u32], content: &[u8]) -> Vec<u8> {
        let mut bytes = [magic.to_le_bytes(), (sizes.len() as u32).to_le_bytes()].concat();
        for axis in 0..sizes.len().max(3) {
            bytes.extend(sizes.get(axis).copied().unwrap_or(1).to_le_bytes());
        }
        bytes.extend(content);
        bytes
    }

    fn categories(labels: &[u32]) -> Vec<u8> {
        let content: Vec<u8> = labels.iter().flat_map(|label| label.to_le_bytes()).collect();
        encode(INTEGER_MATRIX, &[labels.len() as u32], &content)
    }

    fn pictures(examples: u32, value: impl Fn(usize) -> u8) -> Vec<u8> {
        let content: Vec<u8> =
            (0..examples as usize * CAMERAS * SOURCE_SIDE * SOURCE_SIDE).map(value).collect();
        encode(BYTE_MATRIX, &[examples, 2, 96, 96], &content)
    }

    fn decode(bytes: &[u8]) -> Result<Vec<u8>> {
        read_pictures(Source::over(Path::new("f"), "norb", bytes.len() as u64, bytes)?, 2)
    }

    #[test]
    fn both_cameras_are_images_with_the_label_of_the_pair() {
        let (_a, dat) =
            file("dat.mat.gz", &gzip(&pictures(2, |i| if i / 9216 == 3 { 200 } else { 50 })));
        let (_b, cat) = file("cat.mat", &categories(&[4, 1]));
        let images = read(&dat, &cat, Cameras::Apart).unwrap();
        assert_eq!((images.count(), images.shape()), (4, ImageShape::new(1, 32, 32)));
        assert_eq!(images.labels().unwrap().values, [4, 4, 1, 1]);
        let Pixels::U8(bytes) = images.pixels() else { panic!("bytes") };
        assert!(
            bytes[..3 * 1024].iter().all(|&b| b == 50)
                && bytes[3 * 1024..].iter().all(|&b| b == 200)
        );
        let pairs = read(&dat, &cat, Cameras::Beside).unwrap();
        assert_eq!((pairs.count(), pairs.shape()), (2, ImageShape::new(1, 32, 64)));
        assert_eq!(pairs.labels().unwrap().values, [4, 1]);
        let Pixels::U8(bytes) = pairs.pixels() else { panic!("bytes") };
        assert!(bytes[..2048].iter().all(|&b| b == 50));
        for row in bytes[2048..].chunks_exact(64) {
            assert!(row[..32].iter().all(|&b| b == 50) && row[32..].iter().all(|&b| b == 200));
        }
    }

    /// Bicubic reduction keeps a slope: three pixels of a ramp average to their middle one.
    #[test]
    fn reduction_keeps_a_ramp() {
        let picture: Vec<u8> = (0..9216).map(|i| (i % 96) as u8 * 2).collect();
        let small = reduce(&picture);
        for column in 3..29 {
            assert_eq!(small[5 * 32 + column], (column as u8 * 3 + 1) * 2, "{column}");
        }
    }

    #[test]
    fn every_lying_header_field_is_refused() {
        let good = pictures(2, |i| i as u8);
        assert!(decode(&good).is_ok());
        for byte in 0..24 {
            let mut bad = good.clone();
            bad[byte] ^= 0x11;
            assert!(decode(&bad).is_err(), "byte {byte}");
            assert!(decode(&gzip(&bad)).is_err(), "gzip, byte {byte}");
        }
        for cut in [0, 3, 7, 20, 24, 5000, good.len() - 1] {
            assert!(decode(&good[..cut]).is_err(), "{cut}");
        }
        let longer = [good, vec![0]].concat();
        assert!(decode(&longer).unwrap_err().to_string().contains("to the end of the file"));
    }

    #[test]
    fn pictures_and_categories_must_fit() {
        let (_a, dat) = file("dat.mat", &pictures(1, |_| 0));
        let (_b, two) = file("two.mat", &categories(&[0, 1]));
        let (_c, high) = file("high.mat", &categories(&[5]));
        assert!(
            read(&dat, &two, Cameras::Apart)
                .unwrap_err()
                .to_string()
                .contains("expected [2, 2, 96, 96], found [1, 2, 96, 96]")
        );
        assert!(
            read(&dat, &high, Cameras::Apart)
                .unwrap_err()
                .to_string()
                .ends_with("category 0: expected 0 to 4, found 5")
        );
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode(&bytes);
            let _ = decode(&[&BYTE_MATRIX.to_le_bytes()[..], &bytes].concat());
            let source = Source::over(Path::new("f"), "norb", bytes.len() as u64, &bytes[..]);
            let _ = source.and_then(read_categories);
        }
    }
}

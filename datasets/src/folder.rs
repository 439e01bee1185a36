//! `images:FOLDER`: a data set from a folder of pictures (PNG and JPEG).
//!
//! The folder may hold the pictures themselves, or a folder for each class, or the folders `train`, `test` and perhaps
//! `validation` (`valid`, `val`) with either of these inside. Without a test folder a tenth of the pictures is drawn for testing, by
//! a permutation that depends on [`Options::seed`] alone. Pictures are taken in the order of their names.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use image::imageops::FilterType;
use image::{DynamicImage, ImageDecoder, ImageReader, Limits};
use rayon::prelude::*;

use crate::arrays::split_for_testing;
use crate::{Binarisation, Colour, Dataset, Error, ImageShape, Images, Labels, Options, Pixels, Result};

const EXTENSIONS: [&str; 3] = ["png", "jpg", "jpeg"];
const LARGEST_SIDE: usize = 4096;
/// What one picture may take while it is decoded.
const DECODING_BYTES: u64 = 1 << 30;

/// Opens a folder of pictures as a data set.
///
/// # Errors
/// [`Error::Io`]; [`Error::Mismatch`] for a folder with no picture, a picture that cannot be decoded, or pictures of several
/// sizes when [`Options::size`] is not given; [`Error::Argument`] for a size that is 0 or above 4096.
pub fn open(folder: &Path, options: &Options) -> Result<Dataset> {
    let part = |names: &[&str]| names.iter().map(|name| folder.join(name)).find(|path| path.is_dir());
    let parts = match (part(&["train"]), part(&["test"])) {
        (Some(train), Some(test)) => {
            let validation = part(&["validation", "valid", "val"]);
            [Some(list(&train)?), Some(list(&test)?), validation.map(|path| list(&path)).transpose()?]
        }
        _ => [Some(list(folder)?), None, None],
    };
    let shape = common_shape(folder, parts.iter().flatten().flatten(), options)?;
    let classes: BTreeSet<&String> =
        parts.iter().flatten().flatten().filter_map(|picture| picture.class.as_ref()).collect();
    let classes: Vec<String> = classes.into_iter().cloned().collect();
    let [train, test, validation] = parts.map(|part| part.map(|pictures| load(&pictures, shape, &classes)));
    let train = train.transpose()?.ok_or_else(|| no_pictures(folder))?;
    let (train, test, note) = match test {
        Some(test) => (train, test?, None),
        None => {
            let (train, test) = split_for_testing(train, options.seed, folder)?;
            let note = format!("no test folder: {} pictures were drawn for it", test.count());
            (train, test, Some(note))
        }
    };
    let mut dataset = Dataset::new(&format!("images:{}", folder.display()), train, test, Binarisation::None)?;
    dataset.validation = validation.transpose()?;
    dataset.notes.extend(note);
    Ok(dataset)
}

struct Picture {
    path: PathBuf,
    class: Option<String>,
}

fn no_pictures(folder: &Path) -> Error {
    Error::mismatch(folder, "pictures", "PNG or JPEG files, or a folder of them for each class", "none")
}

/// The pictures of a folder: its own, or those of its sub-folders with their names as classes.
fn list(folder: &Path) -> Result<Vec<Picture>> {
    let (own, folders) = entries(folder)?;
    if !own.is_empty() {
        return Ok(own.into_iter().map(|path| Picture { path, class: None }).collect());
    }
    let mut pictures = Vec::new();
    for folder in folders {
        let class = folder.file_name().map(|name| name.to_string_lossy().into_owned());
        let (own, _) = entries(&folder)?;
        pictures.extend(own.into_iter().map(|path| Picture { path, class: class.clone() }));
    }
    if pictures.is_empty() { Err(no_pictures(folder)) } else { Ok(pictures) }
}

/// The pictures and the folders in a folder, each in the order of their names.
fn entries(folder: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let (mut pictures, mut folders) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let path = entry.map_err(Error::io("list", folder))?.path();
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
        if path.is_dir() {
            folders.push(path);
        } else if extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str())) {
            pictures.push(path);
        }
    }
    pictures.sort();
    folders.sort();
    Ok((pictures, folders))
}

/// The shape all pictures are brought to, from the options and the pictures' headers.
fn common_shape<'a>(
    folder: &Path,
    pictures: impl Iterator<Item = &'a Picture>,
    options: &Options,
) -> Result<ImageShape> {
    if let Some((height, width)) = options.size
        && !((1..=LARGEST_SIDE).contains(&height) && (1..=LARGEST_SIDE).contains(&width))
    {
        let expected = format!("1 to {LARGEST_SIDE} rows and columns");
        return Err(Error::Argument { what: "size of pictures", expected, found: format!("{height}x{width}") });
    }
    let pictures: Vec<&Picture> = pictures.collect();
    let headers: Vec<Header> = pictures.par_iter().map(|picture| header(&picture.path)).collect::<Result<_>>()?;
    let first = headers.first().ok_or_else(|| no_pictures(folder))?;
    let (height, width) = match options.size {
        Some(size) => size,
        None => {
            let other = headers.iter().position(|h| (h.height, h.width) != (first.height, first.width));
            if let Some(index) = other {
                let expected = format!("{}x{} as the first (or give a size: --size HxW)", first.height, first.width);
                let found = format!("{}x{}", headers[index].height, headers[index].width);
                return Err(Error::mismatch(&pictures[index].path, "size", expected, found));
            }
            (first.height, first.width)
        }
    };
    let colour = match options.colour {
        Colour::Grey => false,
        Colour::Rgb => true,
        Colour::Auto => headers.iter().any(|header| header.colour),
    };
    Ok(ImageShape::new(if colour { 3 } else { 1 }, height, width))
}

struct Header {
    height: usize,
    width: usize,
    colour: bool,
}

fn reader(path: &Path) -> Result<ImageReader<io::BufReader<std::fs::File>>> {
    let reader = ImageReader::open(path).map_err(Error::io("open", path))?;
    let mut reader = reader.with_guessed_format().map_err(Error::io("read", path))?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(DECODING_BYTES);
    reader.limits(limits);
    Ok(reader)
}

fn undecodable(path: &Path, error: &image::ImageError) -> Error {
    Error::mismatch(path, "picture", "a PNG or JPEG file", error)
}

fn header(path: &Path) -> Result<Header> {
    let decoder = reader(path)?.into_decoder().map_err(|error| undecodable(path, &error))?;
    let (width, height) = decoder.dimensions();
    Ok(Header { height: height as usize, width: width as usize, colour: decoder.color_type().has_color() })
}

fn load(pictures: &[Picture], shape: ImageShape, classes: &[String]) -> Result<Images> {
    let decoded: Vec<Vec<u8>> =
        pictures.par_iter().map(|picture| decode(&picture.path, shape)).collect::<Result<_>>()?;
    let position = |picture: &Picture| {
        let class = picture.class.as_ref()?;
        classes.binary_search(class).ok().map(|index| index as u32)
    };
    let values: Option<Vec<u32>> = pictures.iter().map(position).collect();
    let labels = values.map(|values| Labels { values, class_names: classes.to_vec() });
    Images::new(shape, Pixels::U8(decoded.concat()), labels)
}

/// One picture in the common shape, channels first.
fn decode(path: &Path, shape: ImageShape) -> Result<Vec<u8>> {
    let mut picture: DynamicImage = reader(path)?.decode().map_err(|error| undecodable(path, &error))?;
    let (height, width) = (shape.height as u32, shape.width as u32);
    if (picture.height(), picture.width()) != (height, width) {
        picture = picture.resize_exact(width, height, FilterType::CatmullRom);
    }
    if shape.channels == 1 {
        return Ok(picture.into_luma8().into_raw());
    }
    let interleaved = picture.into_rgb8().into_raw();
    let channel = |c: usize| interleaved.iter().skip(c).step_by(shape.channels).copied();
    Ok((0..shape.channels).flat_map(channel).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, Luma, Rgb, RgbImage};

    fn grey(folder: &Path, name: &str, side: u32, value: u8) {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        GrayImage::from_pixel(side, side, Luma([value])).save(path).unwrap();
    }

    #[test]
    fn sub_folders_are_classes_and_a_tenth_is_for_testing() {
        let folder = tempfile::tempdir().unwrap();
        for i in 0..20 {
            grey(folder.path(), &format!("{}/{i:02}.png", if i < 12 { "cat" } else { "ant" }), 4, i);
        }
        std::fs::write(folder.path().join("ant/readme.txt"), "no picture").unwrap();
        let dataset = open(folder.path(), &Options::default()).unwrap();
        assert_eq!((dataset.train.count(), dataset.test.count()), (18, 2));
        assert_eq!(dataset.train.shape(), ImageShape::new(1, 4, 4));
        assert_eq!(dataset.train.labels().unwrap().class_names, ["ant", "cat"]);
        for images in [&dataset.train, &dataset.test] {
            for (row, &label) in images.labels().unwrap().values.iter().enumerate() {
                let value = (images.intensities(row..row + 1)[0] * 255.0).round();
                assert_eq!(label, u32::from(value < 12.0));
            }
        }
        let again = open(folder.path(), &Options::default()).unwrap();
        assert_eq!(dataset.test, again.test);
        let other = open(folder.path(), &Options { seed: 5, ..Options::default() }).unwrap();
        assert_ne!(dataset.test, other.test);
    }

    #[test]
    fn train_and_test_folders_are_the_splits() {
        let folder = tempfile::tempdir().unwrap();
        grey(folder.path(), "train/a/1.png", 2, 10);
        grey(folder.path(), "train/b/2.png", 2, 20);
        grey(folder.path(), "test/b/3.png", 2, 30);
        grey(folder.path(), "val/a/4.png", 2, 40);
        let dataset = open(folder.path(), &Options::default()).unwrap();
        assert_eq!(dataset.test.pixels(), &Pixels::U8(vec![30; 4]));
        assert_eq!(dataset.test.labels().unwrap().values, [1]);
        assert_eq!(dataset.validation.unwrap().pixels(), &Pixels::U8(vec![40; 4]));
    }

    #[test]
    fn colour_is_kept_channel_by_channel_or_made_grey() {
        let folder = tempfile::tempdir().unwrap();
        RgbImage::from_pixel(2, 1, Rgb([1, 2, 3])).save(folder.path().join("a.png")).unwrap();
        grey(folder.path(), "b.png", 9, 7);
        let size = Some((1, 2));
        let dataset = open(folder.path(), &Options { size, ..Options::default() }).unwrap();
        assert_eq!(dataset.train.shape(), ImageShape::new(3, 1, 2));
        let pixels = [dataset.train.pixels(), dataset.test.pixels()];
        assert!(pixels.contains(&&Pixels::U8(vec![1, 1, 2, 2, 3, 3])) && pixels.contains(&&Pixels::U8(vec![7; 6])));
        let options = Options { size, colour: Colour::Grey, ..Options::default() };
        assert_eq!(open(folder.path(), &options).unwrap().train.shape().channels, 1);
    }

    #[test]
    fn what_cannot_be_a_data_set_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let message = |options: &Options| open(folder.path(), options).unwrap_err().to_string();
        let standard = Options::default();
        assert!(message(&standard).contains("pictures: expected PNG or JPEG files"));
        grey(folder.path(), "a.png", 2, 1);
        assert!(message(&standard).contains("at least 2"));
        grey(folder.path(), "b.png", 3, 1);
        assert!(message(&standard).contains("size: expected 2x2 as the first"), "{}", message(&standard));
        assert!(message(&Options { size: Some((0, 9)), ..Options::default() }).contains("found 0x9"));
        std::fs::write(folder.path().join("c.jpg"), b"no jpeg at all").unwrap();
        assert!(message(&standard).contains("c.jpg: picture: expected a PNG or JPEG file"));
        assert!(open(Path::new("/nowhere/at all"), &standard).unwrap_err().to_string().contains("cannot list"));
    }
}

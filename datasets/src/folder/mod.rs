//! `images:FOLDER`: a data set from a folder of pictures (PNG and JPEG).
//!
//! The folder may hold the pictures themselves, or a folder for each class, or the folders `train`,
//! `test` and perhaps `validation` (`valid`, `val`), in any case, with either of these inside.
//! Without a test folder a tenth of the training pictures is drawn for testing, by a permutation
//! that depends on [`Options::seed`] alone. Pictures are taken in the order of their names.
//!
//! This file decides the one form of all pictures and says what it decided; `tree.rs` finds the
//! pictures, `picture.rs` reads one. Nothing is lost unsaid: pictures are turned upright by their
//! EXIF orientation, transparent ones are laid on a [`Background`], those of another size are
//! brought to one with their aspect kept ([`Fit`]), 16-bit ones keep their levels as real numbers.

mod picture;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rayon::prelude::*;

use self::picture::{
    DECODING_BYTES, Form, Header, Tone, Values, decode, header, tone_of_border, tone_of_ink,
};
use self::tree::{Picture, Tree, counted};
use crate::arrays::split_for_testing;
use crate::memory::reserved;
use crate::{
    Background, Binarisation, Colour, Dataset, Error, Fit, ImageShape, Images, Labels, Options,
    Pixels, Result,
};

/// Rows or columns of the largest image.
const LARGEST_SIDE: usize = 1024;
/// Levels of whole numbers that cameras and scanners have, in bits: 16-bit files hold them all.
const USUAL_BITS: [u32; 5] = [8, 10, 12, 14, 16];

/// Opens a folder of pictures as a data set.
///
/// # Errors
/// [`Error::Io`]; [`Error::Mismatch`] for a folder with no picture, or a picture that cannot be
/// decoded; [`Error::Argument`] for a size that is 0 or above 1024.
pub fn open(folder: &Path, options: &Options) -> Result<Dataset> {
    let Tree { train, validation, test, mut notes } = tree::read(folder, options.test_only)?;
    let held_out = validation.iter().flatten().chain(test.iter().flatten());
    let pictures: Vec<&Picture> = train.iter().chain(held_out).collect();
    let headers: Vec<Header> =
        pictures.par_iter().map(|picture| header(&picture.path)).collect::<Result<_>>()?;
    let form = common_form(&pictures, &headers, options, &mut notes)?;
    let classes: BTreeSet<String> =
        pictures.iter().filter_map(|picture| picture.class.clone()).collect();
    let classes: Vec<String> = classes.into_iter().collect();

    let mut decoded = reserved(pictures.len(), "pictures")?;
    for group in groups(&pictures, &headers) {
        let paths = group.par_iter().map(|picture| decode(&picture.path, &form));
        decoded.extend(paths.collect::<Result<Vec<_>>>()?);
    }
    let (shape, pixels) =
        grey_if_all_are(form.shape, options.colour, pixels_of(decoded, &mut notes), &mut notes);
    let (in_train, rest) = Images::new(shape, pixels, None)?.split_at(train.len());
    let (in_validation, in_test) = rest.split_at(validation.as_ref().map_or(0, Vec::len));
    let file = |picture: &Picture| {
        picture.path.strip_prefix(folder).unwrap_or(&picture.path).display().to_string()
    };
    let labelled = |images: Images, pictures: &Vec<Picture>| {
        let images = images.with_files(pictures.iter().map(file).collect())?;
        images.with_labels(labels(pictures, &classes))
    };
    let train = labelled(in_train, &train)?;
    let validation = validation.map(|pictures| labelled(in_validation, &pictures)).transpose()?;
    let test = test.map(|pictures| labelled(in_test, &pictures)).transpose()?;
    let (train, test) = match test {
        Some(test) => (train, test),
        None if options.test_only => {
            notes.push(format!("no test folder: all pictures are taken, {}", train.count()));
            train.split_at(0)
        }
        None => {
            let (train, test) = split_for_testing(train, options.seed, folder)?;
            notes.push(format!(
                "no test folder: {} drawn for testing",
                counted(test.count(), "training picture")
            ));
            (train, test)
        }
    };
    let dataset =
        Dataset::new(&format!("images:{}", folder.display()), train, test, Binarisation::None)?;
    let mut dataset = dataset.with_validation(validation)?;
    dataset.notes.splice(0..0, notes);
    dataset.note_dark_bytes();
    Ok(dataset)
}

/// The pictures in runs that are decoded at once: as many as take together what one may.
fn groups<'a>(pictures: &'a [&'a Picture], headers: &[Header]) -> Vec<&'a [&'a Picture]> {
    let (mut groups, mut first, mut bytes) = (Vec::new(), 0, 0);
    for (place, header) in headers.iter().enumerate() {
        if bytes + header.decoded_bytes > DECODING_BYTES {
            groups.push(&pictures[first..place]);
            (first, bytes) = (place, 0);
        }
        bytes += header.decoded_bytes;
    }
    groups.push(&pictures[first..]);
    groups
}

/// The form that all pictures are brought to, from the options and the pictures' headers.
fn common_form(
    pictures: &[&Picture],
    headers: &[Header],
    options: &Options,
    notes: &mut Vec<String>,
) -> Result<Form> {
    let (height, width) = common_size(headers, options.size, notes)?;
    let is_coloured = match options.colour {
        Colour::Grey => false,
        Colour::Rgb => true,
        Colour::Auto => headers.iter().any(|header| header.is_coloured),
    };
    let shape = ImageShape::new(if is_coloured { 3 } else { 1 }, height, width);
    let mut form = Form { shape, fit: options.fit, background: 1.0 };

    let turned = headers.iter().filter(|header| header.is_turned).count();
    if turned > 0 {
        notes
            .push(format!("{} turned upright by the EXIF orientation", counted(turned, "picture")));
    }
    let coloured = headers.iter().filter(|header| header.is_coloured).count();
    if coloured > 0 && !is_coloured {
        notes.push(format!("{} stored in colour: made grey", counted(coloured, "picture")));
    }
    let animated = headers.iter().filter(|header| header.is_animated).count();
    if animated > 0 {
        notes.push(format!(
            "{} with several frames: the first is taken",
            counted(animated, "picture")
        ));
    }
    let tone = |wanted: &dyn Fn(&Header) -> bool, of: fn(&Path) -> Result<Tone>| -> Result<Tone> {
        let chosen: Vec<_> =
            pictures.iter().zip(headers).filter(|(_, header)| wanted(header)).collect();
        let tones =
            chosen.par_iter().map(|(picture, _)| of(&picture.path)).collect::<Result<Vec<_>>>()?;
        Ok(tones.into_iter().fold(Tone::default(), Tone::with))
    };
    let ink = tone(&|header| header.has_alpha, tone_of_ink)?;
    let is_padded =
        |header: &Header| options.fit == Fit::Pad && header.height * width != header.width * height;
    let padded = headers.iter().filter(|header| is_padded(header)).count();
    let (background, reason) = match options.background {
        Background::White => (1.0, ""),
        Background::Black => (0.0, ""),
        // Ink must stand out from what is behind it.
        Background::Auto if ink.is_transparent && ink.is_light() => {
            (0.0, ", for what is opaque is light")
        }
        Background::Auto if ink.is_transparent => (1.0, ", for what is opaque is dark"),
        Background::Auto if padded > 0 && !tone(&is_padded, tone_of_border)?.is_light() => {
            (0.0, ", for the pictures' edges are dark")
        }
        Background::Auto => (1.0, ", for the pictures' edges are light"),
    };
    form.background = background;
    let name = if background == 0.0 { "black" } else { "white" };
    if ink.is_transparent {
        notes.push(format!("transparent pixels: laid on {name}{reason}"));
    }
    let resized =
        headers.iter().filter(|header| (header.height, header.width) != (height, width)).count();
    if resized > 0 {
        let aspect = match options.fit {
            Fit::Crop => "aspect kept, the middle cut out where it differs".to_string(),
            Fit::Pad if padded > 0 => {
                format!("aspect kept, {padded} of them padded with {name}{reason}")
            }
            Fit::Pad => "aspect kept".to_string(),
        };
        let (resized, all) = (resized, headers.len());
        notes.push(format!("{resized} of {all} pictures resized to {height}x{width}: {aspect}"));
    }
    Ok(form)
}

/// The height and width of every image: what was asked for, the pictures' own, the commonest one,
/// or the median.
fn common_size(
    headers: &[Header],
    asked: Option<(usize, usize)>,
    notes: &mut Vec<String>,
) -> Result<(usize, usize)> {
    let refuse = |expected: &str, (height, width): (usize, usize)| {
        let expected = format!("{expected}1 to {LARGEST_SIDE} rows and columns");
        Err(Error::Argument {
            what: "size of the pictures",
            expected,
            found: format!("{height}x{width}"),
        })
    };
    let is_possible = |(height, width): (usize, usize)| {
        (1..=LARGEST_SIDE).contains(&height) && (1..=LARGEST_SIDE).contains(&width)
    };
    if let Some(size) = asked {
        return if is_possible(size) { Ok(size) } else { refuse("", size) };
    }
    let mut sizes = BTreeMap::<(usize, usize), usize>::new();
    headers.iter().for_each(|header| *sizes.entry((header.height, header.width)).or_default() += 1);
    let median = |of: fn(&Header) -> usize| {
        let mut sides: Vec<usize> = headers.iter().map(of).collect();
        sides.sort_unstable();
        sides.get(sides.len() / 2).copied().unwrap_or(0)
    };
    let (size, count) = sizes
        .iter()
        .max_by_key(|(_, count)| **count)
        .map_or(((0, 0), 0), |(size, count)| (*size, *count));
    let (size, which) = match 2 * count > headers.len() {
        true => (size, "the commonest"),
        false => (
            (median(|header| header.height), median(|header| header.width)),
            "the median height and width",
        ),
    };
    if !is_possible(size) {
        return refuse("data.image_size set, for the pictures' own is not within ", size);
    }
    if sizes.len() > 1 {
        let (height, width) = size;
        notes
            .push(format!("pictures of {} sizes: {height}x{width} is taken, {which}", sizes.len()));
    }
    Ok(size)
}

/// The pixels of all pictures: bytes, or real numbers if a picture has levels that bytes can't
/// hold.
fn pixels_of(pictures: Vec<Values>, notes: &mut Vec<String>) -> Pixels {
    let largest = pictures.iter().filter_map(|values| match values {
        Values::Bytes(_) => None,
        Values::Words(_, largest) => Some(*largest),
    });
    let Some(largest) = largest.max() else {
        let bytes = pictures.into_iter().map(|values| match values {
            Values::Bytes(bytes) => bytes,
            Values::Words(..) => Vec::new(),
        });
        return Pixels::U8(bytes.flatten().collect());
    };
    let bits = USUAL_BITS.into_iter().find(|&bits| u32::from(largest) < 1 << bits).unwrap_or(16);
    let white = ((1u32 << bits) - 1) as f32;
    if bits < 16 {
        notes.push(format!(
            "16-bit pictures with values up to {largest} alone: taken as {bits}-bit ones, of which \
            {white} is white"
        ));
    }
    let intensities = pictures.into_iter().flat_map(|values| match values {
        Values::Bytes(bytes) => {
            bytes.into_iter().map(|byte| f32::from(byte) / 255.0).collect::<Vec<f32>>()
        }
        // Resizing may go a little beyond the largest value.
        Values::Words(words, _) => {
            words.into_iter().map(|word| (f32::from(word) / white).min(1.0)).collect()
        }
    });
    Pixels::from_intensities(intensities.collect())
}

/// One channel in place of three equal ones, unless three are asked for.
fn grey_if_all_are(
    shape: ImageShape,
    colour: Colour,
    pixels: Pixels,
    notes: &mut Vec<String>,
) -> (ImageShape, Pixels) {
    fn first_planes<T: Copy + PartialEq>(values: &[T], shape: ImageShape) -> Option<Vec<T>> {
        let plane = shape.height * shape.width;
        let images = || values.chunks_exact(shape.values());
        let is_grey = images().all(|image| image[..2 * plane] == image[plane..]);
        is_grey.then(|| images().flat_map(|image| &image[..plane]).copied().collect())
    }
    if shape.channels != 3 || colour != Colour::Auto {
        return (shape, pixels);
    }
    let grey = match &pixels {
        Pixels::U8(bytes) => first_planes(bytes, shape).map(Pixels::U8),
        Pixels::F32(reals) => first_planes(reals, shape).map(Pixels::F32),
        Pixels::Drawn(_) => None,
    };
    match grey {
        Some(grey) => {
            notes.push(
                "pictures stored in colour of which every pixel is grey: taken as grey ones".into(),
            );
            (ImageShape { channels: 1, ..shape }, grey)
        }
        None => (shape, pixels),
    }
}

/// The classes of a part, if each of its pictures has one.
fn labels(pictures: &[Picture], classes: &[String]) -> Option<Labels> {
    let position = |picture: &Picture| {
        let class = picture.class.as_ref()?;
        classes.binary_search(class).ok().map(|index| index as u32)
    };
    let values: Option<Vec<u32>> = pictures.iter().map(position).collect();
    values.map(|values| Labels::new(values, classes.to_vec()))
}

#[cfg(test)]
mod tests;

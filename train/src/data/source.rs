//! Opening the data set that a configuration names.

use std::path::PathBuf;

use rung_autograd::{DType, Device};
use rung_datasets::{Background, Colour, Dataset, Fit, GlyphCounts, ImageShape, Options, Split};

use crate::config::{self, DataConfig};
use crate::data::DeviceImages;
use crate::error::{Context, Error, Result};
use crate::progress::Console;

/// Where data sets lie when nobody says: `data` in the current folder.
pub const DEFAULT_FOLDER: &str = "data";

/// Opens the data set of a configuration.
///
/// # Errors
/// If it isn't there, is damaged, or there is none of that name.
pub fn open(config: &DataConfig, console: &Console) -> Result<Dataset> {
    open_part(config, None, false, console)
}

/// As [`open`], with the pictures of a folder brought to `shape` if there is one; with `test_only`
/// the files of the test part are enough, and there are no other images.
///
/// # Errors
/// As [`open`].
pub fn open_part(
    config: &DataConfig,
    shape: Option<ImageShape>,
    test_only: bool,
    console: &Console,
) -> Result<Dataset> {
    let options = Options {
        validation: config.validation_images,
        size: match (shape, config.image_size) {
            (Some(ImageShape { height, width, .. }), _) => Some((height, width)),
            (None, 0) => None,
            (None, side) => Some((side, side)),
        },
        fit: match config.image_fit {
            config::ImageFit::Pad => Fit::Pad,
            config::ImageFit::Crop => Fit::Crop,
        },
        background: match config.background {
            config::Background::Auto => Background::Auto,
            config::Background::White => Background::White,
            config::Background::Black => Background::Black,
        },
        colour: match shape.map(|shape| shape.channels) {
            None => Colour::Auto,
            Some(1) => Colour::Grey,
            Some(_) => Colour::Rgb,
        },
        test_only,
        glyphs: glyph_counts(config)?,
        sequences: config.sequences(),
        ..Options::default()
    };
    let dataset = rung_datasets::open(&config.name, &folder(&config.directory), &options)
        .map_err(Error::from_source)?;
    dataset.notes.iter().for_each(|note| console.info(note));
    Ok(dataset)
}

/// How many glyphs there are to be: as many as the configuration wants images, but for sequences,
/// whose number says nothing of how many glyphs they are made of.
fn glyph_counts(config: &DataConfig) -> Result<GlyphCounts> {
    let defaults = GlyphCounts::default();
    if config.sequences_of().is_some() {
        return Ok(defaults);
    }
    let count = |configured: usize, default: u32, more: usize| {
        let count = if configured == 0 { default as usize } else { configured };
        let count = count.checked_add(more).and_then(|count| u32::try_from(count).ok());
        count.ok_or_else(|| Error::new(format!("{configured} images can't be numbered")))
    };
    Ok(GlyphCounts {
        train: count(config.train_images, defaults.train, config.validation_images)?,
        validation: 0,
        test: count(config.test_images, defaults.test, 0)?,
    })
}

/// The folder of data sets: the configured one, or the default.
pub fn folder(configured: &str) -> PathBuf {
    PathBuf::from(if configured.is_empty() { DEFAULT_FOLDER } else { configured })
}

/// One split of a data set on a device, as a configuration wants it; says so where a limit leaves
/// some of its images out.
///
/// # Errors
/// If there is no such split or the device has no memory.
pub fn on_device(
    dataset: &Dataset,
    split: Split,
    config: &DataConfig,
    seed: u64,
    device: &Device,
    console: &Console,
) -> Result<DeviceImages> {
    let (key, limit) = match split {
        Split::Train => ("data.train_images", config.train_images),
        Split::Validation => ("data.validation_images", 0),
        Split::Test => ("data.test_images", config.test_images),
    };
    let images = DeviceImages::new(dataset, split, limit, config, seed, device, DType::F32)
        .context(format!("loading {}", dataset.name))?;
    if let Some(note) = limit_note(key, limit, split, &images) {
        console.info(&note);
    }
    if images.is_drawn_anew() {
        let megabytes = images.count() as f64 * images.shape().values() as f64 / 1e6;
        console.info(&format!(
            "the {split} images are drawn anew for every batch: all {} of them would take \
            {megabytes:.0} MB",
            images.count()
        ));
    }
    Ok(images)
}

/// What a limit leaves out, or that it is none.
fn limit_note(key: &str, limit: usize, split: Split, images: &DeviceImages) -> Option<String> {
    let all = images.in_split();
    match limit {
        0 => None,
        _ if limit < all => {
            Some(format!("limit: the first {limit} of {all} {split} images ({key} = {limit})"))
        }
        _ if limit > all => Some(format!(
            "limit: {key} = {limit}, and there are {all} {split} images: all are used"
        )),
        _ => None,
    }
}

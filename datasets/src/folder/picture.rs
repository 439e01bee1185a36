//! One picture file: its header, and its pixels in the shape of the data set.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use image::codecs::png::PngDecoder;
use image::imageops::FilterType;
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageReader, Limits, Luma, LumaA, Rgba};

use crate::source::{impostor_in, open_file};
use crate::{Error, Fit, ImageShape, Result};

/// What one picture may take while it is decoded: 80 million pixels in colour.
pub(super) const DECODING_BYTES: u64 = 256 << 20;

/// What a picture's header says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    /// Rows, once the picture is upright.
    pub height: usize,
    /// Columns, once the picture is upright.
    pub width: usize,
    /// Stored in colour, a palette included.
    pub is_coloured: bool,
    /// Stored with an alpha channel.
    pub has_alpha: bool,
    /// Turned or mirrored by its EXIF orientation.
    pub is_turned: bool,
    /// One of several, of which the first is read.
    pub is_animated: bool,
    /// What the pixels take once they are decoded.
    pub decoded_bytes: u64,
}

/// How all pictures are brought to one form.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    /// The shape of every image.
    pub shape: ImageShape,
    /// How a picture of another aspect is brought to it.
    pub fit: Fit,
    /// The grey behind transparent pixels and beside padded pictures, 0 black and 1 white.
    pub background: f32,
}

/// The values of one picture, channels first.
pub(super) enum Values {
    /// Of a picture with 8 bits a value.
    Bytes(Vec<u8>),
    /// Of a picture with 16 bits a value, with the largest one before it was resized.
    Words(Vec<u16>, u16),
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_alloc = Some(DECODING_BYTES);
    limits
}

fn decoder(path: &Path) -> Result<impl ImageDecoder> {
    let (file, _) = open_file(path)?;
    let reader = ImageReader::new(BufReader::new(file));
    let mut reader = reader.with_guessed_format().map_err(Error::io("read", path))?;
    reader.limits(limits());
    reader.into_decoder().map_err(|error| undecodable(path, &error))
}

fn undecodable(path: &Path, error: &image::ImageError) -> Error {
    let found =
        impostor_in(path).map_or_else(|| format!("another content ({error})"), String::from);
    Error::mismatch(path, "picture", "a PNG or JPEG file", found)
}

/// Reads a picture's header.
///
/// # Errors
/// [`Error::Io`]; [`Error::Mismatch`] if it is no PNG or JPEG file.
pub(super) fn header(path: &Path) -> Result<Header> {
    let mut decoder = decoder(path)?;
    check_size(path, &decoder)?;
    let (width, height) = decoder.dimensions();
    let orientation = decoder.orientation().map_err(|error| undecodable(path, &error))?;
    let is_sideways = matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    );
    let (height, width) = if is_sideways { (width, height) } else { (height, width) };
    let colour = decoder.color_type();
    Ok(Header {
        height: height as usize,
        width: width as usize,
        is_coloured: colour.has_color(),
        has_alpha: colour.has_alpha(),
        is_turned: orientation != Orientation::NoTransforms,
        is_animated: is_animated(path),
        decoded_bytes: decoder.total_bytes(),
    })
}

/// Refuses a picture that would take more than [`DECODING_BYTES`].
fn check_size(path: &Path, decoder: &impl ImageDecoder) -> Result<()> {
    let bytes = decoder.total_bytes();
    if bytes <= DECODING_BYTES {
        return Ok(());
    }
    let expected = format!("at most {DECODING_BYTES} bytes once decoded");
    Err(Error::mismatch(path, "picture", expected, bytes))
}

/// Whether a file is a PNG with several frames.
fn is_animated(path: &Path) -> bool {
    let decoder = |file| PngDecoder::with_limits(BufReader::new(file), limits()).ok();
    let decoder = File::open(path).ok().and_then(decoder);
    decoder.is_some_and(|decoder| decoder.is_apng().unwrap_or(false))
}

/// Reads a picture, upright.
fn upright(path: &Path) -> Result<DynamicImage> {
    let refused = |error: image::ImageError| undecodable(path, &error);
    let mut decoder = decoder(path)?;
    check_size(path, &decoder)?;
    let orientation = decoder.orientation().map_err(refused)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(refused)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

/// Reads a picture and brings it to the form.
///
/// # Errors
/// [`Error::Io`]; [`Error::Mismatch`] if it cannot be decoded.
pub(super) fn decode(path: &Path, form: &Form) -> Result<Values> {
    let picture = over(upright(path)?, form.background);
    let is_grey = form.shape.channels == 1;
    if !is_deep(picture.color()) {
        let behind = (form.background * 255.0).round() as u8;
        let small = resized(picture, form);
        let size = (small.height() as usize, small.width() as usize);
        let pixels =
            if is_grey { small.into_luma8().into_raw() } else { small.into_rgb8().into_raw() };
        return Ok(Values::Bytes(placed(&pixels, size, form.shape, behind)));
    }
    let values = |picture: DynamicImage| {
        if is_grey { picture.into_luma16().into_raw() } else { picture.into_rgb16().into_raw() }
    };
    let behind = (form.background * 65_535.0).round() as u16;
    let largest = values(picture.clone()).into_iter().max().unwrap_or(0);
    let small = resized(picture, form);
    let size = (small.height() as usize, small.width() as usize);
    Ok(Values::Words(placed(&values(small), size, form.shape, behind), largest))
}

fn is_deep(colour: ColorType) -> bool {
    colour.bytes_per_pixel() / colour.channel_count() == 2
}

/// A picture with an alpha channel as it looks on a background: out = alpha · pixel + (1 − alpha) ·
/// background.
fn over(picture: DynamicImage, background: f32) -> DynamicImage {
    let colour = picture.color();
    if !colour.has_alpha() {
        return picture;
    }
    let mix = |value: f32, alpha: f32| (alpha * value + (1.0 - alpha) * background).clamp(0.0, 1.0);
    // In place: a picture may be large.
    macro_rules! flat {
        ($pixels:expr, $number:ty) => {{
            let (mut pixels, white) = ($pixels, f32::from(<$number>::MAX));
            for Rgba([colours @ .., alpha]) in pixels.pixels_mut() {
                let alpha = f32::from(*alpha) / white;
                for value in colours {
                    *value = (white * mix(f32::from(*value) / white, alpha)).round() as $number;
                }
            }
            DynamicImage::from(pixels)
        }};
    }
    if is_deep(colour) {
        flat!(picture.into_rgba16(), u16).into_rgb16().into()
    } else {
        flat!(picture.into_rgba8(), u8).into_rgb8().into()
    }
}

/// The picture enlarged or reduced with its aspect kept: as large as fits into the form, or as
/// small as fills it, its middle cut out.
fn resized(picture: DynamicImage, form: &Form) -> DynamicImage {
    let (width, height) = (form.shape.width as u32, form.shape.height as u32);
    match form.fit {
        _ if (picture.width(), picture.height()) == (width, height) => picture,
        Fit::Crop => picture.resize_to_fill(width, height, FilterType::CatmullRom),
        Fit::Pad => picture.resize(width, height, FilterType::CatmullRom),
    }
}

/// Interleaved pixels of a picture of (height, width) in the middle of the shape, with `behind`
/// around them; channels first.
fn placed<T: Copy>(
    pixels: &[T],
    (height, width): (usize, usize),
    shape: ImageShape,
    behind: T,
) -> Vec<T> {
    let (top, left) = ((shape.height - height) / 2, (shape.width - width) / 2);
    let mut out = vec![behind; shape.values()];
    for channel in 0..shape.channels {
        for y in 0..height {
            let row = (channel * shape.height + top + y) * shape.width + left;
            for x in 0..width {
                out[row + x] = pixels[(y * width + x) * shape.channels + channel];
            }
        }
    }
    out
}

/// How light a part of some pictures is: sums over pixels, each with its weight.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tone {
    weight: f64,
    light: f64,
    /// Whether some pixel was not opaque.
    pub is_transparent: bool,
}

impl Tone {
    /// What two sets of pixels are together.
    pub(super) fn with(self, other: Self) -> Self {
        Self {
            weight: self.weight + other.weight,
            light: self.light + other.light,
            is_transparent: self.is_transparent || other.is_transparent,
        }
    }

    /// Whether the pixels are nearer to white than to black.
    pub(super) fn is_light(self) -> bool {
        self.light > 0.5 * self.weight
    }

    fn add(&mut self, luma: u8, alpha: u8) {
        self.weight += f64::from(alpha) / 255.0;
        self.light += f64::from(alpha) * f64::from(luma) / (255.0 * 255.0);
        self.is_transparent |= alpha < u8::MAX;
    }
}

/// The tone of what can be seen of a picture: each pixel weighs as much as it is opaque.
///
/// # Errors
/// As [`decode`].
pub(super) fn tone_of_ink(path: &Path) -> Result<Tone> {
    let mut tone = Tone::default();
    for &LumaA([luma, alpha]) in upright(path)?.into_luma_alpha8().pixels() {
        tone.add(luma, alpha);
    }
    Ok(tone)
}

/// The tone of the outermost pixels of a picture.
///
/// # Errors
/// As [`decode`].
pub(super) fn tone_of_border(path: &Path) -> Result<Tone> {
    let picture = upright(path)?.into_luma8();
    let (last_x, last_y) = (picture.width().saturating_sub(1), picture.height().saturating_sub(1));
    let mut tone = Tone::default();
    for (x, y, &Luma([luma])) in picture.enumerate_pixels() {
        if x == 0 || y == 0 || x == last_x || y == last_y {
            tone.add(luma, u8::MAX);
        }
    }
    Ok(tone)
}

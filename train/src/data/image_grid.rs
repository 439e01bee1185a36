//! Grids of grey or RGB images as PNG files.

use std::io::Cursor;
use std::path::Path;

use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
use rung_datasets::memory::reserved;

use crate::error::{Context, Error, Result};
use crate::run::atomic_file;

/// Pixels between the images of a grid, before upscaling.
const GAP: usize = 1;
/// The grey of the gap: visible between black and between white images.
const GAP_GREY: u8 = 96;
/// Pixels of the longest side of a picture: more is a slip of the keys, and would fill the memory.
const LARGEST_SIDE: u32 = 16_384;

/// What stands between the images of a grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rules {
    /// A grey line of one pixel.
    #[default]
    Grey,
    /// Nothing.
    None,
}

impl Rules {
    /// Pixels between two images, before upscaling.
    const fn gap(self) -> usize {
        match self {
            Self::Grey => GAP,
            Self::None => 0,
        }
    }
}

/// Images of one size, `[count, channels, height, width]`, with 0 black and 1 white.
#[derive(Debug, Clone, PartialEq)]
pub struct Images {
    shape: [usize; 4],
    pixels: Vec<f32>,
}

/// A finished picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    width: u32,
    height: u32,
    /// Three bytes a pixel, row by row from the top.
    rgb: Vec<u8>,
}

impl Images {
    /// Images from their pixels.
    ///
    /// # Errors
    /// If the shape doesn't have as many pixels, or the channels are not 1 or 3.
    pub fn new(shape: [usize; 4], pixels: Vec<f32>) -> Result<Self> {
        let expected = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
        if expected != Some(pixels.len()) || !matches!(shape[1], 1 | 3) {
            return Err(Error::new(format!(
                "can't draw images of shape {shape:?} from {} pixels: expected [count, 1 or 3, \
                height, width]",
                pixels.len()
            )));
        }
        Ok(Self { shape, pixels })
    }

    /// The values of all pixels, in the order of the shape.
    pub fn pixels(&self) -> &[f32] {
        &self.pixels
    }

    /// `[count, channels, height, width]`.
    pub fn shape(&self) -> [usize; 4] {
        self.shape
    }

    /// How many images there are.
    pub fn count(&self) -> usize {
        self.shape[0]
    }

    /// Each original with its reconstruction right after it: a grid with an even number of columns
    /// shows them side by side.
    ///
    /// # Errors
    /// If the two differ in shape.
    pub fn side_by_side(&self, reconstructions: &Self) -> Result<Self> {
        if self.shape != reconstructions.shape {
            return Err(Error::new(format!(
                "can't set images of shape {:?} beside images of shape {:?}",
                self.shape, reconstructions.shape
            )));
        }
        let [count, channels, height, width] = self.shape;
        let size = (channels * height * width).max(1);
        let pairs = self.pixels.chunks(size).zip(reconstructions.pixels.chunks(size));
        let pixels = pairs.flat_map(|(left, right)| [left, right].concat()).collect();
        Ok(Self { shape: [2 * count, channels, height, width], pixels })
    }

    /// The images in rows of `columns`, or of fewer where they are too wide for so many, with a
    /// thin gap between them, each pixel `scale` wide and high.
    ///
    /// Values outside 0..1 are cut off, and those that are no numbers are black.
    ///
    /// # Errors
    /// If there are no images, no columns, no scale, a side of the picture is too long, or there is
    /// no memory for it.
    pub fn grid(&self, columns: usize, scale: usize) -> Result<Picture> {
        self.grid_with(columns, scale, Rules::Grey)
    }

    /// As [`Images::grid`], with these rules between the images.
    ///
    /// # Errors
    /// As [`Images::grid`].
    pub fn grid_with(&self, columns: usize, scale: usize, rules: Rules) -> Result<Picture> {
        let [count, _, height, width] = self.shape;
        let gap = rules.gap();
        let size = |images: usize, pixels: usize| -> Option<u32> {
            let gaps = images.checked_sub(1)?.checked_mul(gap)?;
            let total = images.checked_mul(pixels)?.checked_add(gaps)?;
            let total = u32::try_from(total.checked_mul(scale)?).ok()?;
            (1..=LARGEST_SIDE).contains(&total).then_some(total)
        };
        // Pairs stay side by side: an even number.
        let most = LARGEST_SIDE as usize / (width + gap).saturating_mul(scale).max(1);
        let columns = columns.min(count).min(if most > 1 { most & !1 } else { 1 });
        let rows = count.checked_div(columns).map(|_| count.div_ceil(columns));
        let sizes = rows.and_then(|rows| Some((size(columns, width)?, size(rows, height)?)));
        let Some((wide, high)) = sizes else {
            return Err(Error::new(format!(
                "can't draw {count} images of {height}x{width} pixels in {columns} columns at \
                scale {scale}: a picture has 1 to {LARGEST_SIDE} pixels a side"
            )));
        };
        let mut rgb = room_for(wide, high)?;
        for y in 0..high as usize {
            for x in 0..wide as usize {
                rgb.extend(self.grid_pixel((columns, gap), x / scale, y / scale));
            }
        }
        Ok(Picture { width: wide, height: high, rgb })
    }

    /// As [`grid`](Self::grid), for a picture that nobody asked a size of: where it would be too
    /// large, the scale is smaller, and if need be only every second, fourth, … row and column is
    /// drawn.
    ///
    /// # Errors
    /// If there is nothing to draw, or too many images even for one pixel each.
    pub fn grid_to_fit(&self, columns: usize, scale: usize) -> Result<Picture> {
        if let Some(picture) = (1..=scale).rev().find_map(|scale| self.grid(columns, scale).ok()) {
            return Ok(picture);
        }
        let [_, _, height, width] = self.shape;
        let mut step = 2;
        loop {
            match self.thinned(step).grid(columns, 1) {
                Err(_) if step < height.max(width) => step *= 2,
                drawn => return drawn,
            }
        }
    }

    /// Every `step`-th row and column of the images.
    fn thinned(&self, step: usize) -> Self {
        let [count, channels, height, width] = self.shape;
        let (rows, columns) = (height.div_ceil(step), width.div_ceil(step));
        let mut pixels = Vec::with_capacity(count * channels * rows * columns);
        for plane in self.pixels.chunks_exact((height * width).max(1)) {
            for row in plane.chunks_exact(width.max(1)).step_by(step) {
                pixels.extend(row.iter().step_by(step));
            }
        }
        Self { shape: [count, channels, rows, columns], pixels }
    }

    /// The colour of one pixel of the grid: of an image, of the gap, or of the empty end of the
    /// last row.
    fn grid_pixel(&self, (columns, gap): (usize, usize), x: usize, y: usize) -> [u8; 3] {
        let [count, channels, height, width] = self.shape;
        let (column, x) = (x / (width + gap), x % (width + gap));
        let (row, y) = (y / (height + gap), y % (height + gap));
        let index = row * columns + column;
        if x >= width || y >= height || index >= count {
            return [GAP_GREY; 3];
        }
        let value = |channel: usize| {
            let at = ((index * channels + channel) * height + y) * width + x;
            (self.pixels[at].clamp(0.0, 1.0) * 255.0).round() as u8
        };
        match channels {
            1 => [value(0); 3],
            _ => [value(0), value(1), value(2)],
        }
    }
}

/// Room for the bytes of a picture.
fn room_for(width: u32, height: u32) -> Result<Vec<u8>> {
    let what = format!("a picture of {width} by {height} pixels");
    reserved(width as usize * height as usize * 3, &what).map_err(Error::from_source)
}

impl Picture {
    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// The bytes of a PNG file.
    ///
    /// # Errors
    /// If the encoder fails, or there is no memory for it.
    pub fn png(&self) -> Result<Vec<u8>> {
        // The encoder ends the program where it lacks memory. It takes no more than the picture.
        drop(room_for(self.width, self.height)?);
        let mut bytes = Cursor::new(Vec::new());
        PngEncoder::new(&mut bytes)
            .write_image(&self.rgb, self.width, self.height, ExtendedColorType::Rgb8)
            .context("encoding a picture")?;
        Ok(bytes.into_inner())
    }

    /// Writes a PNG file whole, or leaves what was there.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let png = self.png()?;
        atomic_file::write(path, |out| out.write_all(&png))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pixel(picture: &Picture, x: usize, y: usize) -> [u8; 3] {
        let at = (y * picture.width as usize + x) * 3;
        picture.rgb[at..at + 3].try_into().unwrap()
    }

    #[test]
    fn what_is_too_large_is_scaled_down_or_thinned() {
        let wide = Images::new([2, 1, 2, 9000], vec![1.0; 36_000]).unwrap();
        assert!(wide.grid(2, 2).is_err());
        assert_eq!(wide.grid_to_fit(2, 2).unwrap().size(), (9000, 5), "one column, scale 1");
        let long = Images::new([1, 3, 1, 40_000], vec![0.5; 120_000]).unwrap();
        assert_eq!(long.grid_to_fit(1, 4).unwrap().size(), (10_000, 1), "every fourth column");
        let small = Images::new([1, 1, 2, 2], vec![0.0; 4]).unwrap();
        assert_eq!(small.grid_to_fit(1, 3).unwrap(), small.grid(1, 3).unwrap());
        assert!(Images::new([0, 1, 2, 2], Vec::new()).unwrap().grid_to_fit(1, 1).is_err());
    }

    #[test]
    fn a_grid_places_images_row_by_row_with_gaps() {
        let images = Images::new([3, 1, 1, 2], vec![0.0, 1.0, 0.5, 2.0, -1.0, f32::NAN]).unwrap();
        let picture = images.grid(2, 1).unwrap();
        assert_eq!(picture.size(), (5, 3));
        assert_eq!(pixel(&picture, 0, 0), [0; 3]);
        assert_eq!(pixel(&picture, 1, 0), [255; 3]);
        assert_eq!(pixel(&picture, 2, 0), [GAP_GREY; 3]);
        assert_eq!(pixel(&picture, 3, 0), [128; 3]);
        assert_eq!(pixel(&picture, 4, 0), [255; 3]);
        assert_eq!(pixel(&picture, 0, 1), [GAP_GREY; 3]);
        assert_eq!(pixel(&picture, 1, 2), [0; 3]);
        assert_eq!(pixel(&picture, 4, 2), [GAP_GREY; 3], "no fourth image");
    }

    #[test]
    fn without_rules_images_stand_side_by_side() {
        let images = Images::new([3, 1, 1, 2], vec![0.0, 1.0, 0.5, 1.0, 0.0, 0.0]).unwrap();
        let picture = images.grid_with(2, 3, Rules::None).unwrap();
        assert_eq!(picture.size(), (12, 6));
        let row: Vec<u8> = (0..12).map(|x| pixel(&picture, x, 2)[0]).collect();
        assert_eq!(row, [0, 0, 0, 255, 255, 255, 128, 128, 128, 255, 255, 255]);
        assert_eq!(pixel(&picture, 6, 3), [GAP_GREY; 3], "no fourth image");
    }

    #[test]
    fn wide_images_are_drawn_in_fewer_columns() {
        let rows = Images::new([8, 1, 1, 3072], vec![0.0; 8 * 3072]).unwrap();
        assert_eq!(rows.grid(8, 2).unwrap().size(), (2 * (2 * 3072 + 1), 2 * (4 + 3)));
        assert_eq!(rows.grid(8, 5).unwrap().size(), (5 * 3072, 5 * (8 + 7)));
    }

    #[test]
    fn upscaling_repeats_pixels() {
        let images = Images::new([1, 1, 1, 2], vec![0.0, 1.0]).unwrap();
        let picture = images.grid(10, 3).unwrap();
        assert_eq!(picture.size(), (6, 3));
        assert_eq!(pixel(&picture, 2, 2), [0; 3]);
        assert_eq!(pixel(&picture, 3, 0), [255; 3]);
    }

    #[test]
    fn colours_are_read_channel_by_channel() {
        let images = Images::new([1, 3, 1, 1], vec![1.0, 0.0, 0.2]).unwrap();
        assert_eq!(pixel(&images.grid(1, 1).unwrap(), 0, 0), [255, 0, 51]);
    }

    #[test]
    fn originals_and_reconstructions_alternate() {
        let originals = Images::new([2, 1, 1, 1], vec![0.1, 0.2]).unwrap();
        let copies = Images::new([2, 1, 1, 1], vec![0.3, 0.4]).unwrap();
        let both = originals.side_by_side(&copies).unwrap();
        assert_eq!(both.pixels, [0.1, 0.3, 0.2, 0.4]);
        let other = Images::new([1, 1, 1, 1], vec![0.3]).unwrap();
        assert!(originals.side_by_side(&other).is_err());
    }

    #[test]
    fn a_saved_picture_decodes_to_the_same_pixels() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("grid.png");
        let images =
            Images::new([2, 1, 2, 2], vec![0.0, 0.3, 0.6, 1.0, 1.0, 0.6, 0.3, 0.0]).unwrap();
        let picture = images.grid(2, 4).unwrap();
        picture.save(&path).unwrap();
        let decoded = image::open(&path).unwrap().into_rgb8();
        assert_eq!(decoded.dimensions(), picture.size());
        assert_eq!(decoded.into_raw(), picture.rgb);
    }

    #[test]
    fn impossible_grids_are_errors() {
        assert!(Images::new([2, 1, 2, 2], vec![0.0; 7]).is_err());
        assert!(Images::new([1, 2, 1, 1], vec![0.0; 2]).is_err());
        let none = Images::new([0, 1, 2, 2], vec![]).unwrap();
        assert!(none.grid(2, 1).is_err());
        let one = Images::new([1, 1, 2, 2], vec![0.0; 4]).unwrap();
        for (columns, scale) in [(0, 1), (1, 0), (1, usize::MAX), (1, 40_000)] {
            assert!(one.grid(columns, scale).is_err(), "{columns} {scale}");
        }
    }
}

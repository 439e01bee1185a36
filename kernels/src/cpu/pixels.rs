//! A batch of images gathered from a data set, and scaled, binarised or dequantised on the way.

use super::parallel::{HEAVY, for_each_block, rows};
use super::random::{for_each_word_batch, is_success};
use super::real::Real;
use super::typed::{Extent, Float, check, check_indices, indices_of, on_host, operands, row_count};
use crate::backend::{Matrix, PixelMap};
use crate::rng::Address;
use crate::{Error, Result, View, ViewMut};

/// `gather_pixels`, as declared.
pub(super) fn gather_pixels(
    map: PixelMap,
    columns: usize,
    pixels: View<'_>,
    indices: View<'_>,
    out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "gather_pixels";
    let indices = indices_of(NAME, "indices", indices)?;
    check(NAME, Extent::Matrix(Matrix { rows: indices.len(), columns }), operands!(out))?;
    let images = row_count(NAME, "pixels", pixels.len(), columns)?;
    if columns == 0 {
        return Ok(());
    }
    check_indices(NAME, "indices", indices, images)?;
    match (pixels, out) {
        (View::U8(pixels), ViewMut::F32(out)) => gather(map, columns, pixels, indices, out),
        (View::U8(pixels), ViewMut::F64(out)) => gather(map, columns, pixels, indices, out),
        (View::F32(pixels), ViewMut::F32(out)) => gather(map, columns, pixels, indices, out),
        (View::F64(pixels), ViewMut::F64(out)) => gather(map, columns, pixels, indices, out),
        (pixels, out) => {
            on_host(NAME, operands!(pixels, out))?;
            let rule = "pixels must be u8 or of the dtype of out, which must be a float";
            return Err(Error::DType {
                operation: NAME,
                rule,
                dtypes: vec![("pixels", pixels.dtype()), ("out", out.dtype())],
            });
        }
    }
    Ok(())
}

/// What a pixel can be.
trait Pixel<T>: Copy + Send + Sync {
    /// The pixel as a float of the result's type.
    fn value(self) -> T;
    /// The pixel in f64.
    fn wide(self) -> f64;
    /// Whether a word draws 1.
    fn is_drawn(self, word: u32) -> bool;
}

impl<T: Real> Pixel<T> for u8 {
    #[inline(always)]
    fn value(self) -> T {
        T::from_f64(f64::from(self))
    }

    #[inline(always)]
    fn wide(self) -> f64 {
        f64::from(self)
    }

    /// word < round(p · 2³² / 255). As 2³² = 255 · 16 843 009 + 1, the right side is p · 16 843
    /// 009, plus 1 from p = 128 on; it is compared less 1, since for p = 255 it is 2³² itself.
    #[inline(always)]
    fn is_drawn(self, word: u32) -> bool {
        let pixel = u32::from(self);
        let last_drawn = (pixel * 16_843_009).wrapping_add(u32::from(pixel >= 128)).wrapping_sub(1);
        (pixel > 0) & (word <= last_drawn)
    }
}

macro_rules! float_pixel {
    ($float:ty) => {
        impl Pixel<$float> for $float {
            #[inline(always)]
            fn value(self) -> $float {
                self
            }

            #[inline(always)]
            fn wide(self) -> f64 {
                f64::from(self)
            }

            #[inline(always)]
            fn is_drawn(self, word: u32) -> bool {
                is_success(word, f64::from(self))
            }
        }
    };
}

float_pixel!(f32);
float_pixel!(f64);

fn gather<T: Float, P: Pixel<T>>(
    map: PixelMap,
    columns: usize,
    pixels: &[P],
    indices: &[u32],
    out: &mut [T],
) {
    for_each_block(
        indices.len(),
        columns * HEAVY,
        (indices, rows(out, columns)),
        |_, (indices, out)| {
            T::vectorised(
                #[inline(always)]
                || {
                    for (&index, out) in indices.iter().zip(out.slice.chunks_exact_mut(columns)) {
                        let first = index as usize * columns;
                        map_image(map, first, &pixels[first..first + columns], out);
                    }
                },
            );
        },
    );
}

/// One image, whose first pixel is element `first` of an address.
#[inline(always)]
fn map_image<T: Float, P: Pixel<T>>(map: PixelMap, first: usize, pixels: &[P], out: &mut [T]) {
    match map {
        PixelMap::Scale(factor) => {
            let factor = T::from_f64(factor);
            for (out, pixel) in out.iter_mut().zip(pixels) {
                *out = pixel.value() * factor;
            }
        }
        PixelMap::Threshold(factor) => {
            for (out, pixel) in out.iter_mut().zip(pixels) {
                *out = if pixel.wide() * factor >= 0.5 { T::ONE } else { T::ZERO };
            }
        }
        PixelMap::Bernoulli(address) => {
            with_words(
                &address,
                first,
                pixels,
                out,
                #[inline(always)]
                |word, pixel| if pixel.is_drawn(word) { T::ONE } else { T::ZERO },
            );
        }
        PixelMap::Dequantise(address, factor) => {
            let factor = T::from_f64(factor);
            with_words(
                &address,
                first,
                pixels,
                out,
                #[inline(always)]
                |word, pixel| (pixel.value() + T::uniform(word)) * factor,
            );
        }
    }
}

#[inline(always)]
fn with_words<T, P: Copy>(
    address: &Address,
    first: usize,
    pixels: &[P],
    out: &mut [T],
    f: impl Fn(u32, P) -> T,
) {
    for_each_word_batch(
        address,
        first,
        pixels.len(),
        #[inline(always)]
        |offset, words| {
            let here = offset..offset + words.len();
            for ((out, &pixel), &word) in out[here.clone()].iter_mut().zip(&pixels[here]).zip(words)
            {
                *out = f(word, pixel);
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::super::testing::same_on_any_threads;
    use super::*;
    use crate::rng::uniform_at;

    const ADDRESS: Address = Address::new(5, 9, 2);

    fn data(images: usize, columns: usize) -> Vec<u8> {
        (0..images * columns).map(|i| (i * 37 % 256) as u8).collect()
    }

    fn gathered(map: PixelMap, columns: usize, pixels: View<'_>, indices: &[u32]) -> Vec<f32> {
        let mut out = vec![9f32; indices.len() * columns];
        gather_pixels(map, columns, pixels, View::U32(indices), ViewMut::F32(&mut out)).unwrap();
        out
    }

    #[test]
    fn every_map_follows_its_formula() {
        for (images, columns, taken) in [(3, 7, 5), (40, 784, 150), (4, 1, 0), (9, 257, 3)] {
            let pixels = data(images, columns);
            let indices: Vec<u32> = (0..taken as u32).map(|i| i * 5 % images as u32).collect();
            let factor = 1.0 / 255.0;
            let maps = [
                PixelMap::Scale(factor),
                PixelMap::Threshold(factor),
                PixelMap::Bernoulli(ADDRESS),
                PixelMap::Dequantise(ADDRESS, 1.0 / 256.0),
            ];
            for map in maps {
                let out =
                    same_on_any_threads(|| gathered(map, columns, View::U8(&pixels), &indices));
                for (i, &out) in out.iter().enumerate() {
                    let element = indices[i / columns] as usize * columns + i % columns;
                    let (pixel, word) = (pixels[element], ADDRESS.word(element));
                    let expected = match map {
                        PixelMap::Scale(factor) => f64::from(pixel) * factor,
                        PixelMap::Threshold(factor) => {
                            f64::from(u8::from(f64::from(pixel) * factor >= 0.5))
                        }
                        PixelMap::Bernoulli(_) => f64::from(u8::from(drawn(pixel, word))),
                        PixelMap::Dequantise(_, factor) => {
                            (f64::from(pixel) + uniform_at(&ADDRESS, element)) * factor
                        }
                    };
                    assert!(
                        (f64::from(out) - expected).abs() < 2e-7,
                        "{map:?} at {i}: {out}, not {expected}"
                    );
                }
            }
        }
    }

    /// word < round(p · 2³² / 255), in 64-bit integers.
    fn drawn(pixel: u8, word: u32) -> bool {
        u64::from(word) < ((u64::from(pixel) << 32) + 127) / 255
    }

    #[test]
    fn the_integer_rule_holds_at_every_threshold() {
        for pixel in 0..=255u8 {
            let threshold = ((u64::from(pixel) << 32) + 127) / 255;
            for word in
                [0, threshold.saturating_sub(1), threshold, threshold + 1, u64::from(u32::MAX)]
            {
                let word = word.min(u64::from(u32::MAX)) as u32;
                assert_eq!(
                    Pixel::<f32>::is_drawn(pixel, word),
                    drawn(pixel, word),
                    "{pixel} {word}"
                );
            }
        }
        assert!(!Pixel::<f32>::is_drawn(0, 0) && Pixel::<f32>::is_drawn(255, u32::MAX));
    }

    #[test]
    fn float_pixels_are_probabilities() {
        let out =
            gathered(PixelMap::Bernoulli(ADDRESS), 4, View::F32(&[0.0, 1.0, 0.5, 0.25]), &[0]);
        let expected = [
            0.0,
            1.0,
            f32::from(u8::from(ADDRESS.word(2) < 1 << 31)),
            f32::from(u8::from(ADDRESS.word(3) < 1 << 30)),
        ];
        assert_eq!(out, expected);
    }

    #[test]
    fn the_draw_of_a_pixel_does_not_depend_on_its_batch() {
        let pixels = data(10, 13);
        let together = gathered(PixelMap::Bernoulli(ADDRESS), 13, View::U8(&pixels), &[2, 7, 4]);
        let alone = gathered(PixelMap::Bernoulli(ADDRESS), 13, View::U8(&pixels), &[7]);
        assert_eq!(together[13..26], alone);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (map, mut out) = (PixelMap::Scale(1.0), [0f32; 2]);
        let error =
            gather_pixels(map, 2, View::U8(&[0; 4]), View::U32(&[2]), ViewMut::F32(&mut out))
                .unwrap_err();
        assert_eq!(error.to_string(), "gather_pixels: indices[0] is 2, which must be below 2");
        let error =
            gather_pixels(map, 2, View::F64(&[0.0; 4]), View::U32(&[1]), ViewMut::F32(&mut out))
                .unwrap_err();
        assert!(matches!(error, Error::DType { .. }), "{error}");
    }
}

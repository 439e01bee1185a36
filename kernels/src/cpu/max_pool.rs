//! Maxima of windows, a row of windows at a time, channels side by side.

use super::lanes::{Aligned, TILE, larger, tiles};
use super::parallel::{LIGHT, for_each_block, rows};
use super::typed::{Extent, Float, check, for_float, operands};
use crate::backend::Pool2d;
use crate::{Result, View, ViewMut};

/// `max_pool2d`, as declared.
pub(super) fn max_pool2d(pool: Pool2d, x: View<'_>, out: ViewMut<'_>) -> Result<()> {
    const NAME: &str = "max_pool2d";
    pool.check(NAME)?;
    check(NAME, Extent::Matrix(pool.input_matrix()), operands!(x))?;
    check(NAME, Extent::Matrix(pool.output_matrix()), operands!(out))?;
    for_float!(NAME, (x, out) => maxima(&pool, x, out));
    Ok(())
}

/// Where the channels of tap (a, b) of window (p, q) begin in the input.
#[inline(always)]
fn tap_of(pool: &Pool2d, image: usize, [p, q]: [usize; 2], tap: usize) -> usize {
    let ([height, width], size) = (pool.input, pool.size);
    let (row, column) = (p * size + tap / size, q * size + tap % size);
    ((image * height + row) * width + column) * pool.channels
}

fn maxima<T: Float>(pool: &Pool2d, x: &[T], out: &mut [T]) {
    let ([windows_down, windows], channels) = (pool.output(), pool.channels);
    let (taps, row_len) = (pool.size * pool.size, windows * channels);
    let work = LIGHT * row_len * taps;
    for_each_block(pool.batch * windows_down, work, rows(out, row_len), |range, mut out| {
        T::vectorised(
            #[inline(always)]
            || {
                for (at, row) in range.enumerate() {
                    let (image, p) = (row / windows_down, row % windows_down);
                    for (q, out) in out.row(at).chunks_exact_mut(channels.max(1)).enumerate() {
                        let tap = |tap| &x[tap_of(pool, image, [p, q], tap)..][..channels];
                        out.copy_from_slice(tap(0));
                        for number in 1..taps {
                            for (largest, &x) in out.iter_mut().zip(tap(number)) {
                                *largest = larger(*largest, x);
                            }
                        }
                    }
                }
            },
        );
    });
}

/// `max_pool2d_backward`, as declared.
pub(super) fn max_pool2d_backward(
    pool: Pool2d,
    x: View<'_>,
    out: View<'_>,
    grad_out: View<'_>,
    grad_x: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "max_pool2d_backward";
    pool.check(NAME)?;
    check(NAME, Extent::Matrix(pool.input_matrix()), operands!(x, grad_x))?;
    check(NAME, Extent::Matrix(pool.output_matrix()), operands!(out, grad_out))?;
    for_float!(NAME, (x, out, grad_out, grad_x) => spread(&pool, x, out, grad_out, grad_x));
    Ok(())
}

/// An image at a time: windows do not overlap, so each element is written by its window alone, or
/// by none.
fn spread<T: Float>(pool: &Pool2d, x: &[T], out: &[T], grad_out: &[T], grad_x: &mut [T]) {
    let ([windows_down, windows], channels) = (pool.output(), pool.channels);
    let ([height, width], taps) = (pool.input, pool.size * pool.size);
    let image_len = height * width * channels;
    for_each_block(pool.batch, LIGHT * image_len, rows(grad_x, image_len), |range, mut grad_x| {
        T::vectorised(
            #[inline(always)]
            || {
                // The adjoints of a window that no tap before has taken.
                let mut scratch = Aligned([T::ZERO; TILE]);
                for (at, image) in range.enumerate() {
                    let grad_x = grad_x.row(at);
                    grad_x.fill(T::ZERO);
                    for window in 0..windows_down * windows {
                        let place = [window / windows, window % windows];
                        let result = (image * windows_down * windows + window) * channels;
                        for tile in tiles(channels) {
                            let (first, len) = (result + tile.start, tile.len());
                            let (left, out) = (&mut scratch.0[..len], &out[first..][..len]);
                            left.copy_from_slice(&grad_out[first..][..len]);
                            for tap in 0..taps {
                                let of = |image| tap_of(pool, image, place, tap) + tile.start;
                                let (x, grad_x) =
                                    (&x[of(image)..][..len], &mut grad_x[of(0)..][..len]);
                                for (((grad, left), &x), &out) in
                                    grad_x.iter_mut().zip(&mut *left).zip(x).zip(out)
                                {
                                    let is_found = x == out;
                                    *grad = if is_found { *left } else { T::ZERO };
                                    *left = if is_found { T::ZERO } else { *left };
                                }
                            }
                        }
                    }
                }
            },
        );
    });
}

#[cfg(test)]
mod tests {
    use super::super::testing::{normals, same_on_any_threads};
    use super::*;

    #[test]
    fn the_first_of_equal_elements_takes_the_gradient_and_nan_is_not_hidden() {
        let pool = Pool2d { batch: 1, input: [2, 5], channels: 1, size: 2 };
        let x = [1.0, 7.0, 2.0, f64::NAN, 9.0, 7.0, 0.0, 3.0, 4.0, 9.0];
        let (mut out, mut grad_x) = ([0.0; 2], [8.0; 10]);
        max_pool2d(pool, View::F64(&x), ViewMut::F64(&mut out)).unwrap();
        assert!(out[0] == 7.0 && out[1].is_nan(), "{out:?}");
        let (x, out, grad) = (View::F64(&x), View::F64(&out), View::F64(&[5.0, 6.0]));
        max_pool2d_backward(pool, x, out, grad, ViewMut::F64(&mut grad_x)).unwrap();
        assert_eq!(grad_x, [0.0, 5.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn pools_are_the_same_on_any_number_of_threads() {
        let pool = Pool2d { batch: 9, input: [23, 25], channels: 20, size: 2 };
        let x = normals(1, pool.input_matrix().element_count());
        let grad_out = normals(2, pool.output_matrix().element_count());
        same_on_any_threads(|| {
            let (mut out, mut grad_x) = (vec![0f32; grad_out.len()], vec![0f32; x.len()]);
            max_pool2d(pool, View::F32(&x), ViewMut::F32(&mut out)).unwrap();
            let views = [View::F32(&x), View::F32(&out), View::F32(&grad_out)];
            let [x, out, grad_out] = views;
            max_pool2d_backward(pool, x, out, grad_out, ViewMut::F32(&mut grad_x)).unwrap();
            grad_x
        });
    }
}

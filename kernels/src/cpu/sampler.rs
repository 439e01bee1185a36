//! Spatial transformers: affine grids, and bilinear sampling with its adjoints.

use std::array::from_fn;

use super::lanes::is_nan;
use super::parallel::{HEAVY, for_each_block, rows};
use super::real::Real;
use super::scalar::clamp;
use super::typed::{Extent, Float, check, for_float, operands};
use crate::backend::{AffineGrid, Outside, Sampler};
use crate::{Result, View, ViewMut};

/// `affine_grid`, as declared.
pub(super) fn affine_grid(grid: AffineGrid, theta: View<'_>, out: ViewMut<'_>) -> Result<()> {
    const NAME: &str = "affine_grid";
    check(NAME, Extent::Matrix(grid.theta_matrix()), operands!(theta))?;
    check(NAME, Extent::Matrix(grid.grid_matrix()), operands!(out))?;
    for_float!(NAME, (theta, out) => positions_of(&grid, theta, out));
    Ok(())
}

/// Twice the distance of position `at` from the middle of `size` of them.
#[inline(always)]
fn from_middle<T: Real>(at: usize, size: usize) -> T {
    T::from_f64(2.0 * at as f64 - (size as f64 - 1.0))
}

fn positions_of<T: Float>(grid: &AffineGrid, theta: &[T], out: &mut [T]) {
    let ([height, width], steps) = (grid.target, grid.steps().map(|steps| steps.map(T::from_f64)));
    let row_len = 2 * grid.positions();
    for_each_block(grid.transforms, row_len, rows(out, row_len), |range, mut out| {
        for (at, transform) in range.enumerate() {
            let theta: &[T] = &theta[6 * transform..][..6];
            for (place, position) in out.row(at).chunks_exact_mut(2).enumerate() {
                let x: T = from_middle(place % width, width);
                let y: T = from_middle(place / width, height);
                for axis in 0..2 {
                    let [along, down, middle] = steps[axis];
                    let theta = &theta[3 * axis..][..3];
                    let moved = theta[0] * (x * along) + theta[1] * (y * down) + theta[2] * middle;
                    position[axis] = middle + moved;
                }
            }
        }
    });
}

/// `affine_grid_backward`, as declared.
pub(super) fn affine_grid_backward(
    grid: AffineGrid,
    grad_out: View<'_>,
    grad_theta: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "affine_grid_backward";
    check(NAME, Extent::Matrix(grid.grid_matrix()), operands!(grad_out))?;
    check(NAME, Extent::Matrix(grid.theta_matrix()), operands!(grad_theta))?;
    for_float!(NAME, (grad_out, grad_theta) => sums_of_positions(&grid, grad_out, grad_theta));
    Ok(())
}

fn sums_of_positions<T: Float>(grid: &AffineGrid, grad_out: &[T], grad_theta: &mut [T]) {
    let ([height, width], steps) = (grid.target, grid.steps());
    let row_len = 2 * grid.positions();
    for_each_block(grid.transforms, row_len, rows(grad_theta, 6), |range, mut grad_theta| {
        for (at, transform) in range.enumerate() {
            // Of x, then of y: Σ g·x, Σ g·y, Σ g.
            let mut sums = [[0f64; 3]; 2];
            let grad_out = grad_out[transform * row_len..][..row_len].chunks_exact(2);
            for (place, grad) in grad_out.enumerate() {
                let x: f64 = from_middle(place % width, width);
                let y: f64 = from_middle(place / width, height);
                for (sums, grad) in sums.iter_mut().zip(grad) {
                    let grad = grad.to_f64();
                    *sums = [sums[0] + grad * x, sums[1] + grad * y, sums[2] + grad];
                }
            }
            let products = sums.iter().flatten().zip(steps.iter().flatten());
            for (out, (sum, step)) in grad_theta.row(at).iter_mut().zip(products) {
                *out = T::from_f64(sum * step);
            }
        }
    });
}

/// The two pixels that a position lies between, along one axis: their indices, their weights, and
/// the derivatives of these.
#[derive(Clone, Copy)]
struct Neighbours<T> {
    index: [usize; 2],
    weight: [T; 2],
    slope: [T; 2],
}

impl<T: Real> Neighbours<T> {
    /// Of `position` among `size` pixels, of which there is at least one. A position that is NaN
    /// has weights that are NaN.
    #[inline(always)]
    fn of(position: T, size: usize, outside: Outside) -> Self {
        let (low, last) = (position.floor(), T::from_f64((size - 1) as f64));
        let (beyond, pixels) = (position - low, [low, low + T::ONE]);
        let counts = match outside {
            Outside::Zeros => pixels.map(|pixel| pixel >= T::ZERO && pixel <= last),
            Outside::Border => [true; 2],
            Outside::PaperTime => [position >= T::ZERO && position < last; 2],
        };
        let counts = counts.map(|counts| counts || is_nan(position));
        let or_zero = |values: [T; 2]| from_fn(|i| if counts[i] { values[i] } else { T::ZERO });
        Self {
            // NaN becomes 0.
            index: pixels.map(|pixel| clamp(pixel, T::ZERO, last).to_f64() as usize),
            weight: or_zero([T::ONE - beyond, beyond]),
            slope: or_zero([-T::ONE, T::ONE]),
        }
    }
}

/// The neighbours of a position: columns, then rows.
#[inline(always)]
fn neighbours<T: Real>(sampler: &Sampler, position: &[T]) -> [Neighbours<T>; 2] {
    let [height, width] = sampler.source;
    [
        Neighbours::of(position[0], width, sampler.outside),
        Neighbours::of(position[1], height, sampler.outside),
    ]
}

/// The first channel of neighbour (a, b) of a position, from the start of the image.
#[inline(always)]
fn pixel_of<T>(sampler: &Sampler, [x, y]: &[Neighbours<T>; 2], a: usize, b: usize) -> usize {
    (y.index[a] * sampler.source[1] + x.index[b]) * sampler.channels
}

/// The four neighbours (a, b): row, column.
const CORNERS: [(usize, usize); 4] = [(0, 0), (0, 1), (1, 0), (1, 1)];

/// Elements of an image.
const fn image_len(sampler: &Sampler) -> usize {
    sampler.source[0] * sampler.source[1] * sampler.channels
}

/// `sample_bilinear`, as declared.
pub(super) fn sample_bilinear(
    sampler: Sampler,
    image: View<'_>,
    grid: View<'_>,
    out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "sample_bilinear";
    sampler.check(NAME)?;
    check(NAME, Extent::Matrix(sampler.image_matrix()), operands!(image))?;
    check(NAME, Extent::Matrix(sampler.grid_matrix()), operands!(grid))?;
    check(NAME, Extent::Matrix(sampler.output_matrix()), operands!(out))?;
    for_float!(NAME, (image, grid, out) => sample(&sampler, image, grid, out));
    Ok(())
}

fn sample<T: Float>(sampler: &Sampler, image: &[T], grid: &[T], out: &mut [T]) {
    let (channels, len) = (sampler.channels, image_len(sampler));
    let per_image = sampler.repeat * sampler.positions;
    let work = HEAVY * (1 + channels);
    for_each_block(sampler.points(), work, rows(out, channels), |range, mut out| {
        for (at, point) in range.enumerate() {
            let image = &image[point / per_image * len..][..len];
            let near = neighbours(sampler, &grid[2 * point..][..2]);
            let out = out.row(at);
            out.fill(T::ZERO);
            for (a, b) in CORNERS {
                let weight = near[1].weight[a] * near[0].weight[b];
                let pixel = &image[pixel_of(sampler, &near, a, b)..][..channels];
                for (out, &value) in out.iter_mut().zip(pixel) {
                    *out += weight * value;
                }
            }
        }
    });
}

/// `sample_bilinear_grid_gradient`, as declared.
pub(super) fn sample_bilinear_grid_gradient(
    sampler: Sampler,
    image: View<'_>,
    grid: View<'_>,
    grad_out: View<'_>,
    grad_grid: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "sample_bilinear_grid_gradient";
    sampler.check(NAME)?;
    check(NAME, Extent::Matrix(sampler.image_matrix()), operands!(image))?;
    check(NAME, Extent::Matrix(sampler.grid_matrix()), operands!(grid, grad_grid))?;
    check(NAME, Extent::Matrix(sampler.output_matrix()), operands!(grad_out))?;
    for_float!(NAME, (image, grid, grad_out, grad_grid) =>
        grid_gradient(&sampler, image, grid, grad_out, grad_grid));
    Ok(())
}

fn grid_gradient<T: Float>(
    sampler: &Sampler,
    image: &[T],
    grid: &[T],
    grad_out: &[T],
    grad_grid: &mut [T],
) {
    let (channels, len) = (sampler.channels, image_len(sampler));
    let per_image = sampler.repeat * sampler.positions;
    let work = HEAVY * (1 + channels);
    for_each_block(sampler.points(), work, rows(grad_grid, 2), |range, mut grad_grid| {
        for (at, point) in range.enumerate() {
            let image = &image[point / per_image * len..][..len];
            let near = neighbours(sampler, &grid[2 * point..][..2]);
            let grad_out = &grad_out[point * channels..][..channels];
            let mut sums = [T::ZERO; 2];
            for (a, b) in CORNERS {
                let pixel = &image[pixel_of(sampler, &near, a, b)..][..channels];
                let mut product = T::ZERO;
                for (&grad, &value) in grad_out.iter().zip(pixel) {
                    product += grad * value;
                }
                sums[0] += near[1].weight[a] * near[0].slope[b] * product;
                sums[1] += near[1].slope[a] * near[0].weight[b] * product;
            }
            grad_grid.row(at).copy_from_slice(&sums);
        }
    });
}

/// `sample_bilinear_image_gradient`, as declared.
pub(super) fn sample_bilinear_image_gradient(
    sampler: Sampler,
    grid: View<'_>,
    grad_out: View<'_>,
    grad_image: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "sample_bilinear_image_gradient";
    sampler.check(NAME)?;
    check(NAME, Extent::Matrix(sampler.grid_matrix()), operands!(grid))?;
    check(NAME, Extent::Matrix(sampler.output_matrix()), operands!(grad_out))?;
    check(NAME, Extent::Matrix(sampler.image_matrix()), operands!(grad_image))?;
    for_float!(NAME, (grid, grad_out, grad_image) =>
        image_gradient(&sampler, grid, grad_out, grad_image));
    Ok(())
}

/// An image is one thread's alone, and its positions come in their order.
fn image_gradient<T: Float>(sampler: &Sampler, grid: &[T], grad_out: &[T], grad_image: &mut [T]) {
    let (channels, len) = (sampler.channels, image_len(sampler));
    let per_image = sampler.repeat * sampler.positions;
    let work = HEAVY * per_image * (1 + channels) + len;
    for_each_block(sampler.images, work, rows(grad_image, len), |range, mut grad_image| {
        for (at, image) in range.enumerate() {
            let grad_image = grad_image.row(at);
            grad_image.fill(T::ZERO);
            for point in image * per_image..(image + 1) * per_image {
                let near = neighbours(sampler, &grid[2 * point..][..2]);
                let grad_out = &grad_out[point * channels..][..channels];
                for (a, b) in CORNERS {
                    let weight = near[1].weight[a] * near[0].weight[b];
                    let pixel = &mut grad_image[pixel_of(sampler, &near, a, b)..][..channels];
                    for (pixel, &grad) in pixel.iter_mut().zip(grad_out) {
                        *pixel += weight * grad;
                    }
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::testing::{normals, same_on_any_threads};
    use super::*;

    #[test]
    fn a_position_that_is_no_number_is_not_hidden() {
        for outside in [Outside::Zeros, Outside::Border, Outside::PaperTime] {
            let sampler = Sampler {
                images: 1,
                repeat: 1,
                source: [1, 3],
                channels: 1,
                positions: 2,
                outside,
            };
            let (image, mut out) = (View::F64(&[1.0, 2.0, 3.0]), [0.0; 2]);
            let grid = View::F64(&[f64::NAN, 0.0, 1e30, 0.0]);
            sample_bilinear(sampler, image, grid, ViewMut::F64(&mut out)).unwrap();
            assert!(out[0].is_nan() && out[1].is_finite(), "{outside:?}: {out:?}");
        }
    }

    #[test]
    fn the_gradient_of_the_image_is_the_same_on_any_number_of_threads() {
        let sampler = Sampler {
            images: 6,
            repeat: 3,
            source: [30, 31],
            channels: 3,
            positions: 900,
            outside: Outside::Zeros,
        };
        let grid: Vec<f32> = normals(1, 2 * sampler.points());
        let grid: Vec<f32> = grid.iter().map(|x| 15.0 + 8.0 * x).collect();
        let grad_out = normals(2, 3 * sampler.points());
        same_on_any_threads(|| {
            let mut grad_image = vec![0f32; 6 * image_len(&sampler)];
            let out = ViewMut::F32(&mut grad_image);
            let (grid, grad_out) = (View::F32(&grid), View::F32(&grad_out));
            sample_bilinear_image_gradient(sampler, grid, grad_out, out).unwrap();
            grad_image
        });
    }
}

//! Spatial transformers: affine grids, and bilinear sampling with its adjoints.

use super::context::Context;
use super::launch::Launch;
use super::program::File;
use crate::backend::{AffineGrid, Outside, Sampler};
use crate::check::{Extent, check, common_float, operands};
use crate::{DType, Result, View, ViewMut};

/// `affine_grid`, as declared.
pub(super) fn affine_grid(
    context: &Context,
    grid: AffineGrid,
    theta: View<'_>,
    mut out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "affine_grid";
    check(NAME, Extent::Matrix(grid.theta_matrix()), operands!(theta))?;
    check(NAME, Extent::Matrix(grid.grid_matrix()), operands!(out))?;
    let dtype = common_float(NAME, operands!(theta, out))?;
    let positions = grid.grid_matrix().rows;
    let launch = of_grid(context, NAME, dtype, &grid).count(positions).input(theta);
    launch.output(&mut out).over_items(positions)
}

/// `affine_grid_backward`, as declared.
pub(super) fn affine_grid_backward(
    context: &Context,
    grid: AffineGrid,
    grad_out: View<'_>,
    mut grad_theta: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "affine_grid_backward";
    check(NAME, Extent::Matrix(grid.grid_matrix()), operands!(grad_out))?;
    check(NAME, Extent::Matrix(grid.theta_matrix()), operands!(grad_theta))?;
    let dtype = common_float(NAME, operands!(grad_out, grad_theta))?;
    let launch = of_grid(context, NAME, dtype, &grid).input(grad_out);
    launch.output(&mut grad_theta).sharing_rows(grid.transforms, 1)
}

/// A launch with the sizes of a grid and the steps of x and y.
fn of_grid<'a>(
    context: &'a Context,
    name: &'static str,
    dtype: DType,
    grid: &AffineGrid,
) -> Launch<'a> {
    let launch = context.launch(name, dtype, File::Sampler, name);
    let launch = launch.count(grid.target[0]).count(grid.target[1]);
    grid.steps().into_iter().flatten().fold(launch, Launch::real)
}

/// `sample_bilinear`, as declared.
pub(super) fn sample_bilinear(
    context: &Context,
    sampler: Sampler,
    image: View<'_>,
    grid: View<'_>,
    mut out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "sample_bilinear";
    sampler.check(NAME)?;
    check(NAME, Extent::Matrix(sampler.image_matrix()), operands!(image))?;
    check(NAME, Extent::Matrix(sampler.grid_matrix()), operands!(grid))?;
    check(NAME, Extent::Matrix(sampler.output_matrix()), operands!(out))?;
    let dtype = common_float(NAME, operands!(image, grid, out))?;
    let launch = of_sampler(context, NAME, dtype, &sampler).count(sampler.points());
    launch.input(image).input(grid).output(&mut out).over_items(sampler.points())
}

/// `sample_bilinear_grid_gradient`, as declared.
pub(super) fn sample_bilinear_grid_gradient(
    context: &Context,
    sampler: Sampler,
    image: View<'_>,
    grid: View<'_>,
    grad_out: View<'_>,
    mut grad_grid: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "sample_bilinear_grid_gradient";
    sampler.check(NAME)?;
    check(NAME, Extent::Matrix(sampler.image_matrix()), operands!(image))?;
    check(NAME, Extent::Matrix(sampler.grid_matrix()), operands!(grid, grad_grid))?;
    check(NAME, Extent::Matrix(sampler.output_matrix()), operands!(grad_out))?;
    let dtype = common_float(NAME, operands!(image, grid, grad_out, grad_grid))?;
    let launch = of_sampler(context, NAME, dtype, &sampler).count(sampler.points());
    let launch = launch.input(image).input(grid).input(grad_out);
    launch.output(&mut grad_grid).over_items(sampler.points())
}

/// `sample_bilinear_image_gradient`, as declared.
pub(super) fn sample_bilinear_image_gradient(
    context: &Context,
    sampler: Sampler,
    grid: View<'_>,
    grad_out: View<'_>,
    mut grad_image: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "sample_bilinear_image_gradient";
    sampler.check(NAME)?;
    check(NAME, Extent::Matrix(sampler.grid_matrix()), operands!(grid))?;
    check(NAME, Extent::Matrix(sampler.output_matrix()), operands!(grad_out))?;
    check(NAME, Extent::Matrix(sampler.image_matrix()), operands!(grad_image))?;
    let dtype = common_float(NAME, operands!(grid, grad_out, grad_image))?;
    let rows = sampler.images * sampler.source[0] * sampler.channels;
    let launch = of_sampler(context, NAME, dtype, &sampler).count(rows);
    launch.input(grid).input(grad_out).output(&mut grad_image).over_items(rows)
}

/// A launch with the sizes of a sampler.
fn of_sampler<'a>(
    context: &'a Context,
    name: &'static str,
    dtype: DType,
    sampler: &Sampler,
) -> Launch<'a> {
    let [height, width] = sampler.source;
    let outside = match sampler.outside {
        Outside::Zeros => 0,
        Outside::Border => 1,
        Outside::PaperTime => 2,
    };
    let launch = context.launch(name, dtype, File::Sampler, name).count(height).count(width);
    let per_image = sampler.repeat.saturating_mul(sampler.positions);
    launch.count(sampler.channels).count(per_image).count(outside)
}

//! What a ladder does with Gaussians unit by unit: heads that make them, samples drawn from them,
//! two merged into one.

use super::row_of;
use crate::backend::{GaussianGradient, GaussianView, Matrix};
use crate::cpu::lanes::{Aligned, Inputs, TILE, map, map_2, map_4, or_scratch, tiles, update};
use crate::cpu::parallel::{HEAVY, LIGHT, for_each_block, rows};
use crate::cpu::typed::{Extent, Float, Gaussian, GaussianAdjoint, check, for_float, operands};
use crate::{Result, View, ViewMut};

/// `gaussian_head`, as declared.
pub(in crate::cpu) fn gaussian_head(
    matrix: Matrix,
    floor: f64,
    x: View<'_>,
    mean: ViewMut<'_>,
    variance: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "gaussian_head";
    check(NAME, Extent::Matrix(matrix.both_halves()), operands!(x))?;
    check(NAME, Extent::Matrix(matrix), operands!(mean, variance))?;
    for_float!(NAME, (x, mean, variance) => head(matrix, floor, x, mean, variance));
    Ok(())
}

fn head<T: Float>(matrix: Matrix, floor: f64, x: &[T], mean: &mut [T], variance: &mut [T]) {
    let (columns, floor) = (matrix.columns, T::from_f64(floor));
    let outputs = (rows(mean, columns), rows(variance, columns));
    for_each_block(matrix.rows, columns * HEAVY, outputs, |range, (mut mean, mut variance)| {
        T::vectorised(
            #[inline(always)]
            || {
                for (at, row) in range.enumerate() {
                    let (left, right) = row_of(x, 2 * columns, row).split_at(columns);
                    mean.row(at).copy_from_slice(left);
                    map(
                        [right],
                        variance.row(at),
                        #[inline(always)]
                        |[x]| x.softplus() + floor,
                    );
                }
            },
        );
    });
}

/// `gaussian_head_backward`, as declared.
pub(in crate::cpu) fn gaussian_head_backward(
    matrix: Matrix,
    x: View<'_>,
    grad_mean: Option<View<'_>>,
    grad_variance: Option<View<'_>>,
    grad_x: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "gaussian_head_backward";
    check(NAME, Extent::Matrix(matrix.both_halves()), operands!(x, grad_x))?;
    check(NAME, Extent::Matrix(matrix), operands!(grad_mean, grad_variance))?;
    for_float!(NAME, (x, grad_mean, grad_variance, grad_x) =>
        head_adjoint(matrix, x, grad_mean, grad_variance, grad_x));
    Ok(())
}

fn head_adjoint<T: Float>(
    matrix: Matrix,
    x: &[T],
    grad_mean: Option<&[T]>,
    grad_variance: Option<&[T]>,
    grad_x: &mut [T],
) {
    let columns = matrix.columns;
    for_each_block(matrix.rows, columns * HEAVY, rows(grad_x, 2 * columns), |range, mut grad_x| {
        T::vectorised(
            #[inline(always)]
            || {
                for (at, row) in range.enumerate() {
                    let (left, right) = grad_x.row(at).split_at_mut(columns);
                    match grad_mean {
                        Some(grad) => left.copy_from_slice(row_of(grad, columns, row)),
                        None => left.fill(T::ZERO),
                    }
                    match grad_variance {
                        Some(grad) => map(
                            [row_of(grad, columns, row), &row_of(x, 2 * columns, row)[columns..]],
                            right,
                            #[inline(always)]
                            |[grad, x]| grad * x.sigmoid(),
                        ),
                        None => right.fill(T::ZERO),
                    }
                }
            },
        );
    });
}

/// `reparameterise`, as declared.
pub(in crate::cpu) fn reparameterise(
    q: GaussianView<'_>,
    noise: View<'_>,
    out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "reparameterise";
    check(NAME, Extent::Like("out", out.len()), operands!(q, noise))?;
    for_float!(NAME, (q, noise, out) => sample(q, noise, out));
    Ok(())
}

fn sample<T: Float>(q: Gaussian<'_, T>, noise: &[T], out: &mut [T]) {
    for_each_block(
        out.len(),
        LIGHT,
        (q.mean, q.variance, noise, out),
        |_, (mean, variance, noise, out)| {
            T::vectorised(
                #[inline(always)]
                || {
                    map(
                        [mean, variance, noise],
                        out,
                        #[inline(always)]
                        |[mean, variance, noise]| mean + variance.sqrt() * noise,
                    );
                },
            );
        },
    );
}

/// `reparameterise_backward`, as declared.
pub(in crate::cpu) fn reparameterise_backward(
    variance: View<'_>,
    noise: View<'_>,
    grad_out: View<'_>,
    add: bool,
    grad: GaussianGradient<'_>,
) -> Result<()> {
    const NAME: &str = "reparameterise_backward";
    check(NAME, Extent::Like("grad_out", grad_out.len()), operands!(variance, noise, grad))?;
    for_float!(NAME, (variance, noise, grad_out, grad) =>
        sample_adjoint(variance, noise, grad_out, add, grad));
    Ok(())
}

fn sample_adjoint<T: Float>(
    variance: &[T],
    noise: &[T],
    grad_out: &[T],
    add: bool,
    grad: GaussianAdjoint<'_, T>,
) {
    let half = T::from_f64(0.5);
    let parts = (variance, noise, grad_out, grad.mean, grad.variance);
    for_each_block(
        grad_out.len(),
        LIGHT,
        parts,
        |_, (variance, noise, grad_out, grad_mean, grad_variance)| {
            T::vectorised(
                #[inline(always)]
                || {
                    if let Some(grad_mean) = grad_mean {
                        write_or_add(
                            [grad_out],
                            add,
                            grad_mean,
                            #[inline(always)]
                            |[grad]| grad,
                        );
                    }
                    if let Some(grad_variance) = grad_variance {
                        write_or_add(
                            [variance, noise, grad_out],
                            add,
                            grad_variance,
                            #[inline(always)]
                            |[variance, noise, grad]| grad * noise * half / variance.sqrt(),
                        );
                    }
                },
            );
        },
    );
}

/// out[i] = f(x[i]), or out[i] += f(x[i]).
#[inline(always)]
fn write_or_add<T: Float, const N: usize>(
    x: impl Inputs<T, N>,
    add: bool,
    out: &mut [T],
    f: impl Fn([T; N]) -> T,
) {
    if add {
        update(
            x,
            out,
            #[inline(always)]
            |out, x| out + f(x),
        );
    } else {
        map(x, out, f);
    }
}

/// `merge`, as declared.
pub(in crate::cpu) fn merge(
    first: GaussianView<'_>,
    second: GaussianView<'_>,
    mean: ViewMut<'_>,
    variance: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "merge";
    check(NAME, Extent::Like("mean", mean.len()), operands!(first, second, variance))?;
    for_float!(NAME, (first, second, mean, variance) =>
        merge_slices(first, second, mean, variance));
    Ok(())
}

fn merge_slices<T: Float>(
    first: Gaussian<'_, T>,
    second: Gaussian<'_, T>,
    mean: &mut [T],
    variance: &mut [T],
) {
    for_each_block(mean.len(), LIGHT, (mean, variance), |range, (mean, variance)| {
        let (first, second) = (first.range(range.clone()), second.range(range));
        T::vectorised(
            #[inline(always)]
            || {
                map_2(
                    [first.mean, first.variance, second.mean, second.variance],
                    [mean, variance],
                    #[inline(always)]
                    |[m1, v1, m2, v2]| {
                        let inverse_sum = T::ONE / (v1 + v2);
                        [(m1 * v2 + m2 * v1) * inverse_sum, v1 * v2 * inverse_sum]
                    },
                );
            },
        );
    });
}

/// `merge_backward`, as declared.
pub(in crate::cpu) fn merge_backward(
    first: GaussianView<'_>,
    second: GaussianView<'_>,
    grad_mean: Option<View<'_>>,
    grad_variance: Option<View<'_>>,
    grad_first: GaussianGradient<'_>,
    grad_second: GaussianGradient<'_>,
) -> Result<()> {
    const NAME: &str = "merge_backward";
    let len = first.mean.len();
    check(
        NAME,
        Extent::Like("first.mean", len),
        operands!(first, second, grad_mean, grad_variance, grad_first, grad_second),
    )?;
    for_float!(NAME, (first, second, grad_mean, grad_variance, grad_first, grad_second) => {
        merge_adjoints(first, second, [grad_mean, grad_variance], grad_first, grad_second);
    });
    Ok(())
}

fn merge_adjoints<T: Float>(
    first: Gaussian<'_, T>,
    second: Gaussian<'_, T>,
    grads: [Option<&[T]>; 2],
    grad_first: GaussianAdjoint<'_, T>,
    grad_second: GaussianAdjoint<'_, T>,
) {
    let outputs = (grad_first.mean, grad_first.variance, grad_second.mean, grad_second.variance);
    for_each_block(first.mean.len(), LIGHT, outputs, |range, (m1, v1, m2, v2)| {
        let inputs = (first.range(range.clone()), second.range(range.clone()));
        let grads = grads.map(|grad| grad.map(|grad| &grad[range.clone()]));
        T::vectorised(
            #[inline(always)]
            || merge_adjoint_of_block(range.len(), inputs, grads, [m1, v1, m2, v2]),
        );
    });
}

/// The adjoints of m₁, v₁, m₂ and v₂, those that are wanted, for a block of units.
#[inline(always)]
fn merge_adjoint_of_block<T: Float>(
    len: usize,
    (first, second): (Gaussian<'_, T>, Gaussian<'_, T>),
    [grad_mean, grad_variance]: [Option<&[T]>; 2],
    mut wanted: [Option<&mut [T]>; 4],
) {
    let zeros = [T::ZERO; TILE];
    let mut spare = [Aligned([T::ZERO; TILE]); 4];
    for tile in tiles(len) {
        let (first, second) = (first.range(tile.clone()), second.range(tile.clone()));
        let grad_mean = grad_mean.map_or(&zeros[..tile.len()], |grad| &grad[tile.clone()]);
        let grad_variance = grad_variance.map_or(&zeros[..tile.len()], |grad| &grad[tile.clone()]);
        let ([wanted_0, wanted_1, wanted_2, wanted_3], [spare_0, spare_1, spare_2, spare_3]) =
            (&mut wanted, &mut spare);
        let outputs = [
            or_scratch(wanted_0, tile.clone(), spare_0),
            or_scratch(wanted_1, tile.clone(), spare_1),
            or_scratch(wanted_2, tile.clone(), spare_2),
            or_scratch(wanted_3, tile.clone(), spare_3),
        ];
        map_4(
            [first.mean, first.variance, second.mean, second.variance, grad_mean, grad_variance],
            outputs,
            #[inline(always)]
            |[m1, v1, m2, v2, grad_mean, grad_variance]| {
                let inverse_sum = T::ONE / (v1 + v2);
                let (weight_1, weight_2) = (v2 * inverse_sum, v1 * inverse_sum);
                let pull = grad_mean * (m2 - m1) * inverse_sum;
                [
                    grad_mean * weight_1,
                    pull * weight_1 + grad_variance * weight_1 * weight_1,
                    grad_mean * weight_2,
                    grad_variance * weight_2 * weight_2 - pull * weight_2,
                ]
            },
        );
    }
}

//! The matrix product: one kernel for CPUs, and one for GPUs in three sizes of tile.

use super::context::Context;
use super::platform::Kind;
use super::program::File;
use crate::backend::Matrix;
use crate::check::{Extent, check, common_float, operands};
use crate::{DType, MatmulShape, Result, View, ViewMut};

/// What happens to a sum; the numbers are those of the kernels.
#[derive(Clone, Copy)]
pub(super) enum Mode {
    Write,
    AddBias,
    Accumulate,
}

/// Blocks of `out` that a work-item of the CPU's kernel computes, the largest first: rows, and
/// columns in vectors.
const BLOCKS: [(usize, usize); 2] = [(96, 8), (48, 4)];

/// Work-items of a group along either side of a tile.
const SIDE: usize = 16;

/// Inner indices of both operands that a tile's group keeps in local memory: STEP of
/// `matmul_tiles.cl`.
const STEP: usize = 16;

/// Local memory that OpenCL promises of any device with its full profile.
const LOCAL_BYTES: usize = 32 * 1024;

/// `matmul`, as declared.
pub(super) fn matmul(
    context: &Context,
    shape: MatmulShape,
    left: View<'_>,
    right: View<'_>,
    bias: Option<View<'_>>,
    out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "matmul";
    check(NAME, Extent::Columns(shape.columns), operands!(bias))?;
    let mode = if bias.is_some() { Mode::AddBias } else { Mode::Write };
    product(context, NAME, shape, mode, left, right, bias, out)
}

/// `matmul_accumulate`, as declared.
pub(super) fn matmul_accumulate(
    context: &Context,
    shape: MatmulShape,
    left: View<'_>,
    right: View<'_>,
    out: ViewMut<'_>,
) -> Result<()> {
    product(context, "matmul_accumulate", shape, Mode::Accumulate, left, right, None, out)
}

fn product(
    context: &Context,
    name: &'static str,
    shape: MatmulShape,
    mode: Mode,
    left: View<'_>,
    right: View<'_>,
    bias: Option<View<'_>>,
    out: ViewMut<'_>,
) -> Result<()> {
    let stored = |rows, columns, transposed| {
        Extent::Matrix(if transposed {
            Matrix { rows: columns, columns: rows }
        } else {
            Matrix { rows, columns }
        })
    };
    check(name, stored(shape.rows, shape.inner, shape.left_transposed), operands!(left))?;
    check(name, stored(shape.inner, shape.columns, shape.right_transposed), operands!(right))?;
    check(name, stored(shape.rows, shape.columns, false), operands!(out))?;
    let dtype = common_float(name, operands!(left, right, bias, out))?;
    if shape.inner == 0 && matches!(mode, Mode::Accumulate) {
        return Ok(());
    }
    let searched = if dtype == DType::F32 { context.choices().get(&shape) } else { None };
    let file = searched.unwrap_or_else(|| by_size(context, shape, dtype));
    run(context, name, file, shape, mode, Operands { left, right, bias }, out)
}

/// What a product reads.
pub(super) struct Operands<'a> {
    pub(super) left: View<'a>,
    pub(super) right: View<'a>,
    pub(super) bias: Option<View<'a>>,
}

/// Launches the kernel of a file; the operands fit the shape.
pub(super) fn run(
    context: &Context,
    name: &'static str,
    file: File,
    shape: MatmulShape,
    mode: Mode,
    Operands { left, right, bias }: Operands<'_>,
    mut out: ViewMut<'_>,
) -> Result<()> {
    let dtype = out.dtype();
    let launch = context.launch(name, dtype, file, "matmul");
    let launch = launch.count(shape.rows).count(shape.columns).count(shape.inner);
    let (left_row, left_inner) =
        if shape.left_transposed { (1, shape.rows) } else { (shape.inner, 1) };
    let (right_inner, right_column) =
        if shape.right_transposed { (1, shape.inner) } else { (shape.columns, 1) };
    let launch = launch.count(left_row).count(left_inner).count(right_inner).count(right_column);
    let launch =
        launch.word(mode as u32).input(left).input(right).input_or_null(bias).output(&mut out);
    let (rows, columns, group) = grid(context, file, shape, dtype);
    launch.run([columns, rows, 1], group)
}

/// The kernel for a product: with the largest block or tile that still gives every compute unit
/// enough to do.
pub(super) fn by_size(context: &Context, shape: MatmulShape, dtype: DType) -> File {
    let width = context.cut.width(dtype);
    let count =
        |rows: usize, columns: usize| shape.rows.div_ceil(rows) * shape.columns.div_ceil(columns);
    if context.kind == Kind::Cpu {
        let fits = |&(rows, vectors): &(usize, usize)| {
            count(rows, vectors * width) >= 2 * context.compute_units
        };
        let (rows, vectors) = BLOCKS.into_iter().find(fits).unwrap_or(BLOCKS[BLOCKS.len() - 1]);
        return File::MatmulBlocks(rows, vectors);
    }
    let local_bytes = |tile: usize| 2 * STEP * (tile + 1) * dtype.size_bytes();
    let fits = |&tile: &usize| {
        count(tile, tile) >= context.compute_units && local_bytes(tile) <= LOCAL_BYTES
    };
    let tile = [128, 64].into_iter().find(fits);
    File::MatmulTiles(tile.unwrap_or(32))
}

/// Groups along rows and columns, and the size of a group.
fn grid(
    context: &Context,
    file: File,
    shape: MatmulShape,
    dtype: DType,
) -> (usize, usize, [usize; 3]) {
    let (rows, columns, group) = match file {
        File::MatmulBlocks(rows, vectors) => (rows, vectors * context.cut.width(dtype), [1, 1, 1]),
        File::MatmulTiles(tile) => (tile, tile, [SIDE, SIDE, 1]),
        _ => unreachable!("bug: a product in a file without one; please report it"),
    };
    (shape.rows.div_ceil(rows), shape.columns.div_ceil(columns), group)
}

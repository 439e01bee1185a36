//! The matrix product: one kernel for CPUs, and one for GPUs in three sizes of tile, which may cut
//! the inner axis into parts that a second launch adds.

use std::sync::Arc;

use super::context::Context;
use super::platform::Kind;
use super::program::File;
use crate::backend::Matrix;
use crate::check::{Extent, check, common_float, operands};
use crate::{DType, Error, MatmulShape, Precision, Result, View, ViewMut};

/// What happens to a sum; the numbers are those of the kernels.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mode {
    Write,
    AddBias,
    Accumulate,
}

/// Blocks of `out` that a work-item of the CPU's kernel computes, the largest first: rows, and
/// columns in vectors.
const BLOCKS: [(usize, usize); 2] = [(96, 8), (48, 4)];

/// Rows and columns of a tile, the largest first.
const TILES: [usize; 3] = [128, 64, 32];

/// A part of the inner axis is a multiple of this: the longest step of `matmul_tiles.cl`.
const LONGEST_STEP: usize = 16;

/// The shortest part: what begins and ends a group costs more than shorter ones save.
const LEAST_PART: usize = 128;

/// The inner indices that parts must save each group of, to be worth their second launch. An
/// estimate, which a search does without: some 13 ns an inner index for a group of the smallest
/// tile that has a multiprocessor to itself, and some 3 µs for a launch and for what it reads.
const WORTH_A_LAUNCH: usize = 256;

/// Parts that the inner axis is cut into, at most.
const MOST_PARTS: usize = 16;

/// How a product is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// On a CPU: blocks of so many rows, and columns in vectors.
    Blocks { rows: usize, vectors: usize },
    /// On a GPU: tiles of so many rows and columns, with the inner axis in parts.
    Tiles { tile: usize, parts: usize },
}

/// A form of the kernel for GPUs; see `cl/matmul_tiles.cl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TileForm {
    pub(super) tile: usize,
    pub(super) left_along_inner: bool,
    pub(super) right_along_inner: bool,
    pub(super) is_aligned: bool,
}

impl TileForm {
    /// Which operands lie along the inner axis: `FORM` of the kernel.
    pub(super) fn bits(self) -> u32 {
        u32::from(self.left_along_inner) | u32::from(self.right_along_inner) << 1
    }

    /// Whether products of two forms can be in one launch, wherever their operands lie.
    pub(super) fn joins(self, other: Self) -> bool {
        (self.tile, self.is_aligned) == (other.tile, other.is_aligned)
    }
}

/// Work-items of a tile's group, along columns and rows.
const fn items(tile: usize) -> [usize; 2] {
    match tile {
        128 => [16, 16],
        64 => [16, 8],
        _ => [8, 8],
    }
}

/// Whether products of a float type use a tile: in f64 the sums of a larger one are more than some
/// devices have registers for.
pub(super) fn has_tile(tile: usize, dtype: DType) -> bool {
    dtype == DType::F32 || tile == TILES[TILES.len() - 1]
}

/// Local memory of a tile's group: two places of both operands.
const fn local_bytes(tile: usize, dtype: DType) -> usize {
    let step = if tile == 128 { 8 } else { 16 };
    2 * 2 * step * (tile + 4) * dtype.size_bytes()
}

impl Plan {
    /// The plans for a kind of device.
    pub(super) fn all(kind: Kind) -> Vec<Self> {
        match kind {
            Kind::Cpu => [96, 48, 24, 12]
                .into_iter()
                .flat_map(|rows| [8, 4, 2].map(|vectors| Self::Blocks { rows, vectors }))
                .collect(),
            Kind::Gpu => TILES
                .into_iter()
                .flat_map(|tile| [1, 2, 4, 8, 16].map(|parts| Self::Tiles { tile, parts }))
                .collect(),
        }
    }

    /// Whether the device has room for it and the shape can be cut so.
    pub(super) fn fits(self, context: &Context, shape: MatmulShape, dtype: DType) -> bool {
        match self {
            Self::Blocks { .. } => context.kind == Kind::Cpu,
            Self::Tiles { tile, parts } => {
                let [x, y] = items(tile);
                // Intel's GPUs with registers of eight floats have not enough for 64 sums.
                let has_registers = tile < 128 || context.least_sub_group != Some(8);
                has_tile(tile, dtype)
                    && has_registers
                    && x * y <= context.group_limit
                    && local_bytes(tile, dtype) <= context.local_bytes
                    && (parts == 1 || shape.inner >= parts * LEAST_PART)
            }
        }
    }

    /// The same with smaller tiles, if there are any.
    fn smaller(self) -> Option<Self> {
        let Self::Tiles { tile, parts } = self else { return None };
        let at = TILES.iter().position(|&one| one == tile)?;
        TILES.get(at + 1).map(|&tile| Self::Tiles { tile, parts })
    }

    /// The plan in words of a line: how choices are kept.
    pub(super) fn label(self) -> String {
        match self {
            Self::Blocks { rows, vectors } => format!("blocks {rows} {vectors}"),
            Self::Tiles { tile, parts } => format!("tiles {tile} {parts}"),
        }
    }
}

/// Every program of the product for a kind of device.
pub(super) fn files(kind: Kind) -> Vec<File> {
    if kind == Kind::Cpu {
        let file = |plan| match plan {
            Plan::Blocks { rows, vectors } => Some(File::MatmulBlocks(rows, vectors)),
            Plan::Tiles { .. } => None,
        };
        return Plan::all(kind).into_iter().filter_map(file).collect();
    }
    let forms = TILES.into_iter().flat_map(|tile| {
        (0..8).map(move |bits| TileForm {
            tile,
            left_along_inner: bits & 1 != 0,
            right_along_inner: bits & 2 != 0,
            is_aligned: bits & 4 != 0,
        })
    });
    forms.map(File::MatmulTiles).collect()
}

/// `matmul`, as declared.
pub(super) fn matmul(
    context: &Arc<Context>,
    shape: MatmulShape,
    precision: Precision,
    left: View<'_>,
    right: View<'_>,
    bias: Option<View<'_>>,
    out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "matmul";
    refuse_rounding(NAME, precision)?;
    check(NAME, Extent::Columns(shape.columns), operands!(bias))?;
    let mode = if bias.is_some() { Mode::AddBias } else { Mode::Write };
    product(context, NAME, shape, mode, left, right, bias, out)
}

/// `matmul_accumulate`, as declared.
pub(super) fn matmul_accumulate(
    context: &Arc<Context>,
    shape: MatmulShape,
    precision: Precision,
    left: View<'_>,
    right: View<'_>,
    out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "matmul_accumulate";
    refuse_rounding(NAME, precision)?;
    product(context, NAME, shape, Mode::Accumulate, left, right, None, out)
}

/// Refuses any precision but the full one: the kernels have no other products.
fn refuse_rounding(name: &'static str, precision: Precision) -> Result<()> {
    match precision {
        Precision::Full => Ok(()),
        Precision::BFloat16 => Err(Error::argument(name, "no products in bfloat16 on OpenCL")),
    }
}

fn product(
    context: &Arc<Context>,
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
    if shape.out_len() == 0 || (shape.inner == 0 && matches!(mode, Mode::Accumulate)) {
        return Ok(());
    }
    let searched = if dtype == DType::F32 { context.choices().get(&shape) } else { None };
    let searched = searched.filter(|plan| plan.fits(context, shape, dtype));
    let plan = searched.unwrap_or_else(|| by_size(context, shape, dtype));
    run(context, name, plan, shape, mode, Operands { left, right, bias }, out)
}

/// What a product reads.
#[derive(Clone, Copy)]
pub(super) struct Operands<'a> {
    pub(super) left: View<'a>,
    pub(super) right: View<'a>,
    pub(super) bias: Option<View<'a>>,
}

/// Launches the kernels of a plan; the operands fit the shape.
pub(super) fn run(
    context: &Arc<Context>,
    name: &'static str,
    plan: Plan,
    shape: MatmulShape,
    mode: Mode,
    operands: Operands<'_>,
    out: ViewMut<'_>,
) -> Result<()> {
    match plan {
        Plan::Blocks { rows, vectors } => {
            in_blocks(context, name, (rows, vectors), shape, mode, operands, out)
        }
        Plan::Tiles { tile, parts } => {
            in_tiles(context, name, (tile, parts), shape, mode, operands, out)
        }
    }
}

fn in_blocks(
    context: &Context,
    name: &'static str,
    (rows, vectors): (usize, usize),
    shape: MatmulShape,
    mode: Mode,
    Operands { left, right, bias }: Operands<'_>,
    mut out: ViewMut<'_>,
) -> Result<()> {
    let dtype = out.dtype();
    let launch = context.launch(name, dtype, File::MatmulBlocks(rows, vectors), "matmul");
    let launch = launch.count(shape.rows).count(shape.columns).count(shape.inner);
    let (left_row, left_inner) =
        if shape.left_transposed { (1, shape.rows) } else { (shape.inner, 1) };
    let (right_inner, right_column) =
        if shape.right_transposed { (1, shape.inner) } else { (shape.columns, 1) };
    let launch = launch.count(left_row).count(left_inner).count(right_inner).count(right_column);
    let launch =
        launch.word(mode as u32).input(left).input(right).input_or_null(bias).output(&mut out);
    let columns = vectors * context.cut.width(dtype);
    let blocks = [shape.columns.div_ceil(columns), shape.rows.div_ceil(rows), 1];
    launch.joinable().run(blocks, [1, 1, 1])
}

fn in_tiles(
    context: &Arc<Context>,
    name: &'static str,
    (tile, parts): (usize, usize),
    shape: MatmulShape,
    mode: Mode,
    operands: Operands<'_>,
    mut out: ViewMut<'_>,
) -> Result<()> {
    let Operands { left, right, bias } = operands;
    let dtype = out.dtype();
    let part = shape.inner.div_ceil(parts).max(1).next_multiple_of(LONGEST_STEP);
    let parts = shape.inner.div_ceil(part).max(1);
    let (left_along_inner, right_along_inner) = (!shape.left_transposed, shape.right_transposed);
    let left_stride = if left_along_inner { shape.inner } else { shape.rows };
    let right_stride = if right_along_inner { shape.inner } else { shape.columns };
    let views = [Some(left), Some(right), bias, Some(out.as_view())];
    let is_aligned = [shape.inner, left_stride, right_stride, shape.columns]
        .into_iter()
        .chain(views.into_iter().flatten().map(|view| context.first_of(view)))
        .all(|number| number % 4 == 0)
        && shape.inner > 0;
    let form = TileForm { tile, left_along_inner, right_along_inner, is_aligned };
    let file = File::MatmulTiles(form);
    let [x, y] = items(tile);
    if context.group_limit_of(name, file, dtype, "matmul")? < x * y
        && let Some(smaller) = (Plan::Tiles { tile, parts }).smaller()
    {
        return run(context, name, smaller, shape, mode, operands, out);
    }

    let multiply = |mode: Mode, bias, out: &mut ViewMut<'_>| {
        let launch = context.launch(name, dtype, file, "matmul").word(form.bits());
        let launch = launch.count(shape.rows).count(shape.columns).count(shape.inner);
        let launch = launch.count(left_stride).count(right_stride).count(part).word(mode as u32);
        let launch = launch.input(left).input(right).input_or_null(bias).output(out);
        let tiles = [shape.columns.div_ceil(tile), shape.rows.div_ceil(tile), parts];
        let launch = if tile < TILES[0] { launch.joinable() } else { launch };
        launch.run(tiles, [x, y, 1])
    };
    if parts == 1 {
        return multiply(mode, bias, &mut out);
    }
    let mut sums = Context::allocate(context, dtype, parts * shape.out_len())?;
    let fresh = sums.get_mut().expect("bug: a fresh buffer is shared; please report it");
    multiply(Mode::Write, None, &mut fresh.view_mut())?;
    let launch = context.launch(name, dtype, file, "add_parts").count(shape.out_len());
    let launch = launch.count(shape.columns).count(parts).word(mode as u32);
    let launch = launch.input(sums.view()).input_or_null(bias).output(&mut out);
    launch.joinable().over_items(shape.out_len())
}

/// The plan for a product without a search: the largest block or tile that still gives every
/// compute unit enough to do, and parts of the inner axis where even the smallest do not.
pub(super) fn by_size(context: &Context, shape: MatmulShape, dtype: DType) -> Plan {
    let count =
        |rows: usize, columns: usize| shape.rows.div_ceil(rows) * shape.columns.div_ceil(columns);
    if context.kind == Kind::Cpu {
        let width = context.cut.width(dtype);
        let fits = |&(rows, vectors): &(usize, usize)| {
            count(rows, vectors * width) >= 2 * context.compute_units
        };
        let (rows, vectors) = BLOCKS.into_iter().find(fits).unwrap_or(BLOCKS[BLOCKS.len() - 1]);
        return Plan::Blocks { rows, vectors };
    }
    let fits = |tile, parts| (Plan::Tiles { tile, parts }).fits(context, shape, dtype);
    let smallest = TILES[TILES.len() - 1];
    // Where a quarter of the device has nothing to do, the rest is not slower for it.
    let keeps_busy = |groups: usize| 4 * groups >= 3 * context.compute_units;
    let whole = TILES.into_iter().find(|&tile| fits(tile, 1) && keeps_busy(count(tile, tile)));
    if let Some(tile) = whole {
        return Plan::Tiles { tile, parts: 1 };
    }
    // Few results: the largest tile whose parts keep the device busy.
    let in_parts = TILES.into_iter().find_map(|tile| {
        let parts = context.compute_units.div_ceil(count(tile, tile).max(1));
        (parts <= MOST_PARTS && fits(tile, parts)).then_some((tile, parts))
    });
    let (tile, parts) =
        in_parts.unwrap_or((smallest, (shape.inner / LEAST_PART).clamp(1, MOST_PARTS)));
    let saved = shape.inner - shape.inner / parts;
    if saved < WORTH_A_LAUNCH {
        return Plan::Tiles { tile: smallest, parts: 1 };
    }
    Plan::Tiles { tile, parts }
}

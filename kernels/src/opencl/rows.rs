//! Rows moved about. Kernels are chosen by the size of an element.

use super::context::Context;
use super::memory::{index_bound, set_index_bound};
use super::program::File;
use super::transfer::download;
use crate::backend::Matrix;
use crate::check::{
    Extent, check, check_indices, common_float, not_indices, operands, row_count, unequal_dtypes,
};
use crate::shape::Block;
use crate::{DType, Error, Result, View, ViewMut};

/// The float type that files without floats are compiled for.
pub(super) const ANY: DType = DType::F32;

/// One of three kernels, by the size of an element.
const fn by_size(dtype: DType, [one, four, eight]: [&'static str; 3]) -> &'static str {
    match dtype.size_bytes() {
        1 => one,
        4 => four,
        _ => eight,
    }
}

/// Refuses unequal dtypes; indices that are moved stay below the bound they had.
fn moved(
    operation: &'static str,
    context: &Context,
    x: View<'_>,
    out: &ViewMut<'_>,
) -> Result<DType> {
    if x.dtype() != out.dtype() {
        return Err(unequal_dtypes(operation, x.dtype(), out.dtype()));
    }
    let from = context.slice(operation, x)?;
    context.slice(operation, out.as_view())?;
    if let (DType::U32, ViewMut::Device(to)) = (x.dtype(), out) {
        set_index_bound(to, index_bound(from));
    }
    Ok(x.dtype())
}

/// `copy_block`, as declared.
pub(super) fn copy_block(
    context: &Context,
    block: Block,
    x: View<'_>,
    mut out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "copy_block";
    if block.rows == 0 || block.width == 0 {
        return Ok(());
    }
    if block.rows > 1 && block.width > block.to_stride {
        return Err(Error::argument(
            NAME,
            format!("rows of {} elements overlap at a stride of {}", block.width, block.to_stride),
        ));
    }
    let reach = |stride: usize, offset: usize| {
        (block.rows - 1).checked_mul(stride)?.checked_add(offset)?.checked_add(block.width)
    };
    let sides = [
        ("x", x.len(), block.from_stride, block.from_offset),
        ("out", out.len(), block.to_stride, block.to_offset),
    ];
    for (name, len, stride, offset) in sides {
        if reach(stride, offset).is_none_or(|end| end > len) {
            return Err(Error::argument(
                NAME,
                format!("{name} has {len} elements, which {block:?} leaves"),
            ));
        }
    }
    let dtype = moved(NAME, context, x, &out)?;
    let (x, mut out) =
        (x.range(block.from_offset..x.len()), from_element(&mut out, block.to_offset));
    let kernel = by_size(dtype, ["copy_block_1", "copy_block_4", "copy_block_8"]);
    let launch = context.launch(NAME, ANY, File::Rows, kernel);
    let launch = launch.count(block.width).count(block.from_stride).count(block.to_stride);
    launch.input(x).output(&mut out).over_rows(block.width, block.rows)
}

/// The elements from `first` on.
fn from_element<'a>(out: &'a mut ViewMut<'_>, first: usize) -> ViewMut<'a> {
    let len = out.len();
    out.reborrow().range(first..len)
}

/// `transpose`, as declared.
pub(super) fn transpose(
    context: &Context,
    batch: usize,
    matrix: Matrix,
    x: View<'_>,
    mut out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "transpose";
    let all = Matrix { rows: batch.saturating_mul(matrix.rows), columns: matrix.columns };
    check(NAME, Extent::Matrix(all), operands!(x, out))?;
    let dtype = moved(NAME, context, x, &out)?;
    let kernel = by_size(dtype, ["transpose_1", "transpose_4", "transpose_8"]);
    let launch =
        context.launch(NAME, ANY, File::Rows, kernel).count(matrix.rows).count(matrix.columns);
    // Neighbouring work-items write neighbours.
    let group = context.cut.row_group;
    launch
        .input(x)
        .output(&mut out)
        .run([matrix.rows.div_ceil(group), matrix.columns, batch], [group, 1, 1])
}

/// `gather_rows`, as declared.
pub(super) fn gather_rows(
    context: &Context,
    columns: usize,
    x: View<'_>,
    indices: View<'_>,
    mut out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "gather_rows";
    let rows = indices.len();
    check(NAME, Extent::Matrix(Matrix { rows, columns }), operands!(out))?;
    let row_count = row_count(NAME, "x", x.len(), columns)?;
    checked_indices(context, NAME, "indices", indices, (columns > 0).then_some(row_count))?;
    let dtype = moved(NAME, context, x, &out)?;
    let kernel = by_size(dtype, ["gather_rows_1", "gather_rows_4", "gather_rows_8"]);
    let launch = context.launch(NAME, ANY, File::Rows, kernel).count(columns);
    launch.input(x).input(indices).output(&mut out).over_rows(columns, rows)
}

/// `gather_rows_backward`, as declared.
pub(super) fn gather_rows_backward(
    context: &Context,
    columns: usize,
    indices: View<'_>,
    grad_out: View<'_>,
    mut grad_x: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "gather_rows_backward";
    let count = indices.len();
    check(NAME, Extent::Matrix(Matrix { rows: count, columns }), operands!(grad_out))?;
    let rows = row_count(NAME, "grad_x", grad_x.len(), columns)?;
    checked_indices(context, NAME, "indices", indices, (columns > 0).then_some(rows))?;
    let dtype = common_float(NAME, operands!(grad_out, grad_x))?;
    let launch =
        context.launch(NAME, dtype, File::Rows, "gather_rows_backward").count(columns).count(count);
    launch.input(indices).input(grad_out).output(&mut grad_x).over_rows(columns, rows)
}

/// `repeat_rows`, as declared.
pub(super) fn repeat_rows(
    context: &Context,
    matrix: Matrix,
    times: usize,
    x: View<'_>,
    mut out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "repeat_rows";
    let rows = matrix.rows.saturating_mul(times);
    check(NAME, Extent::Matrix(matrix), operands!(x))?;
    check(NAME, Extent::Matrix(Matrix { rows, ..matrix }), operands!(out))?;
    let dtype = moved(NAME, context, x, &out)?;
    let kernel = by_size(dtype, ["repeat_rows_1", "repeat_rows_4", "repeat_rows_8"]);
    let launch = context.launch(NAME, ANY, File::Rows, kernel).count(matrix.columns).count(times);
    launch.input(x).output(&mut out).over_rows(matrix.columns, rows)
}

/// Refuses indices of another type, and those not below `count` (if there is one).
///
/// The bound that was seen when they were uploaded settles it without waiting for the device. Only
/// if it does not, which is so for indices that were computed on the device, and for those that
/// will be refused, they are read back and looked at one by one.
pub(super) fn checked_indices(
    context: &Context,
    operation: &'static str,
    name: &'static str,
    indices: View<'_>,
    count: Option<usize>,
) -> Result<()> {
    if indices.dtype() != DType::U32 {
        return Err(not_indices(operation, name, indices.dtype()));
    }
    let slice = context.slice(operation, indices)?;
    let Some(count) = count else { return Ok(()) };
    if slice.len == 0 || index_bound(slice).is_some_and(|bound| bound <= count as u64) {
        return Ok(());
    }
    let mut host = vec![0; slice.len];
    download(context, indices, ViewMut::U32(&mut host))?;
    check_indices(operation, name, &host, count)
}

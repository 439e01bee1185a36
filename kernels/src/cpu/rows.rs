//! Rows moved about: rectangles, transposition, gathering, repetition. Nothing is computed but one
//! sum, the adjoint of gathering.

use super::lanes::update;
use super::parallel::{LIGHT, Rows, for_each_block, for_each_block_of, rows};
use super::typed::{
    Extent, Float, check, check_indices, for_any, for_float, indices_of, operands, row_count,
};
use crate::backend::Matrix;
use crate::shape::Block;
use crate::{Error, Result, View, ViewMut};

/// Rows and columns that are transposed together: 16 lines of 64 bytes on either side stay in the
/// first-level cache.
const TRANSPOSE_TILE: usize = 16;

/// Ranges of rows into which a scattering sum is cut; each task reads all indices.
const SCATTER_PARTS: usize = 16;

/// `copy_block`, as declared.
pub(super) fn copy_block(block: Block, x: View<'_>, out: ViewMut<'_>) -> Result<()> {
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
    for_any!(NAME, x, out => copy_rectangle(block, x, out));
    Ok(())
}

fn copy_rectangle<T: Copy + Send + Sync>(block: Block, x: &[T], out: &mut [T]) {
    let stride = block.to_stride.max(block.width);
    let out = &mut out[block.to_offset..];
    let end = out.len().min(block.rows * stride);
    for_each_block(
        block.rows,
        block.width,
        rows(&mut out[..end], stride),
        |range, Rows { slice: out, .. }| {
            for (row, out) in out.chunks_mut(stride).enumerate() {
                let from = (range.start + row) * block.from_stride + block.from_offset;
                out[..block.width].copy_from_slice(&x[from..from + block.width]);
            }
        },
    );
}

/// `transpose`, as declared.
pub(super) fn transpose(batch: usize, matrix: Matrix, x: View<'_>, out: ViewMut<'_>) -> Result<()> {
    const NAME: &str = "transpose";
    let all = Matrix { rows: batch.saturating_mul(matrix.rows), columns: matrix.columns };
    check(NAME, Extent::Matrix(all), operands!(x, out))?;
    for_any!(NAME, x, out => transpose_slices(matrix, x, out));
    Ok(())
}

fn transpose_slices<T: Copy + Send + Sync>(matrix: Matrix, x: &[T], out: &mut [T]) {
    if x.is_empty() {
        return;
    }
    for (x, out) in
        x.chunks_exact(matrix.element_count()).zip(out.chunks_exact_mut(matrix.element_count()))
    {
        for_each_block_of(
            TRANSPOSE_TILE,
            matrix.columns,
            matrix.rows,
            rows(out, matrix.rows),
            |range, Rows { slice: out, .. }| {
                transpose_strip(matrix, range.start, x, out);
            },
        );
    }
}

/// Writes the rows of the transposed matrix that start at `first`.
fn transpose_strip<T: Copy>(matrix: Matrix, first: usize, x: &[T], out: &mut [T]) {
    for start in (0..matrix.rows).step_by(TRANSPOSE_TILE) {
        let end = matrix.rows.min(start + TRANSPOSE_TILE);
        for (column, out) in out.chunks_exact_mut(matrix.rows).enumerate() {
            for (row, out) in (start..end).zip(&mut out[start..end]) {
                *out = x[row * matrix.columns + first + column];
            }
        }
    }
}

/// `gather_rows`, as declared.
pub(super) fn gather_rows(
    columns: usize,
    x: View<'_>,
    indices: View<'_>,
    out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "gather_rows";
    let indices = indices_of(NAME, "indices", indices)?;
    check(NAME, Extent::Matrix(Matrix { rows: indices.len(), columns }), operands!(out))?;
    let row_count = row_count(NAME, "x", x.len(), columns)?;
    if columns > 0 {
        check_indices(NAME, "indices", indices, row_count)?;
    }
    for_any!(NAME, x, out => gather(columns, x, indices, out));
    Ok(())
}

fn gather<T: Copy + Send + Sync>(columns: usize, x: &[T], indices: &[u32], out: &mut [T]) {
    for_each_block(
        indices.len(),
        columns,
        (indices, rows(out, columns)),
        |_, (indices, Rows { slice: out, .. })| {
            for (&index, out) in indices.iter().zip(out.chunks_exact_mut(columns.max(1))) {
                let start = index as usize * columns;
                out.copy_from_slice(&x[start..start + columns]);
            }
        },
    );
}

/// `gather_rows_backward`, as declared.
pub(super) fn gather_rows_backward(
    columns: usize,
    indices: View<'_>,
    grad_out: View<'_>,
    grad_x: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "gather_rows_backward";
    let indices = indices_of(NAME, "indices", indices)?;
    check(NAME, Extent::Matrix(Matrix { rows: indices.len(), columns }), operands!(grad_out))?;
    let row_count = row_count(NAME, "grad_x", grad_x.len(), columns)?;
    if columns == 0 {
        return Ok(());
    }
    check_indices(NAME, "indices", indices, row_count)?;
    for_float!(NAME, (grad_out, grad_x) => scatter(columns, indices, grad_out, grad_x));
    Ok(())
}

/// Each task owns a range of rows of `grad_x` and takes, in their order, the rows of `grad_out`
/// that belong there.
fn scatter<T: Float>(columns: usize, indices: &[u32], grad_out: &[T], grad_x: &mut [T]) {
    let row_count = grad_x.len() / columns;
    let work = columns + indices.len() * columns / row_count.max(1);
    let block = row_count.div_ceil(SCATTER_PARTS);
    for_each_block_of(
        block,
        row_count,
        work,
        rows(grad_x, columns),
        |range, Rows { slice: grad_x, .. }| {
            grad_x.fill(T::ZERO);
            for (&index, grad_out) in indices.iter().zip(grad_out.chunks_exact(columns)) {
                if range.contains(&(index as usize)) {
                    let start = (index as usize - range.start) * columns;
                    add_row(grad_out, &mut grad_x[start..start + columns]);
                }
            }
        },
    );
}

fn add_row<T: Float>(x: &[T], out: &mut [T]) {
    T::vectorised(
        #[inline(always)]
        || {
            update(
                [x],
                out,
                #[inline(always)]
                |out, [x]| out + x,
            );
        },
    );
}

/// `repeat_rows`, as declared.
pub(super) fn repeat_rows(
    matrix: Matrix,
    times: usize,
    x: View<'_>,
    out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "repeat_rows";
    check(NAME, Extent::Matrix(matrix), operands!(x))?;
    check(
        NAME,
        Extent::Matrix(Matrix { rows: matrix.rows.saturating_mul(times), ..matrix }),
        operands!(out),
    )?;
    for_any!(NAME, x, out => repeat(matrix, times, x, out));
    Ok(())
}

fn repeat<T: Copy + Send + Sync>(matrix: Matrix, times: usize, x: &[T], out: &mut [T]) {
    if out.is_empty() {
        return;
    }
    let columns = matrix.columns;
    for_each_block(
        matrix.rows * times,
        columns * LIGHT,
        rows(out, columns),
        |range, Rows { slice: out, .. }| {
            for (row, out) in out.chunks_exact_mut(columns).enumerate() {
                let start = (range.start + row) / times * columns;
                out.copy_from_slice(&x[start..start + columns]);
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::super::testing::{normals, same_on_any_threads};
    use super::*;

    #[test]
    fn a_block_lands_in_its_place_and_nowhere_else() {
        let x = [1u8, 2, 3, 4, 5, 6];
        let mut out = [0u8; 10];
        let block =
            Block { rows: 2, width: 2, from_stride: 3, from_offset: 1, to_stride: 5, to_offset: 3 };
        copy_block(block, View::U8(&x), ViewMut::U8(&mut out)).unwrap();
        assert_eq!(out, [0, 0, 0, 2, 3, 0, 0, 0, 5, 6]);
        let error = copy_block(Block { rows: 3, ..block }, View::U8(&x), ViewMut::U8(&mut out))
            .unwrap_err();
        assert!(error.to_string().starts_with("copy_block: x has 6 elements"), "{error}");
        let error =
            copy_block(Block { to_stride: 1, ..block }, View::U8(&x), ViewMut::U8(&mut out))
                .unwrap_err();
        assert!(error.to_string().contains("overlap"), "{error}");
    }

    #[test]
    fn large_blocks_are_copied_whole() {
        let x = normals(1, 300 * 301);
        let block = Block {
            rows: 300,
            width: 257,
            from_stride: 301,
            from_offset: 40,
            to_stride: 260,
            to_offset: 2,
        };
        let out = same_on_any_threads(|| {
            let mut out = vec![-9f32; 300 * 260];
            copy_block(block, View::F32(&x), ViewMut::F32(&mut out)).unwrap();
            out
        });
        for (i, out) in out.iter().enumerate() {
            let (row, column) = (i / 260, (i % 260).wrapping_sub(2));
            assert_eq!(*out, if column < 257 { x[row * 301 + 40 + column] } else { -9.0 }, "{i}");
        }
    }

    #[test]
    fn transposition_exchanges_indices() {
        for (batch, rows, columns) in
            [(1, 1, 1), (3, 5, 7), (2, 131, 257), (1, 0, 4), (0, 2, 2), (1, 300, 301)]
        {
            let x = normals(2, batch * rows * columns);
            let out = same_on_any_threads(|| {
                let mut out = vec![0f32; x.len()];
                transpose(batch, Matrix { rows, columns }, View::F32(&x), ViewMut::F32(&mut out))
                    .unwrap();
                out
            });
            for (i, x) in x.iter().enumerate() {
                let (b, r, c) = (i / (rows * columns), i / columns % rows, i % columns);
                assert_eq!(out[(b * columns + c) * rows + r], *x);
            }
        }
    }

    #[test]
    fn gathering_and_its_adjoint_agree_with_loops() {
        for (row_count, columns, taken) in
            [(1, 1, 1), (5, 3, 0), (37, 129, 401), (1000, 2, 3), (7, 0, 4)]
        {
            let x = normals(3, row_count * columns);
            let indices: Vec<u32> =
                (0..taken as u32).map(|i| i * i * 31 % row_count as u32).collect();
            let grad_out = normals(4, taken * columns);
            let (out, grad_x) = same_on_any_threads(|| {
                let (mut out, mut grad_x) = (vec![0f32; taken * columns], vec![9f32; x.len()]);
                gather_rows(columns, View::F32(&x), View::U32(&indices), ViewMut::F32(&mut out))
                    .unwrap();
                gather_rows_backward(
                    columns,
                    View::U32(&indices),
                    View::F32(&grad_out),
                    ViewMut::F32(&mut grad_x),
                )
                .unwrap();
                (out, grad_x)
            });
            let mut expected = vec![0f32; x.len()];
            for (r, &index) in indices.iter().enumerate() {
                for c in 0..columns {
                    assert_eq!(out[r * columns + c], x[index as usize * columns + c]);
                    expected[index as usize * columns + c] += grad_out[r * columns + c];
                }
            }
            assert_eq!(grad_x, expected);
        }
    }

    #[test]
    fn an_index_outside_is_refused() {
        let error =
            gather_rows(2, View::F32(&[0.0; 6]), View::U32(&[0, 3]), ViewMut::F32(&mut [0.0; 4]))
                .unwrap_err();
        assert_eq!(error.to_string(), "gather_rows: indices[1] is 3, which must be below 3");
        let error =
            gather_rows(2, View::F32(&[0.0; 5]), View::U32(&[0]), ViewMut::F32(&mut [0.0; 2]))
                .unwrap_err();
        assert_eq!(
            error.to_string(),
            "gather_rows: x has 5 elements, which are no whole rows of 2 columns"
        );
        let error =
            gather_rows(2, View::F32(&[0.0; 6]), View::F32(&[0.0]), ViewMut::F32(&mut [0.0; 2]))
                .unwrap_err();
        assert_eq!(error.to_string(), "gather_rows: indices must be u32: indices f32");
    }

    #[test]
    fn rows_repeat_one_after_the_other() {
        let mut out = [0u32; 8];
        repeat_rows(
            Matrix { rows: 2, columns: 2 },
            2,
            View::U32(&[1, 2, 3, 4]),
            ViewMut::U32(&mut out),
        )
        .unwrap();
        assert_eq!(out, [1, 2, 1, 2, 3, 4, 3, 4]);
        repeat_rows(
            Matrix { rows: 2, columns: 2 },
            0,
            View::U32(&[1, 2, 3, 4]),
            ViewMut::U32(&mut []),
        )
        .unwrap();
    }
}

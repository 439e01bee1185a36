//! The five loops around a micro-kernel; the chapter at the head of [`super`] draws them.

use super::super::parallel::ColumnsMut;
use super::super::scratch::Scratch;
use super::ahead::Ahead;
use super::kernel::{GROUP, MicroKernel, Strip, Tile, Write};
use super::plan::{Plan, task_count};
use super::split::{Part, Shared, piece};
use super::{Epilogue, Finished, MatmulShape};
use std::marker::PhantomData;

/// out = op(left) · op(right) for sizes that are all positive; slices have the lengths of `shape`.
///
/// # Safety
/// The CPU has the instructions of `K`.
pub(super) unsafe fn multiply<K: MicroKernel>(
    shape: MatmulShape,
    left: &[f32],
    right: &[f32],
    epilogue: Epilogue<'_, f32>,
    out: &mut [f32],
) {
    let (left_row, left_step) =
        if shape.left_transposed { (1, shape.rows) } else { (shape.inner, 1) };
    let (right_column, right_step) =
        if shape.right_transposed { (shape.inner, 1) } else { (1, shape.columns) };
    let product = Product::<K> {
        shape,
        left: Operand {
            start: Shared::new(left.as_ptr().cast_mut()),
            across: left_row,
            along: left_step,
        },
        right: Operand {
            start: Shared::new(right.as_ptr().cast_mut()),
            across: right_column,
            along: right_step,
        },
        epilogue,
        out: Shared::new(out.as_mut_ptr()),
        kernel: PhantomData,
    };
    let threads = rayon::current_num_threads();
    let tasks = task_count(shape, threads);
    Scratch::reserve::<f32>(tasks.min(threads), Plan::most_scratch_len::<K>(shape));
    Part::whole(shape).divide(tasks, [K::ROWS, K::COLUMNS], &|part| {
        // SAFETY: the parts are disjoint and lie in the shape; the CPU has the instructions.
        unsafe { product.multiply_part(part) }
    });
}

/// An operand in memory: element (i, p) lies at `start + i · across + p · along`, where `i` counts
/// the rows of the left matrix or the columns of the right one and `p` the terms of the sum. One of
/// the strides is 1.
#[derive(Clone, Copy)]
struct Operand {
    start: Shared<f32>,
    across: usize,
    along: usize,
}

impl Operand {
    fn at(&self, i: usize, p: usize) -> *const f32 {
        self.start.get().wrapping_add(i * self.across + p * self.along)
    }

    /// What is packed of `count` rows or columns from the `first` on, to be fetched during so many
    /// tiles.
    fn ahead(&self, first: usize, count: usize, block: Block, tiles: usize) -> Ahead {
        if count == 0 {
            return Ahead::NOTHING;
        }
        let (runs, run_len, run_stride) = if self.across == 1 {
            (block.inner, count, self.along)
        } else {
            (count, block.inner, self.across)
        };
        Ahead::new(self.at(first, block.first_inner), runs, run_len, run_stride, tiles)
    }

    /// The strip of `lanes` rows or columns from the `first` on, over the sums' terms of `block`.
    fn strip(
        &self,
        (first, lanes): (usize, usize),
        block: Block,
        packed: *mut f32,
        packed_step: usize,
    ) -> Strip {
        Strip {
            source: self.at(first, block.first_inner),
            lanes,
            lane_stride: self.across,
            inner: block.inner,
            inner_stride: self.along,
            packed,
            packed_step,
        }
    }
}

/// A block of the right matrix: some columns of a part, some terms of the sums.
#[derive(Clone, Copy)]
struct Block {
    first_column: usize,
    columns: usize,
    first_inner: usize,
    inner: usize,
}

impl Block {
    /// Steps of the sums, packed: each has a number of every row and column, of one term or more.
    fn steps<K: MicroKernel>(&self) -> usize {
        self.inner.div_ceil(K::TERMS)
    }
}

/// Everything the tasks of one product share.
struct Product<'a, K> {
    shape: MatmulShape,
    left: Operand,
    right: Operand,
    epilogue: Epilogue<'a, f32>,
    out: Shared<f32>,
    kernel: PhantomData<fn(K)>,
}

/// How a part is computed, and the memory that it packs operands into.
struct Workspace {
    plan: Plan,
    /// A block of the right matrix, panel after panel of `[inner, K::COLUMNS]`.
    packed_right: *mut f32,
    /// A row block of the left matrix, tile after tile of `[inner, K::LANES]`.
    packed_left: *mut f32,
}

impl<K: MicroKernel> Product<'_, K> {
    /// Computes a part on this thread alone.
    ///
    /// # Safety
    /// The CPU has the instructions; `part` lies in the shape; nobody else writes to it.
    unsafe fn multiply_part(&self, part: Part) {
        let plan = Plan::new::<K>(self.shape, &part);
        let mut scratch =
            (plan.scratch_len() > 0).then(|| Scratch::take::<f32>(plan.scratch_len()));
        let packed_right =
            scratch.as_mut().map_or(std::ptr::null_mut(), Scratch::as_mut_ptr::<f32>);
        let packed_left = packed_right.wrapping_add(plan.right_len);
        let workspace = Workspace { plan, packed_right, packed_left };
        // Loop 5: column blocks, so that the packed right block stays in the outer caches.
        for column_block in 0..plan.column_blocks {
            let (column, columns) = piece(part.columns.len(), plan.column_blocks, column_block);
            let block_of = |inner_block| {
                let (first_inner, inner) = piece(self.shape.inner, plan.inner_blocks, inner_block);
                Block { first_column: part.columns.start + column, columns, first_inner, inner }
            };
            let rows_of = |row_block| {
                let (row, rows) = piece(part.rows.len(), plan.row_blocks, row_block);
                (part.rows.start + row, rows)
            };
            // Loops 4 and 3: blocks of the sum, one after the other, so that panels fit the inner
            // caches; row blocks. They are counted together, because what the next one packs of the
            // left matrix is fetched meanwhile.
            for at in 0..plan.inner_blocks * plan.row_blocks {
                let (block, rows) = (block_of(at / plan.row_blocks), rows_of(at % plan.row_blocks));
                let next = at + 1;
                let ahead = if plan.pack_left && next < plan.inner_blocks * plan.row_blocks {
                    let (first_row, rows_ahead) = rows_of(next % plan.row_blocks);
                    let tiles = rows.1.div_ceil(K::ROWS) * columns.div_ceil(K::COLUMNS);
                    self.left.ahead(first_row, rows_ahead, block_of(next / plan.row_blocks), tiles)
                } else {
                    Ahead::NOTHING
                };
                // SAFETY: the rows and the block lie in the part, and the first row block packs the
                // panels.
                unsafe {
                    self.multiply_rows(&workspace, block, rows, at % plan.row_blocks == 0, ahead)
                };
                if let (Epilogue::Then(finish), true) =
                    (self.epilogue, at / plan.row_blocks + 1 == plan.inner_blocks)
                {
                    // SAFETY: these rows and columns lie in the part, which nobody else touches.
                    finish(unsafe { self.finished(block, rows) });
                }
            }
        }
    }

    /// Packs the panel of a block that begins at `column`.
    ///
    /// # Safety
    /// The CPU has the instructions; the panel lies in `block`, which lies in the shape and,
    /// packed, in the workspace.
    unsafe fn pack_panel(&self, workspace: &Workspace, block: Block, column: usize) {
        let panel = workspace.packed_right.wrapping_add(column * block.steps::<K>());
        let columns = (block.columns - column).min(K::COLUMNS);
        let strips = (0..columns).step_by(K::LANES).map(|strip| {
            let lanes = (columns - strip).min(K::LANES);
            let first = block.first_column + column + strip;
            self.right.strip((first, lanes), block, panel.wrapping_add(strip), K::COLUMNS)
        });
        // SAFETY: strips lie in the right matrix and in the workspace's panel.
        unsafe { pack_in_groups::<K>(strips) };
    }

    /// Computes the tiles of a row block, the `rows` from the `first_row` on. The first row block
    /// of a block packs the block's panels, each just before its use, and fetches what the next one
    /// is packed from. `left_ahead` is fetched on the way.
    ///
    /// # Safety
    /// The CPU has the instructions; block and rows lie in the shape; the block is packed if it is
    /// to be, or this is its first row block; nobody else writes to these elements of `out`.
    unsafe fn multiply_rows(
        &self,
        workspace: &Workspace,
        block: Block,
        (first_row, rows): (usize, usize),
        is_first: bool,
        mut left_ahead: Ahead,
    ) {
        let &Workspace { plan, packed_right, packed_left } = workspace;
        let tiles = rows.div_ceil(K::ROWS);
        let steps = block.steps::<K>();
        let tile_len = steps * K::LANES;
        if plan.pack_left {
            let strips = (0..tiles).map(|tile| {
                let (row, height) = piece(rows, tiles, tile);
                let packed = packed_left.wrapping_add(tile * tile_len);
                self.left.strip((first_row + row, height), block, packed, K::LANES)
            });
            // SAFETY: strips lie in the left matrix and in the workspace.
            unsafe { pack_in_groups::<K>(strips) };
        }
        // Loop 2: panels of the right block; one stays in the nearest caches while the tiles of
        // loop 1 use it.
        for column in (0..block.columns).step_by(K::COLUMNS) {
            let mut right_ahead = Ahead::NOTHING;
            if plan.pack_right && is_first {
                // SAFETY: the panel lies in the block.
                unsafe { self.pack_panel(workspace, block, column) };
                let next = block.columns.min(column + K::COLUMNS);
                let columns = (block.columns - next).min(K::COLUMNS);
                right_ahead = self.right.ahead(block.first_column + next, columns, block, tiles);
            }
            let (right, right_step) = if plan.pack_right {
                (packed_right.wrapping_add(column * steps).cast_const(), K::COLUMNS)
            } else {
                (self.right.at(block.first_column + column, block.first_inner), self.right.along)
            };
            // The next packed panel is in an outer cache: each tile has its share of it fetched to
            // the second level.
            let ahead_step = if plan.pack_right { K::COLUMNS.div_ceil(tiles) } else { 0 };
            let ahead = right.wrapping_add(K::COLUMNS * steps);
            // Loop 1: tiles of the row block.
            for tile in 0..tiles {
                let (row, height) = piece(rows, tiles, tile);
                let row = first_row + row;
                let (left, left_row, left_step) = if plan.pack_left {
                    (packed_left.wrapping_add(tile * tile_len).cast_const(), 1, K::LANES)
                } else {
                    (self.left.at(row, block.first_inner), self.left.across, self.left.along)
                };
                let out = self
                    .out
                    .get()
                    .wrapping_add(row * self.shape.columns + block.first_column + column);
                let tile = Tile {
                    rows: height,
                    columns: (block.columns - column).min(K::COLUMNS),
                    segments: 1,
                    inner: steps,
                    left,
                    left_row,
                    left_step,
                    left_segment: 0,
                    right,
                    right_step,
                    right_segment: 0,
                    ahead: ahead.wrapping_add(tile * ahead_step * steps),
                    ahead_step,
                    out,
                    out_row: self.shape.columns,
                    write: self.write(block, column),
                };
                right_ahead.fetch_some();
                left_ahead.fetch_some();
                // SAFETY: the tile lies in the matrices or their packed blocks, and in this task's
                // part of `out`.
                unsafe { K::multiply_tile(&tile) };
            }
        }
    }

    /// Some rows of a block's columns, for the epilogue.
    ///
    /// # Safety
    /// They lie in the shape, and nobody else touches them while the result lives.
    unsafe fn finished(
        &self,
        block: Block,
        (first_row, rows): (usize, usize),
    ) -> Finished<'_, f32> {
        let stride = self.shape.columns;
        let first = self.out.get().wrapping_add(first_row * stride + block.first_column);
        // SAFETY: the caller's promise.
        let elements = unsafe { ColumnsMut::from_raw(first, rows, stride, block.columns) };
        Finished { first_column: block.first_column, elements }
    }

    /// The epilogue goes with the first block of the sum; the others add to what that one left.
    fn write(&self, block: Block, column: usize) -> Write {
        match self.epilogue {
            _ if block.first_inner > 0 => Write::Add,
            Epilogue::Store | Epilogue::Then(_) => Write::Set,
            Epilogue::AddBias(bias) => {
                Write::SetWithBias(bias[block.first_column + column..].as_ptr())
            }
            Epilogue::Accumulate => Write::Add,
        }
    }
}

/// Hands the strips to the kernel, a group at a time.
///
/// # Safety
/// As for [`MicroKernel::pack_strips`], for every strip; they agree in what a group has to agree
/// in.
pub(super) unsafe fn pack_in_groups<K: MicroKernel>(mut strips: impl Iterator<Item = Strip>) {
    while let Some(first) = strips.next() {
        let mut group = [first; GROUP];
        let mut count = 1;
        for strip in strips.by_ref().take(GROUP - 1) {
            group[count] = strip;
            count += 1;
        }
        // SAFETY: the caller's promise.
        unsafe { K::pack_strips(&group[..count]) };
    }
}

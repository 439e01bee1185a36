//! The five loops around a micro-kernel; the chapter at the head of [`super`] draws them.

use super::kernel::{GROUP, MicroKernel, Strip, Tile, Write};
use super::plan::Plan;
use super::scratch::Scratch;
use super::split::{Shared, piece, run_tasks};
use super::{Epilogue, MatmulShape};
use std::marker::PhantomData;

/// out = op(left) · op(right) for sizes that are all positive; slices have the lengths of `shape`.
///
/// # Safety
/// The processor has the instructions of `K`.
pub(super) unsafe fn multiply<K: MicroKernel>(
    shape: MatmulShape,
    left: &[f32],
    right: &[f32],
    epilogue: Epilogue<'_, f32>,
    out: &mut [f32],
) {
    let plan = Plan::new::<K>(shape, rayon::current_num_threads());
    let mut scratch = (plan.scratch_len() > 0).then(|| Scratch::take(plan.scratch_len()));
    let packed = scratch.as_mut().map_or(std::ptr::null_mut(), Scratch::as_mut_ptr);
    let (left_row, left_step) = if shape.left_transposed { (1, shape.rows) } else { (shape.inner, 1) };
    let (right_column, right_step) = if shape.right_transposed { (shape.inner, 1) } else { (1, shape.columns) };
    let product = Product::<K> {
        shape,
        left: Operand { start: Shared::new(left.as_ptr().cast_mut()), across: left_row, along: left_step },
        right: Operand { start: Shared::new(right.as_ptr().cast_mut()), across: right_column, along: right_step },
        packed_right: Shared::new(packed),
        packed_left: Shared::new(packed.wrapping_add(plan.right_len)),
        plan,
        epilogue,
        out: Shared::new(out.as_mut_ptr()),
        kernel: PhantomData,
    };
    // Loop 5: column blocks, so that the packed right block stays in the shared cache.
    for column_block in 0..plan.column_blocks {
        let (first_column, columns) = piece(shape.columns, plan.column_blocks, column_block);
        // Loop 4: blocks of the sum, one after the other, so that panels fit the caches and bits don't depend on threads.
        for inner_block in 0..plan.inner_blocks {
            let (first_inner, inner) = piece(shape.inner, plan.inner_blocks, inner_block);
            let block = Block { first_column, columns, first_inner, inner };
            // SAFETY: `block` lies within the shape; the tasks of a call write to disjoint parts of the packed
            // block or of `out`, and a call ends before the next one starts.
            unsafe {
                if plan.pack_right {
                    run_tasks(plan.packing_tasks, &|task| product.pack_right(block, task));
                }
                // Loop 3: row blocks, the tasks of the threads.
                run_tasks(plan.row_blocks * plan.column_groups, &|task| product.multiply_rows(block, task));
            }
        }
    }
}

/// An operand in memory: element (i, p) lies at `start + i · across + p · along`, where `i` counts the rows of
/// the left matrix or the columns of the right one and `p` the terms of the sum. One of the strides is 1.
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

    /// The strip of `lanes` rows or columns from the `first` on, over the sums' terms of `block`.
    fn strip(&self, (first, lanes): (usize, usize), block: Block, packed: *mut f32, packed_step: usize) -> Strip {
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

/// A block of the right matrix: some columns, some terms of the sums.
#[derive(Clone, Copy)]
struct Block {
    first_column: usize,
    columns: usize,
    first_inner: usize,
    inner: usize,
}

/// Everything the tasks of one product share.
struct Product<'a, K> {
    shape: MatmulShape,
    plan: Plan,
    left: Operand,
    right: Operand,
    /// The block of the right matrix, panel after panel of `[inner, K::COLUMNS]`.
    packed_right: Shared<f32>,
    /// A row block of the left matrix for each thread, tile after tile of `[inner, K::LANES]`.
    packed_left: Shared<f32>,
    epilogue: Epilogue<'a, f32>,
    out: Shared<f32>,
    kernel: PhantomData<fn(K)>,
}

impl<K: MicroKernel> Product<'_, K> {
    /// Packs the panels of one packing task.
    ///
    /// # Safety
    /// The processor has the instructions; `block` lies in the shape; each task runs once.
    unsafe fn pack_right(&self, block: Block, task: usize) {
        let panels = block.columns.div_ceil(K::COLUMNS);
        let (first, count) = piece(panels, self.plan.packing_tasks, task);
        let strips_per_panel = K::COLUMNS / K::LANES;
        let strips = first * strips_per_panel..(first + count) * strips_per_panel;
        let strips = strips.take_while(|strip| strip * K::LANES < block.columns).map(|strip| {
            let column = strip * K::LANES;
            let lanes = (block.columns - column).min(K::LANES);
            let panel_start = strip / strips_per_panel * K::COLUMNS * block.inner;
            let packed = self.packed_right.get().wrapping_add(panel_start + column % K::COLUMNS);
            self.right.strip((block.first_column + column, lanes), block, packed, K::COLUMNS)
        });
        // SAFETY: strips lie in the right matrix and in the panels of this task.
        unsafe { pack_in_groups::<K>(strips) };
    }

    /// Computes the tiles of one task: a row block by a group of panels.
    ///
    /// # Safety
    /// The processor has the instructions; `block` lies in the shape and is packed if it is to be; each task runs once.
    unsafe fn multiply_rows(&self, block: Block, task: usize) {
        let plan = &self.plan;
        let (row_block, group) = (task / plan.column_groups, task % plan.column_groups);
        let (first_row, rows) = piece(self.shape.rows, plan.row_blocks, row_block);
        let (first_panel, panels) = piece(block.columns.div_ceil(K::COLUMNS), plan.column_groups, group);
        let tiles = rows.div_ceil(K::ROWS);
        // A task runs to its end without a join, so nobody else writes to this thread's block meanwhile.
        let thread = rayon::current_thread_index().unwrap_or(0);
        let packed = self.packed_left.get().wrapping_add(thread * plan.left_len);
        let tile_len = block.inner * K::LANES;
        if plan.pack_left {
            let strips = (0..tiles).map(|tile| {
                let (row, height) = piece(rows, tiles, tile);
                self.left.strip((first_row + row, height), block, packed.wrapping_add(tile * tile_len), K::LANES)
            });
            // SAFETY: strips lie in the left matrix and in this thread's block.
            unsafe { pack_in_groups::<K>(strips) };
        }
        // Loop 2: panels of the right block; one stays in the nearest caches while the tiles of loop 1 use it.
        for panel in first_panel..first_panel + panels {
            let column = panel * K::COLUMNS;
            let (right, right_step) = if plan.pack_right {
                (self.packed_right.get().wrapping_add(column * block.inner).cast_const(), K::COLUMNS)
            } else {
                (self.right.at(block.first_column + column, block.first_inner), self.right.along)
            };
            // The next packed panel is in the shared cache: each tile has its share of it fetched to the second level.
            let ahead_step = if plan.pack_right { K::COLUMNS.div_ceil(tiles) } else { 0 };
            let ahead = right.wrapping_add(K::COLUMNS * block.inner);
            // Loop 1: tiles of the row block.
            for tile in 0..tiles {
                let (row, height) = piece(rows, tiles, tile);
                let row = first_row + row;
                let (left, left_row, left_step) = if plan.pack_left {
                    (packed.wrapping_add(tile * tile_len).cast_const(), 1, K::LANES)
                } else {
                    (self.left.at(row, block.first_inner), self.left.across, self.left.along)
                };
                let out = self.out.get().wrapping_add(row * self.shape.columns + block.first_column + column);
                let tile = Tile {
                    rows: height,
                    columns: (block.columns - column).min(K::COLUMNS),
                    inner: block.inner,
                    left,
                    left_row,
                    left_step,
                    right,
                    right_step,
                    ahead: ahead.wrapping_add(tile * ahead_step * block.inner),
                    ahead_step,
                    out,
                    out_row: self.shape.columns,
                    write: self.write(block, column),
                };
                // SAFETY: the tile lies in the matrices or their packed blocks, and in this task's part of `out`.
                unsafe { K::multiply_tile(&tile) };
            }
        }
    }

    /// The epilogue goes with the first block of the sum; the others add to what that one left.
    fn write(&self, block: Block, column: usize) -> Write {
        match self.epilogue {
            _ if block.first_inner > 0 => Write::Add,
            Epilogue::Store => Write::Set,
            Epilogue::AddBias(bias) => Write::SetWithBias(bias[block.first_column + column..].as_ptr()),
            Epilogue::Accumulate => Write::Add,
        }
    }
}

/// Hands the strips to the kernel, a group at a time.
///
/// # Safety
/// As for [`MicroKernel::pack_strips`], for every strip; they agree in what a group has to agree in.
unsafe fn pack_in_groups<K: MicroKernel>(mut strips: impl Iterator<Item = Strip>) {
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

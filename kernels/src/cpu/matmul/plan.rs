//! How a product is cut into blocks and tasks: every constant of the engine, with its reason.

use super::MatmulShape;
use super::kernel::MicroKernel;

/// Columns per block of the right matrix: 4 MiB packed, a part of the third-level cache that all threads share.
const MAX_COLUMNS: usize = 2048;
/// Rows per block of the left matrix: 8 tiles of 14, 256 KiB packed, a quarter of the second-level cache.
/// More rows would read the right block from the third-level cache less often, fewer are shared among threads more evenly.
const MAX_ROWS: usize = 112;
/// Multiply-adds of a task below which another thread, asleep, does not pay for its wake-up: about 8 µs of one thread.
const MIN_MULTIPLY_ADDS_PER_TASK: usize = 1 << 19;
/// Numbers of the right block below which one thread packs it alone: about 5 µs.
const MIN_PACKED_PER_TASK: usize = 1 << 15;
/// Panels up to which the left matrix is read where it lies, because packing costs more than so few uses gain.
const MAX_PANELS_OF_UNPACKED_LEFT: usize = 4;
/// The same for a transposed one: its steps are a matrix row apart, each on a memory page of its own.
const MAX_PANELS_OF_UNPACKED_TRANSPOSED_LEFT: usize = 2;
/// Bytes up to which the right matrix stays in the first-level cache (32 KiB) without being packed.
const MAX_BYTES_OF_UNPACKED_RIGHT: usize = 16 << 10;
/// Tiles up to which the right matrix is read where it lies: packing pays from the third use on.
const MAX_TILES_OF_UNPACKED_RIGHT: usize = 2;

/// Counts of blocks and tasks, and lengths of the packed blocks, in numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) column_blocks: usize,
    pub(super) inner_blocks: usize,
    /// Row blocks: tasks of the multiplication, times `column_groups`.
    pub(super) row_blocks: usize,
    /// Groups of panels that are tasks of their own: more than one only where rows are too few for the threads.
    pub(super) column_groups: usize,
    pub(super) packing_tasks: usize,
    pub(super) pack_left: bool,
    pub(super) pack_right: bool,
    /// Packed length of the row block of one thread.
    pub(super) left_len: usize,
    /// Packed length of the block of the right matrix.
    pub(super) right_len: usize,
    threads: usize,
}

impl Plan {
    pub(super) fn new<K: MicroKernel>(shape: MatmulShape, pool_threads: usize) -> Plan {
        let inner_blocks = shape.inner.div_ceil(K::MAX_INNER);
        let column_blocks = shape.columns.div_ceil(MAX_COLUMNS);
        let inner = shape.inner.div_ceil(inner_blocks);
        let columns = shape.columns.div_ceil(column_blocks);
        let panels = columns.div_ceil(K::COLUMNS);
        let tiles = shape.rows.div_ceil(K::ROWS);
        let work = shape.rows * columns * inner;
        let tasks = (work / MIN_MULTIPLY_ADDS_PER_TASK).clamp(1, pool_threads);
        let row_blocks = shape.rows.div_ceil(MAX_ROWS).next_multiple_of(tasks).min(tiles);
        let column_groups = tasks.div_ceil(row_blocks).min(panels);
        let block_tiles = shape.rows.div_ceil(row_blocks).div_ceil(K::ROWS);
        let pack_left = panels
            > if shape.left_transposed { MAX_PANELS_OF_UNPACKED_TRANSPOSED_LEFT } else { MAX_PANELS_OF_UNPACKED_LEFT };
        let right_in_place = shape.inner * shape.columns * size_of::<f32>() <= MAX_BYTES_OF_UNPACKED_RIGHT
            || tiles <= MAX_TILES_OF_UNPACKED_RIGHT;
        let loadable = K::LOADS_PARTS_OF_VECTORS || shape.columns.is_multiple_of(K::LANES);
        let pack_right = shape.right_transposed || !right_in_place || !loadable;
        let right_len = panels * K::COLUMNS * inner;
        Plan {
            column_blocks,
            inner_blocks,
            row_blocks,
            column_groups,
            packing_tasks: (right_len / MIN_PACKED_PER_TASK).clamp(1, tasks).min(panels),
            pack_left,
            pack_right,
            left_len: if pack_left { block_tiles * K::LANES * inner } else { 0 },
            right_len: if pack_right { right_len } else { 0 },
            threads: pool_threads,
        }
    }

    /// Numbers of memory for all packed blocks.
    pub(super) fn scratch_len(&self) -> usize {
        self.right_len + self.threads * self.left_len
    }
}

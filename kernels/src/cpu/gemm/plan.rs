//! How a product is cut into blocks and tasks: every constant of the engine, with its reason.

use super::MatmulShape;
use super::kernel::MicroKernel;
use super::split::Part;

/// Columns per block of the right matrix: up to 4 MiB packed, a part of the third-level cache.
const MAX_COLUMNS: usize = 2048;
/// Rows per block of the left matrix: 8 tiles of 14, 256 KiB packed, a quarter of the second-level
/// cache. More rows would read the right block from the third-level cache less often, but leave it
/// less room in the second.
const MAX_ROWS: usize = 112;
/// Multiply-adds of a task below which another thread, asleep, does not pay for its wake-up: about
/// 8 µs of one thread.
const MIN_MULTIPLY_ADDS_PER_TASK: usize = 1 << 19;
/// Multiply-adds of a task that make it worth to have more tasks than threads: some milliseconds.
/// Then a core that is slower than the others, because it shares its units with a neighbour, leaves
/// tasks to them.
const AMPLE_MULTIPLY_ADDS_PER_TASK: usize = 1 << 27;
/// Tasks for each thread where there is ample work.
const MAX_TASKS_PER_THREAD: usize = 4;
/// Panels up to which the left matrix is read where it lies, because packing costs more than so few
/// uses gain.
const MAX_PANELS_OF_UNPACKED_LEFT: usize = 4;
/// The same for a transposed one: its steps are a matrix row apart, each on a memory page of its
/// own.
const MAX_PANELS_OF_UNPACKED_TRANSPOSED_LEFT: usize = 2;
/// Bytes up to which the right matrix stays in the first-level cache (32 KiB) without being packed.
const MAX_BYTES_OF_UNPACKED_RIGHT: usize = 16 << 10;
/// Tiles up to which the right matrix is read where it lies: packing pays from the third use on.
const MAX_TILES_OF_UNPACKED_RIGHT: usize = 2;

/// In how many parts a product is computed on a pool of `threads`.
pub(super) fn task_count(shape: MatmulShape, threads: usize) -> usize {
    let work = shape.multiply_adds();
    let for_each_thread = (work / MIN_MULTIPLY_ADDS_PER_TASK).clamp(1, threads);
    let for_balance = (work / AMPLE_MULTIPLY_ADDS_PER_TASK).min(MAX_TASKS_PER_THREAD * threads);
    if threads == 1 { 1 } else { for_each_thread.max(for_balance) }
}

/// Counts of blocks in a part, and lengths of the packed blocks, in numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) column_blocks: usize,
    pub(super) inner_blocks: usize,
    pub(super) row_blocks: usize,
    pub(super) pack_left: bool,
    pub(super) pack_right: bool,
    /// Packed length of a row block.
    pub(super) left_len: usize,
    /// Packed length of the block of the right matrix.
    pub(super) right_len: usize,
}

impl Plan {
    pub(super) fn new<K: MicroKernel>(shape: MatmulShape, part: &Part) -> Plan {
        let (rows, columns) = (part.rows.len(), part.columns.len());
        let inner_blocks = shape.inner.div_ceil(K::MAX_INNER);
        let column_blocks = columns.div_ceil(MAX_COLUMNS);
        let steps = shape.inner.div_ceil(inner_blocks).div_ceil(K::TERMS);
        let panels = columns.div_ceil(column_blocks).div_ceil(K::COLUMNS);
        let row_blocks = rows.div_ceil(MAX_ROWS);
        let block_tiles = rows.div_ceil(row_blocks).div_ceil(K::ROWS);
        let pack_left = K::TERMS > 1
            || panels
                > if shape.left_transposed {
                    MAX_PANELS_OF_UNPACKED_TRANSPOSED_LEFT
                } else {
                    MAX_PANELS_OF_UNPACKED_LEFT
                };
        let right_in_place = shape.inner * columns * size_of::<f32>()
            <= MAX_BYTES_OF_UNPACKED_RIGHT
            || rows.div_ceil(K::ROWS) <= MAX_TILES_OF_UNPACKED_RIGHT;
        let loadable = K::LOADS_PARTS_OF_VECTORS || columns.is_multiple_of(K::LANES);
        let pack_right = K::TERMS > 1 || shape.right_transposed || !right_in_place || !loadable;
        Plan {
            column_blocks,
            inner_blocks,
            row_blocks,
            pack_left,
            pack_right,
            left_len: if pack_left { block_tiles * K::LANES * steps } else { 0 },
            right_len: if pack_right { panels * K::COLUMNS * steps } else { 0 },
        }
    }

    /// Numbers of memory that any part of a product takes at most; 0 if none packs.
    pub(super) fn most_scratch_len<K: MicroKernel>(shape: MatmulShape) -> usize {
        if Plan::new::<K>(shape, &Part::whole(shape)).scratch_len() == 0 {
            return 0;
        }
        let steps = shape.inner.div_ceil(shape.inner.div_ceil(K::MAX_INNER)).div_ceil(K::TERMS);
        let columns = shape.columns.min(MAX_COLUMNS).next_multiple_of(K::COLUMNS);
        (columns + shape.rows.min(MAX_ROWS).div_ceil(K::ROWS) * K::LANES) * steps
    }

    /// Numbers of memory for the packed blocks.
    pub(super) fn scratch_len(&self) -> usize {
        self.right_len + self.left_len
    }
}

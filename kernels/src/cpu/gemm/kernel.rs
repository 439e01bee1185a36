//! What the five loops ask of a CPU: one tile of the output, and the packing of one strip.

/// How a finished sum enters `out`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Write {
    /// `out = sum`
    Set,
    /// `out += sum`
    Add,
    /// `out = sum + bias`, with the bias of the tile's first column at the pointer
    SetWithBias(*const f32),
}

/// One tile of the output: `rows` x `columns` sums of `segments` x `inner` steps. A matrix product
/// has one segment; a sum over a patch of a map has one for each row of the patch.
///
/// sum[r, c] = Σ_s Σ_p left[r · left_row + s · left_segment + p · left_step]
///             · right[c + s · right_segment + p · right_step]
#[derive(Clone, Copy, Debug)]
pub(super) struct Tile {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) segments: usize,
    pub(super) inner: usize,
    pub(super) left: *const f32,
    pub(super) left_row: usize,
    pub(super) left_step: usize,
    pub(super) left_segment: usize,
    pub(super) right: *const f32,
    pub(super) right_step: usize,
    pub(super) right_segment: usize,
    /// What the next tiles read and is still far away: fetched on the way, `ahead_step` numbers
    /// per step of the sum.
    pub(super) ahead: *const f32,
    pub(super) ahead_step: usize,
    pub(super) out: *mut f32,
    /// Elements from one row of `out` to the next.
    pub(super) out_row: usize,
    pub(super) write: Write,
}

/// A strip of an operand, as wide as a vector, and where its packed form goes.
///
/// packed[lane + p · packed_step] = source[lane · lane_stride + p · inner_stride], where one of the
/// strides is 1. A kernel of several [`TERMS`](MicroKernel::TERMS) has the terms
/// p · TERMS to p · TERMS + TERMS - 1 there, zeros behind the last one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strip {
    pub(super) source: *const f32,
    /// Lanes that exist; the packed form has numbers that nobody uses in the others.
    pub(super) lanes: usize,
    pub(super) lane_stride: usize,
    pub(super) inner: usize,
    pub(super) inner_stride: usize,
    pub(super) packed: *mut f32,
    pub(super) packed_step: usize,
}

/// Strips that are packed at once: together they read runs of several cache lines where the lanes
/// of a step lie side by side, which the CPU foresees, instead of one line per row of the matrix.
pub(super) const GROUP: usize = 8;

/// The part of the engine that is written for one instruction set.
pub(super) trait MicroKernel {
    /// Numbers in a vector, and width of a packed strip.
    const LANES: usize;
    /// Rows of the largest tile; at most `LANES`, for a strip holds the rows of one tile.
    const ROWS: usize;
    /// Columns of the largest tile: two vectors.
    const COLUMNS: usize = 2 * Self::LANES;
    /// Terms of a sum in the place of one packed number; more than one where operands are rounded
    /// to a shorter type while they are packed, so that they are always packed.
    const TERMS: usize = 1;
    /// Whether the right operand may end within a vector. A packed one never does.
    const LOADS_PARTS_OF_VECTORS: bool;
    /// Terms of the sum per block. The bits of a product depend on this number alone.
    const MAX_INNER: usize;

    /// Computes a tile with `1 <= rows <= ROWS` and `1 <= columns <= COLUMNS`.
    ///
    /// # Safety
    /// The CPU has the instructions; every index of the formula lies in its buffer; nobody else
    /// touches the tile of `out` meanwhile.
    unsafe fn multiply_tile(tile: &Tile);

    /// Packs up to [`GROUP`] strips of one operand, which agree in all but the source, the lanes
    /// and the target.
    ///
    /// # Safety
    /// The CPU has the instructions; `1 <= lanes <= LANES`; every index of the formula lies in its
    /// buffer (all `LANES` lanes of the packed form); nobody else touches the packed strips
    /// meanwhile.
    unsafe fn pack_strips(strips: &[Strip]);
}

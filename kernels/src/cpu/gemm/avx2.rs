//! Tiles of 6 x 16 in AVX2 with fused multiply-add; the same plan as [`super::avx512`], which is
//! explained more fully.
//!
//! Of the 16 registers, 12 hold the sums of the tile, 2 a row of the right panel and 1 a number of
//! the left one.

use super::kernel::{GROUP, MicroKernel, Strip, Tile, Write};
use std::arch::x86_64::*;

/// The kernel of CPUs with AVX2 and FMA.
pub(super) struct Avx2;

const LANES: usize = 8;
const ROWS: usize = 6;
/// Steps between two jumps. A core whose units are shared with a busy neighbour gets half of its
/// instructions through, and then each one counts that is no multiply-add: with every step a loop
/// of its own, this kernel lost a quarter to MKL's there, and nothing alone.
const UNROLL: usize = 4;
/// Steps by which a strip that is copied is fetched ahead: the lines of a step lie a matrix row
/// from the last ones, too far to be foreseen.
const COPY_AHEAD: usize = 8;
/// Steps by which a packed left panel is fetched ahead of its use.
const PREFETCH_STEPS: usize = 32;

impl MicroKernel for Avx2 {
    const LANES: usize = LANES;
    const ROWS: usize = ROWS;
    /// A masked load takes a second instruction here, in the innermost loop.
    const LOADS_PARTS_OF_VECTORS: bool = false;
    /// A right panel of 16 columns is 16 KiB: it stays in the first-level cache, for a tile of 6
    /// rows reads it too fast for the second level.
    const MAX_INNER: usize = 256;

    unsafe fn multiply_tile(tile: &Tile) {
        let side_by_side = usize::from(tile.left_row == 1);
        let second_vector = usize::from(tile.columns > LANES);
        // SAFETY: the caller promises the instructions and the bounds.
        unsafe { TILES[side_by_side][second_vector][tile.rows - 1](tile) }
    }

    unsafe fn pack_strips(strips: &[Strip]) {
        // SAFETY: the caller promises the instructions and the bounds.
        unsafe {
            if strips[0].lane_stride == 1 {
                copy_strips(strips);
            } else {
                strips.iter().for_each(|strip| transpose_strip(strip));
            }
        }
    }
}

type TileFunction = unsafe fn(&Tile);

/// The tile functions by [left_row == 1][vectors - 1][rows - 1].
const TILES: [[[TileFunction; ROWS]; 2]; 2] = {
    macro_rules! by_rows {
        ($vectors:literal, $side_by_side:literal, $($rows:literal)*) => {
            [$(multiply::<$rows, $vectors, $side_by_side>),*]
        };
    }
    macro_rules! by_vectors {
        ($side_by_side:literal) => {
            [by_rows!(1, $side_by_side, 1 2 3 4 5 6), by_rows!(2, $side_by_side, 1 2 3 4 5 6)]
        };
    }
    [by_vectors!(false), by_vectors!(true)]
};

/// A mask with the sign bits of the lanes `0..count` set.
#[target_feature(enable = "avx2")]
fn first_lanes(count: usize) -> __m256i {
    _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
}

/// A tile of `R` rows and `V` vectors, the last of them masked; `SIDE_BY_SIDE` if the rows of a
/// step are.
#[target_feature(enable = "avx2,fma")]
unsafe fn multiply<const R: usize, const V: usize, const SIDE_BY_SIDE: bool>(tile: &Tile) {
    let mut sums = [[_mm256_setzero_ps(); V]; R];
    let mut ahead = tile.ahead;
    let row = if SIDE_BY_SIDE { 1 } else { tile.left_row };
    // SAFETY: the caller promises that rows, columns and steps of the tile lie in the buffers;
    // masked lanes aren't touched, and a prefetch may point anywhere.
    unsafe {
        for r in 0..R {
            _mm_prefetch::<_MM_HINT_T0>(tile.out.wrapping_add(r * tile.out_row).cast());
        }
        let mut steps = |count: usize, left: &mut *const f32, right: &mut *const f32| {
            for _ in 0..count {
                let mut columns = [_mm256_setzero_ps(); V];
                for (v, column) in columns.iter_mut().enumerate() {
                    *column = _mm256_loadu_ps(right.add(v * LANES));
                }
                let mut number = *left;
                for sums in &mut sums {
                    let broadcast = _mm256_set1_ps(*number);
                    for (sum, &column) in sums.iter_mut().zip(&columns) {
                        *sum = _mm256_fmadd_ps(broadcast, column, *sum);
                    }
                    number = number.wrapping_add(row);
                }
                *left = left.wrapping_add(tile.left_step);
                *right = right.wrapping_add(tile.right_step);
            }
        };
        for segment in 0..tile.segments {
            let mut left = tile.left.wrapping_add(segment * tile.left_segment);
            let mut right = tile.right.wrapping_add(segment * tile.right_segment);
            for _ in 0..tile.inner / UNROLL {
                steps(UNROLL, &mut left, &mut right);
                for half in [0, UNROLL / 2] {
                    if SIDE_BY_SIDE {
                        _mm_prefetch::<_MM_HINT_T0>(
                            left.wrapping_add((PREFETCH_STEPS + half) * tile.left_step).cast(),
                        );
                    }
                    _mm_prefetch::<_MM_HINT_T1>(ahead.wrapping_add(half * tile.ahead_step).cast());
                }
                ahead = ahead.wrapping_add(UNROLL * tile.ahead_step);
            }
            steps(tile.inner % UNROLL, &mut left, &mut right);
        }
        let whole = tile.columns == V * LANES;
        for (r, sums) in sums.iter().enumerate() {
            for (v, &sum) in sums.iter().enumerate() {
                let vector =
                    Vector { out: tile.out.add(r * tile.out_row + v * LANES), column: v * LANES };
                if v + 1 < V || whole {
                    vector.write(sum, tile.write);
                } else {
                    vector.write_lanes(first_lanes(tile.columns - v * LANES), sum, tile.write);
                }
            }
        }
    }
}

/// Where a vector of finished sums goes.
struct Vector {
    out: *mut f32,
    /// Its first column in the tile.
    column: usize,
}

impl Vector {
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn write(self, sum: __m256, write: Write) {
        // SAFETY: the caller promises that all lanes lie in the buffers.
        unsafe {
            let value = match write {
                Write::Set => sum,
                Write::Add => _mm256_add_ps(_mm256_loadu_ps(self.out), sum),
                Write::SetWithBias(bias) => {
                    _mm256_add_ps(_mm256_loadu_ps(bias.add(self.column)), sum)
                }
            };
            _mm256_storeu_ps(self.out, value);
        }
    }

    /// The same for the lanes of a mask only: at the right border, for a masked store takes tens of
    /// cycles on AMD's CPUs.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn write_lanes(self, lanes: __m256i, sum: __m256, write: Write) {
        // SAFETY: the caller promises that these lanes lie in the buffers; the others aren't
        // touched.
        unsafe {
            let value = match write {
                Write::Set => sum,
                Write::Add => _mm256_add_ps(_mm256_maskload_ps(self.out, lanes), sum),
                Write::SetWithBias(bias) => {
                    _mm256_add_ps(_mm256_maskload_ps(bias.add(self.column), lanes), sum)
                }
            };
            _mm256_maskstore_ps(self.out, lanes, value);
        }
    }
}

/// The lanes of a step lie side by side: a copy, step by step.
#[target_feature(enable = "avx2")]
unsafe fn copy_strips(strips: &[Strip]) {
    let Strip { inner, inner_stride, packed_step, .. } = strips[0];
    let mut masks = [first_lanes(0); GROUP];
    for (mask, strip) in masks.iter_mut().zip(strips) {
        *mask = first_lanes(strip.lanes);
    }
    for p in 0..inner {
        for (strip, &mask) in strips.iter().zip(&masks) {
            let source = strip.source.wrapping_add(p * inner_stride);
            // SAFETY: the caller promises the bounds of the strips; masked lanes aren't read, and a
            // prefetch reads nothing that could be seen.
            unsafe {
                _mm_prefetch::<_MM_HINT_T0>(source.wrapping_add(COPY_AHEAD * inner_stride).cast());
                let lanes = if strip.lanes == LANES {
                    _mm256_loadu_ps(source)
                } else {
                    _mm256_maskload_ps(source, mask)
                };
                _mm256_storeu_ps(strip.packed.add(p * packed_step), lanes);
            }
        }
    }
}

/// The steps of a lane lie side by side: blocks of 8 x 8 are transposed in registers.
#[target_feature(enable = "avx2")]
unsafe fn transpose_strip(strip: &Strip) {
    let whole = strip.inner - strip.inner % LANES;
    // SAFETY: the caller promises the bounds of the strip; masked steps aren't read.
    unsafe {
        for start in (0..whole).step_by(LANES) {
            let mut block = [_mm256_setzero_ps(); LANES];
            for (lane, vector) in block.iter_mut().enumerate() {
                // Lanes that don't exist repeat the last one: a fixed number of loads stays in
                // registers.
                let lane = lane.min(strip.lanes - 1);
                *vector = _mm256_loadu_ps(strip.source.add(lane * strip.lane_stride + start));
                // A strip's lanes are short runs, a matrix row apart: those of the next one are too
                // far to be foreseen.
                let next_strip =
                    strip.source.wrapping_add((LANES + lane) * strip.lane_stride + start);
                _mm_prefetch::<_MM_HINT_T0>(next_strip.cast());
            }
            for (step, &vector) in transpose(block).iter().enumerate() {
                _mm256_storeu_ps(strip.packed.add((start + step) * strip.packed_step), vector);
            }
        }
        let steps = strip.inner - whole;
        let mut block = [_mm256_setzero_ps(); LANES];
        for (lane, vector) in block.iter_mut().enumerate().take(strip.lanes) {
            let source = strip.source.wrapping_add(lane * strip.lane_stride + whole);
            *vector = _mm256_maskload_ps(source, first_lanes(steps));
        }
        for (step, &vector) in transpose(block).iter().enumerate().take(steps) {
            _mm256_storeu_ps(strip.packed.add((whole + step) * strip.packed_step), vector);
        }
    }
}

/// Transposes 8 x 8 numbers: 4 x 4 blocks within the halves of the vectors, then the halves.
#[target_feature(enable = "avx2")]
fn transpose(rows: [__m256; LANES]) -> [__m256; LANES] {
    let mut blocks = rows;
    for g in [0, 4] {
        let low_01 = _mm256_unpacklo_ps(rows[g], rows[g + 1]);
        let high_01 = _mm256_unpackhi_ps(rows[g], rows[g + 1]);
        let low_23 = _mm256_unpacklo_ps(rows[g + 2], rows[g + 3]);
        let high_23 = _mm256_unpackhi_ps(rows[g + 2], rows[g + 3]);
        blocks[g] = _mm256_shuffle_ps::<0x44>(low_01, low_23);
        blocks[g + 1] = _mm256_shuffle_ps::<0xee>(low_01, low_23);
        blocks[g + 2] = _mm256_shuffle_ps::<0x44>(high_01, high_23);
        blocks[g + 3] = _mm256_shuffle_ps::<0xee>(high_01, high_23);
    }
    // Vector g + c now holds the columns c and 4 + c of the rows g to g + 3 in its halves.
    let mut columns = blocks;
    for c in 0..4 {
        columns[c] = _mm256_permute2f128_ps::<0x20>(blocks[c], blocks[4 + c]);
        columns[4 + c] = _mm256_permute2f128_ps::<0x31>(blocks[c], blocks[4 + c]);
    }
    columns
}

//! Tiles of 14 x 32 in AVX-512.
//!
//! Of the 32 registers, 28 hold the sums of the tile, 2 a row of the right panel and 1 a number of
//! the left one. A step of the sum is 28 multiply-adds, two per cycle, and 16 loads, of which two
//! fit into a cycle as well.

use super::kernel::{GROUP, MicroKernel, Strip, Tile, Write};
use std::arch::x86_64::*;

/// The kernel of CPUs with AVX-512.
pub(super) struct Avx512;

pub(super) const LANES: usize = 16;
pub(super) const ROWS: usize = 14;
/// Steps by which a packed left panel is fetched ahead of its use: it comes from the second-level
/// cache.
pub(super) const PREFETCH_STEPS: usize = 16;

impl MicroKernel for Avx512 {
    const LANES: usize = LANES;
    const ROWS: usize = ROWS;
    const LOADS_PARTS_OF_VECTORS: bool = true;
    /// A tile is then 32 KiB packed and a right panel 64 KiB. Both come from the second-level
    /// cache, fast enough for tiles of 14 rows, and `out` is visited once for sums of up to this
    /// length.
    const MAX_INNER: usize = 512;

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
        ($vectors:literal, $side_by_side:literal, $chains:literal, $($rows:literal)*) =>
            { [$(multiply::<$rows, $vectors, $side_by_side, $chains>),*] };
    }
    macro_rules! by_vectors {
        ($side_by_side:literal, $chains_of_one_vector:literal) => {
            [
                by_rows!(1, $side_by_side, $chains_of_one_vector, 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
                by_rows!(2, $side_by_side, 1, 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
            ]
        };
    }
    [by_vectors!(false, 3), by_vectors!(true, 1)]
};

/// Lanes `0..count` of a vector.
pub(super) fn first_lanes(count: usize) -> __mmask16 {
    ((1u32 << count) - 1) as __mmask16
}

/// A tile of `R` rows and `V` vectors, the last of them masked. `SIDE_BY_SIDE`: the rows of a step
/// lie next to each other, as in a packed panel or a transposed matrix; else they are `left_row`
/// apart.
///
/// Rows that are apart are found by adding their distance again and again. Where a step has one
/// multiply-add a row, a single chain of such additions from step to step would take longer than
/// these: the rows are then found in several `CHAINS`.
#[target_feature(enable = "avx512f")]
unsafe fn multiply<
    const R: usize,
    const V: usize,
    const SIDE_BY_SIDE: bool,
    const CHAINS: usize,
>(
    tile: &Tile,
) {
    let mask = first_lanes(tile.columns - (V - 1) * LANES);
    let mut sums = [[_mm512_setzero_ps(); V]; R];
    let mut ahead = tile.ahead;
    let row = if SIDE_BY_SIDE { 1 } else { tile.left_row };
    let rows_of_chain = R.div_ceil(CHAINS);
    // SAFETY: the caller promises that rows, columns and steps of the tile lie in the buffers;
    // masked lanes aren't touched, and a prefetch may point anywhere.
    unsafe {
        for r in 0..R {
            for v in 0..V {
                _mm_prefetch::<_MM_HINT_T0>(
                    tile.out.wrapping_add(r * tile.out_row + v * LANES).cast(),
                );
            }
        }
        for segment in 0..tile.segments {
            let left = tile.left.wrapping_add(segment * tile.left_segment);
            let mut chains: [_; CHAINS] =
                std::array::from_fn(|chain| left.wrapping_add(chain * rows_of_chain * row));
            let mut right = tile.right.wrapping_add(segment * tile.right_segment);
            for _ in 0..tile.inner {
                let mut columns = [_mm512_setzero_ps(); V];
                for (v, column) in columns.iter_mut().enumerate() {
                    let lanes = if v + 1 == V { mask } else { !0 };
                    *column = _mm512_maskz_loadu_ps(lanes, right.add(v * LANES));
                }
                if SIDE_BY_SIDE {
                    _mm_prefetch::<_MM_HINT_T0>(
                        chains[0].wrapping_add(PREFETCH_STEPS * tile.left_step).cast(),
                    );
                }
                _mm_prefetch::<_MM_HINT_T1>(ahead.cast());
                ahead = ahead.wrapping_add(tile.ahead_step);
                let mut numbers = chains;
                for (r, sums) in sums.iter_mut().enumerate() {
                    let number = &mut numbers[r / rows_of_chain];
                    let broadcast = _mm512_set1_ps(**number);
                    for (sum, &column) in sums.iter_mut().zip(&columns) {
                        *sum = _mm512_fmadd_ps(broadcast, column, *sum);
                    }
                    *number = number.wrapping_add(row);
                }
                chains = chains.map(|first| first.wrapping_add(tile.left_step));
                right = right.wrapping_add(tile.right_step);
            }
        }
        write_tile(tile, sums);
    }
}

/// Writes the finished sums of a tile, the last vector of each row masked.
///
/// # Safety
/// The CPU has AVX-512; the tile of `out` is nobody else's.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn write_tile<const R: usize, const V: usize>(
    tile: &Tile,
    sums: [[__m512; V]; R],
) {
    let mask = first_lanes(tile.columns - (V - 1) * LANES);
    for (r, sums) in sums.iter().enumerate() {
        for (v, &sum) in sums.iter().enumerate() {
            let lanes = if v + 1 == V { mask } else { !0 };
            // SAFETY: the caller's promise; masked lanes aren't touched.
            unsafe {
                let out = tile.out.add(r * tile.out_row + v * LANES);
                let value = match tile.write {
                    Write::Set => sum,
                    Write::Add => _mm512_add_ps(_mm512_maskz_loadu_ps(lanes, out), sum),
                    Write::SetWithBias(bias) => {
                        _mm512_add_ps(_mm512_maskz_loadu_ps(lanes, bias.add(v * LANES)), sum)
                    }
                };
                _mm512_mask_storeu_ps(out, lanes, value);
            }
        }
    }
}

/// The lanes of a step lie side by side: a copy, step by step.
#[target_feature(enable = "avx512f")]
unsafe fn copy_strips(strips: &[Strip]) {
    let Strip { inner, inner_stride, packed_step, .. } = strips[0];
    let mut masks = [0; GROUP];
    for (mask, strip) in masks.iter_mut().zip(strips) {
        *mask = first_lanes(strip.lanes);
    }
    for p in 0..inner {
        for (strip, &mask) in strips.iter().zip(&masks) {
            // SAFETY: the caller promises the bounds of the strips; masked lanes aren't read.
            unsafe {
                let lanes = _mm512_maskz_loadu_ps(mask, strip.source.add(p * inner_stride));
                _mm512_storeu_ps(strip.packed.add(p * packed_step), lanes);
            }
        }
    }
}

/// The steps of a lane lie side by side: blocks of 16 x 16 are transposed in registers.
#[target_feature(enable = "avx512f")]
unsafe fn transpose_strip(strip: &Strip) {
    let whole = strip.inner - strip.inner % LANES;
    // SAFETY: the caller promises the bounds of the strip; masked steps aren't read.
    unsafe {
        for start in (0..whole).step_by(LANES) {
            let mut block = [_mm512_setzero_ps(); LANES];
            for (lane, vector) in block.iter_mut().enumerate() {
                // Lanes that don't exist repeat the last one: a fixed number of loads stays in
                // registers.
                let lane = lane.min(strip.lanes - 1);
                *vector = _mm512_loadu_ps(strip.source.add(lane * strip.lane_stride + start));
            }
            for (step, &vector) in transpose(block).iter().enumerate() {
                _mm512_storeu_ps(strip.packed.add((start + step) * strip.packed_step), vector);
            }
        }
        let steps = strip.inner - whole;
        let mut block = [_mm512_setzero_ps(); LANES];
        for (lane, vector) in block.iter_mut().enumerate().take(strip.lanes) {
            let source = strip.source.wrapping_add(lane * strip.lane_stride + whole);
            *vector = _mm512_maskz_loadu_ps(first_lanes(steps), source);
        }
        for (step, &vector) in transpose(block).iter().enumerate().take(steps) {
            _mm512_storeu_ps(strip.packed.add((whole + step) * strip.packed_step), vector);
        }
    }
}

/// Transposes 16 x 16 numbers: pairs, then pairs of pairs, then the quarters of the vectors.
#[target_feature(enable = "avx512f")]
pub(super) fn transpose(rows: [__m512; LANES]) -> [__m512; LANES] {
    // Within each quarter: 4 x 4 blocks of the rows 4g to 4g + 3.
    let mut blocks = rows;
    for g in (0..LANES).step_by(4) {
        let low_01 = _mm512_unpacklo_ps(rows[g], rows[g + 1]);
        let high_01 = _mm512_unpackhi_ps(rows[g], rows[g + 1]);
        let low_23 = _mm512_unpacklo_ps(rows[g + 2], rows[g + 3]);
        let high_23 = _mm512_unpackhi_ps(rows[g + 2], rows[g + 3]);
        blocks[g] = _mm512_shuffle_ps::<0x44>(low_01, low_23);
        blocks[g + 1] = _mm512_shuffle_ps::<0xee>(low_01, low_23);
        blocks[g + 2] = _mm512_shuffle_ps::<0x44>(high_01, high_23);
        blocks[g + 3] = _mm512_shuffle_ps::<0xee>(high_01, high_23);
    }
    // Vector 4g + c now holds column 4q + c of the rows 4g to 4g + 3 in its quarter q: gather the
    // quarters.
    let mut columns = blocks;
    for c in 0..4 {
        let even_01 = _mm512_shuffle_f32x4::<0x88>(blocks[c], blocks[4 + c]);
        let even_23 = _mm512_shuffle_f32x4::<0x88>(blocks[8 + c], blocks[12 + c]);
        let odd_01 = _mm512_shuffle_f32x4::<0xdd>(blocks[c], blocks[4 + c]);
        let odd_23 = _mm512_shuffle_f32x4::<0xdd>(blocks[8 + c], blocks[12 + c]);
        columns[c] = _mm512_shuffle_f32x4::<0x88>(even_01, even_23);
        columns[4 + c] = _mm512_shuffle_f32x4::<0x88>(odd_01, odd_23);
        columns[8 + c] = _mm512_shuffle_f32x4::<0xdd>(even_01, even_23);
        columns[12 + c] = _mm512_shuffle_f32x4::<0xdd>(odd_01, odd_23);
    }
    columns
}

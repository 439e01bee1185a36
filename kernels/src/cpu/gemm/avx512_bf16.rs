//! Tiles of 14 x 32 in AVX-512 with operands in bfloat16: twice the multiply-adds an instruction.
//!
//! A bfloat16 is the upper half of an `f32`: its sign, its exponent and 8 of its 24 significant
//! bits. `VDPBF16PS` takes two vectors of 16 pairs, multiplies pair by pair and adds both products
//! to the `f32` of their lane. So a packed number is a pair, the terms 2p and 2p + 1 of a sum in
//! the place of one `f32`, and all else is as in `avx512.rs`: the same tile, half the steps, half
//! the packed bytes. Operands are rounded while they are packed, to the nearest, ties to even;
//! hence they are always packed. Sums are `f32`.

use super::avx512::{LANES, PREFETCH_STEPS, ROWS, first_lanes, transpose, write_tile};
use super::kernel::{GROUP, MicroKernel, Strip, Tile};
use std::arch::x86_64::*;

/// The kernel of CPUs with AVX-512 and its instructions for bfloat16.
pub(super) struct Avx512Bf16;

impl MicroKernel for Avx512Bf16 {
    const LANES: usize = LANES;
    const ROWS: usize = ROWS;
    const TERMS: usize = 2;
    const LOADS_PARTS_OF_VECTORS: bool = true;
    /// As many bytes as 512 terms of `f32`.
    const MAX_INNER: usize = 1024;

    unsafe fn multiply_tile(tile: &Tile) {
        let second_vector = usize::from(tile.columns > LANES);
        // SAFETY: the caller promises the instructions and the bounds.
        unsafe { TILES[second_vector][tile.rows - 1](tile) }
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

/// The tile functions by [vectors - 1][rows - 1].
const TILES: [[unsafe fn(&Tile); ROWS]; 2] = {
    macro_rules! by_rows {
        ($vectors:literal, $($rows:literal)*) => { [$(multiply::<$rows, $vectors>),*] };
    }
    [by_rows!(1, 1 2 3 4 5 6 7 8 9 10 11 12 13 14), by_rows!(2, 1 2 3 4 5 6 7 8 9 10 11 12 13 14)]
};

/// A tile of `R` rows and `V` vectors, the last of them masked; both operands are packed.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn multiply<const R: usize, const V: usize>(tile: &Tile) {
    let mut sums = [[_mm512_setzero_ps(); V]; R];
    let (mut left, mut right, mut ahead) = (tile.left, tile.right, tile.ahead);
    // SAFETY: the caller promises that rows, columns and steps of the tile lie in the buffers; a
    // packed panel has all lanes of its vectors, and a prefetch may point anywhere.
    unsafe {
        for r in 0..R {
            for v in 0..V {
                _mm_prefetch::<_MM_HINT_T0>(
                    tile.out.wrapping_add(r * tile.out_row + v * LANES).cast(),
                );
            }
        }
        for _ in 0..tile.inner {
            let mut columns = [pairs(_mm512_setzero_si512()); V];
            for (v, column) in columns.iter_mut().enumerate() {
                *column = pairs(_mm512_loadu_si512(right.add(v * LANES).cast()));
            }
            _mm_prefetch::<_MM_HINT_T0>(left.wrapping_add(PREFETCH_STEPS * tile.left_step).cast());
            _mm_prefetch::<_MM_HINT_T1>(ahead.cast());
            ahead = ahead.wrapping_add(tile.ahead_step);
            for (r, sums) in sums.iter_mut().enumerate() {
                let broadcast = pairs(_mm512_set1_epi32(left.add(r).cast::<i32>().read()));
                for (sum, &column) in sums.iter_mut().zip(&columns) {
                    *sum = _mm512_dpbf16_ps(*sum, broadcast, column);
                }
            }
            left = left.wrapping_add(tile.left_step);
            right = right.wrapping_add(tile.right_step);
        }
        write_tile(tile, sums);
    }
}

/// The bits of 16 pairs as what the multiplication takes.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn pairs(bits: __m512i) -> __m512bh {
    // SAFETY: both are 64 bytes of plain data.
    unsafe { std::mem::transmute(bits) }
}

/// Rounds 32 numbers: those of `first`, then those of `second`.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn rounded(first: __m512, second: __m512) -> __m512i {
    // SAFETY: both are 64 bytes of plain data.
    unsafe { std::mem::transmute(_mm512_cvtne2ps_pbh(second, first)) }
}

/// The lanes of a step lie side by side: two steps are rounded and interleaved.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn copy_strips(strips: &[Strip]) {
    let Strip { inner, inner_stride, packed_step, .. } = strips[0];
    let mut masks = [0; GROUP];
    for (mask, strip) in masks.iter_mut().zip(strips) {
        *mask = first_lanes(strip.lanes);
    }
    // Lane i of the first half and lane i of the second become neighbours.
    let mut order = [0u16; 32];
    for (to, from) in order.iter_mut().enumerate() {
        *from = (to / 2 + to % 2 * LANES) as u16;
    }
    // SAFETY: the array has the 64 bytes of a vector.
    let order = unsafe { _mm512_loadu_si512(order.as_ptr().cast()) };
    for pair in 0..inner.div_ceil(2) {
        let p = 2 * pair;
        for (strip, &mask) in strips.iter().zip(&masks) {
            let second_mask = if p + 1 < inner { mask } else { 0 };
            // SAFETY: the caller promises the bounds of the strips; masked lanes aren't read.
            unsafe {
                let source = strip.source.wrapping_add(p * inner_stride);
                let first = _mm512_maskz_loadu_ps(mask, source);
                let second = _mm512_maskz_loadu_ps(second_mask, source.wrapping_add(inner_stride));
                let words = _mm512_permutexvar_epi16(order, rounded(first, second));
                _mm512_storeu_si512(strip.packed.add(pair * packed_step).cast(), words);
            }
        }
    }
}

/// The steps of a lane lie side by side: 32 of each lane are rounded to 16 pairs, and blocks of 16
/// x 16 pairs are transposed in registers.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn transpose_strip(strip: &Strip) {
    for start in (0..strip.inner).step_by(2 * LANES) {
        let steps = (strip.inner - start).min(2 * LANES);
        let (first, second) =
            (first_lanes(steps.min(LANES)), first_lanes(steps.saturating_sub(LANES)));
        let mut block = [_mm512_setzero_ps(); LANES];
        for (lane, vector) in block.iter_mut().enumerate() {
            // Lanes that don't exist repeat the last one: a fixed number of loads stays in
            // registers.
            let lane = lane.min(strip.lanes - 1);
            let source = strip.source.wrapping_add(lane * strip.lane_stride + start);
            // SAFETY: the caller promises the bounds of the strip; masked steps aren't read.
            let bits = unsafe {
                rounded(
                    _mm512_maskz_loadu_ps(first, source),
                    _mm512_maskz_loadu_ps(second, source.wrapping_add(LANES)),
                )
            };
            *vector = _mm512_castsi512_ps(bits);
        }
        let to = strip.packed.wrapping_add(start / 2 * strip.packed_step);
        for (step, &vector) in transpose(block).iter().enumerate().take(steps.div_ceil(2)) {
            // SAFETY: as above.
            unsafe { _mm512_storeu_ps(to.add(step * strip.packed_step), vector) };
        }
    }
}

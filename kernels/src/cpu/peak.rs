//! What the CPU could do: the rates that measured ones are compared with.
//!
//! Both run on all threads of the current rayon pool at once, since cores share their clock and
//! their memory. Every call measures anew: the speed of a machine that is shared drifts within
//! minutes.

use std::hint::black_box;
use std::time::Instant;

use super::gemm::{Engine, Epilogue, matmul_with};
use super::simd::{VectorUnit, vectorised};
use crate::{MatmulShape, Precision};

/// Sums that grow side by side: two units, each with a latency of four or five cycles, are kept
/// busy by ten vectors.
const CHAINS: usize = 10;
/// Rounds of multiply-adds in a measurement: some milliseconds.
const ROUNDS: usize = 1 << 19;
/// Measurements; the median counts.
const REPEATS: usize = 9;

/// Multiply-adds of `f32` from registers to registers, counted as two operations each, in GFLOP/s.
pub fn multiply_add_gflop_per_s() -> f64 {
    let flop = 2 * CHAINS * lanes() * ROUNDS * rayon::current_num_threads();
    flop as f64 / 1e9 / median_s(multiply_adds)
}

/// The triad `a[i] = b[i] + 3·c[i]` over `f32` arrays of `len` numbers for each thread, in GB/s.
///
/// Twelve bytes are counted for a number; that a CPU reads a line before it writes it is not.
pub fn triad_gb_per_s(len: usize) -> f64 {
    let threads = rayon::current_num_threads();
    let arrays: Vec<_> = rayon::broadcast(|_| {
        std::sync::Mutex::new((vec![0f32; len], vec![1f32; len], vec![2f32; len]))
    });
    // Small arrays are gone through several times, so that a measurement takes long enough for the
    // clock.
    let passes = ((4 << 20) / len.max(1)).max(1);
    let seconds = median_s(|| {
        let thread = rayon::current_thread_index().unwrap_or(0) % threads;
        let Ok(mut arrays) = arrays[thread].lock() else { return };
        let (out, left, right) = &mut *arrays;
        for _ in 0..passes {
            triad(black_box(left), black_box(right), out);
            black_box(&mut *out);
        }
    });
    (12 * len * passes * threads) as f64 / 1e9 / seconds
}

/// Time that a product takes in bfloat16, as a multiple of its time in `f32`, or nothing if the CPU
/// lacks the instructions: on one thread, operands in the caches, some milliseconds in all.
///
/// A CPU may have the instructions and gain nothing by them: `VDPBF16PS` has twice the
/// multiply-adds of the `f32` instruction, and some CPUs start it a quarter as often.
pub fn bfloat16_time_ratio() -> Option<f64> {
    let bfloat16 = Engine::of(Precision::BFloat16)?;
    let shape = MatmulShape::plain(128, 128, 256);
    let (left, right) = (vec![0.5f32; shape.left_len()], vec![0.5f32; shape.right_len()]);
    let time = |engine| {
        median_s(|| {
            let mut out = vec![0f32; shape.out_len()];
            for _ in 0..4 {
                matmul_with(engine, shape, &left, &right, Epilogue::Store, &mut out);
            }
            black_box(out);
        })
    };
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().ok()?;
    Some(one_thread.install(|| time(bfloat16) / time(Engine::best())))
}

fn triad(left: &[f32], right: &[f32], out: &mut [f32]) {
    vectorised(
        #[inline(always)]
        || {
            out.iter_mut()
                .zip(left)
                .zip(right)
                .for_each(|((out, left), right)| *out = left + 3.0 * right)
        },
    );
}

/// Seconds that `work` takes when every thread does it at once.
fn median_s(work: impl Fn() + Sync) -> f64 {
    let mut times: Vec<f64> = (0..REPEATS)
        .map(|_| {
            let started = Instant::now();
            rayon::broadcast(|_| work());
            started.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[REPEATS / 2]
}

/// Numbers in a vector register.
fn lanes() -> usize {
    match VectorUnit::in_use() {
        VectorUnit::Baseline => 4,
        VectorUnit::Avx2 => 8,
        VectorUnit::Avx512 => 16,
    }
}

fn multiply_adds() {
    match VectorUnit::in_use() {
        // Without fused multiply-adds the two are an instruction each.
        VectorUnit::Baseline => _ = black_box(chains::<4>(|sum, factor| sum * factor + factor)),
        VectorUnit::Avx2 => vectorised(
            #[inline(always)]
            || _ = black_box(chains::<8>(fused)),
        ),
        VectorUnit::Avx512 => vectorised(
            #[inline(always)]
            || _ = black_box(chains::<16>(fused)),
        ),
    }
}

#[inline(always)]
fn fused(sum: f32, factor: f32) -> f32 {
    sum.mul_add(factor, factor)
}

/// The chains, each as wide as a vector register.
#[inline(always)]
fn chains<const LANES: usize>(step: impl Fn(f32, f32) -> f32) -> [[f32; LANES]; CHAINS] {
    let factor = black_box([0.5f32; LANES]);
    let mut sums = black_box([[1.0; LANES]; CHAINS]);
    for _ in 0..ROUNDS {
        for sum in &mut sums {
            for (sum, &factor) in sum.iter_mut().zip(&factor) {
                *sum = step(*sum, factor);
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_a_computer() {
        for rate in [multiply_add_gflop_per_s(), triad_gb_per_s(1 << 10)] {
            assert!((0.01..1e6).contains(&rate), "{rate}");
        }
        let ratio = bfloat16_time_ratio();
        assert_eq!(ratio.is_some(), Engine::of(Precision::BFloat16).is_some());
        assert!(ratio.is_none_or(|ratio| (0.01..100.0).contains(&ratio)), "{ratio:?}");
    }
}

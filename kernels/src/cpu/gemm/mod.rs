//! The matrix product: one door, several engines.
//!
//! [`matmul`] is the function that everything in Rung multiplies matrices with. The engine behind
//! it is chosen when the program runs. `portable` (the crate `matrixmultiply`) is always there and
//! is the reference in the tests. On x86 CPUs two faster ones for `f32` share one set of loops and
//! differ in their innermost part. A left matrix of zeros and ones, such as binarised pixels, takes
//! a way of its own on every CPU, without multiplications: `binary.rs`.
//!
//! # Why three nested loops are not enough
//!
//! `out[i, j] = Σ_p left[i, p] · right[p, j]` takes `m·n·k` multiply-adds on `m·k + k·n + m·n`
//! numbers. A core with AVX-512 does 32 multiply-adds in a cycle, but it loads two vectors of 16
//! numbers, and main memory gives it about one number. So a number, once loaded, has to be used
//! many times while it is near: first in the registers, then in each cache.
//!
//! **Registers: a tile.** The innermost loop (the micro-kernel) computes a tile of 14 x 32 sums,
//! all of them in registers. A step `p` loads 32 numbers of `right` and 14 of `left` and does 448
//! multiply-adds with them:
//!
//! ```text
//!                     right[p, 32 columns]       two vectors
//!                     ┌────────┬────────┐
//!   left[14 rows, p]  └────────┴────────┘
//!         ┌─┐         ┌────────┬────────┐
//!         │a│ ──────> │ + a·.. │ + a·.. │       each number of `left`, spread over a vector,
//!         │b│ ──────> │ + b·.. │ + b·.. │       times two vectors, is added to two of the 28
//!         │:│         │   :    │   :    │       vectors of sums
//!         └─┘         └────────┴────────┘
//! ```
//!
//! **Caches: blocks.** Five loops around it choose what is near. From the outermost to the
//! innermost:
//!
//! ```text
//!  loop 5: columns of `out`, 2048 at a time ┐  a block of `right`, packed, is in the outer caches
//!  loop 4: the inner dimension, 512 a time  ┘
//!  loop 3: rows of `out`, 112 at a time        a block of `left` is in a core's L2 cache (1 MiB)
//!  loop 2: panels of 32 columns                a panel of `right` lies in the first two levels
//!  loop 1: tiles of 14 rows                    the strip of `left` streams to the registers
//!
//!              k                      n                            n
//!         ┌────┬────┐          ┌───┬───┬───┬───┐          ┌───┬───┬───┬───┐
//!         │    │    │          │ P │   │   │   │  512     │ t │   │   │   │ } tile of 14 rows
//!  112 {  │ L  │    │          │   │   │   │   │ terms    │ t │   │   │   │
//!       m ├────┼────┤    ·   k ├───┼───┼───┼───┤     =  m ├───┼───┼───┼───┤
//!         │    │    │          │   │   │   │   │          │   │   │   │   │
//!         │    │    │          │   │   │   │   │          │   │   │   │   │
//!         └────┴────┘          └───┴───┴───┴───┘          └───┴───┴───┴───┘
//!           left                     right                       out
//!  L: a block of loop 3.   P: a panel of loop 2.   t: the tiles that L and P give.
//! ```
//!
//! Loop 4 lies outside loop 3 so that a block of `right` is packed once and read by all rows. Loop
//! 2 lies outside loop 1 so that a panel, the larger piece, is brought near once and used by all
//! tiles of the row block.
//!
//! **Packing.** A block is copied into the order in which the innermost loop reads it: for each
//! step the 32 numbers of a panel (or the rows of a tile) side by side, step after step. Then every
//! load is whole, aligned and foreseen by the CPU, and the four transposition forms differ in the
//! packing alone. Packing costs a pass over the operand, so an operand that is used a few times
//! only is read where it lies; `plan.rs` says when. A panel is packed just before its first use,
//! and while the tiles of a panel are multiplied, what the next one and the next row block are
//! packed from is fetched: `ahead.rs`.
//!
//! **Edges.** There is a micro-kernel for each number of rows, so 128 rows are tiles of 13 and 12,
//! none of them mostly empty; at the right border the second vector is left out or masked.
//!
//! # Threads and bits
//!
//! `out` is cut into a part for each thread, the longer side first, and a thread computes its part
//! alone, packing included: `split.rs` says why. The products behind an element are added in the
//! order of `p`, in blocks that depend on `k` alone, by one thread: the bits of a product are the
//! same for any number of threads. They do depend on the engine, and on whether the left matrix is
//! binary.
//!
//! # What to read
//!
//! `split.rs` (the parts), `plan.rs` (every constant with its reason), `blocked.rs` (the loops),
//! `kernel.rs` (what they ask of a CPU), `avx512.rs`, then `avx2.rs`, its smaller brother, and
//! `avx512_bf16.rs`, which multiplies two terms in the place of one; `binary.rs`; `correlation.rs`:
//! how a convolution is such a product. The blocking is that of Goto and van de Geijn, *Anatomy of
//! High-Performance Matrix Multiplication* (2008), with the names of BLIS (Van Zee and van de
//! Geijn, 2015).
//!
//! # Example
//!
//! ```
//! use rung_kernels::{MatmulShape, Precision};
//! use rung_kernels::cpu::gemm::{Epilogue, matmul};
//!
//! // One row of two numbers times a weight matrix stored [3, 2], plus a bias.
//! let (left_transposed, right_transposed) = (false, true);
//! let shape = MatmulShape { rows: 1, columns: 3, inner: 2, left_transposed, right_transposed };
//! let mut out = [0.0f32; 3];
//! let bias = Epilogue::AddBias(&[0.5, 0.5, 0.5]);
//! matmul(shape, Precision::Full, &[1.0, 2.0], &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0], bias, &mut out);
//! assert_eq!(out, [1.5, 2.5, 3.5]);
//! ```

#[cfg(target_arch = "x86_64")]
mod ahead;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512_bf16;
mod binary;
#[cfg(target_arch = "x86_64")]
mod blocked;
#[cfg(target_arch = "x86_64")]
mod correlate;
#[cfg(target_arch = "x86_64")]
mod correlate_weight;
mod correlation;
mod element;
#[cfg(target_arch = "x86_64")]
mod kernel;
mod patches;
#[cfg(target_arch = "x86_64")]
mod plan;
mod portable;
mod split;
#[cfg(test)]
mod tests;

use super::parallel::ColumnsMut;
use crate::{MatmulShape, Precision};
use element::Element;

pub(in crate::cpu) use correlation::{convolve, convolve_transposed, correlate_weight};

/// What happens to a sum on its way into `out`.
#[derive(Clone, Copy)]
pub enum Epilogue<'a, T> {
    /// `out[i, j] = sum`
    Store,
    /// `out[i, j] = sum + bias[j]`: one number per column.
    AddBias(&'a [T]),
    /// `out[i, j] += sum`
    Accumulate,
    /// `out[i, j] = sum`, and then what the function makes of it: it is given each piece of `out`
    /// once, while that lies in the cache.
    Then(&'a (dyn Fn(Finished<'_, T>) + Sync)),
}

/// A finished piece of `out`.
pub struct Finished<'a, T> {
    /// Column of `out` where the piece begins.
    pub(super) first_column: usize,
    /// Its elements.
    pub(super) elements: ColumnsMut<'a, T>,
}

/// The element types of a matrix product: `f32` and `f64`.
pub trait MatmulElement: element::Element + Copy + Send + Sync + 'static {}

impl MatmulElement for f32 {}
impl MatmulElement for f64 {}

/// A way to compute the product; all ways give the same numbers up to rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Tiles of 14 x 32 in AVX-512, for `f32`.
    Avx512,
    /// The same with operands rounded to bfloat16, for [`Precision::BFloat16`].
    Avx512Bf16,
    /// Tiles of 6 x 16 in AVX2 and FMA, for `f32`.
    Avx2,
    /// The crate `matrixmultiply`, on any CPU.
    Portable,
}

impl Engine {
    /// Every engine, the fastest of a precision first.
    pub const ALL: [Engine; 4] =
        [Engine::Avx512, Engine::Avx512Bf16, Engine::Avx2, Engine::Portable];

    /// The fastest engine of this CPU, in full precision.
    pub fn best() -> Engine {
        Engine::of(Precision::Full).unwrap_or(Engine::Portable)
    }

    /// The fastest engine of a precision, if this CPU has one.
    pub fn of(precision: Precision) -> Option<Engine> {
        let fits = |engine: &Engine| engine.precision() == precision && engine.is_available();
        Engine::ALL.into_iter().find(fits)
    }

    /// How it rounds operands of `f32`.
    pub fn precision(self) -> Precision {
        match self {
            Engine::Avx512Bf16 => Precision::BFloat16,
            Engine::Avx512 | Engine::Avx2 | Engine::Portable => Precision::Full,
        }
    }

    /// Whether this CPU has the instructions the engine needs.
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Engine::Avx512 => is_x86_feature_detected!("avx512f"),
            #[cfg(target_arch = "x86_64")]
            Engine::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Engine::Avx512Bf16 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512bf16")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Engine::Avx512 | Engine::Avx512Bf16 | Engine::Avx2 => false,
            Engine::Portable => true,
        }
    }

    /// The name shown to people.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Avx512 => "avx512",
            Engine::Avx512Bf16 => "avx512-bf16",
            Engine::Avx2 => "avx2",
            Engine::Portable => "portable",
        }
    }
}

/// Name of the engine that [`matmul`] uses for `f32` on this CPU.
pub fn engine_name() -> &'static str {
    Engine::best().name()
}

/// Matrix product with a transposition flag per operand and an epilogue.
///
/// sum[i, j] = Σ_p op(left)[i, p] · op(right)[p, j];   `out` as the [`Epilogue`] says
///
/// | slice   | shape               | stored, if transposed |
/// |---------|---------------------|-----------------------|
/// | `left`  | `[rows, inner]`     | `[inner, rows]`       |
/// | `right` | `[inner, columns]`  | `[columns, inner]`    |
/// | `out`   | `[rows, columns]`   |                       |
///
/// **Edges.** `inner == 0` makes every sum zero; without rows or columns nothing is written.
/// **Accuracy.** Within 4·√inner·ε·Σ|terms|, of operands rounded as the precision says. The bits
/// don't depend on the number of threads.
/// **Cost.** 2·rows·columns·inner operations on the threads of the current rayon pool; no
/// allocation once the packing buffers have grown to the largest product.
pub fn matmul<T: MatmulElement>(
    shape: MatmulShape,
    precision: Precision,
    left: &[T],
    right: &[T],
    epilogue: Epilogue<'_, T>,
    out: &mut [T],
) {
    check_lengths(shape, left, right, epilogue, out);
    if !binary::multiply_if_binary(shape, left, right, epilogue, out) {
        let engine = Engine::of(precision).expect("bug: a precision that the CPU lacks");
        matmul_with(engine, shape, left, right, epilogue, out);
    }
}

/// [`matmul`] by a given engine, whatever the left matrix holds (for tests and benchmarks); `f64`
/// is always computed by the portable one.
///
/// # Panics
/// If the CPU lacks the engine's instructions.
pub fn matmul_with<T: MatmulElement>(
    engine: Engine,
    shape: MatmulShape,
    left: &[T],
    right: &[T],
    epilogue: Epilogue<'_, T>,
    out: &mut [T],
) {
    check_lengths(shape, left, right, epilogue, out);
    assert!(engine.is_available(), "bug: the CPU can't run the engine {}", engine.name());
    if shape.rows == 0 || shape.columns == 0 {
        return;
    }
    if shape.inner == 0 {
        return store_empty_sums(shape.columns, epilogue, out);
    }
    T::multiply(engine, shape, left, right, epilogue, out);
}

fn check_lengths<T>(
    shape: MatmulShape,
    left: &[T],
    right: &[T],
    epilogue: Epilogue<'_, T>,
    out: &[T],
) {
    assert_eq!(left.len(), shape.left_len(), "bug: left slice of {shape:?}");
    assert_eq!(right.len(), shape.right_len(), "bug: right slice of {shape:?}");
    assert_eq!(out.len(), shape.out_len(), "bug: out slice of {shape:?}");
    if let Epilogue::AddBias(bias) = epilogue {
        assert_eq!(bias.len(), shape.columns, "bug: bias slice of {shape:?}");
    }
}

fn store_empty_sums<T: Element>(columns: usize, epilogue: Epilogue<'_, T>, out: &mut [T]) {
    match epilogue {
        Epilogue::Store => out.fill(T::ZERO),
        Epilogue::AddBias(bias) => {
            out.chunks_exact_mut(columns).for_each(|row| row.copy_from_slice(bias))
        }
        Epilogue::Accumulate => {}
        Epilogue::Then(finish) => {
            out.fill(T::ZERO);
            finish(Finished { first_column: 0, elements: ColumnsMut::new(out, columns) });
        }
    }
}

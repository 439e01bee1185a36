//! Loops over slices that LLVM turns into vector instructions: maps of several arrays to one, and
//! sums with a fixed order.

use std::ops::Range;

use super::real::Real;

/// Running sums of a slice: enough for one 512-bit register of f32, so that a sum is not one long
/// chain of additions.
const LANES: usize = 16;

/// Terms computed before they are summed: a kilobyte of f32, which stays in the first-level cache.
pub(super) const TILE: usize = 256;

/// An array on the stack at the start of a cache line: a 64-byte vector of it then never lies in
/// two lines.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Aligned<A>(pub(super) A);

/// Several arrays of one length that a loop reads side by side.
///
/// Each loop is a function with one parameter for each array: a parameter that is a slice is known
/// to overlap no other, and LLVM then needs no checks for overlap, which it gives up on when they
/// are many.
pub(super) trait Inputs<T, const N: usize>: Copy {
    /// How many elements each array has.
    fn len(self) -> usize;
    /// The same range of each array.
    fn range(self, range: Range<usize>) -> Self;
    /// See [`map`].
    fn map<R>(self, out: &mut [R], f: impl Fn([T; N]) -> R);
    /// See [`update`].
    fn update(self, out: &mut [T], f: impl Fn(T, [T; N]) -> T);
    /// See [`map_2`].
    fn map_2(self, out: [&mut [T]; 2], f: impl Fn([T; N]) -> [T; 2]);
    /// See [`map_4`].
    fn map_4(self, out: [&mut [T]; 4], f: impl Fn([T; N]) -> [T; 4]);
}

macro_rules! inputs {
    ($count:literal: $($x:ident),+) => {
        impl<T: Copy> Inputs<T, $count> for [&[T]; $count] {
            #[inline(always)]
            fn len(self) -> usize {
                self[0].len()
            }

            #[inline(always)]
            fn range(self, range: Range<usize>) -> Self {
                let [$($x),+] = self;
                [$(&$x[range.start..range.end]),+]
            }

            #[inline(always)]
            fn map<R>(self, out: &mut [R], f: impl Fn([T; $count]) -> R) {
                #[inline(always)]
                fn run<T: Copy, R>($($x: &[T]),+, out: &mut [R], f: impl Fn([T; $count]) -> R) {
                    let len = out.len();
                    $(let $x = &$x[..len];)+
                    for i in 0..len {
                        out[i] = f([$($x[i]),+]);
                    }
                }
                let [$($x),+] = self;
                run($($x),+, out, f);
            }

            #[inline(always)]
            fn update(self, out: &mut [T], f: impl Fn(T, [T; $count]) -> T) {
                #[inline(always)]
                fn run<T: Copy>($($x: &[T]),+, out: &mut [T], f: impl Fn(T, [T; $count]) -> T) {
                    let len = out.len();
                    $(let $x = &$x[..len];)+
                    for i in 0..len {
                        out[i] = f(out[i], [$($x[i]),+]);
                    }
                }
                let [$($x),+] = self;
                run($($x),+, out, f);
            }

            #[inline(always)]
            fn map_2(self, out: [&mut [T]; 2], f: impl Fn([T; $count]) -> [T; 2]) {
                #[inline(always)]
                fn run<T: Copy>($($x: &[T]),+, out_0: &mut [T], out_1: &mut [T],
                    f: impl Fn([T; $count]) -> [T; 2]) {
                    let len = out_0.len();
                    $(let $x = &$x[..len];)+
                    let out_1 = &mut out_1[..len];
                    for i in 0..len {
                        [out_0[i], out_1[i]] = f([$($x[i]),+]);
                    }
                }
                let ([$($x),+], [out_0, out_1]) = (self, out);
                run($($x),+, out_0, out_1, f);
            }

            #[inline(always)]
            fn map_4(self, out: [&mut [T]; 4], f: impl Fn([T; $count]) -> [T; 4]) {
                #[inline(always)]
                fn run<T: Copy>(
                    out_0: &mut [T],
                    out_1: &mut [T],
                    out_2: &mut [T],
                    out_3: &mut [T],
                    $($x: &[T]),+,
                    f: impl Fn([T; $count]) -> [T; 4],
                ) {
                    let len = out_0.len();
                    $(let $x = &$x[..len];)+
                    let (out_1, out_2, out_3) = (&mut out_1[..len], &mut out_2[..len],
                        &mut out_3[..len]);
                    for i in 0..len {
                        [out_0[i], out_1[i], out_2[i], out_3[i]] = f([$($x[i]),+]);
                    }
                }
                let ([$($x),+], [out_0, out_1, out_2, out_3]) = (self, out);
                run(out_0, out_1, out_2, out_3, $($x),+, f);
            }
        }
    };
}

inputs!(1: a);
inputs!(2: a, b);
inputs!(3: a, b, c);
inputs!(4: a, b, c, d);
inputs!(5: a, b, c, d, e);
inputs!(6: a, b, c, d, e, g);

/// out[i] = f([x[0][i], …, x[N−1][i]]).
#[inline(always)]
pub(super) fn map<T, R, const N: usize>(
    x: impl Inputs<T, N>,
    out: &mut [R],
    f: impl Fn([T; N]) -> R,
) {
    x.map(out, f);
}

/// out[i] = f(out[i], [x[0][i], …, x[N−1][i]]).
#[inline(always)]
pub(super) fn update<T, const N: usize>(
    x: impl Inputs<T, N>,
    out: &mut [T],
    f: impl Fn(T, [T; N]) -> T,
) {
    x.update(out, f);
}

/// [out[0][i], out[1][i]] = f([x[0][i], …, x[N−1][i]]): two results of one evaluation.
#[inline(always)]
pub(super) fn map_2<T, const N: usize>(
    x: impl Inputs<T, N>,
    out: [&mut [T]; 2],
    f: impl Fn([T; N]) -> [T; 2],
) {
    x.map_2(out, f);
}

/// [`map_2`] for four results.
#[inline(always)]
pub(super) fn map_4<T, const N: usize>(
    x: impl Inputs<T, N>,
    out: [&mut [T]; 4],
    f: impl Fn([T; N]) -> [T; 4],
) {
    x.map_4(out, f);
}

/// A tile of a result that may not be wanted: then it goes to a scratch array.
#[inline(always)]
pub(super) fn or_scratch<'a, T>(
    wanted: &'a mut Option<&mut [T]>,
    tile: Range<usize>,
    scratch: &'a mut Aligned<[T; TILE]>,
) -> &'a mut [T] {
    match wanted {
        Some(out) => &mut out[tile],
        None => &mut scratch.0[..tile.len()],
    }
}

/// The tiles of `len` elements.
#[inline(always)]
pub(super) fn tiles(len: usize) -> Tiles {
    Tiles { start: 0, len }
}

/// See [`tiles`].
pub(super) struct Tiles {
    start: usize,
    len: usize,
}

impl Iterator for Tiles {
    type Item = Range<usize>;

    #[inline(always)]
    fn next(&mut self) -> Option<Range<usize>> {
        let start = self.start;
        self.start = self.len.min(start + TILE);
        (start < self.len).then_some(start..self.start)
    }
}

/// Σ_i f([x[0][i], …, x[N−1][i]]): sixteen running sums, added in f64 in a fixed order.
///
/// The terms go through a small buffer, so that the loop that computes them has no other business
/// and vectorises.
#[inline(always)]
pub(super) fn sum_of<T: Real, const N: usize>(
    x: impl Inputs<T, N>,
    f: impl Fn([T; N]) -> T,
) -> f64 {
    let mut lanes = [T::ZERO; LANES];
    let mut terms = Aligned([T::ZERO; TILE]);
    for tile in tiles(x.len()) {
        let terms = &mut terms.0[..tile.len()];
        x.range(tile).map(terms, &f);
        add_to_lanes(terms, &mut lanes);
    }
    total(&lanes)
}

/// Σ_i (f₀ − ln(1 + f₁)) with [f₀, f₁] = f([x[0][i], …, x[N−1][i]]) and 0 ≤ f₁ ≤ 1: one logarithm
/// for sixteen terms.
///
/// A lane keeps q = Π(1 + f₁) − 1, updated as q + f₁ + q·f₁: it stays accurate where all factors
/// are near 1, and a tile's sixteen factors a lane make at most 2¹⁶.
#[inline(always)]
pub(super) fn sum_less_ln_1p<T: Real, const N: usize>(
    x: impl Inputs<T, N>,
    f: impl Fn([T; N]) -> [T; 2],
) -> f64 {
    let mut lanes = [T::ZERO; LANES];
    let (mut terms, mut factors) = (Aligned([T::ZERO; TILE]), Aligned([T::ZERO; TILE]));
    for tile in tiles(x.len()) {
        let (terms, factors) = (&mut terms.0[..tile.len()], &mut factors.0[..tile.len()]);
        x.range(tile).map_2([terms, factors], &f);
        add_to_lanes(terms, &mut lanes);
        let mut products = [T::ZERO; LANES];
        fold_into_lanes(
            factors,
            &mut products,
            #[inline(always)]
            |q, t| q + t + q * t,
        );
        for (lane, product) in lanes.iter_mut().zip(products) {
            *lane += -product.ln_1p();
        }
    }
    total(&lanes)
}

/// Σ x[i].
#[inline(always)]
pub(super) fn sum<T: Real>(x: &[T]) -> f64 {
    let mut lanes = [T::ZERO; LANES];
    add_to_lanes(x, &mut lanes);
    total(&lanes)
}

/// Adds element i to lane i mod 16.
#[inline(always)]
fn add_to_lanes<T: Real>(x: &[T], lanes: &mut [T; LANES]) {
    fold_into_lanes(
        x,
        lanes,
        #[inline(always)]
        |lane, x| lane + x,
    );
}

/// Folds element i into lane i mod 16.
#[inline(always)]
fn fold_into_lanes<T: Real>(x: &[T], lanes: &mut [T; LANES], fold: impl Fn(T, T) -> T) {
    let (whole, rest) = x.as_chunks::<LANES>();
    for x in whole {
        for (lane, &x) in lanes.iter_mut().zip(x) {
            *lane = fold(*lane, x);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane = fold(*lane, x);
    }
}

/// The sum of the lanes in f64, in pairs: a chain of sixteen additions would take longer than a row
/// of 64 terms.
#[inline(always)]
fn total<T: Real>(lanes: &[T; LANES]) -> f64 {
    let mut sums = [0.0; LANES];
    for (sum, lane) in sums.iter_mut().zip(lanes) {
        *sum = lane.to_f64();
    }
    for width in [8, 4, 2, 1] {
        for i in 0..width {
            sums[i] += sums[i + width];
        }
    }
    sums[0]
}

/// The largest element: NaN if any is, −∞ if there are none.
#[inline(always)]
pub(super) fn maximum<T: Real>(x: &[T]) -> T {
    fold_lanes(
        x,
        T::NEG_INFINITY,
        #[inline(always)]
        |a, b| larger(a, b),
    )
}

/// The smallest element: NaN if any is, +∞ if there are none.
#[inline(always)]
pub(super) fn minimum<T: Real>(x: &[T]) -> T {
    fold_lanes(
        x,
        -T::NEG_INFINITY,
        #[inline(always)]
        |a, b| smaller(a, b),
    )
}

/// Folds the elements into lanes, then the lanes.
#[inline(always)]
fn fold_lanes<T: Real>(x: &[T], start: T, choose: impl Fn(T, T) -> T) -> T {
    let mut lanes = [start; LANES];
    fold_into_lanes(x, &mut lanes, &choose);
    let mut chosen = start;
    for lane in lanes {
        chosen = choose(chosen, lane);
    }
    chosen
}

/// Whether a number is NaN.
#[inline(always)]
pub(super) fn is_nan<T: Real>(x: T) -> bool {
    x.partial_cmp(&x).is_none()
}

/// The larger of two numbers: NaN if one is.
#[inline(always)]
pub(super) fn larger<T: Real>(a: T, b: T) -> T {
    if a >= b || is_nan(a) { a } else { b }
}

/// The smaller of two numbers: NaN if one is.
#[inline(always)]
pub(super) fn smaller<T: Real>(a: T, b: T) -> T {
    if a <= b || is_nan(a) { a } else { b }
}

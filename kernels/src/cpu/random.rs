//! Random numbers in bulk: the words of an address for a range of elements, and what is made of
//! them.
//!
//! Philox is computed for many counters side by side, so that its integer arithmetic runs in vector
//! registers. Which words an element gets depends on its index alone.

use std::ops::Range;

use super::lanes::Aligned;
use super::parallel::{HEAVY, LIGHT, Rows, for_each_block, for_each_block_of, rows};
use super::real::Real;
use super::typed::{Extent, Float, check, for_float, operands};
use crate::backend::RowNoise;
use crate::rng::{Address, philox4x32};
use crate::{Error, Result, View, ViewMut};

/// Counters computed side by side; each gives four words.
const COUNTERS: usize = 64;

/// Elements served by one batch of counters.
const BATCH: usize = 4 * COUNTERS;

/// Elements of a task: a whole number of batches, so that only the last one of an array is cut
/// short.
const TASK: usize = 16 * BATCH;

/// `COUNTERS` numbers for each of the four places of a counter, of its words, or of a quad of
/// normal numbers.
type Lanes<T> = Aligned<[[T; COUNTERS]; 4]>;

/// The four words of each counter, word by word.
#[inline(always)]
fn words_of(key: [u32; 2], counter: impl Fn(usize) -> [u32; 4]) -> Lanes<u32> {
    let mut words = Aligned([[0; COUNTERS]; 4]);
    for i in 0..COUNTERS {
        let [a, b, c, d] = philox4x32(key, counter(i));
        (words.0[0][i], words.0[1][i], words.0[2][i], words.0[3][i]) = (a, b, c, d);
    }
    words
}

/// The four words of each of `COUNTERS` neighbouring counters, word by word.
#[inline(always)]
fn words_by_lane(address: &Address, first_counter: u32) -> Lanes<u32> {
    let base = address.counter(first_counter);
    words_of(
        address.key(),
        #[inline(always)]
        |i| [base[0].wrapping_add(i as u32), base[1], base[2], base[3]],
    )
}

/// Writes four lanes one after the other: out[4i + k] = lanes[k][i].
#[inline(always)]
fn interleave<T: Copy>(lanes: &[[T; COUNTERS]; 4], out: &mut [T; BATCH]) {
    let (quads, _) = out.as_chunks_mut::<4>();
    for (i, quad) in quads.iter_mut().enumerate() {
        *quad = [lanes[0][i], lanes[1][i], lanes[2][i], lanes[3][i]];
    }
}

/// Runs `body` with the words of the elements from `first`, batch by batch: (offset from `first`,
/// words).
#[inline(always)]
pub(super) fn for_each_word_batch(
    address: &Address,
    first: usize,
    len: usize,
    mut body: impl FnMut(usize, &[u32]),
) {
    let mut words = Aligned([0; BATCH]);
    let (mut offset, mut skip) = (0, first % 4);
    while offset < len {
        let counter = ((first + offset) / 4) as u32;
        interleave(&words_by_lane(address, counter).0, &mut words.0);
        let count = (BATCH - skip).min(len - offset);
        body(offset, &words.0[skip..skip + count]);
        (offset, skip) = (offset + count, 0);
    }
}

/// out[i] = f(word of element i, x[i]) over a whole array.
fn fill_from_words<T: Float>(
    address: Address,
    x: &[T],
    out: &mut [T],
    f: impl Fn(u32, T) -> T + Sync,
) {
    for_each_block_of(TASK, out.len(), HEAVY, (x, out), |range, (x, out)| {
        T::vectorised(
            #[inline(always)]
            || {
                for_each_word_batch(
                    &address,
                    range.start,
                    out.len(),
                    #[inline(always)]
                    |offset, words| {
                        let here = offset..offset + words.len();
                        for ((out, &x), &word) in
                            out[here.clone()].iter_mut().zip(&x[here]).zip(words)
                        {
                            *out = f(word, x);
                        }
                    },
                );
            },
        );
    });
}

/// `fill_uniform`, as declared.
pub(super) fn fill_uniform(address: Address, out: ViewMut<'_>) -> Result<()> {
    for_float!("fill_uniform", (out) => uniform(address, out));
    Ok(())
}

fn uniform<T: Float>(address: Address, out: &mut [T]) {
    for_each_block_of(TASK, out.len(), HEAVY, out, |range, out| {
        T::vectorised(
            #[inline(always)]
            || {
                for_each_word_batch(
                    &address,
                    range.start,
                    out.len(),
                    #[inline(always)]
                    |offset, words| {
                        for (out, &word) in out[offset..].iter_mut().zip(words) {
                            *out = T::uniform(word);
                        }
                    },
                );
            },
        );
    });
}

/// `fill_normal`, as declared.
pub(super) fn fill_normal(address: Address, out: ViewMut<'_>) -> Result<()> {
    for_float!("fill_normal", (out) => normal(address, out));
    Ok(())
}

fn normal<T: Float>(address: Address, out: &mut [T]) {
    for_each_block_of(TASK, out.len(), HEAVY, out, |range, out| {
        T::vectorised(
            #[inline(always)]
            || {
                for (batch, out) in out.chunks_mut(BATCH).enumerate() {
                    let counter = (range.start + batch * BATCH) / 4;
                    normal_batch(&address, counter as u32, out);
                }
            },
        );
    });
}

/// The quad of normal numbers that is made of each four words.
#[allow(clippy::needless_range_loop, reason = "eight arrays are walked at once")]
#[inline(always)]
fn normal_lanes<T: Real>(Aligned(words): &Lanes<u32>) -> Lanes<T> {
    let mut lanes = Aligned([[T::ZERO; COUNTERS]; 4]);
    for i in 0..COUNTERS {
        let [a, b, c, d] = T::normal_quad([words[0][i], words[1][i], words[2][i], words[3][i]]);
        (lanes.0[0][i], lanes.0[1][i], lanes.0[2][i], lanes.0[3][i]) = (a, b, c, d);
    }
    lanes
}

/// The normal samples of up to `BATCH` elements from the first of a counter.
#[inline(always)]
fn normal_batch<T: Real>(address: &Address, counter: u32, out: &mut [T]) {
    let lanes = normal_lanes(&words_by_lane(address, counter));
    if let Ok(out) = <&mut [T; BATCH]>::try_from(&mut *out) {
        return interleave(&lanes.0, out);
    }
    let mut values = [T::ZERO; BATCH];
    interleave(&lanes.0, &mut values);
    out.copy_from_slice(&values[..out.len()]);
}

/// `fill_normal_rows`, as declared.
pub(super) fn fill_normal_rows(noise: RowNoise, out: ViewMut<'_>) -> Result<()> {
    const NAME: &str = "fill_normal_rows";
    let count = noise.rows(NAME, out.len())?;
    for_float!(NAME, (out) => normal_rows(noise, count, out));
    Ok(())
}

fn normal_rows<T: Float>(noise: RowNoise, count: usize, out: &mut [T]) {
    let columns = noise.columns;
    for_each_block_of(
        TASK / columns.max(1),
        count,
        columns * HEAVY,
        rows(out, columns),
        |range, mut out| {
            T::vectorised(
                #[inline(always)]
                || match columns.is_multiple_of(4) && columns * noise.samples >= BATCH {
                    true => normal_runs_of(noise, range, &mut out),
                    false => normal_rows_of(noise, range.start, range.len(), &mut out),
                },
            );
        },
    );
}

/// The normal numbers of these rows, where the samples of an example, whole quads each, follow one
/// another in its counters: example by example.
#[inline(always)]
fn normal_runs_of<T: Float>(noise: RowNoise, range: Range<usize>, out: &mut Rows<&mut [T]>) {
    let mut row = range.start;
    while row < range.end {
        let run = (noise.samples - row % noise.samples).min(range.end - row);
        let (address, first_counter) = noise.row(row);
        let elements = (row - range.start) * out.width..(row - range.start + run) * out.width;
        for (batch, out) in out.slice[elements].chunks_mut(BATCH).enumerate() {
            normal_batch(&address, first_counter + (batch * COUNTERS) as u32, out);
        }
        row += run;
    }
}

/// The normal numbers of `count` rows from `first` on. Rows are short, so that one batch of
/// counters serves several.
#[inline(always)]
fn normal_rows_of<T: Float>(noise: RowNoise, first: usize, count: usize, out: &mut Rows<&mut [T]>) {
    let blocks = noise.blocks();
    let (mut row, mut block) = (0, 0);
    while row < count {
        let mut counters = [[0; COUNTERS]; 4];
        let (first_row, first_block) = (row, block);
        let mut filled = 0;
        while filled < COUNTERS && row < count {
            let (address, first_counter) = noise.row(first + row);
            let [start, stream, low, high] = address.counter(first_counter + block as u32);
            let end = COUNTERS.min(filled + blocks - block);
            for (word, same) in counters.iter_mut().zip([start, stream, low, high]) {
                word[filled..end].fill(same);
            }
            for (word, i) in counters[0][filled..end].iter_mut().zip(0..) {
                *word = word.wrapping_add(i);
            }
            block += end - filled;
            filled = end;
            if block == blocks {
                (row, block) = (row + 1, 0);
            }
        }
        let words = words_of(
            noise.address.key(),
            #[inline(always)]
            |i| [counters[0][i], counters[1][i], counters[2][i], counters[3][i]],
        );
        let mut quads = [T::ZERO; BATCH];
        interleave(&normal_lanes(&words).0, &mut quads);
        let (mut row, mut block, mut taken) = (first_row, first_block, 0);
        while taken < filled {
            let here = (blocks - block).min(filled - taken);
            let part = &mut out.row(row)[4 * block..];
            let width = part.len().min(4 * here);
            part[..width].copy_from_slice(&quads[4 * taken..4 * taken + width]);
            (row, block, taken) = (row + 1, 0, taken + here);
        }
    }
}

/// `bernoulli`, as declared.
pub(super) fn bernoulli(address: Address, x: View<'_>, out: ViewMut<'_>) -> Result<()> {
    const NAME: &str = "bernoulli";
    check(NAME, Extent::Like("out", out.len()), operands!(x))?;
    for_float!(NAME, (x, out) => draw(address, x, out));
    Ok(())
}

fn draw<T: Float>(address: Address, x: &[T], out: &mut [T]) {
    fill_from_words(
        address,
        x,
        out,
        #[inline(always)]
        |word, x| if is_success(word, x.to_f64()) { T::ONE } else { T::ZERO },
    );
}

/// word < probability · 2³², exactly: both sides fit into f64.
#[inline(always)]
pub(super) fn is_success(word: u32, probability: f64) -> bool {
    f64::from(word) < probability * WORDS
}

/// How many different words there are: 2³².
const WORDS: f64 = 4_294_967_296.0;

/// `dropout`, as declared.
pub(super) fn dropout(address: Address, rate: f64, x: View<'_>, out: ViewMut<'_>) -> Result<()> {
    const NAME: &str = "dropout";
    if !(0.0..=1.0).contains(&rate) {
        return Err(Error::argument(NAME, format!("rate is {rate}, which must be from 0 to 1")));
    }
    check(NAME, Extent::Like("out", out.len()), operands!(x))?;
    for_float!(NAME, (x, out) => drop_out(address, rate, x, out));
    Ok(())
}

fn drop_out<T: Float>(address: Address, rate: f64, x: &[T], out: &mut [T]) {
    if rate == 1.0 {
        return for_each_block(out.len(), LIGHT, out, |_, out| out.fill(T::ZERO));
    }
    // word ≥ rate · 2³² is word ≥ its ceiling, which fits 32 bits unless the rate rounds up to 1:
    // then the last word is kept.
    let first_kept = (rate * WORDS).ceil() as u32;
    let kept_share = T::from_f64(1.0 - rate);
    fill_from_words(
        address,
        x,
        out,
        #[inline(always)]
        |word, x| if word >= first_kept { x / kept_share } else { T::ZERO },
    );
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_close, same_on_any_threads};
    use super::*;
    use crate::rng::{normal_at, uniform_at};

    const ADDRESS: Address = Address::new(0x0123_4567_89ab_cdef, 3, 1 << 33);
    const LENGTHS: [usize; 7] = [0, 1, 3, 255, 257, 4099, 100_003];

    #[test]
    fn samples_are_those_of_their_address() {
        for len in LENGTHS {
            let (uniforms, normals) = same_on_any_threads(|| {
                let (mut uniforms, mut normals) = (vec![0f32; len], vec![0f32; len]);
                fill_uniform(ADDRESS, ViewMut::F32(&mut uniforms)).unwrap();
                fill_normal(ADDRESS, ViewMut::F32(&mut normals)).unwrap();
                (uniforms, normals)
            });
            let expected: Vec<f64> = (0..len).map(|i| uniform_at(&ADDRESS, i)).collect();
            assert_close("uniform", &uniforms, &expected, 1e-7);
            let expected: Vec<f64> = (0..len).map(|i| normal_at(&ADDRESS, i)).collect();
            assert_close("normal", &normals, &expected, 2e-6);
            assert!(uniforms.iter().all(|&u| 0.0 < u && u < 1.0));
        }
    }

    /// Whatever part of a matrix of samples is asked for, its rows have the numbers of their
    /// examples and samples.
    #[test]
    fn rows_have_the_numbers_of_their_example_and_sample_however_they_are_cut() {
        for columns in [1, 2, 4, 7, 64, 300] {
            let all = RowNoise { address: ADDRESS, columns, samples: 5, first_sample: 0 };
            let (examples, len) = (7, 7 * 5 * columns);
            let whole = same_on_any_threads(|| {
                let mut out = vec![0f32; len];
                fill_normal_rows(all, ViewMut::F32(&mut out)).unwrap();
                out
            });
            for (example, first_sample, samples) in [(0, 0, 2), (2, 1, 3), (6, 4, 1)] {
                let address = Address { step: ADDRESS.step + example as u64, ..ADDRESS };
                let mut part = vec![0f32; (examples - example) * samples * columns];
                let noise = RowNoise { address, samples, first_sample, ..all };
                fill_normal_rows(noise, ViewMut::F32(&mut part)).unwrap();
                for (row, part) in part.chunks(columns).enumerate() {
                    let there = (example + row / samples) * 5 + first_sample + row % samples;
                    assert_eq!(part, &whole[there * columns..][..columns], "{noise:?}, row {row}");
                }
            }
        }
    }

    #[test]
    fn rows_that_have_no_addresses_are_refused() {
        let noise = RowNoise { address: ADDRESS, columns: 3, samples: 2, first_sample: 0 };
        let refused = |noise, len: usize| {
            let mut out = vec![0f32; len];
            fill_normal_rows(noise, ViewMut::F32(&mut out)).unwrap_err().to_string()
        };
        assert!(refused(noise, 7).contains("7 elements are no rows of 3, 2 for each example"));
        assert!(refused(noise, 9).contains("9 elements"));
        assert!(refused(RowNoise { samples: 0, ..noise }, 3).contains("0 for each example"));
        assert!(refused(RowNoise { first_sample: usize::MAX, ..noise }, 6).contains("beyond 2³²"));
        assert!(
            refused(RowNoise { first_sample: (1 << 32) - 1, ..noise }, 6).contains("beyond 2³²")
        );
        let last = Address { step: u64::MAX, ..ADDRESS };
        assert!(refused(RowNoise { address: last, ..noise }, 6).contains("no steps are left"));
    }

    #[test]
    fn f64_deviates_are_the_reference_itself() {
        let (mut uniforms, mut normals) = (vec![0f64; 1001], vec![0f64; 1001]);
        fill_uniform(ADDRESS, ViewMut::F64(&mut uniforms)).unwrap();
        fill_normal(ADDRESS, ViewMut::F64(&mut normals)).unwrap();
        assert!((0..1001).all(
            |i| uniforms[i] == uniform_at(&ADDRESS, i) && normals[i] == normal_at(&ADDRESS, i)
        ));
    }

    #[test]
    fn a_range_of_words_may_start_anywhere() {
        for first in [0, 1, 2, 3, 4, 255, 784 * 3 + 1] {
            let mut words = Vec::new();
            for_each_word_batch(&ADDRESS, first, 700, |offset, batch| {
                assert_eq!(offset, words.len());
                words.extend_from_slice(batch);
            });
            assert!((0..700).all(|i| words[i] == ADDRESS.word(first + i)));
        }
    }

    #[test]
    fn draws_compare_words_with_probabilities() {
        for len in LENGTHS {
            let x: Vec<f32> = (0..len).map(|i| (i % 11) as f32 / 10.0).collect();
            let out = same_on_any_threads(|| {
                let mut out = vec![9f32; len];
                bernoulli(ADDRESS, View::F32(&x), ViewMut::F32(&mut out)).unwrap();
                out
            });
            for (i, &out) in out.iter().enumerate() {
                let drawn = f64::from(ADDRESS.word(i)) < f64::from(x[i]) * 4_294_967_296.0;
                assert_eq!(out, f32::from(u8::from(drawn)));
                assert!(x[i] > 0.0 || out == 0.0, "0 never draws 1");
                assert!(x[i] < 1.0 || out == 1.0, "1 always draws 1");
            }
        }
    }

    #[test]
    fn dropout_keeps_and_scales_the_rest() {
        for len in LENGTHS {
            let x: Vec<f32> = (0..len).map(|i| i as f32 + 1.0).collect();
            let out = same_on_any_threads(|| {
                let mut out = vec![9f32; len];
                dropout(ADDRESS, 0.25, View::F32(&x), ViewMut::F32(&mut out)).unwrap();
                out
            });
            let expected = |i: usize| if ADDRESS.word(i) >= 1 << 30 { x[i] / 0.75 } else { 0.0 };
            assert!((0..len).all(|i| out[i] == expected(i)));
        }
    }

    #[test]
    fn dropout_at_its_ends() {
        let (x, mut out) = ([1f32; 9], [9f32; 9]);
        dropout(ADDRESS, 0.0, View::F32(&x), ViewMut::F32(&mut out)).unwrap();
        assert_eq!(out, x);
        dropout(ADDRESS, 1.0, View::F32(&x), ViewMut::F32(&mut out)).unwrap();
        assert_eq!(out, [0.0; 9]);
        let error = dropout(ADDRESS, -0.5, View::F32(&x), ViewMut::F32(&mut out)).unwrap_err();
        assert_eq!(error.to_string(), "dropout: rate is -0.5, which must be from 0 to 1");
    }
}

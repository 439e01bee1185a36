//! The product with a binary left matrix, as binarised pixels are: sums from tables in place of
//! multiplications.
//!
//! An element of such a product is the sum of some of the numbers in a column of `right`. Four
//! numbers have 16 subsets. The sums of all of them are written into a table, once for all rows of
//! `left`; then a row adds the sum that its four bits ask for: one addition in place of four
//! multiply-adds.
//!
//! ```text
//!      four terms of left        of right          table                    row i of out
//!                                ┌──────┐     0000: 0
//!      row i: 1 1 0 1            │  w0  │     0001: w0
//!                                │  w1  │     0010: w1            += table[1011] = w0 + w1 + w3
//!                                │  w2  │     0011: w0 + w1            (term 0 is the lowest bit)
//!                                │  w3  │      :
//!                                └──────┘     1111: w0 + w1 + w2 + w3
//! ```
//!
//! Each `w` is a line of 32 numbers, a row of a panel of 32 columns. The tables of 32 terms for a
//! panel take 16 KiB, half of a first-level cache, and their bits in a row of `left` are one word.
//! So the loops are, from the outermost: panels of columns; blocks of rows; blocks of 32 terms, for
//! which the tables are filled; rows, each with eight additions of a line. The sums of a panel lie
//! side by side, since in `out` they are a matrix row apart and would evict each other.
//!
//! At a batch of 256 this takes half the time of the other engines' product, for the pixels'
//! product in forward and for the gradient of its weight in backward: together a sixth of the
//! multiply-adds of a step.
//!
//! The method is that of Arlazarov, Dinic, Kronrod and Faradzhev, *On economical construction of
//! the transitive closure of an oriented graph* (1970), known as the method of the four Russians.

use std::ops::Range;

use super::super::parallel::{ColumnsMut, for_each_block_of};
use super::super::scratch::Scratch;
use super::super::simd::vectorised;
use super::element::Element;
use super::{Epilogue, Finished, MatmulShape};

/// Terms of a group.
const GROUP: usize = 4;
/// Lines of a table: one for each subset of a group.
const SUBSETS: usize = 1 << GROUP;
/// Terms of a block: a bit of a word for each.
const BLOCK: usize = u32::BITS as usize;
/// Groups of a block, each with a table.
const GROUPS: usize = BLOCK / GROUP;
/// Columns of a panel, and numbers of a line.
const LANES: usize = 32;
/// Numbers of a line that are computed at once while a table is filled.
const CHUNK: usize = 8;
/// Rows of a block: their sums, 128 KiB, lie in the second-level cache.
const MAX_ROWS: usize = 1024;
/// Rows from which on the tables are worth filling.
const MIN_ROWS: usize = 2 * SUBSETS;
/// Columns from which on the last panel, padded to its whole width, does not weigh.
const MIN_COLUMNS: usize = 2 * LANES;

type Line<T> = [T; LANES];

/// The product, if the left matrix is all zeros and ones and the sizes are worth tables; if not,
/// nothing is written.
///
/// All sizes are positive and the slices have the lengths of `shape`.
pub(super) fn multiply_if_binary<T: Element>(
    shape: MatmulShape,
    left: &[T],
    right: &[T],
    epilogue: Epilogue<'_, T>,
    out: &mut [T],
) -> bool {
    let MatmulShape { rows, columns, inner, .. } = shape;
    let is_worth_tables =
        rows >= MIN_ROWS && columns >= MIN_COLUMNS && inner >= BLOCK && !shape.right_transposed;
    // Nearly every other matrix shows here that it has other numbers.
    if !is_worth_tables || !left[..BLOCK].iter().all(is_zero_or_one) {
        return false;
    }
    let words_len = rows * inner.div_ceil(BLOCK);
    let mut scratch = Scratch::take::<u32>(words_len);
    let words = scratch.as_mut_slice(words_len);
    let is_binary = vectorised(
        #[inline(always)]
        || {
            if shape.left_transposed {
                pack_columns(rows, left, words)
            } else {
                pack_rows(inner, left, words)
            }
        },
    );
    if is_binary {
        add_up(shape, words, right, epilogue, out);
    }
    is_binary
}

#[inline(always)]
fn is_zero_or_one<T: Element>(x: &T) -> bool {
    (*x == T::ZERO) | (*x == T::ONE)
}

/// The bits of a matrix stored `[rows, inner]`, as words `[block, row]`; false if it has other
/// numbers.
#[inline(always)]
fn pack_rows<T: Element>(inner: usize, left: &[T], words: &mut [u32]) -> bool {
    let rows = left.len() / inner;
    left.chunks_exact(inner).enumerate().all(
        #[inline(always)]
        |(row, terms)| {
            let mut is_binary = true;
            for (terms, words) in terms.chunks(BLOCK).zip(words.chunks_exact_mut(rows)) {
                let mut word = 0;
                for (term, x) in terms.iter().enumerate() {
                    is_binary &= is_zero_or_one(x);
                    word |= u32::from(*x == T::ONE) << term;
                }
                words[row] = word;
            }
            is_binary
        },
    )
}

/// The same for a matrix stored `[inner, rows]`.
#[inline(always)]
fn pack_columns<T: Element>(rows: usize, left: &[T], words: &mut [u32]) -> bool {
    words.fill(0);
    left.chunks_exact(rows).enumerate().all(
        #[inline(always)]
        |(term, left)| {
            let words = &mut words[term / BLOCK * rows..][..rows];
            let mut is_binary = true;
            for (word, x) in words.iter_mut().zip(left) {
                is_binary &= is_zero_or_one(x);
                *word |= u32::from(*x == T::ONE) << (term % BLOCK);
            }
            is_binary
        },
    )
}

/// out = bits · right, panel by panel.
fn add_up<T: Element>(
    shape: MatmulShape,
    words: &[u32],
    right: &[T],
    epilogue: Epilogue<'_, T>,
    out: &mut [T],
) {
    let MatmulShape { rows, columns, inner, .. } = shape;
    let scratch_len = BLOCK + GROUPS * SUBSETS + rows.min(MAX_ROWS);
    Scratch::reserve::<Line<T>>(
        columns.div_ceil(LANES).min(rayon::current_num_threads()),
        scratch_len,
    );
    for_each_block_of(
        LANES,
        columns,
        rows * inner / GROUP,
        ColumnsMut::new(out, columns),
        |range, mut out| {
            let mut scratch = Scratch::take::<Line<T>>(scratch_len);
            let (padded, lines) = scratch.as_mut_slice::<Line<T>>(scratch_len).split_at_mut(BLOCK);
            let (tables, sums) = lines.split_at_mut(GROUPS * SUBSETS);
            vectorised(
                #[inline(always)]
                || {
                    for first_row in (0..rows).step_by(MAX_ROWS) {
                        let sums = &mut sums[..MAX_ROWS.min(rows - first_row)];
                        sums.fill([T::ZERO; LANES]);
                        for (right, words) in
                            right.chunks(BLOCK * columns).zip(words.chunks_exact(rows))
                        {
                            if range.len() == LANES && right.len() == BLOCK * columns {
                                fill_tables(&right[range.start..], columns, tables);
                            } else {
                                pad(&range, columns, right, padded);
                                fill_tables(padded.as_flattened(), LANES, tables);
                            }
                            add_subsets(tables, &words[first_row..], sums);
                        }
                        for (row, sums) in (first_row..).zip(&*sums) {
                            finish_row(epilogue, range.start, sums, out.row(row));
                        }
                    }
                },
            );
            if let Epilogue::Then(finish) = epilogue {
                finish(Finished { first_column: range.start, elements: out });
            }
        },
    );
}

/// Some columns of up to 32 rows of `right`, with zeros where there are no more rows or columns.
#[inline(always)]
fn pad<T: Element>(range: &Range<usize>, columns: usize, right: &[T], padded: &mut [Line<T>]) {
    padded.fill([T::ZERO; LANES]);
    for (line, right) in padded.iter_mut().zip(right.chunks_exact(columns)) {
        line[..range.len()].copy_from_slice(&right[range.start..range.end]);
    }
}

/// The sums of all subsets of each group of terms, which lie `stride` numbers apart. What is not in
/// a subset is added times zero, so that infinities and NaNs show as in any product.
#[inline(always)]
fn fill_tables<T: Element>(terms: &[T], stride: usize, tables: &mut [Line<T>]) {
    for (group, table) in tables.chunks_exact_mut(SUBSETS).enumerate() {
        for first in (0..LANES).step_by(CHUNK) {
            let chunk = |term: usize| -> [T; CHUNK] {
                let start = (group * GROUP + term) * stride + first;
                let chunk = &terms[start..start + CHUNK];
                std::array::from_fn(|lane| chunk[lane])
            };
            let (low, high) =
                (subsets_of_two(chunk(0), chunk(1)), subsets_of_two(chunk(2), chunk(3)));
            for (subset, line) in table.iter_mut().enumerate() {
                let (low, high) = (&low[subset % 4], &high[subset / 4]);
                for lane in 0..CHUNK {
                    line[first + lane] = low[lane] + high[lane];
                }
            }
        }
    }
}

/// The sums of neither, the first, the second, and both.
#[inline(always)]
fn subsets_of_two<T: Element>(first: [T; CHUNK], second: [T; CHUNK]) -> [[T; CHUNK]; 4] {
    let sum =
        |bits: [T; 2]| std::array::from_fn(|lane| bits[0] * first[lane] + bits[1] * second[lane]);
    [sum([T::ZERO, T::ZERO]), sum([T::ONE, T::ZERO]), sum([T::ZERO, T::ONE]), sum([T::ONE, T::ONE])]
}

/// sums[row] += Σ over the groups of table[the row's four bits]
#[inline(always)]
fn add_subsets<T: Element>(tables: &[Line<T>], words: &[u32], sums: &mut [Line<T>]) {
    let (tables, _) = tables.as_chunks::<SUBSETS>();
    let Some(tables) = tables.first_chunk::<GROUPS>() else { return };
    // Digits have black borders. But an infinity or a NaN makes the sum of no terms a NaN, too.
    let nothing_is_zero = tables.iter().all(|table| table[0].iter().all(|&sum| sum == T::ZERO));
    for (sums, &word) in sums.iter_mut().zip(words) {
        if word == 0 && nothing_is_zero {
            continue;
        }
        let mut sum = *sums;
        for (group, table) in tables.iter().enumerate() {
            let line = &table[(word >> (GROUP * group)) as usize % SUBSETS];
            for lane in 0..LANES {
                sum[lane] = sum[lane] + line[lane];
            }
        }
        *sums = sum;
    }
}

/// One row of a panel on its way into `out`.
#[inline(always)]
fn finish_row<T: Element>(
    epilogue: Epilogue<'_, T>,
    first_column: usize,
    sums: &Line<T>,
    out: &mut [T],
) {
    match epilogue {
        Epilogue::Store | Epilogue::Then(_) => out.copy_from_slice(&sums[..out.len()]),
        Epilogue::AddBias(bias) => {
            for ((out, &sum), &bias) in out.iter_mut().zip(sums).zip(&bias[first_column..]) {
                *out = sum + bias;
            }
        }
        Epilogue::Accumulate => out.iter_mut().zip(sums).for_each(|(out, &sum)| *out = *out + sum),
    }
}

//! The one place (besides the matrix product) that touches rayon: work on disjoint parts of arrays.
//!
//! An array is cut at places that depend on its sizes only, never on the number of threads, and
//! every part is computed alone; so the bits of a result are the same on any number of threads.
//! [`Parts`] are what is cut: slices, rows of a matrix, columns of a matrix, and tuples of them.
//! The cuts are made by recursive halving with `rayon::join`, which allocates nothing when called
//! from inside a pool.

use std::marker::PhantomData;
use std::ops::Range;

/// Work in a block: about 4 µs of streaming, long against the 0.1 µs that an uncontended
/// `rayon::join` costs.
pub(super) const BLOCK_WORK: usize = 16 * 1024;

/// Up to this much work stays on the calling thread: waking another one costs about as much as is
/// gained.
const SERIAL_WORK: usize = 48 * 1024;

/// Work per element of what is bound by memory; the unit of work.
pub(super) const LIGHT: usize = 1;

/// Work per element of what evaluates an exponential or a logarithm or two.
pub(super) const HEAVY: usize = 4;

/// Something that can be cut in two: the first `units` units, and the rest.
pub(super) trait Parts: Send + Sized {
    /// Cuts after `units` units.
    fn cut(self, units: usize) -> (Self, Self);
}

impl<T: Sync> Parts for &[T] {
    #[inline]
    fn cut(self, units: usize) -> (Self, Self) {
        self.split_at(units)
    }
}

impl<T: Send> Parts for &mut [T] {
    #[inline]
    fn cut(self, units: usize) -> (Self, Self) {
        self.split_at_mut(units)
    }
}

impl<P: Parts> Parts for Option<P> {
    #[inline]
    fn cut(self, units: usize) -> (Self, Self) {
        match self {
            Some(parts) => {
                let (first, rest) = parts.cut(units);
                (Some(first), Some(rest))
            }
            None => (None, None),
        }
    }
}

macro_rules! parts_of_tuple {
    ($($part:ident),+) => {
        impl<$($part: Parts),+> Parts for ($($part,)+) {
            #[inline]
            #[allow(non_snake_case, reason = "a variable is named like its type")]
            fn cut(self, units: usize) -> (Self, Self) {
                let ($($part,)+) = self;
                $(let $part = $part.cut(units);)+
                (($($part.0,)+), ($($part.1,)+))
            }
        }
    };
}

parts_of_tuple!(A);
parts_of_tuple!(A, B);
parts_of_tuple!(A, B, C);
parts_of_tuple!(A, B, C, D);
parts_of_tuple!(A, B, C, D, E);
parts_of_tuple!(A, B, C, D, E, F);
parts_of_tuple!(A, B, C, D, E, F, G);
parts_of_tuple!(A, B, C, D, E, F, G, H);

/// Rows of a matrix: a unit is `width` elements (the last row may be shorter).
#[derive(Clone, Copy)]
pub(super) struct Rows<S> {
    /// The elements of the rows.
    pub(super) slice: S,
    /// Elements from a row to the next.
    pub(super) width: usize,
}

impl<T> Rows<&mut [T]> {
    /// Row `row`, counted from the first of these.
    #[inline(always)]
    pub(super) fn row(&mut self, row: usize) -> &mut [T] {
        &mut self.slice[row * self.width..(row + 1) * self.width]
    }
}

impl<T> Rows<Option<&mut [T]>> {
    /// Row `row`, if there are rows.
    #[inline(always)]
    pub(super) fn optional_row(&mut self, row: usize) -> Option<&mut [T]> {
        let range = row * self.width..(row + 1) * self.width;
        self.slice.as_deref_mut().map(|slice| &mut slice[range])
    }
}

/// Rows of `width` elements.
pub(super) const fn rows<S>(slice: S, width: usize) -> Rows<S> {
    Rows { slice, width }
}

impl<T: Sync> Parts for Rows<&[T]> {
    #[inline]
    fn cut(self, units: usize) -> (Self, Self) {
        let (first, rest) = self.slice.cut((units * self.width).min(self.slice.len()));
        (rows(first, self.width), rows(rest, self.width))
    }
}

impl<T: Send> Parts for Rows<&mut [T]> {
    #[inline]
    fn cut(self, units: usize) -> (Self, Self) {
        let at = (units * self.width).min(self.slice.len());
        let (first, rest) = self.slice.cut(at);
        (rows(first, self.width), rows(rest, self.width))
    }
}

impl<T: Send> Parts for Rows<Option<&mut [T]>> {
    #[inline]
    fn cut(self, units: usize) -> (Self, Self) {
        let (first, rest) = self.slice.cut(units * self.width);
        (rows(first, self.width), rows(rest, self.width))
    }
}

/// Neighbouring columns of a row-major matrix, for writing: a unit is one column.
pub(super) struct ColumnsMut<'a, T> {
    first: *mut T,
    rows: usize,
    stride: usize,
    width: usize,
    matrix: PhantomData<&'a mut [T]>,
}

// SAFETY: it is a mutable borrow of its columns, which no other `ColumnsMut` has.
unsafe impl<T: Send> Send for ColumnsMut<'_, T> {}

impl<'a, T> ColumnsMut<'a, T> {
    /// All columns of a matrix with `columns` of them.
    pub(super) fn new(matrix: &'a mut [T], columns: usize) -> Self {
        let rows = matrix.len().checked_div(columns).unwrap_or(0);
        Self {
            first: matrix.as_mut_ptr(),
            rows,
            stride: columns,
            width: columns,
            matrix: PhantomData,
        }
    }

    /// `width` columns of `rows` rows that are `stride` elements apart, from the one at `first` on.
    ///
    /// # Safety
    /// They exist, and nobody else touches them while the value lives.
    pub(super) unsafe fn from_raw(first: *mut T, rows: usize, stride: usize, width: usize) -> Self {
        Self { first, rows, stride, width, matrix: PhantomData }
    }

    /// How many rows.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// How many columns.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// These columns of one row.
    #[inline(always)]
    pub(super) fn row(&mut self, row: usize) -> &mut [T] {
        assert!(row < self.rows, "bug: row {row} of {}; please report it", self.rows);
        // SAFETY: the row exists, and of it only this value's own columns are lent, for as long as
        // it is borrowed.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(row * self.stride), self.width) }
    }
}

impl<T: Send> Parts for ColumnsMut<'_, T> {
    #[inline]
    fn cut(self, units: usize) -> (Self, Self) {
        assert!(units <= self.width, "bug: {units} of {} columns; please report it", self.width);
        // SAFETY: `units` is at most the width, so the pointer stays inside the row, or one past
        // its end where no column is left.
        let rest = unsafe { self.first.add(units) };
        (Self { width: units, ..self }, Self { first: rest, width: self.width - units, ..self })
    }
}

/// Where the cuts are, and whether the parts may run at once.
#[derive(Clone, Copy)]
struct Plan {
    block: usize,
    parallel: bool,
}

impl Plan {
    fn new(units: usize, work_per_unit: usize, block: usize) -> Self {
        Self {
            block: block.max(1),
            parallel: units.saturating_mul(work_per_unit) > SERIAL_WORK
                && rayon::current_num_threads() > 1,
        }
    }

    /// The cut nearest to the middle of more than one block.
    const fn middle(self, units: usize) -> usize {
        (units / self.block).div_ceil(2) * self.block
    }
}

/// Runs `body` on blocks of `parts`, each with the range of its units. A block is `BLOCK_WORK`
/// long.
#[inline]
pub(super) fn for_each_block<P: Parts>(
    units: usize,
    work_per_unit: usize,
    parts: P,
    body: impl Fn(Range<usize>, P) + Sync,
) {
    for_each_block_of(BLOCK_WORK / work_per_unit.max(1), units, work_per_unit, parts, body);
}

/// [`for_each_block`] with blocks of `block` units.
#[inline]
pub(super) fn for_each_block_of<P: Parts>(
    block: usize,
    units: usize,
    work_per_unit: usize,
    parts: P,
    body: impl Fn(Range<usize>, P) + Sync,
) {
    if units > 0 {
        halve(Plan::new(units, work_per_unit, block), 0..units, parts, &body);
    }
}

/// The body is behind a pointer, so that this is compiled once for each kind of parts and not once
/// for each loop of the crate.
fn halve<P: Parts>(
    plan: Plan,
    range: Range<usize>,
    parts: P,
    body: &(dyn Fn(Range<usize>, P) + Sync),
) {
    if range.len() <= plan.block {
        return body(range, parts);
    }
    let middle = plan.middle(range.len());
    let (first, rest) = parts.cut(middle);
    let (first_range, rest_range) =
        (range.start..range.start + middle, range.start + middle..range.end);
    if plan.parallel {
        rayon::join(
            || halve(plan, first_range, first, body),
            || halve(plan, rest_range, rest, body),
        );
    } else {
        halve(plan, first_range, first, body);
        halve(plan, rest_range, rest, body);
    }
}

/// Σ of `body` over blocks of `slice`, added along a tree that depends on the length only.
pub(super) fn sum_over_blocks<T: Sync>(slice: &[T], body: &(dyn Fn(&[T]) -> f64 + Sync)) -> f64 {
    sum_halves(Plan::new(slice.len(), LIGHT, BLOCK_WORK), slice, body)
}

fn sum_halves<T: Sync>(plan: Plan, slice: &[T], body: &(dyn Fn(&[T]) -> f64 + Sync)) -> f64 {
    if slice.len() <= plan.block {
        return body(slice);
    }
    let (first, rest) = slice.split_at(plan.middle(slice.len()));
    let (first, rest) = if plan.parallel {
        rayon::join(|| sum_halves(plan, first, body), || sum_halves(plan, rest, body))
    } else {
        (sum_halves(plan, first, body), sum_halves(plan, rest, body))
    };
    first + rest
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::testing::same_on_any_threads;
    use super::*;

    #[test]
    fn blocks_cover_all_units_once_at_places_that_depend_on_sizes_only() {
        for (units, work, block) in
            [(0, 1, 8), (1, 1, 8), (17, 10_000, 8), (100_003, 1, 1000), (5, 100_000, 0)]
        {
            let starts = same_on_any_threads(|| {
                let seen = Mutex::new(Vec::new());
                let mut counts = vec![0u8; units];
                for_each_block_of(block, units, work, &mut counts[..], |range, counts| {
                    assert_eq!(range.len(), counts.len());
                    counts.iter_mut().for_each(|count| *count += 1);
                    seen.lock().unwrap().push(range.start);
                });
                assert!(counts.iter().all(|&count| count == 1));
                let mut starts = seen.into_inner().unwrap();
                starts.sort_unstable();
                starts
            });
            let expected: Vec<usize> = (0..units).step_by(block.max(1)).collect();
            assert_eq!(starts, expected, "{units} units in blocks of {block}");
        }
    }

    #[test]
    fn columns_of_a_matrix_are_written_side_by_side() {
        let (row_count, columns) = (41, 1003);
        let mut matrix = vec![0usize; row_count * columns];
        for_each_block_of(
            64,
            columns,
            100_000,
            ColumnsMut::new(&mut matrix, columns),
            |range, mut part| {
                for row in 0..row_count {
                    for (column, element) in range.clone().zip(part.row(row)) {
                        *element = row * columns + column;
                    }
                }
            },
        );
        assert!(matrix.iter().enumerate().all(|(i, &element)| element == i));
    }

    #[test]
    fn absent_parts_stay_absent() {
        let none: (Option<&mut [u8]>, Rows<Option<&mut [u8]>>) = (None, rows(None, 7));
        let ((a, b), (c, d)) = none.cut(3);
        assert!(a.is_none() && b.slice.is_none() && c.is_none() && d.slice.is_none());
    }

    #[test]
    fn sums_over_blocks_are_complete() {
        for len in [0, 1, BLOCK_WORK, BLOCK_WORK + 1, 5 * BLOCK_WORK + 3] {
            let x = vec![1.0; len];
            assert_eq!(
                same_on_any_threads(|| sum_over_blocks(&x, &|x: &[f64]| x.iter().sum())),
                len as f64
            );
        }
    }
}

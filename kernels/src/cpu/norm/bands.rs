//! A matrix cut into bands of whole rows, and what the bands add up, column by column.

use std::ops::Range;

use super::super::lanes::{Aligned, TILE};
use super::super::parallel::{BLOCK_WORK, Parts, Rows, for_each_block_of, rows};
use super::super::typed::Float;
use crate::backend::Matrix;

/// Rows of a band. Fewer would make much of adding up the bands, more would round more: a band's
/// sums are in the type itself.
const MIN_ROWS: usize = 32;
const MAX_ROWS: usize = 128;
/// Sums that a band has for each column.
const SUMS: usize = 2;

/// Where a matrix is cut: at places that depend on its sizes only.
#[derive(Clone, Copy)]
pub(super) struct Bands {
    matrix: Matrix,
    band_rows: usize,
}

impl Bands {
    pub(super) fn new(matrix: Matrix) -> Self {
        Self { matrix, band_rows: (BLOCK_WORK / matrix.columns.max(1)).clamp(MIN_ROWS, MAX_ROWS) }
    }

    /// The same bands of one half of the columns, where that is a matrix of its own.
    pub(super) fn halves(self) -> Self {
        let Matrix { rows, columns } = self.matrix;
        Self { matrix: Matrix { rows, columns: columns / 2 }, ..self }
    }

    pub(super) fn count(self) -> usize {
        self.matrix.rows.div_ceil(self.band_rows)
    }

    pub(super) fn rows(self) -> usize {
        self.matrix.rows
    }

    /// Numbers of the sums of all bands.
    pub(super) fn sums_len(self) -> usize {
        self.count() * SUMS * self.matrix.columns
    }

    /// The sums of all bands as parts: a unit are those of one band.
    pub(super) fn cut_sums<T>(self, sums: &mut [T]) -> Rows<&mut [T]> {
        rows(sums, SUMS * self.matrix.columns)
    }

    /// The elements of one band.
    pub(super) fn of<T>(self, matrix: &[T], band: usize) -> &[T] {
        let band_len = self.band_rows * self.matrix.columns;
        &matrix[band * band_len..matrix.len().min((band + 1) * band_len)]
    }

    /// A matrix as parts: a unit is a band.
    pub(super) fn cut<S>(self, matrix: S) -> Rows<S> {
        rows(matrix, self.band_rows * self.matrix.columns)
    }

    /// Runs `body` for each band, with its part of `parts`.
    pub(super) fn for_each<P: Parts>(
        self,
        work_per_element: usize,
        parts: P,
        body: impl Fn(usize, P) + Sync,
    ) {
        if self.matrix.columns > 0 {
            let work = self.band_rows * self.matrix.columns * work_per_element;
            for_each_block_of(1, self.count(), work, parts, |band, parts| body(band.start, parts));
        }
    }

    /// The two sums over all bands, for some columns.
    #[inline(always)]
    pub(super) fn totals<T: Float>(
        self,
        sums: &[T],
        columns: Range<usize>,
    ) -> [Aligned<[f64; TILE]>; SUMS] {
        let mut totals = [Aligned([0.0; TILE]); SUMS];
        for band in sums.chunks_exact(SUMS * self.matrix.columns) {
            for (totals, sums) in totals.iter_mut().zip(band.chunks_exact(self.matrix.columns)) {
                for (total, sum) in totals.0.iter_mut().zip(&sums[columns.clone()]) {
                    *total += sum.to_f64();
                }
            }
        }
        totals
    }
}

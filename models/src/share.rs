//! A batch that lies on many ranks, each of which computes its rows.

use std::ops::Range;

use rung_autograd::{Error, Ranks, Result, Shape};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whose rows batch normalisation takes its statistics over, where a batch lies on many ranks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BatchNormStatistics {
    /// The whole batch's, as on one rank.
    #[default]
    Batch,
    /// Each rank's own, which need no messages between layers: ghost batch normalisation (Hoffer,
    /// Hubara and Soudry 2017, algorithm 1). The running statistics are the means of the ranks'.
    Rank,
}

/// The rows of a batch that are one rank's: `first..first + rows` of `of`.
///
/// Rows of samples follow their image, so that of k samples of each image a rank has the rows
/// `k · first..k · (first + rows)`.
#[derive(Clone, Debug)]
pub struct BatchShare {
    /// All ranks of the batch.
    pub ranks: Ranks,
    /// The first row.
    pub first: usize,
    /// How many there are.
    pub rows: usize,
    /// Rows of the whole batch.
    pub of: usize,
    /// Whose rows batch normalisation takes its statistics over.
    pub batch_norm_statistics: BatchNormStatistics,
}

impl BatchShare {
    /// This rank's share of a batch of `of` rows.
    ///
    /// # Errors
    /// `Argument` if there are fewer rows than ranks.
    pub fn of_batch(ranks: &Ranks, of: usize) -> Result<Self> {
        let rows = ranks.share(of);
        if of < ranks.size() {
            let what = format!("a batch of {of} has no row for each of {} ranks", ranks.size());
            return Err(Error::argument("share", what));
        }
        let batch_norm_statistics = BatchNormStatistics::default();
        let ranks = ranks.clone();
        Ok(Self { ranks, first: rows.start, rows: rows.len(), of, batch_norm_statistics })
    }

    /// The part of a mean over the whole batch that a mean over this share is.
    #[must_use]
    pub fn weight(&self) -> f64 {
        self.rows as f64 / self.of as f64
    }

    /// How many rows there are of each image where this share has so many.
    ///
    /// # Errors
    /// `Argument` if they are not as many for each.
    fn rows_each(&self, rows: usize) -> Result<usize> {
        match rows.checked_rem(self.rows) {
            Some(0) => Ok(rows / self.rows),
            _ => Err(Error::argument(
                "share",
                format!("{rows} rows are no samples of a share of {} images", self.rows),
            )),
        }
    }
}

/// A rank's rows in a step: of its batch, and of the labelled images beside it, if there are some.
#[derive(Clone, Debug)]
pub(crate) struct StepShare {
    /// The batch.
    pub(crate) batch: BatchShare,
    /// The labelled images.
    pub(crate) labelled: Option<BatchShare>,
    /// Which of the two arrays are of.
    pub(crate) of: RowsOf,
}

/// Whose rows the arrays of a pass have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowsOf {
    /// The images of the batch, so many for each.
    Batch,
    /// The labelled images, so many for each.
    Labelled,
    /// The labelled images, this many for each, and then those of the batch, if any, all as many.
    Both(usize),
}

/// Where the rows of a rank's array are in that of the whole step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rows {
    /// The rank's parts, in order; none of them is empty.
    pub(crate) parts: Vec<Range<usize>>,
    /// Rows of the whole array.
    pub(crate) of: usize,
}

impl StepShare {
    /// The rows of an array of this shape.
    ///
    /// # Errors
    /// `Argument` if they are not as many for each image.
    pub(crate) fn rows(&self, shape: Shape) -> Result<Rows> {
        let (rows, batch) = (shape.sizes()[0], &self.batch);
        let labelled = self.labelled.as_ref().unwrap_or(batch);
        let (of_labelled, of_batch) = match self.of {
            RowsOf::Batch => (0, batch.rows_each(rows)?),
            RowsOf::Labelled => (labelled.rows_each(rows)?, 0),
            RowsOf::Both(each) => {
                let others = rows.checked_sub(labelled.rows * each).ok_or_else(|| {
                    let what = format!("{rows} rows are fewer than {} labelled", labelled.rows);
                    Error::argument("share", what)
                })?;
                (each, batch.rows_each(others)?)
            }
        };
        let part = |share: &BatchShare, each: usize, before: usize| {
            before + share.first * each..before + (share.first + share.rows) * each
        };
        let before = labelled.of * of_labelled;
        let parts = [part(labelled, of_labelled, 0), part(batch, of_batch, before)];
        Ok(Rows {
            parts: parts.into_iter().filter(|part| !part.is_empty()).collect(),
            of: before + batch.of * of_batch,
        })
    }
}

#[cfg(test)]
mod tests {
    use rung_autograd::Shape;

    use super::*;

    /// The share of one of four ranks.
    fn share(rank: usize, of: usize) -> BatchShare {
        let edge = |rank: usize| rank * of / 4;
        let (first, rows) = (edge(rank), edge(rank + 1) - edge(rank));
        let batch_norm_statistics = BatchNormStatistics::Batch;
        BatchShare { ranks: Ranks::one(), first, rows, of, batch_norm_statistics }
    }

    /// The parts of all ranks are the whole array, each row once.
    #[test]
    fn the_rows_of_all_ranks_are_those_of_the_step() {
        for (of, rows_each, whole) in [
            (RowsOf::Batch, [0, 3], 3 * 11),
            (RowsOf::Labelled, [2, 0], 2 * 5),
            (RowsOf::Both(2), [2, 6], 2 * 5 + 6 * 11),
            (RowsOf::Both(1), [1, 0], 5),
        ] {
            let part = |rank: usize| {
                let (batch, labelled) = (share(rank, 11), share(rank, 5));
                let rows = labelled.rows * rows_each[0] + batch.rows * rows_each[1];
                let share = StepShare { batch, labelled: Some(labelled), of };
                let found = share.rows(Shape::from([rows, 7])).unwrap();
                assert_eq!(found.of, whole, "{of:?}");
                assert_eq!(found.parts.iter().map(ExactSizeIterator::len).sum::<usize>(), rows);
                found.parts
            };
            let parts: Vec<_> = (0..4).map(part).collect();
            let mut all: Vec<usize> = parts.concat().into_iter().flatten().collect();
            all.sort_unstable();
            assert_eq!(all, (0..whole).collect::<Vec<_>>(), "{of:?}");
        }
    }

    #[test]
    fn rows_that_are_not_as_many_for_each_image_are_refused() {
        let batch = BatchShare::of_batch(&Ranks::one(), 4).unwrap();
        let share = |of| StepShare { batch: batch.clone(), labelled: Some(batch.clone()), of };
        let refused =
            |of, rows: usize| share(of).rows(Shape::from([rows])).unwrap_err().to_string();
        assert!(refused(RowsOf::Batch, 6).contains("6 rows are no samples of a share of 4 images"));
        assert!(refused(RowsOf::Both(2), 7).contains("7 rows are fewer than 4 labelled"));
        assert!(refused(RowsOf::Both(2), 9).contains("1 rows are no samples"));
    }
}

//! A batch that lies on many ranks, each of which computes its rows.

use rung_autograd::{Error, Ranks, Result, Shape};

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
        Ok(Self { ranks: ranks.clone(), first: rows.start, rows: rows.len(), of })
    }

    /// The part of a mean over the whole batch that a mean over this share is.
    #[must_use]
    pub fn weight(&self) -> f64 {
        self.rows as f64 / self.of as f64
    }

    /// Rows that an array of this shape has for each row of the batch.
    ///
    /// # Errors
    /// `Argument` if they are not as many for each.
    pub(crate) fn rows_each(&self, shape: Shape) -> Result<usize> {
        let rows = shape.sizes()[0];
        match rows.checked_rem(self.rows) {
            Some(0) => Ok(rows / self.rows),
            _ => Err(Error::argument(
                "share",
                format!("{rows} rows are no samples of a share of {} images", self.rows),
            )),
        }
    }
}

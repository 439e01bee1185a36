//! Declarations: random numbers.

use crate::rng::Address;
use crate::view::{View, ViewMut};
use crate::{Error, Result};

/// Standard normal numbers of a matrix whose rows are samples of examples: row = example ·
/// `samples` + sample.
///
/// Example e has the address of step `address.step + e`, and column c of its sample s there is
/// element `4·⌈columns/4⌉·(first_sample + s) + c`: a row starts with a block of four words of its
/// own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowNoise {
    /// Where the first example's numbers lie.
    pub address: Address,
    /// Columns of the matrix.
    pub columns: usize,
    /// Rows of an example.
    pub samples: usize,
    /// Which of an example's samples is its first row.
    pub first_sample: usize,
}

impl RowNoise {
    /// Blocks of four words in a row.
    pub(crate) const fn blocks(&self) -> usize {
        self.columns.div_ceil(4)
    }

    /// The address of a row's numbers, and the first of its blocks there.
    pub(crate) fn row(&self, row: usize) -> (Address, u32) {
        let (example, sample) = (row / self.samples, row % self.samples);
        let address = Address { step: self.address.step + example as u64, ..self.address };
        (address, ((self.first_sample + sample) * self.blocks()) as u32)
    }

    /// How many rows an array of `len` elements has.
    ///
    /// # Errors
    /// `Argument` if they are no whole rows of whole examples, or more than there are addresses
    /// for.
    pub(crate) fn rows(&self, name: &'static str, len: usize) -> Result<usize> {
        let Self { address, columns, samples, first_sample } = *self;
        let rows = len.checked_div(columns).unwrap_or(0);
        if rows * columns != len || rows.checked_rem(samples).unwrap_or(rows) != 0 {
            let what =
                format!("{len} elements are no rows of {columns}, {samples} for each example");
            return Err(Error::argument(name, what));
        }
        let blocks = first_sample
            .checked_add(samples)
            .and_then(|samples| samples.checked_mul(self.blocks()));
        if blocks.is_none_or(|blocks| blocks > 1 << 32) {
            let what =
                format!("sample {first_sample} of {columns} columns is beyond 2³² blocks of words");
            return Err(Error::argument(name, what));
        }
        if address.step.checked_add(rows as u64).is_none() {
            return Err(Error::argument(
                name,
                format!("no steps are left for {rows} rows after {}", address.step),
            ));
        }
        Ok(rows)
    }
}

/// The declarations of [`RandomNumbers`], given to the macro `$consumer`; see `backend.rs`.
macro_rules! random {
    ($consumer:ident!) => {
        $consumer! {
            /// Random numbers, each a function of its address.
            trait RandomNumbers;

            /// `out[i]` is uniform on (0, 1), element i of the address.
            random::fill_uniform(address: Address, out: ViewMut<'_>);

            /// `out[i]` is standard normal, element i of the address (Box and Muller over its
            /// words).
            random::fill_normal(address: Address, out: ViewMut<'_>);

            /// `out[r, c]` is standard normal, addressed by the row's example and sample, so that
            /// it doesn't depend on the rows beside it; see [`RowNoise`].
            random::fill_normal_rows(noise: RowNoise, out: ViewMut<'_>);

            /// `out[i] = 1` with probability `x[i]`, else 0: 1 where `word < x[i] · 2³²`.
            random::bernoulli(address: Address, x: View<'_>, out: ViewMut<'_>);

            /// `out[i] = x[i]/(1 − rate)` where element i of the address is kept
            /// (`word ≥ rate · 2³²`), else 0. Its own adjoint.
            random::dropout(address: Address, rate: f64, x: View<'_>, out: ViewMut<'_>);
        }
    };
}

pub(crate) use random;

random!(declare_trait!);

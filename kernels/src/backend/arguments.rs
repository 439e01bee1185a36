//! What primitives are told besides arrays: sizes, settings, and arrays that belong together.

use crate::buffer::PoolStatistics;
use crate::function::UnaryFunction;
use crate::rng::Address;
use crate::view::{View, ViewMut};
use crate::{Error, Result};

/// Rows and columns of a matrix, or of several alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// Rows: for models, examples times samples.
    pub rows: usize,
    /// Columns: for models, units or pixels.
    pub columns: usize,
}

impl Matrix {
    /// Elements of the matrix.
    #[must_use]
    pub const fn element_count(self) -> usize {
        self.rows * self.columns
    }

    /// Two matrices of these sizes side by side.
    pub(crate) const fn both_halves(self) -> Self {
        Self { rows: self.rows, columns: self.columns.saturating_mul(2) }
    }
}

/// Batch normalisation of the columns of a matrix, followed by an activation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNorm {
    /// Sizes of the matrix; the statistics are one for each column.
    pub matrix: Matrix,
    /// Added to the variance inside the square root.
    pub epsilon: f64,
    /// Applied to the normalised, scaled and shifted value.
    pub activation: UnaryFunction,
}

/// The per-column vectors of a normalisation: y = activation(scale · (x − mean) / √(variance + ε) + shift).
#[derive(Clone, Copy, Debug)]
pub struct BatchNormVectors<'a> {
    /// Mean of each column.
    pub mean: View<'a>,
    /// Variance of each column (biased: divided by the number of rows).
    pub variance: View<'a>,
    /// Trainable factor of each column (gamma).
    pub scale: View<'a>,
    /// Trainable offset of each column (beta).
    pub shift: View<'a>,
}

/// Where batch normalisation puts what it finds out about a batch.
#[derive(Debug)]
pub struct BatchStatistics<'a> {
    /// Mean of each column.
    pub mean: ViewMut<'a>,
    /// Variance of each column (biased: divided by the number of rows).
    pub variance: ViewMut<'a>,
    /// Averages over batches that move with this one, if somebody keeps them.
    pub running: Option<RunningStatistics<'a>>,
}

/// Averages over batches, updated in place: average ← (1 − weight) · average + weight · batch.
#[derive(Debug)]
pub struct RunningStatistics<'a> {
    /// Average mean of each column.
    pub mean: ViewMut<'a>,
    /// Average variance of each column.
    pub variance: ViewMut<'a>,
    /// Weight of the batch; 1 replaces the averages, whatever they are.
    pub weight: f64,
}

/// Mean and variance of a diagonal Gaussian.
#[derive(Clone, Copy, Debug)]
pub struct GaussianView<'a> {
    /// Mean of each unit.
    pub mean: View<'a>,
    /// Variance (σ²) of each unit.
    pub variance: View<'a>,
}

/// Where the adjoints of a Gaussian's parameters go.
#[derive(Debug)]
pub struct GaussianGradient<'a> {
    /// Adjoint of the mean.
    pub mean: Option<ViewMut<'a>>,
    /// Adjoint of the variance.
    pub variance: Option<ViewMut<'a>>,
}

/// How pixels become the numbers a model sees; see [`Backend::gather_pixels`](super::Backend::gather_pixels).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PixelMap {
    /// value = pixel · factor.
    Scale(f64),
    /// value = 1 if pixel · factor ≥ 0.5, else 0.
    Threshold(f64),
    /// value = 1 with probability pixel / 255 (pixel, for floats): the draw of image n, pixel d is element n·columns + d.
    Bernoulli(Address),
    /// value = (pixel + u) · factor with u uniform on (0, 1), addressed likewise.
    Dequantise(Address, f64),
}

/// Standard normal numbers of a matrix whose rows are samples of examples: row = example · `samples` +
/// sample.
///
/// Example e has the address of step `address.step + e`, and column c of its sample s there is element
/// `4·⌈columns/4⌉·(first_sample + s) + c`: a row starts with a block of four words of its own.
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
    /// `Argument` if they are no whole rows of whole examples, or more than there are addresses for.
    pub(crate) fn rows(&self, name: &'static str, len: usize) -> Result<usize> {
        let Self { address, columns, samples, first_sample } = *self;
        let rows = len.checked_div(columns).unwrap_or(0);
        if rows * columns != len || rows.checked_rem(samples).unwrap_or(rows) != 0 {
            let what = format!("{len} elements are no rows of {columns}, {samples} for each example");
            return Err(Error::argument(name, what));
        }
        let blocks = first_sample.checked_add(samples).and_then(|samples| samples.checked_mul(self.blocks()));
        if blocks.is_none_or(|blocks| blocks > 1 << 32) {
            let what = format!("sample {first_sample} of {columns} columns is beyond 2³² blocks of words");
            return Err(Error::argument(name, what));
        }
        if address.step.checked_add(rows as u64).is_none() {
            return Err(Error::argument(name, format!("no steps are left for {rows} rows after {}", address.step)));
        }
        Ok(rows)
    }
}

/// One step of Adam (Kingma and Ba 2015), with the moments not corrected one by one.
///
/// m ← β₁m + (1−β₁)g;  v ← β₂v + (1−β₂)g²;  θ ← θ − η·√(1−β₂ᵗ)/(1−β₁ᵗ) · m/(√v + ε)
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// η · √(1−β₂ᵗ)/(1−β₁ᵗ): the learning rate with both bias corrections.
    pub corrected_rate: f64,
    /// Decay of the first moment.
    pub beta_1: f64,
    /// Decay of the second moment.
    pub beta_2: f64,
    /// Added to √v, after the square root.
    pub epsilon: f64,
}

/// Limits of a gradient whose norm the host has not seen: with n = √squared_norm[0],
/// g ← clamp(g · min(n, norm_limit)/(n + 10⁻⁷), ±element_limit). An infinite limit does nothing.
#[derive(Clone, Copy, Debug)]
pub struct Clipping<'a> {
    /// Sum of the squares of the gradient: one number, on the device.
    pub squared_norm: View<'a>,
    /// Limit of the norm of the whole gradient.
    pub norm_limit: f64,
    /// Limit of each element, applied after that of the norm.
    pub element_limit: f64,
}

/// One step of Adamax (Kingma and Ba 2015, section 7.1).
///
/// m ← β₁m + (1−β₁)g;  u ← max(β₂u, |g|);  θ ← θ − η/(1−β₁ᵗ) · m/(u + ε)
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamaxStep {
    /// η/(1−β₁ᵗ).
    pub corrected_rate: f64,
    /// Decay of the first moment.
    pub beta_1: f64,
    /// Decay of the infinity norm.
    pub beta_2: f64,
    /// Added to u.
    pub epsilon: f64,
}

/// What a device has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceStatistics {
    /// Primitives run (kernel launches, on a GPU).
    pub launches: usize,
    /// Bytes copied from the host.
    pub bytes_to_device: usize,
    /// Bytes copied to the host.
    pub bytes_from_device: usize,
    /// Requests to the buffer pool.
    pub pool: PoolStatistics,
}

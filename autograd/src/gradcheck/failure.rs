//! How a check fails, as data and in words.

use rung_kernels::{DType, Error, Shape};

/// A gradient that could not be confirmed.
#[derive(Debug, thiserror::Error)]
#[error("gradcheck of {subject} {description} (seed {seed}): {cause}")]
pub struct Failure {
    /// What was checked: an operation's name, `function` or `model`.
    pub subject: &'static str,
    /// Its shapes and parameters.
    pub description: String,
    /// The seed that gives the failure again.
    pub seed: u64,
    /// What went wrong.
    pub cause: Cause,
}

impl Failure {
    pub(super) fn new(subject: &'static str, description: String, seed: u64, cause: Cause) -> Self {
        Self { subject, description, seed, cause }
    }
}

/// Why a check failed.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The function refused its inputs, or the device failed.
    #[error("{0}")]
    Error(#[from] Error),
    /// There is no input whose gradient could be checked.
    #[error("there is no f64 input")]
    NothingToCheck,
    /// Differences need f64.
    #[error("{what} is {dtype}; gradients are checked in f64, convert it with to_dtype")]
    NotF64 {
        /// The input or output.
        what: String,
        /// Its type.
        dtype: DType,
    },
    /// An infinity or a NaN.
    #[error("{what} is {value} at {index:?}")]
    NotFinite {
        /// The output, gradient or derivative.
        what: String,
        /// Where in it.
        index: Vec<usize>,
        /// What stands there.
        value: f64,
    },
    /// A gradient of another shape than its input.
    #[error("the gradient of {input} has {found} elements, the input {expected}")]
    GradientShape {
        /// The input.
        input: String,
        /// Elements of the input.
        expected: usize,
        /// Elements of the gradient.
        found: usize,
    },
    /// Backward and differences disagree.
    #[error("{0}")]
    Mismatch(Box<Mismatch>),
}

/// Two derivatives that differ.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "{input} {shape}, {direction}: derivative {analytic:e} by backward, {numeric:e} by \
    differences, relative error {relative_error:.1e}; worst at {worst_index:?}: {worst_analytic:e} \
    by backward, {worst_numeric:e} by differences"
)]
pub struct Mismatch {
    /// The input by name.
    pub input: String,
    /// Its shape.
    pub shape: Shape,
    /// The kind of direction, and the outputs that were weighted.
    pub direction: String,
    /// Σ g·u from backward.
    pub analytic: f64,
    /// The same from differences.
    pub numeric: f64,
    /// How far they are apart.
    pub relative_error: f64,
    /// The element of the input that contributes most to the difference.
    pub worst_index: Vec<usize>,
    /// Its gradient from backward.
    pub worst_analytic: f64,
    /// Its gradient from differences.
    pub worst_numeric: f64,
}

/// The index of an element along each axis.
pub(super) fn index_of(shape: &Shape, element: usize) -> Vec<usize> {
    let mut rest = element;
    let mut index: Vec<usize> = shape
        .sizes()
        .iter()
        .rev()
        .map(|&size| (rest % size.max(1), rest /= size.max(1)).0)
        .collect();
    index.reverse();
    index
}

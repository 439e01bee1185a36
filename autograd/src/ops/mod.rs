//! The operations: each declared in one place, with its formula, shapes, forward, backward and test
//! inputs.
//!
//! An operation is a small struct with an `Operation` implementation. The list below makes the `Op`
//! enum that the tape stores, and the list of declarations that the gradient tests walk: an
//! operation that is not in it cannot be recorded. Read `binary.rs` first.
//!
//! Vocabulary of every backward: `grad_out` is the adjoint of the output, `grad_<input>` that of an
//! input, `out` the output.

mod add_scaled;
mod batch_norm;
mod batch_norm_head;
mod binary;
mod convolution;
mod draw;
mod dropout;
mod elementwise;
mod gate;
mod gaussian;
mod gaussian_terms;
mod likelihood;
mod linear_normalise;
mod log_ratio;
mod logistic_mixture;
mod matmul;
mod pool;
mod reduce;
mod rows;
mod shape;
mod softmax;
mod spatial;
mod synchronised_norm;
mod weight_norm;

pub use batch_norm::{BatchNormOutput, FrozenStatistics};
pub use gaussian::{Gaussian, merge};
pub use rung_kernels::UnaryFunction as Activation;
pub use shape::concat;

use crate::adjoint::Adjoint;
use crate::op::{Declaration, Operation, Saves};
use rung_kernels::Result;

macro_rules! operations {
    ($($module:ident :: $name:ident),* $(,)?) => {
        /// Any operation: what a node of the tape holds.
        #[derive(Clone, Debug)]
        pub(crate) enum Op {
            $($name($module::$name)),*
        }

        $(impl From<$module::$name> for Op {
            fn from(op: $module::$name) -> Self {
                Self::$name(op)
            }
        })*

        impl Op {
            pub(crate) fn name(&self) -> &'static str {
                match self { $(Self::$name(op) => op.name()),* }
            }

            pub(crate) fn saves(&self) -> Saves {
                match self { $(Self::$name(op) => op.saves()),* }
            }

            pub(crate) fn backward(&self, adjoint: &mut Adjoint<'_>) -> Result<()> {
                match self { $(Self::$name(op) => op.backward(adjoint)),* }
            }
        }

        /// Every operation there is, with its random test inputs.
        #[must_use]
        pub fn declarations() -> Vec<Declaration> {
            [$($module::$name::declarations()),*].concat()
        }
    };
}

operations! {
    elementwise::Elementwise,
    binary::Binary,
    add_scaled::AddScaled,
    reduce::Reduce,
    softmax::LogSumExp,
    softmax::Softmax,
    softmax::LogSoftmax,
    matmul::Matmul,
    matmul::Linear,
    matmul::Transpose,
    shape::Reshape,
    shape::Slice,
    shape::Concat,
    rows::Gather,
    rows::RepeatRows,
    batch_norm::BatchNorm,
    batch_norm::Normalise,
    batch_norm_head::BatchNormHead,
    synchronised_norm::SynchronisedNorm,
    linear_normalise::LinearNormalise,
    gaussian::Head,
    gaussian::Sample,
    gaussian::Merge,
    gaussian_terms::LogProb,
    gaussian_terms::StandardLogProb,
    gaussian_terms::Kl,
    gaussian_terms::StandardKl,
    log_ratio::LogRatio,
    likelihood::BernoulliLogProb,
    likelihood::CrossEntropy,
    dropout::Dropout,
    weight_norm::WeightNorm,
    gate::Gate,
    convolution::Conv2d,
    convolution::ConvTranspose2d,
    pool::MaxPool,
    spatial::AffineGrid,
    spatial::SampleBilinear,
    logistic_mixture::LogisticMixtureLogProb,
}

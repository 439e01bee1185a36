//! The scalar functions that the element-wise primitives apply: two tables, and what is read off
//! them.
//!
//! `unary.rs` and `binary.rs` hold one table each. A row says all there is to know of a function;
//! enum, CPU loops, OpenCL kernels, names and test arguments are made from it, so that a row that
//! lacks a part does not compile. A new function is a new row.

mod binary;
mod unary;

pub use binary::BinaryFunction;
pub(crate) use binary::{BINARY_KERNELS, binary_functions};
pub use unary::{DerivativeNeeds, Domain, UnaryFunction};
pub(crate) use unary::{UNARY_KERNELS, unary_functions};

/// A reduction along an axis. `Maximum` and `Minimum` give NaN where any element is NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the definitions")]
pub enum Reduction {
    Sum,
    Mean,
    Maximum,
    Minimum,
}

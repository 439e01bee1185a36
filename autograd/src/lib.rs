//! Reverse-mode automatic differentiation on a tape, from scratch.
//!
//! # The problem
//! Training a model needs the derivative of one number, the loss, with respect to millions: the
//! parameters. Written by hand it is wrong; by differences it costs an evaluation for each
//! parameter.
//!
//! # The idea
//! Record what is computed (the *tape*: a list of operations, in order) and walk it backwards. Each
//! operation turns the derivative of the loss by its outputs (the outputs' *adjoints*) into the
//! derivative by its inputs; that is the chain rule, and the whole walk costs about twice the
//! evaluation, whatever the number of parameters.
//!
//! ```
//! use rung_autograd::{Device, Tape, Tensor};
//!
//! let cpu = Device::cpu();
//! let tape = Tape::new();
//! let w = tape.variable(&Tensor::from_f64(&cpu, &[1.0, -2.0], [2, 1])?)?;
//! let x = Tensor::from_f64(&cpu, &[3.0, 4.0], [1, 2])?;
//! let loss = x.matmul(&w)?.square()?.sum_all()?;          // (3·1 − 4·2)² = 25
//! let gradient = tape.backward(&loss)?.of(&w)?;           // 2 · (−5) · x
//! assert_eq!(gradient.to_f64()?, [-30.0, -40.0]);
//! # Ok::<(), rung_autograd::Error>(())
//! ```
//!
//! # What to know
//! - Recording is a property of the values: an operation is recorded if one of its inputs is
//!   tracked ([`Tape::variable`], [`ParameterStore::tensor`] with a tape). Everything else computes
//!   and keeps nothing, so evaluation has no special mode.
//! - A recorded operation keeps only what its backward reads; what nobody else holds goes back to
//!   the pool at once.
//! - [`Tape::backward`] consumes the recording. The tape itself is used again: its memory stays.
//! - Parameters are ranges of one flat buffer ([`ParameterStore`]), so are their gradients: the
//!   optimiser, clipping and the norm are one pass each.
//! - Every operation brings random test inputs with it ([`ops::declarations`]); [`mod@gradcheck`]
//!   proves gradients against differences.
//!
//! # The map
//! | file | what |
//! |---|---|
//! | `ops/binary.rs` | an operation in full: start here |
//! | `op.rs` | what an operation declares, and how it runs |
//! | `tape.rs`, `adjoint.rs` | the recording and the walk |
//! | `tensor.rs`, `parameters.rs`, `orthogonal.rs` | values, and what parameters start from |
//! | `gradcheck.rs` | the tester's door |
//! | `../examples/` | linear regression on the tape; an operation of one's own with its gradient proven |
//! | `ranks.rs`, `ops/synchronised_norm.rs` | what ranks that share a batch know together: the gradient, the statistics of batch normalisation |
//! | `optim/` | Adam, Adamax, RMSprop, gradient descent, clipping, schedules |
//!
//! Chapters 1 to 3 and 8 of the reader's book, `docs/book/src/`, build a small version of all this
//! from nothing.
//!
//! # What was left out
//! Second derivatives (backward is not itself recorded), views with strides, and graphs that
//! outlive a step: define by run is enough here.

mod adjoint;
pub mod gradcheck;
mod op;
pub mod ops;
pub mod optim;
mod orthogonal;
mod parameters;
pub mod ranks;
mod tape;
mod tensor;

pub use gradcheck::gradcheck;
pub use op::{Case, CaseFunction, CaseInput, Declaration, Refused};
pub use parameters::{Initialiser, Parameter, ParameterId, ParameterList, ParameterStore};
pub use rung_kernels::backend::{Convolution, Outside, Padding, PixelMap, RowNoise};
pub use rung_kernels::rng;
pub use rung_kernels::{DType, Device, Error, Result, Shape, View, ViewMut};
pub use rung_ranks::Ranks;
pub use tape::{Gradients, NotFinite, Tape};
pub use tensor::Tensor;

//! Arithmetic for deep latent-variable models: shapes, memory, primitives, random numbers, devices.
//! No gradients.
//!
//! # The problem
//! A model should be written once and run in f32 for speed, in f64 for proof, on a CPU or on a GPU,
//! and give the same bits however many threads compute it.
//!
//! # The idea
//! A device is an object that implements one trait, [`Backend`]: every primitive once, with its
//! formula and shapes in the docstring. Device and [`DType`] are values, not type parameters. A
//! primitive reads [`View`]s and writes a [`ViewMut`]:
//!
//! ```
//! use rung_kernels::{DType, Device, UnaryFunction, View, ViewMut};
//!
//! let cpu = Device::cpu();
//! let mut x = cpu.allocate(DType::F32, 3)?;
//! let mut out = cpu.allocate(DType::F32, 3)?;
//! cpu.upload(View::F32(&[0.0, 1.0, 2.0]), x.get_mut().unwrap().view_mut())?;
//! cpu.unary(UnaryFunction::Square, x.view(), out.get_mut().unwrap().view_mut())?;
//!
//! let mut host = [0.0; 3];
//! cpu.download(out.view(), ViewMut::F32(&mut host))?;
//! assert_eq!(host, [0.0, 1.0, 4.0]);
//! # Ok::<(), rung_kernels::Error>(())
//! ```
//!
//! # The memory model, in one page
//! - An array is contiguous and row-major. There are no strided views: transposition is a flag of
//!   the matrix product, and broadcasting ([`Broadcast`]) belongs to the binary functions. The cost
//!   of a line is visible.
//! - A [`Buffer`] is a run of elements in a device's memory, aligned to cache lines. Holds on it
//!   are counted ([`SharedBuffer`]); the last to go puts it back into a pool keyed by bytes, and
//!   the next request of that size takes it. A steady training loop allocates nothing.
//! - Whoever holds a buffer alone may write it. Contents of a new buffer are arbitrary, so every
//!   primitive writes all of its result.
//! - Reductions have a fixed order: work is cut into blocks of a fixed size, never into as many
//!   parts as there are threads.
//!
//! # The map
//! | file | what |
//! |---|---|
//! | `backend.rs`, `backend/` | the contract, where each primitive is declared: start here |
//! | `shape.rs` | how primitives see arrays |
//! | `function/` | the scalar functions that primitives apply: two tables |
//! | `buffer.rs`, `view.rs`, `device.rs` | memory and handles |
//! | `attempt.rs` | which allocations may fail |
//! | `window.rs` | which positions of a map a convolution and its adjoint sum |
//! | `rng/` | Philox: random numbers as functions of their address |
//! | `cpu/` | the CPU: `gemm/` has the engines of the matrix product, `math.rs` the vectorised functions |
//! | `profile.rs` | where the time of a device goes |
//! | `opencl/` | every device OpenCL knows, with the kernels in `cl/` |
//! | `check.rs` | what every backend refuses, in the same words |
//! | `primitives/` | the list of all primitives with slow references: what parity tests walk |
//!
//! Chapters 4 to 7 of the reader's book, `docs/book/src/`, explain products, memory, kernels and
//! random numbers from nothing.
//!
//! # What was left out
//! Views with strides, integer arithmetic, half precision: no model here needs them, and each would
//! double the number of kernels.
mod attempt;
pub mod backend;
mod buffer;
mod check;
pub mod cpu;
mod device;
mod dtype;
mod error;
mod function;
mod host_memory;
pub mod opencl;
pub mod primitives;
pub mod profile;
pub mod rng;
mod shape;
mod view;
mod window;

pub use attempt::{attempt, is_attempt};
pub use backend::Backend;
pub use buffer::{Buffer, Pool, PoolStatistics, SharedBuffer};
pub use device::Device;
pub use dtype::DType;
pub use error::{Error, NamedShape, Result};
pub use function::{BinaryFunction, DerivativeNeeds, Domain, Reduction, UnaryFunction};
pub use shape::{AxisExtent, Block, Broadcast, MAX_RANK, MatmulShape, Precision, Shape};
pub use view::{DeviceSlice, DeviceSliceMut, View, ViewMut};

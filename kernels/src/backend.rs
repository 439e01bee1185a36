//! The contract of a device: every primitive once, with its formula and its shapes.
//!
//! A primitive is *declared* in one place, in the file of its concept in `backend/`: documentation,
//! the room that computes it, name and arguments. From a declaration are made
//! - the method of the concept's trait, which [`Backend`] has as a supertrait,
//! - the forwarding of each device to `cpu::room::name` and `opencl::room::name`,
//! - the entry in the list of parity tests, whose cases are `primitives::room::name`.
//!
//! A function that is missing in any of these rooms, or takes other arguments, does not compile. A
//! room has one stem everywhere: what is declared as `gate::…` is in `cpu/gate.rs`,
//! `opencl/gate.rs` with `opencl/cl/gate.cl`, and `primitives/gate.rs`.
//!
//! Conventions. Arrays are contiguous and row-major. `x` is read, `out` is written whole, never
//! read; a `grad_…` argument that is read is the adjoint of a result, one that is written is the
//! adjoint of an operand. Float arrays of one call share one dtype. An `Option` that is `None` is
//! not computed. Lengths that do not fit the sizes are refused; nothing is written then.

/// The trait of a declaration: `given!(declare_trait!)` after a declaration named `given`.
macro_rules! declare_trait {
    (
        $(#[$trait_doc:meta])*
        trait $trait:ident;
        $(
            $(#[$doc:meta])*
            $room:ident::$name:ident($($argument:ident: $type:ty),+ $(,)?);
        )+
    ) => {
        $(#[$trait_doc])*
        pub trait $trait {
            $(
                $(#[$doc])*
                fn $name(&self, $($argument: $type),+) -> Result<()>;
            )+
        }
    };
}

pub(crate) mod convolution;
pub(crate) mod data_movement;
pub(crate) mod elementwise;
pub(crate) mod gaussian;
pub(crate) mod likelihood;
mod logistic_mixture;
pub(crate) mod normalisation;
pub(crate) mod optimiser;
pub(crate) mod product;
pub(crate) mod random;
pub(crate) mod reduction;
pub(crate) mod spatial;

use std::fmt::Debug;

use crate::buffer::{PoolStatistics, SharedBuffer};
use crate::profile::Profile;
use crate::view::{View, ViewMut};
use crate::{DType, Result};

pub use crate::shape::{MatmulShape, Matrix, Precision};
pub use convolution::{Convolution, Convolutions, Padding};
pub use data_movement::{DataMovement, PixelMap};
pub use elementwise::Elementwise;
pub use gaussian::{GaussianGradient, GaussianView, Gaussians};
pub use likelihood::Likelihoods;
pub use logistic_mixture::LogisticMixture;
pub use normalisation::{
    BatchNorm, BatchNormVectors, BatchStatistics, Normalisation, NormalisedHead, RunningStatistics,
};
pub use optimiser::{AdamStep, AdamaxStep, Clipping, Optimisers, RmsPropStep};
pub use product::Products;
pub use random::{RandomNumbers, RowNoise};
pub use reduction::Reductions;
pub use spatial::{AffineGrid, Outside, Pool2d, Sampler, Spatial};

/// Gives every declaration to the macro `$consumer`, one trait at a time.
macro_rules! contract {
    ($consumer:ident!) => {
        $crate::backend::data_movement::data_movement!($consumer!);
        $crate::backend::elementwise::elementwise!($consumer!);
        $crate::backend::reduction::reduction!($consumer!);
        $crate::backend::product::product!($consumer!);
        $crate::backend::normalisation::normalisation!($consumer!);
        $crate::backend::convolution::convolution!($consumer!);
        $crate::backend::spatial::spatial!($consumer!);
        $crate::backend::gaussian::gaussian!($consumer!);
        $crate::backend::likelihood::likelihood!($consumer!);
        $crate::backend::random::random!($consumer!);
        $crate::backend::optimiser::optimiser!($consumer!);
    };
}

pub(crate) use contract;

/// All types that declarations name, for the files that expand them.
pub(crate) mod types {
    pub(crate) use super::{
        AdamStep, AdamaxStep, AffineGrid, BatchNorm, BatchNormVectors, BatchStatistics, Clipping,
        Convolution, GaussianGradient, GaussianView, LogisticMixture, MatmulShape, Matrix,
        NormalisedHead, PixelMap, Pool2d, Precision, RmsPropStep, RowNoise, Sampler,
    };
    pub(crate) use crate::function::{BinaryFunction, Reduction, UnaryFunction};
    pub(crate) use crate::rng::Address;
    pub(crate) use crate::shape::{AxisExtent, Block, Broadcast};
    pub(crate) use crate::view::{View, ViewMut};
}

/// A device that computes: its memory, here, and its primitives, in the supertraits.
pub trait Backend:
    DataMovement
    + Elementwise
    + Reductions
    + Products
    + Normalisation
    + Convolutions
    + Spatial
    + Gaussians
    + Likelihoods
    + RandomNumbers
    + Optimisers
    + Send
    + Sync
    + Debug
{
    /// The name a user gives to choose it: `cpu`, `opencl:0`.
    fn name(&self) -> String;

    /// What it is: the model of the CPU or GPU, vector unit, threads.
    fn description(&self) -> String;

    /// Whether it computes with numbers of this type; some GPUs have no f64.
    fn supports(&self, dtype: DType) -> bool;

    /// The precision that products on it are to have; any product may be given another that the
    /// device has.
    fn precision(&self) -> Precision {
        Precision::Full
    }

    /// What it has done so far.
    fn statistics(&self) -> DeviceStatistics;

    /// Waits until all work is done: what a measurement of time needs, and nothing else.
    ///
    /// # Errors
    /// `Failed` if the device failed.
    fn finish(&self) -> Result<()>;

    /// Says that a step of training ends here: the next one is likely to ask for the same again,
    /// which a device may prepare for. What is computed does not depend on it.
    ///
    /// # Errors
    /// `Failed` if the device failed.
    fn end_step(&self) -> Result<()> {
        Ok(())
    }

    /// Times of its primitives; a device that works on its own waits after each one while the
    /// profile is on.
    fn profile(&self) -> &Profile;

    // ---------------------------------------------------------------- memory

    /// A buffer with arbitrary contents.
    ///
    /// # Errors
    /// `OutOfMemory` if the device has no room.
    fn allocate(&self, dtype: DType, len: usize) -> Result<SharedBuffer>;

    /// Gives free buffers of the pool back to the system, where work of another kind begins: it
    /// asks for other sizes.
    fn release_free(&self);

    /// Copies host memory into a buffer of the same dtype.
    fn upload(&self, host: View<'_>, out: ViewMut<'_>) -> Result<()>;

    /// Copies a buffer into host memory of the same dtype; waits for all work before it.
    fn download(&self, x: View<'_>, host: ViewMut<'_>) -> Result<()>;
}

/// What a device has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceStatistics {
    /// Primitives run (kernel launches, on a GPU).
    pub launches: usize,
    /// How many of them were replayed from a recording of an earlier step.
    pub replayed: usize,
    /// Bytes copied from the host.
    pub bytes_to_device: usize,
    /// Bytes copied to the host.
    pub bytes_from_device: usize,
    /// Requests to the buffer pool.
    pub pool: PoolStatistics,
}

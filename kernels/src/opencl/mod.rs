//! Any device that OpenCL knows: AMD, Intel and NVIDIA GPUs, and CPUs.
//!
//! What is declared in `backend/` as `room::name` is launched by the function `name` of the file
//! `room.rs`, which checks sizes and dtypes in the words of `check.rs` and launches one kernel or
//! two; the kernels are in `cl/`, in files of the same names.
//!
//! How a kernel runs: `loader` (a crate) finds the library, `platform.rs` lists what it has,
//! `context.rs` opens a device, `program.rs` compiles a file of `cl/` when a kernel of it is first
//! asked for (`cache.rs` keeps the result on disk), `launch.rs` gives it arguments, in `waiting.rs`
//! it is joined with others where it can be (`joined.rs`), and `replay.rs` puts it into the queue,
//! or holds it back until a recording does (`command_buffer.rs`). The queue is in order, so a
//! kernel sees what those before it wrote, and nothing waits but a download. Read `optimiser.rs`
//! with `cl/optimiser.cl` first.

mod cache;
mod command_buffer;
mod context;
mod convolution;
mod cross_entropy;
mod elementwise;
mod gate;
mod gaussian;
mod joined;
mod launch;
mod likelihood;
mod logistic_mixture;
mod matmul;
mod max_pool;
mod memory;
mod norm;
mod optimiser;
mod pixels;
mod platform;
mod program;
mod random;
mod reduce;
mod replay;
mod rows;
mod sampler;
mod softmax;
#[cfg(test)]
mod tests;
mod transfer;
mod tuning;
mod waiting;
mod weight_norm;

use std::sync::Arc;

use crate::backend::types::*;
use crate::backend::{Backend, DeviceStatistics, contract};
use crate::buffer::SharedBuffer;
use crate::profile::{Profile, Work};
use crate::{DType, Result};

use context::Context;

pub use platform::{Found, Kind, found};
pub use program::{Source, sources};
pub use rung_opencl_loader::{LIBRARY_VARIABLE, NotFound};
pub use tuning::Tuned;

/// A device of OpenCL, open for work.
#[derive(Debug)]
pub struct OpenCl {
    context: Arc<Context>,
    profile: Profile,
}

impl OpenCl {
    /// Opens a device that [`found`] listed.
    ///
    /// # Errors
    /// `Failed` with the driver's words.
    pub fn open(found: &Found) -> Result<Self> {
        Context::open(found)
            .map(|context| Self { context: Arc::new(context), profile: Profile::default() })
    }

    /// Searches for the fastest kernel for each of these products, uses it from now on, and keeps
    /// it on disk for later runs; `seen` hears of each when it is found. Takes about a second a
    /// shape.
    ///
    /// # Errors
    /// `OutOfMemory` or `Failed`, as any launch.
    pub fn tune(&self, shapes: &[MatmulShape], seen: impl FnMut(&Tuned)) -> Result<()> {
        tuning::tune(&self.context, shapes, seen)
    }
}

/// Methods that forward to the function of their room.
macro_rules! methods {
    ($($room:ident::$name:ident($($argument:ident: $type:ty),+);)+) => {
        $(
            fn $name(&self, $($argument: $type),+) -> Result<()> {
                let context = &self.context;
                if !self.profile.is_on() {
                    return $room::$name(context, $($argument),+);
                }
                let work = Work::default()$(.with(&$argument))+;
                // The time of a primitive is that of its kernels, so it is waited for here and
                // nowhere else.
                self.profile.time(stringify!($name), work, || {
                    $room::$name(context, $($argument),+).and_then(|()| context.finish())
                })
            }
        )+
    };
}

/// A trait of the contract.
macro_rules! forward {
    (
        $(#[$trait_doc:meta])*
        trait $trait:ident;
        $(
            $(#[$doc:meta])*
            $room:ident::$name:ident($($argument:ident: $type:ty),+ $(,)?);
        )+
    ) => {
        impl crate::backend::$trait for OpenCl {
            methods! { $($room::$name($($argument: $type),+);)+ }
        }
    };
}

contract!(forward!);

impl Backend for OpenCl {
    fn name(&self) -> String {
        self.context.name.clone()
    }

    fn description(&self) -> String {
        self.context.description.clone()
    }

    fn supports(&self, dtype: DType) -> bool {
        dtype != DType::F64 || self.context.has_f64
    }

    fn statistics(&self) -> DeviceStatistics {
        self.context.statistics()
    }

    fn finish(&self) -> Result<()> {
        self.context.finish()
    }

    fn end_step(&self) -> Result<()> {
        self.context.end_step()
    }

    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn allocate(&self, dtype: DType, len: usize) -> Result<SharedBuffer> {
        Context::allocate(&self.context, dtype, len)
    }

    fn release_free(&self) {
        self.context.release_free();
    }

    methods! {
        transfer::upload(host: View<'_>, out: ViewMut<'_>);
        transfer::download(x: View<'_>, host: ViewMut<'_>);
    }
}

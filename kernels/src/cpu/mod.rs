//! The CPU as a device.
//!
//! What is declared in `backend/` as `room::name` is computed by the function `name` of the file
//! `room.rs` (or folder `room/`), which checks sizes and dtypes (`typed.rs`), and under it the
//! arithmetic, generic over the float type (`real.rs`), cut into blocks that run on several threads
//! (`parallel.rs`), with inner loops compiled for the vector unit at hand (`simd.rs`, `lanes.rs`).
//! Read `gaussian/merge.rs` first: it is short and shows all of that.

mod convolution;
mod cross_entropy;
mod elementwise;
mod gate;
mod gaussian;
pub mod gemm;
mod lanes;
mod likelihood;
mod logistic_mixture;
mod math;
mod matmul;
mod max_pool;
mod norm;
mod optimiser;
mod parallel;
pub mod peak;
mod pixels;
mod random;
pub mod real;
mod reduce;
mod rows;
mod sampler;
mod scalar;
mod scratch;
pub mod simd;
mod softmax;
#[cfg(test)]
mod testing;
mod transfer;
mod typed;
mod weight_norm;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::backend::types::*;
use crate::backend::{Backend, DeviceStatistics, contract};
use crate::buffer::{Pool, SharedBuffer};
use crate::profile::{Profile, Work};
use crate::{DType, Error, Precision, Result};

/// The CPU as a device. Work runs on the rayon pool of the calling thread; the bits do not depend
/// on its size.
#[derive(Debug, Default)]
pub struct Cpu {
    pool: Arc<Pool>,
    launches: AtomicUsize,
    bytes_to_device: AtomicUsize,
    bytes_from_device: AtomicUsize,
    profile: Profile,
    precision: Precision,
}

impl Cpu {
    /// The CPU, with an empty buffer pool.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same CPU with products of a precision, or nothing if it has no instructions for that.
    #[must_use]
    pub fn with_precision(self, precision: Precision) -> Option<Self> {
        gemm::Engine::of(precision).map(|_| Self { precision, ..self })
    }

    /// The CPU as a device of its own small memory: buffers beyond `bytes` in all are refused, as
    /// on a device that is full.
    #[must_use]
    pub fn with_memory(bytes: usize) -> Self {
        Self { pool: Arc::new(Pool::with_limit(bytes)), ..Self::default() }
    }
}

/// A trait of the contract: each method forwards to the function of its room.
macro_rules! forward {
    (
        $(#[$trait_doc:meta])*
        trait $trait:ident;
        $(
            $(#[$doc:meta])*
            $room:ident::$name:ident($($argument:ident: $type:ty),+ $(,)?);
        )+
    ) => {
        impl crate::backend::$trait for Cpu {
            $(
                fn $name(&self, $($argument: $type),+) -> Result<()> {
                    self.launches.fetch_add(1, Ordering::Relaxed);
                    if !self.profile.is_on() {
                        return $room::$name($($argument),+);
                    }
                    let work = Work::default()$(.with(&$argument))+;
                    self.profile.time(stringify!($name), work, || $room::$name($($argument),+))
                }
            )+
        }
    };
}

contract!(forward!);

impl Backend for Cpu {
    fn name(&self) -> String {
        "cpu".to_owned()
    }

    fn description(&self) -> String {
        let threads = rayon::current_num_threads();
        let plural = if threads == 1 { "" } else { "s" };
        let products = match self.precision {
            Precision::Full => "",
            Precision::BFloat16 => ", products in bfloat16",
        };
        let vectors = simd::VectorUnit::in_use().name();
        format!("{}, {vectors}, {threads} thread{plural}{products}", cpu_model())
    }

    fn supports(&self, _dtype: DType) -> bool {
        true
    }

    fn precision(&self) -> Precision {
        self.precision
    }

    fn statistics(&self) -> DeviceStatistics {
        DeviceStatistics {
            launches: self.launches.load(Ordering::Relaxed),
            replayed: 0,
            bytes_to_device: self.bytes_to_device.load(Ordering::Relaxed),
            bytes_from_device: self.bytes_from_device.load(Ordering::Relaxed),
            pool: self.pool.statistics(),
        }
    }

    fn finish(&self) -> Result<()> {
        Ok(())
    }

    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn allocate(&self, dtype: DType, len: usize) -> Result<SharedBuffer> {
        let requested_bytes = len.saturating_mul(dtype.size_bytes());
        let retry = || {
            self.pool.release_free();
            self.pool.take(dtype, len)
        };
        self.pool.take(dtype, len).or_else(retry).ok_or_else(|| Error::OutOfMemory {
            device: self.name(),
            requested_bytes,
            device_bytes: self.pool.limit_bytes().map(|all| (self.pool.statistics().bytes, all)),
        })
    }

    fn release_free(&self) {
        self.pool.release_free();
    }

    fn upload(&self, host: View<'_>, out: ViewMut<'_>) -> Result<()> {
        self.bytes_to_device.fetch_add(host.len() * host.dtype().size_bytes(), Ordering::Relaxed);
        transfer::copy("upload", host, out)
    }

    fn download(&self, x: View<'_>, host: ViewMut<'_>) -> Result<()> {
        self.bytes_from_device.fetch_add(x.len() * x.dtype().size_bytes(), Ordering::Relaxed);
        transfer::copy("download", x, host)
    }
}

/// What the CPU calls itself, or its architecture where the system does not say.
fn cpu_model() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or(std::env::consts::ARCH, |(_, name)| name.trim()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::DataMovement;

    #[test]
    fn launches_and_copied_bytes_are_counted() {
        let cpu = Cpu::new();
        let mut host = [0f64; 3];
        cpu.upload(View::F64(&[1.0, 2.0, 3.0]), ViewMut::F64(&mut host)).unwrap();
        cpu.fill(2.0, ViewMut::F64(&mut host)).unwrap();
        cpu.download(View::U8(&[1]), ViewMut::U8(&mut [0])).unwrap();
        let statistics = cpu.statistics();
        assert_eq!(
            (statistics.launches, statistics.bytes_to_device, statistics.bytes_from_device),
            (1, 24, 1)
        );
    }

    #[test]
    fn an_impossible_allocation_is_refused() {
        let error = Cpu::new().allocate(DType::F64, usize::MAX / 4).unwrap_err();
        assert!(matches!(error, Error::OutOfMemory { .. }), "{error}");
    }

    /// 64 bytes are the smallest piece; free ones are given back before a request is refused.
    #[test]
    fn a_small_memory_is_full_when_its_buffers_are_in_use() {
        let cpu = Cpu::with_memory(192);
        let held = cpu.allocate(DType::F32, 16).unwrap();
        drop(cpu.allocate(DType::F32, 32).unwrap());
        let error = cpu.allocate(DType::F32, 33).unwrap_err();
        assert_eq!(
            error,
            Error::OutOfMemory {
                device: "cpu".into(),
                requested_bytes: 132,
                device_bytes: Some((64, 192))
            }
        );
        drop(held);
        assert!(cpu.allocate(DType::F32, 48).is_ok());
    }

    #[test]
    fn the_description_names_the_threads() {
        assert!(Cpu::new().description().contains("thread"), "{}", Cpu::new().description());
    }
}

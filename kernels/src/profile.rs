//! Where the time of a device goes: each primitive counted, timed and weighed, while somebody asks
//! for it.
//!
//! A device has a [`Profile`] that is off at first; then it costs a primitive one relaxed load.
//! While it is on, each call is timed from its start to the end of its work, and what it reads and
//! writes is counted from its arguments ([`Work`]).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::backend::{
    AdamStep, AdamaxStep, AffineGrid, BatchNorm, BatchNormVectors, BatchStatistics, Clipping,
    Convolution, GaussianGradient, GaussianView, LogisticMixture, Matrix, NormalisedHead, PixelMap,
    Pool2d, RmsPropStep, RowNoise, Sampler,
};
use crate::rng::Address;
use crate::{
    AxisExtent, BinaryFunction, Block, Broadcast, MatmulShape, Precision, Reduction, Result,
    UnaryFunction, View, ViewMut,
};

/// Times of the primitives of a device.
#[derive(Debug, Default)]
pub struct Profile {
    on: AtomicBool,
    records: Mutex<HashMap<Call, Record>>,
}

/// What calls are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Call {
    /// The method of [`Backend`](crate::Backend).
    pub primitive: &'static str,
    /// The shape, of a matrix product, or of the one that a convolution amounts to.
    pub matmul: Option<MatmulShape>,
}

/// What calls of one kind amounted to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// How many there were.
    pub calls: usize,
    /// How long they took together.
    pub time: Duration,
    /// Bytes of all arrays that they read or wrote, each array counted once a call.
    pub bytes: usize,
}

impl Profile {
    /// Forgets what was recorded, and starts to record.
    pub fn start(&self) {
        self.lock().clear();
        self.on.store(true, Ordering::Relaxed);
    }

    /// Stops recording, and gives what was recorded, the longest time first.
    pub fn stop(&self) -> Vec<(Call, Record)> {
        self.on.store(false, Ordering::Relaxed);
        let mut records: Vec<_> = self.lock().drain().collect();
        records.sort_by_key(|(call, record)| (std::cmp::Reverse(record.time), call.primitive));
        records
    }

    /// Whether calls are recorded.
    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Runs one call of `primitive`, `work` being the sum of its arguments, and records it.
    ///
    /// # Errors
    /// What the call returns.
    pub fn time(
        &self,
        primitive: &'static str,
        work: Work,
        call: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let started = Instant::now();
        let result = call();
        let time = started.elapsed();
        let mut records = self.lock();
        let record = records.entry(Call { primitive, matmul: work.matmul }).or_default();
        record.calls += 1;
        record.time += time;
        record.bytes += work.bytes;
        result
    }

    /// A record is whole between any two statements, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, HashMap<Call, Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the arguments of a call say of its work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    bytes: usize,
    matmul: Option<MatmulShape>,
}

impl Work {
    /// The work with one more argument.
    #[must_use]
    pub fn with(mut self, argument: &impl Argument) -> Self {
        argument.add_to(&mut self);
        self
    }
}

/// An argument of a primitive.
pub trait Argument {
    /// Adds what it says of the work.
    fn add_to(&self, work: &mut Work);
}

impl Argument for View<'_> {
    fn add_to(&self, work: &mut Work) {
        work.bytes += self.len() * self.dtype().size_bytes();
    }
}

impl Argument for ViewMut<'_> {
    fn add_to(&self, work: &mut Work) {
        self.as_view().add_to(work);
    }
}

impl<A: Argument> Argument for Option<A> {
    fn add_to(&self, work: &mut Work) {
        if let Some(argument) = self {
            argument.add_to(work);
        }
    }
}

impl<A: Argument> Argument for &A {
    fn add_to(&self, work: &mut Work) {
        (*self).add_to(work);
    }
}

impl Argument for GaussianView<'_> {
    fn add_to(&self, work: &mut Work) {
        [self.mean, self.variance].iter().for_each(|array| array.add_to(work));
    }
}

impl Argument for GaussianGradient<'_> {
    fn add_to(&self, work: &mut Work) {
        [&self.mean, &self.variance].iter().for_each(|array| array.add_to(work));
    }
}

impl Argument for BatchNormVectors<'_> {
    fn add_to(&self, work: &mut Work) {
        [self.mean, self.variance, self.scale, self.shift]
            .iter()
            .for_each(|array| array.add_to(work));
    }
}

impl Argument for BatchStatistics<'_> {
    fn add_to(&self, work: &mut Work) {
        [&self.mean, &self.variance].iter().for_each(|array| array.add_to(work));
        if let Some(running) = &self.running {
            // Read and written.
            [&running.mean, &running.variance]
                .iter()
                .for_each(|array| work.bytes += 2 * array.len() * array.dtype().size_bytes());
        }
    }
}

impl Argument for Clipping<'_> {
    fn add_to(&self, work: &mut Work) {
        self.squared_norm.add_to(work);
    }
}

impl Argument for MatmulShape {
    fn add_to(&self, work: &mut Work) {
        work.matmul = Some(*self);
    }
}

/// A convolution is weighed as the product it amounts to.
impl Argument for Convolution {
    fn add_to(&self, work: &mut Work) {
        self.product().add_to(work);
    }
}

/// Sizes and settings say nothing of the work that the arrays do not.
macro_rules! settings {
    ($($type:ty),+) => {
        $(impl Argument for $type {
            fn add_to(&self, _work: &mut Work) {}
        })+
    };
}

settings!(
    bool,
    f64,
    usize,
    Matrix,
    Precision,
    Block,
    Broadcast,
    AxisExtent,
    PixelMap,
    UnaryFunction,
    BinaryFunction,
    Reduction,
    BatchNorm,
    NormalisedHead,
    LogisticMixture,
    Address,
    RowNoise,
    AdamStep,
    AdamaxStep,
    RmsPropStep,
    Pool2d,
    AffineGrid,
    Sampler
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    #[test]
    fn only_what_runs_while_it_is_on_is_recorded() {
        let (cpu, shape) = (Device::cpu(), MatmulShape::plain(2, 3, 4));
        let (left, right, mut out) = ([1f32; 8], [1f32; 12], [0f32; 6]);
        let mut multiply = || {
            cpu.matmul(
                shape,
                Precision::Full,
                View::F32(&left),
                View::F32(&right),
                None,
                ViewMut::F32(&mut out),
            )
            .unwrap();
        };
        multiply();
        cpu.profile().start();
        multiply();
        multiply();
        let records = cpu.profile().stop();
        multiply();
        let [(call, record)] = records[..] else { panic!("{records:?}") };
        assert_eq!(call, Call { primitive: "matmul", matmul: Some(shape) });
        assert_eq!((record.calls, record.bytes), (2, 2 * 4 * (8 + 12 + 6)));
        assert!(cpu.profile().stop().is_empty());
    }
}

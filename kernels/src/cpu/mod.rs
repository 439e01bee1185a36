//! The processor as a device.
//!
//! This file is the map: each primitive of the contract, and the file that computes it. Such a file has a function of the
//! primitive's name, which checks sizes and dtypes (`typed.rs`), and under it the arithmetic, generic over the float type (`real.rs`),
//! cut into blocks that run on several threads (`parallel.rs`), with inner loops compiled for the vector unit at hand (`simd.rs`, `lanes.rs`).
//! Read `merge.rs` first: it is short and shows all of that.

mod convolution;
mod elementwise;
mod gate;
mod gaussian;
mod kl;
mod lanes;
mod likelihood;
mod log_ratio;
mod logistic_mixture;
mod math;
pub mod matmul;
mod memory;
mod merge;
mod norm;
mod optimiser;
mod parallel;
pub mod peak;
mod pixels;
mod product;
mod random;
pub mod real;
mod reduce;
mod rows;
mod scalar;
mod scratch;
pub mod simd;
mod softmax;
#[cfg(test)]
mod testing;
mod typed;
mod weight_norm;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::backend::{
    AdamStep, AdamaxStep, Backend, BatchNorm, BatchNormVectors, BatchStatistics, Clipping, Convolution, Convolutional,
    DeviceStatistics, GaussianGradient, GaussianView, LogisticMixture, Matrix, PixelMap, RowNoise,
};
use crate::buffer::{Pool, SharedBuffer};
use crate::profile::{Profile, Work};
use crate::rng::Address;
use crate::{
    AxisExtent, BinaryFunction, Block, Broadcast, DType, Error, MatmulShape, Reduction, Result, UnaryFunction, View,
    ViewMut,
};

/// The processor as a device. Work runs on the rayon pool of the calling thread; the bits do not depend on its size.
#[derive(Debug, Default)]
pub struct Cpu {
    pool: Arc<Pool>,
    launches: AtomicUsize,
    bytes_to_device: AtomicUsize,
    bytes_from_device: AtomicUsize,
    profile: Profile,
}

impl Cpu {
    /// The processor, with an empty buffer pool.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The processor as a device of its own small memory: buffers beyond `bytes` in all are refused, as on a device that is full.
    #[must_use]
    pub fn with_memory(bytes: usize) -> Self {
        Self { pool: Arc::new(Pool::with_limit(bytes)), ..Self::default() }
    }
}

/// Methods of the contract, each with the file that computes it.
macro_rules! forward {
    ($($file:ident::$name:ident($($argument:ident: $type:ty),+);)+) => {
        $(
            fn $name(&self, $($argument: $type),+) -> Result<()> {
                self.launches.fetch_add(1, Ordering::Relaxed);
                if !self.profile.is_on() {
                    return $file::$name($($argument),+);
                }
                let work = Work::default()$(.with(&$argument))+;
                self.profile.time(stringify!($name), work, || $file::$name($($argument),+))
            }
        )+
    };
}

impl Backend for Cpu {
    fn name(&self) -> String {
        "cpu".to_owned()
    }

    fn description(&self) -> String {
        let threads = rayon::current_num_threads();
        let plural = if threads == 1 { "" } else { "s" };
        format!("{}, {}, {threads} thread{plural}", processor_model(), simd::VectorUnit::in_use().name())
    }

    fn supports(&self, _dtype: DType) -> bool {
        true
    }

    fn statistics(&self) -> DeviceStatistics {
        DeviceStatistics {
            launches: self.launches.load(Ordering::Relaxed),
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
        memory::copy("upload", host, out)
    }

    fn download(&self, x: View<'_>, host: ViewMut<'_>) -> Result<()> {
        self.bytes_from_device.fetch_add(x.len() * x.dtype().size_bytes(), Ordering::Relaxed);
        memory::copy("download", x, host)
    }

    forward! {
        memory::fill(value: f64, out: ViewMut<'_>);
        memory::convert(x: View<'_>, out: ViewMut<'_>);
        rows::copy_block(block: Block, x: View<'_>, out: ViewMut<'_>);
        rows::transpose(batch: usize, matrix: Matrix, x: View<'_>, out: ViewMut<'_>);
        rows::gather_rows(columns: usize, x: View<'_>, indices: View<'_>, out: ViewMut<'_>);
        rows::gather_rows_backward(columns: usize, indices: View<'_>, grad_out: View<'_>, grad_x: ViewMut<'_>);
        rows::repeat_rows(matrix: Matrix, times: usize, x: View<'_>, out: ViewMut<'_>);
        pixels::gather_pixels(map: PixelMap, columns: usize, pixels: View<'_>, indices: View<'_>, out: ViewMut<'_>);

        elementwise::unary(function: UnaryFunction, x: View<'_>, out: ViewMut<'_>);
        elementwise::unary_backward(function: UnaryFunction, saved: View<'_>, grad_out: View<'_>, grad_x: ViewMut<'_>);
        elementwise::binary(function: BinaryFunction, broadcast: &Broadcast, left: View<'_>, right: View<'_>, out: ViewMut<'_>);
        elementwise::scale_and_add(a: f64, x: View<'_>, b: f64, out: ViewMut<'_>);

        reduce::reduce(reduction: Reduction, extent: AxisExtent, x: View<'_>, out: ViewMut<'_>);
        reduce::extremum_backward(extent: AxisExtent, x: View<'_>, out: View<'_>, grad_out: View<'_>, grad_x: ViewMut<'_>);
        reduce::expand(factor: f64, extent: AxisExtent, x: View<'_>, out: ViewMut<'_>);
        softmax::log_sum_exp(extent: AxisExtent, x: View<'_>, out: ViewMut<'_>);
        softmax::log_sum_exp_backward(extent: AxisExtent, x: View<'_>, out: View<'_>, grad_out: View<'_>, grad_x: ViewMut<'_>);
        softmax::softmax(extent: AxisExtent, x: View<'_>, out: ViewMut<'_>);
        softmax::softmax_backward(extent: AxisExtent, out: View<'_>, grad_out: View<'_>, grad_x: ViewMut<'_>);
        softmax::log_softmax(extent: AxisExtent, x: View<'_>, out: ViewMut<'_>);
        softmax::log_softmax_backward(extent: AxisExtent, out: View<'_>, grad_out: View<'_>, grad_x: ViewMut<'_>);

        product::matmul(shape: MatmulShape, left: View<'_>, right: View<'_>, bias: Option<View<'_>>, out: ViewMut<'_>);
        product::matmul_accumulate(shape: MatmulShape, left: View<'_>, right: View<'_>, out: ViewMut<'_>);
        norm::column_statistics(matrix: Matrix, x: View<'_>, mean: ViewMut<'_>, variance: ViewMut<'_>);
        norm::batch_norm(
            norm: &BatchNorm, x: View<'_>, scale: View<'_>, shift: View<'_>, statistics: BatchStatistics<'_>, out: ViewMut<'_>
        );
        norm::batch_norm_backward(
            norm: &BatchNorm, x: View<'_>, vectors: BatchNormVectors<'_>, grad_out: View<'_>,
            grad_x: ViewMut<'_>, grad_scale: ViewMut<'_>, grad_shift: ViewMut<'_>
        );
        norm::matmul_normalise(
            shape: MatmulShape, left: View<'_>, right: View<'_>, norm: &BatchNorm, vectors: BatchNormVectors<'_>, out: ViewMut<'_>
        );
        norm::normalise(norm: &BatchNorm, x: View<'_>, vectors: BatchNormVectors<'_>, out: ViewMut<'_>);
        norm::normalise_backward(
            norm: &BatchNorm, x: View<'_>, vectors: BatchNormVectors<'_>, grad_out: View<'_>,
            grad_x: ViewMut<'_>, grad_scale: ViewMut<'_>, grad_shift: ViewMut<'_>
        );

        merge::gaussian_head(matrix: Matrix, floor: f64, x: View<'_>, mean: ViewMut<'_>, variance: ViewMut<'_>);
        merge::gaussian_head_backward(
            matrix: Matrix, x: View<'_>, grad_mean: Option<View<'_>>, grad_variance: Option<View<'_>>, grad_x: ViewMut<'_>
        );
        merge::reparameterise(q: GaussianView<'_>, noise: View<'_>, out: ViewMut<'_>);
        merge::reparameterise_backward(
            variance: View<'_>, noise: View<'_>, grad_out: View<'_>, add: bool, grad: GaussianGradient<'_>
        );
        merge::merge(first: GaussianView<'_>, second: GaussianView<'_>, mean: ViewMut<'_>, variance: ViewMut<'_>);
        merge::merge_backward(
            first: GaussianView<'_>, second: GaussianView<'_>, grad_mean: Option<View<'_>>, grad_variance: Option<View<'_>>,
            grad_first: GaussianGradient<'_>, grad_second: GaussianGradient<'_>
        );
        gaussian::gaussian_log_prob(matrix: Matrix, repeat: usize, x: View<'_>, p: GaussianView<'_>, out: ViewMut<'_>);
        gaussian::gaussian_log_prob_backward(
            matrix: Matrix, repeat: usize, x: View<'_>, p: GaussianView<'_>, grad_out: View<'_>,
            grad_x: Option<ViewMut<'_>>, grad_p: GaussianGradient<'_>
        );
        gaussian::standard_normal_log_prob(matrix: Matrix, x: View<'_>, out: ViewMut<'_>);
        gaussian::standard_normal_log_prob_backward(matrix: Matrix, x: View<'_>, grad_out: View<'_>, grad_x: ViewMut<'_>);
        log_ratio::gaussian_log_ratio(
            matrix: Matrix, z: View<'_>, q: GaussianView<'_>, p: Option<GaussianView<'_>>, out: ViewMut<'_>
        );
        log_ratio::gaussian_log_ratio_backward(
            matrix: Matrix, z: View<'_>, q: GaussianView<'_>, p: Option<GaussianView<'_>>, grad_out: View<'_>,
            grad_z: Option<ViewMut<'_>>, grad_q: GaussianGradient<'_>, grad_p: GaussianGradient<'_>
        );
        kl::gaussian_kl(matrix: Matrix, q: GaussianView<'_>, p: Option<GaussianView<'_>>, out: ViewMut<'_>);
        kl::gaussian_kl_backward(
            matrix: Matrix, q: GaussianView<'_>, p: Option<GaussianView<'_>>, grad_out: View<'_>,
            grad_q: GaussianGradient<'_>, grad_p: GaussianGradient<'_>
        );
        likelihood::bernoulli_log_prob(matrix: Matrix, repeat: usize, x: View<'_>, logits: View<'_>, out: ViewMut<'_>);
        likelihood::bernoulli_log_prob_backward(
            matrix: Matrix, repeat: usize, x: View<'_>, logits: View<'_>, grad_out: View<'_>, grad_logits: ViewMut<'_>
        );
        likelihood::cross_entropy(matrix: Matrix, logits: View<'_>, labels: View<'_>, out: ViewMut<'_>);
        likelihood::cross_entropy_backward(
            matrix: Matrix, logits: View<'_>, labels: View<'_>, grad_out: View<'_>, grad_logits: ViewMut<'_>
        );

        random::fill_uniform(address: Address, out: ViewMut<'_>);
        random::fill_normal(address: Address, out: ViewMut<'_>);
        random::fill_normal_rows(noise: RowNoise, out: ViewMut<'_>);
        random::bernoulli(address: Address, x: View<'_>, out: ViewMut<'_>);
        random::dropout(address: Address, rate: f64, x: View<'_>, out: ViewMut<'_>);

        optimiser::sum_of_squares(x: View<'_>, out: ViewMut<'_>);
        optimiser::clip_gradient(clipping: Clipping<'_>, gradient: ViewMut<'_>);
        optimiser::adam(
            step: AdamStep, clipping: Option<Clipping<'_>>, gradient: View<'_>,
            value: ViewMut<'_>, first_moment: ViewMut<'_>, second_moment: ViewMut<'_>
        );
        optimiser::adamax(step: AdamaxStep, gradient: View<'_>, value: ViewMut<'_>, first_moment: ViewMut<'_>, infinity_norm: ViewMut<'_>);
        optimiser::sgd(learning_rate: f64, momentum: f64, gradient: View<'_>, value: ViewMut<'_>, velocity: ViewMut<'_>);
    }
}

impl Convolutional for Cpu {
    forward! {
        weight_norm::weight_norm(extent: AxisExtent, v: View<'_>, gain: View<'_>, out: ViewMut<'_>);
        weight_norm::weight_norm_backward(
            extent: AxisExtent, v: View<'_>, gain: View<'_>, grad_out: View<'_>,
            grad_v: Option<ViewMut<'_>>, grad_gain: Option<ViewMut<'_>>
        );
        gate::gate(matrix: Matrix, x: View<'_>, out: ViewMut<'_>);
        gate::gate_backward(matrix: Matrix, x: View<'_>, grad_out: View<'_>, grad_x: ViewMut<'_>);
        convolution::conv2d(
            convolution: Convolution, x: View<'_>, weight: View<'_>, bias: Option<View<'_>>, out: ViewMut<'_>
        );
        convolution::conv2d_transpose(
            convolution: Convolution, y: View<'_>, weight: View<'_>, bias: Option<View<'_>>, out: ViewMut<'_>
        );
        convolution::conv2d_weight_gradient(
            convolution: Convolution, x: View<'_>, grad_out: View<'_>, grad_weight: ViewMut<'_>
        );
        logistic_mixture::logistic_mixture_log_prob(mixture: LogisticMixture, x: View<'_>, parameters: View<'_>, out: ViewMut<'_>);
        logistic_mixture::logistic_mixture_log_prob_backward(
            mixture: LogisticMixture, x: View<'_>, parameters: View<'_>, grad_out: View<'_>, grad_parameters: ViewMut<'_>
        );
    }
}

/// What the processor calls itself, or its architecture where the system does not say.
fn processor_model() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or(std::env::consts::ARCH, |(_, name)| name.trim()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launches_and_copied_bytes_are_counted() {
        let cpu = Cpu::new();
        let mut host = [0f64; 3];
        cpu.upload(View::F64(&[1.0, 2.0, 3.0]), ViewMut::F64(&mut host)).unwrap();
        cpu.fill(2.0, ViewMut::F64(&mut host)).unwrap();
        cpu.download(View::U8(&[1]), ViewMut::U8(&mut [0])).unwrap();
        let statistics = cpu.statistics();
        assert_eq!((statistics.launches, statistics.bytes_to_device, statistics.bytes_from_device), (1, 24, 1));
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
            Error::OutOfMemory { device: "cpu".into(), requested_bytes: 132, device_bytes: Some((64, 192)) }
        );
        drop(held);
        assert!(cpu.allocate(DType::F32, 48).is_ok());
    }

    #[test]
    fn the_description_names_the_threads() {
        assert!(Cpu::new().description().contains("thread"), "{}", Cpu::new().description());
    }
}

//! Any device that OpenCL knows: AMD, Intel and NVIDIA GPUs, and processors.
//!
//! This file is the map: each primitive of the contract, and the file that launches it. Such a file has a function of the primitive's name, which
//! checks sizes and dtypes in the words of `check.rs` and launches one kernel or two; the kernels are in `cl/`, in files of the same names.
//!
//! How a kernel runs: `loader` (a crate) finds the library, `platform.rs` lists what it has, `context.rs` opens a device, `program.rs` compiles a file of
//! `cl/` when a kernel of it is first asked for (`cache.rs` keeps the result on disk), `launch.rs` gives it arguments and puts it into the queue. The queue
//! is in order, so a kernel sees what those before it wrote, and nothing waits but a download. Read `optimiser.rs` with `cl/optimiser.cl` first.

mod cache;
mod channel;
mod context;
mod convolution;
mod elementwise;
mod gaussian;
mod launch;
mod likelihood;
mod logistic_mixture;
mod matmul;
mod memory;
mod norm;
mod optimiser;
mod pixels;
mod platform;
mod program;
mod random;
mod reduce;
mod rows;
mod softmax;
#[cfg(test)]
mod tests;
mod transfer;
mod tuning;

use std::sync::Arc;

use crate::backend::{
    AdamStep, AdamaxStep, Backend, BatchNorm, BatchNormVectors, BatchStatistics, Clipping, Convolution, Convolutional,
    DeviceStatistics, GaussianGradient, GaussianView, LogisticMixture, Matrix, PixelMap, RowNoise,
};
use crate::buffer::SharedBuffer;
use crate::profile::{Profile, Work};
use crate::rng::Address;
use crate::{
    AxisExtent, BinaryFunction, Block, Broadcast, DType, MatmulShape, Reduction, Result, UnaryFunction, View, ViewMut,
};

use context::Context;

pub use memory::Memory;
pub use platform::{Found, Kind, found};
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
        Context::open(found).map(|context| Self { context: Arc::new(context), profile: Profile::default() })
    }

    /// Searches for the fastest kernel for each of these products, uses it from now on, and keeps it on disk for later runs; `seen` hears of
    /// each when it is found. Takes about a second a shape.
    ///
    /// # Errors
    /// `OutOfMemory` or `Failed`, as any launch.
    pub fn tune(&self, shapes: &[MatmulShape], seen: impl FnMut(&Tuned)) -> Result<()> {
        tuning::tune(&self.context, shapes, seen)
    }
}

/// Methods of the contract, each with the file that launches it.
macro_rules! forward {
    ($($file:ident::$name:ident($($argument:ident: $type:ty),+);)+) => {
        $(
            fn $name(&self, $($argument: $type),+) -> Result<()> {
                let context = &self.context;
                if !self.profile.is_on() {
                    return $file::$name(context, $($argument),+);
                }
                let work = Work::default()$(.with(&$argument))+;
                // The time of a primitive is that of its kernels, so it is waited for here and nowhere else.
                self.profile.time(stringify!($name), work, || $file::$name(context, $($argument),+).and_then(|()| context.finish()))
            }
        )+
    };
}

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

    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn allocate(&self, dtype: DType, len: usize) -> Result<SharedBuffer> {
        Context::allocate(&self.context, dtype, len)
    }

    fn release_free(&self) {
        self.context.release_free();
    }

    forward! {
        transfer::upload(host: View<'_>, out: ViewMut<'_>);
        transfer::download(x: View<'_>, host: ViewMut<'_>);
        transfer::fill(value: f64, out: ViewMut<'_>);
        rows::convert(x: View<'_>, out: ViewMut<'_>);
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

        matmul::matmul(shape: MatmulShape, left: View<'_>, right: View<'_>, bias: Option<View<'_>>, out: ViewMut<'_>);
        matmul::matmul_accumulate(shape: MatmulShape, left: View<'_>, right: View<'_>, out: ViewMut<'_>);
        norm::column_statistics(matrix: Matrix, x: View<'_>, mean: ViewMut<'_>, variance: ViewMut<'_>);
        norm::batch_norm(
            norm: &BatchNorm, x: View<'_>, scale: View<'_>, shift: View<'_>, statistics: BatchStatistics<'_>, out: ViewMut<'_>
        );
        norm::batch_norm_backward(
            norm: &BatchNorm, x: View<'_>, vectors: BatchNormVectors<'_>, grad_out: View<'_>,
            grad_x: ViewMut<'_>, grad_scale: ViewMut<'_>, grad_shift: ViewMut<'_>
        );
        norm::normalise(norm: &BatchNorm, x: View<'_>, vectors: BatchNormVectors<'_>, out: ViewMut<'_>);
        norm::matmul_normalise(
            shape: MatmulShape, left: View<'_>, right: View<'_>, norm: &BatchNorm, vectors: BatchNormVectors<'_>, out: ViewMut<'_>
        );
        norm::normalise_backward(
            norm: &BatchNorm, x: View<'_>, vectors: BatchNormVectors<'_>, grad_out: View<'_>,
            grad_x: ViewMut<'_>, grad_scale: ViewMut<'_>, grad_shift: ViewMut<'_>
        );

        gaussian::gaussian_head(matrix: Matrix, floor: f64, x: View<'_>, mean: ViewMut<'_>, variance: ViewMut<'_>);
        gaussian::gaussian_head_backward(
            matrix: Matrix, x: View<'_>, grad_mean: Option<View<'_>>, grad_variance: Option<View<'_>>, grad_x: ViewMut<'_>
        );
        gaussian::reparameterise(q: GaussianView<'_>, noise: View<'_>, out: ViewMut<'_>);
        gaussian::reparameterise_backward(
            variance: View<'_>, noise: View<'_>, grad_out: View<'_>, add: bool, grad: GaussianGradient<'_>
        );
        gaussian::merge(first: GaussianView<'_>, second: GaussianView<'_>, mean: ViewMut<'_>, variance: ViewMut<'_>);
        gaussian::merge_backward(
            first: GaussianView<'_>, second: GaussianView<'_>, grad_mean: Option<View<'_>>, grad_variance: Option<View<'_>>,
            grad_first: GaussianGradient<'_>, grad_second: GaussianGradient<'_>
        );
        likelihood::gaussian_log_prob(matrix: Matrix, repeat: usize, x: View<'_>, p: GaussianView<'_>, out: ViewMut<'_>);
        likelihood::gaussian_log_prob_backward(
            matrix: Matrix, repeat: usize, x: View<'_>, p: GaussianView<'_>, grad_out: View<'_>,
            grad_x: Option<ViewMut<'_>>, grad_p: GaussianGradient<'_>
        );
        likelihood::standard_normal_log_prob(matrix: Matrix, x: View<'_>, out: ViewMut<'_>);
        likelihood::standard_normal_log_prob_backward(matrix: Matrix, x: View<'_>, grad_out: View<'_>, grad_x: ViewMut<'_>);
        likelihood::gaussian_log_ratio(
            matrix: Matrix, z: View<'_>, q: GaussianView<'_>, p: Option<GaussianView<'_>>, out: ViewMut<'_>
        );
        likelihood::gaussian_log_ratio_backward(
            matrix: Matrix, z: View<'_>, q: GaussianView<'_>, p: Option<GaussianView<'_>>, grad_out: View<'_>,
            grad_z: Option<ViewMut<'_>>, grad_q: GaussianGradient<'_>, grad_p: GaussianGradient<'_>
        );
        likelihood::gaussian_kl(matrix: Matrix, q: GaussianView<'_>, p: Option<GaussianView<'_>>, out: ViewMut<'_>);
        likelihood::gaussian_kl_backward(
            matrix: Matrix, q: GaussianView<'_>, p: Option<GaussianView<'_>>, grad_out: View<'_>,
            grad_q: GaussianGradient<'_>, grad_p: GaussianGradient<'_>
        );
        likelihood::bernoulli_log_prob(matrix: Matrix, repeat: usize, x: View<'_>, logits: View<'_>, out: ViewMut<'_>);
        likelihood::bernoulli_log_prob_backward(
            matrix: Matrix, repeat: usize, x: View<'_>, logits: View<'_>, grad_out: View<'_>, grad_logits: ViewMut<'_>
        );
        softmax::cross_entropy(matrix: Matrix, logits: View<'_>, labels: View<'_>, out: ViewMut<'_>);
        softmax::cross_entropy_backward(
            matrix: Matrix, logits: View<'_>, labels: View<'_>, grad_out: View<'_>, grad_logits: ViewMut<'_>
        );

        random::fill_uniform(address: Address, out: ViewMut<'_>);
        random::fill_normal(address: Address, out: ViewMut<'_>);
        random::fill_normal_rows(noise: RowNoise, out: ViewMut<'_>);
        random::bernoulli(address: Address, x: View<'_>, out: ViewMut<'_>);
        random::dropout(address: Address, rate: f64, x: View<'_>, out: ViewMut<'_>);

        reduce::sum_of_squares(x: View<'_>, out: ViewMut<'_>);
        optimiser::clip_gradient(clipping: Clipping<'_>, gradient: ViewMut<'_>);
        optimiser::adam(
            step: AdamStep, clipping: Option<Clipping<'_>>, gradient: View<'_>,
            value: ViewMut<'_>, first_moment: ViewMut<'_>, second_moment: ViewMut<'_>
        );
        optimiser::adamax(step: AdamaxStep, gradient: View<'_>, value: ViewMut<'_>, first_moment: ViewMut<'_>, infinity_norm: ViewMut<'_>);
        optimiser::sgd(learning_rate: f64, momentum: f64, gradient: View<'_>, value: ViewMut<'_>, velocity: ViewMut<'_>);
    }
}

impl Convolutional for OpenCl {
    forward! {
        channel::weight_norm(extent: AxisExtent, v: View<'_>, gain: View<'_>, out: ViewMut<'_>);
        channel::weight_norm_backward(
            extent: AxisExtent, v: View<'_>, gain: View<'_>, grad_out: View<'_>,
            grad_v: Option<ViewMut<'_>>, grad_gain: Option<ViewMut<'_>>
        );
        channel::gate(matrix: Matrix, x: View<'_>, out: ViewMut<'_>);
        channel::gate_backward(matrix: Matrix, x: View<'_>, grad_out: View<'_>, grad_x: ViewMut<'_>);
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

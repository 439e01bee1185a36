//! The contract of a device: every primitive once, with its formula and its shapes.
//!
//! What is for images is in `backend/convolutional.rs`, a part of the same contract. `cpu/` and `opencl/` implement it; the parity tests walk `PRIMITIVES`, which has a line for each method that computes.
//!
//! Conventions. Arrays are contiguous and row-major. `x` is read, `out` is written whole, never read; a `grad_…` argument
//! that is read is the adjoint of a result, one that is written is the adjoint of an operand. Float arrays of one call share one
//! dtype. An `Option` that is `None` is not computed. Lengths that do not fit the sizes are refused; nothing is written then.

mod arguments;
mod convolution;
mod convolutional;
mod logistic_mixture;

use std::fmt::Debug;

use crate::buffer::SharedBuffer;
use crate::function::{BinaryFunction, Reduction, UnaryFunction};
use crate::profile::Profile;
use crate::rng::Address;
use crate::shape::{AxisExtent, Block, Broadcast};
use crate::view::{View, ViewMut};
use crate::{DType, Result};

pub use crate::cpu::matmul::MatmulShape;
pub use arguments::{
    AdamStep, AdamaxStep, BatchNorm, BatchNormVectors, BatchStatistics, Clipping, DeviceStatistics, GaussianGradient,
    GaussianView, Matrix, PixelMap, RowNoise, RunningStatistics,
};
pub use convolution::Convolution;
pub use convolutional::Convolutional;
pub use logistic_mixture::LogisticMixture;

/// A device that computes.
pub trait Backend: Convolutional + Send + Sync + Debug {
    /// The name a person gives to choose it: `cpu`, `opencl:0`.
    fn name(&self) -> String;

    /// What it is: processor model, vector unit, threads.
    fn description(&self) -> String;

    /// Whether it computes with numbers of this type; some graphics cards have no f64.
    fn supports(&self, dtype: DType) -> bool;

    /// What it has done so far.
    fn statistics(&self) -> DeviceStatistics;

    /// Waits until all work is done: what a measurement of time needs, and nothing else.
    ///
    /// # Errors
    /// `Failed` if the device failed.
    fn finish(&self) -> Result<()>;

    /// Times of its primitives; a device that works on its own waits after each one while the profile is on.
    fn profile(&self) -> &Profile;

    // ---------------------------------------------------------------- memory

    /// A buffer with arbitrary contents.
    ///
    /// # Errors
    /// `OutOfMemory` if the device has no room.
    fn allocate(&self, dtype: DType, len: usize) -> Result<SharedBuffer>;

    /// Gives free buffers of the pool back to the system, where work of another kind begins: it asks for other sizes.
    fn release_free(&self);

    /// Copies host memory into a buffer of the same dtype.
    fn upload(&self, host: View<'_>, out: ViewMut<'_>) -> Result<()>;

    /// Copies a buffer into host memory of the same dtype; waits for all work before it.
    fn download(&self, x: View<'_>, host: ViewMut<'_>) -> Result<()>;

    /// out[i] = value (rounded to the dtype).
    fn fill(&self, value: f64, out: ViewMut<'_>) -> Result<()>;

    /// out[i] = x[i], converted between dtypes (to an integer: truncated, saturating).
    fn convert(&self, x: View<'_>, out: ViewMut<'_>) -> Result<()>;

    /// Copies a rectangle; see [`Block`]. Elements of `out` outside of it keep their values.
    fn copy_block(&self, block: Block, x: View<'_>, out: ViewMut<'_>) -> Result<()>;

    /// out[b, j, i] = x[b, i, j] for `batch` matrices.
    fn transpose(&self, batch: usize, matrix: Matrix, x: View<'_>, out: ViewMut<'_>) -> Result<()>;

    /// out[r, c] = x[indices[r], c]; an index outside `x` is refused.
    fn gather_rows(&self, columns: usize, x: View<'_>, indices: View<'_>, out: ViewMut<'_>) -> Result<()>;

    /// grad_x[i, c] = Σ over r with indices[r] = i of grad_out[r, c], summed in the order of r; 0 where there is none.
    fn gather_rows_backward(
        &self,
        columns: usize,
        indices: View<'_>,
        grad_out: View<'_>,
        grad_x: ViewMut<'_>,
    ) -> Result<()>;

    /// out[r · times + t, c] = x[r, c]: each row `times` times in a row.
    fn repeat_rows(&self, matrix: Matrix, times: usize, x: View<'_>, out: ViewMut<'_>) -> Result<()>;

    /// out[r, d] = map(pixels[indices[r], d]): a batch gathered, and binarised or dequantised, in one pass.
    ///
    /// `pixels` is u8, or float with values in [0, 1]; `columns` are the pixels of an image. With `Bernoulli` a u8 pixel p draws
    /// 1 where word < round(p · 2³² / 255), so that 0 never and 255 always does; a float pixel where word < p · 2³².
    fn gather_pixels(
        &self,
        map: PixelMap,
        columns: usize,
        pixels: View<'_>,
        indices: View<'_>,
        out: ViewMut<'_>,
    ) -> Result<()>;

    // ---------------------------------------------------------------- element by element

    /// out[i] = f(x[i]).
    fn unary(&self, function: UnaryFunction, x: View<'_>, out: ViewMut<'_>) -> Result<()>;

    /// grad_x[i] = grad_out[i] · f′; `saved` is x or f(x), as [`UnaryFunction::derivative_needs`] says (any view where it says nothing).
    fn unary_backward(
        &self,
        function: UnaryFunction,
        saved: View<'_>,
        grad_out: View<'_>,
        grad_x: ViewMut<'_>,
    ) -> Result<()>;

    /// out = f(left, right), broadcast.
    fn binary(
        &self,
        function: BinaryFunction,
        broadcast: &Broadcast,
        left: View<'_>,
        right: View<'_>,
        out: ViewMut<'_>,
    ) -> Result<()>;

    /// out[i] = a · x[i] + b · out[i]: the one primitive that updates in place; b = 1 accumulates.
    fn scale_and_add(&self, a: f64, x: View<'_>, b: f64, out: ViewMut<'_>) -> Result<()>;

    // ---------------------------------------------------------------- along an axis

    /// out[o, i] = reduction over a of x[o, a, i]. An empty axis: sum 0, mean NaN, maximum −∞, minimum +∞.
    fn reduce(&self, reduction: Reduction, extent: AxisExtent, x: View<'_>, out: ViewMut<'_>) -> Result<()>;

    /// grad_x of maximum or minimum: grad_out at the first position that attains `out`, 0 elsewhere.
    fn extremum_backward(
        &self,
        extent: AxisExtent,
        x: View<'_>,
        out: View<'_>,
        grad_out: View<'_>,
        grad_x: ViewMut<'_>,
    ) -> Result<()>;

    /// out[o, a, i] = factor · x[o, i]: the adjoint of a sum (factor 1) or a mean (1/axis).
    fn expand(&self, factor: f64, extent: AxisExtent, x: View<'_>, out: ViewMut<'_>) -> Result<()>;

    /// out[o, i] = m + ln Σ_a exp(x[o, a, i] − m), m = max_a x. All −∞ gives −∞.
    fn log_sum_exp(&self, extent: AxisExtent, x: View<'_>, out: ViewMut<'_>) -> Result<()>;

    /// grad_x[o, a, i] = grad_out[o, i] · exp(x[o, a, i] − out[o, i]); 0 where out is −∞.
    fn log_sum_exp_backward(
        &self,
        extent: AxisExtent,
        x: View<'_>,
        out: View<'_>,
        grad_out: View<'_>,
        grad_x: ViewMut<'_>,
    ) -> Result<()>;

    /// out[o, a, i] = exp(x[o, a, i]) / Σ_a exp(x[o, a, i]), without overflow.
    fn softmax(&self, extent: AxisExtent, x: View<'_>, out: ViewMut<'_>) -> Result<()>;

    /// grad_x = out · (grad_out − Σ_a out · grad_out).
    fn softmax_backward(
        &self,
        extent: AxisExtent,
        out: View<'_>,
        grad_out: View<'_>,
        grad_x: ViewMut<'_>,
    ) -> Result<()>;

    /// out[o, a, i] = x[o, a, i] − log_sum_exp_a x.
    fn log_softmax(&self, extent: AxisExtent, x: View<'_>, out: ViewMut<'_>) -> Result<()>;

    /// grad_x = grad_out − exp(out) · Σ_a grad_out.
    fn log_softmax_backward(
        &self,
        extent: AxisExtent,
        out: View<'_>,
        grad_out: View<'_>,
        grad_x: ViewMut<'_>,
    ) -> Result<()>;

    // ---------------------------------------------------------------- matrix products and normalisation

    /// out = op(left) · op(right), plus bias[column] to each row if there is one.
    fn matmul(
        &self,
        shape: MatmulShape,
        left: View<'_>,
        right: View<'_>,
        bias: Option<View<'_>>,
        out: ViewMut<'_>,
    ) -> Result<()>;

    /// out += op(left) · op(right).
    fn matmul_accumulate(&self, shape: MatmulShape, left: View<'_>, right: View<'_>, out: ViewMut<'_>) -> Result<()>;

    /// mean[c] and variance[c] (biased, two passes) of each column of x.
    fn column_statistics(&self, matrix: Matrix, x: View<'_>, mean: ViewMut<'_>, variance: ViewMut<'_>) -> Result<()>;

    /// Batch statistics and normalisation at once: writes mean, variance and
    /// out[r, c] = activation(scale[c] · (x[r, c] − mean[c]) / √(variance[c] + ε) + shift[c]), and moves the running averages.
    fn batch_norm(
        &self,
        norm: &BatchNorm,
        x: View<'_>,
        scale: View<'_>,
        shift: View<'_>,
        statistics: BatchStatistics<'_>,
        out: ViewMut<'_>,
    ) -> Result<()>;

    /// Adjoints of [`Backend::batch_norm`], the statistics being functions of x. With x̂ = (x − mean)/√(variance + ε),
    /// a = scale·x̂ + shift and g = grad_out · activation′(a), over the n rows:
    ///
    /// grad_shift = Σ g,  grad_scale = Σ g·x̂,  grad_x = scale/√(variance + ε) · (g − grad_shift/n − x̂·grad_scale/n)
    fn batch_norm_backward(
        &self,
        norm: &BatchNorm,
        x: View<'_>,
        vectors: BatchNormVectors<'_>,
        grad_out: View<'_>,
        grad_x: ViewMut<'_>,
        grad_scale: ViewMut<'_>,
        grad_shift: ViewMut<'_>,
    ) -> Result<()>;

    /// Normalisation with given statistics: the formula of [`Backend::batch_norm`].
    fn normalise(&self, norm: &BatchNorm, x: View<'_>, vectors: BatchNormVectors<'_>, out: ViewMut<'_>) -> Result<()>;

    /// A product that is normalised at once: out = [`Backend::normalise`] of op(left) · op(right), whose sizes `norm.matrix` repeats.
    fn matmul_normalise(
        &self,
        shape: MatmulShape,
        left: View<'_>,
        right: View<'_>,
        norm: &BatchNorm,
        vectors: BatchNormVectors<'_>,
        out: ViewMut<'_>,
    ) -> Result<()>;

    /// Adjoints of [`Backend::normalise`], the statistics being constants: grad_x = g · scale/√(variance + ε), the sums as above.
    fn normalise_backward(
        &self,
        norm: &BatchNorm,
        x: View<'_>,
        vectors: BatchNormVectors<'_>,
        grad_out: View<'_>,
        grad_x: ViewMut<'_>,
        grad_scale: ViewMut<'_>,
        grad_shift: ViewMut<'_>,
    ) -> Result<()>;

    // ---------------------------------------------------------------- distributions

    /// Splits the joined product of a Gaussian head, `x` of [rows, 2·columns] (`matrix` is one half):
    /// mean = left half, variance = softplus(right half) + floor.
    fn gaussian_head(
        &self,
        matrix: Matrix,
        floor: f64,
        x: View<'_>,
        mean: ViewMut<'_>,
        variance: ViewMut<'_>,
    ) -> Result<()>;

    /// grad_x = [grad_mean | grad_variance · sigmoid(right half)]; a missing adjoint counts as 0.
    fn gaussian_head_backward(
        &self,
        matrix: Matrix,
        x: View<'_>,
        grad_mean: Option<View<'_>>,
        grad_variance: Option<View<'_>>,
        grad_x: ViewMut<'_>,
    ) -> Result<()>;

    /// out = mean + √variance · noise.
    fn reparameterise(&self, q: GaussianView<'_>, noise: View<'_>, out: ViewMut<'_>) -> Result<()>;

    /// grad_mean = grad_out;  grad_variance = grad_out · noise / (2√variance); with `add`, added to what `grad` holds.
    fn reparameterise_backward(
        &self,
        variance: View<'_>,
        noise: View<'_>,
        grad_out: View<'_>,
        add: bool,
        grad: GaussianGradient<'_>,
    ) -> Result<()>;

    /// out[r] = Σ_c −½[ln 2π + ln variance + (x − mean)²/variance], with row r div `repeat` of x for row r of the Gaussian.
    fn gaussian_log_prob(
        &self,
        matrix: Matrix,
        repeat: usize,
        x: View<'_>,
        p: GaussianView<'_>,
        out: ViewMut<'_>,
    ) -> Result<()>;

    /// With d = x − mean: grad_x = −g·d/variance (summed over the repeats), grad_mean = g·d/variance,
    /// grad_variance = g·(d²/variance − 1)/(2·variance), g = grad_out[r].
    fn gaussian_log_prob_backward(
        &self,
        matrix: Matrix,
        repeat: usize,
        x: View<'_>,
        p: GaussianView<'_>,
        grad_out: View<'_>,
        grad_x: Option<ViewMut<'_>>,
        grad_p: GaussianGradient<'_>,
    ) -> Result<()>;

    /// out[r] = Σ_c −½[ln 2π + x²].
    fn standard_normal_log_prob(&self, matrix: Matrix, x: View<'_>, out: ViewMut<'_>) -> Result<()>;

    /// grad_x[r, c] = −grad_out[r] · x[r, c].
    fn standard_normal_log_prob_backward(
        &self,
        matrix: Matrix,
        x: View<'_>,
        grad_out: View<'_>,
        grad_x: ViewMut<'_>,
    ) -> Result<()>;

    /// out[r] = KL(q‖p) = ½ Σ_c [ln vp − ln vq + (vq + (mq − mp)²)/vp − 1]; `p` None is the standard normal.
    fn gaussian_kl(
        &self,
        matrix: Matrix,
        q: GaussianView<'_>,
        p: Option<GaussianView<'_>>,
        out: ViewMut<'_>,
    ) -> Result<()>;

    /// With d = mq − mp: grad_mq = g·d/vp, grad_vq = ½g(1/vp − 1/vq), grad_mp = −g·d/vp, grad_vp = ½g(1/vp − (vq + d²)/vp²).
    fn gaussian_kl_backward(
        &self,
        matrix: Matrix,
        q: GaussianView<'_>,
        p: Option<GaussianView<'_>>,
        grad_out: View<'_>,
        grad_q: GaussianGradient<'_>,
        grad_p: GaussianGradient<'_>,
    ) -> Result<()>;

    /// out[r] = log q(z) − log p(z) = Σ_c ½[ln(vp/vq) + (z − mp)²/vp − (z − mq)²/vq]; `p` None is the standard normal.
    fn gaussian_log_ratio(
        &self,
        matrix: Matrix,
        z: View<'_>,
        q: GaussianView<'_>,
        p: Option<GaussianView<'_>>,
        out: ViewMut<'_>,
    ) -> Result<()>;

    /// With dq = (z − mq)/vq and dp = (z − mp)/vp: grad_z = g(dp − dq), grad_mq = g·dq, grad_vq = ½g(dq² − 1/vq),
    /// grad_mp = −g·dp, grad_vp = ½g(1/vp − dp²), g = grad_out[r].
    fn gaussian_log_ratio_backward(
        &self,
        matrix: Matrix,
        z: View<'_>,
        q: GaussianView<'_>,
        p: Option<GaussianView<'_>>,
        grad_out: View<'_>,
        grad_z: Option<ViewMut<'_>>,
        grad_q: GaussianGradient<'_>,
        grad_p: GaussianGradient<'_>,
    ) -> Result<()>;

    /// Precision-weighted merge (Sønderby 2016, eqs 17 and 18), with S = v₁ + v₂: variance = v₁v₂/S, mean = (m₁v₂ + m₂v₁)/S.
    fn merge(
        &self,
        first: GaussianView<'_>,
        second: GaussianView<'_>,
        mean: ViewMut<'_>,
        variance: ViewMut<'_>,
    ) -> Result<()>;

    /// grad_m₁ = gₘv₂/S, grad_v₁ = gₘ·v₂(m₂ − m₁)/S² + gᵥ(v₂/S)², and the same with 1 and 2 exchanged; a missing adjoint counts as 0.
    fn merge_backward(
        &self,
        first: GaussianView<'_>,
        second: GaussianView<'_>,
        grad_mean: Option<View<'_>>,
        grad_variance: Option<View<'_>>,
        grad_first: GaussianGradient<'_>,
        grad_second: GaussianGradient<'_>,
    ) -> Result<()>;

    /// out[r] = Σ_c x·l − softplus(l) for logits l, with row r div `repeat` of x for row r of the logits.
    fn bernoulli_log_prob(
        &self,
        matrix: Matrix,
        repeat: usize,
        x: View<'_>,
        logits: View<'_>,
        out: ViewMut<'_>,
    ) -> Result<()>;

    /// grad_logits[r, c] = grad_out[r] · (x − sigmoid(l)).
    fn bernoulli_log_prob_backward(
        &self,
        matrix: Matrix,
        repeat: usize,
        x: View<'_>,
        logits: View<'_>,
        grad_out: View<'_>,
        grad_logits: ViewMut<'_>,
    ) -> Result<()>;

    /// out[r] = log_sum_exp_c logits[r, c] − logits[r, labels[r]]; a label outside the columns is refused.
    fn cross_entropy(&self, matrix: Matrix, logits: View<'_>, labels: View<'_>, out: ViewMut<'_>) -> Result<()>;

    /// grad_logits[r, c] = grad_out[r] · (softmax(logits)[r, c] − [c = labels[r]]).
    fn cross_entropy_backward(
        &self,
        matrix: Matrix,
        logits: View<'_>,
        labels: View<'_>,
        grad_out: View<'_>,
        grad_logits: ViewMut<'_>,
    ) -> Result<()>;

    // ---------------------------------------------------------------- random numbers

    /// out[i] = uniform on (0, 1), element i of the address.
    fn fill_uniform(&self, address: Address, out: ViewMut<'_>) -> Result<()>;

    /// out[i] = standard normal, element i of the address (Box and Muller over its words).
    fn fill_normal(&self, address: Address, out: ViewMut<'_>) -> Result<()>;

    /// out[r, c] = standard normal, addressed by the row's example and sample, so that it doesn't
    /// depend on the rows beside it; see [`RowNoise`].
    fn fill_normal_rows(&self, noise: RowNoise, out: ViewMut<'_>) -> Result<()>;

    /// out[i] = 1 with probability x[i], else 0: 1 where word < x[i] · 2³².
    fn bernoulli(&self, address: Address, x: View<'_>, out: ViewMut<'_>) -> Result<()>;

    /// out[i] = x[i]/(1 − rate) where element i of the address is kept (word ≥ rate · 2³²), else 0. Its own adjoint.
    fn dropout(&self, address: Address, rate: f64, x: View<'_>, out: ViewMut<'_>) -> Result<()>;

    // ---------------------------------------------------------------- optimisers

    /// out[0] = Σ x[i]², summed in f64.
    fn sum_of_squares(&self, x: View<'_>, out: ViewMut<'_>) -> Result<()>;

    /// Clips a gradient in place; see [`Clipping`].
    fn clip_gradient(&self, clipping: Clipping<'_>, gradient: ViewMut<'_>) -> Result<()>;

    /// See [`AdamStep`]; the three are updated in place, as if the gradient had been clipped before. The gradient stays as it is.
    fn adam(
        &self,
        step: AdamStep,
        clipping: Option<Clipping<'_>>,
        gradient: View<'_>,
        value: ViewMut<'_>,
        first_moment: ViewMut<'_>,
        second_moment: ViewMut<'_>,
    ) -> Result<()>;

    /// See [`AdamaxStep`]; the three are updated in place.
    fn adamax(
        &self,
        step: AdamaxStep,
        gradient: View<'_>,
        value: ViewMut<'_>,
        first_moment: ViewMut<'_>,
        infinity_norm: ViewMut<'_>,
    ) -> Result<()>;

    /// Gradient descent with momentum μ: velocity ← μ·velocity + g;  value ← value − rate·velocity.
    fn sgd(
        &self,
        learning_rate: f64,
        momentum: f64,
        gradient: View<'_>,
        value: ViewMut<'_>,
        velocity: ViewMut<'_>,
    ) -> Result<()>;
}

//! Declarations: batch and weight normalisation.

use crate::Result;
use crate::function::UnaryFunction;
use crate::shape::{AxisExtent, MatmulShape, Matrix, Precision};
use crate::view::{View, ViewMut};

/// Batch normalisation of the columns of a matrix, followed by an activation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNorm {
    /// Sizes of the matrix; the statistics are one for each column.
    pub matrix: Matrix,
    /// Added to the variance inside the square root.
    pub epsilon: f64,
    /// Applied to the normalised, scaled and shifted value.
    pub activation: UnaryFunction,
}

/// Batch normalisation of what a Gaussian head is made of, `[rows, 2·units]`: the columns of the
/// mean, then those of the variance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormalisedHead {
    /// Sizes of one half, which are the Gaussian's.
    pub matrix: Matrix,
    /// Added to the variance of a column inside the square root.
    pub epsilon: f64,
    /// Added to the variance of the Gaussian.
    pub floor: f64,
}

/// The per-column vectors of a normalisation:
/// `y = activation(scale · (x − mean) / √(variance + ε) + shift)`.
#[derive(Clone, Copy, Debug)]
pub struct BatchNormVectors<'a> {
    /// Mean of each column.
    pub mean: View<'a>,
    /// Variance of each column (biased: divided by the number of rows).
    pub variance: View<'a>,
    /// Trainable factor of each column (gamma).
    pub scale: View<'a>,
    /// Trainable offset of each column (beta).
    pub shift: View<'a>,
}

/// Where batch normalisation puts what it finds out about a batch.
#[derive(Debug)]
pub struct BatchStatistics<'a> {
    /// Mean of each column.
    pub mean: ViewMut<'a>,
    /// Variance of each column (biased: divided by the number of rows).
    pub variance: ViewMut<'a>,
    /// Averages over batches that move with this one, if somebody keeps them.
    pub running: Option<RunningStatistics<'a>>,
}

/// Averages over batches, updated in place: average ← (1 − weight) · average + weight · batch.
#[derive(Debug)]
pub struct RunningStatistics<'a> {
    /// Average mean of each column.
    pub mean: ViewMut<'a>,
    /// Average variance of each column.
    pub variance: ViewMut<'a>,
    /// Weight of the batch; 1 replaces the averages, whatever they are.
    pub weight: f64,
}

/// The declarations of [`Normalisation`], given to the macro `$consumer`; see `backend.rs`.
macro_rules! normalisation {
    ($consumer:ident!) => {
        $consumer! {
            /// Batch normalisation of columns, and weight normalisation of channels.
            trait Normalisation;

            /// `mean[c]` and `variance[c]` (biased, two passes) of each column of x.
            norm::column_statistics(
                matrix: Matrix, x: View<'_>, mean: ViewMut<'_>, variance: ViewMut<'_>
            );

            /// Batch statistics and normalisation at once: writes mean, variance and
            /// `out[r, c] = activation(scale[c] · (x[r, c] − mean[c]) / √(variance[c] + ε) +
            /// shift[c])`, and moves the running averages.
            norm::batch_norm(
                norm: &BatchNorm, x: View<'_>, scale: View<'_>, shift: View<'_>,
                statistics: BatchStatistics<'_>, out: ViewMut<'_>
            );

            /// Adjoints of [`Normalisation::batch_norm`], the statistics being functions of x. With
            /// `x̂ = (x − mean)/√(variance + ε)`, `a = scale·x̂ + shift` and
            /// `g = grad_out · activation′(a)`, over the n rows: `grad_shift = Σ g`,
            /// `grad_scale = Σ g·x̂`,
            /// `grad_x = scale/√(variance + ε) · (g − grad_shift/n − x̂·grad_scale/n)`.
            norm::batch_norm_backward(
                norm: &BatchNorm, x: View<'_>, vectors: BatchNormVectors<'_>,
                grad_out: View<'_>, grad_x: ViewMut<'_>, grad_scale: ViewMut<'_>,
                grad_shift: ViewMut<'_>
            );

            /// Batch statistics, normalisation and a Gaussian head at once: x is of
            /// `[rows, 2·units]`, and with `a[r, c] = scale[c] · (x[r, c] − statistics.mean[c]) /
            /// √(statistics.variance[c] + ε) + shift[c]`, `mean = left half of a` and
            /// `variance = softplus(right half of a) + floor`; moves the running averages. What
            /// [`Normalisation::batch_norm`] and [`gaussian_head`](super::Gaussians::gaussian_head)
            /// give, without a in memory.
            norm::batch_norm_head(
                head: &NormalisedHead, x: View<'_>, scale: View<'_>, shift: View<'_>,
                statistics: BatchStatistics<'_>, mean: ViewMut<'_>, variance: ViewMut<'_>
            );

            /// Adjoints of [`Normalisation::batch_norm_head`]: those of
            /// [`Normalisation::batch_norm_backward`] with
            /// `g = [grad_mean | grad_variance · sigmoid(right half of a)]`; a missing adjoint
            /// counts as 0.
            norm::batch_norm_head_backward(
                head: &NormalisedHead, x: View<'_>, vectors: BatchNormVectors<'_>,
                grad_mean: Option<View<'_>>, grad_variance: Option<View<'_>>,
                grad_x: ViewMut<'_>, grad_scale: ViewMut<'_>, grad_shift: ViewMut<'_>
            );

            /// Normalisation with given statistics: the formula of [`Normalisation::batch_norm`].
            norm::normalise(
                norm: &BatchNorm, x: View<'_>, vectors: BatchNormVectors<'_>, out: ViewMut<'_>
            );

            /// A product that is normalised at once: out = [`Normalisation::normalise`] of op(left)
            /// · op(right), whose sizes `norm.matrix` repeats.
            norm::matmul_normalise(
                shape: MatmulShape, precision: Precision, left: View<'_>, right: View<'_>,
                norm: &BatchNorm, vectors: BatchNormVectors<'_>, out: ViewMut<'_>
            );

            /// Adjoints of [`Normalisation::normalise`], the statistics being constants:
            /// `grad_x = g · scale/√(variance + ε)`, the sums as above.
            norm::normalise_backward(
                norm: &BatchNorm, x: View<'_>, vectors: BatchNormVectors<'_>,
                grad_out: View<'_>, grad_x: ViewMut<'_>, grad_scale: ViewMut<'_>,
                grad_shift: ViewMut<'_>
            );

            /// Weight normalisation (Salimans and Kingma 2016) of the channels along an axis: with
            /// `n[c] = √(Σ_{o,i} v[o, c, i]²)`, `out[o, c, i] = gain[c]/n[c] · v[o, c, i]`. A
            /// channel of zeros has no direction and gives NaN.
            weight_norm::weight_norm(
                extent: AxisExtent, v: View<'_>, gain: View<'_>, out: ViewMut<'_>
            );

            /// Adjoints of [`Normalisation::weight_norm`]:
            /// `grad_gain[c] = Σ_{o,i} grad_out·v / n[c]`,
            /// `grad_v[o, c, i] = gain[c]/n[c] ·
            /// (grad_out[o, c, i] − grad_gain[c] · v[o, c, i]/n[c])`.
            weight_norm::weight_norm_backward(
                extent: AxisExtent, v: View<'_>, gain: View<'_>, grad_out: View<'_>,
                grad_v: Option<ViewMut<'_>>, grad_gain: Option<ViewMut<'_>>
            );
        }
    };
}

pub(crate) use normalisation;

normalisation!(declare_trait!);

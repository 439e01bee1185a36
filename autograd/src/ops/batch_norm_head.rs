//! A Gaussian head whose columns are batch-normalised, in one pass over memory each way.

use rung_kernels::backend::{
    BatchNormVectors, BatchStatistics, Matrix, NormalisedHead, RunningStatistics,
};
use rung_kernels::{Error, Result, Shape, ViewMut};
use smallvec::smallvec;

use super::batch_norm::{FrozenStatistics, check, with_all_gradients};
use super::draw;
use super::gaussian::Gaussian;
use crate::adjoint::Adjoint;
use crate::op::{Declaration, Operation, Positions, Refused, Saves, Shapes, apply, apply_with};
use crate::tensor::Tensor;

/// x of [rows, 2n] is normalised with the statistics of this batch: [a | b] = scale · x̂ + shift,
/// x̂ = (x − m)/√(v + ε). Then mean = a and variance = softplus(b) + floor. The third output are
/// the statistics, [2, 2n]: m over v.
///
/// With g = [grad_mean | grad_variance · sigmoid(b)], over the rows: grad_shift = Σ g,
/// grad_scale = Σ g·x̂,
/// grad_x = scale/√(v + ε) · (g − grad_shift/rows − x̂ · grad_scale/rows).
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchNormHead {
    epsilon: f64,
    floor: f64,
}

impl BatchNormHead {
    fn head(&self, x: &Shape) -> NormalisedHead {
        let (rows, columns) = x.as_matrix();
        let matrix = Matrix { rows, columns: columns / 2 };
        NormalisedHead { matrix, epsilon: self.epsilon, floor: self.floor }
    }

    fn forward_with(
        &self,
        inputs: &[&Tensor],
        outputs: &mut [ViewMut<'_>],
        running: Option<RunningStatistics<'_>>,
    ) -> Result<()> {
        let bug = || Error::argument(self.name(), "bug: three outputs expected; please report it");
        let [mean, variance, statistics] = outputs else { return Err(bug()) };
        let columns = inputs[0].shape.last();
        let rows = statistics.reborrow().disjoint_ranges([0..columns, columns..2 * columns]);
        let [mean_of_batch, variance_of_batch] = rows.ok_or_else(bug)?;
        let statistics =
            BatchStatistics { mean: mean_of_batch, variance: variance_of_batch, running };
        inputs[0].device.batch_norm_head(
            &self.head(&inputs[0].shape),
            inputs[0].view(),
            inputs[1].view(),
            inputs[2].view(),
            statistics,
            mean.reborrow(),
            variance.reborrow(),
        )
    }
}

impl Operation for BatchNormHead {
    fn name(&self) -> &'static str {
        "batch_norm_head"
    }

    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes> {
        let x = check(self.name(), inputs, &["x", "scale", "shift"])?;
        let (rows, columns) = x.as_matrix();
        if rows == 0 {
            let rule = "a batch without rows has no statistics";
            return Err(Error::shape(self.name(), rule, &[("x", x)]));
        }
        if !columns.is_multiple_of(2) {
            return Err(Error::shape(self.name(), "x must be [batch, 2 · units]", &[("x", x)]));
        }
        let half = Shape::from([rows, columns / 2]);
        Ok(smallvec![half, half, Shape::from([2, columns])])
    }

    fn forward(&self, inputs: &[&Tensor], outputs: &mut [ViewMut<'_>]) -> Result<()> {
        self.forward_with(inputs, outputs, None)
    }

    fn saves(&self) -> Saves {
        Saves { inputs: Positions::of([0, 1, 2]), outputs: Positions::of([2]) }
    }

    fn tracked_outputs(&self, _outputs: usize) -> usize {
        2
    }

    fn backward(&self, adjoint: &mut Adjoint<'_>) -> Result<()> {
        let [x, scale, shift, statistics] = [0, 1, 2, 5].map(|i| adjoint.saved(i));
        let (head, columns) = (self.head(&x.shape), x.shape.last());
        let vectors = BatchNormVectors {
            mean: statistics.view().range(0..columns),
            variance: statistics.view().range(columns..2 * columns),
            scale: scale.view(),
            shift: shift.view(),
        };
        let grads = [0, 1].map(|i| adjoint.grad_out_of(i));
        let [grad_mean, grad_variance] =
            grads.each_ref().map(|grad| grad.as_ref().map(Tensor::view));
        let device = adjoint.device();
        with_all_gradients(adjoint, &x, &scale, |grad_x, grad_scale, grad_shift| {
            device.batch_norm_head_backward(
                &head,
                x.view(),
                vectors,
                grad_mean,
                grad_variance,
                grad_x,
                grad_scale,
                grad_shift,
            )
        })
    }

    fn declarations() -> Vec<Declaration> {
        vec![Declaration {
            name: "batch_norm_head",
            case: |rng| {
                use rand::RngExt;
                let (rows, columns) = (draw::size(rng).max(3), 2 * draw::size(rng));
                let which = rng.random_range(0..3);
                let inputs = vec![
                    draw::uniform(rng, [rows, columns], -2.0, 2.0),
                    draw::signed(rng, [columns], 0.4, 1.6),
                    draw::uniform(rng, [columns], -1.0, 1.0),
                ];
                draw::case_of_many("batch_norm_head", inputs, move |x| {
                    let Gaussian { mean, variance } =
                        x[0].batch_norm_head(&x[1], &x[2], 1e-3, 1e-5)?;
                    Ok(match which {
                        0 => vec![mean],
                        1 => vec![variance],
                        _ => vec![mean, variance],
                    })
                })
            },
            refused: || {
                let odd = |device: &rung_kernels::Device| {
                    let x = Tensor::from_f64(device, &[0.0; 6], [2, 3])?;
                    let vector = Tensor::from_f64(device, &[0.0; 3], [3])?;
                    x.batch_norm_head(&vector, &vector, 1e-5, 0.0).map(drop)
                };
                let short = |device: &rung_kernels::Device| {
                    let x = Tensor::from_f64(device, &[0.0; 8], [2, 4])?;
                    let vector = Tensor::from_f64(device, &[0.0; 2], [2])?;
                    x.batch_norm_head(&vector, &vector, 1e-5, 0.0).map(drop)
                };
                vec![
                    Refused { call: odd, message: "x must be [batch, 2 · units]" },
                    Refused { call: short, message: "each vector [units]" },
                ]
            },
        }]
    }
}

impl Tensor {
    /// Batch normalisation of each column, and the Gaussian head of what it gives, in one pass over
    /// memory each way: the Gaussian of [`Tensor::gaussian_head`] of [`Tensor::batch_norm`].
    ///
    /// With `a[r, c] = scale[c] · (x[r, c] − m[c]) / √(v[c] + epsilon) + shift[c]`, m and v being
    /// mean and variance of the columns: mean = left half of a, variance = softplus(right half of
    /// a) + floor.
    ///
    /// | tensor | shape |
    /// |---|---|
    /// | `self` | `[batch, 2 · units]` |
    /// | `scale`, `shift` | `[2 · units]` |
    /// | mean, variance | `[batch, units]` |
    ///
    /// # Errors
    /// `Shape` if the shapes are others or there are no rows.
    pub fn batch_norm_head(
        &self,
        scale: &Self,
        shift: &Self,
        epsilon: f64,
        floor: f64,
    ) -> Result<Gaussian> {
        Gaussian::from_outputs(apply(BatchNormHead { epsilon, floor }, &[self, scale, shift])?)
    }

    /// [`Tensor::batch_norm_head`], which moves running averages towards the statistics of the
    /// batch in the same pass: average ← (1 − weight) · average + weight · batch.
    ///
    /// # Errors
    /// As [`Tensor::batch_norm_head`]; `Argument` if the averages have other lengths; `Shared`
    /// while anything else holds their memory.
    pub fn batch_norm_head_averaging(
        &self,
        scale: &Self,
        shift: &Self,
        epsilon: f64,
        floor: f64,
        averages: &mut FrozenStatistics,
        weight: f64,
    ) -> Result<Gaussian> {
        let op = BatchNormHead { epsilon, floor };
        let running = averages.running(op.name(), weight)?;
        let forward = |inputs: &[&Self], outputs: &mut [ViewMut<'_>]| {
            op.forward_with(inputs, outputs, Some(running))
        };
        Gaussian::from_outputs(apply_with(op, &[self, scale, shift], forward)?)
    }
}

//! Batch normalisation of the columns of a matrix, fused with the activation that follows it.

use rung_kernels::backend::{self, BatchNormVectors, BatchStatistics, Matrix, RunningStatistics};
use rung_kernels::{Error, Result, Shape, UnaryFunction, ViewMut};
use smallvec::smallvec;

use super::draw;
use crate::adjoint::Adjoint;
use crate::op::{
    CaseInput, Declaration, Operation, Outputs, Positions, Refused, Saves, Shapes, apply,
    apply_one, apply_with,
};
use crate::tensor::Tensor;

/// out = activation(scale · x̂ + shift), x̂ = (x − mean)/√(variance + ε) with the statistics of
/// this batch.
///
/// With a = scale·x̂ + shift and g = grad_out · activation′(a), over n rows: grad_shift = Σ g,
/// grad_scale = Σ g·x̂, grad_x = scale/√(variance + ε) · (g − grad_shift/n − x̂ · grad_scale/n).
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchNorm {
    epsilon: f64,
    activation: UnaryFunction,
}

/// The same with given statistics, which are constants: grad_x = scale/√(variance + ε) · g.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Normalise {
    epsilon: f64,
    activation: UnaryFunction,
}

/// What batch normalisation gives: the result, and the statistics it used (which are not tracked).
#[derive(Clone, Debug)]
pub struct BatchNormOutput {
    /// The normalised and activated batch.
    pub out: Tensor,
    /// Mean of each column.
    pub mean: Tensor,
    /// Variance of each column, divided by the number of rows.
    pub variance: Tensor,
}

impl BatchNormOutput {
    fn from_outputs(outputs: Outputs) -> Result<Self> {
        let mut outputs = outputs.into_iter();
        match (outputs.next(), outputs.next(), outputs.next()) {
            (Some(out), Some(mean), Some(variance)) => Ok(Self { out, mean, variance }),
            _ => {
                Err(Error::argument("batch_norm", "bug: three outputs expected; please report it"))
            }
        }
    }
}

/// Statistics that do not depend on the batch: running averages, or those of a whole data set.
#[derive(Clone, Debug)]
pub struct FrozenStatistics {
    /// Mean of each column.
    pub mean: Tensor,
    /// Variance of each column.
    pub variance: Tensor,
}

impl FrozenStatistics {
    /// The statistics as averages that move by `weight`.
    pub(super) fn running(
        &mut self,
        operation: &'static str,
        weight: f64,
    ) -> Result<RunningStatistics<'_>> {
        let Self { mean, variance } = self;
        let (mean, variance) = (mean.view_mut(operation)?, variance.view_mut(operation)?);
        Ok(RunningStatistics { mean, variance, weight })
    }
}

pub(super) fn matrix(shape: &Shape) -> Matrix {
    let (rows, columns) = shape.as_matrix();
    Matrix { rows, columns }
}

/// Checks a matrix and the vectors that go with its columns.
pub(super) fn check(
    operation: &'static str,
    inputs: &[&Tensor],
    names: &[&'static str],
) -> Result<Shape> {
    let x = inputs[0].shape;
    let vectors_fit = inputs[1..].iter().all(|vector| vector.shape.sizes() == [x.last()]);
    if x.rank() == 2 && vectors_fit {
        return Ok(x);
    }
    let shapes: Vec<_> =
        names.iter().copied().zip(inputs.iter().map(|input| input.shape)).collect();
    Err(Error::shape(operation, "x must be [batch, units] and each vector [units]", &shapes))
}

impl BatchNorm {
    fn forward_with(
        &self,
        inputs: &[&Tensor],
        outputs: &mut [ViewMut<'_>],
        running: Option<RunningStatistics<'_>>,
    ) -> Result<()> {
        let [out, mean, variance] = outputs else {
            return Err(Error::argument(self.name(), "bug: three outputs expected"));
        };
        let norm = backend::BatchNorm {
            matrix: matrix(&inputs[0].shape),
            epsilon: self.epsilon,
            activation: self.activation,
        };
        let (x, scale, shift) = (inputs[0].view(), inputs[1].view(), inputs[2].view());
        let statistics =
            BatchStatistics { mean: mean.reborrow(), variance: variance.reborrow(), running };
        inputs[0].device.batch_norm(&norm, x, scale, shift, statistics, out.reborrow())
    }
}

impl Operation for BatchNorm {
    fn name(&self) -> &'static str {
        "batch_norm"
    }

    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes> {
        let x = check(self.name(), inputs, &["x", "scale", "shift"])?;
        if x.sizes()[0] == 0 {
            return Err(Error::shape(
                self.name(),
                "a batch without rows has no statistics",
                &[("x", x)],
            ));
        }
        let vector = Shape::from([x.last()]);
        Ok(smallvec![x, vector, vector])
    }

    fn forward(&self, inputs: &[&Tensor], outputs: &mut [ViewMut<'_>]) -> Result<()> {
        self.forward_with(inputs, outputs, None)
    }

    fn saves(&self) -> Saves {
        Saves { inputs: Positions::of([0, 1, 2]), outputs: Positions::of([1, 2]) }
    }

    fn tracked_outputs(&self, _outputs: usize) -> usize {
        1
    }

    fn backward(&self, adjoint: &mut Adjoint<'_>) -> Result<()> {
        let (x, scale, shift) = (adjoint.saved(0), adjoint.saved(1), adjoint.saved(2));
        let (mean, variance) = (adjoint.saved(4), adjoint.saved(5));
        let norm = backend::BatchNorm {
            matrix: matrix(&x.shape),
            epsilon: self.epsilon,
            activation: self.activation,
        };
        let vectors = BatchNormVectors {
            mean: mean.view(),
            variance: variance.view(),
            scale: scale.view(),
            shift: shift.view(),
        };
        let (device, grad_out) = (adjoint.device(), adjoint.grad_out());
        with_all_gradients(adjoint, &x, &scale, |grad_x, grad_scale, grad_shift| {
            device.batch_norm_backward(
                &norm,
                x.view(),
                vectors,
                grad_out.view(),
                grad_x,
                grad_scale,
                grad_shift,
            )
        })
    }

    fn declarations() -> Vec<Declaration> {
        vec![Declaration {
            name: "batch_norm",
            case: |rng| {
                let (inputs, activation) = example(rng);
                draw::case(format!("batch_norm with {activation:?}"), inputs, move |x| {
                    Ok(x[0].batch_norm(&x[1], &x[2], 1e-3, activation)?.out)
                })
            },
            refused: || {
                let call = |device: &rung_kernels::Device| {
                    let (x, vector) = (
                        Tensor::from_f64(device, &[0.0; 6], [2, 3])?,
                        Tensor::from_f64(device, &[0.0; 2], [2])?,
                    );
                    x.batch_norm(&vector, &vector, 1e-5, UnaryFunction::Identity).map(drop)
                };
                vec![Refused { call, message: "each vector [units]" }]
            },
        }]
    }
}

impl Operation for Normalise {
    fn name(&self) -> &'static str {
        "normalise"
    }

    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes> {
        Ok(smallvec![check(self.name(), inputs, &["x", "scale", "shift", "mean", "variance"])?])
    }

    fn forward(&self, inputs: &[&Tensor], outputs: &mut [ViewMut<'_>]) -> Result<()> {
        let norm = backend::BatchNorm {
            matrix: matrix(&inputs[0].shape),
            epsilon: self.epsilon,
            activation: self.activation,
        };
        let [scale, shift, mean, variance] = [1, 2, 3, 4].map(|i| inputs[i].view());
        let vectors = BatchNormVectors { mean, variance, scale, shift };
        inputs[0].device.normalise(&norm, inputs[0].view(), vectors, outputs[0].reborrow())
    }

    fn saves(&self) -> Saves {
        Saves { inputs: Positions::of([0, 1, 2, 3, 4]), outputs: Positions::NONE }
    }

    fn backward(&self, adjoint: &mut Adjoint<'_>) -> Result<()> {
        let [x, scale, shift, mean, variance] = [0, 1, 2, 3, 4].map(|i| adjoint.saved(i));
        let norm = backend::BatchNorm {
            matrix: matrix(&x.shape),
            epsilon: self.epsilon,
            activation: self.activation,
        };
        let vectors = BatchNormVectors {
            mean: mean.view(),
            variance: variance.view(),
            scale: scale.view(),
            shift: shift.view(),
        };
        let (device, grad_out) = (adjoint.device(), adjoint.grad_out());
        with_all_gradients(adjoint, &x, &scale, |grad_x, grad_scale, grad_shift| {
            device.normalise_backward(
                &norm,
                x.view(),
                vectors,
                grad_out.view(),
                grad_x,
                grad_scale,
                grad_shift,
            )
        })
    }

    fn declarations() -> Vec<Declaration> {
        vec![Declaration {
            name: "normalise",
            case: |rng| {
                let (rows, columns) = (draw::size_or_zero(rng), draw::size(rng));
                let activation = smooth_activation(rng);
                let inputs = vec![
                    draw::uniform(rng, [rows, columns], -2.0, 2.0),
                    draw::signed(rng, [columns], 0.4, 1.6),
                    draw::uniform(rng, [columns], -1.0, 1.0),
                ];
                let (mean, variance) = (
                    draw::uniform(rng, [columns], -1.0, 1.0),
                    draw::uniform(rng, [columns], 0.3, 2.0),
                );
                draw::case(format!("normalise with {activation:?}"), inputs, move |x| {
                    let constant = |values: &[f64]| {
                        Tensor::from_values(x[0].device(), x[0].dtype(), values, [values.len()])
                    };
                    let statistics = FrozenStatistics {
                        mean: constant(&mean.values)?,
                        variance: constant(&variance.values)?,
                    };
                    x[0].normalise(&x[1], &x[2], &statistics, 1e-3, activation)
                })
            },
            refused: || {
                let call = |device: &rung_kernels::Device| {
                    let (x, vector) = (
                        Tensor::from_f64(device, &[0.0; 6], [2, 3])?,
                        Tensor::from_f64(device, &[0.0; 2], [2])?,
                    );
                    let statistics =
                        FrozenStatistics { mean: vector.clone(), variance: vector.clone() };
                    x.normalise(&vector, &vector, &statistics, 1e-5, UnaryFunction::Identity)
                        .map(drop)
                };
                vec![Refused { call, message: "each vector [units]" }]
            },
        }]
    }
}

/// A matrix, the scale and the shift of its columns, and an activation, for gradient checks.
pub(super) fn example(rng: &mut rung_kernels::rng::Philox) -> (Vec<CaseInput>, UnaryFunction) {
    let (rows, columns) = (draw::size(rng).max(3), draw::size(rng));
    let activation = smooth_activation(rng);
    let inputs = vec![
        draw::uniform(rng, [rows, columns], -2.0, 2.0),
        draw::signed(rng, [columns], 0.4, 1.6),
        draw::uniform(rng, [columns], -1.0, 1.0),
    ];
    (inputs, activation)
}

/// A smooth activation: kinks have tests of their own, and here the pre-activation cannot be kept
/// off them.
pub(super) fn smooth_activation(rng: &mut rung_kernels::rng::Philox) -> UnaryFunction {
    use rand::RngExt;
    [UnaryFunction::Identity, UnaryFunction::Tanh, UnaryFunction::Softplus, UnaryFunction::Sigmoid]
        [rng.random_range(0..4)]
}

/// Has `write` fill all three gradients in one pass; those that are not wanted go to memory that is
/// dropped.
pub(super) fn with_all_gradients(
    adjoint: &mut Adjoint<'_>,
    x: &Tensor,
    scale: &Tensor,
    write: impl FnOnce(ViewMut<'_>, ViewMut<'_>, ViewMut<'_>) -> Result<()>,
) -> Result<()> {
    let device = adjoint.device();
    let mut unwanted_x = None;
    let mut unwanted_vectors = [None, None];
    if !adjoint.needs(0) {
        unwanted_x = Some(device.allocate(x.dtype(), x.shape.element_count())?);
    }
    for (input, unwanted) in [1, 2].into_iter().zip(&mut unwanted_vectors) {
        if !adjoint.needs(input) {
            *unwanted = Some(device.allocate(x.dtype(), scale.shape.element_count())?);
        }
    }
    let [unwanted_scale, unwanted_shift] = &mut unwanted_vectors;
    adjoint.emit_together([0, 1, 2], |[grad_x, grad_scale, grad_shift]| {
        let grad_x = grad_x.or_else(|| unwanted_x.as_mut().map(crate::tensor::sole));
        let grad_scale = grad_scale.or_else(|| unwanted_scale.as_mut().map(crate::tensor::sole));
        let grad_shift = grad_shift.or_else(|| unwanted_shift.as_mut().map(crate::tensor::sole));
        match (grad_x, grad_scale, grad_shift) {
            (Some(grad_x), Some(grad_scale), Some(grad_shift)) => {
                write(grad_x, grad_scale, grad_shift)
            }
            _ => Err(Error::argument(
                "batch_norm",
                "bug: a gradient has no memory; please report it",
            )),
        }
    })
}

impl Tensor {
    /// Batch normalisation of each column (Ioffe and Szegedy 2015) and an activation, in one pass
    /// over memory each way.
    ///
    /// `out[r, c] = activation(scale[c] · (x[r, c] − mean[c]) / √(variance[c] + epsilon) +
    /// shift[c])`, the variance divided by the number of rows.
    ///
    /// | tensor | shape |
    /// |---|---|
    /// | `self`, out | `[batch, units]` |
    /// | `scale`, `shift`, mean, variance | `[units]` |
    ///
    /// # Errors
    /// `Shape` if the shapes are others or there are no rows.
    pub fn batch_norm(
        &self,
        scale: &Self,
        shift: &Self,
        epsilon: f64,
        activation: UnaryFunction,
    ) -> Result<BatchNormOutput> {
        BatchNormOutput::from_outputs(apply(
            BatchNorm { epsilon, activation },
            &[self, scale, shift],
        )?)
    }

    /// [`Tensor::batch_norm`], which moves running averages towards the statistics of the batch in
    /// the same pass: average ← (1 − weight) · average + weight · batch.
    ///
    /// # Errors
    /// As [`Tensor::batch_norm`]; `Argument` if the averages have other lengths; `Shared` while
    /// anything else holds their memory.
    pub fn batch_norm_averaging(
        &self,
        scale: &Self,
        shift: &Self,
        epsilon: f64,
        activation: UnaryFunction,
        averages: &mut FrozenStatistics,
        weight: f64,
    ) -> Result<BatchNormOutput> {
        let op = BatchNorm { epsilon, activation };
        let running = averages.running(op.name(), weight)?;
        let forward = |inputs: &[&Self], outputs: &mut [ViewMut<'_>]| {
            op.forward_with(inputs, outputs, Some(running))
        };
        BatchNormOutput::from_outputs(apply_with(op, &[self, scale, shift], forward)?)
    }

    /// Mean and variance (divided by the number of rows) of each column, off the tape.
    ///
    /// # Errors
    /// `Shape` unless the tensor is [batch, units] with at least one row.
    pub fn column_statistics(&self) -> Result<FrozenStatistics> {
        let &[rows, columns] = self.shape.sizes() else {
            return Err(Error::shape(
                "column_statistics",
                "x must be [batch, units]",
                &[("x", self.shape)],
            ));
        };
        if rows == 0 {
            return Err(Error::shape(
                "column_statistics",
                "no rows have no statistics",
                &[("x", self.shape)],
            ));
        }
        let vector = || Self::zeros(&self.device, self.dtype(), [columns]);
        let mut statistics = FrozenStatistics { mean: vector()?, variance: vector()? };
        let FrozenStatistics { mean, variance } = &mut statistics;
        let (mean, variance) =
            (mean.view_mut("column_statistics")?, variance.view_mut("column_statistics")?);
        self.device.column_statistics(Matrix { rows, columns }, self.view(), mean, variance)?;
        Ok(statistics)
    }

    /// The formula of [`Tensor::batch_norm`] with given statistics, through which no gradient
    /// flows.
    ///
    /// # Errors
    /// `Shape` if the shapes do not fit.
    pub fn normalise(
        &self,
        scale: &Self,
        shift: &Self,
        statistics: &FrozenStatistics,
        epsilon: f64,
        activation: UnaryFunction,
    ) -> Result<Self> {
        let (mean, variance) = (statistics.mean.detach(), statistics.variance.detach());
        apply_one(Normalise { epsilon, activation }, &[self, scale, shift, &mean, &variance])
    }
}

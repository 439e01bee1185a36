//! A linear layer normalised with given statistics, in one primitive: what an evaluation consists
//! of.

use rung_kernels::backend::{self, BatchNormVectors};
use rung_kernels::{Error, MatmulShape, Result, Shape, UnaryFunction, ViewMut};
use smallvec::smallvec;

use super::FrozenStatistics;
use super::batch_norm::{matrix, smooth_activation};
use super::draw;
use crate::adjoint::Adjoint;
use crate::op::{Declaration, Operation, Positions, Refused, Saves, Shapes, apply_one};
use crate::tensor::{Tensor, sole};

/// out = activation(scale · (a − mean)/√(variance + ε) + shift), a = x · weight; mean and variance
/// are constants.
///
/// The adjoints are those of [`super::batch_norm::Normalise`] and of the product. a is not kept but
/// recomputed: this operation is for passes that nothing is learnt from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LinearNormalise {
    epsilon: f64,
    activation: UnaryFunction,
}

impl LinearNormalise {
    fn norm(&self, out: &Shape) -> backend::BatchNorm {
        backend::BatchNorm {
            matrix: matrix(out),
            epsilon: self.epsilon,
            activation: self.activation,
        }
    }
}

/// The product's shape for x [batch, in] and weight [in, out].
fn product(x: &Shape, weight: &Shape) -> MatmulShape {
    let (rows, inner) = x.as_matrix();
    MatmulShape::plain(rows, weight.last(), inner)
}

impl Operation for LinearNormalise {
    fn name(&self) -> &'static str {
        "linear_normalise"
    }

    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes> {
        let (x, weight) = (inputs[0].shape, inputs[1].shape);
        let fits = x.rank() == 2 && weight.rank() == 2 && x.last() == weight.sizes()[0];
        if !fits || inputs[2..].iter().any(|vector| vector.shape.sizes() != [weight.last()]) {
            let rule = "x must be [batch, in], weight [in, out] and each vector [out]";
            let names = ["x", "weight", "scale", "shift", "mean", "variance"];
            let shapes: Vec<_> =
                names.into_iter().zip(inputs.iter().map(|input| input.shape)).collect();
            return Err(Error::shape(self.name(), rule, &shapes));
        }
        Ok(smallvec![Shape::from([x.sizes()[0], weight.last()])])
    }

    fn forward(&self, inputs: &[&Tensor], outputs: &mut [ViewMut<'_>]) -> Result<()> {
        let [x, weight, scale, shift, mean, variance] =
            [0, 1, 2, 3, 4, 5].map(|i| inputs[i].view());
        let shape = product(&inputs[0].shape, &inputs[1].shape);
        let norm = self.norm(&Shape::from([shape.rows, shape.columns]));
        let vectors = BatchNormVectors { mean, variance, scale, shift };
        inputs[0].device.matmul_normalise(
            shape,
            inputs[0].device.precision(),
            x,
            weight,
            &norm,
            vectors,
            outputs[0].reborrow(),
        )
    }

    fn saves(&self) -> Saves {
        Saves { inputs: Positions::of([0, 1, 2, 3, 4, 5]), outputs: Positions::NONE }
    }

    fn backward(&self, adjoint: &mut Adjoint<'_>) -> Result<()> {
        let [x, weight, scale, shift, mean, variance] =
            [0, 1, 2, 3, 4, 5].map(|i| adjoint.saved(i));
        let (device, grad_out) = (adjoint.device(), adjoint.grad_out());
        let a = x.linear(&weight, None)?;
        let norm = self.norm(&a.shape);
        let vectors = BatchNormVectors {
            mean: mean.view(),
            variance: variance.view(),
            scale: scale.view(),
            shift: shift.view(),
        };
        let MatmulShape { rows, columns, inner, .. } = product(&x.shape, &weight.shape);
        let mut grad_a = device.allocate(x.dtype(), a.shape.element_count())?;
        // For gradients that are not wanted.
        let mut aside =
            [device.allocate(x.dtype(), columns)?, device.allocate(x.dtype(), columns)?];
        let [aside_scale, aside_shift] = &mut aside;
        adjoint.emit_together([2, 3], |[grad_scale, grad_shift]| {
            let grad_scale = grad_scale.unwrap_or_else(|| sole(aside_scale));
            let grad_shift = grad_shift.unwrap_or_else(|| sole(aside_shift));
            let grad_a = sole(&mut grad_a);
            device.normalise_backward(
                &norm,
                a.view(),
                vectors,
                grad_out.view(),
                grad_a,
                grad_scale,
                grad_shift,
            )
        })?;
        adjoint.emit(0, |grad_x| {
            let shape =
                MatmulShape { right_transposed: true, ..MatmulShape::plain(rows, inner, columns) };
            device.matmul(shape, device.precision(), grad_a.view(), weight.view(), None, grad_x)
        })?;
        adjoint.emit(1, |grad_weight| {
            let shape =
                MatmulShape { left_transposed: true, ..MatmulShape::plain(inner, columns, rows) };
            device.matmul(shape, device.precision(), x.view(), grad_a.view(), None, grad_weight)
        })
    }

    fn declarations() -> Vec<Declaration> {
        vec![Declaration {
            name: "linear_normalise",
            case: |rng| {
                let (rows, inputs, outputs) =
                    (draw::size_or_zero(rng), draw::size(rng), draw::size(rng));
                let activation = smooth_activation(rng);
                let operands = vec![
                    draw::uniform(rng, [rows, inputs], -2.0, 2.0),
                    draw::uniform(rng, [inputs, outputs], -1.0, 1.0),
                    draw::signed(rng, [outputs], 0.4, 1.6),
                    draw::uniform(rng, [outputs], -1.0, 1.0),
                ];
                let (mean, variance) = (
                    draw::uniform(rng, [outputs], -1.0, 1.0),
                    draw::uniform(rng, [outputs], 0.3, 2.0),
                );
                draw::case(format!("linear_normalise with {activation:?}"), operands, move |x| {
                    let constant = |values: &[f64]| {
                        Tensor::from_values(x[0].device(), x[0].dtype(), values, [values.len()])
                    };
                    let statistics = FrozenStatistics {
                        mean: constant(&mean.values)?,
                        variance: constant(&variance.values)?,
                    };
                    x[0].linear_normalise(&x[1], &x[2], &x[3], &statistics, 1e-3, activation)
                })
            },
            refused: || {
                let call = |device: &rung_kernels::Device| {
                    let zeros =
                        |shape: Shape| Tensor::zeros(device, rung_kernels::DType::F64, shape);
                    let (x, weight) = (zeros(Shape::from([2, 3]))?, zeros(Shape::from([3, 5]))?);
                    let vector = zeros(Shape::from([3]))?;
                    let statistics =
                        FrozenStatistics { mean: vector.clone(), variance: vector.clone() };
                    x.linear_normalise(
                        &weight,
                        &vector,
                        &vector,
                        &statistics,
                        1e-5,
                        UnaryFunction::Identity,
                    )
                    .map(drop)
                };
                vec![Refused { call, message: "each vector [out]" }]
            },
        }]
    }
}

impl Tensor {
    /// [`Tensor::linear`] without a bias, then [`Tensor::normalise`]: one pass over the result
    /// instead of two.
    ///
    /// | tensor | shape |
    /// |---|---|
    /// | `self` | `[batch, in]` |
    /// | `weight` | `[in, out]` |
    /// | `scale`, `shift`, mean, variance | `[out]` |
    /// | out | `[batch, out]` |
    ///
    /// No gradient flows through the statistics.
    ///
    /// # Errors
    /// `Shape` if the shapes do not fit.
    pub fn linear_normalise(
        &self,
        weight: &Self,
        scale: &Self,
        shift: &Self,
        statistics: &FrozenStatistics,
        epsilon: f64,
        activation: UnaryFunction,
    ) -> Result<Self> {
        let (mean, variance) = (statistics.mean.detach(), statistics.variance.detach());
        apply_one(
            LinearNormalise { epsilon, activation },
            &[self, weight, scale, shift, &mean, &variance],
        )
    }
}

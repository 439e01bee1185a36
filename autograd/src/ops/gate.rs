//! The gate of a block: one half of its channels times the sigmoid of the other.

use rung_kernels::backend::Matrix;
use rung_kernels::{DType, Error, Result, Shape, ViewMut};
use smallvec::smallvec;

use super::draw;
use crate::adjoint::Adjoint;
use crate::op::{Declaration, Operation, Refused, Saves, Shapes, apply_one};
use crate::tensor::Tensor;

/// out = a · s for x = [a | b] and s = sigmoid(b);  grad_x = [grad_out · s | grad_out · a · s(1 −
/// s)].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gate;

/// One half of the columns.
fn half(x: &Shape) -> Matrix {
    let (rows, columns) = x.as_matrix();
    Matrix { rows, columns: columns / 2 }
}

impl Operation for Gate {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes> {
        let x = inputs[0].shape;
        if x.rank() > 0 && x.last().is_multiple_of(2) {
            return Ok(smallvec![x.with_axis(x.rank() - 1, x.last() / 2)]);
        }
        Err(Error::shape(self.name(), "the last axis must have two halves", &[("x", x)]))
    }

    fn forward(&self, inputs: &[&Tensor], outputs: &mut [ViewMut<'_>]) -> Result<()> {
        inputs[0].device.gate(half(&inputs[0].shape), inputs[0].view(), outputs[0].reborrow())
    }

    fn saves(&self) -> Saves {
        Saves::inputs([0])
    }

    fn backward(&self, adjoint: &mut Adjoint<'_>) -> Result<()> {
        let (device, x, grad_out) = (adjoint.device(), adjoint.saved(0), adjoint.grad_out());
        adjoint.emit(0, |grad_x| {
            device.gate_backward(half(&x.shape), x.view(), grad_out.view(), grad_x)
        })
    }

    fn declarations() -> Vec<Declaration> {
        vec![Declaration {
            name: "gate",
            case: |rng| {
                let (a, b, c) = (draw::size_or_zero(rng), draw::size(rng).min(5), draw::size(rng));
                draw::case("gate", vec![draw::uniform(rng, [a, b, 2 * c], -4.0, 4.0)], |x| {
                    x[0].gate()
                })
            },
            refused: || {
                let odd = |device: &rung_kernels::Device| {
                    Tensor::zeros(device, DType::F64, [2, 3])?.gate().map(drop)
                };
                vec![Refused { call: odd, message: "the last axis must have two halves" }]
            },
        }]
    }
}

impl Tensor {
    /// The first half of the last axis times the sigmoid of the second: [.., 2C] becomes [.., C].
    ///
    /// out = a · s with s = sigmoid(b);  grad_a = grad_out · s,  grad_b = grad_out · a · s(1 − s).
    /// One pass each way.
    ///
    /// # Errors
    /// `Shape` if the last axis has no two halves.
    ///
    /// # Example
    /// ```
    /// # use rung_autograd::{Device, Tensor};
    /// let x = Tensor::from_f64(&Device::cpu(), &[6.0, -2.0, 0.0, 1e9], [1, 4])?;
    /// assert_eq!(x.gate()?.to_f64()?, [3.0, -2.0]);
    /// # Ok::<(), rung_autograd::Error>(())
    /// ```
    pub fn gate(&self) -> Result<Self> {
        apply_one(Gate, &[self])
    }
}

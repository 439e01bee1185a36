//! A tensor plus a multiple of several others: how the terms of a bound become a log weight.

use rung_kernels::{Error, Result, UnaryFunction, ViewMut};
use smallvec::{SmallVec, smallvec};

use super::draw;
use crate::adjoint::Adjoint;
use crate::op::{Declaration, Operation, Refused, Saves, Shapes, apply_one};
use crate::tape::NODE_ROOM;
use crate::tensor::Tensor;

/// out = x + factor · Σ_k terms[k];  grad_x = grad_out, and the gradient of every term is one
/// tensor, factor · grad_out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AddScaled {
    factor: f64,
}

impl Operation for AddScaled {
    fn name(&self) -> &'static str {
        "add_scaled"
    }

    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes> {
        let shape = inputs[0].shape;
        match inputs[1..].iter().find(|term| term.shape != shape) {
            None => Ok(smallvec![shape]),
            Some(term) => Err(Error::shape(
                self.name(),
                "terms must have the shape of x",
                &[("x", shape), ("term", term.shape)],
            )),
        }
    }

    fn forward(&self, inputs: &[&Tensor], outputs: &mut [ViewMut<'_>]) -> Result<()> {
        let device = &inputs[0].device;
        device.convert(inputs[0].view(), outputs[0].reborrow())?;
        let mut terms = inputs[1..].iter();
        terms.try_for_each(|term| {
            device.scale_and_add(self.factor, term.view(), 1.0, outputs[0].reborrow())
        })
    }

    fn saves(&self) -> Saves {
        Saves::NOTHING
    }

    fn backward(&self, adjoint: &mut Adjoint<'_>) -> Result<()> {
        let (device, grad_out) = (adjoint.device(), adjoint.grad_out());
        let wanted = (1..adjoint.node.inputs.len())
            .filter(|&term| adjoint.needs(term))
            .collect::<SmallVec<[_; NODE_ROOM]>>();
        if !wanted.is_empty() {
            let scaled = Tensor::build(&device, grad_out.dtype(), grad_out.shape, |out| {
                device.unary(UnaryFunction::Affine(self.factor, 0.0), grad_out.view(), out)
            })?;
            wanted.into_iter().try_for_each(|term| adjoint.emit_tensor(term, scaled.clone()))?;
        }
        if adjoint.needs(0) { adjoint.emit_tensor(0, grad_out) } else { Ok(()) }
    }

    fn declarations() -> Vec<Declaration> {
        vec![Declaration {
            name: "add_scaled",
            case: |rng| {
                use rand::RngExt;
                let (shape, factor) = (draw::shape(rng), rng.random_range(-2.0..2.0));
                // More terms than one node has room for.
                let count = rng.random_range(1..=NODE_ROOM + 3);
                let inputs = (0..count).map(|_| draw::uniform(rng, shape, -2.0, 2.0)).collect();
                draw::case(format!("add_scaled of {count} tensors"), inputs, move |x| {
                    x[0].add_scaled(factor, &x[1..])
                })
            },
            refused: || {
                let call = |device: &rung_kernels::Device| {
                    let (x, term) = (
                        Tensor::from_f64(device, &[1.0; 2], [2])?,
                        Tensor::from_f64(device, &[1.0; 3], [3])?,
                    );
                    x.add_scaled(1.0, &[term]).map(drop)
                };
                vec![Refused { call, message: "terms must have the shape of x" }]
            },
        }]
    }
}

impl Tensor {
    /// `self` + factor · Σ terms, without a pass for each product.
    ///
    /// # Errors
    /// `Shape` if a term has another shape.
    pub fn add_scaled(&self, factor: f64, terms: &[Self]) -> Result<Self> {
        terms.chunks(NODE_ROOM - 1).try_fold(self.clone(), |sum, terms| {
            let mut inputs: SmallVec<[&Self; NODE_ROOM]> = smallvec![&sum];
            inputs.extend(terms);
            apply_one(AddScaled { factor }, &inputs)
        })
    }
}

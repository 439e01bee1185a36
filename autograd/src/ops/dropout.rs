//! Dropout from the counter-based generator: the mask is a function of its address, so none is
//! kept.

use rung_kernels::rng::Address;
use rung_kernels::{Error, Result, ViewMut};
use smallvec::smallvec;

use super::draw;
use crate::adjoint::Adjoint;
use crate::op::{Declaration, Operation, Refused, Saves, Shapes, apply_one};
use crate::tensor::Tensor;

/// out = x · mask/(1 − rate), the mask 1 with probability 1 − rate;  grad_x = grad_out · mask/(1 −
/// rate).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dropout {
    rate: f64,
    address: Address,
}

impl Operation for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes> {
        if (0.0..1.0).contains(&self.rate) {
            return Ok(smallvec![inputs[0].shape]);
        }
        Err(Error::argument(
            self.name(),
            format!("the rate must be at least 0 and below 1, not {}", self.rate),
        ))
    }

    fn forward(&self, inputs: &[&Tensor], outputs: &mut [ViewMut<'_>]) -> Result<()> {
        inputs[0].device.dropout(self.address, self.rate, inputs[0].view(), outputs[0].reborrow())
    }

    fn saves(&self) -> Saves {
        Saves::NOTHING
    }

    fn backward(&self, adjoint: &mut Adjoint<'_>) -> Result<()> {
        let (device, grad_out) = (adjoint.device(), adjoint.grad_out());
        adjoint.emit(0, |grad_x| device.dropout(self.address, self.rate, grad_out.view(), grad_x))
    }

    fn declarations() -> Vec<Declaration> {
        vec![Declaration {
            name: "dropout",
            case: |rng| {
                use rand::RngExt;
                let (shape, rate, seed) =
                    (draw::shape(rng), rng.random_range(0.0..0.9), rng.random());
                let inputs = vec![draw::uniform(rng, shape, -2.0, 2.0)];
                draw::case(format!("dropout {rate}"), inputs, move |x| {
                    x[0].dropout(rate, Address::new(seed, 0, 0))
                })
            },
            refused: || {
                let call = |device: &rung_kernels::Device| {
                    Tensor::from_f64(device, &[1.0], [1])?
                        .dropout(1.0, Address::new(0, 0, 0))
                        .map(drop)
                };
                vec![Refused { call, message: "below 1, not 1" }]
            },
        }]
    }
}

impl Tensor {
    /// Sets each element to 0 with probability `rate` and divides the others by 1 − rate
    /// (Srivastava et al. 2014).
    ///
    /// # Errors
    /// `Argument` unless 0 ≤ rate < 1.
    pub fn dropout(&self, rate: f64, address: Address) -> Result<Self> {
        apply_one(Dropout { rate, address }, &[self])
    }
}

//! Log-sum-exp, softmax and its logarithm along an axis.

use rung_kernels::{Error, Result, Shape, ViewMut};
use smallvec::smallvec;

use super::draw;
use super::reduce::{extent_of, missing_axis};
use crate::adjoint::Adjoint;
use crate::op::{Declaration, Operation, Positions, Refused, Saves, Shapes, apply_one};
use crate::tensor::Tensor;

/// out[o, i] = ln Σ_a exp x[o, a, i];  grad_x[o, a, i] = grad_out[o, i] · exp(x[o, a, i] − out[o,
/// i]).
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogSumExp {
    axis: usize,
}

/// out = exp(x) / Σ_a exp(x);  grad_x = out · (grad_out − Σ_a out · grad_out).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Softmax {
    axis: usize,
}

/// out = x − log_sum_exp_a x;  grad_x = grad_out − exp(out) · Σ_a grad_out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogSoftmax {
    axis: usize,
}

const OUTPUT_ONLY: Saves = Saves { inputs: Positions::NONE, outputs: Positions::ALL };

fn checked(operation: &'static str, shape: Shape, axis: usize) -> Result<Shape> {
    if extent_of(operation, &shape, axis)?.axis == 0 {
        return Err(Error::shape(operation, format!("axis {axis} is empty"), &[("x", shape)]));
    }
    Ok(shape)
}

macro_rules! declare {
    ($name:literal, $method:ident) => {
        vec![Declaration {
            name: $name,
            case: |rng| {
                use rand::RngExt;
                let shape = Shape::from([draw::size(rng), draw::size(rng), draw::size(rng).min(5)]);
                let axis = rng.random_range(0..3);
                let inputs = vec![draw::uniform(rng, shape, -3.0, 3.0)];
                draw::case(format!("{} over axis {axis}", $name), inputs, move |x| {
                    x[0].$method(axis)
                })
            },
            refused: || {
                vec![Refused {
                    call: |device| missing_axis(device, Tensor::$method),
                    message: "there is no axis 2",
                }]
            },
        }]
    };
}

impl Operation for LogSumExp {
    fn name(&self) -> &'static str {
        "log_sum_exp"
    }

    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes> {
        Ok(smallvec![checked(self.name(), inputs[0].shape, self.axis)?.without_axis(self.axis)])
    }

    fn forward(&self, inputs: &[&Tensor], outputs: &mut [ViewMut<'_>]) -> Result<()> {
        let extent = extent_of(self.name(), &inputs[0].shape, self.axis)?;
        inputs[0].device.log_sum_exp(extent, inputs[0].view(), outputs[0].reborrow())
    }

    fn saves(&self) -> Saves {
        Saves { inputs: Positions::of([0]), outputs: Positions::ALL }
    }

    fn backward(&self, adjoint: &mut Adjoint<'_>) -> Result<()> {
        let (device, x, out, grad_out) =
            (adjoint.device(), adjoint.saved(0), adjoint.saved(1), adjoint.grad_out());
        let extent = extent_of(self.name(), &x.shape, self.axis)?;
        adjoint.emit(0, |grad_x| {
            device.log_sum_exp_backward(extent, x.view(), out.view(), grad_out.view(), grad_x)
        })
    }

    fn declarations() -> Vec<Declaration> {
        declare!("log_sum_exp", log_sum_exp)
    }
}

impl Operation for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes> {
        Ok(smallvec![checked(self.name(), inputs[0].shape, self.axis)?])
    }

    fn forward(&self, inputs: &[&Tensor], outputs: &mut [ViewMut<'_>]) -> Result<()> {
        let extent = extent_of(self.name(), &inputs[0].shape, self.axis)?;
        inputs[0].device.softmax(extent, inputs[0].view(), outputs[0].reborrow())
    }

    fn saves(&self) -> Saves {
        OUTPUT_ONLY
    }

    fn backward(&self, adjoint: &mut Adjoint<'_>) -> Result<()> {
        let (device, out, grad_out) = (adjoint.device(), adjoint.saved(1), adjoint.grad_out());
        let extent = extent_of(self.name(), &out.shape, self.axis)?;
        adjoint
            .emit(0, |grad_x| device.softmax_backward(extent, out.view(), grad_out.view(), grad_x))
    }

    fn declarations() -> Vec<Declaration> {
        declare!("softmax", softmax)
    }
}

impl Operation for LogSoftmax {
    fn name(&self) -> &'static str {
        "log_softmax"
    }

    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes> {
        Ok(smallvec![checked(self.name(), inputs[0].shape, self.axis)?])
    }

    fn forward(&self, inputs: &[&Tensor], outputs: &mut [ViewMut<'_>]) -> Result<()> {
        let extent = extent_of(self.name(), &inputs[0].shape, self.axis)?;
        inputs[0].device.log_softmax(extent, inputs[0].view(), outputs[0].reborrow())
    }

    fn saves(&self) -> Saves {
        OUTPUT_ONLY
    }

    fn backward(&self, adjoint: &mut Adjoint<'_>) -> Result<()> {
        let (device, out, grad_out) = (adjoint.device(), adjoint.saved(1), adjoint.grad_out());
        let extent = extent_of(self.name(), &out.shape, self.axis)?;
        adjoint.emit(0, |grad_x| {
            device.log_softmax_backward(extent, out.view(), grad_out.view(), grad_x)
        })
    }

    fn declarations() -> Vec<Declaration> {
        declare!("log_softmax", log_softmax)
    }
}

impl Tensor {
    /// Natural logarithm of the sum of exponentials along `axis`, without overflow; the axis is
    /// dropped.
    ///
    /// **Edges.** All −∞ gives −∞ with a zero gradient; any NaN gives NaN; +∞ gives +∞.
    ///
    /// # Errors
    /// `Shape` if there is no such axis or it is empty; `OutOfMemory`.
    ///
    /// # Example
    /// ```
    /// # use rung_autograd::{Device, Tensor};
    /// let x = Tensor::from_f64(&Device::cpu(), &[-90.0, -88.5, -93.0], [3])?;
    /// let log_mean = x.log_sum_exp(0)?.to_scalar()? - 3f64.ln();
    /// assert!((log_mean - -89.388158).abs() < 1e-6);
    /// # Ok::<(), rung_autograd::Error>(())
    /// ```
    pub fn log_sum_exp(&self, axis: usize) -> Result<Self> {
        apply_one(LogSumExp { axis }, &[self])
    }

    /// exp(x) divided by its sum along `axis`, without overflow.
    ///
    /// # Errors
    /// As [`Tensor::log_sum_exp`].
    pub fn softmax(&self, axis: usize) -> Result<Self> {
        apply_one(Softmax { axis }, &[self])
    }

    /// The logarithm of [`Tensor::softmax`], computed without forming it.
    ///
    /// # Errors
    /// As [`Tensor::log_sum_exp`].
    pub fn log_softmax(&self, axis: usize) -> Result<Self> {
        apply_one(LogSoftmax { axis }, &[self])
    }
}

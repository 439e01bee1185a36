//! Sums, means and extrema over axes.

use rung_kernels::{AxisExtent, Error, Reduction, Result, Shape, ViewMut};
use smallvec::smallvec;

use super::draw;
use crate::adjoint::Adjoint;
use crate::op::{Declaration, Operation, Positions, Refused, Saves, Shapes, apply_one};
use crate::tensor::Tensor;

/// out[o, i] = reduction over a of x[o, a, i].
///
/// sum: grad_x = grad_out, repeated;  mean: grad_out / axis, repeated;
/// max, min: grad_out at the first position that attains out, 0 elsewhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reduce {
    reduction: Reduction,
    axis: usize,
}

impl Operation for Reduce {
    fn name(&self) -> &'static str {
        match self.reduction {
            Reduction::Sum => "sum",
            Reduction::Mean => "mean",
            Reduction::Maximum => "max",
            Reduction::Minimum => "min",
        }
    }

    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes> {
        let shape = inputs[0].shape;
        let extent = extent_of(self.name(), &shape, self.axis)?;
        if extent.axis == 0 && self.reduction != Reduction::Sum {
            return Err(Error::shape(
                self.name(),
                format!("axis {} is empty", self.axis),
                &[("x", shape)],
            ));
        }
        Ok(smallvec![shape.without_axis(self.axis)])
    }

    fn forward(&self, inputs: &[&Tensor], outputs: &mut [ViewMut<'_>]) -> Result<()> {
        let extent = extent_of(self.name(), &inputs[0].shape, self.axis)?;
        inputs[0].device.reduce(self.reduction, extent, inputs[0].view(), outputs[0].reborrow())
    }

    fn saves(&self) -> Saves {
        match self.reduction {
            Reduction::Sum | Reduction::Mean => Saves::NOTHING,
            Reduction::Maximum | Reduction::Minimum => {
                Saves { inputs: Positions::of([0]), outputs: Positions::ALL }
            }
        }
    }

    fn backward(&self, adjoint: &mut Adjoint<'_>) -> Result<()> {
        let Some(shape) = adjoint.input_shape(0) else { return Ok(()) };
        let (device, grad_out) = (adjoint.device(), adjoint.grad_out());
        let extent = extent_of(self.name(), &shape, self.axis)?;
        match self.reduction {
            Reduction::Sum => {
                adjoint.emit(0, |grad_x| device.expand(1.0, extent, grad_out.view(), grad_x))
            }
            Reduction::Mean => adjoint.emit(0, |grad_x| {
                device.expand(1.0 / extent.axis as f64, extent, grad_out.view(), grad_x)
            }),
            Reduction::Maximum | Reduction::Minimum => {
                let (x, out) = (adjoint.saved(0), adjoint.saved(1));
                adjoint.emit(0, |grad_x| {
                    device.extremum_backward(extent, x.view(), out.view(), grad_out.view(), grad_x)
                })
            }
        }
    }

    fn declarations() -> Vec<Declaration> {
        macro_rules! reduction {
            ($name:literal, $method:ident) => {
                Declaration {
                    name: $name,
                    case: |rng| {
                        use rand::RngExt;
                        let shape =
                            Shape::from([draw::size(rng), draw::size(rng), draw::size(rng).min(5)]);
                        let axis = rng.random_range(0..3);
                        let inputs = vec![draw::spread(rng, shape, 0.05)];
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
                }
            };
        }
        vec![
            reduction!("sum", sum),
            reduction!("mean", mean),
            reduction!("max", max),
            reduction!("min", min),
        ]
    }
}

pub(super) fn missing_axis(
    device: &rung_kernels::Device,
    method: fn(&Tensor, usize) -> Result<Tensor>,
) -> Result<()> {
    method(&Tensor::from_f64(device, &[0.0; 6], [2, 3])?, 2).map(drop)
}

/// The array seen along `axis`.
pub(super) fn extent_of(operation: &'static str, shape: &Shape, axis: usize) -> Result<AxisExtent> {
    let missing = || Error::shape(operation, format!("there is no axis {axis}"), &[("x", *shape)]);
    shape.around(axis).ok_or_else(missing)
}

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident => $reduction:expr;)*) => {
        impl Tensor {
            $($(#[$doc])*
            /// The axis is dropped.
            ///
            /// # Errors
            /// `Shape` if there is no such axis, or (except for a sum) it is empty; `OutOfMemory`.
            pub fn $name(&self, axis: usize) -> Result<Self> {
                apply_one(Reduce { reduction: $reduction, axis }, &[self])
            })*
        }
    };
}

methods! {
    /// Sum along `axis`; an empty axis gives 0.
    sum => Reduction::Sum;
    /// Mean along `axis`.
    mean => Reduction::Mean;
    /// Largest element along `axis`; the gradient goes to the first that attains it.
    max => Reduction::Maximum;
    /// Smallest element along `axis`; the gradient goes to the first that attains it.
    min => Reduction::Minimum;
}

impl Tensor {
    /// Sum of all elements, as a scalar.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn sum_all(&self) -> Result<Self> {
        self.flatten()?.sum(0)
    }

    /// Mean of all elements, as a scalar.
    ///
    /// # Errors
    /// `Shape` if there are no elements; `OutOfMemory`.
    pub fn mean_all(&self) -> Result<Self> {
        self.flatten()?.mean(0)
    }

    /// Sum over several axes; they are dropped.
    ///
    /// # Errors
    /// `Shape` if there is no such axis, or one is named twice; `OutOfMemory`.
    pub fn sum_axes(&self, axes: &[usize]) -> Result<Self> {
        over_axes(self, axes, "sum", Self::sum)
    }

    /// Mean over several axes; they are dropped.
    ///
    /// # Errors
    /// As [`Tensor::sum_axes`], or if an axis is empty.
    pub fn mean_axes(&self, axes: &[usize]) -> Result<Self> {
        over_axes(self, axes, "mean", Self::mean)
    }
}

fn over_axes(
    x: &Tensor,
    axes: &[usize],
    name: &'static str,
    reduce: fn(&Tensor, usize) -> Result<Tensor>,
) -> Result<Tensor> {
    let mut sorted: smallvec::SmallVec<[usize; 6]> = axes.into();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Error::argument(name, format!("an axis is named twice in {axes:?}")));
    }
    sorted.iter().rev().try_fold(x.clone(), |x, &axis| reduce(&x, axis))
}

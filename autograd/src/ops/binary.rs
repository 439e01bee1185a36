//! Functions of two tensors, broadcast: sizes are aligned at the last axis and agree, or one of them is 1.

use rung_kernels::{BinaryFunction, Broadcast, Error, Result, Shape, ViewMut};
use smallvec::smallvec;

use super::draw;
use crate::adjoint::Adjoint;
use crate::op::{Case, CaseInput, Declaration, Operation, Positions, Refused, Saves, Shapes, apply_one};
use crate::tensor::Tensor;

/// out = f(left, right).
///
/// | f | grad_left | grad_right |
/// |---|---|---|
/// | left + right | grad_out | grad_out |
/// | left − right | grad_out | −grad_out |
/// | left · right | grad_out · right | grad_out · left |
/// | left / right | grad_out / right | −grad_out · out / right |
/// | max, min | grad_out where left is taken (also when equal), else 0 | grad_out where it is not, else 0 |
///
/// An adjoint is then summed over the axes along which its input was repeated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Binary(BinaryFunction);

impl Operation for Binary {
    fn name(&self) -> &'static str {
        match self.0 {
            BinaryFunction::Add => "add",
            BinaryFunction::Subtract => "sub",
            BinaryFunction::Multiply => "mul",
            BinaryFunction::Divide => "div",
            BinaryFunction::Maximum => "maximum",
            BinaryFunction::Minimum => "minimum",
            BinaryFunction::Less => "less",
            BinaryFunction::LessOrEqual => "less_or_equal",
            BinaryFunction::Greater => "greater",
            BinaryFunction::GreaterOrEqual => "greater_or_equal",
            BinaryFunction::Equal => "equal",
            BinaryFunction::NotEqual => "not_equal",
        }
    }

    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes> {
        let (left, right) = (inputs[0].shape, inputs[1].shape);
        match left.broadcast(&right) {
            Some(shape) => Ok(smallvec![shape]),
            None => Err(Error::shape(self.name(), "sizes must agree or be 1", &[("left", left), ("right", right)])),
        }
    }

    fn forward(&self, inputs: &[&Tensor], outputs: &mut [ViewMut<'_>]) -> Result<()> {
        let walk = walk(&inputs[0].shape, &inputs[1].shape);
        inputs[0].device.binary(self.0, &walk, inputs[0].view(), inputs[1].view(), outputs[0].reborrow())
    }

    fn saves(&self) -> Saves {
        match self.0 {
            BinaryFunction::Multiply | BinaryFunction::Maximum | BinaryFunction::Minimum => Saves::inputs([0, 1]),
            BinaryFunction::Divide => Saves { inputs: Positions::of([1]), outputs: Positions::ALL },
            _ => Saves::NOTHING,
        }
    }

    /// Comparisons are constant almost everywhere: their results are not tracked.
    fn tracked_outputs(&self, outputs: usize) -> usize {
        let smooth = matches!(
            self.0,
            BinaryFunction::Add
                | BinaryFunction::Subtract
                | BinaryFunction::Multiply
                | BinaryFunction::Divide
                | BinaryFunction::Maximum
                | BinaryFunction::Minimum
        );
        if smooth { outputs } else { 0 }
    }

    fn backward(&self, adjoint: &mut Adjoint<'_>) -> Result<()> {
        let grad_out = adjoint.grad_out();
        match self.0 {
            BinaryFunction::Add => {
                adjoint.emit_tensor(0, grad_out.clone())?;
                adjoint.emit_tensor(1, grad_out)
            }
            BinaryFunction::Subtract => {
                adjoint.emit_tensor(0, grad_out.clone())?;
                emit_if_needed(adjoint, 1, || grad_out.neg())
            }
            BinaryFunction::Multiply => {
                let (left, right) = (adjoint.saved(0), adjoint.saved(1));
                emit_if_needed(adjoint, 0, || grad_out.mul(&right))?;
                emit_if_needed(adjoint, 1, || grad_out.mul(&left))
            }
            BinaryFunction::Divide => {
                let (right, out) = (adjoint.saved(1), adjoint.saved(2));
                emit_if_needed(adjoint, 0, || grad_out.div(&right))?;
                emit_if_needed(adjoint, 1, || grad_out.mul(&out)?.div(&right)?.neg())
            }
            BinaryFunction::Maximum | BinaryFunction::Minimum => {
                let (left, right) = (adjoint.saved(0), adjoint.saved(1));
                let (taken, other) = match self.0 {
                    BinaryFunction::Maximum => (BinaryFunction::GreaterOrEqual, BinaryFunction::Less),
                    _ => (BinaryFunction::LessOrEqual, BinaryFunction::Greater),
                };
                emit_if_needed(adjoint, 0, || grad_out.mul(&apply_one(Self(taken), &[&left, &right])?))?;
                emit_if_needed(adjoint, 1, || grad_out.mul(&apply_one(Self(other), &[&left, &right])?))
            }
            _ => Ok(()),
        }
    }

    fn declarations() -> Vec<Declaration> {
        macro_rules! function {
            ($name:literal, $method:ident, |$rng:ident, $left:ident, $right:ident| $draw:expr) => {
                Declaration {
                    name: $name,
                    case: |$rng| {
                        let ($left, $right) = broadcast_shapes($rng);
                        let inputs: [CaseInput; 2] = $draw;
                        draw::case($name, inputs.into(), |x| x[0].$method(&x[1]))
                    },
                    refused: || {
                        vec![Refused {
                            call: |device| unequal(device, Tensor::$method),
                            message: "sizes must agree or be 1",
                        }]
                    },
                }
            };
        }
        vec![
            function!("add", add, |rng, l, r| [draw::uniform(rng, l, -2.0, 2.0), draw::uniform(rng, r, -2.0, 2.0)]),
            function!("sub", sub, |rng, l, r| [draw::uniform(rng, l, -2.0, 2.0), draw::uniform(rng, r, -2.0, 2.0)]),
            function!("mul", mul, |rng, l, r| [draw::uniform(rng, l, -2.0, 2.0), draw::uniform(rng, r, -2.0, 2.0)]),
            function!("div", div, |rng, l, r| [draw::uniform(rng, l, -2.0, 2.0), draw::signed(rng, r, 0.4, 2.0)]),
            function!("maximum", maximum, |rng, l, r| apart(rng, l, r)),
            function!("minimum", minimum, |rng, l, r| apart(rng, l, r)),
            Declaration {
                name: "square_by_mul",
                case: |rng| -> Case {
                    let shape = draw::shape(rng);
                    draw::case("x · x", vec![draw::uniform(rng, shape, -2.0, 2.0)], |x| x[0].mul(&x[0]))
                },
                refused: Vec::new,
            },
        ]
    }
}

/// Inputs of which no two elements are nearer than a difference step can bridge.
fn apart(rng: &mut rung_kernels::rng::Philox, left: Shape, right: Shape) -> [CaseInput; 2] {
    let left = draw::spread(rng, left, 0.2);
    let mut right = draw::spread(rng, right, 0.2);
    right.values.iter_mut().for_each(|value| *value += 0.05); // half of half a gap: sizes of either parity stay apart
    [left, right]
}

fn unequal(device: &rung_kernels::Device, method: fn(&Tensor, &Tensor) -> Result<Tensor>) -> Result<()> {
    let (left, right) = (Tensor::from_f64(device, &[0.0; 6], [2, 3])?, Tensor::from_f64(device, &[0.0; 2], [2])?);
    method(&left, &right).map(drop)
}

/// Two shapes that broadcast: some axes of either are 1 or missing.
fn broadcast_shapes(rng: &mut rung_kernels::rng::Philox) -> (Shape, Shape) {
    use rand::RngExt;
    let full = draw::shape(rng);
    let mut shrink = |shape: Shape| {
        let mut shape = shape;
        for axis in 0..shape.rank() {
            if rng.random_range(0..4) == 0 {
                shape = shape.with_axis(axis, 1);
            }
        }
        while shape.rank() > 0 && shape.sizes()[0] == 1 && rng.random() {
            shape = shape.without_axis(0);
        }
        shape
    };
    (shrink(full), shrink(full))
}

fn walk(left: &Shape, right: &Shape) -> Broadcast {
    Broadcast::new(left, right).expect("bug: shapes were checked to broadcast; please report it")
}

fn emit_if_needed(adjoint: &mut Adjoint<'_>, input: usize, gradient: impl FnOnce() -> Result<Tensor>) -> Result<()> {
    if adjoint.needs(input) { adjoint.emit_tensor(input, gradient()?) } else { Ok(()) }
}

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident => $function:expr;)*) => {
        impl Tensor {
            $($(#[$doc])*
            ///
            /// # Errors
            /// `Shape` if the shapes do not broadcast; `DType`, `Device` if the tensors differ in those; `OutOfMemory`.
            pub fn $name(&self, right: &Self) -> Result<Self> {
                apply_one(Binary($function), &[self, right])
            })*
        }
    };
}

methods! {
    /// self + right, broadcast.
    add => BinaryFunction::Add;
    /// self − right, broadcast.
    sub => BinaryFunction::Subtract;
    /// self · right, element by element, broadcast.
    mul => BinaryFunction::Multiply;
    /// self / right, broadcast.
    div => BinaryFunction::Divide;
    /// The larger of two elements, broadcast; where they are equal the gradient goes to `self`.
    maximum => BinaryFunction::Maximum;
    /// The smaller of two elements, broadcast; where they are equal the gradient goes to `self`.
    minimum => BinaryFunction::Minimum;
    /// 1 where self < right, else 0; no gradient.
    less => BinaryFunction::Less;
    /// 1 where self ≤ right, else 0; no gradient.
    less_or_equal => BinaryFunction::LessOrEqual;
    /// 1 where self > right, else 0; no gradient.
    greater => BinaryFunction::Greater;
    /// 1 where self ≥ right, else 0; no gradient.
    greater_or_equal => BinaryFunction::GreaterOrEqual;
    /// 1 where self = right, else 0; no gradient.
    equal => BinaryFunction::Equal;
    /// 1 where self ≠ right, else 0; no gradient.
    not_equal => BinaryFunction::NotEqual;
}

impl Tensor {
    /// The same values repeated to a larger shape.
    ///
    /// # Errors
    /// `Shape` if this shape does not broadcast to `shape`.
    pub fn broadcast_to(&self, shape: impl Into<Shape>) -> Result<Self> {
        let shape = shape.into();
        if self.shape.broadcast(&shape) != Some(shape) {
            return Err(Error::shape(
                "broadcast_to",
                "sizes must agree or be 1",
                &[("x", self.shape), ("wanted", shape)],
            ));
        }
        self.add(&Self::zeros(&self.device, self.dtype(), shape)?)
    }
}

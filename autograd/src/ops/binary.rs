//! Functions of two tensors, broadcast: sizes are aligned at the last axis and agree, or one of
//! them is 1.

use rung_kernels::rng::Philox;
use rung_kernels::{BinaryFunction, Broadcast, Device, Error, Result, Shape, ViewMut};
use smallvec::smallvec;

use super::draw;
use crate::adjoint::Adjoint;
use crate::op::{
    Case, CaseInput, Declaration, Operation, Positions, Refused, Saves, Shapes, apply_one,
};
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
        method_of(self.0)
    }

    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes> {
        let (left, right) = (inputs[0].shape, inputs[1].shape);
        match left.broadcast(&right) {
            Some(shape) => Ok(smallvec![shape]),
            None => Err(Error::shape(
                self.name(),
                "sizes must agree or be 1",
                &[("left", left), ("right", right)],
            )),
        }
    }

    fn forward(&self, inputs: &[&Tensor], outputs: &mut [ViewMut<'_>]) -> Result<()> {
        let walk = walk(&inputs[0].shape, &inputs[1].shape);
        inputs[0].device.binary(
            self.0,
            &walk,
            inputs[0].view(),
            inputs[1].view(),
            outputs[0].reborrow(),
        )
    }

    fn saves(&self) -> Saves {
        match Derivative::of(self.0) {
            Derivative::Product | Derivative::Choice { .. } => Saves::inputs([0, 1]),
            Derivative::Quotient => Saves { inputs: Positions::of([1]), outputs: Positions::ALL },
            Derivative::Sum | Derivative::Difference | Derivative::None => Saves::NOTHING,
        }
    }

    /// Comparisons are constant almost everywhere: their results are not tracked.
    fn tracked_outputs(&self, outputs: usize) -> usize {
        if matches!(Derivative::of(self.0), Derivative::None) { 0 } else { outputs }
    }

    fn backward(&self, adjoint: &mut Adjoint<'_>) -> Result<()> {
        let grad_out = adjoint.grad_out();
        match Derivative::of(self.0) {
            Derivative::Sum => {
                adjoint.emit_tensor(0, grad_out.clone())?;
                adjoint.emit_tensor(1, grad_out)
            }
            Derivative::Difference => {
                adjoint.emit_tensor(0, grad_out.clone())?;
                emit_if_needed(adjoint, 1, || grad_out.neg())
            }
            Derivative::Product => {
                let (left, right) = (adjoint.saved(0), adjoint.saved(1));
                emit_if_needed(adjoint, 0, || grad_out.mul(&right))?;
                emit_if_needed(adjoint, 1, || grad_out.mul(&left))
            }
            Derivative::Quotient => {
                let (right, out) = (adjoint.saved(1), adjoint.saved(2));
                emit_if_needed(adjoint, 0, || grad_out.div(&right))?;
                emit_if_needed(adjoint, 1, || grad_out.mul(&out)?.div(&right)?.neg())
            }
            Derivative::Choice { left_if, right_if } => {
                let (left, right) = (adjoint.saved(0), adjoint.saved(1));
                emit_if_needed(adjoint, 0, || {
                    grad_out.mul(&apply_one(Self(left_if), &[&left, &right])?)
                })?;
                emit_if_needed(adjoint, 1, || {
                    grad_out.mul(&apply_one(Self(right_if), &[&left, &right])?)
                })
            }
            Derivative::None => Ok(()),
        }
    }

    fn declarations() -> Vec<Declaration> {
        let mut all = declarations();
        all.push(Declaration {
            name: "square_by_mul",
            case: |rng| -> Case {
                let shape = draw::shape(rng);
                draw::case("x · x", vec![draw::uniform(rng, shape, -2.0, 2.0)], |x| {
                    x[0].mul(&x[0])
                })
            },
            refused: Vec::new,
        });
        all
    }
}

/// The rule by which a function is differentiated; see the table above.
#[derive(Clone, Copy, Debug)]
enum Derivative {
    Sum,
    Difference,
    Product,
    Quotient,
    /// The result is `left` where the first comparison holds, `right` where the second does.
    Choice {
        left_if: BinaryFunction,
        right_if: BinaryFunction,
    },
    /// The function is constant almost everywhere.
    None,
}

impl Derivative {
    const fn of(function: BinaryFunction) -> Self {
        use BinaryFunction as F;
        match function {
            F::Add => Self::Sum,
            F::Subtract => Self::Difference,
            F::Multiply => Self::Product,
            F::Divide => Self::Quotient,
            F::Maximum => Self::Choice { left_if: F::GreaterOrEqual, right_if: F::Less },
            F::Minimum => Self::Choice { left_if: F::LessOrEqual, right_if: F::Greater },
            F::Less | F::LessOrEqual | F::Greater | F::GreaterOrEqual | F::Equal | F::NotEqual => {
                Self::None
            }
        }
    }
}

/// Two operands that broadcast, at which the function has derivatives.
fn operands(rng: &mut Philox, function: BinaryFunction) -> [CaseInput; 2] {
    let (left, right) = broadcast_shapes(rng);
    match Derivative::of(function) {
        Derivative::Sum | Derivative::Difference | Derivative::Product => {
            [left, right].map(|shape| draw::uniform(rng, shape, -2.0, 2.0))
        }
        Derivative::Quotient => {
            [draw::uniform(rng, left, -2.0, 2.0), draw::signed(rng, right, 0.4, 2.0)]
        }
        Derivative::Choice { .. } | Derivative::None => apart(rng, left, right),
    }
}

/// Inputs of which no two elements are nearer than a difference step can bridge.
fn apart(rng: &mut Philox, left: Shape, right: Shape) -> [CaseInput; 2] {
    let left = draw::spread(rng, left, 0.2);
    let mut right = draw::spread(rng, right, 0.2);
    // Half of half a gap: sizes of either parity stay apart.
    right.values.iter_mut().for_each(|value| *value += 0.05);
    [left, right]
}

fn unequal(device: &Device, method: fn(&Tensor, &Tensor) -> Result<Tensor>) -> Result<()> {
    let (left, right) =
        (Tensor::from_f64(device, &[0.0; 6], [2, 3])?, Tensor::from_f64(device, &[0.0; 2], [2])?);
    method(&left, &right).map(drop)
}

/// Two shapes that broadcast: some axes of either are 1 or missing.
fn broadcast_shapes(rng: &mut Philox) -> (Shape, Shape) {
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

fn emit_if_needed(
    adjoint: &mut Adjoint<'_>,
    input: usize,
    gradient: impl FnOnce() -> Result<Tensor>,
) -> Result<()> {
    if adjoint.needs(input) { adjoint.emit_tensor(input, gradient()?) } else { Ok(()) }
}

/// For each function of two numbers, and a missing one does not compile: its method, the method's
/// name, and the declaration for tests.
macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident => $variant:ident;)+) => {
        impl Tensor {
            $($(#[$doc])*
            ///
            /// # Errors
            /// `Shape` if the shapes do not broadcast; `DType`, `Device` if the tensors differ in
            /// those; `OutOfMemory`.
            pub fn $name(&self, right: &Self) -> Result<Self> {
                apply_one(Binary(BinaryFunction::$variant), &[self, right])
            })+
        }

        /// The method that applies a function.
        const fn method_of(function: BinaryFunction) -> &'static str {
            match function { $(BinaryFunction::$variant => stringify!($name),)+ }
        }

        fn declarations() -> Vec<Declaration> {
            vec![$(Declaration {
                name: stringify!($name),
                case: |rng| {
                    let inputs = operands(rng, BinaryFunction::$variant);
                    draw::case(stringify!($name), inputs.into(), |x| x[0].$name(&x[1]))
                },
                refused: || {
                    let call = |device: &Device| unequal(device, Tensor::$name);
                    vec![Refused { call, message: "sizes must agree or be 1" }]
                },
            }),+]
        }
    };
}

methods! {
    /// self + right, broadcast.
    add => Add;
    /// self − right, broadcast.
    sub => Subtract;
    /// self · right, element by element, broadcast.
    mul => Multiply;
    /// self / right, broadcast.
    div => Divide;
    /// The larger of two elements, broadcast; where they are equal the gradient goes to `self`.
    maximum => Maximum;
    /// The smaller of two elements, broadcast; where they are equal the gradient goes to `self`.
    minimum => Minimum;
    /// 1 where self < right, else 0; no gradient.
    less => Less;
    /// 1 where self ≤ right, else 0; no gradient.
    less_or_equal => LessOrEqual;
    /// 1 where self > right, else 0; no gradient.
    greater => Greater;
    /// 1 where self ≥ right, else 0; no gradient.
    greater_or_equal => GreaterOrEqual;
    /// 1 where self = right, else 0; no gradient.
    equal => Equal;
    /// 1 where self ≠ right, else 0; no gradient.
    not_equal => NotEqual;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Kernels are proven under the function's name, so a method of that name applies the right
    /// one.
    #[test]
    fn methods_are_called_as_their_functions() {
        for &function in BinaryFunction::ALL {
            assert_eq!(method_of(function), function.name());
        }
    }
}

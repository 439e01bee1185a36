//! Functions of one number, element by element: one struct, one row in a table for each function.

use rung_kernels::{DerivativeNeeds, Error, Result, UnaryFunction, ViewMut};
use smallvec::smallvec;

use super::draw;
use crate::adjoint::Adjoint;
use crate::op::{Declaration, Operation, Positions, Refused, Saves, Shapes, apply_one};
use crate::tensor::Tensor;

/// out[i] = f(x[i]);  grad_x[i] = grad_out[i] · f′(x[i]).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Elementwise(UnaryFunction);

impl Operation for Elementwise {
    fn name(&self) -> &'static str {
        name_of(self.0)
    }

    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes> {
        Ok(smallvec![inputs[0].shape])
    }

    fn forward(&self, inputs: &[&Tensor], outputs: &mut [ViewMut<'_>]) -> Result<()> {
        inputs[0].device.unary(self.0, inputs[0].view(), outputs[0].reborrow())
    }

    fn saves(&self) -> Saves {
        match self.0.derivative_needs() {
            DerivativeNeeds::Input => Saves::inputs([0]),
            DerivativeNeeds::Output => Saves { inputs: Positions::NONE, outputs: Positions::ALL },
            DerivativeNeeds::Nothing => Saves::NOTHING,
        }
    }

    fn backward(&self, adjoint: &mut Adjoint<'_>) -> Result<()> {
        let (device, grad_out) = (adjoint.device(), adjoint.grad_out());
        let saved = match self.0.derivative_needs() {
            DerivativeNeeds::Input => adjoint.saved(0),
            DerivativeNeeds::Output => adjoint.saved(1),
            DerivativeNeeds::Nothing => grad_out.clone(),
        };
        adjoint.emit(0, |grad_x| device.unary_backward(self.0, saved.view(), grad_out.view(), grad_x))
    }

    fn declarations() -> Vec<Declaration> {
        /// A declaration of one function whose inputs `draw` makes.
        macro_rules! function {
            ($function:expr, |$rng:ident, $shape:ident| $draw:expr) => {
                Declaration {
                    name: name_of($function),
                    case: |$rng| {
                        let $shape = draw::shape($rng);
                        draw::case(name_of($function), vec![$draw], |x| apply_one(Elementwise($function), &[&x[0]]))
                    },
                    refused: || {
                        let message = "an operand must be of floats";
                        vec![Refused { call: |device| integers(device, $function), message }]
                    },
                }
            };
        }
        vec![
            function!(UnaryFunction::Identity, |rng, shape| draw::uniform(rng, shape, -3.0, 3.0)),
            function!(UnaryFunction::Negate, |rng, shape| draw::uniform(rng, shape, -3.0, 3.0)),
            function!(UnaryFunction::Exp, |rng, shape| draw::uniform(rng, shape, -3.0, 2.0)),
            function!(UnaryFunction::Log, |rng, shape| draw::uniform(rng, shape, 0.1, 4.0)),
            function!(UnaryFunction::Sqrt, |rng, shape| draw::uniform(rng, shape, 0.1, 4.0)),
            function!(UnaryFunction::Square, |rng, shape| draw::uniform(rng, shape, -3.0, 3.0)),
            function!(UnaryFunction::Reciprocal, |rng, shape| draw::signed(rng, shape, 0.3, 3.0)),
            function!(UnaryFunction::Power(2.5), |rng, shape| draw::uniform(rng, shape, 0.2, 3.0)),
            function!(UnaryFunction::Abs, |rng, shape| draw::signed(rng, shape, 0.05, 3.0)),
            function!(UnaryFunction::Relu, |rng, shape| draw::signed(rng, shape, 0.05, 3.0)),
            function!(UnaryFunction::LeakyRelu(0.1), |rng, shape| draw::signed(rng, shape, 0.05, 3.0)),
            function!(UnaryFunction::Elu(0.7), |rng, shape| draw::signed(rng, shape, 0.05, 3.0)),
            function!(UnaryFunction::Tanh, |rng, shape| draw::uniform(rng, shape, -2.5, 2.5)),
            function!(UnaryFunction::Sigmoid, |rng, shape| draw::uniform(rng, shape, -4.0, 4.0)),
            function!(UnaryFunction::Softplus, |rng, shape| draw::uniform(rng, shape, -6.0, 6.0)),
            function!(UnaryFunction::Sin, |rng, shape| draw::uniform(rng, shape, -6.0, 6.0)),
            function!(UnaryFunction::Cos, |rng, shape| draw::uniform(rng, shape, -6.0, 6.0)),
            function!(UnaryFunction::Clamp(-2.0, 2.0), |rng, shape| away_from_two(draw::signed(rng, shape, 0.05, 4.0))),
            function!(UnaryFunction::Affine(-1.7, 0.4), |rng, shape| draw::uniform(rng, shape, -3.0, 3.0)),
        ]
    }
}

/// Keeps the values of a case off the kinks of a clamp at ±2.
fn away_from_two(mut input: crate::op::CaseInput) -> crate::op::CaseInput {
    for value in &mut input.values {
        if (value.abs() - 2.0).abs() < 0.02 {
            *value *= 1.05;
        }
    }
    input
}

fn integers(device: &rung_kernels::Device, function: UnaryFunction) -> Result<()> {
    let x = Tensor::from_u32(device, &[1, 2], [2])?;
    apply_one(Elementwise(function), &[&x]).map(drop)
}

const fn name_of(function: UnaryFunction) -> &'static str {
    match function {
        UnaryFunction::Identity => "identity",
        UnaryFunction::Negate => "neg",
        UnaryFunction::Exp => "exp",
        UnaryFunction::Log => "log",
        UnaryFunction::Sqrt => "sqrt",
        UnaryFunction::Square => "square",
        UnaryFunction::Reciprocal => "reciprocal",
        UnaryFunction::Power(_) => "pow",
        UnaryFunction::Abs => "abs",
        UnaryFunction::Relu => "relu",
        UnaryFunction::LeakyRelu(_) => "leaky_relu",
        UnaryFunction::Elu(_) => "elu",
        UnaryFunction::Tanh => "tanh",
        UnaryFunction::Sigmoid => "sigmoid",
        UnaryFunction::Softplus => "softplus",
        UnaryFunction::Sin => "sin",
        UnaryFunction::Cos => "cos",
        UnaryFunction::Clamp(..) => "clamp",
        UnaryFunction::Affine(..) => "affine",
    }
}

/// One method for each function of one number.
macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident($($parameter:ident),*) => $function:expr;)*) => {
        impl Tensor {
            $($(#[$doc])*
            ///
            /// # Errors
            /// `DType` if the tensor is not of floats; `OutOfMemory`.
            pub fn $name(&self, $($parameter: f64),*) -> Result<Self> {
                apply_one(Elementwise($function), &[self])
            })*
        }
    };
}

methods! {
    /// −x.
    neg() => UnaryFunction::Negate;
    /// eˣ. Overflows to +∞ above 88.7 (f32), 709.8 (f64).
    exp() => UnaryFunction::Exp;
    /// Natural logarithm: −∞ at 0, NaN below.
    log() => UnaryFunction::Log;
    /// √x: NaN below 0; the gradient at 0 is +∞.
    sqrt() => UnaryFunction::Sqrt;
    /// x².
    square() => UnaryFunction::Square;
    /// 1/x.
    reciprocal() => UnaryFunction::Reciprocal;
    /// x to a constant power; NaN for a negative x and a power that is not whole.
    pow(power) => UnaryFunction::Power(power);
    /// |x|; the gradient at 0 is 0.
    abs() => UnaryFunction::Abs;
    /// max(x, 0); the gradient at 0 is 0.
    relu() => UnaryFunction::Relu;
    /// x above 0, slope·x below; the gradient at 0 is the slope.
    leaky_relu(slope) => UnaryFunction::LeakyRelu(slope);
    /// x above 0, alpha·(eˣ − 1) below (Clevert, Unterthiner, Hochreiter 2016).
    elu(alpha) => UnaryFunction::Elu(alpha);
    /// Hyperbolic tangent.
    tanh() => UnaryFunction::Tanh;
    /// 1/(1 + e⁻ˣ), without overflow.
    sigmoid() => UnaryFunction::Sigmoid;
    /// ln(1 + eˣ) as max(x, 0) + ln(1 + e^−|x|): exact for large |x|.
    softplus() => UnaryFunction::Softplus;
    /// Sine of an angle in radians.
    sin() => UnaryFunction::Sin;
    /// Cosine of an angle in radians.
    cos() => UnaryFunction::Cos;
    /// factor·x + offset.
    affine(factor, offset) => UnaryFunction::Affine(factor, offset);
    /// factor·x.
    scale(factor) => UnaryFunction::Affine(factor, 0.0);
    /// x + offset.
    shift(offset) => UnaryFunction::Affine(1.0, offset);
}

impl Tensor {
    /// min(max(x, low), high); the gradient is 0 outside and at the ends.
    ///
    /// # Errors
    /// `Argument` unless low ≤ high; `DType` if the tensor is not of floats; `OutOfMemory`.
    pub fn clamp(&self, low: f64, high: f64) -> Result<Self> {
        if low <= high {
            return apply_one(Elementwise(UnaryFunction::Clamp(low, high)), &[self]);
        }
        Err(Error::argument("clamp", format!("the lower limit {low} must not exceed the upper limit {high}")))
    }

    /// Applies an activation that is chosen at run time.
    ///
    /// # Errors
    /// `DType` if the tensor is not of floats; `OutOfMemory`.
    pub fn activate(&self, activation: UnaryFunction) -> Result<Self> {
        match activation {
            UnaryFunction::Identity => Ok(self.clone()),
            function => apply_one(Elementwise(function), &[self]),
        }
    }
}

//! Functions of one number, element by element: one struct, one row in a table for each function.

use rung_kernels::rng::Philox;
use rung_kernels::{DerivativeNeeds, Device, Domain, Error, Result, UnaryFunction, ViewMut};
use smallvec::smallvec;

use super::draw;
use crate::adjoint::Adjoint;
use crate::op::{
    Case, CaseInput, Declaration, Operation, Positions, Refused, Saves, Shapes, apply_one,
};
use crate::tensor::Tensor;

/// out[i] = f(x[i]);  grad_x[i] = grad_out[i] · f′(x[i]).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Elementwise(UnaryFunction);

impl Operation for Elementwise {
    fn name(&self) -> &'static str {
        method_of(self.0)
    }

    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes> {
        if let UnaryFunction::Clamp(low, high) = self.0
            && (low > high || low.is_nan() || high.is_nan())
        {
            let what = format!("the lower limit {low} must not exceed the upper limit {high}");
            return Err(Error::argument(self.name(), what));
        }
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
        adjoint
            .emit(0, |grad_x| device.unary_backward(self.0, saved.view(), grad_out.view(), grad_x))
    }

    fn declarations() -> Vec<Declaration> {
        declarations()
    }
}

/// A case of one of the functions' methods, at arguments where the function has a derivative.
fn draw_case(
    rng: &mut Philox,
    function: UnaryFunction,
    method: impl Fn(&Tensor) -> Result<Tensor> + 'static,
) -> Case {
    let shape = draw::shape(rng);
    let input = match function.domain() {
        Domain::Real => draw::uniform(rng, shape, -3.0, 3.0),
        Domain::Angle => draw::uniform(rng, shape, -6.0, 6.0),
        Domain::Positive => draw::uniform(rng, shape, 0.1, 4.0),
        Domain::Except(first, second) => {
            away_from([first, second], draw::uniform(rng, shape, -3.0, 3.0))
        }
    };
    draw::case(method_of(function), vec![input], move |x| method(&x[0]))
}

/// Moves values off kinks and poles.
fn away_from(points: [f64; 2], mut input: CaseInput) -> CaseInput {
    const GAP: f64 = 0.1;
    for value in &mut input.values {
        if let Some(point) = points.into_iter().find(|point| (*value - point).abs() < GAP) {
            let distance = *value - point;
            *value += GAP.copysign(distance);
        }
    }
    input
}

/// A function with parameters for examples.
fn example(is_it: fn(&&UnaryFunction) -> bool) -> UnaryFunction {
    *UnaryFunction::EXAMPLES
        .iter()
        .find(is_it)
        .expect("bug: a function without an example; please report it")
}

/// For each function of one number, and a missing one does not compile: its method, the method's
/// name, and the declaration for tests.
macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident $(($($parameter:ident),+))? => $variant:ident;)+) => {
        impl Tensor {
            $($(#[$doc])*
            ///
            /// # Errors
            /// `DType` if the tensor is not of floats; `OutOfMemory`.
            pub fn $name(&self $($(, $parameter: f64)+)?) -> Result<Self> {
                apply_one(Elementwise(UnaryFunction::$variant $(($($parameter),+))?), &[self])
            })+
        }

        /// The method that applies a function.
        const fn method_of(function: UnaryFunction) -> &'static str {
            match function {
                UnaryFunction::Identity =>
                    "identity", // has none: `activate` passes the tensor through
                $(UnaryFunction::$variant { .. } => stringify!($name),)+
            }
        }

        fn declarations() -> Vec<Declaration> {
            vec![$(Declaration {
                name: stringify!($name),
                case: |rng| {
                    let function = example(|function| matches!(function,
                        UnaryFunction::$variant { .. }));
                    let [$($($parameter,)+)? ..] = function.parameters();
                    draw_case(rng, function, move |x| x.$name($($($parameter),+)?))
                },
                refused: || {
                    let call = |device: &Device| {
                        let function = example(|function| matches!(function,
                            UnaryFunction::$variant { .. }));
                        let [$($($parameter,)+)? ..] = function.parameters();
                        Tensor::from_u32(device, &[1, 2], [2])?.$name($($($parameter),+)?).map(drop)
                    };
                    vec![Refused { call, message: "an operand must be of floats" }]
                },
            }),+]
        }
    };
}

methods! {
    /// −x.
    neg => Negate;
    /// eˣ. Overflows to +∞ above 88.7 (f32), 709.8 (f64).
    exp => Exp;
    /// Natural logarithm: −∞ at 0, NaN below.
    log => Log;
    /// √x: NaN below 0; the gradient at 0 is +∞.
    sqrt => Sqrt;
    /// x².
    square => Square;
    /// 1/x.
    reciprocal => Reciprocal;
    /// x to a constant power; NaN for a negative x and a power that is not whole.
    pow(power) => Power;
    /// |x|; the gradient at 0 is 0.
    abs => Abs;
    /// max(x, 0); the gradient at 0 is 0.
    relu => Relu;
    /// x above 0, slope·x below; the gradient at 0 is the slope.
    leaky_relu(slope) => LeakyRelu;
    /// x above 0, alpha·(eˣ − 1) below (Clevert, Unterthiner, Hochreiter 2016).
    elu(alpha) => Elu;
    /// Hyperbolic tangent.
    tanh => Tanh;
    /// 1/(1 + e⁻ˣ), without overflow.
    sigmoid => Sigmoid;
    /// ln(1 + eˣ) as max(x, 0) + ln(1 + e^−|x|): exact for large |x|.
    softplus => Softplus;
    /// Sine of an angle in radians.
    sin => Sin;
    /// Cosine of an angle in radians.
    cos => Cos;
    /// min(max(x, low), high); the gradient is 0 outside and at the ends.
    /// `Argument` unless low ≤ high.
    clamp(low, high) => Clamp;
    /// factor·x + offset.
    affine(factor, offset) => Affine;
}

impl Tensor {
    /// factor·x.
    ///
    /// # Errors
    /// `DType` if the tensor is not of floats; `OutOfMemory`.
    pub fn scale(&self, factor: f64) -> Result<Self> {
        self.affine(factor, 0.0)
    }

    /// x + offset.
    ///
    /// # Errors
    /// `DType` if the tensor is not of floats; `OutOfMemory`.
    pub fn shift(&self, offset: f64) -> Result<Self> {
        self.affine(1.0, offset)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Kernels are proven under the function's name, so a method of that name applies the right
    /// one.
    #[test]
    fn methods_are_called_as_their_functions() {
        for &function in UnaryFunction::EXAMPLES {
            assert_eq!(method_of(function), function.name());
        }
    }

    #[test]
    fn limits_in_the_wrong_order_are_refused() {
        let x = Tensor::from_f64(&Device::cpu(), &[1.0], [1]).unwrap();
        for (low, high) in [(2.0, 1.0), (f64::NAN, 1.0), (0.0, f64::NAN)] {
            let error = x.clamp(low, high).unwrap_err().to_string();
            assert!(error.starts_with("clamp: the lower limit"), "{error}");
        }
    }
}

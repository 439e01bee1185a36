//! The scalar functions that the element-wise primitives apply.

/// A function of one number. Parameters travel with it, so a backend sees one value.
///
/// `derivative` in the table is of `y = f(x)`; where it is written with `y`, backward needs only the result.
///
/// | function | y | dy/dx |
/// |---|---|---|
/// | `Identity` | x | 1 |
/// | `Negate` | −x | −1 |
/// | `Exp` | eˣ | y |
/// | `Log` | ln x | 1/x |
/// | `Sqrt` | √x | 1/(2y) |
/// | `Square` | x² | 2x |
/// | `Reciprocal` | 1/x | −y² |
/// | `Power(p)` | xᵖ | p xᵖ⁻¹ |
/// | `Abs` | \|x\| | sign x (0 at 0) |
/// | `Relu` | max(x, 0) | 1 if x > 0, else 0 |
/// | `LeakyRelu(s)` | x if x > 0, else s·x | 1 or s |
/// | `Elu(a)` | x if x > 0, else a(eˣ − 1) | 1 or a eˣ |
/// | `Tanh` | tanh x | 1 − y² |
/// | `Sigmoid` | 1/(1 + e⁻ˣ) | y(1 − y) |
/// | `Softplus` | max(x, 0) + ln(1 + e^−\|x\|) | sigmoid x |
/// | `Sin` | sin x | cos x |
/// | `Cos` | cos x | −sin x |
/// | `Clamp(lo, hi)` | min(max(x, lo), hi) | 1 if lo < x < hi, else 0 |
/// | `Affine(a, b)` | a·x + b | a |
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "the table above documents every variant")]
pub enum UnaryFunction {
    Identity,
    Negate,
    Exp,
    Log,
    Sqrt,
    Square,
    Reciprocal,
    Power(f64),
    Abs,
    Relu,
    LeakyRelu(f64),
    Elu(f64),
    Tanh,
    Sigmoid,
    Softplus,
    Sin,
    Cos,
    Clamp(f64, f64),
    Affine(f64, f64),
}

/// What the derivative of a function of one number is computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DerivativeNeeds {
    /// The argument x.
    Input,
    /// The value y.
    Output,
    /// Neither: the derivative is constant.
    Nothing,
}

impl UnaryFunction {
    /// What backward must keep: see the table above.
    #[must_use]
    pub const fn derivative_needs(self) -> DerivativeNeeds {
        match self {
            Self::Identity | Self::Negate | Self::Affine(..) => DerivativeNeeds::Nothing,
            Self::Exp | Self::Sqrt | Self::Reciprocal | Self::Tanh | Self::Sigmoid => DerivativeNeeds::Output,
            Self::Log
            | Self::Square
            | Self::Power(_)
            | Self::Abs
            | Self::Relu
            | Self::LeakyRelu(_)
            | Self::Elu(_)
            | Self::Softplus
            | Self::Sin
            | Self::Cos
            | Self::Clamp(..) => DerivativeNeeds::Input,
        }
    }
}

/// A function of two numbers. A comparison gives 1 where it holds and 0 where it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the definitions")]
pub enum BinaryFunction {
    Add,
    Subtract,
    Multiply,
    Divide,
    Maximum,
    Minimum,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
}

/// A reduction along an axis. `Maximum` and `Minimum` give NaN where any element is NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the definitions")]
pub enum Reduction {
    Sum,
    Mean,
    Maximum,
    Minimum,
}

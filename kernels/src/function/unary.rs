//! The table of the functions of one number.

/// Gives the table of the functions of one number to the macro `$consumer`, after `$context`, which
/// is the consumer's own.
///
/// A row has
/// - the formula and the derivative f′, as documentation,
/// - the variant of [`UnaryFunction`] with its parameters, each with an example that tests use,
/// - the name, by which kernels and messages call the function,
/// - whether it takes an exponential, a logarithm or the like, which decides how much work one
///   thread is given,
/// - the domain that tests draw arguments from,
/// - the value, for the CPU as an expression over [`Real`](crate::cpu::real::Real) with the
///   parameters by their names, and for OpenCL as an expression over vectors `V` with the
///   parameters `a` and `b`,
/// - the derivative in both forms, and what it is computed from: `Input` is x, `Output` is f(x).
///
/// A comparison with NaN is false; the branches are ordered such that NaN stays NaN, and a run that
/// goes wrong is seen. Helpers of the CPU's forms are in `cpu/scalar.rs`, those of OpenCL's in
/// `opencl/cl/functions.cl`.
macro_rules! unary_functions {
    ($consumer:ident! $context:tt) => {
        $consumer! {
            $context

            /// f(x) = x; f′ = 1.
            Identity {
                name: "identity", transcendental: false, domain: Domain::Real,
                value: |x| x, "x";
                derivative of Nothing: |_| T::ONE, "ONE";
            }
            /// f(x) = −x; f′ = −1.
            Negate {
                name: "neg", transcendental: false, domain: Domain::Real,
                value: |x| -x, "-x";
                derivative of Nothing: |_| -T::ONE, "-ONE";
            }
            /// f(x) = eˣ; f′ = f.
            Exp {
                name: "exp", transcendental: true, domain: Domain::Real,
                value: |x| x.exp(), "exp(x)";
                derivative of Output: |y| y, "y";
            }
            /// f(x) = ln x; f′ = 1/x.
            Log {
                name: "log", transcendental: true, domain: Domain::Positive,
                value: |x| x.ln(), "log(x)";
                derivative of Input: |x| T::ONE / x, "ONE / x";
            }
            /// f(x) = √x; f′ = 1/(2f).
            Sqrt {
                name: "sqrt", transcendental: false, domain: Domain::Positive,
                value: |x| x.sqrt(), "sqrt(x)";
                derivative of Output: |y| T::from_f64(0.5) / y, "HALF / y";
            }
            /// f(x) = x²; f′ = 2x.
            Square {
                name: "square", transcendental: false, domain: Domain::Real,
                value: |x| x * x, "x * x";
                derivative of Input: |x| x + x, "x + x";
            }
            /// f(x) = 1/x; f′ = −f².
            Reciprocal {
                name: "reciprocal", transcendental: false, domain: Domain::Except(0.0, 0.0),
                value: |x| T::ONE / x, "ONE / x";
                derivative of Output: |y| -(y * y), "-(y * y)";
            }
            /// f(x) = xᵖ; f′ = p·xᵖ⁻¹.
            Power(power: f64 = 2.5) {
                name: "pow", transcendental: true, domain: Domain::Positive,
                value: |x| x.powf(power), "pow(x, (V)(a))";
                derivative of Input: |x| power * x.powf(power - T::ONE), "a * pow(x, (V)(a - 1))";
            }
            /// f(x) = |x|; f′ is the sign of x (0 at 0).
            Abs {
                name: "abs", transcendental: false, domain: Domain::Except(0.0, 0.0),
                value: |x| x.abs(), "fabs(x)";
                derivative of Input: |x| sign(x), "sign_of(x)";
            }
            /// f(x) = max(x, 0); f′ = 1 where x > 0, else 0.
            Relu {
                name: "relu", transcendental: false, domain: Domain::Except(0.0, 0.0),
                value: |x| if x < T::ZERO { T::ZERO } else { x }, "x < ZERO ? ZERO : x";
                derivative of Input: |x| if x > T::ZERO { T::ONE } else { T::ZERO },
                    "x > ZERO ? ONE : ZERO";
            }
            /// f(x) = x where x > 0, else slope·x; f′ = 1 or the slope.
            LeakyRelu(slope: f64 = 0.1) {
                name: "leaky_relu", transcendental: false, domain: Domain::Except(0.0, 0.0),
                value: |x| if x > T::ZERO { x } else { slope * x }, "x > ZERO ? x : a * x";
                derivative of Input: |x| if x > T::ZERO { T::ONE } else { slope },
                    "x > ZERO ? ONE : (V)(a)";
            }
            /// f(x) = x where x > 0, else alpha·(eˣ − 1); f′ = 1 or alpha·eˣ.
            Elu(alpha: f64 = 0.7) {
                name: "elu", transcendental: true, domain: Domain::Except(0.0, 0.0),
                value: |x| positive_part(x) + alpha * negative_part(x).exp_m1(),
                    "x > ZERO ? x : a * expm1(x)";
                derivative of Input:
                    |x| above_zero(x) + below_zero(x) * (alpha * negative_part(x).exp()),
                    "x > ZERO ? ONE : a * exp(x)";
            }
            /// f(x) = tanh x; f′ = 1 − f².
            Tanh {
                name: "tanh", transcendental: true, domain: Domain::Real,
                value: |x| x.tanh(), "tanh(x)";
                derivative of Output: |y| T::ONE - y * y, "ONE - y * y";
            }
            /// f(x) = 1/(1 + e⁻ˣ); f′ = f·(1 − f).
            Sigmoid {
                name: "sigmoid", transcendental: true, domain: Domain::Real,
                value: |x| x.sigmoid(), "sigmoid_of(x)";
                derivative of Output: |y| y * (T::ONE - y), "y * (ONE - y)";
            }
            /// f(x) = max(x, 0) + ln(1 + e^−|x|); f′ = sigmoid x.
            Softplus {
                name: "softplus", transcendental: true, domain: Domain::Real,
                value: |x| x.softplus(), "softplus_of(x)";
                derivative of Input: |x| x.sigmoid(), "sigmoid_of(x)";
            }
            /// f(x) = sin x; f′ = cos x.
            Sin {
                name: "sin", transcendental: true, domain: Domain::Angle,
                value: |x| x.sin(), "sin(x)";
                derivative of Input: |x| x.cos(), "cos(x)";
            }
            /// f(x) = cos x; f′ = −sin x.
            Cos {
                name: "cos", transcendental: true, domain: Domain::Angle,
                value: |x| x.cos(), "cos(x)";
                derivative of Input: |x| -x.sin(), "-sin(x)";
            }
            /// f(x) = min(max(x, low), high); f′ = 1 where low < x < high, else 0.
            Clamp(low: f64 = -0.5, high: f64 = 1.25) {
                name: "clamp", transcendental: false, domain: Domain::Except(low, high),
                value: |x| clamp(x, low, high), "clamped(x, a, b)";
                derivative of Input: |x| if x > low && x < high { T::ONE } else { T::ZERO },
                    "(x > (V)(a)) && (x < (V)(b)) ? ONE : ZERO";
            }
            /// f(x) = factor·x + offset; f′ = factor.
            Affine(factor: f64 = 2.5, offset: f64 = -0.75) {
                name: "affine", transcendental: false, domain: Domain::Real,
                value: |x| factor * x + offset, "a * x + b";
                derivative of Nothing: |_| factor, "(V)(a)";
            }
        }
    };
}

pub(crate) use unary_functions;

/// What the derivative of a function of one number is computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DerivativeNeeds {
    /// The argument x.
    Input,
    /// The value f(x).
    Output,
    /// Neither: the derivative is constant.
    Nothing,
}

/// Where a function is defined and has a derivative: tests draw its arguments from there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Domain {
    /// All numbers.
    Real,
    /// All numbers, large ones as well: the function is periodic.
    Angle,
    /// The numbers above zero.
    Positive,
    /// All numbers but two (or one, twice), where the function has a kink or a pole.
    Except(f64, f64),
}

/// The enum, and what is read off the table without arithmetic.
macro_rules! define {
    ({} $(
        $(#[$doc:meta])*
        $variant:ident $(($($parameter:ident: $type:ty = $example:literal),+))? {
            name: $name:literal, transcendental: $transcendental:literal, domain: $domain:expr,
            value: |$x:pat_param| $value:expr, $cl_value:literal;
            derivative of $needs:ident: |$saved:pat_param| $derivative:expr, $cl_derivative:literal;
        }
    )+) => {
        /// A function of one number. Parameters travel with it, so a backend sees one value.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum UnaryFunction {
            $($(#[$doc])* $variant $(($($type),+))?,)+
        }

        impl UnaryFunction {
            /// Every function once, with parameters for examples.
            pub const EXAMPLES: &'static [Self] = &[$(Self::$variant $(($($example),+))?),+];

            /// The name, by which kernels and messages call the function.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant { .. } => $name),+ }
            }

            /// What backward must keep: the argument, the value or neither.
            #[must_use]
            pub const fn derivative_needs(self) -> DerivativeNeeds {
                match self { $(Self::$variant { .. } => DerivativeNeeds::$needs),+ }
            }

            /// Where the function is defined and has a derivative.
            #[must_use]
            #[allow(unused_variables, reason = "only some domains depend on parameters")]
            pub const fn domain(self) -> Domain {
                match self { $(Self::$variant $(($($parameter),+))? => $domain),+ }
            }

            /// The parameters in their order, then zeros.
            #[must_use]
            pub const fn parameters(self) -> [f64; 2] {
                match self { $(Self::$variant $(($($parameter),+))? =>
                    pair(&[$($($parameter),+)?])),+ }
            }

            /// Whether it takes an exponential, a logarithm or the like.
            pub(crate) const fn is_transcendental(self) -> bool {
                match self { $(Self::$variant { .. } => $transcendental),+ }
            }
        }

        /// The functions in OpenCL C, each a line that `opencl/cl/functions.cl` defines the meaning
        /// of, and a list of them for the kernels that are written once for each.
        pub(crate) const UNARY_KERNELS: &str = concat!(
            $("FUNCTION_OF_", stringify!($needs), "(", $name, ", ", $cl_value, ", ", $cl_derivative,
                ")\n",)+
            "#define FOR_EACH_FUNCTION(WITH)", $(" WITH(", $name, ")",)+ "\n"
        );
    };
}

unary_functions!(define! {});

/// Up to two parameters, the missing ones as 0.
const fn pair(parameters: &[f64]) -> [f64; 2] {
    match *parameters {
        [] => [0.0, 0.0],
        [one] => [one, 0.0],
        [first, second, ..] => [first, second],
    }
}

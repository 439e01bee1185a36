//! The functions of one number as types, so that a loop is compiled for each of them.

use super::real::Real;
use crate::UnaryFunction;
use crate::function::unary_functions;

/// A function of one number with its derivative.
pub(super) trait Scalar<T>: Copy + Send + Sync {
    /// f(x).
    fn value(self, x: T) -> T;
    /// f′, from x or from f(x) as `UnaryFunction::derivative_needs` says.
    fn derivative(self, saved: T) -> T;
    /// f′(x).
    fn derivative_at(self, x: T) -> T;
}

/// A type for each row of the table, which holds the parameters.
macro_rules! scalars {
    ({} $(
        $(#[$doc:meta])*
        $variant:ident $(($($parameter:ident: $type:ty = $example:literal),+))? {
            name: $name:literal, transcendental: $transcendental:literal, domain: $domain:expr,
            value: |$x:pat_param| $value:expr, $cl_value:literal;
            derivative of $needs:ident: |$saved:pat_param| $derivative:expr, $cl_derivative:literal;
        }
    )+) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy)]
            pub(super) struct $variant<T>([T; 2]);

            impl<T: Real> $variant<T> {
                #[inline(always)]
                pub(super) fn new(parameters: [f64; 2]) -> Self {
                    Self(parameters.map(T::from_f64))
                }
            }

            impl<T: Real> Scalar<T> for $variant<T> {
                #[inline(always)]
                fn value(self, $x: T) -> T {
                    let [$($($parameter,)+)? ..] = self.0;
                    $value
                }

                #[inline(always)]
                #[allow(unused_variables, reason = "only some derivatives depend on the \
                parameters")]
                fn derivative(self, $saved: T) -> T {
                    let [$($($parameter,)+)? ..] = self.0;
                    $derivative
                }

                #[inline(always)]
                fn derivative_at(self, x: T) -> T {
                    scalars!(@saved $needs, self, x)
                }
            }
        )+
    };
    (@saved Output, $self:ident, $x:ident) => { $self.derivative($self.value($x)) };
    (@saved $needs:ident, $self:ident, $x:ident) => { $self.derivative($x) };
}

unary_functions!(scalars! {});

// Parts of a function that is one thing above zero and another below, computed side by side: where
// the exponential stood in a branch, the loop over it did not become vector code.

/// x above zero, else 0.
#[inline(always)]
fn positive_part<T: Real>(x: T) -> T {
    if x > T::ZERO { x } else { T::ZERO }
}

/// 0 above zero, else x; NaN stays NaN.
#[inline(always)]
fn negative_part<T: Real>(x: T) -> T {
    if x > T::ZERO { T::ZERO } else { x }
}

/// 1 above zero, else 0.
#[inline(always)]
fn above_zero<T: Real>(x: T) -> T {
    if x > T::ZERO { T::ONE } else { T::ZERO }
}

/// 0 above zero, else 1.
#[inline(always)]
fn below_zero<T: Real>(x: T) -> T {
    if x > T::ZERO { T::ZERO } else { T::ONE }
}

/// 1, −1 or, at 0, 0.
#[inline(always)]
fn sign<T: Real>(x: T) -> T {
    let magnitude = if x < T::ZERO { -T::ONE } else { T::ZERO };
    if x > T::ZERO { T::ONE } else { magnitude }
}

/// min(max(x, low), high); NaN stays NaN.
#[inline(always)]
pub(super) fn clamp<T: Real>(x: T, low: T, high: T) -> T {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

/// Runs a body with `$f` the type of a `UnaryFunction`, for the float type `$float`.
macro_rules! with_scalar {
    ({ $float:ty, $function:expr, $f:ident, $body:expr } $(
        $(#[$doc:meta])*
        $variant:ident $(($($parameters:tt)+))? { $($row:tt)+ }
    )+) => {{
        let function: $crate::UnaryFunction = $function;
        match function {
            $($crate::UnaryFunction::$variant { .. } => {
                let $f = $crate::cpu::scalar::$variant::<$float>::new(function.parameters());
                $body
            })+
        }
    }};
    ($float:ty, $function:expr, |$f:ident| $body:expr) => {
        $crate::function::unary_functions!(with_scalar! { $float, $function, $f, $body })
    };
}

/// Any function, chosen anew for each number: slow, for loops that aren't worth a copy for every
/// function.
#[derive(Clone, Copy)]
pub(super) struct Any(pub(super) UnaryFunction);

impl<T: Real> Scalar<T> for Any {
    #[inline(never)]
    fn value(self, x: T) -> T {
        with_scalar!(T, self.0, |f| f.value(x))
    }

    #[inline(never)]
    fn derivative(self, saved: T) -> T {
        with_scalar!(T, self.0, |f| f.derivative(saved))
    }

    #[inline(never)]
    fn derivative_at(self, x: T) -> T {
        with_scalar!(T, self.0, |f| f.derivative_at(x))
    }
}

/// [`with_scalar`] with a copy of the body for the activations that networks use, and one for all
/// others.
macro_rules! with_activation {
    ($float:ty, $function:expr, |$f:ident| $body:expr) => {
        $crate::cpu::scalar::with_activation!(
            @arms [Identity Relu LeakyRelu Elu Tanh Softplus] $float, $function, $f, $body
        )
    };
    (@arms [$($variant:ident)+] $float:ty, $function:expr, $f:ident, $body:expr) => {{
        let function: $crate::UnaryFunction = $function;
        match function {
            $($crate::UnaryFunction::$variant { .. } => {
                let $f = $crate::cpu::scalar::$variant::<$float>::new(function.parameters());
                $body
            })+
            _ => {
                let $f = $crate::cpu::scalar::Any(function);
                $body
            }
        }
    }};
}

pub(super) use {with_activation, with_scalar};

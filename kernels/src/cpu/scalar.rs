//! The functions of one number as types, so that a loop is compiled for each of them.

use super::real::Real;
use crate::UnaryFunction;

/// A function of one number with its slope.
pub(super) trait Scalar<T>: Copy + Send + Sync {
    /// f(x).
    fn value(self, x: T) -> T;
    /// f′, from x or from f(x) as `UnaryFunction::derivative_needs` says.
    fn slope(self, saved: T) -> T;
    /// f′(x).
    fn slope_at(self, x: T) -> T;
}

/// One line for each function: name, what the slope is computed from, value, slope. `[a, b]` are the parameters.
macro_rules! scalars {
    ($($name:ident from $needs:ident: |$a:pat_param, $x:pat_param| $value:expr, |$b:pat_param, $saved:pat_param| $slope:expr;)+) => {
        $(
            #[doc = concat!("`UnaryFunction::", stringify!($name), "`.")]
            #[derive(Clone, Copy)]
            pub(super) struct $name<T>(pub(super) [T; 2]);

            impl<T: Real> Scalar<T> for $name<T> {
                #[inline(always)]
                fn value(self, x: T) -> T {
                    let ($a, $x) = (self.0, x);
                    $value
                }

                #[inline(always)]
                fn slope(self, saved: T) -> T {
                    let ($b, $saved) = (self.0, saved);
                    $slope
                }

                #[inline(always)]
                fn slope_at(self, x: T) -> T {
                    scalars!(@slope_at $needs, self, x)
                }
            }
        )+
    };
    (@slope_at input, $self:ident, $x:ident) => { $self.slope($x) };
    (@slope_at output, $self:ident, $x:ident) => { $self.slope($self.value($x)) };
}

// A comparison with NaN is false; the branches are ordered such that NaN stays NaN, and a run that goes wrong is seen.
scalars! {
    Identity from input: |_, x| x, |_, _| T::ONE;
    Negate from input: |_, x| -x, |_, _| -T::ONE;
    Exp from output: |_, x| x.exp(), |_, y| y;
    Log from input: |_, x| x.ln(), |_, x| T::ONE / x;
    Sqrt from output: |_, x| x.sqrt(), |_, y| T::from_f64(0.5) / y;
    Square from input: |_, x| x * x, |_, x| x + x;
    Reciprocal from output: |_, x| T::ONE / x, |_, y| -(y * y);
    Power from input: |[p, _], x| x.powf(p), |[p, _], x| p * x.powf(p - T::ONE);
    Abs from input: |_, x| x.abs(), |_, x| sign(x);
    Relu from input: |_, x| if x < T::ZERO { T::ZERO } else { x }, |_, x| if x > T::ZERO { T::ONE } else { T::ZERO };
    LeakyRelu from input: |[s, _], x| if x > T::ZERO { x } else { s * x }, |[s, _], x| if x > T::ZERO { T::ONE } else { s };
    Elu from input: |[a, _], x| positive_part(x) + a * negative_part(x).exp_m1(), |[a, _], x| above_zero(x) + below_zero(x) * (a * negative_part(x).exp());
    Tanh from output: |_, x| x.tanh(), |_, y| T::ONE - y * y;
    Sigmoid from output: |_, x| x.sigmoid(), |_, y| y * (T::ONE - y);
    Softplus from input: |_, x| x.softplus(), |_, x| x.sigmoid();
    Sin from input: |_, x| x.sin(), |_, x| x.cos();
    Cos from input: |_, x| x.cos(), |_, x| -x.sin();
    Clamp from input: |[low, high], x| clamp(x, low, high), |[low, high], x| if x > low && x < high { T::ONE } else { T::ZERO };
    Affine from input: |[a, b], x| a * x + b, |[a, _], _| a;
}

// Parts of a function that is one thing above zero and another below, computed side by side: where the exponential stood in a branch, the
// loop over it did not become vector code.

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
    ($float:ty, $function:expr, |$f:ident| $body:expr) => {
        $crate::cpu::scalar::with_scalar!(@arms $float, $function, $f, $body,
            [Identity Negate Exp Log Sqrt Square Reciprocal Abs Relu Tanh Sigmoid Softplus Sin Cos] [Power LeakyRelu Elu] [Clamp Affine])
    };
    (@arms $float:ty, $function:expr, $f:ident, $body:expr, [$($plain:ident)+] [$($one:ident)+] [$($two:ident)+]) => {{
        use $crate::UnaryFunction as Function;
        use $crate::cpu::scalar;
        let pair = |a: f64, b: f64| [<$float>::from_f64(a), <$float>::from_f64(b)];
        match $function {
            $(Function::$plain => { let $f = scalar::$plain(pair(0.0, 0.0)); $body })+
            $(Function::$one(a) => { let $f = scalar::$one(pair(a, 0.0)); $body })+
            $(Function::$two(a, b) => { let $f = scalar::$two(pair(a, b)); $body })+
        }
    }};
}

/// Any function, chosen anew for each number: slow, for loops that aren't worth a copy for every function.
#[derive(Clone, Copy)]
pub(super) struct Any(pub(super) UnaryFunction);

impl<T: Real> Scalar<T> for Any {
    #[inline(never)]
    fn value(self, x: T) -> T {
        with_scalar!(T, self.0, |f| f.value(x))
    }

    #[inline(never)]
    fn slope(self, saved: T) -> T {
        with_scalar!(T, self.0, |f| f.slope(saved))
    }

    #[inline(never)]
    fn slope_at(self, x: T) -> T {
        with_scalar!(T, self.0, |f| f.slope_at(x))
    }
}

/// [`with_scalar`] with a copy of the body for the activations that networks use, and one for all others.
macro_rules! with_activation {
    ($float:ty, $function:expr, |$f:ident| $body:expr) => {
        match $function {
            $crate::UnaryFunction::Identity => {
                let $f = $crate::cpu::scalar::Identity([<$float>::ZERO; 2]);
                $body
            }
            $crate::UnaryFunction::Relu => {
                let $f = $crate::cpu::scalar::Relu([<$float>::ZERO; 2]);
                $body
            }
            $crate::UnaryFunction::LeakyRelu(s) => {
                let $f = $crate::cpu::scalar::LeakyRelu([<$float>::from_f64(s); 2]);
                $body
            }
            $crate::UnaryFunction::Elu(a) => {
                let $f = $crate::cpu::scalar::Elu([<$float>::from_f64(a); 2]);
                $body
            }
            $crate::UnaryFunction::Tanh => {
                let $f = $crate::cpu::scalar::Tanh([<$float>::ZERO; 2]);
                $body
            }
            $crate::UnaryFunction::Softplus => {
                let $f = $crate::cpu::scalar::Softplus([<$float>::ZERO; 2]);
                $body
            }
            function => {
                let $f = $crate::cpu::scalar::Any(function);
                $body
            }
        }
    };
}

pub(super) use {with_activation, with_scalar};

//! The float types the CPU's primitives are generic over.

use std::fmt::{Debug, Display};
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

use super::math;
use crate::rng;

pub use super::simd::{VectorUnit, vectorised_with};

/// A float type with the functions the primitives need. The f32 functions are branch-free, so that
/// loops over them vectorise; see `math.rs`.
pub trait Real:
    Copy
    + Send
    + Sync
    + 'static
    + bytemuck::Pod
    + Debug
    + Display
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// −∞.
    const NEG_INFINITY: Self;
    /// The nearest value of this type.
    fn from_f64(value: f64) -> Self;
    /// The same value in f64.
    fn to_f64(self) -> f64;
    /// eˣ.
    fn exp(self) -> Self;
    /// ln x.
    fn ln(self) -> Self;
    /// ln(1 + x).
    fn ln_1p(self) -> Self;
    /// eˣ − 1.
    fn exp_m1(self) -> Self;
    /// The largest whole number that is not above x.
    fn floor(self) -> Self;
    /// √x.
    fn sqrt(self) -> Self;
    /// tanh x.
    fn tanh(self) -> Self;
    /// sin x.
    fn sin(self) -> Self;
    /// cos x.
    fn cos(self) -> Self;
    /// xᵖ.
    fn powf(self, power: Self) -> Self;
    /// |x|.
    fn abs(self) -> Self;
    /// The larger of two numbers (either, if one is NaN).
    fn max(self, other: Self) -> Self;
    /// The smaller of two numbers (either, if one is NaN).
    fn min(self, other: Self) -> Self;

    /// 1/(1 + e⁻ˣ), without overflow.
    fn sigmoid(self) -> Self;
    /// max(x, 0) + ln(1 + e^−|x|).
    fn softplus(self) -> Self;
    /// The uniform sample on (0, 1) of a random word: never 0, never 1.
    fn uniform(word: u32) -> Self;
    /// The four standard normal samples of four random words: [`rng::normal_quad`], in this type's
    /// accuracy.
    fn normal_quad(words: [u32; 4]) -> [Self; 4];
}

/// Functions that the standard library has for both types and that compile to instructions, or to
/// calls nobody needs fast.
macro_rules! common_functions {
    ($float:ty) => {
        const ZERO: Self = 0.0;
        const ONE: Self = 1.0;
        const NEG_INFINITY: Self = <$float>::NEG_INFINITY;

        #[inline(always)]
        fn from_f64(value: f64) -> Self {
            value as $float
        }

        #[inline(always)]
        fn to_f64(self) -> f64 {
            self as f64
        }

        #[inline(always)]
        fn floor(self) -> Self {
            <$float>::floor(self)
        }

        #[inline(always)]
        fn sqrt(self) -> Self {
            <$float>::sqrt(self)
        }

        #[inline(always)]
        fn powf(self, power: Self) -> Self {
            <$float>::powf(self, power)
        }

        #[inline(always)]
        fn abs(self) -> Self {
            <$float>::abs(self)
        }

        #[inline(always)]
        fn max(self, other: Self) -> Self {
            <$float>::max(self, other)
        }

        #[inline(always)]
        fn min(self, other: Self) -> Self {
            <$float>::min(self, other)
        }
    };
}

/// Functions of one number that `$module` has under their own names.
macro_rules! functions_of {
    ($module:ident, $($function:ident),*) => {
        $(
            #[inline(always)]
            fn $function(self) -> Self {
                $module::$function(self)
            }
        )*
    };
}

impl Real for f32 {
    common_functions!(f32);
    functions_of!(math, exp, ln, ln_1p, exp_m1, tanh, sin, cos, sigmoid, softplus);

    #[inline(always)]
    fn uniform(word: u32) -> Self {
        math::uniform(word)
    }

    #[inline(always)]
    fn normal_quad(words: [u32; 4]) -> [Self; 4] {
        math::normal_quad(words)
    }
}

/// Accuracy first: the functions of the standard library, which do not vectorise.
impl Real for f64 {
    common_functions!(f64);
    functions_of!(f64, exp, ln, ln_1p, exp_m1, tanh, sin, cos);

    #[inline(always)]
    fn sigmoid(self) -> Self {
        let small = (-self.abs()).exp();
        let numerator = if self >= 0.0 { 1.0 } else { small };
        numerator / (1.0 + small)
    }

    #[inline(always)]
    fn softplus(self) -> Self {
        let positive = if self > 0.0 { self } else { 0.0 };
        positive + (-self.abs()).exp().ln_1p()
    }

    #[inline(always)]
    fn uniform(word: u32) -> Self {
        rng::uniform_from_word(word)
    }

    #[inline(always)]
    fn normal_quad(words: [u32; 4]) -> [Self; 4] {
        rng::normal_quad(words)
    }
}

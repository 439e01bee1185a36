//! From the views of the contract to typed slices: every check of dtypes and lengths is made here,
//! before anything is written.

use std::ops::Range;

use super::gemm::{self, Epilogue};
use super::optimiser::Clip;
use super::real::Real;
use super::simd;
use crate::backend::{
    BatchNormVectors, BatchStatistics, Clipping, Convolution, GaussianGradient, GaussianView,
    RunningStatistics,
};
pub(super) use crate::check::{
    Extent, Operand, check, check_indices, operands, row_count, rows_before_repeat, unequal_dtypes,
};
use crate::{DType, Error, MatmulShape, Precision, Result, View, ViewMut};

/// The float types the primitives compute with.
///
/// f64 is for proofs, not for speed: its loops are compiled for the baseline only, which halves the
/// size of the crate's code.
pub(super) trait Float: Real {
    /// Runs `body` compiled for the widest vector unit worth it for this type; see
    /// [`simd::vectorised`] for what `body` must be.
    fn vectorised<R>(body: impl FnOnce() -> R) -> R;
    /// The elements of a view of this type.
    fn slice(view: View<'_>) -> &[Self];
    /// The elements of a view of this type, for writing.
    fn slice_mut(view: ViewMut<'_>) -> &mut [Self];
    /// The matrix product: [`gemm::matmul`].
    fn product(
        shape: MatmulShape,
        precision: Precision,
        left: &[Self],
        right: &[Self],
        epilogue: Epilogue<'_, Self>,
        out: &mut [Self],
    );
    /// A convolution: [`gemm::convolve`].
    fn convolve(
        sizes: &Convolution,
        x: &[Self],
        weight: &[Self],
        bias: Option<&[Self]>,
        out: &mut [Self],
    );
    /// Its adjoint in the map: [`gemm::convolve_transposed`].
    fn convolve_transposed(
        sizes: &Convolution,
        y: &[Self],
        weight: &[Self],
        bias: Option<&[Self]>,
        out: &mut [Self],
    );
    /// Its adjoint in the weight: [`gemm::correlate_weight`].
    fn correlate_weight(
        sizes: &Convolution,
        x: &[Self],
        grad_out: &[Self],
        grad_weight: &mut [Self],
    );
}

macro_rules! float {
    ($float:ty, $variant:ident, $vectorised:path) => {
        impl Float for $float {
            #[inline(always)]
            fn vectorised<R>(body: impl FnOnce() -> R) -> R {
                $vectorised(body)
            }

            #[inline]
            fn slice(view: View<'_>) -> &[Self] {
                let View::$variant(slice) = view else {
                    panic!("bug: {} after its check; please report it", view.dtype())
                };
                slice
            }

            #[inline]
            fn slice_mut(view: ViewMut<'_>) -> &mut [Self] {
                match view {
                    ViewMut::$variant(slice) => slice,
                    _ => panic!("bug: {} after its check; please report it", view.dtype()),
                }
            }

            fn product(
                shape: MatmulShape,
                precision: Precision,
                left: &[Self],
                right: &[Self],
                epilogue: Epilogue<'_, Self>,
                out: &mut [Self],
            ) {
                gemm::matmul(shape, precision, left, right, epilogue, out);
            }

            fn convolve(
                sizes: &Convolution,
                x: &[Self],
                weight: &[Self],
                bias: Option<&[Self]>,
                out: &mut [Self],
            ) {
                gemm::convolve(sizes, x, weight, bias, out);
            }

            fn convolve_transposed(
                sizes: &Convolution,
                y: &[Self],
                weight: &[Self],
                bias: Option<&[Self]>,
                out: &mut [Self],
            ) {
                gemm::convolve_transposed(sizes, y, weight, bias, out);
            }

            fn correlate_weight(
                sizes: &Convolution,
                x: &[Self],
                grad_out: &[Self],
                grad_weight: &mut [Self],
            ) {
                gemm::correlate_weight(sizes, x, grad_out, grad_weight);
            }
        }
    };
}

float!(f32, F32, simd::vectorised);
float!(f64, F64, baseline);

#[inline(always)]
fn baseline<R>(body: impl FnOnce() -> R) -> R {
    body()
}

/// An operand that becomes slices of one float type.
pub(super) trait Typed: Operand {
    /// The operand as slices of `T`.
    type As<T: Float>;
    /// The slices; the dtype has been checked.
    fn typed<T: Float>(self) -> Self::As<T>;
}

impl<'a> Typed for View<'a> {
    type As<T: Float> = &'a [T];

    #[inline]
    fn typed<T: Float>(self) -> &'a [T] {
        T::slice(self)
    }
}

impl<'a> Typed for ViewMut<'a> {
    type As<T: Float> = &'a mut [T];

    #[inline]
    fn typed<T: Float>(self) -> &'a mut [T] {
        T::slice_mut(self)
    }
}

impl<O: Typed> Typed for Option<O> {
    type As<T: Float> = Option<O::As<T>>;

    #[inline]
    fn typed<T: Float>(self) -> Option<O::As<T>> {
        self.map(O::typed::<T>)
    }
}

/// A bundle of the contract, the same bundle of slices, and the way from one to the other.
macro_rules! bundle {
    ($(#[$doc:meta])* $bundle:ident => $name:ident { $($field:ident: $type:ty),+ }) => {
        $(#[$doc])*
        pub(super) struct $name<'a, T> {
            $(pub(super) $field: $type,)+
        }

        impl<'a> Typed for $bundle<'a> {
            type As<T: Float> = $name<'a, T>;

            #[inline]
            fn typed<T: Float>(self) -> $name<'a, T> {
                $name { $($field: self.$field.typed::<T>()),+ }
            }
        }
    };
}

bundle! {
    /// Slices of a [`GaussianView`].
    #[derive(Clone, Copy)]
    GaussianView => Gaussian { mean: &'a [T], variance: &'a [T] }
}

bundle! {
    /// Slices of a [`GaussianGradient`].
    GaussianGradient => GaussianAdjoint { mean: Option<&'a mut [T]>, variance: Option<&'a mut [T]> }
}

bundle! {
    /// Slices of [`BatchNormVectors`].
    #[derive(Clone, Copy)]
    BatchNormVectors =>
        NormVectors { mean: &'a [T], variance: &'a [T], scale: &'a [T], shift: &'a [T] }
}

impl<T> NormVectors<'_, T> {
    /// Those of some columns.
    pub(super) fn columns(self, range: Range<usize>) -> Self {
        Self {
            mean: &self.mean[range.clone()],
            variance: &self.variance[range.clone()],
            scale: &self.scale[range.clone()],
            shift: &self.shift[range],
        }
    }
}

bundle! {
    /// Slices of [`BatchStatistics`].
    BatchStatistics =>
        Statistics { mean: &'a mut [T], variance: &'a mut [T], running: Option<Running<'a, T>> }
}

/// Slices of [`RunningStatistics`], and the weight.
pub(super) struct Running<'a, T> {
    pub(super) mean: &'a mut [T],
    pub(super) variance: &'a mut [T],
    pub(super) weight: f64,
}

impl<'a> Typed for RunningStatistics<'a> {
    type As<T: Float> = Running<'a, T>;

    #[inline]
    fn typed<T: Float>(self) -> Running<'a, T> {
        Running {
            mean: T::slice_mut(self.mean),
            variance: T::slice_mut(self.variance),
            weight: self.weight,
        }
    }
}

impl<'a> Typed for Clipping<'a> {
    type As<T: Float> = Clip<T>;

    /// Reads the norm.
    #[inline]
    fn typed<T: Float>(self) -> Clip<T> {
        Clip::new(T::slice(self.squared_norm)[0].to_f64(), self.norm_limit, self.element_limit)
    }
}

/// Runs a body with the operands as slices of their common float type, or refuses them.
macro_rules! for_float {
    ($operation:expr, ($($operand:ident),+) => $body:expr) => {
        match $crate::cpu::typed::common_float($operation,
            $crate::check::operands!($($operand),+))? {
            $crate::DType::F32 => {
                $(let $operand = $crate::cpu::typed::Typed::typed::<f32>($operand);)+
                $body
            }
            _ => {
                $(let $operand = $crate::cpu::typed::Typed::typed::<f64>($operand);)+
                $body
            }
        }
    };
}

/// Runs a body with two views as slices of their common type, whichever it is, or refuses them.
macro_rules! for_any {
    ($operation:expr, $x:ident, $out:ident => $body:expr) => {
        match ($x, $out) {
            ($crate::View::F32($x), $crate::ViewMut::F32($out)) => $body,
            ($crate::View::F64($x), $crate::ViewMut::F64($out)) => $body,
            ($crate::View::U8($x), $crate::ViewMut::U8($out)) => $body,
            ($crate::View::U32($x), $crate::ViewMut::U32($out)) => $body,
            (x, out) => return Err($crate::cpu::typed::why_not_slices($operation, x, &out)),
        }
    };
}

pub(super) use {for_any, for_float};

/// The float type that all operands have; they must lie in the CPU's memory.
pub(super) fn common_float(
    operation: &'static str,
    operands: &[(&'static str, &dyn Operand)],
) -> Result<DType> {
    on_host(operation, operands)?;
    crate::check::common_float(operation, operands)
}

/// Refuses operands in the memory of another device.
pub(super) fn on_host(
    operation: &'static str,
    operands: &[(&'static str, &dyn Operand)],
) -> Result<()> {
    let mut elsewhere = None;
    for (_, operand) in operands {
        operand.each(&mut |view| {
            if let View::Device(slice) = view {
                elsewhere.get_or_insert_with(|| slice.memory.device_name().to_owned());
            }
        });
    }
    elsewhere
        .map_or(Ok(()), |right| Err(Error::Device { operation, left: "cpu".to_owned(), right }))
}

/// Why two views are not slices of one type.
pub(super) fn why_not_slices(operation: &'static str, x: View<'_>, out: &ViewMut<'_>) -> Error {
    on_host(operation, &[("x", &x), ("out", out)])
        .err()
        .unwrap_or_else(|| unequal_dtypes(operation, x.dtype(), out.dtype()))
}

/// The elements of a view of indices or labels.
pub(super) fn indices_of<'a>(
    operation: &'static str,
    name: &'static str,
    view: View<'a>,
) -> Result<&'a [u32]> {
    match view {
        View::U32(slice) => Ok(slice),
        _ => {
            on_host(operation, &[(name, &view)])?;
            Err(crate::check::not_indices(operation, name, view.dtype()))
        }
    }
}

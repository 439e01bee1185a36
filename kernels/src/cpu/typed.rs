//! From the views of the contract to typed slices: every check of dtypes and lengths is made here, before anything is written.

use std::fmt;

use super::matmul::{self, Epilogue, MatmulShape};
use super::real::Real;
use super::simd;
use crate::backend::{BatchNormVectors, GaussianGradient, GaussianView, Matrix};
use crate::{AxisExtent, DType, Error, Result, View, ViewMut};

/// The float types the primitives compute with.
///
/// f64 is for proofs, not for speed: its loops are compiled for the baseline only, which halves the size of the crate's code.
pub(super) trait Float: Real {
    /// Runs `body` compiled for the widest vector unit worth it for this type; see [`simd::vectorised`] for what `body` must be.
    fn vectorised<R>(body: impl FnOnce() -> R) -> R;
    /// The elements of a view of this type.
    fn slice(view: View<'_>) -> &[Self];
    /// The elements of a view of this type, for writing.
    fn slice_mut(view: ViewMut<'_>) -> &mut [Self];
    /// The matrix product: [`matmul::matmul`].
    fn product(shape: MatmulShape, left: &[Self], right: &[Self], epilogue: Epilogue<'_, Self>, out: &mut [Self]);
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
                left: &[Self],
                right: &[Self],
                epilogue: Epilogue<'_, Self>,
                out: &mut [Self],
            ) {
                matmul::matmul(shape, left, right, epilogue, out);
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

/// What a primitive is given: one view, or several under one name.
pub(super) trait Operand {
    /// Shows the dtype and the length of each view in it.
    fn each(&self, see: &mut dyn FnMut(DType, usize));
}

/// An operand that becomes slices of one float type.
pub(super) trait Typed: Operand {
    /// The operand as slices of `T`.
    type As<T: Float>;
    /// The slices; the dtype has been checked.
    fn typed<T: Float>(self) -> Self::As<T>;
}

impl Operand for View<'_> {
    fn each(&self, see: &mut dyn FnMut(DType, usize)) {
        see(self.dtype(), self.len());
    }
}

impl<'a> Typed for View<'a> {
    type As<T: Float> = &'a [T];

    #[inline]
    fn typed<T: Float>(self) -> &'a [T] {
        T::slice(self)
    }
}

impl Operand for ViewMut<'_> {
    fn each(&self, see: &mut dyn FnMut(DType, usize)) {
        see(self.dtype(), self.len());
    }
}

impl<'a> Typed for ViewMut<'a> {
    type As<T: Float> = &'a mut [T];

    #[inline]
    fn typed<T: Float>(self) -> &'a mut [T] {
        T::slice_mut(self)
    }
}

impl<O: Operand> Operand for Option<O> {
    fn each(&self, see: &mut dyn FnMut(DType, usize)) {
        if let Some(operand) = self {
            operand.each(see);
        }
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

        impl Operand for $bundle<'_> {
            fn each(&self, see: &mut dyn FnMut(DType, usize)) {
                $(self.$field.each(see);)+
            }
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
    BatchNormVectors => NormVectors { mean: &'a [T], variance: &'a [T], scale: &'a [T], shift: &'a [T] }
}

/// The length that arrays must have, and why.
#[derive(Clone, Copy, Debug)]
pub(super) enum Extent {
    /// One number for each row.
    Rows(usize),
    /// One number for each column.
    Columns(usize),
    /// So many numbers.
    Elements(usize),
    /// A whole matrix.
    Matrix(Matrix),
    /// An array seen along an axis.
    Axis(AxisExtent),
    /// That array without its axis.
    AroundAxis(AxisExtent),
    /// As long as another array.
    Like(&'static str, usize),
}

impl Extent {
    /// Elements, or `None` if there are more than can be counted.
    fn len(self) -> Option<usize> {
        match self {
            Self::Rows(count) | Self::Columns(count) | Self::Elements(count) | Self::Like(_, count) => Some(count),
            Self::Matrix(matrix) => matrix.rows.checked_mul(matrix.columns),
            Self::Axis(extent) => extent.outer.checked_mul(extent.axis)?.checked_mul(extent.inner),
            Self::AroundAxis(extent) => extent.outer.checked_mul(extent.inner),
        }
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Like(other, count) => return write!(f, "{other} has {count}"),
            Self::Elements(count) => return write!(f, "{count} are needed"),
            Self::Rows(count) => write!(f, "{count} rows")?,
            Self::Columns(count) => write!(f, "{count} columns")?,
            Self::Matrix(matrix) => write!(f, "{} rows of {} columns", matrix.rows, matrix.columns)?,
            Self::Axis(extent) => write!(f, "{} × {} × {}", extent.outer, extent.axis, extent.inner)?,
            Self::AroundAxis(extent) => write!(f, "{} × {}", extent.outer, extent.inner)?,
        }
        match self.len() {
            Some(count) => write!(f, " need {count}"),
            None => f.write_str(" are more than can be counted"),
        }
    }
}

/// Operands with their names, for the checks.
macro_rules! operands {
    ($($operand:ident),+) => {
        &[$((stringify!($operand), &$operand as &dyn $crate::cpu::typed::Operand)),+]
    };
}

/// Runs a body with the operands as slices of their common float type, or refuses them.
macro_rules! for_float {
    ($operation:expr, ($($operand:ident),+) => $body:expr) => {
        match $crate::cpu::typed::common_float($operation, $crate::cpu::typed::operands!($($operand),+))? {
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
            (x, out) => return Err($crate::cpu::typed::unequal_dtypes($operation, x.dtype(), out.dtype())),
        }
    };
}

pub(super) use {for_any, for_float, operands};

/// The float type that all operands have.
pub(super) fn common_float(operation: &'static str, operands: &[(&'static str, &dyn Operand)]) -> Result<DType> {
    let (mut first, mut rule) = (None, None);
    for (_, operand) in operands {
        operand.each(&mut |dtype, _| {
            if !dtype.is_float() {
                rule = Some("floats are needed");
            } else if *first.get_or_insert(dtype) != dtype {
                rule = rule.or(Some("all floats must have one dtype"));
            }
        });
    }
    match (first, rule) {
        (Some(dtype), None) => Ok(dtype),
        _ => {
            let mut dtypes = Vec::new();
            for &(name, operand) in operands {
                operand.each(&mut |dtype, _| dtypes.push((name, dtype)));
            }
            Err(Error::DType { operation, rule: rule.unwrap_or("floats are needed"), dtypes })
        }
    }
}

/// The error of a copy between different dtypes.
pub(super) fn unequal_dtypes(operation: &'static str, x: DType, out: DType) -> Error {
    Error::DType { operation, rule: "the dtypes must be equal", dtypes: vec![("x", x), ("out", out)] }
}

/// The elements of a view of indices or labels.
pub(super) fn indices_of<'a>(operation: &'static str, name: &'static str, view: View<'a>) -> Result<&'a [u32]> {
    match view {
        View::U32(slice) => Ok(slice),
        _ => Err(Error::DType { operation, rule: "indices must be u32", dtypes: vec![(name, view.dtype())] }),
    }
}

/// Refuses operands that do not have the length `extent` says.
pub(super) fn check(operation: &'static str, extent: Extent, operands: &[(&'static str, &dyn Operand)]) -> Result<()> {
    let needed = extent.len();
    let mut wrong = None;
    for &(name, operand) in operands {
        operand.each(&mut |_, len| {
            if Some(len) != needed {
                wrong = wrong.or(Some((name, len)));
            }
        });
    }
    match wrong {
        None => Ok(()),
        Some((name, len)) => Err(Error::argument(operation, format!("{name} has {len} elements, {extent}"))),
    }
}

/// Refuses an index that is not below `count`.
pub(super) fn check_indices(operation: &'static str, name: &'static str, indices: &[u32], count: usize) -> Result<()> {
    match indices.iter().position(|&index| index as usize >= count) {
        None => Ok(()),
        Some(at) => {
            Err(Error::argument(operation, format!("{name}[{at}] is {}, which must be below {count}", indices[at])))
        }
    }
}

//! What every backend refuses, in the same words: arrays of the wrong length or type, indices
//! outside, unequal devices.
//!
//! A primitive checks its operands with these before anything is written.

use std::fmt;

use crate::backend::{
    BatchNormVectors, BatchStatistics, Clipping, GaussianGradient, GaussianView, Matrix,
    RunningStatistics,
};
use crate::{AxisExtent, DType, Error, Result, View, ViewMut};

/// What a primitive is given: one view, or several under one name.
pub(crate) trait Operand {
    /// Shows each view in it.
    fn each(&self, see: &mut dyn FnMut(View<'_>));
}

impl Operand for View<'_> {
    fn each(&self, see: &mut dyn FnMut(View<'_>)) {
        see(*self);
    }
}

impl Operand for ViewMut<'_> {
    fn each(&self, see: &mut dyn FnMut(View<'_>)) {
        see(self.as_view());
    }
}

impl<O: Operand> Operand for Option<O> {
    fn each(&self, see: &mut dyn FnMut(View<'_>)) {
        if let Some(operand) = self {
            operand.each(see);
        }
    }
}

/// A bundle of the contract shows each of its fields.
macro_rules! bundle {
    ($bundle:ident { $($field:ident),+ }) => {
        impl Operand for $bundle<'_> {
            fn each(&self, see: &mut dyn FnMut(View<'_>)) {
                $(self.$field.each(see);)+
            }
        }
    };
}

bundle!(GaussianView { mean, variance });
bundle!(GaussianGradient { mean, variance });
bundle!(BatchNormVectors { mean, variance, scale, shift });
bundle!(BatchStatistics { mean, variance, running });
bundle!(RunningStatistics { mean, variance });
bundle!(Clipping { squared_norm });

/// The length that arrays must have, and why.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Extent {
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
            Self::Rows(count)
            | Self::Columns(count)
            | Self::Elements(count)
            | Self::Like(_, count) => Some(count),
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
            Self::Matrix(matrix) => {
                write!(f, "{} rows of {} columns", matrix.rows, matrix.columns)?
            }
            Self::Axis(extent) => {
                write!(f, "{} × {} × {}", extent.outer, extent.axis, extent.inner)?
            }
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
        &[$((stringify!($operand), &$operand as &dyn $crate::check::Operand)),+]
    };
}

pub(crate) use operands;

/// The float type that all operands have.
pub(crate) fn common_float(
    operation: &'static str,
    operands: &[(&'static str, &dyn Operand)],
) -> Result<DType> {
    let (mut first, mut rule) = (None, None);
    for (_, operand) in operands {
        operand.each(&mut |view| {
            let dtype = view.dtype();
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
                operand.each(&mut |view| dtypes.push((name, view.dtype())));
            }
            Err(Error::DType { operation, rule: rule.unwrap_or("floats are needed"), dtypes })
        }
    }
}

/// The error of a copy between different dtypes.
pub(crate) fn unequal_dtypes(operation: &'static str, x: DType, out: DType) -> Error {
    Error::DType {
        operation,
        rule: "the dtypes must be equal",
        dtypes: vec![("x", x), ("out", out)],
    }
}

/// The error of indices of another type.
pub(crate) fn not_indices(operation: &'static str, name: &'static str, dtype: DType) -> Error {
    Error::DType { operation, rule: "indices must be u32", dtypes: vec![(name, dtype)] }
}

/// Refuses operands that do not have the length `extent` says.
pub(crate) fn check(
    operation: &'static str,
    extent: Extent,
    operands: &[(&'static str, &dyn Operand)],
) -> Result<()> {
    let needed = extent.len();
    let mut wrong = None;
    for &(name, operand) in operands {
        operand.each(&mut |view| {
            if Some(view.len()) != needed {
                wrong = wrong.or(Some((name, view.len())));
            }
        });
    }
    match wrong {
        None => Ok(()),
        Some((name, len)) => {
            Err(Error::argument(operation, format!("{name} has {len} elements, {extent}")))
        }
    }
}

/// Refuses an index that is not below `count`.
pub(crate) fn check_indices(
    operation: &'static str,
    name: &'static str,
    indices: &[u32],
    count: usize,
) -> Result<()> {
    match indices.iter().position(|&index| index as usize >= count) {
        None => Ok(()),
        Some(at) => Err(Error::argument(
            operation,
            format!("{name}[{at}] is {}, which must be below {count}", indices[at]),
        )),
    }
}

/// Rows of an array with so many columns; an array that ends within a row is refused.
pub(crate) fn row_count(
    operation: &'static str,
    name: &'static str,
    len: usize,
    columns: usize,
) -> Result<usize> {
    if columns == 0 && len == 0 {
        return Ok(0);
    }
    if columns == 0 || !len.is_multiple_of(columns) {
        return Err(Error::argument(
            operation,
            format!("{name} has {len} elements, which are no whole rows of {columns} columns"),
        ));
    }
    Ok(len / columns)
}

/// Rows of x, when each serves `repeat` rows of the distribution.
pub(crate) fn rows_before_repeat(
    operation: &'static str,
    rows: usize,
    repeat: usize,
) -> Result<usize> {
    if repeat == 0 || !rows.is_multiple_of(repeat) {
        return Err(Error::argument(
            operation,
            format!("{rows} rows are no multiple of repeat, which is {repeat}"),
        ));
    }
    Ok(rows / repeat)
}

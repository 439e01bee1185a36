//! Borrowed runs of elements: what primitives read and write.

use std::ops::Range;

use crate::DType;

/// Elements that a primitive reads.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "one variant for each dtype")]
pub enum View<'a> {
    F32(&'a [f32]),
    F64(&'a [f64]),
    U8(&'a [u8]),
    U32(&'a [u32]),
}

/// Elements that a primitive writes.
#[derive(Debug)]
#[allow(missing_docs, reason = "one variant for each dtype")]
pub enum ViewMut<'a> {
    F32(&'a mut [f32]),
    F64(&'a mut [f64]),
    U8(&'a mut [u8]),
    U32(&'a mut [u32]),
}

/// Applies one expression to the slice inside, whatever its type.
macro_rules! each_dtype {
    ($view:expr, $slice:ident => $body:expr, $wrap:ident) => {
        match $view {
            $wrap::F32($slice) => $body,
            $wrap::F64($slice) => $body,
            $wrap::U8($slice) => $body,
            $wrap::U32($slice) => $body,
        }
    };
}

impl<'a> View<'a> {
    /// Type of the elements.
    #[must_use]
    pub const fn dtype(&self) -> DType {
        match self {
            Self::F32(_) => DType::F32,
            Self::F64(_) => DType::F64,
            Self::U8(_) => DType::U8,
            Self::U32(_) => DType::U32,
        }
    }

    /// How many elements there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        each_dtype!(self, slice => slice.len(), Self)
    }

    /// Whether there are no elements.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements of `range`.
    #[must_use]
    pub fn range(self, range: Range<usize>) -> Self {
        match self {
            Self::F32(slice) => Self::F32(&slice[range]),
            Self::F64(slice) => Self::F64(&slice[range]),
            Self::U8(slice) => Self::U8(&slice[range]),
            Self::U32(slice) => Self::U32(&slice[range]),
        }
    }
}

impl<'a> ViewMut<'a> {
    /// Type of the elements.
    #[must_use]
    pub const fn dtype(&self) -> DType {
        match self {
            Self::F32(_) => DType::F32,
            Self::F64(_) => DType::F64,
            Self::U8(_) => DType::U8,
            Self::U32(_) => DType::U32,
        }
    }

    /// How many elements there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        each_dtype!(self, slice => slice.len(), Self)
    }

    /// Whether there are no elements.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements of `range`.
    #[must_use]
    pub fn range(self, range: Range<usize>) -> Self {
        match self {
            Self::F32(slice) => Self::F32(&mut slice[range]),
            Self::F64(slice) => Self::F64(&mut slice[range]),
            Self::U8(slice) => Self::U8(&mut slice[range]),
            Self::U32(slice) => Self::U32(&mut slice[range]),
        }
    }

    /// The elements of several ranges at once, or `None` if two of them overlap or one ends outside.
    #[must_use]
    pub fn disjoint_ranges<const N: usize>(self, ranges: [Range<usize>; N]) -> Option<[Self; N]> {
        match self {
            Self::F32(slice) => slice.get_disjoint_mut(ranges).ok().map(|parts| parts.map(Self::F32)),
            Self::F64(slice) => slice.get_disjoint_mut(ranges).ok().map(|parts| parts.map(Self::F64)),
            Self::U8(slice) => slice.get_disjoint_mut(ranges).ok().map(|parts| parts.map(Self::U8)),
            Self::U32(slice) => slice.get_disjoint_mut(ranges).ok().map(|parts| parts.map(Self::U32)),
        }
    }

    /// The same elements for a shorter time.
    #[must_use]
    pub fn reborrow(&mut self) -> ViewMut<'_> {
        match self {
            Self::F32(slice) => ViewMut::F32(slice),
            Self::F64(slice) => ViewMut::F64(slice),
            Self::U8(slice) => ViewMut::U8(slice),
            Self::U32(slice) => ViewMut::U32(slice),
        }
    }

    /// The same elements for reading.
    #[must_use]
    pub fn as_view(&self) -> View<'_> {
        match self {
            Self::F32(slice) => View::F32(slice),
            Self::F64(slice) => View::F64(slice),
            Self::U8(slice) => View::U8(slice),
            Self::U32(slice) => View::U32(slice),
        }
    }
}

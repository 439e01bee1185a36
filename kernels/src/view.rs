//! Borrowed runs of elements: what primitives read and write.

use std::marker::PhantomData;
use std::ops::Range;

use crate::DType;
use crate::buffer::DeviceMemory;

/// Elements that a primitive reads.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "one variant for each dtype")]
pub enum View<'a> {
    F32(&'a [f32]),
    F64(&'a [f64]),
    U8(&'a [u8]),
    U32(&'a [u32]),
    /// Elements in the memory of another device than the host.
    Device(DeviceSlice<'a>),
}

/// Elements that a primitive writes.
#[derive(Debug)]
#[allow(missing_docs, reason = "one variant for each dtype")]
pub enum ViewMut<'a> {
    F32(&'a mut [f32]),
    F64(&'a mut [f64]),
    U8(&'a mut [u8]),
    U32(&'a mut [u32]),
    /// Elements in the memory of another device than the host.
    Device(DeviceSliceMut<'a>),
}

/// A run of elements in the memory of a device.
#[derive(Clone, Copy, Debug)]
pub struct DeviceSlice<'a> {
    pub(crate) memory: &'a dyn DeviceMemory,
    pub(crate) dtype: DType,
    /// First element, counted from the start of the memory.
    pub(crate) offset: usize,
    pub(crate) len: usize,
}

/// A run of elements in the memory of a device that nobody else reads or writes.
///
/// The memory itself is a shared handle, so this type is what keeps the runs apart: it is not
/// `Clone`, and the only ways to make one are a borrow of a whole buffer for writing and the
/// methods below, which divide it.
#[derive(Debug)]
pub struct DeviceSliceMut<'a> {
    slice: DeviceSlice<'a>,
    exclusive: PhantomData<&'a mut ()>,
}

impl<'a> DeviceSliceMut<'a> {
    /// The elements of a buffer that is borrowed for writing.
    pub(crate) const fn new(slice: DeviceSlice<'a>) -> Self {
        Self { slice, exclusive: PhantomData }
    }

    /// The same elements for reading.
    pub(crate) const fn as_slice(&self) -> DeviceSlice<'_> {
        self.slice
    }
}

impl DeviceSlice<'_> {
    /// The elements of `range`, which must lie inside, as for a slice.
    fn range(self, range: Range<usize>) -> Self {
        assert!(
            range.start <= range.end && range.end <= self.len,
            "bug: range {range:?} of {} elements; please report it",
            self.len
        );
        Self { offset: self.offset + range.start, len: range.len(), ..self }
    }
}

/// Applies one expression to the slice inside, whatever its type.
macro_rules! each_dtype {
    ($view:expr, $slice:ident => $body:expr, $device:ident => $else:expr, $wrap:ident) => {
        match $view {
            $wrap::F32($slice) => $body,
            $wrap::F64($slice) => $body,
            $wrap::U8($slice) => $body,
            $wrap::U32($slice) => $body,
            $wrap::Device($device) => $else,
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
            Self::Device(device) => device.dtype,
        }
    }

    /// How many elements there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        each_dtype!(self, slice => slice.len(), device => device.len, Self)
    }

    /// Whether there are no elements.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the elements lie in the host's memory.
    #[must_use]
    pub const fn is_on_host(&self) -> bool {
        !matches!(self, Self::Device(_))
    }

    /// The elements of `range`.
    #[must_use]
    pub fn range(self, range: Range<usize>) -> Self {
        match self {
            Self::F32(slice) => Self::F32(&slice[range]),
            Self::F64(slice) => Self::F64(&slice[range]),
            Self::U8(slice) => Self::U8(&slice[range]),
            Self::U32(slice) => Self::U32(&slice[range]),
            Self::Device(device) => Self::Device(device.range(range)),
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
            Self::Device(device) => device.slice.dtype,
        }
    }

    /// How many elements there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        each_dtype!(self, slice => slice.len(), device => device.slice.len, Self)
    }

    /// Whether there are no elements.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the elements lie in the host's memory.
    #[must_use]
    pub const fn is_on_host(&self) -> bool {
        !matches!(self, Self::Device(_))
    }

    /// The elements of `range`.
    #[must_use]
    pub fn range(self, range: Range<usize>) -> Self {
        match self {
            Self::F32(slice) => Self::F32(&mut slice[range]),
            Self::F64(slice) => Self::F64(&mut slice[range]),
            Self::U8(slice) => Self::U8(&mut slice[range]),
            Self::U32(slice) => Self::U32(&mut slice[range]),
            Self::Device(device) => Self::Device(DeviceSliceMut::new(device.slice.range(range))),
        }
    }

    /// The elements of several ranges at once, or `None` if two of them overlap or one ends
    /// outside.
    #[must_use]
    pub fn disjoint_ranges<const N: usize>(self, ranges: [Range<usize>; N]) -> Option<[Self; N]> {
        match self {
            Self::F32(slice) => {
                slice.get_disjoint_mut(ranges).ok().map(|parts| parts.map(Self::F32))
            }
            Self::F64(slice) => {
                slice.get_disjoint_mut(ranges).ok().map(|parts| parts.map(Self::F64))
            }
            Self::U8(slice) => slice.get_disjoint_mut(ranges).ok().map(|parts| parts.map(Self::U8)),
            Self::U32(slice) => {
                slice.get_disjoint_mut(ranges).ok().map(|parts| parts.map(Self::U32))
            }
            Self::Device(device) => are_disjoint(&ranges, device.slice.len).then(|| {
                ranges.map(|range| Self::Device(DeviceSliceMut::new(device.slice.range(range))))
            }),
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
            Self::Device(device) => ViewMut::Device(DeviceSliceMut::new(device.slice)),
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
            Self::Device(device) => View::Device(device.as_slice()),
        }
    }
}

/// Whether the ranges lie inside `len` elements and share none, by the rule of
/// `slice::get_disjoint_mut`.
fn are_disjoint(ranges: &[Range<usize>], len: usize) -> bool {
    let overlap = |a: &Range<usize>, b: &Range<usize>| a.start < b.end && b.start < a.end;
    ranges.iter().enumerate().all(|(at, range)| {
        range.start <= range.end
            && range.end <= len
            && ranges[..at].iter().all(|earlier| !overlap(earlier, range))
    })
}

#[cfg(test)]
mod tests {
    use super::are_disjoint;

    #[test]
    fn ranges_of_device_memory_obey_the_rule_of_slices() {
        let mut host = [0u8; 10];
        for ranges in [
            [0..3, 3..10],
            [3..10, 0..3],
            [0..4, 3..10],
            [0..3, 5..11],
            [2..2, 0..10],
            [0..10, 4..5],
        ] {
            assert_eq!(
                are_disjoint(&ranges, 10),
                host.get_disjoint_mut(ranges.clone()).is_ok(),
                "{ranges:?}"
            );
        }
    }
}

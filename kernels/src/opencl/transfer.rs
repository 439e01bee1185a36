//! Between host and device (uploads, downloads, fills), and conversions between dtypes.

use ocl::core::{self, Event};

use super::context::Context;
use super::memory::{Memory, set_index_bound};
use super::program::File;
use super::rows::{ANY, copy_block};
use crate::check::{Extent, check, operands, unequal_dtypes};
use crate::shape::Block;
use crate::{DType, DeviceSlice, DeviceSliceMut, Error, Result, View, ViewMut};

/// `upload`, as declared. Waits for the copy, as the host's memory is only borrowed; data sets and
/// orders of epochs come this way, steps do not.
pub(super) fn upload(context: &Context, host: View<'_>, out: ViewMut<'_>) -> Result<()> {
    const NAME: &str = "upload";
    check(NAME, Extent::Like("out", out.len()), operands!(host))?;
    let out = slice_mut(context, NAME, out)?;
    let slice = out.as_slice();
    if host.dtype() != slice.dtype {
        return Err(unequal_dtypes(NAME, host.dtype(), slice.dtype));
    }
    if host.is_empty() {
        return Ok(());
    }
    match host {
        View::F32(x) => write(context, x, slice),
        View::F64(x) => write(context, x, slice),
        View::U8(x) => write(context, x, slice),
        View::U32(x) => {
            set_index_bound(&out, x.iter().max().map(|&largest| u64::from(largest) + 1));
            write(context, x, slice)
        }
        View::Device(_) => Err(not_host(context, NAME)),
    }?;
    context.count_upload(host.len() * host.dtype().size_bytes());
    Ok(())
}

/// `download`, as declared.
pub(super) fn download(context: &Context, x: View<'_>, host: ViewMut<'_>) -> Result<()> {
    const NAME: &str = "download";
    check(NAME, Extent::Like("out", host.len()), operands!(x))?;
    let slice = context.slice(NAME, x)?;
    if slice.dtype != host.dtype() {
        return Err(unequal_dtypes(NAME, slice.dtype, host.dtype()));
    }
    if slice.len == 0 {
        return Ok(());
    }
    match host {
        ViewMut::F32(out) => read(context, slice, out),
        ViewMut::F64(out) => read(context, slice, out),
        ViewMut::U8(out) => read(context, slice, out),
        ViewMut::U32(out) => read(context, slice, out),
        ViewMut::Device(_) => Err(not_host(context, NAME)),
    }?;
    context.count_download(slice.len * slice.dtype.size_bytes());
    Ok(())
}

/// `fill`, as declared.
pub(super) fn fill(context: &Context, value: f64, out: ViewMut<'_>) -> Result<()> {
    let out = slice_mut(context, "fill", out)?;
    let slice = out.as_slice();
    if slice.len == 0 {
        return Ok(());
    }
    match slice.dtype {
        crate::DType::F32 => repeat(context, value as f32, slice),
        crate::DType::F64 => repeat(context, value, slice),
        crate::DType::U8 => repeat(context, value as u8, slice),
        crate::DType::U32 => {
            set_index_bound(&out, Some(u64::from(value as u32) + 1));
            repeat(context, value as u32, slice)
        }
    }
}

/// `convert`, as declared.
pub(super) fn convert(context: &Context, x: View<'_>, mut out: ViewMut<'_>) -> Result<()> {
    use DType::{F32, F64, U8, U32};
    const NAME: &str = "convert";
    check(NAME, Extent::Like("out", out.len()), operands!(x))?;
    let n = x.len();
    let kernel = match (x.dtype(), out.dtype()) {
        (from, to) if from == to => {
            let row = Block {
                rows: 1,
                width: n,
                from_stride: n,
                from_offset: 0,
                to_stride: n,
                to_offset: 0,
            };
            return copy_block(context, row, x, out);
        }
        (F32, F64) => "convert_float_double",
        (F32, U8) => "convert_float_uchar",
        (F32, _) => "convert_float_uint",
        (F64, F32) => "convert_double_float",
        (F64, U8) => "convert_double_uchar",
        (F64, _) => "convert_double_uint",
        (U8, F32) => "convert_uchar_float",
        (U8, F64) => "convert_uchar_double",
        (U8, _) => "convert_uchar_uint",
        (U32, F32) => "convert_uint_float",
        (U32, F64) => "convert_uint_double",
        (U32, _) => "convert_uint_uchar",
    };
    // A float type of f64 anywhere needs a device that has it, which the launch checks.
    let dtype = if x.dtype() == F64 || out.dtype() == F64 { F64 } else { ANY };
    if let (U32, ViewMut::Device(to)) = (out.dtype(), &out) {
        set_index_bound(to, None);
    }
    context
        .launch(NAME, dtype, File::Transfer, kernel)
        .count(n)
        .input(x)
        .output(&mut out)
        .over_items(n)
}

/// The part of this device's memory that a view for writing shows.
pub(super) fn slice_mut<'a>(
    context: &Context,
    operation: &'static str,
    view: ViewMut<'a>,
) -> Result<DeviceSliceMut<'a>> {
    context.slice(operation, view.as_view())?;
    match view {
        ViewMut::Device(slice) => Ok(slice),
        _ => Err(not_host(context, operation)),
    }
}

fn not_host(context: &Context, operation: &'static str) -> Error {
    Error::Device { operation, left: "cpu".to_owned(), right: context.name.clone() }
}

fn write<T: ocl::OclPrm>(context: &Context, x: &[T], slice: DeviceSlice<'_>) -> Result<()> {
    let memory = Memory::of(slice).handle();
    // SAFETY: the call returns when the host's memory was read; the slice was checked to hold as
    // many elements.
    unsafe {
        core::enqueue_write_buffer(
            context.queue()?,
            memory,
            true,
            slice.offset,
            x,
            None::<Event>,
            None::<&mut Event>,
        )
    }
    .map_err(|error| context.failed(&error))
}

fn read<T: ocl::OclPrm>(context: &Context, slice: DeviceSlice<'_>, out: &mut [T]) -> Result<()> {
    let memory = Memory::of(slice).handle();
    // SAFETY: the call returns when the host's memory was written; the slice was checked to hold as
    // many elements.
    unsafe {
        core::enqueue_read_buffer(
            context.queue()?,
            memory,
            true,
            slice.offset,
            out,
            None::<Event>,
            None::<&mut Event>,
        )
    }
    .map_err(|error| context.failed(&error))
}

fn repeat<T: ocl::OclPrm>(context: &Context, value: T, slice: DeviceSlice<'_>) -> Result<()> {
    core::enqueue_fill_buffer(
        context.queue()?,
        Memory::of(slice).handle(),
        value,
        slice.offset,
        slice.len,
        None::<Event>,
        None::<&mut Event>,
        None,
    )
    .map_err(|error| context.failed(&error))?;
    context.count_launches(1);
    Ok(())
}

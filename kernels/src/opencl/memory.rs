//! A run of bytes in the memory of a device, and what is known of the integers in it.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ocl::core::{self, Mem};

use crate::buffer::DeviceMemory;
use crate::{DeviceSlice, DeviceSliceMut};

/// A bound that says nothing.
const UNKNOWN: u64 = u64::MAX;

/// A run of bytes in the memory of a device.
#[derive(Debug)]
pub(super) struct Memory {
    handle: Mem,
    bytes: usize,
    device: Arc<str>,
    /// Elements of the buffer that uses it.
    len: usize,
    /// No u32 in it is this large. Indices come from the host, which sees them on the way; a
    /// gather can thus refuse what lies outside without waiting for the device.
    index_bound: AtomicU64,
}

impl Memory {
    /// Memory from the driver, or `None` if it has none. No driver gives 0 bytes, so an empty
    /// buffer gets a few.
    pub(super) fn new(context: &core::Context, device: &str, bytes: usize) -> Option<Self> {
        // SAFETY: without host memory there is nothing to outlive; the contents are arbitrary, as
        // the pool says.
        let handle = unsafe {
            core::create_buffer::<_, u8>(context, core::MEM_READ_WRITE, bytes.max(64), None)
        }
        .ok()?;
        Some(Self {
            handle,
            bytes,
            device: device.into(),
            len: 0,
            index_bound: AtomicU64::new(UNKNOWN),
        })
    }

    pub(super) const fn handle(&self) -> &Mem {
        &self.handle
    }

    /// The memory of a slice that was checked to be of an OpenCL device.
    pub(super) fn of(slice: DeviceSlice<'_>) -> &Self {
        let memory: &dyn Any = slice.memory;
        memory.downcast_ref().expect("bug: memory of another kind of device; please report it")
    }
}

impl DeviceMemory for Memory {
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn device_name(&self) -> &str {
        &self.device
    }

    fn begin(&mut self, len: usize) {
        self.len = len;
        *self.index_bound.get_mut() = UNKNOWN;
    }
}

/// The bound of the integers in a slice, `None` if unknown: all of them are below it.
pub(super) fn index_bound(slice: DeviceSlice<'_>) -> Option<u64> {
    let bound = Memory::of(slice).index_bound.load(Ordering::Relaxed);
    (bound != UNKNOWN).then_some(bound)
}

/// Says that integers below `bound` (or, with `None`, any) were written to a slice.
pub(super) fn set_index_bound(slice: &DeviceSliceMut<'_>, bound: Option<u64>) {
    let slice = slice.as_slice();
    let memory = Memory::of(slice);
    let is_whole = slice.offset == 0 && slice.len == memory.len;
    let bound = bound.unwrap_or(UNKNOWN);
    let known = if is_whole { 0 } else { memory.index_bound.load(Ordering::Relaxed) };
    memory.index_bound.store(known.max(bound), Ordering::Relaxed);
}

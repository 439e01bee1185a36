//! Buffers, and the pool that makes a steady training loop allocate nothing.
//!
//! A [`Buffer`] is a run of elements in a device's memory. Tensors share one through
//! [`SharedBuffer`]; when the last share goes, the buffer returns to its pool, whole with its
//! reference count, and the next request of the same size takes it. Contents are then whatever was
//! there: every primitive writes all of its result.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::fmt::Debug;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::DType;
use crate::host_memory::{CACHE_LINE_BYTES, HostMemory};
use crate::view::{DeviceSlice, DeviceSliceMut, View, ViewMut};

/// A run of elements of one type in the memory of a device.
#[derive(Debug)]
pub struct Buffer {
    dtype: DType,
    len: usize,
    place: Place,
    pool: Weak<Pool>,
    /// How many its pool had made before it.
    serial: usize,
}

/// A run of bytes in the memory of a device that is not the host's. The device that made it knows
/// what it is.
pub(crate) trait DeviceMemory: Any + Debug + Send + Sync {
    /// Bytes that were asked for.
    fn bytes(&self) -> usize;

    /// The device it is on.
    fn device_name(&self) -> &str;

    /// Says that a buffer of `len` elements starts to use it; nothing is known of the contents.
    fn begin(&mut self, len: usize);
}

/// Where the elements lie.
#[derive(Debug)]
pub(crate) enum Place {
    /// In the memory of the host.
    Host(HostMemory),
    /// In the memory of another device.
    Device(Box<dyn DeviceMemory>),
}

impl Place {
    fn bytes(&self) -> usize {
        match self {
            Self::Host(memory) => memory.bytes(),
            Self::Device(memory) => memory.bytes(),
        }
    }

    /// Says that a buffer of `len` elements starts to use the memory.
    fn begin(&mut self, len: usize) {
        if let Self::Device(memory) = self {
            memory.begin(len);
        }
    }
}

impl Buffer {
    /// Type of the elements.
    #[must_use]
    pub const fn dtype(&self) -> DType {
        self.dtype
    }

    /// How many elements there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no elements.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Reads all elements.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        let memory = match &self.place {
            Place::Host(memory) => memory,
            Place::Device(memory) => {
                return View::Device(DeviceSlice {
                    memory: &**memory,
                    dtype: self.dtype,
                    offset: 0,
                    len: self.len,
                });
            }
        };
        match self.dtype {
            DType::F32 => View::F32(&memory.as_slice()[..self.len]),
            DType::F64 => View::F64(&memory.as_slice()[..self.len]),
            DType::U8 => View::U8(&memory.as_slice()[..self.len]),
            DType::U32 => View::U32(&memory.as_slice()[..self.len]),
        }
    }

    /// Writes all elements.
    #[must_use]
    pub fn view_mut(&mut self) -> ViewMut<'_> {
        let (dtype, len) = (self.dtype, self.len);
        let memory = match &mut self.place {
            Place::Host(memory) => memory,
            Place::Device(memory) => {
                return ViewMut::Device(DeviceSliceMut::new(DeviceSlice {
                    memory: &**memory,
                    dtype,
                    offset: 0,
                    len,
                }));
            }
        };
        match dtype {
            DType::F32 => ViewMut::F32(&mut memory.as_mut_slice()[..len]),
            DType::F64 => ViewMut::F64(&mut memory.as_mut_slice()[..len]),
            DType::U8 => ViewMut::U8(&mut memory.as_mut_slice()[..len]),
            DType::U32 => ViewMut::U32(&mut memory.as_mut_slice()[..len]),
        }
    }
}

/// A shared hold on a [`Buffer`]; the last one to go gives the buffer back to its pool.
#[derive(Clone, Debug)]
pub struct SharedBuffer(Option<Arc<Buffer>>);

impl SharedBuffer {
    /// The buffer for writing, if this is the only hold on it.
    pub fn get_mut(&mut self) -> Option<&mut Buffer> {
        self.0.as_mut().and_then(Arc::get_mut)
    }

    /// Whether two holds are on one buffer.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        std::ptr::eq::<Buffer>(&**self, &**other)
    }
}

impl Deref for SharedBuffer {
    type Target = Buffer;

    fn deref(&self) -> &Buffer {
        self.0
            .as_ref()
            .expect("bug: a shared buffer is empty only while it is dropped; please report it")
    }
}

impl Drop for SharedBuffer {
    fn drop(&mut self) {
        let Some(mut buffer) = self.0.take() else { return };
        // Two threads that drop the last two holds at once both fail here, and the memory goes back
        // to the system: rare and harmless.
        if Arc::get_mut(&mut buffer).is_some()
            && let Some(pool) = buffer.pool.upgrade()
        {
            pool.put_back(buffer);
        }
    }
}

/// What a pool has handed out and holds, for tests and for `rung bench`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStatistics {
    /// Buffers requested since the start.
    pub requests: usize,
    /// Requests that the system had to serve because no buffer of the size was free.
    pub allocations: usize,
    /// Bytes obtained from the system, in use or free.
    pub bytes: usize,
    /// The most that `bytes` has been.
    pub most_bytes: usize,
}

/// Free buffers keyed by their size in bytes.
#[derive(Debug, Default)]
pub struct Pool {
    state: Mutex<PoolState>,
    /// Whether a request takes the buffer that has been free for longest, not the last one.
    takes_oldest: bool,
    /// The most bytes to obtain from the system; `None` is all that it gives.
    limit_bytes: Option<usize>,
}

#[derive(Debug, Default)]
struct PoolState {
    free: HashMap<usize, VecDeque<Arc<Buffer>>>,
    statistics: PoolStatistics,
}

impl Pool {
    /// A pool that holds no more than `bytes`, in use or free.
    #[must_use]
    pub fn with_limit(bytes: usize) -> Self {
        Self { limit_bytes: Some(bytes), ..Self::default() }
    }

    /// A pool that hands out the buffer that has been free for longest, for a device whose work
    /// waits in a queue: work on a buffer that was free for a while need not come after the last
    /// work on it. The last one free, which others hand out, is likelier to be in a CPU's cache.
    pub(crate) fn oldest_first() -> Self {
        Self { takes_oldest: true, ..Self::default() }
    }

    /// The most bytes that it holds, if it has a limit of its own.
    #[must_use]
    pub const fn limit_bytes(&self) -> Option<usize> {
        self.limit_bytes
    }

    /// A buffer of `len` elements in the host's memory with arbitrary contents, or `None` if the
    /// system has none or the limit is reached.
    pub fn take(self: &Arc<Self>, dtype: DType, len: usize) -> Option<SharedBuffer> {
        self.take_from(dtype, len, |bytes| HostMemory::zeroed(bytes).map(Place::Host))
    }

    /// A buffer of `len` elements; `obtain` is asked for memory if no buffer of the size is free. A
    /// pool serves one device.
    pub(crate) fn take_from(
        self: &Arc<Self>,
        dtype: DType,
        len: usize,
        obtain: impl FnOnce(usize) -> Option<Place>,
    ) -> Option<SharedBuffer> {
        let bytes =
            len.checked_mul(dtype.size_bytes())?.checked_next_multiple_of(CACHE_LINE_BYTES)?;
        let mut state = self.lock();
        state.statistics.requests += 1;
        let free = state.free.get_mut(&bytes);
        let take = if self.takes_oldest { VecDeque::pop_front } else { VecDeque::pop_back };
        if let Some(mut buffer) = free.and_then(take) {
            let recycled = Arc::get_mut(&mut buffer)
                .expect("bug: a free buffer is held elsewhere; please report it");
            (recycled.dtype, recycled.len) = (dtype, len);
            recycled.place.begin(len);
            return Some(SharedBuffer(Some(buffer)));
        }
        let held = state.statistics.bytes;
        drop(state);
        if self
            .limit_bytes
            .is_some_and(|limit| held.checked_add(bytes).is_none_or(|sum| sum > limit))
        {
            return None;
        }
        let mut place = obtain(bytes)?;
        place.begin(len);
        let mut state = self.lock();
        let serial = state.statistics.allocations;
        state.statistics.allocations += 1;
        state.statistics.bytes += bytes;
        state.statistics.most_bytes = state.statistics.most_bytes.max(state.statistics.bytes);
        drop(state);
        let pool = Arc::downgrade(self);
        Some(SharedBuffer(Some(Arc::new(Buffer { dtype, len, place, pool, serial }))))
    }

    /// What was handed out so far.
    #[must_use]
    pub fn statistics(&self) -> PoolStatistics {
        self.lock().statistics
    }

    /// Gives all free buffers back to the system.
    pub fn release_free(&self) {
        let mut state = self.lock();
        let free: usize = state.free.values().flatten().map(|buffer| buffer.place.bytes()).sum();
        state.statistics.bytes -= free;
        state.free.clear();
    }

    /// Sorts the free buffers of each size, the oldest first, so that the same requests get the
    /// same buffers whatever was asked for before, and new buffers come after those that there
    /// were.
    pub(crate) fn sort_free(&self) {
        for free in self.lock().free.values_mut() {
            free.make_contiguous().sort_unstable_by_key(|buffer| buffer.serial);
        }
    }

    fn put_back(&self, buffer: Arc<Buffer>) {
        let bytes = buffer.place.bytes();
        self.lock().free.entry(bytes).or_default().push_back(buffer);
    }

    /// The state is consistent between any two statements, so a panic elsewhere does not spoil it.
    fn lock(&self) -> std::sync::MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_buffer_serves_the_next_request_of_its_size() {
        let pool = Arc::new(Pool::default());
        let first = pool.take(DType::F32, 100).unwrap();
        let share = first.clone();
        drop(first);
        let second = pool.take(DType::F32, 100).unwrap();
        drop((share, second));
        let third = pool.take(DType::F64, 50).unwrap();
        assert_eq!(third.view().len(), 50);
        let expected =
            PoolStatistics { requests: 3, allocations: 2, bytes: 2 * 448, most_bytes: 2 * 448 };
        assert_eq!(pool.statistics(), expected);
        drop(third);
        pool.release_free();
        assert_eq!(pool.statistics(), PoolStatistics { bytes: 0, ..expected });
    }

    #[test]
    fn a_sorted_pool_serves_the_same_requests_alike() {
        let pool = Arc::new(Pool::oldest_first());
        let take = || -> Vec<SharedBuffer> {
            (0..5)
                .map(|_| pool.take_from(DType::F32, 8, |_| HostMemory::zeroed(64).map(Place::Host)))
                .collect::<Option<_>>()
                .unwrap()
        };
        let served = |buffers: &[SharedBuffer]| -> Vec<*const Buffer> {
            buffers.iter().map(|buffer| Arc::as_ptr(buffer.0.as_ref().unwrap())).collect()
        };
        drop(take());
        pool.sort_free();
        let mut first = take();
        let expected = served(&first);
        // They become free in another order.
        first.swap(1, 3);
        drop(first);
        let other = take();
        assert_ne!(served(&other), expected);
        drop(other);
        pool.sort_free();
        assert_eq!(served(&take()), expected);
    }

    #[test]
    fn only_a_sole_hold_may_write() {
        let pool = Arc::new(Pool::default());
        let mut buffer = pool.take(DType::U8, 3).unwrap();
        let share = buffer.clone();
        assert!(buffer.get_mut().is_none());
        drop(share);
        assert!(buffer.get_mut().is_some());
    }

    #[test]
    fn an_impossible_size_is_refused() {
        assert!(Arc::new(Pool::default()).take(DType::F64, usize::MAX / 4).is_none());
    }

    #[test]
    fn a_buffer_outlives_its_pool() {
        let pool = Arc::new(Pool::default());
        let buffer = pool.take(DType::F32, 4).unwrap();
        drop(pool);
        assert_eq!(buffer.len(), 4);
    }
}

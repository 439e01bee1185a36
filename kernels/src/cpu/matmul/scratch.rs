//! Memory for packed panels, kept from one product to the next.

use std::sync::{Mutex, PoisonError};

/// One cache line: panels start on one, so that no vector load crosses two.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Line([f32; 16]);

/// Buffers that no product is using now. One lock per product of more than a few microseconds; a buffer lies in
/// no thread's own storage, so which worker happens to call doesn't decide whether memory is asked for.
static FREE: Mutex<Vec<Vec<Line>>> = Mutex::new(Vec::new());

/// A buffer that goes back to the others when it is dropped.
pub(super) struct Scratch(Vec<Line>);

impl Scratch {
    /// A buffer of at least `length` numbers of type `T`, of any value.
    pub(super) fn take<T: Copy>(length: usize) -> Scratch {
        let lines = (length * size_of::<T>()).div_ceil(size_of::<Line>());
        let mut buffer = {
            let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
            free.pop().unwrap_or_default()
        };
        if buffer.len() < lines {
            buffer.clear();
            buffer.resize(lines, Line([0.0; 16]));
        }
        Scratch(buffer)
    }

    /// Its memory, for numbers of the type it was taken for.
    pub(super) fn as_mut_ptr<T>(&mut self) -> *mut T {
        self.0.as_mut_ptr().cast()
    }

    /// Its first `length` numbers, for a type of which any bits are a value.
    pub(super) fn as_mut_slice<T: bytemuck::Pod>(&mut self, length: usize) -> &mut [T] {
        assert!(length * size_of::<T>() <= self.0.len() * size_of::<Line>(), "bug: a scratch buffer is too short");
        // SAFETY: the lines are initialised, as long as that and aligned for any float, and borrowed as long as the slice lives.
        unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr(), length) }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.0);
        FREE.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
    }
}

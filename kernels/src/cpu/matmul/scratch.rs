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
    /// A buffer of at least `length` numbers of any value.
    pub(super) fn take(length: usize) -> Scratch {
        let lines = length.div_ceil(16);
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

    pub(super) fn as_mut_ptr(&mut self) -> *mut f32 {
        self.0.as_mut_ptr().cast()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.0);
        FREE.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
    }
}

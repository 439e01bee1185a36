//! The allocator of the program: where the system has no memory and nobody is prepared for that,
//! the program ends with an error and its exit code, as it does for every other failure, and not by
//! an abort.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{self, Write};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};

use rung_kernels::is_attempt;

/// The system's allocator.
pub(crate) struct Allocator;

/// Whether errors are lines of JSON.
static IS_JSON: AtomicBool = AtomicBool::new(false);

impl Allocator {
    /// Sets how the error is said: as a line of JSON, or in words.
    pub(crate) fn set_json(is_json: bool) {
        IS_JSON.store(is_json, Ordering::Relaxed);
    }
}

// SAFETY: every call is handed to the system's allocator, and what it returns is returned; a null
// pointer may end the process instead.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those this call needs.
        expected(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those this call needs.
        expected(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promises are those this call needs.
        expected(unsafe { System.realloc(pointer, layout, size) }, size)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from one of the calls above with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// The pointer, unless it is null and nobody is prepared for that.
fn expected(pointer: *mut u8, bytes: usize) -> *mut u8 {
    if pointer.is_null() && !is_attempt() {
        end(bytes);
    }
    pointer
}

/// Ends the program, without any memory.
#[cold]
fn end(bytes: usize) -> ! {
    let mut text = [0; 256];
    let mut rest = &mut text[..];
    let advice = "do less at once: a smaller --count, --rows or --batch-size";
    // It fits; and there is nobody to tell that it can't be said.
    let _ = match IS_JSON.load(Ordering::Relaxed) {
        true => writeln!(
            rest,
            r#"{{"level":"error","message":"no memory for {bytes} bytes","advice":"{advice}"}}"#
        ),
        false => writeln!(rest, "error: no memory for {bytes} bytes\n  try: {advice}"),
    };
    let left = rest.len();
    let _ = io::stderr().write_all(&text[..text.len() - left]);
    process::exit(1)
}

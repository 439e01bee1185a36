//! An OpenCL library like the system's, until the file that `VANISHED` names is there: from then on
//! every launch fails as it does when a device is gone. A test compiles it; all other functions are
//! those of the system's library, which it is linked with.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::path::Path;

const LIBRARY: &CStr = c"libOpenCL.so.1";
const RTLD_NOW: c_int = 2;
const CL_DEVICE_NOT_AVAILABLE: c_int = -2;

unsafe extern "C" {
    fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

type Handle = *mut c_void;
type Launch = unsafe extern "C" fn(
    Handle,
    Handle,
    c_uint,
    *const usize,
    *const usize,
    *const usize,
    c_uint,
    *const Handle,
    *mut Handle,
) -> c_int;

/// The function of OpenCL 1.0.
///
/// # Safety
/// As that function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clEnqueueNDRangeKernel(
    queue: Handle,
    kernel: Handle,
    dimensions: c_uint,
    offset: *const usize,
    global: *const usize,
    local: *const usize,
    waits: c_uint,
    wait_for: *const Handle,
    event: *mut Handle,
) -> c_int {
    if std::env::var_os("VANISHED").is_some_and(|path| Path::new(&path).exists()) {
        return CL_DEVICE_NOT_AVAILABLE;
    }
    // SAFETY: the library is loaded already, and its function of this name has this type.
    unsafe {
        let found = dlsym(dlopen(LIBRARY.as_ptr(), RTLD_NOW), c"clEnqueueNDRangeKernel".as_ptr());
        let launch: Launch = std::mem::transmute(found);
        launch(queue, kernel, dimensions, offset, global, local, waits, wait_for, event)
    }
}

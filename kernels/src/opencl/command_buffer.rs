//! Recordings of launches: `cl_khr_command_buffer`, through the functions that the driver has for
//! it.
//!
//! The extension is provisional; the six functions used here have had the same arguments in all
//! its versions, 0.9.0 (PoCL 3.1) to 0.9.7.

use std::ffi::c_void;
use std::{mem, ptr};

use ocl::core::{self, CommandQueue, DeviceId, Kernel, PlatformId};
use ocl::ffi::{cl_command_queue, cl_event, cl_int, cl_kernel, cl_uint};

/// The driver's object, a pointer to what it alone knows.
type Handle = *mut c_void;

type Create =
    unsafe extern "system" fn(cl_uint, *const cl_command_queue, *const u64, *mut cl_int) -> Handle;
type Add = unsafe extern "system" fn(
    Handle,
    cl_command_queue,
    *const u64,
    cl_kernel,
    cl_uint,
    *const usize,
    *const usize,
    *const usize,
    cl_uint,
    *const cl_uint,
    *mut cl_uint,
    *mut Handle,
) -> cl_int;
type Enqueue = unsafe extern "system" fn(
    cl_uint,
    *mut cl_command_queue,
    Handle,
    cl_uint,
    *const cl_event,
    *mut cl_event,
) -> cl_int;
type OfOne = unsafe extern "system" fn(Handle) -> cl_int;

/// The functions of the extension.
#[derive(Clone, Copy, Debug)]
pub(super) struct Functions {
    create: Create,
    add: Add,
    finalise: OfOne,
    enqueue: Enqueue,
    release: OfOne,
}

/// A function that failed, and the driver's number for why.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused {
    pub(super) function: &'static str,
    pub(super) status: cl_int,
}

/// `Err` of a function whose status is not that of success.
const fn succeeded(function: &'static str, status: cl_int) -> Result<(), Refused> {
    if status == 0 { Ok(()) } else { Err(Refused { function, status }) }
}

impl Functions {
    /// The functions, if the device has the extension and lets a recording go into the queue again
    /// while it is still there: the host must not wait for the step before.
    pub(super) fn of(platform: PlatformId, device: DeviceId, extensions: &str) -> Option<Self> {
        /// `CL_DEVICE_COMMAND_BUFFER_CAPABILITIES_KHR`, whose answer is a set of bits.
        const CAPABILITIES: u32 = 0x12A9;
        /// `CL_COMMAND_BUFFER_CAPABILITY_SIMULTANEOUS_USE_KHR`.
        const SIMULTANEOUS_USE: u64 = 1 << 2;
        extensions.split_whitespace().find(|&word| word == "cl_khr_command_buffer")?;
        let bytes = core::get_device_info_raw(device, CAPABILITIES).ok()?;
        let capabilities = u64::from_ne_bytes(bytes.try_into().ok()?);
        if capabilities & SIMULTANEOUS_USE == 0 {
            return None;
        }
        let address = |name| {
            // SAFETY: the platform is one that the driver listed.
            unsafe { core::get_extension_function_address_for_platform(&platform, name, None) }.ok()
        };
        // SAFETY: a driver that has the extension has functions of these names, with the types that
        // the extension gives them.
        unsafe {
            Some(Self {
                create: mem::transmute::<Handle, Create>(address("clCreateCommandBufferKHR")?),
                add: mem::transmute::<Handle, Add>(address("clCommandNDRangeKernelKHR")?),
                finalise: mem::transmute::<Handle, OfOne>(address("clFinalizeCommandBufferKHR")?),
                enqueue: mem::transmute::<Handle, Enqueue>(address("clEnqueueCommandBufferKHR")?),
                release: mem::transmute::<Handle, OfOne>(address("clReleaseCommandBufferKHR")?),
            })
        }
    }
}

/// Launches that were recorded for a queue, in their order.
#[derive(Debug)]
pub(super) struct Recording {
    functions: Functions,
    queue: CommandQueue,
    handle: Handle,
    /// PoCL 3.1 looks at a kernel's arguments when it is replayed, not, as it should, when it is
    /// recorded. So each launch has a kernel of its own.
    kernels: Vec<Kernel>,
}

// SAFETY: OpenCL's objects may be used by any thread; what changes a recording takes it by
// exclusive reference.
unsafe impl Send for Recording {}

impl Recording {
    /// An empty one.
    pub(super) fn new(functions: Functions, queue: &CommandQueue) -> Result<Self, Refused> {
        /// `CL_COMMAND_BUFFER_FLAGS_KHR`.
        const FLAGS: u64 = 0x1293;
        /// `CL_COMMAND_BUFFER_SIMULTANEOUS_USE_KHR`.
        const SIMULTANEOUS_USE: u64 = 1;
        let properties = [FLAGS, SIMULTANEOUS_USE, 0];
        let mut status = 0;
        let handle = {
            let queue = queue.as_ptr();
            // SAFETY: one queue is given, the properties end with a zero, and the status may be
            // written.
            unsafe { (functions.create)(1, &raw const queue, properties.as_ptr(), &raw mut status) }
        };
        succeeded("clCreateCommandBufferKHR", status)?;
        Ok(Self { functions, queue: queue.clone(), handle, kernels: Vec::new() })
    }

    /// Adds a launch of a kernel with the arguments that it has, in groups of `group` of `items`.
    pub(super) fn add(
        &mut self,
        kernel: Kernel,
        items: [usize; 3],
        group: [usize; 3],
    ) -> Result<(), Refused> {
        // SAFETY: the sizes are of three dimensions; what is null may be: of the queue the
        // recording knows itself, and in a queue in order launches wait for those before them. That
        // the arguments are right is up to who set them, as for any launch; whoever made the
        // recording holds the memory among them for as long.
        let status = unsafe {
            (self.functions.add)(
                self.handle,
                ptr::null_mut(),
                ptr::null(),
                kernel.as_ptr(),
                3,
                ptr::null(),
                items.as_ptr(),
                group.as_ptr(),
                0,
                ptr::null(),
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        self.kernels.push(kernel);
        succeeded("clCommandNDRangeKernelKHR", status)
    }

    /// Ends the recording: from now on it can be replayed.
    pub(super) fn finish(&mut self) -> Result<(), Refused> {
        // SAFETY: the handle is that of a recording.
        let status = unsafe { (self.functions.finalise)(self.handle) };
        succeeded("clFinalizeCommandBufferKHR", status)
    }

    /// Puts all its launches into the queue; does not wait.
    pub(super) fn replay(&self) -> Result<(), Refused> {
        // SAFETY: the recording has ended, and no events are given or asked for; without a list of
        // queues it goes into the one it was made for.
        let status = unsafe {
            (self.functions.enqueue)(
                0,
                ptr::null_mut(),
                self.handle,
                0,
                ptr::null(),
                ptr::null_mut(),
            )
        };
        succeeded("clEnqueueCommandBufferKHR", status)
    }
}

impl Drop for Recording {
    /// Waits for the queue first: not every driver keeps a recording that still runs.
    fn drop(&mut self) {
        // A queue that fails runs nothing any more; whoever uses it next is told.
        let _ = core::finish(&self.queue);
        // SAFETY: the handle is that of a recording, which nobody uses after this.
        unsafe { (self.functions.release)(self.handle) };
    }
}

//! The functions of OpenCL 1.2 that `ocl-core` calls, each a jump through the table that [`open`]
//! fills.
#![allow(non_snake_case, reason = "the names are OpenCL's")]

use std::ffi::OsStr;
use std::sync::OnceLock;

use cl_sys::*;
use libloading::Library;

/// What a function answers before a library was opened: no platform found.
const NO_PLATFORM: cl_int = -1001;

/// Pointers into the opened library.
static TABLE: OnceLock<Table> = OnceLock::new();

/// The result of a call that could not be made.
trait Unavailable {
    const VALUE: Self;
}

impl Unavailable for cl_int {
    const VALUE: Self = NO_PLATFORM;
}

impl Unavailable for *mut c_void {
    const VALUE: Self = std::ptr::null_mut();
}

/// Declares the table and a trampoline for each function. Those that create an object report errors
/// through a last argument, `error`.
macro_rules! trampolines {
    ($(fn $name:ident($($argument:ident: $type:ty),* $(; $error:ident)?) -> $result:ty;)+) => {
        struct Table {
            $($name: unsafe extern "system" fn($($type),* $(,
                trampolines!(@pointer $error))?) -> $result,)+
        }

        impl Table {
            /// # Safety
            /// `library` must be an OpenCL library: its functions must have the types of OpenCL's
            /// headers.
            unsafe fn new(library: &Library) -> Result<Self, libloading::Error> {
                // SAFETY: the symbol has OpenCL's type by the contract of this function, and the
                // next item checks ours against cl-sys's.
                Ok(Self { $($name: *unsafe { library.get(concat!(stringify!($name),
                    "\0").as_bytes()) }?,)+ })
            }
        }

        $(
            // The trampoline below is the definition of this very declaration; a difference in type
            // does not compile.
            const _: unsafe extern "system" fn($($type),* $(,
                trampolines!(@pointer $error))?) -> $result = cl_sys::$name;

            /// OpenCL's function of this name, in the library that was opened.
            ///
            /// # Safety
            /// As OpenCL's documentation of the function says.
            #[unsafe(no_mangle)]
            unsafe extern "system" fn $name($($argument: $type),* $(,
                $error: trampolines!(@pointer $error))?) -> $result {
                let Some(table) = TABLE.get() else {
                    $(
                        if !$error.is_null() {
                            // SAFETY: OpenCL asks for null or a pointer to one integer that may be
                            // written.
                            unsafe { *$error = NO_PLATFORM };
                        }
                    )?
                    return <$result>::VALUE;
                };
                // SAFETY: the caller keeps the contract of the function, which is passed on whole.
                unsafe { (table.$name)($($argument),* $(, $error)?) }
            }
        )+
    };
    (@pointer $error:ident) => { *mut cl_int };
}

/// Opens a library and fills the table from it.
pub(crate) fn open(name: &OsStr) -> Result<(), String> {
    // SAFETY: opening runs the initialisers of a library that the system, or the person, names as
    // the OpenCL library. Its symbols stay local to it (RTLD_LOCAL), and it stays open: the table
    // lives as long as the program.
    let library = unsafe { Library::new(name) }.map_err(|error| reason(&error))?;
    // SAFETY: as above, it is the OpenCL library.
    let table = unsafe { Table::new(&library) }.map_err(|error| reason(&error))?;
    std::mem::forget(library);
    TABLE.set(table).map_err(|_| "another library is open".to_owned())
}

/// How many platforms (drivers) the opened library has; 0 where it has none or fails.
pub(crate) fn platform_count() -> usize {
    let mut count = 0;
    // SAFETY: no array is asked for, and the count may be written.
    let status = unsafe { clGetPlatformIDs(0, std::ptr::null_mut(), &raw mut count) };
    if status == 0 { count as usize } else { 0 }
}

/// What the system said, which the library keeps as the source of its error.
fn reason(error: &libloading::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

// Functions that return an error code.
trampolines! {
    fn clGetPlatformIDs(num_entries: cl_uint, platforms: *mut cl_platform_id,
        num_platforms: *mut cl_uint) -> cl_int;
    fn clGetPlatformInfo(
        platform: cl_platform_id, param_name: cl_platform_info, param_value_size: size_t,
        param_value: *mut c_void,
        param_value_size_ret: *mut size_t
    ) -> cl_int;
    fn clGetDeviceIDs(
        platform: cl_platform_id, device_type: cl_device_type, num_entries: cl_uint,
        devices: *mut cl_device_id,
        num_devices: *mut cl_uint
    ) -> cl_int;
    fn clGetDeviceInfo(
        device: cl_device_id, param_name: cl_device_info, param_value_size: size_t,
        param_value: *mut c_void,
        param_value_size_ret: *mut size_t
    ) -> cl_int;
    fn clCreateSubDevices(
        in_device: cl_device_id, properties: *const cl_device_partition_property,
        num_devices: cl_uint,
        out_devices: *mut cl_device_id, num_devices_ret: *mut cl_uint
    ) -> cl_int;
    fn clRetainDevice(device: cl_device_id) -> cl_int;
    fn clReleaseDevice(device: cl_device_id) -> cl_int;
    fn clRetainContext(context: cl_context) -> cl_int;
    fn clReleaseContext(context: cl_context) -> cl_int;
    fn clGetContextInfo(
        context: cl_context, param_name: cl_context_info, param_value_size: size_t,
        param_value: *mut c_void,
        param_value_size_ret: *mut size_t
    ) -> cl_int;
    fn clRetainCommandQueue(command_queue: cl_command_queue) -> cl_int;
    fn clReleaseCommandQueue(command_queue: cl_command_queue) -> cl_int;
    fn clGetCommandQueueInfo(
        command_queue: cl_command_queue, param_name: cl_command_queue_info,
        param_value_size: size_t,
        param_value: *mut c_void, param_value_size_ret: *mut size_t
    ) -> cl_int;
    fn clRetainMemObject(memobj: cl_mem) -> cl_int;
    fn clReleaseMemObject(memobj: cl_mem) -> cl_int;
    fn clGetSupportedImageFormats(
        context: cl_context, flags: cl_mem_flags, image_type: cl_mem_object_type,
        num_entries: cl_uint,
        image_formats: *mut cl_image_format, num_image_formats: *mut cl_uint
    ) -> cl_int;
    fn clGetMemObjectInfo(
        memobj: cl_mem, param_name: cl_mem_info, param_value_size: size_t, param_value: *mut c_void,
        param_value_size_ret: *mut size_t
    ) -> cl_int;
    fn clGetImageInfo(
        image: cl_mem, param_name: cl_image_info, param_value_size: size_t,
        param_value: *mut c_void,
        param_value_size_ret: *mut size_t
    ) -> cl_int;
    fn clSetMemObjectDestructorCallback(
        memobj: cl_mem, pfn_notify: Option<extern "C" fn(cl_mem, *mut c_void)>,
        user_data: *mut c_void
    ) -> cl_int;
    fn clRetainSampler(sampler: cl_sampler) -> cl_int;
    fn clReleaseSampler(sampler: cl_sampler) -> cl_int;
    fn clGetSamplerInfo(
        sampler: cl_sampler, param_name: cl_sampler_info, param_value_size: size_t,
        param_value: *mut c_void,
        param_value_size_ret: *mut size_t
    ) -> cl_int;
    fn clRetainProgram(program: cl_program) -> cl_int;
    fn clReleaseProgram(program: cl_program) -> cl_int;
    fn clBuildProgram(
        program: cl_program, num_devices: cl_uint, device_list: *const cl_device_id,
        options: *const c_char,
        pfn_notify: Option<extern "C" fn(cl_program, *mut c_void)>, user_data: *mut c_void
    ) -> cl_int;
    fn clCompileProgram(
        program: cl_program, num_devices: cl_uint, device_list: *const cl_device_id,
        options: *const c_char,
        num_input_headers: cl_uint, input_headers: *const cl_program,
        header_include_names: *const *const c_char,
        pfn_notify: Option<extern "C" fn(cl_program, *mut c_void)>, user_data: *mut c_void
    ) -> cl_int;
    fn clGetProgramInfo(
        program: cl_program, param_name: cl_program_info, param_value_size: size_t,
        param_value: *mut c_void,
        param_value_size_ret: *mut size_t
    ) -> cl_int;
    fn clGetProgramBuildInfo(
        program: cl_program, device: cl_device_id, param_name: cl_program_build_info,
        param_value_size: size_t,
        param_value: *mut c_void, param_value_size_ret: *mut size_t
    ) -> cl_int;
    fn clCreateKernelsInProgram(
        program: cl_program, num_kernels: cl_uint, kernels: *mut cl_kernel,
        num_kernels_ret: *mut cl_uint
    ) -> cl_int;
    fn clRetainKernel(kernel: cl_kernel) -> cl_int;
    fn clReleaseKernel(kernel: cl_kernel) -> cl_int;
    fn clSetKernelArg(kernel: cl_kernel, arg_index: cl_uint, arg_size: size_t,
        arg_value: *const c_void) -> cl_int;
    fn clGetKernelInfo(
        kernel: cl_kernel, param_name: cl_kernel_info, param_value_size: size_t,
        param_value: *mut c_void,
        param_value_size_ret: *mut size_t
    ) -> cl_int;
    fn clGetKernelArgInfo(
        kernel: cl_kernel, arg_indx: cl_uint, param_name: cl_kernel_arg_info,
        param_value_size: size_t,
        param_value: *mut c_void, param_value_size_ret: *mut size_t
    ) -> cl_int;
    fn clGetKernelWorkGroupInfo(
        kernel: cl_kernel, device: cl_device_id, param_name: cl_kernel_work_group_info,
        param_value_size: size_t,
        param_value: *mut c_void, param_value_size_ret: *mut size_t
    ) -> cl_int;
    fn clWaitForEvents(num_events: cl_uint, event_list: *const cl_event) -> cl_int;
    fn clGetEventInfo(
        event: cl_event, param_name: cl_event_info, param_value_size: size_t,
        param_value: *mut c_void,
        param_value_size_ret: *mut size_t
    ) -> cl_int;
    fn clRetainEvent(event: cl_event) -> cl_int;
    fn clReleaseEvent(event: cl_event) -> cl_int;
    fn clSetUserEventStatus(event: cl_event, execution_status: cl_int) -> cl_int;
    fn clSetEventCallback(
        event: cl_event, command_exec_callback_type: cl_int,
        pfn_notify: Option<extern "C" fn(cl_event, cl_int, *mut c_void)>, user_data: *mut c_void
    ) -> cl_int;
    fn clGetEventProfilingInfo(
        event: cl_event, param_name: cl_profiling_info, param_value_size: size_t,
        param_value: *mut c_void,
        param_value_size_ret: *mut size_t
    ) -> cl_int;
    fn clFlush(command_queue: cl_command_queue) -> cl_int;
    fn clFinish(command_queue: cl_command_queue) -> cl_int;
    fn clEnqueueReadBuffer(
        command_queue: cl_command_queue, buffer: cl_mem, blocking_read: cl_bool, offset: size_t,
        cb: size_t,
        ptr: *mut c_void, num_events_in_wait_list: cl_uint, event_wait_list: *const cl_event,
        event: *mut cl_event
    ) -> cl_int;
    fn clEnqueueReadBufferRect(
        command_queue: cl_command_queue, buffer: cl_mem, blocking_read: cl_bool,
        buffer_origin: *const size_t,
        host_origin: *const size_t, region: *const size_t, buffer_row_pitch: size_t,
        buffer_slc_pitch: size_t,
        host_row_pitch: size_t, host_slc_pitch: size_t, ptr: *mut c_void,
        num_events_in_wait_list: cl_uint,
        event_wait_list: *const cl_event, event: *mut cl_event
    ) -> cl_int;
    fn clEnqueueWriteBuffer(
        command_queue: cl_command_queue, buffer: cl_mem, blocking_write: cl_bool, offset: size_t,
        cb: size_t,
        ptr: *const c_void, num_events_in_wait_list: cl_uint, event_wait_list: *const cl_event,
        event: *mut cl_event
    ) -> cl_int;
    fn clEnqueueWriteBufferRect(
        command_queue: cl_command_queue, buffer: cl_mem, blocking_write: cl_bool,
        buffer_origin: *const size_t,
        host_origin: *const size_t, region: *const size_t, buffer_row_pitch: size_t,
        buffer_slc_pitch: size_t,
        host_row_pitch: size_t, host_slc_pitch: size_t, ptr: *const c_void,
        num_events_in_wait_list: cl_uint,
        event_wait_list: *const cl_event, event: *mut cl_event
    ) -> cl_int;
    fn clEnqueueFillBuffer(
        command_queue: cl_command_queue, buffer: cl_mem, pattern: *const c_void,
        pattern_size: size_t, offset: size_t,
        size: size_t, num_events_in_wait_list: cl_uint, event_wait_list: *const cl_event,
        event: *mut cl_event
    ) -> cl_int;
    fn clEnqueueCopyBuffer(
        command_queue: cl_command_queue, src_buffer: cl_mem, dst_buffer: cl_mem, src_offset: size_t,
        dst_offset: size_t, cb: size_t, num_events_in_wait_list: cl_uint,
        event_wait_list: *const cl_event,
        event: *mut cl_event
    ) -> cl_int;
    fn clEnqueueCopyBufferRect(
        command_queue: cl_command_queue, src_buffer: cl_mem, dst_buffer: cl_mem,
        src_origin: *const size_t,
        dst_origin: *const size_t, region: *const size_t, src_row_pitch: size_t,
        src_slc_pitch: size_t,
        dst_row_pitch: size_t, dst_slc_pitch: size_t, num_events_in_wait_list: cl_uint,
        event_wait_list: *const cl_event, event: *mut cl_event
    ) -> cl_int;
    fn clEnqueueReadImage(
        command_queue: cl_command_queue, image: cl_mem, blocking_read: cl_bool,
        origin: *const size_t,
        region: *const size_t, row_pitch: size_t, slc_pitch: size_t, ptr: *mut c_void,
        num_events_in_wait_list: cl_uint, event_wait_list: *const cl_event, event: *mut cl_event
    ) -> cl_int;
    fn clEnqueueWriteImage(
        command_queue: cl_command_queue, image: cl_mem, blocking_write: cl_bool,
        origin: *const size_t,
        region: *const size_t, input_row_pitch: size_t, input_slc_pitch: size_t, ptr: *const c_void,
        num_events_in_wait_list: cl_uint, event_wait_list: *const cl_event, event: *mut cl_event
    ) -> cl_int;
    fn clEnqueueFillImage(
        command_queue: cl_command_queue, image: cl_mem, fill_color: *const c_void,
        origin: *const size_t,
        region: *const size_t, num_events_in_wait_list: cl_uint, event_wait_list: *const cl_event,
        event: *mut cl_event
    ) -> cl_int;
    fn clEnqueueCopyImage(
        command_queue: cl_command_queue, src_image: cl_mem, dst_image: cl_mem,
        src_origin: *const size_t,
        dst_origin: *const size_t, region: *const size_t, num_events_in_wait_list: cl_uint,
        event_wait_list: *const cl_event, event: *mut cl_event
    ) -> cl_int;
    fn clEnqueueCopyImageToBuffer(
        command_queue: cl_command_queue, src_image: cl_mem, dst_buffer: cl_mem,
        src_origin: *const size_t,
        region: *const size_t, dst_offset: size_t, num_events_in_wait_list: cl_uint,
        event_wait_list: *const cl_event,
        event: *mut cl_event
    ) -> cl_int;
    fn clEnqueueCopyBufferToImage(
        command_queue: cl_command_queue, src_buffer: cl_mem, dst_image: cl_mem, src_offset: size_t,
        dst_origin: *const size_t, region: *const size_t, num_events_in_wait_list: cl_uint,
        event_wait_list: *const cl_event, event: *mut cl_event
    ) -> cl_int;
    fn clEnqueueUnmapMemObject(
        command_queue: cl_command_queue, memobj: cl_mem, mapped_ptr: *mut c_void,
        num_events_in_wait_list: cl_uint,
        event_wait_list: *const cl_event, event: *mut cl_event
    ) -> cl_int;
    fn clEnqueueMigrateMemObjects(
        command_queue: cl_command_queue, num_mem_objects: cl_uint, mem_objects: *const cl_mem,
        flags: cl_mem_migration_flags, num_events_in_wait_list: cl_uint,
        event_wait_list: *const cl_event,
        event: *mut cl_event
    ) -> cl_int;
    fn clEnqueueNDRangeKernel(
        command_queue: cl_command_queue, kernel: cl_kernel, work_dim: cl_uint,
        global_work_offset: *const size_t,
        global_work_dims: *const size_t, local_work_dims: *const size_t,
        num_events_in_wait_list: cl_uint,
        event_wait_list: *const cl_event, event: *mut cl_event
    ) -> cl_int;
    fn clEnqueueTask(
        command_queue: cl_command_queue, kernel: cl_kernel, num_events_in_wait_list: cl_uint,
        event_wait_list: *const cl_event, event: *mut cl_event
    ) -> cl_int;
    fn clEnqueueNativeKernel(
        command_queue: cl_command_queue, user_func: Option<extern "C" fn(*mut c_void)>,
        args: *mut c_void,
        cb_args: size_t, num_mem_objects: cl_uint, mem_list: *const cl_mem,
        args_mem_loc: *const *const c_void,
        num_events_in_wait_list: cl_uint, event_wait_list: *const cl_event, event: *mut cl_event
    ) -> cl_int;
    fn clEnqueueMarkerWithWaitList(
        command_queue: cl_command_queue, num_events_in_wait_list: cl_uint,
        event_wait_list: *const cl_event,
        event: *mut cl_event
    ) -> cl_int;
    fn clEnqueueBarrierWithWaitList(
        command_queue: cl_command_queue, num_events_in_wait_list: cl_uint,
        event_wait_list: *const cl_event,
        event: *mut cl_event
    ) -> cl_int;

    // Functions that create an object.
    fn clCreateContext(
        properties: *const cl_context_properties, num_devices: cl_uint,
        devices: *const cl_device_id,
        pfn_notify: Option<extern "C" fn(*const c_char, *const c_void, size_t, *mut c_void)>,
        user_data: *mut c_void; error
    ) -> cl_context;
    fn clCreateContextFromType(
        properties: *const cl_context_properties, device_type: cl_device_type,
        pfn_notify: Option<extern "C" fn(*const c_char, *const c_void, size_t, *mut c_void)>,
        user_data: *mut c_void; error
    ) -> cl_context;
    fn clCreateCommandQueue(
        context: cl_context, device: cl_device_id, properties: cl_command_queue_properties; error
    ) -> cl_command_queue;
    fn clCreateBuffer(context: cl_context, flags: cl_mem_flags, size: size_t,
        host_ptr: *mut c_void; error) -> cl_mem;
    fn clCreateSubBuffer(
        buffer: cl_mem, flags: cl_mem_flags, buffer_create_type: cl_buffer_create_type,
        buffer_create_info: *const c_void; error
    ) -> cl_mem;
    fn clCreateImage(
        context: cl_context, flags: cl_mem_flags, image_format: *const cl_image_format,
        image_desc: *const cl_image_desc, host_ptr: *mut c_void; error
    ) -> cl_mem;
    fn clCreateSampler(
        context: cl_context, normalize_coords: cl_bool, addressing_mode: cl_addressing_mode,
        filter_mode: cl_filter_mode; error
    ) -> cl_sampler;
    fn clCreateProgramWithSource(
        context: cl_context, count: cl_uint, strings: *const *const c_char,
        lengths: *const size_t; error
    ) -> cl_program;
    fn clCreateProgramWithBinary(
        context: cl_context, num_devices: cl_uint, device_list: *const cl_device_id,
        lengths: *const size_t,
        binaries: *const *const c_uchar, binary_status: *mut cl_int; error
    ) -> cl_program;
    fn clLinkProgram(
        context: cl_context, num_devices: cl_uint, device_list: *const cl_device_id,
        options: *const c_char,
        num_input_programs: cl_uint, input_programs: *const cl_program,
        pfn_notify: Option<extern "C" fn(cl_program, *mut c_void)>, user_data: *mut c_void; error
    ) -> cl_program;
    fn clCreateKernel(program: cl_program, kernel_name: *const c_char; error) -> cl_kernel;
    fn clCreateUserEvent(context: cl_context; error) -> cl_event;
    fn clEnqueueMapBuffer(
        command_queue: cl_command_queue, buffer: cl_mem, blocking_map: cl_bool,
        map_flags: cl_map_flags,
        offset: size_t, size: size_t, num_events_in_wait_list: cl_uint,
        event_wait_list: *const cl_event,
        event: *mut cl_event; error
    ) -> *mut c_void;
    fn clEnqueueMapImage(
        command_queue: cl_command_queue, image: cl_mem, blocking_map: cl_bool,
        map_flags: cl_map_flags,
        origin: *const size_t, region: *const size_t, image_row_pitch: *mut size_t,
        image_slc_pitch: *mut size_t,
        num_events_in_wait_list: cl_uint, event_wait_list: *const cl_event,
        event: *mut cl_event; error
    ) -> *mut c_void;

    // Null where the library has no such extension.
    fn clGetExtensionFunctionAddressForPlatform(platform: cl_platform_id,
        func_name: *const c_char) -> *mut c_void;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_without_a_library_is_an_error_and_no_crash() {
        let (mut count, mut error) = (0, 0);
        // SAFETY: null and valid pointers, as the function allows.
        let status = unsafe { clGetPlatformIDs(0, std::ptr::null_mut(), &raw mut count) };
        // SAFETY: the same.
        let context = unsafe {
            clCreateContext(
                std::ptr::null(),
                0,
                std::ptr::null(),
                None,
                std::ptr::null_mut(),
                &raw mut error,
            )
        };
        assert_eq!((status, error), (NO_PLATFORM, NO_PLATFORM));
        assert!(context.is_null());
    }

    /// A driver's loader that found our functions by name would call itself through us for ever.
    #[test]
    #[cfg(unix)]
    fn the_trampolines_are_not_visible_to_libraries() {
        let program = libloading::os::unix::Library::this();
        // SAFETY: the symbol is only looked for.
        assert!(unsafe { program.get::<*const c_void>(b"clGetPlatformIDs\0") }.is_err());
    }

    #[test]
    fn a_library_that_is_not_opencl_is_refused() {
        let missing = open(OsStr::new("libno-such-library.so")).unwrap_err();
        assert!(missing.contains("no-such-library"), "{missing}");
        if cfg!(all(target_os = "linux", target_env = "gnu")) {
            let other = open(OsStr::new("libm.so.6")).unwrap_err();
            assert!(other.contains("clGet"), "{other}");
        }
    }
}

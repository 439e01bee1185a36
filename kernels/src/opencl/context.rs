//! An open device: its queue, its programs, its memory pool, and what it has done.

use std::env;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ocl::core::{self, CommandQueue, ContextProperties, DeviceId};

use super::command_buffer::Refused;
use super::memory::Memory;
use super::platform::{Found, Kind};
use super::program::Programs;
use super::tuning::Choices;
use super::waiting::Waiting;
use crate::backend::DeviceStatistics;
use crate::buffer::{Place, Pool, SharedBuffer};
use crate::{DType, Error, Result};

/// The environment variable that says how many bytes of a device may be used, for a device that is
/// shared.
const MEMORY_VARIABLE: &str = "RUNG_OPENCL_MEMORY";

/// Bytes that may be used of a device's memory.
fn usable_bytes(found: &Found) -> Result<usize> {
    let all = found.memory_bytes as usize;
    let Some(text) = env::var(MEMORY_VARIABLE).ok().filter(|text| !text.is_empty()) else {
        return Ok(all);
    };
    let limit: usize = text.parse().map_err(|_| Error::Failed {
        device: found.name.clone(),
        what: format!("{MEMORY_VARIABLE} is {text:?}, which must be a number of bytes"),
    })?;
    Ok(all.min(limit))
}

/// The environment variable that says `on` or `off`: whether steps that repeat are replayed where
/// the driver can record launches.
const REPLAY_VARIABLE: &str = "RUNG_OPENCL_REPLAY";

/// Whether steps that repeat are replayed where the driver can record launches: on CPUs only if
/// asked for, since their drivers replay launch by launch, which gains nothing.
fn replays(found: &Found) -> Result<bool> {
    if let Some(replays) = found.replays {
        return Ok(replays);
    }
    match env::var(REPLAY_VARIABLE).unwrap_or_default().as_str() {
        "" => Ok(found.kind == Kind::Gpu),
        "on" => Ok(true),
        "off" => Ok(false),
        other => Err(Error::Failed {
            device: found.name.clone(),
            what: format!("{REPLAY_VARIABLE} is {other:?}, which must be on or off"),
        }),
    }
}

/// How kernels are cut for a kind of device; see `cl/common.cl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// Bytes that a work-item handles at once; 0 for a single element.
    vector_bytes: usize,
    /// Work-items that share a row.
    pub(super) lanes: usize,
    /// Neighbouring columns (vectors of them) of a work-group that walks down the rows.
    pub(super) columns: usize,
    /// Work-items that share a column.
    pub(super) row_lanes: usize,
    /// Work-items of a group in kernels that do not share.
    pub(super) group: usize,
    /// The same in kernels whose grid is a matrix; rows may be narrow. Fixed, since some drivers
    /// compile a kernel anew for each size.
    pub(super) row_group: usize,
}

impl Cut {
    /// The cut for a kind of device whose work-groups have at most so many work-items.
    pub(super) fn new(kind: Kind, group_limit: usize) -> Self {
        // Sixteen floats are two registers of AVX2 and one of AVX-512; groups exist only to share
        // the cost of their start.
        let cut = match kind {
            Kind::Cpu => Self {
                vector_bytes: 64,
                lanes: 1,
                columns: 1,
                row_lanes: 1,
                group: 16,
                row_group: 4,
            },
            Kind::Gpu => Self {
                vector_bytes: 0,
                lanes: 64,
                columns: 8,
                row_lanes: 32,
                group: 128,
                row_group: 32,
            },
        };
        // What shares is a power of two, so that halves can be summed.
        let limit = 1 << group_limit.max(1).ilog2();
        let columns = cut.columns.min(limit);
        Self {
            lanes: cut.lanes.min(limit),
            columns,
            row_lanes: cut.row_lanes.min(limit / columns),
            group: cut.group.min(limit),
            row_group: cut.row_group.min(limit),
            ..cut
        }
    }

    /// Elements that a work-item handles at once.
    pub(super) const fn width(self, dtype: DType) -> usize {
        let width = self.vector_bytes / dtype.size_bytes();
        if width == 0 { 1 } else { width }
    }
}

/// What launches go through, one thread at a time.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) programs: Programs,
    pub(super) waiting: Waiting,
}

/// An open device.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) has_f64: bool,
    pub(super) kind: Kind,
    pub(super) compute_units: usize,
    /// The most work-items of a group.
    pub(super) group_limit: usize,
    /// Local memory of a group.
    pub(super) local_bytes: usize,
    /// The fewest work-items that Intel's GPUs can be told to run side by side.
    pub(super) least_sub_group: Option<usize>,
    pub(super) cut: Cut,
    pub(super) device: DeviceId,
    pub(super) context: core::Context,
    /// Where launches go from `waiting.rs` and what it calls alone; all others ask
    /// [`Context::queue`] for it.
    pub(super) queue: CommandQueue,
    /// Device, driver and platform: what compiled programs and measurements are good for.
    pub(super) machine: String,
    work: Mutex<Work>,
    choices: Mutex<Choices>,
    pool: Arc<Pool>,
    memory_bytes: usize,
    largest_buffer_bytes: usize,
    launches: AtomicUsize,
    replayed: AtomicUsize,
    bytes_to_device: AtomicUsize,
    bytes_from_device: AtomicUsize,
}

impl Context {
    /// Opens a device. Nothing is compiled yet.
    pub(super) fn open(found: &Found) -> Result<Self> {
        let failed = |error: ocl::OclCoreError| Error::Failed {
            device: found.name.clone(),
            what: error.to_string(),
        };
        let recording = if replays(found)? { found.recording } else { None };
        let properties = ContextProperties::new().platform(found.platform_id);
        let context = core::create_context(Some(&properties), &[found.device_id], None, None)
            .map_err(failed)?;
        let queue = core::create_command_queue(&context, found.device_id, None).map_err(failed)?;
        let machine =
            format!("{}\n{}\n{}\n{}", found.platform, found.model, found.vendor, found.driver);
        Ok(Self {
            name: found.name.clone(),
            description: found.description(),
            has_f64: found.has_f64,
            kind: found.kind,
            compute_units: found.compute_units as usize,
            group_limit: found.work_group_limit,
            local_bytes: found.local_bytes as usize,
            least_sub_group: found.least_sub_group,
            cut: Cut::new(found.kind, found.work_group_limit),
            device: found.device_id,
            context,
            queue,
            work: Mutex::new(Work {
                programs: Programs::default(),
                waiting: Waiting::new(recording),
            }),
            choices: Mutex::new(Choices::read(&machine)),
            machine,
            pool: Arc::new(Pool::oldest_first()),
            memory_bytes: usable_bytes(found)?,
            largest_buffer_bytes: found.largest_buffer_bytes as usize,
            launches: AtomicUsize::new(0),
            replayed: AtomicUsize::new(0),
            bytes_to_device: AtomicUsize::new(0),
            bytes_from_device: AtomicUsize::new(0),
        })
    }

    /// A buffer with arbitrary contents, from the pool if it has one of the size.
    pub(super) fn allocate(this: &Arc<Self>, dtype: DType, len: usize) -> Result<SharedBuffer> {
        let requested_bytes = len.saturating_mul(dtype.size_bytes());
        let take = || {
            this.pool.take_from(dtype, len, |bytes| {
                this.obtain(bytes).map(|memory| Place::Device(Box::new(memory)))
            })
        };
        let retry = || {
            this.release_free();
            take()
        };
        take().or_else(retry).ok_or_else(|| this.out_of_memory(requested_bytes))
    }

    /// Gives free buffers back; the driver keeps those that queued kernels use until they are done.
    pub(super) fn release_free(&self) {
        self.work().waiting.forget_steps();
        self.pool.release_free();
    }

    /// Memory from the driver. Drivers hand out more than there is and fail later, so the sum is
    /// checked here.
    fn obtain(&self, bytes: usize) -> Option<Memory> {
        let in_use = self.pool.statistics().bytes;
        if bytes > self.largest_buffer_bytes || in_use.checked_add(bytes)? > self.memory_bytes {
            return None;
        }
        Memory::new(&self.context, &self.name, bytes)
    }

    /// The error of a request that does not fit.
    pub(super) fn out_of_memory(&self, requested_bytes: usize) -> Error {
        let device_bytes = Some((self.pool.statistics().bytes, self.memory_bytes));
        Error::OutOfMemory { device: self.name.clone(), requested_bytes, device_bytes }
    }

    /// A failure of the driver as an error: memory that it lacks, or its own words.
    pub(super) fn failed(&self, error: &ocl::OclCoreError) -> Error {
        use ocl::core::Status;
        match error.api_status() {
            Some(Status::CL_MEM_OBJECT_ALLOCATION_FAILURE | Status::CL_OUT_OF_RESOURCES) => {
                self.out_of_memory(0)
            }
            _ => Error::Failed { device: self.name.clone(), what: essence(&error.to_string()) },
        }
    }

    /// A failure of a function that records or replays, as an error.
    pub(super) fn refused(&self, Refused { function, status }: Refused) -> Error {
        /// `CL_MEM_OBJECT_ALLOCATION_FAILURE`, `CL_OUT_OF_RESOURCES`, `CL_OUT_OF_HOST_MEMORY`.
        const NO_MEMORY: [i32; 3] = [-4, -5, -6];
        if NO_MEMORY.contains(&status) {
            return self.out_of_memory(0);
        }
        Error::Failed { device: self.name.clone(), what: format!("{function}: error {status}") }
    }

    /// Ends a step of training, as declared. For the next one to be given the same memory, the pool
    /// forgets in which order its buffers became free.
    pub(super) fn end_step(&self) -> Result<()> {
        let Work { programs, waiting } = &mut *self.work();
        if waiting.end_step(self, programs)? {
            self.pool.sort_free();
        }
        Ok(())
    }

    /// Waits until all work is done.
    pub(super) fn finish(&self) -> Result<()> {
        core::finish(self.queue()?).map_err(|error| self.failed(&error))
    }

    /// The queue, after all launches that waited were put into it: for whatever is no launch.
    pub(super) fn queue(&self) -> Result<&CommandQueue> {
        let Work { programs, waiting } = &mut *self.work();
        waiting.let_all_go(self, programs)?;
        Ok(&self.queue)
    }

    /// Programs and waiting launches, for whoever launches.
    pub(super) fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What searches for the fastest product have found.
    pub(super) fn choices(&self) -> MutexGuard<'_, Choices> {
        self.choices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count_launches(&self, count: usize) {
        self.launches.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn count_replayed(&self, count: usize) {
        self.replayed.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn count_upload(&self, bytes: usize) {
        self.bytes_to_device.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn count_download(&self, bytes: usize) {
        self.bytes_from_device.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn statistics(&self) -> DeviceStatistics {
        DeviceStatistics {
            launches: self.launches.load(Ordering::Relaxed),
            replayed: self.replayed.load(Ordering::Relaxed),
            bytes_to_device: self.bytes_to_device.load(Ordering::Relaxed),
            bytes_from_device: self.bytes_from_device.load(Ordering::Relaxed),
            pool: self.pool.statistics(),
        }
    }
}

/// The driver's words without the frame of advice around them: what was called and what it
/// returned, where that is told apart.
fn essence(text: &str) -> String {
    let after =
        |words: &str| text.lines().find_map(|line| line.trim().strip_prefix(words)).map(str::trim);
    if let (Some(function), Some(status)) =
        (after("Error executing function:"), after("Status error code:"))
    {
        return format!("{function}: {status}");
    }
    let words = text.lines().map(str::trim).filter(|line| line.chars().any(char::is_alphanumeric));
    words.take(3).collect::<Vec<_>>().join("; ")
}

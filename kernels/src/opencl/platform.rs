//! The devices OpenCL knows, and what matters about each.

use std::sync::OnceLock;

use ocl::core::{self, DeviceId, DeviceInfo, DeviceInfoResult, DeviceType, PlatformId};
use rung_opencl_loader::NotFound;

use super::command_buffer::Functions;

/// What a device is, which decides how its kernels are compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A CPU: few threads with wide vectors each.
    Cpu,
    /// A GPU or another accelerator: many work-items side by side.
    Gpu,
}

/// A device that was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The name to choose it by: `opencl:0`.
    pub name: String,
    /// What it calls itself.
    pub model: String,
    /// Who makes it.
    pub vendor: String,
    /// Version of its driver, with the version of OpenCL.
    pub driver: String,
    /// Its platform: the driver's name.
    pub platform: String,
    /// CPU or GPU.
    pub kind: Kind,
    /// Bytes of its memory.
    pub memory_bytes: u64,
    /// Bytes of the largest buffer.
    pub largest_buffer_bytes: u64,
    /// Compute units: what runs work-groups.
    pub compute_units: u32,
    /// The most work-items of a work-group.
    pub work_group_limit: usize,
    /// Bytes of the memory that a work-group shares.
    pub local_bytes: u64,
    /// Intel's GPUs: the fewest work-items that a kernel can ask to run side by side.
    pub least_sub_group: Option<usize>,
    /// Whether it computes in f64.
    pub has_f64: bool,
    pub(super) platform_id: PlatformId,
    pub(super) device_id: DeviceId,
    /// How launches are recorded, where the driver does that.
    pub(super) recording: Option<Functions>,
    /// Whether steps are to be replayed, if that is not left to the environment and the kind.
    pub(super) replays: Option<bool>,
}

impl Found {
    /// What it is, for people: model, vendor, driver.
    #[must_use]
    pub fn description(&self) -> String {
        format!("{}, {} ({})", self.model, self.vendor, self.driver)
    }

    /// The same device with its kernels cut for another kind: how those for GPUs are tested without
    /// one.
    #[must_use]
    pub fn treated_as(&self, kind: Kind) -> Self {
        Self { kind, ..self.clone() }
    }

    /// The same device, whose steps are replayed where the driver can record them, or every launch
    /// of which goes on its own.
    #[must_use]
    pub fn replaying(&self, replays: bool) -> Self {
        Self { replays: Some(replays), ..self.clone() }
    }

    /// Whether the driver can record launches, so that a step which repeats can be replayed.
    #[must_use]
    pub const fn can_record(&self) -> bool {
        self.recording.is_some()
    }

    /// The same device with smaller work-groups: how a small device is tested without one.
    #[must_use]
    pub fn limited_to(&self, work_group_limit: usize) -> Self {
        Self { work_group_limit, ..self.clone() }
    }
}

/// Every device, in the order of the drivers, looked for once.
///
/// # Errors
/// If there is no OpenCL library; it names what was looked for.
pub fn found() -> Result<&'static [Found], NotFound> {
    static DEVICES: OnceLock<Result<Vec<Found>, NotFound>> = OnceLock::new();
    DEVICES
        .get_or_init(|| rung_opencl_loader::load().map(|()| list()))
        .as_deref()
        .map_err(Clone::clone)
}

/// A platform or device that answers no question is left out: it could not be used either.
fn list() -> Vec<Found> {
    if rung_opencl_loader::platform_count() == 0 {
        return Vec::new();
    }
    let mut all = Vec::new();
    for platform in core::get_platform_ids().unwrap_or_default() {
        for device in
            core::get_device_ids(platform, Some(DeviceType::ALL), None).unwrap_or_default()
        {
            if let Some(found) = describe(all.len(), platform, device) {
                all.push(found);
            }
        }
    }
    all
}

fn describe(index: usize, platform: PlatformId, device: DeviceId) -> Option<Found> {
    let ask = |what| core::get_device_info(device, what).ok();
    let text = |what| ask(what).map(|answer| answer.to_string().trim().to_owned());
    let number = |what| match ask(what) {
        Some(
            DeviceInfoResult::GlobalMemSize(number)
            | DeviceInfoResult::MaxMemAllocSize(number)
            | DeviceInfoResult::LocalMemSize(number),
        ) => Some(number),
        Some(DeviceInfoResult::MaxComputeUnits(number)) => Some(u64::from(number)),
        Some(DeviceInfoResult::MaxWorkGroupSize(number)) => Some(number as u64),
        _ => None,
    };
    let kind = match ask(DeviceInfo::Type)? {
        DeviceInfoResult::Type(kind) if kind.contains(DeviceType::CPU) => Kind::Cpu,
        _ => Kind::Gpu,
    };
    let extensions = text(DeviceInfo::Extensions).unwrap_or_default();
    Some(Found {
        name: format!("opencl:{index}"),
        model: text(DeviceInfo::Name)?,
        vendor: text(DeviceInfo::Vendor).unwrap_or_default(),
        driver: format!("{}, {}", text(DeviceInfo::DriverVersion)?, text(DeviceInfo::Version)?),
        platform: core::get_platform_info(platform, core::PlatformInfo::Name)
            .map(|name| name.to_string())
            .ok()?,
        kind,
        memory_bytes: number(DeviceInfo::GlobalMemSize)?,
        largest_buffer_bytes: number(DeviceInfo::MaxMemAllocSize)?,
        compute_units: number(DeviceInfo::MaxComputeUnits)? as u32,
        work_group_limit: number(DeviceInfo::MaxWorkGroupSize)? as usize,
        local_bytes: number(DeviceInfo::LocalMemSize)?,
        least_sub_group: least_sub_group(device, &extensions),
        has_f64: extensions.split_whitespace().any(|extension| extension == "cl_khr_fp64"),
        platform_id: platform,
        device_id: device,
        recording: Functions::of(platform, device, &extensions),
        replays: None,
    })
}

/// The fewest work-items of a sub-group, where the driver lets kernels ask for a size
/// (`cl_intel_required_subgroup_size`).
fn least_sub_group(device: DeviceId, extensions: &str) -> Option<usize> {
    /// CL_DEVICE_SUB_GROUP_SIZES_INTEL, whose answer is an array of `size_t`.
    const SUB_GROUP_SIZES: u32 = 0x4108;
    extensions.split_whitespace().find(|&word| word == "cl_intel_required_subgroup_size")?;
    let bytes = core::get_device_info_raw(device, SUB_GROUP_SIZES).ok()?;
    let sizes = bytes.chunks_exact(size_of::<usize>());
    sizes.filter_map(|size| Some(usize::from_ne_bytes(size.try_into().ok()?))).min()
}

//! Where a command computes: the device by name, and the threads that serve it.

use rung_autograd::Device;
use rung_kernels::cpu::Cpu;
use rung_kernels::opencl::{self, Found, Kind, OpenCl};
use rung_ranks::Ranks;

use crate::config::{Precision, TrainConfig};
use crate::error::{Advise, Context, Error, Result};

/// A limit for a machine that is shared with others, as `RUNG_OPENCL_MEMORY` is on its other
/// devices.
const CPU_MEMORY: &str = "RUNG_CPU_MEMORY";

/// The device of a command, and how it is to compute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceChoice {
    /// `cpu`, one that [`devices`] lists, or `auto`.
    pub name: String,
    /// CPU threads; 0 for one a core, divided among the ranks of this machine that may run on the
    /// same cores.
    pub threads: usize,
    /// How products of matrices round their operands.
    pub precision: Precision,
}

impl DeviceChoice {
    /// The CPU with a thread a core, in full precision.
    pub fn cpu() -> Self {
        Self { name: "cpu".into(), threads: 0, precision: Precision::Full }
    }
}

impl From<&TrainConfig> for DeviceChoice {
    fn from(config: &TrainConfig) -> Self {
        let TrainConfig { device, threads, precision, .. } = config;
        Self { name: device.clone(), threads: *threads, precision: *precision }
    }
}

/// Runs `work` with the device that was chosen, on a pool of its threads. Of several ranks each
/// takes a GPU of its own for `auto`, as far as there are some.
///
/// The work itself is a task of the pool, so that the primitives split it without waking a thread
/// from outside.
///
/// # Errors
/// If there is no such device, threads cannot be started, or what `work` returns.
pub fn with_device<R: Send>(
    ranks: &Ranks,
    choice: &DeviceChoice,
    work: impl FnOnce(Device) -> Result<R> + Send,
) -> Result<R> {
    let neighbours = Neighbours::of(ranks)?;
    let device = open(&choice.name, neighbours.before, choice.precision)?;
    let threads = match choice.threads {
        0 if ranks.are_many() => neighbours.threads(1),
        threads => threads,
    };
    let pool =
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().context("starting threads")?;
    pool.install(|| work(device))
}

/// The ranks on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbours {
    /// Those before this one.
    before: usize,
    /// Those that may run on the same cores as this one, which is one of them.
    on_same_cores: usize,
}

impl Neighbours {
    /// Of a single rank.
    pub const NONE: Self = Self { before: 0, on_same_cores: 1 };

    /// Told by the machine's name and the cores that a rank may run on, which launchers restrict.
    ///
    /// # Errors
    /// If another rank has ended.
    pub fn of(ranks: &Ranks) -> Result<Self> {
        if !ranks.are_many() {
            return Ok(Self::NONE);
        }
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let status = read("/proc/self/status");
        let cores = status.lines().find(|line| line.starts_with("Cpus_allowed:"));
        let place =
            format!("{}\n{}", read("/proc/sys/kernel/hostname").trim(), cores.unwrap_or(""));
        let places = ranks.gather(place.as_bytes()).context("finding the ranks of this machine")?;
        Ok(Self::among(&places, ranks.rank()))
    }

    /// Threads for each of `jobs` works that this rank does at once, where nobody says how many:
    /// one a core, shared with the other works and the other ranks of the same cores.
    pub fn threads(&self, jobs: usize) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        (cores / (jobs.max(1) * self.on_same_cores)).max(1)
    }

    /// The device of a name, which `auto` is not: the GPU whose turn it is, or the CPU.
    pub fn device(&self, name: &str) -> String {
        if name != "auto" {
            return name.into();
        }
        let listed = opencl::found().unwrap_or_default();
        gpu(listed, self.before).map_or_else(|| "cpu".into(), |found| found.name.clone())
    }

    /// Those of a rank, from `machine\ncores` of every rank.
    fn among(places: &[Vec<u8>], rank: usize) -> Self {
        let machine =
            |place: &Vec<u8>| place.split(|&byte| byte == b'\n').next().map(<[u8]>::to_vec);
        let here = machine(&places[rank]);
        Self {
            before: places[..rank].iter().filter(|place| machine(place) == here).count(),
            on_same_cores: places.iter().filter(|place| **place == places[rank]).count(),
        }
    }
}

/// The device of a name: `cpu`, one that [`devices`] lists, or `auto` for a GPU if there is one,
/// else the CPU: the first, or another where `before` others of this machine take those before it;
/// with products of a precision.
///
/// # Errors
/// If there is no such device, its driver cannot open it, or it lacks the precision.
pub fn open(name: &str, before: usize, precision: Precision) -> Result<Device> {
    // Who computes on the CPU has no use for drivers: to ask for them loads their compilers, some
    // 60 MB.
    if name == "cpu" {
        return cpu(precision);
    }
    let found = opencl::found();
    let listed = found.as_deref().unwrap_or_default();
    let chosen = match name {
        "auto" => gpu(listed, before),
        _ => Some(listed.iter().find(|found| found.name == name).ok_or_else(|| {
            let why = found.as_ref().err().filter(|_| name.starts_with("opencl"));
            let why = why.map_or_else(String::new, |not_found| format!(": {not_found}"));
            Error::new(format!("there is no device {name}{why}"))
                .with_advice("rung devices lists the devices of this machine")
        })?),
    };
    match chosen {
        None => cpu(precision),
        Some(found) if precision != Precision::Full => {
            Err(Error::new(format!("{} has no products in bfloat16", found.name))
                .with_advice("leave --precision out, or compute on a CPU that has them"))
        }
        Some(found) => {
            OpenCl::open(found).map(Device::new).context(format!("opening {}", found.name))
        }
    }
}

/// The GPU whose turn it is after `before` others, if there is one.
fn gpu(listed: &[Found], before: usize) -> Option<&Found> {
    let gpus = || listed.iter().filter(|found| found.kind == Kind::Gpu);
    before.checked_rem(gpus().count()).and_then(|index| gpus().nth(index))
}

/// The most bytes that tensors may take together on the CPU, if the environment sets a limit.
///
/// # Errors
/// If what it says is no number.
pub fn cpu_memory_limit() -> Result<Option<usize>> {
    let Some(text) = std::env::var(CPU_MEMORY).ok().filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let limit = text.parse().context(format!("{CPU_MEMORY} is {text:?}"));
    limit.map(Some).with_advice(|| "give a number of bytes".into())
}

/// The CPU, with the memory that the environment leaves it.
fn cpu(precision: Precision) -> Result<Device> {
    let cpu = cpu_memory_limit()?.map_or_else(Cpu::new, Cpu::with_memory);
    let cpu = cpu.with_precision(precision.into()).ok_or_else(|| {
        Error::new("this CPU has no instructions for products in bfloat16 (AVX-512 BF16)")
            .with_advice("leave --precision out: everything is f32 then")
    })?;
    Ok(Device::new(cpu))
}

/// A device that models can run on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// The name to choose it by.
    pub name: String,
    /// CPU or GPU, and what matters about it.
    pub description: String,
    /// What it calls itself.
    pub model: String,
    /// Who makes it, where the driver says it.
    pub vendor: Option<String>,
    /// Its driver and the driver's version, for OpenCL.
    pub driver: Option<String>,
    /// Whether it is a GPU or another accelerator.
    pub is_gpu: bool,
    /// Threads that serve it, for the CPU.
    pub threads: Option<usize>,
    /// Cores or the like.
    pub compute_units: usize,
    /// Its memory, where the system says it.
    pub memory_bytes: Option<u64>,
    /// Whether it computes in f64.
    pub has_f64: bool,
    /// The most work-items of a work-group, for OpenCL.
    pub work_group_limit: Option<usize>,
}

/// Every device of this machine, the CPU first.
pub fn devices() -> Vec<DeviceInfo> {
    let mut all = vec![cpu_info()];
    all.extend(opencl::found().unwrap_or_default().iter().map(described));
    all
}

/// The OpenCL devices, open.
///
/// # Errors
/// If a driver cannot open its device.
pub fn opencl_devices() -> Result<Vec<OpenCl>> {
    let found = opencl::found().unwrap_or_default().iter();
    found.map(|found| OpenCl::open(found).context(format!("opening {}", found.name))).collect()
}

/// Why there are no devices but the CPU, where that is so.
pub fn why_no_opencl() -> Option<String> {
    match opencl::found() {
        Err(not_found) => Some(not_found.to_string()),
        Ok([]) => Some("an OpenCL library is there, but no driver: it lists no devices".into()),
        Ok(_) => None,
    }
}

fn cpu_info() -> DeviceInfo {
    let cpu = Device::cpu();
    let threads = rayon::current_num_threads();
    DeviceInfo {
        name: cpu.name(),
        model: cpu.description(),
        description: cpu.description(),
        vendor: None,
        driver: None,
        is_gpu: false,
        threads: Some(threads),
        compute_units: std::thread::available_parallelism().map_or(threads, usize::from),
        memory_bytes: memory_bytes(),
        has_f64: true,
        work_group_limit: None,
    }
}

fn described(found: &Found) -> DeviceInfo {
    DeviceInfo {
        name: found.name.clone(),
        description: found.description(),
        model: found.model.clone(),
        vendor: Some(found.vendor.clone()),
        driver: Some(found.driver.clone()),
        is_gpu: found.kind == Kind::Gpu,
        threads: None,
        compute_units: found.compute_units as usize,
        memory_bytes: Some(found.memory_bytes),
        has_f64: found.has_f64,
        work_group_limit: Some(found.work_group_limit),
    }
}

/// The machine's memory, from Linux's `/proc/meminfo`.
fn memory_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_device_that_is_listed_can_be_used() {
        for DeviceInfo { name, .. } in devices() {
            let choice = DeviceChoice { name: name.clone(), threads: 1, ..DeviceChoice::cpu() };
            let used = with_device(&Ranks::one(), &choice, |device| Ok(device.name()));
            assert_eq!(used.unwrap(), name);
        }
        let choice = DeviceChoice { name: "opencl:7000".into(), ..DeviceChoice::cpu() };
        let error = with_device(&Ranks::one(), &choice, |_| Ok(())).unwrap_err();
        assert!(error.advice().is_some_and(|advice| advice.contains("rung devices")));
    }

    #[test]
    fn auto_is_a_gpu_where_there_is_one() {
        let gpu = devices().into_iter().find(|device| device.is_gpu);
        let expected = gpu.map_or_else(|| "cpu".to_owned(), |gpu| gpu.name);
        assert_eq!(open("auto", 0, Precision::Full).unwrap().name(), expected);
    }

    #[test]
    fn ranks_of_a_machine_are_told_from_others_and_share_only_the_same_cores() {
        let places = ["a\n3", "b\n3", "a\nc", "a\n3"].map(|place| place.as_bytes().to_vec());
        let of = |rank| Neighbours::among(&places, rank);
        assert_eq!(of(0), Neighbours { before: 0, on_same_cores: 2 });
        assert_eq!(of(1), Neighbours { before: 0, on_same_cores: 1 });
        assert_eq!(of(2), Neighbours { before: 1, on_same_cores: 1 });
        assert_eq!(of(3), Neighbours { before: 2, on_same_cores: 2 });
    }
}

//! Where a command computes: the device by name, and the threads that serve it.

use rung_autograd::Device;

use crate::error::{Context, Error, Result};

/// Runs `work` with a device, on a pool of `threads` threads (0 for one a core).
///
/// The work itself is a task of the pool, so that the primitives split it without waking a thread from outside.
///
/// # Errors
/// If there is no such device, threads cannot be started, or what `work` returns.
pub fn with_device<R: Send>(name: &str, threads: usize, work: impl FnOnce(Device) -> Result<R> + Send) -> Result<R> {
    if name != "cpu" && name != "auto" {
        return Err(Error::new(format!("there is no device {name}"))
            .with_advice("rung devices lists the devices of this machine"));
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().context("starting threads")?;
    pool.install(|| work(Device::cpu()))
}

/// A device that models can run on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// The name to choose it by.
    pub name: String,
    /// Processor or card, and what matters about it.
    pub description: String,
    /// Threads that serve it, for the processor.
    pub threads: Option<usize>,
    /// Its memory, where the system says it.
    pub memory_bytes: Option<u64>,
}

/// Every device of this machine, the processor first.
pub fn devices() -> Vec<DeviceInfo> {
    let cpu = Device::cpu();
    let threads = Some(rayon::current_num_threads());
    vec![DeviceInfo { name: cpu.name(), description: cpu.description(), threads, memory_bytes: memory_bytes() }]
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
            let used = with_device(&name, 1, |device| Ok(device.name()));
            assert_eq!(used.unwrap(), name);
        }
        let error = with_device("opencl:7", 0, |_| Ok(())).unwrap_err();
        assert!(error.advice().is_some_and(|advice| advice.contains("rung devices")));
    }
}

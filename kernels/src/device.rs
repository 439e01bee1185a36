//! A handle on a device: what tensors carry.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::Backend;
use crate::cpu::Cpu;

/// A device, by handle: cloning it is cheap, and two handles are equal if they are on one device.
///
/// # Example
/// ```
/// let cpu = rung_kernels::Device::cpu();
/// assert_eq!(cpu.name(), "cpu");
/// ```
#[derive(Clone)]
pub struct Device(Arc<dyn Backend>);

impl Device {
    /// The CPU, with a buffer pool of its own. Work runs on the `rayon` pool of the calling thread.
    #[must_use]
    pub fn cpu() -> Self {
        Self::new(Cpu::new())
    }

    /// A handle on a backend.
    #[must_use]
    pub fn new(backend: impl Backend + 'static) -> Self {
        Self(Arc::new(backend))
    }
}

impl Deref for Device {
    type Target = dyn Backend;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl PartialEq for Device {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Device {}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({})", self.name())
    }
}

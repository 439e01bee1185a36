//! What an optimiser remembers: how many steps it made, and its moments.

use rung_kernels::{DType, Device, Error, Result, SharedBuffer, View, ViewMut};
use smallvec::SmallVec;

use crate::parameters::ParameterStore;
use crate::tensor::sole;

/// The most moments an optimiser has.
const MOMENT_ROOM: usize = 2;

/// The memory of an optimiser: a count of steps, and named moments that are each as long as all
/// parameters together.
///
/// Element i of a moment belongs to element i of the flat parameters, so a checkpoint can cut it up
/// by [`crate::Parameter::range`].
#[derive(Debug)]
pub struct OptimiserState {
    steps: u64,
    device: Device,
    moments: SmallVec<[(&'static str, SharedBuffer); MOMENT_ROOM]>,
}

impl OptimiserState {
    /// Moments of zeros for the parameters of `store`.
    pub(super) fn new<const N: usize>(
        store: &ParameterStore,
        names: [&'static str; N],
    ) -> Result<Self> {
        let device = store.device().clone();
        let mut moments = SmallVec::new();
        for name in names {
            let mut moment = device.allocate(store.dtype(), store.element_count())?;
            device.fill(0.0, sole(&mut moment))?;
            moments.push((name, moment));
        }
        Ok(Self { steps: 0, device, moments })
    }

    /// Steps made so far.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    /// Sets the count of steps, on which Adam's bias corrections depend.
    pub const fn set_steps(&mut self, steps: u64) {
        self.steps = steps;
    }

    /// The names of the moments.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.moments.iter().map(|(name, _)| *name)
    }

    /// Type of the moments' elements: that of the parameters.
    #[must_use]
    pub fn dtype(&self) -> DType {
        self.moments[0].1.dtype()
    }

    /// Elements of each moment: those of all parameters together.
    #[must_use]
    pub fn element_count(&self) -> usize {
        self.moments[0].1.len()
    }

    /// Copies a moment to the host, whose memory has the same dtype and length. Waits for the
    /// device.
    ///
    /// # Errors
    /// `Argument` if there is no such moment, or the memory does not fit.
    pub fn download(&self, name: &str, host: ViewMut<'_>) -> Result<()> {
        let moment = &self.moments[self.position(name)?].1;
        self.check_host(name, host.dtype(), host.len())?;
        self.device.download(moment.view(), host)
    }

    /// Replaces a moment by what the host holds, with the same dtype and length.
    ///
    /// # Errors
    /// `Argument` if there is no such moment, or the memory does not fit.
    pub fn upload(&mut self, name: &str, host: View<'_>) -> Result<()> {
        let position = self.position(name)?;
        self.check_host(name, host.dtype(), host.len())?;
        self.device.upload(host, sole(&mut self.moments[position].1))
    }

    /// Counts a step of `store` and gives the count and the moments, in the order they were named.
    pub(super) fn advance<const N: usize>(
        &mut self,
        optimiser: &'static str,
        store: &ParameterStore,
    ) -> Result<(u64, [ViewMut<'_>; N])> {
        self.check_store(optimiser, store)?;
        self.steps += 1;
        let mut moments = self.moments.iter_mut();
        let views = std::array::from_fn(|_| {
            let (_, moment) = moments
                .next()
                .expect("bug: an optimiser asks for more moments than it has; please report it");
            sole(moment)
        });
        Ok((self.steps, views))
    }

    /// Refuses a store that is not the one this was made for.
    pub(super) fn check_store(
        &self,
        optimiser: &'static str,
        store: &ParameterStore,
    ) -> Result<()> {
        let (own, other) =
            ((self.element_count(), self.dtype()), (store.element_count(), store.dtype()));
        if own != other || self.device != *store.device() {
            let what = format!(
                "made for {} {} parameters on {}, called for {} {} parameters on {}",
                own.0,
                own.1,
                self.device.name(),
                other.0,
                other.1,
                store.device().name()
            );
            return Err(Error::argument(optimiser, what));
        }
        Ok(())
    }

    /// The first moment's memory.
    pub(super) fn moment_buffer(&mut self) -> &mut SharedBuffer {
        &mut self.moments[0].1
    }

    /// The first moment, for writing.
    pub(super) fn moment_mut(&mut self) -> ViewMut<'_> {
        sole(self.moment_buffer())
    }

    fn position(&self, name: &str) -> Result<usize> {
        self.moments.iter().position(|(own, _)| *own == name).ok_or_else(|| {
            let names: Vec<&str> = self.names().collect();
            Error::argument(
                "optimiser state",
                format!("there is no moment {name}, only {}", names.join(" and ")),
            )
        })
    }

    fn check_host(&self, name: &str, dtype: DType, len: usize) -> Result<()> {
        if (dtype, len) == (self.dtype(), self.element_count()) {
            return Ok(());
        }
        let what = format!(
            "{name} has {} elements of {}, the host {len} of {dtype}",
            self.element_count(),
            self.dtype()
        );
        Err(Error::argument("optimiser state", what))
    }
}

//! A tape that looks at what is computed: the first operation whose output is not finite.

use rung_kernels::{Result, Shape};

use super::{Arena, Origin, Tape};
use crate::parameters::ParameterId;
use crate::tensor::Tensor;

/// Where a recording first had a number that is not finite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotFinite {
    /// The operation; `None` where a parameter had such a number before anything was computed of
    /// it.
    pub operation: Option<&'static str>,
    /// The shape of the output, or of the parameter.
    pub shape: Shape,
    /// The parameter that was read last, by this operation or before it: in whose layer it is.
    pub parameter: Option<ParameterId>,
}

/// What a watching tape knows.
#[derive(Debug, Default)]
pub(super) struct Watch {
    parameter: Option<ParameterId>,
    found: Option<NotFinite>,
}

impl Tape {
    /// An empty tape that looks at every output as it is recorded, for
    /// [`Tape::first_not_finite`]. Each is read back from the device: for finding a fault, not for
    /// training.
    #[must_use]
    pub fn watching() -> Self {
        let tape = Self::new();
        tape.0.borrow_mut().watch = Some(Watch::default());
        tape
    }

    /// The first output or parameter in the order of computation that is NaN or infinite, if the
    /// tape is [watching](Tape::watching) and there was one.
    #[must_use]
    pub fn first_not_finite(&self) -> Option<NotFinite> {
        self.0.borrow().watch.as_ref()?.found.clone()
    }

    /// Looks at an operation that is being recorded, if this is wanted and nothing was found yet.
    pub(super) fn look(
        &self,
        operation: &'static str,
        inputs: &[&Tensor],
        outputs: &[Tensor],
    ) -> Result<()> {
        let mut arena = self.0.borrow_mut();
        let Arena { watch: Some(watch), slots, .. } = &mut *arena else { return Ok(()) };
        if watch.found.is_some() {
            return Ok(());
        }
        let origin = |input: &Tensor| input.tracked.as_ref().map(|place| slots[place.slot].origin);
        for input in inputs {
            let Some(Origin::Parameter(parameter)) = origin(input) else { continue };
            watch.parameter = Some(parameter);
            if !is_finite(input)? {
                let (shape, parameter) = (input.shape, Some(parameter));
                watch.found = Some(NotFinite { operation: None, shape, parameter });
                return Ok(());
            }
        }
        for output in outputs {
            if !is_finite(output)? {
                watch.found = Some(NotFinite {
                    operation: Some(operation),
                    shape: output.shape,
                    parameter: watch.parameter,
                });
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Whether every element is; whole numbers are.
fn is_finite(tensor: &Tensor) -> Result<bool> {
    Ok(!tensor.dtype().is_float() || tensor.detach().to_f64()?.iter().all(|x| x.is_finite()))
}

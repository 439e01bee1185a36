//! Activation checkpointing: functions whose inner values are not kept, for backward recomputes
//! them (Chen et al. 2016, "Training deep nets with sublinear memory cost").
//!
//! Forward runs the function without a tape and records one node that keeps its inputs. When the
//! walk comes to the node, the function runs once more on a tape of its own, which is walked at
//! once; what was collected for the inputs moves there and back, so that every sum has the order,
//! and therefore every gradient the bits, that it has without.

use std::fmt;

use rung_kernels::{Device, Error, Result};
use smallvec::SmallVec;

use super::{Arena, NODE_ROOM, Origin, Recorded, SlotId, Tape, Tracked};
use crate::parameters::ParameterStore;
use crate::tensor::Tensor;

/// What is recomputed: a function of tensors, and of the parameters it reads from the store with
/// this tape.
type Function = dyn Fn(&ParameterStore, Option<&Tape>, &[Tensor]) -> Result<Tensor>;

/// The node of such a function.
pub(super) struct Recomputed {
    function: Box<Function>,
    inputs: Kept,
    output: SlotId,
}

/// Inputs, each with its place on the tape if it has one.
type Kept = SmallVec<[(Tensor, Option<SlotId>); NODE_ROOM]>;

impl fmt::Debug for Recomputed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recomputed")
            .field("inputs", &self.inputs)
            .field("output", &self.output)
            .finish_non_exhaustive()
    }
}

impl Tape {
    /// `function(inputs)`, keeping nothing but the inputs and the result: [`Tape::backward_into`]
    /// recomputes the rest. The function must give the same result whenever it is called, and
    /// read tensors with gradients from its arguments and the store alone.
    ///
    /// # Errors
    /// Those of the function; `Argument` if an input is recorded on another tape or belongs to a
    /// recording that is over.
    pub fn recomputed(
        &self,
        store: &ParameterStore,
        inputs: &[&Tensor],
        function: impl Fn(&ParameterStore, Option<&Self>, &[Tensor]) -> Result<Tensor> + 'static,
    ) -> Result<Tensor> {
        let kept = self.kept(inputs)?;
        let values: SmallVec<[Tensor; NODE_ROOM]> =
            kept.iter().map(|(value, _)| Tensor::clone(value)).collect();
        let out = function(store, None, &values)?;
        Ok(self.record_recomputed(kept, out, Box::new(function)))
    }

    /// The inputs, and where they are recorded.
    fn kept(&self, inputs: &[&Tensor]) -> Result<Kept> {
        const NAME: &str = "recomputed";
        let generation = self.0.borrow().generation;
        let mut kept = SmallVec::new();
        for input in inputs {
            let slot = match &input.tracked {
                None => None,
                Some(place) if place.tape.is_same(self) => Some(place.slot_at(generation, NAME)?),
                Some(_) => {
                    return Err(Error::argument(NAME, "an input is recorded on another tape"));
                }
            };
            kept.push((input.detach(), slot));
        }
        Ok(kept)
    }

    /// Records that `out` is the function of the inputs.
    fn record_recomputed(&self, inputs: Kept, out: Tensor, function: Box<Function>) -> Tensor {
        let mut arena = self.0.borrow_mut();
        let (output, generation) = (arena.push_slot(out.shape, Origin::Computed), arena.generation);
        arena.nodes.push(Recorded::Recomputed(Recomputed { function, inputs, output }));
        drop(arena);
        Tensor { tracked: Some(Tracked { tape: self.clone(), slot: output, generation }), ..out }
    }
}

impl Tensor {
    /// As [`Tape::recomputed`], for a function that reads no parameters: on the tape of the inputs,
    /// if any is on one.
    ///
    /// # Errors
    /// As [`Tape::recomputed`].
    pub fn recomputed(
        inputs: &[&Self],
        function: impl Fn(&[Self]) -> Result<Self> + 'static,
    ) -> Result<Self> {
        let values: SmallVec<[Self; NODE_ROOM]> =
            inputs.iter().map(|input| input.detach()).collect();
        let out = function(&values)?;
        let tape = inputs.iter().find_map(|input| Some(input.tracked.as_ref()?.tape.clone()));
        let Some(tape) = tape else { return Ok(out) };
        let kept = tape.kept(inputs)?;
        let function =
            move |_: &ParameterStore, _: Option<&Tape>, inputs: &[Self]| function(inputs);
        Ok(tape.record_recomputed(kept, out, Box::new(function)))
    }
}

impl Recomputed {
    /// Runs the function again and walks its recording.
    pub(super) fn backward(
        self,
        outer: &mut Arena,
        device: &Device,
        store: Option<&mut ParameterStore>,
    ) -> Result<()> {
        let Some(grad_out) = outer.adjoints[self.output].take() else { return Ok(()) };
        let Some(store) = store else {
            return Err(Error::argument(
                "backward",
                "a recomputed function may read parameters: use backward_into with their store",
            ));
        };
        let tape = Tape::new();
        let mut arguments: SmallVec<[Tensor; NODE_ROOM]> = SmallVec::new();
        let mut places: SmallVec<[(SlotId, SlotId); NODE_ROOM]> = SmallVec::new();
        for (value, slot) in self.inputs {
            arguments.push(match slot {
                None => value,
                Some(outer_slot) => {
                    places.push((outer_slot, tape.0.borrow().slots.len()));
                    tape.variable(&value)?
                }
            });
        }
        let out = (self.function)(store, Some(&tape), &arguments)?;
        drop(arguments);
        let Some(end) = out.tracked.as_ref().map(|place| place.slot) else { return Ok(()) };
        drop(out);
        let mut inner = tape.0.borrow_mut();
        let slots = inner.slots.len();
        inner.adjoints.resize(slots, None);
        for &(outer_slot, slot) in &places {
            inner.adjoints[slot] = outer.adjoints[outer_slot].take();
        }
        inner.sink(device, Some(&mut *store)).add(end, grad_out)?;
        inner.walk(device, Some(&mut *store))?;
        for (outer_slot, slot) in places {
            if let Some(gradient) = inner.adjoints[slot].take() {
                outer.sink(device, Some(&mut *store)).add(outer_slot, gradient)?;
            }
        }
        Ok(())
    }
}

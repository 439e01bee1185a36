//! The tape: what was computed, in order, so that it can be walked backwards.
//!
//! Each recorded operation is a node; each tensor it makes is a slot, which later nodes name as
//! their input. Both live in vectors that keep their capacity, so a training loop that plays one
//! tape again and again allocates nothing.
//!
//! [`Tape::backward`] starts with the adjoint 1 at a scalar and walks the nodes from the last to
//! the first. A node whose outputs got no adjoint is skipped. Each node turns the adjoints of its
//! outputs into those of its inputs ([`Adjoint`]), after which the values it kept are given back.
//! The walk consumes the recording.

use std::cell::RefCell;
use std::rc::Rc;

use rung_kernels::{Device, Error, Result, Shape};
use smallvec::SmallVec;

use crate::adjoint::{Adjoint, Sink};
use crate::op::{Op, Saves};
use crate::parameters::{ParameterId, ParameterStore};
use crate::tensor::Tensor;

mod recompute;
mod watch;

pub use watch::NotFinite;

/// Inline room for the inputs, outputs or kept values of a node: no operation has more.
pub(crate) const NODE_ROOM: usize = 6;

/// A recording of operations; cloning gives another handle on the same tape.
#[derive(Clone, Debug, Default)]
pub struct Tape(Rc<RefCell<Arena>>);

/// The place of a tensor on a tape.
#[derive(Clone)]
pub(crate) struct Tracked {
    pub(crate) tape: Tape,
    pub(crate) slot: SlotId,
    /// Which recording of the tape the slot belongs to.
    generation: usize,
}

/// Index of a tensor on its tape.
pub(crate) type SlotId = usize;

#[derive(Debug, Default)]
struct Arena {
    nodes: Vec<Recorded>,
    slots: Vec<Slot>,
    /// The slot of each parameter that this recording uses.
    parameter_slots: Vec<Option<SlotId>>,
    generation: usize,
    /// Adjoints of the slots, kept for its capacity.
    adjoints: Vec<Option<Tensor>>,
    /// What is looked for while operations are recorded.
    watch: Option<watch::Watch>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) shape: Shape,
    pub(crate) origin: Origin,
}

/// What a tensor on a tape is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A leaf whose gradient the caller of backward is given.
    Variable,
    /// A leaf whose gradient goes to the store.
    Parameter(ParameterId),
    /// The output of a node.
    Computed,
}

/// What was done.
#[derive(Debug)]
enum Recorded {
    Operation(Node),
    Recomputed(recompute::Recomputed),
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) op: Op,
    /// The slot of each input; `None` for one that is not tracked.
    pub(crate) inputs: SmallVec<[Option<SlotId>; NODE_ROOM]>,
    pub(crate) first_output: SlotId,
    pub(crate) output_count: usize,
    /// The kept inputs, then the kept outputs; `None` for one that backward does not read.
    pub(crate) saved: SmallVec<[Option<Tensor>; NODE_ROOM]>,
}

impl Tape {
    /// An empty tape.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same values as `tensor`, tracked: [`Gradients::of`] will have a gradient for the result.
    ///
    /// # Errors
    /// `DType` if the tensor is not of floats.
    pub fn variable(&self, tensor: &Tensor) -> Result<Tensor> {
        if !tensor.dtype().is_float() {
            let dtypes = vec![("x", tensor.dtype())];
            return Err(Error::DType {
                operation: "variable",
                rule: "only floats have gradients",
                dtypes,
            });
        }
        let slot = self.0.borrow_mut().push_slot(tensor.shape, Origin::Variable);
        Ok(self.track(tensor.clone(), slot))
    }

    /// How many operations are recorded.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.borrow().nodes.len()
    }

    /// Whether nothing is recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets the recording and gives back what it kept; tensors tracked so far can no longer be
    /// used with this tape.
    pub fn clear(&self) {
        self.0.borrow_mut().clear();
    }

    /// The gradients of a scalar with respect to the variables it was computed from.
    ///
    /// # Errors
    /// `Shape` if `loss` does not have exactly one element; `Argument` if it is not recorded on
    /// this tape (nothing it was computed from is tracked, or the recording was played before),
    /// or if the recording reads parameters (see [`Tape::backward_into`]).
    pub fn backward(&self, loss: &Tensor) -> Result<Gradients> {
        self.play(&[loss], None)
    }

    /// As [`Tape::backward`], for the sum of several losses; the gradients of parameters are added
    /// to those in `store`.
    ///
    /// # Errors
    /// As [`Tape::backward`].
    pub fn backward_into(
        &self,
        losses: &[&Tensor],
        store: &mut ParameterStore,
    ) -> Result<Gradients> {
        self.play(losses, Some(store))
    }

    /// The tracked tensor of a parameter: one slot for each recording, however often it is asked
    /// for.
    pub(crate) fn parameter(&self, id: ParameterId, value: Tensor) -> Tensor {
        let mut arena = self.0.borrow_mut();
        if arena.parameter_slots.len() <= id.index() {
            arena.parameter_slots.resize(id.index() + 1, None);
        }
        let slot = match arena.parameter_slots[id.index()] {
            Some(slot) => slot,
            None => arena.push_slot(value.shape, Origin::Parameter(id)),
        };
        arena.parameter_slots[id.index()] = Some(slot);
        drop(arena);
        self.track(value, slot)
    }

    /// Appends a node for `op` and tracks its first `tracked` outputs.
    pub(crate) fn record(
        &self,
        op: Op,
        inputs: &[&Tensor],
        outputs: &mut [Tensor],
        tracked: usize,
    ) -> Result<()> {
        let generation = self.0.borrow().generation;
        let mut slots = SmallVec::new();
        for input in inputs {
            slots.push(match &input.tracked {
                None => None,
                Some(place) => Some(place.slot_at(generation, op.name())?),
            });
        }
        let Saves { inputs: keep_inputs, outputs: keep_outputs } = op.saves();
        let keep = |(tensor, kept): (&Tensor, bool)| kept.then(|| tensor.detach());
        let kept_inputs =
            inputs.iter().enumerate().map(|(i, tensor)| keep((tensor, keep_inputs.has(i))));
        let saved = kept_inputs
            .chain(
                outputs.iter().enumerate().map(|(i, tensor)| keep((tensor, keep_outputs.has(i)))),
            )
            .collect();
        self.look(op.name(), inputs, outputs)?;
        let mut arena = self.0.borrow_mut();
        let first_output = arena.slots.len();
        for output in outputs.iter().take(tracked) {
            arena.push_slot(output.shape, Origin::Computed);
        }
        arena.nodes.push(Recorded::Operation(Node {
            op,
            inputs: slots,
            first_output,
            output_count: tracked,
            saved,
        }));
        drop(arena);
        for (i, output) in outputs.iter_mut().take(tracked).enumerate() {
            output.tracked =
                Some(Tracked { tape: self.clone(), slot: first_output + i, generation });
        }
        Ok(())
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    fn track(&self, tensor: Tensor, slot: SlotId) -> Tensor {
        let generation = self.0.borrow().generation;
        Tensor { tracked: Some(Tracked { tape: self.clone(), slot, generation }), ..tensor }
    }

    fn play(
        &self,
        losses: &[&Tensor],
        mut store: Option<&mut ParameterStore>,
    ) -> Result<Gradients> {
        let mut arena = self.0.borrow_mut();
        let arena = &mut *arena;
        arena.adjoints.clear();
        arena.adjoints.resize(arena.slots.len(), None);
        for loss in losses {
            let slot = self.loss_slot(loss, arena.generation)?;
            let seed = Tensor::full(&loss.device, loss.dtype(), 1.0, loss.shape)?;
            arena.sink(&loss.device, store.as_deref_mut()).add(slot, seed)?;
        }
        let outcome = losses.first().map_or(Ok(()), |loss| arena.walk(&loss.device, store));
        let gradients = Gradients {
            tape: self.clone(),
            generation: arena.generation,
            adjoints: arena.variable_adjoints(),
        };
        arena.clear();
        outcome.map(|()| gradients)
    }

    fn loss_slot(&self, loss: &Tensor, generation: usize) -> Result<SlotId> {
        if loss.shape.element_count() != 1 {
            let rule = "only a scalar has a gradient; reduce it with sum_all or mean_all first";
            return Err(Error::shape("backward", rule, &[("loss", loss.shape)]));
        }
        match &loss.tracked {
            Some(place) if place.tape.is_same(self) => place.slot_at(generation, "backward"),
            Some(_) => Err(Error::argument("backward", "the loss is recorded on another tape")),
            None => Err(Error::argument(
                "backward",
                "the loss is not recorded: nothing it was computed from is tracked",
            )),
        }
    }
}

impl Tracked {
    fn slot_at(&self, generation: usize, operation: &'static str) -> Result<SlotId> {
        if self.generation == generation {
            return Ok(self.slot);
        }
        Err(Error::argument(
            operation,
            "the tensor belongs to a recording that backward has consumed; compute it again",
        ))
    }
}

impl Arena {
    fn push_slot(&mut self, shape: Shape, origin: Origin) -> SlotId {
        self.slots.push(Slot { shape, origin });
        self.slots.len() - 1
    }

    fn sink<'a>(
        &'a mut self,
        device: &'a Device,
        store: Option<&'a mut ParameterStore>,
    ) -> Sink<'a> {
        Sink { device, slots: &self.slots, adjoints: &mut self.adjoints, store }
    }

    fn walk(&mut self, device: &Device, mut store: Option<&mut ParameterStore>) -> Result<()> {
        while let Some(recorded) = self.nodes.pop() {
            let mut node = match recorded {
                Recorded::Operation(node) => node,
                Recorded::Recomputed(function) => {
                    function.backward(self, device, store.as_deref_mut())?;
                    continue;
                }
            };
            let outputs = node.first_output..node.first_output + node.output_count;
            let grad_outs: SmallVec<[Option<Tensor>; NODE_ROOM]> =
                outputs.map(|slot| self.adjoints[slot].take()).collect();
            if grad_outs.iter().all(Option::is_none) {
                continue;
            }
            let op = node.op.clone();
            let sink = self.sink(device, store.as_deref_mut());
            op.backward(&mut Adjoint { node: &mut node, grad_outs, sink })?;
        }
        Ok(())
    }

    /// The adjoint of each variable; `None` if no loss depends on it.
    fn variable_adjoints(&mut self) -> Vec<(SlotId, Option<Tensor>)> {
        let variables =
            self.slots.iter().enumerate().filter(|(_, slot)| slot.origin == Origin::Variable);
        variables.map(|(id, _)| (id, self.adjoints[id].take())).collect()
    }

    fn clear(&mut self) {
        self.nodes.clear();
        self.slots.clear();
        self.adjoints.clear();
        self.parameter_slots.clear();
        self.generation += 1;
    }
}

/// The gradients of one backward walk, by variable.
#[derive(Debug)]
pub struct Gradients {
    tape: Tape,
    generation: usize,
    adjoints: Vec<(SlotId, Option<Tensor>)>,
}

impl Gradients {
    /// The gradient with respect to `variable`; zeros if the loss does not depend on it.
    ///
    /// # Errors
    /// `Argument` if `variable` was not a variable of the recording that was played.
    pub fn of(&self, variable: &Tensor) -> Result<Tensor> {
        let place = variable.tracked.as_ref().filter(|place| place.tape.is_same(&self.tape));
        let refusal = || Error::argument("gradient", "the tensor is not a variable of this tape");
        let slot = place.ok_or_else(refusal)?.slot_at(self.generation, "gradient")?;
        match self.adjoints.iter().find(|(at, _)| *at == slot).ok_or_else(refusal)? {
            (_, Some(gradient)) => Ok(gradient.clone()),
            (_, None) => Tensor::zeros(&variable.device, variable.dtype(), variable.shape),
        }
    }
}

//! What an operation's backward sees: adjoints of its outputs, the values it kept, and where the
//! adjoints of its inputs go.
//!
//! Backward never adds to zeros and never copies what a move would do. The first contribution to a
//! tensor is written straight to where it belongs, for a parameter into its range of the flat
//! gradient. A second one is computed aside and added, or added where it is computed, by primitives
//! that can ([`Adjoint::add_in_place`]).

use rung_kernels::{
    AxisExtent, BinaryFunction, Broadcast, Device, Error, Reduction, Result, Shape, ViewMut,
};
use smallvec::SmallVec;

use crate::parameters::{ParameterId, ParameterStore};
use crate::tape::{NODE_ROOM, Node, Origin, Slot, SlotId};
use crate::tensor::{Tensor, sole};

/// The view of one node during the walk.
pub(crate) struct Adjoint<'a> {
    pub(crate) node: &'a mut Node,
    pub(crate) grad_outs: SmallVec<[Option<Tensor>; NODE_ROOM]>,
    pub(crate) sink: Sink<'a>,
}

/// Where adjoints are collected.
pub(crate) struct Sink<'a> {
    pub(crate) device: &'a Device,
    pub(crate) slots: &'a [Slot],
    pub(crate) adjoints: &'a mut [Option<Tensor>],
    pub(crate) store: Option<&'a mut ParameterStore>,
}

impl Adjoint<'_> {
    /// The kept value number `index`: inputs first, then outputs.
    pub(crate) fn saved(&self, index: usize) -> Tensor {
        self.node.saved[index].clone().expect(
            "bug: backward reads a value that its operation does not save; please report it",
        )
    }

    /// The adjoint of the only output.
    pub(crate) fn grad_out(&self) -> Tensor {
        self.grad_out_of(0).expect("bug: backward of a node without adjoints; please report it")
    }

    /// The adjoint of one of several outputs; `None` if nothing depended on it.
    pub(crate) fn grad_out_of(&self, output: usize) -> Option<Tensor> {
        self.grad_outs[output].clone()
    }

    /// Whether the gradient of an input is wanted.
    pub(crate) fn needs(&self, input: usize) -> bool {
        self.node.inputs.get(input).is_some_and(Option::is_some)
    }

    /// The device all tensors of the recording lie on.
    pub(crate) fn device(&self) -> Device {
        self.sink.device.clone()
    }

    /// The shape of an input whose gradient is wanted.
    pub(crate) fn input_shape(&self, input: usize) -> Option<Shape> {
        self.node.inputs[input].map(|slot| self.sink.slots[slot].shape)
    }

    /// Has `write` fill the gradient of `input`, if it is wanted.
    pub(crate) fn emit(
        &mut self,
        input: usize,
        write: impl FnOnce(ViewMut<'_>) -> Result<()>,
    ) -> Result<()> {
        if !self.needs(input) {
            return Ok(());
        }
        self.emit_together([input], |[out]| match out {
            Some(out) => write(out),
            None => Ok(()),
        })
    }

    /// Has `write` fill the gradients of several inputs in one go; `None` for those that are not
    /// wanted.
    pub(crate) fn emit_together<const N: usize>(
        &mut self,
        inputs: [usize; N],
        write: impl FnOnce([Option<ViewMut<'_>>; N]) -> Result<()>,
    ) -> Result<()> {
        let slots = inputs.map(|input| self.node.inputs.get(input).copied().flatten());
        let dtype = self
            .grad_outs
            .iter()
            .flatten()
            .next()
            .map(Tensor::dtype)
            .expect("bug: no adjoint; please report it");
        let Sink { device, slots: all, store, .. } = &mut self.sink;
        // Parameters whose gradient is written in place: those that have none yet, each at its
        // first position only.
        let fresh: [Option<ParameterId>; N] = std::array::from_fn(|i| {
            let Origin::Parameter(id) = all[slots[i]?].origin else { return None };
            let first = !slots[..i].contains(&slots[i]);
            (first && store.as_ref().is_some_and(|store| !store.has_gradient(id))).then_some(id)
        });
        let mut aside: [Option<Tensor>; N] = std::array::from_fn(|_| None);
        for ((slot, fresh), aside) in slots.iter().zip(&fresh).zip(&mut aside) {
            if let (Some(slot), None) = (slot, fresh) {
                let shape = all[*slot].shape;
                let buffer = device.allocate(dtype, shape.element_count())?;
                *aside = Some(Tensor {
                    shape,
                    device: device.clone(),
                    buffer,
                    offset: 0,
                    tracked: None,
                });
            }
        }
        {
            let mut in_store: [Option<ViewMut<'_>>; N] = match store {
                Some(store) if fresh.iter().any(Option::is_some) => store.gradient_views(fresh),
                _ => std::array::from_fn(|_| None),
            };
            let mut asides = aside.iter_mut();
            let outs = std::array::from_fn(|i| {
                let aside = asides.next().and_then(Option::as_mut);
                in_store[i].take().or_else(|| aside.map(|tensor| sole(&mut tensor.buffer)))
            });
            write(outs)?;
        }
        for id in fresh.into_iter().flatten() {
            if let Some(store) = &mut self.sink.store {
                store.mark_gradient(id);
            }
        }
        for (slot, tensor) in slots.into_iter().zip(aside) {
            if let (Some(slot), Some(tensor)) = (slot, tensor) {
                self.sink.add(slot, tensor)?;
            }
        }
        debug_assert!(
            adjoints_fit(self.sink.slots, self.sink.adjoints),
            "bug: an adjoint of another shape"
        );
        Ok(())
    }

    /// Adds a gradient to what the inputs have already, if all of them are wanted, have one, and
    /// nobody else holds it. Gives whether it did; if not, nothing was touched, and the gradient is
    /// still to be emitted.
    pub(crate) fn add_in_place<const N: usize>(
        &mut self,
        inputs: [usize; N],
        add: impl FnOnce([ViewMut<'_>; N]) -> Result<()>,
    ) -> Result<bool> {
        let slots = inputs.map(|input| self.node.inputs.get(input).copied().flatten());
        if slots.iter().any(Option::is_none) {
            return Ok(false);
        }
        let adjoints = &mut *self.sink.adjoints;
        let mut collected = slots.map(|slot| adjoints[slot.unwrap_or_default()].take());
        let views = collected
            .each_mut()
            .map(|tensor| tensor.as_mut().and_then(|tensor| tensor.view_mut("backward").ok()));
        let outcome = if views.iter().all(Option::is_some) {
            add(views.map(|view| {
                view.expect("bug: a gradient that was there is gone; please report it")
            }))
            .map(|()| true)
        } else {
            Ok(false)
        };
        for (slot, tensor) in slots.into_iter().zip(collected) {
            if let (Some(slot), Some(tensor)) = (slot, tensor) {
                adjoints[slot] = Some(tensor);
            }
        }
        outcome
    }

    /// Gives `gradient` to `input`, if it is wanted, summed over the axes that broadcasting
    /// repeated.
    pub(crate) fn emit_tensor(&mut self, input: usize, gradient: Tensor) -> Result<()> {
        let Some(slot) = self.node.inputs[input] else { return Ok(()) };
        let reduced = sum_to(gradient, self.sink.slots[slot].shape)?;
        self.sink.add(slot, reduced)
    }
}

fn adjoints_fit(slots: &[Slot], adjoints: &[Option<Tensor>]) -> bool {
    slots
        .iter()
        .zip(adjoints)
        .all(|(slot, adjoint)| adjoint.as_ref().is_none_or(|tensor| tensor.shape == slot.shape))
}

impl Sink<'_> {
    /// Adds `gradient` to what is collected for `slot`.
    pub(crate) fn add(&mut self, slot: SlotId, gradient: Tensor) -> Result<()> {
        if let Origin::Parameter(id) = self.slots[slot].origin {
            let Some(store) = &mut self.store else {
                return Err(Error::argument(
                    "backward",
                    "the recording reads parameters: use backward_into with their store",
                ));
            };
            return store.add_gradient(id, &gradient);
        }
        let Some(mut collected) = self.adjoints[slot].take() else {
            self.adjoints[slot] = Some(gradient);
            return Ok(());
        };
        let sum = match collected.buffer.get_mut() {
            Some(buffer)
                if collected.offset == 0 && buffer.len() == gradient.shape.element_count() =>
            {
                self.device.scale_and_add(1.0, gradient.view(), 1.0, buffer.view_mut())?;
                collected
            }
            _ => add_aside(self.device, &collected, &gradient)?,
        };
        self.adjoints[slot] = Some(sum);
        Ok(())
    }
}

fn add_aside(device: &Device, left: &Tensor, right: &Tensor) -> Result<Tensor> {
    let walk = Broadcast::new(&left.shape, &right.shape)
        .expect("bug: adjoints of one tensor differ in shape; please report it");
    Tensor::build(device, left.dtype(), left.shape, |out| {
        device.binary(BinaryFunction::Add, &walk, left.view(), right.view(), out)
    })
}

/// Sums `gradient` over the axes along which a tensor of `shape` was repeated.
pub(crate) fn sum_to(gradient: Tensor, shape: Shape) -> Result<Tensor> {
    let mut sum = gradient;
    while sum.shape.rank() > shape.rank() {
        sum = sum_axis(&sum, 0)?;
    }
    for axis in 0..shape.rank() {
        if shape.sizes()[axis] == 1 && sum.shape.sizes()[axis] != 1 {
            let reduced = sum_axis(&sum, axis)?;
            sum = Tensor { shape: sum.shape.with_axis(axis, 1), ..reduced };
        }
    }
    Ok(sum)
}

fn sum_axis(x: &Tensor, axis: usize) -> Result<Tensor> {
    let extent: AxisExtent =
        x.shape.around(axis).expect("bug: no such axis to sum; please report it");
    let shape = x.shape.without_axis(axis);
    Tensor::build(&x.device, x.dtype(), shape, |out| {
        x.device.reduce(Reduction::Sum, extent, x.view(), out)
    })
}

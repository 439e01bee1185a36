//! How an operation is declared, and the one function through which all of them run.

use rung_kernels::rng::Philox;
use rung_kernels::{DType, Error, Result, Shape, ViewMut};
use smallvec::SmallVec;

use crate::adjoint::Adjoint;
use crate::tape::{NODE_ROOM, Tape};
use crate::tensor::{Tensor, sole};

pub(crate) use crate::ops::Op;

/// Shapes of an operation's outputs.
pub(crate) type Shapes = SmallVec<[Shape; 3]>;
/// Outputs of an operation.
pub(crate) type Outputs = SmallVec<[Tensor; 3]>;

/// A set of positions among an operation's inputs or outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Positions(u8);

impl Positions {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const ALL: Self = Self(u8::MAX);

    /// The set of the given positions.
    pub(crate) const fn of<const N: usize>(positions: [usize; N]) -> Self {
        let (mut bits, mut i) = (0, 0);
        while i < N {
            bits |= 1 << positions[i];
            i += 1;
        }
        Self(bits)
    }

    pub(crate) const fn has(self, position: usize) -> bool {
        self.0 >> position & 1 == 1
    }
}

/// The values that backward reads; all others are given back as soon as nobody else holds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Saves {
    pub(crate) inputs: Positions,
    pub(crate) outputs: Positions,
}

impl Saves {
    pub(crate) const NOTHING: Self = Self { inputs: Positions::NONE, outputs: Positions::NONE };

    pub(crate) const fn inputs<const N: usize>(positions: [usize; N]) -> Self {
        Self { inputs: Positions::of(positions), outputs: Positions::NONE }
    }
}

/// One operation: its fields are its parameters (an axis, a power). See `ops/` for all of them.
pub(crate) trait Operation: Clone + Into<Op> {
    /// The name in messages.
    fn name(&self) -> &'static str;

    /// Checks the inputs and gives the shapes of the outputs.
    fn shapes(&self, inputs: &[&Tensor]) -> Result<Shapes>;

    /// Computes the outputs.
    fn forward(&self, inputs: &[&Tensor], outputs: &mut [ViewMut<'_>]) -> Result<()>;

    /// Turns the adjoints of the outputs into those of the inputs.
    fn backward(&self, adjoint: &mut Adjoint<'_>) -> Result<()>;

    /// What backward reads.
    fn saves(&self) -> Saves;

    /// How many outputs, from the first, have gradients.
    fn tracked_outputs(&self, outputs: usize) -> usize {
        outputs
    }

    /// Whether it moves elements without computing with them, so that integers may pass.
    fn moves_only(&self) -> bool {
        false
    }

    /// If the output is the input's memory under another shape: the distance from the input's first
    /// element.
    fn alias(&self, _inputs: &[&Tensor]) -> Option<usize> {
        None
    }

    /// The operation's entries in the list that the gradient tests walk.
    fn declarations() -> Vec<Declaration>;
}

/// What the tests know of an operation.
#[derive(Clone, Debug)]
pub struct Declaration {
    /// The operation's name.
    pub name: &'static str,
    /// Draws inputs in the operation's domain, with shapes that include 1, primes and, where
    /// legal, 0.
    pub case: fn(&mut Philox) -> Case,
    /// Inputs that must be refused, each with a part of the message.
    pub refused: fn() -> Vec<Refused>,
}

/// A function of tensors, for a test to run on any device.
pub type CaseFunction = Box<dyn Fn(&[Tensor]) -> Result<Vec<Tensor>>>;

/// Random inputs for one operation.
pub struct Case {
    /// What was drawn: shapes and parameters, for the message of a failing test.
    pub description: String,
    /// The inputs.
    pub inputs: Vec<CaseInput>,
    /// The operation applied to them.
    pub function: CaseFunction,
}

/// One input of a [`Case`].
#[derive(Clone, Debug)]
pub struct CaseInput {
    /// Its shape.
    pub shape: Shape,
    /// Its values, row-major.
    pub values: Vec<f64>,
    /// Its dtype: F64 stands for the float type under test; integers are not differentiated.
    pub dtype: DType,
}

/// A call that must be refused.
pub struct Refused {
    /// Makes the call on the given device.
    pub call: fn(&rung_kernels::Device) -> Result<()>,
    /// A part of the message that must come back.
    pub message: &'static str,
}

/// Runs an operation: checks, computes and, if an input is tracked, records it.
pub(crate) fn apply<O: Operation>(op: O, inputs: &[&Tensor]) -> Result<Outputs> {
    let of = op.clone();
    apply_with(op, inputs, |inputs, outputs| of.forward(inputs, outputs))
}

/// [`apply`] with another way to compute the outputs, for what a forward writes besides them.
pub(crate) fn apply_with<O: Operation>(
    op: O,
    inputs: &[&Tensor],
    forward: impl FnOnce(&[&Tensor], &mut [ViewMut<'_>]) -> Result<()>,
) -> Result<Outputs> {
    let (tape, dtype) = common(op.name(), inputs, op.moves_only())?;
    let shapes = op.shapes(inputs)?;
    let mut outputs = match op.alias(inputs) {
        Some(distance) => aliased(inputs[0], distance, &shapes),
        None => computed(dtype, inputs, &shapes, forward)?,
    };
    if let Some(tape) = tape {
        let tracked = op.tracked_outputs(outputs.len());
        tape.record(op.into(), inputs, &mut outputs, tracked)?;
    }
    Ok(outputs)
}

/// Runs an operation with one output.
pub(crate) fn apply_one<O: Operation>(op: O, inputs: &[&Tensor]) -> Result<Tensor> {
    let mut outputs = apply(op, inputs)?;
    Ok(outputs.swap_remove(0))
}

fn aliased(input: &Tensor, distance: usize, shapes: &Shapes) -> Outputs {
    let place = |shape: &Shape| Tensor {
        shape: *shape,
        offset: input.offset + distance,
        tracked: None,
        ..input.clone()
    };
    shapes.iter().map(place).collect()
}

fn computed(
    dtype: DType,
    inputs: &[&Tensor],
    shapes: &Shapes,
    forward: impl FnOnce(&[&Tensor], &mut [ViewMut<'_>]) -> Result<()>,
) -> Result<Outputs> {
    let device = &inputs[0].device;
    let mut outputs = Outputs::new();
    for shape in shapes {
        let buffer = device.allocate(dtype, shape.element_count())?;
        outputs.push(Tensor {
            shape: *shape,
            device: device.clone(),
            buffer,
            offset: 0,
            tracked: None,
        });
    }
    let mut views: SmallVec<[ViewMut<'_>; 3]> =
        outputs.iter_mut().map(|tensor| sole(&mut tensor.buffer)).collect();
    forward(inputs, &mut views)?;
    drop(views);
    Ok(outputs)
}

/// The tape and the float type all inputs agree on.
fn common(
    operation: &'static str,
    inputs: &[&Tensor],
    moves_only: bool,
) -> Result<(Option<Tape>, DType)> {
    debug_assert!(
        inputs.len() <= NODE_ROOM,
        "bug: {operation} has more inputs than a node has room for"
    );
    let first = inputs[0];
    let mut tape: Option<&Tape> = None;
    let mut dtype = moves_only.then(|| first.dtype());
    for input in inputs {
        if input.device != first.device {
            return Err(Error::Device {
                operation,
                left: first.device.name(),
                right: input.device.name(),
            });
        }
        let must_agree = input.dtype().is_float() || moves_only;
        if must_agree && *dtype.get_or_insert(input.dtype()) != input.dtype() {
            let dtypes = inputs.iter().map(|input| ("operand", input.dtype())).collect();
            return Err(Error::DType {
                operation,
                rule: "operands differ in dtype; convert one with to_dtype",
                dtypes,
            });
        }
        if let Some(place) = &input.tracked
            && !tape.get_or_insert(&place.tape).is_same(&place.tape)
        {
            return Err(Error::argument(operation, "operands are recorded on different tapes"));
        }
    }
    let Some(dtype) = dtype else {
        let dtypes = inputs.iter().map(|input| ("operand", input.dtype())).collect();
        return Err(Error::DType { operation, rule: "an operand must be of floats", dtypes });
    };
    Ok((tape.cloned(), dtype))
}

//! What can be checked: a closure over tensors, or a model's loss over its parameters. Both are
//! functions of blocks of numbers.

use rung_kernels::{DType, Result, Shape};

use super::failure::{Cause, index_of};
use crate::parameters::{ParameterId, ParameterStore};
use crate::tape::Tape;
use crate::tensor::Tensor;

/// Numbers that are varied together: an input, or a parameter.
pub(super) struct Block {
    pub(super) name: String,
    pub(super) shape: Shape,
    pub(super) values: Vec<f64>,
}

/// A number for each element of each output; `None` for an output that does not take part.
pub(super) type Weights = Vec<Option<Vec<f64>>>;

/// A function of blocks of numbers with several outputs, and its gradients by backward.
pub(super) trait Subject {
    /// The blocks at the point where gradients are checked.
    fn blocks(&self) -> &[Block];

    /// Shapes of the outputs that have gradients; `None` for the others.
    fn outputs(&self) -> &[Option<Shape>];

    /// All outputs, with other values in one block.
    fn evaluate(
        &mut self,
        block: usize,
        values: &[f64],
    ) -> std::result::Result<Vec<Vec<f64>>, Cause>;

    /// The gradient of Σ weights·outputs with respect to a block; if `alone`, nothing else is
    /// tracked.
    fn gradient(
        &mut self,
        weights: &Weights,
        block: usize,
        alone: bool,
    ) -> std::result::Result<Vec<f64>, Cause>;
}

/// A closure at some inputs.
pub(super) struct Closure<F> {
    function: F,
    inputs: Vec<Tensor>,
    /// The position among the inputs of each block.
    positions: Vec<usize>,
    blocks: Vec<Block>,
    outputs: Vec<Option<Shape>>,
}

impl<F: Fn(&[Tensor]) -> Result<Vec<Tensor>>> Closure<F> {
    pub(super) fn new(inputs: &[Tensor], function: F) -> std::result::Result<Self, Cause> {
        let inputs: Vec<Tensor> = inputs.iter().map(Tensor::detach).collect();
        let (mut positions, mut blocks) = (Vec::new(), Vec::new());
        for (position, input) in inputs.iter().enumerate() {
            let name = format!("input {position}");
            match input.dtype() {
                DType::F64 => {
                    blocks.push(Block { name, shape: *input.shape(), values: input.to_f64()? });
                    positions.push(position);
                }
                DType::F32 => return Err(Cause::NotF64 { what: name, dtype: DType::F32 }),
                DType::U8 | DType::U32 => {}
            }
        }
        let mut closure = Self { function, inputs, positions, blocks, outputs: Vec::new() };
        let tape = Tape::new();
        let outputs = (closure.function)(&closure.tracked(&tape, None)?)?;
        let all = !outputs.iter().any(Tensor::is_tracked);
        closure.outputs = outputs
            .iter()
            .map(|out| {
                (out.dtype().is_float() && (all || out.is_tracked())).then_some(*out.shape())
            })
            .collect();
        for (number, output) in outputs.iter().enumerate() {
            if output.dtype() == DType::F32 {
                return Err(Cause::NotF64 { what: format!("output {number}"), dtype: DType::F32 });
            }
        }
        Ok(closure)
    }

    /// The inputs with all blocks tracked, or only one.
    fn tracked(&self, tape: &Tape, alone: Option<usize>) -> Result<Vec<Tensor>> {
        let mut inputs = self.inputs.clone();
        for (block, &position) in self.positions.iter().enumerate() {
            if alone.is_none_or(|only| only == block) {
                inputs[position] = tape.variable(&inputs[position])?;
            }
        }
        Ok(inputs)
    }
}

impl<F: Fn(&[Tensor]) -> Result<Vec<Tensor>>> Subject for Closure<F> {
    fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    fn outputs(&self) -> &[Option<Shape>] {
        &self.outputs
    }

    fn evaluate(
        &mut self,
        block: usize,
        values: &[f64],
    ) -> std::result::Result<Vec<Vec<f64>>, Cause> {
        let mut inputs = self.inputs.clone();
        let position = self.positions[block];
        inputs[position] =
            Tensor::from_f64(inputs[position].device(), values, self.blocks[block].shape)?;
        let outputs = (self.function)(&inputs)?;
        outputs
            .iter()
            .zip(&self.outputs)
            .enumerate()
            .map(|(number, (out, wanted))| read(number, out, wanted.is_some()))
            .collect()
    }

    fn gradient(
        &mut self,
        weights: &Weights,
        block: usize,
        alone: bool,
    ) -> std::result::Result<Vec<f64>, Cause> {
        let tape = Tape::new();
        let inputs = self.tracked(&tape, alone.then_some(block))?;
        let outputs = (self.function)(&inputs)?;
        let mut loss: Option<Tensor> = None;
        for (output, weights) in outputs.iter().zip(weights) {
            let Some(weights) = weights.as_ref().filter(|_| output.is_tracked()) else { continue };
            let term = output
                .mul(&Tensor::from_f64(output.device(), weights, *output.shape())?)?
                .sum_all()?;
            loss = Some(match loss {
                Some(loss) => loss.add(&term)?,
                None => term,
            });
        }
        match loss {
            Some(loss) => Ok(tape.backward(&loss)?.of(&inputs[self.positions[block]])?.to_f64()?),
            None => Ok(vec![0.0; self.blocks[block].values.len()]),
        }
    }
}

/// The elements of an output that takes part; nothing of one that does not.
fn read(number: usize, output: &Tensor, wanted: bool) -> std::result::Result<Vec<f64>, Cause> {
    if !wanted {
        return Ok(Vec::new());
    }
    finite(number, output.shape(), output.to_f64()?)
}

fn finite(number: usize, shape: &Shape, values: Vec<f64>) -> std::result::Result<Vec<f64>, Cause> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(values),
        Some(at) => Err(Cause::NotFinite {
            what: format!("output {number}"),
            index: index_of(shape, at),
            value: values[at],
        }),
    }
}

/// A loss at the parameters of a model.
pub(super) struct Model<'a, F> {
    store: &'a mut ParameterStore,
    loss: F,
    ids: Vec<ParameterId>,
    blocks: Vec<Block>,
}

impl<'a, F: Fn(&ParameterStore, Option<&Tape>) -> Result<Tensor>> Model<'a, F> {
    pub(super) fn new(store: &'a mut ParameterStore, loss: F) -> std::result::Result<Self, Cause> {
        if store.dtype() != DType::F64 {
            return Err(Cause::NotF64 {
                what: "the parameter store".to_owned(),
                dtype: store.dtype(),
            });
        }
        let ids: Vec<ParameterId> = store.ids().collect();
        let block = |&id: &ParameterId| -> Result<Block> {
            let parameter = store.parameter(id);
            Ok(Block {
                name: parameter.name.clone(),
                shape: parameter.shape,
                values: store.tensor(id, None).to_f64()?,
            })
        };
        let blocks = ids.iter().map(block).collect::<Result<_>>()?;
        Ok(Self { store, loss, ids, blocks })
    }
}

impl<F: Fn(&ParameterStore, Option<&Tape>) -> Result<Tensor>> Subject for Model<'_, F> {
    fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    fn outputs(&self) -> &[Option<Shape>] {
        const { &[Some(Shape::SCALAR)] }
    }

    fn evaluate(
        &mut self,
        block: usize,
        values: &[f64],
    ) -> std::result::Result<Vec<Vec<f64>>, Cause> {
        self.store.set(self.ids[block], values)?;
        let loss = (self.loss)(self.store, None).and_then(|loss| loss.to_scalar());
        self.store.set(self.ids[block], &self.blocks[block].values)?;
        Ok(vec![finite(0, &Shape::SCALAR, vec![loss?])?])
    }

    fn gradient(
        &mut self,
        weights: &Weights,
        block: usize,
        _alone: bool,
    ) -> std::result::Result<Vec<f64>, Cause> {
        let tape = Tape::new();
        let loss = (self.loss)(self.store, Some(&tape))?;
        self.store.clear_gradients();
        if loss.is_tracked() {
            tape.backward_into(&[&loss], self.store)?;
        }
        let gradient = self.store.gradient(self.ids[block])?.to_f64()?;
        self.store.clear_gradients();
        let weight = weights[0].as_ref().map_or(0.0, |weight| weight[0]);
        Ok(gradient.into_iter().map(|element| weight * element).collect())
    }
}

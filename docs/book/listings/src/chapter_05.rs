//! Chapter 5: memory.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use rung_autograd::optim::{Optimiser, Sgd};
use rung_autograd::rng::Address;
use rung_autograd::{
    DType, Device, Initialiser, ParameterId, ParameterList, ParameterStore, Tape, Tensor,
};

use crate::{Result, cpu};

// ANCHOR: pool
/// Buffers that nobody uses at the moment, by their length.
#[derive(Default)]
pub struct Pool {
    free: RefCell<HashMap<usize, Vec<Vec<f32>>>>,
    asked: Cell<usize>,
    allocated: Cell<usize>,
}

/// A run of numbers that goes back to its pool when it is dropped.
pub struct Buffer {
    /// The numbers; whoever takes a buffer finds in it what the last user left.
    pub values: Vec<f32>,
    pool: Rc<Pool>,
}

impl Pool {
    /// A buffer of `len` numbers: one that was used before, if there is one.
    pub fn take(self: &Rc<Self>, len: usize) -> Buffer {
        self.asked.set(self.asked.get() + 1);
        let used_before = self.free.borrow_mut().get_mut(&len).and_then(Vec::pop);
        let values = used_before.unwrap_or_else(|| {
            self.allocated.set(self.allocated.get() + 1);
            vec![0.0; len]
        });
        Buffer { values, pool: self.clone() }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let values = std::mem::take(&mut self.values);
        self.pool.free.borrow_mut().entry(values.len()).or_default().push(values);
    }
}
// ANCHOR_END: pool

// ANCHOR: pooled
/// Prints how often a loop of five steps asks for a buffer, and how often one is allocated.
pub fn pooled() -> Result<()> {
    let pool = Rc::new(Pool::default());
    for step in 1..=5 {
        let hidden = pool.take(1000);
        let logits = pool.take(10);
        let gradient = pool.take(1000);
        drop((hidden, logits, gradient));
        println!("step {step}: {} asked for, {} allocated", pool.asked.get(), pool.allocated.get());
    }
    Ok(())
}
// ANCHOR_END: pooled

// ANCHOR: chain
/// A chain of layers, each of `WIDTH` units with tanh.
struct Chain {
    store: ParameterStore,
    weights: Vec<ParameterId>,
    x: Tensor,
}

const WIDTH: usize = 64;
const BATCH: usize = 256;

impl Chain {
    fn new(device: &Device, layers: usize) -> Result<Self> {
        let mut list = ParameterList::new();
        let initialiser = Initialiser::glorot_normal(WIDTH, WIDTH, 1.0);
        let weights =
            (0..layers).map(|n| list.add(format!("{n}"), [WIDTH, WIDTH], initialiser)).collect();
        let store = list.build(device, DType::F32, Address::new(1, 0, 0))?;
        let x = Tensor::normal(device, DType::F32, Address::new(1, 1, 0), [BATCH, WIDTH])?;
        Ok(Self { store, weights, x })
    }

    /// The mean square of what comes out; every `group` layers are recomputed in backward, unless
    /// `group` is 0.
    fn loss(&self, tape: Option<&Tape>, group: usize) -> Result<Tensor> {
        let mut h = self.x.clone();
        for layers in self.weights.chunks(group.max(1)) {
            let layers = layers.to_vec();
            let run = move |store: &ParameterStore, tape: Option<&Tape>, inputs: &[Tensor]| {
                layers.iter().try_fold(inputs[0].clone(), |h, &weight| {
                    h.linear(&store.tensor(weight, tape), None)?.tanh()
                })
            };
            h = match tape {
                Some(tape) if group > 0 => tape.recomputed(&self.store, &[&h], run)?,
                _ => run(&self.store, tape, &[h])?,
            };
        }
        Ok(h.square()?.mean_all()?)
    }
}
// ANCHOR_END: chain

// ANCHOR: kept
/// Prints the most memory that a pass through 32 layers takes: without a tape, with one, and with
/// groups of layers that are recomputed. An activation is [256, 64] in f32.
pub fn kept() -> Result<()> {
    let activation = BATCH * WIDTH * 4;
    let most = |records: bool, group: usize| -> Result<f64> {
        let device = Device::cpu();
        let mut chain = Chain::new(&device, 32)?;
        let before = device.statistics().pool.bytes;
        if records {
            let tape = Tape::new();
            let loss = chain.loss(Some(&tape), group)?;
            tape.backward_into(&[&loss], &mut chain.store)?;
        } else {
            chain.loss(None, 0)?;
        }
        Ok((device.statistics().pool.most_bytes - before) as f64 / activation as f64)
    };
    println!("evaluation:                {:4.1} activations", most(false, 0)?);
    println!("training:                  {:4.1}", most(true, 0)?);
    for group in [2, 4, 8, 16] {
        println!("recomputed in groups of {group:2}: {:4.1}", most(true, group)?);
    }
    Ok(())
}
// ANCHOR_END: kept

// ANCHOR: same
/// Prints whether recomputation changes a bit of the gradient.
pub fn same_gradient() -> Result<()> {
    let gradient = |group| -> Result<Vec<f64>> {
        let mut chain = Chain::new(&cpu(), 8)?;
        let tape = Tape::new();
        let loss = chain.loss(Some(&tape), group)?;
        tape.backward_into(&[&loss], &mut chain.store)?;
        Ok(chain.store.gradient(chain.weights[0])?.to_f64()?)
    };
    println!("the same bits: {}", gradient(0)? == gradient(4)?);
    Ok(())
}
// ANCHOR_END: same

// ANCHOR: steady
/// Prints how many buffers Rung allocates in each of some steps of training.
pub fn steady() -> Result<()> {
    let device = Device::cpu();
    let mut chain = Chain::new(&device, 8)?;
    let (tape, mut sgd) = (Tape::new(), Sgd::new(&chain.store, 0.9)?);
    let mut before = device.statistics().pool;
    for step in 1..=4 {
        chain.store.clear_gradients();
        let loss = chain.loss(Some(&tape), 0)?;
        tape.backward_into(&[&loss], &mut chain.store)?;
        drop(loss);
        sgd.step(&mut chain.store, 0.1)?;
        let now = device.statistics().pool;
        let (requests, allocations) =
            (now.requests - before.requests, now.allocations - before.allocations);
        println!("step {step}: {requests} buffers asked for, {allocations} allocated");
        before = now;
    }
    Ok(())
}
// ANCHOR_END: steady

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_and_another_length_does_not_get_it() {
        let pool = Rc::new(Pool::default());
        drop(pool.take(3));
        let (same, other) = (pool.take(3), pool.take(4));
        assert_eq!((same.values.len(), other.values.len(), pool.allocated.get()), (3, 4, 2));
    }
}

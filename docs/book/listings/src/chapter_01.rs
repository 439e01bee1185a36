//! Chapter 1: a tape of scalars.

use std::cell::RefCell;
use std::ops::{Add, Mul, Neg, Sub};

use crate::Result;

// ANCHOR: difference
/// The derivative of `f` at `x`, by a difference: right in the limit of a small h.
fn difference(f: impl Fn(f64) -> f64, x: f64, h: f64) -> f64 {
    (f(x + h) - f(x - h)) / (2.0 * h)
}
// ANCHOR_END: difference

// ANCHOR: slope
/// Prints the derivative of x³ at 2, which is 12, by differences with smaller and smaller steps.
pub fn slope() -> Result<()> {
    let cube = |x: f64| x * x * x;
    for h in [1e-1, 1e-3, 1e-5, 1e-8, 1e-11, 1e-14] {
        let found = difference(cube, 2.0, h);
        println!("h = {h:.0e}   slope {found:.10}   error {:.0e}", (found - 12.0).abs());
    }
    Ok(())
}
// ANCHOR_END: slope

// ANCHOR: node
/// One number that was computed, and how.
#[derive(Clone)]
pub struct Node {
    /// What computed it.
    pub what: &'static str,
    /// The number.
    pub value: f64,
    /// The nodes that it was computed from, each with the derivative of this node by that one.
    pub inputs: Vec<(usize, f64)>,
}

/// Everything that was computed, in order.
#[derive(Default)]
pub struct Tape(RefCell<Vec<Node>>);

/// A number on a tape: a place in the list, and the value that stands there.
#[derive(Clone, Copy)]
pub struct Number<'t> {
    tape: &'t Tape,
    /// Its place on the tape.
    pub index: usize,
    /// Its value.
    pub value: f64,
}
// ANCHOR_END: node

// ANCHOR: push
impl Tape {
    /// A number that derivatives are wanted for, or a constant.
    pub fn number(&self, what: &'static str, value: f64) -> Number<'_> {
        self.push(what, value, vec![])
    }

    fn push(&self, what: &'static str, value: f64, inputs: Vec<(usize, f64)>) -> Number<'_> {
        let mut nodes = self.0.borrow_mut();
        nodes.push(Node { what, value, inputs });
        Number { tape: self, index: nodes.len() - 1, value }
    }
}
// ANCHOR_END: push

// ANCHOR: operations
impl<'t> Number<'t> {
    /// f(x), where `local` is f′(x).
    pub fn unary(self, what: &'static str, value: f64, local: f64) -> Self {
        self.tape.push(what, value, vec![(self.index, local)])
    }

    /// eˣ; the derivative is the value.
    pub fn exp(self) -> Self {
        let value = self.value.exp();
        self.unary("exp", value, value)
    }

    /// tanh x; the derivative is 1 − tanh² x.
    pub fn tanh(self) -> Self {
        let value = self.value.tanh();
        self.unary("tanh", value, 1.0 - value * value)
    }
}

impl Add for Number<'_> {
    type Output = Self;
    fn add(self, right: Self) -> Self {
        let inputs = vec![(self.index, 1.0), (right.index, 1.0)];
        self.tape.push("+", self.value + right.value, inputs)
    }
}

impl Mul for Number<'_> {
    type Output = Self;
    fn mul(self, right: Self) -> Self {
        // d(a·b)/da = b and d(a·b)/db = a.
        let inputs = vec![(self.index, right.value), (right.index, self.value)];
        self.tape.push("×", self.value * right.value, inputs)
    }
}

impl Neg for Number<'_> {
    type Output = Self;
    fn neg(self) -> Self {
        self.unary("−", -self.value, -1.0)
    }
}

impl Sub for Number<'_> {
    type Output = Self;
    fn sub(self, right: Self) -> Self {
        self + -right
    }
}
// ANCHOR_END: operations

// ANCHOR: backward
impl Number<'_> {
    /// The adjoint of every node: the derivative of this number by it.
    pub fn backward(self) -> Vec<f64> {
        self.backward_in((0..=self.index).rev())
    }

    /// As above, visiting the nodes in the given order.
    fn backward_in(self, order: impl Iterator<Item = usize>) -> Vec<f64> {
        let nodes = self.tape.0.borrow();
        let mut adjoints = vec![0.0; nodes.len()];
        adjoints[self.index] = 1.0;
        for index in order {
            for &(input, local) in &nodes[index].inputs {
                adjoints[input] += adjoints[index] * local;
            }
        }
        adjoints
    }
}
// ANCHOR_END: backward

impl Tape {
    /// What is on the tape.
    pub fn nodes(&self) -> Vec<Node> {
        self.0.borrow().clone()
    }
}

// ANCHOR: neuron
/// The squared error of one neuron with the input 1.5 and the target 1.
pub fn neuron(tape: &Tape) -> Number<'_> {
    let (w, b) = (tape.number("w", 0.5), tape.number("b", -0.25));
    let (x, target) = (tape.number("x", 1.5), tape.number("t", 1.0));
    let error = (w * x + b).tanh() - target;
    error * error
}

/// Prints the tape of a neuron, with the adjoints.
pub fn tape() -> Result<()> {
    let tape = Tape::default();
    let adjoints = neuron(&tape).backward();
    for (index, Node { what, value, inputs }) in tape.nodes().into_iter().enumerate() {
        let inputs: Vec<usize> = inputs.iter().map(|&(input, _)| input).collect();
        let (adjoint, inputs) = (adjoints[index], format!("{inputs:?}"));
        println!("{index:2}  {what:4} {inputs:8} value {value:7.4}   adjoint {adjoint:7.4}");
    }
    Ok(())
}
// ANCHOR_END: neuron

// ANCHOR: check
/// Prints the adjoint of `w` beside the derivative by differences.
pub fn agreement() -> Result<()> {
    let tape = Tape::default();
    let by_tape = neuron(&tape).backward()[0];
    let by_difference = difference(|w| ((w * 1.5 - 0.25).tanh() - 1.0).powi(2), 0.5, 1e-5);
    println!("tape {by_tape:.9}, difference {by_difference:.9}");
    Ok(())
}
// ANCHOR_END: check

// ANCHOR: reused
/// Prints the derivative of x·x at 3, with `+=` and with `=`.
pub fn reused() -> Result<()> {
    let tape = Tape::default();
    let x = tape.number("x", 3.0);
    let square = x * x;

    let mut assigned = [0.0; 2];
    assigned[square.index] = 1.0;
    for &(input, local) in &tape.0.borrow()[square.index].inputs {
        assigned[input] = assigned[square.index] * local; // what a first attempt writes
    }
    println!("added: {}, assigned: {}", square.backward()[x.index], assigned[x.index]);
    Ok(())
}
// ANCHOR_END: reused

// ANCHOR: order
/// Prints the derivative of a·(a + x), with a = x·x, at 2, in the tape's order and in another.
pub fn order() -> Result<()> {
    let tape = Tape::default();
    let x = tape.number("x", 2.0);
    let a = x * x;
    let b = a + x;
    let y = a * b; // x⁴ + x³, whose derivative at 2 is 44

    let depth_first = [y.index, a.index, x.index, b.index];
    let wrong = y.backward_in(depth_first.into_iter())[x.index];
    println!("last to first: {}, depth first: {wrong}", y.backward()[x.index]);
    Ok(())
}
// ANCHOR_END: order

// ANCHOR: cost
/// Prints what the derivatives of a sum of n products cost.
pub fn cost() -> Result<()> {
    for n in [10, 100, 1000] {
        let tape = Tape::default();
        let weights: Vec<_> = (0..n).map(|_| tape.number("w", 0.5)).collect();
        let x = tape.number("x", 2.0);
        let sum = weights.iter().fold(tape.number("0", 0.0), |sum, &w| sum + w * x);
        let edges: usize = tape.nodes().iter().map(|node| node.inputs.len()).sum();
        let by_differences = 2 * n * 2 * n;
        assert_eq!(sum.backward()[weights[n - 1].index], 2.0);
        println!(
            "{n:5} derivatives: {edges:5} products backwards, {by_differences:8} by differences"
        );
    }
    Ok(())
}
// ANCHOR_END: cost

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tape_has_the_derivatives_of_random_expressions() {
        let seed = crate::seed().unwrap();
        println!("RUNG_TEST_SEED={seed}");
        for point in 0..100 {
            let address = rung_autograd::rng::Address::new(seed, 0, point);
            let value = 2.0 * rung_autograd::rng::uniform_at(&address, 0) - 1.0;
            let tape = Tape::default();
            let x = tape.number("x", value);
            let y = (x * x - x.exp()).tanh() * x + -x;
            let exact = difference(|x| (x * x - x.exp()).tanh() * x - x, value, 1e-5);
            let found = y.backward()[x.index];
            assert!(
                (found - exact).abs() < 1e-7,
                "RUNG_TEST_SEED={seed}, x = {value}: {found}, {exact}"
            );
        }
    }
}

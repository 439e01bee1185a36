//! Chapter 2: the same tape on arrays.

use std::cell::RefCell;
use std::rc::Rc;

use crate::Result;

// ANCHOR: array
/// Numbers in a grid: the last index moves fastest (*row-major* order).
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Sizes of the axes.
    pub shape: Vec<usize>,
    /// The elements, as many as the product of the sizes.
    pub values: Vec<f64>,
}

impl Array {
    /// An array from its elements.
    ///
    /// # Panics
    /// If there are not as many as the shape says.
    pub fn new(shape: &[usize], values: Vec<f64>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "elements of {shape:?}");
        Self { shape: shape.to_vec(), values }
    }

    fn map(&self, f: impl Fn(f64) -> f64) -> Self {
        Self::new(&self.shape, self.values.iter().map(|&value| f(value)).collect())
    }
}
// ANCHOR_END: array

// ANCHOR: broadcast
/// The shape of two arrays together: aligned at the right, a size of 1 stretches.
pub fn broadcast_shape(left: &[usize], right: &[usize]) -> Option<Vec<usize>> {
    let rank = left.len().max(right.len());
    let size = |shape: &[usize], axis: usize| match (axis + shape.len()).checked_sub(rank) {
        Some(axis) => shape[axis],
        None => 1, // an axis that the shape does not have
    };
    (0..rank)
        .map(|axis| match (size(left, axis), size(right, axis)) {
            (1, size) | (size, 1) => Some(size),
            (left, right) => (left == right).then_some(left),
        })
        .collect()
}

/// Which element of an array of shape `small` meets element `index` of an array of shape `large`.
fn source(small: &[usize], large: &[usize], mut index: usize) -> usize {
    let (mut place, mut stride) = (0, 1);
    for (nth, size) in large.iter().rev().enumerate() {
        let at = index % size;
        index /= size;
        if nth < small.len() {
            let own = small[small.len() - 1 - nth];
            place += stride * (at % own); // own is `size`, or 1
            stride *= own;
        }
    }
    place
}

/// f(left, right), element by element.
fn combine(left: &Array, right: &Array, f: impl Fn(f64, f64) -> f64) -> Result<Array> {
    let shape = broadcast_shape(&left.shape, &right.shape)
        .ok_or_else(|| format!("{:?} and {:?} don't fit", left.shape, right.shape))?;
    let element = |index| {
        let left_value = left.values[source(&left.shape, &shape, index)];
        f(left_value, right.values[source(&right.shape, &shape, index)])
    };
    let values = (0..shape.iter().product()).map(element).collect();
    Ok(Array::new(&shape, values))
}
// ANCHOR_END: broadcast

// ANCHOR: sum_to
/// The reverse of broadcasting: adds up the elements that came from the same one.
fn sum_to(gradient: &Array, shape: &[usize]) -> Array {
    let mut sum = Array::new(shape, vec![0.0; shape.iter().product()]);
    for (index, value) in gradient.values.iter().enumerate() {
        sum.values[source(shape, &gradient.shape, index)] += value;
    }
    sum
}
// ANCHOR_END: sum_to

// ANCHOR: shapes
/// Prints what some shapes give together.
pub fn shapes() -> Result<()> {
    for (left, right) in [
        (vec![4, 3], vec![3]),
        (vec![4, 1], vec![1, 3]),
        (vec![4, 3], vec![4]),
        (vec![2, 4, 3], vec![]),
    ] {
        match broadcast_shape(&left, &right) {
            Some(shape) => println!("{left:?} with {right:?} gives {shape:?}"),
            None => println!("{left:?} with {right:?} doesn't fit"),
        }
    }
    Ok(())
}
// ANCHOR_END: shapes

// ANCHOR: product
/// left · right, where a flag reads an operand as its transpose.
fn product(left: &Array, left_t: bool, right: &Array, right_t: bool) -> Result<Array> {
    let sizes = |array: &Array, transposed: bool| match array.shape[..] {
        [rows, columns] if transposed => Ok((columns, rows)),
        [rows, columns] => Ok((rows, columns)),
        _ => Err(format!("{:?} is no matrix", array.shape)),
    };
    let ((m, k), (inner, n)) = (sizes(left, left_t)?, sizes(right, right_t)?);
    if k != inner {
        return Err(format!("inner sizes differ: {k} against {inner}").into());
    }
    let at = |array: &Array, transposed: bool, row: usize, column: usize| {
        let (row, column) = if transposed { (column, row) } else { (row, column) };
        array.values[row * array.shape[1] + column]
    };
    let mut out = Array::new(&[m, n], vec![0.0; m * n]);
    for i in 0..m {
        for j in 0..n {
            out.values[i * n + j] =
                (0..k).map(|l| at(left, left_t, i, l) * at(right, right_t, l, j)).sum();
        }
    }
    Ok(out)
}
// ANCHOR_END: product

// ANCHOR: tape
/// From the adjoint of a node to that of each input.
type Backward = Box<dyn Fn(&Array) -> Result<Vec<Array>>>;

struct Node {
    inputs: Vec<usize>,
    backward: Backward,
}

/// Everything that was computed from tracked arrays, in order. Clones share one list.
#[derive(Clone, Default)]
pub struct Tape(Rc<RefCell<Vec<Node>>>);

/// An array, and its place on a tape.
#[derive(Clone)]
pub struct Tracked {
    tape: Tape,
    index: usize,
    /// Its elements.
    pub array: Array,
}

impl Tape {
    /// An array that a gradient is wanted for.
    pub fn variable(&self, array: Array) -> Tracked {
        self.push(array, vec![], Box::new(|_| Ok(vec![])))
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.0.borrow().len()
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn push(&self, array: Array, inputs: Vec<usize>, backward: Backward) -> Tracked {
        let mut nodes = self.0.borrow_mut();
        nodes.push(Node { inputs, backward });
        Tracked { tape: self.clone(), index: nodes.len() - 1, array }
    }
}
// ANCHOR_END: tape

// ANCHOR: operations
impl Tracked {
    /// left + right; the adjoint goes to both, summed back where one was stretched.
    pub fn add(&self, right: &Self) -> Result<Self> {
        let out = combine(&self.array, &right.array, |left, right| left + right)?;
        let (left_shape, right_shape) = (self.array.shape.clone(), right.array.shape.clone());
        let backward: Backward =
            Box::new(move |grad| Ok(vec![sum_to(grad, &left_shape), sum_to(grad, &right_shape)]));
        Ok(self.tape.push(out, vec![self.index, right.index], backward))
    }

    /// left · right of matrices.
    pub fn matmul(&self, right: &Self) -> Result<Self> {
        let out = product(&self.array, false, &right.array, false)?;
        let (left_array, right_array) = (self.array.clone(), right.array.clone());
        let backward: Backward = Box::new(move |grad| {
            let grad_left = product(grad, false, &right_array, true)?;
            Ok(vec![grad_left, product(&left_array, true, grad, false)?])
        });
        Ok(self.tape.push(out, vec![self.index, right.index], backward))
    }

    /// tanh of each element.
    pub fn tanh(&self) -> Self {
        let out = self.array.map(f64::tanh);
        let kept = out.clone();
        let backward: Backward =
            Box::new(move |grad| Ok(vec![combine(grad, &kept, |g, y| g * (1.0 - y * y))?]));
        self.tape.push(out, vec![self.index], backward)
    }

    /// The mean of the squared elements: an array without axes.
    pub fn mean_square(&self) -> Self {
        let (kept, count) = (self.array.clone(), self.array.values.len() as f64);
        let mean = kept.values.iter().map(|x| x * x).sum::<f64>() / count;
        let backward: Backward =
            Box::new(move |grad| Ok(vec![kept.map(|x| grad.values[0] * 2.0 * x / count)]));
        self.tape.push(Array::new(&[], vec![mean]), vec![self.index], backward)
    }
}
// ANCHOR_END: operations

// ANCHOR: backward
impl Tracked {
    /// The gradient of this scalar by each of `variables`.
    pub fn backward(&self, variables: &[&Self]) -> Result<Vec<Array>> {
        let nodes = self.tape.0.borrow();
        let mut adjoints: Vec<Option<Array>> = vec![None; nodes.len()];
        adjoints[self.index] = Some(self.array.map(|_| 1.0));
        for index in (0..=self.index).rev() {
            let Some(adjoint) = adjoints[index].clone() else { continue };
            let node = &nodes[index];
            for (&input, part) in node.inputs.iter().zip((node.backward)(&adjoint)?) {
                adjoints[input] = Some(match adjoints[input].take() {
                    None => part,
                    Some(sum) => combine(&sum, &part, |left, right| left + right)?,
                });
            }
        }
        let of = |variable: &&Self| {
            adjoints[variable.index].clone().unwrap_or_else(|| variable.array.map(|_| 0.0))
        };
        Ok(variables.iter().map(of).collect())
    }
}
// ANCHOR_END: backward

// ANCHOR: network
/// Weights and biases of two layers.
type Parameters = [Array; 4];

/// The loss of a network with one hidden layer: mean squared error of tanh(x·W + b)·V + c.
fn loss(
    tape: &Tape,
    parameters: &Parameters,
    x: &Array,
    target: &Array,
) -> Result<(Tracked, [Tracked; 4])> {
    let [w, b, v, c] = parameters.clone().map(|parameter| tape.variable(parameter));
    let out = tape.variable(x.clone()).matmul(&w)?.add(&b)?.tanh().matmul(&v)?.add(&c)?;
    let error = out.add(&tape.variable(target.map(|t| -t)))?.mean_square();
    Ok((error, [w, b, v, c]))
}

/// Four points of the plane, and whether their coordinates differ (exclusive or).
fn exclusive_or() -> (Array, Array) {
    let x = Array::new(&[4, 2], vec![0., 0., 0., 1., 1., 0., 1., 1.]);
    (x, Array::new(&[4, 1], vec![0., 1., 1., 0.]))
}

/// Parameters for a hidden layer of so many units, drawn from seed 1.
fn start(hidden: usize) -> Parameters {
    let draw = |stream, shape: &[usize]| {
        let address = rung_autograd::rng::Address::new(1, stream, 0);
        let count = shape.iter().product();
        let values = (0..count).map(|n| 0.8 * rung_autograd::rng::normal_at(&address, n)).collect();
        Array::new(shape, values)
    };
    [draw(0, &[2, hidden]), draw(1, &[hidden]), draw(2, &[hidden, 1]), draw(3, &[1])]
}

/// Prints the loss while gradient descent learns exclusive or.
pub fn learned() -> Result<()> {
    let ((x, target), mut parameters) = (exclusive_or(), start(4));
    for step in 0..=500 {
        let tape = Tape::default();
        let (loss, variables) = loss(&tape, &parameters, &x, &target)?;
        if step % 100 == 0 {
            println!("step {step:3}  loss {:.6}", loss.array.values[0]);
        }
        let gradients = loss.backward(&variables.each_ref())?;
        for (parameter, gradient) in parameters.iter_mut().zip(&gradients) {
            *parameter = combine(parameter, gradient, |value, slope| value - 0.1 * slope)?;
        }
    }
    Ok(())
}
// ANCHOR_END: network

// ANCHOR: forgotten
/// Prints the gradient of the hidden bias, and what it would be if it were not summed back.
pub fn forgotten() -> Result<()> {
    let ((x, target), parameters) = (exclusive_or(), start(3));
    let tape = Tape::default();
    let (loss, variables) = loss(&tape, &parameters, &x, &target)?;
    let gradient = loss.backward(&[&variables[1]])?.remove(0);

    let h = 1e-5;
    let shifted = |step: f64| -> Result<f64> {
        let mut moved = parameters.clone();
        moved[1].values[0] += step;
        Ok(self::loss(&Tape::default(), &moved, &x, &target)?.0.array.values[0])
    };
    let by_difference = (shifted(h)? - shifted(-h)?) / (2.0 * h);
    println!("gradient of b, shape {:?}: {:.6?}", gradient.shape, gradient.values);
    println!("of its first element by a difference: {by_difference:.6}");
    Ok(())
}
// ANCHOR_END: forgotten

// ANCHOR: nodes
/// Prints how many nodes a layer of 256 images takes on the tape of chapter 1, and on this one.
pub fn nodes() -> Result<()> {
    let (batch, inputs, outputs) = (256, 784, 512);
    // For each output: a product for each input, the sums between them, a bias, a tanh.
    let scalars = batch * outputs * (2 * inputs + 1);
    let tape = Tape::default();
    let [x, w] = [[1, 2], [2, 1]].map(|shape| tape.variable(Array::new(&shape, vec![0.0; 2])));
    let b = tape.variable(Array::new(&[1], vec![0.0]));
    let before = tape.len();
    x.matmul(&w)?.add(&b)?.tanh();
    println!("scalars: {scalars} nodes, arrays: {} nodes", tape.len() - before);
    Ok(())
}
// ANCHOR_END: nodes

// ANCHOR: rung
/// Prints the gradient of exclusive or's first weights by the tape of this chapter and by Rung's.
pub fn beside_rung() -> Result<()> {
    use rung_autograd::{Shape, Tape as RungTape, Tensor};

    use crate::cpu;

    let ((x, target), parameters) = (exclusive_or(), start(3));
    let (ours, variables) = loss(&Tape::default(), &parameters, &x, &target)?;
    let ours = ours.backward(&[&variables[0]])?.remove(0).values;

    let (cpu, tape) = (cpu(), RungTape::new());
    let tensor = |array: &Array| {
        let shape = Shape::from_slice(&array.shape).unwrap_or(Shape::SCALAR);
        Tensor::from_f64(&cpu, &array.values, shape)
    };
    let [w, b, v, c] = parameters.each_ref().map(|parameter| tape.variable(&tensor(parameter)?));
    let (w, b, v, c) = (w?, b?, v?, c?);
    let out = tensor(&x)?.matmul(&w)?.add(&b)?.tanh()?.matmul(&v)?.add(&c)?;
    let loss = out.sub(&tensor(&target)?)?.square()?.mean_all()?;
    let theirs = tape.backward(&loss)?.of(&w)?.to_f64()?;

    println!("here {ours:.6?}");
    println!("Rung {theirs:.6?}");
    Ok(())
}
// ANCHOR_END: rung

// ANCHOR: refused
/// Prints what Rung says of shapes that don't fit.
pub fn refused() -> Result<()> {
    use rung_autograd::{DType, Tensor};

    use crate::cpu;

    let cpu = cpu();
    let zeros = |sizes: [usize; 2]| Tensor::zeros(&cpu, DType::F32, sizes);
    for outcome in [
        zeros([64, 784])?.matmul(&zeros([512, 784])?),
        zeros([4, 3])?.add(&Tensor::zeros(&cpu, DType::F32, [4])?),
    ] {
        if let Err(error) = outcome {
            println!("{error}");
        }
    }
    Ok(())
}
// ANCHOR_END: refused

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exclusive_or_is_learned() {
        let ((x, target), mut parameters) = (exclusive_or(), start(4));
        for _ in 0..500 {
            let (loss, variables) = loss(&Tape::default(), &parameters, &x, &target).unwrap();
            let gradients = loss.backward(&variables.each_ref()).unwrap();
            for (parameter, gradient) in parameters.iter_mut().zip(&gradients) {
                *parameter =
                    combine(parameter, gradient, |value, slope| value - 0.1 * slope).unwrap();
            }
        }
        let (loss, _) = loss(&Tape::default(), &parameters, &x, &target).unwrap();
        assert!(loss.array.values[0] < 0.02, "{}", loss.array.values[0]);
    }
}

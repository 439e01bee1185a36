//! Parity cases of the primitives that work element by element.

use super::case::{Case, Draw, Expected, LENGTHS};
use crate::{BinaryFunction, Broadcast, DerivativeNeeds, Domain, Shape, UnaryFunction};

/// The functions of one number, and powers that may take another way.
fn unary_functions() -> impl Iterator<Item = UnaryFunction> {
    UnaryFunction::EXAMPLES
        .iter()
        .copied()
        .chain([UnaryFunction::Power(-1.0), UnaryFunction::Power(3.0)])
}

pub(super) fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 { 1.0 / (1.0 + (-x).exp()) } else { x.exp() / (1.0 + x.exp()) }
}

pub(super) fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// f(x) by the table of [`UnaryFunction`].
pub(super) fn value(function: UnaryFunction, x: f64) -> Expected {
    use UnaryFunction as F;
    let y = match function {
        F::Identity => x,
        F::Negate => -x,
        F::Exp => x.exp(),
        F::Log => x.ln(),
        F::Sqrt => x.sqrt(),
        F::Square => x * x,
        F::Reciprocal => 1.0 / x,
        F::Power(p) => x.powf(p),
        F::Abs => x.abs(),
        F::Relu => {
            if x > 0.0 {
                x
            } else {
                0.0
            }
        }
        F::LeakyRelu(s) => {
            if x > 0.0 {
                x
            } else {
                s * x
            }
        }
        F::Elu(a) => {
            if x > 0.0 {
                x
            } else {
                a * x.exp_m1()
            }
        }
        F::Tanh => x.tanh(),
        F::Sigmoid => sigmoid(x),
        F::Softplus => softplus(x),
        F::Sin => x.sin(),
        F::Cos => x.cos(),
        F::Clamp(low, high) => x.max(low).min(high),
        F::Affine(a, b) => {
            return Expected { value: a * x + b, scale: 2.0 * ((a * x).abs() + b.abs()) };
        }
    };
    Expected::ulps(y, 4.0)
}

/// f′ from x, or from y = f(x) where the table says so.
pub(super) fn derivative(function: UnaryFunction, saved: f64) -> Expected {
    use UnaryFunction as F;
    let (x, y) = (saved, saved);
    let step = |holds: bool, other: f64| Expected::ulps(if holds { 1.0 } else { other }, 1.0);
    match function {
        F::Identity => Expected::exact(1.0),
        F::Negate => Expected::exact(-1.0),
        F::Exp => Expected::exact(y),
        F::Log => Expected::ulps(1.0 / x, 2.0),
        F::Sqrt => Expected::ulps(0.5 / y, 2.0),
        F::Square => Expected::exact(2.0 * x),
        F::Reciprocal => Expected::ulps(-y * y, 2.0),
        F::Power(p) => Expected::ulps(p * x.powf(p - 1.0), 5.0),
        F::Abs => Expected::exact(if x == 0.0 { 0.0 } else { x.signum() }),
        F::Relu => step(x > 0.0, 0.0),
        F::LeakyRelu(s) => step(x > 0.0, s),
        F::Elu(a) => {
            if x > 0.0 {
                Expected::exact(1.0)
            } else {
                Expected::ulps(a * x.exp(), 4.0)
            }
        }
        F::Tanh => Expected { value: 1.0 - y * y, scale: 2.0 * (1.0 + y * y) },
        F::Sigmoid => Expected::ulps(y * (1.0 - y), 3.0),
        F::Softplus => Expected::ulps(sigmoid(x), 4.0),
        F::Sin => Expected::ulps(x.cos(), 4.0),
        F::Cos => Expected::ulps(-x.sin(), 4.0),
        F::Clamp(low, high) => step(low < x && x < high, 0.0),
        F::Affine(a, _) => Expected::ulps(a, 1.0),
    }
}

/// Arguments in the domain of `function`, most of ordinary size and some large; kinks and poles are
/// among them.
fn arguments(draw: &mut Draw, function: UnaryFunction, len: usize) -> Vec<f64> {
    let with_larger = |every: usize, factor: f64, x: Vec<f64>| -> Vec<f64> {
        x.into_iter()
            .enumerate()
            .map(|(i, x)| if i % every == 0 { x * factor } else { x })
            .collect()
    };
    match function.domain() {
        Domain::Positive => draw.variance(len),
        Domain::Angle => with_larger(3, 1000.0, draw.normal(len)),
        Domain::Real | Domain::Except(..) => {
            let mut x = with_larger(5, 8.0, draw.normal(len));
            // The edges: zeros of both signs and the far tails.
            let edges = [0.0, -0.0, 30.0, -30.0, -80.0, 1e-6, -1e-6, 88.0];
            x.iter_mut().skip(3).zip(edges).for_each(|(x, edge)| *x = edge);
            x
        }
    }
}

pub(super) fn unary(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for function in unary_functions() {
        for len in LENGTHS {
            cases.push(
                Case::new(format!("{function:?}, length {len}"))
                    .float(arguments(draw, function, len))
                    .output(len)
                    .call(move |device, x, out| device.unary(function, x[0], out[0].reborrow()))
                    .expect(move |x, _| vec![x[0].iter().map(|&x| value(function, x)).collect()]),
            );
        }
    }
    cases
}

pub(super) fn unary_backward(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for function in unary_functions() {
        for len in LENGTHS {
            let x = arguments(draw, function, len);
            let saved = match function.derivative_needs() {
                DerivativeNeeds::Output => x.iter().map(|&x| value(function, x).value).collect(),
                DerivativeNeeds::Input | DerivativeNeeds::Nothing => x,
            };
            let grad_out = draw.normal(len);
            cases.push(
                Case::new(format!("{function:?}, length {len}"))
                    .float(
                        saved
                            .into_iter()
                            .map(|x: f64| if x.abs() > 1e30 { 1e30 } else { x })
                            .collect(),
                    )
                    .float(grad_out)
                    .output(len)
                    .call(move |device, x, out| {
                        device.unary_backward(function, x[0], x[1], out[0].reborrow())
                    })
                    .expect(move |x, _| {
                        vec![
                            x[0].iter()
                                .zip(&x[1])
                                .map(|(&saved, &g)| product(derivative(function, saved), g))
                                .collect(),
                        ]
                    }),
            );
        }
    }
    cases
}

/// A number with an error, times an exact one.
fn product(left: Expected, right: f64) -> Expected {
    let product = left.times(right);
    Expected { value: product.value, scale: product.scale + 2.0 * product.value.abs() }
}

fn binary_value(function: BinaryFunction, left: f64, right: f64) -> Expected {
    use BinaryFunction as F;
    let truth = |holds: bool| Expected::exact(f64::from(u8::from(holds)));
    match function {
        F::Add => Expected::ulps(left + right, 1.0),
        F::Subtract => Expected::ulps(left - right, 1.0),
        F::Multiply => Expected::ulps(left * right, 1.0),
        F::Divide => Expected::ulps(left / right, 3.0),
        F::Maximum => Expected::exact(left.max(right)),
        F::Minimum => Expected::exact(left.min(right)),
        F::Less => truth(left < right),
        F::LessOrEqual => truth(left <= right),
        F::Greater => truth(left > right),
        F::GreaterOrEqual => truth(left >= right),
        F::Equal => truth(left == right),
        F::NotEqual => truth(left != right),
    }
}

/// Equal shapes, scalars, rows, columns, both sides repeated, and an axis in the middle.
const BROADCASTS: [(&[usize], &[usize]); 14] = [
    (&[], &[]),
    (&[0], &[1]),
    (&[1031], &[1031]),
    (&[257], &[]),
    (&[], &[257]),
    (&[67, 131], &[131]),
    (&[67, 131], &[67, 1]),
    (&[131], &[67, 131]),
    (&[13, 1], &[1, 300]),
    (&[5, 1, 7], &[5, 64, 7]),
    (&[3, 5, 1, 7], &[5, 11, 1]),
    (&[260, 300], &[260, 300]),
    (&[260, 300], &[300]),
    (&[260, 1], &[260, 300]),
];

/// Element of an operand that the broadcast reads for element `flat` of the result, by the rule of
/// [`Shape::broadcast`].
fn operand_index(flat: usize, out: &Shape, operand: &Shape) -> usize {
    let (mut rest, mut index, mut stride) = (flat, 0, 1);
    for n in 1..=out.rank() {
        let position = rest % out.from_last(n);
        rest /= out.from_last(n);
        if operand.from_last(n) != 1 {
            index += position * stride;
        }
        stride *= operand.from_last(n);
    }
    index
}

pub(super) fn binary(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for &function in BinaryFunction::ALL {
        for (left, right) in BROADCASTS {
            let shape =
                |sizes| Shape::from_slice(sizes).expect("bug: a shape of more than six axes");
            let (left, right) = (shape(left), shape(right));
            let (Some(out), Some(broadcast)) =
                (left.broadcast(&right), Broadcast::new(&left, &right))
            else {
                continue;
            };
            let coarse = |x: Vec<f64>| {
                x.into_iter().map(|x| if x.abs() < 0.5 { 0.25 } else { x }).collect::<Vec<_>>()
            };
            cases.push(
                Case::new(format!("{function:?}, {left} and {right}"))
                    .float(coarse(draw.normal(left.element_count())))
                    .float(coarse(draw.normal(right.element_count())))
                    .output(out.element_count())
                    .call(move |device, x, o| {
                        device.binary(function, &broadcast, x[0], x[1], o[0].reborrow())
                    })
                    .expect(move |x, _| {
                        let operands = |i| {
                            (
                                x[0][operand_index(i, &out, &left)],
                                x[1][operand_index(i, &out, &right)],
                            )
                        };
                        let values = (0..out.element_count())
                            .map(|i| binary_value(function, operands(i).0, operands(i).1));
                        vec![values.collect()]
                    }),
            );
        }
    }
    cases
}

pub(super) fn scale_and_add(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (a, b) in [(1.0, 1.0), (0.3, 0.7), (-2.5, 1.0), (1.0, 0.0), (0.0, 0.5)] {
        for len in LENGTHS {
            cases.push(
                Case::new(format!("a {a}, b {b}, length {len}"))
                    .float(draw.normal(len))
                    .in_place(draw.normal(len))
                    .call(move |device, x, out| device.scale_and_add(a, x[0], b, out[0].reborrow()))
                    .expect(move |x, out| {
                        let element = |(&x, &out): (&f64, &f64)| Expected {
                            value: a * x + b * out,
                            scale: 2.0 * ((a * x).abs() + (b * out).abs()),
                        };
                        vec![x[0].iter().zip(&out[0]).map(element).collect()]
                    }),
            );
        }
    }
    cases
}

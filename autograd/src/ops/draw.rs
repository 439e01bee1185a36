//! Random shapes and values for the declarations' test cases.

use rand::RngExt;
use rung_kernels::rng::Philox;
use rung_kernels::{DType, Result, Shape};

use crate::op::{Case, CaseInput};
use crate::tensor::Tensor;

/// A size from a list that has 1, small numbers and primes in it.
pub(super) fn size(rng: &mut Philox) -> usize {
    const SIZES: [usize; 8] = [1, 2, 3, 4, 5, 7, 11, 17];
    SIZES[rng.random_range(0..SIZES.len())]
}

/// A size as above, or now and then 0.
pub(super) fn size_or_zero(rng: &mut Philox) -> usize {
    if rng.random_range(0..12) == 0 { 0 } else { size(rng) }
}

/// One to three axes.
pub(super) fn shape(rng: &mut Philox) -> Shape {
    match rng.random_range(0..3) {
        0 => Shape::from([size_or_zero(rng)]),
        1 => Shape::from([size(rng), size_or_zero(rng)]),
        _ => Shape::from([size(rng), size(rng).min(5), size(rng).min(5)]),
    }
}

/// A float input with values uniform on `low..high`.
pub(super) fn uniform(rng: &mut Philox, shape: impl Into<Shape>, low: f64, high: f64) -> CaseInput {
    filled(rng, shape, |rng| rng.random_range(low..high))
}

/// A float input with |value| uniform on `low..high` and either sign: away from a kink at 0.
pub(super) fn signed(rng: &mut Philox, shape: impl Into<Shape>, low: f64, high: f64) -> CaseInput {
    filled(rng, shape, |rng| rng.random_range(low..high) * if rng.random() { 1.0 } else { -1.0 })
}

/// A float input whose values all differ by at least `gap`, in random order: away from the ties of
/// a maximum.
pub(super) fn spread(rng: &mut Philox, shape: impl Into<Shape>, gap: f64) -> CaseInput {
    let shape = shape.into();
    let count = shape.element_count();
    let mut values: Vec<f64> = (0..count).map(|i| (i as f64 - count as f64 / 2.0) * gap).collect();
    for i in (1..count).rev() {
        values.swap(i, rng.random_range(0..=i));
    }
    CaseInput { shape, values, dtype: DType::F64 }
}

/// A float input with zeros and ones.
pub(super) fn binary(rng: &mut Philox, shape: impl Into<Shape>) -> CaseInput {
    filled(rng, shape, |rng| f64::from(u8::from(rng.random::<bool>())))
}

/// Integers below `limit`.
pub(super) fn indices(rng: &mut Philox, count: usize, limit: usize) -> CaseInput {
    let input = filled(rng, [count], |rng| rng.random_range(0..limit) as f64);
    CaseInput { dtype: DType::U32, ..input }
}

fn filled(
    rng: &mut Philox,
    shape: impl Into<Shape>,
    mut value: impl FnMut(&mut Philox) -> f64,
) -> CaseInput {
    let shape = shape.into();
    let values = (0..shape.element_count()).map(|_| value(rng)).collect();
    CaseInput { shape, values, dtype: DType::F64 }
}

/// A case of a function with one output.
pub(super) fn case(
    what: impl Into<String>,
    inputs: Vec<CaseInput>,
    function: impl Fn(&[Tensor]) -> Result<Tensor> + 'static,
) -> Case {
    case_of_many(what, inputs, move |tensors| Ok(vec![function(tensors)?]))
}

/// A case of a function with several outputs.
pub(super) fn case_of_many(
    what: impl Into<String>,
    inputs: Vec<CaseInput>,
    function: impl Fn(&[Tensor]) -> Result<Vec<Tensor>> + 'static,
) -> Case {
    let shapes: Vec<String> = inputs.iter().map(|input| input.shape.to_string()).collect();
    Case {
        description: format!("{} of {}", what.into(), shapes.join(", ")),
        inputs,
        function: Box::new(function),
    }
}

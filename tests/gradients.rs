//! Every declared operation on random inputs: its gradients against differences, and f32 against
//! f64, on every device.

use proptest::prelude::{Strategy, any};
use rung_autograd::gradcheck::{case_inputs, check_declaration, draw_case};
use rung_autograd::ops::{Gaussian, declarations};
use rung_autograd::{DType, Declaration, Device, Result, Tape, Tensor};
use rung_tests::{case_count, devices, try_property};

const CASES: u32 = 300;
/// On a device, each of an operation's many small launches costs as much as the whole operation on
/// the CPU.
const CASES_ON_OPENCL: u32 = 30;

/// What f32 may differ from f64, relative to the largest element of the result.
const F32_BOUND: f64 = 2e-4;

/// Tries every operation on every device before it fails with all that went wrong.
fn for_each_operation(
    check: impl Fn(&Declaration, &Device, u64) -> std::result::Result<(), String>,
) {
    let mut failures = Vec::new();
    for device in devices() {
        let cases = case_count(if device.name() == "cpu" { CASES } else { CASES_ON_OPENCL });
        for declaration in declarations() {
            let outcome = try_property(cases, any::<u64>().no_shrink(), |seed| {
                check(&declaration, &device, seed)
            });
            failures.extend(
                outcome
                    .err()
                    .map(|failure| format!("{} on {}: {failure}", declaration.name, device.name())),
            );
        }
    }
    assert!(failures.is_empty(), "{} operations fail:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn gradients_of_every_operation_match_differences() {
    for_each_operation(|declaration, device, seed| {
        check_declaration(declaration, device, seed)
            .map(drop)
            .map_err(|failure| failure.to_string())
    });
}

#[test]
fn f32_agrees_with_f64_in_both_directions() {
    for_each_operation(|declaration, device, seed| {
        let run = |dtype| {
            values_and_gradients(declaration, device, seed, dtype)
                .map_err(|error| format!("{}: {error}", declaration.name))
        };
        let (single, double) = (run(DType::F32)?, run(DType::F64)?);
        for (number, (single, double)) in single.iter().zip(&double).enumerate() {
            agree(single, double).map_err(|what| {
                format!(
                    "{} (seed {seed}), {}: array {number} {what}",
                    declaration.name,
                    draw_case(declaration, seed).description
                )
            })?;
        }
        Ok(())
    });
}

/// All outputs, then the gradients of a weighted sum of them with respect to all float inputs.
fn values_and_gradients(
    declaration: &Declaration,
    device: &Device,
    seed: u64,
    dtype: DType,
) -> Result<Vec<Vec<f64>>> {
    let case = draw_case(declaration, seed);
    let tape = Tape::new();
    let track = |input: &Tensor| {
        if input.dtype().is_float() { tape.variable(input) } else { Ok(input.clone()) }
    };
    let inputs =
        case_inputs(&case, device, dtype)?.iter().map(track).collect::<Result<Vec<_>>>()?;
    let outputs = (case.function)(&inputs)?;
    let mut arrays = outputs.iter().map(Tensor::to_f64).collect::<Result<Vec<_>>>()?;
    let mut loss = Tensor::zeros(device, dtype, [1])?;
    for output in outputs.iter().filter(|output| output.is_tracked()) {
        let weights: Vec<f64> =
            (0..output.shape().element_count()).map(|i| (1.0 + i as f64).sin()).collect();
        let term = output
            .mul(&Tensor::from_values(device, dtype, &weights, *output.shape())?)?
            .sum_all()?;
        loss = loss.add(&term)?;
    }
    if !loss.is_tracked() {
        return Ok(arrays); // a comparison has no gradients
    }
    let gradients = tape.backward(&loss)?;
    for input in inputs.iter().filter(|input| input.is_tracked()) {
        arrays.push(gradients.of(input)?.to_f64()?);
    }
    Ok(arrays)
}

fn agree(single: &[f64], double: &[f64]) -> std::result::Result<(), String> {
    let largest = double.iter().fold(1.0, |largest: f64, value| largest.max(value.abs()));
    if single.len() != double.len() {
        return Err(format!("has {} elements in f32, {} in f64", single.len(), double.len()));
    }
    let apart = |(single, double): (&f64, &f64)| {
        single.is_nan() || (single - double).abs() > F32_BOUND * largest
    };
    match single.iter().zip(double).position(apart) {
        None => Ok(()),
        Some(at) => Err(format!(
            "element {at}: {} in f32, {} in f64, largest {largest}",
            single[at], double[at]
        )),
    }
}

/// Methods without a declaration of their own, which are another one's special cases.
#[test]
fn methods_compute_what_they_are_called() {
    type Row = (&'static str, fn(&Tensor) -> Result<Tensor>, fn(f64) -> f64);
    let points = [-2.5, -1.0, -0.3, 0.4, 1.0, 1.7, 3.0];
    let methods: [Row; 4] = [
        ("scale", |x| x.scale(-3.0), |x| -3.0 * x),
        ("shift", |x| x.shift(0.5), |x| x + 0.5),
        ("activate", |x| x.activate(rung_autograd::ops::Activation::Tanh), f64::tanh),
        ("activate", |x| x.activate(rung_autograd::ops::Activation::Identity), |x| x),
    ];
    for device in devices() {
        let x = Tensor::from_f64(&device, &points, [points.len()]).unwrap();
        for (name, method, reference) in methods {
            for (found, point) in method(&x).unwrap().to_f64().unwrap().into_iter().zip(points) {
                assert!(
                    (found - reference(point)).abs() < 1e-12,
                    "{name} of {point} is {found}, expected {}",
                    reference(point)
                );
            }
        }
    }
}

#[test]
fn a_distribution_without_rows_has_no_densities() {
    for device in devices() {
        let (empty, x) = (
            Tensor::zeros(&device, DType::F64, [0, 3]).unwrap(),
            Tensor::zeros(&device, DType::F64, [2, 3]).unwrap(),
        );
        let none = Gaussian { mean: empty.clone(), variance: empty.clone() };
        assert_eq!(none.log_prob(&empty).unwrap().shape().sizes(), [0]);
        assert!(
            none.log_prob(&x).is_err_and(|error| error.to_string().contains("gaussian_log_prob"))
        );
        assert!(
            empty
                .bernoulli_log_prob(&x)
                .is_err_and(|error| error.to_string().contains("bernoulli_log_prob"))
        );
    }
}

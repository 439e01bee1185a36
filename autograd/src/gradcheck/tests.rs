use super::*;
use crate::parameters::{Initialiser, ParameterList};
use rung_kernels::Shape;

/// One device for all tensors of a test: each `Device::cpu()` is another.
fn device() -> &'static Device {
    static DEVICE: std::sync::OnceLock<Device> = std::sync::OnceLock::new();
    DEVICE.get_or_init(Device::cpu)
}

type Outcome = std::result::Result<Report, Failure>;

fn tensor(values: &[f64]) -> Tensor {
    Tensor::from_f64(device(), values, [values.len()]).unwrap()
}

/// The value of `value` with the gradient of `gradient`.
fn with_gradient_of(value: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    gradient.add(&value.sub(gradient)?.detach())
}

fn mismatch(outcome: Outcome) -> Mismatch {
    match outcome.unwrap_err().cause {
        Cause::Mismatch(mismatch) => *mismatch,
        other => panic!("{other}"),
    }
}

fn words(outcome: Outcome) -> String {
    outcome.unwrap_err().to_string()
}

#[test]
fn a_right_gradient_passes_with_digits_to_spare() {
    let inputs = [tensor(&[0.2, -1.5, 3.0]), tensor(&[1.0, 0.4, -2.0])];
    let function = |x: &[Tensor]| Ok(vec![x[0].mul(&x[1])?.tanh()?, x[1].exp()?]);
    let report = gradcheck(&inputs, function, &Options::default()).unwrap();
    assert!(report.worst_relative_error < 1e-8, "{report:?}");
    assert!(report.comparisons >= 2 * 3 * 4);
}

#[test]
fn the_worst_element_is_named() {
    let x = Tensor::from_f64(device(), &[0.5; 600], [20, 30]).unwrap();
    let mut factors = vec![1.0; 600];
    factors[7 * 30 + 11] = 1.01;
    let factors = Tensor::from_f64(device(), &factors, [20, 30]).unwrap();
    let wrong =
        |x: &[Tensor]| Ok(vec![with_gradient_of(&x[0].square()?, &x[0].square()?.mul(&factors)?)?]);
    let found = mismatch(gradcheck(&[x], wrong, &Options::default()));
    assert_eq!(found.worst_index, [7, 11]);
    assert!((found.worst_analytic / found.worst_numeric - 1.01).abs() < 1e-9, "{found}");
}

#[test]
fn a_wrong_small_gradient_is_found_among_large_ones() {
    let count = 40;
    let mut scales = vec![1e3; count];
    scales[23] = 1e-1;
    let mut factors = vec![1.0; count];
    factors[23] = 1.001;
    let (x, scales, factors) = (tensor(&vec![0.7; count]), tensor(&scales), tensor(&factors));
    let value = |x: &[Tensor]| x[0].sin()?.mul(&scales);
    let wrong = |x: &[Tensor]| Ok(vec![with_gradient_of(&value(x)?, &value(x)?.mul(&factors)?)?]);
    for seed in 0..8 {
        assert_eq!(
            mismatch(gradcheck(
                std::slice::from_ref(&x),
                wrong,
                &Options { seed, ..Options::default() }
            ))
            .worst_index,
            [23]
        );
    }
}

#[test]
fn cancellation_raises_no_alarm() {
    let x = tensor(&[1.0, 2.0, 3.0, 4.0]);
    let function = |x: &[Tensor]| Ok(vec![x[0].log_softmax(0)?.exp()?.sum_all()?]);
    gradcheck(&[x], function, &Options::default()).unwrap();
}

#[test]
fn a_detached_result_must_be_constant() {
    let x = tensor(&[0.3, 0.4]);
    mismatch(gradcheck(
        std::slice::from_ref(&x),
        |x| Ok(vec![x[0].square()?.detach()]),
        &Options::default(),
    ));
    let zero = tensor(&[0.0]);
    gradcheck(std::slice::from_ref(&x), |x| Ok(vec![x[0].greater(&zero)?]), &Options::default())
        .unwrap();
    gradcheck(&[x], |x| Ok(vec![x[0].square()?, x[0].exp()?.detach()]), &Options::default())
        .unwrap();
}

#[test]
fn integer_inputs_are_passed_through() {
    let x = Tensor::from_f64(device(), &[1.0, 2.0, 3.0, 4.0], [2, 2]).unwrap();
    let rows = Tensor::from_u32(device(), &[1, 0, 1], [3]).unwrap();
    gradcheck(&[x, rows], |x| Ok(vec![x[0].gather(&x[1])?]), &Options::default()).unwrap();
}

#[test]
fn numbers_that_are_not_finite_fail() {
    let x = tensor(&[1.0, 0.0]);
    let said = words(gradcheck(&[x], |x| Ok(vec![x[0].sqrt()?]), &Options::default()));
    assert!(said.contains("[1]") && (said.contains("NaN") || said.contains("inf")), "{said}");
}

#[test]
fn floats_of_32_bits_are_refused() {
    let x = Tensor::from_f32(device(), &[1.0], [1]).unwrap();
    let said = words(gradcheck(&[x], |x| Ok(vec![x[0].square()?]), &Options::default()));
    assert!(said.contains("input 0 is f32; gradients are checked in f64"), "{said}");
    let indices = Tensor::from_u32(device(), &[1], [1]).unwrap();
    assert!(
        words(gradcheck(&[indices], |x| Ok(x.to_vec()), &Options::default()))
            .contains("no f64 input")
    );
}

#[test]
fn the_functions_own_error_comes_through() {
    let (left, right) = (tensor(&[1.0; 3]), tensor(&[1.0; 2]));
    let said = words(gradcheck(
        &[left, right],
        |x| Ok(vec![x[0].add(&x[1])?]),
        &Options { seed: 5, ..Options::default() },
    ));
    assert!(said.contains("of [3], [2] (seed 5)") && said.contains("sizes must agree"), "{said}");
}

/// Two layers in which one weight is used twice, and a parameter nothing depends on.
fn small_model() -> (ParameterStore, [crate::ParameterId; 3]) {
    let mut list = ParameterList::new();
    let weight = list.add("weight", [3, 3], Initialiser::Normal { sigma: 0.5 });
    let bias = list.add("bias", [3], Initialiser::Constant(0.1));
    list.add("unused", [2], Initialiser::Constant(1.0));
    let shift = list.add("shift", Shape::SCALAR, Initialiser::Constant(0.2));
    (list.build(device(), DType::F64, Address::new(3, 0, 0)).unwrap(), [weight, bias, shift])
}

#[test]
fn a_model_passes_and_keeps_its_parameters() {
    let (mut store, [weight, bias, shift]) = small_model();
    let x = Tensor::normal(device(), DType::F64, Address::new(1, 0, 0), [5, 3]).unwrap();
    let before = store.tensor(weight, None).to_f64().unwrap();
    let loss = |store: &ParameterStore, tape: Option<&Tape>| {
        let (weight, bias) = (store.tensor(weight, tape), store.tensor(bias, tape));
        x.linear(&weight, Some(&bias))?
            .tanh()?
            .linear(&weight, None)?
            .add(&store.tensor(shift, tape))?
            .square()?
            .mean_all()
    };
    let report = gradcheck_parameters(&mut store, loss, &Options::default()).unwrap();
    assert!(report.worst_relative_error < 1e-8, "{report:?}");
    assert_eq!(store.tensor(weight, None).to_f64().unwrap(), before);

    let forgets_one_use = |store: &ParameterStore, tape: Option<&Tape>| {
        let weight_twice = (store.tensor(weight, tape), store.tensor(weight, None));
        x.linear(&weight_twice.0, None)?.tanh()?.linear(&weight_twice.1, None)?.square()?.mean_all()
    };
    let found = mismatch(gradcheck_parameters(&mut store, forgets_one_use, &Options::default()));
    assert_eq!(found.input, "weight");
    assert_eq!(store.tensor(weight, None).to_f64().unwrap(), before);
}

#[test]
fn a_model_whose_parameters_are_held_is_refused() {
    let (mut store, [weight, ..]) = small_model();
    let held = store.tensor(weight, None);
    let loss = |store: &ParameterStore, tape: Option<&Tape>| {
        store.tensor(weight, tape).square()?.sum_all()
    };
    assert!(
        words(gradcheck_parameters(&mut store, loss, &Options::default())).contains("still shared")
    );
    drop(held);
    gradcheck_parameters(&mut store, loss, &Options::default()).unwrap();
}

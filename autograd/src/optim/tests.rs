//! Each optimiser against its formula written out for one number, and what all of them promise.

use rung_kernels::rng::{Address, uniform_at};
use rung_kernels::{DType, Device, Error, Shape, View, ViewMut};

use super::*;
use crate::parameters::{Initialiser, ParameterId, ParameterList};
use crate::tape::Tape;
use crate::tensor::Tensor;

const COUNT: usize = 37;
const STEPS: usize = 12;
const RATE: f64 = 0.02;

pub(super) fn store(dtype: DType) -> (ParameterStore, [ParameterId; 2]) {
    let mut list = ParameterList::new();
    let first = list.add("first", [COUNT], Initialiser::Normal { sigma: 1.0 });
    let second = list.add("second", [2, 3], Initialiser::Uniform { limit: 0.5 });
    (list.build(&Device::cpu(), dtype, Address::new(11, 0, 0)).unwrap(), [first, second])
}

fn optimisers(store: &ParameterStore) -> [Box<dyn Optimiser>; 4] {
    [
        Box::new(Adam::new(store, AdamOptions::default()).unwrap()),
        Box::new(Adamax::new(store, AdamaxOptions::default()).unwrap()),
        Box::new(Sgd::new(store, 0.9).unwrap()),
        Box::new(RmsProp::new(store, RmsPropOptions::default()).unwrap()),
    ]
}

/// A gradient of `first` for each step.
fn gradient_of_step(step: usize) -> Vec<f64> {
    (0..COUNT).map(|i| uniform_at(&Address::new(2, 0, step as u64), i) - 0.5).collect()
}

fn give_gradient(store: &mut ParameterStore, id: ParameterId, values: &[f64]) {
    let shape = store.parameter(id).shape;
    let gradient = Tensor::from_values(store.device(), store.dtype(), values, shape).unwrap();
    store.clear_gradients();
    store.add_gradient(id, &gradient).unwrap();
}

pub(super) fn values_of(store: &ParameterStore, id: ParameterId) -> Vec<f64> {
    store.tensor(id, None).to_f64().unwrap()
}

/// Compares every element with `reference(t, g, moments, θ)`, which moves one number by the
/// formula.
fn follows<O: Optimiser>(
    make: impl Fn(&ParameterStore) -> Result<O>,
    reference: impl Fn(i32, f64, &mut [f64; 2], f64) -> f64,
) {
    let (mut store, [first, _]) = store(DType::F64);
    let mut optimiser = make(&store).unwrap();
    let mut expected = values_of(&store, first);
    let mut moments = vec![[0.0; 2]; COUNT];
    for step in 1..=STEPS {
        let gradient = gradient_of_step(step);
        give_gradient(&mut store, first, &gradient);
        optimiser.step(&mut store, RATE).unwrap();
        for ((value, gradient), moments) in expected.iter_mut().zip(gradient).zip(&mut moments) {
            *value = reference(step as i32, gradient, moments, *value);
        }
    }
    for (i, (found, expected)) in values_of(&store, first).iter().zip(&expected).enumerate() {
        assert!((found - expected).abs() <= 1e-13, "element {i}: {found} against {expected}");
    }
}

#[test]
fn adam_follows_its_formula() {
    let options = AdamOptions { beta_1: 0.8, beta_2: 0.99, epsilon: 1e-3 };
    follows(
        |store| Adam::new(store, options),
        |t, g, [m, v], value| {
            *m = 0.8 * *m + 0.2 * g;
            *v = 0.99 * *v + 0.01 * g * g;
            value
                - RATE * (1.0 - 0.99f64.powi(t)).sqrt() / (1.0 - 0.8f64.powi(t)) * *m
                    / (v.sqrt() + 1e-3)
        },
    );
}

#[test]
fn adamax_follows_its_formula() {
    let options = AdamaxOptions { beta_1: 0.8, beta_2: 0.99, epsilon: 1e-3 };
    follows(
        |store| Adamax::new(store, options),
        |t, g, [m, u], value| {
            *m = 0.8 * *m + 0.2 * g;
            *u = (0.99 * *u).max(g.abs());
            value - RATE / (1.0 - 0.8f64.powi(t)) * *m / (*u + 1e-3)
        },
    );
}

#[test]
fn rmsprop_follows_its_formula() {
    let options = RmsPropOptions { decay: 0.8, epsilon: 1e-2 };
    follows(
        |store| RmsProp::new(store, options),
        |_, g, [v, _], value| {
            *v = 0.8 * *v + 0.2 * g * g;
            value - RATE * g / (*v + 1e-2).sqrt()
        },
    );
}

#[test]
fn momentum_follows_its_formula() {
    follows(
        |store| Sgd::new(store, 0.7),
        |_, g, [velocity, _], value| {
            *velocity = 0.7 * *velocity + g;
            value - RATE * *velocity
        },
    );
}

/// Pitfall 24 of the specification. Here, from m = 10⁻⁴ and √v = √10⁻³ · 10⁻³ = 3.162·10⁻⁵, the
/// step is 10⁻³ · √10⁻³/0.1 · 10⁻⁴/(3.162·10⁻⁵ + 10⁻⁴) = 2.402·10⁻⁴; with both moments corrected it
/// would be 9.1·10⁻⁴.
#[test]
fn the_first_step_of_adam_has_the_size_of_the_published_form() {
    let (mut store, [_, second]) = store(DType::F64);
    let before = values_of(&store, second);
    give_gradient(&mut store, second, &[1e-3; 6]);
    Adam::new(&store, AdamOptions::default()).unwrap().step(&mut store, 1e-3).unwrap();
    for (before, after) in before.iter().zip(values_of(&store, second)) {
        let root = 1e-3f64.sqrt();
        let expected = 1e-3 * root / 0.1 * 1e-4 / (root * 1e-3 + 1e-4);
        assert!((before - after - expected).abs() < 1e-15 && (expected - 2.40e-4).abs() < 5e-7);
    }
}

#[test]
fn every_optimiser_finds_the_minimum_of_a_quadratic() {
    for number in 0..3 {
        let (mut store, [first, second]) = store(DType::F32);
        let mut optimiser = optimisers(&store).into_iter().nth(number).unwrap();
        let target = Tensor::full(store.device(), DType::F32, 0.25, [COUNT]).unwrap();
        let tape = Tape::new();
        for step in 0..1000 {
            store.clear_gradients();
            let apart = store
                .tensor(first, Some(&tape))
                .sub(&target)
                .unwrap()
                .square()
                .unwrap()
                .sum_all()
                .unwrap();
            let size = store.tensor(second, Some(&tape)).square().unwrap().sum_all().unwrap();
            tape.backward_into(&[&apart, &size], &mut store).unwrap();
            drop((apart, size));
            optimiser
                .step(&mut store, Schedule::Cosine { final_factor: 0.0 }.rate(0.05, step + 1, 1000))
                .unwrap();
        }
        let worst =
            values_of(&store, first).iter().map(|value| (value - 0.25).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-3, "{}: {worst}", optimiser.name());
        assert!(values_of(&store, second).iter().all(|value| value.abs() < 1e-3));
    }
}

fn read(state: &OptimiserState, name: &str) -> Vec<f32> {
    let mut host = vec![0.0; state.element_count()];
    state.download(name, ViewMut::F32(&mut host)).unwrap();
    host
}

#[test]
fn a_restored_state_gives_the_same_bits() {
    for number in 0..4 {
        let run = |interrupted: bool| {
            let (mut store, [first, _]) = store(DType::F32);
            let mut optimiser = optimisers(&store).into_iter().nth(number).unwrap();
            for step in 1..=STEPS {
                give_gradient(&mut store, first, &gradient_of_step(step));
                optimiser.step(&mut store, RATE).unwrap();
                if interrupted && step == STEPS / 2 {
                    let old = optimiser;
                    optimiser = optimisers(&store).into_iter().nth(number).unwrap();
                    optimiser.state_mut().set_steps(old.state().steps());
                    for name in old.state().names() {
                        optimiser
                            .state_mut()
                            .upload(name, View::F32(&read(old.state(), name)))
                            .unwrap();
                    }
                }
            }
            values_of(&store, first)
        };
        assert_eq!(run(false), run(true));
    }
}

#[test]
fn a_state_refuses_what_does_not_fit() {
    let (store, _) = store(DType::F32);
    let mut adam = Adam::new(&store, AdamOptions::default()).unwrap();
    let said = |outcome: Result<()>| outcome.unwrap_err().to_string();
    assert!(
        said(adam.state_mut().upload("velocity", View::F32(&[])))
            .contains("only first_moment and second_moment")
    );
    assert!(
        said(adam.state_mut().upload("first_moment", View::F32(&[0.0])))
            .contains("has 43 elements of f32, the host 1 of f32")
    );
    assert!(
        said(adam.state().download("first_moment", ViewMut::F64(&mut [0.0; COUNT + 6])))
            .contains("the host 43 of f64")
    );
}

#[test]
fn a_parameter_without_gradient_stays_where_it_is() {
    for number in 0..4 {
        let (mut store, [first, second]) = store(DType::F64);
        let mut optimiser = optimisers(&store).into_iter().nth(number).unwrap();
        give_gradient(&mut store, second, &[9.0; 6]);
        let before = values_of(&store, second);
        give_gradient(&mut store, first, &gradient_of_step(1));
        optimiser.step(&mut store, RATE).unwrap();
        assert_eq!(values_of(&store, second), before);
        assert_eq!(store.gradient(second).unwrap().to_f64().unwrap(), [0.0; 6]);
    }
}

#[test]
fn a_step_while_a_tensor_holds_the_parameters_is_refused_and_not_counted() {
    for number in 0..4 {
        let (mut store, [first, _]) = store(DType::F64);
        let mut optimiser = optimisers(&store).into_iter().nth(number).unwrap();
        let held = store.tensor(first, None);
        assert!(matches!(optimiser.step(&mut store, RATE), Err(Error::Shared { .. })));
        assert!(matches!(clip_gradients(&mut store, 4.0, 0.9), Err(Error::Shared { .. })));
        assert_eq!(optimiser.state().steps(), 0);
        drop(held);
        optimiser.step(&mut store, RATE).unwrap();
        assert_eq!(optimiser.state().steps(), 1);
    }
}

#[test]
fn an_optimiser_refuses_another_store() {
    let (mut narrow, mut other) = (store(DType::F32).0, store(DType::F64).0);
    let mut adam = Adam::new(&narrow, AdamOptions::default()).unwrap();
    let said = adam.step(&mut other, RATE).unwrap_err().to_string();
    assert!(
        said.contains(
            "adam: made for 43 f32 parameters on cpu, called for 43 f64 parameters on cpu"
        ),
        "{said}"
    );
    adam.step(&mut narrow, RATE).unwrap();
}

#[test]
fn clipping_limits_the_norm_and_then_each_element() {
    let (mut store, [first, second]) = store(DType::F64);
    let gradient: Vec<f64> = gradient_of_step(1).iter().map(|g| 30.0 * g).collect();
    let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
    give_gradient(&mut store, first, &gradient);
    let before = clip_gradients(&mut store, 4.0, 0.9).unwrap();
    assert_eq!(*before.shape(), Shape::SCALAR);
    assert!((before.to_scalar().unwrap() - norm).abs() < 1e-12 * norm);
    let clipped = store.gradient(first).unwrap().to_f64().unwrap();
    let mut touched = 0;
    for (found, raw) in clipped.iter().zip(&gradient) {
        let expected = (raw * norm.min(4.0) / (norm + 1e-7)).clamp(-0.9, 0.9);
        touched += usize::from(expected.abs() == 0.9);
        assert!((found - expected).abs() < 1e-14, "{found} against {expected}");
    }
    assert!(touched > 0, "the case has no element that is clipped");
    assert_eq!(store.gradient(second).unwrap().to_f64().unwrap(), [0.0; 6]);
}

#[test]
fn a_clipped_step_is_clipping_and_then_a_step() {
    let moved = |which: usize, together: bool| {
        let (mut store, [first, _]) = store(DType::F64);
        let [mut optimiser] = optimisers(&store)
            .into_iter()
            .skip(which)
            .take(1)
            .collect::<Vec<_>>()
            .try_into()
            .unwrap();
        for step in 1..4 {
            let gradient: Vec<f64> = gradient_of_step(step).iter().map(|g| 30.0 * g).collect();
            give_gradient(&mut store, first, &gradient);
            if together {
                optimiser.step_clipped(&mut store, RATE, 4.0, 0.9).unwrap();
            } else {
                clip_gradients(&mut store, 4.0, 0.9).unwrap();
                optimiser.step(&mut store, RATE).unwrap();
            }
        }
        values_of(&store, first)
    };
    for which in 0..4 {
        assert_eq!(moved(which, true), moved(which, false));
    }
    let (mut store, _) = store(DType::F64);
    let mut adam = Adam::new(&store, AdamOptions::default()).unwrap();
    assert!(
        adam.step_clipped(&mut store, RATE, -1.0, 0.9)
            .unwrap_err()
            .to_string()
            .contains("must be positive")
    );
}

/// The norm of what is left of (3, −4, 0.1) after clipping to ±1 is √2.01.
#[test]
fn elements_are_clipped_before_the_norm_where_the_order_says_so() {
    let moved = |clip_order| {
        let mut list = ParameterList::new();
        let x = list.add("x", [3], Initialiser::Constant(0.0));
        let mut store = list.build(&Device::cpu(), DType::F64, Address::new(0, 0, 0)).unwrap();
        let mut sgd = Sgd::new(&store, 0.0).unwrap();
        let (tape, slopes) = (Tape::new(), [3.0, -4.0, 0.1]);
        let slopes = Tensor::from_f64(store.device(), &slopes, [3]).unwrap();
        let loss = store.tensor(x, Some(&tape)).mul(&slopes).unwrap().sum_all().unwrap();
        let size = StepSize {
            norm_limit: 1.0,
            element_limit: 1.0,
            clip_order,
            ..StepSize::unlimited(1.0)
        };
        minimise(&loss, &tape, &mut store, &mut sgd, &size).unwrap();
        values_of(&store, x)
    };
    let (left, all) = (2.01f64.sqrt(), 25.01f64.sqrt());
    for (order, expected) in [
        (ClipOrder::ElementsFirst, [1.0, -1.0, 0.1].map(|g| -g / left)),
        (ClipOrder::NormFirst, [3.0, -4.0, 0.1].map(|g| -g / all)),
    ] {
        for (found, expected) in moved(order).into_iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{order:?}: {found} against {expected}");
        }
    }
}

#[test]
fn infinite_limits_change_nothing_and_senseless_ones_are_refused() {
    let (mut store, [first, _]) = store(DType::F64);
    let gradient = gradient_of_step(1);
    give_gradient(&mut store, first, &gradient);
    clip_gradients(&mut store, f64::INFINITY, f64::INFINITY).unwrap();
    assert_eq!(store.gradient(first).unwrap().to_f64().unwrap(), gradient);
    for (norm_limit, element_limit) in [(0.0, 1.0), (1.0, -1.0), (f64::NAN, 1.0)] {
        let said = clip_gradients(&mut store, norm_limit, element_limit).unwrap_err().to_string();
        assert!(said.contains("must be positive"), "{said}");
    }
}

#[test]
fn schedules_follow_their_formulas() {
    let step = Schedule::StepDecay { factor: 0.75, every: 200 };
    assert_eq!(step.rate(1.0, 1, 2000), 1.0);
    assert_eq!(step.rate(1.0, 200, 2000), 1.0);
    assert_eq!(step.rate(1.0, 201, 2000), 0.75);
    // Section 10 of the specification: the factor of the last 200 of 2000 epochs is 0.75⁹ = 0.0751.
    assert!((step.rate(1.0, 2000, 2000) - 0.0751).abs() < 5e-5);
    assert_eq!(Schedule::Constant.rate(0.3, 77, 100), 0.3);
    assert!((Schedule::Exponential { factor: 0.5 }.rate(1.0, 4, 10) - 0.125).abs() < 1e-15);
    assert_eq!(Schedule::Cosine { final_factor: 0.0 }.rate(1.0, 1, 10), 1.0);
    assert!((Schedule::Cosine { final_factor: 0.0 }.rate(1.0, 6, 10) - 0.5).abs() < 1e-15);
    assert!(Schedule::Cosine { final_factor: 0.0 }.rate(1.0, 10, 10) > 0.0);
    assert!(Schedule::Cosine { final_factor: 0.0 }.rate(1.0, 11, 10) < 1e-15);
}

#[test]
fn milestones_and_the_final_decay_have_their_rates() {
    let schedule = Schedule::Milestones { factor: 0.5, epochs: vec![5, 15, 30] };
    let rates = [1, 5, 6, 15, 16, 31, 300].map(|epoch| schedule.rate(1.0, epoch, 300));
    assert_eq!(rates, [1.0, 1.0, 0.5, 0.5, 0.25, 0.125, 0.125]);
    assert_eq!(schedule.passed(16), 2);
    assert_eq!(Schedule::Constant.passed(16), 0);
    let decays = [1, 6, 7, 8, 10, 11].map(|epoch| final_decay(4, epoch, 10));
    assert_eq!(decays, [1.0, 1.0, 0.8, 0.6, 0.2, 0.0]);
    assert_eq!([1, 10].map(|epoch| final_decay(0, epoch, 10)), [1.0, 1.0]);
}

/// From the second step on with another β₁, as the formula has it.
#[test]
fn beta_1_can_change_between_steps() {
    let options = AdamOptions { beta_1: 0.8, beta_2: 0.99, epsilon: 1e-3 };
    let (mut store, [first, _]) = store(DType::F64);
    let mut adam = Adam::new(&store, options).unwrap();
    let mut expected = values_of(&store, first);
    let mut moments = vec![[0.0; 2]; COUNT];
    for step in 1..=STEPS {
        let beta_1 = if step == 1 { 0.8 } else { 0.875 };
        adam.set_beta_1(beta_1);
        let (gradient, t) = (gradient_of_step(step), step as i32);
        give_gradient(&mut store, first, &gradient);
        adam.step(&mut store, RATE).unwrap();
        for ((value, g), [m, v]) in expected.iter_mut().zip(gradient).zip(&mut moments) {
            *m = beta_1 * *m + (1.0 - beta_1) * g;
            *v = 0.99 * *v + 0.01 * g * g;
            let correction = (1.0 - 0.99f64.powi(t)).sqrt() / (1.0 - beta_1.powi(t));
            *value -= RATE * correction * *m / (v.sqrt() + 1e-3);
        }
    }
    for (found, expected) in values_of(&store, first).iter().zip(&expected) {
        assert!((found - expected).abs() <= 1e-13, "{found} against {expected}");
    }
}

/// Σ c · x over the parameters of two networks, by name.
fn linear_loss(store: &ParameterStore, tape: &Tape, slopes: [f64; 3]) -> Tensor {
    let term = |(id, slope): (ParameterId, f64)| {
        store.tensor(id, Some(tape)).sum_all().unwrap().scale(slope).unwrap()
    };
    let mut terms = store.ids().zip(slopes).map(term);
    let first = terms.next().unwrap();
    terms.fold(first, |sum, term| sum.add(&term).unwrap())
}

#[test]
fn networks_are_clipped_each_by_its_own_norm_and_the_penalty_is_part_of_the_gradient() {
    let mut list = ParameterList::new();
    for name in ["inference.a", "inference.b", "generative.a"] {
        list.add(name, [4], Initialiser::Constant(0.5));
    }
    let mut store = list.build(&Device::cpu(), DType::F64, Address::new(1, 0, 0)).unwrap();
    assert_eq!(store.networks(), [0..8, 8..12]);
    let size = StepSize {
        norm_limit: 2.0,
        norm_of_networks: true,
        l2_penalty: 0.25,
        ..StepSize::unlimited(1.0)
    };
    let mut sgd = Sgd::new(&store, 0.0).unwrap();
    let tape = Tape::new();
    let loss = linear_loss(&store, &tape, [3.0, -0.5, 0.1]);
    minimise(&loss, &tape, &mut store, &mut sgd, &size).unwrap();
    drop(loss);
    // The penalty adds 2 · 0.25 · 0.5 to every element of the gradient.
    let inference = (4.0 * (3.25f64.powi(2) + 0.25f64.powi(2))).sqrt();
    let scale = 2.0 / (inference + 1e-7);
    let generative = (4.0 * 0.35f64.powi(2)).sqrt();
    let expected =
        [0.5 - 3.25 * scale, 0.5 + 0.25 * scale, 0.5 - 0.35 * generative / (generative + 1e-7)];
    for (id, expected) in store.ids().collect::<Vec<_>>().into_iter().zip(expected) {
        for found in values_of(&store, id) {
            assert!((found - expected).abs() < 1e-12, "{found} against {expected}");
        }
    }
}

#[test]
fn an_orthogonal_parameter_has_orthogonal_columns_of_its_gain() {
    let mut list = ParameterList::new();
    list.add("kernel", [3, 3, 2, 4], Initialiser::Orthogonal { gain: 1.1 });
    let store = list.build(&Device::cpu(), DType::F64, Address::new(1, 0, 0)).unwrap();
    let id = store.ids().next().unwrap();
    let matrix = store.tensor(id, None).reshape([18, 4]).unwrap();
    let products = matrix.transpose().unwrap().matmul(&matrix).unwrap().to_f64().unwrap();
    for (at, found) in products.iter().enumerate() {
        let expected = if at % 5 == 0 { 1.21 } else { 0.0 };
        assert!((found - expected).abs() < 1e-12, "element {at}: {found}");
    }
}

#[test]
fn a_step_with_too_large_a_gradient_is_skipped_and_leaves_the_optimiser_as_it_was() {
    let mut list = ParameterList::new();
    let x = list.add("x", [3], Initialiser::Constant(0.5));
    let mut store = list.build(&Device::cpu(), DType::F64, Address::new(0, 0, 0)).unwrap();
    let mut adam = Adam::new(&store, AdamOptions::default()).unwrap();
    let tape = Tape::new();
    // The norm of the gradient (2, 3, 6) · factor is 7 · factor.
    let mut step = |factor: f64, skipped_norm: f64| {
        let slopes = Tensor::from_f64(store.device(), &[2.0, 3.0, 6.0], [3]).unwrap();
        let slopes = slopes.scale(factor).unwrap();
        let loss = store.tensor(x, Some(&tape)).mul(&slopes).unwrap().sum_all().unwrap();
        let size = StepSize { skipped_norm, norm_limit: 1.0, ..StepSize::unlimited(0.1) };
        let moved = minimise(&loss, &tape, &mut store, &mut adam, &size).unwrap();
        drop(loss);
        (moved, adam.state().steps(), values_of(&store, x))
    };
    let start = vec![0.5; 3];
    assert_eq!(step(1.0, 6.99), (Moved::Skipped, 0, start.clone()));
    assert_eq!(step(f64::NAN, 6.99), (Moved::Skipped, 0, start.clone()));
    assert_eq!(step(f64::INFINITY, 6.99), (Moved::Skipped, 0, start.clone()));
    let (moved, steps, values) = step(1.0, 7.01);
    assert_eq!((moved, steps), (Moved::Yes, 1));
    assert!(values.iter().all(|value| *value < 0.5), "{values:?}");
}

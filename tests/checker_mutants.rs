//! The checker is checked: each wrong gradient here must be found, whatever the seed, and the right
//! one must pass.
//!
//! A wrong gradient needs no wrong operation: `wrong + (right − wrong).detach()` has the value of
//! `right` and the gradient of `wrong`.

use rung_autograd::gradcheck::{Cause, Options, gradcheck, gradcheck_parameters};
use rung_autograd::rng::Address;
use rung_autograd::{
    DType, Device, Initialiser, ParameterId, ParameterList, ParameterStore, Result, Shape, Tape,
    Tensor,
};
use rung_tests::run_seed;

const SEEDS: u64 = 10;

type Function = fn(&[Tensor]) -> Result<Tensor>;

/// A function, the inputs it is checked at, and one whose gradient stands in for the right one.
struct Mutant {
    what: &'static str,
    shapes: &'static [&'static [usize]],
    right: Function,
    wrong: Function,
}

/// The value of `right` with the gradient of `wrong`.
fn with_gradient_of(right: &Tensor, wrong: &Tensor) -> Result<Tensor> {
    wrong.add(&right.sub(wrong)?.detach())
}

const MUTANTS: [Mutant; 18] = [
    Mutant {
        what: "scaled by 1.0005",
        shapes: &[&[4, 5]],
        right: |x| x[0].tanh(),
        wrong: |x| x[0].tanh()?.scale(1.0005),
    },
    Mutant {
        what: "scaled by 1.00001",
        shapes: &[&[30, 50]],
        right: |x| x[0].square(),
        wrong: |x| x[0].square()?.scale(1.00001),
    },
    Mutant {
        what: "one of two scaled by 0.9995",
        shapes: &[&[7], &[7]],
        right: |x| x[0].mul(&x[1]),
        wrong: |x| x[0].mul(&x[1].detach())?.add(&x[0].detach().mul(&x[1])?.scale(0.9995)?),
    },
    Mutant {
        what: "flipped sign",
        shapes: &[&[3, 4]],
        right: |x| x[0].sin(),
        wrong: |x| x[0].sin()?.neg(),
    },
    Mutant {
        what: "flipped sign of a subtrahend",
        shapes: &[&[6], &[6]],
        right: |x| x[0].sub(&x[1]),
        wrong: |x| x[0].add(&x[1]),
    },
    Mutant {
        what: "product rule without its second term",
        shapes: &[&[5], &[5]],
        right: |x| x[0].mul(&x[1]),
        wrong: |x| x[0].mul(&x[1].detach()),
    },
    Mutant {
        what: "square that forgets the two",
        shapes: &[&[9]],
        right: |x| x[0].square(),
        wrong: |x| x[0].mul(&x[0].detach()),
    },
    Mutant {
        what: "softmax without the sum",
        shapes: &[&[3, 5]],
        right: |x| x[0].softmax(1),
        wrong: |x| {
            let total = x[0].detach().exp()?.sum(1)?.reshape([3, 1])?;
            x[0].exp()?.div(&total)
        },
    },
    Mutant {
        what: "log_sum_exp along the other axis",
        shapes: &[&[4, 4]],
        right: |x| x[0].log_sum_exp(0),
        wrong: |x| x[0].log_sum_exp(1),
    },
    Mutant {
        what: "batch statistics taken as constants",
        shapes: &[&[6, 3]],
        right: centred,
        wrong: |x| x[0].sub(&x[0].mean(0)?.detach()),
    },
    Mutant {
        what: "mean that forgets to divide",
        shapes: &[&[4, 3]],
        right: |x| x[0].mean(0),
        wrong: |x| x[0].sum(0),
    },
    Mutant {
        what: "un-broadcasting forgotten: first row only",
        shapes: &[&[4, 3], &[3]],
        right: |x| x[0].mul(&x[1]),
        wrong: |x| {
            let first = Tensor::from_f64(x[0].device(), &[1.0, 0.0, 0.0, 0.0], [4, 1])?;
            x[0].mul(&x[1].detach())?.add(&x[0].detach().mul(&x[1])?.mul(&first)?)
        },
    },
    Mutant {
        what: "un-broadcasting by the mean",
        shapes: &[&[4, 3], &[3]],
        right: |x| x[0].add(&x[1]),
        wrong: |x| x[0].add(&x[1].scale(0.25)?),
    },
    Mutant {
        what: "un-broadcasting along the wrong axis",
        shapes: &[&[3, 3], &[3]],
        right: |x| x[0].mul(&x[1]),
        wrong: |x| x[0].mul(&x[1].detach())?.add(&x[0].detach().mul(&x[1].reshape([3, 1])?)?),
    },
    Mutant {
        what: "two gradients swapped",
        shapes: &[&[3, 4], &[3, 4]],
        right: |x| x[0].square()?.mul(&x[1]),
        wrong: |x| {
            let (a, b) = (x[0].detach(), x[1].detach());
            let (grad_a, grad_b) = (a.mul(&b)?.scale(2.0)?, a.square()?);
            x[0].mul(&grad_b)?.add(&x[1].mul(&grad_a)?)
        },
    },
    Mutant {
        what: "matrix product that transposes a gradient",
        shapes: &[&[3, 3], &[3, 3]],
        right: |x| x[0].matmul(&x[1]),
        wrong: |x| x[0].matmul(&x[1].detach())?.add(&x[0].detach().matmul_tn(&x[1])?),
    },
    Mutant {
        what: "one element of many",
        shapes: &[&[40, 25]],
        right: |x| x[0].sin(),
        wrong: |x| {
            let mut factors = vec![1.0; 1000];
            factors[617] = 1.001;
            x[0].sin()?.mul(&Tensor::from_f64(x[0].device(), &factors, [40, 25])?)
        },
    },
    Mutant {
        what: "no gradient at all",
        shapes: &[&[2, 2]],
        right: |x| x[0].exp(),
        wrong: |x| x[0].scale(0.0),
    },
];

fn centred(x: &[Tensor]) -> Result<Tensor> {
    x[0].sub(&x[0].mean(0)?)
}

fn inputs(device: &Device, shapes: &[&[usize]], seed: u64) -> Vec<Tensor> {
    let draw = |(i, sizes): (usize, &&[usize])| {
        let shape = Shape::from_slice(sizes).unwrap();
        Tensor::uniform(device, DType::F64, Address::new(seed, i as u32, 7), shape)
            .unwrap()
            .affine(3.0, -1.5)
            .unwrap()
    };
    shapes.iter().enumerate().map(draw).collect()
}

#[test]
fn every_mutant_is_caught_and_its_original_passes() {
    let (device, first) = (Device::cpu(), run_seed());
    for Mutant { what, shapes, right, wrong } in MUTANTS {
        for seed in (0..SEEDS).map(|i| first.wrapping_add(i)) {
            let (inputs, options) =
                (inputs(&device, shapes, seed), Options { seed, ..Options::default() });
            gradcheck(&inputs, |x| Ok(vec![right(x)?]), &options)
                .unwrap_or_else(|failure| panic!("false alarm for {what}: {failure}"));
            let outcome = gradcheck(
                &inputs,
                |x| Ok(vec![with_gradient_of(&right(x)?, &wrong(x)?)?]),
                &options,
            );
            match outcome.map_err(|failure| failure.cause) {
                Err(Cause::Mismatch(_)) => {}
                Err(other) => panic!("{what} (seed {seed}): {other}"),
                Ok(report) => panic!("{what} (seed {seed}) is not found: {report:?}"),
            }
        }
    }
}

#[test]
fn a_mutant_of_one_output_among_many_is_caught() {
    let (device, first) = (Device::cpu(), run_seed());
    for seed in (0..SEEDS).map(|i| first.wrapping_add(i)) {
        let inputs = inputs(&device, &[&[20, 5]], seed);
        let mutant = |x: &[Tensor]| {
            let small = x[0].tanh()?.scale(1e-3)?;
            Ok(vec![
                x[0].exp()?.scale(1e3)?,
                with_gradient_of(&small, &small.scale(1.0005)?)?,
                x[0].square()?,
            ])
        };
        let failure =
            gradcheck(&inputs, mutant, &Options { seed, ..Options::default() }).unwrap_err();
        assert!(failure.to_string().contains("output 1"), "{failure}");
    }
}

#[test]
fn the_report_of_a_mutant_can_be_acted_on() {
    let (device, seed) = (Device::cpu(), 3);
    let inputs = inputs(&device, &[&[2, 3], &[3]], seed);
    let mutant = |x: &[Tensor]| {
        let right = x[0].add(&x[1])?;
        with_gradient_of(&right, &x[0].add(&x[1].scale(0.5)?)?).map(|out| vec![out])
    };
    let said = gradcheck(&inputs, mutant, &Options { seed, ..Options::default() })
        .unwrap_err()
        .to_string();
    for part in [
        "gradcheck of function of [2, 3], [3] (seed 3)",
        "input 1 [3]",
        "direction",
        "by backward",
        "by differences",
        "worst at [",
    ] {
        assert!(said.contains(part), "{part} is missing in: {said}");
    }
}

fn model(device: &Device, seed: u64) -> (ParameterStore, [ParameterId; 3]) {
    let mut list = ParameterList::new();
    let hidden = list.add("hidden.weight", [4, 6], Initialiser::Normal { sigma: 0.6 });
    let bias = list.add("hidden.bias", [6], Initialiser::Uniform { limit: 0.5 });
    let out = list.add("out.weight", [6, 2], Initialiser::Normal { sigma: 0.6 });
    (list.build(device, DType::F64, Address::new(seed, 0, 0)).unwrap(), [hidden, bias, out])
}

#[test]
fn a_model_with_a_wrong_gradient_is_caught_and_the_parameter_named() {
    let (device, first) = (Device::cpu(), run_seed());
    for seed in (0..SEEDS).map(|i| first.wrapping_add(i)) {
        let (mut store, [hidden, bias, out]) = model(&device, seed);
        let x = Tensor::normal(&device, DType::F64, Address::new(seed, 50, 0), [5, 4]).unwrap();
        let loss = |store: &ParameterStore, tape: Option<&Tape>, bias_factor: f64| {
            let bias = store.tensor(bias, tape);
            let bias = with_gradient_of(&bias, &bias.scale(bias_factor)?)?;
            let hidden = x.linear(&store.tensor(hidden, tape), Some(&bias))?.tanh()?;
            hidden.linear(&store.tensor(out, tape), None)?.square()?.mean_all()
        };
        let options = Options { seed, ..Options::default() };
        gradcheck_parameters(&mut store, |store, tape| loss(store, tape, 1.0), &options).unwrap();
        let failure =
            gradcheck_parameters(&mut store, |store, tape| loss(store, tape, 1.0005), &options)
                .unwrap_err();
        assert!(failure.to_string().contains("hidden.bias [6]"), "{failure}");
    }
}

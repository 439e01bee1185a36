//! Random graphs of operations, and what the tape promises about fan-out, several losses and
//! accumulation.

use proptest::collection::vec;
use proptest::prelude::{Strategy, any};
use proptest::sample::Index;
use rung_autograd::gradcheck::{Options, gradcheck, gradcheck_parameters};
use rung_autograd::ops::{Gaussian, concat, merge};
use rung_autograd::rng::Address;
use rung_autograd::{
    DType, Device, Initialiser, ParameterId, ParameterList, ParameterStore, Result, Tape, Tensor,
};
use rung_tests::mlp::{Mlp, Sizes};
use rung_tests::{case_count, devices, property};

const LEAVES: usize = 3;
/// All nodes of a random graph have this shape, so that any can feed any.
const SHAPE: [usize; 2] = [3, 4];

/// A node of a random graph: an operation, and which earlier nodes it reads.
type Instruction = (usize, Index, Index);

type Step = fn(&Tensor, &Tensor) -> Result<Tensor>;

/// Smooth maps of two nodes to one that keep values within about ±3.
const STEPS: [(&str, Step); 22] = [
    ("add", |a, b| a.add(b)?.scale(0.5)),
    ("sub", |a, b| a.sub(b)?.scale(0.5)),
    ("mul", |a, b| a.mul(b)?.scale(0.3)),
    ("div", |a, b| a.div(&b.square()?.shift(1.5)?)),
    ("tanh", |a, _| a.tanh()?.scale(2.0)),
    ("sigmoid", |a, _| a.sigmoid()),
    ("softplus", |a, _| a.softplus()?.scale(0.9)),
    ("sin", |a, _| a.sin()),
    ("exp", |a, _| a.scale(0.3)?.exp()),
    ("sqrt", |a, _| a.square()?.shift(0.5)?.sqrt()),
    ("log", |a, _| a.square()?.shift(0.5)?.log()),
    ("product of three", |a, b| a.matmul_nt(b)?.matmul(a)?.scale(0.03)),
    ("transposed product", |a, b| a.matmul(&b.matmul_tn(a)?)?.scale(0.03)),
    ("softmax", |a, _| a.softmax(1)),
    ("log_softmax", |a, _| a.log_softmax(0)?.scale(0.3)),
    ("centre", |a, b| a.sub(&b.mean(0)?)?.scale(0.5)),
    ("row sums", |a, b| a.add(&b.sum(1)?.reshape([3, 1])?)?.scale(0.2)),
    ("cut and join", |a, b| concat(&[&a.slice(1, 0, 1)?, &b.slice(1, 1, 3)?], 1)),
    ("turn", |a, _| a.transpose()?.reshape(SHAPE)),
    ("rows", |a, b| a.add(&b.gather(&Tensor::from_u32(b.device(), &[2, 0, 2], [3])?)?)?.scale(0.5)),
    ("merge", |a, b| {
        merge(&gaussian(a, b)?, &gaussian(b, a)?)
            .and_then(|merged| merged.mean.add(&merged.variance)?.scale(0.4))
    }),
    ("log density", |a, b| {
        a.add(&gaussian(a, b)?.log_prob(b)?.reshape([3, 1])?.scale(0.05)?)?.tanh()
    }),
];

fn gaussian(mean: &Tensor, raw: &Tensor) -> Result<Gaussian> {
    Ok(Gaussian { mean: mean.clone(), variance: raw.softplus()?.shift(0.3)? })
}

fn graph() -> impl Strategy<Value = (Vec<Instruction>, Index, u64)> {
    (
        vec((0..STEPS.len(), any::<Index>(), any::<Index>()), 1..14),
        any::<Index>(),
        any::<u64>().no_shrink(),
    )
}

/// The last node and some other one: what lies off their paths is unused.
fn run(instructions: &[Instruction], other: Index, leaves: &[Tensor]) -> Result<Vec<Tensor>> {
    let mut nodes = leaves.to_vec();
    for (step, left, right) in instructions {
        let node = STEPS[*step].1(left.get(&nodes), right.get(&nodes))?;
        nodes.push(node);
    }
    Ok(vec![nodes[nodes.len() - 1].clone(), other.get(&nodes).clone()])
}

fn leaves(device: &Device, seed: u64) -> Result<Vec<Tensor>> {
    let leaf = |i: usize| {
        Tensor::uniform(device, DType::F64, Address::new(seed, i as u32, 0), SHAPE)?
            .affine(4.0, -2.0)
    };
    (0..LEAVES).map(leaf).collect()
}

#[test]
fn gradients_of_random_graphs_match_differences() {
    for device in devices() {
        property(case_count(60), graph(), |(instructions, other, seed)| {
            let inputs = leaves(&device, seed).map_err(|error| error.to_string())?;
            let options = Options { seed, ..Options::default() };
            let outcome = gradcheck(&inputs, |inputs| run(&instructions, other, inputs), &options);
            let names: Vec<&str> = instructions.iter().map(|(step, ..)| STEPS[*step].0).collect();
            outcome.map(drop).map_err(|failure| format!("{names:?}: {failure}"))
        });
    }
}

#[test]
fn without_tracking_the_values_are_the_same_and_nothing_is_kept() {
    for device in devices() {
        property(case_count(50), graph(), |(instructions, other, seed)| {
            let inputs = leaves(&device, seed).unwrap();
            let tape = Tape::new();
            let tracked: Vec<Tensor> =
                inputs.iter().map(|input| tape.variable(input).unwrap()).collect();
            let values = |outputs: Vec<Tensor>| {
                outputs.iter().map(|output| output.to_f64().unwrap()).collect::<Vec<_>>()
            };
            let plain = run(&instructions, other, &inputs).unwrap();
            assert!(tape.is_empty() && !plain.iter().any(Tensor::is_tracked));
            let recorded = run(&instructions, other, &tracked).unwrap();
            assert!(!tape.is_empty());
            (values(plain) == values(recorded))
                .then_some(())
                .ok_or_else(|| "recording changes values".to_owned())
        });
    }
}

fn small_store(device: &Device) -> (ParameterStore, [ParameterId; 2]) {
    let mut list = ParameterList::new();
    let weight = list.add("weight", [3, 3], Initialiser::Normal { sigma: 0.7 });
    let bias = list.add("bias", [3], Initialiser::Uniform { limit: 1.0 });
    (list.build(device, DType::F64, Address::new(4, 0, 0)).unwrap(), [weight, bias])
}

/// Two losses that share a weight; the second uses it twice.
fn two_losses(
    store: &ParameterStore,
    [weight, bias]: [ParameterId; 2],
    tape: Option<&Tape>,
) -> Result<[Tensor; 2]> {
    let (weight_1, weight_2, bias) =
        (store.tensor(weight, tape), store.tensor(weight, tape), store.tensor(bias, tape));
    let x = Tensor::normal(store.device(), DType::F64, Address::new(9, 0, 0), [5, 3])?;
    let hidden = x.linear(&weight_1, Some(&bias))?.tanh()?;
    Ok([hidden.square()?.mean_all()?, hidden.linear(&weight_2, Some(&bias))?.sin()?.sum_all()?])
}

fn all_gradients(store: &ParameterStore) -> Vec<f64> {
    store.ids().flat_map(|id| store.gradient(id).unwrap().to_f64().unwrap()).collect()
}

fn assert_near(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            (found - expected).abs() <= 1e-13 * (1.0 + expected.abs()),
            "{found} against {expected}"
        );
    }
}

#[test]
fn a_parameter_used_in_several_places_gets_the_sum() {
    for device in devices() {
        let (mut store, ids) = small_store(&device);
        let loss = |store: &ParameterStore, tape: Option<&Tape>| {
            let [first, second] = two_losses(store, ids, tape)?;
            first.add(&second)
        };
        gradcheck_parameters(&mut store, loss, &Options::default()).unwrap();
    }
}

#[test]
fn several_losses_give_the_gradient_of_their_sum() {
    for device in devices() {
        let (mut store, ids) = small_store(&device);
        let tape = Tape::new();
        let [first, second] = two_losses(&store, ids, Some(&tape)).unwrap();
        tape.backward_into(&[&first, &second], &mut store).unwrap();
        let together = all_gradients(&store);
        store.clear_gradients();
        let [first, second] = two_losses(&store, ids, Some(&tape)).unwrap();
        tape.backward_into(&[&first.add(&second).unwrap()], &mut store).unwrap();
        assert_near(&together, &all_gradients(&store));
    }
}

#[test]
fn a_loss_given_twice_counts_twice_and_one_inside_another_counts_too() {
    for device in devices() {
        let (mut store, [weight, _]) = small_store(&device);
        let tape = Tape::new();
        let squares = |store: &ParameterStore| {
            store.tensor(weight, Some(&tape)).square().unwrap().sum_all().unwrap()
        };
        let values = store.tensor(weight, None).to_f64().unwrap();

        let loss = squares(&store);
        tape.backward_into(&[&loss, &loss], &mut store).unwrap();
        let expected: Vec<f64> = values.iter().map(|value| 4.0 * value).collect();
        assert_near(&store.gradient(weight).unwrap().to_f64().unwrap(), &expected);

        store.clear_gradients();
        let inner = squares(&store);
        let outer = inner.scale(3.0).unwrap();
        tape.backward_into(&[&inner, &outer], &mut store).unwrap();
        let expected: Vec<f64> = values.iter().map(|value| 8.0 * value).collect();
        assert_near(&store.gradient(weight).unwrap().to_f64().unwrap(), &expected);
    }
}

#[test]
fn gradients_accumulate_over_tapes_until_cleared() {
    for device in devices() {
        let (mut store, ids) = small_store(&device);
        let play = |store: &mut ParameterStore| {
            let tape = Tape::new();
            let [first, second] = two_losses(store, ids, Some(&tape)).unwrap();
            tape.backward_into(&[&first, &second], store).unwrap();
        };
        play(&mut store);
        let once = all_gradients(&store);
        play(&mut store);
        play(&mut store);
        assert_near(&all_gradients(&store), &once.iter().map(|g| 3.0 * g).collect::<Vec<_>>());
        store.clear_gradients();
        play(&mut store);
        assert_eq!(all_gradients(&store), once);
    }
}

#[test]
fn a_scalar_parameter_and_a_variable_can_be_losses_themselves() {
    for device in devices() {
        let tape = Tape::new();
        let x = tape.variable(&Tensor::from_f64(&device, &[3.0], [1]).unwrap()).unwrap();
        assert_eq!(tape.backward(&x).unwrap().of(&x).unwrap().to_f64().unwrap(), [1.0]);

        let mut list = ParameterList::new();
        let scalar = list.add("scalar", [1], Initialiser::Constant(2.0));
        let mut store = list.build(&device, DType::F64, Address::new(0, 0, 0)).unwrap();
        let loss = store.tensor(scalar, Some(&tape));
        tape.backward_into(&[&loss], &mut store).unwrap();
        assert_eq!(store.gradient(scalar).unwrap().to_f64().unwrap(), [1.0]);
    }
}

#[test]
fn gradients_of_a_small_autoencoder_match_differences() {
    for device in devices() {
        let sizes = Sizes { batch: 6, pixels: 5, hidden: 4, latent: 2 };
        let mut mlp = Mlp::new(&device, DType::F64, sizes).unwrap();
        let report = mlp.check_gradients(&Options::default()).unwrap();
        assert!(report.comparisons > 8 * 4);
    }
}

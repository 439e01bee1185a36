//! What the tape refuses, and in which words.

use rung_autograd::rng::Address;
use rung_autograd::{
    DType, Device, Initialiser, ParameterList, ParameterStore, Result, Tape, Tensor,
};
use rung_tests::devices;

fn vector(device: &Device) -> Tensor {
    Tensor::from_f64(device, &[1.0, 2.0, 3.0], [3]).unwrap()
}

#[track_caller]
fn refused<T>(outcome: Result<T>, words: &str) {
    match outcome {
        Ok(_) => panic!("accepted, but should say: {words}"),
        Err(error) => {
            assert!(error.to_string().contains(words), "said: {error}; should say: {words}")
        }
    }
}

#[test]
fn backward_needs_a_recorded_scalar_of_its_own_tape() {
    for device in devices() {
        let (tape, other) = (Tape::new(), Tape::new());
        let x = tape.variable(&vector(&device)).unwrap();
        refused(
            tape.backward(&x.square().unwrap()),
            "backward: only a scalar has a gradient; reduce it with sum_all or mean_all first: \
            loss [3]",
        );
        refused(tape.backward(&vector(&device).sum_all().unwrap()), "the loss is not recorded");
        refused(tape.backward(&x.detach().sum_all().unwrap()), "the loss is not recorded");
        let elsewhere = other.variable(&vector(&device)).unwrap();
        refused(
            tape.backward(&elsewhere.sum_all().unwrap()),
            "the loss is recorded on another tape",
        );
        refused(x.add(&elsewhere), "operands are recorded on different tapes");
    }
}

#[test]
fn a_recording_plays_once() {
    for device in devices() {
        let tape = Tape::new();
        let x = tape.variable(&vector(&device)).unwrap();
        let loss = x.square().unwrap().sum_all().unwrap();
        let gradients = tape.backward(&loss).unwrap();
        assert!(tape.is_empty());
        refused(tape.backward(&loss), "consumed; compute it again");
        refused(x.square(), "square: the tensor belongs to a recording that backward has consumed");
        assert_eq!(gradients.of(&x).unwrap().to_f64().unwrap(), [2.0, 4.0, 6.0]);
        assert_eq!(x.detach().square().unwrap().to_f64().unwrap(), [1.0, 4.0, 9.0]);

        let y = tape.variable(&vector(&device)).unwrap();
        refused(gradients.of(&y), "gradient: the tensor belongs to a recording");
        tape.clear();
        refused(y.square(), "consumed");
    }
}

#[test]
fn a_refused_backward_leaves_the_recording_playable() {
    for device in devices() {
        let tape = Tape::new();
        let x = tape.variable(&vector(&device)).unwrap();
        let loss = x.square().unwrap();
        refused(tape.backward(&loss), "only a scalar");
        let gradients = tape.backward(&loss.sum_all().unwrap()).unwrap();
        assert_eq!(gradients.of(&x).unwrap().to_f64().unwrap(), [2.0, 4.0, 6.0]);
    }
}

#[test]
fn only_variables_have_gradients() {
    for device in devices() {
        let tape = Tape::new();
        let x = tape.variable(&vector(&device)).unwrap();
        let unused = tape.variable(&vector(&device)).unwrap();
        let middle = x.square().unwrap();
        let gradients = tape.backward(&middle.sum_all().unwrap()).unwrap();
        assert_eq!(gradients.of(&unused).unwrap().to_f64().unwrap(), [0.0; 3]);
        refused(gradients.of(&vector(&device)), "not a variable of this tape");
        refused(gradients.of(&middle), "not a variable of this tape");
        refused(
            tape.variable(&Tensor::from_u32(&device, &[1], [1]).unwrap()),
            "only floats have gradients: x u32",
        );
    }
}

#[test]
fn parameters_need_their_store() {
    for device in devices() {
        let mut list = ParameterList::new();
        let id = list.add("weight", [3], Initialiser::Constant(2.0));
        let mut store = list.build(&device, DType::F64, Address::new(0, 0, 0)).unwrap();
        let tape = Tape::new();
        let loss = store.tensor(id, Some(&tape)).square().unwrap().sum_all().unwrap();
        refused(tape.backward(&loss), "use backward_into with their store");
        let weight = store.tensor(id, Some(&tape));
        let x = tape.variable(&vector(&device)).unwrap();
        let gradients =
            tape.backward_into(&[&weight.mul(&x).unwrap().sum_all().unwrap()], &mut store).unwrap();
        assert_eq!(gradients.of(&x).unwrap().to_f64().unwrap(), [2.0; 3]);
        assert_eq!(store.gradient(id).unwrap().to_f64().unwrap(), [1.0, 2.0, 3.0]);
        refused(gradients.of(&weight), "not a variable of this tape");
    }
}

/// Sums of three numbers depend on their order; x is read within the function twice, and before and
/// after it.
#[test]
fn a_recomputed_function_has_the_gradients_of_a_recorded_one_bit_for_bit() {
    let block = |store: &ParameterStore, tape: Option<&Tape>, inputs: &[Tensor]| {
        let ids: Vec<_> = store.ids().collect();
        let (w, b) = (store.tensor(ids[0], tape), store.tensor(ids[1], tape));
        let hidden = inputs[0].mul(&w)?.add(&inputs[1])?.tanh()?;
        hidden.mul(&b)?.dropout(0.2, Address::new(1, 7, 0))?.add(&inputs[0])
    };
    for device in devices() {
        let mut list = ParameterList::new();
        list.add("w", [5], Initialiser::Normal { sigma: 1.0 });
        list.add("b", [5], Initialiser::Normal { sigma: 1.0 });
        let mut store = list.build(&device, DType::F32, Address::new(3, 0, 0)).unwrap();
        let values = Tensor::normal(&device, DType::F32, Address::new(3, 9, 0), [4, 5]).unwrap();
        let mut gradients = |recomputes: bool| {
            let tape = Tape::new();
            let (x, z) = (
                tape.variable(&values).unwrap(),
                tape.variable(&values.scale(0.3).unwrap()).unwrap(),
            );
            let before = x.square().unwrap();
            let mut y = x.clone();
            for _ in 0..2 {
                let inputs = [&y, &z];
                y = if recomputes {
                    tape.recomputed(&store, &inputs, block).unwrap()
                } else {
                    block(&store, Some(&tape), &inputs.map(Tensor::clone)).unwrap()
                };
            }
            let nodes = tape.len();
            let loss = y.mul(&x.exp().unwrap()).unwrap().add(&before).unwrap().sum_all().unwrap();
            store.clear_gradients();
            let found = tape.backward_into(&[&loss], &mut store).unwrap();
            let of = |variable: &Tensor| found.of(variable).unwrap().to_f64().unwrap();
            let parameters: Vec<Vec<f64>> =
                store.ids().map(|id| store.gradient(id).unwrap().to_f64().unwrap()).collect();
            (nodes, (of(&x), of(&z), parameters))
        };
        let ((recorded, expected), (recomputed, found)) = (gradients(false), gradients(true));
        assert_eq!(found, expected);
        assert!(expected.2.iter().flatten().all(|value| *value != 0.0));
        assert_eq!((recorded, recomputed), (13, 3));
    }
}

#[test]
fn a_recomputed_function_needs_its_store_and_its_own_tape() {
    for device in devices() {
        let store = ParameterList::new().build(&device, DType::F64, Address::new(0, 0, 0)).unwrap();
        let square = |_: &ParameterStore, _: Option<&Tape>, inputs: &[Tensor]| inputs[0].square();
        let (tape, other) = (Tape::new(), Tape::new());
        let x = tape.variable(&vector(&device)).unwrap();
        let y = tape.recomputed(&store, &[&x], square).unwrap();
        refused(tape.backward(&y.sum_all().unwrap()), "use backward_into with their store");
        refused(
            tape.recomputed(&store, &[&x], square),
            "recomputed: the tensor belongs to a recording",
        );
        let elsewhere = other.variable(&vector(&device)).unwrap();
        refused(
            tape.recomputed(&store, &[&elsewhere], square),
            "an input is recorded on another tape",
        );
    }
}

#[test]
fn operands_must_agree_in_dtype_and_device() {
    for device in devices() {
        let x = vector(&device);
        let single = x.to_dtype(DType::F32).unwrap();
        refused(
            x.add(&single),
            "add: operands differ in dtype; convert one with to_dtype: operand f64, operand f32",
        );
        refused(single.matmul(&x), "matmul: operands differ in dtype");
        let elsewhere = vector(&Device::cpu());
        refused(x.mul(&elsewhere), "mul: operands lie on different devices");
        assert_eq!(
            x.mul(&elsewhere.to_device(&device).unwrap()).unwrap().to_f64().unwrap(),
            [1.0, 4.0, 9.0]
        );
        let integers = Tensor::from_u32(&device, &[1, 2, 3], [3]).unwrap();
        refused(integers.exp(), "exp: an operand must be of floats");
    }
}

#[test]
fn values_must_fill_their_shape() {
    for device in devices() {
        refused(
            Tensor::from_f64(&device, &[1.0; 5], [2, 3]),
            "tensor: 5 values do not fill the shape: shape [2, 3]",
        );
        refused(vector(&device).to_scalar(), "exactly one element is needed");
    }
}

#[test]
fn a_watching_tape_names_the_first_output_that_is_not_finite() {
    for device in devices() {
        let mut list = ParameterList::new();
        let weight = list.add("layer.weight", [3], Initialiser::Constant(0.5));
        let mut store = list.build(&device, DType::F32, Address::new(1, 0, 0)).unwrap();
        let of = |store: &ParameterStore, tape: &Tape| {
            let y = store.tensor(weight, Some(tape)).sub(&vector_f32(&device)).unwrap();
            // ln of −0.5 is no number, and neither is all that is computed of it.
            y.log().unwrap().exp().unwrap().sum_all().unwrap()
        };
        let tape = Tape::watching();
        of(&store, &tape);
        let found = tape.first_not_finite().unwrap();
        assert_eq!((found.operation, found.parameter), (Some("log"), Some(weight)));
        assert_eq!(found.shape.sizes(), [3]);
        let tape = Tape::new();
        of(&store, &tape);
        assert_eq!(tape.first_not_finite(), None, "it does not look");
        store.set(weight, &[1.0, f64::INFINITY, 1.0]).unwrap();
        let tape = Tape::watching();
        of(&store, &tape);
        let found = tape.first_not_finite().unwrap();
        assert_eq!((found.operation, found.parameter), (None, Some(weight)));
        store.set(weight, &[9.0; 3]).unwrap();
        let tape = Tape::watching();
        of(&store, &tape);
        assert_eq!(tape.first_not_finite(), None, "all is finite");
    }
}

fn vector_f32(device: &Device) -> Tensor {
    Tensor::from_f32(device, &[1.0, 1.0, 1.0], [3]).unwrap()
}

use exercises::{Outcome, Part, cases, close, cpu, said};
use rung_autograd::optim::{Adam as RungAdam, AdamOptions, Optimiser};
use rung_autograd::rng::Address;
use rung_autograd::{DType, Initialiser, ParameterList, Tape, Tensor};

use super::answer::Adam;

pub const PARTS: &[Part] = &[("the parameters", check)];

fn check() -> Outcome {
    cases(10, |random| {
        let count = random.whole(1, 5);
        let (beta_1, beta_2) = (random.between(0.5, 0.95), random.between(0.9, 0.999));
        let epsilon = 1e-4;
        let mut parameters = random.many(count, -1.0, 1.0);
        let mut ours = Adam {
            rate: 0.01,
            beta_1,
            beta_2,
            epsilon,
            first: vec![0.0; count],
            second: vec![0.0; count],
            steps: 0,
        };
        let mut list = ParameterList::new();
        let id = list.add("w", [count], Initialiser::Constant(0.0));
        let mut store = list.build(&cpu(), DType::F64, Address::new(1, 0, 0)).map_err(said)?;
        store.set(id, &parameters).map_err(said)?;
        let options = AdamOptions { beta_1, beta_2, epsilon };
        let mut theirs = RungAdam::new(&store, options).map_err(said)?;
        for step in 1..=5 {
            let gradient = random.many(count, -3.0, 3.0);
            ours.step(&mut parameters, &gradient);
            // Σ g·w has the gradient g.
            let tape = Tape::new();
            store.clear_gradients();
            let loss = Tensor::from_f64(&cpu(), &gradient, [count])
                .and_then(|g| store.tensor(id, Some(&tape)).mul(&g)?.sum_all())
                .map_err(said)?;
            tape.backward_into(&[&loss], &mut store).map_err(said)?;
            theirs.step(&mut store, 0.01).map_err(said)?;
            let wanted = store.tensor(id, None).to_f64().map_err(said)?;
            close(&format!("the parameters after step {step}"), &parameters, &wanted, 1e-9)?;
        }
        Ok(())
    })
}

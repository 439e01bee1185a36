//! Chapter 8: losses, optimisers, initialisation, batch normalisation.

use rung_autograd::optim::{Adam as RungAdam, AdamOptions, Optimiser};
use rung_autograd::rng::Address;
use rung_autograd::{DType, Initialiser, ParameterList, Tape, Tensor};

use crate::{Result, cpu};

// ANCHOR: valley
/// A long valley: f(a, b) = ½ (a² + 100 b²), and its gradient.
fn valley([a, b]: [f64; 2]) -> (f64, [f64; 2]) {
    (0.5 * (a * a + 100.0 * b * b), [a, 100.0 * b])
}

/// A rule that turns a gradient into a step; it may remember.
trait Rule {
    fn step(&mut self, gradient: [f64; 2]) -> [f64; 2];
}

/// −rate · gradient.
struct Descent {
    rate: f64,
}

impl Rule for Descent {
    fn step(&mut self, gradient: [f64; 2]) -> [f64; 2] {
        gradient.map(|g| -self.rate * g)
    }
}

/// The velocity keeps a share of itself, and gradients change it.
struct Momentum {
    rate: f64,
    keep: f64,
    velocity: [f64; 2],
}

impl Rule for Momentum {
    fn step(&mut self, gradient: [f64; 2]) -> [f64; 2] {
        for (v, g) in self.velocity.iter_mut().zip(gradient) {
            *v = self.keep * *v - self.rate * g;
        }
        self.velocity
    }
}
// ANCHOR_END: valley

// ANCHOR: adam
/// Adam (Kingma and Ba 2015): each parameter's step is its mean gradient over the root of its mean
/// squared gradient.
struct Adam {
    rate: f64,
    first: [f64; 2],
    second: [f64; 2],
    steps: i32,
}

const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;

impl Rule for Adam {
    fn step(&mut self, gradient: [f64; 2]) -> [f64; 2] {
        self.steps += 1;
        let mut step = [0.0; 2];
        for n in 0..2 {
            self.first[n] = BETA_1 * self.first[n] + (1.0 - BETA_1) * gradient[n];
            self.second[n] = BETA_2 * self.second[n] + (1.0 - BETA_2) * gradient[n].powi(2);
            // Both began at zero: divide by the weight that real gradients have in them by now.
            let mean = self.first[n] / (1.0 - BETA_1.powi(self.steps));
            let square = self.second[n] / (1.0 - BETA_2.powi(self.steps));
            step[n] = -self.rate * mean / (square.sqrt() + 1e-8);
        }
        step
    }
}
// ANCHOR_END: adam

// ANCHOR: race
/// Prints how deep in the valley each rule is after some steps from (10, 1).
pub fn race() -> Result<()> {
    let rules: [(&str, Box<dyn Rule>); 4] = [
        ("descent, rate 0.019", Box::new(Descent { rate: 0.019 })),
        ("descent, rate 0.021", Box::new(Descent { rate: 0.021 })),
        ("momentum, rate 0.019", Box::new(Momentum { rate: 0.019, keep: 0.8, velocity: [0.0; 2] })),
        (
            "Adam, rate 0.3",
            Box::new(Adam { rate: 0.3, first: [0.0; 2], second: [0.0; 2], steps: 0 }),
        ),
    ];
    println!("                         10 steps   100 steps   300 steps");
    for (name, mut rule) in rules {
        let (mut place, mut depths) = ([10.0, 1.0], Vec::new());
        for step in 1..=300 {
            let moved = rule.step(valley(place).1);
            place = [place[0] + moved[0], place[1] + moved[1]];
            if [10, 100, 300].contains(&step) {
                depths.push(valley(place).0);
            }
        }
        println!("{name:20} {:12.1e} {:11.1e} {:11.1e}", depths[0], depths[1], depths[2]);
    }
    Ok(())
}
// ANCHOR_END: race

// ANCHOR: scales
/// Prints the first step of Adam for gradients of very different size.
pub fn scales() -> Result<()> {
    for gradient in [1e-6, 1.0, 1e6] {
        let mut adam = Adam { rate: 0.001, first: [0.0; 2], second: [0.0; 2], steps: 0 };
        println!("gradient {gradient:.0e}: step {:.6}", adam.step([gradient; 2])[0]);
    }
    Ok(())
}
// ANCHOR_END: scales

// ANCHOR: beside
/// Prints three steps of Adam, here and by Rung.
pub fn beside_rung() -> Result<()> {
    let mut list = ParameterList::new();
    let id = list.add("w", [2], Initialiser::Constant(1.0));
    let mut store = list.build(&cpu(), DType::F64, Address::new(1, 0, 0))?;
    let options = AdamOptions { beta_1: BETA_1, beta_2: BETA_2, epsilon: 1e-8 };
    let (mut theirs, tape) = (RungAdam::new(&store, options)?, Tape::new());
    let mut ours = Adam { rate: 0.1, first: [0.0; 2], second: [0.0; 2], steps: 0 };
    let mut w = [1.0; 2];
    for _ in 0..3 {
        let step = ours.step(w.map(|w| 2.0 * w));
        w = [w[0] + step[0], w[1] + step[1]];
        store.clear_gradients();
        let loss = store.tensor(id, Some(&tape)).square()?.sum_all()?;
        tape.backward_into(&[&loss], &mut store)?;
        theirs.step(&mut store, 0.1)?;
        println!("here {:.6}, Rung {:.6}", w[0], store.tensor(id, None).to_f64()?[0]);
    }
    Ok(())
}
// ANCHOR_END: beside

// ANCHOR: start
/// Prints the standard deviation of what comes out of 10 layers of 100 units, and of the gradient
/// that comes back, for weights of several deviations.
pub fn start() -> Result<()> {
    let units = 100;
    for (name, sigma) in
        [("0.05", 0.05), ("√(1/n)", 0.1), ("√(2/n)", 0.02_f64.sqrt()), ("0.25", 0.25)]
    {
        let tape = Tape::new();
        let x = Tensor::normal(&cpu(), DType::F64, Address::new(1, 0, 0), [200, units])?;
        let x = tape.variable(&x)?;
        let mut h = x.clone();
        for layer in 1..=10 {
            let address = Address::new(1, layer, 0);
            let w = Tensor::normal(&cpu(), DType::F64, address, [units, units])?.scale(sigma)?;
            h = h.matmul(&w)?.relu()?;
        }
        let out = h.square()?.mean_all()?.to_scalar()?.sqrt();
        let grad = tape.backward(&h.sum_all()?)?.of(&x)?;
        let grad = grad.square()?.mean_all()?.to_scalar()?.sqrt();
        println!("σ = {name:7} out {out:8.1e}, gradient {grad:8.1e}");
    }
    Ok(())
}
// ANCHOR_END: start

// ANCHOR: norm
/// Prints what batch normalisation makes of one row, alone and in the company of others.
pub fn company() -> Result<()> {
    let row = [1.0, 2.0];
    let normalise = |rows: &[[f64; 2]], frozen: Option<[[f64; 2]; 2]>| -> [f64; 2] {
        let mean =
            |f: &dyn Fn(&[f64; 2]) -> f64| rows.iter().map(f).sum::<f64>() / rows.len() as f64;
        std::array::from_fn(|c| {
            let [m, v] = match frozen {
                Some([mean, variance]) => [mean[c], variance[c]],
                None => {
                    let m = mean(&|row| row[c]);
                    [m, mean(&|row| (row[c] - m).powi(2))]
                }
            };
            (row[c] - m) / (v + 1e-5).sqrt()
        })
    };
    println!("with [3, 0] and [2, 4]: {:.2?}", normalise(&[row, [3.0, 0.0], [2.0, 4.0]], None));
    println!("with [0, 0] and [1, 1]: {:.2?}", normalise(&[row, [0.0, 0.0], [1.0, 1.0]], None));
    println!("alone:                  {:.2?}", normalise(&[row], None));
    println!("with fixed statistics:  {:.2?}", normalise(&[row], Some([[1.5, 1.5], [1.0, 2.0]])));
    Ok(())
}
// ANCHOR_END: norm

// ANCHOR: clip
/// Prints a gradient clipped to the global norm 1.
pub fn clip() -> Result<()> {
    for gradient in [[0.3, 0.4], [30.0, 40.0]] {
        let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        let factor = (1.0 / norm).min(1.0);
        println!("{gradient:?}, norm {norm}: {:.1?}", gradient.map(|g| g * factor));
    }
    Ok(())
}
// ANCHOR_END: clip

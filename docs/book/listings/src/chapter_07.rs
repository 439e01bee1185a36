//! Chapter 7: randomness that can be addressed.

use rung_autograd::optim::{Adam, AdamOptions, Optimiser};
use rung_autograd::rng::{Address, normal_at, philox4x32 as rungs_philox, uniform_at};
use rung_autograd::{DType, Initialiser, ParameterList, ParameterStore, Tape, Tensor};

use crate::{Result, cpu};

// ANCHOR: state
/// A generator with a state (xorshift; Marsaglia 2003): each number changes what comes next.
struct WithState(u64);

impl WithState {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Prints the number that the second image gets, when the first takes four numbers or three.
pub fn state() -> Result<()> {
    for taken in [4, 3] {
        let mut generator = WithState(1);
        (0..taken).for_each(|_| {
            generator.next();
        });
        println!("the first image takes {taken}: the second gets {:016x}", generator.next());
    }
    Ok(())
}
// ANCHOR_END: state

// ANCHOR: philox
/// Philox 4x32-10 (Salmon et al. 2011): four random words that belong to a key and a counter.
fn philox(mut key: [u32; 2], mut counter: [u32; 4]) -> [u32; 4] {
    for _ in 0..10 {
        let [high_0, low_0] = wide_product(0xD251_1F53, counter[0]);
        let [high_1, low_1] = wide_product(0xCD9E_8D57, counter[2]);
        counter = [high_1 ^ counter[1] ^ key[0], low_1, high_0 ^ counter[3] ^ key[1], low_0];
        key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
    }
    counter
}

/// Both halves of a product of two words.
fn wide_product(left: u32, right: u32) -> [u32; 2] {
    let product = u64::from(left) * u64::from(right);
    [(product >> 32) as u32, product as u32]
}

/// Prints the words of neighbouring counters.
pub fn words() -> Result<()> {
    for element in 0..3 {
        let words = philox([1, 0], [element, 0, 0, 0]);
        assert_eq!(words, rungs_philox([1, 0], [element, 0, 0, 0]));
        println!(
            "counter {element}: {:08x} {:08x} {:08x} {:08x}",
            words[0], words[1], words[2], words[3]
        );
    }
    Ok(())
}
// ANCHOR_END: philox

// ANCHOR: avalanche
/// Prints how many of the 128 bits change, on average, when one bit of the counter does.
pub fn avalanche() -> Result<()> {
    for rounds in [1, 3, 5, 10] {
        let run = |counter: [u32; 4]| {
            let (mut key, mut c) = ([7, 11], counter);
            for _ in 0..rounds {
                let ([h0, l0], [h1, l1]) =
                    (wide_product(0xD251_1F53, c[0]), wide_product(0xCD9E_8D57, c[2]));
                c = [h1 ^ c[1] ^ key[0], l1, h0 ^ c[3] ^ key[1], l0];
                key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
            }
            c
        };
        let (mut changed, mut tries) = (0, 0);
        for n in 0..100 {
            for bit in 0..128 {
                let mut other = [n, 0, 0, 0];
                other[bit / 32] ^= 1 << (bit % 32);
                let pairs = run([n, 0, 0, 0]).into_iter().zip(run(other));
                changed += pairs.map(|(a, b)| (a ^ b).count_ones()).sum::<u32>();
                tries += 1;
            }
        }
        println!("{rounds:2} rounds: {:.1} of 128 bits", f64::from(changed) / f64::from(tries));
    }
    Ok(())
}
// ANCHOR_END: avalanche

// ANCHOR: normal
/// Prints moments of addressed numbers: uniform ones should have mean ½ and variance 1/12, normal
/// ones mean 0, variance 1 and fourth moment 3.
pub fn moments() -> Result<()> {
    let (address, count) = (Address::new(1, 0, 0), 200_000);
    let mean = |f: &dyn Fn(usize) -> f64| (0..count).map(f).sum::<f64>() / count as f64;
    let uniform = |n| uniform_at(&address, n);
    let normal = |n| normal_at(&address, n);
    println!(
        "uniform: mean {:.3}, variance {:.4}",
        mean(&uniform),
        mean(&|n| (uniform(n) - 0.5).powi(2))
    );
    println!(
        "normal:  mean {:.3}, variance {:.3}, fourth moment {:.2}",
        mean(&normal),
        mean(&|n| normal(n).powi(2)),
        mean(&|n| normal(n).powi(4))
    );
    Ok(())
}
// ANCHOR_END: normal

// ANCHOR: parts
/// Prints whether noise that is drawn in two parts is that which is drawn in one.
pub fn parts() -> Result<()> {
    let address = Address::new(5, 2, 17); // seed, stream, step
    let whole = Tensor::normal(&cpu(), DType::F32, address, [8, 3])?.to_f32()?;
    let alone: Vec<f32> = (0..24).map(|element| normal_at(&address, element) as f32).collect();
    let close = whole.iter().zip(&alone).all(|(whole, alone)| (whole - alone).abs() < 1e-5);
    println!("each number can be drawn alone: {close}");
    Ok(())
}
// ANCHOR_END: parts

// ANCHOR: resume
/// What must be kept to go on: the parameters, the optimiser's state, and the step.
struct Checkpoint {
    parameters: Vec<f64>,
    optimiser: Vec<Vec<f32>>,
    count: u64,
    step: u64,
}

/// A line y = w · x, fitted to noisy data that is drawn anew in each step.
struct Training {
    store: ParameterStore,
    adam: Adam,
    step: u64,
}

impl Training {
    fn new() -> Result<Self> {
        let mut list = ParameterList::new();
        list.add("w", [1, 1], Initialiser::Constant(0.0));
        let store = list.build(&cpu(), DType::F32, Address::new(1, 0, 0))?;
        let adam = Adam::new(&store, AdamOptions::default())?;
        Ok(Self { store, adam, step: 0 })
    }

    fn run(&mut self, steps: u64) -> Result<f64> {
        let tape = Tape::new();
        let w = self.store.ids().next().ok_or("no parameter")?;
        for step in self.step..self.step + steps {
            self.store.clear_gradients();
            let draw =
                |stream| Tensor::normal(&cpu(), DType::F32, Address::new(1, stream, step), [16, 1]);
            let (x, noise) = (draw(1)?, draw(2)?);
            let error = x.linear(&self.store.tensor(w, Some(&tape)), None)?;
            let error = error.sub(&x.scale(2.0)?.add(&noise)?)?;
            tape.backward_into(&[&error.square()?.mean_all()?], &mut self.store)?;
            drop(error);
            self.adam.step(&mut self.store, 0.05)?;
        }
        self.step += steps;
        Ok(self.store.tensor(w, None).to_scalar()?)
    }
}
// ANCHOR_END: resume

impl Training {
    fn checkpoint(&self) -> Result<Checkpoint> {
        let w = self.store.ids().next().ok_or("no parameter")?;
        let state = self.adam.state();
        let mut optimiser = Vec::new();
        for name in state.names() {
            let mut host = vec![0.0; state.element_count()];
            state.download(name, rung_autograd::ViewMut::F32(&mut host))?;
            optimiser.push(host);
        }
        let parameters = self.store.tensor(w, None).to_f64()?;
        Ok(Checkpoint { parameters, optimiser, count: state.steps(), step: self.step })
    }

    fn from_checkpoint(kept: &Checkpoint) -> Result<Self> {
        let mut fresh = Self::new()?;
        let w = fresh.store.ids().next().ok_or("no parameter")?;
        fresh.store.set(w, &kept.parameters)?;
        let state = fresh.adam.state_mut();
        let names: Vec<&str> = state.names().collect();
        for (name, values) in names.into_iter().zip(&kept.optimiser) {
            state.upload(name, rung_autograd::View::F32(values))?;
        }
        state.set_steps(kept.count);
        fresh.step = kept.step;
        Ok(fresh)
    }
}

// ANCHOR: resumed
/// Prints w after 100 steps: in one go, resumed after 40, and resumed without the optimiser.
pub fn resumed() -> Result<()> {
    let whole = Training::new()?.run(100)?;
    let mut first = Training::new()?;
    first.run(40)?;
    let mut kept = first.checkpoint()?;
    let resumed = Training::from_checkpoint(&kept)?.run(60)?;
    kept.optimiser.iter_mut().for_each(|moment| moment.fill(0.0));
    kept.count = 0;
    let forgetful = Training::from_checkpoint(&kept)?.run(60)?;
    println!("resumed: the same bits {}", whole.to_bits() == resumed.to_bits());
    println!("without the optimiser's state: {}", whole.to_bits() == forgetful.to_bits());
    Ok(())
}
// ANCHOR_END: resumed

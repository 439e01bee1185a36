//! Linear regression on the tape: a line is found from noisy points by gradient descent, and
//! compared with the exact answer.
//!
//! Run it with `cargo run -p rung-autograd --example linear_regression`.

use rung_autograd::optim::{Optimiser, Sgd};
use rung_autograd::rng::Address;
use rung_autograd::{DType, Device, Initialiser, ParameterList, Result, Tape, Tensor};

const POINTS: usize = 64;
const SLOPE: f64 = 2.0;
const INTERCEPT: f64 = -0.5;

/// Slope and intercept of the line that gradient descent finds, then those of least squares by
/// their formula.
fn fit() -> Result<[[f64; 2]; 2]> {
    let device = Device::cpu();
    // y = 2x − 0.5 + noise. Random numbers are functions of an address: seed, stream, step.
    let x = Tensor::uniform(&device, DType::F64, Address::new(7, 0, 0), [POINTS, 1])?;
    let noise = Tensor::normal(&device, DType::F64, Address::new(7, 1, 0), [POINTS, 1])?;
    let y = x.affine(SLOPE, INTERCEPT)?.add(&noise.scale(0.1)?)?;

    // The model: parameters are ranges of one flat buffer, so that a step of the optimiser is one
    // pass.
    let mut list = ParameterList::new();
    let weight = list.add("weight", [1, 1], Initialiser::Constant(0.0));
    let bias = list.add("bias", [1], Initialiser::Constant(0.0));
    let mut store = list.build(&device, DType::F64, Address::new(7, 2, 0))?;

    let (tape, mut sgd) = (Tape::new(), Sgd::new(&store, 0.9)?);
    for _ in 0..500 {
        store.clear_gradients();
        let predicted =
            x.linear(&store.tensor(weight, Some(&tape)), Some(&store.tensor(bias, Some(&tape))))?;
        let loss = predicted.sub(&y)?.square()?.mean_all()?;
        tape.backward_into(&[&loss], &mut store)?;
        // A tensor that holds parameters would keep the optimiser from writing them.
        drop((predicted, loss));
        sgd.step(&mut store, 0.1)?;
    }
    let found = [store.tensor(weight, None).to_scalar()?, store.tensor(bias, None).to_scalar()?];
    Ok([found, least_squares(&x.to_f64()?, &y.to_f64()?)])
}

/// slope = cov(x, y)/var(x), intercept = mean(y) − slope · mean(x).
fn least_squares(x: &[f64], y: &[f64]) -> [f64; 2] {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_x, mean_y) = (mean(x), mean(y));
    let covariance: f64 = x.iter().zip(y).map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let variance: f64 = x.iter().map(|x| (x - mean_x).powi(2)).sum();
    let slope = covariance / variance;
    [slope, mean_y - slope * mean_x]
}

fn main() -> Result<()> {
    let [found, exact] = fit()?;
    println!("gradient descent: y = {:.6} x + {:.6}", found[0], found[1]);
    println!("least squares:    y = {:.6} x + {:.6}", exact[0], exact[1]);
    Ok(())
}

#[test]
fn gradient_descent_finds_the_least_squares() {
    let [found, exact] = fit().unwrap();
    for (found, exact) in found.into_iter().zip(exact) {
        assert!((found - exact).abs() < 1e-6, "{found} against {exact}");
    }
}

//! Chapter 3: finite differences, projections, mutants.

use std::panic::Location;

use rung_autograd::gradcheck::{Options, check_declaration, gradcheck};
use rung_autograd::rng::{Address, normal_at, uniform_at};
use rung_autograd::{DType, Result as RungResult, Tensor, ops};

use crate::{Result, cpu, seed};

// ANCHOR: steps
/// The derivative of `f` at `x` by a central difference.
fn central(f: impl Fn(f64) -> f64, x: f64, h: f64) -> f64 {
    (f(x + h) - f(x - h)) / (2.0 * h)
}

/// One step of Richardson's extrapolation: the error of order h² cancels.
fn extrapolated(f: impl Fn(f64) -> f64, x: f64, h: f64) -> f64 {
    (4.0 * central(&f, x, h / 2.0) - central(&f, x, h)) / 3.0
}

/// Prints the errors of differences of tanh at 0.7, in f64 and in f32.
pub fn steps() -> Result<()> {
    let exact = 1.0 - 0.7_f64.tanh().powi(2);
    let in_f32 = |x: f64| f64::from((x as f32).tanh());
    println!("h        central  extrapolated  central in f32");
    for h in [1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6] {
        let errors =
            [central(f64::tanh, 0.7, h), extrapolated(f64::tanh, 0.7, h), central(in_f32, 0.7, h)]
                .map(|found| (found - exact).abs());
        let [central, extrapolated, in_f32] = errors;
        println!("{h:<7.0e}  {central:<7.0e}  {extrapolated:<12.0e}  {in_f32:.0e}");
    }
    Ok(())
}
// ANCHOR_END: steps

// ANCHOR: projection
/// What is checked: a function of many numbers, and the gradient claimed for it.
struct Claim<'a> {
    value: &'a dyn Fn(&[f64]) -> f64,
    gradient: &'a dyn Fn(&[f64]) -> Vec<f64>,
}

impl Claim<'_> {
    /// The relative error of the gradient at `x`, along the direction `u`.
    fn error_along(&self, x: &[f64], u: &[f64]) -> f64 {
        let at = |step: f64| {
            let moved: Vec<f64> = x.iter().zip(u).map(|(x, u)| x + step * u).collect();
            (self.value)(&moved)
        };
        let by_difference = extrapolated(at, 0.0, 1e-3);
        let gradient = (self.gradient)(x);
        let terms: Vec<f64> = gradient.iter().zip(u).map(|(g, u)| g * u).collect();
        let by_gradient: f64 = terms.iter().sum();
        // Large terms may cancel: then rounding is large beside the sum, though small beside them.
        let size = terms.iter().map(|term| term * term).sum::<f64>().sqrt();
        (by_gradient - by_difference).abs() / size.max(by_difference.abs()).max(1e-3)
    }

    /// The worst error along a few random directions at random points.
    fn worst_error(&self, len: usize, seed: u64) -> f64 {
        (0..8)
            .map(|trial| {
                let (at, along) = (Address::new(seed, 0, trial), Address::new(seed, 1, trial));
                let x: Vec<f64> = (0..len).map(|n| 2.0 * uniform_at(&at, n) - 1.0).collect();
                let u: Vec<f64> = (0..len).map(|n| normal_at(&along, n)).collect();
                self.error_along(&x, &u)
            })
            // Not f64::max, which passes over what is no number: that is the worst error of all.
            .fold(0.0, |worst, error| if error > worst || error.is_nan() { error } else { worst })
    }
}
// ANCHOR_END: projection

// ANCHOR: mutants
/// ln Σ exp xᵢ, and its gradient, the softmax.
fn log_sum_exp(x: &[f64]) -> f64 {
    let largest = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest + x.iter().map(|x| (x - largest).exp()).sum::<f64>().ln()
}

fn softmax(x: &[f64]) -> Vec<f64> {
    let total = log_sum_exp(x);
    x.iter().map(|x| (x - total).exp()).collect()
}

/// A gradient made wrong.
type Mutation = fn(Vec<f64>) -> Vec<f64>;

/// Prints the worst error that the checker finds, for the right gradient and for wrong ones.
pub fn mutants() -> Result<()> {
    let mutations: [(&str, Mutation); 6] = [
        ("right", |g| g),
        ("scaled by 1.0005", |g| g.iter().map(|g| 1.0005 * g).collect()),
        ("sign flipped", |g| g.iter().map(|g| -g).collect()),
        ("last element forgotten", |mut g| {
            if let Some(last) = g.last_mut() {
                *last = 0.0;
            }
            g
        }),
        ("first two exchanged", |mut g| {
            g.swap(0, 1);
            g
        }),
        ("one is no number", |mut g| {
            g[0] = f64::NAN;
            g
        }),
    ];
    for (what, mutation) in mutations {
        let claim = Claim { value: &log_sum_exp, gradient: &|x| mutation(softmax(x)) };
        let error = claim.worst_error(10, 1);
        let verdict = if error < 1e-6 { "passes" } else { "is found" };
        println!("{what:23} {verdict:9} worst error {error:.0e}");
    }
    Ok(())
}
// ANCHOR_END: mutants

// ANCHOR: gradcheck
/// Prints what Rung's checker says of a composition, and of one that forgets to sum back.
pub fn rungs_checker() -> Result<()> {
    let (cpu, address) = (cpu(), |stream| Address::new(1, stream, 0));
    let inputs = [
        Tensor::normal(&cpu, DType::F64, address(0), [5, 3])?,
        Tensor::normal(&cpu, DType::F64, address(1), [3])?,
    ];
    let right = |x: &[Tensor]| Ok(vec![x[0].add(&x[1])?.tanh()?.log_sum_exp(1)?]);
    match gradcheck(&inputs, right, &Options::default()) {
        Ok(report) => println!(
            "right: {} derivatives compared in {} evaluations, all within 1e-9: {}",
            report.comparisons,
            report.evaluations,
            report.worst_relative_error < 1e-9
        ),
        Err(failure) => println!("{failure}"),
    }
    // The value of `right`, with a gradient in which only the first row moves the bias.
    let wrong = |x: &[Tensor]| {
        let first = x[0].slice(0, 0, 1)?.add(&x[1])?;
        let rest = x[0].slice(0, 1, 4)?.add(&x[1].detach())?;
        let joined = ops::concat(&[&first, &rest], 0)?;
        Ok(vec![joined.tanh()?.log_sum_exp(1)?])
    };
    let found = gradcheck(&inputs, wrong, &Options::default()).is_err();
    println!("a forgotten sum is found: {found}");
    Ok(())
}
// ANCHOR_END: gradcheck

// ANCHOR: property
/// Prints how many operations Rung declares, after checking each on random cases.
pub fn every_operation() -> Result<()> {
    let declarations = ops::declarations();
    let mut comparisons = 0;
    for declaration in &declarations {
        for seed in 0..3 {
            comparisons += check_declaration(declaration, &cpu(), seed)?.comparisons;
        }
    }
    let many = declarations.len() >= 50 && comparisons > 10_000;
    println!(
        "every operation has the derivative that it claims; more than 50 are declared: {many}"
    );
    Ok(())
}
// ANCHOR_END: property

// ANCHOR: corner
/// Prints what a difference says of max(x, 0) near its corner, where the derivative is 0 or 1.
pub fn corner() -> Result<()> {
    for x in [1e-2, 1e-4, 0.0] {
        println!("x = {x:.0e}: {:.3}", central(|x| x.max(0.0), x, 1e-3));
    }
    Ok(())
}
// ANCHOR_END: corner

// ANCHOR: surrogate
/// The value of `value` with the gradient of `surrogate`.
fn with_gradient_of(value: &Tensor, surrogate: &Tensor) -> RungResult<Tensor> {
    surrogate.add(&value.sub(surrogate)?.detach())
}

/// Prints whether x² with the gradient of 1.0005·x² is found.
pub fn surrogate() -> Result<()> {
    let x = Tensor::normal(&cpu(), DType::F64, Address::new(2, 0, 0), [4, 4])?;
    let wrong = |x: &[Tensor]| {
        let square = x[0].square()?;
        Ok(vec![with_gradient_of(&square, &square.scale(1.0005)?)?])
    };
    let report = gradcheck(&[x], wrong, &Options::default());
    println!("wrong by 0.05 %: {}", if report.is_err() { "found" } else { "missed" });
    Ok(())
}
// ANCHOR_END: surrogate

// ANCHOR: tested
/// Panics, naming its caller's line, unless the claim holds at random points: from a fresh seed, or
/// that of a failure.
#[track_caller]
pub fn assert_gradient(
    value: impl Fn(&[f64]) -> f64,
    gradient: impl Fn(&[f64]) -> Vec<f64>,
    len: usize,
) {
    let seed = seed().expect("RUNG_TEST_SEED");
    let error = Claim { value: &value, gradient: &gradient }.worst_error(len, seed);
    let caller = Location::caller();
    assert!(error < 1e-6, "{caller}: the gradient is wrong by {error:.1e} (RUNG_TEST_SEED={seed})");
}

#[test]
fn the_softmax_is_the_gradient_of_log_sum_exp() {
    for len in [1, 2, 3, 7, 64] {
        assert_gradient(log_sum_exp, softmax, len);
    }
}
// ANCHOR_END: tested

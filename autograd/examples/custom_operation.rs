//! An operation of one's own, with its gradient proven: the Huber loss, once as a composition and
//! once with a gradient by hand.
//!
//! Run it with `cargo run -p rung-autograd --example custom_operation`.

use rung_autograd::gradcheck::{Failure, Options, Report, gradcheck};
use rung_autograd::rng::Address;
use rung_autograd::{DType, Device, Result, Tensor};

/// Where the loss turns from a parabola into lines.
const DELTA: f64 = 1.0;

/// Huber (1964), element by element: x²/2 where |x| ≤ δ, δ(|x| − δ/2) beyond.
///
/// With c = clamp(x, ±δ) both are c·(x − c/2). Autograd differentiates what it is composed of, so
/// there is nothing more to do.
fn huber(x: &Tensor) -> Result<Tensor> {
    let clamped = x.clamp(-DELTA, DELTA)?;
    clamped.mul(&x.sub(&clamped.scale(0.5)?)?)
}

/// The same value with the gradient written by hand: d huber/dx = clamp(x, ±δ), so backward needs
/// one product.
///
/// `surrogate` has the wanted gradient: x times a constant. What is added is detached, so that it
/// has none, and corrects the value.
fn huber_by_hand(x: &Tensor) -> Result<Tensor> {
    let value = huber(&x.detach())?;
    let surrogate = x.mul(&x.detach().clamp(-DELTA, DELTA)?)?;
    surrogate.add(&value.sub(&surrogate.detach())?)
}

/// As above with a mistake: the derivative of the parabola everywhere.
fn huber_gone_wrong(x: &Tensor) -> Result<Tensor> {
    let value = huber(&x.detach())?;
    let surrogate = x.mul(&x.detach())?;
    surrogate.add(&value.sub(&surrogate.detach())?)
}

/// Compares gradients with differences at random points, on both sides of ±δ. Proofs need f64.
fn check(function: fn(&Tensor) -> Result<Tensor>) -> std::result::Result<Report, Failure> {
    let x = Tensor::normal(&Device::cpu(), DType::F64, Address::new(1, 0, 0), [5, 7])
        .and_then(|x| x.scale(2.0))
        .expect("a few numbers fit into memory");
    gradcheck(&[x], |x| Ok(vec![function(&x[0])?]), &Options::default())
}

fn main() {
    for (name, function) in [
        ("composition", huber as fn(&Tensor) -> Result<Tensor>),
        ("by hand", huber_by_hand),
        ("gone wrong", huber_gone_wrong),
    ] {
        match check(function) {
            Ok(report) => println!(
                "{name}: {} derivatives agree, the worst within {:.1e}",
                report.comparisons, report.worst_relative_error
            ),
            Err(failure) => println!("{name}: {failure}"),
        }
    }
}

#[test]
fn right_gradients_pass_and_a_wrong_one_is_found() {
    check(huber).unwrap();
    check(huber_by_hand).unwrap();
    let failure = check(huber_gone_wrong).unwrap_err().to_string();
    assert!(failure.contains("relative error"), "{failure}");
}

#[test]
fn both_have_the_values_of_the_definition() {
    let points = [-3.0, -1.0, -0.25, 0.0, 0.5, 1.0, 2.0];
    let x = Tensor::from_f64(&Device::cpu(), &points, [7]).unwrap();
    let expected = points
        .map(|x: f64| if x.abs() <= DELTA { 0.5 * x * x } else { DELTA * (x.abs() - 0.5 * DELTA) });
    assert_eq!(huber(&x).unwrap().to_f64().unwrap(), expected);
    assert_eq!(huber_by_hand(&x).unwrap().to_f64().unwrap(), expected);
}

use exercises::{Outcome, Part, cases};

use super::answer::agrees;

/// Σ sin(xᵢ) · xᵢ₊₁ in a ring, and its gradient.
fn ring(x: &[f64]) -> f64 {
    (0..x.len()).map(|i| x[i].sin() * x[(i + 1) % x.len()]).sum()
}

fn ring_gradient(x: &[f64]) -> Vec<f64> {
    let n = x.len();
    (0..n).map(|i| x[i].cos() * x[(i + 1) % n] + x[(i + n - 1) % n].sin()).collect()
}

/// Σ eˣ, scaled: large values, for which an absolute tolerance is too strict or too lax.
fn steep(x: &[f64]) -> f64 {
    x.iter().map(|x| 1e4 * (2.0 * x).exp()).sum()
}

fn steep_gradient(x: &[f64]) -> Vec<f64> {
    x.iter().map(|x| 2e4 * (2.0 * x).exp()).collect()
}

pub const PARTS: &[Part] = &[("right gradients and mutants", check)];

fn check() -> Outcome {
    cases(60, |random| {
        let n = random.whole(3, 8);
        let x = random.many(n, 0.5, 1.5);
        let directions: Vec<Vec<f64>> = (0..4).map(|_| random.many(n, -1.0, 1.0)).collect();
        let functions: [(fn(&[f64]) -> f64, Vec<f64>); 2] =
            [(ring, ring_gradient(&x)), (steep, steep_gradient(&x))];
        for (function, right) in functions {
            let agrees = |gradient: &[f64]| agrees(&function, &x, gradient, &directions);
            if !agrees(&right) {
                return Err(format!("a right gradient is refused: {right:?} at {x:?}"));
            }
            let scaled: Vec<f64> = right.iter().map(|g| 1.0005 * g).collect();
            let flipped: Vec<f64> = right.iter().map(|g| -g).collect();
            let mut missing = right.clone();
            missing[n - 1] = 0.0;
            let mut exchanged = right.clone();
            exchanged.swap(0, 1);
            let mut no_number = right.clone();
            no_number[0] = f64::NAN;
            let mutants = [
                ("scaled by 1.0005", scaled),
                ("with a flipped sign", flipped),
                ("without its last element", missing),
                ("with two elements exchanged", exchanged),
                ("with an element that is no number", no_number),
            ];
            for (what, mutant) in mutants {
                let differs = mutant
                    .iter()
                    .zip(&right)
                    .any(|(m, g)| m.is_nan() || (m - g).abs() > 0.1 * g.abs());
                if (differs || what.contains("1.0005")) && agrees(&mutant) {
                    return Err(format!("a gradient {what} is accepted: {mutant:?} at {x:?}"));
                }
            }
        }
        Ok(())
    })
}

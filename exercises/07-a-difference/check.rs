use std::cell::Cell;

use exercises::{Outcome, Part, cases, close, same};

use super::answer::directional;

pub const PARTS: &[Part] = &[("the derivative", check)];

fn check() -> Outcome {
    cases(30, |random| {
        let len = random.whole(1, 5);
        let (x, u) = (random.many(len, -1.0, 1.0), random.many(len, -1.0, 1.0));
        let calls = Cell::new(0);
        let sum_of_fifths = |x: &[f64]| {
            calls.set(calls.get() + 1);
            x.iter().map(|x| x.powi(5)).sum::<f64>()
        };
        let exact: f64 = x.iter().zip(&u).map(|(x, u)| 5.0 * x.powi(4) * u).sum();
        let fine = directional(&sum_of_fifths, &x, &u, 1e-2);
        close("the derivative of Σ x⁵ along u, h = 0.01", &[fine], &[exact], 1e-7)?;
        same("evaluations", &calls.get(), &4)?;

        // The error is in proportion to the fifth derivative, of which a polynomial of order 4 has
        // none.
        let quartic = |x: &[f64]| x.iter().map(|x| x.powi(4) - 2.0 * x).sum::<f64>();
        let exact: f64 = x.iter().zip(&u).map(|(x, u)| (4.0 * x.powi(3) - 2.0) * u).sum();
        let coarse = directional(&quartic, &x, &u, 0.5);
        close("Σ x⁴ − 2x along u, where no error is left at h = 0.5", &[coarse], &[exact], 1e-9)
    })
}

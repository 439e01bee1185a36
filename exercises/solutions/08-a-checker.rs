//! Exercise 08, chapter 3: A checker that must kill
//!
//! Write a gradient checker. It gets a function, the gradient that somebody claims for it, and
//! directions to try. It must accept every right gradient, and find every mutant: a factor of
//! 1.0005, a flipped sign, a missing term, two elements exchanged, one that is no number.

/// A function from numbers to one number.
pub type Function<'a> = &'a dyn Fn(&[f64]) -> f64;

/// Whether `gradient` is the gradient of `f` at `x`, judged along each of `directions`.
pub fn agrees(f: Function<'_>, x: &[f64], gradient: &[f64], directions: &[Vec<f64>]) -> bool {
    directions.iter().all(|u| {
        let at = |step: f64| {
            let moved: Vec<f64> = x.iter().zip(u).map(|(x, u)| x + step * u).collect();
            f(&moved)
        };
        let central = |h: f64| (at(h) - at(-h)) / (2.0 * h);
        let by_difference = (4.0 * central(5e-4) - central(1e-3)) / 3.0;
        let terms = gradient.iter().zip(u).map(|(g, u)| g * u);
        // The size that the sum would have without cancellation.
        let size = terms.clone().map(|term| term * term).sum::<f64>().sqrt();
        let by_gradient: f64 = terms.sum();
        (by_gradient - by_difference).abs() <= 1e-6 * size.max(by_difference.abs()).max(1e-3)
    })
}

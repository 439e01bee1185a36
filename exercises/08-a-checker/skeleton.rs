//! Exercise 08, chapter 3: A checker that must kill
//!
//! Write a gradient checker. It gets a function, the gradient that somebody claims for it, and
//! directions to try. It must accept every right gradient, and find every mutant: a factor of
//! 1.0005, a flipped sign, a missing term, two elements exchanged, one that is no number.

/// A function from numbers to one number.
pub type Function<'a> = &'a dyn Fn(&[f64]) -> f64;

/// Whether `gradient` is the gradient of `f` at `x`, judged along each of `directions`.
pub fn agrees(f: Function<'_>, x: &[f64], gradient: &[f64], directions: &[Vec<f64>]) -> bool {
    gradient.len() == x.len()
}

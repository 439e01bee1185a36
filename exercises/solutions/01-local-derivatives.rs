//! Exercise 01, chapter 1: Local derivatives
//!
//! Give the tape of chapter 1 three more operations: division, the natural logarithm and the
//! sigmoid σ(x) = 1/(1 + e⁻ˣ). Each returns its value and its local derivatives; the checker
//! compares them with differences, puts σ(ln x) on a tape and walks it backwards.

/// The value of a/b, its derivative by a, and its derivative by b.
pub fn divide(a: f64, b: f64) -> (f64, f64, f64) {
    (a / b, 1.0 / b, -a / (b * b))
}

/// The value of ln x, and its derivative.
pub fn ln(x: f64) -> (f64, f64) {
    (x.ln(), 1.0 / x)
}

/// The value of σ(x), and its derivative: a formula in which e^… appears only once.
pub fn sigmoid(x: f64) -> (f64, f64) {
    let value = 1.0 / (1.0 + (-x).exp());
    (value, value * (1.0 - value))
}

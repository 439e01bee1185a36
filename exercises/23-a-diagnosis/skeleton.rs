//! Exercise 23, chapter 15: A diagnosis
//!
//! Read the end of a training as a program would: which units are active, whether it learns by
//! heart, and whether two bounds differ.

/// What is known of a run.
pub struct Run {
    /// KL of each unit for each held-out image: [images][units], in nats.
    pub kl: Vec<Vec<f64>>,
    /// The bound of each held-out image, in nats.
    pub held_out: Vec<f64>,
}

/// How many units have a mean KL above `threshold`.
pub fn active_units(run: &Run, threshold: f64) -> usize {
    run.kl.first().map_or(0, Vec::len)
}

/// Mean of the bounds, and its standard error: the root of the unbiased variance over the number
/// of images.
pub fn mean_and_error(bounds: &[f64]) -> (f64, f64) {
    (bounds.iter().sum::<f64>() / bounds.len() as f64, 0.0)
}

/// Whether `a` is better than `b` on the same images, by more than three standard errors of the
/// mean difference.
pub fn is_better(a: &Run, b: &Run) -> bool {
    mean_and_error(&a.held_out).0 > mean_and_error(&b.held_out).0
}

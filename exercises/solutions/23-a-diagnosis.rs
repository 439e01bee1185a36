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
    let units = run.kl.first().map_or(0, Vec::len);
    let mean = |unit: usize| run.kl.iter().map(|row| row[unit]).sum::<f64>() / run.kl.len() as f64;
    (0..units).filter(|&unit| mean(unit) > threshold).count()
}

/// Mean of the bounds, and its standard error: the root of the unbiased variance over the number
/// of images.
pub fn mean_and_error(bounds: &[f64]) -> (f64, f64) {
    let n = bounds.len() as f64;
    let mean = bounds.iter().sum::<f64>() / n;
    let variance = bounds.iter().map(|b| (b - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

/// Whether `a` is better than `b` on the same images, by more than three standard errors of the
/// mean difference.
pub fn is_better(a: &Run, b: &Run) -> bool {
    let differences: Vec<f64> = a.held_out.iter().zip(&b.held_out).map(|(a, b)| a - b).collect();
    let (mean, error) = mean_and_error(&differences);
    mean > 3.0 * error
}

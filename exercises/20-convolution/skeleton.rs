//! Exercise 20, chapter 12: A convolution and its two adjoints
//!
//! out[i] = Σ_a x[i·stride + a − k/2] · w[a] (k/2 rounded down), with zeros beyond the edges of x;
//! out has ⌈len/stride⌉ elements. Write its backward: the adjoints of x and of w.

/// The forward direction, given.
pub fn convolve(x: &[f64], w: &[f64], stride: usize) -> Vec<f64> {
    let at = |place: usize| {
        place.checked_sub(w.len() / 2).and_then(|place| x.get(place)).copied().unwrap_or(0.0)
    };
    (0..x.len().div_ceil(stride))
        .map(|i| (0..w.len()).map(|a| at(i * stride + a) * w[a]).sum())
        .collect()
}

/// The adjoints of x and of w, from that of `out`.
pub fn backward(x: &[f64], w: &[f64], stride: usize, grad_out: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let (mut grad_x, mut grad_w) = (vec![0.0; x.len()], vec![0.0; w.len()]);
    (grad_x, grad_w)
}

//! Exercise 19, chapter 11: An importance-weighted bound
//!
//! From log weights of K draws for each image: the bound L_K of each image, and how many draws
//! count.

/// ln (1/K) Σ_k e^{w_k}, finite wherever the result is; −∞ if every weight is zero (w = −∞).
pub fn bound(log_weights: &[f64]) -> f64 {
    let largest = log_weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return largest;
    }
    let sum: f64 = log_weights.iter().map(|w| (w - largest).exp()).sum();
    largest + (sum / log_weights.len() as f64).ln()
}

/// (Σ w)² / Σ w², for weights that are given by their logarithms; 0 if every weight is zero.
pub fn effective_samples(log_weights: &[f64]) -> f64 {
    let largest = log_weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return 0.0;
    }
    let weights = log_weights.iter().map(|w| (w - largest).exp());
    weights.clone().sum::<f64>().powi(2) / weights.map(|w| w * w).sum::<f64>()
}

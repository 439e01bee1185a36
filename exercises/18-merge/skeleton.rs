//! Exercise 18, chapter 10: A merge
//!
//! Merge two diagonal Gaussians into the normalised product of their densities, with tensors.

use rung_autograd::Result;
use rung_autograd::ops::Gaussian;

/// The Gaussian whose density is proportional to the product of the two. All variances are
/// positive; one of 10³⁰ must leave the other Gaussian as it was.
pub fn merge(first: &Gaussian, second: &Gaussian) -> Result<Gaussian> {
    let mean = first.mean.add(&second.mean)?.scale(0.5)?;
    Ok(Gaussian { mean, variance: first.variance.add(&second.variance)?.scale(0.5)? })
}

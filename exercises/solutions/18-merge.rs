//! Exercise 18, chapter 10: A merge
//!
//! Merge two diagonal Gaussians into the normalised product of their densities, with tensors.

use rung_autograd::Result;
use rung_autograd::ops::Gaussian;

/// The Gaussian whose density is proportional to the product of the two. All variances are
/// positive; one of 10³⁰ must leave the other Gaussian as it was.
pub fn merge(first: &Gaussian, second: &Gaussian) -> Result<Gaussian> {
    let (p_1, p_2) = (first.variance.reciprocal()?, second.variance.reciprocal()?);
    let variance = p_1.add(&p_2)?.reciprocal()?;
    let weighted = first.mean.mul(&p_1)?.add(&second.mean.mul(&p_2)?)?;
    Ok(Gaussian { mean: weighted.mul(&variance)?, variance })
}

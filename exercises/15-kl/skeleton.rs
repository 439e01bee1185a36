//! Exercise 15, chapter 9: Two Gaussians apart
//!
//! Write KL(q ‖ p) of two diagonal Gaussians in closed form, summed over the units of each row,
//! with operations of the library; the gradient then comes for nothing. The chapter has the KL to
//! N(0, 1); for any p, take the expectation of ln q − ln p under q.

use rung_autograd::ops::Gaussian;
use rung_autograd::{Result, Tensor};

/// KL(q ‖ p) of each row, in nats: Σ over the units of ∫ q ln(q/p). Means and variances are
/// [batch, units]; the result is [batch].
///
/// What there is: `q.mean` and `q.variance`, which are tensors; `add`, `sub`, `mul`, `div`,
/// `square`, `log`, `scale(factor)`, `shift(offset)`, and `sum(axis)`, which drops the axis.
pub fn kl(q: &Gaussian, p: &Gaussian) -> Result<Tensor> {
    q.mean.sub(&p.mean)?.square()?.sum(1)
}

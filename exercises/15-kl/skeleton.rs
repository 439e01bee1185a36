//! Exercise 15, chapter 9: Two Gaussians apart
//!
//! Write KL(q ‖ p) of two diagonal Gaussians in closed form, summed over the units of each row,
//! with operations of the library; the gradient then comes for nothing.

use rung_autograd::ops::Gaussian;
use rung_autograd::{Result, Tensor};

/// KL(q ‖ p) of each row, in nats: Σ over the units of ∫ q ln(q/p). Means and variances are
/// [batch, units]; the result is [batch].
pub fn kl(q: &Gaussian, p: &Gaussian) -> Result<Tensor> {
    q.mean.sub(&p.mean)?.square()?.sum(1)
}

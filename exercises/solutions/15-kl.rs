//! Exercise 15, chapter 9: Two Gaussians apart
//!
//! Write KL(q ‖ p) of two diagonal Gaussians in closed form, summed over the units of each row,
//! with operations of the library; the gradient then comes for nothing.

use rung_autograd::ops::Gaussian;
use rung_autograd::{Result, Tensor};

/// KL(q ‖ p) of each row, in nats: Σ over the units of ∫ q ln(q/p). Means and variances are
/// [batch, units]; the result is [batch].
pub fn kl(q: &Gaussian, p: &Gaussian) -> Result<Tensor> {
    // ½ [ln(v_p/v_q) + (v_q + (m_q − m_p)²)/v_p − 1]
    let spread = q.variance.add(&q.mean.sub(&p.mean)?.square()?)?.div(&p.variance)?;
    let logarithms = p.variance.log()?.sub(&q.variance.log()?)?;
    spread.add(&logarithms)?.shift(-1.0)?.scale(0.5)?.sum(1)
}

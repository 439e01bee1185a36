//! Exercise 17, chapter 9: The bound
//!
//! Put the evidence lower bound (ELBO) together for a batch: reconstruction less KL, one number
//! for each image.

use rung_autograd::ops::Gaussian;
use rung_autograd::{Result, Tensor};

/// ELBO of each row, in nats: ln p(x|z) − KL(q(z|x) ‖ N(0, 1)).
///
/// `x` [batch, pixels] holds zeros and ones, `logits` those of the pixels' probabilities under
/// p(x|z), `q` is q(z|x). Write ln p(x|z) with elementwise functions and a sum
/// (`bernoulli_log_prob` is what it is compared with); for the KL use exercise 15's formula with
/// mean 0 and variance 1. It must be right for logits of ±1000 too.
///
/// What there is: that of exercise 15, and `softplus`.
pub fn elbo(x: &Tensor, logits: &Tensor, q: &Gaussian) -> Result<Tensor> {
    x.mul(&logits.sigmoid()?.log()?)?.sum(1)
}

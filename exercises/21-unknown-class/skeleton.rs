//! Exercise 21, chapter 13: A class that is not known
//!
//! For images without a label, the bound of a model with classes sums over them:
//! U(x) = Σ_y q(y|x) [L(x, y) − ln q(y|x)].

use rung_autograd::{Result, Tensor};

/// U of each row. `logits` [batch, classes] are those of q(y|x); `bounds` [batch, classes] holds
/// L(x, y). The result is [batch]; it must be finite for logits of ±1000.
pub fn unlabelled(logits: &Tensor, bounds: &Tensor) -> Result<Tensor> {
    bounds.mean(1)
}

/// The logits of the best q(y|x) for given bounds, the one at which U is ln Σ_y e^{L(x, y)}.
pub fn best_logits(bounds: &Tensor) -> Result<Tensor> {
    bounds.scale(0.0)
}

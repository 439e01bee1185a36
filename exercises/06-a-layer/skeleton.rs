//! Exercise 06, chapter 2: A layer's three gradients
//!
//! A layer computes out = x · W + b, with x [batch, inputs], W [inputs, outputs], b [outputs].
//! Write its backward with tensors: matrix products and sums, no loops over elements.

use rung_autograd::{Result, Tensor};

/// The adjoints of x, W and b, from that of `out` [batch, outputs].
///
/// What there is: `a.matmul(&b)` is a · b, `a.matmul_tn(&b)` is aᵀ · b, `a.matmul_nt(&b)` is
/// a · bᵀ, and `a.sum(axis)` sums over an axis and drops it.
pub fn backward(x: &Tensor, weight: &Tensor, grad_out: &Tensor) -> Result<[Tensor; 3]> {
    Ok([x.clone(), weight.clone(), grad_out.clone()])
}

//! Exercise 09, chapter 3: A gradient by hand
//!
//! log cosh x is a loss like x²/2 near zero and like |x| far away. Write its value so that it is
//! finite for every x, and give it a gradient by hand, tanh x, without recording how the value was
//! computed. The project's own checker proves the gradient.

use rung_autograd::{Result, Tensor};

/// log cosh x, element by element, with the gradient tanh x.
///
/// What there is: `abs`, `softplus` (ln(1 + eˣ)), `tanh`, `mul`, `add`, `sub`, `scale(factor)`,
/// `shift(offset)`, and `detach()`: the same values, not tracked.
pub fn log_cosh(x: &Tensor) -> Result<Tensor> {
    x.square()?.scale(0.5)
}

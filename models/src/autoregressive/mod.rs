//! Autoregressive observations: each pixel is predicted from the latents and from the pixels before
//! it (specification C, section 8.2).
//!
//! A shallow network of masked convolutions looks at a small neighbourhood of pixels that come
//! before the current one in raster order, so that fine texture is left to it and the latents keep
//! what is global. With the features F of the top-down pass at full resolution, the parameters
//! `base` that the plain model would have, x̂ = 2x − 1, φ the ELU and n layers:
//!
//! `g_1 = φ(A_k ∗ x̂ + W_1 F + b_1)`, `g_l = φ(g_(l−1) + B_3 ∗ g_(l−1) + W_l F + b_l)`,
//! `parameters = base + W g_n`
//!
//! A_k sees the positions before the current one, B_3 the current one too. The likelihood of an
//! image is one parallel pass; a sample is drawn pixel by pixel.
//!
//! `masked.rs` has the convolution, `head.rs` the network with its parameters, `observation.rs`
//! p(x|z) of given latents and `sampler.rs` its samples. A family uses it by giving
//! [`AutoregressiveHead::forward`] two maps at full resolution: its features and the parameters
//! that it would have without.

mod head;
mod masked;
mod observation;
mod sampler;

pub use head::{AutoregressiveConfig, AutoregressiveHead};
pub use observation::Autoregressive;

use rung_autograd::ops::Activation;

/// φ.
const ELU: Activation = Activation::Elu(1.0);

//! Layers: the parameters of a piece of network, and what it computes in a [`Pass`](crate::Pass).
//!
//! A layer is made by a [`Builder`], which gives each parameter its path; its `forward` reads like
//! the equation. Start with `dense.rs`: a dense layer is linear, then batch normalisation if it has
//! one, then the activation.

mod affine;
mod builder;
mod convolution;
mod dense;
mod gaussian_head;
mod gru;
mod linear;
mod mlp;
mod nonlinearity;
mod product;
mod summed;
mod weight_normed;

pub use affine::NormConfig;
pub use builder::Builder;
pub use convolution::{Convolution, ConvolutionConfig};
pub use dense::{Dense, DenseConfig};
pub use gaussian_head::{GaussianHead, GaussianHeadConfig};
pub use gru::{Gru, GruConfig, GruInput, GruReset};
pub use linear::Linear;
pub use mlp::Mlp;
pub use nonlinearity::Nonlinearity;
pub use product::Product;
pub use summed::SummedDense;
pub use weight_normed::WeightNormed;

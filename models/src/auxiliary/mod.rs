//! Deep generative models with an auxiliary variable: ADGM and SDGM (Maaløe et al. 2016), and M2
//! (Kingma et al. 2014), which they are compared with.
//!
//! The inference model is q(a|x) q(y|a, x) q(z|a, y, x) for both: with a integrated out, q(z|x) is
//! a mixture, and the classifier q(y|x) too. The generative models differ in where a stands:
//!
//! | family | generative model |
//! |---|---|
//! | ADGM | p(y) p(z) p(x\|y, z) p(a\|x, y, z) |
//! | SDGM | p(y) p(z) p(a\|y, z) p(x\|a, y, z) |
//! | M2 | p(y) p(z) p(x\|y, z), without a |
//!
//! with p(y) uniform and p(z) = N(0, I). `config.rs` describes a model as data, `network.rs` is
//! what its five networks have in common, `model.rs` puts them together, `posterior.rs` samples
//! the latents of images, and `whole_data.rs` finds the statistics of batch normalisation over a
//! whole data set. The objective is that of
//! [`semi_supervised`](crate::semi_supervised), and [`bound`](crate::objective::bound) without
//! labels.

mod config;
mod model;
mod network;
mod posterior;
mod whole_data;

pub use config::{AuxiliaryConfig, AuxiliaryFamily};
pub use model::AuxiliaryModel;

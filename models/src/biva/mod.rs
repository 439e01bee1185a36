//! Stage-wise models of gated blocks: the VAE, the LVAE, the LVAE with skip connections ("LVAE+") and BIVA as one family.
//!
//! BIVA (bidirectional-inference variational autoencoder; Maaløe, Fraccaro, Liévin and Winther 2019) has two latent groups in every
//! stage but the top: one sampled on the way up, one on the way down. A stage is a list of gated blocks (`block.rs`), the same in
//! reverse on the way down. `config.rs` describes a model as data, `inference.rs` is the way up, `generative.rs` the way down, where
//! prior and top-down posterior stand side by side, `head.rs` is between features and latents, `model.rs` puts the parts together.

mod block;
mod config;
mod generative;
mod head;
mod inference;
mod model;
#[cfg(test)]
mod tests;

pub use config::{BivaConfig, BlockConfig, LatentConfig, LogVariance, MapShape, Paths, StageConfig, StageObservation};
pub use model::Biva;

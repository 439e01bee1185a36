//! Hierarchical convolutional VAEs of gated blocks: the VAE, the LVAE, the LVAE with skip
//! connections ("LVAE+") and BIVA as one family.
//!
//! BIVA (bidirectional-inference variational autoencoder; Maaløe, Fraccaro, Liévin and Winther
//! 2019) has two latent groups in every stage but the top: one sampled in the bottom-up pass, one
//! in the top-down pass. A stage (`stage.rs`) is a list of gated blocks (`block.rs`), the same in
//! reverse in the top-down pass. `config.rs` describes a model as data, `inference.rs` is the
//! bottom-up pass, `generative.rs` the top-down pass, where prior and top-down posterior stand side
//! by side, `head.rs` is between features and latents, `model.rs` puts the parts together.

mod block;
mod config;
mod generative;
mod head;
mod inference;
mod model;
mod stage;
#[cfg(test)]
mod tests;

pub use config::{BivaConfig, LogVariance, Paths, StageObservation};
pub use model::Biva;
pub use stage::{BlockConfig, LatentConfig, StageConfig};

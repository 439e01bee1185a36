//! The hierarchies of Gaussian latent layers: the VAE, the probabilistic ladder network and the
//! Ladder VAE as one family.
//!
//! All share the generative model p(z_L) Π p(z_i | z_{i+1}) p(x | z_1) (`generative.rs`) and differ
//! in the order and the wiring of inference (`inference.rs`). Latent layers are numbered as in the
//! papers: z_1 is nearest to the data, z_L is the top; in vectors, z_i has index i − 1. `config.rs`
//! describes a model as data, `model.rs` puts the parts together.

mod config;
mod generative;
mod inference;
mod model;
mod observation;
mod whole_data;

pub use config::{GenerativeWidths, HierarchyConfig, Inference, Observation};
pub use model::Hierarchy;

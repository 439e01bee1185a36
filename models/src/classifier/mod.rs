//! Classifiers of images without latent variables: what learning from few labels is compared with.
//!
//! `config.rs` describes a network as data: convolutions, then dense layers, either of which may be
//! absent. `model.rs` is the network and log p(y|x); `objective.rs` the cross-entropy that it
//! learns by; `whole_data.rs` finds the statistics of batch normalisation over a whole data set.

mod config;
mod model;
mod objective;
mod whole_data;

pub use config::{ClassifierConfig, ClassifierFamily, ConvolutionBlock};
pub use model::ImageClassifier;
pub use objective::{Classification, ClassificationConfig, classification};

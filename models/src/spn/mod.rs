//! Spatial transformer networks that read sequences of digits (Jaderberg et al. 2015; Sønderby et
//! al. 2015), and the convolutional network that they are compared with.
//!
//! A localisation network looks at the canvas and gives affine transforms θ; each makes a small
//! glimpse of the canvas (`Tensor::spatial_transform`), and a classifier sees the glimpses alone.
//! The recurrent network gives one θ after the other, for one digit each; the feed-forward network
//! gives one θ for all of them.
//!
//! `config.rs` describes the networks as data, `stack.rs` is what localisation and classifier have
//! in common, `localisation.rs` finds θ, `model.rs` is the network as a whole. What they learn by
//! is the [`classification`](crate::classifier::classification) of every position.

mod config;
mod localisation;
mod model;
mod stack;

pub use config::{OutsideRule, SpnConfig, SpnFamily};
pub use model::{Glimpses, Look, Spn};

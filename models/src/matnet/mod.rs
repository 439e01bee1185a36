//! Matryoshka networks (MatNet; Bachman 2016): deep hierarchies of latents in a ladder whose
//! generative state is deterministic given the samples and passes through every layer, so that each
//! latent layer has a deterministic path to the data.
//!
//! Three chains of states: the **bottom-up** states h^b of the data, the **top-down** states h^t of
//! the generative model, and the **merge** states h^m, which run beside the top-down ones, read all
//! three and give the posterior of each layer. With L latent layers, z_1 nearest to the data:
//!
//! p(x, z) = p(z_L) Π_{i<L} p(z_i | h^t_{i+1}) p(x | h^t_1),  h^t_i = TD_i(h^t_{i+1}, z_i)
//! q(z|x) = q(z_L | h^b_L) Π_{i<L} q(z_i | h^t_{i+1}, h^b_i, h^m_{i+1})
//!
//! A model that fills in missing pixels, p(x_missing | x_observed), has two pairs of bottom-up and
//! merge chains: one sees the observed pixels and gives p of every layer, the other sees all of the
//! image and gives q. The pixels that are observed are no random variables: as their logits are
//! what they are, log p(x|z) is that of the missing ones, and a sample is the completed image.
//!
//! Every state is a feature map; the fully connected models are those whose maps have one position.
//! `config.rs` describes a model as data, `transition.rs` is the step that all three chains make,
//! `generative.rs` the top-down chain with the priors, `inference.rs` the other two with the
//! posteriors, `missing.rs` draws masks, `model.rs` puts all together:
//! start there.

mod config;
mod generative;
mod inference;
mod missing;
mod model;
mod transition;

pub use config::{LayerPrior, MatNetBlock, MatNetConfig, MatNetFamily, Module};
pub use missing::Missing;
pub use model::MatNet;

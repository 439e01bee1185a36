//! Deep latent-variable models: layers, distributions, hierarchies, objectives.
//!
//! # The problem
//! A variational autoencoder explains data x by latent variables z: a generative model p(z) p(x|z),
//! and an inference model q(z|x) that approximates its posterior. Both are trained together by
//! raising a lower bound of log p(x). With several layers of latents, z_1 nearest to the data and
//! z_L on top, a plain model leaves the upper layers unused; the ladder networks here are ways to
//! make them work.
//!
//! # The idea
//! An architecture is data ([`HierarchyConfig`]); [`Hierarchy`] turns it into networks whose
//! parameters lie in a store; a [`Pass`] says where parameters, batch-norm statistics and noise
//! come from; [`objective`] has the bounds, every term by name and layer.
//!
//! ```
//! use rung_autograd::{DType, Device, ParameterList, Tape, Tensor, rng::Address};
//! use rung_models::hierarchy::Inference;
//! use rung_models::objective::{ObjectiveConfig, bound};
//! use rung_models::{Hierarchy, HierarchyConfig, Mode, Pass, StatisticsList};
//!
//! let cpu = Device::cpu();
//! let (mut parameters, mut statistics) = (ParameterList::new(), StatisticsList::default());
//! let config = HierarchyConfig::paper(784, 5, Inference::PROBABILISTIC_LADDER);
//! let model = Hierarchy::new(config, &mut parameters, &mut statistics)?;
//! let mut store = parameters.build(&cpu, DType::F32, Address::new(1, 0, 0))?;
//! assert_eq!(store.element_count(), 1_850_944);
//!
//! let (tape, x) = (Tape::new(), Tensor::zeros(&cpu, DType::F32, [8, 784])?);
//! let mut pass = Pass::new(&store, Some(&tape), Mode::BatchOnly, 1, 0);
//! let bound = bound(&model, &mut pass, &x, &ObjectiveConfig::default())?;
//! tape.backward_into(&[&bound.loss], &mut store)?;        // the store now holds the gradient
//! assert_eq!(bound.kl.len(), 5);
//! # Ok::<(), rung_models::Error>(())
//! ```
//!
//! # The map
//! | file | what |
//! |---|---|
//! | `latent.rs`, `observation.rs` | what every model has in common: groups of latents, the posterior and samples of it, the likelihood |
//! | `hierarchy/inference.rs` | the two orders of inference: start here |
//! | `hierarchy/generative.rs`, `hierarchy/observation.rs` | p(z_i \| z_{i+1}) and p(x \| z_1) |
//! | `hierarchy/config.rs`, `hierarchy/model.rs` | the architecture as data, and as a whole |
//! | `biva/` | BIVA and its relatives: hierarchical convolutional VAEs of gated blocks |
//! | `autoregressive/` | p(x\|z) in which each pixel is predicted from those before it, for any family with maps |
//! | `matnet/` | MatNet: a deterministic path from every latent layer to the data |
//! | `auxiliary/` | ADGM, SDGM and M2: an auxiliary variable beside z, for learning from few labels |
//! | `objective.rs` | evidence lower bound (ELBO), importance-weighted bound, warm-up, free bits |
//! | `classifier/` | classifiers of images, convolutional or fully connected, and their objective |
//! | `spn/` | spatial transformer networks that read sequences of digits |
//! | `mixture_prior.rs` | a mixture of Gaussians at the top: classes without labels |
//! | `labelled.rs`, `semi_supervised.rs` | latent-variable models with classes, and what they learn from few labels by |
//! | `weight_prior.rs` | a prior of the weights |
//! | `layers/`, `distributions.rs` | what they are made of |
//! | `share.rs` | the rows of a batch that are one rank's |
//! | `pass.rs`, `statistics.rs`, `initialise.rs` | one pass through a model; batch-norm statistics; data-dependent initialisation |
//! | `steps.rs` | the generative model as a list of steps with plain numbers, for what runs it elsewhere |
//! | `hierarchy/whole_data.rs` | batch-norm statistics over a whole data set, in chunks |
//!
//! Chapters 9 to 14 of the reader's book, `docs/book/src/`, explain the families from the bound up.
//!
//! # What was left out
//! Files, clocks, terminals and data sets: those are the program's.

pub mod autoregressive;
pub mod auxiliary;
pub mod biva;
pub mod classifier;
pub mod distributions;
mod fantasy;
pub mod hierarchy;
mod initialise;
mod labelled;
mod latent;
pub mod layers;
mod map_shape;
pub mod matnet;
mod mixture_prior;
pub mod objective;
mod observation;
mod pass;
pub mod rules;
pub mod semi_supervised;
mod share;
pub mod spn;
mod statistics;
mod steps;
mod weight_prior;

pub use auxiliary::{AuxiliaryConfig, AuxiliaryModel};
pub use biva::{Biva, BivaConfig};
pub use classifier::{ClassifierConfig, ImageClassifier};
pub use fantasy::fantasy_loss;
pub use hierarchy::{Hierarchy, HierarchyConfig};
pub use initialise::initialise;
pub use labelled::{ClassTerms, Classifier, Labelled};
pub use latent::{
    Clusters, Group, Imputer, Latent, LatentModel, LatentSource, Posterior, Prior, Sampled,
    SampledClass, WholeData,
};
pub use map_shape::MapShape;
pub use matnet::{MatNet, MatNetConfig};
pub use mixture_prior::{GaussianMixture, MixtureKl};
pub use observation::{ObservationParameters, PartlyObserved, PixelObservation};
pub use pass::{InitialValue, Initialisation, Mode, Pass};
pub use rung_autograd::ops::Activation;
pub use rung_autograd::{Error, Result};
pub use share::{BatchNormStatistics, BatchShare};
pub use spn::{Spn, SpnConfig};
pub use statistics::{Statistics, StatisticsId, StatisticsList};
pub use steps::{
    Choice, Deviation, GenerativeSteps, Operation, Recorded, Step, StepPixels, StepWeights, Value,
};
pub use weight_prior::weight_energy;

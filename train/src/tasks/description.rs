//! What the rest of the program may ask a family.

use std::fmt::Debug;

use rung_autograd::ParameterList;
use rung_datasets::ImageShape;
use rung_models::objective::ObjectiveConfig;
use rung_models::rules::BrokenRule;
use rung_models::{LatentModel, MapShape, StatisticsList};

use super::LabelSettings;
use crate::error::Result;

/// What the pixels of an image must be for a model's observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pixels {
    /// 0 or 1, each a Bernoulli variable.
    Binary,
    /// Real numbers with a density.
    Real,
    /// The 256 levels of a byte.
    Levels,
}

/// A family's description, as the program sees it.
pub trait Description: Debug {
    /// The family's name in the literature.
    fn name(&self) -> &'static str;

    /// Checks every rule that the description alone can break.
    ///
    /// # Errors
    /// The first rule that is broken, with its dotted key and value.
    fn check(&self) -> Result<(), BrokenRule>;

    /// What the pixels must be, with the name of the observation.
    fn pixels(&self) -> (Pixels, &'static str);

    /// Describes pixels by the 256 levels of a byte from now on, if the family can; says whether it can.
    fn describe_levels(&mut self) -> bool {
        false
    }

    /// Adds the parameters and statistics of a model for images of this shape to the lists.
    ///
    /// # Errors
    /// If the description makes no model of such images.
    fn build(
        &self,
        shape: ImageShape,
        parameters: &mut ParameterList,
        statistics: &mut StatisticsList,
    ) -> Result<Box<dyn LatentModel>>;

    /// The objective in an epoch, counted from 1.
    fn objective(&self, epoch: u64) -> ObjectiveConfig;

    /// Epochs of warm-up.
    fn warmup_epochs(&self) -> u64;

    /// Sets the epochs of warm-up, where there is one.
    fn set_warmup_epochs(&mut self, epochs: u64);

    /// What is learned from labelled images, if the family can.
    fn labels(&self) -> Option<&LabelSettings> {
        None
    }

    /// The weight of the newest batch in the running statistics of batch normalisation; `None` without batch normalisation.
    fn batch_norm_momentum(&self) -> Option<f64> {
        None
    }

    /// The deviation that layers have after data-dependent initialisation; `None` for families without it.
    fn initial_sigma(&self) -> Option<f64> {
        None
    }

    /// Whether blocks can be recomputed in the backward pass.
    fn has_checkpointing(&self) -> bool {
        false
    }

    /// Whether each layer can be drawn from the standard normal, without those above it.
    fn draws_layers_alone(&self) -> bool;

    /// What this description has not tried yet of what usually keeps layers from collapsing, the likeliest first.
    fn remedies(&self) -> Vec<&'static str>;

    /// The networks of a stochastic layer, counted from 1, in a few words.
    fn layer_networks(&self, layer: usize) -> String;

    /// What [`Description::layer_networks`] lists.
    fn networks_heading(&self) -> &'static str;

    /// Numbers that the largest feature map of an image of this shape has.
    fn largest_map(&self, shape: ImageShape) -> usize;
}

/// The shape of an image as the models know it.
pub(super) const fn map_shape(shape: ImageShape) -> MapShape {
    MapShape { height: shape.height, width: shape.width, channels: shape.channels }
}

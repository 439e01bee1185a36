//! What the rest of the program may ask a family.

use std::fmt::Debug;

use rung_autograd::ParameterList;
use rung_datasets::ImageShape;
use rung_kernels::backend::Convolution;
use rung_models::rules::BrokenRule;
use rung_models::{MapShape, StatisticsList};

use super::{LabelSettings, Task};
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
    /// Whatever they are: nothing describes them.
    Any,
}

/// A quantity over the epochs, as the report draws it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Curve {
    /// What it is, in words.
    pub title: &'static str,
    /// Its key in metrics, without what it was measured on.
    pub key: &'static str,
    /// Its unit; a share is recorded from 0 to 1 and drawn in `%`.
    pub unit: &'static str,
}

impl Curve {
    /// A recorded value in the unit that it is drawn in.
    pub fn drawn(&self, value: f64) -> f64 {
        if self.unit == "%" { 100.0 * value } else { value }
    }
}

/// What to do where images have no size that a model with strides can be built for.
pub(super) const SHRINKING: &str = "bring pictures of your own to a size that every stride \
divides, such as --set data.image_size=32; or change the strides";

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

    /// A key of `[model]` that makes sense for black and white pixels alone, if it is set.
    fn needs_black_and_white(&self) -> Option<&'static str> {
        None
    }

    /// Describes pixels by the 256 levels of a byte from now on, if the family can; says whether it
    /// can.
    fn describe_levels(&mut self) -> bool {
        false
    }

    /// The task of training a model for images of this shape, whose parameters and statistics are
    /// added to the lists.
    ///
    /// # Errors
    /// If the description makes no model of such images.
    fn task(
        &self,
        shape: ImageShape,
        parameters: &mut ParameterList,
        statistics: &mut StatisticsList,
    ) -> Result<Box<dyn Task>>;

    /// Rows that a step computes for each image of a batch.
    fn rows_per_image(&self) -> usize {
        1
    }

    /// Epochs of warm-up.
    fn warmup_epochs(&self) -> u64;

    /// The keys of `[objective]` that count epochs, which change in proportion where a training is
    /// given another length.
    fn epoch_keys(&mut self) -> Vec<(&'static str, &mut u64)>;

    /// The first epoch whose steps take as much memory as any.
    fn largest_epoch(&self) -> u64 {
        1
    }

    /// Takes the number of classes from the data set, where the model has classes; gives the number
    /// that was configured, if it was another.
    fn settle_classes(&mut self, classes: usize) -> Option<usize> {
        let _ = classes;
        None
    }

    /// Labels of an image that the model learns from: more than one where it reads a sequence.
    fn positions(&self) -> usize {
        1
    }

    /// Takes the number of labels of an image from the data set, where the model has as many
    /// positions as that.
    fn settle_positions(&mut self, positions: usize) {
        let _ = positions;
    }

    /// The quantities that the report draws over the epochs; families with a bound have charts of
    /// their own.
    fn curves(&self) -> Vec<Curve> {
        Vec::new()
    }

    /// A number that models of the family are compared over, and what it is in a few words: the
    /// factor of down-sampling.
    fn swept(&self) -> Option<(&'static str, f64)> {
        None
    }

    /// What is learned from labelled images, if the family can.
    fn labels(&self) -> Option<&LabelSettings> {
        None
    }

    /// The weight of the newest batch in the running statistics of batch normalisation; `None`
    /// without batch normalisation.
    fn batch_norm_momentum(&self) -> Option<f64> {
        None
    }

    /// The deviation that layers have after data-dependent initialisation; `None` for families
    /// without it.
    fn initial_sigma(&self) -> Option<f64> {
        None
    }

    /// Whether blocks can be recomputed in the backward pass.
    fn has_checkpointing(&self) -> bool {
        false
    }

    /// Whether each layer can be drawn from the standard normal, without those above it.
    fn draws_layers_alone(&self) -> bool;

    /// Whether the mean image of p(x|z) has a closed form; pictures show draws where it has none.
    fn has_mean_image(&self) -> bool {
        true
    }

    /// What this description has not tried yet of what usually keeps layers from collapsing, the
    /// likeliest first.
    fn remedies(&self) -> Vec<&'static str>;

    /// The networks of a stochastic layer, counted from 1, in a few words.
    fn layer_networks(&self, layer: usize) -> String;

    /// What [`Description::layer_networks`] lists.
    fn networks_heading(&self) -> &'static str;

    /// The convolutions of one bottom-up pass over so many images of this shape, for benchmarks;
    /// empty for a model whose work is not in convolutions.
    fn convolutions(&self, shape: ImageShape, rows: usize) -> Vec<Convolution> {
        let _ = (shape, rows);
        Vec::new()
    }

    /// Numbers that the largest feature map of an image of this shape has.
    fn largest_map(&self, shape: ImageShape) -> usize;
}

/// The shape of an image as the models know it.
pub(super) const fn map_shape(shape: ImageShape) -> MapShape {
    MapShape { height: shape.height, width: shape.width, channels: shape.channels }
}

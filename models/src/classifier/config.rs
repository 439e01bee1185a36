//! The architecture of a classifier as data: `[model]` of a configuration file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::layers::{Nonlinearity, NormConfig};
use crate::map_shape::MapShape;
use crate::rules::{BrokenRule, LARGEST_KERNEL, LARGEST_LAYER, dropout_rate, positive, rule};

/// More layers of a kind than any classifier here needs.
const MOST_LAYERS: usize = 64;

/// The family's name in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClassifierFamily {
    /// Classifiers of images.
    #[default]
    Classifier,
}

/// One convolution, with the nonlinearity and the batch normalisation of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConvolutionBlock {
    /// Channels of its output.
    pub channels: usize,
    /// Side of its square kernel.
    pub kernel: usize,
    /// By how much it shrinks the height and the width of a map.
    #[serde(default = "one")]
    pub stride: usize,
}

const fn one() -> usize {
    1
}

/// A classifier of images: convolutions, then dense layers, then a softmax over the classes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClassifierConfig {
    /// Which family this describes.
    pub family: ClassifierFamily,
    /// Width of each dense layer between the convolutions, or the pixels, and the classes; the
    /// first reads all that comes before it. May be empty.
    pub hidden_sizes: Vec<usize>,
    /// The nonlinearity of every layer but the last.
    pub nonlinearity: Nonlinearity,
    /// Slope of `leaky_relu` below zero.
    pub leaky_slope: f64,
    /// Batch normalisation of every layer but the last: of a convolution, each channel over the
    /// examples and positions.
    pub batch_norm: bool,
    /// Added to the variance under the square root of batch normalisation.
    pub batch_norm_epsilon: f64,
    /// Weight of the newest batch in the running statistics.
    pub batch_norm_momentum: f64,
    /// Dropout rate of what the last layer reads.
    pub dropout: f64,
    /// The convolutions, nearest to the pixels first; none for a fully connected network.
    pub convolutions: Vec<ConvolutionBlock>,
    /// Shape of an example, in memory planar: [batch, channel · height · width]. It is the data's,
    /// so that no file names it.
    #[serde(skip)]
    pub image: MapShape,
    /// How many classes there are. They are the data's.
    #[serde(skip)]
    pub classes: usize,
}

impl Default for ClassifierConfig {
    /// Three convolutions of stride 2, then one dense layer: on MNIST, below 1 % error in minutes.
    fn default() -> Self {
        let block = |channels, kernel| ConvolutionBlock { channels, kernel, stride: 2 };
        Self {
            hidden_sizes: vec![256],
            dropout: 0.4,
            convolutions: vec![block(32, 5), block(64, 5), block(128, 3)],
            ..Self::fully_connected(Vec::new())
        }
    }
}

impl ClassifierConfig {
    /// A network of dense layers alone, of these widths.
    #[must_use]
    pub const fn fully_connected(hidden_sizes: Vec<usize>) -> Self {
        Self {
            family: ClassifierFamily::Classifier,
            hidden_sizes,
            nonlinearity: Nonlinearity::LeakyRelu,
            leaky_slope: 0.1,
            batch_norm: true,
            batch_norm_epsilon: 1e-5,
            batch_norm_momentum: 0.1,
            dropout: 0.0,
            convolutions: Vec::new(),
            image: MapShape { height: 0, width: 0, channels: 0 },
            classes: 0,
        }
    }

    /// The same architecture for examples of this shape, of so many classes.
    #[must_use]
    pub fn for_images(self, image: MapShape, classes: usize) -> Self {
        Self { image, classes, ..self }
    }

    /// The kind of network, in words.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match (self.convolutions.is_empty(), self.hidden_sizes.is_empty()) {
            (false, _) => "convolutional classifier",
            (true, false) => "fully connected classifier",
            (true, true) => "softmax regression",
        }
    }

    /// Batch normalisation of every layer but the last.
    #[must_use]
    pub fn norm(&self) -> Option<NormConfig> {
        self.batch_norm.then_some(NormConfig { epsilon: self.batch_norm_epsilon })
    }

    /// The map that the convolutions make of an image; the image itself where there are none.
    #[must_use]
    pub fn features(&self) -> MapShape {
        let convolve = |map: MapShape, block: &ConvolutionBlock| {
            map.shrunk(block.stride).with_channels(block.channels)
        };
        self.convolutions.iter().fold(self.image, convolve)
    }

    /// Refuses what makes no network, whatever the data.
    ///
    /// # Errors
    /// The first rule that is broken, with key and value.
    pub fn check(&self) -> Result<(), BrokenRule> {
        let counted = |key: &str, layers: usize| {
            rule(
                layers <= MOST_LAYERS,
                key,
                format!("{layers} layers"),
                format!("must be at most {MOST_LAYERS}"),
            )
        };
        counted("convolutions", self.convolutions.len())?;
        counted("hidden_sizes", self.hidden_sizes.len())?;
        for (index, block) in self.convolutions.iter().enumerate() {
            block.check(index + 1)?;
        }
        let hidden = &self.hidden_sizes;
        let sizes = hidden.iter().all(|size| (1..=LARGEST_LAYER).contains(size));
        rule(sizes, "hidden_sizes", format!("{hidden:?}"), "each layer needs 1 to 65536 units")?;
        let slope = self.leaky_slope;
        rule((0.0..1.0).contains(&slope), "leaky_slope", slope, "must be at least 0 and below 1")?;
        positive("batch_norm_epsilon", self.batch_norm_epsilon)?;
        let momentum = self.batch_norm_momentum;
        rule(
            momentum > 0.0 && momentum <= 1.0,
            "batch_norm_momentum",
            momentum,
            "must be above 0 and at most 1",
        )?;
        dropout_rate("dropout", self.dropout)
    }

    /// Refuses data that the network can't be for.
    ///
    /// # Errors
    /// The first rule that is broken, with key and value.
    pub fn check_data(&self) -> Result<(), BrokenRule> {
        let MapShape { height, width, channels } = self.image;
        let shape = format!("{channels}x{height}x{width}");
        rule(self.image.units() > 0, "image", shape, "an image must have at least one value")?;
        let classes = self.classes;
        rule((2..=LARGEST_LAYER).contains(&classes), "classes", classes, "must be 2 to 65536")
    }
}

impl ConvolutionBlock {
    /// Refuses sizes that make no convolution; `number` is its place, from 1.
    fn check(&self, number: usize) -> Result<(), BrokenRule> {
        let sizes = [
            ("channels", self.channels, LARGEST_LAYER),
            ("kernel", self.kernel, LARGEST_KERNEL),
            ("stride", self.stride, LARGEST_KERNEL),
        ];
        sizes.into_iter().try_for_each(|(name, size, most)| {
            let key = format!("convolutions[{number}].{name}");
            rule((1..=most).contains(&size), key, size, format!("must be 1 to {most}"))
        })
    }
}

//! A classifier as a whole: from images to log p(y|x).

use rung_autograd::ops::Activation;
use rung_autograd::{Initialiser, Padding, ParameterList, Result, Shape, Tensor};

use super::config::ClassifierConfig;
use crate::layers::{Builder, Convolution, ConvolutionConfig, Dense, DenseConfig};
use crate::pass::Pass;
use crate::statistics::{StatisticsId, StatisticsList};

/// A classifier of the family of the [module](super).
///
/// Its parameters are `convolution.1.weight`, `hidden.1.weight`, `logits.weight` and the like, with
/// `norm.scale` and `norm.shift`, or `bias`, beside each.
#[derive(Clone, Debug)]
pub struct ImageClassifier {
    config: ClassifierConfig,
    pub(super) layers: Vec<Layer>,
    logits: Dense,
}

/// A layer before the last.
#[derive(Clone, Debug)]
pub(super) enum Layer {
    Convolution(Convolution),
    Dense(Dense),
}

impl Layer {
    /// Which statistics the layer is normalised with; `None` if it has no batch normalisation.
    pub(super) const fn statistics(&self) -> Option<StatisticsId> {
        match self {
            Self::Convolution(layer) => layer.statistics(),
            Self::Dense(layer) => layer.statistics(),
        }
    }

    /// What batch normalisation would normalise, as a matrix with a column for each channel or
    /// unit.
    pub(super) fn pre_activation(&self, pass: &Pass<'_>, h: &Tensor) -> Result<Tensor> {
        match self {
            Self::Convolution(layer) => {
                let map = layer.pre_activation(pass, h)?;
                let channels = map.shape().last();
                map.reshape([map.shape().element_count() / channels, channels])
            }
            Self::Dense(layer) => layer.pre_activation(pass, &flat(h)?),
        }
    }

    fn forward(&self, pass: &mut Pass<'_>, h: &Tensor) -> Result<Tensor> {
        match self {
            Self::Convolution(layer) => layer.forward(pass, h),
            Self::Dense(layer) => layer.forward(pass, &flat(h)?),
        }
    }
}

/// All units of a row side by side.
fn flat(h: &Tensor) -> Result<Tensor> {
    let (rows, units) = rows_and_units(h.shape());
    h.reshape([rows, units])
}

/// How many rows there are, and how many elements in one.
fn rows_and_units(shape: &Shape) -> (usize, usize) {
    let sizes = shape.sizes();
    (sizes[0], sizes[1..].iter().product())
}

impl ImageClassifier {
    /// Adds the network's parameters and statistics to the lists. Weights start Glorot normal, with
    /// gain √2 before a nonlinearity.
    ///
    /// # Errors
    /// `Argument` if the description makes no network.
    pub fn new(
        config: ClassifierConfig,
        parameters: &mut ParameterList,
        statistics: &mut StatisticsList,
    ) -> Result<Self> {
        config.check()?;
        config.check_data()?;
        let mut builder = Builder::new(parameters, statistics);
        let (norm, activation) =
            (config.norm(), config.nonlinearity.activation(config.leaky_slope));
        let gain = std::f64::consts::SQRT_2;
        let mut layers = Vec::with_capacity(config.convolutions.len() + config.hidden_sizes.len());

        let mut inputs = config.image.channels;
        for (block, number) in config.convolutions.iter().zip(1..) {
            let (outputs, kernel, stride) = (block.channels, block.kernel, block.stride);
            let (window, padding) = (kernel * kernel, Padding::Same);
            let weight = Initialiser::glorot_normal(window * inputs, window * outputs, gain);
            let layer = ConvolutionConfig {
                inputs,
                outputs,
                kernel,
                stride,
                padding,
                norm,
                activation,
                weight,
            };
            let mut place = builder.at("convolution");
            layers.push(Layer::Convolution(Convolution::new(&mut place.at(number), &layer)));
            inputs = outputs;
        }

        let mut inputs = config.features().units();
        let bias = Initialiser::Constant(0.0);
        for (&outputs, number) in config.hidden_sizes.iter().zip(1..) {
            let weight = Initialiser::glorot_normal(inputs, outputs, gain);
            let layer = DenseConfig { inputs, outputs, norm, activation, weight, bias };
            layers.push(Layer::Dense(Dense::new(&mut builder.at("hidden").at(number), &layer)));
            inputs = outputs;
        }
        let outputs = config.classes;
        let weight = Initialiser::glorot_normal(inputs, outputs, 1.0);
        let layer = DenseConfig {
            inputs,
            outputs,
            norm: None,
            activation: Activation::Identity,
            weight,
            bias,
        };
        let logits = Dense::new(&mut builder.at("logits"), &layer);
        Ok(Self { config, layers, logits })
    }

    /// What the network was made from.
    #[must_use]
    pub const fn config(&self) -> &ClassifierConfig {
        &self.config
    }

    /// ln p(y|x) of every class: [batch, classes], in nats.
    ///
    /// `x` is [batch, channel · height · width], planar. In a pass with frozen statistics a row
    /// does not depend on the others, and nothing is dropped.
    ///
    /// # Errors
    /// `Shape` if `x` does not fit.
    pub fn log_probs(&self, pass: &mut Pass<'_>, x: &Tensor) -> Result<Tensor> {
        let h = flat(&self.hidden(pass, x, self.layers.len())?)?;
        let h = pass.dropout(&h, self.config.dropout, self.logits.index())?;
        self.logits.forward(pass, &h)?.log_softmax(1)
    }

    /// What the first `count` layers make of the images.
    pub(super) fn hidden(&self, pass: &mut Pass<'_>, x: &Tensor, count: usize) -> Result<Tensor> {
        let maps = self.config.image.maps("classifier", x)?;
        self.layers[..count].iter().try_fold(maps, |h, layer| layer.forward(pass, &h))
    }
}

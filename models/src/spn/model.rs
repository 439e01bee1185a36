//! A network as a whole: from canvases to ln p(digit|canvas) of every position.

use rung_autograd::ops::Activation;
use rung_autograd::{Initialiser, ParameterList, Result, Tensor};

use super::config::{SpnConfig, SpnFamily};
use super::localisation::{Localisation, pooled};
use super::stack::{Drops, Stack, hidden_layers};
use crate::layers::{Builder, Dense, DenseConfig};
use crate::map_shape::MapShape;
use crate::pass::Pass;
use crate::statistics::StatisticsList;

/// A network of the family of the [module](super).
///
/// Its parameters are `localisation.convolution.1.weight`, `localisation.recurrence.input_weight`
/// or `localisation.hidden.1.weight`, `localisation.theta.weight`,
/// `classifier.convolution.1.weight`, `classifier.hidden.1.weight`, `classifier.logits.weight` and
/// the like.
#[derive(Clone, Debug)]
pub struct Spn {
    config: SpnConfig,
    localisation: Option<Localisation>,
    stack: Stack,
    hidden: Vec<Dense>,
    logits: Dense,
}

/// What a network sees on canvases, and what it takes it for.
#[derive(Clone, Debug)]
pub struct Look {
    /// The transforms and the glimpses that they give, where there is a transformer.
    pub glimpses: Option<Glimpses>,
    /// ln p(digit|canvas): [canvases · positions, classes], the positions of a canvas one after
    /// the other, in nats.
    pub log_probs: Tensor,
}

/// Where a network looks and what it sees there; the glimpses of a canvas one after the other.
#[derive(Clone, Debug)]
pub struct Glimpses {
    /// θ: [canvases · glimpses, 6].
    pub theta: Tensor,
    /// The glimpses: [canvases · glimpses, height, width, channels].
    pub maps: Tensor,
}

impl Spn {
    /// Adds the network's parameters to the list. Weights start Glorot uniform, those of a GRU
    /// N(0, 0.1²), biases at 0; θ starts as the identity.
    ///
    /// # Errors
    /// `Argument` if the description makes no network.
    pub fn new(
        config: SpnConfig,
        parameters: &mut ParameterList,
        statistics: &mut StatisticsList,
    ) -> Result<Self> {
        config.check()?;
        config.check_data()?;
        let mut builder = Builder::new(parameters, statistics);
        let has_transformer = config.family != SpnFamily::SequenceConvnet;
        let localisation =
            has_transformer.then(|| Localisation::new(&mut builder.at("localisation"), &config));
        let mut classifier = builder.at("classifier");
        let (inputs, channels) = (config.image.channels, &config.classifier_channels);
        let stack = Stack::new(&mut classifier, inputs, channels, Drops::BeforeConvolutions);
        let [_, inputs] = config.features();
        let (hidden, inputs) = hidden_layers(&mut classifier, inputs, &config.classifier_hidden);
        let logits = DenseConfig {
            inputs,
            outputs: config.positions_at_once() * config.classes,
            norm: None,
            activation: Activation::Identity,
            // Several positions are heads of their own, of which each has its own classes alone.
            weight: Initialiser::glorot_uniform(inputs, config.classes, 1.0),
            bias: Initialiser::Constant(0.0),
        };
        let logits = Dense::new(&mut classifier.at("logits"), &logits);
        Ok(Self { config, localisation, stack, hidden, logits })
    }

    /// What the network was made from.
    #[must_use]
    pub const fn config(&self) -> &SpnConfig {
        &self.config
    }

    /// What the network sees of canvases `x` [canvases, channel · height · width], planar, and what
    /// it takes it for. In training, units are dropped at the given rate.
    ///
    /// # Errors
    /// `Shape` if `x` does not fit; `Argument` unless 0 ≤ rate < 1.
    pub fn look(&self, pass: &mut Pass<'_>, x: &Tensor, rate: f64) -> Result<Look> {
        let canvas = self.config.image.maps("spn", x)?;
        let Some(localisation) = &self.localisation else {
            let seen = pooled(&canvas, self.config.input_pool)?;
            return Ok(Look { glimpses: None, log_probs: self.classify(pass, &seen, rate)? });
        };
        let theta = localisation.forward(pass, &canvas, rate)?;
        let maps = self.glimpses(&canvas, &theta)?;
        let log_probs = self.classify(pass, &maps, rate)?;
        Ok(Look { glimpses: Some(Glimpses { theta, maps }), log_probs })
    }

    /// The glimpses of canvases [canvases, height, width, channels] under the transforms `theta`
    /// [canvases · glimpses, 6].
    ///
    /// # Errors
    /// `Shape` if the sizes do not fit.
    pub fn glimpses(&self, canvas: &Tensor, theta: &Tensor) -> Result<Tensor> {
        canvas.spatial_transform(theta, self.config.glimpse(), self.config.outside.into())
    }

    /// Where the corners of the glimpses of transforms `theta` [rows, 6] lie on the canvas, in
    /// pixels: [rows, 2, 2, 2], top before bottom, left before right, (x, y).
    ///
    /// # Errors
    /// `Shape` if `theta` is not rows of six.
    pub fn corners(&self, theta: &Tensor) -> Result<Tensor> {
        let MapShape { height, width, .. } = self.config.image;
        theta.affine_grid([height, width], [2, 2], self.config.outside.into())
    }

    /// ln p of every class for each position read off `maps` [rows, height, width, channels]: a
    /// glimpse each, or the canvas.
    ///
    /// # Errors
    /// `Shape` if the sizes do not fit.
    pub fn classify(&self, pass: &mut Pass<'_>, maps: &Tensor, rate: f64) -> Result<Tensor> {
        let mut h = self.stack.forward(pass, maps, rate)?;
        for layer in &self.hidden {
            h = layer.forward(pass, &h)?;
        }
        let rows = maps.shape().sizes()[0] * self.config.positions_at_once();
        let logits = self.logits.forward(pass, &h)?.reshape([rows, self.config.classes])?;
        logits.log_softmax(1)
    }
}

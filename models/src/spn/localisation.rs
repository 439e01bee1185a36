//! The localisation network: where on a canvas to look.

use rung_autograd::ops::{Activation, concat};
use rung_autograd::{Initialiser, Result, Tensor};

use super::config::{SpnConfig, SpnFamily};
use super::stack::{Drops, Stack, hidden_layers};
use crate::layers::{Builder, Dense, DenseConfig, Gru, GruConfig};
use crate::pass::Pass;

/// Standard deviation of a GRU's first weights, as published.
const RECURRENT_SIGMA: f64 = 0.1;

/// The transform that shows the canvas as it is.
const IDENTITY: [f64; 6] = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0];

/// Convolutions, then what gives one θ after the other, or one.
#[derive(Clone, Debug)]
pub(super) struct Localisation {
    input_pool: usize,
    stack: Stack,
    glimpses: Glimpses,
    theta: Dense,
    theta_rate: f64,
}

/// How the features of a canvas become hidden states, one for each glimpse.
#[derive(Clone, Debug)]
enum Glimpses {
    /// A GRU that sees the same features at each of so many steps.
    Recurrent(Gru, usize),
    /// Dense layers.
    FeedForward(Vec<Dense>),
}

impl Localisation {
    /// Adds the parameters of the convolutions, of `recurrence` or `hidden`, and of `theta`, whose
    /// weight and bias start at 0: θ starts as the identity.
    pub(super) fn new(builder: &mut Builder<'_>, config: &SpnConfig) -> Self {
        let channels = &config.localisation_channels;
        let stack = Stack::new(builder, config.image.channels, channels, Drops::BeforeLastPool);
        let [inputs, _] = config.features();
        let (glimpses, units) = match config.family {
            SpnFamily::RnnSpn => {
                let (units, reset) = (config.recurrent_units, config.gru_reset);
                let weight = Initialiser::Normal { sigma: RECURRENT_SIGMA };
                let gru = GruConfig { inputs, units, reset, weight };
                let gru = Gru::new(&mut builder.at("recurrence"), &gru);
                (Glimpses::Recurrent(gru, config.positions), units)
            }
            SpnFamily::FfnSpn | SpnFamily::SequenceConvnet => {
                let (layers, units) = hidden_layers(builder, inputs, &config.localisation_hidden);
                (Glimpses::FeedForward(layers), units)
            }
        };
        let theta = DenseConfig {
            inputs: units,
            outputs: IDENTITY.len(),
            norm: None,
            activation: Activation::Identity,
            weight: Initialiser::Constant(0.0),
            bias: Initialiser::Constant(0.0),
        };
        let theta = Dense::new(&mut builder.at("theta"), &theta);
        let (input_pool, theta_rate) = (config.input_pool, config.theta_rate);
        Self { input_pool, stack, glimpses, theta, theta_rate }
    }

    /// θ = identity + rate · (h W + b) of each glimpse: [canvases · glimpses, 6], the glimpses of a
    /// canvas one after the other. `maps` is [canvases, height, width, channels].
    pub(super) fn forward(&self, pass: &mut Pass<'_>, maps: &Tensor, rate: f64) -> Result<Tensor> {
        let seen = pooled(maps, self.input_pool)?;
        let features = self.stack.forward(pass, &seen, rate)?;
        let hidden = match &self.glimpses {
            Glimpses::Recurrent(gru, steps) => recur(gru, *steps, pass, &features)?,
            Glimpses::FeedForward(layers) => {
                layers.iter().try_fold(features, |h, layer| layer.forward(pass, &h))?
            }
        };
        let identity = Tensor::from_values(maps.device(), maps.dtype(), &IDENTITY, [6])?;
        self.theta.forward(pass, &hidden)?.scale(self.theta_rate)?.add(&identity)
    }
}

/// The states of all steps: [canvases · steps, units]. The features do not change, so they are
/// multiplied once.
fn recur(gru: &Gru, steps: usize, pass: &Pass<'_>, features: &Tensor) -> Result<Tensor> {
    let input = gru.input(pass, features)?;
    let mut states: Vec<Tensor> = Vec::with_capacity(steps);
    for _ in 0..steps {
        states.push(gru.step(pass, &input, states.last())?);
    }
    let units = states[0].shape().last();
    let canvases = features.shape().sizes()[0];
    concat(&states.iter().collect::<Vec<_>>(), 1)?.reshape([canvases * steps, units])
}

/// A map through windows of this side.
pub(super) fn pooled(maps: &Tensor, size: usize) -> Result<Tensor> {
    if size == 1 { Ok(maps.clone()) } else { maps.max_pool2d(size) }
}

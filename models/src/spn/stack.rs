//! Convolutions with max-pooling between them: the first part of localisation and classifier.

use rung_autograd::ops::Activation;
use rung_autograd::{Initialiser, Padding, Result, Tensor};

use super::config::{KERNEL, POOL};
use crate::layers::{Builder, Convolution, ConvolutionConfig, Dense, DenseConfig};
use crate::pass::Pass;

/// Where a stack drops units in training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drops {
    /// Before the last pooling.
    BeforeLastPool,
    /// Before every convolution but the first.
    BeforeConvolutions,
}

/// Convolutions 3 × 3 without padding, each followed by a rectifier, with max-pooling between.
#[derive(Clone, Debug)]
pub(super) struct Stack {
    convolutions: Vec<Convolution>,
    drops: Drops,
}

impl Stack {
    /// Adds `convolution.1.weight`, `convolution.1.bias` and so on. Weights start Glorot uniform,
    /// biases at 0.
    pub(super) fn new(
        builder: &mut Builder<'_>,
        inputs: usize,
        channels: &[usize],
        drops: Drops,
    ) -> Self {
        let before = std::iter::once(&inputs).chain(channels);
        let mut place = builder.at("convolution");
        let convolutions = before.zip(channels).zip(1..).map(|((&inputs, &outputs), number)| {
            let window = KERNEL * KERNEL;
            let config = ConvolutionConfig {
                inputs,
                outputs,
                kernel: KERNEL,
                stride: 1,
                padding: Padding::Valid,
                norm: None,
                // The rectifier comes after the pooling, where there is less to rectify: a maximum
                // and a dropped unit do not mind the order.
                activation: Activation::Identity,
                weight: Initialiser::glorot_uniform(window * inputs, window * outputs, 1.0),
            };
            Convolution::new(&mut place.at(number), &config)
        });
        Self { convolutions: convolutions.collect(), drops }
    }

    /// The last map, [rows, units], of maps `x` [rows, height, width, inputs].
    pub(super) fn forward(&self, pass: &mut Pass<'_>, x: &Tensor, rate: f64) -> Result<Tensor> {
        let mut h = x.clone();
        for (number, convolution) in self.convolutions.iter().enumerate() {
            if number > 0 {
                let is_last = number + 1 == self.convolutions.len();
                if is_last && self.drops == Drops::BeforeLastPool {
                    h = pass.dropout(&h, rate, convolution.index())?;
                }
                h = h.max_pool2d(POOL)?.relu()?;
                if self.drops == Drops::BeforeConvolutions {
                    h = pass.dropout(&h, rate, convolution.index())?;
                }
            }
            h = convolution.forward(pass, &h)?;
        }
        let sizes = *h.shape();
        let rows = sizes.sizes()[0];
        h.relu()?.reshape([rows, sizes.sizes()[1..].iter().product()])
    }
}

/// Dense layers with rectifiers, of these widths: `NAME.1`, `NAME.2` and so on; gives them and the
/// width of the last, or `inputs`.
pub(super) fn hidden_layers(
    builder: &mut Builder<'_>,
    mut inputs: usize,
    widths: &[usize],
) -> (Vec<Dense>, usize) {
    let mut place = builder.at("hidden");
    let layers = widths.iter().zip(1..).map(|(&outputs, number)| {
        let config = DenseConfig {
            inputs,
            outputs,
            norm: None,
            activation: Activation::Relu,
            weight: Initialiser::glorot_uniform(inputs, outputs, 1.0),
            bias: Initialiser::Constant(0.0),
        };
        inputs = outputs;
        Dense::new(&mut place.at(number), &config)
    });
    (layers.collect(), widths.last().copied().unwrap_or(inputs))
}

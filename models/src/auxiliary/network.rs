//! The networks of the family: each a multilayer perceptron whose first layer sums a product of
//! every input.
//!
//! A row of the image or of a is shared by all classes, so its product is computed once and the
//! class's row of the weight is added for each: [`Network::hidden`] puts them together.

use rung_autograd::ops::{Activation, Gaussian};
use rung_autograd::{Initialiser, ParameterId, Result, Tensor};

use super::config::AuxiliaryConfig;
use crate::layers::{Builder, Dense, DenseConfig, SummedDense};
use crate::pass::Pass;
use crate::steps::{StepRecorder, Value};

/// What a network reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Image,
    Auxiliary,
    Latent,
    Class,
}

impl Input {
    const fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Auxiliary => "auxiliary",
            Self::Latent => "latent",
            Self::Class => "class",
        }
    }

    const fn units(self, config: &AuxiliaryConfig) -> usize {
        match self {
            Self::Image => config.data_size,
            Self::Auxiliary => config.auxiliary_units,
            Self::Latent => config.latent_units,
            Self::Class => config.classes,
        }
    }
}

/// The last layer of a network: linear, never normalised.
#[derive(Clone, Copy, Debug)]
pub(super) enum Head {
    /// Mean and log variance of so many units, which start near 0.
    Gaussian(usize),
    /// So many logits.
    Logits(usize),
}

/// The classes that rows are conditioned on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Classes<'a> {
    /// The model has none.
    None,
    /// One for each row: [rows, classes], 1 at the class and 0 elsewhere.
    Given(&'a Tensor),
    /// Every class in turn for each row: row = row of the features · classes + class.
    Every(usize),
}

impl Classes<'_> {
    /// Rows that come of each row of the features.
    pub(super) const fn rows_each(self) -> usize {
        match self {
            Self::None | Self::Given(_) => 1,
            Self::Every(classes) => classes,
        }
    }
}

/// hidden = the hidden layers of Σ_i x_i · W_i; then the head.
#[derive(Clone, Debug)]
pub(super) struct Network {
    inputs: Vec<Input>,
    pub(super) first: SummedDense,
    pub(super) rest: Vec<Dense>,
    head: Dense,
}

impl Network {
    /// A network of these inputs; those of no units are left out.
    pub(super) fn new(
        builder: &mut Builder<'_>,
        config: &AuxiliaryConfig,
        inputs: &[Input],
        head: Head,
    ) -> Self {
        let inputs: Vec<Input> =
            inputs.iter().copied().filter(|input| input.units(config) > 0).collect();
        let named: Vec<(&str, usize)> =
            inputs.iter().map(|input| (input.name(), input.units(config))).collect();
        let (norm, activation) =
            (config.norm(), config.nonlinearity.activation(config.leaky_slope));
        let sizes = &config.hidden_sizes;
        let first =
            SummedDense::new(&mut builder.at("hidden").at(0), &named, sizes[0], norm, activation);
        let layer = |(index, pair): (usize, &[usize])| {
            let dense = DenseConfig {
                inputs: pair[0],
                outputs: pair[1],
                norm,
                activation,
                weight: Initialiser::glorot_normal(pair[0], pair[1], std::f64::consts::SQRT_2),
                bias: Initialiser::Constant(0.0),
            };
            Dense::new(&mut builder.at("hidden").at(index + 1), &dense)
        };
        let rest = sizes.windows(2).enumerate().map(layer).collect();
        let width = sizes[sizes.len() - 1];
        let (outputs, weight, bias) = match head {
            Head::Gaussian(units) => {
                let near_0 = Initialiser::Normal { sigma: config.head_sigma };
                (2 * units, near_0, near_0)
            }
            Head::Logits(units) => {
                (units, Initialiser::glorot_normal(width, units, 1.0), Initialiser::Constant(0.0))
            }
        };
        let head = DenseConfig {
            inputs: width,
            outputs,
            norm: None,
            activation: Activation::Identity,
            weight,
            bias,
        };
        Self { inputs, first, rest, head: Dense::new(&mut builder.at("head"), &head) }
    }

    /// Every weight matrix.
    pub(super) fn weights(&self) -> impl Iterator<Item = ParameterId> {
        let dense = self.rest.iter().chain([&self.head]).map(Dense::weight);
        self.first.weights().iter().copied().chain(dense)
    }

    fn position(&self, input: Input) -> Option<usize> {
        self.inputs.iter().position(|own| *own == input)
    }

    /// x · W of an input; `None` if the network does not read it.
    pub(super) fn product(
        &self,
        pass: &Pass<'_>,
        input: Input,
        x: &Tensor,
    ) -> Result<Option<Tensor>> {
        self.position(input).map(|input| self.first.product(pass, input, x)).transpose()
    }

    /// What the first layer normalises: `shared` is the sum of the products that all classes of a
    /// row have in common, [rows, width], `own` that of those that each class has of its own, [rows
    /// · rows of each, width].
    pub(super) fn sum(
        &self,
        pass: &Pass<'_>,
        shared: Option<Tensor>,
        own: Option<Tensor>,
        classes: Classes<'_>,
    ) -> Result<Tensor> {
        let class = match (classes, self.position(Input::Class)) {
            (Classes::None, _) | (_, None) => return total([shared, own]),
            (Classes::Given(class), Some(input)) => {
                let class = self.first.product(pass, input, class)?;
                return total([shared, own, Some(class)]);
            }
            (Classes::Every(_), Some(input)) => self.first.weight(pass, input),
        };
        let &[classes, width] = class.shape().sizes() else { return total([shared, own]) };
        // [rows, 1, width] + [classes, width]: nothing is repeated before the sum.
        let shared = shared.map(|shared| {
            let rows = shared.shape().sizes()[0];
            shared.reshape([rows, 1, width])?.add(&class)
        });
        let sum = match (shared.transpose()?, own) {
            (Some(shared), Some(own)) => own.reshape(*shared.shape())?.add(&shared)?,
            (Some(shared), None) => shared,
            (None, own) => {
                let own = total([own])?;
                let rows = own.shape().sizes()[0] / classes;
                own.reshape([rows, classes, width])?.add(&class)?
            }
        };
        sum.reshape([sum.shape().element_count() / width, width])
    }

    /// The last hidden layer, from the sum that [`Network::sum`] gives.
    pub(super) fn hidden(&self, pass: &mut Pass<'_>, sum: &Tensor) -> Result<Tensor> {
        self.hidden_up_to(pass, sum, self.rest.len())
    }

    /// The hidden layer behind the first and `layers` more.
    pub(super) fn hidden_up_to(
        &self,
        pass: &mut Pass<'_>,
        sum: &Tensor,
        layers: usize,
    ) -> Result<Tensor> {
        let first = self.first.finish(pass, sum)?;
        self.rest[..layers].iter().try_fold(first, |h, layer| layer.forward(pass, &h))
    }

    /// What the network gives.
    pub(super) fn outputs(&self, pass: &mut Pass<'_>, sum: &Tensor) -> Result<Tensor> {
        let hidden = self.hidden(pass, sum)?;
        self.head.forward(pass, &hidden)
    }

    /// What the network gives as steps, of these inputs; those that it does not read are passed
    /// over.
    pub(super) fn record(
        &self,
        recorder: &mut StepRecorder<'_>,
        inputs: &[(Input, Option<Value>)],
    ) -> Result<Value> {
        let given = |own: &Input| inputs.iter().find(|(input, _)| input == own)?.1;
        let read: Vec<Value> = self.inputs.iter().filter_map(given).collect();
        let first = self.first.record(recorder, &read)?;
        let hidden = self.rest.iter().try_fold(first, |h, layer| layer.record(recorder, h))?;
        self.head.record(recorder, hidden)
    }

    /// The Gaussian that the network gives: mean, and variance = exp(log variance), the latter
    /// clamped to ± `limit`.
    pub(super) fn gaussian(
        &self,
        pass: &mut Pass<'_>,
        sum: &Tensor,
        limit: f64,
    ) -> Result<Gaussian> {
        let outputs = self.outputs(pass, sum)?;
        let units = outputs.shape().last() / 2;
        let mean = outputs.slice(1, 0, units)?;
        let variance = outputs.slice(1, units, units)?.clamp(-limit, limit)?.exp()?;
        Ok(Gaussian { mean, variance })
    }
}

/// The sum of what there is.
pub(super) fn total(parts: impl IntoIterator<Item = Option<Tensor>>) -> Result<Tensor> {
    let mut parts = parts.into_iter().flatten();
    let first = parts.next().ok_or_else(|| {
        let bug = "bug: a network without an input; please report it";
        rung_autograd::Error::argument("auxiliary", bug)
    })?;
    parts.try_fold(first, |sum, part| sum.add(&part))
}

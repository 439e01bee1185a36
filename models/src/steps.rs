//! The generative model as a list of steps with plain numbers: what draws its images without this
//! crate, such as a page in a browser.
//!
//! A family records the steps beside its forward pass, layer by layer, with a [`StepRecorder`]; the
//! weights are those that the pass computes with: weight normalisation is multiplied out, frozen
//! batch normalisation folded in. What reads the steps knows no family.

use std::collections::HashMap;

use rung_autograd::ops::Activation;
use rung_autograd::{ParameterId, Result, Tensor};

use crate::layers::Product;
use crate::map_shape::MapShape;
use crate::pass::Pass;

/// What one step computes of the results of earlier ones. A result is a map [height, width,
/// channels] of one image; a vector is a map of one position, and a map that is read as a vector is
/// read in that order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operation {
    /// The sample of a group, counted from 0 in the order of
    /// [`LatentModel::groups`](crate::LatentModel::groups): from N(0, I), or from the [`Gaussian`]
    /// of an earlier step.
    ///
    /// [`Gaussian`]: Operation::Gaussian
    Sample {
        /// The group.
        group: usize,
    },
    /// 1 at what is chosen of so many, 0 elsewhere: what the reader chooses, or
    /// [`LatentModel::drawn_choices`](crate::LatentModel::drawn_choices) says of a drawn image. A
    /// model has one such step at most.
    Choice(Choice),
    /// p of a group: the means are the first half of the channels, what its standard deviation is
    /// made from the second.
    Gaussian {
        /// The group.
        group: usize,
        /// From the second half to the standard deviation.
        deviation: Deviation,
    },
    /// x ∗ w + b, w and b being an entry of [`GenerativeSteps::weights`].
    Product {
        /// What w is applied as.
        product: Product,
        /// The entry.
        weights: usize,
    },
    /// A function of each element.
    Activation(Activation),
    /// scale · x + shift.
    Affine {
        /// The factor.
        scale: f64,
        /// The summand.
        shift: f64,
    },
    /// Each element kept within ± this.
    Clamp(f64),
    /// a + b.
    Add,
    /// a − b.
    Subtract,
    /// a · b, element by element.
    Multiply,
    /// The channels from this one on, as many as the result has.
    Channels(usize),
    /// Maps side by side along their channels.
    Beside,
    /// The mean over squares of this side.
    AveragePool(usize),
    /// Channels of zeros behind the others.
    Widen,
    /// A vector, at every position of a map.
    Spread,
}

/// What is chosen beside the latents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The class of the image.
    Class,
    /// The component of the mixture that the top's sample is from.
    Component,
}

/// From r, the second half of a head's channels, to a standard deviation σ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Deviation {
    /// σ² = softplus(r) + floor.
    Softplus {
        /// What is added.
        floor: f64,
    },
    /// σ² = exp(softplus(r) + floor).
    ExpSoftplus {
        /// What is added.
        floor: f64,
    },
    /// σ = ln(1 + 2^r) / ln 2 + floor.
    BinarySoftplus {
        /// What is added.
        floor: f64,
    },
    /// σ² = exp(r).
    Exp,
    /// σ = 1: every channel is a mean.
    One,
}

/// w and b of a layer.
#[derive(Clone, Debug, PartialEq)]
pub struct StepWeights {
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
    /// `[taps · inputs, outputs]`: a row for each tap of the kernel, row by row, and input channel;
    /// alike for convolutions and transposed ones.
    pub weight: Vec<f64>,
    /// `[outputs]`.
    pub bias: Vec<f64>,
}

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What it computes.
    pub operation: Operation,
    /// Of these results.
    pub inputs: Vec<Value>,
    /// The shape of the result.
    pub shape: MapShape,
}

/// What the last result is of the pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepPixels {
    /// Logits of Bernoulli variables.
    Logits,
    /// Means, and behind them what nobody needs for an image.
    Means,
    /// So many components of a mixture of logistics at each position, as
    /// [`LogisticMixture`](crate::ObservationParameters::LogisticMixture) has them.
    Mixture {
        /// K.
        components: usize,
    },
}

/// The generative model of one image.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerativeSteps {
    /// In an order in which each reads earlier ones alone.
    pub steps: Vec<Step>,
    /// What the products are of, each once.
    pub weights: Vec<StepWeights>,
    /// What the last step gives.
    pub pixels: StepPixels,
}

/// The steps, or in words why there are none.
pub type Recorded = std::result::Result<GenerativeSteps, &'static str>;

impl GenerativeSteps {
    /// Elements of all weights.
    #[must_use]
    pub fn weight_count(&self) -> usize {
        self.weights.iter().map(|layer| layer.weight.len()).sum()
    }

    /// Multiplications of the products for one image.
    #[must_use]
    pub fn multiplications(&self) -> usize {
        let of_step = |step: &Step| match step.operation {
            Operation::Product { product, weights } => {
                let positions = match product {
                    Product::Dense => 1,
                    Product::Convolution { .. } => step.shape.with_channels(1).units(),
                    Product::Transposed { .. } => step.inputs[0].shape.with_channels(1).units(),
                };
                positions * self.weights[weights].weight.len()
            }
            _ => 0,
        };
        self.steps.iter().map(of_step).sum()
    }
}

/// The result of a step, read as a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    /// The step, counted from 0.
    pub step: usize,
    /// The step's shape, or another of as many elements.
    pub shape: MapShape,
}

impl Value {
    /// The same elements as a map of another shape.
    pub(crate) const fn shaped(self, shape: MapShape) -> Self {
        Self { shape, ..self }
    }
}

/// A vector's shape.
pub(crate) const fn vector(units: usize) -> MapShape {
    MapShape { height: 1, width: 1, channels: units }
}

/// Notes the steps of a model in a pass with frozen statistics.
#[derive(Debug)]
pub(crate) struct StepRecorder<'a> {
    pub(crate) pass: &'a Pass<'a>,
    steps: Vec<Step>,
    weights: Vec<StepWeights>,
    /// Which entry has the weights of a layer, which may be applied more than once.
    known: HashMap<usize, usize>,
}

impl<'a> StepRecorder<'a> {
    pub(crate) fn new(pass: &'a Pass<'a>) -> Self {
        Self { pass, steps: Vec::new(), weights: Vec::new(), known: HashMap::new() }
    }

    pub(crate) fn finish(self, pixels: StepPixels) -> GenerativeSteps {
        GenerativeSteps { steps: self.steps, weights: self.weights, pixels }
    }

    fn step(&mut self, operation: Operation, inputs: &[Value], shape: MapShape) -> Value {
        self.steps.push(Step { operation, inputs: inputs.to_vec(), shape });
        Value { step: self.steps.len() - 1, shape }
    }

    /// The sample of a group with so many units, from p of an earlier step or from N(0, I).
    pub(crate) fn sample(&mut self, group: usize, units: usize) -> Value {
        self.step(Operation::Sample { group }, &[], vector(units))
    }

    /// One of so many, as a one-hot vector.
    pub(crate) fn choice(&mut self, of: Choice, options: usize) -> Value {
        self.step(Operation::Choice(of), &[], vector(options))
    }

    /// p of a group, from the map or vector of its head.
    pub(crate) fn gaussian(&mut self, group: usize, head: Value, deviation: Deviation) {
        self.step(Operation::Gaussian { group, deviation }, &[head], head.shape);
    }

    /// x ∗ weight + bias; `layer` is the parameter by which the layer is known. The weight is as
    /// [`Product`] has it.
    pub(crate) fn product(
        &mut self,
        layer: ParameterId,
        product: Product,
        x: Value,
        (weight, bias): (&Tensor, &Tensor),
    ) -> Result<Value> {
        let x = if product == Product::Dense { x.shaped(vector(x.shape.units())) } else { x };
        let outputs = bias.shape().element_count();
        let weights = match self.known.get(&layer.index()) {
            Some(&entry) => entry,
            None => {
                let mut numbers = weight.to_f64()?;
                let inputs = x.shape.channels;
                if matches!(product, Product::Transposed { .. }) {
                    numbers = with_inputs_first(&numbers, inputs, outputs);
                }
                let bias = bias.to_f64()?;
                self.weights.push(StepWeights { inputs, outputs, weight: numbers, bias });
                self.known.insert(layer.index(), self.weights.len() - 1);
                self.weights.len() - 1
            }
        };
        let shape = match product {
            Product::Dense => x.shape,
            Product::Convolution { stride, .. } => x.shape.shrunk(stride),
            Product::Transposed { stride, .. } => x.shape.enlarged(stride),
        };
        let operation = Operation::Product { product, weights };
        Ok(self.step(operation, &[x], shape.with_channels(outputs)))
    }

    /// A function of each element.
    pub(crate) fn activate(&mut self, x: Value, function: Activation) -> Value {
        match function {
            Activation::Identity => x,
            function => self.step(Operation::Activation(function), &[x], x.shape),
        }
    }

    /// scale · x + shift.
    pub(crate) fn affine(&mut self, x: Value, scale: f64, shift: f64) -> Value {
        self.step(Operation::Affine { scale, shift }, &[x], x.shape)
    }

    /// x within ± `most`.
    pub(crate) fn clamp(&mut self, x: Value, most: f64) -> Value {
        self.step(Operation::Clamp(most), &[x], x.shape)
    }

    pub(crate) fn add(&mut self, a: Value, b: Value) -> Value {
        self.step(Operation::Add, &[a, b], a.shape)
    }

    pub(crate) fn subtract(&mut self, a: Value, b: Value) -> Value {
        self.step(Operation::Subtract, &[a, b], a.shape)
    }

    pub(crate) fn multiply(&mut self, a: Value, b: Value) -> Value {
        self.step(Operation::Multiply, &[a, b], a.shape)
    }

    /// `count` channels from `first` on.
    pub(crate) fn channels(&mut self, x: Value, first: usize, count: usize) -> Value {
        self.step(Operation::Channels(first), &[x], x.shape.with_channels(count))
    }

    /// b₁ · sigmoid(b₂) of the halves of the channels.
    pub(crate) fn gate(&mut self, both: Value) -> Value {
        let half = both.shape.channels / 2;
        let (first, second) = (self.channels(both, 0, half), self.channels(both, half, half));
        let gate = self.activate(second, Activation::Sigmoid);
        self.multiply(first, gate)
    }

    /// Maps side by side.
    pub(crate) fn beside(&mut self, maps: &[Value]) -> Value {
        if let [only] = maps {
            return *only;
        }
        let channels = maps.iter().map(|map| map.shape.channels).sum();
        let shape = maps.first().map_or_else(MapShape::default, |map| map.shape);
        self.step(Operation::Beside, maps, shape.with_channels(channels))
    }

    /// The mean over squares of this side.
    pub(crate) fn average_pool(&mut self, x: Value, side: usize) -> Value {
        self.step(Operation::AveragePool(side), &[x], x.shape.pooled(side))
    }

    /// With so many channels in all.
    pub(crate) fn widen(&mut self, x: Value, channels: usize) -> Value {
        self.step(Operation::Widen, &[x], x.shape.with_channels(channels))
    }

    /// A vector, at every position of a map.
    pub(crate) fn spread(&mut self, x: Value, height: usize, width: usize) -> Value {
        let shape = MapShape { height, width, channels: x.shape.units() };
        self.step(Operation::Spread, &[x], shape)
    }
}

/// [taps, outputs, inputs] as [taps, inputs, outputs].
fn with_inputs_first(weight: &[f64], inputs: usize, outputs: usize) -> Vec<f64> {
    let tap = |tap: &[f64]| -> Vec<f64> {
        let element = |at: usize| tap[at % outputs * inputs + at / outputs];
        (0..tap.len()).map(element).collect()
    };
    weight.chunks_exact((inputs * outputs).max(1)).flat_map(tap).collect()
}

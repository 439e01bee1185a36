//! The dense layer: linear, then batch normalisation if it has one, then the activation
//! (specification section 6.1).

use rung_autograd::ops::{Activation, Gaussian};
use rung_autograd::{Initialiser, ParameterId, Result, Tensor};

use super::affine::Affine;
use super::{Builder, NormConfig};
use crate::pass::Pass;
use crate::statistics::StatisticsId;
use crate::steps::{StepRecorder, Value};

/// Sizes and settings of a dense layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DenseConfig {
    /// Units of the input.
    pub inputs: usize,
    /// Units of the output.
    pub outputs: usize,
    /// Batch normalisation, if the layer has one; then it has no bias, which would have no effect.
    pub norm: Option<NormConfig>,
    /// Applied last.
    pub activation: Activation,
    /// How the weight starts.
    pub weight: Initialiser,
    /// How the bias starts, where there is no batch normalisation.
    pub bias: Initialiser,
}

/// y = activation(norm(x · weight)) or activation(x · weight + bias).
#[derive(Clone, Debug)]
pub struct Dense {
    weight: ParameterId,
    affine: Affine,
}

impl Dense {
    /// Adds the layer's parameters: `weight` `[inputs, outputs]` and `bias` or `norm.scale`,
    /// `norm.shift` `[outputs]`.
    #[must_use]
    pub fn new(builder: &mut Builder<'_>, config: &DenseConfig) -> Self {
        let DenseConfig { inputs, outputs, norm, activation, weight, bias } = *config;
        let weight = builder.parameter("weight", [inputs, outputs], weight);
        Self { weight, affine: Affine::new(builder, outputs, norm, bias, activation) }
    }

    /// Which statistics the layer is normalised with; `None` if it has no batch normalisation.
    pub(crate) const fn statistics(&self) -> Option<StatisticsId> {
        self.affine.statistics()
    }

    /// The weight.
    pub(crate) const fn weight(&self) -> ParameterId {
        self.weight
    }

    /// A number that no other layer of the model has.
    pub(crate) const fn index(&self) -> usize {
        self.weight.index()
    }

    /// x · weight (+ bias): what batch normalisation would normalise.
    pub(crate) fn pre_activation(&self, pass: &Pass<'_>, x: &Tensor) -> Result<Tensor> {
        x.linear(&pass.parameter(self.weight), self.affine.bias(pass).as_ref())
    }

    /// The rest of the layer after [`Dense::pre_activation`].
    pub(crate) fn finish(&self, pass: &mut Pass<'_>, a: &Tensor) -> Result<Tensor> {
        self.affine.apply(pass, a)
    }

    /// The layer as steps.
    pub(crate) fn record(&self, recorder: &mut StepRecorder<'_>, x: Value) -> Result<Value> {
        self.affine.record(recorder, self.weight, recorder.pass.parameter(self.weight), x)
    }

    /// The layer applied to each row of `x` [batch, inputs].
    ///
    /// # Errors
    /// `Shape` if `x` has other columns.
    pub fn forward(&self, pass: &mut Pass<'_>, x: &Tensor) -> Result<Tensor> {
        let Some((norm, statistics)) = self.affine.frozen(pass) else {
            let a = self.pre_activation(pass, x)?;
            return self.finish(pass, &a);
        };
        // One pass over the product instead of two.
        let (weight, (scale, shift)) = (pass.parameter(self.weight), norm.scale_and_shift(pass));
        x.linear_normalise(
            &weight,
            &scale,
            &shift,
            statistics,
            norm.epsilon,
            self.affine.activation(),
        )
    }

    /// The Gaussian whose mean and variance are made of the halves of the layer's output:
    /// [`Tensor::gaussian_head`] of [`Dense::forward`].
    pub(crate) fn forward_head(
        &self,
        pass: &mut Pass<'_>,
        x: &Tensor,
        floor: f64,
    ) -> Result<Gaussian> {
        if self.affine.frozen(pass).is_some() {
            return self.forward(pass, x)?.gaussian_head(floor);
        }
        let a = self.pre_activation(pass, x)?;
        self.affine.apply_head(pass, &a, floor)
    }
}

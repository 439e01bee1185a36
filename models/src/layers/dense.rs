//! The dense layer: linear, then batch normalisation if it has one, then the activation (specification section 6.1).

use rung_autograd::ops::Activation;
use rung_autograd::{Initialiser, ParameterId, Result, Tensor};

use super::Builder;
use crate::pass::{LayerStatistics, Pass};
use crate::statistics::StatisticsId;

/// Settings of batch normalisation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormConfig {
    /// Added to the variance inside the square root.
    pub epsilon: f64,
}

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
    activation: Activation,
}

/// What follows the product.
#[derive(Clone, Debug)]
enum Affine {
    Bias(ParameterId),
    BatchNorm { scale: ParameterId, shift: ParameterId, statistics: StatisticsId, epsilon: f64 },
}

impl Dense {
    /// Adds the layer's parameters: `weight` [inputs, outputs] and `bias` or `norm.scale`, `norm.shift` [outputs].
    #[must_use]
    pub fn new(builder: &mut Builder<'_>, config: &DenseConfig) -> Self {
        let outputs = config.outputs;
        let weight = builder.parameter("weight", [config.inputs, outputs], config.weight);
        let affine = match config.norm {
            None => Affine::Bias(builder.parameter("bias", [outputs], config.bias)),
            Some(NormConfig { epsilon }) => {
                let mut norm = builder.at("norm");
                Affine::BatchNorm {
                    scale: norm.parameter("scale", [outputs], Initialiser::Constant(1.0)),
                    shift: norm.parameter("shift", [outputs], Initialiser::Constant(0.0)),
                    statistics: norm.statistics(outputs),
                    epsilon,
                }
            }
        };
        Self { weight, affine, activation: config.activation }
    }

    /// Which statistics the layer is normalised with; `None` if it has no batch normalisation.
    pub(crate) const fn statistics(&self) -> Option<StatisticsId> {
        match self.affine {
            Affine::Bias(_) => None,
            Affine::BatchNorm { statistics, .. } => Some(statistics),
        }
    }

    /// x · weight (+ bias): what batch normalisation would normalise.
    pub(crate) fn pre_activation(&self, pass: &Pass<'_>, x: &Tensor) -> Result<Tensor> {
        let weight = pass.parameter(self.weight);
        match &self.affine {
            Affine::Bias(bias) => x.linear(&weight, Some(&pass.parameter(*bias))),
            Affine::BatchNorm { .. } => x.linear(&weight, None),
        }
    }

    /// The rest of the layer after [`Dense::pre_activation`], in a pass with frozen statistics.
    pub(crate) fn finish(&self, pass: &mut Pass<'_>, a: &Tensor) -> Result<Tensor> {
        match &self.affine {
            Affine::Bias(_) => a.activate(self.activation),
            Affine::BatchNorm { scale, shift, statistics, epsilon } => {
                let (scale, shift) = (pass.parameter(*scale), pass.parameter(*shift));
                a.normalise(&scale, &shift, pass.frozen(*statistics)?, *epsilon, self.activation)
            }
        }
    }

    /// The layer applied to each row of `x` [batch, inputs].
    ///
    /// # Errors
    /// `Shape` if `x` has other columns.
    pub fn forward(&self, pass: &mut Pass<'_>, x: &Tensor) -> Result<Tensor> {
        let weight = pass.parameter(self.weight);
        match &self.affine {
            Affine::Bias(bias) => x.linear(&weight, Some(&pass.parameter(*bias)))?.activate(self.activation),
            Affine::BatchNorm { scale, shift, statistics, epsilon } => {
                let (scale, shift, activation) = (pass.parameter(*scale), pass.parameter(*shift), self.activation);
                match pass.statistics(*statistics) {
                    LayerStatistics::Frozen(frozen) => {
                        x.linear_normalise(&weight, &scale, &shift, frozen, *epsilon, activation)
                    }
                    LayerStatistics::Batch => {
                        Ok(x.linear(&weight, None)?.batch_norm(&scale, &shift, *epsilon, activation)?.out)
                    }
                    LayerStatistics::BatchAveraged(averages, momentum) => {
                        let a = x.linear(&weight, None)?;
                        Ok(a.batch_norm_averaging(&scale, &shift, *epsilon, activation, averages, momentum)?.out)
                    }
                }
            }
        }
    }
}

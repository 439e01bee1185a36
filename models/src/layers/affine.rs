//! What follows the product of a layer: a bias, or batch normalisation; then the activation.

use rung_autograd::ops::{Activation, FrozenStatistics, Gaussian};
use rung_autograd::{Error, Initialiser, ParameterId, Result, Tensor};

use super::{Builder, Product};
use crate::pass::{LayerStatistics, Pass};
use crate::statistics::StatisticsId;
use crate::steps::{StepRecorder, Value};

/// Settings of batch normalisation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormConfig {
    /// Added to the variance inside the square root.
    pub epsilon: f64,
}

/// y = activation(norm(a)) of a = x · weight, or activation(a) of a = x · weight + bias.
#[derive(Clone, Debug)]
pub(super) struct Affine {
    shift: Shift,
    activation: Activation,
}

/// A bias belongs to the product; batch normalisation comes after it.
#[derive(Clone, Debug)]
enum Shift {
    Bias(ParameterId),
    Norm(BatchNorm),
}

/// Batch normalisation, whose shift makes a bias needless.
#[derive(Clone, Debug)]
pub(super) struct BatchNorm {
    scale: ParameterId,
    shift: ParameterId,
    statistics: StatisticsId,
    pub(super) epsilon: f64,
}

impl BatchNorm {
    /// Scale and shift, [outputs] each.
    pub(super) fn scale_and_shift(&self, pass: &Pass<'_>) -> (Tensor, Tensor) {
        (pass.parameter(self.scale), pass.parameter(self.shift))
    }
}

impl Affine {
    /// Adds `bias` or `norm.scale`, `norm.shift` [outputs], and the statistics of the latter.
    pub(super) fn new(
        builder: &mut Builder<'_>,
        outputs: usize,
        norm: Option<NormConfig>,
        bias: Initialiser,
        activation: Activation,
    ) -> Self {
        let shift = match norm {
            None => Shift::Bias(builder.parameter("bias", [outputs], bias)),
            Some(NormConfig { epsilon }) => {
                let mut norm = builder.at("norm");
                Shift::Norm(BatchNorm {
                    scale: norm.parameter("scale", [outputs], Initialiser::Constant(1.0)),
                    shift: norm.parameter("shift", [outputs], Initialiser::Constant(0.0)),
                    statistics: norm.statistics(outputs),
                    epsilon,
                })
            }
        };
        Self { shift, activation }
    }

    /// What is applied last.
    pub(super) const fn activation(&self) -> Activation {
        self.activation
    }

    /// Which statistics the layer is normalised with; `None` if it has no batch normalisation.
    pub(super) const fn statistics(&self) -> Option<StatisticsId> {
        match &self.shift {
            Shift::Bias(_) => None,
            Shift::Norm(norm) => Some(norm.statistics),
        }
    }

    /// The bias that the product is to add, if there is one.
    pub(super) fn bias(&self, pass: &Pass<'_>) -> Option<Tensor> {
        match self.shift {
            Shift::Bias(bias) => Some(pass.parameter(bias)),
            Shift::Norm(_) => None,
        }
    }

    /// The whole layer as steps, with γ (a − mean)/√(variance + ε) + β folded into weight and bias;
    /// `layer` is a parameter by which it is known.
    pub(super) fn record(
        &self,
        recorder: &mut StepRecorder<'_>,
        layer: ParameterId,
        weight: Tensor,
        x: Value,
    ) -> Result<Value> {
        let (pass, mut weight) = (recorder.pass, weight);
        let bias = match (self.frozen(pass), self.bias(pass)) {
            (Some((norm, statistics)), _) => {
                let (scale, shift) = norm.scale_and_shift(pass);
                let deviation = statistics.variance.shift(norm.epsilon)?.sqrt()?;
                let factor = scale.mul(&deviation.reciprocal()?)?;
                weight = weight.mul(&factor)?;
                shift.sub(&statistics.mean.mul(&factor)?)?
            }
            (None, Some(bias)) => bias,
            (None, None) => {
                let rule = "bug: batch normalisation without frozen statistics; please report it";
                return Err(Error::argument("record", rule));
            }
        };
        let a = recorder.product(layer, Product::Dense, x, (&weight, &bias))?;
        Ok(recorder.activate(a, self.activation))
    }

    /// Batch normalisation and the statistics that the pass gives it, if both exist.
    pub(super) fn frozen<'p>(
        &self,
        pass: &'p Pass<'_>,
    ) -> Option<(&BatchNorm, &'p FrozenStatistics)> {
        let Shift::Norm(norm) = &self.shift else { return None };
        Some((norm, pass.frozen(norm.statistics)?))
    }

    /// The rest of the layer after the product `a` [rows, outputs], to which the bias was added.
    ///
    /// # Errors
    /// `Shape` if `a` has other columns, or no rows where they are normalised.
    pub(super) fn apply(&self, pass: &mut Pass<'_>, a: &Tensor) -> Result<Tensor> {
        let Shift::Norm(norm) = &self.shift else { return a.activate(self.activation) };
        let ((scale, shift), epsilon, activation) =
            (norm.scale_and_shift(pass), norm.epsilon, self.activation);
        let ranks = pass.normalised_over().cloned();
        match (pass.statistics(norm.statistics), ranks) {
            (LayerStatistics::Frozen(statistics), _) => {
                a.normalise(&scale, &shift, statistics, epsilon, activation)
            }
            (of_batch, Some(ranks)) => {
                let (statistics, rows) = a.column_statistics_of(&ranks)?;
                if let LayerStatistics::BatchAveraged(averages, momentum) = of_batch {
                    averages.mean.blend(&statistics.mean, momentum)?;
                    averages.variance.blend(&statistics.variance, momentum)?;
                }
                let of = (rows, &ranks);
                a.synchronised_norm((&scale, &shift), &statistics, epsilon, activation, of)
            }
            (LayerStatistics::Batch, None) => {
                Ok(a.batch_norm(&scale, &shift, epsilon, activation)?.out)
            }
            (LayerStatistics::BatchAveraged(averages, momentum), None) => Ok(a
                .batch_norm_averaging(&scale, &shift, epsilon, activation, averages, momentum)?
                .out),
        }
    }

    /// [`Tensor::gaussian_head`] of [`Affine::apply`]: in one go where the rows are normalised with
    /// their own statistics.
    pub(super) fn apply_head(
        &self,
        pass: &mut Pass<'_>,
        a: &Tensor,
        floor: f64,
    ) -> Result<Gaussian> {
        if let Shift::Norm(norm) = &self.shift
            && self.activation == Activation::Identity
            && pass.normalised_over().is_none()
        {
            let ((scale, shift), epsilon) = (norm.scale_and_shift(pass), norm.epsilon);
            match pass.statistics(norm.statistics) {
                LayerStatistics::Frozen(_) => {}
                LayerStatistics::Batch => {
                    return a.batch_norm_head(&scale, &shift, epsilon, floor);
                }
                LayerStatistics::BatchAveraged(averages, momentum) => {
                    return a.batch_norm_head_averaging(
                        &scale, &shift, epsilon, floor, averages, momentum,
                    );
                }
            }
        }
        self.apply(pass, a)?.gaussian_head(floor)
    }
}

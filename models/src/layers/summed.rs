//! A dense layer of several inputs, each with a weight of its own.

use rung_autograd::ops::{Activation, concat};
use rung_autograd::{Initialiser, ParameterId, Result, Tensor};

use super::affine::Affine;
use super::{Builder, NormConfig};
use crate::pass::Pass;
use crate::statistics::StatisticsId;
use crate::steps::{StepRecorder, Value};

/// y = activation(norm(Σ_i x_i · W_i)) or activation(Σ_i x_i · W_i + bias).
///
/// It is the dense layer of the concatenated inputs, with two differences: each weight starts by
/// its own fan-in, so that few inputs (a class) are not drowned by many (an image); and a product
/// can be computed where its input exists, once per image or once per sample, before the sum.
#[derive(Clone, Debug)]
pub struct SummedDense {
    weights: Vec<ParameterId>,
    affine: Affine,
}

impl SummedDense {
    /// Adds the layer's parameters: for each input of this name and so many units
    /// `weight.NAME` `[units, outputs]`, Glorot normal with gain √2; then `bias` or `norm.scale`,
    /// `norm.shift` `[outputs]`.
    #[must_use]
    pub fn new(
        builder: &mut Builder<'_>,
        inputs: &[(&str, usize)],
        outputs: usize,
        norm: Option<NormConfig>,
        activation: Activation,
    ) -> Self {
        let mut places = builder.at("weight");
        let weight = |&(name, units): &(&str, usize)| {
            let initial = Initialiser::glorot_normal(units, outputs, std::f64::consts::SQRT_2);
            places.parameter(name, [units, outputs], initial)
        };
        let weights = inputs.iter().map(weight).collect();
        let bias = Initialiser::Constant(0.0);
        Self { weights, affine: Affine::new(builder, outputs, norm, bias, activation) }
    }

    /// The weights, in the order of the inputs.
    pub(crate) fn weights(&self) -> &[ParameterId] {
        &self.weights
    }

    /// Which statistics the layer is normalised with; `None` if it has no batch normalisation.
    pub(crate) const fn statistics(&self) -> Option<StatisticsId> {
        self.affine.statistics()
    }

    /// The layer as steps, of the inputs side by side.
    pub(crate) fn record(&self, recorder: &mut StepRecorder<'_>, x: &[Value]) -> Result<Value> {
        let weights: Vec<Tensor> =
            self.weights.iter().map(|&weight| recorder.pass.parameter(weight)).collect();
        let weight = concat(&weights.iter().collect::<Vec<_>>(), 0)?;
        let x = recorder.beside(x);
        self.affine.record(recorder, self.weights[0], weight, x)
    }

    /// The weight of an input, [units, outputs].
    ///
    /// # Panics
    /// If there is no such input: a bug.
    #[must_use]
    pub fn weight(&self, pass: &Pass<'_>, input: usize) -> Tensor {
        pass.parameter(self.weights[input])
    }

    /// x · W of an input: its part of the sum.
    ///
    /// # Errors
    /// `Shape` if `x` has other columns than the input.
    pub fn product(&self, pass: &Pass<'_>, input: usize, x: &Tensor) -> Result<Tensor> {
        x.matmul(&self.weight(pass, input))
    }

    /// The rest of the layer after the sum of the products, [rows, outputs].
    ///
    /// # Errors
    /// `Shape` if the sum has other columns.
    pub fn finish(&self, pass: &mut Pass<'_>, sum: &Tensor) -> Result<Tensor> {
        match self.affine.bias(pass) {
            Some(bias) => self.affine.apply(pass, &sum.add(&bias)?),
            None => self.affine.apply(pass, sum),
        }
    }
}

//! A multilayer perceptron of equal width: the "MLP" of the papers.

use rung_autograd::ops::Activation;
use rung_autograd::{Initialiser, Result, Tensor};

use super::{Builder, Dense, DenseConfig, NormConfig};
use crate::pass::Pass;
use crate::steps::{StepRecorder, Value};

/// Dense layers of one width, one after the other.
#[derive(Clone, Debug)]
pub struct Mlp {
    layers: Vec<Dense>,
}

impl Mlp {
    /// `depth` layers of `width` units, weights Glorot normal with gain √2, under `hidden.0`,
    /// `hidden.1`, ….
    #[must_use]
    pub fn new(
        builder: &mut Builder<'_>,
        inputs: usize,
        width: usize,
        depth: usize,
        activation: Activation,
        norm: Option<NormConfig>,
    ) -> Self {
        let layer = |index: usize| {
            let inputs = if index == 0 { inputs } else { width };
            let weight = Initialiser::glorot_normal(inputs, width, std::f64::consts::SQRT_2);
            let config = DenseConfig {
                inputs,
                outputs: width,
                norm,
                activation,
                weight,
                bias: Initialiser::Constant(0.0),
            };
            Dense::new(&mut builder.at("hidden").at(index), &config)
        };
        Self { layers: (0..depth).map(layer).collect() }
    }

    /// The layers, first to last.
    pub(crate) fn layers(&self) -> std::slice::Iter<'_, Dense> {
        self.layers.iter()
    }

    /// The network applied to each row of `x`.
    ///
    /// # Errors
    /// `Shape` if `x` has other columns than the first layer's inputs.
    pub fn forward(&self, pass: &mut Pass<'_>, x: &Tensor) -> Result<Tensor> {
        self.layers.iter().try_fold(x.clone(), |h, layer| layer.forward(pass, &h))
    }

    /// The network as steps.
    pub(crate) fn record(&self, recorder: &mut StepRecorder<'_>, x: Value) -> Result<Value> {
        self.layers.iter().try_fold(x, |h, layer| layer.record(recorder, h))
    }
}

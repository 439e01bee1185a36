//! A product and a bias, with nothing behind them.

use rung_autograd::{Initialiser, ParameterId, Result, Tensor};

use super::{Builder, Product};
use crate::pass::Pass;
use crate::steps::{StepRecorder, Value};

/// y = x ∗ weight + bias.
#[derive(Clone, Debug)]
pub struct Linear {
    product: Product,
    weight: ParameterId,
    bias: ParameterId,
}

impl Linear {
    /// Adds the layer's parameters: `weight`, and `bias` `[outputs]`, which starts at 0.
    #[must_use]
    pub fn new(
        builder: &mut Builder<'_>,
        product: Product,
        inputs: usize,
        outputs: usize,
        weight: Initialiser,
    ) -> Self {
        let weight = builder.parameter("weight", product.weight_shape(inputs, outputs), weight);
        let bias = builder.parameter("bias", [outputs], Initialiser::Constant(0.0));
        Self { product, weight, bias }
    }

    /// The layer applied to `x`.
    ///
    /// # Errors
    /// `Shape` if `x` does not fit.
    pub fn forward(&self, pass: &Pass<'_>, x: &Tensor) -> Result<Tensor> {
        self.product.apply(x, &pass.parameter(self.weight), Some(&pass.parameter(self.bias)))
    }

    /// The layer as a step.
    pub(crate) fn record(&self, recorder: &mut StepRecorder<'_>, x: Value) -> Result<Value> {
        let numbers = [self.weight, self.bias].map(|parameter| recorder.pass.parameter(parameter));
        recorder.product(self.weight, self.product, x, (&numbers[0], &numbers[1]))
    }
}

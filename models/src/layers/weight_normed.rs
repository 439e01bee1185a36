//! Layers whose weight is a direction and a gain for each output channel (Salimans and Kingma
//! 2016), with data-dependent initialisation.

use rung_autograd::{Initialiser, ParameterId, Result, Tensor};

use super::{Builder, Product};
use crate::pass::{InitialValue, Pass};
use crate::steps::{StepRecorder, Value};

/// Standard deviation of the directions' initial elements.
const DIRECTION_SIGMA: f64 = 0.05;
/// Added to the variance of a channel under the root when a layer is initialised.
const INITIAL_VARIANCE_FLOOR: f64 = 1e-10;
/// The least variance that a channel is taken to have, as a share of the layer's mean: a channel in
/// which a few rows happen to agree is scaled up by ten at most, and not by what divides one
/// accident by another.
const LEAST_VARIANCE_SHARE: f64 = 0.01;
/// Rows below which the variance of a channel says too little to divide by its root alone.
const FEW_ROWS: usize = 16;
/// A layer whose variance is below this share of its mean square does not vary: what is left is
/// rounding.
const ROUNDING_SHARE: f64 = 1e-8;

/// y = x ∗ w + b with w_o = g_o · V_o/‖V_o‖ for each output channel o; the norm is over all other
/// axes.
#[derive(Clone, Debug)]
pub struct WeightNormed {
    product: Product,
    outputs: usize,
    direction: ParameterId,
    gain: ParameterId,
    bias: ParameterId,
}

impl WeightNormed {
    /// Adds the layer's parameters: V ~ N(0, 0.05²), g = 1, b = 0, which
    /// [`Mode::Initialise`](crate::Mode::Initialise) replaces.
    #[must_use]
    pub fn new(builder: &mut Builder<'_>, product: Product, inputs: usize, outputs: usize) -> Self {
        let initialiser = Initialiser::Normal { sigma: DIRECTION_SIGMA };
        let direction =
            builder.parameter("direction", product.weight_shape(inputs, outputs), initialiser);
        let gain = builder.parameter("gain", [outputs], Initialiser::Constant(1.0));
        let bias = builder.parameter("bias", [outputs], Initialiser::Constant(0.0));
        Self { product, outputs, direction, gain, bias }
    }

    /// The layer applied to `x`.
    ///
    /// # Errors
    /// `Shape` if `x` does not fit.
    pub fn forward(&self, pass: &mut Pass<'_>, x: &Tensor) -> Result<Tensor> {
        if let Some(output_sigma) =
            pass.initialisation().map(|initialisation| initialisation.output_sigma)
        {
            return self.initialise(pass, x, output_sigma);
        }
        let weight = self.weight(pass, &pass.parameter(self.gain))?;
        self.product.apply(x, &weight, Some(&pass.parameter(self.bias)))
    }

    /// The layer as a step.
    pub(crate) fn record(&self, recorder: &mut StepRecorder<'_>, x: Value) -> Result<Value> {
        let pass = recorder.pass;
        let weight = self.weight(pass, &pass.parameter(self.gain))?;
        let bias = pass.parameter(self.bias);
        recorder.product(self.direction, self.product, x, (&weight, &bias))
    }

    /// A number that no other layer of the model has.
    pub(crate) const fn index(&self) -> usize {
        self.direction.index()
    }

    fn weight(&self, pass: &Pass<'_>, gain: &Tensor) -> Result<Tensor> {
        let direction = pass.parameter(self.direction);
        direction.weight_norm(gain, self.product.output_axis())
    }

    /// Sets gain and bias so that every channel of the output has mean 0 and this standard
    /// deviation over the rows and positions, as far as these vary: see [`missing_variance`].
    fn initialise(&self, pass: &mut Pass<'_>, x: &Tensor, output_sigma: f64) -> Result<Tensor> {
        let ones = Tensor::full(x.device(), x.dtype(), 1.0, [self.outputs])?;
        let raw = self.product.apply(x, &self.weight(pass, &ones)?, None)?;
        let rows = raw.reshape([raw.shape().element_count() / self.outputs, self.outputs])?;
        let mean = rows.mean(0)?;
        let variance = rows.sub(&mean)?.square()?.mean(0)?;
        let missing =
            missing_variance(rows.shape().sizes()[0], &mean.to_f64()?, &variance.to_f64()?);
        let missing =
            Tensor::from_f64(x.device(), &missing, [self.outputs])?.to_dtype(x.dtype())?;
        let variance = variance.add(&missing)?;
        let gain =
            variance.shift(INITIAL_VARIANCE_FLOOR)?.sqrt()?.reciprocal()?.scale(output_sigma)?;
        let bias = mean.mul(&gain)?.neg()?;
        let out = rows.mul(&gain)?.add(&bias)?.reshape(*raw.shape())?;
        if let Some(initialisation) = pass.initialisation() {
            let values = [(self.gain, gain), (self.bias, bias)];
            initialisation
                .values
                .extend(values.map(|(parameter, value)| InitialValue { parameter, value }));
        }
        Ok(out)
    }
}

/// What each channel's variance lacks to divide by its root, 0 for most.
///
/// A layer that varies needs [`LEAST_VARIANCE_SHARE`] of the mean variance in each channel. Where
/// nothing varies (identical images) the layer's mean square is the least, so that its scale stays
/// that of its inputs; and 1 where that is nothing but rounding too. Over fewer than [`FEW_ROWS`]
/// it is 1 at the least: what they do not tell is not scaled up, layer after layer.
fn missing_variance(rows: usize, mean: &[f64], variance: &[f64]) -> Vec<f64> {
    let channels = variance.len().max(1) as f64;
    let mean_variance = variance.iter().sum::<f64>() / channels;
    let mean_square = mean_variance + mean.iter().map(|mean| mean * mean).sum::<f64>() / channels;
    let least = if mean_square <= INITIAL_VARIANCE_FLOOR {
        1.0
    } else if rows < FEW_ROWS {
        mean_square.max(1.0)
    } else if mean_variance <= ROUNDING_SHARE * mean_square {
        mean_square
    } else {
        LEAST_VARIANCE_SHARE * mean_variance
    };
    variance.iter().map(|variance| (least - variance).max(0.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_that_does_not_vary_is_not_divided_by_nothing() {
        assert_eq!(
            missing_variance(16, &[0.0, 3.0], &[1.0, 2.0]),
            [0.0, 0.0],
            "a layer that varies is left alone"
        );
        assert_eq!(missing_variance(16, &[0.0, 3.0], &[1.0, 0.0]), [0.0, 0.005]);
        assert_eq!(missing_variance(2, &[0.0, 3.0], &[1.0, 0.0]), [4.0, 5.0], "two rows");
        assert_eq!(
            missing_variance(2, &[0.1, 0.0], &[0.0, 0.25]),
            [1.0, 0.75],
            "two rows of small numbers"
        );
        assert_eq!(missing_variance(16, &[1.0, 3.0], &[1e-20, 0.0]), [5.0, 5.0], "rounding");
        assert_eq!(missing_variance(16, &[0.0, 0.0], &[0.0, 0.0]), [1.0, 1.0], "black images");
        assert_eq!(
            missing_variance(16, &[1e-8, 0.0], &[0.0, 1e-16])[0],
            1.0,
            "what a layer above them sees"
        );
    }
}

//! The nonlinearity of hidden layers, by its name in a description.

use rung_autograd::ops::Activation;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The nonlinearity of every hidden layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Nonlinearity {
    /// max(x, slope · x).
    LeakyRelu,
    /// max(x, 0).
    Relu,
    /// x above 0, exp(x) − 1 below.
    Elu,
    /// The hyperbolic tangent.
    Tanh,
    /// ln(1 + exp(x)).
    Softplus,
    /// x itself: linear models, whose bounds are known in closed form.
    Identity,
}

impl Nonlinearity {
    /// The function itself; `leaky_slope` is the slope of `leaky_relu` below zero.
    #[must_use]
    pub const fn activation(self, leaky_slope: f64) -> Activation {
        match self {
            Self::LeakyRelu => Activation::LeakyRelu(leaky_slope),
            Self::Relu => Activation::Relu,
            Self::Elu => Activation::Elu(1.0),
            Self::Tanh => Activation::Tanh,
            Self::Softplus => Activation::Softplus,
            Self::Identity => Activation::Identity,
        }
    }
}

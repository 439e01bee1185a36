//! The gated recurrent unit (Cho et al. 2014).

use rung_autograd::{Initialiser, ParameterId, Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Builder;
use crate::pass::Pass;

/// Where the reset gate acts on the hidden state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GruReset {
    /// On its product with the weight, r * (h W_n): the form of the recurrent spatial transformer's
    /// code, of cuDNN and of PyTorch.
    #[default]
    After,
    /// Before the product, (r * h) W_n: the form of Cho et al.
    Before,
}

/// Sizes and settings of a GRU.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GruConfig {
    /// Units of the input.
    pub inputs: usize,
    /// Units of the hidden state.
    pub units: usize,
    /// Where the reset gate acts.
    pub reset: GruReset,
    /// How both weights start; the biases start at 0.
    pub weight: Initialiser,
}

/// r = σ(x W_xr + h W_hr + b_r),  u = σ(x W_xu + h W_hu + b_u)
/// n = tanh(x W_xn + r * (h W_hn) + b_n)     or, with the reset before the product, (r * h) W_hn
/// h′ = (1 − u) * h + u * n
///
/// u = 1 overwrites the state; some libraries have u and 1 − u exchanged.
#[derive(Clone, Debug)]
pub struct Gru {
    input_weight: ParameterId,
    hidden_weight: ParameterId,
    bias: ParameterId,
    units: usize,
    reset: GruReset,
}

/// What an input contributes to the reset gate, the update gate and the candidate: `[rows, units]`
/// each. An input that is the same at every step is multiplied once.
#[derive(Clone, Debug)]
pub struct GruInput {
    reset: Tensor,
    update: Tensor,
    candidate: Tensor,
}

impl Gru {
    /// Adds `input_weight` `[inputs, 3·units]`, `hidden_weight` `[units, 3·units]` and `bias`
    /// `[3·units]`, whose columns are those of the reset gate, the update gate and the candidate.
    #[must_use]
    pub fn new(builder: &mut Builder<'_>, config: &GruConfig) -> Self {
        let GruConfig { inputs, units, reset, weight } = *config;
        Self {
            input_weight: builder.parameter("input_weight", [inputs, 3 * units], weight),
            hidden_weight: builder.parameter("hidden_weight", [units, 3 * units], weight),
            bias: builder.parameter("bias", [3 * units], Initialiser::Constant(0.0)),
            units,
            reset,
        }
    }

    /// x W_x + b for `x` [rows, inputs].
    ///
    /// # Errors
    /// `Shape` if `x` has other columns.
    pub fn input(&self, pass: &Pass<'_>, x: &Tensor) -> Result<GruInput> {
        let (weight, bias) = (pass.parameter(self.input_weight), pass.parameter(self.bias));
        let [reset, update, candidate] = self.parts(&x.linear(&weight, Some(&bias))?)?;
        Ok(GruInput { reset, update, candidate })
    }

    /// The state after one step from the state `h` [rows, units]; `None` is the state 0.
    ///
    /// # Errors
    /// `Shape` if `h` has other rows or columns.
    pub fn step(&self, pass: &Pass<'_>, x: &GruInput, h: Option<&Tensor>) -> Result<Tensor> {
        let Some(h) = h else {
            // 0 W_h is 0, whatever the reset gate says.
            return x.update.sigmoid()?.mul(&x.candidate.tanh()?);
        };
        let weight = pass.parameter(self.hidden_weight);
        let gate = |x: &Tensor, h: &Tensor| x.add(h)?.sigmoid();
        let (update, candidate) = match self.reset {
            GruReset::After => {
                let [of_reset, of_update, of_candidate] = self.parts(&h.matmul(&weight)?)?;
                let reset = gate(&x.reset, &of_reset)?;
                (gate(&x.update, &of_update)?, reset.mul(&of_candidate)?)
            }
            GruReset::Before => {
                let of_gates = h.matmul(&weight.slice(1, 0, 2 * self.units)?)?;
                let reset = gate(&x.reset, &of_gates.slice(1, 0, self.units)?)?;
                let update = gate(&x.update, &of_gates.slice(1, self.units, self.units)?)?;
                let of_candidate = weight.slice(1, 2 * self.units, self.units)?;
                (update, reset.mul(h)?.matmul(&of_candidate)?)
            }
        };
        let candidate = x.candidate.add(&candidate)?.tanh()?;
        // (1 − u) h + u n, with one product.
        h.add(&update.mul(&candidate.sub(h)?)?)
    }

    /// The columns of the reset gate, the update gate and the candidate.
    fn parts(&self, joined: &Tensor) -> Result<[Tensor; 3]> {
        let part = |number: usize| joined.slice(1, number * self.units, self.units);
        Ok([part(0)?, part(1)?, part(2)?])
    }
}

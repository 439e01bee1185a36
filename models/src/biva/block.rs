//! The gated residual block that every path of the model is made of (specification B, section 6.2).

use std::iter;

use rung_autograd::ops::{Activation, concat};
use rung_autograd::{Result, Tensor};

use super::stage::BlockConfig;
use crate::layers::{Builder, Product, WeightNormed};
use crate::map_shape::MapShape;
use crate::pass::Pass;
use crate::steps::{StepRecorder, Value};

/// The nonlinearity in front of every product.
pub(super) const ELU: Activation = Activation::Elu(1.0);

/// The pass that a block belongs to, which says what its stride does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// It shrinks maps.
    BottomUp,
    /// It enlarges maps.
    TopDown,
}

/// Everything that decides a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct GatedBlockConfig {
    /// The shape of the input.
    pub(super) input: MapShape,
    /// The shape of the second input, if there is one.
    pub(super) aux: Option<MapShape>,
    /// Channels, kernel and stride.
    pub(super) block: BlockConfig,
    /// What the stride does.
    pub(super) direction: Direction,
    /// Whether the input is added to the output, where their shapes allow it.
    pub(super) residual: bool,
    /// Dropout rate between the two products.
    pub(super) dropout: f64,
}

/// y = b₁ · sigmoid(b₂) + residual, [b₁ | b₂] = W_b ∗ dropout(e(W_a ∗ e(x) + W_aux ∗ e(aux))),
///
/// e being the ELU.
#[derive(Clone, Debug)]
pub(super) struct GatedBlock {
    first: WeightNormed,
    aux: Option<WeightNormed>,
    second: WeightNormed,
    residual: Residual,
    dropout: f64,
    output: MapShape,
}

/// How the input becomes a summand of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Residual {
    None,
    /// The mean over squares of this side, then so many channels of zeros at the end.
    Added {
        pool: usize,
        zero_channels: usize,
    },
}

impl GatedBlock {
    pub(super) fn new(builder: &mut Builder<'_>, config: &GatedBlockConfig) -> Self {
        let GatedBlockConfig { input, aux, block, direction, residual, dropout } = *config;
        let BlockConfig { channels, kernel, stride } = block;
        let plain = Product::Convolution { kernel, stride: 1 };
        let (second, output) = match direction {
            Direction::BottomUp => (Product::Convolution { kernel, stride }, input.shrunk(stride)),
            Direction::TopDown if stride > 1 => {
                (Product::Transposed { kernel, stride }, input.enlarged(stride))
            }
            Direction::TopDown => (plain, input),
        };
        let output = output.with_channels(channels);
        Self {
            first: WeightNormed::new(&mut builder.at("first"), plain, input.channels, channels),
            aux: aux.map(|aux| {
                let product = aux_product(input, aux, kernel);
                WeightNormed::new(&mut builder.at("aux"), product, aux.channels, channels)
            }),
            second: WeightNormed::new(&mut builder.at("second"), second, channels, 2 * channels),
            residual: Residual::between(input, output, residual),
            dropout,
            output,
        }
    }

    /// The shape of what the block makes.
    pub(super) const fn output(&self) -> MapShape {
        self.output
    }

    pub(super) fn forward(
        &self,
        pass: &mut Pass<'_>,
        x: &Tensor,
        aux: Option<&Tensor>,
    ) -> Result<Tensor> {
        if !pass.recomputes() {
            return self.compute(pass, x, aux);
        }
        let block = self.clone();
        let inputs: Vec<&Tensor> = iter::once(x).chain(aux).collect();
        pass.recomputed(&inputs, move |pass, inputs| block.compute(pass, &inputs[0], inputs.get(1)))
    }

    /// The block as steps, without dropout.
    pub(super) fn record(
        &self,
        recorder: &mut StepRecorder<'_>,
        x: Value,
        aux: Option<Value>,
    ) -> Result<Value> {
        let active = recorder.activate(x, ELU);
        let mut hidden = self.first.record(recorder, active)?;
        if let (Some(layer), Some(aux)) = (&self.aux, aux) {
            let active = recorder.activate(aux, ELU);
            let second = layer.record(recorder, active)?;
            hidden = recorder.add(hidden, second);
        }
        let hidden = recorder.activate(hidden, ELU);
        let both = self.second.record(recorder, hidden)?;
        let gated = recorder.gate(both);
        let Residual::Added { pool, zero_channels } = self.residual else { return Ok(gated) };
        let mut short = if pool > 1 { recorder.average_pool(x, pool) } else { x };
        if zero_channels > 0 {
            short = recorder.widen(short, short.shape.channels + zero_channels);
        }
        Ok(recorder.add(gated, short))
    }

    fn compute(&self, pass: &mut Pass<'_>, x: &Tensor, aux: Option<&Tensor>) -> Result<Tensor> {
        let mut hidden = self.first.forward(pass, &x.activate(ELU)?)?;
        if let (Some(layer), Some(aux)) = (&self.aux, aux) {
            hidden = hidden.add(&layer.forward(pass, &aux.activate(ELU)?)?)?;
        }
        let hidden = pass.dropout(&hidden.activate(ELU)?, self.dropout, self.first.index())?;
        let gated = self.second.forward(pass, &hidden)?.gate()?;
        match self.residual {
            Residual::None => Ok(gated),
            Residual::Added { pool, zero_channels } => {
                gated.add(&shortcut(x, pool, zero_channels)?)
            }
        }
    }
}

/// The product that brings the second input to the positions of the first.
fn aux_product(input: MapShape, aux: MapShape, kernel: usize) -> Product {
    if aux.height > input.height {
        Product::Convolution { kernel, stride: aux.height / input.height }
    } else if aux.height < input.height {
        Product::Transposed { kernel, stride: input.height / aux.height }
    } else {
        Product::Convolution { kernel: 1, stride: 1 }
    }
}

impl Residual {
    /// None where the output is larger or has fewer channels than the input.
    fn between(input: MapShape, output: MapShape, wanted: bool) -> Self {
        if !wanted || output.height > input.height || output.channels < input.channels {
            return Self::None;
        }
        Self::Added {
            pool: input.height / output.height,
            zero_channels: output.channels - input.channels,
        }
    }
}

fn shortcut(x: &Tensor, pool: usize, zero_channels: usize) -> Result<Tensor> {
    let pooled = if pool > 1 { x.average_pool2d(pool)? } else { x.clone() };
    if zero_channels == 0 {
        return Ok(pooled);
    }
    let zeros = Tensor::zeros(x.device(), x.dtype(), pooled.shape().with_axis(3, zero_channels))?;
    concat(&[&pooled, &zeros], 3)
}

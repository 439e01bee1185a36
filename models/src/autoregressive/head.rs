//! The network of an autoregressive observation: its sizes, its parameters, and what of it depends
//! on the latents alone.

use rung_autograd::ops::Activation;
use rung_autograd::{Convolution, Error, Initialiser, Padding, ParameterId, Result, Tensor};

use super::masked::{Mask, MaskedConvolution};
use super::observation::{Autoregressive, ConditionedLayer};
use crate::layers::{Builder, Dense, DenseConfig};
use crate::map_shape::MapShape;
use crate::observation::PixelObservation;
use crate::pass::Pass;
use crate::rules::{BrokenRule, LARGEST_KERNEL, LARGEST_LAYER, rule};

/// Side of the kernels behind the first.
const LATER_KERNEL: usize = 3;
/// Gain of the initial weight that brings the context to the parameters: the latents come first.
const OUTPUT_GAIN: f64 = 0.1;

/// Sizes of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AutoregressiveConfig {
    /// Masked convolutions, n: one of the image, the others of features.
    pub layers: usize,
    /// Channels of each.
    pub channels: usize,
    /// Side of the first one's square kernel; odd. The others have 3.
    pub kernel: usize,
}

impl AutoregressiveConfig {
    /// Refuses sizes that make no network; the keys are those of `[model]`.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self) -> std::result::Result<(), BrokenRule> {
        let Self { layers, channels, kernel } = *self;
        rule((1..=64).contains(&layers), "autoregressive_layers", layers, "must be 0 to 64")?;
        let valid = (1..=LARGEST_LAYER).contains(&channels);
        rule(valid, "autoregressive_channels", channels, "must be 1 to 65536")?;
        let valid = (3..LARGEST_KERNEL).contains(&kernel) && kernel % 2 == 1;
        rule(valid, "autoregressive_kernel", kernel, "must be an odd number from 3 to 63")
    }
}

impl AutoregressiveConfig {
    /// The convolutions of a batch of so many images: the masked kernels with their zeros.
    #[must_use]
    pub fn convolutions(&self, image: MapShape, rows: usize) -> Vec<Convolution> {
        let layer = |index: usize| {
            let (side, in_channels) = match index {
                0 => (self.kernel, image.channels),
                _ => (LATER_KERNEL, self.channels),
            };
            Convolution {
                batch: rows,
                input: [image.height, image.width],
                in_channels,
                out_channels: self.channels,
                kernel: [side; 2],
                stride: 1,
                padding: Padding::Same,
            }
        };
        (0..self.layers).map(layer).collect()
    }
}

/// The network with its parameters.
#[derive(Clone, Debug)]
pub struct AutoregressiveHead {
    pixels: PixelObservation,
    layers: Vec<Layer>,
    /// W: `[channels, parameters of a position]`.
    output: ParameterId,
}

/// One masked convolution and what the latents' features add to it.
#[derive(Clone, Debug)]
struct Layer {
    masked: MaskedConvolution,
    features: Dense,
}

impl AutoregressiveHead {
    /// Adds the parameters: for layer l from 1 `l.context.weight`, `l.features.weight` and
    /// `l.features.bias`, and `output.weight`. `features` are the channels of F.
    #[must_use]
    pub fn new(
        builder: &mut Builder<'_>,
        config: &AutoregressiveConfig,
        pixels: PixelObservation,
        features: usize,
    ) -> Self {
        let AutoregressiveConfig { layers, channels, kernel } = *config;
        let layer = |index: usize| {
            let mut builder = builder.at(index + 1);
            let (masked, inputs) = match index {
                0 => ((Mask::Before, kernel), pixels.image.channels),
                _ => ((Mask::UpTo, LATER_KERNEL), channels),
            };
            let linear = DenseConfig {
                inputs: features,
                outputs: channels,
                norm: None,
                activation: Activation::Identity,
                weight: Initialiser::glorot_normal(features, channels, 1.0),
                bias: Initialiser::Constant(0.0),
            };
            Layer {
                masked: MaskedConvolution::new(
                    &mut builder.at("context"),
                    masked,
                    inputs,
                    channels,
                ),
                features: Dense::new(&mut builder.at("features"), &linear),
            }
        };
        let layers = (0..layers).map(layer).collect();
        let width = pixels.parameters();
        let initialiser = Initialiser::glorot_normal(channels, width, OUTPUT_GAIN);
        let output = builder.at("output").parameter("weight", [channels, width], initialiser);
        Self { pixels, layers, output }
    }

    /// p(x|z) from the features F of the top-down pass and the parameters that it has without the
    /// pixels before; each row is one sample of the latents.
    ///
    /// | tensor | shape |
    /// |---|---|
    /// | `features` | `[rows, height, width, channels of F]` |
    /// | `base` | `[rows, height, width, parameters of a position]` |
    ///
    /// # Errors
    /// `Shape` if the maps are not those of the images.
    pub fn forward(
        &self,
        pass: &mut Pass<'_>,
        features: &Tensor,
        base: &Tensor,
    ) -> Result<Autoregressive> {
        let image = self.pixels.image;
        let (&[rows, height, width, channels], &[base_rows, base_height, base_width, parameters]) =
            (features.shape().sizes(), base.shape().sizes())
        else {
            return Err(misfit("features and parameters must be maps", features, base));
        };
        let has_size = |size: [usize; 2]| size == [image.height, image.width];
        if rows != base_rows
            || !has_size([height, width])
            || !has_size([base_height, base_width])
            || parameters != self.pixels.parameters()
        {
            return Err(misfit("both maps must have the size of the images", features, base));
        }
        let positions = features.reshape([rows * height * width, channels])?;
        let mut layers = Vec::with_capacity(self.layers.len());
        for Layer { masked, features } in &self.layers {
            let added = features.forward(pass, &positions)?;
            let added = added.reshape([rows, height, width, added.shape().last()])?;
            layers.push(ConditionedLayer { kernel: masked.kernel(pass), added });
        }
        Ok(Autoregressive {
            pixels: self.pixels,
            layers,
            output: pass.parameter(self.output),
            base: base.clone(),
            recomputes: pass.recomputes(),
        })
    }
}

fn misfit(rule: &str, features: &Tensor, base: &Tensor) -> Error {
    let shapes = [("features", *features.shape()), ("base", *base.shape())];
    Error::shape("autoregressive", rule, &shapes)
}

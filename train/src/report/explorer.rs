//! The generative network, small enough to travel in a page and exact enough to draw the program's
//! own images.
//!
//! Batch normalisation with frozen statistics is linear, so it is folded into the weights: each
//! dense layer is y = φ(x W + b). Each column of W is stored as 16-bit integers and one scale.
//! Half-precision floats would take as much room, but their step near the largest weight of a
//! column is 2⁻¹¹ of it, where that of the integers is 2⁻¹⁵: over five layers the difference is
//! that between a visible and an invisible error of a pixel. The page itself measures what is left,
//! against images that the program has drawn.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use rung_autograd::ops::FrozenStatistics;
use rung_autograd::rng::Phase;
use rung_autograd::{Shape, Tensor};
use rung_models::hierarchy::Observation;
use rung_models::{Activation, Group, HierarchyConfig, LatentSource, Statistics};
use serde_json::{Value, json};

use super::base64;
use super::model_figures::{SEED, ShownModel};
use crate::error::{Context, Error, Result};
use crate::run::checkpoint::{CheckpointData, TensorData};
use crate::tasks::latent::encoding::LayerLatents;
use crate::tasks::latent::pictures::{self, Wanted};

/// Images of `rung sample` that the page starts from and is measured by.
const DRAWN: usize = 8;
/// Held-out images whose codes travel with the page.
const CODES: usize = 16;
/// The largest magnitude of a stored weight.
const LARGEST: f64 = 32767.0;

/// What the page's explorer needs, as JSON with the numbers in base64.
#[derive(Debug, Clone)]
pub struct Explorer {
    /// One object; `explorer.js` documents how it is read.
    pub data: Value,
}

/// What the explorer is made from.
pub struct Subjects<'a> {
    /// The model and the images.
    pub shown: &'a ShownModel<'a>,
    /// Latents of the first held-out images, z_1 first; empty without images.
    pub latents: &'a [LayerLatents],
}

/// A dense layer with its normalisation folded in.
#[derive(Debug, Clone, PartialEq)]
struct Folded {
    inputs: usize,
    outputs: usize,
    /// [inputs, outputs].
    weight: Vec<f64>,
    bias: Vec<f64>,
}

impl Explorer {
    /// The generative network of a hierarchy with noise, drawn images and codes; `config` is what
    /// the model was made from.
    ///
    /// # Errors
    /// If the device fails or a tensor is missing.
    pub fn new(subjects: &Subjects<'_>, config: &HierarchyConfig) -> Result<Self> {
        let ShownModel { model, statistics, shape, images, .. } = *subjects.shown;
        let mut tensors = CheckpointData::default();
        model.save(&mut tensors)?;
        let norm = [config.hidden_norm(), config.head_norm()]
            .map(|norm| norm.map_or(0.0, |norm| norm.epsilon));
        let source = Source { tensors: &tensors, statistics, epsilon: norm };
        let depth = config.depth();
        let mut bytes = Vec::new();
        let mut networks = Vec::new();
        for layer in (1..depth).rev() {
            networks.push(source.network(
                &format!("generative.{layer}"),
                "head",
                config.mlp_layers,
                &mut bytes,
            )?);
        }
        let head = if config.observation == Observation::Bernoulli { "logits" } else { "head" };
        networks.push(source.network("generative.x", head, config.mlp_layers, &mut bytes)?);
        let (activation, slope) = match config.nonlinearity.activation(config.leaky_slope) {
            Activation::LeakyRelu(slope) => ("leaky_relu", slope),
            Activation::Relu => ("leaky_relu", 0.0),
            Activation::Identity => ("leaky_relu", 1.0),
            Activation::Elu(alpha) => ("elu", alpha),
            Activation::Tanh => ("tanh", 0.0),
            Activation::Softplus => ("softplus", 0.0),
            other => {
                return Err(Error::new(format!(
                    "bug: the explorer has no activation {other:?}; please report it"
                )));
            }
        };
        let source = LatentSource::StandardNormal { layer: depth, count: DRAWN };
        let wanted = Wanted::means(source, SEED);
        let drawn = pictures::samples(model, statistics, &wanted, &mut |_, _| ())?;
        let count = images.map_or(0, |images| CODES.min(images.count()));
        let originals = match images {
            Some(images) => {
                let pixels = images.intensities(0, count).and_then(|pixels| pixels.to_f32());
                pixels.context("reading images")?
            }
            None => Vec::new(),
        };
        let codes: Vec<f32> = subjects
            .latents
            .iter()
            .flat_map(|layer| layer.z[..count * layer.units].to_vec())
            .collect();
        let data = json!({
            "units": config.latent_sizes,
            "shape": [shape.channels, shape.height, shape.width],
            "activation": activation, "slope": slope, "floor": config.variance_floor,
            "bernoulli": config.observation == Observation::Bernoulli,
            "networks": networks, "weights": base64::encode(&deflated(&bytes)?),
            "ranges": subjects.latents.iter().map(ranges).collect::<Vec<_>>(),
            "drawn": DRAWN, "noise": base64::encode(&floats(&noise(subjects.shown, depth)?)),
            "pixels": base64::encode(&shorts(drawn.pixels())),
            "codes": count, "latents": base64::encode(&floats(&codes)),
            "originals": base64::encode(&shorts(&originals)),
        });
        Ok(Self { data })
    }
}

/// The noise that the first images of `rung sample` are made from: for each layer, z_1 first,
/// [image, unit].
fn noise(shown: &ShownModel<'_>, depth: usize) -> Result<Vec<f32>> {
    let pass = shown.model.frozen_pass(
        shown.statistics,
        SEED,
        Phase::Sample.nth(depth).context("drawing noise")?,
    );
    let groups = shown.model.latent()?.groups();
    let of_group = |(index, group): (usize, &Group)| {
        let noise = pass.prior_noise(index + 1, Shape::from([DRAWN, group.units]));
        noise.and_then(|noise: Tensor| noise.to_f32()).context("drawing noise")
    };
    Ok(groups.iter().enumerate().map(of_group).collect::<Result<Vec<_>>>()?.concat())
}

/// Where the networks' numbers are.
struct Source<'a> {
    tensors: &'a CheckpointData,
    statistics: &'a Statistics,
    /// Added to the variance of hidden layers, and of heads.
    epsilon: [f64; 2],
}

impl Source<'_> {
    /// Appends the dense layers of a network to `bytes`; returns their sizes.
    fn network(&self, path: &str, head: &str, hidden: usize, bytes: &mut Vec<u8>) -> Result<Value> {
        let mut sizes = Vec::new();
        for index in 0..=hidden {
            let (name, epsilon) = match index {
                _ if index == hidden => (format!("{path}.{head}"), self.epsilon[1]),
                _ => (format!("{path}.hidden.{index}"), self.epsilon[0]),
            };
            let layer = self.folded(&name, epsilon)?;
            sizes.push([layer.inputs, layer.outputs]);
            layer.append(bytes);
        }
        Ok(json!(sizes))
    }

    /// W and b of a dense layer, with γ (a − mean)/√(variance + ε) + β folded in where it is
    /// normalised.
    fn folded(&self, name: &str, epsilon: f64) -> Result<Folded> {
        let tensor = |part: &str| -> Result<&TensorData> {
            let name = format!("{name}.{part}");
            self.tensors.tensors.get(&name).ok_or_else(|| {
                Error::new(format!("bug: the model has no tensor {name}; please report it"))
            })
        };
        let weight = tensor("weight")?;
        let &[inputs, outputs] = weight.shape() else {
            return Err(Error::new(format!("bug: {name}.weight is no matrix; please report it")));
        };
        let weight = weight.to_f64();
        let norm = format!("{name}.norm");
        let Some((_, FrozenStatistics { mean, variance })) =
            self.statistics.iter().find(|(layer, _)| *layer == norm)
        else {
            return Ok(Folded { inputs, outputs, weight, bias: tensor("bias")?.to_f64() });
        };
        let read = |values: &Tensor| values.to_f64().context("reading statistics");
        let (mean, variance) = (read(mean)?, read(variance)?);
        let (scale, shift) = (tensor("norm.scale")?.to_f64(), tensor("norm.shift")?.to_f64());
        let factor: Vec<f64> = scale
            .iter()
            .zip(&variance)
            .map(|(scale, variance)| scale / (variance + epsilon).sqrt())
            .collect();
        let weight = weight.iter().enumerate().map(|(at, w)| w * factor[at % outputs]).collect();
        let bias = (0..outputs).map(|at| shift[at] - mean[at] * factor[at]).collect();
        Ok(Folded { inputs, outputs, weight, bias })
    }
}

impl Folded {
    /// Little-endian: the columns' scales and the biases as 32-bit floats, then the weights as
    /// 16-bit integers, row by row.
    fn append(&self, bytes: &mut Vec<u8>) {
        let column = |at: usize| self.weight.iter().skip(at).step_by(self.outputs);
        let scales: Vec<f32> = (0..self.outputs)
            .map(|at| (column(at).fold(0.0f64, |m, w| m.max(w.abs())) / LARGEST) as f32)
            .collect();
        let biases: Vec<f32> = self.bias.iter().map(|&b| b as f32).collect();
        bytes.extend(floats(&scales));
        bytes.extend(floats(&biases));
        for (at, weight) in self.weight.iter().enumerate() {
            let scale = f64::from(scales[at % self.outputs]);
            let whole =
                if scale > 0.0 { (weight / scale).round().clamp(-LARGEST, LARGEST) } else { 0.0 };
            bytes.extend((whole as i16).to_le_bytes());
        }
        // What follows begins at a multiple of four bytes again.
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
}

/// Mean and standard deviation of each unit over the images: where its slider is.
fn ranges(layer: &LayerLatents) -> Vec<[f64; 2]> {
    let short = |value: f64| (value * 1e3).round() / 1e3;
    let unit = |unit: usize| {
        let values = || layer.z.iter().skip(unit).step_by(layer.units).map(|&z| f64::from(z));
        let count = values().count().max(1) as f64;
        let mean = values().sum::<f64>() / count;
        let variance = values().map(|z| (z - mean).powi(2)).sum::<f64>() / count;
        [short(mean), short(variance.sqrt())]
    };
    (0..layer.units).map(unit).collect()
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Pixels in [0, 1] as 16-bit integers up to 65535.
fn shorts(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| ((value * 65535.0).round() as u16).to_le_bytes()).collect()
}

fn deflated(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).context("compressing the weights")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_kept_to_a_65534th_of_their_column() {
        let layer = Folded {
            inputs: 3,
            outputs: 2,
            weight: vec![1.0, 0.0, -0.3, 0.0, 0.123_456, 0.0],
            bias: vec![0.5, -0.25],
        };
        let mut bytes = Vec::new();
        layer.append(&mut bytes);
        let float = |at: usize| f32::from_le_bytes(bytes[4 * at..4 * at + 4].try_into().unwrap());
        let whole =
            |at: usize| i16::from_le_bytes(bytes[16 + 2 * at..18 + 2 * at].try_into().unwrap());
        assert_eq!((float(2), float(3)), (0.5, -0.25));
        for (row, expected) in [1.0, -0.3, 0.123_456].into_iter().enumerate() {
            let kept = f64::from(whole(2 * row)) * f64::from(float(0));
            assert!((kept - expected).abs() <= 0.5 / LARGEST * 1.001, "{kept} {expected}");
            assert_eq!(whole(2 * row + 1), 0, "a column of zeros stays one");
        }
        assert_eq!(bytes.len() % 4, 0);
    }
}

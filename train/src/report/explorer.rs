//! The generative network, small enough to travel in a page and exact enough to draw the program's
//! own images.
//!
//! What travels are the model's [steps](rung_models::GenerativeSteps) and the weights of its dense
//! layers and convolutions. Each column of a weight (an output channel) is stored as 16-bit
//! integers and one scale. Half-precision floats would take as much room, but their step near the
//! largest weight of a column is 2⁻¹¹ of it, where that of the integers is 2⁻¹⁵: over five layers
//! the difference is that between a visible and an invisible error of a pixel. The page itself
//! measures what is left, against images that the program has drawn.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use rung_autograd::rng::Phase;
use rung_autograd::{DType, Shape, Tensor};
use rung_models::layers::Product;
use rung_models::{
    Activation, Choice, Deviation, GenerativeSteps, Group, LatentModel, LatentSource, MapShape,
    Operation, Pass, Step, StepPixels, StepWeights,
};
use serde_json::{Value, json};

use super::base64;
use super::model_figures::{SEED, ShownModel};
use crate::error::{Context, Error, Result};
use crate::tasks::latent::encoding::{Encoded, LayerLatents};
use crate::tasks::latent::pictures::{self, Wanted};

/// Images of `rung sample` that the page starts from and is measured by.
const DRAWN: usize = 8;
/// Held-out images whose codes travel with the page.
const CODES: usize = 16;
/// The largest magnitude of a stored weight.
const LARGEST: f64 = 32767.0;
/// Weights that a page carries at most: of these it has about 11 megabytes.
const MOST_WEIGHTS: usize = 4_000_000;
/// Multiplications for an image that a slider waits for: a browser does some 500 million a second.
const MOST_MULTIPLICATIONS: usize = 150_000_000;

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
    /// Latents and class probabilities of the first held-out images; empty without images.
    pub encoded: &'a Encoded,
}

impl Explorer {
    /// The generative network with noise, drawn images and codes; or in words why there is none.
    ///
    /// # Errors
    /// If the device fails.
    pub fn new(subjects: &Subjects<'_>) -> Result<std::result::Result<Self, String>> {
        let ShownModel { model, statistics, shape, images, .. } = *subjects.shown;
        let network = model.latent()?;
        let pass = model.frozen_pass(statistics, SEED, 0);
        let steps = match network.generative_steps(&pass).context("reading the model")? {
            Ok(steps) => steps,
            Err(reason) => return Ok(Err(reason.into())),
        };
        if let Some(reason) = too_large(&steps) {
            return Ok(Err(reason));
        }
        let mut bytes = Vec::new();
        for layer in &steps.weights {
            append(layer, &mut bytes);
        }
        let source = LatentSource::StandardNormal { layer: network.depth(), count: DRAWN };
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
            .encoded
            .layers
            .iter()
            .flat_map(|layer| layer.z[..count * layer.units].to_vec())
            .collect();
        let choice = match choice(&steps) {
            Some((name, options)) => json!({
                "name": name, "options": options,
                "drawn": drawn_choices(subjects.shown, network)?,
                "codes": chosen_of_codes(subjects, network, count)?,
            }),
            None => Value::Null,
        };
        let layer =
            |layer: &StepWeights| json!([layer.weight.len() / layer.outputs, layer.outputs]);
        let data = json!({
            "groups": network.groups().iter().map(Group::symbol).collect::<Vec<_>>(),
            "units": network.groups().iter().map(|group| group.units).collect::<Vec<_>>(),
            "shape": [shape.channels, shape.height, shape.width],
            "steps": steps.steps.iter().map(step).collect::<Result<Vec<_>>>()?,
            "pixels": pixels(steps.pixels),
            "layers": steps.weights.iter().map(layer).collect::<Vec<_>>(),
            "weights": base64::encode(&deflated(&bytes)?),
            "ranges": subjects.encoded.layers.iter().map(ranges).collect::<Vec<_>>(),
            "choice": choice,
            "drawn": DRAWN, "noise": base64::encode(&floats(&noise(subjects.shown, network)?)),
            "images": base64::encode(&shorts(drawn.pixels())),
            "codes": count, "latents": base64::encode(&floats(&codes)),
            "originals": base64::encode(&shorts(&originals)),
        });
        Ok(Ok(Self { data }))
    }
}

/// Why a page does not carry this model.
fn too_large(steps: &GenerativeSteps) -> Option<String> {
    let millions = |count: usize| format!("{:.1} million", count as f64 / 1e6);
    let (weights, products) = (steps.weight_count(), steps.multiplications());
    if weights > MOST_WEIGHTS {
        return Some(format!(
            "its generative network has {} weights, and a page carries at most {}",
            millions(weights),
            millions(MOST_WEIGHTS)
        ));
    }
    (products > MOST_MULTIPLICATIONS).then(|| {
        format!(
            "its generative network makes an image with {} multiplications, and a slider waits for \
            at most {}",
            millions(products),
            millions(MOST_MULTIPLICATIONS)
        )
    })
}

/// What is chosen beside the latents, in a word, and of how many.
fn choice(steps: &GenerativeSteps) -> Option<(&'static str, usize)> {
    steps.steps.iter().find_map(|step| match step.operation {
        Operation::Choice(Choice::Class) => Some(("class", step.shape.units())),
        Operation::Choice(Choice::Component) => Some(("component", step.shape.units())),
        _ => None,
    })
}

/// The pass that the first images of `rung sample` are drawn in.
fn sampling<'a>(shown: &ShownModel<'a>, network: &dyn LatentModel) -> Result<Pass<'a>> {
    let step = Phase::Sample.nth(network.depth()).context("drawing noise")?;
    Ok(shown.model.frozen_pass(shown.statistics, SEED, step))
}

/// What is chosen for each of the first images of `rung sample`.
fn drawn_choices(shown: &ShownModel<'_>, network: &dyn LatentModel) -> Result<Vec<u32>> {
    network.drawn_choices(&sampling(shown, network)?, DRAWN).context("drawing noise")
}

/// What is chosen for the codes: the likeliest class, or component of the mixture.
fn chosen_of_codes(
    subjects: &Subjects<'_>,
    network: &dyn LatentModel,
    count: usize,
) -> Result<Vec<usize>> {
    let doing = "choosing components";
    let likeliest = |row: &[f32]| {
        let most = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        most.map_or(0, |(option, _)| option)
    };
    let Encoded { layers, class_probs } = subjects.encoded;
    if let Some(classifier) = network.classifier() {
        let rows = class_probs.chunks_exact(classifier.classes());
        return Ok(rows.take(count).map(likeliest).collect());
    }
    let (Some(clusters), Some(top)) = (network.clusters(), layers.last()) else {
        return Ok(Vec::new());
    };
    let pass = sampling(subjects.shown, network)?;
    let z: Vec<f64> = top.z[..count * top.units].iter().map(|&z| f64::from(z)).collect();
    let device = subjects.shown.model.store.device();
    let z = Tensor::from_values(device, DType::F32, &z, [count, top.units]).context(doing)?;
    let of_rows = clusters.log_responsibilities(&pass, &z).and_then(|all| all.to_f32());
    Ok(of_rows.context(doing)?.chunks_exact(clusters.count()).map(likeliest).collect())
}

/// The noise that the first images of `rung sample` are made from: for each group, nearest to the
/// data first, [image, unit].
fn noise(shown: &ShownModel<'_>, network: &dyn LatentModel) -> Result<Vec<f32>> {
    let pass = sampling(shown, network)?;
    let of_group = |(index, group): (usize, &Group)| {
        let noise = pass.prior_noise(index + 1, Shape::from([DRAWN, group.units]));
        noise.and_then(|noise| noise.to_f32()).context("drawing noise")
    };
    let groups = network.groups();
    Ok(groups.iter().enumerate().map(of_group).collect::<Result<Vec<_>>>()?.concat())
}

/// A step as the page reads it.
fn step(step: &Step) -> Result<Value> {
    let sides = |shape: MapShape| [shape.height, shape.width, shape.channels];
    let inputs: Vec<_> = step.inputs.iter().map(|input| (input.step, sides(input.shape))).collect();
    let mut object = match step.operation {
        Operation::Sample { group } => json!({"do": "sample", "group": group}),
        Operation::Choice(_) => json!({"do": "choice"}),
        Operation::Gaussian { group, deviation } => {
            let (name, floor) = match deviation {
                Deviation::Softplus { floor } => ("softplus", floor),
                Deviation::ExpSoftplus { floor } => ("exp_softplus", floor),
                Deviation::BinarySoftplus { floor } => ("binary_softplus", floor),
                Deviation::Exp => ("exp", 0.0),
                Deviation::One => ("one", 0.0),
            };
            json!({"do": "gaussian", "group": group, "deviation": name, "floor": floor})
        }
        Operation::Product { product, weights } => match product {
            Product::Dense => json!({"do": "dense", "layer": weights}),
            Product::Convolution { kernel, stride } => {
                json!({"do": "convolve", "layer": weights, "kernel": kernel, "stride": stride})
            }
            Product::Transposed { kernel, stride } => {
                json!({"do": "transposed", "layer": weights, "kernel": kernel, "stride": stride})
            }
        },
        Operation::Activation(function) => {
            let (name, value) = activation(function)?;
            json!({"do": name, "value": value})
        }
        Operation::Affine { scale, shift } => {
            json!({"do": "affine", "scale": scale, "shift": shift})
        }
        Operation::Clamp(most) => json!({"do": "clamp", "value": most}),
        Operation::Add => json!({"do": "add"}),
        Operation::Subtract => json!({"do": "subtract"}),
        Operation::Multiply => json!({"do": "multiply"}),
        Operation::Channels(first) => json!({"do": "channels", "value": first}),
        Operation::Beside => json!({"do": "beside"}),
        Operation::AveragePool(side) => json!({"do": "pool", "value": side}),
        Operation::Widen => json!({"do": "widen"}),
        Operation::Spread => json!({"do": "spread"}),
    };
    object["in"] = json!(inputs);
    object["out"] = json!(sides(step.shape));
    Ok(object)
}

fn activation(function: Activation) -> Result<(&'static str, f64)> {
    Ok(match function {
        Activation::LeakyRelu(slope) => ("leaky_relu", slope),
        Activation::Relu => ("leaky_relu", 0.0),
        Activation::Elu(alpha) => ("elu", alpha),
        Activation::Tanh => ("tanh", 0.0),
        Activation::Sigmoid => ("sigmoid", 0.0),
        Activation::Softplus => ("softplus", 0.0),
        other => {
            let bug = format!("bug: the explorer has no activation {other:?}; please report it");
            return Err(Error::new(bug));
        }
    })
}

fn pixels(pixels: StepPixels) -> Value {
    match pixels {
        StepPixels::Logits => json!({"are": "logits"}),
        StepPixels::Means => json!({"are": "means"}),
        StepPixels::Mixture { components } => json!({"are": "mixture", "components": components}),
    }
}

/// Little-endian: the columns' scales and the biases as 32-bit floats, then the weights as 16-bit
/// integers, row by row.
fn append(layer: &StepWeights, bytes: &mut Vec<u8>) {
    let StepWeights { outputs, weight, bias, .. } = layer;
    let mut largest = vec![0.0f64; *outputs];
    for (at, weight) in weight.iter().enumerate() {
        largest[at % outputs] = largest[at % outputs].max(weight.abs());
    }
    let scales: Vec<f32> = largest.iter().map(|largest| (largest / LARGEST) as f32).collect();
    let biases: Vec<f32> = bias.iter().map(|&b| b as f32).collect();
    bytes.extend(floats(&scales));
    bytes.extend(floats(&biases));
    for (at, weight) in weight.iter().enumerate() {
        let scale = f64::from(scales[at % outputs]);
        let whole =
            if scale > 0.0 { (weight / scale).round().clamp(-LARGEST, LARGEST) } else { 0.0 };
        bytes.extend((whole as i16).to_le_bytes());
    }
    // What follows begins at a multiple of four bytes again.
    bytes.resize(bytes.len().next_multiple_of(4), 0);
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
        let layer = StepWeights {
            inputs: 3,
            outputs: 2,
            weight: vec![1.0, 0.0, -0.3, 0.0, 0.123_456, 0.0],
            bias: vec![0.5, -0.25],
        };
        let mut bytes = Vec::new();
        append(&layer, &mut bytes);
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

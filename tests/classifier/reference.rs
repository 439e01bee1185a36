//! A second implementation of the classifiers: explicit loops over plain arrays of f64.
//!
//! It shares nothing with the models but the names of the parameters.

use std::collections::BTreeMap;

use rung_models::ClassifierConfig;
use rung_models::layers::Nonlinearity;

/// The numbers of a classifier, by name.
pub(crate) struct Reference {
    pub(crate) config: ClassifierConfig,
    pub(crate) parameters: BTreeMap<String, Vec<f64>>,
    /// Mean and variance of each normalised layer; `None` to use the batch's own.
    pub(crate) statistics: Option<BTreeMap<String, [Vec<f64>; 2]>>,
}

/// Maps of all examples: `values[example][(y · width + x) · channels + channel]`.
struct Maps {
    height: usize,
    width: usize,
    channels: usize,
    values: Vec<Vec<f64>>,
}

impl Reference {
    /// ln p(k|x) of planar images, row by row.
    pub(crate) fn log_probs(&self, images: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let shape = self.config.image;
        let positions = shape.height * shape.width;
        let channels_last = |image: &Vec<f64>| {
            (0..positions * shape.channels)
                .map(|at| image[at % shape.channels * positions + at / shape.channels])
                .collect()
        };
        let mut maps = Maps {
            height: shape.height,
            width: shape.width,
            channels: shape.channels,
            values: images.iter().map(channels_last).collect(),
        };
        for (block, number) in self.config.convolutions.iter().zip(1..) {
            let place = format!("convolution.{number}");
            maps = self.convolve(&place, &maps, block.channels, block.kernel, block.stride);
            self.finish(&place, &mut maps);
        }
        let units = maps.height * maps.width * maps.channels;
        let mut rows = Maps { height: 1, width: 1, channels: units, values: maps.values };
        for (&width, number) in self.config.hidden_sizes.iter().zip(1..) {
            let place = format!("hidden.{number}");
            // On a map of one position, a kernel of one position is a dense layer.
            rows = self.convolve(&place, &rows, width, 1, 1);
            self.finish(&place, &mut rows);
        }
        let logits = self.convolve("logits", &rows, self.config.classes, 1, 1).values;
        logits.iter().map(|logits| log_softmax(logits, &self.parameters["logits.bias"])).collect()
    }

    /// Each output position in turn sums its window; what lies outside of the map is 0.
    fn convolve(
        &self,
        place: &str,
        x: &Maps,
        outputs: usize,
        kernel: usize,
        stride: usize,
    ) -> Maps {
        let weight = &self.parameters[&format!("{place}.weight")];
        let before = |size: usize| {
            let padding = ((size.div_ceil(stride) - 1) * stride + kernel).saturating_sub(size);
            padding / 2
        };
        let (height, width) = (x.height.div_ceil(stride), x.width.div_ceil(stride));
        let mut values = Vec::new();
        for map in &x.values {
            let mut out = vec![0.0; height * width * outputs];
            for (at, sum) in out.iter_mut().enumerate() {
                let (row, column, output) =
                    (at / outputs / width, at / outputs % width, at % outputs);
                for (a, b) in (0..kernel).flat_map(|a| (0..kernel).map(move |b| (a, b))) {
                    let source = (row * stride + a).checked_sub(before(x.height));
                    let source = source.zip((column * stride + b).checked_sub(before(x.width)));
                    let Some((y, x_)) = source.filter(|(y, x_)| *y < x.height && *x_ < x.width)
                    else {
                        continue;
                    };
                    for channel in 0..x.channels {
                        *sum += map[(y * x.width + x_) * x.channels + channel]
                            * weight[((a * kernel + b) * x.channels + channel) * outputs + output];
                    }
                }
            }
            values.push(out);
        }
        Maps { height, width, channels: outputs, values }
    }

    /// Bias or batch normalisation of each channel, then the nonlinearity.
    fn finish(&self, place: &str, maps: &mut Maps) {
        let channels = maps.channels;
        for channel in 0..channels {
            let norm = self.config.batch_norm.then(|| {
                let numbers =
                    |name: &str| self.parameters[&format!("{place}.norm.{name}")][channel];
                let [mean, variance] = match &self.statistics {
                    Some(given) => {
                        given[&format!("{place}.norm")].each_ref().map(|values| values[channel])
                    }
                    None => moments(
                        maps.values.iter().flat_map(|map| map[channel..].iter().step_by(channels)),
                    ),
                };
                let scale = numbers("scale") / (variance + self.config.batch_norm_epsilon).sqrt();
                (scale, numbers("shift") - scale * mean)
            });
            let (scale, shift) =
                norm.unwrap_or_else(|| (1.0, self.parameters[&format!("{place}.bias")][channel]));
            for map in &mut maps.values {
                map[channel..]
                    .iter_mut()
                    .step_by(channels)
                    .for_each(|a| *a = self.nonlinearity(scale * *a + shift));
            }
        }
    }

    fn nonlinearity(&self, a: f64) -> f64 {
        match self.config.nonlinearity {
            Nonlinearity::LeakyRelu if a < 0.0 => self.config.leaky_slope * a,
            Nonlinearity::LeakyRelu | Nonlinearity::Identity => a,
            Nonlinearity::Relu => a.max(0.0),
            Nonlinearity::Elu if a < 0.0 => a.exp() - 1.0,
            Nonlinearity::Elu => a,
            Nonlinearity::Tanh => a.tanh(),
            Nonlinearity::Softplus => a.exp().ln_1p(),
        }
    }
}

/// Mean and variance, the latter divided by the count.
fn moments<'a>(values: impl Iterator<Item = &'a f64> + Clone) -> [f64; 2] {
    let count = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / count;
    [mean, values.map(|value| (value - mean).powi(2)).sum::<f64>() / count]
}

fn log_softmax(logits: &[f64], bias: &[f64]) -> Vec<f64> {
    let logits: Vec<f64> = logits.iter().zip(bias).map(|(logit, bias)| logit + bias).collect();
    let total = logits.iter().map(|logit| logit.exp()).sum::<f64>().ln();
    logits.iter().map(|logit| logit - total).collect()
}

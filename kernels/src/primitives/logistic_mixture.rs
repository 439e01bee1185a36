//! Parity cases of the mixture of discretised logistics. The reference takes three logarithms for a
//! probability, and knows nothing of lanes.

use super::case::{Case, Draw, Expected};
use super::elementwise::{sigmoid, softplus};
use super::softmax::log_sum_exp_value;
use crate::backend::LogisticMixture;

/// [images, repeat, pixels, channels, components, levels].
const SIZES: [[usize; 6]; 9] = [
    [1, 1, 1, 1, 1, 256],
    [2, 1, 3, 3, 1, 256],
    [3, 1, 64, 3, 10, 256],
    [6, 3, 37, 3, 5, 256],
    [4, 2, 100, 1, 10, 256],
    [5, 1, 33, 1, 3, 2],
    [2, 1, 31, 3, 2, 32],
    [0, 1, 4, 3, 2, 256],
    [2, 1, 0, 3, 2, 256],
];

/// A component's weight in units of epsilon, below which f32 may take it for 0 before a derivative
/// magnifies it.
const VANISHING: f64 = f32::MIN_POSITIVE as f64 / f32::EPSILON as f64;

/// The mixtures, each with data on its levels (the extremes among them), means near the data, and
/// log-scales some of which are clamped.
fn mixtures(draw: &mut Draw) -> Vec<(LogisticMixture, Case)> {
    let mut all = Vec::new();
    for [images, repeat, pixels, channels, components, levels] in SIZES {
        let mixture = LogisticMixture { images, repeat, pixels, channels, components, levels };
        let values =
            draw.integers(levels, mixture.data_matrix().element_count()).into_iter().enumerate();
        let level = |(i, level): (usize, f64)| match i % 5 {
            0 => -1.0,
            1 => 1.0,
            _ => 2.0 * level / (levels - 1) as f64 - 1.0,
        };
        let (matrix, per_pixel) = (mixture.parameter_matrix(), mixture.parameters_per_pixel());
        let parameters = draw.normal(matrix.element_count()).into_iter().enumerate();
        let parameter = |(i, value): (usize, f64)| match i % per_pixel / components {
            0 => value,
            place if (place - 1) % mixture.group() == 1 => {
                2.0 * value - if i % 4 == 0 { 6.0 } else { 2.5 }
            }
            _ => 0.6 * value,
        };
        let case = Case::new(format!("{mixture:?}")).float(values.map(level).collect());
        all.push((mixture, case.float(parameters.map(parameter).collect())));
    }
    all
}

/// The distribution of one channel of a pixel under one component.
struct Channel {
    log_prob: Expected,
    /// By the mean and by the log-scale.
    derivatives: [Expected; 2],
}

impl Channel {
    fn new(x: f64, mean: f64, raw: f64, half_bin: f64) -> Self {
        let log_scale = raw.max(-7.0);
        let inverse = (-log_scale).exp();
        let (above, below) = (inverse * (x - mean + half_bin), inverse * (x - mean - half_bin));
        let width = 2.0 * half_bin * inverse;
        let (least, largest) = (x < -0.999, x > 0.999);
        let (below_value, above_value) =
            if least { (0.0, sigmoid(above)) } else { (sigmoid(below), sigmoid(above)) };
        let (below_value, above_value) =
            if largest { (sigmoid(below), 1.0) } else { (below_value, above_value) };
        let value = match (least, largest) {
            (true, _) => -softplus(-above),
            (_, true) => -softplus(below),
            _ => -softplus(-above) - softplus(below) + (-(-width).exp_m1()).ln(),
        };
        // The scale has the rounding of its exponent, ends of the bin that of the difference x − μ.
        let slip =
            8.0 * (2.0 + log_scale.abs()) * (1.0 + inverse * (x.abs() + mean.abs() + half_bin));
        let of_width = if least || largest { 0.0 } else { width / width.exp_m1() };
        let of_log_scale = below * below_value - above * (1.0 - above_value) - of_width;
        let of_mean = -inverse * (1.0 - above_value - below_value);
        let error = |magnitude: f64, value: f64| Expected { value, scale: magnitude * slip };
        Self {
            log_prob: error(1.0, value),
            derivatives: [
                error(inverse, of_mean),
                if raw < -7.0 {
                    Expected::exact(0.0)
                } else {
                    error(2.0 + above.abs() + below.abs(), of_log_scale)
                },
            ],
        }
    }
}

/// A pixel under all components.
struct Pixel {
    logits: Vec<f64>,
    /// Of each component: the coefficients and the channels.
    components: Vec<([f64; 3], Vec<Channel>)>,
    /// Of each component: its weight before and after the pixel is seen, and the error of the
    /// logarithm of the latter.
    weights: Vec<(f64, f64, f64)>,
    log_prob: Expected,
}

impl Pixel {
    fn new(mixture: &LogisticMixture, x: &[f64], parameters: &[f64]) -> Self {
        let (n, group) = (mixture.components, if mixture.channels == 1 { 2 } else { 3 });
        let number = |channel: usize, kind: usize, j: usize| {
            parameters[(1 + channel * group + kind) * n + j]
        };
        let logits = parameters[..n].to_vec();
        let component = |j: usize| {
            let k = [0, 1, 2].map(|c| if group == 3 { number(c, 2, j).tanh() } else { 0.0 });
            let pull = |c: usize| match c {
                0 => 0.0,
                1 => k[0] * x[0],
                _ => k[1] * x[0] + k[2] * x[1],
            };
            let channel = |c| {
                Channel::new(
                    x[c],
                    number(c, 0, j) + pull(c),
                    number(c, 1, j),
                    1.0 / (mixture.levels - 1) as f64,
                )
            };
            (k, (0..mixture.channels).map(channel).collect::<Vec<_>>())
        };
        let components: Vec<_> = (0..n).map(component).collect();
        let joint = |j: usize| {
            let channels = &components[j].1;
            let value =
                logits[j] + channels.iter().map(|channel| channel.log_prob.value).sum::<f64>();
            let magnitudes =
                channels.iter().map(|c| c.log_prob.scale + 4.0 * c.log_prob.value.abs());
            (value, magnitudes.sum::<f64>() + 4.0 * logits[j].abs())
        };
        let joints: Vec<_> = (0..n).map(joint).collect();
        let all = log_sum_exp_value(joints.iter().map(|joint| joint.0));
        let prior = log_sum_exp_value(logits.iter().copied());
        // The error of the sum is that of the components which weigh in it.
        let slip: f64 = joints.iter().map(|(value, error)| (value - all.value).exp() * error).sum();
        let slip = slip + all.scale + prior.scale + 4.0 * (all.value.abs() + prior.value.abs());
        let weight = |j: usize| {
            ((logits[j] - prior.value).exp(), (joints[j].0 - all.value).exp(), joints[j].1 + slip)
        };
        let weights = (0..n).map(weight).collect();
        Self {
            logits,
            components,
            weights,
            log_prob: Expected { value: all.value - prior.value, scale: slip },
        }
    }

    /// The adjoints of its parameters.
    fn adjoints(&self, mixture: &LogisticMixture, x: &[f64], grad: f64) -> Vec<Expected> {
        let group = if mixture.channels == 1 { 2 } else { 3 };
        let n = self.logits.len();
        let mut all = vec![Expected::exact(0.0); n * (1 + mixture.channels * group)];
        for (j, ((k, channels), &(prior, posterior, slip))) in
            self.components.iter().zip(&self.weights).enumerate()
        {
            let of_logits = prior * (8.0 + slip) + posterior * (8.0 + slip);
            all[j] = Expected { value: grad * (posterior - prior), scale: grad.abs() * of_logits };
            let weighted = |of: Expected, factor: f64| {
                let (weight, magnitude) = (grad * posterior * factor, of.value.abs());
                let lost = VANISHING * factor.abs() * (of.scale + magnitude);
                let scale = weight.abs() * (of.scale + magnitude * (8.0 + slip)) + lost;
                Expected { value: weight * of.value, scale }
            };
            for (c, channel) in channels.iter().enumerate() {
                let place = |kind: usize| (1 + c * group + kind) * n + j;
                all[place(0)] = weighted(channel.derivatives[0], 1.0);
                all[place(1)] = weighted(channel.derivatives[1], 1.0);
                if group == 3 {
                    let (pulled, by) = [(1, 0), (2, 0), (2, 1)][c];
                    let derivative = channels[pulled].derivatives[0];
                    let exact = weighted(derivative, (1.0 - k[c] * k[c]) * x[by]);
                    // 1 − k² is as exact as 1.
                    let unclear = 8.0 * (grad * posterior * derivative.value * x[by]).abs();
                    all[place(2)] = Expected { scale: exact.scale + unclear, ..exact };
                }
            }
        }
        all
    }
}

/// The pixels of an image.
fn pixels(
    mixture: &LogisticMixture,
    image: usize,
    x: &[f64],
    parameters: &[f64],
) -> Vec<(Vec<f64>, Pixel)> {
    let (channels, per_pixel) = (mixture.channels, mixture.parameters_per_pixel());
    let pixel = |at: usize| {
        let data = (image / mixture.repeat * mixture.pixels + at) * channels;
        let x = x[data..data + channels].to_vec();
        let own = (image * mixture.pixels + at) * per_pixel;
        let pixel = Pixel::new(mixture, &x, &parameters[own..own + per_pixel]);
        (x, pixel)
    };
    (0..mixture.pixels).map(pixel).collect()
}

pub(super) fn logistic_mixture_log_prob(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (mixture, case) in mixtures(draw) {
        cases.push(
            case.output(mixture.images)
                .call(move |device, x, out| {
                    device.logistic_mixture_log_prob(mixture, x[0], x[1], out[0].reborrow())
                })
                .expect(move |x, _| {
                    let image = |image| {
                        let terms = pixels(&mixture, image, &x[0], &x[1])
                            .into_iter()
                            .map(|(_, pixel)| pixel.log_prob);
                        let terms: Vec<_> = terms.collect();
                        let sum = Expected::sum(terms.iter().map(|term| term.value));
                        Expected {
                            scale: sum.scale + terms.iter().map(|term| term.scale).sum::<f64>(),
                            ..sum
                        }
                    };
                    vec![(0..mixture.images).map(image).collect()]
                }),
        );
    }
    cases
}

pub(super) fn logistic_mixture_log_prob_backward(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (mixture, case) in mixtures(draw) {
        cases.push(
            case.float(draw.normal(mixture.images))
                .output(mixture.parameter_matrix().element_count())
                .call(move |device, x, out| {
                    device.logistic_mixture_log_prob_backward(
                        mixture,
                        x[0],
                        x[1],
                        x[2],
                        out[0].reborrow(),
                    )
                })
                .expect(move |x, _| {
                    let image = |image: usize| {
                        let pixels = pixels(&mixture, image, &x[0], &x[1]);
                        pixels
                            .into_iter()
                            .flat_map(|(data, pixel)| pixel.adjoints(&mixture, &data, x[2][image]))
                            .collect::<Vec<_>>()
                    };
                    vec![(0..mixture.images).flat_map(image).collect()]
                }),
        );
    }
    cases
}

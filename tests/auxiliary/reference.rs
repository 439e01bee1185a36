//! The objective again, on plain arrays and with a loop for every sum: over samples, classes, rows
//! and units. Nothing of it is the tape's.

use std::collections::BTreeMap;

use rung_models::AuxiliaryConfig;
use rung_models::auxiliary::AuxiliaryFamily;
use rung_models::hierarchy::Observation;
use rung_models::layers::Nonlinearity;

pub(super) type Rows = Vec<Vec<f64>>;

/// A model by its numbers.
pub(super) struct Reference {
    pub(super) config: AuxiliaryConfig,
    pub(super) parameters: BTreeMap<String, Vec<f64>>,
    /// Mean and variance of each layer; `None` for those of the batch.
    pub(super) statistics: Option<BTreeMap<String, [Vec<f64>; 2]>>,
}

/// The noise of one kind of images, row by row.
pub(super) struct Noise {
    /// One row for each sample of an image.
    pub(super) a: Rows,
    /// One row for each class of each sample, or for each sample where the class is known.
    pub(super) z: Rows,
}

/// What the objective is made of, for each sample of each image.
pub(super) struct Terms {
    pub(super) class_log_probs: Rows,
    /// log p(x|·), the log-ratio of a (0 without a) and that of z, for each class.
    pub(super) by_class: Vec<Vec<[f64; 3]>>,
}

struct GaussianRows {
    mean: Rows,
    log_var: Rows,
}

const LN_TAU: f64 = 1.837_877_066_409_345_3;

impl Reference {
    /// The terms of images for the classes `of(image)`, each with its noise.
    pub(super) fn terms(
        &self,
        images: &Rows,
        samples: usize,
        noise: &Noise,
        of: impl Fn(usize) -> Vec<usize>,
    ) -> Terms {
        let config = &self.config;
        let has_auxiliary = config.family != AuxiliaryFamily::M2;
        let image_of = |row: usize| row / samples;
        let rows = images.len() * samples;
        let x: Rows = (0..rows).map(|row| images[image_of(row)].clone()).collect();

        // q(a|x) sees each image once, so that its batch statistics do too.
        let (q_a, a) = if has_auxiliary {
            let once = self.gaussian("inference.auxiliary", &[("image", images)]);
            let repeated = |part: &Rows| (0..rows).map(|row| part[image_of(row)].clone()).collect();
            let q = GaussianRows { mean: repeated(&once.mean), log_var: repeated(&once.log_var) };
            let a = sample(&q, &noise.a);
            (Some(q), a)
        } else {
            (None, vec![Vec::new(); rows])
        };

        let mut inputs = vec![("image", &x)];
        if has_auxiliary {
            inputs.push(("auxiliary", &a));
        }
        let class_log_probs: Rows = self
            .outputs("inference.class", &inputs)
            .iter()
            .map(|logits| {
                let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = logits.iter().map(|logit| (logit - largest).exp()).sum();
                logits.iter().map(|logit| logit - largest - sum.ln()).collect()
            })
            .collect();

        // From here on a row for every class that is asked for.
        let mut owners = Vec::new();
        let mut class: Rows = Vec::new();
        for row in 0..rows {
            for wanted in of(image_of(row)) {
                owners.push(row);
                let mut one_hot = vec![0.0; config.classes];
                one_hot[wanted] = 1.0;
                class.push(one_hot);
            }
        }
        let spread =
            |part: &Rows| -> Rows { owners.iter().map(|&row| part[row].clone()).collect() };
        let (x, a) = (spread(&x), spread(&a));
        let mut inputs = vec![("image", &x)];
        if has_auxiliary {
            inputs.push(("auxiliary", &a));
        }
        inputs.push(("class", &class));
        let q_z = self.gaussian("inference.latent", &inputs);
        let z = sample(&q_z, &noise.z);

        let kl_a = q_a.map(|q_a| {
            let mut inputs = vec![("latent", &z), ("class", &class)];
            if config.family == AuxiliaryFamily::Adgm && config.auxiliary_reads_image {
                inputs.insert(0, ("image", &x));
            }
            let p_a = self.gaussian("generative.auxiliary", &inputs);
            let q_a = GaussianRows { mean: spread(&q_a.mean), log_var: spread(&q_a.log_var) };
            let row = |row: usize| log_density(&q_a, &a, row) - log_density(&p_a, &a, row);
            (0..owners.len()).map(row).collect::<Vec<f64>>()
        });
        let standard = GaussianRows {
            mean: vec![vec![0.0; config.latent_units]; owners.len()],
            log_var: vec![vec![0.0; config.latent_units]; owners.len()],
        };
        let mut inputs = vec![("latent", &z), ("class", &class)];
        if config.family == AuxiliaryFamily::Sdgm {
            inputs.insert(0, ("auxiliary", &a));
        }
        let log_p_x = self.log_likelihood(&inputs, &x);
        let mut by_class: Vec<Vec<[f64; 3]>> = vec![Vec::new(); rows];
        for (row, &owner) in owners.iter().enumerate() {
            let kl_z = log_density(&q_z, &z, row) - log_density(&standard, &z, row);
            by_class[owner].push([log_p_x[row], kl_a.as_ref().map_or(0.0, |kl| kl[row]), kl_z]);
        }
        Terms { class_log_probs, by_class }
    }

    fn log_likelihood(&self, inputs: &[(&str, &Rows)], x: &Rows) -> Vec<f64> {
        match self.config.observation {
            Observation::Bernoulli => {
                let logits = self.outputs("generative.image", inputs);
                let pixel = |logit: f64, x: f64| {
                    // −ln(1 + exp(−l)) and −ln(1 + exp(l)), whichever is small first.
                    let log_one_plus = |v: f64| v.max(0.0) + (-v.abs()).exp().ln_1p();
                    -x * log_one_plus(-logit) - (1.0 - x) * log_one_plus(logit)
                };
                let row = |(logits, x): (&Vec<f64>, &Vec<f64>)| {
                    logits.iter().zip(x).map(|(&logit, &x)| pixel(logit, x)).sum()
                };
                logits.iter().zip(x).map(row).collect()
            }
            Observation::Gaussian => {
                let p = self.gaussian("generative.image", inputs);
                (0..x.len()).map(|row| log_density(&p, x, row)).collect()
            }
        }
    }

    fn gaussian(&self, network: &str, inputs: &[(&str, &Rows)]) -> GaussianRows {
        let limit = self.config.log_variance_limit;
        let outputs = self.outputs(network, inputs);
        let units = outputs[0].len() / 2;
        GaussianRows {
            mean: outputs.iter().map(|row| row[..units].to_vec()).collect(),
            log_var: outputs
                .iter()
                .map(|row| row[units..].iter().map(|value| value.clamp(-limit, limit)).collect())
                .collect(),
        }
    }

    /// The head's outputs for each row.
    fn outputs(&self, network: &str, inputs: &[(&str, &Rows)]) -> Rows {
        let rows = inputs[0].1.len();
        let sizes = &self.config.hidden_sizes;
        let mut h: Rows = vec![vec![0.0; sizes[0]]; rows];
        for (name, x) in inputs {
            let product = self.product(&format!("{network}.hidden.0.weight.{name}"), x, sizes[0]);
            for (sum, row) in h.iter_mut().zip(product) {
                sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
            }
        }
        self.finish(&format!("{network}.hidden.0"), &mut h);
        for (index, &size) in sizes.iter().enumerate().skip(1) {
            let place = format!("{network}.hidden.{index}");
            h = self.product(&format!("{place}.weight"), &h, size);
            self.finish(&place, &mut h);
        }
        let bias = &self.parameters[&format!("{network}.head.bias")];
        let mut outputs = self.product(&format!("{network}.head.weight"), &h, bias.len());
        for row in &mut outputs {
            row.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
        }
        outputs
    }

    fn product(&self, weight: &str, x: &Rows, outputs: usize) -> Rows {
        let weight = &self.parameters[weight];
        let element = |row: &[f64], output: usize| {
            row.iter().enumerate().map(|(i, value)| value * weight[i * outputs + output]).sum()
        };
        x.iter().map(|row| (0..outputs).map(|output| element(row, output)).collect()).collect()
    }

    /// Batch normalisation, or the bias; then the nonlinearity.
    fn finish(&self, place: &str, h: &mut Rows) {
        let units = h[0].len();
        for unit in 0..units {
            let (scale, shift) = if self.config.batch_norm {
                let name = format!("{place}.norm");
                let (mean, variance) = match &self.statistics {
                    Some(statistics) => {
                        let [mean, variance] = &statistics[&name];
                        (mean[unit], variance[unit])
                    }
                    None => {
                        let n = h.len() as f64;
                        let mean = h.iter().map(|row| row[unit]).sum::<f64>() / n;
                        let squares = h.iter().map(|row| (row[unit] - mean).powi(2)).sum::<f64>();
                        (mean, squares / n)
                    }
                };
                let deviation = (variance + self.config.batch_norm_epsilon).sqrt();
                let scale = self.parameters[&format!("{name}.scale")][unit] / deviation;
                (scale, self.parameters[&format!("{name}.shift")][unit] - mean * scale)
            } else {
                (1.0, self.parameters[&format!("{place}.bias")][unit])
            };
            for row in h.iter_mut() {
                row[unit] = match self.config.nonlinearity {
                    Nonlinearity::Tanh => (row[unit] * scale + shift).tanh(),
                    _ => panic!("the tests' nonlinearity is tanh"),
                };
            }
        }
    }
}

fn sample(q: &GaussianRows, noise: &Rows) -> Rows {
    assert_eq!(q.mean.len(), noise.len());
    let row = |((mean, log_var), noise): ((&Vec<f64>, &Vec<f64>), &Vec<f64>)| {
        let unit =
            |((mean, log_var), noise): ((&f64, &f64), &f64)| mean + (log_var / 2.0).exp() * noise;
        mean.iter().zip(log_var).zip(noise).map(unit).collect()
    };
    q.mean.iter().zip(&q.log_var).zip(noise).map(row).collect()
}

/// log N(v | mean, exp(log variance)) of a row.
fn log_density(p: &GaussianRows, v: &Rows, row: usize) -> f64 {
    let unit = |((mean, log_var), v): ((&f64, &f64), &f64)| {
        -0.5 * (LN_TAU + log_var + (v - mean).powi(2) / log_var.exp())
    };
    p.mean[row].iter().zip(&p.log_var[row]).zip(&v[row]).map(unit).sum()
}

//! A second implementation of the hierarchies: loops over vectors of f64, written from the
//! specification's equations.
//!
//! It shares nothing with the models but the names of the parameters, so it also holds
//! `docs/checkpoint.md` to what it says.

use std::collections::BTreeMap;

use rung_models::hierarchy::{Inference, Observation};
use rung_models::layers::NormConfig;
use rung_models::objective::ObjectiveConfig;
use rung_models::{Activation, HierarchyConfig};

/// A matrix, row by row.
pub(crate) type Rows = Vec<Vec<f64>>;

/// A diagonal Gaussian for each row.
#[derive(Clone)]
struct Normal {
    mean: Rows,
    variance: Rows,
}

/// The objective and its terms, as `rung_models::objective::Bound` has them.
pub(crate) struct Terms {
    pub(crate) loss: f64,
    pub(crate) log_p_x: f64,
    pub(crate) kl: Vec<f64>,
}

/// The numbers of a model, by name.
pub(crate) struct Reference {
    pub(crate) config: HierarchyConfig,
    pub(crate) parameters: BTreeMap<String, Vec<f64>>,
    /// Mean and variance of each normalised layer; `None` to use the batch's own.
    pub(crate) statistics: Option<BTreeMap<String, [Vec<f64>; 2]>>,
    /// Standard normal samples of z_1, z_2, …: one row for each image and sample.
    pub(crate) noise: Vec<Rows>,
}

impl Reference {
    /// L_{M,K} (specification section 7.1), negated, with its terms.
    pub(crate) fn objective(&self, x: &Rows, objective: &ObjectiveConfig) -> Terms {
        let samples = objective.monte_carlo_samples * objective.importance_samples;
        let x: Rows = repeat(x, samples);
        let (q, p, z) = self.infer(&x);
        let depth = self.config.latent_sizes.len();
        let log_p_x = self.log_likelihood(&x, &z[0]);
        let closed_form = |index: usize| {
            objective.analytic_kl
                && (index == depth - 1 || matches!(self.config.inference, Inference::Ladder { .. }))
        };
        let kl: Vec<Vec<f64>> = (0..depth)
            .map(|i| (0..x.len()).map(|row| kl(closed_form(i), &q[i], &p[i], &z[i], row)).collect())
            .collect();
        let log_weight = |row: usize| {
            log_p_x[row] - objective.beta * kl.iter().map(|layer| layer[row]).sum::<f64>()
        };
        let log_weights: Vec<f64> = (0..x.len()).map(log_weight).collect();
        let bounds: Vec<f64> =
            log_weights.chunks(objective.importance_samples).map(log_mean_exp).collect();
        Terms {
            loss: -mean(&bounds),
            log_p_x: mean(&log_p_x),
            kl: kl.iter().map(|layer| mean(layer)).collect(),
        }
    }

    /// q, p and samples of every layer, z_1 first.
    fn infer(&self, x: &Rows) -> (Vec<Normal>, Vec<Normal>, Vec<Rows>) {
        let depth = self.config.latent_sizes.len();
        let mut q: Vec<Option<Normal>> = vec![None; depth];
        let mut z: Vec<Rows> = vec![Rows::new(); depth];
        match self.config.inference {
            Inference::BottomUp => {
                let mut below = x.clone();
                for i in 0..depth {
                    let posterior = self.network(&format!("inference.up.{}", i + 1), &below).1;
                    z[i] = self.draw(&posterior, i);
                    below = z[i].clone();
                    q[i] = Some(posterior);
                }
            }
            Inference::Ladder { shares_generative, rises_through_mean } => {
                let mut messages = Vec::new();
                let mut below = x.clone();
                for i in 0..depth {
                    let (hidden, message) =
                        self.network(&format!("inference.up.{}", i + 1), &below);
                    below = if rises_through_mean { message.mean.clone() } else { hidden };
                    messages.push(message);
                }
                for i in (0..depth).rev() {
                    let place = if shares_generative { "generative" } else { "inference.down" };
                    let posterior = match z.get(i + 1) {
                        None => messages[i].clone(),
                        Some(above) => merge(
                            &messages[i],
                            &self.network(&format!("{place}.{}", i + 1), above).1,
                        ),
                    };
                    z[i] = self.draw(&posterior, i);
                    q[i] = Some(posterior);
                }
            }
        }
        let prior = |i: usize| match z.get(i + 1) {
            Some(above) => self.network(&format!("generative.{}", i + 1), above).1,
            None => Normal { mean: filled(&z[i], 0.0), variance: filled(&z[i], 1.0) },
        };
        let p = (0..depth).map(prior).collect();
        (q.into_iter().flatten().collect(), p, z)
    }

    fn draw(&self, q: &Normal, index: usize) -> Rows {
        let unit = |row: usize, j: usize| {
            q.mean[row][j] + q.variance[row][j].sqrt() * self.noise[index][row][j]
        };
        (0..q.mean.len())
            .map(|row| (0..q.mean[row].len()).map(|j| unit(row, j)).collect())
            .collect()
    }

    fn log_likelihood(&self, x: &Rows, z_1: &Rows) -> Vec<f64> {
        match self.config.observation {
            Observation::Bernoulli => {
                let logits = self.dense(
                    "generative.x.logits",
                    &self.hidden("generative.x", z_1),
                    None,
                    Activation::Identity,
                );
                let pixel = |(x, l): (&f64, &f64)| -x * softplus(-*l) - (1.0 - x) * softplus(*l);
                x.iter().zip(&logits).map(|(x, l)| x.iter().zip(l).map(pixel).sum()).collect()
            }
            Observation::Gaussian => {
                let p_x = self.head("generative.x.head", &self.hidden("generative.x", z_1), None);
                (0..x.len())
                    .map(|row| log_normal(&x[row], &p_x.mean[row], &p_x.variance[row]))
                    .collect()
            }
        }
    }

    /// The hidden layer and the Gaussian of the network called `path`.
    fn network(&self, path: &str, x: &Rows) -> (Rows, Normal) {
        let hidden = self.hidden(path, x);
        let gaussian = self.head(&format!("{path}.head"), &hidden, self.config.head_norm());
        (hidden, gaussian)
    }

    fn hidden(&self, path: &str, x: &Rows) -> Rows {
        let layer = |h: Rows, k: usize| {
            self.dense(
                &format!("{path}.hidden.{k}"),
                &h,
                self.config.hidden_norm(),
                self.config.nonlinearity.activation(self.config.leaky_slope),
            )
        };
        (0..self.config.mlp_layers).fold(x.clone(), layer)
    }

    fn head(&self, name: &str, hidden: &Rows, norm: Option<NormConfig>) -> Normal {
        let joined = self.dense(name, hidden, norm, Activation::Identity);
        let units = joined[0].len() / 2;
        let variance = |row: &Vec<f64>| {
            row[units..].iter().map(|a| softplus(*a) + self.config.variance_floor).collect()
        };
        Normal {
            mean: joined.iter().map(|row| row[..units].to_vec()).collect(),
            variance: joined.iter().map(variance).collect(),
        }
    }

    /// activation(scale · (x W − mean)/√(variance + ε) + shift), or activation(x W + bias).
    fn dense(
        &self,
        name: &str,
        x: &Rows,
        norm: Option<NormConfig>,
        activation: Activation,
    ) -> Rows {
        let weight = &self.parameters[&format!("{name}.weight")];
        let outputs = weight.len() / x[0].len();
        let product = |row: &Vec<f64>, j: usize| -> f64 {
            row.iter().enumerate().map(|(k, x)| x * weight[k * outputs + j]).sum()
        };
        let mut a: Rows =
            x.iter().map(|row| (0..outputs).map(|j| product(row, j)).collect()).collect();
        for j in 0..outputs {
            let column: Vec<f64> = a.iter().map(|row| row[j]).collect();
            let (factor, centre, shift) = match norm {
                None => (1.0, 0.0, self.parameters[&format!("{name}.bias")][j]),
                Some(NormConfig { epsilon }) => {
                    let (centre, variance) = self.moments(name, j, &column);
                    let scale = self.parameters[&format!("{name}.norm.scale")][j];
                    (
                        scale / (variance + epsilon).sqrt(),
                        centre,
                        self.parameters[&format!("{name}.norm.shift")][j],
                    )
                }
            };
            a.iter_mut()
                .for_each(|row| row[j] = activate(activation, factor * (row[j] - centre) + shift));
        }
        a
    }

    fn moments(&self, name: &str, unit: usize, column: &[f64]) -> (f64, f64) {
        if let Some(statistics) = &self.statistics {
            let [mean, variance] = &statistics[&format!("{name}.norm")];
            return (mean[unit], variance[unit]);
        }
        let centre = mean(column);
        (centre, mean(&column.iter().map(|a| (a - centre).powi(2)).collect::<Vec<_>>()))
    }
}

/// log q − log p at the sample, or KL(q‖p) (specification section 7.3).
fn kl(closed_form: bool, q: &Normal, p: &Normal, z: &Rows, row: usize) -> f64 {
    let [q_mean, q_variance] = [&q.mean[row], &q.variance[row]];
    let [p_mean, p_variance] = [&p.mean[row], &p.variance[row]];
    if !closed_form {
        return log_normal(&z[row], q_mean, q_variance) - log_normal(&z[row], p_mean, p_variance);
    }
    let unit = |j: usize| {
        let (v, w) = (q_variance[j], p_variance[j]);
        0.5 * ((w / v).ln() + (v + (q_mean[j] - p_mean[j]).powi(2)) / w - 1.0)
    };
    (0..q_mean.len()).map(unit).sum()
}

/// Precision-weighted (Sønderby 2016, eqs 18 and 19).
fn merge(a: &Normal, b: &Normal) -> Normal {
    let mut merged = a.clone();
    for row in 0..a.mean.len() {
        for j in 0..a.mean[row].len() {
            let (precision_a, precision_b) = (1.0 / a.variance[row][j], 1.0 / b.variance[row][j]);
            merged.variance[row][j] = 1.0 / (precision_a + precision_b);
            merged.mean[row][j] = (a.mean[row][j] * precision_a + b.mean[row][j] * precision_b)
                * merged.variance[row][j];
        }
    }
    merged
}

fn log_normal(z: &[f64], mean: &[f64], variance: &[f64]) -> f64 {
    let unit = |j: usize| {
        -0.5 * (std::f64::consts::TAU * variance[j]).ln()
            - (z[j] - mean[j]).powi(2) / (2.0 * variance[j])
    };
    (0..z.len()).map(unit).sum()
}

fn activate(activation: Activation, a: f64) -> f64 {
    match activation {
        Activation::Identity => a,
        Activation::Tanh => a.tanh(),
        Activation::Softplus => softplus(a),
        Activation::LeakyRelu(slope) => a.max(slope * a),
        other => panic!("the reference has no {other:?}"),
    }
}

/// ln(1 + e^a), which is a to the last digit where e^a leaves the 1 behind; beyond 709 e^a would
/// overflow.
fn softplus(a: f64) -> f64 {
    if a > 40.0 { a } else { (1.0 + a.exp()).ln() }
}

fn log_mean_exp(log_weights: &[f64]) -> f64 {
    // All of them may lie below −708, where an exponential has lost digits or is 0.
    let largest = log_weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest + mean(&log_weights.iter().map(|a| (a - largest).exp()).collect::<Vec<_>>()).ln()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn filled(like: &Rows, value: f64) -> Rows {
    like.iter().map(|row| vec![value; row.len()]).collect()
}

fn repeat(rows: &Rows, times: usize) -> Rows {
    rows.iter().flat_map(|row| std::iter::repeat_n(row.clone(), times)).collect()
}

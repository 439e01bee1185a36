//! The hierarchies of vectors: VAE, probabilistic ladder, Ladder VAE and their relatives, without
//! activations.

use rung_autograd::rng::Address;
use rung_autograd::{DType, Device, ParameterList, ParameterStore};
use rung_models::hierarchy::{Inference, Observation};
use rung_models::layers::Nonlinearity;
use rung_models::{Hierarchy, HierarchyConfig, StatisticsList};

use super::affine::{Affine, Gaussian, Noise, expected_log_ratio};
use super::{assert_bounds, estimate, uniform};

const X: [f64; 3] = [0.3, -1.2, 0.7];
const LATENTS: [usize; 3] = [2, 1, 2];

fn config(inference: Inference) -> HierarchyConfig {
    HierarchyConfig {
        latent_sizes: LATENTS.to_vec(),
        hidden_sizes: vec![2, 2, 2],
        mlp_layers: 1,
        nonlinearity: Nonlinearity::Identity,
        observation: Observation::Gaussian,
        batch_norm_hidden: false,
        batch_norm_heads: false,
        ..HierarchyConfig::paper(X.len(), LATENTS.len(), inference)
    }
}

/// Random weights, of which those that variances are made with are 0.
fn fill(store: &mut ParameterStore) {
    let ids: Vec<_> = store.ids().collect();
    for (number, id) in ids.into_iter().enumerate() {
        let parameter = store.parameter(id).clone();
        let columns = parameter.shape.last();
        let is_variance =
            |element: usize| parameter.name.contains("head") && element % columns >= columns / 2;
        let values: Vec<f64> = (0..parameter.shape.element_count())
            .map(|element| match (parameter.name.ends_with("weight"), is_variance(element)) {
                (true, true) => 0.0,
                (true, false) => uniform(number, element, -0.9, 0.9),
                (false, true) => uniform(number, element, -0.5, 0.5),
                (false, false) => uniform(number, element, -0.3, 0.3),
            })
            .collect();
        store.set(id, &values).unwrap();
    }
}

struct Reference<'a> {
    store: &'a ParameterStore,
    config: HierarchyConfig,
}

impl Reference<'_> {
    fn values(&self, name: &str) -> Vec<f64> {
        let id = self.store.find(name).unwrap_or_else(|| panic!("there is no parameter {name}"));
        self.store.tensor(id, None).to_f64().unwrap()
    }

    fn linear(&self, name: &str, x: &[Affine]) -> Vec<Affine> {
        let (weight, bias) =
            (self.values(&format!("{name}.weight")), self.values(&format!("{name}.bias")));
        let column = |(column, &bias): (usize, &f64)| {
            let rows = x.iter().zip(weight[column..].iter().step_by(bias_len(&weight, x.len())));
            rows.fold(Affine::constant(bias), |sum, (x, weight)| sum.add_scaled(*weight, x))
        };
        bias.iter().enumerate().map(column).collect()
    }

    /// The hidden layer and the Gaussian it leads to; variance softplus + floor.
    fn network(&self, name: &str, x: &[Affine]) -> (Vec<Affine>, Vec<Gaussian>) {
        let hidden = self.linear(&format!("{name}.hidden.0"), x);
        let heads = self.linear(&format!("{name}.head"), &hidden);
        let (means, raw) = heads.split_at(heads.len() / 2);
        let gaussian = |(mean, raw): (&Affine, &Affine)| {
            assert_eq!(raw.variance(), 0.0, "{name}: the variance is a constant");
            Gaussian {
                mean: mean.clone(),
                variance: raw.constant.exp().ln_1p() + self.config.variance_floor,
            }
        };
        let gaussians = means.iter().zip(raw).map(gaussian).collect();
        (hidden, gaussians)
    }

    fn prior(&self, layer: usize, above: &[Affine]) -> Vec<Gaussian> {
        self.network(&format!("generative.{layer}"), above).1
    }

    /// L^{>k} of the image.
    fn bound(&self, skipped: usize) -> f64 {
        let depth = LATENTS.len();
        let x = X.map(Affine::constant).to_vec();
        let mut noise = Noise::default();
        let mut draw = |q: &[Gaussian]| q.iter().map(|q| q.sample(&mut noise)).collect::<Vec<_>>();
        let mut q: Vec<Vec<Gaussian>> = Vec::new();
        let mut z: Vec<Vec<Affine>> = Vec::new();
        match self.config.inference {
            Inference::BottomUp => {
                for layer in 1..=depth {
                    let below = z.last().unwrap_or(&x);
                    q.push(self.network(&format!("inference.up.{layer}"), below).1);
                    z.push(draw(&q[layer - 1]));
                }
            }
            Inference::Ladder { shares_generative, rises_through_mean } => {
                let mut below = x.clone();
                let mut messages = Vec::new();
                for layer in 1..=depth {
                    let (hidden, message) = self.network(&format!("inference.up.{layer}"), &below);
                    below = if rises_through_mean {
                        message.iter().map(|message| message.mean.clone()).collect()
                    } else {
                        hidden
                    };
                    messages.push(message);
                }
                for layer in (1..=depth).rev() {
                    let message = messages.pop().unwrap();
                    let of_layer = match z.last() {
                        None => message,
                        Some(above) => {
                            let down =
                                if shares_generative { "generative" } else { "inference.down" };
                            let from_above = self.network(&format!("{down}.{layer}"), above).1;
                            message.iter().zip(&from_above).map(|(a, b)| a.merged(b)).collect()
                        }
                    };
                    z.push(draw(&of_layer));
                    q.push(of_layer);
                }
                q.reverse();
                z.reverse();
            }
        }
        let mut bound = 0.0;
        for layer in skipped + 1..=depth {
            let p = match z.get(layer) {
                Some(above) => self.prior(layer, above),
                None => vec![Gaussian::STANDARD; LATENTS[layer - 1]],
            };
            bound += expected_log_ratio(&p, &q[layer - 1], &z[layer - 1]);
        }
        let mut lowest = z[skipped].clone();
        for layer in (1..=skipped).rev() {
            lowest = draw(&self.prior(layer, &lowest));
        }
        let p_x = self.network("generative.x", &lowest).1;
        bound + p_x.iter().zip(&x).map(|(p, x)| p.expected_log_density(x)).sum::<f64>()
    }
}

/// Columns of a weight of so many rows.
fn bias_len(weight: &[f64], rows: usize) -> usize {
    weight.len() / rows
}

#[test]
fn bounds_of_hierarchies_are_those_of_their_closed_form() {
    let ladder = |shares_generative, rises_through_mean| Inference::Ladder {
        shares_generative,
        rises_through_mean,
    };
    for inference in [
        Inference::BottomUp,
        ladder(false, true),
        ladder(true, false),
        ladder(true, true),
        ladder(false, false),
    ] {
        let (mut parameters, mut statistics) = (ParameterList::new(), StatisticsList::default());
        let model = Hierarchy::new(config(inference), &mut parameters, &mut statistics).unwrap();
        let device = Device::cpu();
        let mut store = parameters.build(&device, DType::F64, Address::new(0, 0, 0)).unwrap();
        let statistics = statistics.build(&device, DType::F64).unwrap();
        fill(&mut store);
        let reference = Reference { store: &store, config: config(inference) };
        let expected: Vec<f64> =
            (0..LATENTS.len()).map(|skipped| reference.bound(skipped)).collect();
        assert_bounds(&format!("{inference:?}"), &expected, |skipped| {
            estimate(&model, &store, &statistics, &X, skipped)
        });
    }
}

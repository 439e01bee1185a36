//! The models of gated blocks: VAE, LVAE and BIVA, with the ELU where it is the identity and
//! constant gates.

use rung_autograd::rng::Address;
use rung_autograd::{DType, Device, ParameterList, ParameterStore};
use rung_models::biva::{BivaConfig, LogVariance, Paths};
use rung_models::{Biva, StatisticsList};

use super::affine::{Affine, Gaussian, Noise, expected_bernoulli, expected_log_ratio};
use super::{assert_bounds, estimate, uniform};

const X: [f64; 3] = [1.0, 0.0, 1.0];
const WIDTH: usize = 2;
const LATENTS: [usize; 3] = [2, 1, 2];
const BLOCKS: usize = 2;
/// Added to whatever goes into an ELU, so that it is positive.
const LIFT: f64 = 200.0;
/// Standard deviations by which it must be: a normal number falls below once in 10^15 times.
const MARGIN: f64 = 8.0;

fn config(paths: Paths, skips: bool) -> BivaConfig {
    BivaConfig {
        paths,
        skips,
        log_variance: LogVariance::Free,
        ..BivaConfig::dense(X.len(), WIDTH, &LATENTS, BLOCKS)
    }
}

/// Random directions and gains; the second half of a gate's and of a head's channels is the bias
/// alone.
fn fill(store: &mut ParameterStore) {
    let ids: Vec<_> = store.ids().collect();
    for (number, id) in ids.into_iter().enumerate() {
        let parameter = store.parameter(id).clone();
        let (layer, part) = parameter.name.rsplit_once('.').unwrap();
        let kind = layer.rsplit('.').next().unwrap();
        let count = parameter.shape.element_count();
        let is_head = kind == "q" || kind.starts_with("q_") || kind.starts_with("p_");
        let is_second_half = |element: usize| (kind == "second" || is_head) && element >= count / 2;
        let value = |element: usize| match part {
            "direction" if is_head || kind == "x" => uniform(number, element, -1.0, 1.0),
            "direction" => uniform(number, element, 0.2, 1.0),
            "gain" if is_second_half(element) => 0.0,
            "gain" if kind == "projection" => uniform(number, element, 0.6, 1.2),
            "gain" if is_head => uniform(number, element, 0.2, 0.4),
            "gain" if kind == "aux" => uniform(number, element, 0.3, 0.6),
            "gain" => uniform(number, element, 0.5, 0.9),
            // Gates of sigmoid(1); variances of about 0.6.
            "bias" if is_second_half(element) => {
                if is_head {
                    uniform(number, element, -1.0, 0.0)
                } else {
                    1.0
                }
            }
            "bias" if matches!(kind, "first" | "second" | "projection") => LIFT,
            "bias" => 0.0,
            part => panic!("a parameter {part}"),
        };
        store.set(id, &(0..count).map(value).collect::<Vec<_>>()).unwrap();
    }
}

struct Reference<'a> {
    store: &'a mut ParameterStore,
    paths: Paths,
    skips: bool,
    /// Set the biases of means and logits so that their constants are small.
    centres: bool,
}

/// What is found on the bottom-up pass at a stage.
#[derive(Default)]
struct Stage {
    bottom_up: Option<Vec<Affine>>,
    deterministic: Option<Vec<Affine>>,
    group: Option<(Vec<Gaussian>, Vec<Affine>)>,
}

fn elu(x: &[Affine]) -> Vec<Affine> {
    for x in x {
        let margin = if x.variance() > 0.0 { MARGIN * x.variance().sqrt() } else { 0.0 };
        assert!(x.constant >= margin, "the ELU of {x:?} is not the identity");
    }
    x.to_vec()
}

fn added(a: Vec<Affine>, b: &[Affine]) -> Vec<Affine> {
    a.into_iter().zip(b).map(|(a, b)| a.add_scaled(1.0, b)).collect()
}

impl Reference<'_> {
    fn values(&self, name: &str) -> Vec<f64> {
        let id = self.store.find(name).unwrap_or_else(|| panic!("there is no parameter {name}"));
        self.store.tensor(id, None).to_f64().unwrap()
    }

    /// Each output's weights are its direction divided by its length, times its gain.
    fn linear(&self, name: &str, x: &[Affine]) -> Vec<Affine> {
        let [direction, gain, bias] =
            ["direction", "gain", "bias"].map(|part| self.values(&format!("{name}.{part}")));
        let output = |index: usize| {
            let direction: Vec<f64> =
                direction.iter().skip(index).step_by(gain.len()).copied().collect();
            let length = direction.iter().map(|element| element * element).sum::<f64>().sqrt();
            let terms = x.iter().zip(&direction);
            terms.fold(Affine::constant(bias[index]), |sum, (x, weight)| {
                sum.add_scaled(gain[index] * weight / length, x)
            })
        };
        (0..gain.len()).map(output).collect()
    }

    /// The same, with the bias of the first `count` outputs set so that their constants are near 0.
    fn centred(&mut self, name: &str, x: &[Affine], count: usize) -> Vec<Affine> {
        if self.centres {
            let (name, out) = (format!("{name}.bias"), self.linear(name, x));
            let mut bias = self.values(&name);
            for (index, out) in out[..count].iter().enumerate() {
                bias[index] += 0.4 * (index as f64 - 0.7) - out.constant;
            }
            let id = self.store.find(&name).unwrap();
            self.store.set(id, &bias).unwrap();
        }
        self.linear(name, x)
    }

    fn block(
        &self,
        name: &str,
        x: &[Affine],
        aux: Option<&[Affine]>,
        residual: bool,
    ) -> Vec<Affine> {
        let mut hidden = self.linear(&format!("{name}.first"), &elu(x));
        if let Some(aux) = aux {
            hidden = added(hidden, &self.linear(&format!("{name}.aux"), &elu(aux)));
        }
        let gated = self.linear(&format!("{name}.second"), &elu(&hidden));
        let (values, gates) = gated.split_at(gated.len() / 2);
        let gate = |(value, gate): (&Affine, &Affine)| {
            assert_eq!(gate.variance(), 0.0, "{name}: the gate is a constant");
            value.scaled(1.0 / (1.0 + (-gate.constant).exp()))
        };
        let out: Vec<Affine> = values.iter().zip(gates).map(gate).collect();
        // An input with more channels than the output is not added.
        if residual && x.len() <= out.len() { added(out, x) } else { out }
    }

    /// Variances are e^r.
    fn head(&mut self, name: &str, features: &[Affine]) -> Vec<Gaussian> {
        let units = self.values(&format!("{name}.gain")).len() / 2;
        let heads = self.centred(name, &elu(features), units);
        let gaussian = |(mean, raw): (&Affine, &Affine)| {
            assert_eq!(raw.variance(), 0.0, "{name}: the variance is a constant");
            Gaussian { mean: mean.clone(), variance: raw.constant.exp() }
        };
        heads[..units].iter().zip(&heads[units..]).map(gaussian).collect()
    }

    fn ascend(&mut self, noise: &mut Noise) -> Vec<Stage> {
        let (has_u, has_w) = (self.paths != Paths::TopDown, self.paths != Paths::BottomUp);
        let x = X.map(Affine::constant).to_vec();
        let (mut u, mut w) = (x.clone(), x);
        let mut stages: Vec<Stage> = Vec::new();
        for index in 0..LATENTS.len() {
            let name = format!("inference.{}", index + 1);
            let skip = stages.last().filter(|_| self.skips).map(|below| {
                below
                    .bottom_up
                    .iter()
                    .chain(&below.deterministic)
                    .flatten()
                    .cloned()
                    .collect::<Vec<_>>()
            });
            let mut found = Stage::default();
            if has_u {
                for j in 0..BLOCKS {
                    let residual = index > 0 || j > 0;
                    u = self.block(
                        &format!("{name}.bottom_up.{}", j + 1),
                        &u,
                        skip.as_deref(),
                        residual,
                    );
                }
                found.bottom_up = Some(u.clone());
            }
            if has_w {
                let aux = if has_u { found.bottom_up.clone().filter(|_| self.skips) } else { skip };
                for j in 0..BLOCKS {
                    let residual = index > 0 || j > 0;
                    w = self.block(
                        &format!("{name}.deterministic.{}", j + 1),
                        &w,
                        aux.as_deref(),
                        residual,
                    );
                }
                found.deterministic = Some(w.clone());
            }
            if has_u && index + 1 < LATENTS.len() {
                let q = self.head(&format!("{name}.q"), &u);
                let z: Vec<Affine> = q.iter().map(|q| q.sample(noise)).collect();
                u = self.linear(&format!("{name}.projection"), &z);
                found.group = Some((q, z));
            }
            stages.push(found);
        }
        stages
    }

    /// L^{>k} of the image.
    fn bound(&mut self, skipped: usize) -> f64 {
        let (depth, mut noise) = (LATENTS.len(), Noise::default());
        let mut found = self.ascend(&mut noise);
        let last = &found[depth - 1];
        let mut t: Vec<Affine> =
            last.deterministic.iter().chain(&last.bottom_up).flatten().cloned().collect();
        if self.paths != Paths::BottomUp {
            t = self.block("inference.top.block", &t, None, true);
        }
        let q = self.head("inference.top.q", &t);
        let z: Vec<Affine> = q.iter().map(|q| q.sample(&mut noise)).collect();
        let mut bound = expected_log_ratio(&vec![Gaussian::STANDARD; z.len()], &q, &z);
        let mut samples = z;
        let mut above: Vec<Vec<Affine>> = Vec::new();
        for index in (0..depth).rev() {
            let name = format!("generative.{}", index + 1);
            let mut g = self.linear(&format!("{name}.projection"), &samples);
            let mut outputs = Vec::new();
            for j in 0..BLOCKS {
                let aux = above.get(j).cloned();
                g = self.block(&format!("{name}.block.{}", j + 1), &g, aux.as_deref(), j > 0);
                outputs.push(g.clone());
            }
            above = if self.skips { outputs } else { Vec::new() };
            let Some(below) = index.checked_sub(1) else {
                let logits = self.centred("generative.x", &elu(&g), X.len());
                return bound
                    + X.iter()
                        .zip(&logits)
                        .map(|(x, logit)| expected_bernoulli(*x, logit))
                        .sum::<f64>();
            };
            let is_skipped = index <= skipped;
            samples = Vec::new();
            if self.paths != Paths::BottomUp {
                let p = self.head(&format!("{name}.below.p_top_down"), &g);
                let z = if is_skipped {
                    p.iter().map(|p| p.sample(&mut noise)).collect()
                } else {
                    let features = found[below].deterministic.clone().unwrap();
                    let merged =
                        self.block(&format!("{name}.below.merge"), &features, Some(&g), true);
                    let q = self.head(&format!("{name}.below.q_top_down"), &merged);
                    let z: Vec<Affine> = q.iter().map(|q| q.sample(&mut noise)).collect();
                    bound += expected_log_ratio(&p, &q, &z);
                    z
                };
                samples.extend(z);
            }
            if self.paths != Paths::TopDown {
                let p = self.head(&format!("{name}.below.p_bottom_up"), &g);
                let (q, z) = found[below].group.take().unwrap();
                if is_skipped {
                    samples.extend(p.iter().map(|p| p.sample(&mut noise)));
                } else {
                    bound += expected_log_ratio(&p, &q, &z);
                    samples.extend(z);
                }
            }
        }
        unreachable!("the lowest stage ends with the data")
    }
}

#[test]
fn bounds_of_models_of_blocks_are_those_of_their_closed_form() {
    for (paths, skips) in [Paths::BottomUp, Paths::TopDown, Paths::Bidirectional]
        .into_iter()
        .flat_map(|paths| [(paths, false), (paths, true)])
    {
        let (mut parameters, mut statistics) = (ParameterList::new(), StatisticsList::default());
        let model = Biva::new(config(paths, skips), &mut parameters, &mut statistics).unwrap();
        let device = Device::cpu();
        let mut store = parameters.build(&device, DType::F64, Address::new(0, 0, 0)).unwrap();
        let statistics = statistics.build(&device, DType::F64).unwrap();
        fill(&mut store);
        let mut reference = Reference { store: &mut store, paths, skips, centres: true };
        reference.bound(0);
        reference.centres = false;
        let expected: Vec<f64> =
            (0..LATENTS.len()).map(|skipped| reference.bound(skipped)).collect();
        assert_bounds(&format!("{paths:?}, skips {skips}"), &expected, |skipped| {
            estimate(&model, &store, &statistics, &X, skipped)
        });
    }
}

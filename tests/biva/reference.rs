//! A second implementation of BIVA and its relatives, written line by line from specification B,
//! sections 5 and 6, for Bernoulli images.

use std::collections::VecDeque;

use rung_autograd::ops::{Activation, concat};
use rung_autograd::{ParameterStore, Tensor};
use rung_models::biva::{BivaConfig, BlockConfig, LatentConfig, LogVariance, Paths};

/// The parameters by name, and the noise of each group.
pub(crate) struct Reference<'a> {
    pub(crate) store: &'a ParameterStore,
    pub(crate) config: &'a BivaConfig,
    /// The noise of the group at a position, [rows, units].
    pub(crate) noise: &'a dyn Fn(usize, usize) -> Tensor,
}

/// Mean and log-variance, [rows, units] each.
struct Head {
    mean: Tensor,
    log_variance: Tensor,
}

/// For each row: log p(x|z), and log q − log p of each group, nearest to the data first.
pub(crate) struct Terms {
    pub(crate) log_p_x: Tensor,
    pub(crate) log_ratios: Vec<Tensor>,
}

/// What the second stream of the bottom-up pass leaves at a stage.
#[derive(Default)]
struct Stage {
    bottom_up: Option<Tensor>,
    deterministic: Option<Tensor>,
    group: Option<(Head, Tensor)>,
}

fn elu(x: &Tensor) -> Tensor {
    x.activate(Activation::Elu(1.0)).unwrap()
}

fn side(x: &Tensor) -> usize {
    x.shape().sizes()[1]
}

fn side_by_side(parts: &[&Tensor], axis: usize) -> Tensor {
    if parts.len() == 1 { parts[0].clone() } else { concat(parts, axis).unwrap() }
}

impl Head {
    fn sample(&self, noise: &Tensor) -> Tensor {
        self.mean
            .add(&self.log_variance.scale(0.5).unwrap().exp().unwrap().mul(noise).unwrap())
            .unwrap()
    }

    /// Section 6.3: −0.918938533 − s/2 − (z − m)² exp(−s)/2, summed over the group.
    fn log_density(&self, z: &Tensor) -> Tensor {
        let difference = z.sub(&self.mean).unwrap().square().unwrap();
        let precision = self.log_variance.neg().unwrap().exp().unwrap();
        let quadratic = difference.mul(&precision).unwrap().add(&self.log_variance).unwrap();
        let half_log_two_pi = 0.5 * (2.0 * std::f64::consts::PI).ln();
        quadratic.scale(-0.5).unwrap().shift(-half_log_two_pi).unwrap().sum(1).unwrap()
    }
}

impl Reference<'_> {
    fn parameter(&self, name: &str) -> Tensor {
        let id = self.store.find(name).unwrap_or_else(|| panic!("there is no parameter {name}"));
        self.store.tensor(id, None)
    }

    fn weight(&self, name: &str, channel_axis: usize) -> (Tensor, Tensor) {
        let direction = self.parameter(&format!("{name}.direction"));
        let weight =
            direction.weight_norm(&self.parameter(&format!("{name}.gain")), channel_axis).unwrap();
        (weight, self.parameter(&format!("{name}.bias")))
    }

    fn dense(&self, name: &str, x: &Tensor) -> Tensor {
        let (weight, bias) = self.weight(name, 1);
        x.linear(&weight, Some(&bias)).unwrap()
    }

    fn conv(&self, name: &str, x: &Tensor, stride: usize) -> Tensor {
        let (weight, bias) = self.weight(name, 3);
        x.conv2d(&weight, Some(&bias), stride).unwrap()
    }

    fn transposed(&self, name: &str, x: &Tensor, stride: usize) -> Tensor {
        let (weight, bias) = self.weight(name, 2);
        x.conv_transpose2d(&weight, Some(&bias), stride).unwrap()
    }

    /// Section 6.2.
    fn block(
        &self,
        name: &str,
        x: &Tensor,
        aux: Option<&Tensor>,
        block: BlockConfig,
        down: bool,
        residual: bool,
    ) -> Tensor {
        let part = |part: &str| format!("{name}.{part}");
        let mut a = self.conv(&part("first"), &elu(x), 1);
        assert_eq!(self.store.find(&part("aux.gain")).is_some(), aux.is_some(), "{name}");
        if let Some(aux) = aux {
            let summand = match side(aux).cmp(&side(x)) {
                std::cmp::Ordering::Equal => self.conv(&part("aux"), &elu(aux), 1),
                std::cmp::Ordering::Greater => {
                    self.conv(&part("aux"), &elu(aux), side(aux) / side(x))
                }
                std::cmp::Ordering::Less => {
                    self.transposed(&part("aux"), &elu(aux), side(x) / side(aux))
                }
            };
            a = a.add(&summand).unwrap();
        }
        let b = if down && block.stride > 1 {
            self.transposed(&part("second"), &elu(&a), block.stride)
        } else {
            self.conv(&part("second"), &elu(&a), if down { 1 } else { block.stride })
        };
        let halves = b.split(3, &[block.channels, block.channels]).unwrap();
        let y = halves[0].mul(&halves[1].sigmoid().unwrap()).unwrap();
        let channels = x.shape().sizes()[3];
        if !residual || side(&y) > side(x) || block.channels < channels {
            return y;
        }
        let mut shortcut = x.clone();
        if side(&y) < side(x) {
            shortcut = shortcut.average_pool2d(side(x) / side(&y)).unwrap();
        }
        if block.channels > channels {
            let zeros = shortcut.shape().with_axis(3, block.channels - channels);
            let zeros = Tensor::zeros(x.device(), x.dtype(), zeros).unwrap();
            shortcut = side_by_side(&[&shortcut, &zeros], 3);
        }
        y.add(&shortcut).unwrap()
    }

    /// Section 6.3.
    fn head(&self, name: &str, features: &Tensor, latent: LatentConfig) -> Head {
        let rows = features.shape().sizes()[0];
        let flat = |x: &Tensor| x.reshape([rows, x.shape().element_count() / rows]).unwrap();
        let halves = match latent {
            LatentConfig::Dense { units } => {
                self.dense(name, &flat(&elu(features))).split(1, &[units, units]).unwrap()
            }
            LatentConfig::Map { channels, .. } => {
                self.conv(name, &elu(features), 1).split(3, &[channels, channels]).unwrap()
            }
        };
        let raw = flat(&halves[1]);
        let log_variance = match self.config.log_variance {
            LogVariance::Softplus => raw.softplus().unwrap().shift(1e-8).unwrap(),
            LogVariance::Free => raw,
            LogVariance::SoftplusDeviation => {
                let ln_2 = std::f64::consts::LN_2;
                let sigma = raw
                    .scale(ln_2)
                    .unwrap()
                    .softplus()
                    .unwrap()
                    .scale(1.0 / ln_2)
                    .unwrap()
                    .shift(1e-6)
                    .unwrap();
                sigma.log().unwrap().scale(2.0).unwrap()
            }
        };
        Head { mean: flat(&halves[0]), log_variance }
    }

    fn project(
        &self,
        name: &str,
        samples: &[&Tensor],
        like: &Tensor,
        latent: LatentConfig,
    ) -> Tensor {
        let &[rows, height, width, channels] = like.shape().sizes() else { panic!("not a map") };
        match latent {
            LatentConfig::Dense { .. } => self
                .dense(name, &side_by_side(samples, 1))
                .reshape([rows, height, width, channels])
                .unwrap(),
            LatentConfig::Map { channels, .. } => {
                let maps: Vec<Tensor> = samples
                    .iter()
                    .map(|z| z.reshape([rows, height, width, channels]).unwrap())
                    .collect();
                side_by_side(&maps.iter().collect::<Vec<_>>(), 3)
            }
        }
    }

    /// Section 5: up, then down.
    pub(crate) fn terms(&self, x: &Tensor) -> Terms {
        let config = self.config;
        let depth = config.stages.len();
        let (rows, image) = (x.shape().sizes()[0], config.image);
        let planes = x
            .reshape([rows, image.channels, image.height * image.width])
            .unwrap()
            .transpose()
            .unwrap();
        let map = planes.reshape([rows, image.height, image.width, image.channels]).unwrap();
        let stages = self.up(&map);
        let last = &stages[depth - 1];
        let parts: Vec<&Tensor> = last.deterministic.iter().chain(&last.bottom_up).collect();
        let mut t = side_by_side(&parts, 3);
        if config.paths != Paths::BottomUp {
            let block =
                BlockConfig { stride: 1, ..*config.stages[depth - 1].blocks.last().unwrap() };
            t = self.block("inference.top.block", &t, None, block, false, true);
        }
        let groups = if config.paths == Paths::Bidirectional { 2 * depth - 1 } else { depth };
        let q = self.head("inference.top.q", &t, config.stages[depth - 1].latent);
        let z = q.sample(&(self.noise)(groups - 1, rows));
        let prior = Head { mean: z.scale(0.0).unwrap(), log_variance: z.scale(0.0).unwrap() };
        let ratio = q.log_density(&z).sub(&prior.log_density(&z)).unwrap();
        let (log_p_x, mut log_ratios) = self.down(x, z, stages);
        log_ratios.push(ratio);
        Terms { log_p_x, log_ratios }
    }

    fn up(&self, x: &Tensor) -> Vec<Stage> {
        let config = self.config;
        let (has_u, has_w) = (config.paths != Paths::TopDown, config.paths != Paths::BottomUp);
        let (mut u, mut w) = (x.clone(), x.clone());
        let mut stages: Vec<Stage> = Vec::new();
        for (index, stage) in config.stages.iter().enumerate() {
            let name = format!("inference.{}", index + 1);
            let skip = stages.last().filter(|_| config.skips).map(|below| {
                let parts: Vec<&Tensor> =
                    below.bottom_up.iter().chain(&below.deterministic).collect();
                side_by_side(&parts, 3)
            });
            let mut found = Stage::default();
            if has_u {
                for (j, &block) in stage.blocks.iter().enumerate() {
                    let residual = index > 0 || j > 0;
                    u = self.block(
                        &format!("{name}.bottom_up.{}", j + 1),
                        &u,
                        skip.as_ref(),
                        block,
                        false,
                        residual,
                    );
                }
                found.bottom_up = Some(u.clone());
            }
            if has_w {
                let aux =
                    if has_u { found.bottom_up.clone().filter(|_| config.skips) } else { skip };
                for (j, &block) in stage.blocks.iter().enumerate() {
                    let residual = index > 0 || j > 0;
                    w = self.block(
                        &format!("{name}.deterministic.{}", j + 1),
                        &w,
                        aux.as_ref(),
                        block,
                        false,
                        residual,
                    );
                }
                found.deterministic = Some(w.clone());
            }
            if has_u && index + 1 < config.stages.len() {
                let head = self.head(&format!("{name}.q"), &u, stage.latent);
                let group = if has_w { 2 * index } else { index };
                let z = head.sample(&(self.noise)(group, x.shape().sizes()[0]));
                u = self.project(&format!("{name}.projection"), &[&z], &u, stage.latent);
                found.group = Some((head, z));
            }
            stages.push(found);
        }
        stages
    }

    fn down(&self, x: &Tensor, z_top: Tensor, mut stages: Vec<Stage>) -> (Tensor, Vec<Tensor>) {
        let config = self.config;
        let rows = x.shape().sizes()[0];
        let mut queue: VecDeque<Tensor> = VecDeque::new();
        let mut samples = vec![z_top];
        let mut ratios: VecDeque<Tensor> = VecDeque::new();
        let mut g = x.clone();
        for index in (0..config.stages.len()).rev() {
            let (stage, name) = (&config.stages[index], format!("generative.{}", index + 1));
            let like = stages[index]
                .deterministic
                .as_ref()
                .or(stages[index].bottom_up.as_ref())
                .unwrap()
                .clone();
            g = self.project(
                &format!("{name}.projection"),
                &samples.iter().collect::<Vec<_>>(),
                &like,
                stage.latent,
            );
            for (j, &block) in stage.blocks.iter().rev().enumerate() {
                // The queue of the top stage is empty for its own blocks too.
                let aux = if config.skips && index + 1 < config.stages.len() {
                    queue.pop_front()
                } else {
                    None
                };
                g = self.block(
                    &format!("{name}.block.{}", j + 1),
                    &g,
                    aux.as_ref(),
                    block,
                    true,
                    j > 0,
                );
                queue.push_back(g.clone());
            }
            let Some(below) = index.checked_sub(1) else { break };
            let latent = config.stages[below].latent;
            samples.clear();
            if config.paths != Paths::BottomUp {
                let p = self.head(&format!("{name}.below.p_top_down"), &g, latent);
                let features = stages[below].deterministic.clone().unwrap();
                let channels = features.shape().sizes()[3];
                let block = BlockConfig { channels, kernel: stage.blocks[0].kernel, stride: 1 };
                let r = self.block(
                    &format!("{name}.below.merge"),
                    &features,
                    Some(&g),
                    block,
                    false,
                    true,
                );
                let q = self.head(&format!("{name}.below.q_top_down"), &r, latent);
                let group =
                    if config.paths == Paths::Bidirectional { 2 * below + 1 } else { below };
                let z = q.sample(&(self.noise)(group, rows));
                ratios.push_front(q.log_density(&z).sub(&p.log_density(&z)).unwrap());
                samples.push(z);
            }
            if let Some((q, z)) = stages[below].group.take() {
                let p = self.head(&format!("{name}.below.p_bottom_up"), &g, latent);
                ratios.push_front(q.log_density(&z).sub(&p.log_density(&z)).unwrap());
                samples.push(z);
            }
        }
        let (weight, bias) = self.weight("generative.x", 3);
        let logits = elu(&g).conv2d(&weight, Some(&bias), 1).unwrap();
        let (positions, channels) =
            (config.image.height * config.image.width, config.image.channels);
        let logits = logits.reshape([rows, positions, channels]).unwrap().transpose().unwrap();
        let log_p_x =
            logits.reshape([rows, positions * channels]).unwrap().bernoulli_log_prob(x).unwrap();
        (log_p_x, ratios.into())
    }
}

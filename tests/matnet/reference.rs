//! A second implementation of MatNet: explicit loops over plain arrays of f64, one example at a
//! time.
//!
//! It shares nothing with the models but the names of the parameters.

use std::collections::BTreeMap;

use rung_models::MatNetConfig;
use rung_models::layers::Nonlinearity;
use rung_models::matnet::{LayerPrior, MatNetBlock, Module};

/// The numbers of a MatNet with Bernoulli pixels, by name.
pub(crate) struct Reference {
    pub(crate) config: MatNetConfig,
    pub(crate) parameters: BTreeMap<String, Vec<f64>>,
}

/// What one example gives, with one sample of the latents.
pub(crate) struct Found {
    /// ln p(x|z).
    pub(crate) log_p_x: f64,
    /// For each latent layer, nearest to the data first: KL(q‖p) of each unit in closed form.
    pub(crate) kl: Vec<Vec<f64>>,
    /// The same: Σ (ln q(z) − ln p(z)) at the sample.
    pub(crate) log_ratio: Vec<f64>,
}

/// What the bottom-up chain gives: the states that the layers read, mean and log-variance of the
/// top before the scale, and the last state.
struct BottomUp {
    states: Vec<Vec<Map>>,
    top: Vec<f64>,
    last: Map,
}

/// `values[(y · width + x) · channels + channel]`.
#[derive(Clone)]
struct Map {
    height: usize,
    width: usize,
    channels: usize,
    values: Vec<f64>,
}

impl Map {
    fn at(&self, y: usize, x: usize, channel: usize) -> f64 {
        self.values[(y * self.width + x) * self.channels + channel]
    }

    fn with(&self, f: impl Fn(f64) -> f64) -> Self {
        Self { values: self.values.iter().map(|&value| f(value)).collect(), ..*self }
    }

    fn and(&self, other: &Self, f: impl Fn(f64, f64) -> f64) -> Self {
        assert_eq!(self.values.len(), other.values.len());
        let values = self.values.iter().zip(&other.values).map(|(&a, &b)| f(a, b)).collect();
        Self { values, ..*self }
    }

    fn channels(&self, from: usize, count: usize) -> Self {
        let pixels = self.values.chunks(self.channels);
        let values = pixels.flat_map(|pixel| pixel[from..from + count].to_vec()).collect();
        Self { channels: count, values, ..*self }
    }

    fn beside(maps: &[&Self]) -> Self {
        let positions = maps[0].height * maps[0].width;
        let pixel = |map: &&Self, at: usize| {
            map.values[at * map.channels..(at + 1) * map.channels].to_vec()
        };
        let values =
            (0..positions).flat_map(|at| maps.iter().flat_map(move |map| pixel(map, at))).collect();
        Self { channels: maps.iter().map(|map| map.channels).sum(), values, ..*maps[0] }
    }
}

impl Reference {
    /// One planar image, which of its pixels are missing, where some can be, and the noise of each
    /// layer, nearest to the data first.
    pub(crate) fn forward(&self, image: &[f64], mask: Option<&[f64]>, noise: &[Vec<f64>]) -> Found {
        let config = &self.config;
        let shape = config.image;
        let positions = shape.height * shape.width;
        let map = |planar: &[f64]| {
            let values = (0..planar.len())
                .map(|at| planar[at % shape.channels * positions + at / shape.channels])
                .collect();
            Map { height: shape.height, width: shape.width, channels: shape.channels, values }
        };
        let x = map(image);
        let has_image_map = config.image_channels > 0;
        let (q_chain, p_chain) = match mask {
            None => (self.bottom_up("inference", &x), None),
            Some(mask) => {
                let fill = &self.parameters["policy.fill"];
                let visible: Vec<f64> = (0..image.len())
                    .map(|at| if mask[at] == 1.0 { fill[at] } else { image[at] })
                    .collect();
                let (visible, mask) = (map(&visible), map(mask));
                let all = Map::beside(&[&visible, &mask, &x, &mask]);
                let policy = self.bottom_up("policy", &Map::beside(&[&visible, &mask]));
                (self.bottom_up("inference", &all), Some(policy))
            }
        };
        let BottomUp { states: bottom_up, top: head, last: h } = q_chain;
        let (mean, log_variance) = head.split_at(config.top_units);

        let mut kl = Vec::new();
        let mut log_ratio = Vec::new();
        let mut draw = |q: [Vec<f64>; 2], p: [Vec<f64>; 2], noise: &[f64]| -> Vec<f64> {
            let mut z = Vec::new();
            let (mut kls, mut ratio) = (Vec::new(), 0.0);
            for unit in 0..noise.len() {
                let [mq, lq, mp, lp] = [q[0][unit], q[1][unit], p[0][unit], p[1][unit]];
                let sample = mq + (0.5 * lq).exp() * noise[unit];
                kls.push(0.5 * (lp - lq + (lq.exp() + (mq - mp).powi(2)) / lp.exp() - 1.0));
                ratio += log_density(sample, mq, lq) - log_density(sample, mp, lp);
                z.push(sample);
            }
            kl.push(kls);
            log_ratio.push(ratio);
            z
        };

        // The top-down and the merge chain.
        let scale = self.parameters["generative.scale"][0];
        let scaled = |values: &[f64]| values.iter().map(|value| scale * value).collect::<Vec<_>>();
        let zeros = |count: usize| vec![0.0; count];
        let top = noise.len() - 1;
        let p_top = match &p_chain {
            None => [zeros(config.top_units), zeros(config.top_units)],
            Some(BottomUp { top, .. }) => {
                let (mean, log_variance) = top.split_at(config.top_units);
                [scaled(mean), scaled(log_variance)]
            }
        };
        let z = draw([scaled(mean), scaled(log_variance)], p_top, &noise[top]);
        let top_sample = z.clone();
        let last = config.blocks.len() - 1;
        let (height, width) = (h.height, h.width);
        let start = |place: &str| {
            let hidden = self.dense(&format!("{place}.top.hidden"), &z, config.top_hidden);
            let hidden: Vec<f64> = hidden.iter().map(|&a| self.nonlinearity(a)).collect();
            let channels = config.blocks[last].channels;
            let values =
                self.dense(&format!("{place}.top.output"), &hidden, height * width * channels);
            self.phi(&Map { height, width, channels, values })
        };
        let (mut t, mut m) = (start("generative"), start("inference.merge"));
        let mut policy = p_chain.map(|found| (found.states, start("policy.merge")));
        let mut number = top;
        let mut refined: Option<Map> = None;
        for (index, block) in config.blocks.iter().enumerate().rev() {
            let p_place = format!("generative.block.{}", index + 1);
            let merge_up = |network: &str, merged: &Map, below: usize| {
                let place = format!("{network}.block.{}.up", index + 1);
                self.phi(&self.enlarge(&place, merged, below, block.stride))
            };
            for layer in (1..=block.layers).rev() {
                number -= 1;
                let (channels, latent) = (block.channels, block.latent_channels);
                let own_weights = if block.refines { 1 } else { layer };
                let place = format!("{p_place}.layer.{own_weights}");
                let module = if block.refines { Module::Gru } else { config.module };
                let units = t.height * t.width * latent;
                let own = (index, layer);
                let of_policy = policy.as_mut().map(|(found, merged)| {
                    let (next, p) = self.merge("policy", own, &t, found, merged);
                    *merged = next;
                    p
                });
                let of_generator = match (config.prior, module) {
                    (LayerPrior::StandardNormal, _) => [zeros(units), zeros(units)],
                    (LayerPrior::Conditional, Module::Gru) => {
                        let head = self.plain(&format!("{place}.prior.output"), &t, 2 * latent);
                        [
                            scaled(&head.channels(0, latent).values),
                            scaled(&head.channels(latent, latent).values),
                        ]
                    }
                    (LayerPrior::Conditional, _) => {
                        let hidden =
                            self.phi(&self.plain(&format!("{place}.prior.hidden"), &t, channels));
                        let mean = self.plain(&format!("{place}.prior.output"), &hidden, latent);
                        [scaled(&mean.values), zeros(units)]
                    }
                };
                let (next, q) = self.merge("inference", own, &t, &bottom_up, &m);
                m = next;
                let values = draw(q, of_policy.unwrap_or(of_generator), &noise[number]);
                let z = Map { height: t.height, width: t.width, channels: latent, values };
                let everywhere = Map {
                    channels: top_sample.len(),
                    values: top_sample.repeat(t.height * t.width),
                    ..t
                };
                let mut read = vec![&z];
                if config.top_beside_samples {
                    read.push(&everywhere);
                }
                t = self.step(&place, module, &read, &t, config.deterministic_paths);
                if block.refines {
                    let added = self.plain(&format!("{p_place}.up"), &t, shape.channels);
                    refined = Some(match refined {
                        None => added,
                        Some(sum) => sum.and(&added, |a, b| a + b),
                    });
                }
            }
            let up = format!("{p_place}.up");
            if index > 0 {
                let below = config.blocks[index - 1].channels;
                t = self.phi(&self.enlarge(&up, &t, below, block.stride));
                m = merge_up("inference", &m, below);
                policy = policy.map(|(found, m)| (found, merge_up("policy", &m, below)));
            } else if has_image_map {
                t = self.phi(&self.enlarge(&up, &t, config.image_channels, block.stride));
                t = self.plain("generative.image", &t, shape.channels);
            } else if let Some(sum) = refined.take() {
                t = sum;
            } else {
                t = self.enlarge(&up, &t, shape.channels, block.stride);
            }
        }
        let missing = mask.map(map);
        let log_p = |at: usize| {
            let (logit, pixel) = (t.values[at].clamp(-15.0, 15.0), x.values[at]);
            let counts = missing.as_ref().is_none_or(|missing| missing.values[at] == 1.0);
            if counts { pixel * logit - logit.exp().ln_1p() } else { 0.0 }
        };
        let log_p_x = (0..x.values.len()).map(log_p).sum();
        kl.reverse();
        log_ratio.reverse();
        Found { log_p_x, kl, log_ratio }
    }

    fn bottom_up(&self, network: &str, x: &Map) -> BottomUp {
        let config = &self.config;
        let mut h = if config.image_channels > 0 {
            self.phi(&self.plain(&format!("{network}.image"), x, config.image_channels))
        } else {
            x.clone()
        };
        let mut states = Vec::new();
        for (block, number) in config.blocks.iter().zip(1..) {
            let place = format!("{network}.block.{number}");
            h = self.phi(&self.convolve(
                &format!("{place}.down"),
                &h,
                block.channels,
                block.stride,
            ));
            let mut read = Vec::new();
            for layer in 1..=block.layers {
                read.push(h.clone());
                if block.refines {
                    continue;
                }
                let place = format!("{place}.bottom_up.{layer}");
                h = self.step(&place, self.chain_module(block), &[], &h, true);
            }
            states.push(read);
        }
        let hidden = self.dense(&format!("{network}.top.hidden"), &h.values, config.top_hidden);
        let hidden: Vec<f64> = hidden.iter().map(|&a| self.nonlinearity(a)).collect();
        let top = self.dense(&format!("{network}.top.q"), &hidden, 2 * config.top_units);
        BottomUp { states, top, last: h }
    }

    /// The module of the chains that read no sample.
    fn chain_module(&self, block: &MatNetBlock) -> Module {
        match self.config.module {
            _ if block.refines => Module::Gru,
            Module::Additive => Module::Residual,
            module => module,
        }
    }

    /// The merge state after a layer, and the Gaussian that it gives.
    fn merge(
        &self,
        network: &str,
        (index, layer): (usize, usize),
        t: &Map,
        bottom_up: &[Vec<Map>],
        m: &Map,
    ) -> (Map, [Vec<f64>; 2]) {
        let block = &self.config.blocks[index];
        let latent = block.latent_channels;
        let place = format!("{network}.block.{}", index + 1);
        let module = self.chain_module(block);
        let read = if module == Module::Gru { 0 } else { layer - 1 };
        let read = [t, &bottom_up[index][read]];
        let layer = if block.refines { 1 } else { layer };
        let merge = format!("{place}.merge.{layer}");
        let next = self.step(&merge, module, &read, m, true);
        let head = self.plain(&format!("{place}.q.{layer}"), &next, 2 * latent);
        let scale = self.parameters["generative.scale"][0];
        let half = |from| head.channels(from, latent).with(|a| scale * a).values;
        let gaussian = [half(0), half(latent)];
        (next, gaussian)
    }

    fn nonlinearity(&self, a: f64) -> f64 {
        match self.config.nonlinearity {
            Nonlinearity::Tanh => a.tanh(),
            Nonlinearity::LeakyRelu if a < 0.0 => self.config.leaky_slope * a,
            Nonlinearity::LeakyRelu => a,
            other => unreachable!("{other:?} is not drawn"),
        }
    }

    fn phi(&self, map: &Map) -> Map {
        map.with(|a| self.nonlinearity(a))
    }

    /// The next state.
    fn step(&self, place: &str, module: Module, read: &[&Map], h: &Map, reads_state: bool) -> Map {
        let channels = h.channels;
        if module == Module::Gru {
            let with =
                |state: &Map| Map::beside(&read.iter().copied().chain([state]).collect::<Vec<_>>());
            let gates = self.plain(&format!("{place}.gates"), &with(h), 2 * channels);
            let gate =
                |from| gates.channels(from, channels).with(|a| 1.0 / (1.0 + (-a - 1.0).exp()));
            let (u, r) = (gate(0), gate(channels));
            let kept = r.and(h, |r, h| r * h);
            let s =
                self.plain(&format!("{place}.candidate"), &with(&kept), channels).with(f64::tanh);
            return u.and(h, |u, h| u * h).and(&u.and(&s, |u, s| (1.0 - u) * s), |a, b| a + b);
        }
        let (mut h, mut inputs) = (h.clone(), read.to_vec());
        if module == Module::Additive && reads_state {
            let added = self.plain(&format!("{place}.sample"), &Map::beside(read), channels);
            h = self.phi(&h.and(&added, |h, added| h + added));
            inputs.clear();
        }
        if reads_state {
            inputs.push(&h);
        }
        let inner =
            self.phi(&self.plain(&format!("{place}.first"), &Map::beside(&inputs), channels));
        let step = self.plain(&format!("{place}.second"), &inner, channels);
        let sum = if reads_state { h.and(&step, |h, step| h + step) } else { step };
        self.phi(&sum)
    }

    fn dense(&self, place: &str, x: &[f64], outputs: usize) -> Vec<f64> {
        let (weight, bias) = (
            &self.parameters[&format!("{place}.weight")],
            &self.parameters[&format!("{place}.bias")],
        );
        let product = |output: usize| -> f64 {
            x.iter().enumerate().map(|(input, x)| x * weight[input * outputs + output]).sum()
        };
        (0..outputs).map(|output| bias[output] + product(output)).collect()
    }

    fn kernel(&self) -> usize {
        if self.config.flat_images { 1 } else { 3 }
    }

    fn plain(&self, place: &str, x: &Map, outputs: usize) -> Map {
        self.convolve(place, x, outputs, 1)
    }

    /// Each output position in turn sums its window; what lies outside of the map is 0.
    fn convolve(&self, place: &str, x: &Map, outputs: usize, stride: usize) -> Map {
        let (weight, bias, kernel) = (
            &self.parameters[&format!("{place}.weight")],
            &self.parameters[&format!("{place}.bias")],
            self.kernel(),
        );
        let (height, width) = (x.height.div_ceil(stride), x.width.div_ceil(stride));
        let mut values = Vec::new();
        for (row, column) in (0..height).flat_map(|row| (0..width).map(move |column| (row, column)))
        {
            for output in 0..outputs {
                let mut sum = bias[output];
                for (a, b) in (0..kernel).flat_map(|a| (0..kernel).map(move |b| (a, b))) {
                    let y = (row * stride + a).wrapping_sub(before(x.height, kernel, stride));
                    let x_ = (column * stride + b).wrapping_sub(before(x.width, kernel, stride));
                    if y >= x.height || x_ >= x.width {
                        continue;
                    }
                    for channel in 0..x.channels {
                        sum += x.at(y, x_, channel)
                            * weight[((a * kernel + b) * x.channels + channel) * outputs + output];
                    }
                }
                values.push(sum);
            }
        }
        Map { height, width, channels: outputs, values }
    }

    /// What the transposed convolution is the adjoint of: each input position adds to its window.
    /// With a stride of 1 it is a convolution.
    fn enlarge(&self, place: &str, x: &Map, outputs: usize, stride: usize) -> Map {
        if stride == 1 {
            return self.plain(place, x, outputs);
        }
        let (weight, bias, kernel) = (
            &self.parameters[&format!("{place}.weight")],
            &self.parameters[&format!("{place}.bias")],
            self.kernel(),
        );
        let (height, width) = (x.height * stride, x.width * stride);
        let mut values: Vec<f64> = (0..height * width).flat_map(|_| bias.clone()).collect();
        for (p, q) in (0..x.height).flat_map(|p| (0..x.width).map(move |q| (p, q))) {
            for (a, b) in (0..kernel).flat_map(|a| (0..kernel).map(move |b| (a, b))) {
                let y = (p * stride + a).wrapping_sub(before(height, kernel, stride));
                let x_ = (q * stride + b).wrapping_sub(before(width, kernel, stride));
                if y >= height || x_ >= width {
                    continue;
                }
                for (output, channel) in
                    (0..outputs).flat_map(|o| (0..x.channels).map(move |c| (o, c)))
                {
                    values[(y * width + x_) * outputs + output] += x.at(p, q, channel)
                        * weight[((a * kernel + b) * outputs + output) * x.channels + channel];
                }
            }
        }
        Map { height, width, channels: outputs, values }
    }
}

/// Zeros before the first position of an axis of so many.
fn before(size: usize, kernel: usize, stride: usize) -> usize {
    ((size.div_ceil(stride) - 1) * stride + kernel).saturating_sub(size) / 2
}

fn log_density(z: f64, mean: f64, log_variance: f64) -> f64 {
    -0.5 * (std::f64::consts::TAU.ln() + log_variance + (z - mean).powi(2) / log_variance.exp())
}

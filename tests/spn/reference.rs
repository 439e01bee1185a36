//! A second implementation of the spatial transformer networks: explicit loops over plain arrays of
//! f64, in the order in which the paper has its layers.
//!
//! It shares nothing with the models but the names of the parameters.

use std::collections::BTreeMap;

use rung_models::SpnConfig;
use rung_models::layers::GruReset;
use rung_models::spn::{OutsideRule, SpnFamily};

/// The numbers of a network, by name.
pub(crate) struct Reference {
    pub(crate) config: SpnConfig,
    pub(crate) parameters: BTreeMap<String, Vec<f64>>,
}

/// `at(row, column, channel)` of one map.
#[derive(Clone, Debug)]
pub(crate) struct Map {
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: usize,
    pub(crate) values: Vec<f64>,
}

impl Map {
    fn make(
        [height, width, channels]: [usize; 3],
        value: impl Fn(usize, usize, usize) -> f64,
    ) -> Self {
        let mut values = Vec::new();
        for row in 0..height {
            for column in 0..width {
                values.extend((0..channels).map(|channel| value(row, column, channel)));
            }
        }
        Self { height, width, channels, values }
    }

    fn at(&self, row: usize, column: usize, channel: usize) -> f64 {
        self.values[(row * self.width + column) * self.channels + channel]
    }

    fn pooled(&self, size: usize) -> Self {
        let sizes = [self.height / size, self.width / size, self.channels];
        Self::make(sizes, |p, q, c| {
            let window = (0..size).flat_map(|a| (0..size).map(move |b| (a, b)));
            window.map(|(a, b)| self.at(p * size + a, q * size + b, c)).fold(f64::MIN, f64::max)
        })
    }
}

/// What a canvas gives.
pub(crate) struct Reading {
    pub(crate) thetas: Vec<Vec<f64>>,
    pub(crate) glimpses: Vec<Map>,
    /// ln p(k) of each position.
    pub(crate) log_probs: Vec<Vec<f64>>,
}

pub(crate) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

impl Reference {
    pub(crate) fn read(&self, canvas: &Map) -> Reading {
        let config = &self.config;
        let pooled = |map: &Map| map.pooled(config.input_pool);
        if config.family == SpnFamily::SequenceConvnet {
            let log_probs = self.classify(&pooled(canvas));
            return Reading { thetas: Vec::new(), glimpses: Vec::new(), log_probs };
        }
        let place = "localisation";
        let features = self.stack(place, pooled(canvas), config.localisation_channels.len());
        let states = match config.family {
            SpnFamily::RnnSpn => self.states(&features, config.positions),
            _ => vec![self.hidden(place, features, config.localisation_hidden.len())],
        };
        let mut reading =
            Reading { thetas: Vec::new(), glimpses: Vec::new(), log_probs: Vec::new() };
        for state in states {
            let change = self.dense("localisation.theta", &state);
            let identity = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0];
            let theta: Vec<f64> =
                identity.iter().zip(change).map(|(i, c)| i + config.theta_rate * c).collect();
            let glimpse = self.glimpse(canvas, &theta);
            reading.log_probs.extend(self.classify(&glimpse));
            reading.thetas.push(theta);
            reading.glimpses.push(glimpse);
        }
        reading
    }

    /// Position (i, j) of the glimpse sums all pixels with the weights of the paper's kernel.
    fn glimpse(&self, canvas: &Map, t: &[f64]) -> Map {
        assert_eq!(self.config.outside, OutsideRule::Zeros, "the reference has zeros alone");
        let side = |side: usize| (side as f64 / self.config.downsampling).floor() as usize;
        let (rows, columns) = (side(canvas.height), side(canvas.width));
        let target = |at: usize, size: usize| {
            if size == 1 { 0.0 } else { -1.0 + 2.0 * at as f64 / (size as f64 - 1.0) }
        };
        Map::make([rows, columns, canvas.channels], |i, j, c| {
            let (x, y) = (target(j, columns), target(i, rows));
            let px = (t[0] * x + t[1] * y + t[2] + 1.0) / 2.0 * (canvas.width as f64 - 1.0);
            let py = (t[3] * x + t[4] * y + t[5] + 1.0) / 2.0 * (canvas.height as f64 - 1.0);
            let mut sum = 0.0;
            for n in 0..canvas.height {
                for m in 0..canvas.width {
                    let hat = |distance: f64| (1.0 - distance.abs()).max(0.0);
                    sum += canvas.at(n, m, c) * hat(px - m as f64) * hat(py - n as f64);
                }
            }
            sum
        })
    }

    fn classify(&self, map: &Map) -> Vec<Vec<f64>> {
        let (config, place) = (&self.config, "classifier");
        let features = self.stack(place, map.clone(), config.classifier_channels.len());
        let features = self.hidden(place, features, config.classifier_hidden.len());
        let logits = self.dense("classifier.logits", &features);
        let of_head = |logits: &[f64]| {
            let total = logits.iter().map(|logit| logit.exp()).sum::<f64>().ln();
            logits.iter().map(|logit| logit - total).collect()
        };
        logits.chunks(config.classes).map(of_head).collect()
    }

    /// Convolution, rectifier; pooling before each but the first.
    fn stack(&self, place: &str, mut map: Map, convolutions: usize) -> Vec<f64> {
        for number in 1..=convolutions {
            let place = format!("{place}.convolution.{number}");
            let (weight, bias) = (self.of(&place, "weight"), self.of(&place, "bias"));
            if number > 1 {
                map = map.pooled(2);
            }
            let sizes = [map.height - 2, map.width - 2, bias.len()];
            map = Map::make(sizes, |p, q, o| {
                let mut sum = bias[o];
                for a in 0..3 {
                    for b in 0..3 {
                        for c in 0..map.channels {
                            let at = ((a * 3 + b) * map.channels + c) * bias.len() + o;
                            sum += map.at(p + a, q + b, c) * weight[at];
                        }
                    }
                }
                sum.max(0.0)
            });
        }
        map.values
    }

    fn hidden(&self, place: &str, x: Vec<f64>, layers: usize) -> Vec<f64> {
        (1..=layers).fold(x, |x, number| {
            let out = self.dense(&format!("{place}.hidden.{number}"), &x);
            out.into_iter().map(|out| out.max(0.0)).collect()
        })
    }

    fn dense(&self, place: &str, x: &[f64]) -> Vec<f64> {
        let (weight, bias) = (self.of(place, "weight"), self.of(place, "bias"));
        let sum = |o: usize| {
            bias[o] + x.iter().enumerate().map(|(i, x)| x * weight[i * bias.len() + o]).sum::<f64>()
        };
        (0..bias.len()).map(sum).collect()
    }

    fn of(&self, place: &str, name: &str) -> &[f64] {
        &self.parameters[&format!("{place}.{name}")]
    }

    /// The hidden states of the steps, each of which sees the same input.
    fn states(&self, x: &[f64], steps: usize) -> Vec<Vec<f64>> {
        let place = "localisation.recurrence";
        let gru = GruLoops {
            input_weight: self.of(place, "input_weight"),
            hidden_weight: self.of(place, "hidden_weight"),
            bias: self.of(place, "bias"),
            reset: self.config.gru_reset,
        };
        let mut h = vec![0.0; self.config.recurrent_units];
        let mut states = Vec::new();
        for _ in 0..steps {
            h = gru.step(x, &h);
            states.push(h.clone());
        }
        states
    }
}

/// A gated recurrent unit whose columns are reset, update, candidate.
pub(crate) struct GruLoops<'a> {
    pub(crate) input_weight: &'a [f64],
    pub(crate) hidden_weight: &'a [f64],
    pub(crate) bias: &'a [f64],
    pub(crate) reset: GruReset,
}

impl GruLoops<'_> {
    pub(crate) fn step(&self, x: &[f64], h: &[f64]) -> Vec<f64> {
        let (units, width) = (h.len(), 3 * h.len());
        let product = |vector: &[f64], weight: &[f64], column: usize| {
            vector.iter().enumerate().map(|(i, v)| v * weight[i * width + column]).sum::<f64>()
        };
        let of_x = |column: usize| product(x, self.input_weight, column) + self.bias[column];
        let of_h = |h: &[f64], column: usize| product(h, self.hidden_weight, column);
        let gate = |first: usize, k: usize| sigmoid(of_x(first + k) + of_h(h, first + k));
        let reset: Vec<f64> = (0..units).map(|k| gate(0, k)).collect();
        let reset_h: Vec<f64> = reset.iter().zip(h).map(|(r, h)| r * h).collect();
        let state = |k: usize| {
            let u = gate(units, k);
            let of_candidate = match self.reset {
                GruReset::After => reset[k] * of_h(h, 2 * units + k),
                GruReset::Before => of_h(&reset_h, 2 * units + k),
            };
            let n = (of_x(2 * units + k) + of_candidate).tanh();
            (1.0 - u) * h[k] + u * n
        };
        (0..units).map(state).collect()
    }
}

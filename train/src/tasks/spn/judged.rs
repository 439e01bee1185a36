//! How sequences were read: the error per digit and per sequence, and where the network looked.

use std::ops::Range;

use rung_datasets::Labels;
use rung_models::SpnConfig;
use serde_json::json;

use crate::run::metrics::Record;
use crate::tasks::description::Curve;
use crate::tasks::measures::{Measures, Part, Place, Quantity};
use crate::tasks::task::Scores;

/// What is recorded of the glimpses: means over the canvases, for each glimpse of a canvas.
pub(super) const GLIMPSE_CURVES: [Curve; 3] = [
    Curve {
        title: "Middle of the glimpses, from left to right",
        key: "glimpse_x",
        unit: "θ₃: −1 is the left edge, 1 the right one",
    },
    Curve {
        title: "Width of the glimpses",
        key: "glimpse_width",
        unit: "|θ₁|: share of the canvas",
    },
    Curve {
        title: "Height of the glimpses",
        key: "glimpse_height",
        unit: "|θ₅|: share of the canvas",
    },
];

/// A sequence that was misread.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mistake {
    pub(super) image: usize,
    /// −Σ ln p(label) over its digits: the larger, the surer the network was of something else.
    nats: f64,
}

/// Sums over canvases for one glimpse.
#[derive(Debug, Clone, Copy, Default)]
struct GlimpseSums {
    x: f64,
    width: f64,
    height: f64,
}

/// How the images of a set were read.
#[derive(Debug, Clone)]
pub(super) struct Judged {
    classes: usize,
    positions: usize,
    /// Images that were looked at, and those of them with labels.
    looked_at: usize,
    images: usize,
    /// Wrong digits at each position.
    wrong: Vec<usize>,
    /// Sequences with a wrong digit.
    wrong_sequences: usize,
    /// Σ over the images of the square of the share of its digits that is wrong.
    squared_shares: f64,
    /// Σ −ln p(label) over the digits.
    pub(super) cross_entropy_nats: f64,
    glimpses: Vec<GlimpseSums>,
    pub(super) mistakes: Vec<Mistake>,
}

impl Judged {
    pub(super) fn new(config: &SpnConfig) -> Self {
        Self {
            classes: config.classes,
            positions: config.positions,
            looked_at: 0,
            images: 0,
            wrong: vec![0; config.positions],
            wrong_sequences: 0,
            squared_shares: 0.0,
            cross_entropy_nats: 0.0,
            glimpses: vec![GlimpseSums::default(); config.glimpses()],
            mistakes: Vec::new(),
        }
    }

    /// Adds the images `part` of all, whose labels are among `labels`, by ln p of every class at
    /// every position, and θ of every glimpse.
    pub(super) fn add(
        &mut self,
        part: Range<usize>,
        labels: &[u32],
        log_probs: &[f64],
        theta: &[f64],
    ) {
        let (positions, classes) = (self.positions, self.classes);
        self.looked_at += part.len();
        for (image, log_probs) in part.zip(log_probs.chunks_exact(positions * classes)) {
            let labels = &labels[image * positions..][..positions];
            // What an image shows that has no label is not known to be wrong.
            if !labels.contains(&Labels::UNKNOWN) {
                self.add_image(image, labels, log_probs);
            }
        }
        let count = self.glimpses.len();
        for (number, theta) in theta.chunks_exact(6).enumerate() {
            let sums = &mut self.glimpses[number % count];
            sums.x += theta[2];
            sums.width += theta[0].abs();
            sums.height += theta[4].abs();
        }
    }

    fn add_image(&mut self, image: usize, labels: &[u32], log_probs: &[f64]) {
        self.images += 1;
        let (mut wrong, mut nats) = (0, 0.0);
        for (position, (&label, row)) in
            labels.iter().zip(log_probs.chunks_exact(self.classes)).enumerate()
        {
            let is_right = likeliest(row) == label as usize;
            wrong += usize::from(!is_right);
            self.wrong[position] += usize::from(!is_right);
            // A class that the model has not can't be read, and says nothing of its probabilities.
            nats -= row.get(label as usize).copied().unwrap_or_default();
        }
        self.cross_entropy_nats += nats;
        self.squared_shares += (wrong as f64 / self.positions as f64).powi(2);
        if wrong > 0 {
            self.wrong_sequences += 1;
            self.mistakes.push(Mistake { image, nats });
        }
    }

    /// Keeps the sequences that the network was surest of and wrong about.
    pub(super) fn keep_worst(&mut self, count: usize) {
        self.mistakes.sort_by(|one, other| other.nats.total_cmp(&one.nats));
        self.mistakes.truncate(count);
    }

    fn digits(&self) -> usize {
        self.images * self.positions
    }

    /// Share of the digits whose likeliest class is not theirs.
    pub(super) fn error_rate(&self) -> f64 {
        self.wrong.iter().sum::<usize>() as f64 / self.digits().max(1) as f64
    }

    /// The standard error of the error per digit. The digits of a canvas are read together, so that
    /// the canvases are the independent draws: √(Σ (eᵢ − ē)²/(n − 1)/n) over the shares eᵢ of their
    /// digits that are wrong. One image has none.
    fn error_rate_standard_error(&self) -> Option<f64> {
        let (n, mean) = (self.images as f64, self.error_rate());
        let sum = (self.squared_shares - n * mean * mean).max(0.0);
        (self.images > 1).then(|| (sum / (n - 1.0) / n).sqrt())
    }

    /// Share of the sequences of which any digit is wrong.
    fn sequence_error_rate(&self) -> f64 {
        self.wrong_sequences as f64 / self.images.max(1) as f64
    }

    /// √(e (1 − e)/n); one image has none.
    fn sequence_error_rate_standard_error(&self) -> Option<f64> {
        let error = self.sequence_error_rate();
        (self.images > 1).then(|| (error * (1.0 - error) / self.images as f64).sqrt())
    }

    fn cross_entropy(&self) -> f64 {
        self.cross_entropy_nats / self.digits().max(1) as f64
    }

    /// Share of the wrong digits at each position.
    fn error_rate_per_position(&self) -> Vec<f64> {
        let rate = |&wrong: &usize| wrong as f64 / self.images.max(1) as f64;
        self.wrong.iter().map(rate).collect()
    }

    /// The mean of a quantity of each glimpse over the images.
    fn glimpse_mean(&self, of: impl Fn(&GlimpseSums) -> f64) -> Vec<f64> {
        self.glimpses.iter().map(|sums| of(sums) / self.looked_at.max(1) as f64).collect()
    }

    /// Where each glimpse lies on average, in words.
    pub(super) fn glimpse_text(&self) -> Option<String> {
        let of: [fn(&GlimpseSums) -> f64; 3] = [|s| s.x, |s| s.width, |s| s.height];
        let [x, width, height] = of.map(|of| self.glimpse_mean(of));
        let one = |k: usize| format!("{:.2} x {:.2} at {:+.2}", width[k], height[k], x[k]);
        let all: Vec<String> = (0..self.glimpses.len()).map(one).collect();
        (!all.is_empty()).then(|| all.join(", "))
    }
}

/// The likeliest class of a row of log-probabilities.
pub(super) fn likeliest(row: &[f64]) -> usize {
    (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or(0)
}

/// An error rate in per cent, with its standard error.
fn percent(rate: f64, standard_error: Option<f64>) -> String {
    let spread =
        standard_error.map_or_else(String::new, |error| format!(" ± {:.2}", 100.0 * error));
    format!("{:.2}{spread} %", 100.0 * rate)
}

impl Scores for Judged {
    fn value(&self) -> f64 {
        self.error_rate()
    }

    fn images(&self) -> usize {
        self.images
    }

    fn headline(&self) -> Vec<(String, f64)> {
        vec![("error_rate".into(), self.error_rate())]
    }

    fn measures(&self) -> Measures {
        let parts = (1..=self.glimpses.len())
            .map(|number| Part { key: number.to_string(), name: format!("glimpse {number}") });
        let measures = Measures { parts_key: "glimpses", parts: parts.collect(), all: Vec::new() }
            .with("images", Place::Line, Quantity::Count(self.images))
            .with("error_rate", Place::FullEvents, Quantity::Number(self.error_rate()))
            .with_some(
                "error_rate_standard_error",
                Place::FullLine,
                self.error_rate_standard_error().map(Quantity::Number),
            )
            .with(
                "sequence_error_rate",
                Place::FullEvents,
                Quantity::Number(self.sequence_error_rate()),
            )
            .with("cross_entropy_nats", Place::FullEvents, Quantity::Number(self.cross_entropy()));
        if self.glimpses.is_empty() {
            return measures;
        }
        let mean = |of: fn(&GlimpseSums) -> f64| Quantity::PerPart(self.glimpse_mean(of));
        measures
            .with("glimpse_x", Place::Everywhere, mean(|sums| sums.x))
            .with("glimpse_width", Place::Everywhere, mean(|sums| sums.width))
            .with("glimpse_height", Place::Everywhere, mean(|sums| sums.height))
    }

    fn brief(&self) -> String {
        format!(
            "error {:.2} % of digits, {:.2} % of sequences",
            100.0 * self.error_rate(),
            100.0 * self.sequence_error_rate()
        )
    }

    fn record(&self, elapsed_s: f64) -> Record {
        let record = json!({
            "error_rate": self.error_rate(),
            "error_rate_standard_error": self.error_rate_standard_error(),
            "sequence_error_rate": self.sequence_error_rate(),
            "sequence_error_rate_standard_error": self.sequence_error_rate_standard_error(),
            "error_rate_per_position": self.error_rate_per_position(),
            "cross_entropy_nats": self.cross_entropy(),
            "glimpse_x": self.glimpse_mean(|sums| sums.x),
            "glimpse_width": self.glimpse_mean(|sums| sums.width),
            "glimpse_height": self.glimpse_mean(|sums| sums.height),
            "images_per_s": self.images as f64 / elapsed_s.max(1e-9),
        });
        record.as_object().cloned().unwrap_or_default()
    }

    fn text(&self, elapsed_s: f64) -> [String; 2] {
        let per_position: Vec<String> = self
            .error_rate_per_position()
            .iter()
            .map(|rate| format!("{:.2}", 100.0 * rate))
            .collect();
        let scores = format!(
            "error rate     {} of the digits ({} % from left to right)\nwrong          {} of the \
            sequences\ncross-entropy  {:.4} nats per digit\n",
            percent(self.error_rate(), self.error_rate_standard_error()),
            per_position.join(", "),
            percent(self.sequence_error_rate(), self.sequence_error_rate_standard_error()),
            self.cross_entropy()
        );
        let glimpses = self.glimpse_text().map_or_else(String::new, |text| {
            format!("glimpses       {text} (width x height, middle; of a canvas from −1 to 1)\n")
        });
        let rate = self.images as f64 / elapsed_s.max(1e-9);
        [scores, format!("{glimpses}{elapsed_s:.1} s, {rate:.0} images per second")]
    }

    fn conclusion(&self, split: &str) -> Vec<String> {
        vec![
            format!(
                "{split} error rate: {} of the digits, {} of the sequences, {} images",
                percent(self.error_rate(), self.error_rate_standard_error()),
                percent(self.sequence_error_rate(), self.sequence_error_rate_standard_error()),
                self.images
            ),
            format!("{split} cross-entropy: {:.4} nats per digit", self.cross_entropy()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rung_models::MapShape;

    /// Two positions of two classes: right and right, wrong and right, wrong and wrong.
    #[test]
    fn digits_and_sequences_are_counted_apart() {
        let map = MapShape { height: 20, width: 20, channels: 1 };
        let mut judged = Judged::new(&SpnConfig::default().for_sequences(map, 2, 2));
        let digit = |p: f64| [p.ln(), (1.0 - p).ln()];
        let log_probs = [0.9, 0.2, 0.4, 0.3, 0.1, 0.6].map(digit).concat();
        let theta = [[0.5, 0.0, -0.5, 0.0, -0.25, 0.0], [0.5, 0.0, 0.5, 0.0, 0.25, 0.0]].concat();
        judged.add(0..3, &[0, 1, 0, 1, 0, 1], &log_probs, &theta.repeat(3));
        assert!((judged.error_rate() - 0.5).abs() < 1e-12);
        assert!((judged.sequence_error_rate() - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(judged.error_rate_per_position(), [2.0 / 3.0, 1.0 / 3.0]);
        // The shares of the three canvases are 0, ½ and 1: their standard deviation is ½.
        let error = judged.error_rate_standard_error().unwrap();
        assert!((error - 0.5 / 3f64.sqrt()).abs() < 1e-12, "{error}");
        let nats = -[0.9f64, 0.8, 0.4, 0.7, 0.1, 0.4].map(f64::ln).iter().sum::<f64>();
        assert!((judged.cross_entropy() - nats / 6.0).abs() < 1e-12);
        judged.keep_worst(1);
        assert_eq!(judged.mistakes[0].image, 2);
        assert_eq!(judged.glimpse_text().unwrap(), "0.50 x 0.25 at -0.50, 0.50 x 0.25 at +0.50");
    }
}

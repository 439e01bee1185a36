//! What a comparison of two sets of images found: kept in the run, shown in its report.

use serde::{Deserialize, Serialize};

use crate::error::{Context, Result};
use crate::run::atomic_file;
use crate::run::folder::RunFolder;
use crate::tasks::latent::anomaly::{ImageBounds, auroc};

/// Bars of a histogram.
const BARS: usize = 60;
/// Share of the scores at either end that the histogram's axis may leave out, so that a few
/// anomalous images do not squeeze the rest.
const TAIL: f64 = 0.005;

/// Two sets of images under one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The set the model was trained for.
    pub own: String,
    /// The other one.
    pub foreign: String,
    /// Images of the own set.
    pub own_images: usize,
    /// Images of the other.
    pub foreign_images: usize,
    /// Importance samples of each bound.
    pub importance_samples: usize,
    /// Steps of training the model has had.
    pub step: u64,
    /// The scores −L^{>k}, k from 0.
    pub bounds: Vec<Separation>,
    /// The scores L − L^{>k}, k from 1.
    pub ratios: Vec<Separation>,
}

/// How a score separates the sets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Separation {
    /// Lowest layers that are drawn from the prior.
    pub k: usize,
    /// Area under the receiver operating characteristic, an out-of-distribution image being the
    /// positive.
    pub auroc: f64,
    /// Mean score of the own images, in nats.
    pub own_mean_nats: f64,
    /// Mean score of the out-of-distribution images, in nats.
    pub foreign_mean_nats: f64,
    /// Both sets' scores.
    pub histogram: Histogram,
}

/// Shares of two sets' scores in bars of one width.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// Lowest score of the first bar, in nats.
    pub from_nats: f64,
    /// Highest score of the last bar.
    pub to_nats: f64,
    /// Share of the own images in each bar; scores beyond the ends are left out.
    pub own: Vec<f64>,
    /// Share of the out-of-distribution images.
    pub foreign: Vec<f64>,
}

impl Outcome {
    /// Keeps it in the run, in place of an older one.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn keep(&self, run: &RunFolder) -> Result<()> {
        let text = serde_json::to_string(self).context("writing the scores")?;
        atomic_file::write(&run.anomaly(), |out| out.write_all(text.as_bytes()))
    }

    /// What the run keeps, if it keeps one.
    ///
    /// # Errors
    /// If it can't be read, or is not what this program writes.
    pub fn read(run: &RunFolder) -> Result<Option<Self>> {
        let path = run.anomaly();
        let Some(text) = atomic_file::read_text_if_any(&path)? else { return Ok(None) };
        serde_json::from_str(&text).map(Some).context(path.display())
    }

    /// Compares the bounds of two sets.
    pub fn new(
        (own, own_bounds): (&str, &ImageBounds),
        (foreign, foreign_bounds): (&str, &ImageBounds),
        importance_samples: usize,
        step: u64,
    ) -> Self {
        let depth = own_bounds.by_layer.len();
        let separation = |k: usize, scores: fn(&ImageBounds, usize) -> Vec<f64>| {
            Separation::new(k, &scores(own_bounds, k), &scores(foreign_bounds, k))
        };
        Self {
            own: own.into(),
            foreign: foreign.into(),
            own_images: own_bounds.count(),
            foreign_images: foreign_bounds.count(),
            importance_samples,
            step,
            bounds: (0..depth).map(|k| separation(k, ImageBounds::plain)).collect(),
            ratios: (1..depth).map(|k| separation(k, ImageBounds::ratio)).collect(),
        }
    }
}

impl Separation {
    fn new(k: usize, own: &[f64], foreign: &[f64]) -> Self {
        let mean = |scores: &[f64]| scores.iter().sum::<f64>() / scores.len().max(1) as f64;
        Self {
            k,
            auroc: auroc(own, foreign).unwrap_or(0.5),
            own_mean_nats: mean(own),
            foreign_mean_nats: mean(foreign),
            histogram: Histogram::new(own, foreign),
        }
    }
}

impl Histogram {
    fn new(own: &[f64], foreign: &[f64]) -> Self {
        let mut all: Vec<f64> =
            own.iter().chain(foreign).copied().filter(|score| score.is_finite()).collect();
        all.sort_by(f64::total_cmp);
        let cut = (all.len() as f64 * TAIL) as usize;
        let (from_nats, to_nats) =
            match (all.get(cut), all.len().checked_sub(cut + 1).and_then(|last| all.get(last))) {
                (Some(&from), Some(&to)) if to > from => (from, to),
                (Some(&only), _) => (only - 0.5, only + 0.5),
                _ => (0.0, 1.0),
            };
        let shares = |scores: &[f64]| {
            let mut bars = vec![0.0; BARS];
            for score in scores.iter().filter(|score| (from_nats..=to_nats).contains(score)) {
                let place = (score - from_nats) / (to_nats - from_nats) * BARS as f64;
                bars[(place as usize).min(BARS - 1)] += 1.0 / scores.len() as f64;
            }
            bars
        };
        Self { from_nats, to_nats, own: shares(own), foreign: shares(foreign) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_and_areas_follow_from_the_bounds() {
        let own = ImageBounds { by_layer: vec![vec![-1.0, -2.0], vec![-3.0, -5.0]] };
        let foreign = ImageBounds { by_layer: vec![vec![-0.5, -1.5], vec![-9.0, -8.0]] };
        let outcome = Outcome::new(("a", &own), ("b", &foreign), 1, 7);
        assert_eq!(outcome.bounds[0].auroc, 0.25);
        assert_eq!(outcome.bounds[1].auroc, 1.0);
        assert_eq!(outcome.ratios[0].auroc, 1.0);
        assert_eq!(
            (outcome.ratios[0].own_mean_nats, outcome.ratios[0].foreign_mean_nats),
            (2.5, 7.5)
        );
        let text = serde_json::to_string(&outcome).unwrap();
        assert_eq!(serde_json::from_str::<Outcome>(&text).unwrap(), outcome);
    }

    #[test]
    fn a_histogram_has_every_image_within_its_ends_once() {
        let own: Vec<f64> = (0..1000).map(f64::from).collect();
        let histogram = Histogram::new(&own, &[500.0, 1e9]);
        assert_eq!((histogram.from_nats, histogram.to_nats), (5.0, 995.0));
        assert!((histogram.own.iter().sum::<f64>() - 0.991).abs() < 1e-9);
        assert!((histogram.foreign.iter().sum::<f64>() - 0.5).abs() < 1e-9);
        let flat = Histogram::new(&[3.0], &[3.0]);
        assert_eq!((flat.from_nats, flat.to_nats, flat.own.iter().sum::<f64>()), (2.5, 3.5, 1.0));
    }
}

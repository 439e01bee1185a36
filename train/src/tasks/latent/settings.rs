//! What `[objective]` holds for models that are trained on a bound of the likelihood.

use std::mem;

use rung_models::objective::ObjectiveConfig;
use rung_models::rules::{BrokenRule, rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tasks::Curve;

/// More samples an image than any step can sensibly draw.
const MOST_SAMPLES: usize = 1_000_000;

/// How the bound is estimated, and how much its latent terms weigh over the epochs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct BoundSettings {
    /// Epochs over which the weight of the latent terms rises from 0 to 1; 0 for no warm-up.
    pub warmup_epochs: u64,
    /// The weight that the warm-up starts from.
    pub warmup_start: f64,
    /// The warm-up takes from the KL what it gives to the squared KL of every unit.
    pub squared_kl: bool,
    /// Independent samples of the bound that are averaged.
    pub monte_carlo_samples: usize,
    /// Samples inside the logarithm of the importance-weighted bound.
    pub importance_samples: usize,
    /// Closed-form KL in place of sampled log-ratios, where that is valid.
    pub analytic_kl: bool,
    /// Nats of each latent group's KL that cost nothing, in each image; 0 for none.
    pub free_bits_nats: f64,
}

/// What is learned from the images whose class is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LabelSettings {
    /// Training images whose class is known, as many of each; 0 for training without labels.
    pub labels: usize,
    /// Classes of the images.
    pub classes: usize,
    /// Weight of the classifier's log-likelihood of these, in a loss per image.
    pub classification_weight: f64,
}

impl Default for BoundSettings {
    fn default() -> Self {
        Self {
            warmup_epochs: 200,
            warmup_start: 0.0,
            squared_kl: false,
            monte_carlo_samples: 1,
            importance_samples: 1,
            analytic_kl: false,
            free_bits_nats: 0.0,
        }
    }
}

impl Default for LabelSettings {
    fn default() -> Self {
        Self { labels: 0, classes: 10, classification_weight: 60.0 }
    }
}

/// How the terms of a step that sees labelled and other images are weighed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::tasks) enum Weighing {
    /// Each bound by the share of its images among all, and the classifier by its weight
    /// (specification B, section 16).
    ByShare,
    /// The mean bounds of the images of either kind by these weights, and the classifier by its own
    /// weight times images/labels: its α = β · N/N_l (specification A, section 3.1).
    ByMeans {
        /// Of the labelled images.
        labelled: f64,
        /// Of the others; 0 for none of them.
        unlabelled: f64,
    },
}

impl Weighing {
    /// The weights, for this share of labelled images among all: of the labelled images' bound, of
    /// the others', of the classifier.
    pub(super) fn weights(self, share: f64, classification: f64) -> [f64; 3] {
        match self {
            Self::ByShare => [share, 1.0 - share, classification],
            Self::ByMeans { labelled, unlabelled } => {
                [labelled, unlabelled, classification * (1.0 - share) / share]
            }
        }
    }
}

impl BoundSettings {
    /// The objective in an epoch, counted from 1.
    pub fn objective(&self, epoch: u64) -> ObjectiveConfig {
        ObjectiveConfig {
            beta: self.warmup(epoch),
            monte_carlo_samples: self.monte_carlo_samples,
            importance_samples: self.importance_samples,
            analytic_kl: self.analytic_kl,
            free_bits_nats: self.free_bits_nats,
            squared_kl: self.squared_kl,
        }
    }

    /// The weight of the latent terms in an epoch, counted from 1: s + (1 − s) · min((epoch −
    /// 1)/N_t, 1), s being where it starts (specification section 7.4).
    pub fn warmup(&self, epoch: u64) -> f64 {
        let risen = match self.warmup_epochs {
            0 => 1.0,
            epochs => ((epoch - 1) as f64 / epochs as f64).min(1.0),
        };
        self.warmup_start + (1.0 - self.warmup_start) * risen
    }

    /// Samples of the latents that a step draws for each image.
    pub const fn samples(&self) -> usize {
        self.monte_carlo_samples * self.importance_samples
    }

    /// Checks every rule.
    ///
    /// # Errors
    /// The first rule that is broken, with key and value.
    pub fn check(&self) -> Result<(), BrokenRule> {
        for (key, samples) in [
            ("monte_carlo_samples", self.monte_carlo_samples),
            ("importance_samples", self.importance_samples),
        ] {
            rule((1..=MOST_SAMPLES).contains(&samples), key, samples, "must be 1 to 1000000")?;
        }
        rule(
            !self.analytic_kl || self.importance_samples == 1,
            "analytic_kl",
            true,
            "needs objective.importance_samples = 1: the importance-weighted bound has no closed \
            form",
        )?;
        let start = self.warmup_start;
        rule((0.0..=1.0).contains(&start), "warmup_start", start, "must be 0 to 1")?;
        rule(
            !self.squared_kl || self.analytic_kl,
            "squared_kl",
            true,
            "needs objective.analytic_kl = true: it is of the closed form",
        )?;
        let free = self.free_bits_nats;
        let valid = free >= 0.0 && free.is_finite();
        rule(valid, "free_bits_nats", free, "must be a number of nats, or 0 for none")?;
        rule(
            free == 0.0 || self.importance_samples == 1,
            "free_bits_nats",
            free,
            "needs objective.importance_samples = 1: the importance-weighted bound has no KL to \
            free",
        )
    }
}

impl LabelSettings {
    /// Checks every rule, beside the bound that is trained too.
    ///
    /// # Errors
    /// The first rule that is broken, with key and value.
    pub fn check(&self, bound: &BoundSettings) -> Result<(), BrokenRule> {
        let weight = self.classification_weight;
        rule(
            weight >= 0.0 && weight.is_finite(),
            "classification_weight",
            weight,
            "must be 0 or more",
        )?;
        rule(
            self.labels == 0 || (bound.importance_samples == 1 && !bound.analytic_kl),
            "labels",
            self.labels,
            "needs a sampled KL of the bound itself: objective.importance_samples = 1, analytic_kl \
            = false",
        )?;
        rule(
            self.labels == 0 || (2..=1000).contains(&self.classes),
            "classes",
            self.classes,
            "must be 2 to 1000",
        )
    }

    /// Classes of the model: 0 where it is trained without labels.
    pub const fn known_classes(&self) -> usize {
        if self.labels > 0 { self.classes } else { 0 }
    }

    /// Takes the number of classes from the data set; returns another one that was configured, if
    /// it matters.
    pub fn settle_classes(&mut self, classes: usize) -> Option<usize> {
        let configured = mem::replace(&mut self.classes, classes);
        (self.labels > 0 && configured != classes).then_some(configured)
    }

    /// What the report draws over the epochs beside the bound.
    pub fn curves(&self) -> Vec<Curve> {
        if self.labels == 0 {
            return Vec::new();
        }
        let curve = |title, key, unit| Curve { title, key, unit };
        vec![
            curve("Error rate", "error_rate", "%"),
            curve("Class entropy of images without a label", "class_entropy_nats", "nats"),
            curve("Cross-entropy of the labelled images", "label_cross_entropy_nats", "nats"),
        ]
    }
}

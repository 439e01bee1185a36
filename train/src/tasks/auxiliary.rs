//! ADGM, SDGM and M2: deep generative models with an auxiliary variable or without, for learning
//! from few labels.

use rung_autograd::ParameterList;
use rung_datasets::ImageShape;
use rung_models::hierarchy::Observation;
use rung_models::rules::{BrokenRule, rule};
use rung_models::{AuxiliaryConfig, AuxiliaryModel, StatisticsList};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::description::{Pixels, map_shape};
use super::latent::{LatentTask, Weighing};
use super::{BoundSettings, Curve, Described, Description, LabelSettings, Task, in_section};
use crate::error::{Context, Result};

/// A model of the family and its objective.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Auxiliary {
    /// `[model]`.
    pub model: AuxiliaryConfig,
    /// `[objective]`.
    pub objective: AuxiliaryObjective,
}

/// What `[objective]` holds. Of the labels, `classification_weight` is the paper's β: a step weighs
/// the classifier by α = β · images/labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AuxiliaryObjective {
    /// Weight of the mean bound of a step's labelled images.
    pub labelled_weight: f64,
    /// Weight of the mean bound of a step's other images; 0 trains on the labelled ones alone.
    pub unlabelled_weight: f64,
    /// Precision of the prior N(0, 1/precision) of every weight, each image's share of which a
    /// step adds to the loss; 0 for none.
    pub weight_precision: f64,
    /// The bound.
    #[serde(flatten)]
    pub bound: BoundSettings,
    /// The labels.
    #[serde(flatten)]
    pub label: LabelSettings,
}

impl Default for AuxiliaryObjective {
    fn default() -> Self {
        Self {
            labelled_weight: 1.0,
            unlabelled_weight: 1.0,
            weight_precision: 1.0,
            bound: BoundSettings::default(),
            label: LabelSettings::default(),
        }
    }
}

impl Described for Auxiliary {
    const NAMES: &'static [&'static str] = &["adgm", "sdgm", "m2"];
    type Model = AuxiliaryConfig;
    type Objective = AuxiliaryObjective;

    fn new(model: AuxiliaryConfig, objective: AuxiliaryObjective) -> Self {
        Self { model, objective }
    }

    fn parts(&self) -> (&AuxiliaryConfig, &AuxiliaryObjective) {
        (&self.model, &self.objective)
    }
}

impl Auxiliary {
    /// The model for images of this shape.
    pub fn config(&self, shape: ImageShape) -> AuxiliaryConfig {
        self.model.clone().for_images(map_shape(shape), self.objective.label.known_classes())
    }

    fn check_objective(&self) -> Result<(), BrokenRule> {
        let AuxiliaryObjective { bound, label, .. } = &self.objective;
        bound.check()?;
        label.check(bound)?;
        for (key, value) in [
            ("labelled_weight", self.objective.labelled_weight),
            ("unlabelled_weight", self.objective.unlabelled_weight),
            ("weight_precision", self.objective.weight_precision),
        ] {
            rule(value >= 0.0 && value.is_finite(), key, value, "must be 0 or more")?;
        }
        rule(
            label.labels > 0 || self.objective.unlabelled_weight > 0.0,
            "unlabelled_weight",
            self.objective.unlabelled_weight,
            "needs labels to learn from instead: objective.labels above 0",
        )
    }
}

impl Description for Auxiliary {
    fn name(&self) -> &'static str {
        self.model.name()
    }

    fn check(&self) -> Result<(), BrokenRule> {
        self.model.check().map_err(|broken| in_section("model", broken))?;
        self.check_objective().map_err(|broken| in_section("objective", broken))
    }

    fn pixels(&self) -> (Pixels, &'static str) {
        match self.model.observation {
            Observation::Bernoulli => (Pixels::Binary, "bernoulli"),
            Observation::Gaussian => (Pixels::Real, "gaussian"),
        }
    }

    fn task(
        &self,
        shape: ImageShape,
        parameters: &mut ParameterList,
        statistics: &mut StatisticsList,
    ) -> Result<Box<dyn Task>> {
        let model = AuxiliaryModel::new(self.config(shape), parameters, statistics)
            .context("building the model")?;
        let AuxiliaryObjective {
            labelled_weight: labelled,
            unlabelled_weight: unlabelled,
            weight_precision,
            bound,
            label,
        } = self.objective.clone();
        let task = LatentTask::new(Box::new(model), bound, label)
            .weighing(Weighing::ByMeans { labelled, unlabelled })
            .with_weight_prior(weight_precision);
        Ok(Box::new(task))
    }

    fn rows_per_image(&self) -> usize {
        self.objective.bound.samples() * self.objective.label.known_classes().max(1)
    }

    fn curves(&self) -> Vec<Curve> {
        self.objective.label.curves()
    }

    fn warmup_epochs(&self) -> u64 {
        self.objective.bound.warmup_epochs
    }

    fn epoch_keys(&mut self) -> Vec<(&'static str, &mut u64)> {
        vec![("warmup_epochs", &mut self.objective.bound.warmup_epochs)]
    }

    fn settle_classes(&mut self, classes: usize) -> Option<usize> {
        self.objective.label.settle_classes(classes)
    }

    fn labels(&self) -> Option<&LabelSettings> {
        Some(&self.objective.label)
    }

    fn batch_norm_momentum(&self) -> Option<f64> {
        self.model.batch_norm.then_some(self.model.batch_norm_momentum)
    }

    fn draws_layers_alone(&self) -> bool {
        false
    }

    fn remedies(&self) -> Vec<&'static str> {
        match self.objective.bound.warmup_epochs {
            0 => vec![
                "A warm-up of a few epochs (objective.warmup_epochs) lets a and z be used first \
                and priced later.",
            ],
            _ => Vec::new(),
        }
    }

    fn layer_networks(&self, _layer: usize) -> String {
        let sizes = self.model.hidden_sizes.iter().map(ToString::to_string);
        sizes.collect::<Vec<_>>().join(" ")
    }

    fn networks_heading(&self) -> &'static str {
        "HIDDEN UNITS"
    }

    fn largest_map(&self, shape: ImageShape) -> usize {
        shape.values()
    }
}

//! The hierarchies of dense layers: VAE, probabilistic ladder, Ladder VAE.

use rung_autograd::ParameterList;
use rung_datasets::ImageShape;
use rung_models::hierarchy::{Inference, Observation};
use rung_models::rules::BrokenRule;
use rung_models::{HierarchyConfig, StatisticsList};

use super::description::{Pixels, map_shape};
use super::latent::LatentTask;
use super::{BoundSettings, Described, Description, LabelSettings, Task, in_section};
use crate::error::{Context, Result};

/// A hierarchy and its objective.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Hierarchy {
    /// `[model]`.
    pub model: HierarchyConfig,
    /// `[objective]`.
    pub objective: BoundSettings,
}

impl Described for Hierarchy {
    const NAMES: &'static [&'static str] = &["vae", "ladder", "lvae"];
    type Model = HierarchyConfig;
    type Objective = BoundSettings;

    fn new(model: HierarchyConfig, objective: BoundSettings) -> Self {
        Self { model, objective }
    }

    fn parts(&self) -> (&HierarchyConfig, &BoundSettings) {
        (&self.model, &self.objective)
    }
}

impl Description for Hierarchy {
    fn name(&self) -> &'static str {
        self.model.name()
    }

    fn check(&self) -> Result<(), BrokenRule> {
        self.model.check().map_err(|broken| in_section("model", broken))?;
        self.objective.check().map_err(|broken| in_section("objective", broken))
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
        let config = self.model.clone().for_images(map_shape(shape));
        let model = rung_models::Hierarchy::new(config, parameters, statistics)
            .context("building the model")?;
        Ok(Box::new(LatentTask::new(
            Box::new(model),
            self.objective.clone(),
            LabelSettings::default(),
        )))
    }

    fn rows_per_image(&self) -> usize {
        self.objective.samples()
    }

    fn warmup_epochs(&self) -> u64 {
        self.objective.warmup_epochs
    }

    fn epoch_keys(&mut self) -> Vec<(&'static str, &mut u64)> {
        vec![("warmup_epochs", &mut self.objective.warmup_epochs)]
    }

    fn batch_norm_momentum(&self) -> Option<f64> {
        let has_batch_norm = self.model.batch_norm_hidden || self.model.batch_norm_heads;
        has_batch_norm.then_some(self.model.batch_norm_momentum)
    }

    fn draws_layers_alone(&self) -> bool {
        true
    }

    fn remedies(&self) -> Vec<&'static str> {
        let HierarchyConfig { batch_norm_hidden, batch_norm_heads, inference, .. } = self.model;
        let mut remedies = Vec::new();
        if !batch_norm_hidden || !batch_norm_heads {
            remedies.push(
                "Batch normalisation, of the heads too (model.batch_norm_hidden and \
                model.batch_norm_heads = true), usually helps most.",
            );
        }
        if inference == Inference::BottomUp && self.model.depth() > 1 {
            remedies.push(
                "A ladder (model.family = \"ladder\") infers the upper layers from the data \
                directly, and usually keeps more of their units.",
            );
        }
        remedies
    }

    fn layer_networks(&self, layer: usize) -> String {
        self.model.hidden_sizes.get(layer - 1).map_or(String::new(), ToString::to_string)
    }

    fn networks_heading(&self) -> &'static str {
        "HIDDEN UNITS"
    }

    fn largest_map(&self, shape: ImageShape) -> usize {
        shape.values()
    }
}

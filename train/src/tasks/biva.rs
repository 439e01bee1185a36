//! BIVA and its relatives, with classification from few labels.

use rung_autograd::ParameterList;
use rung_datasets::ImageShape;
use rung_kernels::backend::{Convolution, Padding};
use rung_models::biva::{BlockConfig, Paths, StageConfig, StageObservation};
use rung_models::rules::{BrokenRule, rule};
use rung_models::{BivaConfig, MapShape, StatisticsList};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::description::{Pixels, SHRINKING, map_shape};
use super::latent::LatentTask;
use super::{BoundSettings, Curve, Described, Description, LabelSettings, Task, in_section};
use crate::error::{Advise, Context, Result};

/// A model of gated blocks and its objective.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Biva {
    /// `[model]`.
    pub model: BivaConfig,
    /// `[objective]`.
    pub objective: BivaObjective,
}

/// What `[objective]` holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct BivaObjective {
    /// The bound.
    #[serde(flatten)]
    pub bound: BoundSettings,
    /// The labels.
    #[serde(flatten)]
    pub label: LabelSettings,
}

impl Described for Biva {
    const NAMES: &'static [&'static str] = &["staged_vae", "staged_lvae", "biva"];
    type Model = BivaConfig;
    type Objective = BivaObjective;

    fn new(model: BivaConfig, objective: BivaObjective) -> Self {
        Self { model, objective }
    }

    fn parts(&self) -> (&BivaConfig, &BivaObjective) {
        (&self.model, &self.objective)
    }
}

impl Biva {
    /// The model for images of this shape.
    pub fn config(&self, shape: ImageShape) -> BivaConfig {
        let classes = self.objective.label.known_classes();
        BivaConfig { classes, ..self.model.clone() }.for_images(map_shape(shape))
    }

    fn check_objective(&self) -> Result<(), BrokenRule> {
        let BivaObjective { bound, label } = &self.objective;
        bound.check()?;
        label.check(bound)?;
        rule(
            label.labels == 0 || self.model.paths == Paths::Bidirectional,
            "labels",
            label.labels,
            "needs model.family = biva",
        )
    }
}

impl Description for Biva {
    fn name(&self) -> &'static str {
        self.model.name()
    }

    fn check(&self) -> Result<(), BrokenRule> {
        self.model.check().map_err(|broken| in_section("model", broken))?;
        self.check_objective().map_err(|broken| in_section("objective", broken))
    }

    fn pixels(&self) -> (Pixels, &'static str) {
        match self.model.observation {
            StageObservation::Bernoulli => (Pixels::Binary, "bernoulli"),
            StageObservation::LogisticMixture => (Pixels::Levels, "logistic_mixture"),
        }
    }

    fn describe_levels(&mut self) -> bool {
        // The mixture is over the channels of a pixel, which flat images have lost.
        if !self.model.flat_images {
            self.model.observation = StageObservation::LogisticMixture;
        }
        !self.model.flat_images
    }

    fn task(
        &self,
        shape: ImageShape,
        parameters: &mut ParameterList,
        statistics: &mut StatisticsList,
    ) -> Result<Box<dyn Task>> {
        let model = rung_models::Biva::new(self.config(shape), parameters, statistics)
            .context("building the model")
            .with_advice(|| SHRINKING.into())?;
        let BivaObjective { bound, label } = self.objective.clone();
        Ok(Box::new(LatentTask::new(Box::new(model), bound, label)))
    }

    fn rows_per_image(&self) -> usize {
        self.objective.bound.samples()
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

    fn initial_sigma(&self) -> Option<f64> {
        Some(self.model.initial_sigma)
    }

    fn has_checkpointing(&self) -> bool {
        true
    }

    fn draws_layers_alone(&self) -> bool {
        false
    }

    fn has_mean_image(&self) -> bool {
        self.model.autoregressive().is_none()
    }

    fn remedies(&self) -> Vec<&'static str> {
        match self.objective.bound.free_bits_nats > 0.0 {
            true => Vec::new(),
            false => {
                vec![
                    "Free bits (objective.free_bits_nats = 2) let every group say so much of an \
                    image at no cost.",
                ]
            }
        }
    }

    fn layer_networks(&self, layer: usize) -> String {
        self.model.stages.get(layer - 1).map_or(String::new(), blocks)
    }

    fn networks_heading(&self) -> &'static str {
        "BLOCKS"
    }

    /// Those of deterministic blocks without second inputs: the top-down pass has the same with
    /// the forward form and the input's gradient exchanged where it enlarges maps. Behind them
    /// those of an autoregressive output.
    fn convolutions(&self, shape: ImageShape, rows: usize) -> Vec<Convolution> {
        let config = self.config(shape);
        let mut map = config.image;
        let mut convolutions = Vec::new();
        for block in config.stages.iter().flat_map(|stage| &stage.blocks) {
            let MapShape { height, width, channels } = map;
            convolutions.extend(
                [(channels, block.channels, 1), (block.channels, 2 * block.channels, block.stride)]
                    .map(|(in_channels, out_channels, stride)| Convolution {
                        batch: rows,
                        input: [height, width],
                        in_channels,
                        out_channels,
                        kernel: [block.kernel; 2],
                        stride,
                        padding: Padding::Same,
                    }),
            );
            map = map.shrunk(block.stride).with_channels(block.channels);
        }
        if let Some(head) = config.autoregressive() {
            convolutions.extend(head.convolutions(config.image, rows));
        }
        convolutions
    }

    fn largest_map(&self, shape: ImageShape) -> usize {
        let stages = self.model.stages.iter().map(|stage| stage.blocks[0].channels);
        let layers = self.model.autoregressive().map(|autoregressive| autoregressive.channels);
        let widest = stages.chain(layers).max().unwrap_or(1);
        self.config(shape).image.with_channels(widest).units()
    }
}

/// `64 channels, kernels 5 5 5, strides 1 1 2`.
fn blocks(stage: &StageConfig) -> String {
    let words = |size: fn(&BlockConfig) -> usize| {
        stage.blocks.iter().map(|block| size(block).to_string()).collect::<Vec<_>>().join(" ")
    };
    let strides = match stage.blocks.iter().all(|block| block.stride == 1) {
        true => String::new(),
        false => format!(", strides {}", words(|block| block.stride)),
    };
    let channels = stage.blocks.first().map_or(0, |block| block.channels);
    format!("{channels} channels, kernels {}{strides}", words(|block| block.kernel))
}

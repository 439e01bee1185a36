//! MatNet: hierarchies whose latent layers each have a deterministic path to the data.

use rung_autograd::ParameterList;
use rung_datasets::ImageShape;
use rung_kernels::backend::{Convolution, Padding};
use rung_models::biva::StageObservation;
use rung_models::matnet::{LayerPrior, MatNetBlock, Missing};
use rung_models::rules::{BrokenRule, rule};
use rung_models::{MapShape, MatNetConfig, StatisticsList};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::description::{Pixels, SHRINKING, map_shape};
use super::latent::LatentTask;
use super::{BoundSettings, Described, Description, LabelSettings, Task, in_section};
use crate::error::{Advise, Context, Result};

/// A MatNet and its objective.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MatNet {
    /// `[model]`.
    pub model: MatNetConfig,
    /// `[objective]`.
    pub objective: MatNetObjective,
}

/// What `[objective]` holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct MatNetObjective {
    /// The bound.
    #[serde(flatten)]
    pub bound: BoundSettings,
    /// The epoch, from 1, from which each step trains the inference networks on as many images that
    /// the model draws itself as on data; 0 for never.
    pub fantasy_start_epoch: u64,
}

impl Described for MatNet {
    const NAMES: &'static [&'static str] = &["matnet"];
    type Model = MatNetConfig;
    type Objective = MatNetObjective;

    fn new(model: MatNetConfig, objective: MatNetObjective) -> Self {
        Self { model, objective }
    }

    fn parts(&self) -> (&MatNetConfig, &MatNetObjective) {
        (&self.model, &self.objective)
    }
}

impl MatNet {
    /// The model for images of this shape.
    pub fn config(&self, shape: ImageShape) -> MatNetConfig {
        self.model.clone().for_images(map_shape(shape))
    }

    /// The block of a stochastic layer, counted from 1; none of the top.
    fn block_of(&self, layer: usize) -> Option<&MatNetBlock> {
        let layers = self.model.blocks.iter();
        layers.flat_map(|block| std::iter::repeat_n(block, block.layers)).nth(layer.checked_sub(1)?)
    }
}

impl Description for MatNet {
    fn name(&self) -> &'static str {
        self.model.name()
    }

    fn check(&self) -> Result<(), BrokenRule> {
        self.model.check().map_err(|broken| in_section("model", broken))?;
        self.objective.bound.check().map_err(|broken| in_section("objective", broken))?;
        let MatNetObjective { fantasy_start_epoch: start, .. } = self.objective;
        let draws_whole_images = self.model.missing == Missing::None
            && self.model.autoregressive_layers == 0
            && self.model.observation == StageObservation::Bernoulli;
        rule(
            start == 0 || draws_whole_images,
            "objective.fantasy_start_epoch",
            start,
            "needs black and white images that are drawn whole at once: model.missing = none, \
            model.autoregressive_layers = 0",
        )
    }

    fn pixels(&self) -> (Pixels, &'static str) {
        match self.model.observation {
            StageObservation::Bernoulli => (Pixels::Binary, "bernoulli"),
            StageObservation::LogisticMixture => (Pixels::Levels, "logistic_mixture"),
        }
    }

    /// Observed pixels count as certain, which a grey one is not where it is the probability of a
    /// black or white one.
    fn needs_black_and_white(&self) -> Option<&'static str> {
        let is_binary = self.model.observation == StageObservation::Bernoulli;
        (is_binary && self.model.missing != Missing::None).then_some("missing")
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
        let model = rung_models::MatNet::new(self.config(shape), parameters, statistics)
            .context("building the model")
            .with_advice(|| SHRINKING.into())?;
        let MatNetObjective { bound, fantasy_start_epoch } = self.objective.clone();
        let task = LatentTask::new(Box::new(model), bound, LabelSettings::default());
        Ok(Box::new(task.with_fantasies(fantasy_start_epoch)))
    }

    fn rows_per_image(&self) -> usize {
        let drawn_too = if self.objective.fantasy_start_epoch > 0 { 2 } else { 1 };
        drawn_too * self.objective.bound.samples()
    }

    fn warmup_epochs(&self) -> u64 {
        self.objective.bound.warmup_epochs
    }

    fn epoch_keys(&mut self) -> Vec<(&'static str, &mut u64)> {
        let MatNetObjective { bound, fantasy_start_epoch } = &mut self.objective;
        vec![
            ("warmup_epochs", &mut bound.warmup_epochs),
            ("fantasy_start_epoch", fantasy_start_epoch),
        ]
    }

    fn largest_epoch(&self) -> u64 {
        self.objective.fantasy_start_epoch.max(1)
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
        let mut remedies = Vec::new();
        if !self.model.deterministic_paths {
            remedies.push(
                "The deterministic paths (model.deterministic_paths = true) lead from every layer \
                to the data.",
            );
        }
        if !self.objective.bound.squared_kl || self.objective.bound.warmup_epochs == 0 {
            remedies.push(
                "A warm-up with the squared KL (objective.squared_kl = true, \
                objective.warmup_epochs = 25) spreads what there is to say over the layers.",
            );
        }
        if self.model.prior == LayerPrior::StandardNormal {
            remedies.push(
                "Priors that are conditioned on the layers above (model.prior = \"conditional\") \
                make what those know cheaper to repeat.",
            );
        }
        remedies
    }

    fn layer_networks(&self, layer: usize) -> String {
        match self.block_of(layer) {
            Some(MatNetBlock { channels, .. }) if self.model.flat_images => {
                format!("{channels} units")
            }
            Some(MatNetBlock { channels, .. }) => format!("{channels} channels"),
            None => format!("{} units", self.model.top_hidden),
        }
    }

    fn networks_heading(&self) -> &'static str {
        "STATES"
    }

    /// Those that lead in and down, the bottom-up modules', and those of an autoregressive output.
    fn convolutions(&self, shape: ImageShape, rows: usize) -> Vec<Convolution> {
        let config = self.config(shape);
        let kernel = if config.flat_images { 1 } else { 3 };
        let mut map = config.image;
        let mut convolutions = Vec::new();
        let mut add = |map: &mut MapShape, channels: usize, stride: usize| {
            convolutions.push(Convolution {
                batch: rows,
                input: [map.height, map.width],
                in_channels: map.channels,
                out_channels: channels,
                kernel: [kernel; 2],
                stride,
                padding: Padding::Same,
            });
            *map = map.shrunk(stride).with_channels(channels);
        };
        if config.image_channels > 0 {
            add(&mut map, config.image_channels, 1);
        }
        for block in &config.blocks {
            add(&mut map, block.channels, block.stride);
            add(&mut map, block.channels, 1);
        }
        if let Some(head) = config.autoregressive() {
            convolutions.extend(head.convolutions(config.picture, rows));
        }
        convolutions
    }

    fn largest_map(&self, shape: ImageShape) -> usize {
        let config = self.config(shape);
        let head = config.autoregressive().map_or(0, |head| head.channels);
        let channels = config.image_channels.max(config.pixels().parameters()).max(head);
        let image = config.image.with_channels(channels);
        config.block_maps().iter().map(|map| map.units()).fold(image.units(), usize::max)
    }
}

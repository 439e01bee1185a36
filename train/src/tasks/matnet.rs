//! MatNet: hierarchies whose latent layers each have a deterministic path to the data.

use rung_autograd::ParameterList;
use rung_datasets::ImageShape;
use rung_kernels::backend::{Convolution, Padding};
use rung_models::biva::StageObservation;
use rung_models::matnet::{LayerPrior, MatNetBlock, Missing};
use rung_models::rules::BrokenRule;
use rung_models::{MapShape, MatNetConfig, StatisticsList};

use super::description::{Pixels, map_shape};
use super::latent::LatentTask;
use super::{BoundSettings, Described, Description, LabelSettings, Task, in_section};
use crate::error::{Context, Result};

/// A MatNet and its objective.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MatNet {
    /// `[model]`.
    pub model: MatNetConfig,
    /// `[objective]`.
    pub objective: BoundSettings,
}

impl Described for MatNet {
    const NAMES: &'static [&'static str] = &["matnet"];
    type Model = MatNetConfig;
    type Objective = BoundSettings;

    fn new(model: MatNetConfig, objective: BoundSettings) -> Self {
        Self { model, objective }
    }

    fn parts(&self) -> (&MatNetConfig, &BoundSettings) {
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
        self.objective.check().map_err(|broken| in_section("objective", broken))
    }

    fn pixels(&self) -> (Pixels, &'static str) {
        match self.model.observation {
            StageObservation::Bernoulli => (Pixels::Binary, "bernoulli"),
            StageObservation::LogisticMixture => (Pixels::Levels, "logistic_mixture"),
        }
    }

    /// Observed pixels count as certain, which a grey one is not.
    fn needs_black_and_white(&self) -> Option<&'static str> {
        (self.model.missing != Missing::None).then_some("missing")
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
            .context("building the model")?;
        let (objective, labels) = (self.objective.clone(), LabelSettings::default());
        Ok(Box::new(LatentTask::new(Box::new(model), objective, labels)))
    }

    fn rows_per_image(&self) -> usize {
        self.objective.samples()
    }

    fn warmup_epochs(&self) -> u64 {
        self.objective.warmup_epochs
    }

    fn set_warmup_epochs(&mut self, epochs: u64) {
        self.objective.warmup_epochs = epochs;
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
        if !self.objective.squared_kl || self.objective.warmup_epochs == 0 {
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

    /// Those that lead in and down, and the bottom-up modules'.
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
        convolutions
    }

    fn largest_map(&self, shape: ImageShape) -> usize {
        let config = self.config(shape);
        let image = config.image.with_channels(config.image_channels.max(config.image.channels));
        config.block_maps().iter().map(|map| map.units()).fold(image.units(), usize::max)
    }
}

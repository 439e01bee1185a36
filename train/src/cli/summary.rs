//! What `rung info` says of a model: layers, tensors, parameters, memory.

use std::path::PathBuf;

use rung_autograd::Parameter;
use rung_datasets::ImageShape;
use rung_models::Group;
use serde_json::{Value, json};

use crate::config::Config;
use crate::engine::BestScore;
use crate::engine::memory::Memory;
use crate::error::Result;
use crate::model::{groups, parameter_list};

/// What the newest checkpoint of a run says.
#[derive(Debug, Clone)]
pub struct Saved {
    /// The file.
    pub checkpoint: PathBuf,
    /// Steps of training.
    pub step: Option<u64>,
    /// The best score on held-out images so far.
    pub best_score: Option<BestScore>,
}

/// A model as text or JSON.
pub struct Description {
    config: Config,
    shape: ImageShape,
    saved: Option<Saved>,
    groups: Vec<Group>,
    parameters: Vec<Parameter>,
    count: usize,
    memory: Memory,
}

impl Description {
    /// Describes the model of a configuration for images of this shape; steps of training are run
    /// to measure their memory.
    ///
    /// # Errors
    /// If the configuration makes no model or there is no memory.
    pub fn new(config: Config, shape: ImageShape, saved: Option<Saved>) -> Result<Self> {
        let list = parameter_list(&config, shape)?;
        let (groups, memory) = (groups(&config, shape)?, Memory::measure(&config, shape)?);
        let (parameters, count) = (list.parameters().to_vec(), list.element_count());
        Ok(Self { config, shape, saved, groups, parameters, count, memory })
    }

    /// One object.
    pub fn json(&self) -> Value {
        let tensor = |parameter: &Parameter| {
            json!({"name": parameter.name,
            "shape": parameter.shape.sizes(), "parameters": parameter.shape.element_count()})
        };
        let Config { preset, family, data, train, .. } = &self.config;
        let (model, objective) = family.tables().unwrap_or_default();
        let ImageShape { channels, height, width } = self.shape;
        let best = self.saved.as_ref().and_then(|saved| saved.best_score.as_ref());
        json!({
            "preset": preset,
            "family": model.get("family"),
            "model": model,
            "objective": objective,
            "groups": self.groups.iter().map(|group| json!({"name": group.name(),
                "layer": group.layer, "units": group.units})).collect::<Vec<_>>(),
            "latent_sizes": self.groups.iter().map(|group| group.units).collect::<Vec<_>>(),
            "hidden_sizes": model.get("hidden_sizes"),
            "stages": model.get("stages"),
            "observation": model.get("observation"),
            "dataset": data.name,
            "image_shape": [channels, height, width],
            "parameters": self.count,
            "tensors": self.parameters.iter().map(tensor).collect::<Vec<_>>(),
            "batch_size": train.batch_size,
            "epochs": train.epochs,
            "parameter_and_gradient_bytes": self.memory.parameters,
            "optimiser_bytes": self.memory.optimiser,
            "average_bytes": self.memory.average,
            "step_bytes": self.memory.step,
            "memory_bytes": self.memory.total(),
            "checkpoint": self.saved.as_ref().map(|saved| &saved.checkpoint),
            "step": self.saved.as_ref().and_then(|saved| saved.step),
            "best_score": best.map(|best| best.value),
            "best_score_name": best.and_then(|best| best.name.as_ref()),
        })
    }

    /// Several lines.
    pub fn text(&self) -> String {
        let Config { preset, data, train, .. } = &self.config;
        let family = self.config.family.name();
        let ImageShape { channels, height, width } = self.shape;
        let name = if preset.is_empty() { "a configuration of its own" } else { preset };
        let mut text = format!(
            "{name}: {family} for {data} images of {channels}x{height}x{width}\n",
            data = data.name
        );
        text += &format!(
            "training: {} epochs of batches of {}, warm-up over {}\n",
            train.epochs,
            train.batch_size,
            self.config.family.warmup_epochs()
        );
        if let Some(Saved { checkpoint, step, best_score, .. }) = &self.saved {
            let step = step.map_or(String::new(), |step| format!(", step {step}"));
            let best = best_score.as_ref().map_or_else(String::new, |BestScore { value, name }| {
                format!(", best held-out {} {value:.4}", name.as_deref().unwrap_or("score"))
            });
            text += &format!("checkpoint: {}{step}{best}\n", checkpoint.display());
        }
        text += &self.latents();
        let layers = self.layers();
        let width = layers.iter().map(|(name, _)| name.len()).fold(33, usize::max);
        text += &format!("\n{:<width$} {:<18} PARAMETERS\n", "LAYER", "WEIGHT");
        for (layer, (shape, count)) in layers {
            text += &format!("{layer:<width$} {shape:<18} {count}\n");
        }
        text += &format!("{:<width$} {:<18} {}\n", "all", "", self.count);
        text + "\n" + &self.memory.text()
    }

    /// The stochastic groups, the top first, with the width of their dense layers or the blocks of
    /// their stage.
    fn latents(&self) -> String {
        let family = &self.config.family;
        let mut text = format!("\nLATENTS         UNITS    {}\n", family.networks_heading());
        for group in self.groups.iter().rev() {
            let networks = family.layer_networks(group.layer);
            text += &format!("{:<15} {:<8} {networks}\n", group.name(), group.units);
        }
        text
    }

    /// The parameters by the layer they belong to: its name, the weight's shape, and how many there
    /// are, gain, normalisation or bias included.
    fn layers(&self) -> Vec<(&str, (String, usize))> {
        let mut layers = Vec::<(&str, (String, usize))>::new();
        for Parameter { name, shape, .. } in &self.parameters {
            let ends = [".weight", ".direction", ".gain", ".bias", ".norm.scale", ".norm.shift"];
            let layer = ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            // The parameters of a layer follow one another.
            if layers.last().is_none_or(|(last, _)| *last != layer) {
                layers.push((layer, Default::default()));
            }
            let Some((_, (weight, count))) = layers.last_mut() else { continue };
            if shape.sizes().len() >= 2 {
                let sizes: Vec<String> = shape.sizes().iter().map(ToString::to_string).collect();
                *weight = sizes.join(" x ");
            }
            *count += shape.element_count();
        }
        layers
    }
}

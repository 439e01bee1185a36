//! What `rung info` says of a model: layers, tensors, parameters, memory.

use std::path::PathBuf;

use rung_autograd::{Device, Parameter};
use rung_datasets::ImageShape;
use serde_json::{Value, json};

use crate::bench::Workload;
use crate::config::{Config, Family, OptimiserName};
use crate::error::Result;

/// Bytes of a number in training.
const NUMBER_BYTES: usize = 4;

/// What the newest checkpoint of a run says.
#[derive(Debug, Clone)]
pub struct Saved {
    /// The file.
    pub checkpoint: PathBuf,
    /// Values in an image.
    pub data_size: usize,
    /// Steps of training.
    pub step: Option<u64>,
    /// The best bound on held-out images so far.
    pub best_bound_nats: Option<f64>,
}

/// A model as text or JSON.
pub struct Description {
    config: Config,
    shape: ImageShape,
    saved: Option<Saved>,
    parameters: Vec<Parameter>,
    count: usize,
    memory: Memory,
}

/// Bytes that training takes.
struct Memory {
    /// Parameters, and as much again for their gradients.
    parameters: usize,
    /// The optimiser's moments.
    optimiser: usize,
    /// Everything else that one step needs: activations, noise, what the backward pass keeps. Measured by a step on random pixels.
    step: usize,
}

impl Description {
    /// Describes the model of a configuration for images of this shape; one step of training is run to measure its memory.
    ///
    /// # Errors
    /// If the configuration makes no model or the device has no memory.
    pub fn new(config: Config, shape: ImageShape, saved: Option<Saved>, device: &Device) -> Result<Self> {
        let mut workload = Workload::with_images(&config, shape, 1, device)?;
        let before = device.statistics().pool.bytes;
        workload.step()?;
        let step = device.statistics().pool.bytes - before;
        let store = &workload.trainer.model.store;
        let count = store.element_count();
        let moments = if config.optimiser.name == OptimiserName::Sgd { 1 } else { 2 };
        let memory = Memory { parameters: 2 * count * NUMBER_BYTES, optimiser: moments * count * NUMBER_BYTES, step };
        Ok(Self { parameters: store.parameters().to_vec(), count, memory, config, shape, saved })
    }

    /// One object.
    pub fn json(&self) -> Value {
        let tensor = |parameter: &Parameter| json!({"name": parameter.name, "shape": parameter.shape.sizes(), "parameters": parameter.shape.element_count()});
        let Config { preset, model, data, train, .. } = &self.config;
        let ImageShape { channels, height, width } = self.shape;
        json!({
            "preset": preset,
            "family": model.family,
            "latent_sizes": model.latent_sizes,
            "hidden_sizes": model.hidden_sizes,
            "observation": model.observation,
            "dataset": data.name,
            "image_shape": [channels, height, width],
            "parameters": self.count,
            "tensors": self.parameters.iter().map(tensor).collect::<Vec<_>>(),
            "batch_size": train.batch_size,
            "epochs": train.epochs,
            "parameter_and_gradient_bytes": self.memory.parameters,
            "optimiser_bytes": self.memory.optimiser,
            "step_bytes": self.memory.step,
            "memory_bytes": self.memory.total(),
            "checkpoint": self.saved.as_ref().map(|saved| &saved.checkpoint),
            "step": self.saved.as_ref().and_then(|saved| saved.step),
            "best_bound_nats": self.saved.as_ref().and_then(|saved| saved.best_bound_nats),
        })
    }

    /// Several lines.
    pub fn text(&self) -> String {
        let Config { preset, model, data, train, .. } = &self.config;
        let family = match model.family {
            Family::Vae => "VAE",
            Family::Ladder => "probabilistic ladder",
            Family::Lvae => "Ladder VAE",
        };
        let ImageShape { channels, height, width } = self.shape;
        let name = if preset.is_empty() { "a configuration of its own" } else { preset };
        let mut text = format!("{name}: {family} for {data} images of {channels}x{height}x{width}\n", data = data.name);
        text += &format!(
            "training: {} epochs of batches of {}, warm-up over {}\n",
            train.epochs, train.batch_size, train.warmup_epochs
        );
        if let Some(Saved { checkpoint, step, best_bound_nats, .. }) = &self.saved {
            let step = step.map_or(String::new(), |step| format!(", step {step}"));
            let best = best_bound_nats.map_or(String::new(), |nats| format!(", best held-out bound {nats:.2} nats"));
            text += &format!("checkpoint: {}{step}{best}\n", checkpoint.display());
        }
        text += "\nLAYER   LATENT UNITS   HIDDEN UNITS\n";
        for (index, (latent, hidden)) in model.latent_sizes.iter().zip(&model.hidden_sizes).enumerate().rev() {
            text += &format!("z_{:<5} {latent:<14} {hidden}\n", index + 1);
        }
        text += "\nDENSE LAYER                       WEIGHT          PARAMETERS\n";
        for (layer, (shape, count)) in self.dense_layers() {
            text += &format!("{layer:<33} {shape:<15} {count}\n");
        }
        text += &format!("{:<33} {:<15} {}\n", "all", "", self.count);
        text + "\n" + &self.memory.text()
    }

    /// The parameters by the dense layer they belong to: its name, the weight's shape, and how many there are, normalisation or bias included.
    fn dense_layers(&self) -> Vec<(&str, (String, usize))> {
        let mut layers = Vec::<(&str, (String, usize))>::new();
        for Parameter { name, shape, .. } in &self.parameters {
            let ends = [".weight", ".bias", ".norm.scale", ".norm.shift"];
            let layer = ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            // The parameters of a layer follow one another.
            if layers.last().is_none_or(|(last, _)| *last != layer) {
                layers.push((layer, Default::default()));
            }
            let Some((_, (weight, count))) = layers.last_mut() else { continue };
            if let [inputs, outputs] = shape.sizes() {
                *weight = format!("{inputs} x {outputs}");
            }
            *count += shape.element_count();
        }
        layers
    }
}

impl Memory {
    fn total(&self) -> usize {
        self.parameters + self.optimiser + self.step
    }

    fn text(&self) -> String {
        let mb = |bytes: usize| format!("{:.1} MB", bytes as f64 / 1e6);
        format!(
            "memory of training: {} besides the images: parameters and gradients {}, optimiser {}, a step {} (measured)",
            mb(self.total()),
            mb(self.parameters),
            mb(self.optimiser),
            mb(self.step)
        )
    }
}

//! `rung info`: what a preset would train, or a run has trained.

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use rung_datasets::ImageShape;

use super::shared::CheckpointChoice;
use rung_ranks::Ranks;

use crate::cli::summary::{Description, Saved};
use crate::config::Config;
use crate::config::reference::{self, Key, Section};
use crate::config::sources::{Sources, layered};
use crate::data::published_shape;
use crate::engine::BestScore;
use crate::engine::device::{DeviceChoice, with_device};
use crate::error::Result;
use crate::model::{Model, parameter_list};
use crate::presets::{self, summary};
use crate::progress::Console;
use crate::run::folder::RunFolder;
use crate::run::load::{image_shape, load_checkpoint};

/// Describe a preset or a run: layers, shapes, parameters, memory.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("subject").required(true).args(["run", "preset", "presets", "keys"]),
    before_help = "Most people want:\n  \
        rung info --presets                  every preset, and what it reproduces\n  \
        rung info --preset mnist-ladder-5    what a preset would train\n  \
        rung info --keys                     every key of a configuration"
)]
pub struct InfoArgs {
    /// Folder of a run to describe
    #[arg(value_name = "RUN")]
    pub run: Option<PathBuf>,
    /// Describe this preset
    #[arg(long, value_name = "NAME")]
    pub preset: Option<String>,
    /// List the presets
    #[arg(long)]
    pub presets: bool,
    /// Print every key of a configuration: its default, its meaning, and the families that have it
    #[arg(long)]
    pub keys: bool,
    /// Print JSON, one object a line
    #[arg(long)]
    pub json: bool,
}

/// Describes.
///
/// # Errors
/// If there is no such preset or run, or its checkpoint is damaged.
pub fn run(arguments: &InfoArgs, console: &Console) -> Result<()> {
    if arguments.keys {
        return console.result(
            match arguments.json {
                true => keys_json()?,
                false => reference::text()?.trim_end().to_string(),
            }
            .as_str(),
        );
    }
    if arguments.presets {
        return list_presets(arguments.json, console);
    }
    let (config, shape, saved) = match (&arguments.run, &arguments.preset) {
        (Some(run), _) => of_run(run, console)?,
        (None, preset) => {
            let config = of_preset(preset.as_deref().unwrap_or(presets::DEFAULT_JOB))?;
            let shape = published_shape(&config.data)?;
            (config, shape, None)
        }
    };
    let description = with_device(&Ranks::one(), &DeviceChoice::cpu(), |_| {
        Description::new(config, shape, saved)
    })?;
    match arguments.json {
        true => console.result(&description.json().to_string()),
        false => console.result(&description.text()),
    }
}

/// One object for each key.
fn keys_json() -> Result<String> {
    let mut lines = Vec::new();
    for Section { families, keys, .. } in reference::sections()? {
        lines.extend(keys.into_iter().map(|Key { key, meaning, default, values }| {
            let values: Vec<String> = values.into_iter().map(|(value, _)| value).collect();
            serde_json::json!({
                "key": key, "default": default, "meaning": meaning, "values": values,
                "families": families,
            })
            .to_string()
        }));
    }
    Ok(lines.join("\n"))
}

fn of_preset(name: &str) -> Result<Config> {
    layered(&Sources { preset: Some(name), ..Sources::default() })
}

/// A run's configuration, the shape of its images, and its newest checkpoint if it has one.
fn of_run(path: &Path, console: &Console) -> Result<(Config, ImageShape, Option<Saved>)> {
    let run = RunFolder::open(path)?;
    let config = run.load_config()?;
    let loaded = match load_checkpoint(&run, &CheckpointChoice::Last) {
        Ok(loaded) => loaded,
        Err(error) => {
            console.warn(error.cause());
            let shape = image_shape(&run, &config)?;
            return Ok((config, shape, None));
        }
    };
    loaded.warnings.iter().for_each(|warning| console.warn(warning));
    let saved = Saved {
        checkpoint: loaded.path.clone(),
        step: loaded.data.metadata.get("step").and_then(|text| text.parse().ok()),
        best_score: BestScore::of(&loaded.data),
    };
    let shape = Model::shape_in(&loaded.data).map_or_else(|| image_shape(&run, &config), Ok)?;
    Ok((config, shape, Some(saved)))
}

fn list_presets(json: bool, console: &Console) -> Result<()> {
    for (name, text) in presets::all() {
        let config = of_preset(name)?;
        let parameters = parameter_list(&config, published_shape(&config.data)?)?.element_count();
        console.result(&match json {
            true => serde_json::json!({"name": name, "parameters": parameters,
                "summary": summary(text)})
            .to_string(),
            false => format!("{name:<36} {parameters:>9}  {}", summary(text)),
        })?;
    }
    Ok(())
}

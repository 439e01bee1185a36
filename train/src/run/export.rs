//! A model's numbers for other programs: parameters and the statistics of batch normalisation, and
//! what is needed to read them.
//!
//! A checkpoint is already a safetensors file; an export leaves out what only training needs (the
//! optimiser's moments, sums of the epoch), has one kind of statistics instead of up to two, and
//! says in the file what the model is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rung_datasets::npz::NpzWriter;

use crate::config::Config;
use crate::error::{Context, Error, Result};
use crate::model::IMAGE_SHAPE;
use crate::model::snapshot::AVERAGE;
use crate::run::checkpoint::{CheckpointData, TensorData};

/// Prefix of the statistics in an export.
const STATISTICS: &str = "statistics.";
/// The same in a checkpoint of a finished run, whose running averages they replace.
const EXACT_STATISTICS: &str = "exact_statistics.";
/// Beginnings of what only training needs.
const TRAINING: [&str; 2] = ["optimiser.", "training."];

/// What is exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    tensors: BTreeMap<String, TensorData>,
    metadata: BTreeMap<String, String>,
}

impl Export {
    /// The model of a checkpoint as it is used: with exact statistics if it has them, else the
    /// running averages, and with the averaged parameters if it has them.
    ///
    /// # Errors
    /// If the configuration can't be written down.
    pub fn new(checkpoint: &CheckpointData, config: &Config) -> Result<Self> {
        let exact = checkpoint.tensors.keys().any(|name| name.starts_with(EXACT_STATISTICS));
        let averaged: BTreeSet<&String> =
            checkpoint.tensors.keys().filter(|name| name.starts_with(AVERAGE)).collect();
        let mut tensors = BTreeMap::new();
        for (name, tensor) in &checkpoint.tensors {
            let name = match name.strip_prefix(EXACT_STATISTICS) {
                Some(rest) => format!("{STATISTICS}{rest}"),
                None if name.starts_with(AVERAGE) => name[AVERAGE.len()..].to_string(),
                None if averaged.contains(&format!("{AVERAGE}{name}")) => continue,
                None if exact && name.starts_with(STATISTICS) => continue,
                None if TRAINING.iter().any(|prefix| name.starts_with(prefix)) => continue,
                None => name.clone(),
            };
            tensors.insert(name, tensor.clone());
        }
        let model =
            serde_json::to_string(&config.family.tables().context("writing the architecture")?.0)
                .context("writing the architecture")?;
        let mut metadata = BTreeMap::from([
            ("format".to_string(), "rung".to_string()),
            ("model".to_string(), model),
            ("dataset".to_string(), config.data.name.clone()),
        ]);
        if tensors.keys().any(|name| name.starts_with(STATISTICS)) {
            metadata.insert("statistics".into(), if exact { "exact" } else { "running" }.into());
        }
        for key in [IMAGE_SHAPE, "step"] {
            metadata
                .extend(checkpoint.metadata.get(key).map(|value| (key.to_string(), value.clone())));
        }
        Ok(Self { tensors, metadata })
    }

    /// How many tensors there are, and how many numbers in them.
    pub fn size(&self) -> (usize, usize) {
        let numbers =
            self.tensors.values().map(|tensor| tensor.shape().iter().product::<usize>()).sum();
        (self.tensors.len(), numbers)
    }

    /// Writes a safetensors file; what the model is stands in its metadata.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn write_safetensors(self, path: &Path) -> Result<()> {
        CheckpointData { tensors: self.tensors, metadata: self.metadata }.save(path)
    }

    /// Writes a NumPy archive: an array for each tensor; `metadata` is one object of JSON as UTF-8
    /// bytes.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn write_npz(&self, path: &Path) -> Result<()> {
        let mut writer = NpzWriter::create(path).map_err(refused)?;
        for (name, tensor) in &self.tensors {
            writer.add_f32(name, tensor.shape(), &tensor.to_f32()).map_err(refused)?;
        }
        let metadata = serde_json::to_vec(&self.metadata).context("writing the metadata")?;
        let values = rung_datasets::npy::NpyValues::U8(metadata.clone());
        writer
            .add("metadata", &rung_datasets::npy::NpyArray { shape: vec![metadata.len()], values })
            .map_err(refused)?;
        writer.finish().map_err(refused)
    }
}

fn refused(error: rung_datasets::Error) -> Error {
    Error::from_source(error).with_advice("choose another file with --out")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(names: &[&str]) -> CheckpointData {
        let tensor = |(index, name): (usize, &&str)| {
            (name.to_string(), TensorData::from_f32(&[1, 2], &[index as f32, 0.5]).unwrap())
        };
        let metadata =
            BTreeMap::from([("step".into(), "7".into()), ("optimiser".into(), "adam".into())]);
        CheckpointData { tensors: names.iter().enumerate().map(tensor).collect(), metadata }
    }

    const NAMES: [&str; 5] = [
        "exact_statistics.a.norm.mean",
        "a.weight",
        "optimiser.first_moment.a.weight",
        "statistics.a.norm.mean",
        "training.epoch_sums",
    ];

    #[test]
    fn exact_statistics_take_the_place_of_running_ones_and_training_is_left_out() {
        let export = Export::new(&checkpoint(&NAMES), &Config::default()).unwrap();
        assert_eq!(
            export.tensors.keys().collect::<Vec<_>>(),
            ["a.weight", "statistics.a.norm.mean"]
        );
        assert_eq!(export.tensors["statistics.a.norm.mean"].to_f32()[0], 0.0, "the exact ones");
        assert_eq!(
            (export.metadata["statistics"].as_str(), export.metadata["step"].as_str()),
            ("exact", "7")
        );
        let running = Export::new(&checkpoint(&NAMES[1..]), &Config::default()).unwrap();
        assert_eq!(running.metadata["statistics"], "running");
        assert_eq!(running.size(), (2, 4));
    }

    #[test]
    fn both_formats_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let export = Export::new(&checkpoint(&NAMES), &Config::default()).unwrap();
        let (npz, safetensors) = (folder.path().join("a.npz"), folder.path().join("a.safetensors"));
        export.write_npz(&npz).unwrap();
        export.clone().write_safetensors(&safetensors).unwrap();
        let arrays = rung_datasets::npz::read(&npz).unwrap();
        let names: Vec<&str> = arrays.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a.weight", "statistics.a.norm.mean", "metadata"]);
        assert_eq!(arrays[0].1.shape, [1, 2]);
        let read = CheckpointData::load(&safetensors).unwrap();
        assert_eq!(read.tensors["a.weight"].to_f32(), [1.0, 0.5]);
        assert!(read.metadata["model"].contains("\"latent_sizes\":[64,32,16,8,4]"));
    }
}

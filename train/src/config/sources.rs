//! Where a configuration comes from: defaults < preset < files < flags and `--set key=value`.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::Config;
use super::layers::{Layers, parse_table};
use crate::error::{Context, Error, Result};
use crate::presets;
use crate::run::atomic_file;

/// Where a configuration comes from.
#[derive(Debug, Default)]
pub struct Sources<'a> {
    /// `--preset`.
    pub preset: Option<&'a str>,
    /// `--config`, in order; a later file wins.
    pub files: &'a [PathBuf],
    /// Flags that stand for a key, as the flag's name, the dotted key and the value.
    pub flags: Vec<(&'static str, &'static str, Value)>,
    /// `--set key=value`, in order; they win over everything.
    pub sets: &'a [String],
}

/// The configuration that the sources make together, checked.
///
/// The preset is the one named by the flag, else by the last file with a `preset` key, else the
/// default job if no file is given.
///
/// # Errors
/// If a file can't be read or a value from any source is unknown, of the wrong kind or against a
/// rule. What the command line alone broke exits with 2.
pub fn layered(sources: &Sources) -> Result<Config> {
    let files = sources.files.iter().map(|path| read_table(path)).collect::<Result<Vec<_>>>()?;
    let mut layers = Layers::new(&Config::default())?;
    if let Some(name) = sources.preset {
        layers.add_preset(name).map_err(Error::as_usage)?;
    } else if let Some((source, name)) = preset_of_files(&files) {
        layers.add_preset(name).context(source)?;
    } else if files.is_empty() {
        layers.add_preset(presets::DEFAULT_JOB)?;
    }
    for (source, table) in files {
        layers.add_table(&source, without_preset(table))?;
    }
    let valid_before_flags = layers.is_valid();
    // Which keys there are depends on the family, so that it comes first.
    let names_family =
        |pair: &&String| pair.split('=').next().is_some_and(|key| key.trim() == "model.family");
    for pair in sources.sets.iter().filter(names_family) {
        layers.set(pair).map_err(Error::as_usage)?;
    }
    for (flag, key, value) in &sources.flags {
        layers.assign(flag, key, value.clone()).map_err(Error::as_usage)?;
    }
    for pair in sources.sets {
        layers.set(pair).map_err(Error::as_usage)?;
    }
    let result = layers.finish();
    if valid_before_flags {
        return result.map_err(Error::as_usage);
    }
    result
}

fn read_table(path: &Path) -> Result<(String, Table)> {
    let source = path.display().to_string();
    let text = atomic_file::read_text(path)?;
    let table = parse_table(&source, &text)?;
    Ok((source, table))
}

/// The preset that the last file names, if one does, with the file's name.
fn preset_of_files(files: &[(String, Table)]) -> Option<(&str, &str)> {
    files.iter().rev().find_map(|(source, table)| {
        let name = table.get("preset")?.as_str()?;
        (!name.is_empty()).then_some((source.as_str(), name))
    })
}

/// The table without a preset's name, which [`layered`] has followed already.
fn without_preset(mut table: Table) -> Table {
    if table.get("preset").is_some_and(Value::is_str) {
        table.remove("preset");
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_layers_win() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        std::fs::write(
            &path,
            "preset = 'mnist-vae-2'\n[train]\nepochs = 7\nseed = 7\nbatch_size = 7",
        )
        .unwrap();
        let config = layered(&Sources {
            files: &[path],
            flags: vec![("--seed", "train.seed", Value::Integer(8))],
            sets: &["train.batch_size=9".into()],
            ..Sources::default()
        })
        .unwrap();
        assert_eq!(config.preset, "mnist-vae-2");
        assert_eq!(
            config.to_table().unwrap()["model"]["latent_sizes"],
            Value::try_from([64, 32]).unwrap()
        );
        assert_eq!((config.train.epochs, config.train.seed, config.train.batch_size), (7, 8, 9));
    }

    #[test]
    fn no_source_at_all_is_the_default_job() {
        let config = layered(&Sources::default()).unwrap();
        assert_eq!(config.preset, presets::DEFAULT_JOB);
    }

    #[test]
    fn the_limits_of_a_preset_are_for_its_own_data_set() {
        let name = || ("--dataset", "data.name", Value::String("mnist".into()));
        let limits = |flags: Vec<_>, sets: &[String]| {
            let data = layered(&Sources { flags, sets, ..Sources::default() }).unwrap().data;
            (data.train_images, data.test_images)
        };
        assert_eq!(limits(Vec::new(), &[]), (10_240, 1000));
        assert_eq!(
            limits(vec![name()], &[]),
            (0, 0),
            "the limits of the glyphs are left for MNIST"
        );
        assert_eq!(limits(vec![name()], &["data.train_images=640".into()]), (640, 0));
    }

    #[test]
    fn a_saved_configuration_repeats_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let config = layered(&Sources {
            preset: Some("norb-ladder-3"),
            sets: &["train.seed=5".into()],
            ..Sources::default()
        })
        .unwrap();
        std::fs::write(&path, config.to_toml().unwrap()).unwrap();
        let again = layered(&Sources { files: &[path], ..Sources::default() }).unwrap();
        assert_eq!(again, config);
    }

    #[test]
    fn what_the_command_line_broke_exits_with_2_and_a_file_with_1() {
        let sources = Sources { sets: &["train.batch_size=0".into()], ..Sources::default() };
        assert_eq!(layered(&sources).unwrap_err().exit_code(), 2);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        std::fs::write(&path, "[train]\nbatch_size = 0").unwrap();
        let sources = Sources { files: &[path], ..Sources::default() };
        assert_eq!(layered(&sources).unwrap_err().exit_code(), 1);
    }
}

//! Arguments that several subcommands share.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, ValueEnum};

use crate::error::Error;

/// Where data sets lie.
#[derive(Debug, Clone, Default, Args)]
pub struct DataDirArgs {
    /// Folder in which data sets lie, each in a folder of its own name
    #[arg(long, value_name = "DIR", env = "RUNG_DATA")]
    pub data_dir: Option<PathBuf>,
}

/// What computes.
#[derive(Debug, Clone, Default, Args)]
pub struct DeviceArgs {
    /// Device to compute on: cpu, a name that rung devices lists (opencl:0), or auto for a GPU if there is one
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
    /// CPU threads; 0 for one a core
    #[arg(long, value_name = "N")]
    pub threads: Option<u32>,
}

/// A trained model.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Folder of the run
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// Which checkpoint: last, best, previous, or a file
    #[arg(long, value_name = "WHICH", default_value = "last")]
    pub checkpoint: CheckpointChoice,
    /// Statistics that batch normalisation uses
    #[arg(long, value_name = "WHICH", default_value = "auto")]
    pub statistics: StatisticsChoice,
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceArgs,
}

/// Images to look at.
#[derive(Debug, Clone, Args)]
pub struct ImagesArgs {
    /// Part of the data set
    #[arg(long, value_name = "PART", default_value = "test")]
    pub split: Split,
    /// Where data sets lie.
    #[command(flatten)]
    pub data_dir: DataDirArgs,
}

/// Which part of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Split {
    /// Images that the model was trained on.
    Train,
    /// Images held out to choose the best checkpoint by.
    Validation,
    /// Images that the model was not trained on; where there are no validation images, the best checkpoint is chosen by them.
    Test,
}

/// Which statistics batch normalisation uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StatisticsChoice {
    /// Exact ones, or running ones where the training images are missing.
    Auto,
    /// Of all training images: from the checkpoint of a finished run, else recomputed now.
    Exact,
    /// What the checkpoint has: exact ones of a finished run, else the running averages; nothing is recomputed.
    Stored,
    /// The running averages of training.
    Running,
}

/// Which checkpoint of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckpointChoice {
    /// The newest.
    Last,
    /// The one with the best bound of the validation images, or of the test images where there are none.
    Best,
    /// The one before the newest.
    Previous,
    /// A file.
    File(PathBuf),
}

impl From<Split> for rung_datasets::Split {
    fn from(split: Split) -> Self {
        match split {
            Split::Train => Self::Train,
            Split::Validation => Self::Validation,
            Split::Test => Self::Test,
        }
    }
}

impl FromStr for CheckpointChoice {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "last" => Self::Last,
            "best" => Self::Best,
            "previous" => Self::Previous,
            file => Self::File(file.into()),
        })
    }
}

/// The file that a result goes to: the one that was asked for, or `name` in `folder`, which is made.
///
/// # Errors
/// If its folder isn't there or can't be made: before any work is done for it.
pub fn output_file(asked: Option<&Path>, folder: &Path, name: &str) -> Result<PathBuf, Error> {
    let Some(path) = asked else {
        fs::create_dir_all(folder).map_err(|error| Error::io("create", folder, &error))?;
        return Ok(folder.join(name));
    };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if path.is_dir() {
        return Err(
            Error::new(format!("can't write {}: it is a folder", path.display())).with_advice("give a file's name")
        );
    }
    match parent.is_dir() {
        true => Ok(path.to_path_buf()),
        false => Err(Error::io("write", path, &ErrorKind::NotFound.into())),
    }
}

/// A stochastic layer, counted from 1 at the image, or all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerChoice {
    /// One layer.
    One(usize),
    /// Each layer in turn.
    All,
}

impl FromStr for LayerChoice {
    type Err = BadLayer;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.parse()) {
            ("all", _) => Ok(Self::All),
            (_, Ok(layer)) if layer >= 1 => Ok(Self::One(layer)),
            _ => Err(BadLayer),
        }
    }
}

/// What was said is not a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadLayer;

impl fmt::Display for BadLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a layer's number (1 is nearest to the image) or all")
    }
}

impl std::error::Error for BadLayer {}

//! How the user names a run, its checkpoint, the images to look at and where to compute: arguments
//! that most commands share.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, ValueEnum};

use crate::config::Precision;
use crate::engine::device::DeviceChoice;

/// Where data sets lie.
#[derive(Debug, Clone, Default, Args)]
pub struct DataDirArgs {
    /// Folder in which data sets lie, each in a folder of its own name
    // A path that may be empty, as an environment variable can be.
    #[arg(
        long, value_name = "DIR", env = "RUNG_DATA",
        value_parser = OsStringValueParser::new().map(PathBuf::from)
    )]
    pub data_dir: Option<PathBuf>,
}

impl DataDirArgs {
    /// The folder, if one was named; an empty environment variable names none.
    pub fn folder(&self) -> Option<&Path> {
        self.data_dir.as_deref().filter(|folder| !folder.as_os_str().is_empty())
    }
}

/// More CPU threads than any machine has cores for: they would only take memory and time.
pub const MOST_THREADS: usize = 4096;

/// What computes.
#[derive(Debug, Clone, Default, Args)]
pub struct DeviceArgs {
    /// Device to compute on: cpu, a name that rung devices lists (opencl:0), or auto for a GPU if
    /// there is one
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
    /// CPU threads; 0 for one a core
    #[arg(
        long, value_name = "N",
        value_parser = clap::value_parser!(u32).range(0..=MOST_THREADS as i64)
    )]
    pub threads: Option<u32>,
    /// How matrix products round their operands
    #[arg(long, value_name = "NAME")]
    pub precision: Option<Precision>,
}

impl DeviceArgs {
    /// Another choice, but for what the arguments name.
    pub fn or(&self, other: DeviceChoice) -> DeviceChoice {
        DeviceChoice {
            name: self.device.clone().unwrap_or(other.name),
            threads: self.threads.map_or(other.threads, |threads| threads as usize),
            precision: self.precision.unwrap_or(other.precision),
        }
    }
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
    /// Take the images of this data set, instead of the run's own: a known one, or npz:FILE or
    /// images:FOLDER, of which all images are taken where they have no test part
    #[arg(long, value_name = "NAME")]
    pub dataset: Option<String>,
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
    /// Images that the model was not trained on; where there are no validation images, the best
    /// checkpoint is chosen by them.
    Test,
}

/// Which statistics batch normalisation uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StatisticsChoice {
    /// Exact ones, or running ones where the training images are missing.
    Auto,
    /// Of all training images: from the checkpoint of a finished run, else recomputed now.
    Exact,
    /// What the checkpoint has: exact ones of a finished run, else the running averages; nothing is
    /// recomputed.
    Stored,
    /// The running averages of training.
    Running,
}

/// Which checkpoint of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckpointChoice {
    /// The newest.
    Last,
    /// The one with the best bound of the validation images, or of the test images where there are
    /// none.
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

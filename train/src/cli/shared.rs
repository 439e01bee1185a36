//! Arguments that several subcommands share.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::engine::interrupt::Interrupt;
use crate::error::Error;
use crate::progress::Console;
pub use crate::run::arguments::{
    CheckpointChoice, DataDirArgs, DeviceArgs, ImagesArgs, RunArgs, Split, StatisticsChoice,
};
use crate::run::atomic_file;
use crate::run::folder::RunFolder;
use crate::run::load::{LoadedRun, with_run};

/// The file that a result goes to: the one that was asked for, or `name` in `folder`, which is
/// made.
///
/// # Errors
/// If its folder isn't there or can't be made, or what is there is no file of results: before any
/// work is done for it.
pub fn output_file(asked: Option<&Path>, folder: &Path, name: &str) -> Result<PathBuf, Error> {
    let Some(path) = asked else {
        fs::create_dir_all(folder).map_err(|error| Error::io("create", folder, &error))?;
        return Ok(folder.join(name));
    };
    let parent =
        path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    atomic_file::refuse_special(path)?;
    if RunFolder::owns(path) {
        let path = path.display();
        return Err(Error::new(format!("can't write {path}: a run keeps its own records there"))
            .with_advice("choose another file with --out"));
    }
    match parent.is_dir() {
        true => Ok(path.to_path_buf()),
        false => Err(Error::io("write", path, &ErrorKind::NotFound.into())),
    }
}

/// How many images `--count` asks for, of `all` that there are; 0 asks for all.
pub fn counted(asked: usize, all: usize) -> usize {
    if asked == 0 { all } else { asked.min(all) }
}

/// A run that is opened for a picture of its model: what is done with it is given the picture's
/// file, by default `name` in the run's folder of pictures, and what says whether to stop.
///
/// # Errors
/// If the run can't be opened, the picture can't be written there, or what `work` returns.
pub fn with_run_and_picture<R: Send>(
    run: &RunArgs,
    data_dir: &DataDirArgs,
    (asked, name): (Option<&Path>, &str),
    console: &Console,
    work: impl FnOnce(LoadedRun<'_>, &Path, &Interrupt) -> Result<R, Error> + Send,
) -> Result<R, Error> {
    let interrupt = Interrupt::install()?;
    let path = output_file(asked, &RunFolder::open(&run.run)?.pictures(), name)?;
    with_run(run, data_dir, console, |loaded| work(loaded, &path, &interrupt))
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

/// Which classes to draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClassChoice {
    /// One class.
    One(usize),
    /// Each class in turn.
    All,
}

impl FromStr for ClassChoice {
    type Err = BadClass;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "all" => Ok(Self::All),
            _ => text.parse().map(Self::One).map_err(|_| BadClass),
        }
    }
}

/// What was said is not a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadClass;

impl fmt::Display for BadClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a class's number, counted from 0, or all")
    }
}

impl std::error::Error for BadClass {}

/// What was said is not a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadLayer;

impl fmt::Display for BadLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a layer's number (1 is nearest to the image) or all")
    }
}

impl std::error::Error for BadLayer {}

//! Arguments that several subcommands share.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, ValueEnum};

use crate::data::image_grid::{Images, Rules};
use crate::engine::interrupt::Interrupt;
use crate::error::{Error, Result};
use crate::progress::Console;
pub use crate::run::arguments::{
    CheckpointChoice, DataDirArgs, DeviceArgs, ImagesArgs, RunArgs, Split, StatisticsChoice,
};
use crate::run::atomic_file;
use crate::run::folder::RunFolder;
use crate::run::load::{LoadedRun, with_run};

/// The format of a file of results, which the ending of its name decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A picture.
    Png,
    /// A NumPy archive.
    Npz,
    /// Comma-separated values, a line for each row.
    Csv,
    /// A page for a browser.
    Html,
    /// Tensors by name.
    Safetensors,
    /// Markdown.
    Md,
}

impl Format {
    /// The ending of a file's name, without the dot.
    pub const fn ending(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Npz => "npz",
            Self::Csv => "csv",
            Self::Html => "html",
            Self::Safetensors => "safetensors",
            Self::Md => "md",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.ending())
    }
}

/// A file that a result goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputFile {
    /// Where it is.
    pub path: PathBuf,
    /// What it is.
    pub format: Format,
}

/// The file that a result goes to: the one that was asked for, or `stem` in `folder`, which is
/// made, in the first of the possible formats. The ending of a name decides the format.
///
/// # Errors
/// If it has the ending of no possible format, its folder isn't there or can't be made, or what is
/// there is no file of results: before any work is done for it.
pub fn output_file(
    asked: Option<&Path>,
    (folder, stem): (&Path, &str),
    formats: &[Format],
) -> Result<OutputFile> {
    let Some(path) = asked else {
        let [format, ..] = *formats else {
            return Err(Error::new("bug: a result in no format; please report it"));
        };
        fs::create_dir_all(folder).map_err(|error| Error::io("create", folder, &error))?;
        return Ok(OutputFile { path: folder.join(format!("{stem}.{format}")), format });
    };
    let parent =
        path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    atomic_file::refuse_special(path)?;
    if RunFolder::owns(path) {
        let path = path.display();
        return Err(Error::new(format!("can't write {path}: a run keeps its own records there"))
            .with_advice("choose another file with --out"));
    }
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let Some(&format) = formats.iter().find(|format| format.ending() == ending) else {
        let possible: Vec<String> = formats.iter().map(|format| format!(".{format}")).collect();
        return Err(Error::usage(format!(
            "can't write {}: the ending decides the format, and {} here",
            path.display(),
            match possible.as_slice() {
                [one] => format!("{one} is the only one"),
                several => format!("it is one of {}", several.join(", ")),
            }
        ))
        .with_advice(format!("give a name such as {stem}.{}", formats[0])));
    };
    match parent.is_dir() {
        true => Ok(OutputFile { path: path.to_path_buf(), format }),
        false => Err(Error::io("write", path, &ErrorKind::NotFound.into())),
    }
}

/// Those of the possible formats that `--format` leaves: all without it.
pub fn formats_asked(possible: &[Format], asked: Option<&str>) -> Vec<Format> {
    let is_asked = |format: &&Format| asked.is_none_or(|asked| asked == format.ending());
    possible.iter().filter(is_asked).copied().collect()
}

/// How a picture of several images is drawn.
#[derive(Debug, Clone, Copy, Args)]
pub struct PictureArgs {
    /// Width and height of a pixel in the picture
    #[arg(
        long,
        value_name = "N",
        default_value_t = 2,
        value_parser = clap::value_parser!(u32).range(1..=64)
    )]
    pub scale: u32,
    /// Set the images side by side without grey rules between them
    #[arg(long)]
    pub no_rules: bool,
}

impl PictureArgs {
    /// Draws images in rows of `columns` and writes the picture.
    ///
    /// # Errors
    /// If the picture would be too large, or can't be written.
    pub fn save(&self, images: &Images, columns: usize, path: &Path) -> Result<()> {
        let rules = if self.no_rules { Rules::None } else { Rules::Grey };
        images.grid_with(columns, self.scale as usize, rules)?.save(path)
    }
}

/// How many images `--count` asks for, of `all` that there are; 0 asks for all.
pub fn counted(asked: usize, all: usize) -> usize {
    if asked == 0 { all } else { asked.min(all) }
}

/// A run that is opened for a picture of its model: what is done with it is given the picture's
/// file, by default `stem` in the run's folder of pictures, and what says whether to stop.
///
/// # Errors
/// If the run can't be opened, the picture can't be written there, or what `work` returns.
pub fn with_run_and_picture<R: Send>(
    run: &RunArgs,
    data_dir: &DataDirArgs,
    (asked, stem): (Option<&Path>, &str),
    console: &Console,
    work: impl FnOnce(LoadedRun<'_>, &Path, &Interrupt) -> Result<R> + Send,
) -> Result<R> {
    let interrupt = Interrupt::install(console)?;
    let pictures = RunFolder::open(&run.run)?.pictures();
    let OutputFile { path, .. } = output_file(asked, (&pictures, stem), &[Format::Png])?;
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

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
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

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
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

//! `rung export`: a model's numbers for other programs.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::shared::{CheckpointChoice, output_file};
use crate::error::Result;
use crate::progress::Console;
use crate::run::export::Export;
use crate::run::folder::RunFolder;
use crate::run::load::load_checkpoint;

/// Write a model's numbers for other programs.
#[derive(Debug, Args)]
#[command(before_help = "Most people want:\n  \
        rung export runs/ladder                 a safetensors file\n  \
        rung export runs/ladder --format npz    a file for numpy.load")]
pub struct ExportArgs {
    /// Folder of the run
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// Which checkpoint: last, best, previous, or a file
    #[arg(long, value_name = "WHICH", default_value = "last")]
    pub checkpoint: CheckpointChoice,
    /// The file's format
    #[arg(long, value_name = "FORMAT", default_value = "safetensors")]
    pub format: Format,
    /// File to write [default: RUN/model.safetensors or RUN/model.npz]
    #[arg(long, short, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// The format of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Tensors by name with the architecture in the metadata: what most programs read.
    Safetensors,
    /// A NumPy archive, an array for each tensor.
    Npz,
}

/// Writes the file and says where it is.
///
/// # Errors
/// If there is no run or no whole checkpoint, or the file can't be written.
pub fn run(arguments: &ExportArgs, console: &Console) -> Result<()> {
    let run = RunFolder::open(&arguments.run)?;
    let config = run.load_config()?;
    let loaded = load_checkpoint(&run, &arguments.checkpoint)?;
    loaded.warnings.iter().for_each(|warning| console.warn(warning));
    let export = Export::new(&loaded.data, &config)?;
    let name = match arguments.format {
        Format::Safetensors => "model.safetensors",
        Format::Npz => "model.npz",
    };
    let path = output_file(arguments.out.as_deref(), run.path(), name)?;
    let (tensors, numbers) = export.size();
    console
        .info(&format!("{tensors} tensors with {numbers} numbers, from {}", loaded.path.display()));
    match arguments.format {
        Format::Safetensors => export.write_safetensors(&path)?,
        Format::Npz => export.write_npz(&path)?,
    }
    console.result(&path.display().to_string())
}

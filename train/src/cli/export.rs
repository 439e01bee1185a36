//! `rung export`: a model's numbers for other programs.

use std::path::PathBuf;

use clap::Args;

use super::shared::{CheckpointChoice, Format, OutputFile, formats_asked, output_file};
use crate::engine::interrupt::Interrupt;
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
    /// The file's format: safetensors, which has the architecture in its metadata, or a NumPy
    /// archive [default: that of --out, or safetensors]
    #[arg(long, value_name = "FORMAT", value_parser = FORMATS.map(Format::ending))]
    pub format: Option<String>,
    /// File to write, whose ending decides the format
    /// [default: RUN/model.safetensors or RUN/model.npz]
    #[arg(long, short, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// What a model can be written as: tensors by name with the architecture in the metadata, what most
/// programs read; or a NumPy archive, an array for each tensor.
const FORMATS: [Format; 2] = [Format::Safetensors, Format::Npz];

/// Writes the file and says where it is.
///
/// # Errors
/// If there is no run or no whole checkpoint, or the file can't be written.
pub fn run(arguments: &ExportArgs, console: &Console) -> Result<()> {
    Interrupt::install(console)?;
    let run = RunFolder::open(&arguments.run)?;
    let config = run.load_config()?;
    let loaded = load_checkpoint(&run, &arguments.checkpoint)?;
    loaded.warnings.iter().for_each(|warning| console.warn(warning));
    let export = Export::new(&loaded.data, &config)?;
    let formats = formats_asked(&FORMATS, arguments.format.as_deref());
    let OutputFile { path, format } =
        output_file(arguments.out.as_deref(), (run.path(), "model"), &formats)?;
    let (tensors, numbers) = export.size();
    console
        .info(&format!("{tensors} tensors with {numbers} numbers, from {}", loaded.path.display()));
    match format {
        Format::Npz => export.write_npz(&path)?,
        _ => export.write_safetensors(&path)?,
    }
    console.result(&path.display().to_string())
}

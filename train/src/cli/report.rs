//! `rung report`: a page that shows a run, or compares several.

use std::path::{Path, PathBuf};

use clap::Args;

use super::shared::{
    CheckpointChoice, DataDirArgs, DeviceArgs, Format, RunArgs, StatisticsChoice, output_file,
};
use crate::engine::interrupt::Interrupt;
use crate::error::{Error, Result};
use crate::progress::Console;
use crate::report::{self, History, ModelFigures, ShownModel, Subject};
use crate::reproduce::card::card;
use crate::run::atomic_file;
use crate::run::folder::RunFolder;
use crate::run::load::{LoadedRun, with_run};

/// Show a run, or compare several, in one HTML file.
#[derive(Debug, Args)]
#[command(before_help = "Most people want:\n  \
        rung report runs/ladder                      its page\n  \
        rung report runs/a runs/b --out both.html    two runs compared\n  \
        rung report runs/ladder --figures figures    its charts as SVG and CSV")]
pub struct ReportArgs {
    /// Folders of the runs
    #[arg(value_name = "RUN", required = true)]
    pub runs: Vec<PathBuf>,
    /// File to write [default: RUN/report.html, or report.html for several runs]
    #[arg(long, short, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Write the charts of the page into this folder, which is made, instead of the page: each as
    /// SVG, and its numbers as CSV
    #[arg(long, value_name = "DIR", conflicts_with = "out")]
    pub figures: Option<PathBuf>,
    /// Write RUN/card.md (or --out FILE.md) instead of the page: model, data, command, seed, and
    /// the bound beside the published one
    #[arg(long, conflicts_with = "figures")]
    pub card: bool,
    /// Where data sets lie.
    #[command(flatten)]
    pub data_dir: DataDirArgs,
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceArgs,
}

/// Writes the page and says where it is.
///
/// # Errors
/// If a folder is no run, what it has recorded can't be read, or the page can't be written.
pub fn run(arguments: &ReportArgs, console: &Console) -> Result<()> {
    Interrupt::install(console)?;
    let runs: Vec<RunFolder> =
        arguments.runs.iter().map(|path| RunFolder::open(path)).collect::<Result<_>>()?;
    if arguments.card {
        return write_card(arguments, &runs, console);
    }
    if let Some(folder) = &arguments.figures {
        std::fs::create_dir_all(folder).map_err(|error| Error::io("create", folder, &error))?;
    }
    let out = match (runs.as_slice(), &arguments.out) {
        ([one], None) => one.report(),
        (_, asked) => {
            output_file(asked.as_deref(), (Path::new("."), "report"), &[Format::Html])?.path
        }
    };
    let single = runs.len() == 1;
    let subject = |run: &RunFolder| {
        let history = History::read(run)?;
        let figures = figures(arguments, run, single, console);
        Ok(Subject { history, figures })
    };
    let subjects: Vec<Subject> = runs.iter().map(subject).collect::<Result<_>>()?;
    if let Some(folder) = &arguments.figures {
        let names = report::write_figures(&subjects, folder)?;
        console.info(&format!("{} charts, each as .svg and .csv", names.len()));
        return console.result(&folder.display().to_string());
    }
    report::write(&subjects, &out)?;
    console.result(&out.display().to_string())
}

/// Writes the card of one run.
fn write_card(arguments: &ReportArgs, runs: &[RunFolder], console: &Console) -> Result<()> {
    let [run] = runs else {
        return Err(Error::usage("--card: a card is of one run"));
    };
    let out = output_file(arguments.out.as_deref(), (run.path(), "card"), &[Format::Md])?;
    let text = card(&History::read(run)?)?;
    atomic_file::write(&out.path, |file| file.write_all(text.as_bytes()))?;
    console.result(&out.path.display().to_string())
}

/// What the run's newest model shows; in words, why there is nothing to see, such as no checkpoint
/// yet.
fn figures(
    arguments: &ReportArgs,
    run: &RunFolder,
    explorer: bool,
    console: &Console,
) -> Result<ModelFigures, String> {
    let loaded = RunArgs {
        run: run.path().to_path_buf(),
        checkpoint: CheckpointChoice::Last,
        statistics: StatisticsChoice::Stored,
        device: arguments.device.clone(),
    };
    let drawn =
        with_run(&loaded, &arguments.data_dir, console, |loaded| sit(loaded, explorer, console));
    drawn.map_err(|error| {
        console.warn(&format!("{}: no pictures of the model: {error}", run.path().display()));
        error.to_string()
    })
}

fn sit(mut loaded: LoadedRun<'_>, explorer: bool, console: &Console) -> Result<ModelFigures> {
    let images = match loaded.images(loaded.held_out_split()) {
        Ok(images) => Some(images),
        Err(error) => {
            console.warn(&format!("no reconstructions and latents: {error}"));
            if let Some(advice) = error.advice() {
                console.info(advice);
            }
            None
        }
    };
    ModelFigures::new(&ShownModel {
        model: &loaded.model,
        statistics: &loaded.statistics,
        statistics_name: loaded.statistics_from.name(),
        shape: loaded.model.shape,
        images: images.as_ref(),
        explorer,
    })
}

//! `rung evaluate`: the bounds of a trained model.

use std::path::{Path, PathBuf};

use clap::Args;
use rung_models::LatentModel;
use rung_ranks::Ranks;

use super::arrays::Arrays;
use super::shared::{Format, ImagesArgs, RunArgs, counted, output_file};
use crate::engine::interrupt::Interrupt;
use crate::error::{Error, Result};
use crate::progress::Console;
use crate::run::evaluations::measure;
use crate::run::load::with_images_on;
use crate::tasks::Request;

/// What the scores of single images can be written as.
const FORMATS: [Format; 2] = [Format::Npz, Format::Csv];

/// Measure the bound of a trained model on held-out images.
#[derive(Debug, Args)]
#[command(before_help = "Most people want:\n  \
        rung evaluate runs/ladder                             as the papers do\n  \
        rung evaluate runs/ladder --importance-samples 100    a quick look")]
pub struct EvaluateArgs {
    /// The model.
    #[command(flatten)]
    pub run: RunArgs,
    /// The images.
    #[command(flatten)]
    pub images: ImagesArgs,
    /// Samples an image inside the logarithm of the bound
    #[arg(
        long,
        value_name = "K",
        default_value_t = 5000,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub importance_samples: u32,
    /// Samples that an image's class probabilities are averaged over, for models with classes
    #[arg(
        long,
        value_name = "M",
        default_value_t = Request::MANY_CLASS_SAMPLES as u32,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub class_samples: u32,
    /// Bound log p(x) with every class summed out too, for families with classes: as many times the
    /// work as there are classes
    #[arg(long)]
    pub every_class: bool,
    /// Images to measure, from the first; 0 for all
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub count: usize,
    /// Rows computed at once (images times samples); less takes less memory
    /// [default: 1000, fewer for large feature maps]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub rows: Option<u32>,
    /// Seed of the samples
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// File to write the score of each image to, .npz or .csv: L_K in nats, if the model has latent
    /// variables
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Print the result as one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Measures, prints, and adds a line to the run's `evaluations.jsonl`.
///
/// # Errors
/// If the run or its data cannot be opened, the device fails, or the user interrupts.
pub fn run(arguments: &EvaluateArgs, ranks: &Ranks, console: &Console) -> Result<()> {
    let interrupt = Interrupt::install(console)?;
    let here = (Path::new("."), "bounds");
    let out = arguments.out.as_deref().map(|out| output_file(Some(out), here, &FORMATS));
    let out = out.transpose()?;
    let (evaluated, arrays) =
        with_images_on(ranks, &arguments.run, &arguments.images, console, |loaded, images| {
            let latent = loaded.model.task.latent();
            if arguments.every_class && latent.and_then(LatentModel::classifier).is_none() {
                return Err(Error::new("--every-class: the model has no classes to sum over"));
            }
            let request = Request {
                importance_samples: arguments.importance_samples as usize,
                class_samples: arguments.class_samples as usize,
                every_class: arguments.every_class,
                images: counted(arguments.count, images.count()),
                rows: arguments
                    .rows
                    .map_or_else(|| loaded.model.rows_at_once(), |rows| rows as usize),
                seed: arguments.seed,
            };
            let evaluated = measure(&loaded, &images, request, &interrupt, console)?;
            let scores = evaluated.scores.of_images().map(|(name, values)| {
                let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
                Arrays::new(values.len()).with_reals(name, &[], values).with_source(&images)
            });
            Ok((evaluated, scores))
        })?;
    if !ranks.is_first() {
        return Ok(());
    }
    match arguments.json {
        true => console.result(&evaluated.json().to_string())?,
        false => console.result(&evaluated.text())?,
    }
    match (out, arrays) {
        (None, _) => Ok(()),
        (Some(out), Some(arrays)) => arrays.write(&out, console),
        (Some(_), None) => {
            Err(Error::new("no file was written: this model has no score for each image"))
        }
    }
}

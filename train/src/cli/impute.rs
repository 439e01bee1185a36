//! `rung impute`: missing pixels filled in, and how well they are predicted.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::shared::{DataDirArgs, RunArgs, Split, counted, with_run_and_picture};
use crate::error::{Error, Result};
use crate::progress::Console;
use crate::tasks::latent::imputation::{Frequencies, Mask, Prediction, completions, of, predict};

/// Fill in the missing pixels of test images.
#[derive(Debug, Args)]
#[command(before_help = "Most people want:\n  \
        rung impute runs/impute                  masks as in training\n  \
        rung impute runs/impute --mask FILE      your own: lines of # (missing) and .")]
pub struct ImputeArgs {
    /// The model.
    #[command(flatten)]
    pub run: RunArgs,
    /// Where data sets lie.
    #[command(flatten)]
    pub data_dir: DataDirArgs,
    /// Text file with a line for each row of pixels, # where a pixel is missing and . elsewhere
    /// [default: masks drawn as in training]
    #[arg(long, value_name = "FILE")]
    pub mask: Option<PathBuf>,
    /// Test images to predict, from the first; 0 for all
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub count: usize,
    /// Images in the picture
    #[arg(
        long,
        value_name = "N",
        default_value_t = 16,
        value_parser = clap::value_parser!(u32).range(1..=1000)
    )]
    pub rows: u32,
    /// Completions of each image in the picture
    #[arg(
        long,
        value_name = "N",
        default_value_t = 6,
        value_parser = clap::value_parser!(u32).range(1..=100)
    )]
    pub completions: u32,
    /// Seed of masks and latents
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// PNG file to write: in each row the masked image, its completions, and the image
    /// [default: RUN/pictures/imputations.png]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Draws completions, predicts the missing pixels of the test images, and says how well beside the
/// frequencies of each pixel's values among the training images.
///
/// # Errors
/// If the run or its data cannot be opened, the model is one of whole images, or the picture cannot
/// be written.
pub fn run(arguments: &ImputeArgs, console: &Console) -> Result<()> {
    let picture = (arguments.out.as_deref(), "imputations");
    let ImputeArgs { run, data_dir, .. } = arguments;
    with_run_and_picture(run, data_dir, picture, console, |mut loaded, path, interrupt| {
        of(loaded.model.latent()?)?;
        let mask = match &arguments.mask {
            None => Mask::Drawn,
            Some(file) => Mask::read(file, loaded.model.shape)?,
        };
        let frequencies = Frequencies::of(&loaded.images(Split::Train)?, &loaded.model)?;
        let test = loaded.images(Split::Test)?;
        let (model, statistics) = (&loaded.model, &loaded.statistics);
        let rows = (arguments.rows as usize).min(test.count());
        let beside = arguments.completions as usize;
        completions(model, statistics, &test, &mask, (rows, beside), arguments.seed)?
            .grid(beside + 2, 2)?
            .save(path)?;
        let count = counted(arguments.count, test.count());
        let mut progress = console.progress("predicting", "images", 0, count as u64);
        let found = predict(
            model,
            statistics,
            &test,
            &mask,
            &frequencies,
            (count, arguments.seed),
            || interrupt.requested(),
            |done| progress.update(done as u64, ""),
        )?;
        drop(progress);
        let Prediction { images, missing, bound, baseline } =
            found.ok_or_else(|| Error::interrupted("stopped as asked; nothing was predicted"))?;
        let quadrants = match mask {
            Mask::Drawn => of(model.latent()?)?.quadrants(),
            Mask::Given(_) => None,
        };
        if arguments.json {
            let record = json!({
                "images": images,
                "missing_pixels_per_image": missing,
                "bound_nats": bound.mean,
                "standard_error_nats": bound.standard_error,
                "bound_nats_per_quadrant": quadrants.map(|count| bound.mean / count as f64),
                "pixel_frequencies_nats": baseline.mean,
                "pixel_frequencies_standard_error_nats": baseline.standard_error,
                "pixel_frequencies_nats_per_quadrant":
                    quadrants.map(|count| baseline.mean / count as f64),
                "picture": path.display().to_string(),
            });
            return console.result(&record.to_string());
        }
        console.result(&format!(
            "log p(x_missing | x_observed) ≥ {bound} nats per image, by the frequencies of each \
            pixel {baseline}\n\
             {images} test images with {missing:.1} missing pixels each"
        ))?;
        if let Some(count) = quadrants {
            let [ours, plain] = [bound.mean, baseline.mean].map(|nats| nats / count as f64);
            console.result(&format!(
                "{ours:.2} nats per missing quadrant, by the frequencies of each pixel {plain:.2}"
            ))?;
        }
        console.result(&path.display().to_string())
    })
}

//! `rung reconstruct`: images beside what the model makes of them.

use std::path::PathBuf;

use clap::Args;

use super::shared::{ImagesArgs, RunArgs, output_file};
use crate::error::Result;
use crate::progress::Console;
use crate::run::folder::RunFolder;
use crate::run::load::with_images;
use crate::tasks::latent::pictures::{self, columns_for};

/// Draw images beside what the model makes of them.
#[derive(Debug, Args)]
#[command(before_help = "Most people want:\n  \
        rung reconstruct runs/ladder                  the first 50 test images\n  \
        rung reconstruct runs/ladder --split train    images it was trained on")]
pub struct ReconstructArgs {
    /// The model.
    #[command(flatten)]
    pub run: RunArgs,
    /// The images.
    #[command(flatten)]
    pub images: ImagesArgs,
    /// Images to reconstruct, from the first
    #[arg(
        long,
        value_name = "N",
        default_value_t = 50,
        value_parser = clap::value_parser!(u32).range(1..=10_000)
    )]
    pub count: u32,
    /// Width and height of a pixel in the picture
    #[arg(
        long,
        value_name = "N",
        default_value_t = 2,
        value_parser = clap::value_parser!(u32).range(1..=64)
    )]
    pub scale: u32,
    /// Seed of the latent samples
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// PNG file to write [default: RUN/pictures/reconstructions.png]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Reconstructs, and says where the picture is.
///
/// # Errors
/// If the run or its data cannot be opened, or the picture cannot be written.
pub fn run(arguments: &ReconstructArgs, console: &Console) -> Result<()> {
    let run = RunFolder::open(&arguments.run.run)?;
    let path = output_file(arguments.out.as_deref(), &run.pictures(), "reconstructions.png")?;
    with_images(&arguments.run, &arguments.images, console, |loaded, data| {
        let count = (arguments.count as usize).min(data.count());
        if !loaded.model.family.has_mean_image() {
            console.info(pictures::PIXELS_ARE_DRAWN);
        }
        let images = pictures::reconstructions(
            &loaded.model,
            &loaded.statistics,
            &data,
            count,
            arguments.seed,
        )?;
        // An even number of columns keeps each image and its reconstruction side by side.
        let columns = columns_for(2 * count).next_multiple_of(2);
        images.grid(columns, arguments.scale as usize)?.save(&path)?;
        console.result(&path.display().to_string())
    })
}

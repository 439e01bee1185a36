//! `rung reconstruct`: images beside what the model makes of them.

use std::path::PathBuf;

use clap::Args;

use super::arrays::Arrays;
use super::shared::{Format, ImagesArgs, PictureArgs, RunArgs, output_file};
use crate::engine::interrupt::Interrupt;
use crate::error::Result;
use crate::progress::Console;
use crate::run::folder::RunFolder;
use crate::run::load::with_images;
use crate::tasks::latent::pictures::{self, columns_for};

/// Draw images beside what the model makes of them.
#[derive(Debug, Args)]
#[command(before_help = "Most people want:\n  \
        rung reconstruct runs/ladder                  the first 50 test images\n  \
        rung reconstruct runs/ladder --split train    images it was trained on\n  \
        rung reconstruct runs/ladder --dataset images:NEW   new pictures")]
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
    /// How the picture is drawn.
    #[command(flatten)]
    pub picture: PictureArgs,
    /// Seed of the latent samples
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// File to write: a picture (.png), or the arrays originals and reconstructions (.npz, .csv)
    /// [default: RUN/pictures/reconstructions.png]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Reconstructs, and says where the picture is.
///
/// # Errors
/// If the run or its data cannot be opened, or the picture cannot be written.
pub fn run(arguments: &ReconstructArgs, console: &Console) -> Result<()> {
    Interrupt::install(console)?;
    let run = RunFolder::open(&arguments.run.run)?;
    let out = output_file(
        arguments.out.as_deref(),
        (&run.pictures(), "reconstructions"),
        &[Format::Png, Format::Npz, Format::Csv],
    )?;
    with_images(&arguments.run, &arguments.images, console, |loaded, data| {
        let count = (arguments.count as usize).min(data.count());
        if !loaded.model.family.has_mean_image() {
            console.info(pictures::PIXELS_ARE_DRAWN);
        }
        let (originals, reconstructions) = pictures::reconstructions(
            &loaded.model,
            &loaded.statistics,
            &data,
            count,
            arguments.seed,
        )?;
        if out.format != Format::Png {
            return Arrays::new(count)
                .with_images("originals", &originals)
                .with_images("reconstructions", &reconstructions)
                .with_source(&data)
                .write(&out, console);
        }
        // An even number of columns keeps each image and its reconstruction side by side.
        let columns = columns_for(2 * count).next_multiple_of(2);
        let pairs = originals.side_by_side(&reconstructions)?;
        arguments.picture.save(&pairs, columns, &out.path)?;
        console.result(&out.path.display().to_string())
    })
}

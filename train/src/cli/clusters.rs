//! `rung clusters`: the components of a mixture prior, as classes that nobody labelled.

use std::path::PathBuf;

use clap::Args;

use super::shared::{DataDirArgs, RunArgs, Split, counted, with_run_and_picture};
use crate::data::DeviceImages;
use crate::error::{Error, Result};
use crate::progress::Console;
use crate::tasks::latent::clusters::{Assignment, components, of, samples};

/// Show the components of a mixture prior, and how well they tell classes apart.
#[derive(Debug, Args)]
#[command(before_help = "Most people want:\n  \
        rung clusters runs/mixture                all images\n  \
        rung clusters runs/mixture --count 1000   the first of each part")]
pub struct ClustersArgs {
    /// The model.
    #[command(flatten)]
    pub run: RunArgs,
    /// Where data sets lie.
    #[command(flatten)]
    pub data_dir: DataDirArgs,
    /// Images of each part, training and test, from the first; 0 for all
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub count: usize,
    /// Samples of each component in the picture
    #[arg(
        long,
        value_name = "N",
        default_value_t = 10,
        value_parser = clap::value_parser!(u32).range(1..=100)
    )]
    pub each: u32,
    /// Seed of the samples
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// PNG file to write, a row for each component [default: RUN/pictures/clusters.png]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Finds the component of each image, names the components by the training images, judges them by
/// the test images, and draws their samples.
///
/// # Errors
/// If the run or its data cannot be opened, the images have no labels, or the picture cannot be
/// written.
pub fn run(arguments: &ClustersArgs, console: &Console) -> Result<()> {
    let picture = (arguments.out.as_deref(), "clusters");
    let ClustersArgs { run, data_dir, .. } = arguments;
    with_run_and_picture(run, data_dir, picture, console, |mut loaded, path, interrupt| {
        let count = of(loaded.model.latent()?)?.count();
        let (train, test) = (loaded.images(Split::Train)?, loaded.images(Split::Test)?);
        let found = |images: &DeviceImages, part: &str| {
            let wanted = counted(arguments.count, images.count());
            let mut progress = console.progress(part, "images", 0, wanted as u64);
            components(
                &loaded.model,
                &loaded.statistics,
                images,
                (wanted, arguments.seed),
                || interrupt.requested(),
                |done| progress.update(done as u64, ""),
            )?
            .ok_or_else(|| Error::interrupted("stopped as asked; nothing was written"))
        };
        let of_train = found(&train, "training images")?;
        let of_test = found(&test, "test images")?;
        let (Some(train), Some(test)) = (train.single_labels(), test.single_labels()) else {
            return Err(Error::new(
                "the images have no labels that the components could be compared with",
            ));
        };
        let (train, test) = (&train[..of_train.len()], &test[..of_test.len()]);
        let assignment = Assignment::new(count, (&of_train, train), (&of_test, test));
        let each = arguments.each as usize;
        samples(&loaded.model, &loaded.statistics, each, arguments.seed)?
            .grid(each, 2)?
            .save(path)?;
        match arguments.json {
            true => console.result(&assignment.json().to_string()),
            false => {
                console.result(&assignment.text())?;
                console.result(&path.display().to_string())
            }
        }
    })
}

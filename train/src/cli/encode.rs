//! `rung encode`: the latent variables of images, in a file for NumPy.

use std::path::{Path, PathBuf};

use clap::Args;
use rung_datasets::npz::NpzWriter;
use rung_models::Group;

use super::shared::{ImagesArgs, RunArgs, output_file};
use crate::data::DeviceImages;
use crate::engine::interrupt::Interrupt;
use crate::error::{Error, Result};
use crate::progress::Console;
use crate::run::folder::RunFolder;
use crate::run::load::with_images;
use crate::tasks::latent::encoding::{LayerLatents, encode};

/// Write the latent variables of images to a file.
#[derive(Debug, Args)]
#[command(before_help = "Most people want:\n  \
        rung encode runs/ladder                  every test image\n  \
        rung encode runs/ladder --split train    every training image")]
pub struct EncodeArgs {
    /// The model.
    #[command(flatten)]
    pub run: RunArgs,
    /// The images.
    #[command(flatten)]
    pub images: ImagesArgs,
    /// Images to encode, from the first; 0 for all
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub count: usize,
    /// Seed of the latent samples
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// File to write [default: RUN/latents-PART.npz]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Encodes, and says what the file holds.
///
/// # Errors
/// If the run or its data cannot be opened, or the file cannot be written.
pub fn run(arguments: &EncodeArgs, console: &Console) -> Result<()> {
    let interrupt = Interrupt::install()?;
    let run = RunFolder::open(&arguments.run.run)?;
    let split = rung_datasets::Split::from(arguments.images.split);
    let path = output_file(arguments.out.as_deref(), run.path(), &format!("latents-{split}.npz"))?;
    with_images(&arguments.run, &arguments.images, console, |loaded, images| {
        let count =
            if arguments.count == 0 { images.count() } else { arguments.count.min(images.count()) };
        let mut progress = console.progress("encoding", "images", 0, count as u64);
        let layers = encode(
            &loaded.model,
            &loaded.statistics,
            &images,
            (count, arguments.seed),
            || interrupt.requested(),
            |done| progress.update(done as u64, ""),
        )?;
        drop(progress);
        let layers =
            layers.ok_or_else(|| Error::interrupted("stopped as asked; nothing was written"))?;
        write(&path, &loaded.model.latent()?.groups(), &layers, &images, count, console)
    })
}

fn write(
    path: &Path,
    groups: &[Group],
    layers: &[LayerLatents],
    images: &DeviceImages,
    count: usize,
    console: &Console,
) -> Result<()> {
    let mut writer = NpzWriter::create(path).map_err(refused)?;
    let mut arrays = Vec::new();
    for (index, layer) in layers.iter().enumerate() {
        for (name, values) in
            [("z", &layer.z), ("mean", &layer.mean), ("variance", &layer.variance)]
        {
            let name = format!("{name}_{}", groups[index].key());
            writer.add_f32(&name, &[count, layer.units], values).map_err(refused)?;
            arrays.push(format!("{name} [{count}, {}]", layer.units));
        }
    }
    if let Some(labels) = images.labels() {
        let positions = images.positions();
        let shape = if positions == 1 { vec![count] } else { vec![count, positions] };
        writer.add_u32("labels", &shape, &labels[..count * positions]).map_err(refused)?;
        arrays.push(format!("labels {shape:?}"));
    }
    writer.finish().map_err(refused)?;
    console.info(&format!("arrays: {}", arrays.join(", ")));
    console.result(&path.display().to_string())
}

fn refused(error: rung_datasets::Error) -> Error {
    Error::from_source(error).with_advice("choose another file with --out")
}

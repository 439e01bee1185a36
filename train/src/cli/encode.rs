//! `rung encode`: the latent variables of images, in a file for NumPy.

use std::path::{Path, PathBuf};

use clap::Args;
use rung_datasets::npz::NpzWriter;
use rung_models::Group;

use super::shared::{ImagesArgs, RunArgs, counted, output_file};
use crate::data::DeviceImages;
use crate::engine::interrupt::Interrupt;
use crate::error::{Error, Result};
use crate::progress::Console;
use crate::run::folder::RunFolder;
use crate::run::load::with_images;
use crate::tasks::latent::encoding::{Encoded, encode};

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
        let count = counted(arguments.count, images.count());
        let mut progress = console.progress("encoding", "images", 0, count as u64);
        let encoded = encode(
            &loaded.model,
            &loaded.statistics,
            &images,
            (count, arguments.seed),
            || interrupt.requested(),
            |done| progress.update(done as u64, ""),
        )?;
        drop(progress);
        let encoded =
            encoded.ok_or_else(|| Error::interrupted("stopped as asked; nothing was written"))?;
        write(&path, &loaded.model.latent()?.groups(), &encoded, &images, count, console)
    })
}

fn write(
    path: &Path,
    groups: &[Group],
    encoded: &Encoded,
    images: &DeviceImages,
    count: usize,
    console: &Console,
) -> Result<()> {
    let mut writer = NpzWriter::create(path).map_err(refused)?;
    let mut arrays = Vec::new();
    for (group, layer) in groups.iter().zip(&encoded.layers) {
        let key = group.key();
        let sample = group.own_name.map_or_else(|| format!("z_{key}"), str::to_string);
        for (name, values) in [
            (sample, &layer.z),
            (format!("mean_{key}"), &layer.mean),
            (format!("variance_{key}"), &layer.variance),
        ] {
            writer.add_f32(&name, &[count, layer.units], values).map_err(refused)?;
            arrays.push(format!("{name} [{count}, {}]", layer.units));
        }
    }
    if let Some(classes) = encoded.class_probs.len().checked_div(count).filter(|&n| n > 0) {
        writer.add_f32("class_probs", &[count, classes], &encoded.class_probs).map_err(refused)?;
        arrays.push(format!("class_probs [{count}, {classes}]"));
    }
    if let Some(labels) = images.labels() {
        let positions = images.positions();
        let shape = if positions == 1 { vec![count] } else { vec![count, positions] };
        let labels = &labels[..count * positions];
        writer.add_labels("labels", &shape, labels).map_err(refused)?;
        arrays.push(format!("labels {shape:?}"));
    }
    writer.finish().map_err(refused)?;
    console.info(&format!("arrays: {}", arrays.join(", ")));
    console.result(&path.display().to_string())
}

fn refused(error: rung_datasets::Error) -> Error {
    Error::from_source(error).with_advice("choose another file with --out")
}

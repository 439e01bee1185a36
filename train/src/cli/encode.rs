//! `rung encode`: the latent variables of images, in a file for NumPy.

use std::path::PathBuf;

use clap::Args;
use rung_models::Group;
use rung_ranks::Ranks;

use super::arrays::Arrays;
use super::shared::{Format, ImagesArgs, RunArgs, counted, output_file};
use crate::engine::interrupt::Interrupt;
use crate::error::{Error, Result};
use crate::progress::Console;
use crate::run::folder::RunFolder;
use crate::run::load::with_images_on;
use crate::tasks::latent::encoding::{Encoded, LayerLatents, encode};
use crate::tasks::latent::evaluation::ACTIVE_NATS;

/// Write the latent variables of images to a file.
#[derive(Debug, Args)]
#[command(before_help = "Most people want:\n  \
        rung encode runs/ladder                  every test image\n  \
        rung encode runs/ladder --split train    every training image\n  \
        rung encode runs/ladder --dataset images:NEW --out new.csv   new pictures")]
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
    /// Write the active units alone: those whose KL, the mean of log q - log p over the images,
    /// exceeds 0.01 nats. The arrays units_i and kl_i, without a row for each image, have their
    /// numbers (from 0) and KLs
    #[arg(long)]
    pub active: bool,
    /// Seed of the latent samples
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// File to write, .npz or .csv [default: RUN/latents-PART.npz]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Encodes, each rank its share of the images, and says what the file holds, which rank 0 writes.
///
/// # Errors
/// If the run or its data cannot be opened, another rank has ended, or the file cannot be written.
pub fn run(arguments: &EncodeArgs, ranks: &Ranks, console: &Console) -> Result<()> {
    let interrupt = Interrupt::install(console)?;
    let run = RunFolder::open(&arguments.run.run)?;
    let split = rung_datasets::Split::from(arguments.images.split);
    let out = output_file(
        arguments.out.as_deref(),
        (run.path(), &format!("latents-{split}")),
        &[Format::Npz, Format::Csv],
    )?;
    with_images_on(ranks, &arguments.run, &arguments.images, console, |loaded, images| {
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
        if !ranks.is_first() {
            return Ok(());
        }
        let groups = loaded.model.latent()?.groups();
        let arrays = match arguments.active {
            true => active_arrays(&groups, encoded, count),
            false => arrays(&groups, encoded, count),
        };
        arrays.with_source(&images).write(&out, console)
    })
}

/// The same of the active units alone, with their numbers and KLs.
fn active_arrays(groups: &[Group], encoded: Encoded, count: usize) -> Arrays {
    let mut facts = Vec::new();
    let mut reduced = Encoded { layers: Vec::new(), class_probs: encoded.class_probs };
    for (group, layer) in groups.iter().zip(encoded.layers) {
        let kl = &layer.kl_nats;
        let units: Vec<usize> = (0..layer.units).filter(|&unit| kl[unit] > ACTIVE_NATS).collect();
        facts.push((group.key(), units.clone(), units.iter().map(|&u| kl[u] as f32).collect()));
        let columns = |values: &[f32]| -> Vec<f32> {
            let rows = values.chunks_exact(layer.units.max(1));
            rows.flat_map(|row| units.iter().map(|&unit| row[unit])).collect()
        };
        reduced.layers.push(LayerLatents {
            units: units.len(),
            z: columns(&layer.z),
            mean: columns(&layer.mean),
            variance: columns(&layer.variance),
            kl_nats: Vec::new(),
        });
    }
    facts.into_iter().fold(arrays(groups, reduced, count), |arrays, (key, units, kl)| {
        arrays.with_facts(&key, &units, kl)
    })
}

/// Sample, mean and variance of every group, and the probabilities of the classes.
fn arrays(groups: &[Group], encoded: Encoded, count: usize) -> Arrays {
    let mut arrays = Arrays::new(count);
    for (group, layer) in groups.iter().zip(encoded.layers) {
        let key = group.key();
        let units = [layer.units];
        arrays = arrays
            .with_reals(&group.sample_key(), &units, layer.z)
            .with_reals(&format!("mean_{key}"), &units, layer.mean)
            .with_reals(&format!("variance_{key}"), &units, layer.variance);
    }
    match encoded.class_probs.len().checked_div(count) {
        Some(classes) if classes > 0 => {
            arrays.with_reals("class_probs", &[classes], encoded.class_probs)
        }
        _ => arrays,
    }
}

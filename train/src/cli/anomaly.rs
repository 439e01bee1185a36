//! `rung anomaly`: which images are anomalous, out of a model's distribution.

use std::path::{Path, PathBuf};

use clap::Args;
use rung_datasets::Split;
use rung_ranks::Ranks;
use serde_json::{Value, json};

use super::arrays::Arrays;
use super::shared::{Format, ImagesArgs, RunArgs, counted, output_file};
use crate::data::DeviceImages;
use crate::engine::interrupt::Interrupt;
use crate::error::{Error, Result};
use crate::progress::Console;
use crate::run::folder::RunFolder;
use crate::run::load::{LoadedRun, with_images_on};
use crate::tasks::latent::anomaly::{ImageBounds, Outcome, Request, Separation, bounds};

/// Score how anomalous (out-of-distribution) images are to a trained model.
#[derive(Debug, Args)]
#[command(before_help = "Most people want:\n  \
        rung anomaly runs/biva --against fashion-mnist    clothes from digits\n  \
        rung anomaly runs/biva --out scores.csv           every test image")]
pub struct AnomalyArgs {
    /// The model.
    #[command(flatten)]
    pub run: RunArgs,
    /// The images.
    #[command(flatten)]
    pub images: ImagesArgs,
    /// Compare with the test images of this other, out-of-distribution data set
    #[arg(long, value_name = "NAME")]
    pub against: Option<String>,
    /// Images of each data set, from the first; 0 for all
    #[arg(long, value_name = "N", default_value_t = 2000)]
    pub count: usize,
    /// Samples an image inside the logarithm of each bound
    #[arg(
        long, value_name = "K", default_value_t = 10,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub importance_samples: u32,
    /// Rows computed at once (images times samples); less takes less memory
    /// [default: 1000, fewer for large feature maps]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub rows: Option<u32>,
    /// Seed of the samples
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// File of the scores of every image, .csv or .npz [default: RUN/anomaly.csv]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Print the result as one JSON object
    #[arg(long)]
    pub json: bool,
}

/// A data set's name and its bounds.
struct Scored {
    name: String,
    bounds: ImageBounds,
    /// The file of each image; empty where they are not from files of their own.
    files: Vec<String>,
}

/// Scores, each rank its share of the images, prints, and writes the CSV file; with `--against`
/// also what the report shows. Rank 0 alone writes.
///
/// # Errors
/// If the run or the data cannot be opened, the device fails, another rank has ended, a file cannot
/// be written, or the user interrupts.
pub fn run(arguments: &AnomalyArgs, ranks: &Ranks, console: &Console) -> Result<()> {
    let interrupt = Interrupt::install(console)?;
    let folder = RunFolder::open(&arguments.run.run)?;
    let out = output_file(
        arguments.out.as_deref(),
        (folder.path(), "anomaly"),
        &[Format::Csv, Format::Npz],
    )?;
    let (scored, outcome, step) =
        with_images_on(ranks, &arguments.run, &arguments.images, console, |mut loaded, images| {
            let mut scored = vec![score(arguments, &loaded, images, &interrupt, console)?];
            if let Some(name) = &arguments.against {
                let foreign = loaded.images_of(Some(name), arguments.images.split)?;
                scored.push(score(arguments, &loaded, foreign, &interrupt, console)?);
            }
            let outcome = match scored.as_slice() {
                [own, foreign] => Some(Outcome::new(
                    (&own.name, &own.bounds),
                    (&foreign.name, &foreign.bounds),
                    arguments.importance_samples as usize,
                    loaded.step,
                )),
                _ => None,
            };
            Ok((scored, outcome, loaded.step))
        })?;
    if !ranks.is_first() {
        return Ok(());
    }
    if let Some(outcome) = &outcome {
        outcome.keep(&folder)?;
        if !arguments.json {
            console.result(&text(outcome))?;
        }
    }
    let arrays = arrays(&scored);
    match arguments.json {
        false => arrays.write(&out, console),
        true => {
            arrays.save(&out)?;
            let json = json(arguments, &scored, outcome.as_ref(), step, &out.path);
            console.result(&json.to_string())
        }
    }
}

/// What was found, the means of a single data set under the names that they have in a comparison,
/// and how it was found.
fn json(
    arguments: &AnomalyArgs,
    scored: &[Scored],
    outcome: Option<&Outcome>,
    step: u64,
    path: &Path,
) -> Value {
    let found = match (outcome, scored) {
        (Some(outcome), _) => json!(outcome),
        (None, [own, ..]) => {
            let mean = |scores: Vec<f64>| scores.iter().sum::<f64>() / scores.len().max(1) as f64;
            let of = |k: usize, scores: Vec<f64>| json!({ "k": k, "own_mean_nats": mean(scores) });
            let layers = own.bounds.by_layer.len();
            json!({
                "own": own.name,
                "own_images": own.bounds.count(),
                "importance_samples": arguments.importance_samples,
                "step": step,
                "bounds": (0..layers).map(|k| of(k, own.bounds.plain(k))).collect::<Vec<_>>(),
                "ratios": (1..layers).map(|k| of(k, own.bounds.ratio(k))).collect::<Vec<_>>(),
            })
        }
        (None, []) => json!({}),
    };
    let mut found = found.as_object().cloned().unwrap_or_default();
    let split: Split = arguments.images.split.into();
    found.insert("split".into(), json!(split.to_string()));
    found.insert("seed".into(), json!(arguments.seed));
    found.insert("file".into(), json!(path.display().to_string()));
    Value::Object(found)
}

fn score(
    arguments: &AnomalyArgs,
    loaded: &LoadedRun<'_>,
    images: DeviceImages,
    interrupt: &Interrupt,
    console: &Console,
) -> Result<Scored> {
    let count = counted(arguments.count, images.count());
    let request = Request {
        images: count,
        importance_samples: arguments.importance_samples as usize,
        rows: arguments.rows.map_or_else(|| loaded.model.rows_at_once(), |rows| rows as usize),
        seed: arguments.seed,
    };
    let name = images.data_set().to_string();
    let mut progress = console.progress(&format!("scoring {name}"), "images", 0, count as u64);
    let scored = bounds(
        (&loaded.model, &loaded.statistics),
        &images,
        request,
        || interrupt.requested(),
        |done| progress.update(done as u64, ""),
    )?;
    drop(progress);
    let bounds =
        scored.ok_or_else(|| Error::interrupted("stopped as asked; nothing was written"))?;
    let files = images.files()[..count.min(images.files().len())].to_vec();
    Ok(Scored { name, bounds, files })
}

/// A row for each image: its data set, its number there, its file where one of them has files, and
/// L^{>k} in nats for every k.
fn arrays(scored: &[Scored]) -> Arrays {
    fn each(scored: &[Scored], of: impl Fn(&Scored, usize) -> String) -> Vec<String> {
        let counts = scored.iter().map(|scored| (scored, scored.bounds.count()));
        counts
            .flat_map(|(scored, count)| (0..count).map(move |image| (scored, image)))
            .map(|(scored, image)| of(scored, image))
            .collect()
    }
    let names = each(scored, |scored, _| scored.name.clone());
    let images = scored.iter().flat_map(|scored| 0..scored.bounds.count() as u32).collect();
    let mut arrays =
        Arrays::new(names.len()).with_text("dataset", names).with_whole("image", images);
    if scored.iter().any(|scored| !scored.files.is_empty()) {
        let file = |scored: &Scored, image| scored.files.get(image).cloned().unwrap_or_default();
        arrays = arrays.with_text("files", each(scored, file));
    }
    let depth = scored.first().map_or(0, |scored| scored.bounds.by_layer.len());
    (0..depth).fold(arrays, |arrays, k| {
        let of_layer = scored.iter().flat_map(|scored| &scored.bounds.by_layer[k]);
        let values = of_layer.map(|&bound| bound as f32).collect();
        arrays.with_reals(&format!("bound_above_{k}_nats"), &[], values)
    })
}

fn text(outcome: &Outcome) -> String {
    let Outcome { own, foreign, own_images, foreign_images, importance_samples, .. } = outcome;
    let (own_width, foreign_width) = (own.chars().count().max(14), foreign.chars().count().max(14));
    let mut text = format!(
        "{own_images} images of {own} against {foreign_images} of {foreign}, {importance_samples} \
        importance samples\n\
         score            {own:>own_width$} {foreign:>foreign_width$}    AUROC\n"
    );
    let mut line = |name: String, separation: &Separation| {
        let Separation { own_mean_nats, foreign_mean_nats, auroc, .. } = separation;
        text += &format!(
            "{name:<16} {own_mean_nats:>own_width$.2} {foreign_mean_nats:>foreign_width$.2}   \
            {auroc:.4}\n"
        );
    };
    outcome
        .bounds
        .iter()
        .for_each(|separation| line(format!("-L^{{>{}}}", separation.k), separation));
    outcome
        .ratios
        .iter()
        .for_each(|separation| line(format!("L - L^{{>{}}}", separation.k), separation));
    text + "Scores are means in nats per image; an AUROC of 0.5 separates nothing, 1 everything."
}

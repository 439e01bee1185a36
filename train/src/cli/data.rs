//! `rung data`: which data sets are here, fetching and checking them, and writing one to a file.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use rung_datasets::memory::megabytes;
use rung_datasets::npz::NpzWriter;
use rung_datasets::registry::{self, FileReport, Outcome, Presence, Status};
use rung_datasets::{ImageShape, Images, Pixels, Split};
use serde_json::{Value, json};

use super::shared::{DataDirArgs, Format, OutputFile, output_file};
use crate::config::layers::Layers;
use crate::config::{Config, DataConfig};
use crate::data::source;
use crate::engine::interrupt::Interrupt;
use crate::error::{Error, Result};
use crate::progress::{Console, Progress};

/// List, download, check and write data sets.
#[derive(Debug, Args)]
#[command(before_help = "Most people want:\n  \
        rung data list             every data set, and whether it is here\n  \
        rung data fetch mnist      download one")]
pub struct DataArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: DataAction,
}

/// What to do with data sets.
#[derive(Debug, Subcommand)]
pub enum DataAction {
    /// Show every data set: its size, where it is from, whether it is here
    #[command(
        before_help = "Most people want:\n  rung data list             as a table\n  rung data \
        list --json      for a program"
    )]
    List {
        /// Where data sets lie.
        #[command(flatten)]
        data_dir: DataDirArgs,
        /// Print JSON, one object a line
        #[arg(long)]
        json: bool,
    },
    /// Download a data set and check it; a download that was stopped goes on
    #[command(
        before_help = "Most people want:\n  rung data fetch mnist                       into the \
        default folder\n  rung data fetch mnist --data-dir data       into a folder of your own"
    )]
    Fetch {
        /// Name of the data set
        #[arg(value_name = "NAME")]
        name: String,
        /// Where data sets lie.
        #[command(flatten)]
        data_dir: DataDirArgs,
    },
    /// Write a data set to a file of NumPy arrays, for use elsewhere: x_train (N, C, H, W) and
    /// y_train (N), or (N, T) where an image has T labels, and so for validation and test
    #[command(before_help = "Most people want:\n  rung data write sequences:mnist --out a.npz   \
        cluttered sequences\n  rung data write glyphs --out a.npz            images of one digit \
        each")]
    Write {
        /// Name of the data set, npz:FILE, images:FOLDER or sequences:NAME
        #[arg(value_name = "NAME")]
        name: String,
        /// File to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Set a key of the section data, such as data.train_images=1000 (repeatable)
        #[arg(long = "set", value_name = "KEY=VALUE")]
        sets: Vec<String>,
        /// Where data sets lie.
        #[command(flatten)]
        data_dir: DataDirArgs,
    },
    /// Check the files of a data set against their published checksums
    #[command(
        before_help = "Most people want:\n  rung data verify mnist                       in the \
        default folder\n  rung data verify mnist --data-dir data       in a folder of your own"
    )]
    Verify {
        /// Name of the data set
        #[arg(value_name = "NAME")]
        name: String,
        /// Where data sets lie.
        #[command(flatten)]
        data_dir: DataDirArgs,
    },
}

/// Lists, fetches or verifies.
///
/// # Errors
/// If there is no such data set, a download fails, or a file isn't what was published.
pub fn run(arguments: &DataArgs, console: &Console) -> Result<()> {
    let interrupt = Interrupt::install(console)?;
    match &arguments.action {
        DataAction::List { data_dir, json } => list(&folder(data_dir), *json, console),
        DataAction::Fetch { name, data_dir } => fetch(name, &folder(data_dir), console),
        DataAction::Write { name, out, sets, data_dir } => {
            write(&configured(name, sets, data_dir)?, out, &interrupt, console)
        }
        DataAction::Verify { name, data_dir } => verify(name, &folder(data_dir), console),
    }
}

fn folder(arguments: &DataDirArgs) -> PathBuf {
    arguments.folder().unwrap_or(Path::new(source::DEFAULT_FOLDER)).to_path_buf()
}

fn list(folder: &Path, json: bool, console: &Console) -> Result<()> {
    let statuses = registry::status(folder);
    if json {
        return statuses.iter().try_for_each(|status| console.result(&as_json(status).to_string()));
    }
    console
        .result("NAME              IMAGES (TRAIN + TEST)   SIZE      HERE                  FROM")?;
    for status in &statuses {
        let known = status.known;
        let images = format!("{} + {}", known.train_count, known.test_count);
        let (name, size, here) = (known.name, size_of(status), presence(status));
        console.result(&format!("{name:<17} {images:<23} {size:<9} {here:<21} {}", known.home))?;
    }
    console.info(&format!(
        "looked in {}; your own data: --dataset npz:FILE or --dataset images:FOLDER; \
         cluttered sequences of any of them: --dataset sequences:NAME",
        folder.display()
    ));
    Ok(())
}

/// `28x28`, or `3x32x32` with colours.
fn size_of(status: &Status) -> String {
    let shape = status.known.shape;
    match shape.channels {
        1 => format!("{}x{}", shape.height, shape.width),
        channels => format!("{channels}x{}x{}", shape.height, shape.width),
    }
}

fn presence(status: &Status) -> String {
    match &status.presence {
        Presence::BuiltIn => "built in".into(),
        Presence::Complete => format!("yes, {}", megabytes(status.bytes)),
        Presence::Partial { missing, .. } => format!("{} files missing", missing.len()),
        Presence::Absent => "no".into(),
    }
}

fn as_json(status: &Status) -> Value {
    let known = status.known;
    let (presence, missing) = match &status.presence {
        Presence::BuiltIn => ("built_in", &[][..]),
        Presence::Complete => ("complete", &[][..]),
        Presence::Partial { missing, .. } => ("partial", &missing[..]),
        Presence::Absent => ("absent", &[][..]),
    };
    json!({
        "name": known.name,
        "title": known.title,
        "train_images": known.train_count,
        "test_images": known.test_count,
        "image_shape": [known.shape.channels, known.shape.height, known.shape.width],
        "presence": presence,
        "missing": missing,
        "folder": status.folder,
        "bytes": status.bytes,
        "mirrors": known.mirrors,
        "home": known.home,
        "licence": known.licence,
    })
}

fn fetch(name: &str, folder: &Path, console: &Console) -> Result<()> {
    let mut bar: Option<(String, Progress<'_>)> = None;
    let fetched = rung_datasets::fetch(name, folder, &mut |progress| {
        let total = progress.bytes_total.unwrap_or(progress.bytes_done) / 1000;
        if bar.as_ref().is_none_or(|(file, _)| file != progress.file) {
            // The old line goes before the new one comes.
            drop(bar.take());
            console.info(&format!("fetching {}", progress.url));
            bar = Some((
                progress.file.into(),
                console.progress(progress.file, "kB", progress.bytes_done / 1000, total),
            ));
        }
        if let Some((_, bar)) = &mut bar {
            bar.update(progress.bytes_done / 1000, "");
        }
    });
    drop(bar);
    let fetched = fetched.map_err(failed)?;
    if fetched.is_empty() {
        console.info(&format!("{name} is in place already"));
    }
    fetched.iter().try_for_each(|path| console.result(&path.display().to_string()))
}

/// What a configuration of this data set says of it.
fn configured(name: &str, sets: &[String], data_dir: &DataDirArgs) -> Result<DataConfig> {
    let mut layers = Layers::new(&Config::default())?;
    layers.assign("NAME", "data.name", toml::Value::String(name.into()))?;
    for pair in sets {
        if !pair.trim_start().starts_with("data.") {
            return Err(Error::new(format!("--set {pair}: not a key of [data]"))
                .with_advice("for example: --set data.sequence_digits=1")
                .as_usage());
        }
        layers.set(pair).map_err(Error::as_usage)?;
    }
    let mut data = layers.finish().map_err(Error::as_usage)?.data;
    if let Some(folder) = data_dir.folder() {
        data.look_in(folder);
    }
    Ok(data)
}

/// Writes the images and labels of every part, those that are drawn a few at a time.
fn write(config: &DataConfig, out: &Path, interrupt: &Interrupt, console: &Console) -> Result<()> {
    let OutputFile { path, .. } =
        output_file(Some(out), (Path::new("."), "images"), &[Format::Npz])?;
    let dataset = source::open(config, console)?;
    let parts = [Split::Train, Split::Validation, Split::Test];
    let parts = parts.into_iter().filter_map(|split| Some((split, dataset.split(split)?)));
    let parts: Vec<(Split, &Images)> = parts.filter(|(_, images)| !images.is_empty()).collect();
    let total: usize = parts.iter().map(|(_, images)| images.count()).sum();
    let mut progress = console.progress("writing", "images", 0, total as u64);
    let mut writer = NpzWriter::create(&path).map_err(failed)?;
    let (mut done, mut arrays) = (0, Vec::new());
    for (split, images) in parts {
        let ImageShape { channels, height, width } = images.shape();
        let (name, shape) = (format!("x_{split}"), [images.count(), channels, height, width]);
        let written = match images.pixels() {
            Pixels::F32(reals) => writer.add_f32(&name, &shape, reals),
            Pixels::U8(_) | Pixels::Drawn(_) => {
                let pieces = images.pieces().take_while(|_| !interrupt.requested());
                let bytes = pieces.filter_map(|piece| {
                    done += piece.count() as u64;
                    progress.update(done, "");
                    piece.into_bytes()
                });
                writer.add_bytes(&name, &shape, bytes)
            }
        };
        if interrupt.requested() {
            return Err(Error::interrupted("stopped as asked; nothing was written"));
        }
        written.map_err(failed)?;
        arrays.push(format!("{name} {shape:?}"));
        if let Some(labels) = images.labels() {
            let name = format!("y_{split}");
            let shape = match labels.positions {
                1 => vec![images.count()],
                positions => vec![images.count(), positions],
            };
            writer.add_labels(&name, &shape, &labels.values).map_err(failed)?;
            arrays.push(format!("{name} {shape:?}"));
        }
    }
    writer.finish().map_err(failed)?;
    drop(progress);
    console.info(&format!("arrays: {}", arrays.join(", ")));
    console.result(&path.display().to_string())
}

fn verify(name: &str, folder: &Path, console: &Console) -> Result<()> {
    let reports = registry::verify(name, folder).map_err(failed)?;
    if reports.is_empty() {
        return console
            .result(&format!("{name} is drawn by the program: there is nothing to check"));
    }
    for FileReport { file, path, bytes, outcome } in &reports {
        let place = path.as_ref().map_or(String::new(), |path| format!("  {}", path.display()));
        let size = bytes.map_or(String::new(), |bytes| format!("  {bytes} bytes"));
        console.result(&format!("{file}: {}{size}{place}", words(outcome)))?;
    }
    let bad = reports.iter().filter(|report| !report.outcome.is_fine()).count();
    if bad == 0 {
        return Ok(());
    }
    let (all, folder) = (reports.len(), folder.display());
    Err(Error::new(format!(
        "{name} in {folder}: {bad} of {all} files are missing or not what was published"
    ))
    .with_advice(format!(
        "rung data fetch {name} fetches those anew, and leaves the others as they are"
    )))
}

fn words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Missing => "missing".into(),
        Outcome::Verified { algorithm } => format!("as published ({algorithm})"),
        Outcome::NoChecksum => "here; no checksum is published".into(),
        Outcome::Differs { algorithm, expected, found } => {
            format!("DIFFERS ({algorithm} {found}, published {expected})")
        }
        Outcome::Unreadable { why } => format!("UNREADABLE ({why})"),
    }
}

fn failed(error: rung_datasets::Error) -> Error {
    let advice = match &error {
        rung_datasets::Error::UnknownName { .. } => Some("rung data list shows every data set"),
        rung_datasets::Error::Download { .. } => Some(
            "check the connection and try again: what is there is kept, and the download goes on",
        ),
        _ => None,
    };
    let error = Error::from_source(error);
    match advice {
        Some(advice) => error.with_advice(advice),
        None => error,
    }
}

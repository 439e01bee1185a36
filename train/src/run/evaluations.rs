//! What was measured of a trained model on a set of images: printed, and kept in the run's
//! `evaluations.jsonl`.

use std::path::PathBuf;
use std::time::Instant;

use rung_datasets::Binarisation;
use rung_datasets::npy::{self, NpyArray, NpyValues};
use serde_json::{Value, json};

use crate::data::DeviceImages;
use crate::engine::interrupt::Interrupt;
use crate::error::{Error, Result};
use crate::progress::Console;
use crate::run::folder::RunFolder;
use crate::run::load::LoadedRun;
use crate::run::metrics::{self, Record, unix_s};
use crate::run::tensorboard::EventWriter;
use crate::tasks::{Request, Scores};

/// The key that only an evaluation on images of another data set has: the one of the training.
pub const TRAINED_ON: &str = "trained_on";

/// The scores of a trained model, with what they were measured of and by.
#[derive(Debug)]
pub struct EvaluationRecord {
    /// The scores.
    pub scores: Box<dyn Scores>,
    /// Which model was measured.
    pub subject: Subject,
    request: Request,
    /// How the images were binarised.
    binarisation: Binarisation,
    /// Seed of the pixels, where they were drawn.
    pixel_seed: Option<u64>,
    /// Part of the data set.
    split: String,
    /// Images that it has.
    images_in_split: usize,
    elapsed_s: f64,
    /// The name that the scores of single images are kept under, where they are.
    image_bounds: Option<String>,
}

/// The model that was measured.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The name of the data set that it was trained on, whose images measure it where no other is
    /// named.
    pub data_set: String,
    /// The name of the other data set whose images measure it, if it is not its own.
    pub other_data_set: Option<String>,
    /// The file the model is from.
    pub checkpoint: PathBuf,
    /// Steps of training the model has had.
    pub step: u64,
    /// The part of the data set whose score the checkpoint was chosen by, if it is the best of its
    /// run.
    pub chosen_on: Option<String>,
    /// What batch normalisation used: `exact` or `running` statistics; none where the model has no
    /// batch normalisation.
    pub statistics: Option<&'static str>,
}

/// Evaluates a run's model, with a line of progress, and keeps the result in the run.
///
/// A run that can't be written to (someone else's, or on a medium that is read-only) is measured
/// all the same, with a warning.
///
/// # Errors
/// If the device fails, a score is no finite number, or the user interrupts.
pub fn measure(
    loaded: &LoadedRun<'_>,
    images: &DeviceImages,
    request: Request,
    interrupt: &Interrupt,
    console: &Console,
) -> Result<EvaluationRecord> {
    let started = Instant::now();
    let mut progress = console.progress("evaluating", "images", 0, request.images as u64);
    let model = &loaded.model;
    let scores = model.task.evaluate(
        model,
        &loaded.statistics,
        images,
        request,
        &|| interrupt.requested(),
        &mut |done, so_far| {
            let per_s =
                (done * request.importance_samples) as f64 / started.elapsed().as_secs_f64();
            progress.update(done as u64, &format!("{so_far}, {per_s:.0} image-samples/s"));
        },
    )?;
    drop(progress);
    let scores = scores.ok_or_else(|| {
        Error::interrupted("stopped as asked, before all images were measured")
            .with_advice("fewer images (--count) or samples take less time")
    })?;
    let subject = Subject {
        data_set: loaded.config.data.name.clone(),
        other_data_set: loaded.other_data_set(images),
        checkpoint: loaded.checkpoint.clone(),
        step: loaded.step,
        chosen_on: loaded.chosen_on().map(|split| split.to_string()),
        statistics: loaded.statistics_from.name(),
    };
    let mut record = EvaluationRecord::new(scores, subject, request, images, started);
    if !model.ranks.is_first() {
        return Ok(record);
    }
    let kept = record.keep_images(&loaded.run).and_then(|()| record.keep(&loaded.run));
    if let Err(error) = kept.and_then(|()| record.write_events(&loaded.run)) {
        console.warn(&format!("the result is not kept in the run: {error}"));
    }
    Ok(record)
}

/// A data set's name as the beginning of a file's: what a file's name can't hold is a dash.
fn file_name_of(data_set: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    data_set.chars().map(plain).collect::<String>() + "-"
}

impl EvaluationRecord {
    /// What an evaluation of these images that began at `started` gave.
    pub fn new(
        scores: Box<dyn Scores>,
        subject: Subject,
        request: Request,
        images: &DeviceImages,
        started: Instant,
    ) -> Self {
        Self {
            scores,
            subject,
            request,
            binarisation: images.binarisation(),
            pixel_seed: images.pixel_seed(),
            split: images.split().to_string(),
            images_in_split: images.in_split(),
            elapsed_s: started.elapsed().as_secs_f64(),
            image_bounds: None,
        }
    }

    /// Keeps the scores of single images in the run, if the task has them: the same evaluation of
    /// another model, with the same seed, has the same noise for each, so that differences have a
    /// far smaller error than the means.
    fn keep_images(&mut self, run: &RunFolder) -> Result<()> {
        let Some((_, scores)) = self.scores.of_images() else { return Ok(()) };
        let Request { importance_samples, seed, .. } = self.request;
        let (step, split, count) = (self.subject.step, &self.split, scores.len());
        let of = self.subject.other_data_set.as_deref().map(file_name_of).unwrap_or_default();
        let mut name =
            format!("{of}step-{step}-{split}-{count}-k-{importance_samples}-seed-{seed}");
        // What else an evaluation of the same step may differ in.
        if let Some(pixel_seed) = self.pixel_seed {
            name += &format!("-pixels-{pixel_seed}");
        }
        if self.subject.statistics == Some("running") {
            name += "-running";
        }
        let path = run.bounds(&name);
        let folder = path.parent().unwrap_or(run.path());
        std::fs::create_dir_all(folder).map_err(|error| Error::io("create", folder, &error))?;
        let values = scores.iter().map(|&score| score as f32).collect();
        let array = NpyArray { shape: vec![count], values: NpyValues::F32(values) };
        npy::write(&path, &array).map_err(Error::from_source)?;
        self.image_bounds = Some(name);
        Ok(())
    }

    /// Adds a line to the run's `evaluations.jsonl`.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn keep(&self, run: &RunFolder) -> Result<()> {
        let mut line = Record::new();
        line.insert("step".into(), json!(self.subject.step));
        line.insert("unix_s".into(), json!(unix_s()));
        line.extend(self.record());
        metrics::append(&run.evaluations(), &line)
    }

    /// Adds the scores to the run's events, under `evaluation/`; images of another data set have a
    /// tag of their own.
    fn write_events(&self, run: &RunFolder) -> Result<()> {
        let mut events = EventWriter::beside(&run.events())?;
        let folder = match &self.subject.other_data_set {
            None => "evaluation".to_string(),
            Some(other) => format!("evaluation of {other}"),
        };
        for (key, value) in self.scores.headline() {
            events.scalar(&format!("{folder}/{key}"), self.subject.step, value as f32)?;
        }
        events.flush()
    }

    /// One object, with units in the keys.
    pub fn json(&self) -> Value {
        Value::Object(self.record())
    }

    fn record(&self) -> Record {
        let mut record = self.scores.record(self.elapsed_s);
        let Subject { data_set, other_data_set, checkpoint, step, chosen_on, statistics } =
            &self.subject;
        let common = json!({
            "data_set": other_data_set.as_ref().unwrap_or(data_set),
            "images": self.scores.images(),
            "split": self.split,
            "images_in_split": self.images_in_split,
            "seed": self.request.seed,
            "rows": self.request.rows,
            "binarisation": self.binarisation.name(),
            "pixel_seed": self.pixel_seed,
            "checkpoint": checkpoint.display().to_string(),
            "step": step,
            "chosen_on": chosen_on,
            "statistics": statistics,
            "image_bounds": self.image_bounds,
            "seconds": self.elapsed_s,
        });
        record.extend(common.as_object().cloned().unwrap_or_default());
        if other_data_set.is_some() {
            record.insert(TRAINED_ON.into(), json!(data_set));
        }
        record
    }

    /// Several lines.
    pub fn text(&self) -> String {
        let [scores, details] = self.scores.text(self.elapsed_s);
        let mut text = scores + &format!("{} {} images", self.scores.images(), self.split);
        if let Some(other) = &self.subject.other_data_set {
            text += &format!(" of {other}");
        }
        if let Some(statistics) = self.subject.statistics {
            text += &format!(", {statistics} batch-norm statistics");
        }
        text += "\n";
        if let Some(split) = &self.subject.chosen_on {
            text +=
                &format!("checkpoint: the best of the run by its score on the {split} images\n");
        }
        text + &details
    }
}

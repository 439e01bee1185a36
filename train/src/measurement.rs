//! What was measured of a trained model on a set of images: printed, and kept in the run's `evaluations.jsonl`.

use std::f64::consts::LN_2;
use std::path::PathBuf;
use std::time::Instant;

use rung_datasets::Binarisation;
use rung_models::Group;
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::evaluation::{Estimate, Evaluation, Request, evaluate, rounded};
use crate::interrupt::Interrupt;
use crate::loaded::LoadedRun;
use crate::metrics::{self, Record, unix_s};
use crate::model::DeviceImages;
use crate::progress::Console;
use crate::run_dir::RunDir;
use crate::treatment::Measure;

/// Significant digits of each unit's divergence.
const UNIT_DIGITS: usize = 6;

/// The bounds of a trained model, with what they were measured of and by.
#[derive(Debug, Clone)]
pub struct Measurement {
    /// The bounds and their terms.
    pub evaluation: Evaluation,
    /// The stochastic groups.
    pub groups: Vec<Group>,
    /// What was asked for.
    pub request: Request,
    /// How the images were binarised.
    pub binarisation: Binarisation,
    /// Seed of the pixels, where they were drawn.
    pub pixel_seed: Option<u64>,
    /// Part of the data set.
    pub split: String,
    /// Images that it has.
    pub images_in_split: usize,
    /// Values in an image.
    pub values: usize,
    /// See [`DeviceImages::log_volume`].
    pub log_volume: f64,
    /// What the bounds are bounds of.
    pub measure: Measure,
    /// The file the model is from.
    pub checkpoint: PathBuf,
    /// Steps of training the model has had.
    pub step: u64,
    /// The part of the data set whose bound the checkpoint was chosen by, if it is the best of its run.
    pub chosen_on: Option<String>,
    /// What batch normalisation used: `exact` or `running` statistics; none where the model has no batch normalisation.
    pub statistics: Option<&'static str>,
    /// The time it took.
    pub elapsed_s: f64,
}

/// Measures the bounds of a run's model, with a line of progress, and keeps them in the run.
///
/// A run that can't be written to (someone else's, or on a medium that is read-only) is measured all the same, with a warning.
///
/// # Errors
/// If the device fails, a bound is no finite number, or a person interrupts.
pub fn measure(
    loaded: &LoadedRun<'_>,
    images: &DeviceImages,
    request: Request,
    interrupt: &Interrupt,
    console: &Console,
) -> Result<Measurement> {
    let samples = request.importance_samples;
    let started = Instant::now();
    let mut progress = console.progress("evaluating", "images", 0, request.images as u64);
    let evaluation = evaluate(
        &loaded.model,
        &loaded.statistics,
        images,
        request,
        || interrupt.requested(),
        |done, bound| {
            let per_s = (done * samples) as f64 / started.elapsed().as_secs_f64();
            progress.update(done as u64, &format!("L_{samples} {bound:.2} nats, {per_s:.0} image-samples/s"));
        },
    )?;
    drop(progress);
    let evaluation = evaluation.ok_or_else(|| {
        Error::interrupted("stopped as asked, before all images were measured")
            .with_advice("fewer images (--count) or samples take less time")
    })?;
    let measurement = Measurement {
        evaluation,
        groups: loaded.model.network.groups(),
        request,
        binarisation: images.binarisation(),
        pixel_seed: images.pixel_seed(),
        split: images.split().to_string(),
        images_in_split: images.in_split(),
        values: images.shape().values(),
        log_volume: images.log_volume(),
        measure: Measure::of(&loaded.config, images.values()),
        checkpoint: loaded.checkpoint.clone(),
        step: loaded.step,
        chosen_on: loaded.chosen_on().map(|split| split.to_string()),
        statistics: loaded.statistics_from.name(),
        elapsed_s: started.elapsed().as_secs_f64(),
    };
    if let Err(error) = measurement.keep(&loaded.run) {
        console.warn(&format!("the result is not kept in the run: {error}"));
    }
    Ok(measurement)
}

impl Measurement {
    /// Adds a line to the run's `evaluations.jsonl`.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn keep(&self, run: &RunDir) -> Result<()> {
        let mut line = Record::new();
        line.insert("step".into(), json!(self.step));
        line.insert("unix_s".into(), json!(unix_s()));
        if let Value::Object(object) = self.json() {
            line.extend(object);
        }
        metrics::append(&run.evaluations(), &line)
    }

    /// −log₂ of the probability of a value, from a bound in nats an image; none where the bound is not of a probability.
    fn bits_per_dim(&self, nats: f64) -> Option<f64> {
        self.measure.has_bits().then(|| -(nats + self.log_volume) / (self.values as f64 * LN_2))
    }

    fn image_samples_per_s(&self) -> f64 {
        (self.evaluation.images * self.request.importance_samples) as f64 / self.elapsed_s.max(1e-9)
    }

    /// One object, with units in the keys.
    pub fn json(&self) -> Value {
        let Evaluation { images, bound_1, bound_k, effective_sample_size, log_p_x, log_p_class, log_q, log_p, .. } =
            &self.evaluation;
        json!({
            "bound_1_nats": bound_1.mean,
            "bound_1_standard_error_nats": bound_1.standard_error,
            "bound_k_nats": bound_k.mean,
            "standard_error_nats": bound_k.standard_error,
            "seed": self.request.seed,
            "rows": self.request.rows,
            "binarisation": self.binarisation.name(),
            "pixel_seed": self.pixel_seed,
            "importance_samples": self.request.importance_samples,
            "images": images,
            "split": self.split,
            "images_in_split": self.images_in_split,
            "effective_sample_size": effective_sample_size,
            "measure": self.measure,
            "bits_per_dim": self.bits_per_dim(bound_k.mean),
            "bound_1_bits_per_dim": self.bits_per_dim(bound_1.mean),
            "log_p_x_nats": log_p_x,
            "log_p_y_nats": log_p_class,
            "log_q_nats": log_q,
            "log_p_nats": log_p,
            "groups": self.groups.iter().map(Group::name).collect::<Vec<_>>(),
            "kl_nats": self.evaluation.kl,
            "active_units": self.evaluation.active_units(),
            "kl_per_unit_nats": rounded(&self.evaluation.kl_per_unit, UNIT_DIGITS),
            "checkpoint": self.checkpoint.display().to_string(),
            "step": self.step,
            "chosen_on": self.chosen_on,
            "statistics": self.statistics,
            "error_rate": self.evaluation.error_rate,
            "seconds": self.elapsed_s,
            "image_samples_per_s": self.image_samples_per_s(),
        })
    }

    /// Several lines.
    pub fn text(&self) -> String {
        let evaluation = &self.evaluation;
        let bound = |name: String, nats: Estimate| {
            let bits = self
                .bits_per_dim(nats.mean)
                .map_or_else(String::new, |bits| format!("   {bits:.4} bits per dimension"));
            format!("{name:<8} {nats:>9} nats per image{bits}\n")
        };
        let samples = self.request.importance_samples;
        let mut text = bound("L_1".into(), evaluation.bound_1) + &bound(format!("L_{samples}"), evaluation.bound_k);
        text += &format!("{} {} images", evaluation.images, self.split);
        if let Some(statistics) = self.statistics {
            text += &format!(", {statistics} batch-norm statistics");
        }
        text += "\n";
        if let Some(split) = &self.chosen_on {
            text += &format!("checkpoint: the best of the run by its bound on the {split} images\n");
        }
        if let Some(why) = self.measure.why_no_likelihood() {
            text += &format!("{why}\n");
        }
        if let Some(error) = evaluation.error_rate {
            text += &format!("classification error: {:.2} %\n", 100.0 * error);
        }
        text += &format!("effective sample size: {:.1} of {samples}\n", evaluation.effective_sample_size);
        text += &format!("log p(x|z): {:.2} nats\n", evaluation.log_p_x);
        if evaluation.log_p_class != 0.0 {
            text += &format!("log p(y): {:.2} nats\n", evaluation.log_p_class);
        }
        let names: Vec<String> = self.groups.iter().map(Group::name).collect();
        let width = names.iter().map(String::len).fold(7, usize::max);
        text += &format!("{:<width$}   log q(z)   log p(z)         KL   active units\n", "group");
        let layers = evaluation.log_q.iter().zip(&evaluation.log_p).zip(&evaluation.kl).zip(evaluation.active_units());
        for (index, (((log_q, log_p), kl), active)) in layers.enumerate() {
            let units = evaluation.kl_per_unit[index].len();
            let name = &names[index];
            text += &format!("{name:<width$} {log_q:>10.2} {log_p:>10.2} {kl:>10.3}   {active} of {units}\n");
        }
        text += &format!("{:.1} s, {:.0} image-samples per second", self.elapsed_s, self.image_samples_per_s());
        text
    }
}

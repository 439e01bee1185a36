//! What the evaluation of a latent-variable model says: bounds, their terms, active units.

use std::f64::consts::LN_2;

use rung_datasets::{Binarisation, ValueRange};
use rung_models::Group;
use serde_json::{Value, json};

use super::evaluation::{Estimate, Evaluation};
use super::groups::{brief, named};
use super::of_groups;
use crate::data::DeviceImages;
use crate::data::treatment::Measure;
use crate::run::metrics::Record;
use crate::tasks::judged::Judged;
use crate::tasks::measures::{Measures, Place, Quantity, rounded};
use crate::tasks::task::{Request, Scores};

/// Significant digits of each unit's KL in the record of an evaluation.
const UNIT_DIGITS: usize = 6;

/// The bounds of some images, with what they are bounds of.
#[derive(Debug, Clone)]
pub(super) struct BoundScores {
    evaluation: Evaluation,
    /// How the images were classified, where the model and the images have classes.
    judged: Option<Judged>,
    groups: Vec<Group>,
    /// Importance samples of each image, K.
    samples: usize,
    /// Samples of the class probabilities.
    class_samples: usize,
    /// Values in an image.
    values: usize,
    /// See [`DeviceImages::log_volume`].
    log_volume: f64,
    measure: Measure,
    /// The bounds are of what is missing of the images alone.
    of_missing_pixels: bool,
    /// The value that counts is the error rate.
    by_error: bool,
    /// L_K with every class summed out, where that was asked for.
    every_class: Option<Estimate>,
    /// The images are bytes as the model sees them, whose bound is stated in bits per dimension.
    are_bytes: bool,
}

impl BoundScores {
    /// The scores of an evaluation of these images.
    pub(super) fn new(
        (evaluation, judged): (Evaluation, Option<Judged>),
        groups: &[Group],
        request: Request,
        images: &DeviceImages,
        measure: Measure,
    ) -> Self {
        Self {
            evaluation,
            judged,
            groups: groups.to_vec(),
            samples: request.importance_samples,
            class_samples: request.class_samples,
            values: images.shape().values(),
            log_volume: images.log_volume(),
            measure,
            of_missing_pixels: false,
            by_error: false,
            every_class: None,
            are_bytes: images.values() == ValueRange::Bytes
                && images.binarisation() == Binarisation::None,
        }
    }

    /// The same, of the missing pixels of the images alone if this is true.
    pub(super) fn of_missing_pixels(self, of_missing_pixels: bool) -> Self {
        Self { of_missing_pixels, ..self }
    }

    /// The same, whose value is the error rate if this is true and the images have labels.
    pub(super) fn by_error(self, by_error: bool) -> Self {
        Self { by_error, ..self }
    }

    /// The same, with L_K of every class.
    pub(super) fn with_every_class(self, every_class: Option<Estimate>) -> Self {
        Self { every_class, ..self }
    }

    /// −log₂ of the probability of a value, from a bound in nats an image; none where the bound is
    /// not of a probability, or not of all values.
    fn bits_per_dim(&self, nats: f64) -> Option<f64> {
        let has_bits = self.measure.has_bits() && !self.of_missing_pixels;
        has_bits.then(|| -(nats + self.log_volume) / (self.values as f64 * LN_2))
    }

    /// L_1 in bits per dimension, where it is of bytes, between these texts.
    fn in_bits(&self, before: &str, after: &str) -> String {
        let bits = self.bits_per_dim(self.evaluation.bound_1.mean).filter(|_| self.are_bytes);
        bits.map_or_else(String::new, |bits| format!("{before}{bits:.3} bits per dimension{after}"))
    }

    fn image_samples_per_s(&self, elapsed_s: f64) -> f64 {
        (self.evaluation.images * self.samples) as f64 / elapsed_s.max(1e-9)
    }
}

impl Scores for BoundScores {
    fn value(&self) -> f64 {
        let error = self.judged.as_ref().filter(|_| self.by_error).map(Judged::error_rate);
        error.unwrap_or(self.evaluation.bound_1.mean)
    }

    fn images(&self) -> usize {
        self.evaluation.images
    }

    fn headline(&self) -> Vec<(String, f64)> {
        let Evaluation { bound_1, bound_k, .. } = &self.evaluation;
        let mut all = vec![("bound_1_nats".to_string(), bound_1.mean)];
        if self.samples > 1 {
            all.push((format!("bound_{}_nats", self.samples), bound_k.mean));
        }
        let bits = self.bits_per_dim(bound_k.mean).map(|bits| ("bits_per_dim".into(), bits));
        let error = self.judged.as_ref().map(|judged| ("error_rate".into(), judged.error_rate()));
        all.into_iter().chain(bits).chain(error).collect()
    }

    fn of_images(&self) -> Option<(&'static str, &[f64])> {
        Some(("bound_k_nats", &self.evaluation.bounds_k))
    }

    fn measures(&self) -> Measures {
        let Evaluation { images, bound_1, log_p_x, kl, kl_per_unit, .. } = &self.evaluation;
        of_groups(&self.groups)
            .with("images", Place::Line, Quantity::Count(*images))
            .with("bound_1_nats", Place::FullEvents, Quantity::Number(bound_1.mean))
            .with_some(
                "standard_error_nats",
                Place::FullLine,
                bound_1.standard_error.map(Quantity::Number),
            )
            .with("log_p_x_nats", Place::FullLine, Quantity::Number(*log_p_x))
            .with("kl_nats", Place::Full, Quantity::PerPart(kl.clone()))
            .with("kl_per_unit_nats", Place::FullEvents, Quantity::PerUnit(kl_per_unit.clone()))
            .with(
                "active_units",
                Place::Bare,
                Quantity::CountPerPart(self.evaluation.active_units()),
            )
            .with_some(
                "error_rate",
                Place::Everywhere,
                self.judged.as_ref().map(|judged| Quantity::Number(judged.error_rate())),
            )
    }

    fn brief(&self) -> String {
        let mut text = format!("{:.2}{}", self.evaluation.bound_1.mean, self.in_bits(" (", ")"));
        if let Some(judged) = &self.judged {
            text += &format!(", error {:.1} %", 100.0 * judged.error_rate());
        }
        text + &format!(", active {}", brief(&self.groups, self.evaluation.active_units()))
    }

    fn record(&self, elapsed_s: f64) -> Record {
        let Evaluation {
            bound_1,
            bound_k,
            effective_sample_size,
            log_p_x,
            log_p_class,
            log_q,
            log_p,
            ..
        } = &self.evaluation;
        let record = json!({
            "bound_1_nats": bound_1.mean,
            "bound_1_standard_error_nats": bound_1.standard_error,
            "bound_k_nats": bound_k.mean,
            "standard_error_nats": bound_k.standard_error,
            "importance_samples": self.samples,
            "effective_sample_size": effective_sample_size,
            "measure": self.measure,
            "bits_per_dim": self.bits_per_dim(bound_k.mean),
            "bound_1_bits_per_dim": self.bits_per_dim(bound_1.mean),
            "log_p_x_nats": log_p_x,
            "log_p_y_nats": log_p_class.unwrap_or(0.0),
            "log_q_nats": log_q,
            "log_p_nats": log_p,
            "groups": self.groups.iter().map(Group::name).collect::<Vec<_>>(),
            "kl_nats": self.evaluation.kl,
            "active_units": self.evaluation.active_units(),
            "kl_per_unit_nats": rounded(&self.evaluation.kl_per_unit, UNIT_DIGITS),
            "image_samples_per_s": self.image_samples_per_s(elapsed_s),
        });
        let Value::Object(mut record) = record else { return Record::new() };
        if let Some(Estimate { mean, standard_error }) = self.every_class {
            record.insert("bound_k_every_class_nats".into(), json!(mean));
            record.insert("every_class_standard_error_nats".into(), json!(standard_error));
        }
        match &self.judged {
            Some(judged) => {
                record.extend(judged.fields());
                record.insert("class_samples".into(), json!(self.class_samples));
            }
            None => drop(record.insert("error_rate".into(), Value::Null)),
        }
        record
    }

    fn text(&self, elapsed_s: f64) -> [String; 2] {
        let (evaluation, samples) = (&self.evaluation, self.samples);
        let bound = |name: String, nats: Estimate| {
            let bits = self
                .bits_per_dim(nats.mean)
                .map_or_else(String::new, |bits| format!("   {bits:.4} bits per dimension"));
            format!("{name:<8} {nats:>9} nats per image{bits}\n")
        };
        let bounds = bound("L_1".into(), evaluation.bound_1)
            + &bound(format!("L_{samples}"), evaluation.bound_k);
        let mut text = String::new();
        if let Some(nats) = self.every_class {
            text += &format!("L_{samples} with every class summed out: {nats} nats per image\n");
        }
        if let Some(why) = self.measure.why_no_likelihood() {
            text += &format!("{why}\n");
        }
        if self.of_missing_pixels {
            text += "of the missing pixels of each image, given the observed ones\n";
        }
        if let Some(judged) = &self.judged {
            let (error, samples) = (judged.error_text(), self.class_samples);
            text += &format!(
                "classification error: {error}, by the mean of q(y|x, ·) over {samples} samples\n"
            );
            text += &judged.most_confused().unwrap_or_default();
        }
        text += &format!(
            "effective sample size: {:.1} of {samples}\n",
            evaluation.effective_sample_size
        );
        text += &format!("log p(x|z): {:.2} nats\n", evaluation.log_p_x);
        if let Some(log_p_class) = evaluation.log_p_class {
            text += &format!("log p(y): {log_p_class:.2} nats\n");
        }
        let names: Vec<String> = self.groups.iter().map(Group::name).collect();
        let width = names.iter().map(String::len).fold(7, usize::max);
        text += &format!("{:<width$}   log q(z)   log p(z)         KL   active units\n", "group");
        let layers = evaluation
            .log_q
            .iter()
            .zip(&evaluation.log_p)
            .zip(&evaluation.kl)
            .zip(evaluation.active_units());
        for (index, (((log_q, log_p), kl), active)) in layers.enumerate() {
            let units = evaluation.kl_per_unit[index].len();
            let name = &names[index];
            text += &format!(
                "{name:<width$} {log_q:>10.2} {log_p:>10.2} {kl:>10.3}   {active} of {units}\n"
            );
        }
        text += &format!(
            "{elapsed_s:.1} s, {:.0} image-samples per second",
            self.image_samples_per_s(elapsed_s)
        );
        [bounds, text]
    }

    fn conclusion(&self, split: &str) -> Vec<String> {
        let Evaluation { bound_1, images, kl, .. } = &self.evaluation;
        // What is no likelihood is not called its bound.
        let (name, why) = match self.measure.why_no_likelihood() {
            None => ("bound", String::new()),
            Some(why) => ("score", format!(" ({why})")),
        };
        let kl = named(&self.groups, kl.iter().map(|kl| format!("{kl:.2}")));
        let error = self.judged.as_ref().map(|judged| {
            let (error, samples) = (judged.error_text(), self.class_samples);
            format!("{split} error rate: {error}, by the mean of q(y|x, ·) over {samples} samples")
        });
        let bounds = [
            format!(
                "{split} {name} L_1: {bound_1} nats per image{}, {images} images{why}",
                self.in_bits(", ", "")
            ),
            format!("KL in nats: {kl}"),
            format!("active units: {}", named(&self.groups, self.evaluation.active_units())),
        ];
        error.into_iter().chain(bounds).collect()
    }
}

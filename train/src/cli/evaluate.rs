//! `rung evaluate`: the bounds of a trained model.

use std::f64::consts::LN_2;
use std::time::Instant;

use clap::Args;
use serde_json::{Value, json};

use super::shared::{ImagesArgs, RunArgs};
use crate::error::{Error, Result};
use crate::evaluation::{DEFAULT_ROWS, Estimate, Evaluation, Request, evaluate};
use crate::interrupt::Interrupt;
use crate::loaded::{LoadedRun, with_images};
use crate::model::DeviceImages;
use crate::progress::Console;

/// Measure the bound of a trained model on held-out images.
#[derive(Debug, Args)]
#[command(before_help = "Most people want:\n  \
        rung evaluate runs/ladder                             as the papers do\n  \
        rung evaluate runs/ladder --importance-samples 100    a quick look")]
pub struct EvaluateArgs {
    /// The model.
    #[command(flatten)]
    pub run: RunArgs,
    /// The images.
    #[command(flatten)]
    pub images: ImagesArgs,
    /// Samples an image inside the logarithm of the bound
    #[arg(
        long,
        value_name = "K",
        default_value_t = 5000,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub importance_samples: u32,
    /// Images to measure, from the first; 0 for all
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub count: usize,
    /// Rows computed at once (images times samples); less takes less memory
    #[arg(
        long,
        value_name = "N",
        default_value_t = DEFAULT_ROWS,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub rows: u32,
    /// Seed of the samples
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Print the result as one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Measures and prints.
///
/// # Errors
/// If the run or its data cannot be opened, the device fails, or a person interrupts.
pub fn run(arguments: &EvaluateArgs, console: &Console) -> Result<()> {
    let interrupt = Interrupt::install()?;
    let work = |loaded: LoadedRun<'_>, images: DeviceImages| measure(arguments, &loaded, &images, &interrupt, console);
    let report = with_images(&arguments.run, &arguments.images, console, work)?;
    match arguments.json {
        true => console.result(&report.json().to_string()),
        false => console.result(&report.text()),
    }
}

fn measure(
    arguments: &EvaluateArgs,
    loaded: &LoadedRun<'_>,
    images: &DeviceImages,
    interrupt: &Interrupt,
    console: &Console,
) -> Result<Report> {
    let count = if arguments.count == 0 { images.count() } else { arguments.count.min(images.count()) };
    let samples = arguments.importance_samples as usize;
    let request =
        Request { importance_samples: samples, images: count, rows: arguments.rows as usize, seed: arguments.seed };
    let started = Instant::now();
    let mut progress = console.progress("evaluating", "images", 0, count as u64);
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
    Ok(Report {
        evaluation,
        samples,
        split: images.split().to_string(),
        values: images.shape().values(),
        log_volume: images.log_volume(),
        checkpoint: loaded.checkpoint.display().to_string(),
        statistics: loaded.statistics_from.name(),
        elapsed_s: started.elapsed().as_secs_f64(),
    })
}

/// What is printed.
struct Report {
    evaluation: Evaluation,
    samples: usize,
    split: String,
    /// Values in an image.
    values: usize,
    /// See [`crate::model::DeviceImages::log_volume`].
    log_volume: f64,
    checkpoint: String,
    statistics: &'static str,
    elapsed_s: f64,
}

impl Report {
    /// −log₂ of the probability of a value, from a bound in nats an image.
    fn bits_per_dim(&self, nats: f64) -> f64 {
        -(nats + self.log_volume) / (self.values as f64 * LN_2)
    }

    fn image_samples_per_s(&self) -> f64 {
        (self.evaluation.images * self.samples) as f64 / self.elapsed_s.max(1e-9)
    }

    fn json(&self) -> Value {
        let Evaluation { images, bound_1, bound_k, effective_sample_size, log_p_x, log_q, log_p, .. } =
            &self.evaluation;
        json!({
            "bound_1_nats": bound_1.mean,
            "bound_1_standard_error_nats": bound_1.standard_error,
            "bound_k_nats": bound_k.mean,
            "standard_error_nats": bound_k.standard_error,
            "importance_samples": self.samples,
            "images": images,
            "split": self.split,
            "effective_sample_size": effective_sample_size,
            "bits_per_dim": self.bits_per_dim(bound_k.mean),
            "bound_1_bits_per_dim": self.bits_per_dim(bound_1.mean),
            "log_p_x_nats": log_p_x,
            "log_q_nats": log_q,
            "log_p_nats": log_p,
            "kl_nats": self.evaluation.kl(),
            "active_units": self.evaluation.active_units(),
            "checkpoint": self.checkpoint,
            "statistics": self.statistics,
            "seconds": self.elapsed_s,
            "image_samples_per_s": self.image_samples_per_s(),
        })
    }

    fn text(&self) -> String {
        let evaluation = &self.evaluation;
        let bound = |name: String, Estimate { mean, standard_error }: Estimate| {
            let bits = self.bits_per_dim(mean);
            format!("{name:<8} {mean:>9.2} ± {standard_error:.2} nats per image   {bits:.4} bits per dimension\n")
        };
        let mut text =
            bound("L_1".into(), evaluation.bound_1) + &bound(format!("L_{}", self.samples), evaluation.bound_k);
        text += &format!("{} {} images, {} statistics\n", evaluation.images, self.split, self.statistics);
        text += &format!("effective sample size: {:.1} of {}\n", evaluation.effective_sample_size, self.samples);
        text += &format!("log p(x|z_1): {:.2} nats\n", evaluation.log_p_x);
        text += "layer    log q(z)   log p(z)         KL   active units\n";
        let layers = evaluation.log_q.iter().zip(&evaluation.log_p).zip(evaluation.kl()).zip(evaluation.active_units());
        for (index, (((log_q, log_p), kl), active)) in layers.enumerate() {
            let (layer, units) = (index + 1, evaluation.kl_per_unit[index].len());
            text += &format!("z_{layer:<5} {log_q:>10.2} {log_p:>10.2} {kl:>10.3}   {active} of {units}\n");
        }
        text += &format!("{:.1} s, {:.0} image-samples per second", self.elapsed_s, self.image_samples_per_s());
        text
    }
}

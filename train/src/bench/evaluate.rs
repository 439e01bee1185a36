//! `rung bench evaluate`: how many image-samples an evaluation takes a second.

use rung_autograd::Device;
use serde_json::json;

use super::{Subject, Timing, profile, timed_ms};
use crate::engine::Workload;
use crate::error::Result;
use crate::progress::Console;
use crate::tasks::Request;

/// Evaluations that are timed, after one that isn't.
const RUNS: usize = 5;
/// Image-samples of one of them, at least one image.
const IMAGE_SAMPLES: usize = 10_000;

/// What is evaluated.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Samples an image.
    pub importance_samples: usize,
    /// Rows computed at once.
    pub rows: usize,
}

/// An untrained model and random images to evaluate it on.
pub(super) struct Evaluations {
    workload: Workload,
    request: Request,
}

impl Evaluations {
    /// Evaluations of so many images.
    pub(super) fn new(
        subject: &Subject,
        size: Size,
        images: usize,
        device: &Device,
    ) -> Result<Self> {
        let workload = Workload::new(&subject.config, device)?;
        let Size { importance_samples, rows } = size;
        let images = images.clamp(1, workload.images.count());
        let request = Request {
            importance_samples,
            ..Request::once(images, rows, subject.config.train.seed)
        };
        Ok(Self { workload, request })
    }

    /// Evaluates all images once; the score.
    pub(super) fn run(&self) -> Result<f64> {
        let model = &self.workload.trainer.model;
        Ok(model.evaluate(&model.statistics, &self.workload.images, self.request)?.value())
    }

    /// Weights of the model.
    pub(super) fn parameters(&self) -> usize {
        self.workload.parameters()
    }
}

/// Times evaluations and prints the rate; then, if asked to, as many with a profile.
///
/// # Errors
/// If the device fails.
pub fn run(
    subject: &Subject,
    size: Size,
    profiled: bool,
    device: &Device,
    console: &Console,
) -> Result<()> {
    let Size { importance_samples, rows } = size;
    let evaluations = Evaluations::new(subject, size, IMAGE_SAMPLES / importance_samples, device)?;
    let images = evaluations.request.images;
    let mut rates = Vec::with_capacity(RUNS);
    let mut progress = console.progress("timing", "evaluations", 0, RUNS as u64);
    for run in 0..=RUNS {
        let ms = timed_ms(|| evaluations.run())?.1;
        if run > 0 {
            rates.push((images * importance_samples) as f64 / (ms / 1e3));
            progress.update(run as u64, "");
        }
    }
    drop(progress);
    let Timing { median, min, max } = Timing::of(&rates);
    console.result(&if subject.json {
        json!({
            "image_samples_per_s": median, "image_samples_per_s_min": min,
            "image_samples_per_s_max": max,
            "importance_samples": importance_samples, "images": images, "rows": rows, "runs": RUNS,
            "parameters": evaluations.parameters(), "preset": subject.config.preset,
            "device": device.description(),
        })
        .to_string()
    } else {
        format!(
            "{}, {importance_samples} samples an image, {rows} rows at once, on {}\n\
             {median:.0} image-samples per second (median of {RUNS} evaluations of {images} \
             images; {min:.0} to {max:.0})",
            subject.config.preset,
            device.description()
        )
    })?;
    if profiled {
        let shown = profile::Shown { unit: "evaluation", json: subject.json, console };
        profile::run(device, RUNS as u32, &shown, || evaluations.run().map(drop))?;
    }
    Ok(())
}

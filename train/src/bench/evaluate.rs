//! `rung bench evaluate`: how many image-samples an evaluation takes a second.

use rung_autograd::Device;
use serde_json::json;

use super::{Subject, Timing, Workload, timed_ms};
use crate::error::{Error, Result};
use crate::evaluation::{Request, evaluate};
use crate::progress::Console;

/// Evaluations that are timed, after one that isn't.
const RUNS: usize = 5;
/// Image-samples of one of them, at least one image.
const IMAGE_SAMPLES: usize = 10_000;

/// Times evaluations with `importance_samples` samples an image, `rows` at once, and prints the rate.
///
/// # Errors
/// If the device fails.
pub fn run(
    subject: &Subject,
    importance_samples: usize,
    rows: usize,
    device: &Device,
    console: &Console,
) -> Result<()> {
    let workload = Workload::new(&subject.config, device)?;
    let model = &workload.trainer.model;
    let images = (IMAGE_SAMPLES / importance_samples).clamp(1, workload.images.count());
    let request = Request { importance_samples, images, rows, seed: subject.config.train.seed };
    let mut rates = Vec::with_capacity(RUNS);
    let mut progress = console.progress("timing", "evaluations", 0, RUNS as u64);
    for run in 0..=RUNS {
        let (evaluation, ms) =
            timed_ms(|| evaluate(model, &model.statistics, &workload.images, request, || false, |_, _| ()))?;
        let evaluation =
            evaluation.ok_or_else(|| Error::new("bug: an evaluation stopped by itself; please report it"))?;
        if run > 0 {
            rates.push((evaluation.images * importance_samples) as f64 / (ms / 1e3));
            progress.update(run as u64, "");
        }
    }
    drop(progress);
    let Timing { median, min, max } = Timing::of(&rates);
    if subject.json {
        return console.result(
            &json!({
                "image_samples_per_s": median, "image_samples_per_s_min": min, "image_samples_per_s_max": max,
                "importance_samples": importance_samples, "images": images, "rows": rows, "runs": RUNS,
                "parameters": workload.parameters(), "preset": subject.config.preset, "device": device.description(),
            })
            .to_string(),
        );
    }
    console.result(&format!(
        "{}, {importance_samples} samples an image, {rows} rows at once, on {}\n\
         {median:.0} image-samples per second (median of {RUNS} evaluations of {images} images; {min:.0} to {max:.0})",
        subject.config.preset,
        device.description()
    ))
}

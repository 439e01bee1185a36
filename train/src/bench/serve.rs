//! `rung bench serve`: steps or evaluations on demand, for a driver that times several programs
//! turn by turn.

use std::io::BufRead;

use rung_autograd::Device;
use serde_json::json;

use super::evaluate::{Evaluations, Size};
use super::step::WARM_UP_STEPS;
use super::{Subject, timed_ms};
use crate::engine::Workload;
use crate::engine::spin_wait::SpinWait;
use crate::error::{Context, Error, Result};
use crate::progress::Console;

/// Answers with the times of training steps or, given what to evaluate, of evaluations of one
/// image.
///
/// # Errors
/// If the device fails, or a line is no number.
pub fn run(
    subject: &Subject,
    evaluation: Option<Size>,
    device: &Device,
    console: &Console,
) -> Result<()> {
    if let Some(size) = evaluation {
        let evaluations = Evaluations::new(subject, size, 1, device)?;
        return serve(subject, device, console, evaluations.parameters(), || {
            evaluations.run().map(|bound| -bound)
        });
    }
    let mut workload = Workload::new(&subject.config, device)?;
    serve(subject, device, console, workload.parameters(), || {
        workload.step()?.to_scalar().context("reading the loss")
    })
}

/// Says `{"ready": …, "params": N}` once warm; then answers each line with a number of repetitions
/// with `{"ms": […], "loss": L}`.
fn serve(
    subject: &Subject,
    device: &Device,
    console: &Console,
    parameters: usize,
    mut work: impl FnMut() -> Result<f64>,
) -> Result<()> {
    for _ in 0..WARM_UP_STEPS {
        work()?;
    }
    let ready = format!("rung {} on {}", subject.config.preset, device.description());
    console.result(&json!({"ready": ready, "params": parameters}).to_string())?;
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|error| Error::io("read", "standard input".as_ref(), &error))?;
        if line.trim().is_empty() {
            continue;
        }
        let steps = line.trim().parse::<u32>().ok().filter(|&steps| steps > 0);
        let steps = steps.ok_or_else(|| {
            Error::new(format!("expected how many times on a line, found {:?}", line.trim()))
        })?;
        let mut times = Vec::new();
        let mut loss = 0.0;
        let _spin_wait = SpinWait::on(device);
        for _ in 0..steps {
            let (last, ms) = timed_ms(&mut work)?;
            loss = last;
            times.push(ms);
        }
        console.result(&json!({"ms": times, "loss": loss}).to_string())?;
    }
    Ok(())
}

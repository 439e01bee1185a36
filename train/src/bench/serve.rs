//! `rung bench serve`: steps on demand, for a driver that times several programs turn by turn.

use std::io::BufRead;

use rung_autograd::Device;
use serde_json::json;

use super::step::WARM_UP_STEPS;
use super::{Subject, Workload, timed_ms};
use crate::error::{Error, Result};
use crate::progress::Console;

/// Says `{"ready": …, "params": N}` once warm; then answers each line with a number of steps with `{"ms": […], "loss": L}`.
///
/// # Errors
/// If the device fails, or a line is no number.
pub fn run(subject: &Subject, device: &Device, console: &Console) -> Result<()> {
    let mut workload = Workload::new(&subject.config, device)?;
    for _ in 0..WARM_UP_STEPS {
        workload.step()?;
    }
    let ready = format!("rung {} on {}", subject.config.preset, device.description());
    console.result(&json!({"ready": ready, "params": workload.parameters()}).to_string())?;
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|error| Error::io("read", "standard input".as_ref(), &error))?;
        if line.trim().is_empty() {
            continue;
        }
        let steps = line.trim().parse::<u32>().ok().filter(|&steps| steps > 0);
        let steps = steps
            .ok_or_else(|| Error::new(format!("expected a number of steps on a line, found {:?}", line.trim())))?;
        let mut times = Vec::new();
        let mut loss = 0.0;
        for _ in 0..steps {
            let (last, ms) = timed_ms(|| workload.step())?;
            loss = last;
            times.push(ms);
        }
        console.result(&json!({"ms": times, "loss": loss}).to_string())?;
    }
    Ok(())
}

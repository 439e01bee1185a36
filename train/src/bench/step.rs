//! `rung bench step`: the time of a training step, data handling included.

use rung_autograd::Device;
use serde_json::json;

use super::{Subject, Timing, profile, timed_ms};
use crate::engine::Workload;
use crate::engine::spin_wait::SpinWait;
use crate::error::Result;
use crate::progress::Console;

/// Steps before the first that is timed: buffers are allocated and caches filled in them.
pub const WARM_UP_STEPS: u32 = 5;

/// Times `steps` steps and prints the spread, with what went to the device and came from it; then,
/// if asked to, as many with a profile.
///
/// # Errors
/// If the device fails.
pub fn run(
    subject: &Subject,
    steps: u32,
    profiled: bool,
    device: &Device,
    console: &Console,
) -> Result<()> {
    let mut workload = Workload::new(&subject.config, device)?;
    for _ in 0..WARM_UP_STEPS {
        workload.step()?;
    }
    let _spin_wait = SpinWait::on(device);
    let before = device.statistics();
    let mut progress = console.progress("timing", "steps", 0, steps.into());
    let mut times = Vec::with_capacity(steps as usize);
    for step in 1..=steps {
        times.push(timed_ms(|| workload.step())?.1);
        progress.update(step.into(), "");
    }
    drop(progress);
    let after = device.statistics();
    let per_step = |before: usize, after: usize| (after - before) as f64 / f64::from(steps);
    let launches = per_step(before.launches, after.launches);
    let replayed = per_step(before.replayed, after.replayed);
    let to_device = per_step(before.bytes_to_device, after.bytes_to_device);
    let from_device = per_step(before.bytes_from_device, after.bytes_from_device);
    let allocated = per_step(before.pool.bytes.min(after.pool.bytes), after.pool.bytes);
    let Timing { median, min, max } = Timing::of(&times);
    let (parameters, batch, memory) =
        (workload.parameters(), subject.config.train.batch_size, after.pool.bytes);
    console.result(&if subject.json {
        json!({
            "step_ms_median": median, "step_ms_min": min, "step_ms_max": max, "steps": steps,
            "parameters": parameters,
            "batch_size": batch, "preset": subject.config.preset, "device": device.description(),
            "kernel_launches": launches, "replayed_launches": replayed,
            "bytes_to_device": to_device, "bytes_from_device": from_device,
            "allocated_bytes_per_step": allocated, "memory_bytes": memory,
        })
        .to_string()
    } else {
        format!(
            "{}, {parameters} parameters, batches of {batch}, on {}\n\
             step: {median:.2} ms (median of {steps}; {min:.2} to {max:.2})\n\
             {launches:.0} kernel launches, {replayed:.0} of them replayed; {to_device:.0} bytes \
             to the device and {from_device:.0} from it, {allocated:.0} bytes allocated a step; \
             {:.0} MB in use",
            subject.config.preset,
            device.description(),
            memory as f64 / 1e6
        )
    })?;
    if profiled {
        let shown = profile::Shown { unit: "step", json: subject.json, console };
        profile::run(device, steps, &shown, || workload.step().map(drop))?;
    }
    Ok(())
}

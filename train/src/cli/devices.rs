//! `rung devices`: what models can run on.

use clap::Args;
use rung_kernels::{Backend, MatmulShape};
use serde_json::json;

use crate::bench::kernels::shapes_of_presets;
use crate::bench::rates::Rates;
use crate::engine::device::{DeviceInfo, devices, open, opencl_devices, why_no_opencl};
use crate::error::{Context, Result};
use crate::progress::Console;

/// List the devices that models can run on, with what matters about each.
#[derive(Debug, Args)]
#[command(before_help = "Most people want:\n  \
        rung devices              as a table\n  \
        rung devices --measure    with what each can do")]
pub struct DevicesArgs {
    /// Print JSON, one object a line
    #[arg(long)]
    pub json: bool,
    /// Measure each device: GFLOP/s of a large matrix product, GB/s of a pass over memory
    #[arg(long)]
    pub measure: bool,
    /// Search for the fastest matrix products of the presets' models on each OpenCL device, and
    /// keep them in the cache folder: a minute or two
    #[arg(long)]
    pub tune: bool,
}

/// Prints a line for each device, and why there are no others.
///
/// # Errors
/// If a device fails, or standard output can't be written.
pub fn run(arguments: &DevicesArgs, console: &Console) -> Result<()> {
    if arguments.tune {
        tune(console)?;
    }
    if !arguments.json {
        let rates = if arguments.measure { "GFLOP/s     GB/s  " } else { "" };
        console.result(&format!("DEVICE    MEMORY     F64  {rates}WHAT"))?;
    }
    for device in devices() {
        let rates = arguments
            .measure
            .then(|| Rates::measure(&open(&device.name)?, device.is_gpu))
            .transpose()?;
        console.result(&if arguments.json {
            object(&device, rates)
        } else {
            row(&device, rates)
        })?;
    }
    if let Some(why) = why_no_opencl() {
        console.info(&format!(
            "{why}; a driver of the GPU, or the package pocl-opencl-icd, brings devices"
        ));
    }
    Ok(())
}

/// Searches on every OpenCL device, and says what it finds.
fn tune(console: &Console) -> Result<()> {
    let shapes = shapes_of_presets()?;
    for device in opencl_devices()? {
        let name = device.name();
        console.info(&format!("{name}: {} products to search for", shapes.len()));
        let searched = device.tune(&shapes, |found| {
            let MatmulShape { rows, columns, inner, .. } = found.shape;
            console.info(&format!(
                "{rows} x {inner} . {inner} x {columns}: {} with {:.0} GFLOP/s, {:.0} without a \
                search",
                found.kernel, found.gflop_per_s, found.default_gflop_per_s
            ));
        });
        searched.context(format!("searching on {name}"))?;
    }
    Ok(())
}

fn object(device: &DeviceInfo, rates: Option<Rates>) -> String {
    let mut object = json!({
        "name": device.name,
        "description": device.description,
        "model": device.model,
        "vendor": device.vendor,
        "driver": device.driver,
        "kind": if device.is_gpu { "gpu" } else { "cpu" },
        "threads": device.threads,
        "compute_units": device.compute_units,
        "memory_bytes": device.memory_bytes,
        "f64": device.has_f64,
        "work_group_limit": device.work_group_limit,
    });
    if let Some(Rates { gflop_per_s, gb_per_s }) = rates {
        object["gflop_per_s"] = json!(gflop_per_s);
        object["gb_per_s"] = json!(gb_per_s);
    }
    object.to_string()
}

fn row(device: &DeviceInfo, rates: Option<Rates>) -> String {
    let memory = device
        .memory_bytes
        .map_or("unknown".into(), |bytes| format!("{:.1} GB", bytes as f64 / 1e9));
    let has_f64 = if device.has_f64 { "yes" } else { "no" };
    let rates = rates.map_or_else(String::new, |rates| {
        format!("{:>7.0} {:>8.1}  ", rates.gflop_per_s, rates.gb_per_s)
    });
    format!("{:<9} {memory:<10} {has_f64:<4} {rates}{}", device.name, device.description)
}

//! `rung devices`: what models can run on.

use clap::Args;
use rung_kernels::primitives::check_up_to;
use rung_kernels::{Backend, MatmulShape};
use serde_json::json;

use crate::bench::kernels::shapes_of_presets;
use crate::bench::rates::Rates;
use crate::config::Precision;
use crate::engine::device::{DeviceInfo, devices, open, opencl_devices, why_no_opencl};
use crate::error::{Context, Error, Result};
use crate::progress::Console;

/// List the devices that models can run on, with what matters about each.
#[derive(Debug, Args)]
#[command(before_help = "Most people want:\n  \
        rung devices              as a table\n  \
        rung devices --measure    with what each can do\n  \
        rung devices --check      does each compute what it should?")]
pub struct DevicesArgs {
    /// Only this device: cpu, a name of the list (opencl:0), or auto
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
    /// Print JSON, one object a line
    #[arg(long)]
    pub json: bool,
    /// Measure each device: GFLOP/s of a large matrix product, GB/s of a pass over memory
    #[arg(long)]
    pub measure: bool,
    /// Compare every operation on each device with a slow reference in f64, and fail if one is off
    #[arg(long)]
    pub check: bool,
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
    let name = arguments
        .device
        .as_deref()
        .map(|name| open(name, 0, Precision::Full))
        .transpose()?
        .map(|device| device.name());
    let asked: Vec<DeviceInfo> = devices()
        .into_iter()
        .filter(|device| name.as_ref().is_none_or(|name| device.name == *name))
        .collect();
    if arguments.check {
        check(&asked, console)?;
    }
    if arguments.tune {
        tune(&asked, console)?;
    }
    if !arguments.json {
        let rates = if arguments.measure { "GFLOP/s     GB/s  " } else { "" };
        console.result(&format!("DEVICE    MEMORY     F64  {rates}WHAT"))?;
    }
    for device in asked {
        let rates = arguments
            .measure
            .then(|| Rates::measure(&open(&device.name, 0, Precision::Full)?, device.is_gpu))
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

/// Compares every operation of every device with its reference, on inputs drawn from a fixed seed.
fn check(devices: &[DeviceInfo], console: &Console) -> Result<()> {
    /// Cases with larger arrays are left out: the references are slow.
    const LARGEST: usize = 20_000;
    /// Mismatches that are shown.
    const SHOWN: usize = 3;
    for found in devices {
        let device = open(&found.name, 0, Precision::Full)?;
        let cases = check_up_to(&device, 1, LARGEST).map_err(|mismatches| {
            let some: Vec<String> =
                mismatches.iter().take(SHOWN).map(ToString::to_string).collect();
            let (name, count) = (&found.name, mismatches.len());
            Error::new(format!("{name}: {count} results are off: {}", some.join("; ")))
        })?;
        console.info(&format!("{}: {cases} results as the references say", found.name));
    }
    Ok(())
}

/// Searches on every OpenCL device of these, and says what it finds.
fn tune(devices: &[DeviceInfo], console: &Console) -> Result<()> {
    let shapes = shapes_of_presets()?;
    let is_asked = |name: &str| devices.iter().any(|device| device.name == name);
    for device in opencl_devices()?.into_iter().filter(|device| is_asked(&device.name())) {
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

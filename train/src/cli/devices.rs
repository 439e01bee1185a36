//! `rung devices`: what models can run on.

use clap::Args;
use serde_json::json;

use crate::error::Result;
use crate::machine::{DeviceInfo, devices};
use crate::progress::Console;

/// List the devices that models can run on, with what matters about each.
#[derive(Debug, Args)]
#[command(before_help = "Most people want:\n  \
        rung devices             as a table\n  \
        rung devices --json      for a program")]
pub struct DevicesArgs {
    /// Print JSON, one object a line
    #[arg(long)]
    pub json: bool,
}

/// Prints a line for each device.
///
/// # Errors
/// If standard output can't be written.
pub fn run(arguments: &DevicesArgs, console: &Console) -> Result<()> {
    let devices = devices();
    if !arguments.json {
        console.result("DEVICE    MEMORY     WHAT")?;
    }
    for DeviceInfo { name, description, threads, memory_bytes } in devices {
        console.result(&match arguments.json {
            true => json!({"name": name, "description": description, "threads": threads, "memory_bytes": memory_bytes})
                .to_string(),
            false => {
                let memory = memory_bytes.map_or("unknown".into(), |bytes| format!("{:.1} GB", bytes as f64 / 1e9));
                format!("{name:<9} {memory:<10} {description}")
            }
        })?;
    }
    Ok(())
}

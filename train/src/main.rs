//! Rung: trains, evaluates, explains and uses deep hierarchical variational autoencoders.

pub mod anomaly;
pub mod atomic_file;
pub mod awake;
pub mod bench;
pub mod checkpoint;
pub mod chunks;
pub mod cli;
pub mod config;
pub mod description;
pub mod error;
pub mod evaluation;
pub mod export;
pub mod groups;
pub mod interrupt;
pub mod latents;
pub mod loaded;
pub mod machine;
pub mod measurement;
pub mod memory;
pub mod metrics;
pub mod model;
pub mod picture;
pub mod pictures;
pub mod presets;
pub mod progress;
pub mod report;
pub mod reproduce;
pub mod run_dir;
pub mod statistics;
pub mod tasks;
pub mod tensorboard;
pub mod training;
pub mod treatment;

use std::process::ExitCode;

use cli::train::TrainArgs;
use cli::{Cli, Command};
use error::Result;
use progress::Console;

fn main() -> ExitCode {
    let cli = Cli::from_process();
    let global = &cli.global;
    let console = Console::new(global.quiet, global.color, global.log_format);
    match run(cli.command, &console) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            console.error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(command: Option<Command>, console: &Console) -> Result<()> {
    match command {
        None => cli::train_run::run(&TrainArgs::default(), console),
        Some(Command::Train(arguments)) => cli::train_run::run(&arguments, console),
        Some(Command::Evaluate(arguments)) => cli::evaluate::run(&arguments, console),
        Some(Command::Sample(arguments)) => cli::sample::run(&arguments, console),
        Some(Command::Reconstruct(arguments)) => cli::reconstruct::run(&arguments, console),
        Some(Command::Encode(arguments)) => cli::encode::run(&arguments, console),
        Some(Command::Anomaly(arguments)) => cli::anomaly::run(&arguments, console),
        Some(Command::Report(arguments)) => cli::report::run(&arguments, console),
        Some(Command::Reproduce(arguments)) => cli::reproduce::run(&arguments, console),
        Some(Command::Export(arguments)) => cli::export::run(&arguments, console),
        Some(Command::Info(arguments)) => cli::info::run(&arguments, console),
        Some(Command::Data(arguments)) => cli::data::run(&arguments, console),
        Some(Command::Devices(arguments)) => cli::devices::run(&arguments, console),
        Some(Command::Bench(arguments)) => cli::bench::run(&arguments, console),
        Some(Command::Completions(arguments)) => cli::completions::run(&arguments, console),
    }
}

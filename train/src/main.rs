//! The program `rung`: the command line is in [`rung::cli`].

use std::process::ExitCode;

use rung::cli::train::TrainArgs;
use rung::cli::{self, Cli, Command};
use rung::error::Result;
use rung::progress::Console;

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
        Some(Command::Decode(arguments)) => cli::decode::run(&arguments, console),
        Some(Command::Impute(arguments)) => cli::impute::run(&arguments, console),
        Some(Command::Clusters(arguments)) => cli::clusters::run(&arguments, console),
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

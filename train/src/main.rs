//! The program `rung`: the command line is in [`rung::cli`].

mod allocator;

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use rung::cli::train::TrainArgs;
use rung::cli::{self, Cli, Command};
use rung::error::{Error, Result};
use rung::progress::{Console, LogFormat};
use rung_ranks::{Ranks, World};

use allocator::Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// How long a rank that fails leaves the first to say why itself, which most often knows.
const GRACE: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    let cli = Cli::from_process();
    let global = &cli.global;
    Allocator::set_json(global.log_format == LogFormat::Json);
    let console = Console::new(global.quiet, global.color, global.log_format);
    let world = match World::join() {
        Ok(world) => world,
        Err(error) => {
            console.error(&Error::from_source(error));
            return ExitCode::FAILURE;
        }
    };
    let ranks = world.ranks();
    let silent = Console::silent();
    // One rank speaks for all, but where each has runs of its own.
    let is_heard = ranks.is_first() || matches!(cli.command, Some(Command::Reproduce(_)));
    match run(cli.command, ranks, if is_heard { &console } else { &silent }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => end(error, ranks, &console),
    }
}

/// Says why the program ends. A failure of one rank ends all, for the others may be waiting for it.
fn end(error: Error, ranks: &Ranks, console: &Console) -> ExitCode {
    let exit_code = error.exit_code();
    if ranks.is_first() {
        console.error(&error);
    } else if !error.is_interrupted() {
        thread::sleep(GRACE);
        console.error(&Error::caused(format!("rank {}", ranks.rank()), error.clone()));
    }
    if ranks.are_many() && !error.is_interrupted() {
        ranks.abort(exit_code);
    }
    ExitCode::from(exit_code)
}

fn run(command: Option<Command>, ranks: &Ranks, console: &Console) -> Result<()> {
    match command {
        None => cli::train_run::run(&TrainArgs::default(), ranks, console),
        Some(Command::Train(arguments)) => cli::train_run::run(&arguments, ranks, console),
        Some(Command::Evaluate(arguments)) => cli::evaluate::run(&arguments, ranks, console),
        Some(Command::Encode(arguments)) => cli::encode::run(&arguments, ranks, console),
        Some(Command::Anomaly(arguments)) => cli::anomaly::run(&arguments, ranks, console),
        Some(Command::Reproduce(arguments)) => cli::reproduce::run(&arguments, ranks, console),
        Some(_) if ranks.are_many() => {
            let what = format!("{} ranks were started for a command of one", ranks.size());
            Err(Error::usage(what).with_advice(
                "rung train, evaluate, anomaly, encode and reproduce share their work; start this \
                without mpirun",
            ))
        }
        Some(Command::Sample(arguments)) => cli::sample::run(&arguments, console),
        Some(Command::Reconstruct(arguments)) => cli::reconstruct::run(&arguments, console),
        Some(Command::Decode(arguments)) => cli::decode::run(&arguments, console),
        Some(Command::Impute(arguments)) => cli::impute::run(&arguments, console),
        Some(Command::Clusters(arguments)) => cli::clusters::run(&arguments, console),
        Some(Command::Report(arguments)) => cli::report::run(&arguments, console),
        Some(Command::Export(arguments)) => cli::export::run(&arguments, console),
        Some(Command::Info(arguments)) => cli::info::run(&arguments, console),
        Some(Command::Data(arguments)) => cli::data::run(&arguments, console),
        Some(Command::Devices(arguments)) => cli::devices::run(&arguments, console),
        Some(Command::Bench(arguments)) => cli::bench::run(&arguments, console),
        Some(Command::Completions(arguments)) => cli::completions::run(&arguments, console),
    }
}

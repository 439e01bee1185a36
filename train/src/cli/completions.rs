//! `rung completions`: a script that lets a shell complete the program's arguments.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use crate::error::Result;
use crate::progress::Console;

/// Print a completion script for a shell.
#[derive(Debug, Args)]
#[command(before_help = "Most people want:\n  \
        rung completions bash      put it where bash-completion looks\n  \
        rung completions zsh       put it in a folder of $fpath, as _rung")]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// If standard output can't be written.
pub fn run(arguments: &CompletionsArgs, console: &Console) -> Result<()> {
    console.result(&String::from_utf8_lossy(&script(arguments.shell)))
}

fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "rung", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn every_shell_gets_a_script_that_knows_the_subcommands() {
        for shell in Shell::value_variants() {
            let text = String::from_utf8(script(*shell)).unwrap();
            assert!(text.contains("reconstruct"), "{shell}");
        }
    }
}

//! The command line: one file for each subcommand, which declares its arguments.
//!
//! Every help text starts with the two commands that most people want. Flags that several
//! subcommands share are declared in [`shared`].

pub mod anomaly;
pub mod arrays;
pub mod bench;
pub mod clusters;
pub mod completions;
pub mod data;
pub mod decode;
pub mod devices;
pub mod encode;
pub mod evaluate;
pub mod export;
pub mod impute;
pub mod info;
pub mod reconstruct;
pub mod report;
pub mod reproduce;
pub mod sample;
pub mod shared;
pub mod summary;
pub mod time;
pub mod train;
pub mod train_run;

use std::ffi::OsString;

use clap::{Args, ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::error::Error;
use crate::progress::{Console, LogFormat};

/// Train, evaluate and use deep hierarchical variational autoencoders.
#[derive(Debug, Parser)]
#[command(
    name = "rung",
    version,
    before_help = "Most people want:\n  \
        rung                                  train on the built-in glyphs: a minute\n  \
        rung train --preset mnist-ladder-5    the paper's five-layer ladder",
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong command line, 130 interrupted."
)]
pub struct Cli {
    /// What holds for every subcommand.
    #[command(flatten)]
    pub global: Global,
    /// What to do; training with all defaults if nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Flags that hold for every subcommand.
#[derive(Debug, Args)]
pub struct Global {
    /// Say nothing but results, warnings and errors
    #[arg(long, short, global = true, help_heading = "Output")]
    pub quiet: bool,
    /// Colours in messages; auto means on a terminal, unless NO_COLOR is set
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        help_heading = "Output"
    )]
    pub color: ColorChoice,
    /// Form of the messages on standard error
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        default_value = "text",
        help_heading = "Output"
    )]
    pub log_format: LogFormat,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a model, or go on with a run
    ///
    /// Without arguments it trains the five-layer ladder on the built-in glyphs. A configuration is
    /// put together from the defaults, then the preset, then the --config files, then flags and
    /// --set; the run's folder keeps it in full as config.toml.
    Train(Box<train::TrainArgs>),
    /// Measure the bound of a trained model on held-out images
    ///
    /// It reports the one-sample bound and the importance-weighted bound with their standard
    /// errors, in nats and in bits per dimension, each layer's terms, and the effective sample
    /// size.
    Evaluate(evaluate::EvaluateArgs),
    /// Draw new images from a trained model
    ///
    /// Images are drawn from the top: the prior of the top layer, then each layer given the one
    /// above. With --layer N, layer N is drawn from the standard normal instead, and those above
    /// are not used.
    Sample(sample::SampleArgs),
    /// Draw images beside what the model makes of them
    Reconstruct(reconstruct::ReconstructArgs),
    /// Write the latent variables of images to a file
    ///
    /// The file holds, for each layer i, the arrays z_i (a sample), mean_i and variance_i of shape
    /// [images, units], the labels where the data set has them, and the files of a folder of
    /// pictures.
    Encode(encode::EncodeArgs),
    /// Draw the images of given latent variables
    ///
    /// The file holds them as rung encode writes them: an array of samples for each layer, or the
    /// top one and some of those below. Layers that the file does not have are drawn from the prior
    /// given those above.
    Decode(decode::DecodeArgs),
    /// Fill in the missing pixels of test images
    ///
    /// For models of missing pixels (model.missing). It draws several completions of each image and
    /// reports the bound of log p(x_missing | x_observed) over the test images, of the missing
    /// pixels alone, beside what the pixels' means over the training images give.
    Impute(impute::ImputeArgs),
    /// Show the components of a mixture prior as classes, without having seen a label
    ///
    /// Each image is of the component that its top latents are likeliest from. A component is named
    /// by the commonest class of its training images, which the test images then judge. The picture
    /// has a row of samples for each component.
    Clusters(clusters::ClustersArgs),
    /// Score how anomalous (out-of-distribution) images are to a trained model
    ///
    /// For every k it computes the bound of each image with the k lowest layers drawn from the
    /// prior, and how much the lower layers add. With --against it says how well each score
    /// separates two data sets.
    Anomaly(anomaly::AnomalyArgs),
    /// Show a run, or compare several, in one HTML file
    ///
    /// The page needs nothing but a browser: curves, active units, the KL of every unit, samples,
    /// reconstructions and latents, and for one run an explorer in which the generative network
    /// runs. A run that is still training, or was stopped, is shown as it stands.
    Report(report::ReportArgs),
    /// Repeat a table or figure of a paper
    ///
    /// Each of its models is a run of its own in the folder --out: finished ones are not repeated,
    /// stopped ones are gone on with. At the end there is a table in Markdown and in JSON with the
    /// paper's numbers beside ours. The names are mnist-figure3, mnist-table1, mnist-table2,
    /// omniglot-table3, norb-table3, all of the ladder paper, rnn-spn, matnet, adgm-mnist and
    /// adgm-mnist-narrow, which has settings of our own.
    Reproduce(reproduce::ReproduceArgs),
    /// Write a model's numbers for other programs
    ///
    /// The file holds the parameters and the statistics of batch normalisation under the names that
    /// docs/checkpoint.md explains; docs/pytorch.md loads it and recomputes the bound.
    Export(export::ExportArgs),
    /// Describe a preset or a run: layers, shapes, parameters, memory
    Info(info::InfoArgs),
    /// List, download and check data sets
    ///
    /// Files are the data sets' own published ones. With the files in place, nothing is downloaded.
    Data(data::DataArgs),
    /// List the devices that models can run on
    Devices(devices::DevicesArgs),
    /// Measure how fast this machine is
    Bench(bench::BenchArgs),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
}

impl Cli {
    /// The command line of this process; help, version and mistakes end the process here.
    pub fn from_process() -> Self {
        let arguments: Vec<OsString> = std::env::args_os().collect();
        let command = Self::command().color(color_of(&arguments));
        let wants_json = says(&arguments, "--log-format", "json");
        let matches = command.try_get_matches_from(arguments);
        let parsed = matches.and_then(|matches| Self::from_arg_matches(&matches));
        parsed.unwrap_or_else(|error| match wants_json && error.use_stderr() {
            true => {
                let console = Console::new(false, ColorChoice::Never, LogFormat::Json);
                let refused = usage_error(&error);
                console.error(&refused);
                std::process::exit(refused.exit_code().into())
            }
            false => error.exit(),
        })
    }
}

/// Whether a command line that is not parsed yet gives a flag this value.
fn says(arguments: &[OsString], flag: &str, value: &str) -> bool {
    let joined = OsString::from(format!("{flag}={value}"));
    let mut pairs = arguments.iter().zip(arguments.iter().skip(1));
    arguments.contains(&joined) || pairs.any(|(a, b)| a == flag && b == value)
}

/// The choice of colours before the command line is parsed, for help and mistakes.
fn color_of(arguments: &[OsString]) -> ColorChoice {
    match () {
        () if says(arguments, "--color", "never") => ColorChoice::Never,
        () if says(arguments, "--color", "always") => ColorChoice::Always,
        () => ColorChoice::Auto,
    }
}

/// A wrong command line as an error of the program: the cause without its label, and the usage as
/// what to do.
fn usage_error(error: &clap::Error) -> Error {
    let text = error.render().to_string();
    let mut parts = text.trim().splitn(2, "\n\n").map(str::trim);
    let cause = parts.next().unwrap_or_default();
    let refused = Error::usage(cause.strip_prefix("error: ").unwrap_or(cause));
    match parts.next() {
        Some(usage) => refused.with_advice(usage),
        None => refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    fn helps(command: &clap::Command, path: &str) -> Vec<(String, String)> {
        let mut all = vec![(path.to_string(), command.clone().render_long_help().to_string())];
        for sub in command.get_subcommands().filter(|c| c.get_name() != "help") {
            all.extend(helps(sub, &format!("{path} {}", sub.get_name())));
        }
        all
    }

    #[test]
    fn the_declarations_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_help_starts_with_the_two_commands_most_people_want() {
        for (path, text) in helps(&Cli::command(), "rung") {
            let lines: Vec<&str> = text.lines().take(3).collect();
            assert_eq!(lines[0], "Most people want:", "{path}");
            assert!(lines[1].starts_with("  rung"), "{path}");
            assert!(lines[2].starts_with("  rung"), "{path}");
            assert!(lines.iter().all(|line| line.len() <= 80), "{path}: {lines:?}");
        }
    }

    #[test]
    fn the_examples_in_the_help_are_valid_commands() {
        for (path, text) in helps(&Cli::command(), "rung") {
            for example in text.lines().skip(1).take(2) {
                let words = example.trim().split("   ").next().unwrap();
                assert!(parse(words).is_ok(), "{path}: {words}: {:?}", parse(words).err());
            }
        }
    }

    #[test]
    fn a_wrong_command_line_is_an_error_with_cause_and_usage() {
        let error = usage_error(&parse("rung train --epohcs 3").unwrap_err());
        assert!(error.cause().starts_with("unexpected argument '--epohcs' found"), "{error}");
        assert!(error.advice().unwrap().contains("--help"), "{:?}", error.advice());
        assert_eq!(error.exit_code(), 2);
        let arguments = ["rung", "--log-format", "json"].map(OsString::from);
        assert!(says(&arguments, "--log-format", "json"));
        assert!(!says(&arguments, "--log-format", "text") && !says(&[], "--color", "never"));
    }

    #[test]
    fn every_argument_has_a_help_text() {
        fn check(command: &clap::Command) {
            for argument in command.get_arguments() {
                let id = argument.get_id();
                assert!(argument.get_help().is_some(), "{} {id}", command.get_name());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn no_arguments_at_all_is_a_valid_command_line() {
        assert!(parse("rung").unwrap().command.is_none());
    }

    #[test]
    fn a_wrong_command_line_exits_with_2() {
        for line in [
            "rung trian",
            "rung train --epochs many",
            "rung train --epochs 0",
            "rung train --resume a --preset mnist-vae-1",
            "rung evaluate",
            "rung sample a --layer 0",
            "rung info",
            "rung info a --preset mnist-vae-1",
            "rung bench",
        ] {
            let error = parse(line).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn colours_are_known_before_the_command_line_is_parsed() {
        let of = |line: &str| {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            color_of(&words)
        };
        assert_eq!(of("rung --color never --help"), ColorChoice::Never);
        assert_eq!(of("rung --help --color=always"), ColorChoice::Always);
        assert_eq!(of("rung --help"), ColorChoice::Auto);
    }
}

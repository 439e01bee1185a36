//! `rung bench`: the arguments; `crate::bench` does the work.

use clap::{Args, Subcommand};
use rung_autograd::Device;
use rung_ranks::Ranks;

use super::shared::DeviceArgs;
use crate::bench::compare::Comparison;
use crate::bench::evaluate::Size;
use crate::bench::{self, Subject};
use crate::config::Config;
use crate::config::sources::{Sources, layered};
use crate::engine::device::{DeviceChoice, with_device};
use crate::engine::interrupt::Interrupt;
use crate::error::Result;
use crate::progress::Console;
use crate::tasks::latent::evaluation::DEFAULT_ROWS;

/// Measure how fast this machine is: the median time and its spread.
#[derive(Debug, Args)]
#[command(before_help = "Most people want:\n  \
        rung bench step            a training step of the five-layer ladder\n  \
        rung bench kernels         each operation, at the sizes that the model has")]
pub struct BenchArgs {
    /// What to measure.
    #[command(subcommand)]
    pub what: BenchWhat,
}

/// What to measure.
#[derive(Debug, Subcommand)]
pub enum BenchWhat {
    /// Time a training step: step_ms_median, step_ms_min, step_ms_max
    #[command(
        before_help = "Most people want:\n  rung bench step                           on the \
        CPU\n  rung bench step --preset mnist-vae-2      another model\n  rung bench step \
        --profile                 where the time goes"
    )]
    Step {
        /// The model and the machine.
        #[command(flatten)]
        subject: BenchSubject,
        /// Steps to time
        #[arg(
            long,
            value_name = "N",
            default_value_t = 30,
            value_parser = clap::value_parser!(u32).range(1..)
        )]
        steps: u32,
        /// Show where the time goes, by primitive, beside the CPU's peak
        #[arg(long)]
        profile: bool,
    },
    /// Count the image-samples that an evaluation takes a second
    #[command(
        before_help = "Most people want:\n  rung bench evaluate                                 \
        with 5000 samples an image\n  rung bench evaluate --importance-samples 50         with \
        fewer"
    )]
    Evaluate {
        /// The model and the machine.
        #[command(flatten)]
        subject: BenchSubject,
        /// Samples an image
        #[arg(
            long,
            value_name = "K",
            default_value_t = 5000,
            value_parser = clap::value_parser!(u32).range(1..)
        )]
        importance_samples: u32,
        /// Rows computed at once (images times samples)
        #[arg(
            long,
            value_name = "N",
            default_value_t = DEFAULT_ROWS,
            value_parser = clap::value_parser!(u32).range(1..)
        )]
        rows: u32,
        /// Show where the time goes, by primitive, beside the CPU's peak
        #[arg(long)]
        profile: bool,
    },
    /// Time each operation at the model's own sizes, in GFLOP/s and GB/s
    #[command(
        before_help = "Most people want:\n  rung bench kernels                     on the CPU\n  \
        rung bench kernels --threads 1         on one thread"
    )]
    Kernels {
        /// The model and the machine.
        #[command(flatten)]
        subject: BenchSubject,
    },
    /// Measure the CPU's peak: multiply-adds and memory, on one thread and on all
    #[command(
        before_help = "Most people want:\n  rung bench peak                 on one thread and on \
        one a core\n  rung bench peak --threads 4     on one thread and on four"
    )]
    Peak {
        /// CPU threads; 0 for one a core
        #[arg(long, value_name = "N", default_value_t = 0)]
        threads: u32,
        /// Print JSON, one object a line
        #[arg(long)]
        json: bool,
    },
    /// Answer each number on a line of standard input with the times of so many training steps
    ///
    /// For programs that time several implementations turn by turn: it prints {"ready": ...} once
    /// warm, and then one JSON object for each line that it reads.
    #[command(
        before_help = "Most people want:\n  rung bench serve                               the \
        five-layer ladder\n  rung bench serve --preset mnist-vae-5          another model\n  rung \
        bench serve --importance-samples 5000     evaluations of one image instead of steps"
    )]
    Serve {
        /// The model and the machine.
        #[command(flatten)]
        subject: BenchSubject,
        /// Time evaluations of one image with so many samples, instead of training steps
        #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
        importance_samples: Option<u32>,
    },
    /// Time two programs turn by turn: the ratio of their times, with its spread
    ///
    /// Each is a binary of rung, or a command with arguments, in quotes, that answers as
    /// `rung bench serve` does. What stands behind -- is for `bench serve` of the binaries.
    #[command(
        before_help = "Most people want:\n  rung bench compare OLD NEW               steps of \
        the five-layer ladder\n  rung bench compare OLD NEW -- --preset biva-mnist   another \
        model\n  rung bench compare OLD NEW -- --importance-samples 5000   evaluations"
    )]
    Compare {
        /// The program that the other is compared with
        #[arg(value_name = "FIRST")]
        first: String,
        /// The program whose times are divided by the first one's
        #[arg(value_name = "SECOND")]
        second: String,
        /// Turns of each program
        #[arg(
            long,
            value_name = "N",
            default_value_t = 12,
            value_parser = clap::value_parser!(u32).range(1..=10_000)
        )]
        rounds: u32,
        /// Steps or evaluations in a turn
        #[arg(
            long,
            value_name = "N",
            default_value_t = 20,
            value_parser = clap::value_parser!(u32).range(1..=100_000)
        )]
        steps: u32,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Arguments of `rung bench serve`
        #[arg(last = true, value_name = "ARGUMENTS")]
        arguments: Vec<String>,
    },
}

/// The model and the machine that are measured.
#[derive(Debug, Clone, Args)]
pub struct BenchSubject {
    /// Preset whose model is measured
    #[arg(long, value_name = "NAME", default_value = "mnist-ladder-5")]
    pub preset: String,
    /// Images in a step [default: the preset's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub batch_size: Option<u32>,
    /// Set any key of the configuration, such as `model.hidden_sizes=[256]`; may be given several
    /// times
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Print JSON, one object a line
    #[arg(long)]
    pub json: bool,
}

/// Measures and prints.
///
/// # Errors
/// If there is no such preset or device, or the device fails.
pub fn run(arguments: &BenchArgs, console: &Console) -> Result<()> {
    Interrupt::install(console)?;
    match &arguments.what {
        BenchWhat::Step { subject, steps, profile } => subject.measure(|subject, device| {
            bench::step::run(subject, *steps, *profile, device, console)
        }),
        BenchWhat::Evaluate { subject, importance_samples, rows, profile } => {
            let size =
                Size { importance_samples: *importance_samples as usize, rows: *rows as usize };
            subject.measure(|subject, device| {
                bench::evaluate::run(subject, size, *profile, device, console)
            })
        }
        BenchWhat::Kernels { subject } => {
            subject.measure(|subject, device| bench::kernels::run(subject, device, console))
        }
        BenchWhat::Serve { subject, importance_samples } => {
            let size = |samples: u32| Size {
                importance_samples: samples as usize,
                rows: DEFAULT_ROWS as usize,
            };
            let evaluation = importance_samples.map(size);
            subject
                .measure(|subject, device| bench::serve::run(subject, evaluation, device, console))
        }
        BenchWhat::Compare { first, second, rounds, steps, json, arguments } => {
            let comparison = Comparison {
                programs: [first.clone(), second.clone()],
                arguments: arguments.clone(),
                rounds: *rounds,
                steps: *steps,
                json: *json,
            };
            bench::compare::run(&comparison, console)
        }
        BenchWhat::Peak { threads, json } => bench::peak::run(*threads as usize, *json, console),
    }
}

impl BenchSubject {
    /// Runs `work` with what is measured, on its device.
    fn measure(&self, work: impl FnOnce(&Subject, &Device) -> Result<()> + Send) -> Result<()> {
        let subject = self.resolve()?;
        with_device(&Ranks::one(), &subject.device, |device| work(&subject, &device))
    }

    fn resolve(&self) -> Result<Subject> {
        let batch_size = self
            .batch_size
            .map(|size| ("--batch-size", "train.batch_size", toml::Value::Integer(size.into())));
        let flags = batch_size.into_iter().collect();
        let config: Config = layered(&Sources {
            preset: Some(&self.preset),
            flags,
            sets: &self.set,
            ..Sources::default()
        })?;
        let device = self.device.or(DeviceChoice::from(&config.train));
        Ok(Subject { config, device, json: self.json })
    }
}

//! `rung reproduce`: a table or figure of a paper, from its runs to the comparison.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use clap::Args;

use super::shared::{
    CheckpointChoice, DataDirArgs, DeviceArgs, ImagesArgs, RunArgs, Split, StatisticsChoice,
    counted,
};
use super::time::TimeArgs;
use super::train::TrainArgs;
use super::train_run;
use rung_ranks::Ranks;

use crate::engine::device::{DeviceChoice, Neighbours, with_device};
use crate::engine::interrupt::Interrupt;
use crate::engine::together;
use crate::error::{Context, Error, Result};
use crate::progress::{Console, duration};
use crate::report::{self, Subject};
use crate::reproduce::estimate::Estimate;
use crate::reproduce::experiments::{self, Quantity};
use crate::reproduce::plan::Wishes;
use crate::reproduce::queue::Queue;
use crate::reproduce::table::{Row, Table};
use crate::reproduce::{Plan, Planned, Stage};
use crate::run::atomic_file;
use crate::run::evaluations::measure;
use crate::run::load::with_images;
use crate::tasks::Request;
use crate::tasks::latent::evaluation::DEFAULT_ROWS;

/// Importance samples of the paper's bounds.
const PAPER_SAMPLES: u32 = 5000;

/// Repeat a table or figure of a paper.
#[derive(Debug, Args)]
#[command(before_help = "Most people want:\n  \
        rung reproduce mnist-figure3 --dry-run       what it takes, and how long\n  \
        rung reproduce mnist-figure3 --epochs 100    all its models, 1/20 as long\n  \
        rung reproduce mnist-table2 --for 2h         as the paper, in parts: give it again")]
pub struct ReproduceArgs {
    /// mnist-figure3, mnist-table1, mnist-table2, omniglot-table3, norb-table3, rnn-spn,
    /// matnet, adgm-mnist or adgm-mnist-narrow
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Train for so many epochs, with warm-up and learning-rate steps in proportion
    /// [default: the paper's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub epochs: Option<u32>,
    /// Samples an image inside the logarithm of the bound
    /// [default: 5000; 1 where active units are compared]
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    pub importance_samples: Option<u32>,
    /// Test images to measure, from the first; 0 for all
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub count: u32,
    /// Seed of every run
    #[arg(
        long, value_name = "N", default_value_t = 1,
        value_parser = clap::value_parser!(i64).range(0..)
    )]
    pub seed: i64,
    /// Folder of the runs and the tables
    #[arg(long, value_name = "DIR", default_value = "runs/reproduce")]
    pub out: PathBuf,
    /// Runs to work on at once, each with its share of the CPU's cores unless --threads is given
    #[arg(
        long, value_name = "N", default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=1024)
    )]
    pub jobs: u32,
    /// When to stop.
    #[command(flatten)]
    pub time: TimeArgs,
    /// Say what would be done and how long it would take, from a few measured steps of each model
    #[arg(long)]
    pub dry_run: bool,
    /// Where data sets lie.
    #[command(flatten)]
    pub data_dir: DataDirArgs,
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceArgs,
}

/// Trains and evaluates what is missing, and prints the table; once the time is up, the table as
/// far as it is done. Of several ranks each brings runs of its own, on its part of its machine, and
/// rank 0 writes the table.
///
/// # Errors
/// If there is no such experiment, its data is missing, a run fails, the user interrupts, or
/// another rank has ended; what is done is kept.
pub fn run(arguments: &ReproduceArgs, ranks: &Ranks, console: &Console) -> Result<()> {
    let experiment = experiments::find(&arguments.name)?;
    let wishes = arguments.wishes(experiment.quantity);
    let plan = Plan::new(experiment, &wishes)?;
    if arguments.dry_run {
        Interrupt::install(console)?;
        return match ranks.is_first() {
            true => describe(arguments, &plan, &wishes, console),
            false => Ok(()),
        };
    }
    let interrupt = arguments.time.interrupt(console)?;
    // After all ranks have looked at what there is, and before any of them adds to it.
    let place = Neighbours::of(ranks)?;
    let work =
        Work { arguments, plan: &plan, wishes: &wishes, interrupt: &interrupt, place, console };
    let mine = plan.of_rank(ranks);
    let jobs = (arguments.jobs as usize).min(mine.len());
    let has_company = jobs > 1 || ranks.are_many();
    let written = Mutex::new(());
    let outcome = Queue::new(plan.order_of(&mine)).work(jobs, |number| {
        work.bring(mine[number], has_company)?;
        if !ranks.is_first() {
            return Ok(());
        }
        // After each run, so that what is done can be looked at while the others train.
        let _one_at_a_time = written.lock();
        write(&plan, &wishes, &arguments.out).map(drop)
    });
    // A failure ends all ranks at once; else each waits for the runs of the others.
    if outcome.as_ref().err().is_none_or(Error::is_interrupted) {
        together::any(ranks, false)?;
    }
    outcome.map_err(to_be_repeated)?;
    if !ranks.is_first() {
        return Ok(());
    }
    let (table, path) = write(&plan, &wishes, &arguments.out)?;
    console.result(&table.markdown())?;
    if interrupt.is_out_of_time() {
        console.result("the time is up; the same command goes on where it stopped")?;
    }
    console.result(&format!("written to {}, .json and .html beside it", path.display()))
}

/// What the runs of a plan have in common.
struct Work<'a> {
    arguments: &'a ReproduceArgs,
    plan: &'a Plan,
    wishes: &'a Wishes,
    interrupt: &'a Interrupt,
    /// Where on its machine this rank is.
    place: Neighbours,
    console: &'a Console,
}

impl Work<'_> {
    /// Trains and evaluates a run, as far as that is missing and there is time; what is said of it
    /// begins with its name if others are worked on beside it.
    fn bring(&self, run: usize, has_company: bool) -> Result<()> {
        let (planned, interrupt) = (&self.plan.runs[run], self.interrupt);
        if interrupt.is_out_of_time() {
            return Ok(());
        }
        let of_several = has_company.then(|| self.console.of(&planned.name()));
        let console = of_several.as_ref().unwrap_or(self.console);
        let (number, count) = (run + 1, self.plan.runs.len());
        let folder = planned.folder.display();
        console.info(&format!("{number} of {count}: {folder}, {}", words(planned)));
        let outcome = self.missing(planned, console);
        match outcome {
            Err(error) if error.is_interrupted() && interrupt.is_out_of_time() => Ok(()),
            outcome => outcome,
        }
    }

    fn missing(&self, planned: &Planned, console: &Console) -> Result<()> {
        if matches!(planned.stage, Stage::New | Stage::Stopped(_)) {
            let training = self.arguments.training(planned, self.place)?;
            train_run::run_quietly(&training, self.interrupt, console)?;
        }
        if planned.stage != Stage::Done && Row::of(planned, self.wishes)?.evaluation.is_none() {
            self.evaluate(planned, console)?;
        }
        Ok(())
    }

    fn evaluate(&self, planned: &Planned, console: &Console) -> Result<()> {
        let Self { arguments, wishes, .. } = *self;
        let run = RunArgs {
            run: planned.folder.clone(),
            checkpoint: match planned.config.train.is_for_the_best() {
                true => CheckpointChoice::Best,
                false => CheckpointChoice::Last,
            },
            statistics: StatisticsChoice::Exact,
            device: arguments.device_of_a_job(planned, self.place),
        };
        let images =
            ImagesArgs { dataset: None, split: Split::Test, data_dir: arguments.data_dir.clone() };
        with_images(&run, &images, console, |loaded, images| {
            let count = counted(wishes.count as usize, images.count());
            let request = Request {
                importance_samples: wishes.importance_samples as usize,
                class_samples: Request::MANY_CLASS_SAMPLES,
                ..Request::once(count, DEFAULT_ROWS as usize, wishes.seed)
            };
            measure(&loaded, &images, request, self.interrupt, console).map(drop)
        })
    }
}

/// Whoever stopped the work goes on with all of it, not with the one run that was at hand.
fn to_be_repeated(error: Error) -> Error {
    if error.is_interrupted() {
        error.with_advice("the same command goes on where it stopped")
    } else {
        error
    }
}

impl ReproduceArgs {
    fn wishes(&self, quantity: Quantity) -> Wishes {
        let default = if quantity == Quantity::Bound { PAPER_SAMPLES } else { 1 };
        Wishes {
            epochs: self.epochs.map(u64::from),
            out: self.out.clone(),
            importance_samples: self.importance_samples.unwrap_or(default).into(),
            count: self.count.into(),
            seed: self.seed.unsigned_abs(),
        }
    }

    /// Where a run computes: several at once share the cores, and ranks the GPUs.
    fn device_of_a_job(&self, planned: &Planned, place: Neighbours) -> DeviceArgs {
        if self.jobs == 1 && place == Neighbours::NONE {
            return self.device.clone();
        }
        let share = u32::try_from(place.threads(self.jobs as usize)).unwrap_or(1);
        let name = self.device.device.as_ref().unwrap_or(&planned.config.train.device);
        DeviceArgs {
            device: Some(place.device(name)),
            threads: self.device.threads.filter(|&threads| threads > 0).or(Some(share)),
            precision: self.device.precision,
        }
    }

    /// The command line that trains a run, or goes on with it.
    fn training(&self, planned: &Planned, place: Neighbours) -> Result<TrainArgs> {
        let common = TrainArgs {
            device: self.device_of_a_job(planned, place),
            data_dir: self.data_dir.clone(),
            ..TrainArgs::default()
        };
        if planned.stage != Stage::New {
            return Ok(TrainArgs { resume: Some(planned.folder.clone()), ..common });
        }
        let config = &planned.config;
        let number = |value: u64| u32::try_from(value).context("reading the number of epochs");
        let mut set = planned.entry.sets();
        for (key, epochs) in config.family.clone().epoch_keys() {
            set.push(format!("objective.{key}={epochs}"));
        }
        let optimiser = &config.optimiser;
        set.push(format!("optimiser.schedule_every_epochs={}", optimiser.schedule_every_epochs));
        set.push(format!("optimiser.schedule_milestones={:?}", optimiser.schedule_milestones));
        set.push(format!("optimiser.final_decay_epochs={}", optimiser.final_decay_epochs));
        Ok(TrainArgs {
            preset: Some(planned.entry.preset.into()),
            out: Some(planned.folder.clone()),
            epochs: Some(number(config.train.epochs)?),
            seed: Some(i64::try_from(config.train.seed).context("reading the seed")?),
            set,
            init_from: planned.entry.starts_from.map(|_| PathBuf::from(&config.train.init_from)),
            ..common
        })
    }
}

fn table(plan: &Plan, wishes: &Wishes) -> Result<Table> {
    let rows = plan.runs.iter().map(|planned| Row::of(planned, wishes)).collect::<Result<_>>()?;
    Ok(Table::new(plan.experiment, wishes.clone(), rows))
}

/// Writes NAME.md and NAME.json, and the runs that have begun, drawn together, as NAME.html;
/// returns the table and where it is.
fn write(plan: &Plan, wishes: &Wishes, out: &Path) -> Result<(Table, PathBuf)> {
    let table = table(plan, wishes)?;
    let path = out.join(format!("{}.md", plan.experiment.name));
    atomic_file::write(&path, |file| file.write_all(table.markdown().as_bytes()))?;
    atomic_file::write(&path.with_extension("json"), |file| writeln!(file, "{:#}", table.json()))?;
    let subject = |run: &Planned| -> Result<Option<Subject>> {
        let figures = || Err("the report of each run, in its folder, has its pictures".into());
        Ok(run.history()?.map(|history| Subject { history, figures: figures() }))
    };
    let begun: Vec<Subject> =
        plan.runs.iter().filter_map(|run| subject(run).transpose()).collect::<Result<_>>()?;
    if !begun.is_empty() {
        report::write(&begun, &path.with_extension("html"))?;
    }
    Ok((table, path))
}

/// What is to be done with a run.
fn words(planned: &Planned) -> String {
    let epochs = planned.config.train.epochs;
    match planned.stage {
        Stage::New => format!("to be trained for {epochs} epochs"),
        Stage::Stopped(done) => format!("to go on after {done} of {epochs} epochs"),
        Stage::Trained => "trained, to be evaluated".into(),
        Stage::Done => "done".into(),
    }
}

/// What would be done, and how long it would take.
fn describe(
    arguments: &ReproduceArgs,
    plan: &Plan,
    wishes: &Wishes,
    console: &Console,
) -> Result<()> {
    let choice = arguments.device.or(DeviceChoice::cpu());
    let estimates = with_device(&Ranks::one(), &choice, |device| {
        let mut progress = console.progress("timing", "models", 0, plan.runs.len() as u64);
        let mut estimates = Vec::new();
        for planned in &plan.runs {
            estimates.push(Estimate::measure(planned, wishes, &device)?);
            progress.update(estimates.len() as u64, planned.entry.preset);
        }
        Ok(estimates)
    })?;
    console.result(plan.experiment.title)?;
    if let Some(epochs) = wishes.epochs {
        let paper = plan.runs.first().map_or(0, |run| run.paper_epochs);
        console.result(&format!(
            "{epochs} epochs instead of the paper's {paper}; warm-up and learning-rate steps in \
            proportion"
        ))?;
    }
    console.result(
        "RUN                                                STEP       TRAINING   \
    EVALUATION  STATE",
    )?;
    for (planned, estimate) in plan.runs.iter().zip(&estimates) {
        let name = planned.name();
        let step = if estimate.step_s > 0.0 {
            format!("{:.1} ms", estimate.step_s * 1e3)
        } else {
            "–".into()
        };
        let (training, evaluation) =
            (duration(estimate.training_s), duration(estimate.evaluation_s));
        console.result(&format!(
            "{name:<50} {step:<10} {training:<10} {evaluation:<11} {}",
            words(planned)
        ))?;
    }
    let total: f64 = estimates.iter().map(Estimate::total_s).sum();
    console.result(&format!(
        "in all {}, by steps measured now on {} with random pixels",
        duration(total),
        choice.name
    ))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::reproduce::EXPERIMENTS;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        reproduce: ReproduceArgs,
    }

    /// What is trained is what was planned, or the next call would refuse the run.
    #[test]
    fn every_run_is_trained_as_it_was_planned() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("runs").display().to_string();
        for experiment in EXPERIMENTS {
            for more in [&[][..], &["--epochs", "15"], &["--seed", "4"]] {
                let line = ["reproduce", experiment.name, "--out", &out];
                let Line { reproduce } = Line::parse_from([&line, more].concat());
                let plan = Plan::new(experiment, &reproduce.wishes(experiment.quantity)).unwrap();
                for planned in &plan.runs {
                    let name = planned.name();
                    let trained = reproduce
                        .training(planned, Neighbours::NONE)
                        .unwrap()
                        .configuration()
                        .unwrap();
                    let planned = &planned.config;
                    assert_eq!(trained.train.seed, planned.train.seed, "{name}");
                    assert_eq!(trained.train.epochs, planned.train.epochs, "{name}");
                    assert_eq!(trained.optimiser, planned.optimiser, "{name}");
                    assert_eq!(trained.family, planned.family, "{name}");
                }
            }
        }
    }
}

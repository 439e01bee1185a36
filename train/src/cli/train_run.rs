//! What `rung train` does.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rung_autograd::{DType, Device};
use rung_datasets::{DataRecord, Split, SplitSizes};
use rung_kernels::cpu::peak::bfloat16_time_ratio;
use rung_models::BatchNormStatistics;
use rung_ranks::Ranks;

use super::train::TrainArgs;
use crate::config::{Change, Config, Precision, TrainConfig};
use crate::data::DeviceImages;
use crate::data::source;
use crate::data::treatment;
use crate::engine::device::{DeviceChoice, cpu_memory_limit, with_device};
use crate::engine::interrupt::Interrupt;
use crate::engine::memory::Memory;
use crate::engine::{Ending, Outcome, Prepared, Training, TrainingImages};
use crate::error::{Advise, Context, Error, Result};
use crate::model::Model;
use crate::progress::Console;
use crate::run::checkpoint::{CheckpointData, Checkpoints};
use crate::run::folder::{RunFolder, RunLock};
use crate::tasks::{Score, Scores};

/// Trains, or goes on with a run.
///
/// # Errors
/// If the configuration is wrong, the data is missing, or the run fails or is interrupted.
pub fn run(arguments: &TrainArgs, ranks: &Ranks, console: &Console) -> Result<()> {
    let (job, _lock) = Job::new(arguments, ranks)?;
    let interrupt = arguments.time.interrupt(console)?;
    match finish(&job, &interrupt, console) {
        Err(error) if error.is_interrupted() && interrupt.is_out_of_time() => {
            let advice = error.advice().unwrap_or_default();
            console.result(&format!("{}; {advice}", error.cause()))
        }
        finished => report(&finished?, console),
    }
}

/// Trains on one rank without a word on standard output: a step of a larger work.
///
/// # Errors
/// As [`run`].
pub fn run_quietly(arguments: &TrainArgs, interrupt: &Interrupt, console: &Console) -> Result<()> {
    let (job, _lock) = Job::new(arguments, &Ranks::one())?;
    finish(&job, interrupt, console).map(drop)
}

/// Trains on the logical ranks of the configuration, of which this process has some.
fn finish(job: &Job, interrupt: &Interrupt, console: &Console) -> Result<Finished> {
    let logical_ranks = job.config.train.logical_ranks;
    let count = if logical_ranks == 0 { job.ranks.size() } else { logical_ranks };
    let choice = DeviceChoice::from(&job.config.train);
    let silent = Console::silent();
    // That of the rank that failed first: the others fail because it has ended.
    let failure = Mutex::new(None);
    let finished = job.ranks.on_logical(count, |ranks| {
        let console = if ranks.is_first() { console } else { &silent };
        let job = Job { ranks: ranks.clone(), ..job.clone() };
        let finished =
            with_device(&ranks, &choice, |device| train(job, &device, interrupt, console));
        let note = |error| {
            failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        };
        finished.map_err(note).ok()
    });
    let finished = finished.context("sharing the training").with_advice(|| {
        format!("start a number of ranks that divides train.logical_ranks = {count}")
    })?;
    let failure = failure.into_inner().unwrap_or_else(PoisonError::into_inner);
    failure.map_or(Ok(()), Err)?;
    let first = finished.into_iter().flatten().next();
    first.ok_or_else(|| Error::new("bug: a training ended with nothing; please report it"))
}

/// A finished run.
struct Finished {
    run: RunFolder,
    split: Split,
    scores: Box<dyn Scores>,
    has_report: bool,
}

/// What is to be trained, and where it is kept.
#[derive(Clone)]
struct Job {
    config: Config,
    place: Place,
    /// Who trains it.
    ranks: Ranks,
}

/// The folder of a run.
#[derive(Clone)]
enum Place {
    /// To be made once all that can fail before the first step has not: a run that never began
    /// takes no folder.
    New {
        /// Where it was asked to be, if it was.
        folder: Option<PathBuf>,
        /// What a folder of the program's choice is named after.
        name: String,
    },
    /// One that goes on, with the configuration it had so far.
    Old(RunFolder, Box<Config>),
}

impl Job {
    /// The job, and the folder that it goes on with, held for the rank that writes.
    fn new(arguments: &TrainArgs, ranks: &Ranks) -> Result<(Self, Option<RunLock>)> {
        let ranks = ranks.clone();
        let Some(folder) = &arguments.resume else {
            let config = arguments.configuration()?;
            let place =
                Place::New { folder: arguments.out.clone(), name: TrainArgs::run_name(&config) };
            return Ok((Self { config: config.with_absolute_paths()?, place, ranks }, None));
        };
        let run = RunFolder::open(folder)?;
        let lock = ranks.is_first().then(|| run.lock()).transpose()?;
        let before = run.load_config()?;
        let config = arguments.resumed_configuration(&before)?.with_absolute_paths()?;
        Ok((Self { config, place: Place::Old(run, Box::new(before)), ranks }, lock))
    }
}

/// A run whose training can begin.
struct Begun {
    run: RunFolder,
    /// The new folder, held for the rank that writes.
    lock: Option<RunLock>,
    /// Whether this process has made the folder.
    is_new: bool,
    prepared: Prepared,
    changes: Vec<Change>,
}

impl Place {
    /// The training, with what is in the run's folder so far; a new run's folder is made when
    /// nothing else can fail.
    fn prepare(
        self,
        config: &Config,
        model: Model,
        images: &TrainingImages,
        console: &Console,
    ) -> Result<Begun> {
        let fresh = |mut model: Model| {
            if !config.train.init_from.is_empty() {
                model.load_for_use(&checkpoint_of(&config.train.init_from, console)?)?;
            }
            Prepared::fresh(config, model, images)
        };
        match self {
            Self::New { folder, name } => {
                let ranks = model.ranks.clone();
                let prepared = fresh(model)?;
                let made = || -> Result<_> {
                    let (run, lock) = match folder {
                        Some(folder) => RunFolder::create(&folder, config)?,
                        None => RunFolder::create_named("runs".as_ref(), &name, config)?,
                    };
                    run.save_data(&images.record)?;
                    Ok((run, lock))
                };
                let (run, lock) = ranks.is_first().then(made).transpose()?.unzip();
                let path = run.as_ref().map(|run: &RunFolder| run.path().to_path_buf());
                let run = match (run, ranks.are_many()) {
                    (Some(run), false) => run,
                    (_, _) => RunFolder::of_first_rank(path_of_first(&ranks, path)?),
                };
                Ok(Begun { run, lock, is_new: true, prepared, changes: Vec::new() })
            }
            Self::Old(run, before) => {
                check_record(&run, &images.record)?;
                let checkpoints = Checkpoints::new(run.checkpoints());
                let prepared = if checkpoints.any() {
                    let loaded = checkpoints.load_latest()?;
                    loaded.warnings.iter().for_each(|warning| console.warn(warning));
                    let prepared = Prepared::resumed(config, model, images, &loaded.data)?;
                    let per_epoch = images.steps_per_epoch(config.train.batch_size)?;
                    console.info(&format!(
                        "goes on after step {} of {}, in epoch {} of {}: {}",
                        prepared.step,
                        per_epoch * config.train.epochs,
                        (prepared.step / per_epoch + 1).min(config.train.epochs),
                        config.train.epochs,
                        loaded.path.display()
                    ));
                    prepared
                } else {
                    console.warn(&format!(
                        "{} has no checkpoint: it starts from step 0",
                        run.path().display()
                    ));
                    fresh(model)?
                };
                let changes = config.changes_from(&before)?;
                Ok(Begun { run, lock: None, is_new: false, prepared, changes })
            }
        }
    }
}

fn train(job: Job, device: &Device, interrupt: &Interrupt, console: &Console) -> Result<Finished> {
    let Job { mut config, place, ranks } = job;
    let images = training_images(&mut config, device, console)?;
    let config = &config;
    images.steps_per_epoch(config.train.batch_size)?;
    check_training_images(config, &images.train, console)?;
    if config.family.has_checkpointing() {
        check_memory(config, &images, console)?;
    }
    warn_of_slow_precision(config.train.precision, console);
    let mut model = Model::new(config, images.train.shape(), device, DType::F32)?;
    model.ranks = ranks;
    let Begun { run, lock, is_new, prepared, changes } =
        place.prepare(config, model, &images, console)?;
    announce(config, &run, &prepared.trainer.model, &images, device, console);
    let mut training = Training::open(config, &run, console, &images, prepared, &changes)?;
    let outcome = match training.run(interrupt) {
        Ok(outcome) => outcome,
        Err(error) => {
            drop(training);
            let is_empty = is_new && !Checkpoints::new(run.checkpoints()).any();
            let error = with_what_is_kept(error, &run);
            if let Some(lock) = lock.filter(|_| is_empty) {
                run.discard(lock);
            }
            return Err(error);
        }
    };
    if outcome == Outcome::Interrupted {
        return Err(Error::interrupted(format!(
            "{}; the work is kept in {}",
            interrupt.reason(),
            run.path().display()
        ))
        .with_advice(format!("go on with: rung train --resume {}", run.path().display())));
    }
    let Ending { scores, has_report } = training.finish()?;
    drop(training);
    Ok(Finished { run, split: images.held_out_split, scores, has_report })
}

/// The folder of the run that rank 0 has made, by name.
fn path_of_first(ranks: &Ranks, path: Option<PathBuf>) -> Result<PathBuf> {
    let text = path.as_deref().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
    let said = ranks.from_first(text.as_bytes()).context("hearing the run's folder")?;
    Ok(path.unwrap_or_else(|| String::from_utf8_lossy(&said).into_owned().into()))
}

/// Training images below which the statistics of batch normalisation over all of them are refused,
/// and below which they are doubted.
const LEAST_NORMALISED_IMAGES: usize = 8;
const FEW_NORMALISED_IMAGES: usize = 32;

/// Refuses training images that batch normalisation would divide by the deviation of, where that is
/// 0 or nearly so; says what else is odd about them.
fn check_training_images(config: &Config, train: &DeviceImages, console: &Console) -> Result<()> {
    let (count, has_batch_norm) = (train.count(), config.family.batch_norm_momentum().is_some());
    let without = "train on more images, or without it: --set model.batch_norm_hidden=false --set \
    model.batch_norm_heads=false";
    if count > 1 && train.all_equal() {
        let what = format!("all {count} training images are the same");
        if has_batch_norm && train.look_all_equal().context("comparing the training images")? {
            return Err(Error::new(format!(
                "{what}: batch normalisation divides by their deviation, which is 0"
            ))
            .with_advice(without));
        }
        console.warn(&what);
    }
    if has_batch_norm && count < LEAST_NORMALISED_IMAGES {
        return Err(Error::new(format!(
            "batch normalisation needs at least {LEAST_NORMALISED_IMAGES} training images, and \
            there are {count}: it divides by the deviations over them, of which some are near 0 by \
            accident"
        ))
        .with_advice(without));
    }
    if has_batch_norm && count < FEW_NORMALISED_IMAGES {
        console.warn(&format!(
            "batch normalisation over {count} training images: some deviations over so few are \
            near 0 by accident, and the bound of other images can be far too low"
        ));
    }
    Ok(())
}

/// Refuses data that is not what it was when the run began, which a run of an early version does
/// not say.
fn check_record(run: &RunFolder, record: &DataRecord) -> Result<()> {
    let difference = run.load_data()?.and_then(|before| before.difference(record));
    difference.map_or(Ok(()), |difference| {
        Err(Error::new(format!(
            "the data set {} is not what it was when the run began: {difference}",
            record.name
        ))
        .with_advice("put the data back as it was, or train a new run on what there is now"))
    })
}

/// A failure without advice of its own, such as a device that is gone, advises to go on from the
/// last checkpoint, if there is one.
fn with_what_is_kept(error: Error, run: &RunFolder) -> Error {
    if error.advice().is_some() || !Checkpoints::new(run.checkpoints()).any() {
        return error;
    }
    let path = run.path().display();
    error.with_advice(format!(
        "the last checkpoint is kept; go on from there, on any device: rung train --resume {path}"
    ))
}

/// Says so where a precision that is asked for because it is fast is not fast on this CPU.
fn warn_of_slow_precision(precision: Precision, console: &Console) {
    let ratio = match precision {
        Precision::Full => None,
        Precision::BFloat16 => bfloat16_time_ratio(),
    };
    if let Some(ratio) = ratio.filter(|&ratio| ratio > 0.8) {
        console.warn(&format!(
            "this CPU takes {ratio:.2} of f32's time for products in bfloat16: without --precision \
            bf16 this training would not be slower"
        ));
    }
}

/// Says what the training takes, and refuses what can't fit. On a device with memory of its own,
/// that memory is for its driver to judge.
fn check_memory(config: &Config, images: &TrainingImages, console: &Console) -> Result<()> {
    // Before as many images are made to measure a step with.
    let (wanted, there) =
        (config.family.labels().map_or(0, |few| few.labels), images.train.count());
    if wanted > there {
        return Err(Error::new(format!(
            "{wanted} labels are wanted, and there are {there} training images"
        ))
        .with_advice("ask for fewer --labels"));
    }
    let memory = Memory::measure(config, images.train.shape())?;
    console.info(&memory.text());
    let available = match config.train.device.as_str() {
        "cpu" => {
            let machine = rung_datasets::memory::available().map(|bytes| bytes as usize);
            machine.into_iter().chain(cpu_memory_limit()?).min()
        }
        _ => None,
    };
    memory.check(available, config.train.batch_size)
}

/// Opens the data set, settles what the configuration leaves open about it, and copies its images
/// to the device.
fn training_images(
    config: &mut Config,
    device: &Device,
    console: &Console,
) -> Result<TrainingImages> {
    let dataset = source::open(&config.data, console)?;
    let record = DataRecord::of(&dataset);
    treatment::settle(config, &record)?.iter().for_each(|line| console.info(line));
    let lines = treatment::explain(config, &record.name, record.shape, record.values)?;
    lines.iter().for_each(|line| console.info(line));
    let split = if dataset.validation.is_some() { Split::Validation } else { Split::Test };
    let on_device = |split| {
        source::on_device(&dataset, split, &config.data, config.train.seed, device, console)
    };
    Ok(TrainingImages {
        record,
        train: on_device(Split::Train)?,
        held_out: on_device(split)?,
        held_out_split: split,
    })
}

/// The parameters that `--init-from` names: a run's newest checkpoint, or a file.
fn checkpoint_of(path: &str, console: &Console) -> Result<CheckpointData> {
    let path = Path::new(path);
    if !path.is_dir() {
        return CheckpointData::load(path);
    }
    let loaded = Checkpoints::new(RunFolder::open(path)?.checkpoints()).load_latest()?;
    loaded.warnings.iter().for_each(|warning| console.warn(warning));
    Ok(loaded.data)
}

/// What will happen, before it does.
fn announce(
    config: &Config,
    run: &RunFolder,
    model: &Model,
    images: &TrainingImages,
    device: &Device,
    console: &Console,
) {
    let [sizes, protocol] = model.task.announcement();
    let family = config.family.name();
    let parameters = model.store.element_count();
    console.info(&format!("model: {family}, {sizes}, {parameters} parameters"));
    let TrainingImages { record, train, held_out_split, .. } = images;
    let SplitSizes { validation, test, .. } = record.images;
    let parts = [(train.count(), "training"), (validation, "validation"), (test, "test")];
    let parts = parts.iter().filter(|(count, _)| *count > 0).map(|(count, part)| {
        let plural = if *count == 1 { "" } else { "s" };
        format!("{count} {part} image{plural}")
    });
    let parts = parts.collect::<Vec<_>>().join(", ");
    console.info(&format!(
        "data: {}, {parts} of {}, {}",
        config.data.name,
        train.shape(),
        train.values()
    ));
    let TrainConfig { epochs, batch_size, .. } = &config.train;
    console.info(&format!("training: {epochs} epochs of batches of {batch_size}, {protocol}"));
    console.info(&chosen_by(*held_out_split, model.task.score()));
    console.info(&format!("device: {}", device.description()));
    let is_by_rank = config.train.batch_norm_statistics == BatchNormStatistics::Rank;
    if model.ranks.are_many() {
        let (ranks, threads) = (model.ranks.size(), rayon::current_num_threads());
        console.info(&format!(
            "ranks: {ranks}, each with {} of the {batch_size} images of a batch{}; rank 0 has \
            {threads} threads",
            batch_size.div_ceil(ranks),
            if is_by_rank { ", normalised by their own statistics" } else { "" },
        ));
    } else if is_by_rank {
        console
            .info("train.batch_norm_statistics = rank has no effect: one rank has the whole batch");
    }
    console.info(&format!("run: {}", run.path().display()));
}

/// What the best checkpoint is chosen by, and what that means for its score.
fn chosen_by(held_out_split: Split, score: Score) -> String {
    let name = score.name;
    let flattered = match held_out_split {
        Split::Test => format!(
            ", so its test {name} flatters it; --set data.validation_images=N keeps N training \
            images aside to choose by"
        ),
        _ => String::new(),
    };
    format!("checkpoints/best: chosen by the {name} of the {held_out_split} images{flattered}")
}

/// The result, on standard output.
fn report(finished: &Finished, console: &Console) -> Result<()> {
    let Finished { run, split, scores, has_report } = finished;
    for line in scores.conclusion(&split.to_string()) {
        console.result(&line)?;
    }
    console.result(&format!("pictures: {}", run.pictures().display()))?;
    if *has_report {
        console.result(&format!("report: {}", run.report().display()))?;
    }
    console.result(&format!("run: {}", run.path().display()))
}

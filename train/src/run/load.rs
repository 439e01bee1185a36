//! A run opened for use: its configuration, a model with the numbers of a checkpoint, and the
//! statistics it normalises with.
//!
//! Every command that uses a trained model comes through [`with_run`] or [`with_images`].

use std::path::PathBuf;

use rung_autograd::{DType, Device};
use rung_datasets::{DataRecord, Dataset, ImageShape};
use rung_models::Statistics;
use rung_ranks::Ranks;

use super::arguments::{
    CheckpointChoice, DataDirArgs, ImagesArgs, RunArgs, Split, StatisticsChoice,
};
use crate::config::{Config, DataConfig, Precision};
use crate::data::source;
use crate::data::treatment;
use crate::data::{DeviceImages, published_shape};
use crate::engine::device::{DeviceChoice, with_device};
use crate::engine::{BestScore, batch_norm, together};
use crate::error::{Advise, Context, Error, Result};
use crate::model::Model;
use crate::progress::Console;
use crate::run::checkpoint::{CheckpointData, Checkpoints, Loaded};
use crate::run::folder::RunFolder;

/// A trained model, ready to be used.
pub struct LoadedRun<'a> {
    /// Its folder.
    pub run: RunFolder,
    /// Its configuration, with the data folder of the command line.
    pub config: Config,
    /// What its data set was when the training began; runs of early versions don't say.
    pub record: Option<DataRecord>,
    /// The checkpoint that was read.
    pub checkpoint: PathBuf,
    /// Steps of training that the checkpoint has had; 0 if it doesn't say.
    pub step: u64,
    /// What the best checkpoint of the run was chosen by, in words.
    chosen_by: String,
    /// The model with the checkpoint's numbers.
    pub model: Model,
    /// What batch normalisation uses.
    pub statistics: Statistics,
    /// Where the statistics are from.
    pub statistics_from: StatisticsSource,
    device: Device,
    dataset: Option<Dataset>,
    console: &'a Console,
}

/// Where frozen statistics are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatisticsSource {
    /// The model has no batch normalisation.
    NoneNeeded,
    /// A finished run's checkpoint: exact over the training images.
    Checkpoint,
    /// Collected from the training images now: exact.
    Collected,
    /// The running averages of training.
    Running,
}

impl StatisticsSource {
    /// The name in results: `exact` or `running`; none where the model has no batch normalisation.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::NoneNeeded => None,
            Self::Checkpoint | Self::Collected => Some("exact"),
            Self::Running => Some("running"),
        }
    }
}

/// Opens a run and does `work` with it, on the threads of the device.
///
/// # Errors
/// If there is no run, no whole checkpoint of its model, no such device, or what `work` returns.
pub fn with_run<R: Send>(
    arguments: &RunArgs,
    data_dir: &DataDirArgs,
    console: &Console,
    work: impl FnOnce(LoadedRun<'_>) -> Result<R> + Send,
) -> Result<R> {
    open(&Ranks::one(), arguments, data_dir, console, |mut loaded, data| {
        loaded.choose_statistics(data, arguments.statistics)?;
        loaded.announce();
        work(loaded)
    })
}

/// Opens a run and images, of its data set or another, and does `work` with them.
///
/// # Errors
/// As [`with_run`], and if the data set isn't there, has no such part, or has other images than the
/// model is for.
pub fn with_images<R: Send>(
    arguments: &RunArgs,
    images: &ImagesArgs,
    console: &Console,
    work: impl FnOnce(LoadedRun<'_>, DeviceImages) -> Result<R> + Send,
) -> Result<R> {
    with_images_on(&Ranks::one(), arguments, images, console, work)
}

/// [`with_images`] on several ranks, each of which does `work` with a model that is theirs
/// together.
///
/// # Errors
/// As [`with_images`].
pub fn with_images_on<R: Send>(
    ranks: &Ranks,
    arguments: &RunArgs,
    images: &ImagesArgs,
    console: &Console,
    work: impl FnOnce(LoadedRun<'_>, DeviceImages) -> Result<R> + Send,
) -> Result<R> {
    open(ranks, arguments, &images.data_dir, console, |mut loaded, data| {
        loaded.model.ranks = ranks.clone();
        let images = loaded.images_of(images.dataset.as_deref(), images.split)?;
        loaded.choose_statistics(data, arguments.statistics)?;
        loaded.announce();
        work(loaded, images)
    })
}

fn open<R: Send>(
    ranks: &Ranks,
    arguments: &RunArgs,
    data_dir: &DataDirArgs,
    console: &Console,
    work: impl FnOnce(LoadedRun<'_>, &CheckpointData) -> Result<R> + Send,
) -> Result<R> {
    let run = RunFolder::open(&arguments.run)?;
    let mut config = run.load_config()?;
    if let Some(folder) = data_dir.folder() {
        config.data.look_in(folder);
    }
    let loaded = load_checkpoint(&run, &arguments.checkpoint)?;
    loaded.warnings.iter().for_each(|warning| console.warn(warning));
    // What a model is worth is measured in full precision, in whatever it was trained.
    let of_training =
        DeviceChoice { precision: Precision::Full, ..DeviceChoice::from(&config.train) };
    with_device(ranks, &arguments.device.or(of_training), |device| {
        let Loaded { data, path, .. } = loaded;
        work(LoadedRun::new(run, config, path, &data, &device, console)?, &data)
    })
}

/// The checkpoint that was asked for.
///
/// # Errors
/// If there is none, or it is damaged.
pub fn load_checkpoint(run: &RunFolder, choice: &CheckpointChoice) -> Result<Loaded> {
    let checkpoints = Checkpoints::new(run.checkpoints());
    let named = |path: PathBuf| -> Result<Loaded> {
        let others = || {
            format!(
                "--checkpoint takes last, best, previous or a file; the run's own lie in {}",
                run.checkpoints().display()
            )
        };
        let data = CheckpointData::load(&path).with_advice(others)?;
        Ok(Loaded { data, path, warnings: Vec::new() })
    };
    match choice {
        CheckpointChoice::Last => checkpoints.load_latest(),
        CheckpointChoice::Best if !checkpoints.best().exists() => {
            let mut loaded = checkpoints.load_latest()?;
            loaded
                .warnings
                .push("the run has no best checkpoint yet: the newest one is used".into());
            Ok(loaded)
        }
        CheckpointChoice::Best => named(checkpoints.best()),
        CheckpointChoice::Previous => named(checkpoints.previous()),
        CheckpointChoice::File(path) => named(path.clone()),
    }
}

/// The shape of the images that a run is about: as its data set was found to be when the training
/// began.
///
/// # Errors
/// If neither the run nor its newest checkpoint nor the data set's name says it.
pub fn image_shape(run: &RunFolder, config: &Config) -> Result<ImageShape> {
    if let Some(record) = run.load_data()? {
        return Ok(record.shape);
    }
    let checkpoint = load_checkpoint(run, &CheckpointChoice::Last).ok();
    let saved = checkpoint.and_then(|loaded| Model::shape_in(&loaded.data));
    saved.map_or_else(|| published_shape(&config.data), Ok)
}

impl<'a> LoadedRun<'a> {
    /// The model of a checkpoint, with its running statistics.
    fn new(
        run: RunFolder,
        config: Config,
        checkpoint: PathBuf,
        data: &CheckpointData,
        device: &Device,
        console: &'a Console,
    ) -> Result<Self> {
        let record = run.load_data()?;
        let recorded = || {
            record.as_ref().map_or_else(|| published_shape(&config.data), |record| Ok(record.shape))
        };
        let shape = Model::shape_in(data).map_or_else(recorded, Ok)?;
        let mut model = Model::new(&config, shape, device, DType::F32)?;
        model.load_for_use(data).context(checkpoint.display())?;
        let (statistics, device) = (model.statistics.clone(), device.clone());
        let has_statistics = statistics.iter().next().is_some();
        let statistics_from =
            if has_statistics { StatisticsSource::Running } else { StatisticsSource::NoneNeeded };
        let step = data.steps("step").unwrap_or(0);
        let chosen_by = BestScore::of(data).and_then(|best| best.name);
        let chosen_by = chosen_by.unwrap_or_else(|| model.task.score().name.into());
        Ok(Self {
            run,
            config,
            record,
            checkpoint,
            step,
            chosen_by,
            model,
            statistics,
            statistics_from,
            device,
            dataset: None,
            console,
        })
    }

    /// Replaces the running statistics by exact ones, unless others are wanted: the checkpoint's,
    /// or collected ones.
    fn choose_statistics(&mut self, data: &CheckpointData, choice: StatisticsChoice) -> Result<()> {
        if choice == StatisticsChoice::Running
            || self.statistics_from == StatisticsSource::NoneNeeded
        {
            return Ok(());
        }
        if let Some(exact) =
            self.model.load_exact_statistics(data).context(self.checkpoint.display())?
        {
            (self.statistics, self.statistics_from) = (exact, StatisticsSource::Checkpoint);
            return Ok(());
        }
        if choice == StatisticsChoice::Stored {
            return Ok(());
        }
        let images = self.images(Split::Train);
        // Ranks recompute together, so that what one of them lacks all do without.
        let lacking = images.as_ref().err().map(ToString::to_string);
        let lacking = together::first_word(&self.model.ranks, lacking)?;
        if let Some(why) = lacking.filter(|_| choice == StatisticsChoice::Auto) {
            self.console.warn(&format!(
                "the running statistics of batch normalisation are used: the checkpoint has no \
                exact ones, and the training images to recompute them from can't be had ({why})"
            ));
            return Ok(());
        }
        let images = images?;
        let count = images.count();
        self.console.info(&format!(
            "recomputing the statistics of batch normalisation from {count} training images"
        ));
        self.statistics = batch_norm::collect(&self.model, &images, self.config.train.seed, 0)?;
        self.statistics_from = StatisticsSource::Collected;
        Ok(())
    }

    /// Images of the run's data set, treated as in training, on the device.
    ///
    /// # Errors
    /// If the data set isn't there, has no such part, or its images are of another size than the
    /// model's.
    pub fn images(&mut self, split: Split) -> Result<DeviceImages> {
        let dataset = match self.dataset.take() {
            Some(dataset) => dataset,
            None => self.open_own()?,
        };
        let dataset = self.dataset.insert(dataset);
        let (data, seed) = (&self.config.data, self.config.train.seed);
        let images =
            source::on_device(dataset, split.into(), data, seed, &self.device, self.console);
        let images = images
            .with_advice(|| "choose another part with --split: train, validation or test".into())?;
        let (model, data) = (self.model.shape, images.shape());
        if model != data {
            return Err(Error::new(format!(
                "the model is for images of {model}, those of {} are {data}",
                self.config.data.name
            )));
        }
        Ok(images)
    }

    /// Images of a data set for the run's model, treated as in training; without a name, of the
    /// run's own.
    ///
    /// # Errors
    /// As [`LoadedRun::images`].
    pub fn images_of(&mut self, name: Option<&str>, split: Split) -> Result<DeviceImages> {
        let Some(name) = name else { return self.images(split) };
        let named = DataConfig { name: name.into(), ..self.config.data.clone() };
        let named = named.with_absolute_path()?;
        if named.name == self.config.data.name {
            return self.images(split);
        }
        let config = self.config.data.for_data_set(name);
        let mut dataset = self.open_data_set(&config, split == Split::Test)?;
        if let Some(record) = &self.record {
            let said = dataset.notes.len();
            dataset.number_classes_by(&record.class_names);
            dataset.notes[said..].iter().for_each(|note| self.console.info(note));
        }
        let seed = self.config.train.seed;
        let images =
            source::on_device(&dataset, split.into(), &config, seed, &self.device, self.console)?;
        let (model, data) = (self.model.shape, images.shape());
        if model != data {
            return Err(Error::new(format!(
                "the model is for images of {model}, those of {name} are {data}"
            ))
            .with_advice("choose a data set with images of that shape (rung data list)"));
        }
        Ok(images)
    }

    /// The name of the data set of images, if it is not the run's own.
    pub fn other_data_set(&self, images: &DeviceImages) -> Option<String> {
        let is_own = self.dataset.as_ref().is_some_and(|own| own.name == images.data_set());
        (!is_own).then(|| images.data_set().to_string())
    }

    /// Opens the run's own data set; says so if it is not what it was.
    fn open_own(&self) -> Result<Dataset> {
        let dataset = self.open_data_set(&self.config.data, false).with_advice(|| {
            "say where the data lies with --data-dir DIR, or with the environment variable \
            RUNG_DATA"
                .into()
        })?;
        let before = self.record.as_ref();
        if let Some(difference) =
            before.and_then(|before| before.difference(&DataRecord::of(&dataset)))
        {
            self.console.warn(&format!(
                "the data set {} is not what it was when the training began: {difference}",
                self.config.data.name
            ));
        }
        Ok(dataset)
    }

    /// The part of the data set that training was judged by.
    pub fn held_out_split(&self) -> Split {
        let recorded = self.record.as_ref().map_or(0, |record| record.images.validation);
        let has_validation = recorded.max(self.config.data.validation_images) > 0;
        if has_validation { Split::Validation } else { Split::Test }
    }

    /// The part of the data set whose bound the checkpoint was chosen by, if it is the run's best
    /// one.
    pub fn chosen_on(&self) -> Option<rung_datasets::Split> {
        let best = Checkpoints::new(self.run.checkpoints()).best();
        (self.checkpoint == best).then(|| self.held_out_split().into())
    }

    /// Opens a data set for the run's model, and says what is done to it: its pictures are brought
    /// to the shape of the model's images, and its bytes are scaled as the training images were.
    ///
    /// # Errors
    /// If it isn't there, or its values are none that the model can describe.
    pub fn open_data_set(&self, config: &DataConfig, test_only: bool) -> Result<Dataset> {
        let mut dataset =
            source::open_part(config, Some(self.model.shape), test_only, self.console)?;
        if let Some(record) = &self.record {
            treatment::check_alike(&self.config, record, &dataset.name, dataset.values)?;
            dataset.scale = record.scale;
        }
        let (shape, values) = (dataset.test.shape(), dataset.values);
        let lines =
            treatment::explain(&self.config, &dataset.name, shape, values).map_err(|error| {
                match &self.record {
                    Some(record) => error.with_advice(format!(
                        "bring them to the scale of the training images, which had {}",
                        record.values
                    )),
                    None => error,
                }
            })?;
        lines.iter().for_each(|line| self.console.info(line));
        Ok(dataset)
    }

    /// Says which numbers are used.
    pub fn announce(&self) {
        let statistics = match self.statistics_from {
            StatisticsSource::NoneNeeded => "",
            StatisticsSource::Checkpoint => ", exact batch-norm statistics of the finished run",
            StatisticsSource::Collected => ", exact batch-norm statistics, recomputed now",
            StatisticsSource::Running => ", running batch-norm statistics",
        };
        let chosen = match self.chosen_on() {
            Some(split) => format!(", chosen by the {} of the {split} images", self.chosen_by),
            None => String::new(),
        };
        self.console.info(&format!("model: {}{chosen}{statistics}", self.checkpoint.display()));
        self.console.info(&format!("device: {}", self.device.description()));
    }
}

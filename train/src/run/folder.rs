//! The folder of a run: what lies where, who may write to it, and how a new one gets its name.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use fs4::{FileExt, TryLockError};
use rung_datasets::DataRecord;

use crate::config::Config;
use crate::error::{Context, Error, Result};
use crate::run::atomic_file;

/// Name of the file that a writing process holds locked.
const LOCK: &str = "lock";
/// How a line of `config.toml` begins that says what the configuration does not tell of the past.
const REMARK: &str = "# Changed: ";

/// What a run knows of itself, which no result may take the place of.
const OWN_FILES: [&str; 8] = [
    LOCK,
    "config.toml",
    "data.json",
    "metrics.jsonl",
    "starts.jsonl",
    "evaluations.jsonl",
    "anomaly.json",
    CHOSEN,
];
/// Name of the file that says what a training chose.
const CHOSEN: &str = "chosen.json";
/// Folders of which every file is the run's own.
const OWN_FOLDERS: [&str; 2] = ["checkpoints", "events"];

/// A run on disk. Reading needs no lock; writing needs a [`RunLock`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFolder {
    path: PathBuf,
}

/// The right to write to a run, held by one process; given back when dropped or when the process
/// ends.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

impl RunFolder {
    /// Makes a new run at `path` with its `config.toml`, locked for this process.
    ///
    /// # Errors
    /// If the folder holds a run or anything else, or can't be written.
    pub fn create(path: &Path, config: &Config) -> Result<(Self, RunLock)> {
        let run = Self { path: path.into() };
        run.refuse_if_taken()?;
        fs::create_dir_all(run.checkpoints())
            .and_then(|()| fs::create_dir_all(run.pictures()))
            .and_then(|()| fs::create_dir_all(run.events()))
            .map_err(|error| Error::io("create", path, &error))?;
        let lock = run.lock()?;
        // Another process may have come first between the look and the lock.
        run.refuse_if_run()?;
        run.save_config(config)?;
        Ok((run, lock))
    }

    /// Makes a new run in `parent` under the first free of NAME-1, NAME-2, …
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_named(parent: &Path, name: &str, config: &Config) -> Result<(Self, RunLock)> {
        for number in 1.. {
            let path = parent.join(format!("{name}-{number}"));
            fs::create_dir_all(parent).map_err(|error| Error::io("create", parent, &error))?;
            match fs::create_dir(&path) {
                Ok(()) => return Self::create(&path, config),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::io("create", &path, &error)),
            }
        }
        Err(Error::new(format!("no free name for a run in {}", parent.display())))
    }

    /// The run at `path` on the machine of rank 0, which alone reads and writes it.
    pub fn of_first_rank(path: PathBuf) -> Self {
        Self { path }
    }

    /// A run of which nothing is read.
    #[cfg(test)]
    pub(crate) fn nowhere() -> Self {
        Self { path: PathBuf::new() }
    }

    /// An existing run.
    ///
    /// # Errors
    /// If there is no run at `path`.
    pub fn open(path: &Path) -> Result<Self> {
        let run = Self { path: path.into() };
        if run.config().is_file() {
            return Ok(run);
        }
        let what = if path.is_dir() {
            "is a folder without a config.toml, so it isn't a run"
        } else if path.exists() {
            "is a file, and a run is a folder"
        } else {
            "doesn't exist"
        };
        Err(Error::new(format!("{} {what}", path.display()))
            .with_advice("give the folder that rung train made, such as runs/glyphs-ladder-5-1"))
    }

    /// Whether `path` is a file by which some run is what it is: its configuration, its records,
    /// its checkpoints.
    pub fn owns(path: &Path) -> bool {
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let Ok(parent) = parent.canonicalize() else { return false };
        let is_run = |folder: &Path| folder.join("config.toml").is_file();
        let is_own = |name: &std::ffi::OsStr| OWN_FILES.iter().any(|own| name == *own);
        let is_beside = is_run(&parent) && path.file_name().is_some_and(is_own);
        let is_inside = parent.ancestors().zip(parent.ancestors().skip(1)).any(|(inner, outer)| {
            let name = inner.file_name().unwrap_or_default();
            OWN_FOLDERS.iter().any(|own| name == *own) && is_run(outer)
        });
        is_beside || is_inside
    }

    /// Takes back a run that this process has made and that has come to nothing: its own files, and
    /// the folder if there is nothing else in it. A file that does not go is no further harm.
    pub fn discard(self, lock: RunLock) {
        drop(lock);
        for folder in OWN_FOLDERS.iter().chain(&["pictures"]) {
            let folder = self.path.join(folder);
            for name in names_in(&folder).unwrap_or_default() {
                let _ = fs::remove_file(folder.join(name));
            }
            let _ = fs::remove_dir(folder);
        }
        for file in OWN_FILES {
            let _ = fs::remove_file(self.path.join(file));
        }
        let _ = fs::remove_dir(&self.path);
    }

    /// Takes the right to write to this run.
    ///
    /// # Errors
    /// If another process holds it, or the file system can't lock files.
    pub fn lock(&self) -> Result<RunLock> {
        let path = self.path.join(LOCK);
        let mut file =
            atomic_file::open(&path, OpenOptions::new().create(true).truncate(false).write(true))?;
        match FileExt::try_lock(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = fs::read_to_string(&path).unwrap_or_default();
                return Err(Error::new(format!(
                    "another process{} is writing to {}",
                    holder.trim_end(),
                    self.path.display()
                ))
                .with_advice("wait for it, stop it, or choose another folder with --out"));
            }
            Err(TryLockError::Error(error)) => return Err(Error::io("lock", &path, &error)),
        }
        let holder = format!(" (process {})\n", std::process::id());
        file.set_len(0)
            .and_then(|()| file.write_all(holder.as_bytes()))
            .map_err(|error| Error::io("write", &path, &error))?;
        Ok(RunLock { _file: file })
    }

    /// Keeps what a training chose in `chosen.json`, or, where the run has one, makes sure that it
    /// chose the same again.
    ///
    /// # Errors
    /// If it chose something else, or the file can't be read or written.
    pub fn keep_chosen(&self, chosen: &serde_json::Value) -> Result<()> {
        let path = self.path.join(CHOSEN);
        match atomic_file::read_text_if_any(&path)? {
            Some(text) => {
                let before: Option<serde_json::Value> = serde_json::from_str(&text).ok();
                if before.as_ref() == Some(chosen) {
                    return Ok(());
                }
                Err(Error::new(format!(
                    "the training would go on with other images than {} says",
                    path.display()
                ))
                .with_advice("the labels, the seed and the data set of a run stay what they are"))
            }
            None => atomic_file::write(&path, |out| writeln!(out, "{chosen}")),
        }
    }

    /// Writes `config.toml`.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn save_config(&self, config: &Config) -> Result<()> {
        let text = config.to_toml()?;
        atomic_file::write(&self.config(), |out| out.write_all(text.as_bytes()))
    }

    /// Writes the `config.toml` of a run that goes on with another one. `remark` says what of the
    /// past it does not tell; it is kept, with those of earlier changes, above the configuration.
    ///
    /// # Errors
    /// If it can't be read or written.
    pub fn save_changed_config(&self, config: &Config, remark: Option<&str>) -> Result<()> {
        let path = self.config();
        let before = atomic_file::read_text(&path)?;
        let mut text: String = before
            .lines()
            .filter(|line| line.starts_with(REMARK))
            .flat_map(|l| [l, "\n"])
            .collect();
        if let Some(remark) = remark {
            text += &format!("{REMARK}{remark}\n");
        }
        text += &config.to_toml()?;
        atomic_file::write(&path, |out| out.write_all(text.as_bytes()))
    }

    /// Reads `config.toml`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_config(&self) -> Result<Config> {
        Config::load(&self.config())
    }

    /// Writes `data.json`: what the data set is that the model is trained on.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn save_data(&self, record: &DataRecord) -> Result<()> {
        let text =
            serde_json::to_string_pretty(record).context("writing the record of the data set")?;
        atomic_file::write(&self.data(), |out| writeln!(out, "{text}"))
    }

    /// Reads `data.json`; none in a run of an early version, or in one that never began.
    ///
    /// # Errors
    /// If it can't be read, or is not what this program writes.
    pub fn load_data(&self) -> Result<Option<DataRecord>> {
        let path = self.data();
        let Some(text) = atomic_file::read_text_if_any(&path)? else { return Ok(None) };
        serde_json::from_str(&text).map(Some).context(format!("reading {}", path.display()))
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `config.toml`: the complete configuration.
    pub fn config(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    /// `data.json`: the shape, values, classes and sizes of the data set.
    pub fn data(&self) -> PathBuf {
        self.path.join("data.json")
    }

    /// `metrics.jsonl`: every measured number, one JSON object a line.
    pub fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// `starts.jsonl`: a line for each time that the training began or went on, with the machine it
    /// was on.
    pub fn starts(&self) -> PathBuf {
        self.path.join("starts.jsonl")
    }

    /// `evaluations.jsonl`: a line for each evaluation of the trained model.
    pub fn evaluations(&self) -> PathBuf {
        self.path.join("evaluations.jsonl")
    }

    /// `bounds/NAME.npy`: the scores of single images in an evaluation.
    pub fn bounds(&self, name: &str) -> PathBuf {
        self.path.join("bounds").join(format!("{name}.npy"))
    }

    /// `anomaly.json`: how the model's scores separate two data sets, as they were compared last.
    pub fn anomaly(&self) -> PathBuf {
        self.path.join("anomaly.json")
    }

    /// `report.html`: the run in pictures.
    pub fn report(&self) -> PathBuf {
        self.path.join("report.html")
    }

    /// `events/`: the same for TensorBoard.
    pub fn events(&self) -> PathBuf {
        self.path.join("events")
    }

    /// `checkpoints/`: parameters, optimiser state, running statistics, step.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// `pictures/`: samples and reconstructions.
    pub fn pictures(&self) -> PathBuf {
        self.path.join("pictures")
    }

    fn refuse_if_run(&self) -> Result<()> {
        if !self.config().exists() {
            return Ok(());
        }
        let path = self.path.display();
        Err(Error::new(format!("{path} holds a run already")).with_advice(format!(
            "go on with it: rung train --resume {path}; or choose another folder with --out"
        )))
    }

    /// Refuses a run and any folder with other people's files; what a run that died while it was
    /// being made has left is no obstacle: empty folders, and a configuration that was never whole.
    fn refuse_if_taken(&self) -> Result<()> {
        self.refuse_if_run()?;
        let (files, folders) = ([LOCK, "config.toml.tmp"], ["checkpoints", "pictures", "events"]);
        for name in names_in(&self.path)? {
            let inside = if folders.iter().any(|folder| name == *folder) {
                names_in(&self.path.join(&name))?
                    .into_iter()
                    .next()
                    .map(|file| Path::new(&name).join(file))
            } else {
                (!files.iter().any(|file| name == *file)).then(|| PathBuf::from(&name))
            };
            if let Some(file) = inside {
                return Err(Error::new(format!(
                    "{} isn't empty (it has {}) and isn't a run",
                    self.path.display(),
                    file.display()
                ))
                .with_advice("choose a new folder with --out"));
            }
        }
        Ok(())
    }
}

/// What lies in a folder; nothing if there is none.
fn names_in(folder: &Path) -> Result<Vec<OsString>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries
            .map(|entry| {
                entry
                    .map(|entry| entry.file_name())
                    .map_err(|error| Error::io("read", folder, &error))
            })
            .collect(),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::io("open", folder, &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_run_has_its_configuration_and_folders() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/run");
        let (run, _lock) = RunFolder::create(&path, &Config::default()).unwrap();
        assert_eq!(run.load_config().unwrap(), Config::default());
        assert!(run.checkpoints().is_dir() && run.pictures().is_dir() && run.events().is_dir());
        assert_eq!(RunFolder::open(&path).unwrap(), run);
    }

    #[test]
    fn a_run_is_never_overwritten_and_resume_is_advised() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        drop(RunFolder::create(&path, &Config::default()).unwrap());
        let error = RunFolder::create(&path, &Config::default()).unwrap_err();
        assert!(error.cause().ends_with("holds a run already"), "{error}");
        let advice = format!("rung train --resume {}", path.display());
        assert!(error.advice().is_some_and(|text| text.contains(&advice)));
    }

    #[test]
    fn a_folder_with_other_files_is_refused_and_a_half_made_run_is_not() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("checkpoints")).unwrap();
        fs::write(folder.path().join("config.toml.tmp"), "half").unwrap();
        drop(RunFolder::create(folder.path(), &Config::default()).unwrap());
        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join("thesis.tex"), "").unwrap();
        let error = RunFolder::create(other.path(), &Config::default()).unwrap_err();
        assert!(error.cause().contains("it has thesis.tex"), "{error}");
    }

    #[test]
    fn a_folder_with_a_checkpoint_of_another_run_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("checkpoints")).unwrap();
        fs::write(folder.path().join("checkpoints/last.safetensors"), "another's").unwrap();
        let error = RunFolder::create(folder.path(), &Config::default()).unwrap_err();
        assert!(error.cause().contains("it has checkpoints/last.safetensors"), "{error}");
    }

    #[test]
    fn remarks_on_a_changed_configuration_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (run, _lock) =
            RunFolder::create(&folder.path().join("run"), &Config::default()).unwrap();
        let mut config = Config::default();
        for (epochs, remark) in [(3, Some("one")), (4, None), (5, Some("two"))] {
            config.train.epochs = epochs;
            run.save_changed_config(&config, remark).unwrap();
        }
        let text = fs::read_to_string(run.config()).unwrap();
        assert!(
            text.starts_with("# Changed: one\n# Changed: two\n# The complete configuration"),
            "{text}"
        );
        assert_eq!(run.load_config().unwrap(), config);
    }

    #[test]
    fn a_runs_own_files_are_known_and_results_beside_them_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        drop(RunFolder::create(&run, &Config::default()).unwrap());
        for own in ["config.toml", "metrics.jsonl", "checkpoints/last.safetensors", "events/new"] {
            assert!(RunFolder::owns(&run.join(own)), "{own}");
            assert!(RunFolder::owns(&run.join("pictures/..").join(own)), "{own} by another way");
        }
        for result in ["report.html", "pictures/samples.png", "latents-test.npz", "new"] {
            assert!(!RunFolder::owns(&run.join(result)), "{result}");
        }
        assert!(!RunFolder::owns(&folder.path().join("config.toml")), "no run is there");
    }

    #[test]
    fn a_run_that_came_to_nothing_leaves_no_trace_but_the_files_of_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        let made = || RunFolder::create(&path, &Config::default()).unwrap();
        let (run, lock) = made();
        fs::write(run.metrics(), "").unwrap();
        run.discard(lock);
        assert!(!path.exists());
        let (run, lock) = made();
        fs::write(path.join("thesis.tex"), "").unwrap();
        run.discard(lock);
        assert_eq!(names_in(&path).unwrap(), ["thesis.tex"]);
    }

    #[test]
    fn a_second_writer_is_refused_until_the_first_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let (run, lock) = RunFolder::create(folder.path(), &Config::default()).unwrap();
        let error = run.lock().unwrap_err();
        let holder = format!("another process (process {})", std::process::id());
        assert!(error.cause().starts_with(&holder), "{error}");
        drop(lock);
        run.lock().unwrap();
    }

    #[test]
    fn runs_without_a_name_are_numbered() {
        let folder = tempfile::tempdir().unwrap();
        let named = |name| {
            let (run, _) =
                RunFolder::create_named(folder.path(), name, &Config::default()).unwrap();
            run.path().file_name().unwrap().to_owned()
        };
        assert_eq!(named("a"), "a-1");
        assert_eq!(named("a"), "a-2");
        assert_eq!(named("b"), "b-1");
    }

    #[test]
    fn what_is_not_a_run_is_said_in_words() {
        let folder = tempfile::tempdir().unwrap();
        let message = |path: &Path| RunFolder::open(path).unwrap_err().to_string();
        assert!(message(folder.path()).ends_with("so it isn't a run"));
        assert!(message(&folder.path().join("no")).ends_with("doesn't exist"));
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(message(&file).ends_with("a run is a folder"));
        assert!(RunFolder::create(&file, &Config::default()).is_err());
    }
}

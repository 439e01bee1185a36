//! The checkpoints of a run: which files there are, and which one to go on from.
//!
//! | file | what |
//! |------|------|
//! | `last.safetensors` | the newest |
//! | `previous.safetensors` | the one before, for when the newest is damaged |
//! | `best.safetensors` | the one with the best bound so far |
//! | `epoch-000100.safetensors` | kept for good, if the configuration asks for it |

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::run::atomic_file;
use crate::run::checkpoint::CheckpointData;

/// The folder of a run's checkpoints.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    folder: PathBuf,
}

/// A checkpoint that was read, and what had to be passed over for it.
#[derive(Debug)]
pub struct Loaded {
    /// The content.
    pub data: CheckpointData,
    /// The file.
    pub path: PathBuf,
    /// Why newer files were passed over; to be shown to the person.
    pub warnings: Vec<String>,
}

impl Checkpoints {
    /// The checkpoints in an existing folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// `last.safetensors`.
    pub fn last(&self) -> PathBuf {
        self.folder.join("last.safetensors")
    }

    /// `previous.safetensors`.
    pub fn previous(&self) -> PathBuf {
        self.folder.join("previous.safetensors")
    }

    /// `best.safetensors`.
    pub fn best(&self) -> PathBuf {
        self.folder.join("best.safetensors")
    }

    /// `epoch-NNNNNN.safetensors`.
    pub fn numbered(&self, epoch: u64) -> PathBuf {
        self.folder.join(format!("epoch-{epoch:06}.safetensors"))
    }

    /// Makes `data` the last checkpoint; the last one becomes the previous one.
    ///
    /// The new file is whole and on the disk under its temporary name before an old one is touched,
    /// and [`load_latest`](Self::load_latest) knows that name: at no instant is there less than the
    /// newest complete checkpoint.
    ///
    /// # Errors
    /// If it can't be written; the old files are as they were.
    pub fn save_last(&self, data: &CheckpointData) -> Result<()> {
        let last = self.last();
        atomic_file::stage(&last, |out| data.write_to(out))?;
        match fs::rename(&last, self.previous()) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Error::io("rename", &last, &error));
            }
            _ => {}
        }
        atomic_file::commit(&last)
    }

    /// Removes what a process that was killed while it wrote has left, but for a last checkpoint,
    /// which may be the newest whole one and which the next one replaces.
    pub fn remove_litter(&self) {
        let last = atomic_file::temporary_name(&self.last());
        let files =
            fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|entry| entry.path());
        for path in files.filter(|path| *path != last) {
            if path.to_string_lossy().ends_with(".safetensors.tmp") {
                // What does not go is overwritten when it is written again.
                let _ = fs::remove_file(path);
            }
        }
    }

    /// Whether a checkpoint was ever written, be it damaged by now: then a run does not start over.
    pub fn any(&self) -> bool {
        let interrupted =
            || CheckpointData::load(&atomic_file::temporary_name(&self.last())).is_ok();
        self.last().exists()
            || self.previous().exists()
            || interrupted()
            || !self.kept_for_good().is_empty()
    }

    /// The best one and the numbered ones.
    fn kept_for_good(&self) -> Vec<PathBuf> {
        let is_numbered = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with("epoch-") && name.ends_with(".safetensors")
        };
        let files =
            fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|entry| entry.path());
        files.filter(|path| *path == self.best() || is_numbered(path)).collect()
    }

    /// Reads the newest checkpoint that is whole: where there is neither a last nor a previous one,
    /// that of the most steps among the best and the numbered ones.
    ///
    /// # Errors
    /// If there is none.
    pub fn load_latest(&self) -> Result<Loaded> {
        let mut warnings = Vec::new();
        let last = self.last();
        // The temporary file counts only where it is complete: then it is newer than the previous
        // one.
        for path in [last.clone(), atomic_file::temporary_name(&last), self.previous()] {
            if !path.exists() {
                continue;
            }
            match CheckpointData::load(&path) {
                Ok(data) => {
                    if path == self.previous() && warnings.is_empty() {
                        let step = data.steps("step")?;
                        let run = self.run().display();
                        warnings.push(format!(
                            "{run} has no last checkpoint: going back to previous.safetensors, \
                            after step {step}"
                        ));
                    }
                    return Ok(Loaded { data, path, warnings });
                }
                Err(error) if path.extension().is_some_and(|e| e == "tmp") => drop(error),
                Err(error) => warnings.push(format!("{error}; going back to an older one")),
            }
        }
        let older = self.kept_for_good().into_iter().filter_map(|path| {
            let data = CheckpointData::load(&path).ok()?;
            Some((data.steps("step").ok()?, path, data))
        });
        // A damaged one is a reason to stop and look: what is older by more than one may be older
        // by far.
        if let Some((step, path, data)) =
            older.max_by_key(|(step, ..)| *step).filter(|_| warnings.is_empty())
        {
            warnings.push(format!(
                "{} has neither a last nor a previous checkpoint: going back to {}, after step \
                {step}",
                self.run().display(),
                path.file_name().unwrap_or_default().display()
            ));
            return Ok(Loaded { data, path, warnings });
        }
        Err(match warnings.first() {
            Some(reason) => Error::new(reason.trim_end_matches("; going back to an older one"))
                .with_advice(
                "the one before is not whole either; train anew, start from best with --init-from, \
                or remove the damaged ones to go on from the best or a numbered one",
            ),
            None => Error::new(format!("{} has no checkpoint yet", self.run().display()))
                .with_advice("a run writes its first checkpoint after its first epochs; train it \
                first"),
        })
    }

    /// Reads the best checkpoint, or the newest where none was called best.
    ///
    /// # Errors
    /// If there is no checkpoint, or the best one is damaged.
    pub fn load_best(&self) -> Result<Loaded> {
        let path = self.best();
        if !path.exists() {
            return self.load_latest();
        }
        let data = CheckpointData::load(&path)?;
        Ok(Loaded { data, path, warnings: Vec::new() })
    }

    fn run(&self) -> &Path {
        self.folder.parent().unwrap_or(&self.folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::checkpoint::tests::example;

    fn step(checkpoints: &Checkpoints) -> String {
        checkpoints.load_latest().unwrap().data.metadata["step"].clone()
    }

    fn with_steps_1_and_2() -> (tempfile::TempDir, Checkpoints) {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(folder.path());
        checkpoints.save_last(&example(1)).unwrap();
        checkpoints.save_last(&example(2)).unwrap();
        (folder, checkpoints)
    }

    #[test]
    fn the_newest_checkpoint_is_loaded_and_the_one_before_is_kept() {
        let (_folder, checkpoints) = with_steps_1_and_2();
        assert_eq!(step(&checkpoints), "2");
        let previous = CheckpointData::load(&checkpoints.previous()).unwrap();
        assert_eq!(previous, example(1));
    }

    #[test]
    fn a_damaged_last_falls_back_with_a_warning_that_names_it() {
        let (_folder, checkpoints) = with_steps_1_and_2();
        let bytes = fs::read(checkpoints.last()).unwrap();
        fs::write(checkpoints.last(), &bytes[..bytes.len() / 2]).unwrap();
        let loaded = checkpoints.load_latest().unwrap();
        assert_eq!(loaded.data, example(1));
        assert_eq!(loaded.path, checkpoints.previous());
        assert!(loaded.warnings[0].contains("last.safetensors"));
    }

    #[test]
    fn a_last_checkpoint_that_is_gone_is_said() {
        let (_folder, checkpoints) = with_steps_1_and_2();
        fs::remove_file(checkpoints.last()).unwrap();
        let loaded = checkpoints.load_latest().unwrap();
        assert_eq!(loaded.path, checkpoints.previous());
        let warning = &loaded.warnings[0];
        assert!(
            warning
                .ends_with("no last checkpoint: going back to previous.safetensors, after step 1"),
            "{warning}"
        );
    }

    #[test]
    fn a_kill_while_writing_loses_nothing() {
        let (_folder, checkpoints) = with_steps_1_and_2();
        let temporary = atomic_file::temporary_name(&checkpoints.last());
        fs::write(&temporary, b"half a checkpoint").unwrap();
        assert_eq!(step(&checkpoints), "2");
        checkpoints.save_last(&example(3)).unwrap();
        assert_eq!(step(&checkpoints), "3");
        assert!(!temporary.exists());
    }

    #[test]
    fn what_a_killed_process_has_left_is_removed() {
        let (_folder, checkpoints) = with_steps_1_and_2();
        let left = [checkpoints.best(), checkpoints.numbered(7), checkpoints.last()]
            .map(|path| atomic_file::temporary_name(&path));
        left.iter().for_each(|path| fs::write(path, "half").unwrap());
        checkpoints.remove_litter();
        assert_eq!(left.map(|path| path.exists()), [false, false, true]);
        assert_eq!(step(&checkpoints), "2");
    }

    #[test]
    fn a_kill_between_the_two_renames_loses_nothing() {
        let (_folder, checkpoints) = with_steps_1_and_2();
        let temporary = atomic_file::temporary_name(&checkpoints.last());
        example(3).save(&checkpoints.last()).unwrap();
        fs::rename(checkpoints.last(), &temporary).unwrap();
        let loaded = checkpoints.load_latest().unwrap();
        assert_eq!(loaded.data, example(3));
        assert!(loaded.warnings.is_empty());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_keeps_the_last_checkpoint() {
        let (_folder, checkpoints) = with_steps_1_and_2();
        let temporary = atomic_file::temporary_name(&checkpoints.last());
        std::os::unix::fs::symlink("/dev/full", &temporary).unwrap();
        let error = checkpoints.save_last(&example(3)).unwrap_err();
        assert!(error.cause().ends_with("the disk is full"), "{error}");
        assert_eq!(step(&checkpoints), "2");
        assert_eq!(CheckpointData::load(&checkpoints.previous()).unwrap(), example(1));
    }

    #[test]
    fn the_best_or_a_numbered_one_is_better_than_starting_over() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(folder.path());
        assert!(!checkpoints.any());
        example(2).save(&checkpoints.best()).unwrap();
        assert!(checkpoints.any());
        let loaded = checkpoints.load_latest().unwrap();
        assert_eq!((loaded.path, loaded.data), (checkpoints.best(), example(2)));
        assert!(
            loaded.warnings[0].ends_with("going back to best.safetensors, after step 2"),
            "{:?}",
            loaded.warnings
        );
        example(4).save(&checkpoints.numbered(4)).unwrap();
        example(3).save(&checkpoints.numbered(3)).unwrap();
        assert_eq!(step(&checkpoints), "4");
        fs::write(checkpoints.last(), b"x").unwrap();
        let error = checkpoints.load_latest().unwrap_err();
        assert!(error.cause().contains("last.safetensors can't be used"), "{error}");
    }

    #[test]
    fn no_checkpoint_at_all_is_said_with_advice() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(folder.path().join("checkpoints"));
        let error = checkpoints.load_latest().unwrap_err();
        assert!(error.cause().ends_with("has no checkpoint yet"), "{error}");
        assert!(error.advice().is_some());
    }

    #[test]
    fn nothing_whole_names_the_newest_file() {
        let (_folder, checkpoints) = with_steps_1_and_2();
        fs::write(checkpoints.last(), b"x").unwrap();
        fs::write(checkpoints.previous(), b"x").unwrap();
        let error = checkpoints.load_latest().unwrap_err();
        assert!(error.cause().contains("last.safetensors can't be used"), "{error}");
    }

    #[test]
    fn best_is_preferred_where_there_is_one() {
        let (_folder, checkpoints) = with_steps_1_and_2();
        assert_eq!(checkpoints.load_best().unwrap().path, checkpoints.last());
        example(1).save(&checkpoints.best()).unwrap();
        assert_eq!(checkpoints.load_best().unwrap().data, example(1));
    }
}

//! Finding the files of a known data set in a user's folder, and checking them against what was
//! published.

use std::path::{Path, PathBuf};

use super::{Format, KNOWN, Known, KnownFile, Role};
use crate::checksum::is_gzip;
use crate::{Checksum, Error, Result};

/// The files of a data set that are in place.
#[derive(Clone, Debug)]
pub struct Found {
    /// The folder they lie in.
    pub folder: PathBuf,
    files: Vec<(&'static str, PathBuf)>,
    name: &'static str,
    remedy: String,
}

/// What a user can do to have the files.
fn remedy(known: &Known) -> String {
    if known.mirrors.is_empty() {
        format!("no address offers it; see {}", known.home)
    } else {
        format!("get it with `rung data fetch {}`", known.name)
    }
}

impl Found {
    /// Where the file with this published name lies.
    ///
    /// # Errors
    /// [`Error::Missing`] if it is not there.
    pub fn path(&self, name: &str) -> Result<&Path> {
        let found = self.files.iter().find(|(file, _)| *file == name);
        found.map(|(_, path)| path.as_path()).ok_or_else(|| Error::Missing {
            name: self.name.to_string(),
            files: vec![name.to_string()],
            directories: vec![self.folder.clone()],
            remedy: self.remedy.clone(),
        })
    }

    /// Every file that is in place.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|(_, path)| path.as_path())
    }
}

/// Finds the files that opening a data set needs (for the test part alone, if so asked), all in one
/// folder.
///
/// # Errors
/// [`Error::Missing`] with the files that lack in the folder that has most.
pub fn locate(known: &'static Known, data_dir: &Path, test_only: bool) -> Result<Found> {
    let folders = folders(known, data_dir);
    let mut best: Option<(Found, Vec<String>)> = None;
    for folder in &folders {
        let found = look(known, folder);
        let missing = missing(known, &found, test_only);
        if missing.is_empty() {
            return Ok(found);
        }
        if best.as_ref().is_none_or(|(most, _)| found.files.len() > most.files.len()) {
            best = Some((found, missing));
        }
    }
    let files = best.map(|(_, missing)| missing).unwrap_or_default();
    Err(Error::Missing {
        name: known.name.to_string(),
        files,
        directories: folders,
        remedy: remedy(known),
    })
}

/// Where a data set may lie, in the order in which it is looked for.
fn folders(known: &Known, data_dir: &Path) -> Vec<PathBuf> {
    let inside = std::iter::once(known.name).chain(known.folders.iter().copied());
    inside.map(|folder| data_dir.join(folder)).chain([data_dir.to_path_buf()]).collect()
}

fn look(known: &Known, folder: &Path) -> Found {
    let place = |file: &KnownFile| {
        // As published first, so that a fetched file counts before a damaged one beside it. Some
        // programs unpack `train-images-idx3-ubyte` as `train-images.idx3-ubyte`.
        let names =
            [format!("{}.gz", file.name), file.name.to_string(), file.name.replace("-idx", ".idx")];
        let path = names.iter().map(|name| folder.join(name)).find(|path| path.is_file())?;
        Some((file.name, path))
    };
    let files = known.files.iter().filter_map(place).collect();
    Found { folder: folder.to_path_buf(), files, name: known.name, remedy: remedy(known) }
}

/// The files that lack for opening. An archive replaces all others; of CIFAR's training batches any
/// one is enough.
fn missing(known: &Known, found: &Found, test_only: bool) -> Vec<String> {
    let has = |file: &KnownFile| found.files.iter().any(|(name, _)| *name == file.name);
    if known.files.iter().any(|file| file.role == Role::Archive && has(file)) {
        return Vec::new();
    }
    let any_train = known.files.iter().any(|file| file.role == Role::Train && has(file));
    let needed = |file: &&KnownFile| match file.role {
        Role::Train => !(test_only || known.format == Format::Cifar && any_train),
        Role::Test | Role::Both => true,
        Role::Archive | Role::Extra => false,
    };
    known
        .files
        .iter()
        .filter(needed)
        .filter(|file| !has(file))
        .map(|file| file.name.to_string())
        .collect()
}

/// Whether a data set is in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It needs no files.
    BuiltIn,
    /// Everything that was published is there.
    Complete,
    /// Some of it is there.
    Partial {
        /// What lacks of the whole.
        missing: Vec<String>,
        /// Whether it can be opened all the same, without its training part at worst.
        usable: bool,
    },
    /// Nothing is there.
    Absent,
}

/// One line of `rung data list`.
#[derive(Clone, Debug)]
pub struct Status {
    /// The data set.
    pub known: &'static Known,
    /// Whether it is in place.
    pub presence: Presence,
    /// The folder it was found in.
    pub folder: Option<PathBuf>,
    /// How many bytes its files take there.
    pub bytes: u64,
}

/// What is in place of every known data set. Reads no file's content.
#[must_use]
pub fn status(data_dir: &Path) -> Vec<Status> {
    KNOWN.iter().map(|known| status_of(known, data_dir)).collect()
}

fn status_of(known: &'static Known, data_dir: &Path) -> Status {
    if matches!(known.format, Format::Glyphs | Format::Moons) {
        return Status { known, presence: Presence::BuiltIn, folder: None, bytes: 0 };
    }
    let best = fullest(known, data_dir);
    if best.files.is_empty() {
        return Status { known, presence: Presence::Absent, folder: None, bytes: 0 };
    }
    let missing = absent(known, &best);
    let usable = self::missing(known, &best, true).is_empty();
    let presence =
        if missing.is_empty() { Presence::Complete } else { Presence::Partial { missing, usable } };
    let bytes =
        best.paths().filter_map(|path| path.metadata().ok()).map(|metadata| metadata.len()).sum();
    Status { known, presence, folder: Some(best.folder), bytes }
}

/// The folder with most of a data set's files; the first of equals.
fn fullest(known: &'static Known, data_dir: &Path) -> Found {
    let mut best = look(known, &data_dir.join(known.name));
    for folder in folders(known, data_dir).iter().skip(1) {
        let found = look(known, folder);
        if found.files.len() > best.files.len() {
            best = found;
        }
    }
    best
}

/// The published files that are not there, but for extras, and for the contents of an archive that
/// is (and the other way round).
fn absent(known: &Known, found: &Found) -> Vec<String> {
    let has = |file: &KnownFile| found.files.iter().any(|(name, _)| *name == file.name);
    let of_role = |archive: bool| {
        known.files.iter().filter(move |file| (file.role == Role::Archive) == archive)
    };
    let archived = of_role(true).any(has);
    let lacking = of_role(false).filter(|file| file.role != Role::Extra && !archived && !has(file));
    lacking.map(|file| file.name.to_string()).collect()
}

/// What was found of one published file.
#[derive(Clone, Debug)]
pub struct FileReport {
    /// Its published name, without `.gz`.
    pub file: &'static str,
    /// Where it lies.
    pub path: Option<PathBuf>,
    /// Its size there.
    pub bytes: Option<u64>,
    /// Whether it is what was published.
    pub outcome: Outcome,
}

/// Whether a file is what was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is not there.
    Missing,
    /// Its checksum is the published one.
    Verified {
        /// "SHA-256" or "MD5".
        algorithm: &'static str,
    },
    /// It is there, and no checksum to compare with is known.
    NoChecksum,
    /// Its checksum is another.
    Differs {
        /// "SHA-256" or "MD5".
        algorithm: &'static str,
        /// The published digits.
        expected: String,
        /// Its own.
        found: String,
    },
    /// It cannot be read.
    Unreadable {
        /// Why.
        why: String,
    },
}

impl Outcome {
    /// Whether this is no reason to fetch the file again.
    #[must_use]
    pub fn is_fine(&self) -> bool {
        matches!(self, Self::Verified { .. } | Self::NoChecksum)
    }
}

/// Compares every file of a data set that is in place with the published checksums.
///
/// A report has one entry for each published file that is there or should be. A set that is drawn
/// by the program has none.
///
/// # Errors
/// [`Error::UnknownName`].
pub fn verify(name: &str, data_dir: &Path) -> Result<Vec<FileReport>> {
    let known = super::find(name)?;
    let found = fullest(known, data_dir);
    let absent = absent(known, &found);
    let mut reports = Vec::new();
    for file in known.files {
        let place = found.files.iter().find(|(name, _)| *name == file.name);
        let Some((_, path)) = place else {
            if absent.iter().any(|name| name == file.name) {
                reports.push(FileReport {
                    file: file.name,
                    path: None,
                    bytes: None,
                    outcome: Outcome::Missing,
                });
            }
            continue;
        };
        let outcome = check(file, path)
            .unwrap_or_else(|error| Outcome::Unreadable { why: error.to_string() });
        let bytes = path.metadata().ok().map(|metadata| metadata.len());
        reports.push(FileReport { file: file.name, path: Some(path.clone()), bytes, outcome });
    }
    Ok(reports)
}

/// Compares one file: as published if it is so, else by its content, since anybody may compress
/// anew.
pub(crate) fn check(file: &KnownFile, path: &Path) -> Result<Outcome> {
    let compare = |checksum: Checksum, unpack: bool| {
        let found = checksum.of_file(path, unpack)?;
        let (algorithm, expected) = (checksum.algorithm(), checksum.digits());
        Ok(if found == expected {
            Outcome::Verified { algorithm }
        } else {
            Outcome::Differs { algorithm, expected: expected.to_string(), found }
        })
    };
    let packed = is_gzip(path)?;
    let as_published = file.download.filter(|download| packed || !download.name.ends_with(".gz"));
    let published = as_published.and_then(|download| download.checksum);
    let first = published.map(|checksum| compare(checksum, false)).transpose()?;
    match (first, file.content) {
        (Some(verified @ Outcome::Verified { .. }), _) => Ok(verified),
        (_, Some(content)) => compare(content, true),
        (Some(differs), None) => Ok(differs),
        (None, None) => Ok(Outcome::NoChecksum),
    }
}

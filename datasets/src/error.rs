//! What can go wrong with a data set, as data: the file, the byte, what was expected and what was
//! found.

use std::io;
use std::path::{Path, PathBuf};

use crate::memory::megabytes;

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a data set could not be opened, read, fetched or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb: "open", "read".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's own words.
        source: io::Error,
    },

    /// A file does not say what its format demands.
    #[error("{}: {format}: byte {offset}: {what}: expected {expected}, found \
    {found}", path.display())]
    Format {
        /// The file (with the entry's name behind it for an archive).
        path: PathBuf,
        /// The format it was read as: "idx", "npy".
        format: &'static str,
        /// Where in the (decompressed) content.
        offset: u64,
        /// The field that is wrong.
        what: String,
        /// What the format or the file's length allows.
        expected: String,
        /// What is there.
        found: String,
    },

    /// The files are each well formed but do not fit together, or do not fit what was asked.
    #[error("{}: {what}: expected {expected}, found {found}", path.display())]
    Mismatch {
        /// The file or folder that surprised.
        path: PathBuf,
        /// What disagrees.
        what: String,
        /// What was expected.
        expected: String,
        /// What is there.
        found: String,
    },

    /// The files of a known data set are not there.
    #[error("{name}: not found: {} (looked in {}); \
    {remedy}", files.join(", "), show_paths(directories))]
    Missing {
        /// The data set.
        name: String,
        /// The files that were looked for, by their published names.
        files: Vec<String>,
        /// The folders they were looked for in.
        directories: Vec<PathBuf>,
        /// What to do: the command that fetches it, or where to look.
        remedy: String,
    },

    /// No data set has this name, and it is no `npz:FILE`, `images:FOLDER` or `sequences:NAME`
    /// either.
    #[error("no data set is called '{name}'{}; known: {}, npz:FILE, images:FOLDER, sequences:NAME",
        nearest.as_ref().map(|n| format!(" (did you mean \
        '{n}'?)")).unwrap_or_default(), known.join(", "))]
    UnknownName {
        /// What was asked for.
        name: String,
        /// The known name closest to it, if one is close.
        nearest: Option<String>,
        /// Every name there is.
        known: Vec<String>,
    },

    /// A file has other content than the published one.
    #[error("{}: {algorithm} checksum differs: expected {expected}, found {found}", path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// "SHA-256" or "MD5".
        algorithm: &'static str,
        /// The published sum, in hexadecimal.
        expected: String,
        /// The sum of what is there.
        found: String,
    },

    /// No mirror gave the file.
    #[error("cannot fetch {file}: {}", attempts.join("; "))]
    Download {
        /// The file's published name.
        file: String,
        /// One entry for each mirror: its address and why it failed.
        attempts: Vec<String>,
    },

    /// This data set cannot be downloaded by the program.
    #[error("{name} cannot be fetched: {why}")]
    NoDownload {
        /// The data set.
        name: String,
        /// Why, and what to do instead.
        why: String,
    },

    /// There is no memory for what a file holds.
    #[error("{what}: {} of memory are needed, and {}; use fewer or smaller images",
        megabytes(*bytes), what_is_left(*available))]
    Memory {
        /// What it was for.
        what: String,
        /// How much was asked for.
        bytes: u64,
        /// How much the machine has, where it says so.
        available: Option<u64>,
    },

    /// A value given by the caller makes no sense.
    #[error("{what}: expected {expected}, found {found}")]
    Argument {
        /// The argument.
        what: &'static str,
        /// What is allowed.
        expected: String,
        /// What was given.
        found: String,
    },
}

impl Error {
    /// An [`Error::Io`] about `path`, as the closure `map_err` wants.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    /// An [`Error::Mismatch`] about `path`.
    pub(crate) fn mismatch(
        path: &Path,
        what: impl Into<String>,
        expected: impl ToString,
        found: impl ToString,
    ) -> Self {
        Self::Mismatch {
            path: path.to_path_buf(),
            what: what.into(),
            expected: expected.to_string(),
            found: found.to_string(),
        }
    }
}

fn what_is_left(available: Option<u64>) -> String {
    let left = |bytes| format!("this machine has {} left", megabytes(bytes));
    available.map_or("there is not as much".into(), left)
}

fn show_paths(paths: &[PathBuf]) -> String {
    let shown: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    shown.join(", ")
}

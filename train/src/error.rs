//! The program's error: one line that says what went wrong, one that says what to do.
//!
//! Libraries return typed errors; here they become text, at the last moment, next to the person
//! who reads them. [`Error::exit_code`] is what the process ends with.

use std::fmt::{self, Display};
use std::io::{self, ErrorKind};
use std::path::Path;

/// What the program's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// How the process ends when an error reaches `main`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Something failed: exit code 1.
    Failed,
    /// The command line is wrong: exit code 2.
    Usage,
    /// A person stopped the program, and a checkpoint was written: exit code 130.
    Interrupted,
}

/// A cause on one line, and what to do about it on another where there is something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    cause: String,
    advice: Option<String>,
    exit: Exit,
    out_of_memory: bool,
}

impl Error {
    /// A failure (exit code 1) with its cause.
    pub fn new(cause: impl Into<String>) -> Self {
        Self::with_exit(cause, Exit::Failed)
    }

    /// A wrong command line (exit code 2) with its cause.
    pub fn usage(cause: impl Into<String>) -> Self {
        Self::with_exit(cause, Exit::Usage)
    }

    /// A clean stop at a person's wish (exit code 130).
    pub fn interrupted(cause: impl Into<String>) -> Self {
        Self::with_exit(cause, Exit::Interrupted)
    }

    /// A file operation that failed: `action` is a verb ("write", "open"), the path is named, and a
    /// full disk, a missing file or a refused permission gets its own advice.
    pub fn io(action: &str, path: &Path, error: &io::Error) -> Self {
        let (what, advice) = match error.kind() {
            ErrorKind::StorageFull => {
                ("the disk is full".to_string(), Some("free some space, or write the run to another disk with --out"))
            }
            ErrorKind::QuotaExceeded => (
                "your disk quota is used up".to_string(),
                Some("free some space, or write the run to another disk with --out"),
            ),
            ErrorKind::ReadOnlyFilesystem => {
                ("the file system is read-only".to_string(), Some("choose a folder that can be written to"))
            }
            ErrorKind::PermissionDenied => {
                ("permission denied".to_string(), Some("check who owns the file and its folder"))
            }
            ErrorKind::NotFound if action == "write" => (
                "its folder doesn't exist".to_string(),
                Some("make the folder first, or choose another file with --out"),
            ),
            ErrorKind::NotFound => ("no such file or folder".to_string(), None),
            _ => (error.to_string(), None),
        };
        let this = Self::new(format!("can't {action} {}: {what}", path.display()));
        match advice {
            Some(advice) => this.with_advice(advice),
            None => this,
        }
    }

    /// The same error with a line of advice, which replaces an earlier one.
    pub fn with_advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// The same error as a fault of the command line (exit code 2).
    pub fn as_usage(mut self) -> Self {
        self.exit = Exit::Usage;
        self
    }

    /// An error of a device, which remembers whether memory was lacking.
    pub fn device(doing: impl Display, error: &rung_kernels::Error) -> Self {
        let out_of_memory = matches!(error, rung_kernels::Error::OutOfMemory { .. });
        Self { out_of_memory, ..Self::new(format!("{doing}: {error}")) }
    }

    /// Whether a device had no memory: less work at once may succeed.
    pub fn is_out_of_memory(&self) -> bool {
        self.out_of_memory
    }

    /// Whether a person asked to stop.
    pub fn is_interrupted(&self) -> bool {
        self.exit == Exit::Interrupted
    }

    /// What went wrong, on one line.
    pub fn cause(&self) -> &str {
        &self.cause
    }

    /// What to do, where there is something to do.
    pub fn advice(&self) -> Option<&str> {
        self.advice.as_deref()
    }

    /// The process's exit code: 1, 2 or 130.
    pub fn exit_code(&self) -> u8 {
        match self.exit {
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Interrupted => 130,
        }
    }

    fn with_exit(cause: impl Into<String>, exit: Exit) -> Self {
        Self { cause: cause.into(), advice: None, exit, out_of_memory: false }
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

impl std::error::Error for Error {}

/// Turns any library's error into the program's, saying what was being done.
pub trait Context<T> {
    /// The error becomes `"{doing}: {error}"`.
    fn context(self, doing: impl Display) -> Result<T>;
}

impl<T, E: Display> Context<T> for Result<T, E> {
    fn context(self, doing: impl Display) -> Result<T> {
        self.map_err(|error| Error::new(format!("{doing}: {error}")))
    }
}

/// Adds what to do to a result of the program.
pub trait Advise<T> {
    /// The error carries `advice`, which replaces an earlier one.
    fn with_advice(self, advice: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Advise<T> for Result<T> {
    fn with_advice(self, advice: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| error.with_advice(advice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_the_design() {
        assert_eq!(Error::new("a").exit_code(), 1);
        assert_eq!(Error::usage("a").exit_code(), 2);
        assert_eq!(Error::interrupted("a").exit_code(), 130);
        assert_eq!(Error::new("a").as_usage().exit_code(), 2);
    }

    #[test]
    fn a_full_disk_is_named_with_the_path_and_advice() {
        let error = Error::io("write", Path::new("runs/a/x.bin"), &io::Error::from(ErrorKind::StorageFull));
        assert_eq!(error.cause(), "can't write runs/a/x.bin: the disk is full");
        assert!(error.advice().is_some_and(|a| a.contains("free some space")));
    }

    #[test]
    fn context_and_advice_wrap_a_library_error() {
        let result: Result<u8> = "x".parse::<u8>().context("reading the seed").with_advice(|| "give a number".into());
        let error = result.unwrap_err();
        assert_eq!(error.to_string(), "reading the seed: invalid digit found in string");
        assert_eq!(error.advice(), Some("give a number"));
    }
}

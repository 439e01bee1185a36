//! The program's error: one line that says what went wrong, one that says what to do.
//!
//! Libraries return typed errors; here they become text, at the last moment, next to the person who
//! reads them, and stay reachable as the [`source`](std::error::Error::source): what the program
//! decides by (memory that was lacking, how the process ends, what to do) survives every
//! [`context`](Context::context). [`Error::exit_code`] is what the process ends with.

use std::any::Any;
use std::fmt::{self, Display};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

/// What the program's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// How the process ends when an error reaches `main`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Something failed: exit code 1.
    Failed,
    /// The command line is wrong: exit code 2.
    Usage,
    /// The user stopped the program, and a checkpoint was written: exit code 130.
    Interrupted,
}

/// A cause on one line, and what to do about it on another where there is something to do.
///
/// The cause is the whole story, with the words of the sources in it, because it is printed as one
/// line; the sources are kept for what is decided by their kind, not to be printed again.
#[derive(Debug, Clone)]
pub struct Error {
    cause: String,
    advice: Option<String>,
    exit: Exit,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
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

    /// A clean stop at the user's wish (exit code 130).
    pub fn interrupted(cause: impl Into<String>) -> Self {
        Self::with_exit(cause, Exit::Interrupted)
    }

    /// A file operation that failed: `action` is a verb ("write", "open"), the path is named, and a
    /// full disk, a missing file or a refused permission gets its own advice.
    pub fn io(action: &str, path: &Path, error: &io::Error) -> Self {
        let (what, advice) = match error.kind() {
            ErrorKind::StorageFull => (
                "the disk is full".to_string(),
                Some("free some space, or write the run to another disk with --out"),
            ),
            ErrorKind::QuotaExceeded => (
                "your disk quota is used up".to_string(),
                Some("free some space, or write the run to another disk with --out"),
            ),
            ErrorKind::ReadOnlyFilesystem => (
                "the file system is read-only".to_string(),
                Some("choose a folder that can be written to"),
            ),
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
        // An error of the system can't be cloned; its kind and its words can.
        let source = io::Error::new(error.kind(), error.to_string());
        Self {
            advice: advice.map(str::to_owned),
            source: Some(Arc::new(source)),
            ..Self::new(format!("can't {action} {}: {what}", path.display()))
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

    /// What `source` did to the program while it was `doing` something: `"{doing}: {source}"`.
    ///
    /// A source that is an error of the program keeps its advice and its exit code.
    pub fn caused(
        doing: impl Display,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        let own = (&source as &dyn Any).downcast_ref::<Self>();
        let (advice, exit) = own.map_or((None, Exit::Failed), |own| (own.advice.clone(), own.exit));
        Self { cause: format!("{doing}: {source}"), advice, exit, source: Some(Arc::new(source)) }
    }

    /// An error whose cause is in the words of `source`, which say all.
    pub fn from_source(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self {
            cause: source.to_string(),
            advice: None,
            exit: Exit::Failed,
            source: Some(Arc::new(source)),
        }
    }

    /// Whether a device had no memory, however much context has been added: less work at once may
    /// succeed.
    pub fn is_out_of_memory(&self) -> bool {
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            if matches!(error.downcast_ref(), Some(rung_kernels::Error::OutOfMemory { .. })) {
                return true;
            }
            source = error.source();
        }
        false
    }

    /// Whether the user asked to stop.
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
        Self { cause: cause.into(), advice: None, exit, source: None }
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// Turns any error into the program's, saying what was being done; see [`Error::caused`].
pub trait Context<T> {
    /// The error becomes `"{doing}: {error}"`, with the error as its source.
    fn context(self, doing: impl Display) -> Result<T>;
}

impl<T, E: std::error::Error + Send + Sync + 'static> Context<T> for Result<T, E> {
    fn context(self, doing: impl Display) -> Result<T> {
        self.map_err(|error| Error::caused(doing, error))
    }
}

/// Adds what to do to a result of the program.
pub trait Advise<T> {
    /// The error carries `advice`, unless it has one of its own, nearer to the cause, or memory was
    /// lacking, which is nothing that another file or part would mend.
    fn with_advice(self, advice: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Advise<T> for Result<T> {
    fn with_advice(self, advice: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| match error.advice {
            None if !error.is_out_of_memory() => error.with_advice(advice()),
            _ => error,
        })
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
        let error =
            Error::io("write", Path::new("runs/a/x.bin"), &io::Error::from(ErrorKind::StorageFull));
        assert_eq!(error.cause(), "can't write runs/a/x.bin: the disk is full");
        assert!(error.advice().is_some_and(|a| a.contains("free some space")));
    }

    #[test]
    fn context_and_advice_wrap_a_library_error() {
        let result: Result<u8> =
            "x".parse::<u8>().context("reading the seed").with_advice(|| "give a number".into());
        let error = result.with_advice(|| "ask somebody".into()).unwrap_err();
        assert_eq!(error.to_string(), "reading the seed: invalid digit found in string");
        assert_eq!(error.advice(), Some("give a number"), "the advice nearest to the cause stays");
    }

    #[test]
    fn context_keeps_the_kind_of_an_error() {
        let lacking = rung_kernels::Error::OutOfMemory {
            device: "cpu".into(),
            requested_bytes: 64,
            device_bytes: None,
        };
        let result: Result<()> =
            Err(lacking.clone()).context("reading x").context("scoring images");
        let error = result.unwrap_err();
        assert!(error.is_out_of_memory(), "{error:?}");
        assert_eq!(error.to_string(), format!("scoring images: reading x: {lacking}"));
        // The sources lead back to the device's own words.
        let inner = std::error::Error::source(&error).and_then(std::error::Error::source);
        assert_eq!(inner.map(ToString::to_string), Some(lacking.to_string()));
        assert!(!Error::new("scoring images: reading x").is_out_of_memory());

        let interrupted = Error::interrupted("stopped as asked").with_advice("go on");
        let error = Err::<(), _>(interrupted).context("a.toml").unwrap_err();
        assert_eq!((error.exit_code(), error.advice()), (130, Some("go on")));
        assert!(error.is_interrupted());
        let error = Err::<(), _>(Error::usage("no such key")).context("a.toml").unwrap_err();
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn an_error_of_a_file_says_its_kind_to_programs_too() {
        let error = Error::io("open", Path::new("a"), &io::Error::from(ErrorKind::NotFound));
        let source =
            std::error::Error::source(&error).and_then(|source| source.downcast_ref::<io::Error>());
        assert_eq!(source.map(io::Error::kind), Some(ErrorKind::NotFound));
    }
}

//! Why work stops before its end: Ctrl-C, of which the first asks the work to stop where nothing is
//! lost and the second ends the process at once, or time that is up.
//!
//! A training stops after its step and writes a checkpoint, which may take a while: the first
//! Ctrl-C is answered with a line at once. A command that only reads a run has nothing to save: it
//! ends within half a second, whatever it is in the middle of. Neither leaves a half-written file.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{process, thread};

use crate::error::{Context, Error, Result};
use crate::progress::Console;
use crate::run::atomic_file;

/// Whether to stop: because the user (or the system, with SIGTERM) has asked for it, or because the
/// time that the user gave is up.
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    requested: Arc<AtomicBool>,
    deadline: Option<Instant>,
}

/// How long a command without anything to save is given to end by itself.
const GRACE: Duration = Duration::from_millis(500);

impl Interrupt {
    /// Listens from now on, for a command that has nothing to save; to be called once in a process.
    ///
    /// # Errors
    /// If the system refuses a handler.
    pub fn install(console: &Console) -> Result<Self> {
        let console = console.clone();
        Self::listen(move || {
            thread::sleep(GRACE);
            console.error(&Error::interrupted("stopped as asked"));
            end();
        })
    }

    /// Listens from now on, for work that stops at a checkpoint and says so with `answer`; to be
    /// called once in a process.
    ///
    /// # Errors
    /// If the system refuses a handler.
    pub fn install_for_training(answer: impl Fn() + Send + 'static) -> Result<Self> {
        Self::listen(answer)
    }

    /// Does `first` at the first signal and ends the process at the second.
    fn listen(first: impl Fn() + Send + 'static) -> Result<Self> {
        let this = Self::default();
        let handler = this.clone();
        ctrlc::set_handler(move || {
            if handler.request() {
                end();
            }
            first();
        })
        .context("listening for Ctrl-C")?;
        Ok(this)
    }

    /// The same, which from this moment on asks to stop too.
    #[must_use]
    pub fn with_deadline(self, deadline: Option<Instant>) -> Self {
        Self { deadline, ..self }
    }

    /// Whether to stop; looked at after each step.
    pub fn requested(&self) -> bool {
        self.is_asked() || self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Whether nobody but the clock has asked to stop.
    pub fn is_out_of_time(&self) -> bool {
        self.requested() && !self.is_asked()
    }

    /// Why work stopped, in words.
    pub fn reason(&self) -> &'static str {
        if self.is_out_of_time() { "the time is up" } else { "stopped as asked" }
    }

    fn is_asked(&self) -> bool {
        self.requested.load(Ordering::Relaxed)
    }

    /// Notes a request and says whether there was one before.
    fn request(&self) -> bool {
        self.requested.swap(true, Ordering::Relaxed)
    }
}

/// Ends the process in the middle of its work.
fn end() -> ! {
    atomic_file::remove_temporary_files();
    process::exit(Error::interrupted("").exit_code().into());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_request_is_told_from_the_first() {
        let interrupt = Interrupt::default();
        assert!(!interrupt.requested());
        assert!(!interrupt.request());
        assert!(interrupt.requested());
        assert!(interrupt.request());
    }

    #[test]
    fn time_that_is_up_is_told_from_a_wish() {
        let far = Instant::now() + std::time::Duration::from_secs(3600);
        let early = Interrupt::default().with_deadline(Some(far));
        assert!(!early.requested() && !early.is_out_of_time());
        let late = Interrupt::default().with_deadline(Some(Instant::now()));
        assert!(late.requested() && late.is_out_of_time());
        assert_eq!(late.reason(), "the time is up");
        late.request();
        assert!(
            late.requested() && !late.is_out_of_time(),
            "the user asked, whatever the clock says"
        );
        assert_eq!(late.reason(), "stopped as asked");
    }

    #[test]
    #[cfg(unix)]
    fn a_signal_is_noticed() {
        let interrupt = Interrupt::install_for_training(|| ()).unwrap();
        let pid = process::id().to_string();
        let sent = process::Command::new("sh").args(["-c", &format!("kill -TERM {pid}")]).status();
        assert!(sent.unwrap().success());
        for _ in 0..500 {
            if interrupt.requested() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("SIGTERM was not noticed within five seconds");
    }
}

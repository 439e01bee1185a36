//! Ctrl-C: the first asks the run to stop after its step, the second ends the process at once.

use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Context, Result};

/// Whether the user (or the system, with SIGTERM) has asked the program to stop.
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    requested: Arc<AtomicBool>,
}

impl Interrupt {
    /// Listens from now on; to be called once in a process.
    ///
    /// # Errors
    /// If the system refuses a handler.
    pub fn install() -> Result<Self> {
        let this = Self::default();
        let handler = this.clone();
        ctrlc::set_handler(move || {
            if handler.request() {
                process::exit(130);
            }
        })
        .context("listening for Ctrl-C")?;
        Ok(this)
    }

    /// Whether to stop; looked at after each step.
    pub fn requested(&self) -> bool {
        self.requested.load(Ordering::Relaxed)
    }

    /// Notes a request and says whether there was one before.
    fn request(&self) -> bool {
        self.requested.swap(true, Ordering::Relaxed)
    }
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
    #[cfg(unix)]
    fn a_signal_is_noticed() {
        let interrupt = Interrupt::install().unwrap();
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

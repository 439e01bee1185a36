//! Which library is opened: the one a person names, or the first there is of the platform's names.

use std::ffi::OsString;
use std::fmt;
use std::sync::OnceLock;

/// The environment variable that names another library than the system's.
pub const LIBRARY_VARIABLE: &str = "RUNG_OPENCL_LIBRARY";

/// The names the library has. Machines without a development package have only the one with the
/// version.
#[cfg(target_os = "windows")]
const NAMES: &[&str] = &["OpenCL.dll"];
#[cfg(not(target_os = "windows"))]
const NAMES: &[&str] = &["libOpenCL.so.1", "libOpenCL.so"];

/// No library could be used: each that was tried, and what the system said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotFound {
    /// Name, and why it could not be used.
    pub tried: Vec<(String, String)>,
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.tried.iter().map(|(name, _)| name.as_str()).collect();
        write!(f, "no OpenCL library: looked for {}", names.join(", "))
    }
}

impl std::error::Error for NotFound {}

/// The names that are tried, in this order.
#[must_use]
pub fn candidates() -> Vec<OsString> {
    match std::env::var_os(LIBRARY_VARIABLE) {
        Some(name) if !name.is_empty() => vec![name],
        _ => NAMES.iter().map(OsString::from).collect(),
    }
}

/// Opens the library, once for the life of the program; later calls return what the first one did.
///
/// # Errors
/// [`NotFound`] if there is none, or none that has all functions of OpenCL 1.2.
pub fn load() -> Result<(), NotFound> {
    static OUTCOME: OnceLock<Result<(), NotFound>> = OnceLock::new();
    OUTCOME.get_or_init(open_first).clone()
}

#[cfg(target_os = "macos")]
fn open_first() -> Result<(), NotFound> {
    Ok(())
}

#[cfg(not(target_os = "macos"))]
fn open_first() -> Result<(), NotFound> {
    let mut tried = Vec::new();
    for name in candidates() {
        match super::trampolines::open(&name) {
            Ok(()) => return Ok(()),
            Err(why) => tried.push((name.to_string_lossy().into_owned(), why)),
        }
    }
    Err(NotFound { tried })
}

/// How many platforms (drivers) the opened library has. `ocl` waits for seconds where there is
/// none; this does not.
#[must_use]
#[cfg(not(target_os = "macos"))]
pub fn platform_count() -> usize {
    super::trampolines::platform_count()
}

/// macOS has one platform.
#[must_use]
#[cfg(target_os = "macos")]
pub fn platform_count() -> usize {
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versioned_name_comes_first() {
        if std::env::var_os(LIBRARY_VARIABLE).is_none() {
            assert!(cfg!(windows) || candidates() == ["libOpenCL.so.1", "libOpenCL.so"]);
        }
    }

    #[test]
    fn the_error_names_what_was_looked_for() {
        let tried =
            vec![("libA.so".into(), "missing".into()), ("libB.so".into(), "missing".into())];
        assert_eq!(
            NotFound { tried }.to_string(),
            "no OpenCL library: looked for libA.so, libB.so"
        );
    }
}

//! The program `rung` as its users meet it: started, signalled and read from outside.
#![allow(dead_code)] // Each test file that takes this in uses a part of it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// The program, built with the profile of these tests; `RUNG_BINARY` names another one.
pub(crate) fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("RUNG_BINARY") {
            return path.into();
        }
        // The test lies in TARGET/PROFILE/deps.
        let test = std::env::current_exe().unwrap();
        let folder = test.ancestors().nth(2).unwrap();
        let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        build
            .args(["build", "--quiet", "-p", "rung", "--target-dir"])
            .arg(folder.parent().unwrap());
        if folder.ends_with("release") {
            build.arg("--release");
        }
        // What Cargo tells a test of its own package, build scripts of dependencies take for a
        // change: they would be run, and what depends on them compiled.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            let of_package = ["CARGO_PKG_", "CARGO_MANIFEST_", "OUT_DIR"];
            if of_package.iter().any(|start| text.starts_with(start)) {
                build.env_remove(&name);
            }
        }
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        assert!(build.current_dir(manifest).status().unwrap().success(), "rung does not build");
        folder.join("rung")
    })
}

/// How a command ended and what it said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    fn new(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("rung prints UTF-8");
        let said = Self {
            code: output.status.code(),
            out: text(&output.stdout),
            err: text(&output.stderr),
        };
        assert!(
            !said.out.contains('\x1b') && !said.err.contains('\x1b'),
            "escape codes in a pipe: {said:?}"
        );
        assert!(!said.err.contains("panicked"), "rung panicked: {}", said.err);
        said
    }

    /// The line that begins with `error:`, which is the only one.
    pub(crate) fn error(&self) -> &str {
        let mut errors = self.err.lines().filter_map(|line| line.strip_prefix("error: "));
        let error = errors.next().unwrap_or_else(|| panic!("no error in {self:?}"));
        assert_eq!(errors.next(), None, "more than one error");
        error
    }

    /// Holds the exit code to `code`.
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }
}

fn command(arguments: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments).stdin(Stdio::null()).env_remove("RUNG_DATA");
    command
}

/// Runs `rung` to its end.
pub(crate) fn rung(arguments: &[impl AsRef<OsStr>]) -> Said {
    Said::new(&command(arguments).output().unwrap())
}

/// Runs `rung` to its end with an environment variable.
pub(crate) fn rung_where(variable: &str, value: &str, arguments: &[impl AsRef<OsStr>]) -> Said {
    Said::new(&command(arguments).env(variable, value).output().unwrap())
}

/// Runs `rung` with a limit of its own, in the words of `ulimit`: `-f 20` is one of 20 KiB on the
/// size of files.
pub(crate) fn rung_with_limit(limit: &str, arguments: &[impl AsRef<OsStr>]) -> Said {
    let mut shell = Command::new("bash");
    shell.args(["-c", &format!("trap '' XFSZ; ulimit {limit}; exec \"$@\""), "bash"]);
    Said::new(&shell.arg(binary()).args(arguments).stdin(Stdio::null()).output().unwrap())
}

/// Starts `rung`; what it says is kept until [`finish`].
pub(crate) fn start(arguments: &[impl AsRef<OsStr>]) -> Child {
    start_where(&[], arguments)
}

/// Starts `rung` with environment variables.
pub(crate) fn start_where(variables: &[(&str, &Path)], arguments: &[impl AsRef<OsStr>]) -> Child {
    let mut command = command(arguments);
    command.envs(variables.iter().copied());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for a started program.
pub(crate) fn finish(child: Child) -> Said {
    Said::new(&child.wait_with_output().unwrap())
}

/// Sends Ctrl-C.
pub(crate) fn interrupt(child: &Child) {
    assert!(
        Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success()
    );
}

/// A process that would outlive a test which fails.
pub(crate) struct Endless(Option<Child>);

impl Endless {
    pub(crate) fn new(child: Child) -> Self {
        Self(Some(child))
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        self.0.as_mut().unwrap()
    }

    /// Leaves it to whoever waits for it.
    pub(crate) fn take(&mut self) -> Child {
        self.0.take().unwrap()
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A folder of its own for one run.
pub(crate) struct Run {
    _folder: tempfile::TempDir,
    pub(crate) path: PathBuf,
}

impl Run {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { path: folder.path().join("run"), _folder: folder }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn last(&self) -> PathBuf {
        self.file("checkpoints/last.safetensors")
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        fs::read(self.last()).unwrap()
    }

    /// The lines of the metrics without the times, which differ from run to run.
    pub(crate) fn metrics(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.file("metrics.jsonl")).unwrap();
        let line = |line: &str| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            line.as_object_mut().unwrap().retain(|key, _| !key.ends_with("_s"));
            line
        };
        text.lines().map(line).collect()
    }

    /// Trains a new run of a tiny ladder on a few glyphs.
    pub(crate) fn train(&self, epochs: usize, more: &[&str]) -> Vec<String> {
        let out = self.path.display().to_string();
        let epochs = epochs.to_string();
        let fixed = [
            "train",
            "--out",
            &out,
            "--epochs",
            &epochs,
            "--batch-size",
            "32",
            "--warmup-epochs",
            "3",
            "--threads",
            "1",
        ];
        let sizes = [
            "model.latent_sizes=[6,3]",
            "model.hidden_sizes=[24,12]",
            "data.train_images=320",
            "data.test_images=40",
            "train.checkpoint_every_epochs=1",
            "train.evaluate_every_epochs=1",
        ];
        let sets = sizes.iter().flat_map(|size| ["--set", size]);
        fixed.into_iter().chain(sets).chain(more.iter().copied()).map(str::to_owned).collect()
    }

    /// Goes on with the run up to `epochs`.
    pub(crate) fn resume(&self, epochs: usize) -> Vec<String> {
        ["train", "--resume", &self.path.display().to_string(), "--epochs", &epochs.to_string()]
            .map(str::to_owned)
            .to_vec()
    }
}

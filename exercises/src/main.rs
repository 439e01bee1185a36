//! The door to the exercises: `cargo run -p exercises -- check NN`.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, SystemTime};

use exercises::{GRADER, NAMES, folder};

const HELP: &str = "\
cargo run -p exercises                   all exercises
cargo run -p exercises -- check NN|all   checks an answer; the first call makes the file to edit
cargo run -p exercises -- watch [NN]     checks each answer when it is saved, beginning with NN
cargo run -p exercises -- hint NN [N]    a hint; N = 2 for the second, and so on
cargo run -p exercises -- reset NN       puts the skeleton back, your answer in NN-….rs.old";

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        [] | ["list"] => list().map(|()| true),
        ["check", "all"] => grade(None),
        ["check", number] => find(number).and_then(check),
        ["watch"] => watch(NAMES[0]),
        ["watch", number] => find(number).and_then(watch),
        ["hint", number] => find(number).and_then(|name| hint(name, "1")).map(|()| true),
        ["hint", number, nth] => find(number).and_then(|name| hint(name, nth)).map(|()| true),
        ["reset", number] => find(number).and_then(reset).map(|()| true),
        _ => {
            eprintln!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The exercise of a number, which may be written 7 or 07.
fn find(number: &str) -> Result<&'static str> {
    let padded = format!("{number:0>2}-");
    NAMES.iter().find(|name| name.starts_with(&padded)).copied().ok_or_else(|| {
        format!("there is no exercise {number}: they are 01 to {:02}", NAMES.len()).into()
    })
}

fn skeleton(name: &str) -> PathBuf {
    folder().join(name).join("skeleton.rs")
}

fn answer(name: &str) -> PathBuf {
    folder().join(format!("answers/{name}.rs"))
}

/// A path as it is seen from where the program was started, if it is below.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}

fn list() -> Result<()> {
    for name in NAMES {
        // The first line is `//! Exercise 01, chapter 1: Local derivatives`.
        let text = std::fs::read_to_string(skeleton(name))?;
        let title = text.lines().next().unwrap_or("").trim_start_matches("//! Exercise ");
        let begun = if answer(name).exists() { "  (begun)" } else { "" };
        println!("{title}{begun}");
    }
    println!("\n{HELP}");
    Ok(())
}

/// Makes the file to edit unless it is there.
fn begin(name: &str) -> Result<()> {
    let path = answer(name);
    if !path.exists() {
        std::fs::create_dir_all(folder().join("answers"))?;
        std::fs::copy(skeleton(name), &path)?;
        println!("edit {}: the task stands at its top", shown(&path));
    }
    Ok(())
}

fn check(name: &'static str) -> Result<bool> {
    begin(name)?;
    grade(Some(name))
}

/// Compiles the answers and checks them.
fn grade(name: Option<&str>) -> Result<bool> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What Cargo tells this program of its own package, build scripts of dependencies take for a
    // change: they would be run, and what depends on them compiled, at each call.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "OUT_DIR"].iter().any(|start| text.starts_with(start))
        {
            cargo.env_remove(&name);
        }
    }
    cargo.current_dir(folder()).args(["run", "--quiet", "--bin", GRADER, "--"]);
    if let Some(name) = name {
        // Only this answer is compiled: mistakes in others don't matter.
        cargo.env("EXERCISE", name).arg(name);
    }
    Ok(cargo.status()?.success())
}

/// Checks an answer each time it is saved, and goes on when it passes.
fn watch(first: &'static str) -> Result<bool> {
    let start = NAMES.iter().position(|name| *name == first).unwrap_or(0);
    for name in &NAMES[start..] {
        println!("\n{name}: exercises/answers/{name}.rs");
        begin(name)?;
        loop {
            // Noted before the check: what is saved during it is checked next.
            let before = saved(name)?;
            if grade(Some(name))? {
                break;
            }
            println!("(waiting for the file to be saved; hint {} may help)", &name[..2]);
            while saved(name)? == before {
                std::thread::sleep(Duration::from_millis(300));
            }
        }
    }
    println!("\nAll exercises pass.");
    Ok(true)
}

/// When an answer was saved; editors that replace a file may leave none for a moment.
fn saved(name: &str) -> Result<Option<SystemTime>> {
    match std::fs::metadata(answer(name)) {
        Ok(metadata) => Ok(Some(metadata.modified()?)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn hint(name: &str, nth: &str) -> Result<()> {
    let hints = exercises::hints(name)?;
    let nth: usize = nth.parse().map_err(|_| format!("{nth} is no number of a hint"))?;
    let hint = nth.checked_sub(1).and_then(|index| hints.get(index));
    println!("{}", hint.ok_or_else(|| format!("there are {} hints", hints.len()))?);
    if nth < hints.len() {
        println!("\n(hint {} {} says more)", &name[..2], nth + 1);
    }
    Ok(())
}

fn reset(name: &str) -> Result<()> {
    let path = answer(name);
    if path.exists() {
        let old = path.with_extension("rs.old");
        std::fs::rename(&path, &old)?;
        println!("your answer is kept as {}", shown(&old));
    }
    begin(name)
}

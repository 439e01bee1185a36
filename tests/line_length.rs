//! No line is longer than a person reads at ease: 100 columns, in whatever `cargo fmt` does not
//! see.

use std::fs;
use std::path::{Path, PathBuf};

const COLUMNS: usize = 100;

/// Kinds of text whose every line counts. Of Rust only the comments do: `cargo fmt` has the code,
/// and what it leaves longer is text that a line break would change.
const WHOLE: [&str; 10] = ["sh", "py", "cl", "js", "css", "html", "c", "toml", "yml", "run"];

/// Pages with one line for each key, written by the program.
const GENERATED: [&str; 1] = ["docs/configuration.md"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// The files below `folder` that git does not ignore, as far as this project's .gitignore goes:
/// whole names, and paths from the root.
fn files(folder: &Path, ignored: &[String], found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let relative = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name == ".git" || ignored.iter().any(|it| it == name || it == &relative) {
            continue;
        }
        if path.is_dir() { files(&path, ignored, found) } else { found.push(path) }
    }
}

/// The numbers of the lines of `text` that are too long; `kind` is the file's extension, or its
/// name where it has none.
fn too_long(kind: &str, text: &str) -> Vec<usize> {
    let mut fenced = false;
    let mut counts = |line: &str| {
        let start = line.trim_start();
        match kind {
            // A table's row and a line of code can't be broken.
            "md" => {
                let fence = start.starts_with("```");
                fenced ^= fence;
                !fenced && !fence && !start.starts_with('|') && !line.starts_with("    ")
            }
            "rs" => {
                start.starts_with("//")
                    && !start.trim_start_matches(['/', '!', ' ']).starts_with('|')
            }
            _ => WHOLE.contains(&kind),
        }
    };
    let lines = text.lines().enumerate();
    lines
        .filter(|(_, line)| counts(line) && line.chars().count() > COLUMNS)
        .map(|(index, _)| index + 1)
        .collect()
}

#[test]
fn no_line_is_too_long() {
    let ignored = fs::read_to_string(root().join(".gitignore")).unwrap();
    let ignored: Vec<_> = ignored.lines().map(|line| line.trim_matches('/').to_owned()).collect();
    let mut paths = vec![];
    files(&root(), &ignored, &mut paths);
    let (mut read, mut faults) = (0, vec![]);
    for path in paths {
        let relative = path.strip_prefix(root()).unwrap().to_str().unwrap();
        let kind = path.extension().or(path.file_name()).unwrap().to_str().unwrap();
        // A binary file has no lines.
        let Ok(text) = fs::read_to_string(&path) else { continue };
        if GENERATED.contains(&relative) {
            continue;
        }
        read += 1;
        faults.extend(too_long(kind, &text).iter().map(|line| format!("{relative}:{line}")));
    }
    assert!(read > 500, "only {read} files were found");
    assert!(faults.is_empty(), "longer than {COLUMNS} columns:\n{}", faults.join("\n"));
}

#[test]
fn what_counts_is_found() {
    let long = "é".repeat(COLUMNS + 1);
    let fitting = "é".repeat(COLUMNS);
    assert_eq!(too_long("sh", &format!("a\n{long}\n{fitting}")), [2]);
    assert_eq!(
        too_long("rs", &format!("//! {long}\n\"{long}\"\n    // {long}\n/// | {long} |")),
        [1, 3]
    );
    assert_eq!(too_long("md", &format!("{long}\n| {long} |\n```sh\n{long}\n```\n{long}")), [1, 6]);
    assert_eq!(too_long("png", &long), [0; 0]);
}

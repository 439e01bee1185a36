//! What the program is made of: the licences of its dependencies, and its unsafe code.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Licences that ask for no more than to be named.
const ALLOWED: [&str; 10] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Zlib",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Whether an expression of licences can be kept by those allowed: of every part joined by AND one
/// alternative.
fn is_allowed(expression: &str) -> bool {
    expression.split(" AND ").all(|part| {
        let part = part.trim_matches(['(', ')']).replace('/', " OR ");
        part.split(" OR ").any(|licence| ALLOWED.contains(&licence.trim_matches(['(', ')', ' '])))
    })
}

#[test]
fn expressions_of_licences_are_understood() {
    for allowed in ["MIT", "Unlicense/MIT", "(MIT OR Apache-2.0) AND Unicode-3.0", "GPL-3.0 OR ISC"]
    {
        assert!(is_allowed(allowed), "{allowed}");
    }
    for refused in ["GPL-3.0", "MIT AND GPL-3.0", "Unlicense", ""] {
        assert!(!is_allowed(refused), "{refused}");
    }
}

/// What Cargo says of the workspace and all that it depends on.
fn metadata() -> serde_json::Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--format-version", "1", "--locked"]).current_dir(root());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn every_dependency_has_a_licence_that_is_allowed() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    let wrong: Vec<String> = packages
        .iter()
        .filter(|package| !is_allowed(package["license"].as_str().unwrap_or_default()))
        .map(|package| format!("{}: {}", package["name"], package["license"]))
        .collect();
    assert!(packages.len() > 50 && wrong.is_empty(), "{wrong:?}");
}

/// The files of the workspace's packages in which code is unsafe, tests apart, and how often each
/// says so.
fn unsafe_code() -> BTreeMap<String, usize> {
    let root = root();
    let metadata = metadata();
    // A package of the workspace has no source to be fetched from.
    let own = |package: &&serde_json::Value| package["source"].is_null();
    let mut folders: Vec<PathBuf> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .filter(own)
        .map(|package| Path::new(package["manifest_path"].as_str().unwrap()).with_file_name("src"))
        .filter(|folder| folder.exists())
        .collect();
    assert!(folders.len() > 6, "{folders:?}");
    let mut found = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
            let words =
                code.flat_map(|line| line.split(|c: char| !(c.is_alphanumeric() || c == '_')));
            let count = words.filter(|word| *word == "unsafe").count();
            if count > 0 {
                found.insert(path.strip_prefix(&root).unwrap().display().to_string(), count);
            }
        }
    }
    found
}

/// The compiler asks for a reason at every unsafe block (`undocumented_unsafe_blocks`); the page
/// says why there are any, and in which file how many.
#[test]
fn the_page_on_reliability_lists_all_unsafe_code() {
    let page = fs::read_to_string(root().join("docs/reliability.md")).unwrap();
    let row = |line: &str| -> Option<(String, usize)> {
        let (path, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
        let count = rest.split(' ').next()?.parse().ok()?;
        path.ends_with(".rs").then(|| (path.to_owned(), count))
    };
    let listed: BTreeMap<String, usize> = page.lines().filter_map(row).collect();
    assert_eq!(unsafe_code(), listed, "unsafe code, and what the page says of it");
}

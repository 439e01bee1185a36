//! What the program is made of: the licences of its dependencies, and its unsafe code.

use std::collections::BTreeSet;
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

#[test]
fn every_dependency_has_a_licence_that_is_allowed() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--format-version", "1", "--locked"]).current_dir(root());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let wrong: Vec<String> = packages
        .iter()
        .filter(|package| !is_allowed(package["license"].as_str().unwrap_or_default()))
        .map(|package| format!("{}: {}", package["name"], package["license"]))
        .collect();
    assert!(packages.len() > 50 && wrong.is_empty(), "{wrong:?}");
}

/// Every file with unsafe code in what the program is built of.
fn unsafe_code() -> BTreeSet<String> {
    let root = root();
    let mut folders: Vec<PathBuf> =
        ["opencl-loader", "kernels", "autograd", "models", "datasets", "train"]
            .map(|package| root.join(package).join("src"))
            .to_vec();
    let mut found = BTreeSet::new();
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
            let mut words =
                code.flat_map(|line| line.split(|c: char| !(c.is_alphanumeric() || c == '_')));
            if words.any(|word| word == "unsafe") {
                found.insert(path.strip_prefix(&root).unwrap().display().to_string());
            }
        }
    }
    found
}

/// The compiler asks for a reason at every unsafe block (`undocumented_unsafe_blocks`); the page
/// says why there are any.
#[test]
fn the_page_on_reliability_lists_all_unsafe_code() {
    let page = fs::read_to_string(root().join("docs/reliability.md")).unwrap();
    let listed: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .filter(|path| path.ends_with(".rs"))
        .map(str::to_owned)
        .collect();
    assert_eq!(unsafe_code(), listed, "files with unsafe code, and those of the page");
}

//! Lists the exercises, so that a new one is a new folder and nothing else.
//!
//! Three sets are made of them, each a module for every exercise with what is checked and its
//! parts: the skeletons, the solutions, and the reader's answers (skeletons where there is no
//! answer yet). They are not linted: what a reader writes is the reader's. `EXERCISE` names the one
//! whose answer is wanted; without it all are taken.

use std::fmt::Write;
use std::path::{Path, PathBuf};

fn main() {
    let home = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    println!("cargo:rerun-if-changed=.");
    println!("cargo:rerun-if-env-changed=EXERCISE");
    let wanted = std::env::var("EXERCISE").ok();
    let names = names(&home);
    let answer = |name: &str| {
        let answer = home.join(format!("answers/{name}.rs"));
        let is_wanted = wanted.as_ref().is_none_or(|wanted| wanted == name);
        if is_wanted && answer.exists() { answer } else { home.join(name).join("skeleton.rs") }
    };
    let write = |file: &str, text: String| {
        std::fs::write(out.join(file), text).expect("the output folder can be written");
    };
    write("names.rs", format!("&{names:?}"));
    write("answers.rs", modules(&home, &names, answer));
    write("skeletons.rs", modules(&home, &names, |name| home.join(name).join("skeleton.rs")));
    write("solutions.rs", modules(&home, &names, |name| home.join(format!("solutions/{name}.rs"))));
}

/// Folders whose names begin with two digits, in order.
fn names(home: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(home).expect("the package's folder can be read");
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.as_bytes().iter().take(2).all(u8::is_ascii_digit))
        .collect();
    names.sort();
    names
}

fn modules(home: &Path, names: &[String], file: impl Fn(&str) -> PathBuf) -> String {
    let mut text = String::new();
    let mut list = String::new();
    for name in names {
        let check = home.join(name).join("check.rs");
        let module = format!("exercise_{}", &name[..2]);
        let _ = writeln!(
            text,
            "#[allow(unused, unreachable_pub, missing_docs, clippy::all, rustdoc::all)]\n\
             mod {module} {{\n\
             #[path = {:?}] pub mod answer;\n#[path = {check:?}] pub mod check;\n}}",
            file(name)
        );
        let _ = writeln!(list, "({name:?}, {module}::check::PARTS),");
    }
    text + "const CHECKS: &[exercises::Named] = &[\n" + &list + "];\n"
}

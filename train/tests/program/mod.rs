//! The program `rung`, started and read from outside.
#![allow(dead_code)] // Each test file that takes this in uses a part of it.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The program with these arguments, without a folder of data sets, when it has ended.
pub(crate) fn rung(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rung"))
        .args(arguments)
        .stdin(Stdio::null())
        .env_remove("RUNG_DATA")
        .output()
        .expect("the program starts")
}

/// What it prints, where it succeeds.
pub(crate) fn says(arguments: &[&str]) -> String {
    let output = rung(arguments);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}\n{err}");
    String::from_utf8(output.stdout).unwrap()
}

/// Its message, where it ends with this exit code.
pub(crate) fn fails(arguments: &[&str], code: i32) -> String {
    let output = rung(arguments);
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{err}");
    assert!(!err.contains("panicked"), "{arguments:?}\n{err}");
    err
}

/// The objects of a file of JSON lines.
pub(crate) fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

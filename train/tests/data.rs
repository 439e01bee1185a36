//! A user's own data from the first look to the report: the program takes it for what it is, in every command.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rung_datasets::DataRecord;
use rung_datasets::npy::{NpyArray, NpyValues};
use rung_datasets::npz::NpzWriter;

fn rung(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rung"));
    command.args(arguments).stdin(Stdio::null()).env_remove("RUNG_DATA").output().unwrap()
}

/// What a command that succeeds prints, and what it tells.
fn says(arguments: &[&str]) -> (String, String) {
    let output = rung(arguments);
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{arguments:?}: {err}");
    (out, err)
}

/// What a command that fails tells.
fn fails(arguments: &[&str]) -> String {
    let output = rung(arguments);
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && !err.contains("panicked"), "{arguments:?}: {err}");
    err
}

fn write_npz(path: &Path, arrays: &[(&str, &[usize], NpyValues)]) {
    let mut writer = NpzWriter::create(path).unwrap();
    for (name, shape, values) in arrays {
        writer.add(name, &NpyArray { shape: shape.to_vec(), values: values.clone() }).unwrap();
    }
    writer.finish().unwrap();
}

/// Bytes of no pattern.
fn bytes(count: usize) -> NpyValues {
    NpyValues::U8((0..count as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect())
}

#[test]
fn colour_images_of_a_file_of_ones_own_go_through_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    write_npz(Path::new(&at("a.npz")), &[("images", &[12, 32, 32, 3], bytes(12 * 32 * 32 * 3))]);
    let (data, run) = (format!("npz:{}", at("a.npz")), at("run"));
    let (out, _) = says(&[
        "train",
        "--preset",
        "biva-cifar-small",
        "--dataset",
        &data,
        "--epochs",
        "1",
        "--batch-size",
        "4",
        "--out",
        &run,
    ]);
    assert!(out.contains("report: ") && Path::new(&at("run/report.html")).is_file(), "{out}");
    let record: DataRecord = serde_json::from_str(&fs::read_to_string(at("run/data.json")).unwrap()).unwrap();
    assert_eq!((record.shape.to_string().as_str(), record.images.train, record.images.test), ("3x32x32", 11, 1));
    for command in ["sample", "report", "reconstruct", "encode", "info", "export", "anomaly"] {
        says(&[command, &run]);
    }
    says(&["evaluate", &run, "--importance-samples", "2"]);
    // Other images under the same name are noticed, and the record stays as it was.
    let before = fs::read(at("run/data.json")).unwrap();
    write_npz(Path::new(&at("a.npz")), &[("images", &[12, 16, 16, 3], bytes(12 * 16 * 16 * 3))]);
    let error = fails(&["train", "--resume", &run, "--epochs", "2"]);
    assert!(error.contains("it had images of 3x32x32, it has images of 3x16x16"), "{error}");
    assert_eq!(fs::read(at("run/data.json")).unwrap(), before);
    assert!(fails(&["reconstruct", &run]).contains("the model is for images of 3x32x32"));
}

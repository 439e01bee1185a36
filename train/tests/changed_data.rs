//! Data that is not what it was when a run began is noticed, wherever a command is run from.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rung_datasets::npy::{NpyArray, NpyValues};
use rung_datasets::npz::NpzWriter;

/// Images of 4x4 for training and testing; `salt` makes others of them.
fn write(path: &Path, train: usize, salt: u8) {
    let mut writer = NpzWriter::create(path).unwrap();
    for (part, count) in [("train", train), ("test", 10)] {
        let value = |k: u32| (k + 1).wrapping_mul(2_654_435_761).to_be_bytes()[0] ^ salt;
        let values = NpyValues::U8((0..count as u32 * 16).map(value).collect());
        writer.add(part, &NpyArray { shape: vec![count, 4, 4], values }).unwrap();
    }
    writer.finish().unwrap();
}

/// Runs the program in `folder`.
fn rung(folder: &Path, line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rung"));
    command
        .args(line.split_whitespace())
        .current_dir(folder)
        .stdin(Stdio::null())
        .env_remove("RUNG_DATA");
    command.output().unwrap()
}

/// What a command that succeeds tells.
fn tells(folder: &Path, line: &str) -> String {
    let output = rung(folder, line);
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{line}: {err}");
    err
}

fn refuses(folder: &Path, line: &str) -> String {
    let output = rung(folder, line);
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && !err.contains("panicked"), "{line}: {err}");
    err
}

const TRAIN: &str = "train --dataset npz:a.npz --out run --epochs 1 --batch-size 16 --threads 1 \
--warmup-epochs 0 --set model.latent_sizes=[4,2] --set model.hidden_sizes=[8,4]";
const EVALUATE: &str = "evaluate run --importance-samples 2";

#[test]
fn data_that_changed_is_refused_by_training_and_named_by_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let (folder, file) = (folder.path(), folder.path().join("a.npz"));
    write(&file, 64, 0);
    tells(folder, TRAIN);
    let config = fs::read(folder.join("run/config.toml")).unwrap();
    for (what, train, salt, expected) in [
        (
            "halved",
            32,
            0,
            "it had 64 training, 0 validation and 10 test images, it has 32 training",
        ),
        ("doubled", 128, 0, "it has 128 training"),
        ("other images", 64, 1, "its train images or their labels are others (SHA-256 "),
    ] {
        write(&file, train, salt);
        let err = refuses(folder, "train --resume run --epochs 2");
        assert!(
            err.contains("is not what it was when the run began") && err.contains(expected),
            "{what}: {err}"
        );
        assert_eq!(
            fs::read(folder.join("run/config.toml")).unwrap(),
            config,
            "{what}: the configuration changed"
        );
        let err = tells(folder, EVALUATE);
        assert!(
            err.contains("is not what it was when the training began") && err.contains(expected),
            "{what}: {err}"
        );
    }
    write(&file, 64, 0);
    assert!(!tells(folder, EVALUATE).contains("is not what it was"));
    tells(folder, "train --resume run --epochs 2");
}

#[test]
fn a_relative_path_is_about_the_folder_the_run_was_started_in() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(&folder.join("a.npz"), 64, 0);
    tells(folder, TRAIN);
    let elsewhere = folder.join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    write(&elsewhere.join("a.npz"), 64, 9);
    let err = tells(&elsewhere, "evaluate ../run --importance-samples 2");
    assert!(!err.contains("is not what it was"), "another file of the same name was taken: {err}");
    // Moved: found again where the command says, and still the same data.
    let moved = folder.join("moved");
    fs::create_dir(&moved).unwrap();
    fs::rename(folder.join("a.npz"), moved.join("a.npz")).unwrap();
    refuses(&elsewhere, "evaluate ../run --importance-samples 2");
    let err = tells(&elsewhere, "evaluate ../run --importance-samples 2 --data-dir ../moved");
    assert!(!err.contains("is not what it was"), "{err}");
    tells(&elsewhere, "train --resume ../run --epochs 2 --data-dir ../moved");
    tells(&elsewhere, "evaluate ../run --importance-samples 2");
}

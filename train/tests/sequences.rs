//! Cluttered sequences from the configuration to every command, as a data set like others.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rung_datasets::npy::NpyValues;
use rung_datasets::{DataRecord, npz};

/// Two digits on a canvas of 56x56, pooled to 14x14.
const SMALL: [&str; 6] = [
    "data.sequence_canvas=56",
    "data.sequence_digits=2",
    "data.sequence_distractors=2",
    "data.sequence_pooling=4",
    "data.train_images=64",
    "data.test_images=24",
];
/// A ladder of two small layers.
const LADDER: [&str; 3] =
    ["model.latent_sizes=[4,2]", "model.hidden_sizes=[16,8]", "train.batch_size=16"];

fn rung(arguments: &[&str], sets: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rung"));
    command.args(arguments).args(sets.iter().flat_map(|pair| ["--set", pair]));
    command.stdin(Stdio::null()).env_remove("RUNG_DATA").output().unwrap()
}

/// What a command that succeeds prints, and what it tells.
fn says(arguments: &[&str], sets: &[&str]) -> (String, String) {
    let output = rung(arguments, sets);
    let (out, err) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{arguments:?}: {err}");
    (out, err)
}

/// What a command that fails tells.
fn fails(arguments: &[&str], sets: &[&str]) -> String {
    let output = rung(arguments, sets);
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && !err.contains("panicked"), "{arguments:?}: {err}");
    err
}

#[test]
fn sequences_go_through_training_resumption_and_every_use_of_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let train = |out: &str, epochs: &str, more: &[&str]| {
        let arguments =
            ["train", "--dataset", "sequences:glyphs", "--epochs", epochs, "--out", out];
        says(&arguments, &[&SMALL[..], &LADDER, more].concat())
    };
    let whole = at("whole");
    let (_, err) = train(&whole, "2", &["data.validation_images=20"]);
    let line = "sequences: 2 digits of glyphs (10000 for training, 1000 for validation, 2000 for \
    test) and 2 patches on a canvas of 56x56, means of 4x4 pixels rounded to bytes; seed 1234";
    assert!(err.contains(line), "{err}");
    let record: DataRecord =
        serde_json::from_str(&fs::read_to_string(at("whole/data.json")).unwrap()).unwrap();
    assert_eq!((record.shape.to_string().as_str(), record.positions), ("1x14x14", 2));
    assert_eq!((record.images.train, record.images.validation, record.images.test), (64, 20, 24));
    // In two goes it is the same training.
    let halves = at("halves");
    train(&halves, "1", &["data.validation_images=20"]);
    says(&["train", "--resume", &halves, "--epochs", "2"], &[]);
    let last = |run: &str| fs::read(Path::new(run).join("checkpoints/last.safetensors")).unwrap();
    assert!(last(&whole) == last(&halves), "a resumed run ends in other bits");
    for command in ["report", "reconstruct", "evaluate"] {
        says(&[command, &whole], &[]);
    }
    says(&["encode", &whole, "--out", &at("z.npz")], &[]);
    let arrays = npz::read(&folder.path().join("z.npz")).unwrap();
    let labels = &arrays.iter().find(|(name, _)| name == "labels").unwrap().1;
    assert_eq!(labels.shape, [24, 2]);
    // Other sequences under the same name are noticed.
    let config = fs::read_to_string(at("halves/config.toml")).unwrap();
    fs::write(at("halves/config.toml"), config.replace("_seed = 1234", "_seed = 7")).unwrap();
    let error = fails(&["train", "--resume", &halves, "--epochs", "3"], &[]);
    assert!(error.contains("its train images or their labels are others"), "{error}");
}

#[test]
fn a_written_set_is_read_as_what_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let file = at("a.npz");
    let (out, err) = says(&["data", "write", "sequences:glyphs", "--out", &file], &SMALL);
    assert_eq!(out.trim(), file);
    assert!(
        err.contains("x_train [64, 1, 14, 14], y_train [64, 2], x_test [24, 1, 14, 14]"),
        "{err}"
    );
    let arrays = npz::read(Path::new(&file)).unwrap();
    let NpyValues::U8(pixels) = &arrays[0].1.values else { panic!("bytes") };
    let options = rung_datasets::Options {
        sequences: rung_datasets::Sequences {
            canvas: 56,
            digits: 2,
            distractors: 2,
            pooling: 4,
            train: 64,
            test: 24,
            ..rung_datasets::Sequences::default()
        },
        ..rung_datasets::Options::default()
    };
    let drawn = rung_datasets::open("sequences:glyphs", ".".as_ref(), &options).unwrap();
    assert_eq!(drawn.train.pieces().next().unwrap().into_bytes().as_ref(), Some(pixels));
    let read = rung_datasets::open(&format!("npz:{file}"), ".".as_ref(), &options).unwrap();
    assert_eq!(read.train.labels(), drawn.train.labels());
    assert_eq!(read.test.intensities(0..24), drawn.test.intensities(0..24));
    // A data set in memory is written too.
    says(
        &["data", "write", "glyphs", "--out", &file],
        &["data.train_images=20", "data.test_images=5"],
    );
    assert_eq!(npz::read(Path::new(&file)).unwrap()[1].1.shape, [20]);
    let error = fails(&["data", "write", "glyphs", "--out", &file], &["train.epochs=3"]);
    assert!(error.contains("--set train.epochs=3: not a key of [data]"), "{error}");
}

#[test]
fn one_digit_anywhere_is_a_class_and_several_are_refused_by_a_classifier() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run").display().to_string();
    let arguments = [
        "train",
        "--preset",
        "glyphs-classifier",
        "--dataset",
        "sequences:glyphs",
        "--epochs",
        "1",
        "--out",
        &run,
    ];
    let one = [
        "data.sequence_canvas=40",
        "data.sequence_digits=1",
        "data.sequence_pooling=2",
        "data.train_images=256",
        "data.test_images=64",
    ];
    let (out, _) = says(&arguments, &one);
    assert!(out.contains("test error rate: "), "{out}");
    let several = folder.path().join("several").display().to_string();
    let mut arguments = arguments;
    arguments[8] = &several;
    let error = fails(&arguments, &[&SMALL[..], &["data.train_images=128"]].concat());
    assert!(
        error.contains("a classifier tells one class of an image, and these have 2 labels each"),
        "{error}"
    );
    assert!(!Path::new(&several).exists());
}

#[test]
fn a_wrong_setting_is_named_with_what_is_allowed() {
    let of =
        |data: &str, set: &str| fails(&["train", "--dataset", data, "--out", "never-made"], &[set]);
    assert!(
        of("sequences:glyphs", "data.sequence_digit=2")
            .contains("did you mean data.sequence_digits?")
    );
    assert!(
        of("sequences:glyphs", "data.sequence_pooling=3")
            .contains("must divide data.sequence_canvas = 100")
    );
    assert!(
        of("sequences:glyphs", "data.sequence_digits=4").contains("room for 4 images of 28x28")
    );
    assert!(of("sequences:glyhps", "data.sequence_digits=3").contains("did you mean 'glyphs'?"));
}

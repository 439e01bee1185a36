//! Networks that read sequences, from training to their report.

mod program;

use std::path::Path;

use serde_json::Value;

use program::{lines, says};

/// Few canvases of two glyphs, a network of few units, and seconds of training.
const FEW: [&str; 16] = [
    "model.localisation_channels=[4, 4]",
    "model.classifier_channels=[4]",
    "model.classifier_hidden=[16]",
    "model.recurrent_units=16",
    "model.localisation_hidden=[16]",
    "model.dropout=0.2",
    "model.downsampling=2",
    "data.sequence_canvas=64",
    "data.sequence_digits=2",
    "data.sequence_distractors=1",
    "data.train_images=400",
    "data.validation_images=60",
    "data.test_images=80",
    "train.epochs=2",
    "train.batch_size=20",
    "train.threads=1",
];

fn train(run: &Path, sets: &[&str]) -> String {
    let sets = FEW.iter().chain(sets).flat_map(|pair| ["--set", pair]);
    let run = run.to_str().unwrap();
    let arguments = ["train", "--preset", "glyphs-rnn-spn-small", "--out", run];
    says(&arguments.into_iter().chain(sets).collect::<Vec<_>>())
}

#[test]
fn a_recurrent_network_is_trained_evaluated_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let out = train(&run, &[]);
    assert!(
        out.contains("of the digits, ") && out.contains("of the sequences, 60 images"),
        "{out}"
    );

    let metrics = lines(&run.join("metrics.jsonl"));
    assert_eq!(metrics[0]["glimpses"].as_array().unwrap().len(), 2);
    assert_eq!(metrics[1]["held_out_glimpse_width"].as_array().unwrap().len(), 2);
    // A fifth of 0.2 is reached after the first of five epochs.
    let dropout = |line: &Value| line["dropout"].as_f64().unwrap();
    assert!(dropout(&metrics[0]) == 0.0 && (dropout(&metrics[1]) - 0.04).abs() < 1e-12);

    let path = run.to_str().unwrap();
    let evaluated: Value = serde_json::from_str(&says(&["evaluate", path, "--json"])).unwrap();
    let number =
        |key: &str| evaluated[key].as_f64().unwrap_or_else(|| panic!("{key}: {evaluated}"));
    let (digits, sequences) = (number("error_rate"), number("sequence_error_rate"));
    // A sequence of two is wrong if a digit is: its error is between that of a digit and twice it.
    assert!(digits <= sequences && sequences <= 2.0 * digits, "{evaluated}");
    assert!(number("error_rate_standard_error") > 0.0);
    let expected = (sequences * (1.0 - sequences) / 80.0).sqrt();
    assert!((number("sequence_error_rate_standard_error") - expected).abs() < 1e-12);
    let per_position = evaluated["error_rate_per_position"].as_array().unwrap();
    let mean = per_position.iter().map(|rate| rate.as_f64().unwrap()).sum::<f64>() / 2.0;
    assert!((mean - digits).abs() < 1e-12, "{evaluated}");

    let report = std::fs::read_to_string(run.join("report.html")).unwrap();
    for part in ["What is seen and read", "Width of the glimpses", "<polygon", "Error per sequence"]
    {
        assert!(report.contains(part), "{part}");
    }
    // Twelve canvases with two glimpses each, at least.
    assert!(report.matches("<polygon").count() >= 24);
    for picture in ["canvases", "glimpses"] {
        assert!(run.join(format!("pictures/{picture}.png")).is_file(), "{picture}");
    }
}

#[test]
fn an_interrupted_training_ends_in_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, parts] = ["whole", "parts"].map(|name| folder.path().join(name));
    let sets = ["optimiser.name=rmsprop", "optimiser.schedule=constant"];
    train(&whole, &sets);
    train(&parts, &[&sets[..], &["train.epochs=1"]].concat());
    says(&["train", "--resume", parts.to_str().unwrap(), "--epochs", "2"]);
    let last =
        |run: &Path| lines(&run.join("metrics.jsonl"))[1]["held_out_cross_entropy_nats"].clone();
    assert_eq!(last(&whole), last(&parts));
}

/// A learning rate below the last bit of any parameter: no epoch is better than the first.
#[test]
fn a_training_that_gets_no_better_stops_early_before_or_after_a_resumption() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, parts] = ["whole", "parts"].map(|name| folder.path().join(name));
    let still = [
        "optimiser.learning_rate=1e-30",
        "optimiser.schedule=constant",
        "data.train_images=40",
        "data.validation_images=20",
        "data.test_images=20",
        "train.patience_epochs=3",
    ];
    let epochs = |run: &Path| -> Vec<(u64, bool)> {
        let epoch = |line: &Value| (line["epoch"].as_u64().unwrap(), line["is_best"] == true);
        lines(&run.join("metrics.jsonl")).iter().map(epoch).collect()
    };
    let expected = vec![(1, true), (2, false), (3, false), (4, false)];
    train(&whole, &[&still[..], &["train.epochs=300"]].concat());
    assert_eq!(epochs(&whole), expected);
    train(&parts, &[&still[..], &["train.epochs=2"]].concat());
    let parts = parts.to_str().unwrap();
    says(&["train", "--resume", parts, "--epochs", "300"]);
    assert_eq!(epochs(parts.as_ref()), expected, "the best epoch is known after a resumption");
    let last = |run: &Path| std::fs::read(run.join("checkpoints/last.safetensors")).unwrap();
    assert!(last(&whole) == last(parts.as_ref()), "a resumed run ends in other bits");

    let report = std::fs::read_to_string(whole.join("report.html")).unwrap();
    assert!(report.contains("4 of 300, stopped early"));
    assert!(!report.contains("This run is not finished"));
    let whole = whole.to_str().unwrap();
    let best = says(&["evaluate", whole, "--checkpoint", "best", "--json"]);
    let best: Value = serde_json::from_str(&best).unwrap();
    assert_eq!((&best["step"], &best["chosen_on"]), (&2.into(), &"validation".into()));
    says(&["train", "--resume", whole, "--epochs", "400"]);
    assert_eq!(epochs(whole.as_ref()), expected, "what has stopped early has no epoch to go");
}

#[test]
fn the_networks_that_it_is_compared_with_are_trained_too() {
    let folder = tempfile::tempdir().unwrap();
    for family in ["ffn_spn", "sequence_convnet"] {
        let run = folder.path().join(family);
        let family = format!("model.family={family}");
        train(&run, &[&family, "train.epochs=1"]);
        let report = std::fs::read_to_string(run.join("report.html")).unwrap();
        assert!(report.contains("What is seen and read"), "{family}");
        assert_eq!(report.contains("<polygon"), family.ends_with("ffn_spn"), "{family}");
    }
}

/// A spatial transformer for one digit: one glimpse, one label.
#[test]
fn images_of_one_label_are_read_with_one_glimpse() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    train(
        &run,
        &["data.name=glyphs", "train.epochs=1", "model.input_pool=1", "model.downsampling=1"],
    );
    let path = run.to_str().unwrap();
    let evaluated: Value = serde_json::from_str(&says(&["evaluate", path, "--json"])).unwrap();
    assert_eq!(evaluated["error_rate"], evaluated["sequence_error_rate"]);
    assert!(says(&["info", path]).contains("recurrent spatial transformer"));
}

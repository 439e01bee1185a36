//! ADGM, SDGM and M2 from training to report, and what is done with their classes.

mod program;

use std::path::Path;

use rung_datasets::npy::{NpyArray, NpyValues};
use rung_datasets::npz::{self, NpzWriter};
use serde_json::Value;

use program::{fails, rung, says};

/// Few images, a small network, and seconds of training.
const FEW: [&str; 10] = [
    "data.name=glyphs",
    "data.train_images=600",
    "data.test_images=200",
    "train.batch_size=50",
    "train.threads=1",
    "objective.labels=40",
    "model.hidden_sizes=[32,32]",
    "model.latent_units=6",
    "model.auxiliary_units=5",
    "train.evaluate_every_epochs=2",
];

fn train(preset: &str, run: &Path, sets: &[&str]) -> String {
    let sets = FEW.iter().chain(sets).flat_map(|pair| ["--set", pair]);
    let run = run.to_str().unwrap();
    let arguments: Vec<&str> =
        ["train", "--preset", preset, "--out", run].into_iter().chain(sets).collect();
    says(&arguments)
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn a_model_is_trained_evaluated_and_used() {
    let folder = tempfile::tempdir().unwrap();
    for (preset, groups) in [
        ("mnist-adgm-100", &["a", "z"][..]),
        ("mnist-sdgm-100", &["a", "z"]),
        ("mnist-m2-100", &["z"]),
    ] {
        let run = folder.path().join(preset);
        let out = train(preset, &run, &["train.epochs=3"]);
        assert!(out.contains("test error rate: "), "{out}");
        let metrics = read(&run.join("metrics.jsonl"));
        let last = json(metrics.lines().last().unwrap());
        assert_eq!(last["groups"], serde_json::json!(groups));
        let number = |key: &str| last[key].as_f64().unwrap_or_else(|| panic!("{key}: {last}"));
        assert!(number("train_class_entropy_nats") <= 10f64.ln() + 1e-6);
        assert!(number("train_label_cross_entropy_nats") > 0.0);
        assert!(number("held_out_error_rate") < 0.9, "chance is 0.9");

        // The best checkpoint is the one of the lowest error, not of the highest bound.
        let path = run.to_str().unwrap();
        let errors = metrics.lines().filter_map(|line| json(line)["held_out_error_rate"].as_f64());
        let info = json(&says(&["info", path, "--json"]));
        assert_eq!(info["best_score"].as_f64(), errors.reduce(f64::min), "{metrics}");
        assert_eq!(info["best_score_name"], "error rate");
        let best = ["evaluate", path, "--importance-samples", "1", "--checkpoint", "best"];
        let said = rung(&best).stderr;
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains("chosen by the error rate of the test images"), "{said}");

        let evaluate = ["evaluate", path, "--importance-samples", "3", "--class-samples", "4"];
        let evaluated = json(&says(&[&evaluate[..], &["--json"]].concat()));
        assert_eq!(evaluated["class_samples"], 4);
        let error = evaluated["error_rate"].as_f64().unwrap();
        let spread = evaluated["error_rate_standard_error"].as_f64().unwrap();
        assert!((spread - (error * (1.0 - error) / 200.0).sqrt()).abs() < 1e-12);
        let confusion = evaluated["confusion"].as_array().unwrap();
        let row = |row: &Value| -> u64 {
            row.as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).sum()
        };
        assert_eq!(confusion.iter().map(row).sum::<u64>(), 200);
        assert!(says(&evaluate).contains("by the mean of q(y|x, ·) over 4 samples"));

        let every = ["--importance-samples", "5", "--every-class", "--json"];
        let every = json(&says(&[&["evaluate", path][..], &every].concat()));
        let nats = |key: &str| every[key].as_f64().unwrap();
        assert!(nats("bound_k_every_class_nats") > nats("bound_1_nats"), "{every}");
        // A sample is the same in whatever chunk it is drawn.
        let cut = ["--importance-samples", "5", "--every-class", "--json", "--rows", "20"];
        let cut = json(&says(&[&["evaluate", path][..], &cut].concat()));
        let cut = cut["bound_k_every_class_nats"].as_f64().unwrap();
        assert!((cut - nats("bound_k_every_class_nats")).abs() < 1e-4, "{cut}: {every}");

        for class in ["3", "all"] {
            let picture = folder.path().join(format!("{preset}-{class}.png"));
            let out = picture.to_str().unwrap();
            says(&["sample", path, "--class", class, "--count", "2", "--out", out]);
            assert!(picture.is_file());
        }
        let error = fails(&["sample", path, "--class", "10"], 2);
        assert!(error.contains("the model has classes 0 to 9"), "{error}");
        assert!(run.join("pictures/analogies.png").is_file());
        let report = read(&run.join("report.html"));
        assert!(report.contains("chosen by the error rate of the test images"));
        for part in ["Confusion matrix", "Analogies", "Error rate", "Class entropy"] {
            assert!(report.contains(part), "{preset}: {part}");
        }
        // Groups have their own names, not z₁ and z₂.
        assert!(report.contains("z, 6 units") && !report.contains("z₂"), "{preset}");

        let latents = folder.path().join(format!("{preset}.npz"));
        says(&["encode", path, "--count", "7", "--out", latents.to_str().unwrap()]);
        let arrays = npz::read(&latents).unwrap();
        let shape = |name: &str| {
            let found = arrays.iter().find(|(own, _)| own == name);
            found.unwrap_or_else(|| panic!("{preset}: no {name}")).1.shape.clone()
        };
        assert_eq!((shape("z"), shape("mean_z")), (vec![7, 6], vec![7, 6]));
        assert_eq!(shape("class_probs"), [7, 10]);
        if groups.len() == 2 {
            assert_eq!((shape("a"), shape("variance_a")), (vec![7, 5], vec![7, 5]));
        }
    }
}

/// Which labels are known is written down, and the same after an interruption; a run that was
/// stopped ends with the same bits.
#[test]
fn a_resumed_run_knows_the_same_labels_and_ends_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    train("mnist-sdgm-100", &whole, &["train.epochs=4"]);
    train("mnist-sdgm-100", &parts, &["train.epochs=2"]);
    let chosen = read(&parts.join("chosen.json"));
    let labels = json(&chosen)["labels"].as_array().unwrap().clone();
    for class in 0..10u64 {
        assert_eq!(labels.iter().filter(|label| label.as_u64() == Some(class)).count(), 4);
    }
    says(&["train", "--resume", parts.to_str().unwrap(), "--epochs", "4"]);
    assert_eq!(read(&parts.join("chosen.json")), chosen);
    assert_eq!(read(&whole.join("chosen.json")), chosen);
    let bytes = |run: &Path| std::fs::read(run.join("checkpoints/last.safetensors")).unwrap();
    assert!(bytes(&whole) == bytes(&parts), "the checkpoints differ");

    std::fs::write(parts.join("chosen.json"), chosen.replace("\"labels\":[", "\"labels\":[9,"))
        .unwrap();
    let error = fails(&["train", "--resume", parts.to_str().unwrap(), "--epochs", "5"], 1);
    assert!(error.contains("other images than"), "{error}");
}

/// Six labels and ten thousand points without one: below 9.3 %, the error of the nearest labelled
/// point, the others were of use (specification A, section 6.4).
#[test]
fn half_moons_are_told_apart_by_six_labels() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("moons");
    let path = run.to_str().unwrap();
    says(&[
        "train",
        "--preset",
        "moons-sdgm",
        "--out",
        path,
        "--set",
        "data.test_images=2000",
        "--set",
        "train.threads=1",
    ]);
    let evaluated = json(&says(&["evaluate", path, "--importance-samples", "1", "--json"]));
    let error = evaluated["error_rate"].as_f64().unwrap();
    assert!(error < 0.08, "{error}");
    assert!(read(&run.join("report.html")).contains("Decision boundary"));
}

/// Without labels the family is a VAE with an auxiliary variable; with none but labelled images it
/// is a classifier.
#[test]
fn labels_may_be_none_or_all_that_counts() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("without");
    let out = train("mnist-adgm-100", &run, &["train.epochs=1", "objective.labels=0"]);
    assert!(!out.contains("error rate") && out.contains("L_1"), "{out}");
    for arguments in [&["sample", "--class", "1"][..], &["evaluate", "--every-class"]] {
        let error = fails(&[arguments, &[run.to_str().unwrap()]].concat(), 1);
        assert!(error.contains("the model has no classes"), "{error}");
    }
    let out = train("mnist-100-labels", &folder.path().join("alone"), &["train.epochs=1"]);
    assert!(out.contains("test error rate: "), "{out}");
}

/// An archive of 80 training images of which the first 12 have a label, and of 20 test images.
fn partly_labelled(file: &Path, test_labels: impl Fn(i64) -> i64) {
    let images = |count: usize| {
        let pixel = |index: usize| if (index / 9 + index % 9).is_multiple_of(2) { 250 } else { 3 };
        let values = NpyValues::U8((0..count * 9).map(pixel).collect());
        NpyArray { shape: vec![count, 9], values }
    };
    let labels =
        |values: Vec<i64>| NpyArray { shape: vec![values.len()], values: NpyValues::I64(values) };
    let mut writer = NpzWriter::create(file).unwrap();
    writer.add("x_train", &images(80)).unwrap();
    let train_labels =
        (0..80).map(|index| if index < 12 { index % 2 } else { -1 }).collect::<Vec<i64>>();
    writer.add("y_train", &labels(train_labels)).unwrap();
    writer.add("x_test", &images(20)).unwrap();
    writer.add("y_test", &labels((0..20).map(test_labels).collect())).unwrap();
    writer.finish().unwrap();
}

#[test]
fn images_without_a_label_are_learned_from_and_never_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("some.npz");
    partly_labelled(&file, |index| index % 2);
    let run = folder.path().join("run");
    let name = format!("data.name=npz:{}", file.display());
    let sets = [
        name.as_str(),
        "train.epochs=1",
        "train.batch_size=20",
        "objective.labels=12",
        "data.train_images=0",
        "data.test_images=0",
    ];
    let out = train("mnist-sdgm-100", &run, &sets);
    assert!(out.contains("test error rate: "), "{out}");
    let chosen = json(&read(&run.join("chosen.json")));
    let mut indices: Vec<u64> = chosen["labelled_images"]
        .as_array()
        .unwrap()
        .iter()
        .map(|index| index.as_u64().unwrap())
        .collect();
    indices.sort_unstable();
    assert_eq!(indices, (0..12).collect::<Vec<u64>>());

    // Without labels of held-out images the bound chooses.
    partly_labelled(&file, |_| -1);
    let run = folder.path().join("unjudged");
    train("mnist-sdgm-100", &run, &sets);
    let info = json(&says(&["info", run.to_str().unwrap(), "--json"]));
    assert_eq!(info["best_score_name"], "bound");
    let report = read(&run.join("report.html"));
    assert!(report.contains("chosen by the bound of the test images"));
}

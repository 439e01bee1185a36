//! A classifier from training to its report: a task without latent variables.

mod program;

use std::path::Path;

use serde_json::Value;

use program::{fails, lines, says};

/// Few images, and seconds of training.
const FEW: [&str; 4] =
    ["data.train_images=1024", "data.test_images=200", "train.epochs=6", "train.threads=1"];

fn train(run: &Path, sets: &[&str]) -> String {
    let sets = FEW.iter().chain(sets).flat_map(|pair| ["--set", pair]);
    let run = run.to_str().unwrap();
    let arguments: Vec<&str> =
        ["train", "--preset", "glyphs-classifier", "--out", run].into_iter().chain(sets).collect();
    says(&arguments)
}

#[test]
fn a_classifier_is_trained_evaluated_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let out = train(&run, &[]);
    assert!(out.contains("test error rate: ") && out.contains("test cross-entropy: "), "{out}");

    let metrics = lines(&run.join("metrics.jsonl"));
    let error = |line: &Value, key: &str| line[key].as_f64().unwrap();
    let (first, last) = (&metrics[0], &metrics[5]);
    assert!(error(last, "train_error_rate") < error(first, "train_error_rate"));
    assert!(error(last, "held_out_error_rate") < 0.3, "{last}");
    assert!(first.get("warmup").is_none() && first.get("train_bound_nats").is_none(), "{first}");

    let path = run.to_str().unwrap();
    let evaluated: Value = serde_json::from_str(&says(&["evaluate", path, "--json"])).unwrap();
    let confusion = evaluated["confusion"].as_array().unwrap();
    let counts =
        |row: &Value| row.as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).sum::<u64>();
    assert_eq!(confusion.iter().map(counts).sum::<u64>(), 200);
    let right: u64 =
        confusion.iter().enumerate().map(|(label, row)| row[label].as_u64().unwrap()).sum();
    assert!((error(&evaluated, "error_rate") - (200 - right) as f64 / 200.0).abs() < 1e-12);
    assert_eq!(evaluated["statistics"], "exact");
    let text = says(&["evaluate", path]);
    assert!(
        text.starts_with("error rate ")
            && text.contains("200 test images, exact batch-norm statistics"),
        "{text}"
    );

    let report = std::fs::read_to_string(run.join("report.html")).unwrap();
    for part in ["Confusion matrix", "Error rate", "Cross-entropy", "Error rate of held-out images"]
    {
        assert!(report.contains(part), "{part}");
    }
    assert!(!report.contains("latent"));
    assert!(run.join("pictures/mistakes.png").is_file() || error(&evaluated, "error_rate") == 0.0);
}

#[test]
fn what_needs_latent_variables_says_that_there_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    train(&run, &["train.epochs=1"]);
    let path = run.to_str().unwrap();
    for command in ["sample", "reconstruct", "encode", "anomaly"] {
        let mut arguments = vec![command, path];
        if command == "anomaly" {
            arguments.extend(["--against", "glyphs"]);
        }
        let error = fails(&arguments, 1);
        assert!(
            error.contains("a fully connected classifier has no latent variables"),
            "{command}: {error}"
        );
    }
    assert!(says(&["info", path]).contains("fully connected classifier"));
    says(&["export", path]);
    says(&["report", path]);
}

#[test]
fn an_interrupted_classifier_ends_in_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, parts] = ["whole", "parts"].map(|name| folder.path().join(name));
    train(&whole, &["train.epochs=3", "optimiser.schedule=constant"]);
    train(&parts, &["train.epochs=1", "optimiser.schedule=constant"]);
    says(&["train", "--resume", parts.to_str().unwrap(), "--epochs", "3"]);
    let last =
        |run: &Path| lines(&run.join("metrics.jsonl"))[2]["held_out_cross_entropy_nats"].clone();
    assert_eq!(last(&whole), last(&parts));
}

#[test]
fn images_without_labels_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.npz");
    let mut writer = rung_datasets::npz::NpzWriter::create(&file).unwrap();
    let pixels: Vec<f32> = (0..40 * 64).map(|k| (k % 7) as f32 / 7.0).collect();
    writer.add_f32("images", &[40, 8, 8], &pixels).unwrap();
    writer.finish().unwrap();
    let (data, out) = (format!("npz:{}", file.display()), folder.path().join("run"));
    let error = fails(
        &[
            "train",
            "--preset",
            "glyphs-classifier",
            "--dataset",
            &data,
            "--batch-size",
            "8",
            "--out",
            out.to_str().unwrap(),
        ],
        1,
    );
    assert!(error.contains("a classifier learns from labels"), "{error}");
    assert!(!out.exists());
}

//! MatNet from training to its report: a tiny one, with maps, on a few glyphs.

mod program;

use std::path::Path;

use serde_json::Value;

use program::{lines, rung, says};

/// Two resolutions with a latent layer each, and the top.
const TINY: [&str; 15] = [
    "model.family=matnet",
    "model.blocks=[{channels=4,latent_channels=1,layers=1,stride=4},{channels=4,latent_channels=1,layers=1}]",
    "model.top_units=3",
    "model.top_hidden=8",
    "objective.warmup_epochs=2",
    "objective.analytic_kl=true",
    "objective.squared_kl=true",
    "train.batch_size=32",
    "train.threads=1",
    "train.gradient_norm_of_networks=true",
    "data.train_images=96",
    "data.test_images=40",
    "optimiser.l2_penalty=1e-5",
    "optimiser.beta_1_limit=0.95",
    "optimiser.schedule=milestones",
];

fn train(run: &Path, epochs: &str, more: &[&str]) {
    let run = run.display().to_string();
    let sets = TINY.iter().chain(more).flat_map(|pair| ["--set", pair]);
    says(&["train", "--epochs", epochs, "--out", &run].into_iter().chain(sets).collect::<Vec<_>>());
}

#[test]
fn a_matnet_is_trained_evaluated_used_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    train(&run, "3", &["optimiser.schedule_milestones=[1,2]", "optimiser.final_decay_epochs=1"]);
    let rates: Vec<f64> = lines(&run.join("metrics.jsonl"))
        .iter()
        .map(|line| line["learning_rate"].as_f64().unwrap())
        .collect();
    for (rate, expected) in rates.iter().zip([1e-3, 0.75e-3, 0.5 * 0.5625e-3]) {
        assert!((rate - expected).abs() < 1e-15, "milestones, then the final decay: {rates:?}");
    }
    let warmup: Vec<f64> = lines(&run.join("metrics.jsonl"))
        .iter()
        .map(|line| line["warmup"].as_f64().unwrap())
        .collect();
    assert_eq!(warmup, [0.0, 0.5, 1.0]);

    let path = run.to_str().unwrap();
    let arguments = ["evaluate", path, "--json", "--importance-samples", "5"];
    let evaluated: Value = serde_json::from_str(&says(&arguments)).unwrap();
    assert_eq!(evaluated["groups"], serde_json::json!(["z_1", "z_2", "z_3"]));
    let nats = |key: &str| evaluated[key].as_f64().unwrap();
    assert!(nats("bound_k_nats") > nats("bound_1_nats"), "{evaluated}");

    let out = folder.path().join("out").display().to_string();
    says(&["sample", path, "--vary", "1", "--count", "4", "--out", &format!("{out}.png")]);
    says(&["encode", path, "--count", "8", "--out", &format!("{out}.npz")]);
    says(&["reconstruct", path, "--count", "4", "--out", &format!("{out}-2.png")]);
    says(&["anomaly", path, "--against", "glyphs", "--count", "8"]);
    let info = says(&["info", path]);
    assert!(info.contains("MatNet") && info.contains("4 channels"), "{info}");
    let report = std::fs::read_to_string(run.join("report.html")).unwrap();
    assert!(report.contains("z₃") && report.contains("Samples that share their upper layers"));
}

/// What depends on the epoch alone, the decay of the first moment too, is what it was before the
/// interruption.
#[test]
fn an_interrupted_matnet_ends_in_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, parts] = ["whole", "parts"].map(|name| folder.path().join(name));
    let milestones = ["optimiser.schedule_milestones=[1,2]"];
    train(&whole, "3", &milestones);
    train(&parts, "1", &milestones);
    says(&["train", "--resume", parts.to_str().unwrap(), "--epochs", "3"]);
    let last = |run: &Path| lines(&run.join("metrics.jsonl"))[2]["held_out_bound_1_nats"].clone();
    assert!(last(&whole).is_f64());
    assert_eq!(last(&whole), last(&parts));
}

/// Autoregressive pixels: trained with recomputed activations and resumed in the same bits, judged,
/// sampled pixel by pixel and reported.
#[test]
fn an_autoregressive_matnet_is_trained_and_used() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, parts] = ["whole", "parts"].map(|name| folder.path().join(name));
    let sets = [
        "model.image_channels=4",
        "model.autoregressive_layers=2",
        "model.autoregressive_channels=4",
        "optimiser.schedule_milestones=[1]",
    ];
    let recomputed = [&sets[..], &["train.checkpoint_activations=true"]].concat();
    train(&whole, "2", &sets);
    train(&parts, "1", &recomputed);
    says(&["train", "--resume", parts.to_str().unwrap(), "--epochs", "2"]);
    let bound = |run: &Path| lines(&run.join("metrics.jsonl"))[1]["held_out_bound_1_nats"].clone();
    assert!(bound(&whole).is_f64());
    assert_eq!(bound(&whole), bound(&parts), "recomputed activations change no bit");

    let path = whole.to_str().unwrap();
    let evaluate = ["evaluate", path, "--json", "--importance-samples", "2", "--count", "10"];
    let evaluated: Value = serde_json::from_str(&says(&evaluate)).unwrap();
    assert!(evaluated["bound_k_nats"].as_f64().unwrap() < 0.0, "{evaluated}");
    let picture = folder.path().join("samples.png");
    says(&["sample", path, "--count", "2", "--out", picture.to_str().unwrap()]);
    assert!(picture.is_file());
    let report = std::fs::read_to_string(whole.join("report.html")).unwrap();
    assert!(report.contains("z₃"));
}

/// The first epoch is that of a training without fantasies, the second is another.
#[test]
fn fantasies_begin_with_their_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let [with, without] = ["with", "without"].map(|name| folder.path().join(name));
    train(&with, "2", &["objective.fantasy_start_epoch=2", "optimiser.schedule_milestones=[1]"]);
    train(&without, "2", &["optimiser.schedule_milestones=[1]"]);
    let bounds = |run: &Path, epoch: usize| {
        lines(&run.join("metrics.jsonl"))[epoch]["train_bound_nats"].clone()
    };
    assert_eq!(bounds(&with, 0), bounds(&without, 0));
    assert_ne!(bounds(&with, 1), bounds(&without, 1));
}

#[test]
fn the_components_of_a_mixture_are_shown_and_judged() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    train(
        &run,
        "1",
        &[
            "model.top_components=3",
            "model.top_entropy_penalty=0.4",
            "model.top_kl=mixture",
            "optimiser.schedule_milestones=[1]",
        ],
    );
    let path = run.to_str().unwrap();
    let found: Value = serde_json::from_str(&says(&["clusters", path, "--json"])).unwrap();
    let accuracy = found["unsupervised_accuracy"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&accuracy), "{found}");
    let counts = found["train_images_per_component_and_class"].as_array().unwrap();
    let count =
        |row: &Value| row.as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).sum::<u64>();
    assert_eq!((counts.len(), counts.iter().map(count).sum::<u64>()), (3, 96));
    assert!(run.join("pictures/clusters.png").is_file());
    let text = says(&["clusters", path, "--count", "20"]);
    assert!(text.contains("of 20 test images"), "{text}");
    let report = std::fs::read_to_string(run.join("report.html")).unwrap();
    assert!(report.contains("Samples of each component"));

    let plain = folder.path().join("plain");
    train(&plain, "1", &["optimiser.schedule_milestones=[1]"]);
    let output = rung(&["clusters", plain.to_str().unwrap()]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && error.contains("is no mixture"), "{error}");
}

#[test]
fn missing_pixels_are_filled_in_and_predicted() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    train(&run, "1", &["model.missing=quadrants", "optimiser.schedule_milestones=[1]"]);
    let path = run.to_str().unwrap();
    let found: Value =
        serde_json::from_str(&says(&["impute", path, "--rows", "3", "--json"])).unwrap();
    let number = |key: &str| found[key].as_f64().unwrap();
    assert_eq!((number("images"), number("missing_pixels_per_image")), (40.0, 196.0));
    assert!(number("bound_nats") < 0.0 && number("pixel_frequencies_nats") < 0.0, "{found}");
    assert_eq!(number("bound_nats_per_quadrant"), number("bound_nats"), "one is missing");
    assert!(run.join("pictures/imputations.png").is_file());
    let evaluated = says(&["evaluate", path, "--importance-samples", "2"]);
    assert!(evaluated.contains("of the missing pixels of each image"), "{evaluated}");
    assert!(!evaluated.contains("bits per dimension"), "{evaluated}");
    let report = std::fs::read_to_string(run.join("report.html")).unwrap();
    assert!(report.contains("Missing pixels filled in"));

    let mask = folder.path().join("mask.txt");
    let row = |number: usize| if number < 2 { "#".repeat(28) } else { ".".repeat(28) };
    std::fs::write(&mask, (0..28).map(row).collect::<Vec<_>>().join("\n")).unwrap();
    let given = ["impute", path, "--mask", mask.to_str().unwrap(), "--count", "10"];
    let text = says(&given);
    assert!(text.contains("10 test images with 56.0 missing pixels each"), "{text}");
    std::fs::write(&mask, "##\n").unwrap();
    let output = rung(&given);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && error.contains("a line for each of the 28 rows"),
        "{error}"
    );
}

//! A hierarchical convolutional VAE from training to anomaly scores: a tiny convolutional BIVA on a
//! few glyphs.

mod program;

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use rung_datasets::npy::{self, NpyValues};
use serde_json::Value;
use tempfile::TempDir;

use program::{fails, rung, says};

/// Two stages: a strided block each, a vector and a map.
const TINY: [&str; 10] = [
    "model.family=biva",
    "model.stages=[{channels=4,kernels=[3],strides=[4],latent_units=3},{channels=4,kernels=[3],latent_channels=1,latent_kernel=3}]",
    "model.inference_dropout=0.1",
    "objective.free_bits_nats=0.5",
    "train.average_decay=0.9",
    "objective.warmup_epochs=0",
    "train.batch_size=32",
    "train.threads=1",
    "data.train_images=96",
    "data.test_images=40",
];

fn train(path: &Path, epochs: &str, more: &[&str]) -> String {
    let path = path.display().to_string();
    let sets = TINY.iter().chain(more).flat_map(|pair| ["--set", pair]);
    says(&["train", "--epochs", epochs, "--out", &path].into_iter().chain(sets).collect::<Vec<_>>())
}

/// A finished run, made once and only read.
fn run() -> &'static str {
    static RUN: OnceLock<(TempDir, String)> = OnceLock::new();
    let (_, path) = RUN.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        train(&path, "2", &[]);
        let path = path.display().to_string();
        (folder, path)
    });
    path
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The rows computed at once change an evaluation by no more than rounding: noise is addressed by
/// image and sample. Its terms add up to L_1.
fn assert_cut_at_will(run: &str) {
    let with = |rows: &str| {
        json(&says(&["evaluate", run, "--importance-samples", "5", "--rows", rows, "--json"]))
    };
    let whole = with("200");
    let number = |evaluation: &Value, key: &str| evaluation[key].as_f64().unwrap();
    for rows in ["1", "7", "50"] {
        let cut = with(rows);
        for key in ["bound_1_nats", "bound_k_nats", "effective_sample_size", "log_p_x_nats"] {
            let (found, expected) = (number(&cut, key), number(&whole, key));
            assert!(
                (found - expected).abs() < 1e-4 * expected.abs(),
                "{rows} rows: {key} is {found}, not {expected}"
            );
        }
        assert_eq!(cut["error_rate"], whole["error_rate"], "{rows} rows");
    }
    let kl: f64 = whole["kl_nats"].as_array().unwrap().iter().map(|kl| kl.as_f64().unwrap()).sum();
    let sum = number(&whole, "log_p_x_nats") + number(&whole, "log_p_y_nats") - kl;
    assert!((sum - number(&whole, "bound_1_nats")).abs() < 1e-6, "{sum}: {whole}");
}

/// Pixels that are predicted from those before them: bounds do not depend on the cut, samples are
/// draws and the same for one seed, and whoever asked for their means is told.
#[test]
fn an_autoregressive_model_is_evaluated_and_drawn_pixel_by_pixel() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    train(&path, "1", &["model.autoregressive_layers=2", "model.autoregressive_channels=4"]);
    let run = path.display().to_string();
    assert_cut_at_will(&run);
    let file = |name: &str| folder.path().join(name).display().to_string();
    let said = |arguments: &[&str]| {
        let output = rung(arguments);
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let drawn = "pixels are drawn, one after another";
    let sample = |name: &str, more: &[&str]| {
        let out = file(name);
        let words = ["sample", &run, "--count", "3", "--scale", "1", "--out", &out];
        said(&[&words[..], more].concat())
    };
    let told = sample("a.png", &[]);
    assert!(told.contains(drawn) && told.contains("drawing 784/784 pixels"), "{told}");
    assert!(!sample("b.png", &["--draw-pixels"]).contains(drawn), "what was asked for");
    sample("c.png", &["--seed", "2"]);
    let bytes = |name: &str| fs::read(file(name)).unwrap();
    assert_eq!(bytes("a.png"), bytes("b.png"));
    assert_ne!(bytes("a.png"), bytes("c.png"));
    assert!(said(&["reconstruct", &run, "--count", "3", "--out", &file("d.png")]).contains(drawn));
    let page = fs::read_to_string(path.join("report.html")).unwrap();
    assert!(page.contains("Draws from an autoregressive p(x|z)"), "the caption of the samples");
    assert!(page.contains("a draw from the autoregressive p(x|z)"), "that of reconstructions");
}

#[test]
fn a_run_is_described_evaluated_and_drawn() {
    let info = json(&says(&["info", run(), "--json"]));
    let groups: Vec<&str> =
        info["groups"].as_array().unwrap().iter().map(|g| g["name"].as_str().unwrap()).collect();
    assert_eq!(groups, ["z_1 bottom-up", "z_1 top-down", "z_2"]);
    assert_eq!(info["latent_sizes"], json("[3, 3, 49]"));
    let bytes = info["average_bytes"].as_u64().unwrap();
    assert_eq!(4 * info["parameters"].as_u64().unwrap(), bytes);
    let evaluation = json(&says(&["evaluate", run(), "--importance-samples", "5", "--json"]));
    assert_eq!(evaluation["kl_nats"].as_array().unwrap().len(), 3);
    assert_eq!(evaluation["statistics"], Value::Null, "there is no batch normalisation");
    assert!(evaluation["bound_k_nats"].as_f64() >= evaluation["bound_1_nats"].as_f64());
    let kept = evaluation["image_bounds"].as_str().unwrap();
    let bounds = npy::read(&Path::new(run()).join(format!("bounds/{kept}.npy"))).unwrap();
    let NpyValues::F32(bounds) = bounds.values else { panic!("{kept}") };
    let mean = bounds.iter().copied().map(f64::from).sum::<f64>() / bounds.len() as f64;
    assert_eq!(bounds.len(), 40, "one for each image");
    assert!((mean - evaluation["bound_k_nats"].as_f64().unwrap()).abs() < 1e-3, "{mean}");
    assert_cut_at_will(run());
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    says(&["sample", run(), "--count", "4", "--out", &file("a.png")]);
    says(&["sample", run(), "--count", "4", "--vary", "1", "--out", &file("b.png")]);
    says(&["reconstruct", run(), "--count", "4", "--out", &file("c.png")]);
    says(&["encode", run(), "--count", "4", "--out", &file("d.npz")]);
    assert_ne!(fs::read(file("a.png")).unwrap(), fs::read(file("b.png")).unwrap());
    let cold = |temperature: &str, name: &str| {
        let words = ["sample", run(), "--count", "4", "--out", &file(name), "--temperature"];
        says(&[&words[..], &[temperature]].concat());
        fs::read(file(name)).unwrap()
    };
    assert_eq!(cold("1", "f.png"), fs::read(file("a.png")).unwrap());
    assert_eq!(cold("0.5", "g.png"), cold("0.5,0.5", "h.png"));
    assert_ne!(cold("0.5,1", "g.png"), cold("0.5", "h.png"));
    for (wrong, why) in
        [("1,1,1", "has 3 values: the model has 2 layers"), ("-1", "no temperature")]
    {
        let wrong = format!("--temperature={wrong}");
        let error = fails(&["sample", run(), &wrong, "--out", &file("i.png")], 2);
        assert!(error.contains(why), "{error}");
    }
    let error = fails(&["sample", run(), "--layer", "1", "--out", &file("e.png")], 1);
    assert!(error.contains("sampling starts at the top, 2"), "{error}");
    let page = fs::read_to_string(Path::new(run()).join("report.html")).unwrap();
    assert!(
        !page.contains("statistics of batch normalisation")
            && !page.contains("batch-norm statistics")
    );
    assert!(
        page.contains("z₁↑")
            && page.contains("z₁↓")
            && page.contains("Samples that share their upper layers")
    );
}

#[test]
fn a_resumed_run_ends_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    train(&path, "1", &[]);
    says(&["train", "--resume", &path.display().to_string(), "--epochs", "2"]);
    let bytes = |run: &Path| fs::read(run.join("checkpoints/last.safetensors")).unwrap();
    assert!(bytes(&path) == bytes(Path::new(run())), "the checkpoints differ");
}

/// Every number of a group is called by the group's own name: layer 1 has two.
#[test]
fn the_two_groups_of_a_layer_are_told_apart_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let said = train(&path, "1", &[]);
    for line in ["KL in nats: z_1↑ ", "active units: z_1↑ "] {
        let line = said
            .lines()
            .find(|found| found.starts_with(line))
            .unwrap_or_else(|| panic!("{line}: {said}"));
        assert!(line.contains(", z_1↓ ") && line.contains(", z_2 "), "{line}");
    }
    let metrics = fs::read_to_string(path.join("metrics.jsonl")).unwrap();
    assert_eq!(json(&metrics)["groups"], json(r#"["z_1 bottom-up", "z_1 top-down", "z_2"]"#));
    let events = fs::read_dir(path.join("events")).unwrap();
    let events: Vec<u8> =
        events.flat_map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect();
    let has = |tag: &str| events.windows(tag.len()).any(|window| window == tag.as_bytes());
    for tag in
        ["train/kl_1_bottom_up_nats", "held_out/kl_1_top_down_nats", "held_out/active_units_2"]
    {
        assert!(has(tag), "{tag}");
    }
    assert!(!has("train/kl_1_nats") && !has("train/kl_3_nats"));
    let text = says(&["evaluate", &path.display().to_string(), "--importance-samples", "1"]);
    assert!(text.contains("\nz_1 bottom-up ") && !text.contains("statistics"), "{text}");
}

/// The averaged parameters are what is exported, under the names of the parameters.
#[test]
fn an_export_has_the_averaged_parameters() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.safetensors");
    says(&["export", run(), "--format", "safetensors", "--out", &file.display().to_string()]);
    let read = |path: &Path| fs::read(path).unwrap();
    let (exported, checkpoint) =
        (read(&file), read(&Path::new(run()).join("checkpoints/last.safetensors")));
    let exported = safetensors::SafeTensors::deserialize(&exported).unwrap();
    let checkpoint = safetensors::SafeTensors::deserialize(&checkpoint).unwrap();
    let name = "generative.x.gain";
    let averaged = checkpoint.tensor(&format!("average.{name}")).unwrap();
    assert_eq!(exported.tensor(name).unwrap().data(), averaged.data());
    assert_ne!(checkpoint.tensor(name).unwrap().data(), averaged.data());
    assert!(exported.names().iter().all(|name| !name.starts_with("average.")));
}

#[test]
fn equal_sets_of_images_are_not_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let csv = folder.path().join("scores.csv").display().to_string();
    let found = json(&says(&["anomaly", run(), "--against", "glyphs", "--json", "--out", &csv]));
    assert_eq!(
        (found["own_images"].as_u64(), found["foreign_images"].as_u64()),
        (Some(40), Some(40))
    );
    let bounds = found["bounds"].as_array().unwrap();
    assert_eq!((bounds.len(), found["ratios"].as_array().unwrap().len()), (2, 1));
    assert!(bounds.iter().all(|separation| separation["auroc"].as_f64() == Some(0.5)), "{found}");
    let text = fs::read_to_string(&csv).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "dataset,image,bound_above_0_nats,bound_above_1_nats");
    assert_eq!(lines.len(), 81);
    // Each image's bound is what the mean is of.
    let mean = lines[1..41]
        .iter()
        .map(|line| line.split(',').nth(2).unwrap().parse::<f64>().unwrap())
        .sum::<f64>()
        / 40.0;
    assert!((mean + bounds[0]["own_mean_nats"].as_f64().unwrap()).abs() < 1e-3);
    says(&["report", run(), "--out", &folder.path().join("report.html").display().to_string()]);
    let page = fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(
        page.contains("Scores of in-distribution and out-of-distribution images")
            && page.contains("AUROC 0.500")
    );
    let error = fails(&["anomaly", run(), "--against", "nothing", "--out", &csv], 1);
    assert!(error.contains("nothing"), "{error}");
}

/// A quarter of the images have labels; nine classes in ten are wrong by chance.
#[test]
fn a_model_learns_classes_from_labels() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let more = [
        "objective.labels=100",
        "objective.classification_weight=10",
        "data.train_images=400",
        "model.inference_dropout=0",
    ];
    train(&path, "12", &more);
    let path = path.display().to_string();
    let evaluated = json(&says(&["evaluate", &path, "--importance-samples", "1", "--json"]));
    let error = evaluated["error_rate"].as_f64().unwrap();
    assert!(error < 0.5, "{error}");
    assert_cut_at_will(&path);
    let metrics = fs::read_to_string(folder.path().join("run/metrics.jsonl")).unwrap();
    assert!(
        json(metrics.lines().last().unwrap())["held_out_error_rate"]
            .as_f64()
            .is_some_and(|error| error < 0.5)
    );
    assert!(
        json(metrics.lines().next().unwrap())["quick_error_rate"]
            .as_f64()
            .is_some_and(|error| error < 1.0)
    );
    let text = says(&["evaluate", &path, "--importance-samples", "1"]);
    assert!(text.contains("classification error: "), "{text}");
    says(&[
        "sample",
        &path,
        "--count",
        "4",
        "--out",
        &folder.path().join("samples.png").display().to_string(),
    ]);
}

/// Writes parts of CIFAR-10, of images of one dark colour each: a byte for the class, then the
/// planes of red, green and blue.
fn write_colours(folder: &Path) {
    let image = |index: usize| {
        let plane = |channel: usize| [100 + (index * [3, 5, 11][channel] % 32) as u8; 1024];
        [vec![(index % 10) as u8], plane(0).to_vec(), plane(1).to_vec(), plane(2).to_vec()].concat()
    };
    let part = |images: std::ops::Range<usize>| images.flat_map(image).collect::<Vec<u8>>();
    fs::write(folder.join("data_batch_1.bin"), part(0..96)).unwrap();
    fs::write(folder.join("test_batch.bin"), part(96..136)).unwrap();
}

#[test]
fn colour_images_are_learnt_drawn_and_measured_in_bits() {
    let folder = tempfile::tempdir().unwrap();
    write_colours(folder.path());
    let (path, data) =
        (folder.path().join("run"), format!("data.directory={}", folder.path().display()));
    let mixture = [
        "model.observation=logistic_mixture",
        "model.mixture_components=2",
        "model.initial_sigma=0.2",
    ];
    let colours = ["data.name=cifar-10", "data.binarisation=none", "train.average_decay=0", &data];
    let fast = ["train.batch_size=8", "optimiser.learning_rate=0.01", "model.inference_dropout=0"];
    train(&path, "8", &[&mixture[..], &colours, &fast].concat());
    let path = path.display().to_string();
    let evaluated = json(&says(&["evaluate", &path, "--importance-samples", "2", "--json"]));
    let bits = evaluated["bits_per_dim"].as_f64().unwrap();
    // Eight would be to say nothing.
    assert!(bits > 0.0 && bits < 8.0, "{bits}");
    let out = folder.path().join("samples.png");
    says(&["sample", &path, "--count", "4", "--out", &out.display().to_string()]);
    assert!(matches!(image::open(&out).unwrap(), image::DynamicImage::ImageRgb8(_)));
    let page = folder.path().join("report.html");
    says(&["report", &path, "--out", &page.display().to_string()]);
    assert!(
        fs::read_to_string(page)
            .unwrap()
            .contains(&format!("{bits:.3}</strong><span>the same in bits per dimension"))
    );
}

/// Writes the test part of Fashion-MNIST: a few images of one grey each.
fn write_test_part(folder: &Path) {
    let (count, side) = (3, 28);
    fs::create_dir_all(folder).unwrap();
    let header =
        |words: &[u32]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
    let images: Vec<u8> =
        (0..count).flat_map(|image| vec![image as u8 * 90; (side * side) as usize]).collect();
    let images = [header(&[0x803, count, side, side]), images].concat();
    fs::write(folder.join("t10k-images-idx3-ubyte"), images).unwrap();
    fs::write(
        folder.join("t10k-labels-idx1-ubyte"),
        [header(&[0x801, count]), vec![0, 1, 2]].concat(),
    )
    .unwrap();
}

#[test]
fn the_test_part_of_a_data_set_is_enough_to_score_against() {
    let folder = tempfile::tempdir().unwrap();
    write_test_part(&folder.path().join("fashion-mnist"));
    let [csv, data] = ["scores.csv", ""].map(|name| folder.path().join(name).display().to_string());
    let found = says(&[
        "anomaly",
        run(),
        "--against",
        "fashion-mnist",
        "--data-dir",
        &data,
        "--json",
        "--out",
        &csv,
    ]);
    assert_eq!(json(&found)["foreign_images"].as_u64(), Some(3));
}

#[test]
fn what_makes_no_model_is_refused() {
    let with = |pair: &str, code| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run").display().to_string();
        let sets = TINY.iter().copied().chain([pair]).flat_map(|pair| ["--set", pair]);
        let train = ["train", "--epochs", "1", "--out", &path];
        fails(&train.into_iter().chain(sets).collect::<Vec<_>>(), code)
    };
    // A wrong configuration ends with 2, one that does not fit these images with 1.
    for (pair, code, message) in [
        ("model.stages=[]", 2, "there must be at least one"),
        (
            "model.stages=[{channels=4,kernels=[3],latent_units=3,latent_channels=1,latent_kernel=1}]",
            2,
            "either latent_units or",
        ),
        (
            "model.stages=[{channels=4,kernels=[3],strides=[3],latent_units=3}]",
            1,
            "can't shrink by a stride of 3",
        ),
        ("model.stages=[{channels=4,kernels=[3],latent_unit=3}]", 2, "unknown field `latent_unit`"),
        ("train.batch_size=1000000", 1, "batch"),
    ] {
        let error = with(pair, code);
        assert!(error.contains(message), "{pair}: {error}");
    }
}

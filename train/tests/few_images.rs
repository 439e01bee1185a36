//! Batches, and data sets, of so few or so equal images that something is divided by a deviation of
//! nearly 0: refused with the reason before a folder is made, or trained all the same.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use rung_datasets::npy::{NpyArray, NpyValues};
use rung_datasets::npz::NpzWriter;

/// A ladder of two layers, with batch normalisation.
const LADDER: [&str; 2] = ["model.latent_sizes=[4,2]", "model.hidden_sizes=[16,8]"];
/// A dense BIVA, with data-dependent initialisation.
const BIVA: [&str; 5] = [
    "model.family=biva",
    "model.flat_images=true",
    "model.stages=[{channels=16,kernels=[1],latent_units=4},{channels=16,kernels=[1],latent_units=2}]",
    "model.initial_sigma=0.5",
    "model.log_variance=softplus_deviation",
];
/// A convolutional model of one stage, at the published scale of its first outputs.
const CONVOLUTIONAL: [&str; 2] = [
    "model.family=staged_vae",
    "model.stages=[{channels=8,kernels=[3],strides=[2],latent_units=4}]",
];

/// Writes `count` training images of 8x8, and as many test images, by `value` of image and pixel.
fn write(path: &Path, count: usize, value: impl Fn(usize, usize) -> u8) {
    let pixels: Vec<u8> = (0..count * 64).map(|k| value(k / 64, k % 64)).collect();
    let mut writer = NpzWriter::create(path).unwrap();
    for part in ["train", "test"] {
        let values = NpyValues::U8(pixels.clone());
        writer.add(part, &NpyArray { shape: vec![count, 8, 8], values }).unwrap();
    }
    writer.finish().unwrap();
}

fn speckled(image: usize, pixel: usize) -> u8 {
    ((image * 64 + pixel) as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]
}

fn train(folder: &Path, batch: usize, model: &[&str], more: &[&str]) -> Output {
    let (batch, data) = (
        format!("train.batch_size={batch}"),
        format!("data.name=npz:{}", folder.join("a.npz").display()),
    );
    let sets = [&batch, &data, "objective.warmup_epochs=0", "train.epochs=10", "train.threads=1"];
    let sets = model.iter().copied().chain(sets).chain(more.iter().copied());
    let mut command = Command::new(env!("CARGO_BIN_EXE_rung"));
    command
        .args(["train", "--out"])
        .arg(folder.join("run"))
        .args(sets.flat_map(|pair| ["--set", pair]));
    command.stdin(Stdio::null()).env_remove("RUNG_DATA").output().unwrap()
}

/// The bound L_1 of a training that succeeds.
fn bound(output: &Output) -> f64 {
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{err}");
    let value = out.split("L_1: ").nth(1).and_then(|rest| rest.split(' ').next());
    value.unwrap_or_else(|| panic!("{out}")).parse().unwrap()
}

#[test]
fn data_dependent_initialisation_survives_few_and_equal_images() {
    // An untrained model of 64 binary pixels has a bound near -64 ln 2 = -44.4.
    for (what, count, batch, value) in [
        ("one image a batch", 24, 1, speckled as fn(usize, usize) -> u8),
        ("two images a batch", 24, 2, speckled),
        ("two images in all", 2, 2, speckled),
        ("black images", 24, 16, |_, _| 0),
        ("white images", 24, 16, |_, _| 255),
        ("equal images", 24, 16, |_, pixel| speckled(0, pixel)),
    ] {
        for (name, model) in [("dense", &BIVA[..]), ("convolutional", &CONVOLUTIONAL)] {
            let folder = tempfile::tempdir().unwrap();
            write(&folder.path().join("a.npz"), count, value);
            let bound = bound(&train(folder.path(), batch, model, &[]));
            assert!(bound > -100.0, "{what}, {name}: {bound}");
        }
    }
}

#[test]
fn batch_normalisation_over_too_few_or_equal_images_is_refused_before_a_folder_is_made() {
    for (what, count, batch, value, more, expected) in [
        (
            "a batch of two",
            24,
            2,
            speckled as fn(usize, usize) -> u8,
            &[][..],
            "must be at least 4 with batch normalisation",
        ),
        (
            "samples of one image",
            24,
            1,
            speckled,
            &["objective.monte_carlo_samples=8"],
            "must be at least 4",
        ),
        ("few images", 5, 4, speckled, &[], "needs at least 8 training images, and there are 5"),
        (
            "black images",
            24,
            8,
            |_, _| 0,
            &[],
            "all 24 training images are the same: batch normalisation divides",
        ),
        (
            "fewer than a batch",
            24,
            32,
            speckled,
            &[],
            "a batch of 32 needs more than the 24 training images",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("a.npz"), count, value);
        let output = train(folder.path(), batch, &LADDER, more);
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && err.contains(expected), "{what}: {err}");
        assert!(!err.contains("learning-rate"), "{what}: {err}");
        assert!(!folder.path().join("run").exists(), "{what}: a folder was made");
    }
}

#[test]
fn few_or_equal_images_that_can_be_trained_on_are_said() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("a.npz"), 12, speckled);
    let output = train(folder.path(), 4, &LADDER, &[]);
    assert!(bound(&output) > -200.0);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(err.contains("warning: batch normalisation over 12 training images"), "{err}");
    let grey = tempfile::tempdir().unwrap();
    write(&grey.path().join("a.npz"), 64, |_, pixel| speckled(0, pixel));
    let output = train(grey.path(), 16, &LADDER, &[]);
    assert!(bound(&output) > -100.0, "binarisation tells the images apart");
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(err.contains("warning: all 64 training images are the same"), "{err}");
}

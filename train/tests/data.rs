//! A user's own data from the first look to the report: the program takes it for what it is, in
//! every command.

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
    let (out, err) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
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
    let record: DataRecord =
        serde_json::from_str(&fs::read_to_string(at("run/data.json")).unwrap()).unwrap();
    assert_eq!(
        (record.shape.to_string().as_str(), record.images.train, record.images.test),
        ("3x32x32", 11, 1)
    );
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

/// Trains an epoch of the default model on a data set into `out`.
fn train<'a>(data: &'a str, out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let fixed = [
        "train",
        "--dataset",
        data,
        "--out",
        out,
        "--epochs",
        "1",
        "--batch-size",
        "16",
        "--warmup-epochs",
        "0",
    ];
    fixed.into_iter().chain(more.iter().copied()).collect()
}

fn reals(of: impl Fn(f32) -> f32) -> NpyValues {
    NpyValues::F32((0..40 * 64).map(|i| of((i * 37 % 101) as f32 / 100.0)).collect())
}

#[test]
fn values_of_another_range_are_refused_with_a_reason_before_a_run_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let shape: &[usize] = &[40, 8, 8];
    let NpyValues::F32(deep) = reals(|x| (65_535.0 * x).round()) else { panic!("reals are f32") };
    let deep = NpyValues::I64(deep.into_iter().map(|value| value as i64).collect());
    for (values, found) in [
        (reals(|x| 255.0 * x), "values from 0 to 255"),
        (reals(|x| 2.0 * x - 1.0), "values from -1 to 1"),
        (deep, "values from 0 to 65535"),
    ] {
        write_npz(Path::new(&at("a.npz")), &[("images", shape, values)]);
        let (data, out) = (format!("npz:{}", at("a.npz")), at("run"));
        for more in [&[][..], &["--set", "data.binarisation=none"]] {
            let error = fails(&train(&data, &out, more));
            assert!(
                error.contains(found)
                    && error.contains("bernoulli is for values from 0 to 1, or bytes"),
                "{error}"
            );
            assert!(
                error.contains("--set model.observation=gaussian") && !Path::new(&out).exists(),
                "{error}"
            );
        }
    }
    write_npz(
        Path::new(&at("a.npz")),
        &[("train", shape, bytes(40 * 64)), ("test", shape, reals(|x| x))],
    );
    let error = fails(&train(&format!("npz:{}", at("a.npz")), &at("run"), &[]));
    assert!(error.contains("values of the same scale in every part"), "{error}");
}

#[test]
fn what_is_no_likelihood_is_not_printed_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (data, grey, noiseless) = (format!("npz:{}", at("a.npz")), at("grey"), at("noiseless"));
    write_npz(Path::new(&at("a.npz")), &[("images", &[40, 8, 8], bytes(40 * 64))]);
    let gaussian = ["--set", "model.observation=gaussian"];
    for (run, more, why) in [
        (
            &grey,
            &["--set", "data.binarisation=none"][..],
            "a Bernoulli cross-entropy of grey levels",
        ),
        (&noiseless, &gaussian[..], "a density of pixels that have levels"),
    ] {
        let (out, err) = says(&train(&data, run, more));
        assert!(
            err.contains(why) && out.contains("test score L_1: ") && out.contains("no likelihood"),
            "{out}{err}"
        );
        let (out, _) = says(&["evaluate", run, "--importance-samples", "2"]);
        assert!(out.contains(why) && !out.contains("bits per dimension"), "{out}");
        let (out, _) = says(&["evaluate", run, "--importance-samples", "2", "--json"]);
        assert!(out.contains("\"bits_per_dim\":null"), "{out}");
        assert!(fs::read_to_string(format!("{run}/report.html")).unwrap().contains(why));
    }
    // The same data drawn black or white, or with noise between its steps: likelihoods with bits.
    for (run, more, told) in [
        (at("drawn"), &[][..], "binarised: each pixel is drawn black or white anew in every epoch"),
        (
            at("noisy"),
            &[gaussian[0], gaussian[1], "--set", "data.dequantisation=once"][..],
            "dequantised: uniform noise",
        ),
    ] {
        let (out, err) = says(&train(&data, &run, more));
        assert!(err.contains(told) && out.contains("test bound L_1: "), "{out}{err}");
        assert!(
            says(&["evaluate", &run, "--importance-samples", "2"]).0.contains("bits per dimension")
        );
    }
    let config = fs::read_to_string(at("drawn/config.toml")).unwrap();
    assert!(
        config.contains("binarisation = \"dynamic\""),
        "what was settled is spelled out: {config}"
    );
}

#[test]
fn real_pixels_get_no_noise() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    write_npz(Path::new(&at("a.npz")), &[("images", &[40, 8, 8], reals(|x| 0.3 + 0.01 * x))]);
    let data = format!("npz:{}", at("a.npz"));
    let checkpoint = |out: &str, noise: &str| {
        let more = ["--set", "model.observation=gaussian", "--set", noise];
        let (_, err) = says(&train(&data, out, &more));
        (fs::read(format!("{out}/checkpoints/last.safetensors")).unwrap(), err)
    };
    let (plain, err) = checkpoint(&at("plain"), "data.dequantisation=none");
    assert!(!err.contains("noise"), "{err}");
    let (asked, err) = checkpoint(&at("asked"), "data.dequantisation=once");
    assert!(err.contains("no noise is added: real numbers have no steps to fill"), "{err}");
    assert!(plain == asked, "noise was added to real numbers");
}

#[test]
fn colours_ask_for_a_choice_where_the_family_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    write_npz(Path::new(&at("a.npz")), &[("images", &[40, 3, 4, 4], bytes(40 * 48))]);
    let (data, out) = (format!("npz:{}", at("a.npz")), at("run"));
    let error = fails(&train(&data, &out, &[]));
    assert!(
        error.contains("colour images (bytes 0 to 255)")
            && error.contains("data.binarisation=dynamic"),
        "{error}"
    );
    let (_, err) = says(&train(&data, &out, &["--set", "data.binarisation=dynamic"]));
    assert!(err.contains("each colour of a pixel is drawn black or white"), "{err}");
}

/// A folder of `count` pictures, 16 rows of 8 pixels, the same but for a stripe.
fn write_pictures(folder: &Path, count: u32) {
    fs::create_dir_all(folder).unwrap();
    for i in 0..count {
        let picture = image::GrayImage::from_fn(8, 16, |_, y| {
            image::Luma([if y == i % 16 { 255 } else { 0 }])
        });
        picture.save(folder.join(format!("{i:02}.png"))).unwrap();
    }
}

#[test]
fn pictures_keep_their_own_size_in_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    write_pictures(&folder.path().join("pictures"), 40);
    let (data, run) = (format!("images:{}", at("pictures")), at("run"));
    let (_, err) = says(&train(&data, &run, &[]));
    assert!(err.contains("36 training images, 4 test images of 1x16x8, black and white"), "{err}");
    assert!(
        !err.contains("resized") && !err.contains("binarised") && !err.contains("warning"),
        "{err}"
    );
    for command in ["sample", "reconstruct"] {
        says(&[command, &run, "--count", "1", "--scale", "1"]);
    }
    let seen = image::open(at("run/pictures/reconstructions.png")).unwrap();
    assert_eq!((seen.width(), seen.height()), (17, 16), "two pictures of 8 columns and a gap");
    // Another folder's pictures are brought to the model's shape, aloud.
    fs::create_dir(folder.path().join("others")).unwrap();
    for i in 0..20 {
        image::GrayImage::new(20, 20).save(folder.path().join(format!("others/{i}.png"))).unwrap();
    }
    let (_, err) = says(&["anomaly", &run, "--against", &format!("images:{}", at("others"))]);
    assert!(
        err.contains(
            "20 of 20 pictures resized to 16x8: aspect kept, 20 of them padded with black"
        ),
        "{err}"
    );
}

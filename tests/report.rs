//! The report, the export and the plan of a reproduction, from outside.

mod program;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use program::{Run, finish, interrupt, rung, start};

/// The page with the encoded pictures and weights left out.
fn words(path: &Path) -> String {
    let html = fs::read_to_string(path).unwrap();
    assert!(
        html.starts_with("<!doctype html>") && html.ends_with("</html>\n"),
        "{}",
        path.display()
    );
    html.split('"')
        .filter(|part| part.len() < 50_000 && !part.starts_with("data:image"))
        .collect::<Vec<_>>()
        .join("\"")
}

/// Nothing is loaded from elsewhere.
fn assert_self_contained(page: &str) {
    let page = page.replace("http://www.w3.org/2000/svg", "");
    for foreign in ["http:", "https:", "src=\"/", "<link rel=\"stylesheet", "@import", "import("] {
        assert!(!page.contains(foreign), "{foreign}");
    }
}

fn report(run: &Run, arguments: &[&str]) -> String {
    let path = run.path.display().to_string();
    let command: Vec<&str> = ["report", &path].iter().chain(arguments).copied().collect();
    rung(&command).exits(0).out.trim().to_owned()
}

#[test]
fn a_finished_training_has_its_report() {
    let run = Run::new();
    let said = rung(&run.train(3, &[])).exits(0);
    let path = run.file("report.html");
    assert!(said.out.contains(&format!("report: {}", path.display())), "{said:?}");
    let page = words(&path);
    assert_self_contained(&page);
    for title in [
        "Bound on log p(x)",
        "How well images are rebuilt",
        "What each layer says",
        "Active units after 3 epochs",
        "Active units over the epochs",
        "Distance to the standard normal",
        "KL of every unit over the epochs",
        "Latent explorer",
        "Images drawn with each layer",
        "Images and their reconstructions",
        "Latents of each layer by class",
        "The complete configuration",
    ] {
        assert!(page.contains(title), "{title}");
    }
    let last = run.metrics().pop().unwrap();
    let bound = (last["train_bound_nats"].as_f64().unwrap() * 1e3).round() / 1e3;
    assert!(page.contains(&format!("[3.0,{bound}]")), "the chart has {bound} at epoch 3");
    assert!(page.contains("latent_sizes = [") && page.contains("device</th>"));
    assert!(!page.contains("is not finished"));
    // Asked for again, it is the same but for its way of naming the run.
    assert_eq!(report(&run, &[]), path.display().to_string());
    assert_eq!(words(&path), page);
}

#[test]
fn a_run_that_was_stopped_and_one_without_a_checkpoint_have_theirs() {
    let run = Run::new();
    let child = start(&run.train(100_000, &[]));
    let deadline = Instant::now() + Duration::from_secs(120);
    let begun = || {
        fs::read_to_string(run.file("metrics.jsonl")).is_ok_and(|text| text.lines().count() >= 2)
    };
    while !begun() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    // While it trains, too.
    report(&run, &["--out", run.file("during.html").to_str().unwrap()]);
    assert!(words(&run.file("during.html")).contains("This run is not finished"));
    interrupt(&child);
    finish(child).exits(130);
    report(&run, &[]);
    let page = words(&run.file("report.html"));
    assert!(page.contains("This run is not finished") && page.contains("Latent explorer"));
    assert!(page.contains("running statistics"));
    fs::remove_dir_all(run.file("checkpoints")).unwrap();
    report(&run, &[]);
    let page = words(&run.file("report.html"));
    assert!(page.contains("No pictures of the model") && page.contains("Bound on log p(x)"));
}

#[test]
fn several_runs_are_compared() {
    let (ladder, shallow) = (Run::new(), Run::new());
    rung(&ladder.train(2, &[])).exits(0);
    let sets = [
        "--set",
        "model.latent_sizes=[5]",
        "--set",
        "model.hidden_sizes=[16]",
        "--set",
        "model.family=vae",
    ];
    rung(&shallow.train(2, &sets)).exits(0);
    let out = ladder.file("both.html");
    let (a, b) = (ladder.path.display().to_string(), shallow.path.display().to_string());
    rung(&["report", &a, &b, "--out", out.to_str().unwrap()]).exits(0);
    let page = words(&out);
    assert_self_contained(&page);
    for title in [
        "2 runs compared",
        "Bounds of all runs",
        "against depth",
        "Distance to the standard normal",
    ] {
        assert!(page.contains(title), "{title}");
    }
    assert!(!page.contains("Latent explorer"), "the explorer belongs to the page of one run");
}

#[test]
fn a_report_of_what_is_no_run_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let said = rung(&["report", folder.path().to_str().unwrap()]).exits(1);
    assert!(said.error().contains("isn't a run"), "{said:?}");
    rung(&["report"]).exits(2);
    let run = Run::new();
    rung(&run.train(1, &[])).exits(0);
    fs::write(run.file("metrics.jsonl"), "{\"step\":1,\"epoch\":\"one\"}\n").unwrap();
    let said = rung(&["report", run.path.to_str().unwrap()]).exits(1);
    assert!(said.error().contains("metrics.jsonl, line 1"), "{said:?}");
}

#[test]
fn evaluations_are_kept_in_the_run() {
    let run = Run::new();
    rung(&run.train(2, &[])).exits(0);
    let path = run.path.display().to_string();
    rung(&["evaluate", &path, "--importance-samples", "7", "--count", "10"]).exits(0);
    let text = fs::read_to_string(run.file("evaluations.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (lines.len(), &lines[0]["importance_samples"], &lines[1]["importance_samples"]),
        (2, &1.into(), &7.into())
    );
    assert_eq!(
        (&lines[1]["images"], &lines[1]["images_in_split"], &lines[1]["step"]),
        (&10.into(), &40.into(), &20.into())
    );
    report(&run, &[]);
    assert!(words(&run.file("report.html")).contains("held out, L₇ (10 images)"));
}

#[test]
fn a_model_is_exported_in_both_formats() {
    let run = Run::new();
    rung(&run.train(1, &[])).exits(0);
    let path = run.path.display().to_string();
    let written = rung(&["export", &path]).exits(0).out;
    assert_eq!(written.trim(), run.file("model.safetensors").display().to_string());
    let bytes = fs::read(run.file("model.safetensors")).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let names: Vec<&String> = header.as_object().unwrap().keys().collect();
    assert!(names.iter().any(|name| *name == "generative.x.logits.weight"), "{names:?}");
    assert!(
        names.iter().all(|name| !name.starts_with("optimiser") && !name.starts_with("exact_")),
        "{names:?}"
    );
    assert_eq!(header["__metadata__"]["statistics"], "exact");
    let npz = run.file("other.npz");
    rung(&["export", &path, "--format", "npz", "-o", npz.to_str().unwrap()]).exits(0);
    assert_eq!(&fs::read(npz).unwrap()[..4], b"PK\x03\x04");
}

#[test]
fn a_reproduction_says_what_it_takes_before_it_begins() {
    let out = tempfile::tempdir().unwrap();
    let folder = out.path().join("runs");
    let folder = folder.to_str().unwrap();
    let command = [
        "reproduce",
        "mnist-table2",
        "--epochs",
        "3",
        "--dry-run",
        "--threads",
        "1",
        "--out",
        folder,
    ];
    let said = rung(&command).exits(0);
    for expected in [
        "3 epochs instead of the paper's 2000",
        "mnist-vae-5-3-epochs",
        "mnist-ladder-5-3-epochs",
        "in all ",
    ] {
        assert!(said.out.contains(expected), "{said:?}");
    }
    assert!(!Path::new(folder).exists(), "a plan leaves no trace");
    let said = rung(&["reproduce", "mnist-table4"]).exits(2);
    assert!(said.err.contains("did you mean mnist-table"), "{said:?}");
    let missing =
        ["reproduce", "mnist-table2", "--epochs", "1", "--out", folder, "--data-dir", "/nowhere"];
    assert!(rung(&missing).exits(1).err.contains("rung data fetch mnist"));
}

/// Writes MNIST as `rung data` expects it, with these many training and test images of noise.
fn write_noise_as_mnist(folder: &Path, counts: [u32; 2]) {
    fs::create_dir_all(folder).unwrap();
    let words = |words: &[u32]| words.iter().flat_map(|w| w.to_be_bytes()).collect::<Vec<u8>>();
    for (part, count) in ["train", "t10k"].into_iter().zip(counts) {
        let pixels = (0..count * 784).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8);
        let images: Vec<u8> = words(&[0x803, count, 28, 28]).into_iter().chain(pixels).collect();
        fs::write(folder.join(format!("{part}-images-idx3-ubyte")), images).unwrap();
        let classes = (0..count).map(|i| (i % 10) as u8);
        let labels: Vec<u8> = words(&[0x801, count]).into_iter().chain(classes).collect();
        fs::write(folder.join(format!("{part}-labels-idx1-ubyte")), labels).unwrap();
    }
}

/// Two runs at once: they stop at a checkpoint when the time is up, which is no failure, and go on
/// when the command is given again; and short ones are done, both of them with their rows.
#[test]
fn a_reproduction_takes_the_time_that_it_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let [data, out] = ["data", "runs"].map(|name| folder.path().join(name));
    write_noise_as_mnist(&data.join("mnist"), [256, 16]);
    let common = ["reproduce", "mnist-table2", "--jobs", "2", "--importance-samples", "2"];
    let places = ["--data-dir", data.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let reproduce = |more: &[&str]| rung(&[&common[..], &places[..], more].concat()).exits(0);
    let rows = || -> Vec<(String, u64)> {
        let text = fs::read_to_string(out.join("mnist-table2.json")).unwrap();
        let table: serde_json::Value = serde_json::from_str(&text).unwrap();
        let row = |row: &serde_json::Value| {
            (row["state"].as_str().unwrap().to_string(), row["epochs_done"].as_u64().unwrap())
        };
        table["rows"].as_array().unwrap().iter().map(row).collect()
    };
    let long = ["--epochs", "1000000", "--for", "1s"];
    // A second may not be enough for an epoch where much else runs.
    let until_beyond = |done: [u64; 2]| {
        let mut said = reproduce(&long);
        for _ in 0..20 {
            if rows().iter().zip(done).all(|((_, epochs), done)| *epochs > done) {
                break;
            }
            said = reproduce(&long);
        }
        said
    };
    let said = until_beyond([0, 0]);
    assert!(said.out.contains("the time is up; the same command goes on"), "{said:?}");
    assert!(said.err.contains("the work stops at ") && said.err.contains(", in 1s"), "{said:?}");
    let first = rows();
    for (state, epochs) in &first[..2] {
        assert!(*epochs > 0 && *state == format!("in training, epoch {epochs}"), "{first:?}");
        assert!(said.out.contains(&format!("| {state} |")), "{said:?}");
    }
    for row in &first[2..] {
        assert_eq!(*row, ("not begun".to_string(), 0));
    }
    let name = "mnist-vae-5-1000000-epochs: ";
    assert!(said.err.contains(&format!("{name}1 of 4: ")), "whose lines they are: {said:?}");
    until_beyond([first[0].1, first[1].1]);
    let second = rows();
    assert!(second[0].1 > first[0].1 && second[1].1 > first[1].1, "{first:?}, then {second:?}");
    let said = reproduce(&["--epochs", "1"]);
    assert!(!said.out.contains("the time is up"), "{said:?}");
    assert_eq!(rows(), vec![("done".to_string(), 1); 4]);
    let drawn = fs::read_to_string(out.join("mnist-table2.html")).unwrap();
    assert!(drawn.contains("mnist-ladder-5-1-epochs") && drawn.contains("No pictures"));
    for model in ["vae", "vae-bn", "vae-bn-wu", "ladder"] {
        let bounds = out.join(format!("mnist-{model}-5-1-epochs/bounds"));
        let name = "step-1-test-16-k-2-seed-1-pixels-1.npy";
        assert!(bounds.join(name).is_file(), "{}: for paired differences", bounds.display());
    }
}

#[test]
fn a_training_takes_the_time_that_it_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let run = run.to_str().unwrap();
    let small = ["data.train_images=64", "data.test_images=16", "model.hidden_sizes=[8,8,8,8,8]"];
    let sets: Vec<&str> = small.iter().flat_map(|pair| ["--set", pair]).collect();
    let new = ["train", "--epochs", "1000000", "--batch-size", "32", "--for", "1s", "--out", run];
    let step = || -> u64 {
        let info: serde_json::Value =
            serde_json::from_str(&rung(&["info", run, "--json"]).exits(0).out).unwrap();
        info["step"].as_u64().unwrap()
    };
    let said = rung(&[&new[..], &sets].concat()).exits(0);
    let advice =
        format!("the time is up; the work is kept in {run}; go on with: rung train --resume");
    assert!(said.out.contains(&advice), "{said:?}");
    let first = step();
    rung(&["train", "--resume", run, "--for", "1s"]).exits(0);
    assert!(first > 0 && step() > first);
    for (wrong, why) in [
        (["--for", "soon"], "soon is no time: give hours, minutes or seconds"),
        (["--until", "25:00"], "25:00 is no time of the day"),
    ] {
        let said = rung(&[&["train", "--resume", run][..], &wrong].concat()).exits(2);
        assert!(said.err.contains(why), "{said:?}");
    }
}

/// The metrics of every epoch have how many steps were skipped, where any may be; and a training in
/// which all are ends with a reason.
#[test]
fn skipped_steps_are_counted_and_end_a_training_without_hope() {
    let folder = tempfile::tempdir().unwrap();
    let train = |name: &str, limit: &str, epochs: &str| {
        let run = folder.path().join(name);
        let limit = format!("train.skipped_gradient_norm={limit}");
        let sets =
            ["data.train_images=64", "data.test_images=16", "model.hidden_sizes=[8,8,8,8,8]"];
        let sets = sets.into_iter().chain([limit.as_str()]).flat_map(|pair| ["--set", pair]);
        let new = ["train", "--batch-size", "32", "--epochs", epochs, "--out"];
        let words = [&new[..], &[run.to_str().unwrap()]].concat();
        let said = rung(&words.into_iter().chain(sets).collect::<Vec<_>>());
        let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
        let skipped = |line: &str| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["skipped_steps"].as_u64()
        };
        (said, metrics.lines().map(skipped).collect::<Vec<_>>())
    };
    let (said, skipped) = train("none", "0", "1");
    assert_eq!((said.exits(0).code, skipped), (Some(0), vec![None]));
    let (said, skipped) = train("few", "1e9", "2");
    assert_eq!((said.exits(0).code, skipped), (Some(0), vec![Some(0); 2]));
    let (said, skipped) = train("all", "1e-9", "60");
    let said = said.exits(1);
    assert!(said.error().contains("= 0.000000001 in 100 steps in a row"), "{said:?}");
    assert_eq!(skipped, vec![Some(2); 49], "two steps an epoch, up to the hundredth");
}

//! The commands that use a trained model, on a tiny run on the glyphs.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use rung_datasets::npz;
use serde_json::Value;
use tempfile::TempDir;

fn command<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rung"));
    command.args(arguments).args(["--quiet"]).stdin(Stdio::null()).env_remove("RUNG_DATA");
    command
}

fn rung<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Output {
    command(arguments).output().unwrap()
}

/// What a command that succeeds says.
fn says(line: &str) -> String {
    let output = rung(line.split_whitespace());
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn says_json(line: &str) -> Value {
    serde_json::from_str(&says(line)).unwrap()
}

/// The exit code and the messages of a command that fails.
fn fails(line: &str) -> (i32, String) {
    let output = rung(line.split_whitespace());
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(!errors.contains("panicked"), "{line}: {errors}");
    (output.status.code().unwrap(), errors)
}

/// A finished run of a two-layer ladder, made once and only read.
fn run() -> &'static str {
    static RUN: OnceLock<(TempDir, String)> = OnceLock::new();
    let (_, path) = RUN.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run").display().to_string();
        says(&format!(
            "train --epochs 2 --warmup-epochs 0 --batch-size 32 --threads 1 --out {path} --set \
            model.latent_sizes=[6,3] --set model.hidden_sizes=[16,8] --set data.train_images=128 \
            --set data.test_images=40"
        ));
        (folder, path)
    });
    path
}

/// A copy of the run with the checkpoint changed.
fn copy_of_run(change: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    let run = Path::new(run());
    let last = "checkpoints/last.safetensors";
    std::fs::create_dir(copy.path().join("checkpoints")).unwrap();
    std::fs::copy(run.join("config.toml"), copy.path().join("config.toml")).unwrap();
    if let Some(bytes) = change(std::fs::read(run.join(last)).unwrap()) {
        std::fs::write(copy.path().join(last), bytes).unwrap();
    }
    copy
}

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("{key} in {value}"))
}

#[test]
fn evaluate_reports_both_bounds_with_their_terms() {
    let run = run();
    let report = says_json(&format!("evaluate {run} --importance-samples 50 --rows 64 --json"));
    let (bound_1, bound_k) = (number(&report, "bound_1_nats"), number(&report, "bound_k_nats"));
    assert!(bound_k > bound_1, "{report}");
    assert!(
        number(&report, "standard_error_nats") > 0.0
            && number(&report, "bound_1_standard_error_nats") > 0.0
    );
    let effective = number(&report, "effective_sample_size");
    assert!((1.0..=50.0).contains(&effective), "{report}");
    assert_eq!((number(&report, "images"), number(&report, "importance_samples")), (40.0, 50.0));
    assert_eq!(report["statistics"], "exact");
    let bits = -bound_k / (784.0 * std::f64::consts::LN_2);
    assert!((number(&report, "bits_per_dim") - bits).abs() < 1e-12);
    for key in ["kl_nats", "log_p_nats", "log_q_nats", "active_units"] {
        assert_eq!(report[key].as_array().unwrap().len(), 2, "{key}");
    }
    for key in ["seconds", "image_samples_per_s"] {
        assert!(number(&report, key) > 0.0);
    }
    let again =
        says_json(&format!("evaluate {run} --importance-samples 50 --rows 64 --json --threads 2"));
    assert_eq!(again["bound_k_nats"], report["bound_k_nats"], "another number of threads");
}

/// Noise is addressed by image and sample, so what is computed at once changes a result by no more
/// than rounding.
#[test]
fn no_result_depends_on_how_the_work_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let near = |what: &str, found: f64, expected: f64| {
        assert!(
            (found - expected).abs() < 1e-5 * expected.abs(),
            "{what} is {found}, not {expected}"
        );
    };
    let evaluate = |rows: usize| {
        says_json(&format!("evaluate {} --importance-samples 50 --rows {rows} --json", run()))
    };
    let anomaly = |rows: usize| {
        let csv = folder.path().join(format!("{rows}.csv"));
        let command = format!(
            "anomaly {} --importance-samples 3 --rows {rows} --out {}",
            run(),
            csv.display()
        );
        says(&command);
        let lines = std::fs::read_to_string(csv).unwrap();
        lines
            .lines()
            .skip(1)
            .flat_map(|line| line.split(',').skip(2).map(|bound| bound.parse().unwrap()))
            .collect()
    };
    let (whole, scores): (_, Vec<f64>) = (evaluate(2000), anomaly(2000));
    assert_eq!(scores.len(), 80);
    for rows in [1, 7, 64] {
        let cut = evaluate(rows);
        for key in [
            "bound_1_nats",
            "bound_k_nats",
            "effective_sample_size",
            "standard_error_nats",
            "log_p_x_nats",
        ] {
            near(&format!("{rows} rows: {key}"), number(&cut, key), number(&whole, key));
        }
        for (found, expected) in anomaly(rows).into_iter().zip(&scores) {
            near(&format!("{rows} rows: a score"), found, *expected);
        }
    }
    let sum =
        |key: &str| whole[key].as_array().unwrap().iter().filter_map(Value::as_f64).sum::<f64>();
    assert!(
        (number(&whole, "log_p_x_nats") - sum("kl_nats") - number(&whole, "bound_1_nats")).abs()
            < 1e-9
    );
    let few =
        says_json(&format!("evaluate {} --importance-samples 1 --count 7 --seed 5 --json", run()));
    let more =
        says_json(&format!("evaluate {} --importance-samples 2 --count 7 --seed 5 --json", run()));
    assert_ne!(few["bound_1_nats"], more["bound_1_nats"], "L_1 is the mean of all samples");
}

#[test]
fn what_an_evaluation_was_made_with_is_recorded() {
    let line = says_json(&format!(
        "evaluate {} --importance-samples 2 --count 1 --rows 3 --seed 9 --json",
        run()
    ));
    assert_eq!((&line["seed"], &line["rows"]), (&Value::from(9), &Value::from(3)), "{line}");
    assert_eq!(
        (&line["binarisation"], &line["pixel_seed"]),
        (&Value::from("dynamic"), &Value::from(1)),
        "{line}"
    );
    assert_eq!(line["data_set"], "glyphs");
    assert!(
        line["standard_error_nats"].is_null() && line["bound_1_standard_error_nats"].is_null(),
        "{line}"
    );
    let text =
        says(&format!("evaluate {} --importance-samples 2 --count 1 --rows 3 --seed 9", run()));
    assert!(!text.contains('±'), "one image has no standard error: {text}");
    let kept = std::fs::read_to_string(Path::new(run()).join("evaluations.jsonl")).unwrap();
    assert!(kept.contains(r#""pixel_seed":1"#) && kept.contains(r#""seed":9"#), "{kept}");
    let folder = tempfile::tempdir().unwrap();
    says(&format!("report {} --out {}", run(), folder.path().join("report.html").display()));
}

#[test]
fn scores_of_one_data_set_are_a_json_object_too() {
    let folder = tempfile::tempdir().unwrap();
    let csv = folder.path().join("a.csv");
    let found =
        says_json(&format!("anomaly {} --count 1 --seed 4 --json --out {}", run(), csv.display()));
    assert_eq!(
        (&found["own"], &found["own_images"]),
        (&Value::from("glyphs"), &Value::from(1)),
        "{found}"
    );
    assert_eq!(
        (&found["split"], &found["seed"]),
        (&Value::from("test"), &Value::from(4)),
        "{found}"
    );
    let text = std::fs::read_to_string(csv).unwrap();
    let of_image: Vec<f64> =
        text.lines().nth(1).unwrap().split(',').skip(2).map(|n| n.parse().unwrap()).collect();
    for (k, bound) in of_image.iter().enumerate() {
        assert!((number(&found["bounds"][k], "own_mean_nats") + bound).abs() < 1e-3, "{found}");
    }
}

#[test]
fn one_sample_makes_the_two_bounds_one() {
    let report = says_json(&format!(
        "evaluate {} --importance-samples 1 --count 20 --json --statistics running --checkpoint \
        best",
        run()
    ));
    assert_eq!(report["bound_1_nats"], report["bound_k_nats"]);
    assert_eq!((number(&report, "images"), &report["statistics"]), (20.0, &Value::from("running")));
    let terms: f64 = number(&report, "log_p_x_nats")
        - report["kl_nats"].as_array().unwrap().iter().filter_map(Value::as_f64).sum::<f64>();
    assert!((terms - number(&report, "bound_1_nats")).abs() < 1e-3, "{report}");
    assert!(report["checkpoint"].as_str().unwrap().ends_with("best.safetensors"));
    assert_eq!(report["chosen_on"], "test");
    assert_eq!(
        says_json(&format!(
            "evaluate {} --importance-samples 1 --count 20 \
        --json",
            run()
        ))["chosen_on"],
        Value::Null
    );
    let text = says(&format!("evaluate {} --importance-samples 5", run()));
    assert!(
        text.starts_with("L_1 ") && text.contains("L_5 ") && text.contains("active units"),
        "{text}"
    );
}

#[test]
fn statistics_are_collected_where_the_checkpoint_has_none() {
    let run = run();
    let exact = says_json(&format!("evaluate {run} --importance-samples 1 --json"));
    let unfinished = format!("{run}/checkpoints/previous.safetensors");
    let collected = says_json(&format!(
        "evaluate {run} --importance-samples 1 --json --checkpoint {unfinished}"
    ));
    assert_eq!(collected["statistics"], "exact");
    // The last two checkpoints of a run that finishes have the same parameters.
    assert_eq!(collected["bound_1_nats"], exact["bound_1_nats"]);
}

#[test]
fn samples_and_reconstructions_are_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let size = |path: PathBuf| image::image_dimensions(path).unwrap();
    let run = run();
    let said = says(&format!(
        "sample {run} --count 4 --scale 1 --layer all --out {}",
        at("s.png").display()
    ));
    assert_eq!(said.lines().count(), 2);
    assert_eq!((size(at("s-1.png")), size(at("s-2.png"))), ((57, 57), (57, 57)));
    says(&format!("sample {run} --count 4 --scale 1 --layer 2 --out {}", at("top.png").display()));
    assert_eq!(std::fs::read(at("top.png")).unwrap(), std::fs::read(at("s-2.png")).unwrap());
    says(&format!(
        "sample {run} --count 4 --scale 1 --draw-pixels --out {}",
        at("drawn.png").display()
    ));
    assert_ne!(std::fs::read(at("drawn.png")).unwrap(), std::fs::read(at("top.png")).unwrap());
    says(&format!("reconstruct {run} --count 8 --scale 2 --out {}", at("r.png").display()));
    assert_eq!(size(at("r.png")), (2 * (4 * 28 + 3), 2 * (4 * 28 + 3)));
}

#[test]
fn encode_writes_every_layer_and_the_labels() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("latents.npz");
    says(&format!("encode {} --count 30 --out {}", run(), path.display()));
    let arrays = npz::read(&path).unwrap();
    let shapes: Vec<(&str, &[usize])> =
        arrays.iter().map(|(name, array)| (name.as_str(), &array.shape[..])).collect();
    let (z_1, z_2): (&[usize], &[usize]) = (&[30, 6], &[30, 3]);
    let expected = [
        ("z_1", z_1),
        ("mean_1", z_1),
        ("variance_1", z_1),
        ("z_2", z_2),
        ("mean_2", z_2),
        ("variance_2", z_2),
        ("labels", &[30]),
    ];
    assert_eq!(shapes, expected);
}

#[test]
fn info_describes_presets_and_runs() {
    for (preset, parameters) in [
        ("mnist-ladder-5", 1_850_944),
        ("mnist-ladder-2", 1_745_552),
        ("mnist-vae-bn-wu-5", 1_707_104),
        ("mnist-vae-bn-wu-1", 1_430_544),
    ] {
        let description = says_json(&format!("info --preset {preset} --json"));
        assert_eq!(description["parameters"], parameters, "{preset}");
        let tensors = description["tensors"].as_array().unwrap();
        assert_eq!(
            tensors.iter().map(|tensor| number(tensor, "parameters")).sum::<f64>(),
            f64::from(parameters)
        );
        assert!(number(&description, "memory_bytes") > 16.0 * f64::from(parameters));
    }
    let description = says_json(&format!("info {} --json", run()));
    assert_eq!(
        (number(&description, "step"), &description["latent_sizes"]),
        (8.0, &serde_json::json!([6, 3]))
    );
    assert!(
        says(&format!("info {}", run())).contains("inference.up.1.hidden.0           784 x 16")
    );
    let presets = says("info --presets --json");
    assert!(presets.lines().count() > 70);
    assert!(
        presets
            .lines()
            .all(|line| serde_json::from_str::<Value>(line).unwrap()["parameters"].is_u64())
    );
}

#[test]
fn devices_and_data_sets_are_listed_one_a_line() {
    let devices = says("devices --json");
    let cpu: Value = serde_json::from_str(devices.lines().next().unwrap()).unwrap();
    assert_eq!(cpu["name"], "cpu");
    assert!(number(&cpu, "threads") >= 1.0);
    let folder = tempfile::tempdir().unwrap();
    let list = says(&format!("data list --json --data-dir {}", folder.path().display()));
    let status = |name: &str| {
        let of_name = |line: &str| {
            Some(serde_json::from_str::<Value>(line).unwrap()).filter(|value| value["name"] == name)
        };
        list.lines().find_map(of_name).unwrap()["presence"].clone()
    };
    assert_eq!((status("glyphs"), status("mnist")), ("built_in".into(), "absent".into()));
    assert!(says("data verify glyphs").contains("nothing to check"));
    let (code, errors) =
        fails(&format!("data verify mnist --data-dir {}", folder.path().display()));
    assert!(code == 1 && errors.contains("4 of 4 files are missing"), "{errors}");
}

#[test]
fn bench_measures_steps_evaluations_and_kernels() {
    let subject = "--preset mnist-vae-bn-wu-1 --batch-size 8 --json";
    let step = says_json(&format!("bench step {subject} --steps 3"));
    let [min, median, max] =
        ["step_ms_min", "step_ms_median", "step_ms_max"].map(|key| number(&step, key));
    assert!(0.0 < min && min <= median && median <= max);
    assert_eq!((number(&step, "steps"), number(&step, "parameters")), (3.0, 1_430_544.0));
    assert_eq!(number(&step, "allocated_bytes_per_step"), 0.0);
    assert!(number(&step, "kernel_launches") > 10.0);
    let evaluation =
        says_json(&format!("bench evaluate {subject} --importance-samples 10000 --rows 100"));
    assert!(number(&evaluation, "image_samples_per_s") > 0.0);
    let kernels = says(&format!("bench kernels {subject}"));
    for line in kernels.lines() {
        let kernel: Value = serde_json::from_str(line).unwrap();
        let key = if kernel["kernel"] == "matmul" { "gflop_per_s" } else { "gb_per_s" };
        assert!(number(&kernel, key) > 0.0, "{line}");
    }
}

#[test]
fn bench_serves_steps_on_demand() {
    let arguments = ["bench", "serve", "--preset", "mnist-vae-bn-wu-1", "--batch-size", "8"];
    let mut child =
        command(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let ready = answers.next().unwrap();
    assert!(ready["ready"].is_string() && ready["params"] == 1_430_544, "{ready}");
    let mut questions = child.stdin.take().unwrap();
    for steps in [2, 1] {
        writeln!(questions, "{steps}").unwrap();
        let answer = answers.next().unwrap();
        assert_eq!(answer["ms"].as_array().unwrap().len(), steps);
        assert!(number(&answer, "loss") > 0.0);
    }
    drop(questions);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_wrong_command_line_is_json_where_messages_are() {
    for line in [
        "train --epohcs 3 --log-format json",
        "--log-format=json nothing",
        "train --threads 20000 --log-format json",
    ] {
        let (code, errors) = fails(line);
        let said: Value = serde_json::from_str(errors.trim()).unwrap();
        assert_eq!((code, said["level"].as_str()), (2, Some("error")), "{line}: {errors}");
        assert!(!said["message"].as_str().unwrap().is_empty() && said["advice"].is_string());
    }
}

#[test]
fn an_empty_environment_variable_names_no_folder() {
    let listed = |folder: Option<&str>| {
        let mut command = command(["data", "list", "--json"]);
        match folder {
            Some(folder) => command.env("RUNG_DATA", folder),
            None => command.env_remove("RUNG_DATA"),
        };
        command.output().unwrap()
    };
    let (unset, empty) = (listed(None), listed(Some("")));
    assert!(unset.status.success() && empty.stdout == unset.stdout);
    assert_eq!(empty.stderr, unset.stderr);
}

#[test]
fn what_cannot_be_done_is_said_in_words() {
    let run = run();
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().display();
    let none = copy_of_run(|_| None);
    let damaged = copy_of_run(|mut bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        Some(bytes)
    });
    let cut = copy_of_run(|bytes| Some(bytes[..1000].to_vec()));
    let (none, damaged, cut) =
        (none.path().display(), damaged.path().display(), cut.path().display());
    for (line, code, expected) in [
        ("evaluate /nowhere".to_string(), 1, "doesn't exist"),
        (format!("evaluate {empty}"), 1, "isn't a run"),
        (format!("evaluate {none}"), 1, "has no checkpoint yet"),
        (format!("evaluate {damaged}"), 1, "checksum"),
        (format!("sample {cut}"), 1, "can't be used as a checkpoint"),
        (
            format!("evaluate {run} --checkpoint /nowhere.safetensors"),
            1,
            "--checkpoint takes last, best, previous or a file",
        ),
        (format!("evaluate {run} --device opencl:7"), 1, "rung devices"),
        (format!("evaluate {run} --split validation"), 1, "has no validation images"),
        (format!("evaluate {run} --importance-samples 0"), 2, "0 is not in"),
        (format!("sample {run} --layer 9"), 2, "layers 1 to 2"),
        (format!("sample {run} --count 0"), 2, "0 is not in"),
        (format!("sample {run} --out /nowhere/a.png"), 1, "its folder doesn't exist"),
        (format!("sample {run} --out {empty}"), 1, "it is a folder"),
        (format!("sample {run} --out /dev/null"), 1, "it is a device"),
        (format!("encode {run} --out /dev/full"), 1, "it is a device"),
        (format!("report {run} --out {run}/config.toml"), 1, "a run keeps its own records there"),
        (
            format!("export {run} --out {run}/checkpoints/last.safetensors"),
            1,
            "a run keeps its own records there",
        ),
        (format!("reconstruct {run} --out /nowhere/a.png"), 1, "make the folder first"),
        (format!("encode {run} --out /nowhere/a.npz"), 1, "its folder doesn't exist"),
        ("info --preset mnist-lader-5".to_string(), 2, "did you mean mnist-ladder-5?"),
        ("data fetch mnits".to_string(), 1, "did you mean 'mnist'?"),
        ("bench step --preset nothing".to_string(), 2, "unknown preset"),
        ("bench step --batch-size 1".to_string(), 2, "at least 4"),
    ] {
        let (found, errors) = fails(&line);
        assert_eq!(found, code, "{line}: {errors}");
        assert!(errors.contains(expected), "{line}: {errors}");
    }
}

#[test]
fn a_missing_data_set_leaves_the_running_statistics() {
    let copy = copy_of_run(Some);
    let run = copy.path().display();
    let config = copy.path().join("config.toml");
    let text =
        std::fs::read_to_string(&config).unwrap().replace("name = \"glyphs\"", "name = \"mnist\"");
    std::fs::write(&config, text).unwrap();
    let unfinished = Path::new(self::run()).join("checkpoints/previous.safetensors");
    let line = format!("sample {run} --checkpoint {} --data-dir /nowhere", unfinished.display());
    let output = rung(line.split_whitespace());
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.success() && errors.contains("warning: the running statistics"),
        "{errors}"
    );
    assert!(copy.path().join("pictures/samples.png").is_file());
    let (code, errors) = fails(&format!("{line} --statistics exact"));
    assert!(code == 1 && errors.contains("--data-dir"), "{errors}");
    let (code, errors) = fails(&format!("evaluate {run} --data-dir /nowhere"));
    assert!(
        code == 1 && errors.contains("rung data fetch mnist") && !errors.contains("warning"),
        "{errors}"
    );
}

#[test]
#[cfg(unix)]
fn an_evaluation_stops_at_once_when_asked_to() {
    let line = format!("evaluate {} --importance-samples 100000000", run());
    let mut child: Child = Command::new(env!("CARGO_BIN_EXE_rung"))
        .args(line.split_whitespace())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.starts_with("device: ")));
    let sent =
        Command::new("sh").args(["-c", &format!("kill -INT {}", child.id())]).status().unwrap();
    assert!(sent.success());
    assert!(lines.any(|line| line.starts_with("error: stopped as asked")));
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

/// The arrays of a file, texts left out.
fn arrays(path: &Path) -> Vec<(String, rung_datasets::npy::NpyArray)> {
    let all = npz::read_wanted(path, |name| name != "files").unwrap();
    all.into_iter().filter_map(|(name, array)| Some((name, array?))).collect()
}

#[test]
fn latents_are_decoded_from_where_the_file_begins() {
    let (run, folder) = (run(), tempfile::tempdir().unwrap());
    let file = |name: &str| folder.path().join(name);
    let latents = file("latents.npz");
    says(&format!("encode {run} --count 4 --out {}", latents.display()));
    let encoded = arrays(&latents);
    let z = |name: &str| encoded.iter().find(|(own, _)| own == name).unwrap().1.clone();
    let write = |name: &str, keys: &[&str]| {
        let mut writer = npz::NpzWriter::create(&file(name)).unwrap();
        keys.iter().for_each(|key| writer.add(key, &z(key)).unwrap());
        writer.finish().unwrap();
    };
    let decode = |from: &str, more: &str| {
        let out = file("decoded.npz");
        says(&format!("decode {run} {} --out {} {more}", file(from).display(), out.display()));
        arrays(&out).remove(0)
    };
    write("z_1.npz", &["z_1"]);
    write("z_2.npz", &["z_2"]);
    let all = decode("latents.npz", "");
    assert_eq!((all.0.as_str(), &all.1.shape[..]), ("images", &[4, 1, 28, 28][..]));
    // p(x|z_1) of a hierarchy does not know what is above z_1.
    assert_eq!(decode("z_1.npz", ""), all);
    let (one, other) = (decode("z_2.npz", ""), decode("z_2.npz", "--seed 2"));
    assert!(one != all && one != other, "z_1 is drawn");
    assert_eq!(decode("latents.npz", "--count 2").1.shape, [2, 1, 28, 28]);
    let picture = file("few.png");
    says(&format!("decode {run} {} --out {} --scale 3", latents.display(), picture.display()));
    assert!(std::fs::metadata(picture).unwrap().len() > 100);

    write("other.npz", &["labels"]);
    let mut writer = npz::NpzWriter::create(&file("wide.npz")).unwrap();
    writer.add_f32("z_1", &[2, 7], &[0.0; 14]).unwrap();
    writer.finish().unwrap();
    let mut writer = npz::NpzWriter::create(&file("nan.npz")).unwrap();
    writer.add_f32("z_2", &[1, 3], &[0.0, f32::NAN, 1.0]).unwrap();
    writer.finish().unwrap();
    for (name, expected) in [
        ("other.npz", "arrays of samples are called z_1, z_2"),
        ("wide.npz", "array z_1: expected [2, 6], it is [2, 7]"),
        ("nan.npz", "array z_2: number 1 is NaN"),
        ("none.npz", "none.npz"),
    ] {
        let (code, errors) = fails(&format!("decode {run} {}", file(name).display()));
        assert!(code == 1 && errors.contains(expected), "{name}: {errors}");
    }
    let (code, errors) = fails(&format!("decode {run} {} --class 1", latents.display()));
    assert!(code == 2 && errors.contains("the model has no classes"), "{errors}");
}

#[test]
fn new_pictures_go_through_a_trained_model() {
    let (run, folder) = (run(), tempfile::tempdir().unwrap());
    let pictures = folder.path().join("new");
    // Classes of which one is the model's: the glyphs' are called by their digits.
    for (class, count) in [("7", 2), ("unknown", 1)] {
        std::fs::create_dir_all(pictures.join(class)).unwrap();
        for number in 0..count {
            let picture = image::GrayImage::from_fn(40, 40, |x, y| {
                image::Luma([u8::from(x + y > 30 + number) * 255])
            });
            picture.save(pictures.join(class).join(format!("p{number}.png"))).unwrap();
        }
    }
    let new = format!("--dataset images:{}", pictures.display());
    let csv = folder.path().join("new.csv");
    says(&format!("encode {run} {new} --out {}", csv.display()));
    let text = std::fs::read_to_string(&csv).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("z_1_0,z_1_1,") && lines[0].ends_with(",labels,files"));
    assert_eq!(lines.len(), 4, "all pictures, not a tenth of them: {text}");
    assert!(lines[1].ends_with(",7,7/p0.png") && lines[3].ends_with(",,unknown/p0.png"), "{text}");
    let same = folder.path().join("new.npz");
    says(&format!("encode {run} {new} --out {}", same.display()));
    let of_file = arrays(&same);
    let z = &of_file.iter().find(|(name, _)| name == "z_1").unwrap().1;
    let rung_datasets::npy::NpyValues::F32(values) = &z.values else { panic!("{z:?}") };
    let columns: Vec<f32> = lines[1].split(',').take(6).map(|v| v.parse().unwrap()).collect();
    assert_eq!(columns, values[..6]);

    let evaluated = folder.path().join("bounds.csv");
    let before = std::fs::read_to_string(Path::new(run).join("evaluations.jsonl")).unwrap();
    let line = format!("evaluate {run} {new} --importance-samples 5 --json");
    let report = says(&format!("{line} --out {}", evaluated.display()));
    let report: Value = serde_json::from_str(report.lines().next().unwrap()).unwrap();
    assert!(report["data_set"].as_str().unwrap().ends_with("new"), "{report}");
    assert_eq!((&report["trained_on"], &report["images"]), (&"glyphs".into(), &3.into()));
    let text = std::fs::read_to_string(evaluated).unwrap();
    let bounds: Vec<f64> =
        text.lines().skip(1).map(|line| line.split(',').next().unwrap().parse().unwrap()).collect();
    let mean = bounds.iter().sum::<f64>() / 3.0;
    assert!((mean - number(&report, "bound_k_nats")).abs() < 1e-3, "{text} {report}");
    // The report of the run is of its own data alone.
    assert!(!before.is_empty());
    let out = folder.path().join("page.html");
    says(&format!("report {run} --out {}", out.display()));
    assert!(!std::fs::read_to_string(out).unwrap().contains("3 test</td>"));

    let pairs = folder.path().join("pairs.npz");
    says(&format!("reconstruct {run} {new} --out {}", pairs.display()));
    let pairs = arrays(&pairs);
    assert_eq!((pairs[0].0.as_str(), &pairs[0].1.shape[..]), ("originals", &[3, 1, 28, 28][..]));
    assert_eq!(pairs[1].1.shape, pairs[0].1.shape);
    let scores = folder.path().join("scores.npz");
    says(&format!("anomaly {run} {new} --out {}", scores.display()));
    let wanted = npz::read_wanted(&scores, |name| name == "bound_above_0_nats").unwrap();
    let names: Vec<&str> = wanted.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[..3], ["dataset", "image", "files"], "{names:?}");
}

#[test]
fn the_ending_of_a_name_decides_the_format() {
    let (run, folder) = (run(), tempfile::tempdir().unwrap());
    let at = |name: &str| folder.path().join(name).display().to_string();
    for (line, possible) in [
        (format!("sample {run} --out {}", at("x.pdf")), "one of .png, .npz, .csv"),
        (format!("sample {run} --format npz --out {}", at("x.png")), ".npz is the only one"),
        (format!("encode {run} --out {}", at("x")), "one of .npz, .csv"),
        (format!("anomaly {run} --out {}", at("x.json")), "one of .csv, .npz"),
        (format!("evaluate {run} --out {}", at("x.png")), "one of .npz, .csv"),
        (format!("reconstruct {run} --out {}", at("x.jpg")), "one of .png, .npz, .csv"),
        (format!("export {run} --out {}", at("x.pt")), "one of .safetensors, .npz"),
        (format!("report {run} --out {}", at("x.pdf")), ".html is the only one"),
    ] {
        let (code, errors) = fails(&line);
        assert!(code == 2 && errors.contains(possible), "{line}: {errors}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is written");
    says(&format!("sample {run} --count 5 --layer all --out {}", at("s.npz")));
    for layer in 1..=2 {
        let samples = arrays(&folder.path().join(format!("s-{layer}.npz")));
        assert_eq!((samples[0].0.as_str(), samples[0].1.shape.len()), ("samples", 4));
    }
    let side = |more: &str| {
        let path = folder.path().join("grid.png");
        says(&format!("sample {run} --count 4 --scale 1 --out {} {more}", path.display()));
        image::image_dimensions(path).unwrap()
    };
    assert_eq!((side(""), side("--no-rules")), ((57, 57), (56, 56)));
}

#[test]
fn charts_and_a_card_are_written_without_a_browser() {
    let (run, folder) = (run(), tempfile::tempdir().unwrap());
    let figures = folder.path().join("figures");
    says(&format!("report {run} --figures {}", figures.display()));
    let names = |ending: &str| {
        let files = std::fs::read_dir(&figures).unwrap().map(|entry| entry.unwrap().path());
        let mut names: Vec<String> = files
            .filter(|path| path.extension() == Some(OsStr::new(ending)))
            .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names("svg"), names("csv"), "each has its numbers");
    for name in ["bound", "active-units", "unit-kl-z-2", "latents-z-1"] {
        let read = |ending: &str| {
            std::fs::read_to_string(figures.join(format!("{name}.{ending}"))).unwrap()
        };
        let (svg, csv) = (read("svg"), read("csv"));
        assert!(svg.starts_with("<svg ") && svg.contains("<style>"), "{name}");
        assert!(!svg.contains("var("), "a drawing program knows no variables: {name}");
        // Commas within quotes part nothing.
        let columns = |line: &str| {
            let outside = line.split('"').step_by(2);
            1 + outside.map(|part| part.matches(',').count()).sum::<usize>()
        };
        let lines: Vec<&str> = csv.lines().collect();
        assert!(lines.len() > 1, "{name}: {csv}");
        assert!(lines.iter().all(|line| columns(line) == columns(lines[0])), "{name}: {csv}");
    }
    let card = folder.path().join("card.md");
    says(&format!("report {run} --card --out {}", card.display()));
    let text = std::fs::read_to_string(card).unwrap();
    assert!(text.contains("--set train.epochs=2") && text.contains("| bound | L_"), "{text}");
    let (code, errors) = fails(&format!("report {run} {run} --card"));
    assert!(code == 2 && errors.contains("a card is of one run"), "{errors}");
}

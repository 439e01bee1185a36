//! What a user may lean on: checkpoints that belong to their model, interruptions, pipes, modes.
#![cfg(unix)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rung::run::checkpoint::{CheckpointData, TensorData};
use tempfile::TempDir;

fn rung(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rung"));
    command.args(arguments).stdin(Stdio::null()).env_remove("RUNG_DATA");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Exit code and errors.
fn ends(arguments: &[&str]) -> (Option<i32>, String) {
    let output = rung(arguments).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A finished run of a tiny ladder, made once and only read.
fn run() -> &'static Path {
    static RUN: OnceLock<(TempDir, std::path::PathBuf)> = OnceLock::new();
    let (_, path) = RUN.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        let sets = [
            "model.latent_sizes=[3,2]",
            "model.hidden_sizes=[12,6]",
            "data.train_images=64",
            "data.test_images=20",
            "train.epochs=1",
            "train.batch_size=32",
            "train.threads=1",
        ];
        let sets = sets.iter().flat_map(|set| ["--set", set]);
        let fixed = ["train", "--quiet", "--out", path.to_str().unwrap()];
        let (code, errors) = ends(&fixed.into_iter().chain(sets).collect::<Vec<_>>());
        assert_eq!(code, Some(0), "{errors}");
        (folder, path)
    });
    path
}

/// A copy of the run with another configuration, and its path.
fn copy(edit: impl Fn(String) -> String) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    std::fs::create_dir_all(path.join("checkpoints")).unwrap();
    for name in ["data.json", "checkpoints/last.safetensors"] {
        std::fs::copy(run().join(name), path.join(name)).unwrap();
    }
    let config = std::fs::read_to_string(run().join("config.toml")).unwrap();
    std::fs::write(path.join("config.toml"), edit(config)).unwrap();
    let path = path.display().to_string();
    (folder, path)
}

#[test]
fn a_checkpoint_of_another_model_with_equal_shapes_is_refused_by_key() {
    let (_folder, path) = copy(|config| {
        let changed = config.replace("leaky_slope = 0.1", "leaky_slope = 0.3");
        assert_ne!(changed, config);
        changed
    });
    for command in ["evaluate", "sample", "report"] {
        let (code, errors) = ends(&[command, &path]);
        let expected =
            "the checkpoint is of another model: model.leaky_slope is 0.1 there and 0.3 here";
        assert!(errors.contains(expected), "{command}: {errors}");
        // A report has more to show than the model.
        assert!(code == Some(1) || command == "report", "{command}: {errors}");
    }
    // What training alone looks at is no part of the model.
    let (_folder, path) =
        copy(|config| config.replace("batch_norm_momentum = 0.1", "batch_norm_momentum = 0.2"));
    let (code, errors) = ends(&["sample", &path]);
    assert_eq!(code, Some(0), "{errors}");
}

#[test]
fn a_tensor_without_a_place_is_named() {
    let (_folder, path) = copy(|config| config);
    let mut data = CheckpointData::load(&run().join("checkpoints/last.safetensors")).unwrap();
    let extra = TensorData::from_f32(&[2], &[1.0, 2.0]).unwrap();
    for name in ["inference.up.9.hidden.0.weight", "optimiser.m.nowhere", "statistics.x.mean"] {
        let mut changed = data.clone();
        changed.tensors.insert(name.into(), extra.clone());
        let file = Path::new(&path).join("changed.safetensors");
        changed.save(&file).unwrap();
        let (code, errors) = ends(&["sample", &path, "--checkpoint", file.to_str().unwrap()]);
        assert_eq!(code, Some(1), "{errors}");
        assert!(errors.contains(&format!("has a tensor {name}, which the model")), "{errors}");
    }
    // Checkpoints of early versions do not describe their model.
    data.metadata.remove("model");
    let file = Path::new(&path).join("early.safetensors");
    data.save(&file).unwrap();
    let (code, errors) = ends(&["sample", &path, "--checkpoint", file.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{errors}");
}

/// Waits for a process, a minute at most, and says how long that took.
fn wait(mut child: Child) -> (Option<i32>, Duration) {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return (status.code(), started.elapsed());
        }
        if started.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            panic!("it did not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until a process has a handler of its own for SIGINT, where the system shows it.
fn wait_for_handler(child: &mut Child) {
    const SIGINT: u64 = 1 << 1;
    let status = format!("/proc/{}/status", child.id());
    if !Path::new(&status).exists() {
        return std::thread::sleep(Duration::from_secs(2));
    }
    let started = Instant::now();
    loop {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it listened");
        let text = std::fs::read_to_string(&status).unwrap();
        let caught = text.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        if u64::from_str_radix(caught.trim(), 16).unwrap() & SIGINT != 0 {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "it never listened");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Ends a command that would take many minutes with Ctrl-C.
fn interrupted(arguments: &[&str]) {
    let mut child = rung(arguments).spawn().unwrap();
    wait_for_handler(&mut child);
    // Into the middle of its work; earlier is right too.
    std::thread::sleep(Duration::from_millis(300));
    let signal = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(signal.unwrap().success());
    let mut errors = child.stderr.take().unwrap();
    let (code, elapsed) = wait(child);
    let errors = std::io::read_to_string(&mut errors).unwrap();
    assert_eq!(code, Some(130), "{arguments:?}: {errors}");
    assert_eq!(errors.matches("stopped as asked").count(), 1, "{errors}");
    // Half a second, and room for a very busy machine.
    assert!(elapsed < Duration::from_secs(20), "{arguments:?}: {elapsed:?}");
}

#[test]
fn ctrl_c_ends_a_long_command_at_once() {
    let path = run().to_str().unwrap();
    // In chunks of a good part of a second.
    interrupted(&["evaluate", path, "--importance-samples", "3000000", "--rows", "20000"]);
    // One that never looks whether it is to stop.
    interrupted(&["bench", "step", "--steps", "1000000"]);
}

#[test]
fn a_pipe_is_refused_as_an_input_and_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let (pipe, run) = (pipe.to_str().unwrap(), run().to_str().unwrap());
    let data = format!("npz:{pipe}");
    for arguments in [
        &["train", "--config", pipe][..],
        &["train", "--dataset", &data],
        &["sample", run, "--checkpoint", pipe],
    ] {
        let mut child = rung(arguments).spawn().unwrap();
        let errors = child.stderr.take().unwrap();
        let (code, _) = wait(child);
        let errors = std::io::read_to_string(errors).unwrap();
        assert!(code != Some(0) && errors.contains("a pipe"), "{arguments:?}: {errors}");
    }
}

#[test]
fn a_pipe_in_place_of_a_run_s_record_is_refused() {
    for (record, command) in [
        ("metrics.jsonl", &["report"][..]),
        ("metrics.jsonl", &["train", "--epochs", "2", "--resume"]),
        ("starts.jsonl", &["report"]),
        ("starts.jsonl", &["train", "--epochs", "2", "--resume"]),
        ("evaluations.jsonl", &["evaluate", "--importance-samples", "1"]),
        ("anomaly.json", &["report"]),
        ("data.json", &["sample"]),
        ("lock", &["train", "--epochs", "2", "--resume"]),
    ] {
        let (_folder, path) = copy(|config| config);
        let record = Path::new(&path).join(record);
        // Beside those of the run that the copy has.
        let _ = std::fs::remove_file(&record);
        assert!(Command::new("mkfifo").arg(&record).status().unwrap().success());
        let arguments: Vec<&str> = command.iter().copied().chain([path.as_str()]).collect();
        let mut child = rung(&arguments).spawn().unwrap();
        let errors = child.stderr.take().unwrap();
        let (code, _) = wait(child);
        let errors = std::io::read_to_string(errors).unwrap();
        // What was measured is printed, though it can't be kept.
        let expected = if command[0] == "evaluate" { 0 } else { 1 };
        assert_eq!(code, Some(expected), "{arguments:?}: {errors}");
        assert!(errors.contains("a pipe"), "{arguments:?}: {errors}");
    }
}

#[test]
fn more_labels_than_images_are_refused_and_not_made_room_for() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    for labels in ["4294967295", "9223372036854775807"] {
        let model = ["train", "--preset", "biva-mnist-small", "--dataset", "glyphs"];
        let set = format!("objective.labels={labels}");
        let rest = ["--set", &set, "--out", out.to_str().unwrap()];
        let (code, errors) = ends(&[&model[..], &rest].concat());
        assert_eq!(code, Some(1), "{errors}");
        assert!(
            errors.contains(&format!("{labels} labels are wanted, and there are ")),
            "{errors}"
        );
        assert!(!out.exists());
    }
}

#[test]
fn who_may_read_a_result_is_left_to_the_umask() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("latents.npz");
    let rung = env!("CARGO_BIN_EXE_rung");
    let command = format!("umask 027; exec {rung} encode \"$1\" --quiet --out \"$2\"");
    let status = Command::new("sh").args(["-c", &command, "sh"]).arg(run()).arg(&out).status();
    assert!(status.unwrap().success());
    let mode = std::fs::metadata(&out).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
}

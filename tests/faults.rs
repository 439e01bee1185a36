//! What a file system, a clock or a kill can do to a training, at every call that changes a file.
//!
//! `faults.c` stands between the program and the C library. In the short form, which is the usual
//! one, an instant of each family is tried, drawn anew each time; `RUNG_TEST_FAULTS=all` kills each
//! family 200 times, at every call at least once, and fills the disk at every call;
//! `RUNG_TEST_FAULTS=biva` does so for that family alone.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod program;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use program::{Endless, Run, Said, finish, interrupt, rung, start_where};
use rung_autograd::rng::{Address, uniform_at};
use rung_tests::run_seed;

/// Kills of a family in the full form.
const KILLS: usize = 200;

/// A value of `model.family`, and what trains a tiny model of it.
struct Family {
    name: &'static str,
    preset: Option<&'static str>,
    sets: &'static [&'static [&'static str]],
}

const fn family(
    name: &'static str,
    preset: Option<&'static str>,
    sets: &'static [&'static [&'static str]],
) -> Family {
    Family { name, preset, sets }
}

const DENSE: &[&str] = &["model.latent_sizes=[6,3]", "model.hidden_sizes=[24,12]"];

const STAGES: &[&str] = &[
    "model.stages=[{channels=4,kernels=[3],strides=[4],latent_units=3},{channels=4,kernels=[3],latent_channels=1,latent_kernel=3}]",
    "train.average_decay=0.9",
];

const BLOCKS: &[&str] = &[
    "model.blocks=[{channels=4,latent_channels=1,layers=1,stride=4}]",
    "model.top_units=3",
    "model.top_hidden=8",
];

const LABELS: &[&str] = &[
    "data.name=glyphs",
    "objective.labels=40",
    "model.hidden_sizes=[32,32]",
    "model.latent_units=6",
];

const AUXILIARY: &[&str] = &["model.auxiliary_units=5"];

const SEQUENCES: &[&str] = &[
    "model.classifier_channels=[4]",
    "model.classifier_hidden=[16]",
    "data.sequence_canvas=64",
    "data.sequence_digits=2",
    "data.validation_images=0",
];

const LOCALISATION: &[&str] = &[
    "model.localisation_channels=[4, 4]",
    "model.localisation_hidden=[16]",
    "model.downsampling=2",
];

/// Every family; [`every_family_is_among_these`].
const FAMILIES: [Family; 14] = [
    family("vae", None, &[DENSE]),
    family("ladder", None, &[DENSE]),
    family("lvae", None, &[DENSE]),
    family("staged_vae", None, &[STAGES]),
    family("staged_lvae", None, &[STAGES]),
    family("biva", None, &[STAGES]),
    family("matnet", None, &[BLOCKS]),
    family("adgm", Some("mnist-adgm-100"), &[LABELS, AUXILIARY]),
    family("sdgm", Some("mnist-sdgm-100"), &[LABELS, AUXILIARY]),
    family("m2", Some("mnist-m2-100"), &[LABELS]),
    family("classifier", Some("glyphs-classifier"), &[&["model.hidden_sizes=[16]"]]),
    family(
        "rnn_spn",
        Some("glyphs-rnn-spn-small"),
        &[SEQUENCES, LOCALISATION, &["model.recurrent_units=16"]],
    ),
    family("ffn_spn", Some("glyphs-rnn-spn-small"), &[SEQUENCES, LOCALISATION]),
    family("sequence_convnet", Some("glyphs-rnn-spn-small"), &[SEQUENCES]),
];

/// What `RUNG_TEST_FAULTS` asks for: whether in the full form, and of which families, by their
/// places.
fn asked() -> (bool, Vec<usize>) {
    let every = (0..FAMILIES.len()).collect();
    match std::env::var("RUNG_TEST_FAULTS") {
        Err(_) => (false, every),
        Ok(form) if form == "all" => (true, every),
        Ok(form) => {
            let place = FAMILIES.iter().position(|family| family.name == form);
            (true, vec![place.unwrap_or_else(|| panic!("RUNG_TEST_FAULTS={form}: no such family"))])
        }
    }
}

const COMMON: [&str; 8] = [
    "data.train_images=96",
    "data.test_images=40",
    "train.epochs=3",
    "train.batch_size=32",
    "train.threads=1",
    "train.evaluate_every_epochs=2",
    "train.checkpoint_every_epochs=1",
    "train.keep_every_epochs=2",
];

impl Family {
    fn train(&self, run: &Run) -> Vec<String> {
        let out = run.path.display().to_string();
        let family = format!("model.family={}", self.name);
        let fixed = ["train", "--quiet", "--out", &out, "--set", &family];
        let preset = self.preset.iter().flat_map(|preset| ["--preset", preset]);
        let sets =
            self.sets.iter().copied().flatten().chain(&COMMON).flat_map(|set| ["--set", set]);
        fixed.into_iter().chain(preset).chain(sets).map(str::to_owned).collect()
    }

    /// Trains, or goes on where there is a run.
    fn go_on(&self, run: &Run) -> Said {
        match run.file("config.toml").exists() {
            true => rung(&run.resume(3)),
            false => rung(&self.train(run)),
        }
    }
}

/// The library that makes faults, compiled once.
fn faults() -> &'static Path {
    static LIBRARY: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = LIBRARY.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("faults.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("faults.c");
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
        let mut compile = Command::new(compiler);
        compile.args(["-O1", "-shared", "-fPIC", "-o"]).arg(&path).arg(source).arg("-ldl");
        assert!(compile.status().unwrap().success(), "faults.c does not compile");
        (folder, path)
    });
    path
}

fn with_fault(arguments: &[String], name: &str, value: &Path) -> Said {
    finish(start_where(&[("LD_PRELOAD", faults()), (name, value)], arguments))
}

/// What must be the same whatever happened: the last checkpoint, those that are kept for good, and
/// the metrics without their times. Nothing else may lie beside the checkpoints.
type Outcome = (BTreeMap<String, Vec<u8>>, Vec<serde_json::Value>);

fn outcome(run: &Run) -> Outcome {
    let mut checkpoints = BTreeMap::new();
    for entry in fs::read_dir(run.file("checkpoints")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_string();
        // Which one is the previous depends on where a run was taken up again.
        if name != "previous.safetensors" {
            checkpoints.insert(name, fs::read(path).unwrap());
        }
    }
    (checkpoints, run.metrics())
}

/// The outcome of an undisturbed run of the family at `place`, and how many calls of it change a
/// file.
fn undisturbed(place: usize) -> &'static (Outcome, usize) {
    static RUNS: [OnceLock<(Outcome, usize)>; FAMILIES.len()] =
        [const { OnceLock::new() }; FAMILIES.len()];
    RUNS[place].get_or_init(|| {
        let family = &FAMILIES[place];
        let (run, counts) = (Run::new(), tempfile::tempdir().unwrap());
        let count = counts.path().join("count");
        with_fault(&family.train(&run), "RUNG_FAULT_COUNT", &count).exits(0);
        let outcome = outcome(&run);
        let names: Vec<&str> = outcome.0.keys().map(String::as_str).collect();
        let expected = ["best.safetensors", "epoch-000002.safetensors", "last.safetensors"];
        assert_eq!(names, expected, "{}", family.name);
        (outcome, fs::read_to_string(count).unwrap().trim().parse().unwrap())
    })
}

/// A call among `calls`, drawn by the seed: the `draw`th of `stream`.
fn drawn(calls: usize, seed: u64, stream: u32, draw: usize) -> usize {
    let share = uniform_at(&Address::new(seed, stream, 0), draw);
    ((share * calls as f64) as usize + 1).min(calls)
}

/// A program that does not know a family names those that it knows.
#[test]
fn every_family_is_among_these() {
    let said = rung(&["train", "--set", "model.family=none_of_them"]).exits(2);
    let known: Vec<&str> = said.error().split('`').skip(3).step_by(2).collect();
    assert_eq!(known, FAMILIES.map(|family| family.name), "{said:?}");
}

#[test]
fn killed_at_any_call_a_run_of_any_family_ends_in_the_same_bytes() {
    let seed = run_seed();
    println!("RUNG_TEST_SEED={seed}");
    let (full, places) = asked();
    for place in places {
        let family = &FAMILIES[place];
        let (expected, calls) = undisturbed(place);
        let stream = place as u32;
        let kills = if full { KILLS.max(*calls) } else { 1 };
        for kill in 0..kills {
            let call = if full { kill % calls + 1 } else { drawn(*calls, seed, stream, 0) };
            let run = Run::new();
            let at = PathBuf::from(call.to_string());
            let said = with_fault(&family.train(&run), "RUNG_FAULT_KILL", &at);
            // Once more, while it is taken up again.
            let again = drawn(*calls, seed, stream, 1 + kill);
            let what = format!(
                "{}, killed at call {call} of {calls} and at {again}: RUNG_TEST_SEED={seed}",
                family.name
            );
            assert_eq!(said.code, None, "{what}: {said:?}");
            if run.file("config.toml").exists() {
                let at = PathBuf::from(again.to_string());
                with_fault(&run.resume(3), "RUNG_FAULT_KILL", &at);
            }
            family.go_on(&run).exits(0);
            assert!(outcome(&run) == *expected, "{what}: not the same");
        }
        println!("{}: {kills} kills among {calls} calls", family.name);
    }
}

#[test]
fn a_disk_full_from_any_call_on_costs_nothing_that_was_saved() {
    let seed = run_seed();
    println!("RUNG_TEST_SEED={seed}");
    let (full, places) = asked();
    for place in places {
        let family = &FAMILIES[place];
        let (expected, calls) = undisturbed(place);
        let stream = (FAMILIES.len() + place) as u32;
        let instants =
            if full { (1..=*calls).collect() } else { vec![drawn(*calls, seed, stream, 0)] };
        for call in &instants {
            let run = Run::new();
            let at = PathBuf::from(call.to_string());
            let said = with_fault(&family.train(&run), "RUNG_FAULT_FULL", &at);
            let what = format!(
                "{}, full from call {call} of {calls} on: RUNG_TEST_SEED={seed}",
                family.name
            );
            match said.code {
                // What comes after the training, its report, is no reason to call it failed.
                Some(0) => assert!(said.err.contains("the disk is full"), "{what}: {said:?}"),
                Some(1) => assert!(said.error().contains("the disk is full"), "{what}: {said:?}"),
                _ => panic!("{what}: {said:?}"),
            }
            family.go_on(&run).exits(0);
            assert!(outcome(&run) == *expected, "{what}: not the same");
        }
        println!("{}: full at {} of {calls} calls", family.name, instants.len());
    }
}

#[test]
fn a_clock_that_jumps_changes_nothing() {
    let family = &FAMILIES[0];
    let (expected, _) = undisturbed(0);
    let (run, looks) = (Run::new(), tempfile::tempdir().unwrap());
    let looks = looks.path().join("looks");
    let jumping = |arguments: &[String]| {
        with_fault(arguments, "RUNG_FAULT_CLOCK", &looks).exits(0);
        let count: u64 = fs::read_to_string(&looks).unwrap().trim().parse().unwrap();
        assert!(count > 0, "{arguments:?} never looked at the clock: nothing was tried");
    };
    jumping(&family.train(&run));
    assert!(outcome(&run) == *expected);
    let path = run.path.display().to_string();
    jumping(&["evaluate", &path, "--importance-samples", "2"].map(str::to_owned));
}

#[test]
fn of_two_writers_the_second_is_refused_and_harms_nothing() {
    let run = Run::new();
    // More epochs than anybody waits for.
    let mut endless = Endless::new(start_where(&[], &run.train(1_000_000, &[])));
    while !run.file("checkpoints/last.safetensors").exists() {
        if endless.child().try_wait().unwrap().is_some() {
            panic!("it ended: {:?}", finish(endless.take()));
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let said = rung(&run.resume(2_000_000)).exits(1);
    assert!(said.error().contains("is writing to"), "{said:?}");
    interrupt(endless.child());
    let said = finish(endless.take()).exits(130);
    assert!(said.err.contains("stopping at the next checkpoint"), "{said:?}");
    let steps: Vec<u64> = run.metrics().iter().map(|line| line["step"].as_u64().unwrap()).collect();
    assert!(steps.iter().zip((1..).map(|epoch| 10 * epoch)).all(|(step, due)| *step == due));
}

#[test]
fn commands_at_once_on_one_run_all_succeed_and_keep_their_lines() {
    let run = Run::new();
    rung(&run.train(1, &[])).exits(0);
    let path = run.path.display().to_string();
    let before = fs::read_to_string(run.file("evaluations.jsonl")).unwrap().lines().count();
    let seeds: Vec<String> = (0..6).map(|seed| seed.to_string()).collect();
    let children: Vec<_> = seeds
        .iter()
        .flat_map(|seed| {
            let evaluate = ["evaluate", &path, "--importance-samples", "1", "--seed", seed];
            [
                start_where(&[], &evaluate),
                start_where(&[], &["sample", &path]),
                start_where(&[], &["report", &path]),
            ]
        })
        .collect();
    children.into_iter().for_each(|child| drop(finish(child).exits(0)));
    let lines = fs::read_to_string(run.file("evaluations.jsonl")).unwrap().lines().count();
    assert_eq!(lines, before + seeds.len());
    let litter = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().contains("tmp");
    assert!(!fs::read_dir(&run.path).unwrap().any(|entry| litter(&entry.unwrap())));
}

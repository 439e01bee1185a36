//! A device that lacks memory gets less work at once, whatever the command: here a CPU that may use
//! few bytes.

mod program;

use std::fs;

use program::{Run, Said, rung, rung_where, rung_with_limit};
use rung_autograd::rng::{Address, uniform_at};
use rung_tests::run_seed;
use serde_json::Value;

const MEMORY: &str = "RUNG_CPU_MEMORY";

/// Bytes for the images, a tiny model and a few hundred rows. What a command computes at once
/// otherwise, 1000 rows of 784 numbers of four bytes, is more by itself.
const LITTLE: &str = "3000000";

/// Images of each part: the train and the test images take a byte a pixel, together half of the
/// memory.
const IMAGES: [&str; 4] = ["--set", "data.train_images=1000", "--set", "data.test_images=1000"];

fn with_little(arguments: &[&str]) -> Said {
    rung_where(MEMORY, LITTLE, arguments).exits(0)
}

fn json(said: &Said) -> Value {
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"))
}

/// A run that was trained with all memory.
fn trained() -> (Run, String) {
    let run = Run::new();
    rung(&run.train(1, &IMAGES)).exits(0);
    let path = run.path.display().to_string();
    (run, path)
}

#[test]
fn a_training_ends_as_with_all_memory() {
    let (all, _) = trained();
    let little = Run::new();
    let said = rung_where(MEMORY, LITTLE, &little.train(1, &IMAGES)).exits(0);
    assert!(!said.err.contains("could not be written"), "{said:?}");
    for file in ["report.html", "pictures/samples.png", "pictures/reconstructions.png"] {
        assert!(little.file(file).exists(), "{file}");
    }
    let bound = |run: &Run| {
        let text = fs::read_to_string(run.file("evaluations.jsonl")).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["bound_1_nats"].as_f64().unwrap()
    };
    let (all, little) = (bound(&all), bound(&little));
    assert!((all - little).abs() < 1e-2 * all.abs(), "{all} with all memory, {little} with little");
}

#[test]
fn evaluations_scores_and_latents_need_no_more_memory_than_there_is() {
    let (run, path) = trained();
    let evaluate = ["evaluate", &path, "--importance-samples", "3", "--rows", "3000", "--json"];
    let bound = |said: &Said| json(said)["bound_k_nats"].as_f64().unwrap();
    let (all, little) = (bound(&rung(&evaluate).exits(0)), bound(&with_little(&evaluate)));
    assert!((all - little).abs() < 1e-2 * all.abs(), "{all} with all memory, {little} with little");

    let scores = run.file("scores.csv").display().to_string();
    let anomaly =
        ["anomaly", &path, "--rows", "3000", "--importance-samples", "3", "--out", &scores];
    let mean = || {
        let text = fs::read_to_string(&scores).unwrap();
        let above_0 = |line: &str| line.split(',').nth(2).unwrap().parse::<f64>().unwrap();
        let bounds: Vec<f64> = text.lines().skip(1).map(above_0).collect();
        assert_eq!(bounds.len(), 1000);
        bounds.iter().sum::<f64>() / 1000.0
    };
    rung(&anomaly).exits(0);
    let all = mean();
    with_little(&anomaly);
    assert!(
        (all - mean()).abs() < 1e-2 * all.abs(),
        "{all} with all memory, {} with little",
        mean()
    );

    let latents = run.file("latents.npz").display().to_string();
    let encode = ["encode", &path, "--out", &latents];
    let size = || fs::metadata(&latents).unwrap().len();
    rung(&encode).exits(0);
    let all = size();
    with_little(&encode);
    assert_eq!(size(), all);
}

#[test]
fn reconstructions_are_the_same_pictures_however_many_fit_at_once() {
    let (run, path) = trained();
    let out = run.file("seen.png").display().to_string();
    let reconstruct = ["reconstruct", &path, "--count", "1000", "--scale", "1", "--out", &out];
    let picture = |_: Said| fs::read(&out).unwrap();
    let all = picture(rung(&reconstruct).exits(0));
    assert_eq!(picture(with_little(&reconstruct)), all);
}

/// The images alone fit; the error is the device's own, with what would help, and not that of the
/// command around it.
#[test]
fn next_to_no_memory_is_said() {
    let (_run, path) = trained();
    for command in ["evaluate", "anomaly", "encode"] {
        let said = rung_where(MEMORY, "800000", &[command, &path]).exits(1);
        for words in ["no memory for", "of 800000 are in use", "smaller"] {
            assert!(said.error().contains(words), "{command}, {words}: {said:?}");
        }
        assert!(
            !said.err.contains("--split"),
            "the part of the data set is not to blame: {said:?}"
        );
    }
    let said = rung_where(MEMORY, "little", &["evaluate", &path]).exits(1);
    assert!(
        said.error().contains("RUNG_CPU_MEMORY is \"little\"")
            && said.err.contains("number of bytes"),
        "{said:?}"
    );
}

/// Here the system refuses, at whatever point of a command: the allocator ends it with an error.
#[test]
#[cfg(target_os = "linux")]
fn what_the_system_refuses_is_an_error() {
    let seed = run_seed();
    println!("RUNG_TEST_SEED={seed}");
    let (run, path) = trained();
    let [picture, table, archive, scores] =
        ["many.png", "many.csv", "many.npz", "scores.csv"].map(|name| run.file(name));
    let [picture, table, archive, scores] =
        [&picture, &table, &archive, &scores].map(|path| path.to_str().unwrap());
    let many = ["sample", &path, "--count", "4000", "--out", picture];
    let said = rung_with_limit("-v 90000", &many).exits(1);
    assert!(said.error().contains("memory"), "{said:?}");
    let commands: [&[&str]; 6] = [
        &many,
        &["sample", &path, "--count", "4000", "--out", table],
        &["reconstruct", &path, "--count", "1000", "--out", picture],
        &["encode", &path, "--out", archive],
        &["anomaly", &path, "--out", scores],
        &["report", &path],
    ];
    for (number, command) in commands.iter().enumerate() {
        for draw in 0..2 {
            // From little more than the program itself to enough for most.
            let share = uniform_at(&Address::new(seed, number as u32, 0), draw);
            let kibibytes = 50_000 + (share * 120_000.0) as usize;
            let said = rung_with_limit(&format!("-v {kibibytes}"), command);
            let what = format!("{command:?} in {kibibytes} KiB: RUNG_TEST_SEED={seed}");
            match said.code {
                Some(0) => (),
                Some(1) => assert!(!said.error().is_empty(), "{what}"),
                _ => panic!("{what}: {said:?}"),
            }
        }
    }
}

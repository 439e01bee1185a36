//! A run that is stopped, whatever stops it, goes on to the same bytes.

mod program;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use program::{Run, finish, interrupt, rung, rung_with_limit, start};
use rung_autograd::rng::Address;
use rung_tests::run_seed;

const EPOCHS: usize = 30;

/// A run that nothing disturbs, and how long it takes.
fn undisturbed(epochs: usize) -> (Run, Duration) {
    undisturbed_with(epochs, &[])
}

fn undisturbed_with(epochs: usize, more: &[&str]) -> (Run, Duration) {
    let run = Run::new();
    let arguments = run.train(epochs, more);
    program::binary();
    let started = Instant::now();
    rung(&arguments).exits(0);
    (run, started.elapsed())
}

fn numbered(epoch: usize) -> String {
    format!("epoch-{epoch:06}.safetensors")
}

/// The checkpoints of a run that are kept for good, by their names; nothing else may lie beside
/// them but the last, the previous and the best one.
fn kept(run: &Run) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(run.file("checkpoints")).unwrap().map(|entry| entry.unwrap().path());
    let mut kept = BTreeMap::new();
    for path in files {
        let name = path.file_name().unwrap().to_str().unwrap().to_string();
        match name.trim_end_matches(".safetensors") {
            "last" | "previous" | "best" => {}
            _ => drop(kept.insert(name, fs::read(path).unwrap())),
        }
    }
    kept
}

fn assert_same(run: &Run, undisturbed: &Run, what: &str) {
    assert!(
        run.bytes() == undisturbed.bytes(),
        "{what}: the last checkpoint differs from that of the undisturbed run"
    );
    assert_eq!(run.metrics(), undisturbed.metrics(), "{what}");
}

#[test]
fn killed_at_random_instants_a_run_ends_in_the_same_bytes() {
    let seed = run_seed();
    println!("RUNG_TEST_SEED={seed}");
    // Checkpoints are kept for good at other epochs than those that one is written at anyway.
    let keep = ["--set", "train.keep_every_epochs=3", "--set", "train.checkpoint_every_epochs=2"];
    let (undisturbed, duration) = undisturbed_with(EPOCHS, &keep);
    let kept = kept(&undisturbed);
    let names: Vec<String> = (3..=EPOCHS).step_by(3).map(numbered).collect();
    assert!(kept.keys().eq(&names), "{:?}", kept.keys());
    let mut kills = 0;
    for attempt in 0..3 {
        let run = Run::new();
        for kill in 0..5 {
            let arguments = if run.file("config.toml").exists() {
                run.resume(EPOCHS)
            } else {
                run.train(EPOCHS, &keep)
            };
            let mut child = start(&arguments);
            let share = rung_autograd::rng::uniform_at(&Address::new(seed, attempt, 0), kill);
            sleep(duration.mul_f64(0.5 * share));
            kills += usize::from(child.try_wait().unwrap().is_none());
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let arguments = if run.file("config.toml").exists() {
            run.resume(EPOCHS)
        } else {
            run.train(EPOCHS, &keep)
        };
        rung(&arguments).exits(0);
        assert_same(&run, &undisturbed, &format!("RUNG_TEST_SEED={seed}, attempt {attempt}"));
        assert!(
            self::kept(&run) == kept,
            "attempt {attempt}: a kept checkpoint is lost or another"
        );
    }
    assert!(kills >= 5, "only {kills} of 15 kills met a living process: the runs are too short");
}

#[test]
fn ctrl_c_keeps_the_work_and_says_how_to_go_on() {
    assert_ctrl_c_keeps_the_work(&[]);
}

/// Each logical rank has statistics of its own in a step, and all have the same after it.
#[test]
fn ctrl_c_keeps_the_work_of_ranks_that_normalise_for_themselves() {
    let by_rank = ["--set", "train.batch_norm_statistics=rank"];
    assert_ctrl_c_keeps_the_work(&[&["--set", "train.logical_ranks=2"], &by_rank[..]].concat());
}

fn assert_ctrl_c_keeps_the_work(more: &[&str]) {
    let (undisturbed, _) = undisturbed_with(EPOCHS, more);
    let run = Run::new();
    let child = start(&run.train(EPOCHS, more));
    let deadline = Instant::now() + Duration::from_secs(60);
    while !fs::metadata(run.file("metrics.jsonl")).is_ok_and(|file| file.len() > 0)
        && Instant::now() < deadline
    {
        sleep(Duration::from_millis(2));
    }
    interrupt(&child);
    let said = finish(child).exits(130);
    assert!(said.error().contains("stopped as asked"), "{said:?}");
    assert!(
        said.err.contains(&format!("go on with: rung train --resume {}", run.path.display())),
        "{said:?}"
    );
    assert!(run.metrics().len() < EPOCHS);
    rung(&run.resume(EPOCHS)).exits(0);
    assert_same(&run, &undisturbed, "after Ctrl-C");
}

#[test]
fn a_restart_from_weights_alone_is_another_run() {
    let (undisturbed, _) = undisturbed(6);
    let half = Run::new();
    rung(&half.train(3, &[])).exits(0);
    let restarted = Run::new();
    let from = half.path.display().to_string();
    rung(&restarted.train(3, &["--init-from", &from, "--set", "objective.warmup_epochs=0"]))
        .exits(0);
    rung(&half.resume(6)).exits(0);
    assert_same(&half, &undisturbed, "resumed with a new end");
    let weights = |run: &Run| tensor(&run.last(), "generative.x.logits.weight");
    assert_eq!(weights(&half), weights(&undisturbed));
    assert_ne!(
        weights(&restarted),
        weights(&undisturbed),
        "the optimiser's state or the order of the images had no effect"
    );
}

/// The bytes of a tensor in a safetensors file.
fn tensor(path: &Path, name: &str) -> Vec<u8> {
    let file = fs::read(path).unwrap();
    let header = 8 + u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let entries: serde_json::Value = serde_json::from_slice(&file[8..header]).unwrap();
    let [start, end] =
        [0, 1].map(|k| header + entries[name]["data_offsets"][k].as_u64().unwrap() as usize);
    file[start..end].to_vec()
}

/// Sizes at which the primitives are spread over threads.
#[test]
fn one_two_and_four_threads_give_the_same_bytes() {
    let checkpoints = ["1", "2", "4"].map(|threads| {
        let run = Run::new();
        let mut arguments = run
            .train(2, &["--set", "model.hidden_sizes=[256,128]", "--set", "train.batch_size=160"]);
        let place = arguments.iter().position(|argument| argument == "--threads").unwrap();
        arguments[place + 1] = threads.into();
        rung(&arguments).exits(0);
        (run.bytes(), run.metrics())
    });
    for (threads, checkpoint) in [(2, &checkpoints[1]), (4, &checkpoints[2])] {
        assert!(
            *checkpoint == checkpoints[0],
            "{threads} threads give another checkpoint than one"
        );
    }
}

#[test]
fn a_damaged_last_checkpoint_is_passed_over() {
    let (undisturbed, _) = undisturbed(6);
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 3] = [
        ("a flipped bit", |bytes| *bytes.last_mut().unwrap() ^= 1),
        ("the second half missing", |bytes| bytes.truncate(bytes.len() / 2)),
        ("nothing in it", Vec::clear),
    ];
    for (what, damage) in damages {
        let run = Run::new();
        rung(&run.train(3, &[])).exits(0);
        let mut bytes = run.bytes();
        damage(&mut bytes);
        fs::write(run.last(), bytes).unwrap();
        let said = rung(&run.resume(6)).exits(0);
        assert!(
            said.err.contains("warning:") && said.err.contains("last.safetensors"),
            "{what}: {said:?}"
        );
        assert!(said.err.contains("going back to an older one"), "{what}: {said:?}");
        assert_same(&run, &undisturbed, what);
    }
}

/// Every file of a run and its bytes, but for the lock.
fn files(run: &Run) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut folders = vec![run.path.clone()];
    let mut files = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("lock") {
                files.insert(path.clone(), fs::read(path).unwrap());
            }
        }
    }
    files
}

#[test]
fn a_resumption_that_fails_leaves_the_run_as_it_was() {
    let run = Run::new();
    rung(&run.train(3, &[])).exits(0);
    let before = files(&run);
    let path = run.path.display().to_string();
    for (flags, expected) in [
        (&["--epochs", "9", "--device", "nowhere"][..], "there is no device nowhere"),
        (&["--epochs", "1"], "the run is in epoch 3 (step 30), and train.epochs is 1"),
        (&["--epochs", "9", "--checkpoint-activations"], "needs a model with blocks to recompute"),
    ] {
        let said = rung(&[&["train", "--resume", &path], flags].concat());
        assert!(said.code != Some(0) && said.error().contains(expected), "{flags:?}: {said:?}");
        assert!(files(&run) == before, "{flags:?} changed the run");
    }
    let [last, previous] =
        ["last", "previous"].map(|name| run.file(&format!("checkpoints/{name}.safetensors")));
    let whole = fs::read(&last).unwrap();
    for path in [&last, &previous, &run.file("checkpoints/best.safetensors")] {
        fs::write(path, "no checkpoint").unwrap();
    }
    let before = files(&run);
    rung(&run.resume(9)).exits(1);
    assert!(files(&run) == before, "damaged checkpoints were touched");
    fs::write(&last, whole).unwrap();
    rung(&run.resume(4)).exits(0);
    assert!(fs::read_to_string(run.file("config.toml")).unwrap().contains("epochs = 4"));
}

#[test]
fn a_schedule_with_a_new_end_is_said_and_written_down() {
    let run = Run::new();
    rung(&run.train(2, &["--set", "optimiser.schedule=cosine"])).exits(0);
    let said = rung(&run.resume(4)).exits(0);
    let remark =
        "the learning rates of the first 2 epochs were those of a cosine over 2 epochs, not over 4";
    assert!(said.err.contains(&format!("warning: {remark}")), "{said:?}");
    let config = fs::read_to_string(run.file("config.toml")).unwrap();
    assert!(
        config.starts_with(&format!("# Changed: {remark}")) && config.contains("epochs = 4"),
        "{config}"
    );
    let starts = fs::read_to_string(run.file("starts.jsonl")).unwrap();
    let changed =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["changed"].clone();
    let changes: Vec<_> = starts.lines().map(changed).collect();
    assert_eq!(
        changes,
        [serde_json::Value::Null, serde_json::json!({"train.epochs": {"from": 2, "to": 4}})]
    );
}

#[test]
fn a_run_with_its_best_checkpoint_alone_goes_on_from_there() {
    let (undisturbed, _) = undisturbed(6);
    let run = Run::new();
    rung(&run.train(3, &[])).exits(0);
    for name in ["last", "previous"] {
        fs::remove_file(run.file(&format!("checkpoints/{name}.safetensors"))).unwrap();
    }
    let said = rung(&run.resume(6)).exits(0);
    assert!(
        said.err
            .contains("neither a last nor a previous checkpoint: going back to best.safetensors"),
        "{said:?}"
    );
    assert_same(&run, &undisturbed, "from the best checkpoint");
    fs::remove_dir_all(run.file("checkpoints")).unwrap();
    fs::create_dir(run.file("checkpoints")).unwrap();
    let said = rung(&run.resume(6)).exits(0);
    assert!(said.err.contains("has no checkpoint: it starts from step 0"), "{said:?}");
    assert_same(&run, &undisturbed, "from step 0");
}

#[test]
fn a_run_that_began_from_another_goes_on_without_it() {
    let (first, second) = (Run::new(), Run::new());
    rung(&first.train(1, &[])).exits(0);
    let from = first.path.display().to_string();
    fs::rename(first.last(), first.file("checkpoints/previous.safetensors")).unwrap();
    let said = rung(&second.train(1, &["--init-from", &from])).exits(0);
    assert!(
        said.err.contains("warning: ") && said.err.contains("previous.safetensors"),
        "{said:?}"
    );
    fs::remove_dir_all(&first.path).unwrap();
    rung(&second.resume(2)).exits(0);
    assert_eq!(second.metrics().len(), 2);
}

#[test]
fn the_checkpoint_of_another_run_is_not_taken_for_a_new_one() {
    let (other, run) = (Run::new(), Run::new());
    rung(&other.train(1, &[])).exits(0);
    fs::create_dir_all(run.file("checkpoints")).unwrap();
    fs::copy(other.last(), run.last()).unwrap();
    let said = rung(&run.train(2, &[])).exits(1);
    assert!(said.error().contains("isn't empty (it has checkpoints/last.safetensors)"), "{said:?}");
    assert!(!run.file("config.toml").exists());
}

#[test]
fn a_full_disk_costs_nothing_that_was_saved() {
    let (undisturbed, _) = undisturbed(6);
    let run = Run::new();
    rung(&run.train(3, &[])).exits(0);
    let before = run.bytes();
    // In KiB: room for an epoch's events and their pictures, but not for a checkpoint.
    let limit = before.len() / 1024 * 4 / 5;
    let said = rung_with_limit(&format!("-f {limit}"), &run.resume(6)).exits(1);
    assert!(
        said.error().contains("can't write") && said.error().contains("safetensors"),
        "{said:?}"
    );
    assert!(run.bytes() == before, "the last checkpoint was touched");
    rung(&run.resume(6)).exits(0);
    assert_same(&run, &undisturbed, "after a full disk");
}

#[test]
fn numbers_that_are_not_finite_stop_the_run() {
    let run = Run::new();
    let said = rung(&run.train(4, &["--learning-rate", "1e38"])).exits(1);
    let words = said.error();
    assert!(
        words.starts_with("step ") && words.contains("is no longer a finite number"),
        "{said:?}"
    );
    // The step is repeated to find where: in an operation of a layer, or in what the step before
    // has made of a parameter.
    let place = ["the first operation whose output is not finite is ", "the parameter "];
    assert!(place.iter().any(|place| words.contains(place)), "{words}");
    let layers = ["inference.", "generative."];
    assert!(layers.iter().any(|layer| words.contains(layer)), "{words}");
    assert!(
        ["the loss", "log p(x|z)", "the KL of z_"].iter().any(|term| words.contains(term)),
        "{words}"
    );
    assert!(said.err.contains("try a lower --learning-rate"), "{said:?}");
    assert!(!run.path.exists(), "a run that came to nothing stands in the way of the next");
    rung(&run.train(1, &[])).exits(0);
}

/// One step an epoch: the parameters are ruined after the last look at the loss and before the
/// checkpoint of the epoch.
#[test]
fn the_checkpoint_that_is_kept_is_from_before_the_ruin() {
    let run = Run::new();
    rung(&run.train(4, &["--learning-rate", "1e38", "--set", "train.batch_size=320"])).exits(1);
    if run.last().exists() {
        let evaluated =
            ["evaluate", run.path.to_str().unwrap(), "--importance-samples", "1", "--json"];
        let evaluated: serde_json::Value =
            serde_json::from_str(&rung(&evaluated).exits(0).out).unwrap();
        assert!(
            evaluated["bound_1_nats"].is_f64(),
            "the checkpoint kept has the bound {}",
            evaluated["bound_1_nats"]
        );
    }
}

//! A training of very many short epochs takes no more as it gets longer: memory and open files stay
//! the same, records grow by as much in every epoch, the report stays small.
//!
//! 4,000 epochs; `RUNG_TEST_SOAK=all` trains 20,000. The figures are printed.
#![cfg(target_os = "linux")]

mod program;

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use program::{Endless, Run, finish, interrupt, rung, start};

/// What the memory of the second half may be above that of the quarter before it: fragments of the
/// allocator, and pages that are touched for the first time.
const ALLOWED_GROWTH_KB: u64 = 1024;

/// What a report may take whatever it reports.
const REPORT_BYTES: u64 = 8 << 20;

/// What starting again and stopping may take: some seconds more than either does.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a process takes while it trains.
#[derive(Debug, Clone, Copy)]
struct Sample {
    epochs: u64,
    metrics_bytes: u64,
    resident_kb: u64,
    open_files: usize,
}

/// What the process takes now; `None` once it has ended, or has done all of its epochs.
fn sample(process: u32, run: &Run, all: u64) -> Option<Sample> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let resident_kb = resident.trim().strip_suffix(" kB")?.parse().ok()?;
    let open_files = fs::read_dir(format!("/proc/{process}/fd")).ok()?.count();
    let metrics = fs::read(run.file("metrics.jsonl")).unwrap_or_default();
    let epochs = metrics.iter().filter(|&&byte| byte == b'\n').count() as u64;
    let sample = Sample { epochs, metrics_bytes: metrics.len() as u64, resident_kb, open_files };
    (epochs < all).then_some(sample)
}

fn train(run: &Run, epochs: u64) -> Vec<String> {
    let (out, epochs) = (run.path.display().to_string(), epochs.to_string());
    let fixed = ["train", "--quiet", "--out", &out, "--epochs", &epochs, "--batch-size", "32"];
    let sets = [
        "data.train_images=32",
        "data.test_images=8",
        "model.latent_sizes=[2]",
        "model.hidden_sizes=[4]",
        "train.checkpoint_every_epochs=500",
        "train.evaluate_every_epochs=500",
    ];
    fixed.into_iter().chain(sets.iter().flat_map(|set| ["--set", set])).map(str::to_owned).collect()
}

/// The most of what `value` is in the samples of these epochs.
fn most<T: Ord>(samples: &[Sample], (from, to): (u64, u64), value: impl Fn(&Sample) -> T) -> T {
    let within = samples.iter().filter(|sample| (from..to).contains(&sample.epochs));
    within.map(value).max().unwrap_or_else(|| panic!("no sample of epochs {from} to {to}"))
}

#[test]
fn a_long_training_takes_no_more_as_it_gets_longer() {
    let full = std::env::var("RUNG_TEST_SOAK").is_ok_and(|form| form == "all");
    let epochs: u64 = if full { 20_000 } else { 4_000 };
    let run = Run::new();
    let mut child = Endless::new(start(&train(&run, epochs)));
    let mut samples = Vec::new();
    while child.child().try_wait().unwrap().is_none() {
        samples.extend(sample(child.child().id(), &run, epochs));
        sleep(Duration::from_millis(20));
    }
    finish(child.take()).exits(0);
    let (quarter, half) = (epochs / 4, epochs / 2);
    for part in 0..4 {
        let part = (part * quarter, (part + 1) * quarter);
        let resident = most(&samples, part, |sample| sample.resident_kb);
        let files = most(&samples, part, |sample| sample.open_files);
        println!("epochs {} to {}: {resident} kB, {files} files open", part.0, part.1);
    }
    let resident = |part| most(&samples, part, |sample| sample.resident_kb);
    let (before, after) = (resident((quarter, half)), resident((half, epochs)));
    assert!(after <= before + ALLOWED_GROWTH_KB, "{before} kB, then {after} kB");
    let files = |part| most(&samples, part, |sample| sample.open_files);
    // Two more while a checkpoint is written, which a sample may have missed.
    assert!(files((half, epochs)) <= files((quarter, half)) + 2);

    let bytes = fs::metadata(run.file("metrics.jsonl")).unwrap().len();
    let early = most(&samples, (quarter, half), |sample| sample.metrics_bytes / sample.epochs);
    println!("metrics.jsonl: {bytes} bytes, {} an epoch", bytes / epochs);
    assert!(bytes / epochs <= early + early / 10, "{early} bytes an epoch at first");
    let report = fs::metadata(run.file("report.html")).unwrap().len();
    println!("report.html: {report} bytes");
    assert!(report < REPORT_BYTES);

    let started = Instant::now();
    let more = (epochs + 1_000_000).to_string();
    let path = run.path.display().to_string();
    let mut child =
        Endless::new(start(&["train", "--quiet", "--resume", &path, "--epochs", &more]));
    while fs::metadata(run.file("metrics.jsonl")).unwrap().len() <= bytes {
        if child.child().try_wait().unwrap().is_some() {
            panic!("it ended: {:?}", finish(child.take()));
        }
        assert!(started.elapsed() < PATIENCE, "it does not go on");
        sleep(Duration::from_millis(2));
    }
    let resumed = started.elapsed();
    let asked = Instant::now();
    interrupt(child.child());
    finish(child.take()).exits(130);
    let stopped = asked.elapsed();
    println!(
        "goes on after {:.2} s, stops in {:.2} s",
        resumed.as_secs_f64(),
        stopped.as_secs_f64()
    );
    assert!(stopped < PATIENCE);
    let started = Instant::now();
    rung(&["report", &path]).exits(0);
    println!("rung report: {:.2} s", started.elapsed().as_secs_f64());
}

//! OpenCL devices: training follows the CPU's and stays on the device, runs go from one device to
//! another, and the program does without.

mod program;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use program::{Run, Said, finish, rung, rung_where, start_where};
use rung_autograd::{DType, Device};
use rung_kernels::opencl::{Found, OpenCl, found};
use rung_kernels::rng::{Address, uniform_at};
use rung_kernels::{SharedBuffer, UnaryFunction, View, ViewMut};
use rung_models::hierarchy::Inference;
use rung_models::objective::ObjectiveConfig;
use rung_tests::ladder::Trainer;
use rung_tests::{opencl_devices, run_seed};
use serde_json::Value;

/// The environment variable that names another OpenCL library than the system's.
const LIBRARY: &str = "RUNG_OPENCL_LIBRARY";
const HIDDEN: &str = "libOpenCL-hidden-from-this-test.so";

const STEPS: usize = 100;

/// Launches of a step of the five-layer ladder, at most, with kernels cut for CPUs and for a GPU of
/// 132 compute units, on which the two longest of the small products are sums of parts. docs/gpu.md
/// tells which they are.
const LAUNCHES: [(&str, usize); 2] = [("cpu", 179), ("gpu", 178)];

/// What losses may differ from the CPU's, relative to them. Rounding enters each step and later
/// ones amplify it: in f64 it stays small; in f32 Adam makes steps of full size of gradients that
/// are nothing but rounding (a bias before batch normalisation has no other), so that after some
/// steps two devices train two models that are equally good. Measured on PoCL: in f64 6e-12 at
/// worst; in f32 3 % at worst, 0.5 % in the mean of the last ten.
fn loss_tolerance(dtype: DType) -> f64 {
    if dtype == DType::F32 { 0.06 } else { 1e-9 }
}

fn losses(device: &Device, dtype: DType, steps: usize) -> Vec<f64> {
    let mut trainer = Trainer::new(device, dtype, Inference::PROBABILISTIC_LADDER, 64).unwrap();
    let objective = ObjectiveConfig::default();
    (0..steps).map(|step| trainer.step(step, &objective).unwrap().to_scalar().unwrap()).collect()
}

#[test]
fn the_losses_of_100_steps_follow_those_of_the_cpu() {
    for dtype in [DType::F32, DType::F64] {
        let expected = losses(&Device::cpu(), dtype, STEPS);
        assert!(expected[STEPS - 1] < 0.9 * expected[0], "the loss does not fall: {expected:?}");
        for device in opencl_devices().iter().filter(|device| device.supports(dtype)) {
            let found = losses(device, dtype, STEPS);
            let apart = |found: f64, expected: f64| (found - expected).abs() / expected.abs();
            let worst = found
                .iter()
                .zip(&expected)
                .map(|(&found, &expected)| apart(found, expected))
                .fold(0.0, f64::max);
            let last = |losses: &[f64]| losses[STEPS - 10..].iter().sum::<f64>() / 10.0;
            let in_the_end = apart(last(&found), last(&expected));
            println!(
                "{} {dtype}: apart by {worst:.1e} at worst, {in_the_end:.1e} in the end",
                device.name()
            );
            let tolerance = loss_tolerance(dtype);
            let follows = worst <= tolerance
                && in_the_end <= tolerance / 3.0
                && apart(found[0], expected[0]) < 1e-5;
            assert!(follows, "{} {dtype}: {found:?}, the CPU {expected:?}", device.name());
        }
    }
}

/// One test, since another at the same time would show in the device's account.
#[test]
fn in_the_steady_state_nothing_is_transferred_or_allocated() {
    let replaying = |listed: &Found| [false, true].map(|replays| listed.replaying(replays));
    for listed in found().unwrap_or_default().iter().flat_map(replaying) {
        let device = Device::new(OpenCl::open(&listed).unwrap());
        let mut trainer =
            Trainer::new(&device, DType::F32, Inference::PROBABILISTIC_LADDER, 256).unwrap();
        let mut train = |step| drop(trainer.step(step, &ObjectiveConfig::default()).unwrap());
        (0..6).for_each(&mut train);
        let before = device.statistics();
        let steps = 4;
        (6..6 + steps).for_each(&mut train);
        let after = device.statistics();
        assert_eq!(before.bytes_to_device, after.bytes_to_device);
        assert_eq!(before.bytes_from_device, after.bytes_from_device);
        assert_eq!(before.pool.allocations, after.pool.allocations);
        let launches = (after.launches - before.launches) / steps;
        // The end of a step is an end of joining too, where steps are replayed.
        let most = LAUNCHES[0].1 + 3;
        assert!((100..=most).contains(&launches), "{launches} launches a step");
    }
}

/// An OpenCL library of one device that does nothing (see `idle_opencl.c`).
fn library_of_an_idle_device(folder: &Path) -> PathBuf {
    let library = folder.join("libidle.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("idle_opencl.c");
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let mut compile = Command::new(compiler);
    compile.args(["-O1", "-shared", "-fPIC", "-o"]).arg(&library).arg(source);
    assert!(compile.status().unwrap().success(), "idle_opencl.c does not compile");
    library
}

/// Steps of the ladder on an idle device that can record launches; `replay` is `on`, `off`, or
/// empty.
fn benchmark_of_an_idle_device(library: &Path, kind: &str, steps: &str, replay: &str) -> Said {
    let settings = [
        (LIBRARY, library),
        ("RUNG_IDLE_KIND", Path::new(kind)),
        ("RUNG_IDLE_RECORDS", Path::new("1")),
        ("RUNG_OPENCL_REPLAY", Path::new(replay)),
    ];
    let line = ["bench", "step", "--device", "opencl:0", "--json", "--steps", steps];
    finish(start_where(&settings, &line))
}

/// What a step costs without a device that works: its launches, the time of the host, and where
/// launches are recorded, how many need not be made again.
#[test]
fn a_step_of_the_ladder_is_few_launches() {
    let folder = tempfile::tempdir().unwrap();
    let library = library_of_an_idle_device(folder.path());
    let step_of = |kind, steps, replay| -> Value {
        let said = benchmark_of_an_idle_device(&library, kind, steps, replay).exits(0);
        serde_json::from_str(&said.out).unwrap()
    };
    for (kind, most) in LAUNCHES {
        let launched = step_of(kind, "50", "off");
        // All in one epoch of the benchmark, after which steps are recorded anew.
        let recorded = step_of(kind, "15", "on");
        let number = |step: &Value, key: &str| step[key].as_f64().unwrap();
        let launches = |step| number(step, "kernel_launches");
        let replayed = |step| number(step, "replayed_launches");
        let host_ms = |step| number(step, "step_ms_median");
        println!(
            "{kind}: {} launches and {} ms a step; {} of {} replayed, {} ms",
            launches(&launched),
            host_ms(&launched),
            replayed(&recorded),
            launches(&recorded),
            host_ms(&recorded)
        );
        assert!(launches(&launched) <= most as f64, "{kind}: {launched}");
        assert_eq!(replayed(&launched), 0.0, "{kind}: {launched}");
        // The end of a step is an end of joining too.
        assert!(launches(&recorded) <= most as f64 + 3.0, "{kind}: {recorded}");
        assert!(replayed(&recorded) >= 0.85 * launches(&recorded), "{kind}: {recorded}");
    }
}

#[test]
fn steps_are_replayed_on_gpus_unless_a_user_says_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let library = library_of_an_idle_device(folder.path());
    for (kind, replay, expected) in
        [("gpu", "", true), ("cpu", "", false), ("gpu", "off", false), ("cpu", "on", true)]
    {
        let said = benchmark_of_an_idle_device(&library, kind, "15", replay).exits(0);
        let step: Value = serde_json::from_str(&said.out).unwrap();
        let replayed = step["replayed_launches"].as_f64().unwrap();
        assert_eq!(replayed > 0.0, expected, "{kind} {replay:?}: {step}");
    }
    let said = benchmark_of_an_idle_device(&library, "gpu", "15", "yes").exits(1);
    let refusal = "RUNG_OPENCL_REPLAY is \"yes\", which must be on or off";
    assert!(said.error().contains(refusal), "{said:?}");
}

/// Launches wait, and join earlier ones or not; whatever each reads must have been written, and not
/// written over. The numbers are whole and stay below 2²⁴, so that every device gives the same.
#[test]
fn launches_see_what_those_before_them_wrote_whichever_are_joined() {
    const PROGRAMS: u64 = 40;
    const CALLS: usize = 60;
    let seed = run_seed();
    for device in opencl_devices() {
        let before = device.statistics().launches;
        for program in 0..PROGRAMS {
            let address = Address::new(seed, 0, program);
            let (found, expected) = (
                of_random_calls(device, address, CALLS),
                of_random_calls(&Device::cpu(), address, CALLS),
            );
            assert_eq!(found, expected, "program {program} with RUNG_TEST_SEED={seed}");
        }
        let launches = device.statistics().launches - before;
        println!("{}: {launches} launches of {} calls", device.name(), PROGRAMS as usize * CALLS);
        assert!(launches < PROGRAMS as usize * CALLS, "no launch joined another");
    }
}

/// A few arrays, after random calls that read a part of one and write a part of another.
fn of_random_calls(device: &Device, address: Address, calls: usize) -> Vec<Vec<f32>> {
    let mut draw = Draw { address, drawn: 0 };
    let mut arrays = draw.arrays(device);
    let mut sums = 0;
    for _ in 0..calls {
        let call = draw.call(sums < 20);
        sums += usize::from(call.kind == Kind::Sum);
        call.run(device, &mut arrays);
    }
    arrays.iter().map(|buffer| downloaded(device, buffer)).collect()
}

/// Steps of random calls, most of them as the step before, are what they are on the CPU: whether
/// launches are recorded, replayed, or held back and then let go after all.
#[test]
fn replayed_steps_see_what_was_written_whatever_comes_between() {
    const PROGRAMS: u64 = 40;
    let seed = run_seed();
    for listed in found().unwrap_or_default() {
        let device = &Device::new(OpenCl::open(&listed.replaying(true)).unwrap());
        let (before, mut longest) = (device.statistics(), 0);
        for program in 0..PROGRAMS {
            let address = Address::new(seed, 1, program);
            let (found, calls) = of_random_steps(device, address);
            let (expected, _) = of_random_steps(&Device::cpu(), address);
            assert_eq!(found, expected, "program {program} with RUNG_TEST_SEED={seed}");
            longest += calls;
        }
        let after = device.statistics();
        let replayed = after.replayed - before.replayed;
        println!("{}: {replayed} launches of {longest} calls were replayed", device.name());
        assert!(replayed < longest, "no step was otherwise than expected");
        assert_eq!(replayed > 0, listed.can_record(), "{}", device.name());
    }
}

/// A few arrays after steps of random calls, and how many calls that were. Now and then a call is
/// another one for a step or for good, a step ends early, something is read in the middle, or the
/// pool is emptied.
fn of_random_steps(device: &Device, address: Address) -> (Vec<Vec<f32>>, usize) {
    const STEPS: usize = 14;
    let mut draw = Draw { address, drawn: 0 };
    let mut arrays = draw.arrays(device);
    let mut may_sum = true;
    let mut step: Vec<Call> = (0..20 + draw.below(100))
        .map(|_| {
            let call = draw.call(may_sum);
            may_sum &= call.kind != Kind::Sum;
            call
        })
        .collect();
    let (mut read, mut calls) = (Vec::new(), 0);
    for _ in 0..STEPS {
        let at = draw.below(step.len());
        let (mut end, mut usual) = (step.len(), None);
        match draw.below(10) {
            0 => usual = Some(std::mem::replace(&mut step[at], draw.call(false))),
            1 => step[at] = draw.call(false),
            2 => end = at,
            3 => device.release_free(),
            _ => {}
        }
        let reads_at = (draw.below(6) == 0).then(|| draw.below(step.len()));
        for (index, call) in step[..end].iter().enumerate() {
            if reads_at == Some(index) {
                read.push(downloaded(device, &arrays[call.to]));
            }
            call.run(device, &mut arrays);
        }
        device.end_step().unwrap();
        calls += end;
        if let Some(usual) = usual {
            step[at] = usual;
        }
    }
    read.extend(arrays.iter().map(|buffer| downloaded(device, buffer)));
    (read, calls)
}

const ARRAYS: usize = 6;
const PIECES: usize = 12;
const PIECE: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Copy,
    Negate,
    /// Which may double the largest number.
    Sum,
    MinusScaled,
}

/// A call that reads a part of an array and writes a part of another.
#[derive(Clone, Copy, Debug)]
struct Call {
    kind: Kind,
    from: usize,
    to: usize,
    read: usize,
    written: usize,
    len: usize,
}

impl Call {
    fn run(&self, device: &Device, arrays: &mut [SharedBuffer]) {
        let from = arrays[self.from].clone();
        let x = from.view().range(self.read..self.read + self.len);
        let out = arrays[self.to].get_mut().unwrap().view_mut();
        let out = out.range(self.written..self.written + self.len);
        match self.kind {
            Kind::Copy => device.convert(x, out),
            Kind::Negate => device.unary(UnaryFunction::Negate, x, out),
            Kind::Sum => device.scale_and_add(1.0, x, 1.0, out),
            Kind::MinusScaled => device.scale_and_add(-1.0, x, 0.0, out),
        }
        .unwrap();
    }
}

/// Random choices, the same for the same address.
struct Draw {
    address: Address,
    drawn: usize,
}

impl Draw {
    fn below(&mut self, end: usize) -> usize {
        self.drawn += 1;
        ((uniform_at(&self.address, self.drawn) * end as f64) as usize).min(end - 1)
    }

    fn arrays(&mut self, device: &Device) -> Vec<SharedBuffer> {
        let array = |_| {
            let host: Vec<f32> = (0..PIECES * PIECE).map(|_| self.below(7) as f32 - 3.0).collect();
            let mut buffer = device.allocate(DType::F32, host.len()).unwrap();
            device.upload(View::F32(&host), buffer.get_mut().unwrap().view_mut()).unwrap();
            buffer
        };
        (0..ARRAYS).map(array).collect()
    }

    fn call(&mut self, may_sum: bool) -> Call {
        let to = self.below(ARRAYS);
        let from = (to + 1 + self.below(ARRAYS - 1)) % ARRAYS;
        let pieces = if self.below(3) == 0 { PIECES } else { 4 };
        let mut place = || PIECE * self.below(PIECES + 1 - pieces);
        let (read, written) = (place(), place());
        let kind = match self.below(4) {
            0 => Kind::Copy,
            1 => Kind::Negate,
            2 if may_sum => Kind::Sum,
            _ => Kind::MinusScaled,
        };
        Call { kind, from, to, read, written, len: PIECE * pieces }
    }
}

fn downloaded(device: &Device, buffer: &SharedBuffer) -> Vec<f32> {
    let mut host = vec![0.0; buffer.len()];
    device.download(buffer.view(), ViewMut::F32(&mut host)).unwrap();
    host
}

/// The bits of a training do not depend on what of it was replayed.
#[test]
fn replayed_steps_have_the_bits_of_launched_ones() {
    const STEPS: usize = 12;
    for listed in found().unwrap_or_default() {
        let train = |replays| {
            let device = Device::new(OpenCl::open(&listed.replaying(replays)).unwrap());
            let mut trainer =
                Trainer::new(&device, DType::F32, Inference::PROBABILISTIC_LADDER, 64).unwrap();
            let objective = ObjectiveConfig::default();
            (0..STEPS).for_each(|step| drop(trainer.step(step, &objective).unwrap()));
            (trainer.parameters().unwrap(), device.statistics())
        };
        let ((found, recorded), (expected, launched)) = (train(true), train(false));
        assert!(found == expected, "{}: other bits", listed.name);
        let (replayed, all) = (recorded.replayed, recorded.launches);
        println!("{}: {replayed} of {all} launches were replayed", listed.name);
        assert_eq!(launched.replayed, 0);
        assert!(!listed.can_record() || 2 * replayed > all, "{replayed} of {all} launches");
    }
}

#[test]
fn training_on_one_device_gives_the_same_bits_again() {
    for device in opencl_devices() {
        let train = || {
            let mut trainer = Trainer::new(device, DType::F32, Inference::LADDER_VAE, 64).unwrap();
            (0..5).for_each(|step| drop(trainer.step(step, &ObjectiveConfig::default()).unwrap()));
            trainer.parameters().unwrap()
        };
        assert!(train() == train(), "{}", device.name());
    }
}

fn hidden(line: &str) -> Said {
    rung_where(LIBRARY, HIDDEN, &line.split_whitespace().collect::<Vec<_>>())
}

#[test]
fn without_an_opencl_library_the_program_works_and_says_what_it_looked_for() {
    let said = hidden("devices").exits(0);
    assert!(said.out.contains("cpu") && !said.out.contains("opencl:"), "{said:?}");
    assert!(said.err.contains(&format!("no OpenCL library: looked for {HIDDEN}")), "{said:?}");
    let line = hidden("devices --json").exits(0).out;
    let device: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&device["name"], &device["kind"]), (&"cpu".into(), &"cpu".into()));

    let refused = hidden("bench step --device opencl:0").exits(1);
    assert!(
        refused.error().contains("there is no device opencl:0") && refused.error().contains(HIDDEN),
        "{refused:?}"
    );

    let run = Run::new();
    let said = rung_where(LIBRARY, HIDDEN, &run.train(1, &["--device", "auto"])).exits(0);
    assert!(said.out.starts_with("test bound L_1: -"), "{said:?}");
}

fn bound(run: &Run, device: &str) -> f64 {
    let path = run.path.display().to_string();
    let line = [
        "evaluate",
        &path,
        "--importance-samples",
        "20",
        "--rows",
        "200",
        "--json",
        "--device",
        device,
    ];
    let evaluated: Value = serde_json::from_str(&rung(&line).exits(0).out).unwrap();
    evaluated["bound_k_nats"].as_f64().unwrap()
}

/// The bound of a run that changed devices halfway is that of one that did not, but for rounding.
#[test]
fn a_checkpoint_trained_on_one_device_goes_on_on_another() {
    if opencl_devices().is_empty() {
        return;
    }
    let resume = |run: &Run, device: &str| {
        rung(&[run.resume(6), vec!["--device".into(), device.into()]].concat()).exits(0);
    };
    let [stays, leaves, comes] = [Run::new(), Run::new(), Run::new()];
    rung(&stays.train(6, &[])).exits(0);
    for (run, first, then) in [(&leaves, "cpu", "opencl:0"), (&comes, "opencl:0", "cpu")] {
        rung(&run.train(3, &["--device", first])).exits(0);
        resume(run, then);
        for device in ["cpu", "opencl:0"] {
            let (found, expected) = (bound(run, device), bound(&stays, "cpu"));
            assert!(
                (found - expected).abs() < 1e-3 * expected.abs(),
                "{first}, {then}, {device}: {found}, {expected}"
            );
        }
    }
}

/// The system's OpenCL library, but for a device that is gone as soon as the file is there (see
/// `opencl/vanishing.rs`).
fn library_with_a_vanishing_device(folder: &Path) -> PathBuf {
    let library = folder.join("libvanishing.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("opencl/vanishing.rs");
    let mut compiler = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    compiler.args(["--edition", "2024", "--crate-type", "cdylib"]);
    compiler.args(["-C", "link-arg=-Wl,--no-as-needed", "-C", "link-arg=-l:libOpenCL.so.1", "-o"]);
    assert!(
        compiler.arg(&library).arg(source).status().unwrap().success(),
        "the library does not build"
    );
    library
}

#[test]
#[cfg(target_os = "linux")]
fn a_device_that_disappears_leaves_the_last_checkpoint_to_go_on_from() {
    if opencl_devices().is_empty() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (library, vanished) =
        (library_with_a_vanishing_device(folder.path()), folder.path().join("vanished"));
    let run = Run::new();
    let line = run.train(2000, &["--device", "opencl:0"]);
    let training = start_where(&[(LIBRARY, &library), ("VANISHED", &vanished)], &line);
    let patience = Instant::now() + Duration::from_secs(120);
    while !run.last().exists() {
        assert!(Instant::now() < patience, "no checkpoint: {:?}", finish(training));
        sleep(Duration::from_millis(5));
    }
    fs::write(&vanished, "").unwrap();
    let said = finish(training).exits(1);
    assert!(said.error().contains("opencl:0: clEnqueueNDRangeKernel"), "{said:?}");
    assert!(
        said.error().contains("CL_DEVICE_NOT_AVAILABLE")
            && said.err.contains("rung train --resume"),
        "{said:?}"
    );

    let epochs = run.metrics().len();
    assert!((1..2000).contains(&epochs), "{epochs} epochs");
    rung(&[run.resume(epochs + 1), vec!["--device".into(), "cpu".into()]].concat()).exits(0);
    assert_eq!(run.metrics().len(), epochs + 1);
}

/// A device that may use little memory evaluates in smaller chunks; one that may use next to none
/// says what it lacks.
#[test]
fn an_evaluation_without_enough_memory_takes_smaller_chunks() {
    const MEMORY: &str = "RUNG_OPENCL_MEMORY";
    if opencl_devices().is_empty() {
        return;
    }
    let run = Run::new();
    rung(&run.train(1, &[])).exits(0);
    let path = run.path.display().to_string();
    let evaluate = [
        "evaluate",
        &path,
        "--importance-samples",
        "50",
        "--rows",
        "4000",
        "--json",
        "--device",
        "opencl:0",
    ];
    let bound_of = |said: Said| -> f64 {
        let evaluated: Value = serde_json::from_str(&said.exits(0).out).unwrap();
        evaluated["bound_k_nats"].as_f64().unwrap()
    };
    let (all, little) =
        (bound_of(rung(&evaluate)), bound_of(rung_where(MEMORY, "6000000", &evaluate)));
    assert!((all - little).abs() < 0.02 * all.abs(), "{all} with all memory, {little} with little");
    let said = rung_where(MEMORY, "300000", &evaluate).exits(1);
    for words in ["no memory for", "are in use", "smaller"] {
        assert!(said.error().contains(words), "{words}: {said:?}");
    }
}

#[test]
fn a_damaged_cache_is_made_anew() {
    if opencl_devices().is_empty() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().to_str().unwrap();
    let bench = "bench step --preset mnist-vae-bn-wu-1 --batch-size 4 --steps 1 --device opencl:0";
    let step = || {
        rung_where("RUNG_OPENCL_CACHE", cache, &bench.split_whitespace().collect::<Vec<_>>())
            .exits(0)
    };
    step();
    assert!(!step().err.contains("cache"));
    let entries: Vec<_> =
        std::fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(entries.len() > 3, "{entries:?}");
    for entry in &entries {
        let mut bytes = std::fs::read(entry).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(entry, bytes).unwrap();
    }
    assert!(step().err.contains("is damaged and is made anew"));
    assert!(!step().err.contains("damaged"));
}

#[test]
fn every_command_takes_a_device() {
    if opencl_devices().is_empty() {
        return;
    }
    let run = Run::new();
    rung(&run.train(1, &["--device", "opencl:0"])).exits(0);
    let path = run.path.display().to_string();
    for command in ["sample", "reconstruct", "encode"] {
        let said = rung(&[command, &path, "--count", "5", "--device", "opencl:0"]).exits(0);
        assert!(said.out.contains(&path), "{command}: {said:?}");
    }
    let said = rung(&[
        "bench",
        "step",
        "--preset",
        "mnist-vae-bn-wu-1",
        "--batch-size",
        "8",
        "--steps",
        "2",
        "--device",
        "opencl:0",
        "--json",
    ]);
    let numbers: Value = serde_json::from_str(&said.exits(0).out).unwrap();
    assert!(
        numbers["kernel_launches"].as_f64().is_some_and(|launches| launches > 10.0),
        "{numbers}"
    );
    assert_eq!(
        (&numbers["bytes_to_device"], &numbers["bytes_from_device"]),
        (&0.0.into(), &0.0.into()),
        "{numbers}"
    );
    let listed = rung(&["devices", "--json"]).exits(0).out;
    let device: Value = serde_json::from_str(listed.lines().nth(1).unwrap()).unwrap();
    for key in
        ["name", "vendor", "driver", "memory_bytes", "compute_units", "f64", "work_group_limit"]
    {
        assert!(!device[key].is_null(), "{key}: {device}");
    }
}

/// A driver takes memory and time at the start: who computes on the CPU shall not pay for it.
#[test]
#[cfg(target_os = "linux")]
fn on_the_cpu_no_driver_is_loaded() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    let mut serving = Command::new(program::binary())
        .args(["bench", "serve", "--preset", "mnist-vae-1", "--batch-size", "8"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    BufReader::new(serving.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    let mapped = std::fs::read_to_string(format!("/proc/{}/maps", serving.id())).unwrap();
    serving.kill().unwrap();
    serving.wait().unwrap();
    assert!(ready.contains("ready"), "{ready}");
    let libraries = mapped.lines().filter(|line| line.contains("OpenCL")).collect::<Vec<_>>();
    assert!(libraries.is_empty(), "{libraries:?}");
}

//! Every primitive on every device against its slow f64 reference, and the same bits whatever the
//! number of threads.

use std::io::Write;

use rayon::ThreadPoolBuilder;
use rung_kernels::opencl::{Kind, OpenCl, found};
use rung_kernels::primitives::{Primitive, check_together, check_up_to, fingerprints};
use rung_kernels::{DType, Device};
use rung_tests::{opencl_devices, run_seed};

/// The environment variable that leaves out cases with arrays of more elements, for devices that
/// are slow.
const LARGEST: &str = "RUNG_PARITY_LARGEST";

#[expect(clippy::explicit_write, reason = "a test's output by eprintln! is captured")]
fn agrees_with_its_references(device: &Device, cut: &str, largest: usize) {
    let seed = run_seed();
    let largest =
        std::env::var(LARGEST).map_or(largest, |text| text.parse().expect("it must be a number"));
    let before = device.statistics().launches;
    let cases = check_up_to(device, seed, largest).unwrap_or_else(|mismatches| {
        let lines: Vec<String> = mismatches.iter().take(20).map(ToString::to_string).collect();
        let (name, count) = (device.name(), mismatches.len());
        panic!("{name}{cut}: {count} mismatches with RUNG_TEST_SEED={seed}:\n{}", lines.join("\n"))
    });
    let kernels = device.statistics().launches - before;
    assert!(cases > 100 && kernels > cases / 2, "only {cases} cases and {kernels} kernels ran");
    // Past the capture of the test's output: continuous integration reads which devices ran
    // kernels.
    writeln!(
        std::io::stderr(),
        "parity: {} ran {kernels} kernels in {cases} cases{cut}",
        device.name()
    )
    .unwrap();
}

#[test]
fn every_primitive_of_the_cpu_agrees_with_its_reference() {
    agrees_with_its_references(&Device::cpu(), "", usize::MAX);
}

#[test]
fn every_primitive_of_every_opencl_device_agrees_with_its_reference() {
    let agrees = |device| agrees_with_its_references(device, "", usize::MAX);
    opencl_devices().iter().for_each(agrees);
}

/// Primitives whose launches can be joined.
const JOINED: [&str; 13] = [
    "matmul",
    "matmul_accumulate",
    "batch_norm",
    "batch_norm_backward",
    "batch_norm_head",
    "batch_norm_head_backward",
    "gaussian_head",
    "gaussian_head_backward",
    "gaussian_log_ratio",
    "gaussian_log_ratio_backward",
    "scale_and_add",
    "fill_normal",
    "reduce",
];

/// Launches that do not depend on each other become one, and each is what it was.
#[test]
fn joined_launches_agree_with_the_references_of_their_primitives() {
    let seed = run_seed();
    for listed in found().unwrap_or_default() {
        let as_gpu = (listed.kind == Kind::Cpu).then(|| listed.treated_as(Kind::Gpu));
        for listed in [Some(listed.clone()), as_gpu].into_iter().flatten() {
            let device = Device::new(OpenCl::open(&listed).unwrap());
            // What nothing trains in costs a compiler as much as what matters.
            let is_wanted = |primitive: &Primitive, dtype| {
                dtype == DType::F32 && JOINED.contains(&primitive.name)
            };
            let checked = check_together(&device, seed, 2000, is_wanted);
            let cases = checked.unwrap_or_else(|mismatches| {
                let lines: Vec<_> = mismatches.iter().take(20).map(ToString::to_string).collect();
                let (name, count, lines) = (&listed.name, mismatches.len(), lines.join("\n"));
                panic!("{name}: {count} mismatches with RUNG_TEST_SEED={seed}:\n{lines}")
            });
            let launches = device.statistics().launches;
            println!("{} for {:?}: {launches} launches, {cases} cases", listed.name, listed.kind);
            assert!(cases > 60 && launches < cases, "{launches} launches for {cases} cases");
        }
    }
}

/// A CPU runs the kernels for GPUs too, slowly: groups that share rows, barriers, tiles in local
/// memory.
#[test]
fn kernels_cut_for_gpus_agree_with_their_references_on_cpus() {
    let cpus = found().unwrap_or_default().iter().filter(|found| found.kind == Kind::Cpu);
    for cpu in cpus {
        let device = Device::new(OpenCl::open(&cpu.treated_as(Kind::Gpu)).unwrap());
        agrees_with_its_references(&device, ", cut for GPUs", usize::MAX);
    }
}

/// Groups of at most 64 work-items, and a limit that is no power of two.
#[test]
fn kernels_cut_for_small_gpus_agree_with_their_references_on_cpus() {
    let cpus = found().unwrap_or_default().iter().filter(|found| found.kind == Kind::Cpu);
    for cpu in cpus {
        let small = cpu.treated_as(Kind::Gpu).limited_to(100);
        let device = Device::new(OpenCl::open(&small).unwrap());
        agrees_with_its_references(&device, ", cut for small GPUs", 2000);
    }
}

/// Reductions have a fixed order, so nothing depends on which work-group comes first.
#[test]
fn every_primitive_of_an_opencl_device_gives_the_same_bits_again() {
    let seed = run_seed();
    for device in opencl_devices() {
        let (first, again) =
            (fingerprints(device, seed).unwrap(), fingerprints(device, seed).unwrap());
        for (first, again) in first.iter().zip(&again) {
            assert_eq!(first, again, "{}, with RUNG_TEST_SEED={seed}", device.name());
        }
    }
}

#[test]
fn every_primitive_gives_the_same_bits_on_one_two_and_four_threads() {
    let seed = run_seed();
    let run = |threads| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| fingerprints(&Device::cpu(), seed).unwrap())
    };
    let alone = run(1);
    for threads in [2, 4] {
        for (alone, together) in alone.iter().zip(run(threads)) {
            assert_eq!(*alone, together, "{threads} threads, with RUNG_TEST_SEED={seed}");
        }
    }
}

//! Every primitive on every device against its slow f64 reference, and the same bits whatever the number of threads.

use rayon::ThreadPoolBuilder;
use rung_kernels::Device;
use rung_kernels::primitives::{check, fingerprints};
use rung_tests::{devices, run_seed};

#[test]
fn every_primitive_agrees_with_its_reference_on_every_device() {
    let seed = run_seed();
    for device in devices() {
        match check(&device, seed) {
            Ok(cases) => assert!(cases > 100, "only {cases} cases ran"),
            Err(mismatches) => {
                let lines: Vec<String> = mismatches.iter().take(20).map(ToString::to_string).collect();
                panic!(
                    "{}: {} mismatches with RUNG_TEST_SEED={seed}:\n{}",
                    device.name(),
                    mismatches.len(),
                    lines.join("\n")
                );
            }
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

//! What the tests of the whole project share: the devices they run on, their seeds, and a small
//! model to train.
//!
//! Each run draws fresh cases. A failure prints the seed of the run; with `RUNG_TEST_SEED` set to
//! it the same cases come again. `RUNG_TEST_CASES` sets how many cases a property gets. `mlp.rs`,
//! `convnet.rs` and `ladder.rs` are the models.
//!
//! Tests run on the CPU and on every OpenCL device there is; with `RUNG_REQUIRE_OPENCL=1` they fail
//! if there is none.

pub mod convnet;
pub mod ladder;
pub mod mlp;

use std::fmt::Debug;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use rung_autograd::{DType, Device};
use rung_kernels::opencl::{OpenCl, found};

/// Every device that computes in f64, which proofs of gradients need: the CPU first.
#[must_use]
pub fn devices() -> Vec<Device> {
    let mut all = vec![Device::cpu()];
    all.extend(opencl_devices().iter().filter(|device| device.supports(DType::F64)).cloned());
    all
}

/// Every OpenCL device. Each is opened once for all tests of a process, so that its kernels are
/// compiled once.
///
/// # Panics
/// If a device cannot be opened, or if there is none and `RUNG_REQUIRE_OPENCL` says that one must
/// be.
pub fn opencl_devices() -> &'static [Device] {
    static OPEN: OnceLock<Vec<Device>> = OnceLock::new();
    OPEN.get_or_init(|| {
        let listed = found().unwrap_or_else(|why| {
            eprintln!("{why}");
            &[]
        });
        let is_required = std::env::var("RUNG_REQUIRE_OPENCL").is_ok_and(|value| value == "1");
        assert!(
            !is_required || !listed.is_empty(),
            "RUNG_REQUIRE_OPENCL is 1, but there is no OpenCL device"
        );
        listed.iter().map(|found| Device::new(OpenCl::open(found).unwrap())).collect()
    })
}

/// The seed of this run: `RUNG_TEST_SEED`, or the clock.
///
/// # Panics
/// If `RUNG_TEST_SEED` is not a number.
#[must_use]
pub fn run_seed() -> u64 {
    match std::env::var("RUNG_TEST_SEED") {
        Ok(text) => text.parse().expect("RUNG_TEST_SEED must be a whole number"),
        Err(_) => {
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_nanos() as u64)
        }
    }
}

/// How many cases a property gets: `RUNG_TEST_CASES`, or `default`.
///
/// # Panics
/// If `RUNG_TEST_CASES` is not a number.
#[must_use]
pub fn case_count(default: u32) -> u32 {
    std::env::var("RUNG_TEST_CASES")
        .map_or(default, |text| text.parse().expect("RUNG_TEST_CASES must be a whole number"))
}

/// Tries `holds` on values of `strategy`; an `Err` says how the property is broken.
///
/// # Errors
/// The smallest counter-example found and the seed of the run.
pub fn try_property<S: Strategy>(
    cases: u32,
    strategy: S,
    holds: impl Fn(S::Value) -> Result<(), String>,
) -> Result<(), String>
where
    S::Value: Debug,
{
    let seed = run_seed();
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let outcome = runner.run(&strategy, |value| holds(value).map_err(TestCaseError::fail));
    outcome.map_err(|failure| format!("with RUNG_TEST_SEED={seed}: {failure}"))
}

/// As [`try_property`].
///
/// # Panics
/// With the smallest counter-example found and the seed of the run.
pub fn property<S: Strategy>(
    cases: u32,
    strategy: S,
    holds: impl Fn(S::Value) -> Result<(), String>,
) where
    S::Value: Debug,
{
    if let Err(failure) = try_property(cases, strategy, holds) {
        panic!("{failure}");
    }
}

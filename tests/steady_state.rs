//! A real training step of a five-layer ladder in its steady state: no buffer is obtained from the
//! system, and what the program allocates besides is small and given back.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use rayon::ThreadPoolBuilder;
use rung_autograd::{DType, Device};
use rung_models::hierarchy::Inference;
use rung_models::objective::ObjectiveConfig;
use rung_tests::ladder::Trainer;

/// The system's allocator, keeping account.
struct Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
static REQUESTS: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);
static LARGEST: AtomicUsize = AtomicUsize::new(0);
/// Bytes in use, counted all the time.
static LIVE: AtomicUsize = AtomicUsize::new(0);

fn note(bytes: usize) {
    if COUNTS.load(Relaxed) {
        REQUESTS.fetch_add(1, Relaxed);
        BYTES.fetch_add(bytes, Relaxed);
        LARGEST.fetch_max(bytes, Relaxed);
    }
}

// SAFETY: every call is passed on unchanged to the system's allocator, which keeps the contract;
// counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        LIVE.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the pointer came from `System`, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        note(new_size);
        LIVE.fetch_add(new_size, Relaxed);
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the pointer came from `System`, with this layout.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const BATCH: usize = 64;
/// What a step may obtain from the allocator: the box of the posterior, and a few vectors of
/// handles, one handle for each layer, the largest being the five layers' `Latent`s with 2,800
/// bytes. A batch of pixels has 200,704.
const SMALL_BYTES: usize = 4096;
const FEW: usize = 5;

/// Runs both halves of the measurement; the one test of this file, since the account is the
/// process's.
#[test]
fn after_the_third_step_no_buffer_is_allocated_and_nothing_piles_up() {
    let pool = ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let families = [
        ("VAE", Inference::BottomUp),
        ("ladder", Inference::PROBABILISTIC_LADDER),
        ("Ladder VAE", Inference::LADDER_VAE),
    ];
    let several = ObjectiveConfig {
        beta: 0.5,
        monte_carlo_samples: 2,
        importance_samples: 2,
        analytic_kl: false,
        ..ObjectiveConfig::default()
    };
    for (name, inference) in families {
        for objective in [ObjectiveConfig::default(), several] {
            pool.install(|| measure(name, inference, &objective));
        }
    }
}

fn measure(name: &str, inference: Inference, objective: &ObjectiveConfig) {
    let device = Device::cpu();
    let mut trainer = Trainer::new(&device, DType::F32, inference, BATCH).unwrap();
    let mut train = |step| drop(trainer.step(step, objective).unwrap());
    (0..3).for_each(&mut train);
    let (before, live) = (device.statistics().pool, LIVE.load(Relaxed));
    [&REQUESTS, &BYTES, &LARGEST].iter().for_each(|counter| counter.store(0, Relaxed));
    COUNTS.store(true, Relaxed);
    let steps = 5;
    (3..3 + steps).for_each(&mut train);
    COUNTS.store(false, Relaxed);
    let (after, grown) = (device.statistics().pool, LIVE.load(Relaxed) as i64 - live as i64);
    assert!(
        after.requests > before.requests,
        "{name}: the step asks the pool for nothing, so this test sees nothing"
    );
    assert_eq!(
        after.allocations, before.allocations,
        "{name}, {objective:?}: the pool allocates in the steady state"
    );
    assert_eq!(after.bytes, before.bytes);
    let (requests, bytes, largest) =
        (REQUESTS.load(Relaxed), BYTES.load(Relaxed), LARGEST.load(Relaxed));
    println!(
        "{name}, {} x {} samples: per step {} requests to the pool; {} allocations of {} bytes by \
        the program, the largest {largest}",
        objective.monte_carlo_samples,
        objective.importance_samples,
        (after.requests - before.requests) / steps,
        requests / steps,
        bytes / steps,
    );
    assert!(requests <= FEW * steps, "{name}: {requests} allocations in {steps} steps");
    assert!(largest < SMALL_BYTES, "{name}: an allocation of {largest} bytes in the steady state");
    assert_eq!(grown, 0, "{name}: {grown} bytes more are in use after {steps} steps");
}

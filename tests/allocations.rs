//! After the third training step nothing is allocated: neither by the pool of buffers nor by
//! anything else in the program.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rayon::ThreadPoolBuilder;
use rung_autograd::{DType, Device};
use rung_tests::convnet::ConvNet;
use rung_tests::mlp::{Mlp, Sizes};

/// The system's allocator, counting the requests of the pool's threads while it is told to.
struct Counting;

thread_local! {
    /// Whether this thread computes: the test harness has a thread of its own, which may allocate
    /// at any time.
    static COMPUTES: Cell<bool> = const { Cell::new(false) };
}

static COUNTS: AtomicBool = AtomicBool::new(false);
static REQUESTS: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);

fn note(bytes: usize) {
    if COUNTS.load(Ordering::Relaxed) && COMPUTES.get() {
        REQUESTS.fetch_add(1, Ordering::Relaxed);
        BYTES.fetch_add(bytes, Ordering::Relaxed);
    }
}

// SAFETY: every call is passed on unchanged to the system's allocator, which keeps the contract;
// counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `System`, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        note(new_size);
        // SAFETY: the pointer came from `System`, with this layout.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many requests, of how many bytes, the pool's threads make while `body` runs.
fn allocations_of(body: impl FnOnce()) -> (usize, usize) {
    REQUESTS.store(0, Ordering::Relaxed);
    BYTES.store(0, Ordering::Relaxed);
    COUNTS.store(true, Ordering::Relaxed);
    body();
    COUNTS.store(false, Ordering::Relaxed);
    (REQUESTS.load(Ordering::Relaxed), BYTES.load(Ordering::Relaxed))
}

#[test]
fn a_steady_training_loop_allocates_nothing() {
    let sizes = Sizes { batch: 64, pixels: 200, hidden: 100, latent: 16 };
    let pool = ThreadPoolBuilder::new().num_threads(2).start_handler(|_| COMPUTES.set(true));
    let pool = pool.build().unwrap();
    // A thread of the pool allocates as it starts, which on a busy machine is after the first
    // steps.
    pool.broadcast(|_| ());
    pool.install(|| {
        let mut mlp = Mlp::new(&Device::cpu(), DType::F32, sizes).unwrap();
        settles("the autoencoder of layers", || drop(mlp.train_step().unwrap()));
        let mut convnet = ConvNet::new(&Device::cpu(), DType::F32, 20, 14).unwrap();
        settles("the convolutional one", || drop(convnet.train_step().unwrap()));
    });
}

/// Asserts that the first step allocates, and that none does after the third.
fn settles(model: &str, mut step: impl FnMut()) {
    let (first, _) = allocations_of(&mut step);
    assert!(first > 0, "{model}: the first step must allocate, or nothing is counted");
    (0..2).for_each(|_| step());
    let (requests, bytes) = allocations_of(|| (0..4).for_each(|_| step()));
    assert_eq!(requests, 0, "{model}: {requests} allocations of {bytes} bytes in four steps");
}

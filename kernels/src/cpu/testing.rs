//! What the tests of the primitives share: data, pools of several sizes, comparison with a slow f64
//! reference.

use std::fmt::Debug;

use crate::rng::{Address, normal_at};

/// Standard normal numbers, different for each stream.
pub(super) fn normals(stream: u32, len: usize) -> Vec<f32> {
    (0..len).map(|i| normal_at(&Address::new(11, stream, 0), i) as f32).collect()
}

/// Positive numbers: e^½n for standard normal n.
pub(super) fn positives(stream: u32, len: usize) -> Vec<f32> {
    normals(stream, len).into_iter().map(|x| (0.5 * x).exp()).collect()
}

/// The same numbers in f64.
pub(super) fn widened(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

/// Runs `compute` on pools of 1, 2 and 4 threads, asserts that the results are equal, and returns
/// one.
pub(super) fn same_on_any_threads<R: PartialEq + Debug + Send>(
    compute: impl Fn() -> R + Sync,
) -> R {
    let on = |threads| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(&compute)
    };
    let alone = on(1);
    for threads in [2, 4] {
        assert!(
            on(threads) == alone,
            "the result depends on the number of threads: {threads} against 1"
        );
    }
    alone
}

/// Asserts |x − expected| ≤ tolerance · (1 + |expected|) for each element, and names the worst.
pub(super) fn assert_close(what: &str, x: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(x.len(), expected.len(), "{what}: lengths");
    for (i, (&x, &expected)) in x.iter().zip(expected).enumerate() {
        let error = (f64::from(x) - expected).abs();
        assert!(error <= tolerance * (1.0 + expected.abs()), "{what}[{i}] is {x}, not {expected}");
    }
}

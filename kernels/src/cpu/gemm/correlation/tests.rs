//! Every engine against the portable one in f64 (which the parity cases compare with plain sums),
//! and against itself on other numbers of threads.

use proptest::prelude::*;

use super::super::super::testing::{normals, same_on_any_threads, widened};
use super::*;
use crate::backend::Padding;

/// The three products of one convolution: of a map, of adjoints, and the gradient of the weight.
fn products<T: Element>(
    engine: Engine,
    sizes: &Convolution,
    [x, y, weight]: [&[T]; 3],
) -> [Vec<T>; 3] {
    let bias = |len: usize| {
        weight.iter().chain(std::iter::repeat(&T::ONE)).take(len).copied().collect::<Vec<_>>()
    };
    let mut out = [vec![T::ONE; y.len()], vec![T::ONE; x.len()], vec![T::ONE; weight.len()]];
    convolve_with(engine, sizes, x, weight, Some(&bias(sizes.out_channels)), &mut out[0]);
    convolve_transposed_with(engine, sizes, y, weight, None, &mut out[1]);
    correlate_weight_with(engine, sizes, x, y, &mut out[2]);
    out
}

fn arrays(sizes: &Convolution) -> [Vec<f32>; 3] {
    let lens = [sizes.input_matrix(), sizes.output_matrix(), sizes.weight_matrix()]
        .map(|matrix| matrix.element_count());
    [normals(1, lens[0]), normals(2, lens[1]), normals(3, lens[2])]
}

/// All engines on these sizes.
fn check(sizes: &Convolution) {
    let arrays = arrays(sizes);
    let [x, y, weight] = arrays.each_ref().map(|array| widened(array));
    let expected = products(Engine::Portable, sizes, [&x, &y, &weight]);
    // Terms of the longest sum: those of standard normal products differ by √terms.
    let terms = sizes.weight_matrix().rows.max(sizes.output_matrix().rows) as f64
        + sizes.out_channels as f64;
    let bound = 16.0 * terms.sqrt() * f64::from(f32::EPSILON) * 8.0;
    for engine in Engine::ALL.into_iter().filter(|engine| engine.is_available()) {
        let found = same_on_any_threads(|| {
            products(engine, sizes, arrays.each_ref().map(|array| &array[..]))
        });
        for (number, (found, expected)) in found.iter().zip(&expected).enumerate() {
            for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
                let error = (f64::from(found) - expected).abs();
                assert!(
                    error <= bound,
                    "{engine:?} {sizes:?}: product {number}[{i}] is {found}, not {expected}"
                );
            }
        }
    }
}

fn square(
    batch: usize,
    size: usize,
    channels: [usize; 2],
    kernel: usize,
    stride: usize,
) -> Convolution {
    let ([in_channels, out_channels], padding) = (channels, Padding::Same);
    let (input, kernel) = ([size; 2], [kernel; 2]);
    Convolution { batch, input, in_channels, out_channels, kernel, stride, padding }
}

#[test]
fn engines_agree_with_f64_on_the_sizes_of_models() {
    for (size, kernel, stride) in
        [(28, 5, 1), (28, 5, 2), (14, 3, 1), (14, 3, 2), (7, 3, 1), (16, 16, 1), (4, 4, 1)]
    {
        check(&square(3, size, [17, 35], kernel, stride));
        check(&square(2, size, [1, 64], kernel, stride));
    }
}

/// More images than groups of the weight's gradient, more terms and columns than a block of the
/// weight has, more rows than a band.
#[test]
fn engines_agree_with_f64_where_blocks_end() {
    check(&square(37, 5, [3, 4], 3, 1));
    check(&square(1, 2, [130, 1040], 3, 1));
    check(&square(1, 60, [40, 5], 3, 1));
    check(&square(1, 5, [300, 300], 3, 1));
    check(&square(2, 4, [0, 3], 3, 1));
    check(&square(2, 4, [3, 0], 3, 2));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None,
        ..ProptestConfig::default() })]

    #[test]
    fn engines_agree_with_f64_on_any_sizes(
        batch in 1usize..4,
        input in [1usize..19, 1usize..19],
        channels in [1usize..41, 1usize..41],
        kernel in [1usize..7, 1usize..7],
        stride in 1usize..4,
        valid: bool,
    ) {
        let ([in_channels, out_channels], padding) =
            (channels, if valid { Padding::Valid } else { Padding::Same });
        check(&Convolution { batch, input, in_channels, out_channels, kernel, stride, padding });
    }
}

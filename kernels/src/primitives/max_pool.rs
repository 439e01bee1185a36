//! Parity cases of max-pooling. The reference walks over the positions of each window.

use super::case::{Case, Draw, Expected};
use super::rows::exact;
use crate::backend::Pool2d;

/// [batch, height, width, channels, side of a window]: whole windows and such with a rest, channels
/// around vectors, nothing at all.
const SIZES: [[usize; 5]; 10] = [
    [2, 4, 6, 3, 2],
    [3, 7, 5, 1, 2],
    [1, 48, 48, 20, 2],
    [5, 23, 9, 17, 2],
    [2, 9, 10, 33, 3],
    [2, 3, 4, 130, 1],
    [7, 1, 9, 4, 2],
    [1, 11, 13, 2, 5],
    [0, 4, 4, 2, 2],
    [2, 4, 4, 0, 2],
];

fn pools() -> impl Iterator<Item = Pool2d> {
    SIZES.into_iter().map(|[batch, height, width, channels, size]| Pool2d {
        batch,
        input: [height, width],
        channels,
        size,
    })
}

/// The elements of each window, in the order of its taps, for each element of the output.
fn windows(pool: &Pool2d) -> Vec<Vec<usize>> {
    let (&Pool2d { batch, input: [height, width], channels, size }, mut all) = (pool, Vec::new());
    for image in 0..batch {
        for (p, q) in (0..height / size).flat_map(|p| (0..width / size).map(move |q| (p, q))) {
            for c in 0..channels {
                let taps = (0..size).flat_map(|a| (0..size).map(move |b| (a, b)));
                let element = |(a, b)| {
                    ((image * height + p * size + a) * width + q * size + b) * channels + c
                };
                all.push(taps.map(element).collect());
            }
        }
    }
    all
}

/// Few different numbers, so that windows have several largest elements.
fn elements(draw: &mut Draw, pool: &Pool2d) -> Vec<f64> {
    draw.integers(7, pool.input_matrix().element_count())
}

fn maxima(pool: &Pool2d, x: &[f64]) -> Vec<f64> {
    let largest = |taps: Vec<usize>| taps.iter().map(|&at| x[at]).fold(f64::MIN, f64::max);
    windows(pool).into_iter().map(largest).collect()
}

pub(super) fn max_pool2d(draw: &mut Draw) -> Vec<Case> {
    let case = |pool: Pool2d| {
        Case::new(format!("{pool:?}"))
            .float(elements(draw, &pool))
            .output(pool.output_matrix().element_count())
            .call(move |device, x, out| device.max_pool2d(pool, x[0], out[0].reborrow()))
            .expect(move |x, _| vec![exact(maxima(&pool, &x[0]))])
    };
    pools().map(case).collect()
}

pub(super) fn max_pool2d_backward(draw: &mut Draw) -> Vec<Case> {
    let case = |pool: Pool2d| {
        let x = elements(draw, &pool);
        let out = maxima(&pool, &x);
        Case::new(format!("{pool:?}"))
            .float(x)
            .float(out)
            .float(draw.normal(pool.output_matrix().element_count()))
            .output(pool.input_matrix().element_count())
            .call(move |device, x, out| {
                device.max_pool2d_backward(pool, x[0], x[1], x[2], out[0].reborrow())
            })
            .expect(move |x, _| {
                let mut grad = vec![0.0; x[0].len()];
                for ((taps, largest), grad_out) in windows(&pool).into_iter().zip(&x[1]).zip(&x[2])
                {
                    if let Some(&first) = taps.iter().find(|&&at| x[0][at] == *largest) {
                        grad[first] = *grad_out;
                    }
                }
                vec![grad.into_iter().map(Expected::exact).collect()]
            })
    };
    pools().map(case).collect()
}

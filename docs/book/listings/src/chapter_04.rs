//! Chapter 4: the matrix product, from three loops to a blocked kernel.

use std::hint::black_box;
use std::time::Instant;

use rung_autograd::Tensor;
use rung_autograd::rng::{Address, uniform_at};

use crate::{Result, cpu};

/// A function that adds left · right to out; all are square, of `n` rows.
type Product = fn(n: usize, left: &[f32], right: &[f32], out: &mut [f32]);

// ANCHOR: naive
/// The definition: out[i, j] is row i of left times column j of right.
fn by_definition(n: usize, left: &[f32], right: &[f32], out: &mut [f32]) {
    for i in 0..n {
        for j in 0..n {
            let mut sum = 0.0;
            for l in 0..n {
                sum += left[i * n + l] * right[l * n + j];
            }
            out[i * n + j] += sum;
        }
    }
}
// ANCHOR_END: naive

// ANCHOR: reordered
/// The same products with the inner two loops exchanged: all memory is read along rows.
fn by_rows(n: usize, left: &[f32], right: &[f32], out: &mut [f32]) {
    for (left_row, out_row) in left.chunks_exact(n).zip(out.chunks_exact_mut(n)) {
        for (&a, right_row) in left_row.iter().zip(right.chunks_exact(n)) {
            for (sum, &b) in out_row.iter_mut().zip(right_row) {
                *sum += a * b;
            }
        }
    }
}
// ANCHOR_END: reordered

// ANCHOR: tile
/// Rows and columns of the tile of results that is kept in registers.
const ROWS: usize = 4;
const COLUMNS: usize = 8;

/// A tile of results, [ROWS, COLUMNS], from packed strips of the operands.
///
/// `left` holds ROWS numbers for each l, `right` COLUMNS: both are read from start to end.
fn tile(left: &[f32], right: &[f32]) -> [[f32; COLUMNS]; ROWS] {
    let mut sums = [[0.0; COLUMNS]; ROWS];
    // Arrays, not slices: their lengths are known, so that the loops over them are unrolled.
    let (left, right) = (left.as_chunks::<ROWS>().0, right.as_chunks::<COLUMNS>().0);
    for (left, right) in left.iter().zip(right) {
        for (sums, &a) in sums.iter_mut().zip(left) {
            for (sum, &b) in sums.iter_mut().zip(right) {
                *sum += a * b;
            }
        }
    }
    sums
}
// ANCHOR_END: tile

// ANCHOR: blocked
/// Numbers of the inner dimension that are worked through before the next block begins.
const DEPTH: usize = 256;

/// Blocks of the inner dimension, strips of columns, tiles of rows. Any n will do: strips at the
/// edges are filled with zeros.
fn by_blocks(n: usize, left: &[f32], right: &[f32], out: &mut [f32]) {
    let mut packed_left = vec![0.0; n.div_ceil(ROWS) * ROWS * DEPTH];
    let mut packed_right = vec![0.0; COLUMNS * DEPTH];
    for start in (0..n).step_by(DEPTH) {
        let depth = DEPTH.min(n - start);
        // Pack left: for each strip of ROWS rows, column after column.
        for (strip, packed) in packed_left.chunks_exact_mut(ROWS * DEPTH).enumerate() {
            for l in 0..depth {
                for row in 0..ROWS {
                    let i = strip * ROWS + row;
                    packed[l * ROWS + row] = if i < n { left[i * n + start + l] } else { 0.0 };
                }
            }
        }
        for j in (0..n).step_by(COLUMNS) {
            let width = COLUMNS.min(n - j);
            // Pack a strip of right: row after row.
            for (l, packed) in packed_right.chunks_exact_mut(COLUMNS).take(depth).enumerate() {
                packed.fill(0.0);
                let row = (start + l) * n + j;
                packed[..width].copy_from_slice(&right[row..row + width]);
            }
            for (strip, packed) in packed_left.chunks_exact(ROWS * DEPTH).enumerate() {
                let sums = tile(&packed[..ROWS * depth], &packed_right[..COLUMNS * depth]);
                for (row, sums) in sums.iter().enumerate().take(n.saturating_sub(strip * ROWS)) {
                    let at = (strip * ROWS + row) * n + j;
                    for (out, sum) in out[at..at + width].iter_mut().zip(sums) {
                        *out += sum;
                    }
                }
            }
        }
    }
}
// ANCHOR_END: blocked

// ANCHOR: measure
/// Random square matrices of `n` rows.
fn operands(n: usize) -> [Vec<f32>; 2] {
    [0, 1].map(|stream| {
        let address = Address::new(1, stream, 0);
        (0..n * n).map(|element| uniform_at(&address, element) as f32 - 0.5).collect()
    })
}

/// The least time of some runs, in seconds: what disturbs a run makes it slower, never faster.
fn least(mut run: impl FnMut()) -> f64 {
    let time = |run: &mut dyn FnMut()| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64()
    };
    (0..5).map(|_| time(&mut run)).fold(f64::INFINITY, f64::min)
}

/// Prints how many floating-point operations a second each version does.
pub fn speed() -> Result<()> {
    const N: usize = 384;
    let [left, right] = operands(N);
    let operations = 2.0 * (N as f64).powi(3);
    let versions: [(&str, Product); 3] =
        [("definition", by_definition), ("rows", by_rows), ("blocks", by_blocks)];
    for (name, product) in versions {
        let mut out = vec![0.0; N * N];
        let seconds = least(|| product(N, black_box(&left), black_box(&right), &mut out));
        println!("{name:12} {:6.2} GFLOP/s", operations / seconds / 1e9);
    }
    let tensor = |values| Tensor::from_f32(&cpu(), values, [N, N]);
    let (left, right) = (tensor(&left)?, tensor(&right)?);
    let seconds = least(|| {
        black_box(left.matmul(&right).and_then(|out| out.to_f32())).ok();
    });
    println!("{:12} {:6.2} GFLOP/s (all threads)", "Rung", operations / seconds / 1e9);
    Ok(())
}
// ANCHOR_END: measure

// ANCHOR: traffic
/// Prints how many numbers are read from beyond the registers for each multiply-add.
pub fn traffic() -> Result<()> {
    println!("by rows     {:.3}", (2.0 + 1.0) / 1.0); // right, out read and written
    for (rows, columns) in [(2, 4), (4, 8), (6, 16), (12, 32)] {
        // A column of the left strip and a row of the right one feed the whole tile.
        let read = (rows + columns) as f64 / (rows * columns) as f64;
        println!(
            "tile {rows:2}×{columns:<2}  {read:.3}, with {} results in registers",
            rows * columns
        );
    }
    Ok(())
}
// ANCHOR_END: traffic

// ANCHOR: order
/// Prints the sum of 1/1 to 1/100,000 in f32, added up in different orders, and in f64.
pub fn order() -> Result<()> {
    let terms: Vec<f32> = (1..=100_000).map(|n| 1.0 / n as f32).collect();
    let forward: f32 = terms.iter().sum();
    let backward: f32 = terms.iter().rev().sum();
    let in_blocks: f32 = terms.chunks(256).map(|block| block.iter().sum::<f32>()).sum();
    let exact: f64 = terms.iter().map(|&term| f64::from(term)).sum();
    println!("first to last {forward:.5}, last to first {backward:.5}, in blocks {in_blocks:.5}");
    println!("in f64        {exact:.5}");
    Ok(())
}
// ANCHOR_END: order

/// Whether a result of Rung has the accuracy that f32 allows: for tests.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_versions_agree_with_the_library_at_odd_sizes() {
        for n in [1, 3, 4, 16, 17, 61, 257, 300] {
            let [left, right] = operands(n);
            let tensor = |values: &[f32]| {
                let wide: Vec<f64> = values.iter().map(|&v| f64::from(v)).collect();
                Tensor::from_f64(&cpu(), &wide, [n, n]).unwrap()
            };
            let exact = tensor(&left).matmul(&tensor(&right)).unwrap();
            let exact = exact.to_f64().unwrap();
            for product in [by_definition as Product, by_rows, by_blocks] {
                let mut out = vec![0.0; n * n];
                product(n, &left, &right, &mut out);
                let worst = out
                    .iter()
                    .zip(&exact)
                    .map(|(out, exact)| (f64::from(*out) - exact).abs())
                    .fold(0.0, f64::max);
                assert!(worst < 1e-6 * n as f64, "{n}: {worst}");
            }
        }
    }
}

//! Parity cases of the matrix products.

use super::case::{Case, Draw, Expected, sum_factor};
use crate::{MatmulShape, Precision};

/// Rows, columns, inner: empty ones, vectors, primes, blocks and their edges.
const SIZES: [[usize; 3]; 14] = [
    [1, 1, 1],
    [0, 3, 2],
    [3, 0, 2],
    [3, 5, 0],
    [1, 257, 31],
    [257, 1, 31],
    [7, 11, 13],
    [64, 64, 64],
    [65, 63, 129],
    [67, 131, 300],
    [3, 5, 1031],
    [101, 512, 20],
    [100, 30, 784],
    [300, 200, 17],
];

pub(super) fn shapes() -> impl Iterator<Item = MatmulShape> {
    let flags = [(false, false), (false, true), (true, false), (true, true)];
    SIZES.into_iter().flat_map(move |[rows, columns, inner]| {
        flags.map(|(left_transposed, right_transposed)| MatmulShape {
            rows,
            columns,
            inner,
            left_transposed,
            right_transposed,
        })
    })
}

/// Σ_p op(left)[i, p] · op(right)[p, j] + start.
pub(super) fn product(
    shape: MatmulShape,
    left: &[f64],
    right: &[f64],
    start: impl Fn(usize, usize) -> f64,
) -> Vec<Expected> {
    let MatmulShape { rows, columns, inner, left_transposed, right_transposed } = shape;
    let mut out = Vec::with_capacity(rows * columns);
    for i in 0..rows {
        for j in 0..columns {
            let term = |p: usize| {
                let l = left[if left_transposed { p * rows + i } else { i * inner + p }];
                let r = right[if right_transposed { j * inner + p } else { p * columns + j }];
                l * r
            };
            let start = start(i, j);
            let value = start + (0..inner).map(term).sum::<f64>();
            let magnitude = start.abs() + (0..inner).map(|p| term(p).abs()).sum::<f64>();
            out.push(Expected { value, scale: sum_factor(inner) * magnitude });
        }
    }
    out
}

pub(super) fn matmul(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (i, shape) in shapes().enumerate() {
        let case = Case::new(format!("{shape:?}, bias {}", i % 3 != 0))
            .float(draw.normal(shape.left_len()))
            .float(draw.normal(shape.right_len()));
        let case = if i % 3 == 0 { case } else { case.float(draw.normal(shape.columns)) };
        cases.push(
            case.output(shape.out_len())
                .call(move |device, x, out| {
                    device.matmul(
                        shape,
                        Precision::Full,
                        x[0],
                        x[1],
                        x.get(2).copied(),
                        out[0].reborrow(),
                    )
                })
                .expect(move |x, _| {
                    vec![product(shape, &x[0], &x[1], |_, j| x.get(2).map_or(0.0, |bias| bias[j]))]
                }),
        );
    }
    cases
}

pub(super) fn matmul_accumulate(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for shape in shapes() {
        cases.push(
            Case::new(format!("{shape:?}"))
                .float(draw.normal(shape.left_len()))
                .float(draw.normal(shape.right_len()))
                .in_place(draw.normal(shape.out_len()))
                .call(move |device, x, out| {
                    device.matmul_accumulate(shape, Precision::Full, x[0], x[1], out[0].reborrow())
                })
                .expect(move |x, out| {
                    vec![product(shape, &x[0], &x[1], |i, j| out[0][i * shape.columns + j])]
                }),
        );
    }
    cases
}

//! Parity cases of rows moved about.

use super::case::{Case, Draw, Expected, MATRICES, sum_factor};
use crate::backend::Matrix;
use crate::{Block, DType};

pub(super) fn exact(values: impl IntoIterator<Item = f64>) -> Vec<Expected> {
    values.into_iter().map(Expected::exact).collect()
}

pub(super) fn copy_block(draw: &mut Draw) -> Vec<Case> {
    let block = |[rows, width, from_stride, from_offset, to_stride, to_offset]: [usize; 6]| Block {
        rows,
        width,
        from_stride,
        from_offset,
        to_stride,
        to_offset,
    };
    // Whole, a slice, a column, into the middle, one row repeated, nothing at all.
    let blocks = [
        [1, 257, 257, 0, 257, 0],
        [67, 131, 300, 17, 131, 0],
        [67, 131, 131, 0, 300, 150],
        [1031, 1, 7, 3, 5, 4],
        [5, 64, 64, 64, 100, 3],
        [4, 7, 0, 2, 7, 1],
        [0, 3, 3, 0, 3, 0],
        [3, 0, 3, 0, 3, 0],
        [260, 300, 400, 50, 350, 25],
    ];
    let mut cases = Vec::new();
    for block in blocks.map(block) {
        let reach = |stride: usize, offset: usize| {
            offset + block.rows.saturating_sub(1) * stride + block.width + 2
        };
        cases.push(
            Case::new(format!("{block:?}"))
                .float(draw.normal(reach(block.from_stride, block.from_offset)))
                .in_place(draw.normal(reach(block.to_stride, block.to_offset)))
                .call(move |device, x, out| device.copy_block(block, x[0], out[0].reborrow()))
                .expect(move |x, out| {
                    let mut out = out[0].clone();
                    for r in 0..block.rows {
                        for c in 0..block.width {
                            out[r * block.to_stride + block.to_offset + c] =
                                x[0][r * block.from_stride + block.from_offset + c];
                        }
                    }
                    vec![exact(out)]
                }),
        );
    }
    cases
}

pub(super) fn transpose(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (batch, (rows, columns)) in
        MATRICES.into_iter().enumerate().map(|(i, matrix)| ([1, 3, 2][i % 3], matrix))
    {
        cases.push(
            Case::new(format!("{batch} of {rows} by {columns}"))
                .float(draw.normal(batch * rows * columns))
                .output(batch * rows * columns)
                .call(move |device, x, out| {
                    device.transpose(batch, Matrix { rows, columns }, x[0], out[0].reborrow())
                })
                .expect(move |x, _| {
                    let mut out = vec![0.0; batch * rows * columns];
                    for b in 0..batch {
                        for i in 0..rows {
                            for j in 0..columns {
                                out[(b * columns + j) * rows + i] =
                                    x[0][(b * rows + i) * columns + j];
                            }
                        }
                    }
                    vec![exact(out)]
                }),
        );
    }
    cases
}

/// Rows of the source, rows gathered, columns.
pub(super) const GATHERS: [(usize, usize, usize); 8] = [
    (1, 1, 1),
    (5, 0, 3),
    (7, 64, 1),
    (3, 11, 257),
    (300, 67, 131),
    (60, 1031, 7),
    (1000, 100, 784),
    (2, 300, 64),
];

pub(super) fn gather_rows(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (source, rows, columns) in GATHERS {
        cases.push(
            Case::new(format!("{rows} of {source} rows, {columns} columns"))
                .float(draw.normal(source * columns))
                .typed(DType::U32, draw.integers(source, rows))
                .output(rows * columns)
                .call(move |device, x, out| {
                    device.gather_rows(columns, x[0], x[1], out[0].reborrow())
                })
                .expect(move |x, _| {
                    vec![exact(
                        (0..rows * columns)
                            .map(|i| x[0][x[1][i / columns] as usize * columns + i % columns]),
                    )]
                }),
        );
    }
    cases
}

pub(super) fn gather_rows_backward(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (source, rows, columns) in GATHERS {
        cases.push(
            Case::new(format!("{rows} of {source} rows, {columns} columns"))
                .typed(DType::U32, draw.integers(source, rows))
                .float(draw.normal(rows * columns))
                .output(source * columns)
                .call(move |device, x, out| {
                    device.gather_rows_backward(columns, x[0], x[1], out[0].reborrow())
                })
                .expect(move |x, _| {
                    let mut sums = vec![(0.0, 0.0, 0); source * columns];
                    for (i, &g) in x[1].iter().enumerate() {
                        let (sum, magnitude, count) =
                            &mut sums[x[0][i / columns] as usize * columns + i % columns];
                        *sum += g;
                        *magnitude += f64::abs(g);
                        *count += 1;
                    }
                    vec![
                        sums.into_iter()
                            .map(|(value, magnitude, n)| Expected {
                                value,
                                scale: sum_factor(n) * magnitude,
                            })
                            .collect(),
                    ]
                }),
        );
    }
    cases
}

pub(super) fn repeat_rows(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for ((rows, columns), times) in
        MATRICES.into_iter().flat_map(|matrix| [(matrix, 1), (matrix, 3)])
    {
        cases.push(
            Case::new(format!("{rows} by {columns}, {times} times"))
                .float(draw.normal(rows * columns))
                .output(rows * times * columns)
                .call(move |device, x, out| {
                    device.repeat_rows(Matrix { rows, columns }, times, x[0], out[0].reborrow())
                })
                .expect(move |x, _| {
                    vec![exact(
                        (0..rows * times * columns)
                            .map(|i| x[0][i / columns / times * columns + i % columns]),
                    )]
                }),
        );
    }
    cases
}

//! Parity cases of the primitives that move, convert and gather.

use super::Primitive;
use super::case::{Case, Draw, Expected, LENGTHS, MATRICES, sum_factor};
use crate::backend::{Matrix, PixelMap};
use crate::rng::uniform_at;
use crate::{Block, DType};

pub(super) static PRIMITIVES: [Primitive; 8] = [
    Primitive { name: "fill", cases: fill },
    Primitive { name: "convert", cases: convert },
    Primitive { name: "copy_block", cases: copy_block },
    Primitive { name: "transpose", cases: transpose },
    Primitive { name: "gather_rows", cases: gather_rows },
    Primitive { name: "gather_rows_backward", cases: gather_rows_backward },
    Primitive { name: "repeat_rows", cases: repeat_rows },
    Primitive { name: "gather_pixels", cases: gather_pixels },
];

fn exact(values: impl IntoIterator<Item = f64>) -> Vec<Expected> {
    values.into_iter().map(Expected::exact).collect()
}

fn fill(_: &mut Draw) -> Vec<Case> {
    let case = |(len, value): (usize, f64)| {
        Case::new(format!("length {len}, value {value}"))
            .output(len)
            .call(move |device, _, out| device.fill(value, out[0].reborrow()))
            .expect(move |_, _| vec![exact(vec![value; len])])
    };
    LENGTHS.iter().flat_map(|&len| [(len, 0.0), (len, -0.1), (len, f64::NEG_INFINITY)]).map(case).collect()
}

fn convert(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for len in LENGTHS {
        for to in [DType::F32, DType::F64, DType::U8, DType::U32] {
            let high = if to == DType::U8 { 256.0 } else { 4_294_967_295.0 };
            let saturated = move |x: f64| {
                if to.is_float() { x } else { x.trunc().clamp(0.0, high - if to == DType::U8 { 1.0 } else { 0.0 }) }
            };
            let mut from_float = draw.uniform(-40.0, 300.0, len);
            from_float.iter_mut().step_by(5).for_each(|x| *x *= 1e8);
            let from = |x: Case| {
                x.typed_output(to, len)
                    .call(move |device, x, out| device.convert(x[0], out[0].reborrow()))
                    .expect(move |x, _| vec![exact(x[0].iter().map(|&x| saturated(x)))])
            };
            cases.push(from(Case::new(format!("float to {to}, length {len}")).float(from_float)));
            cases.push(from(Case::new(format!("u8 to {to}, length {len}")).typed(DType::U8, draw.integers(256, len))));
            cases.push(from(
                Case::new(format!("u32 to {to}, length {len}")).typed(DType::U32, draw.integers(1 << 32, len)),
            ));
        }
    }
    cases
}

fn copy_block(draw: &mut Draw) -> Vec<Case> {
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
        let reach = |stride: usize, offset: usize| offset + block.rows.saturating_sub(1) * stride + block.width + 2;
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

fn transpose(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (batch, (rows, columns)) in MATRICES.into_iter().enumerate().map(|(i, matrix)| ([1, 3, 2][i % 3], matrix)) {
        cases.push(
            Case::new(format!("{batch} of {rows} by {columns}"))
                .float(draw.normal(batch * rows * columns))
                .output(batch * rows * columns)
                .call(move |device, x, out| device.transpose(batch, Matrix { rows, columns }, x[0], out[0].reborrow()))
                .expect(move |x, _| {
                    let mut out = vec![0.0; batch * rows * columns];
                    for b in 0..batch {
                        for i in 0..rows {
                            for j in 0..columns {
                                out[(b * columns + j) * rows + i] = x[0][(b * rows + i) * columns + j];
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
const GATHERS: [(usize, usize, usize); 8] =
    [(1, 1, 1), (5, 0, 3), (7, 64, 1), (3, 11, 257), (300, 67, 131), (60, 1031, 7), (1000, 100, 784), (2, 300, 64)];

fn gather_rows(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (source, rows, columns) in GATHERS {
        cases.push(
            Case::new(format!("{rows} of {source} rows, {columns} columns"))
                .float(draw.normal(source * columns))
                .typed(DType::U32, draw.integers(source, rows))
                .output(rows * columns)
                .call(move |device, x, out| device.gather_rows(columns, x[0], x[1], out[0].reborrow()))
                .expect(move |x, _| {
                    vec![exact((0..rows * columns).map(|i| x[0][x[1][i / columns] as usize * columns + i % columns]))]
                }),
        );
    }
    cases
}

fn gather_rows_backward(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (source, rows, columns) in GATHERS {
        cases.push(
            Case::new(format!("{rows} of {source} rows, {columns} columns"))
                .typed(DType::U32, draw.integers(source, rows))
                .float(draw.normal(rows * columns))
                .output(source * columns)
                .call(move |device, x, out| device.gather_rows_backward(columns, x[0], x[1], out[0].reborrow()))
                .expect(move |x, _| {
                    let mut sums = vec![(0.0, 0.0, 0); source * columns];
                    for (i, &g) in x[1].iter().enumerate() {
                        let (sum, magnitude, count) = &mut sums[x[0][i / columns] as usize * columns + i % columns];
                        *sum += g;
                        *magnitude += f64::abs(g);
                        *count += 1;
                    }
                    vec![
                        sums.into_iter()
                            .map(|(value, magnitude, n)| Expected { value, scale: sum_factor(n) * magnitude })
                            .collect(),
                    ]
                }),
        );
    }
    cases
}

fn repeat_rows(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for ((rows, columns), times) in MATRICES.into_iter().flat_map(|matrix| [(matrix, 1), (matrix, 3)]) {
        cases.push(
            Case::new(format!("{rows} by {columns}, {times} times"))
                .float(draw.normal(rows * columns))
                .output(rows * times * columns)
                .call(move |device, x, out| {
                    device.repeat_rows(Matrix { rows, columns }, times, x[0], out[0].reborrow())
                })
                .expect(move |x, _| {
                    vec![exact((0..rows * times * columns).map(|i| x[0][i / columns / times * columns + i % columns]))]
                }),
        );
    }
    cases
}

/// The formula of `Backend::gather_pixels` for one pixel; `element` is its place in the data set.
fn pixel_value(map: PixelMap, is_u8: bool, pixel: f64, element: usize) -> Expected {
    let truth = |holds: bool| Expected::exact(f64::from(u8::from(holds)));
    match map {
        PixelMap::Scale(factor) => Expected::ulps(pixel * factor, 2.0),
        PixelMap::Threshold(factor) => truth(pixel * factor >= 0.5),
        PixelMap::Bernoulli(address) => {
            let two_32 = 2f64.powi(32);
            let limit = if is_u8 { (pixel * two_32 / 255.0).round() } else { pixel * two_32 };
            truth(f64::from(address.word(element)) < limit)
        }
        PixelMap::Dequantise(address, factor) => {
            let value = (pixel + uniform_at(&address, element)) * factor;
            Expected { value, scale: 4.0 * (pixel + 1.0) * factor.abs() }
        }
    }
}

fn gather_pixels(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (source, rows, columns) in GATHERS {
        for kind in 0..8 {
            let (is_u8, top) = (kind % 2 == 0, if kind % 2 == 0 { 255.0 } else { 1.0 });
            let map = [
                PixelMap::Scale(1.0 / top),
                PixelMap::Threshold(1.0 / top),
                PixelMap::Bernoulli(draw.address()),
                PixelMap::Dequantise(draw.address(), 1.0 / (top + 1.0)),
            ][kind / 2];
            let case = Case::new(format!("{map:?}, u8 {is_u8}, {rows} of {source} rows, {columns} columns"));
            let case = if is_u8 {
                case.typed(DType::U8, draw.integers(256, source * columns))
            } else {
                let edge = |x: f64| if x < 0.0 { 0.0 } else { x.min(1.0) };
                case.float(draw.uniform(-0.2, 1.2, source * columns).into_iter().map(edge).collect())
            };
            cases.push(
                case.typed(DType::U32, draw.integers(source, rows))
                    .output(rows * columns)
                    .call(move |device, x, out| device.gather_pixels(map, columns, x[0], x[1], out[0].reborrow()))
                    .expect(move |x, _| {
                        let place = |i: usize| x[1][i / columns] as usize * columns + i % columns;
                        vec![(0..rows * columns).map(|i| pixel_value(map, is_u8, x[0][place(i)], place(i))).collect()]
                    }),
            );
        }
    }
    cases
}

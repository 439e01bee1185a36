//! Parity cases of gathering pixels.

use super::case::{Case, Draw, Expected};
use super::rows::GATHERS;
use crate::DType;
use crate::backend::PixelMap;
use crate::rng::uniform_at;

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

pub(super) fn gather_pixels(draw: &mut Draw) -> Vec<Case> {
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
            let case = Case::new(format!(
                "{map:?}, u8 {is_u8}, {rows} of {source} rows, {columns} columns"
            ));
            let case = if is_u8 {
                case.typed(DType::U8, draw.integers(256, source * columns))
            } else {
                let edge = |x: f64| if x < 0.0 { 0.0 } else { x.min(1.0) };
                case.float(
                    draw.uniform(-0.2, 1.2, source * columns).into_iter().map(edge).collect(),
                )
            };
            cases.push(
                case.typed(DType::U32, draw.integers(source, rows))
                    .output(rows * columns)
                    .call(move |device, x, out| {
                        device.gather_pixels(map, columns, x[0], x[1], out[0].reborrow())
                    })
                    .expect(move |x, _| {
                        let place = |i: usize| x[1][i / columns] as usize * columns + i % columns;
                        vec![
                            (0..rows * columns)
                                .map(|i| pixel_value(map, is_u8, x[0][place(i)], place(i)))
                                .collect(),
                        ]
                    }),
            );
        }
    }
    cases
}

//! Parity cases of the primitives that fill and convert.

use super::case::{Case, Draw, LENGTHS};
use super::rows::exact;
use crate::DType;

pub(super) fn fill(_: &mut Draw) -> Vec<Case> {
    let case = |(len, value): (usize, f64)| {
        Case::new(format!("length {len}, value {value}"))
            .output(len)
            .call(move |device, _, out| device.fill(value, out[0].reborrow()))
            .expect(move |_, _| vec![exact(vec![value; len])])
    };
    LENGTHS
        .iter()
        .flat_map(|&len| [(len, 0.0), (len, -0.1), (len, f64::NEG_INFINITY)])
        .map(case)
        .collect()
}

pub(super) fn convert(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for len in LENGTHS {
        for to in [DType::F32, DType::F64, DType::U8, DType::U32] {
            let high = if to == DType::U8 { 256.0 } else { 4_294_967_295.0 };
            let saturated = move |x: f64| {
                if to.is_float() {
                    x
                } else {
                    x.trunc().clamp(0.0, high - if to == DType::U8 { 1.0 } else { 0.0 })
                }
            };
            let mut from_float = draw.uniform(-40.0, 300.0, len);
            from_float.iter_mut().step_by(5).for_each(|x| *x *= 1e8);
            let from = |x: Case| {
                x.typed_output(to, len)
                    .call(move |device, x, out| device.convert(x[0], out[0].reborrow()))
                    .expect(move |x, _| vec![exact(x[0].iter().map(|&x| saturated(x)))])
            };
            cases.push(from(Case::new(format!("float to {to}, length {len}")).float(from_float)));
            cases.push(from(
                Case::new(format!("u8 to {to}, length {len}"))
                    .typed(DType::U8, draw.integers(256, len)),
            ));
            cases.push(from(
                Case::new(format!("u32 to {to}, length {len}"))
                    .typed(DType::U32, draw.integers(1 << 32, len)),
            ));
        }
    }
    cases
}

//! Parity cases of the random numbers: the words are identical everywhere, the floats within a
//! bound of the f64 formula.

use super::case::{Case, Draw, Expected, LENGTHS};
use crate::backend::RowNoise;
use crate::rng::{Address, normal_at, uniform_at};

const TWO_32: f64 = 4_294_967_296.0;

pub(super) fn fill_uniform(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for len in LENGTHS {
        let address = draw.address();
        cases.push(
            Case::new(format!("{address:?}, length {len}"))
                .output(len)
                .call(move |device, _, out| device.fill_uniform(address, out[0].reborrow()))
                .expect(move |_, _| {
                    vec![
                        (0..len)
                            .map(|i| Expected { value: uniform_at(&address, i), scale: 1.0 })
                            .collect(),
                    ]
                }),
        );
    }
    cases
}

pub(super) fn fill_normal(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for len in LENGTHS {
        let address = draw.address();
        cases.push(
            Case::new(format!("{address:?}, length {len}"))
                .output(len)
                .call(move |device, _, out| device.fill_normal(address, out[0].reborrow()))
                .expect(move |_, _| vec![(0..len).map(|i| normal(&address, i)).collect()]),
        );
    }
    cases
}

/// Where the angle is near a multiple of π/2, the error is absolute: that of the angle (4 ε) times
/// the radius (at most 6.8).
fn normal(address: &Address, element: usize) -> Expected {
    let value = normal_at(address, element);
    Expected { value, scale: 8.0 * value.abs() + 28.0 }
}

pub(super) fn fill_normal_rows(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (examples, samples, columns) in
        [(0, 1, 3), (1, 1, 1), (3, 2, 5), (2, 7, 16), (5, 3, 67), (41, 13, 4)]
    {
        // Some steps carry from the lower word to the upper one.
        let address =
            Address { step: draw.address().step + u64::from(u32::MAX) - 1, ..draw.address() };
        let noise = RowNoise { address, columns, samples, first_sample: 3 * columns };
        cases.push(
            Case::new(format!("{noise:?}, {examples} examples"))
                .output(examples * samples * columns)
                .call(move |device, _, out| device.fill_normal_rows(noise, out[0].reborrow()))
                .expect(move |_, _| {
                    let value = |i: usize| {
                        let (row, column) = (i / columns, i % columns);
                        let (example, sample) = (row / samples, row % samples + noise.first_sample);
                        let address = Address { step: address.step + example as u64, ..address };
                        normal(&address, sample * columns.next_multiple_of(4) + column)
                    };
                    vec![(0..examples * samples * columns).map(value).collect()]
                }),
        );
    }
    cases
}

pub(super) fn bernoulli(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for len in LENGTHS {
        let address = draw.address();
        // Some probabilities are 0 and 1.
        let x = draw
            .uniform(-0.2, 1.2, len)
            .into_iter()
            .map(|x| if x < 0.0 { 0.0 } else { x.min(1.0) })
            .collect();
        cases.push(
            Case::new(format!("{address:?}, length {len}"))
                .float(x)
                .output(len)
                .call(move |device, x, out| device.bernoulli(address, x[0], out[0].reborrow()))
                .expect(move |x, _| {
                    let draw = |(i, &x): (usize, &f64)| {
                        Expected::exact(f64::from(u8::from(
                            f64::from(address.word(i)) < x * TWO_32,
                        )))
                    };
                    vec![x[0].iter().enumerate().map(draw).collect()]
                }),
        );
    }
    cases
}

pub(super) fn dropout(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (len, rate) in LENGTHS.into_iter().flat_map(|len| [(len, 0.0), (len, 0.3)]) {
        let address = draw.address();
        cases.push(
            Case::new(format!("{address:?}, rate {rate}, length {len}"))
                .float(draw.normal(len))
                .output(len)
                .call(move |device, x, out| device.dropout(address, rate, x[0], out[0].reborrow()))
                .expect(move |x, _| {
                    let is_kept = |i: usize| f64::from(address.word(i)) >= rate * TWO_32;
                    let element = |(i, &x): (usize, &f64)| {
                        if is_kept(i) {
                            Expected::ulps(x / (1.0 - rate), 3.0)
                        } else {
                            Expected::exact(0.0)
                        }
                    };
                    vec![x[0].iter().enumerate().map(element).collect()]
                }),
        );
    }
    cases
}

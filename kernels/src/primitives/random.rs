//! Parity cases of the random numbers: the words are identical everywhere, the floats within a bound of the f64 formula.

use super::Primitive;
use super::case::{Case, Draw, Expected, LENGTHS};
use crate::rng::{normal_at, uniform_at};

pub(super) static PRIMITIVES: [Primitive; 4] = [
    Primitive { name: "fill_uniform", cases: fill_uniform },
    Primitive { name: "fill_normal", cases: fill_normal },
    Primitive { name: "bernoulli", cases: bernoulli },
    Primitive { name: "dropout", cases: dropout },
];

const TWO_32: f64 = 4_294_967_296.0;

fn fill_uniform(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for len in LENGTHS {
        let address = draw.address();
        cases.push(
            Case::new(format!("{address:?}, length {len}"))
                .output(len)
                .call(move |device, _, out| device.fill_uniform(address, out[0].reborrow()))
                .expect(move |_, _| {
                    vec![(0..len).map(|i| Expected { value: uniform_at(&address, i), scale: 1.0 }).collect()]
                }),
        );
    }
    cases
}

fn fill_normal(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for len in LENGTHS {
        let address = draw.address();
        cases.push(
            Case::new(format!("{address:?}, length {len}"))
                .output(len)
                .call(move |device, _, out| device.fill_normal(address, out[0].reborrow()))
                // Where the angle is near a multiple of π/2, the error is absolute: that of the angle (4 ε) times the radius (at most 6.8).
                .expect(move |_, _| {
                    let value = |i: usize| normal_at(&address, i);
                    vec![(0..len).map(|i| Expected { value: value(i), scale: 8.0 * value(i).abs() + 28.0 }).collect()]
                }),
        );
    }
    cases
}

fn bernoulli(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for len in LENGTHS {
        let address = draw.address();
        // Some probabilities are 0 and 1.
        let x = draw.uniform(-0.2, 1.2, len).into_iter().map(|x| if x < 0.0 { 0.0 } else { x.min(1.0) }).collect();
        cases.push(
            Case::new(format!("{address:?}, length {len}"))
                .float(x)
                .output(len)
                .call(move |device, x, out| device.bernoulli(address, x[0], out[0].reborrow()))
                .expect(move |x, _| {
                    let draw = |(i, &x): (usize, &f64)| {
                        Expected::exact(f64::from(u8::from(f64::from(address.word(i)) < x * TWO_32)))
                    };
                    vec![x[0].iter().enumerate().map(draw).collect()]
                }),
        );
    }
    cases
}

fn dropout(draw: &mut Draw) -> Vec<Case> {
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
                        if is_kept(i) { Expected::ulps(x / (1.0 - rate), 3.0) } else { Expected::exact(0.0) }
                    };
                    vec![x[0].iter().enumerate().map(element).collect()]
                }),
        );
    }
    cases
}

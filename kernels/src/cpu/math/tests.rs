//! Errors against f64, special values, and equal bits on every vector unit.

use super::*;
use crate::cpu::simd::{VectorUnit, vectorised_with};
use crate::rng::{self, Address};
use rayon::prelude::*;

type Row = (&'static str, fn(f32) -> f32, fn(f64) -> f64, f64);

/// Name, function, reference in f64, bound in ulp.
const FUNCTIONS: [Row; 9] = [
    ("exp", exp, f64::exp, 1.0),
    ("exp_m1", exp_m1, f64::exp_m1, 1.7),
    ("ln", ln, f64::ln, 0.9),
    ("ln_1p", ln_1p, f64::ln_1p, 0.9),
    ("tanh", tanh, f64::tanh, 1.5),
    ("sin", sin, f64::sin, 1.7),
    ("cos", cos, f64::cos, 1.7),
    (
        "sigmoid",
        sigmoid,
        |x| if x >= 0.0 { 1.0 / (1.0 + (-x).exp()) } else { x.exp() / (1.0 + x.exp()) },
        2.5,
    ),
    ("softplus", softplus, |x| x.max(0.0) + (-x.abs()).exp().ln_1p(), 2.2),
];

/// The distance from `value` to the exact one, in units of the spacing of f32 there.
fn error_ulp(value: f32, exact: f64) -> f64 {
    let rounded = exact as f32;
    if value.to_bits() == rounded.to_bits() || (value.is_nan() && exact.is_nan()) {
        return if rounded.is_finite() {
            (f64::from(value) - exact).abs() / spacing(exact)
        } else {
            0.0
        };
    }
    if value.is_finite() || !exact.is_nan() && exact.abs() > 3.4e38 {
        let value = if value.is_finite() {
            f64::from(value)
        } else {
            f64::from(value.signum()) * 2f64.powi(128)
        };
        return (value - exact).abs() / spacing(exact);
    }
    f64::INFINITY
}

/// Distance between neighbouring f32 at `x`.
fn spacing(x: f64) -> f64 {
    let exponent = ((x.abs().to_bits() >> 52) as i32 - 1023).clamp(-126, 127);
    2f64.powi(exponent - 23)
}

/// Every `stride`-th float: its largest error in ulp and where.
fn worst_error(function: fn(f32) -> f32, reference: fn(f64) -> f64, stride: u32) -> (f64, f32) {
    (0..=u32::MAX / stride)
        .into_par_iter()
        .map(|i| {
            let x = f32::from_bits(i * stride);
            (error_ulp(function(x), reference(f64::from(x))), x)
        })
        .reduce(|| (0.0, 0.0), |a, b| if b.0 > a.0 { b } else { a })
}

/// RUNG_EXHAUSTIVE=1 takes all floats, RUNG_EXHAUSTIVE=n every n-th; without it, a sample.
fn stride() -> u32 {
    std::env::var("RUNG_EXHAUSTIVE").ok().and_then(|text| text.parse().ok()).unwrap_or(4099).max(1)
}

#[test]
fn errors_stay_within_the_stated_bounds() {
    for (name, function, reference, bound) in FUNCTIONS {
        let (error, x) = worst_error(function, reference, stride());
        println!("{name}: {error:.3} ulp at {x:e}");
        assert!(
            error <= bound,
            "{name}({x:e}) = {:e}, {error} ulp from {:e}",
            function(x),
            reference(f64::from(x))
        );
    }
}
/// The reference rounds 2πu to f64, which costs it 10⁻¹⁴ of absolute accuracy where the sine is
/// nearly 0.
#[test]
fn normals_agree_with_the_f64_reference() {
    let words: Vec<u32> = (0..64)
        .chain((0..64).map(|i| !i))
        .chain((0..32).map(|i| 1 << i))
        .chain((0..32).map(|i| !(1 << i)))
        .collect();
    let address = Address::new(11, 3, 1);
    let random = (0..500_000).map(|block| address.words(block));
    let corners = words
        .iter()
        .flat_map(|&a| words.iter().map(move |&b| [a, b, a.rotate_left(7), b.rotate_left(2)]));
    let error = |got: f32, want: f64| ((f64::from(got) - want).abs() - 1e-14) / spacing(want);
    let worst = random
        .chain(corners)
        .flat_map(|words| {
            let (got, want) = (normal_quad(words), rng::normal_quad(words));
            (0..4).map(move |i| (error(got[i], want[i]), words))
        })
        .fold((0.0, [0; 4]), |a, b| if b.0 > a.0 { b } else { a });
    println!("normal_quad: {:.3} ulp at {:x?}", worst.0, worst.1);
    assert!(worst.0 <= 5.0, "{worst:x?}");
}

#[test]
fn uniforms_stay_inside_the_open_interval_and_near_the_reference() {
    for word in [
        0,
        1,
        2,
        77,
        1 << 23,
        1 << 24,
        (1 << 24) + 1,
        1 << 31,
        u32::MAX - 200,
        u32::MAX - 1,
        u32::MAX,
    ] {
        let u = uniform(word);
        assert!(u > 0.0 && u < 1.0, "{word}: {u}");
        assert!(
            (f64::from(u) - rng::uniform_from_word(word)).abs()
                <= spacing(rng::uniform_from_word(word)),
            "{word}"
        );
    }
}

#[test]
fn special_values_are_kept() {
    let (nan, infinity) = (f32::NAN, f32::INFINITY);
    for (name, function, _, _) in FUNCTIONS {
        assert!(function(nan).is_nan(), "{name}(NaN)");
    }
    for (name, function) in
        [("exp_m1", exp_m1 as fn(f32) -> f32), ("ln_1p", ln_1p), ("tanh", tanh), ("sin", sin)]
    {
        assert_eq!(function(-0.0).to_bits(), (-0.0f32).to_bits(), "{name}(-0)");
        assert_eq!(function(0.0).to_bits(), 0, "{name}(0)");
    }
    assert_eq!(
        [exp(infinity), exp(-infinity), exp(0.0), exp_m1(-infinity), exp_m1(infinity)],
        [infinity, 0.0, 1.0, -1.0, infinity]
    );
    assert_eq!(
        [ln(0.0), ln(-0.0), ln(infinity), ln(1.0), ln_1p(-1.0)],
        [-infinity, -infinity, infinity, 0.0, -infinity]
    );
    assert!(
        ln(-1.0).is_nan()
            && ln_1p(-1.5).is_nan()
            && sin(infinity).is_nan()
            && cos(-infinity).is_nan()
    );
    assert_eq!(
        [tanh(infinity), tanh(-infinity), sigmoid(infinity), sigmoid(-infinity), ln_1p(infinity)],
        [1.0, -1.0, 1.0, 0.0, infinity]
    );
    assert_eq!(
        [softplus(infinity), softplus(-infinity), softplus(-20.0)],
        [infinity, 0.0, 2.061_153_6e-9]
    );
}

/// All functions at all floats of a sample, in one loop that each unit vectorises.
fn all_bits(unit: VectorUnit, x: &[f32]) -> Vec<u32> {
    let mut out = vec![0.0f32; x.len()];
    let mut bits = Vec::new();
    macro_rules! run {
        ($($function:path),*) => {$(
            vectorised_with(
                unit,
                #[inline(always)]
                || {
                    out.iter_mut()
                        .zip(x)
                        .for_each(#[inline(always)] |(out, &x)| *out = $function(x))
                },
            );
            let bits_of = |&value: &f32| if value.is_nan() { u32::MAX } else { value.to_bits() };
            bits.extend(out.iter().map(bits_of));
        )*};
    }
    run!(exp, exp_m1, ln, ln_1p, tanh, sin, cos, sigmoid, softplus);
    for (out, x) in out.chunks_exact_mut(4).zip(x.chunks_exact(4)) {
        let words = [x[0].to_bits(), x[1].to_bits(), x[2].to_bits(), x[3].to_bits()];
        vectorised_with(
            unit,
            #[inline(always)]
            || out.copy_from_slice(&normal_quad(words)),
        );
    }
    bits.extend(out.iter().map(|value| value.to_bits()));
    bits
}

#[test]
fn every_vector_unit_gives_the_same_bits() {
    let x: Vec<f32> =
        (0..u32::MAX / 65_537 * 2).map(|i| f32::from_bits(i.wrapping_mul(32_771))).collect();
    let baseline = all_bits(VectorUnit::Baseline, &x);
    for unit in VectorUnit::ALL.into_iter().filter(|unit| unit.is_available()) {
        assert!(all_bits(unit, &x) == baseline, "{unit:?} differs");
    }
}

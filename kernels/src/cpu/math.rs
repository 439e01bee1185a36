//! The functions of f32 that the primitives apply, written so that loops over them vectorise.
//!
//! Each is straight-line code: a range reduction, a polynomial, and selections for the special
//! values. There is no branch, no call, and no fused multiplication, so that every vector unit
//! gives the same bits. The polynomials of `exp`, `ln`, `tanh`, `sin` and `cos` are those of Cephes
//! (Moshier, public since 1984). Denormal arguments and results are handled.
//!
//! Bounds of the error, in units in the last place of the exact value, that
//! `errors_stay_within_the_stated_bounds` asserts (on a sample; `RUNG_EXHAUSTIVE=1` takes all 2³²
//! arguments). Over every 11th float the largest error was about a tenth smaller; that of
//! `normal_quad` is from two million samples and the corners:
//!
//! | function | ulp | function | ulp | function | ulp |
//! |---|---|---|---|---|---|
//! | `exp` | 1.0 | `ln_1p` | 0.9 | `sin`, `cos` | 1.7 |
//! | `exp_m1` | 1.7 | `tanh` | 1.5 | `sigmoid` | 2.5 |
//! | `ln` | 0.9 | `softplus` | 2.2 | `normal_quad` | 5 |
//!
//! Large angles are reduced exactly, and the left tails of sigmoid and softplus keep their digits.
//! That reduction looks two numbers up for each element, which makes `sin` and `cos` half as fast
//! as the standard library; no model is made of them.

use std::f32::consts::{FRAC_PI_2, LOG2_E};

/// Adding 1.5·2²³ and taking it away rounds to an integer, which then lies in the low bits.
const ROUND: f32 = 12_582_912.0;
/// The same for f64: 1.5·2⁵².
const ROUND_F64: f64 = 6_755_399_441_055_744.0;
/// ln 2 in two parts; the first has 9 bits, so that its product with an exponent is exact.
const LN_2_HIGH: f32 = 355.0 / 512.0;
const LN_2_LOW: f32 = -2.121_944_4e-4;
const MANTISSA_BITS: u32 = 23;
/// Bits of √½: mantissas are taken from [√½, √2).
const SQRT_HALF_BITS: u32 = 0x3f35_04f3;

/// Horner's rule, the coefficient of the highest power first.
#[inline(always)]
fn polynomial<const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut sum = coefficients[0];
    for &coefficient in &coefficients[1..] {
        sum = sum * x + coefficient;
    }
    sum
}

/// 2ⁿ for a normal result.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits(((n + 127) << MANTISSA_BITS) as u32)
}

/// x = n·ln 2 + r with |r| ≤ ½ ln 2; gives n and (eʳ − 1 − r)/r², r.
#[inline(always)]
fn reduce_exp(x: f32) -> (i32, f32, f32) {
    let shifted = x * LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
    let tail = polynomial(
        r,
        [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5],
    );
    (shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32, tail, r)
}

#[inline(always)]
fn clamp(x: f32, low: f32, high: f32) -> f32 {
    let x = if x > high { high } else { x };
    if x < low { low } else { x }
}

/// eˣ.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Beyond these, the result is 0 or infinite; NaN passes, since it compares false.
    let (n, tail, r) = reduce_exp(clamp(x, -104.0, 89.0));
    let y = (tail * (r * r) + r) + 1.0;
    // In two steps, since 2ⁿ itself may be denormal or infinite where the product is not.
    let half = n >> 1;
    (y * power_of_two(half)) * power_of_two(n.wrapping_sub(half))
}

/// eˣ − 1.
#[inline(always)]
pub(crate) fn exp_m1(x: f32) -> f32 {
    let (n, tail, r) = reduce_exp(clamp(x, -20.0, 89.0));
    let y = tail * (r * r) + r;
    // 2ⁿ(y + 1) − 1 with 2ⁿ = ab: a·(b·y + (b − 1/a)).
    let half = n >> 1;
    let (a, b) = (power_of_two(half), power_of_two(n.wrapping_sub(half)));
    let value = a * (b * y + (b - power_of_two(half.wrapping_neg())));
    if x == 0.0 { x } else { value }
}

/// ln(1 + f) + e·ln 2 + correction for f in [√½ − 1, √2 − 1].
#[inline(always)]
fn ln_of_parts(f: f32, e: f32, correction: f32) -> f32 {
    let z = f * f;
    let tail = polynomial(
        f,
        [
            7.037_683_6e-2,
            -1.151_461e-1,
            1.167_699_9e-1,
            -1.242_014_1e-1,
            1.424_932_3e-1,
            -1.666_805_8e-1,
            2.000_071_5e-1,
            -2.499_999_4e-1,
            0.333_333_3,
        ],
    );
    let small = (tail * f) * z + (e * LN_2_LOW + correction);
    (f + (small - 0.5 * z)) + e * LN_2_HIGH
}

/// x = m·2ᵉ with m in [√½, √2), for a normal x: e and m.
#[inline(always)]
fn split_exponent(x: f32) -> (i32, f32) {
    let shifted = x.to_bits().wrapping_sub(SQRT_HALF_BITS);
    let mantissa = (shifted & 0x007f_ffff).wrapping_add(SQRT_HALF_BITS);
    ((shifted as i32) >> MANTISSA_BITS, f32::from_bits(mantissa))
}

/// `value`, but −∞, NaN or +∞ where the argument of the logarithm is 0, negative or NaN, or
/// infinite.
#[inline(always)]
fn ln_special_values(argument: f32, value: f32) -> f32 {
    let value = if argument == 0.0 { f32::NEG_INFINITY } else { value };
    let value = if argument == f32::INFINITY { argument } else { value };
    if argument >= 0.0 { value } else { f32::NAN }
}

/// ln x.
#[inline(always)]
pub(crate) fn ln(x: f32) -> f32 {
    let is_denormal = x < f32::MIN_POSITIVE;
    let (e, m) = split_exponent(if is_denormal { x * 8_388_608.0 } else { x });
    let e = e as f32 - if is_denormal { 23.0 } else { 0.0 };
    ln_special_values(x, ln_of_parts(m - 1.0, e, 0.0))
}

/// ln(1 + x).
#[inline(always)]
pub(crate) fn ln_1p(x: f32) -> f32 {
    let u = 1.0 + x;
    let (e, m) = split_exponent(u);
    // What the addition lost, relative to u; without an exponent x itself is the argument and
    // nothing is lost.
    let lost = if x > 1.0 { 1.0 - (u - x) } else { x - (u - 1.0) };
    let (f, correction) = if e == 0 { (x, 0.0) } else { (m - 1.0, lost / u) };
    let value = ln_special_values(u, ln_of_parts(f, e as f32, correction));
    if x == 0.0 { x } else { value }
}

/// tanh x.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let size = x.abs();
    let z = x * x;
    let near =
        polynomial(z, [-5.704_988_7e-3, 0.020_638_91, -5.373_971_6e-2, 0.133_314_42, -0.333_332_8])
            * z
            * size
            + size;
    // From 9.02 on the result is 1; a NaN passes the comparison.
    let doubled = if size > 10.0 { 20.0 } else { size + size };
    let (n, tail, r) = reduce_exp(doubled);
    let far = 1.0 - 2.0 / (((tail * (r * r) + r) + 1.0) * power_of_two(n) + 1.0);
    (if size < 0.625 { near } else { far }).copysign(x)
}

/// 1/(1 + e⁻ˣ).
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    let small = exp(-x.abs());
    let numerator = if x >= 0.0 { 1.0 } else { small };
    numerator / (1.0 + small)
}

/// max(x, 0) + ln(1 + e^−|x|).
#[inline(always)]
pub(crate) fn softplus(x: f32) -> f32 {
    // ln(1 + t) = t − s·(t − R(s²)) with s = t/(2 + t) and R the tail of 2·artanh(s)/s: relative
    // accuracy for every t in [0, 1].
    let t = exp(-x.abs());
    let s = t / (2.0 + t);
    let z = s * s;
    let tail = z * polynomial(z, SOFTPLUS_TAIL);
    let positive = if x > 0.0 { x } else { 0.0 };
    positive + (t - s * (t - tail))
}

/// 2/3 + 2/5·z + 2/7·z² + … on [0, 1/9], by Chebyshev interpolation (error 10⁻⁹).
const SOFTPLUS_TAIL: [f32; 5] =
    [0.232_243_3, 0.217_065_75, 0.285_923_57, 0.399_997_06, 0.666_666_7];

/// The sine and cosine of quarter·π/2 + r, |r| ≤ π/4, by their polynomials.
#[inline(always)]
fn sin_cos_of_parts(quarter: u32, r: f32) -> (f32, f32) {
    let z = r * r;
    let sine = polynomial(z, [-1.951_529_6e-4, 8.332_161e-3, -1.666_665_5e-1]) * z * r + r;
    let cosine = polynomial(z, [2.443_315_7e-5, -1.388_731_6e-3, 4.166_664_6e-2]) * (z * z)
        + (1.0 - 0.5 * z);
    let swap = quarter & 1 == 1;
    let (a, b) = if swap { (cosine, sine) } else { (sine, cosine) };
    let sine_sign = (quarter & 2) << 30;
    let cosine_sign = (quarter.wrapping_add(1) & 2) << 30;
    (f32::from_bits(a.to_bits() ^ sine_sign), f32::from_bits(b.to_bits() ^ cosine_sign))
}

/// x = quarter·π/2 + r with |r| ≤ π/4, quarter mod 4: exact for every float.
///
/// x is an integer m of 24 bits times 2ᵉ, so quarter = m·(2ᵉ·2/π mod 4), and the table has that
/// factor in two parts.
#[inline(always)]
fn reduce_angle(x: f32) -> (u32, f32) {
    let bits = x.to_bits();
    let exponent = (bits >> MANTISSA_BITS) & 0xff;
    let implicit = if exponent == 0 { 0 } else { 1 << MANTISSA_BITS };
    let m = f64::from(((bits & 0x007f_ffff) | implicit) as i32);
    let m = if x < 0.0 { -m } else { m };
    let (high, low) = (m * TURNS_HIGH[exponent as usize], m * TURNS_LOW[exponent as usize]);
    let shifted = (high + low) + ROUND_F64;
    let fraction = (high - (shifted - ROUND_F64)) + low;
    (shifted.to_bits() as u32, (fraction * std::f64::consts::FRAC_PI_2) as f32)
}

/// sin x.
#[inline(always)]
pub(crate) fn sin(x: f32) -> f32 {
    let (quarter, r) = reduce_angle(x);
    let value = sin_cos_of_parts(quarter, r).0;
    if x == 0.0 { x } else { value }
}

/// cos x.
#[inline(always)]
pub(crate) fn cos(x: f32) -> f32 {
    let (quarter, r) = reduce_angle(x);
    sin_cos_of_parts(quarter, r).1
}

/// The first 256 bits of 2/π after the point.
const TWO_OVER_PI: [u32; 8] = [
    0xa2f9_836e,
    0x4e44_1529,
    0xfc27_57d1,
    0xf534_ddc0,
    0xdb62_9599,
    0x3c43_9041,
    0xfe51_63ab,
    0xdebb_c561,
];
/// Bits of the first part of the factor: with the 24 of m they fit an f64.
const HIGH_BITS: usize = 28;

/// 2ᵉ·2/π mod 4 for the exponent that each biased exponent stands for, without its low part.
static TURNS_HIGH: [f64; 256] = turns_table(0, HIGH_BITS);
/// The low part.
static TURNS_LOW: [f64; 256] = turns_table(HIGH_BITS, HIGH_BITS + 60);

/// The bits from..to of each factor, counted from the highest that is kept; NaN for infinities and
/// NaN.
const fn turns_table(from: usize, to: usize) -> [f64; 256] {
    let mut table = [f64::NAN; 256];
    let mut biased = 0;
    while biased < 255 {
        let e = if biased == 0 { 1 } else { biased } as i32 - 150;
        // Bit i of 2/π (from 1) has the weight 2^(e − i) here; weights of 4 and more are whole
        // turns.
        let dropped = if e > 2 { e as usize - 2 } else { 0 };
        let mut bits = 0u64;
        let mut i = dropped + from;
        while i < dropped + to {
            bits = (bits << 1) | (TWO_OVER_PI[i / 32] >> (31 - i % 32) & 1) as u64;
            i += 1;
        }
        let weight = e - (dropped + to) as i32;
        table[biased] = bits as f64 * f64::from_bits(((weight + 1023) as u64) << 52);
        biased += 1;
    }
    table
}

/// The uniform sample of a word: (word + ½)/2³² within one ulp, and below 1.
#[inline(always)]
pub(crate) fn uniform(word: u32) -> f32 {
    let u = (word as f32 + 0.5) * (1.0 / 4_294_967_296.0);
    if u < BELOW_ONE { u } else { BELOW_ONE }
}

/// 1 − 2⁻²⁴, the largest f32 below 1.
const BELOW_ONE: f32 = 1.0 - f32::EPSILON / 2.0;

/// √(−2 ln u) for u = (word + ½)/2³², in relative accuracy at both ends.
#[inline(always)]
fn radius(word: u32) -> f32 {
    // v = min(u, 1 − u) keeps all of the digits that f32 has; ln u = ln(1 − v) in the upper half.
    let is_upper = word >> 31 == 1;
    let nearest_end = if is_upper { !word } else { word };
    let v = (nearest_end as i32 as f32 + 0.5) * (1.0 / 4_294_967_296.0);
    let (e, m) = split_exponent(v);
    // 1 − v ≥ ½ is its own mantissa down to √½ and twice that below; either way f comes without
    // cancellation.
    let (upper_f, upper_e) = if v < 0.292_893_2 { (-v, 0.0) } else { (1.0 - (v + v), -1.0) };
    let (f, e) = if is_upper { (upper_f, upper_e) } else { (m - 1.0, e as f32) };
    (-2.0 * ln_of_parts(f, e, 0.0)).sqrt()
}

/// Four standard normal samples of four words: `rng::normal_quad` in f32, each within 5 ulp of it.
#[inline(always)]
pub(crate) fn normal_quad(words: [u32; 4]) -> [f32; 4] {
    let [a, b] = normal_pair(words[0], words[1]);
    let [c, d] = normal_pair(words[2], words[3]);
    [a, b, c, d]
}

#[inline(always)]
fn normal_pair(radius_word: u32, angle_word: u32) -> [f32; 2] {
    let length = radius(radius_word);
    // 2πu = quarter·π/2 + r, where the word gives the quarter in its two high bits and r, an odd
    // multiple of π/2³², in the others.
    let rounded = angle_word.wrapping_add(1 << 29);
    let odd = ((rounded & 0x3fff_ffff) as i32 - (1 << 29)) * 2 + 1;
    let (sine, cosine) =
        sin_cos_of_parts(rounded >> 30, odd as f32 * (FRAC_PI_2 / 2_147_483_648.0));
    [length * cosine, length * sine]
}

#[cfg(test)]
mod tests;

//! Uniform and normal samples from Philox words, each addressable alone.

use super::Address;

/// The centre of the `word`-th of 2³² equal cells of (0, 1): never 0, never 1 (in f64).
#[inline(always)]
#[must_use]
pub fn uniform_from_word(word: u32) -> f64 {
    (f64::from(word) + 0.5) * (1.0 / 4_294_967_296.0)
}

/// The uniform sample on (0, 1) of one element.
#[must_use]
pub fn uniform_at(address: &Address, element: usize) -> f64 {
    uniform_from_word(address.word(element))
}

/// The four standard normal samples made of four words (Box and Muller 1958): two pairs, each a
/// radius and an angle.
///
/// `out[0] = √(−2 ln u[0]) · cos 2π u[1]`, `out[1] = √(−2 ln u[0]) · sin 2π u[1]`; likewise
/// `out[2]`, `out[3]` from `u[2]`, `u[3]`.
#[inline(always)]
#[must_use]
pub fn normal_quad(words: [u32; 4]) -> [f64; 4] {
    let pair = |radius_word, angle_word| {
        let radius = (-2.0 * uniform_from_word(radius_word).ln()).sqrt();
        let (sine, cosine) = (std::f64::consts::TAU * uniform_from_word(angle_word)).sin_cos();
        (radius * cosine, radius * sine)
    };
    let ((a, b), (c, d)) = (pair(words[0], words[1]), pair(words[2], words[3]));
    [a, b, c, d]
}

/// The standard normal sample of one element: the f64 reference every backend is compared with.
#[must_use]
pub fn normal_at(address: &Address, element: usize) -> f64 {
    normal_quad(address.words((element / 4) as u32))[element % 4]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uniforms_stay_inside_the_open_interval() {
        assert!(uniform_from_word(0) > 0.0);
        assert!(uniform_from_word(u32::MAX) < 1.0);
    }

    /// Mean 0, variance 1, skewness 0, kurtosis 3: each within five standard errors of 40,000
    /// draws.
    #[test]
    fn normals_have_the_moments_of_a_standard_normal() {
        const COUNT: usize = 40_000;
        let address = Address::new(5, 1, 2);
        let moment = |power: i32| {
            (0..COUNT).map(|e| normal_at(&address, e).powi(power)).sum::<f64>() / COUNT as f64
        };
        let bound = |variance_of_power: f64| 5.0 * (variance_of_power / COUNT as f64).sqrt();
        assert!(moment(1).abs() < bound(1.0));
        assert!((moment(2) - 1.0).abs() < bound(2.0));
        assert!(moment(3).abs() < bound(15.0));
        assert!((moment(4) - 3.0).abs() < bound(96.0));
    }
}

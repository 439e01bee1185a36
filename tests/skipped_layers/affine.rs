//! Numbers that are affine functions of independent standard normal ones, and the expectations of
//! what is made of them.

use std::f64::consts::TAU;

/// constant + Σ coefficient · ε.
#[derive(Clone, Debug)]
pub(crate) struct Affine {
    pub(crate) constant: f64,
    /// Of each ε so far; those that are missing are 0.
    coefficients: Vec<f64>,
}

/// A Gaussian whose mean is such a number.
#[derive(Clone, Debug)]
pub(crate) struct Gaussian {
    pub(crate) mean: Affine,
    pub(crate) variance: f64,
}

/// The normal numbers that have been drawn.
#[derive(Debug, Default)]
pub(crate) struct Noise {
    drawn: usize,
}

impl Affine {
    pub(crate) const fn constant(constant: f64) -> Self {
        Self { constant, coefficients: Vec::new() }
    }

    pub(crate) fn variance(&self) -> f64 {
        self.coefficients.iter().map(|coefficient| coefficient * coefficient).sum()
    }

    pub(crate) fn add_scaled(mut self, factor: f64, other: &Self) -> Self {
        self.constant += factor * other.constant;
        self.coefficients.resize(self.coefficients.len().max(other.coefficients.len()), 0.0);
        self.coefficients
            .iter_mut()
            .zip(&other.coefficients)
            .for_each(|(sum, other)| *sum += factor * other);
        self
    }

    pub(crate) fn scaled(&self, factor: f64) -> Self {
        Self::constant(0.0).add_scaled(factor, self)
    }
}

impl Gaussian {
    pub(crate) const STANDARD: Self = Self { mean: Affine::constant(0.0), variance: 1.0 };

    /// A sample, by a normal number that nothing else has.
    pub(crate) fn sample(&self, noise: &mut Noise) -> Affine {
        let mut own = Affine { constant: 0.0, coefficients: vec![0.0; noise.drawn + 1] };
        own.coefficients[noise.drawn] = self.variance.sqrt();
        noise.drawn += 1;
        own.add_scaled(1.0, &self.mean)
    }

    /// E log N(z; mean, variance) = −½[ln 2πv + ((E z − E m)² + Var(z − m))/v].
    pub(crate) fn expected_log_density(&self, z: &Affine) -> f64 {
        let difference = z.clone().add_scaled(-1.0, &self.mean);
        let square = difference.constant.powi(2) + difference.variance();
        -0.5 * ((TAU * self.variance).ln() + square / self.variance)
    }

    /// The product of two densities, normalised.
    pub(crate) fn merged(&self, other: &Self) -> Self {
        let variance = 1.0 / (1.0 / self.variance + 1.0 / other.variance);
        let mean = self
            .mean
            .scaled(variance / self.variance)
            .add_scaled(variance / other.variance, &other.mean);
        Self { mean, variance }
    }
}

/// E log p(x|l) of a binary pixel whose logit l is normal: x E l − E ln(1 + e^l), the last by the
/// trapezoidal rule, which converges faster than any power for so smooth a function on so wide an
/// interval.
pub(crate) fn expected_bernoulli(x: f64, logit: &Affine) -> f64 {
    const STEPS: i32 = 2000;
    const REACH: f64 = 12.0;
    let (mean, sigma) = (logit.constant, logit.variance().sqrt());
    let width = REACH / f64::from(STEPS);
    let softplus = |l: f64| l.max(0.0) + (-l.abs()).exp().ln_1p();
    let term = |step: i32| {
        let epsilon = f64::from(step) * width;
        softplus(mean + sigma * epsilon) * (-0.5 * epsilon * epsilon).exp() / TAU.sqrt() * width
    };
    x * mean - (-STEPS..=STEPS).map(term).sum::<f64>()
}

/// Sums of expected log densities: Σ log p − log q of the groups of one layer.
pub(crate) fn expected_log_ratio(p: &[Gaussian], q: &[Gaussian], z: &[Affine]) -> f64 {
    let of = |density: &[Gaussian]| {
        density.iter().zip(z).map(|(density, z)| density.expected_log_density(z)).sum::<f64>()
    };
    of(p) - of(q)
}

//! A component of a mixture, for several pixels side by side.

use std::ops::Range;

use super::super::lanes::larger;
use super::super::typed::Float;
use super::LANES;
use crate::backend::LogisticMixture;

/// A number of each pixel.
pub(super) type Lanes<T> = [T; LANES];

/// Some pixels of an image; lanes without a pixel have parameters and data of 0.
pub(super) struct Tile<'a, T> {
    mixture: &'a LogisticMixture,
    parameters: &'a [T],
    x: [Lanes<T>; 3],
    half_bin: T,
}

impl<'a, T: Float> Tile<'a, T> {
    /// `pixels` of the image with these data and parameters.
    #[inline(always)]
    pub(super) fn new(
        mixture: &'a LogisticMixture,
        x: &[T],
        parameters: &'a [T],
        pixels: Range<usize>,
    ) -> Self {
        let (per_pixel, channels) = (mixture.parameters_per_pixel(), mixture.channels);
        let of_pixels = &x[pixels.start * channels..pixels.end * channels];
        let mut colours = [[T::ZERO; LANES]; 3];
        for (channel, colour) in colours.iter_mut().enumerate().take(channels) {
            *colour = every(of_pixels, channels, channel);
        }
        Self {
            mixture,
            parameters: &parameters[pixels.start * per_pixel..pixels.end * per_pixel],
            x: colours,
            half_bin: T::from_f64(mixture.half_bin()),
        }
    }

    /// How many components there are.
    #[inline(always)]
    pub(super) fn components(&self) -> usize {
        self.mixture.components
    }

    /// The logits of a component.
    #[inline(always)]
    pub(super) fn logit(&self, component: usize) -> Lanes<T> {
        every(self.parameters, self.mixture.parameters_per_pixel(), component)
    }

    /// Where a component's number of a channel lies among a pixel's parameters: mean 0, log-scale
    /// 1, raw coefficient 2.
    #[inline(always)]
    fn place(&self, channel: usize, kind: usize, component: usize) -> usize {
        (1 + channel * self.mixture.group() + kind) * self.mixture.components + component
    }

    #[inline(always)]
    fn parameter(&self, channel: usize, kind: usize, component: usize) -> Lanes<T> {
        every(
            self.parameters,
            self.mixture.parameters_per_pixel(),
            self.place(channel, kind, component),
        )
    }

    /// The coefficients of a component, tanh of the raw ones; 0 where there is one channel.
    #[inline(always)]
    fn coefficients(&self, component: usize) -> [Lanes<T>; 3] {
        let mut all = [[T::ZERO; LANES]; 3];
        if self.mixture.channels == 3 {
            for (channel, coefficients) in all.iter_mut().enumerate() {
                let raw = self.parameter(channel, 2, component);
                *coefficients = lanes(
                    [&raw],
                    #[inline(always)]
                    |[raw]| raw.tanh(),
                );
            }
        }
        all
    }

    /// The mean of a channel: its own, pulled by the true colours before it.
    #[inline(always)]
    fn mean(&self, component: usize, channel: usize, coefficients: &[Lanes<T>; 3]) -> Lanes<T> {
        let own = self.parameter(channel, 0, component);
        match channel {
            0 => own,
            1 => lanes(
                [&own, &coefficients[0], &self.x[0]],
                #[inline(always)]
                |[own, k, red]| own + k * red,
            ),
            _ => lanes(
                [&own, &coefficients[1], &self.x[0], &coefficients[2], &self.x[1]],
                #[inline(always)]
                |[own, k_red, red, k_green, green]| own + k_red * red + k_green * green,
            ),
        }
    }

    /// The logit of a component plus its log-probability.
    #[inline(always)]
    pub(super) fn joint(&self, component: usize, logit: &Lanes<T>) -> Lanes<T> {
        let coefficients = self.coefficients(component);
        let mut joint = *logit;
        for channel in 0..self.mixture.channels {
            let mean = self.mean(component, channel, &coefficients);
            let log_scale = self.parameter(channel, 1, component);
            let half_bin = self.half_bin;
            joint = lanes(
                [&joint, &self.x[channel], &mean, &log_scale],
                #[inline(always)]
                |[joint, x, mean, log_scale]| {
                    joint + Bin::new(x, mean, log_scale, half_bin).log_prob()
                },
            );
        }
        joint
    }

    /// Writes the adjoints of a component's parameters into those of these pixels.
    #[inline(always)]
    pub(super) fn write_adjoints(
        &self,
        component: usize,
        grad: T,
        weights: &Lanes<T>,
        joints: &Lanes<T>,
        out: &mut [T],
    ) {
        let (logit, stride) = (self.logit(component), self.mixture.parameters_per_pixel());
        let responsibility = lanes(
            [&self.joint(component, &logit), joints],
            #[inline(always)]
            |[joint, all]| grad * (joint - all).exp(),
        );
        let grad_logit = lanes(
            [&responsibility, &logit, weights],
            #[inline(always)]
            |[responsibility, logit, all]| responsibility - grad * (logit - all).exp(),
        );
        spread(&grad_logit, out, stride, component);
        let coefficients = self.coefficients(component);
        let mut grad_means = [[T::ZERO; LANES]; 3];
        for (channel, grad_mean) in grad_means.iter_mut().enumerate().take(self.mixture.channels) {
            let mean = self.mean(component, channel, &coefficients);
            let log_scale = self.parameter(channel, 1, component);
            let mut grad_log_scale = [T::ZERO; LANES];
            for i in 0..LANES {
                let bin = Bin::new(self.x[channel][i], mean[i], log_scale[i], self.half_bin);
                let [of_mean, of_log_scale] = bin.derivatives();
                grad_mean[i] = responsibility[i] * of_mean;
                grad_log_scale[i] = responsibility[i] * of_log_scale;
            }
            spread(grad_mean, out, stride, self.place(channel, 0, component));
            spread(&grad_log_scale, out, stride, self.place(channel, 1, component));
        }
        if self.mixture.channels == 3 {
            // The coefficients of red's, green's and blue's group: which mean they pull, by which
            // colour.
            for (channel, (pulled, by)) in [(1, 0), (2, 0), (2, 1)].into_iter().enumerate() {
                let grad_raw = lanes(
                    [&grad_means[pulled], &coefficients[channel], &self.x[by]],
                    #[inline(always)]
                    |[grad, k, colour]| grad * (T::ONE - k * k) * colour,
                );
                spread(&grad_raw, out, stride, self.place(channel, 2, component));
            }
        }
    }
}

/// The bin of a value under one logistic distribution, from A = S(x − μ + h) down to B = S(x − μ −
/// h), with S = 1/scale.
struct Bin<T> {
    above: T,
    below: T,
    inverse_scale: T,
    /// 2h·S.
    width: T,
    /// The bin of the least value has no lower end, that of the largest no upper one.
    is_least: bool,
    is_largest: bool,
    is_clamped: bool,
}

impl<T: Float> Bin<T> {
    #[inline(always)]
    fn new(x: T, mean: T, log_scale: T, half_bin: T) -> Self {
        let least = T::from_f64(LogisticMixture::LEAST_LOG_SCALE);
        let inverse_scale = (-larger(log_scale, least)).exp();
        // Data lie on the levels, so anything between the outermost two of them tells those apart.
        let edge = T::ONE - T::from_f64(0.5) * half_bin;
        Self {
            above: inverse_scale * (x - mean + half_bin),
            below: inverse_scale * (x - mean - half_bin),
            inverse_scale,
            width: inverse_scale * (half_bin + half_bin),
            is_least: x < -edge,
            is_largest: x > edge,
            is_clamped: log_scale < least,
        }
    }

    /// ln(1 − e^−width) − softplus(−A) − softplus(B), with the three logarithms as one; at the
    /// extremes the parts of the missing end are left out.
    #[inline(always)]
    fn log_prob(&self) -> T {
        let (above, below) = (self.above, self.below);
        let of_above = if self.is_largest { T::ONE } else { T::ONE + (-above.abs()).exp() };
        let of_below = if self.is_least { T::ONE } else { T::ONE + (-below.abs()).exp() };
        let of_width =
            if self.is_least | self.is_largest { T::ONE } else { -(-self.width).exp_m1() };
        let under = if self.is_largest { T::ZERO } else { larger(-above, T::ZERO) };
        let over = if self.is_least { T::ZERO } else { larger(below, T::ZERO) };
        (of_width / (of_above * of_below)).ln() - under - over
    }

    /// σ(A) and σ(B): 1 and 0 where the end is missing.
    #[inline(always)]
    fn sigmoids(&self) -> [T; 2] {
        let above = if self.is_largest { T::ONE } else { self.above.sigmoid() };
        [above, if self.is_least { T::ZERO } else { self.below.sigmoid() }]
    }

    /// The derivatives of [`Self::log_prob`] by the mean and by the log-scale.
    #[inline(always)]
    fn derivatives(&self) -> [T; 2] {
        let [above, below] = self.sigmoids();
        let of_width = if self.is_least | self.is_largest {
            T::ZERO
        } else {
            self.width / self.width.exp_m1()
        };
        let of_log_scale = self.below * below - self.above * (T::ONE - above) - of_width;
        let of_mean = -self.inverse_scale * (T::ONE - above - below);
        [of_mean, if self.is_clamped { T::ZERO } else { of_log_scale }]
    }
}

/// ln Σ exp of terms that come one by one, for each pixel: the largest so far, and the sum relative
/// to it.
pub(super) struct Running<T> {
    largest: Lanes<T>,
    sum: Lanes<T>,
}

impl<T: Float> Running<T> {
    /// No terms.
    pub(super) const EMPTY: Self =
        Self { largest: [T::NEG_INFINITY; LANES], sum: [T::ZERO; LANES] };

    /// One more term.
    #[inline(always)]
    pub(super) fn add(&mut self, terms: &Lanes<T>) {
        for ((largest, sum), &term) in self.largest.iter_mut().zip(&mut self.sum).zip(terms) {
            let now = larger(*largest, term);
            *sum = *sum * (*largest - now).exp() + (term - now).exp();
            *largest = now;
        }
    }

    /// The logarithms of the sums.
    #[inline(always)]
    pub(super) fn finish(&self) -> Lanes<T> {
        lanes(
            [&self.largest, &self.sum],
            #[inline(always)]
            |[largest, sum]| largest + sum.ln(),
        )
    }
}

/// out[i] = f of the inputs' numbers i.
#[inline(always)]
fn lanes<T: Float, const N: usize>(inputs: [&Lanes<T>; N], f: impl Fn([T; N]) -> T) -> Lanes<T> {
    let mut out = [T::ZERO; LANES];
    for i in 0..LANES {
        let mut numbers = [T::ZERO; N];
        for k in 0..N {
            numbers[k] = inputs[k][i];
        }
        out[i] = f(numbers);
    }
    out
}

/// The numbers at `first`, `first + stride`, …: one of each pixel, and 0 in the lanes without one.
#[inline(always)]
fn every<T: Float>(x: &[T], stride: usize, first: usize) -> Lanes<T> {
    let mut out = [T::ZERO; LANES];
    for (out, of_pixel) in out.iter_mut().zip(x.chunks_exact(stride)) {
        *out = of_pixel[first];
    }
    out
}

/// Writes a number of each pixel to where [`every`] would read it.
#[inline(always)]
fn spread<T: Float>(numbers: &Lanes<T>, out: &mut [T], stride: usize, first: usize) {
    for (&number, of_pixel) in numbers.iter().zip(out.chunks_exact_mut(stride)) {
        of_pixel[first] = number;
    }
}

//! The optimisers: one pass over all parameters, their gradient and their moments.

use super::lanes::update;
use super::parallel::{LIGHT, for_each_block};
use super::scalar::clamp;
use super::typed::{Extent, Float, check, for_float, operands};
use crate::backend::{AdamStep, AdamaxStep, Clipping, RmsPropStep};
use crate::{Result, View, ViewMut};

/// What clipping does to each element of a gradient.
#[derive(Clone, Copy)]
pub(super) struct Clip<T> {
    factor: T,
    limit: T,
}

impl<T: Float> Clip<T> {
    pub(super) fn new(squared_norm: f64, norm_limit: f64, element_limit: f64) -> Self {
        let norm = squared_norm.sqrt();
        // Written such that a norm that is NaN makes the gradient NaN.
        let clipped = if norm > norm_limit { norm_limit } else { norm };
        let factor = if norm_limit == f64::INFINITY { 1.0 } else { clipped / (norm + 1e-7) };
        Self { factor: T::from_f64(factor), limit: T::from_f64(element_limit) }
    }

    #[inline(always)]
    fn of(self, g: T) -> T {
        clamp(g * self.factor, -self.limit, self.limit)
    }
}

/// `clip_gradient`, as declared.
pub(super) fn clip_gradient(clipping: Clipping<'_>, gradient: ViewMut<'_>) -> Result<()> {
    const NAME: &str = "clip_gradient";
    check(NAME, Extent::Elements(1), operands!(clipping))?;
    for_float!(NAME, (clipping, gradient) => clip_slice(clipping, gradient));
    Ok(())
}

fn clip_slice<T: Float>(clip: Clip<T>, gradient: &mut [T]) {
    for_each_block(gradient.len(), LIGHT, gradient, |_, gradient| {
        T::vectorised(
            #[inline(always)]
            || {
                for g in gradient {
                    *g = clip.of(*g);
                }
            },
        );
    });
}

/// `adam`, as declared.
pub(super) fn adam(
    step: AdamStep,
    clipping: Option<Clipping<'_>>,
    gradient: View<'_>,
    value: ViewMut<'_>,
    first_moment: ViewMut<'_>,
    second_moment: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "adam";
    check(NAME, Extent::Elements(1), operands!(clipping))?;
    check(
        NAME,
        Extent::Like("gradient", gradient.len()),
        operands!(value, first_moment, second_moment),
    )?;
    for_float!(NAME, (clipping, gradient, value, first_moment, second_moment) => {
        // Without limits the factor is 1 and the limit infinite, which leaves every gradient as it
        // is.
        let clip = clipping.unwrap_or_else(|| Clip::new(0.0, f64::INFINITY, f64::INFINITY));
        adam_slices(step, clip, gradient, value, first_moment, second_moment);
    });
    Ok(())
}

fn adam_slices<T: Float>(
    step: AdamStep,
    clip: Clip<T>,
    gradient: &[T],
    value: &mut [T],
    first_moment: &mut [T],
    second_moment: &mut [T],
) {
    let (rate, epsilon) = (T::from_f64(step.corrected_rate), T::from_f64(step.epsilon));
    let (keep_1, add_1) = (T::from_f64(step.beta_1), T::from_f64(1.0 - step.beta_1));
    let (keep_2, add_2) = (T::from_f64(step.beta_2), T::from_f64(1.0 - step.beta_2));
    for_each_block(
        gradient.len(),
        LIGHT,
        (gradient, value, first_moment, second_moment),
        |_, (gradient, value, first, second)| {
            T::vectorised(
                #[inline(always)]
                || {
                    for (((&g, value), m), v) in gradient.iter().zip(value).zip(first).zip(second) {
                        let g = clip.of(g);
                        *m = keep_1 * *m + add_1 * g;
                        *v = keep_2 * *v + add_2 * (g * g);
                        *value = *value - rate * *m / (v.sqrt() + epsilon);
                    }
                },
            );
        },
    );
}

/// `adamax`, as declared.
pub(super) fn adamax(
    step: AdamaxStep,
    gradient: View<'_>,
    value: ViewMut<'_>,
    first_moment: ViewMut<'_>,
    infinity_norm: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "adamax";
    check(
        NAME,
        Extent::Like("gradient", gradient.len()),
        operands!(value, first_moment, infinity_norm),
    )?;
    for_float!(NAME, (gradient, value, first_moment, infinity_norm) =>
        adamax_slices(step, gradient, value, first_moment, infinity_norm));
    Ok(())
}

fn adamax_slices<T: Float>(
    step: AdamaxStep,
    gradient: &[T],
    value: &mut [T],
    first_moment: &mut [T],
    infinity_norm: &mut [T],
) {
    let (rate, epsilon) = (T::from_f64(step.corrected_rate), T::from_f64(step.epsilon));
    let (keep_1, add_1, keep_2) =
        (T::from_f64(step.beta_1), T::from_f64(1.0 - step.beta_1), T::from_f64(step.beta_2));
    for_each_block(
        gradient.len(),
        LIGHT,
        (gradient, value, first_moment, infinity_norm),
        |_, (gradient, value, first, norm)| {
            T::vectorised(
                #[inline(always)]
                || {
                    for (((&g, value), m), u) in gradient.iter().zip(value).zip(first).zip(norm) {
                        *m = keep_1 * *m + add_1 * g;
                        let decayed = keep_2 * *u;
                        *u = if decayed > g.abs() { decayed } else { g.abs() };
                        *value = *value - rate * *m / (*u + epsilon);
                    }
                },
            );
        },
    );
}

/// `rmsprop`, as declared.
pub(super) fn rmsprop(
    step: RmsPropStep,
    clipping: Option<Clipping<'_>>,
    gradient: View<'_>,
    value: ViewMut<'_>,
    mean_square: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "rmsprop";
    check(NAME, Extent::Elements(1), operands!(clipping))?;
    check(NAME, Extent::Like("gradient", gradient.len()), operands!(value, mean_square))?;
    for_float!(NAME, (clipping, gradient, value, mean_square) => {
        let clip = clipping.unwrap_or_else(|| Clip::new(0.0, f64::INFINITY, f64::INFINITY));
        rmsprop_slices(step, clip, gradient, value, mean_square);
    });
    Ok(())
}

fn rmsprop_slices<T: Float>(
    step: RmsPropStep,
    clip: Clip<T>,
    gradient: &[T],
    value: &mut [T],
    mean_square: &mut [T],
) {
    let (rate, epsilon) = (T::from_f64(step.learning_rate), T::from_f64(step.epsilon));
    let (keep, add) = (T::from_f64(step.decay), T::from_f64(1.0 - step.decay));
    for_each_block(
        gradient.len(),
        LIGHT,
        (gradient, value, mean_square),
        |_, (gradient, value, mean_square)| {
            T::vectorised(
                #[inline(always)]
                || {
                    for ((&g, value), v) in gradient.iter().zip(value).zip(mean_square) {
                        let g = clip.of(g);
                        *v = keep * *v + add * (g * g);
                        *value = *value - rate * g / (*v + epsilon).sqrt();
                    }
                },
            );
        },
    );
}

/// `sgd`, as declared.
pub(super) fn sgd(
    learning_rate: f64,
    momentum: f64,
    gradient: View<'_>,
    value: ViewMut<'_>,
    velocity: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "sgd";
    check(NAME, Extent::Like("gradient", gradient.len()), operands!(value, velocity))?;
    for_float!(NAME, (gradient, value, velocity) =>
        sgd_slices(learning_rate, momentum, gradient, value, velocity));
    Ok(())
}

fn sgd_slices<T: Float>(
    learning_rate: f64,
    momentum: f64,
    gradient: &[T],
    value: &mut [T],
    velocity: &mut [T],
) {
    let (rate, momentum) = (T::from_f64(learning_rate), T::from_f64(momentum));
    for_each_block(
        gradient.len(),
        LIGHT,
        (gradient, value, velocity),
        |_, (gradient, value, velocity)| {
            T::vectorised(
                #[inline(always)]
                || {
                    update(
                        [gradient],
                        velocity,
                        #[inline(always)]
                        |velocity, [g]| momentum * velocity + g,
                    );
                    update(
                        [&*velocity],
                        value,
                        #[inline(always)]
                        |value, [velocity]| value - rate * velocity,
                    );
                },
            );
        },
    );
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_close, normals, positives, same_on_any_threads};
    use super::*;

    const LENGTHS: [usize; 5] = [0, 1, 17, 4099, 150_001];

    #[test]
    fn every_optimiser_follows_its_formula() {
        for len in LENGTHS {
            let (g, value, m, v) =
                (normals(1, len), normals(2, len), normals(3, len), positives(4, len));
            let adam_step =
                AdamStep { corrected_rate: 0.01, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-8 };
            let adamax_step =
                AdamaxStep { corrected_rate: 0.01, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-8 };
            let rmsprop_step = RmsPropStep { learning_rate: 0.01, decay: 0.9, epsilon: 1e-6 };
            for optimiser in 0..4 {
                let [new_value, new_m, new_v] = same_on_any_threads(|| {
                    let (mut value, mut m, mut v) = (value.clone(), m.clone(), v.clone());
                    let (g, a, b, c) = (
                        View::F32(&g),
                        ViewMut::F32(&mut value),
                        ViewMut::F32(&mut m),
                        ViewMut::F32(&mut v),
                    );
                    match optimiser {
                        0 => adam(adam_step, None, g, a, b, c).unwrap(),
                        1 => adamax(adamax_step, g, a, b, c).unwrap(),
                        2 => rmsprop(rmsprop_step, None, g, a, c).unwrap(),
                        _ => sgd(0.1, 0.9, g, a, b).unwrap(),
                    }
                    [value, m, v]
                });
                for i in 0..len {
                    let [g, value, m, v] = [g[i], value[i], m[i], v[i]].map(f64::from);
                    let decayed = 0.9 * m + 0.1 * g;
                    let (value, m, v) = match optimiser {
                        0 => {
                            let v = 0.999 * v + 0.001 * g * g;
                            (value - 0.01 * decayed / (v.sqrt() + 1e-8), decayed, v)
                        }
                        1 => {
                            let u = (0.999 * v).max(g.abs());
                            (value - 0.01 * decayed / (u + 1e-8), decayed, u)
                        }
                        2 => {
                            let v = 0.9 * v + 0.1 * g * g;
                            (value - 0.01 * g / (v + 1e-6).sqrt(), m, v)
                        }
                        _ => (value - 0.1 * (0.9 * m + g), 0.9 * m + g, v),
                    };
                    assert_close(
                        "value, m, v",
                        &[new_value[i], new_m[i], new_v[i]],
                        &[value, m, v],
                        1e-6,
                    );
                }
            }
        }
    }

    #[test]
    fn clipping_bounds_the_norm_and_then_each_element() {
        let clipped = |norm_limit, element_limit| {
            let mut gradient = [3.0, -4.0];
            let clipping = Clipping { squared_norm: View::F64(&[25.0]), norm_limit, element_limit };
            clip_gradient(clipping, ViewMut::F64(&mut gradient)).unwrap();
            gradient
        };
        let infinity = f64::INFINITY;
        assert_eq!(clipped(infinity, infinity), [3.0, -4.0]);
        assert_eq!(clipped(infinity, 3.5), [3.0, -3.5]);
        let by_norm = clipped(1.0, infinity);
        assert!((by_norm[0] - 0.6).abs() < 1e-7 && (by_norm[1] + 0.8).abs() < 1e-7, "{by_norm:?}");
        let below_the_limit = clipped(10.0, infinity);
        assert!((below_the_limit[0] - 3.0).abs() < 1e-6, "{below_the_limit:?}");
    }

    #[test]
    fn a_norm_that_is_no_number_is_not_hidden() {
        let mut gradient = [1.0];
        let clipping =
            Clipping { squared_norm: View::F64(&[f64::NAN]), norm_limit: 1.0, element_limit: 1.0 };
        clip_gradient(clipping, ViewMut::F64(&mut gradient)).unwrap();
        assert!(gradient[0].is_nan());
    }
}

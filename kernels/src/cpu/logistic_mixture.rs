//! The likelihood of pixels under mixtures of discretised logistics, and its adjoint.
//!
//! A pixel has few numbers of each kind, ten components for instance, which is no length for a
//! vector unit. So pixels are taken [`LANES`] at a time: a number of each is gathered, and every
//! loop runs over the pixels side by side.

mod lanes;

use std::ops::Range;

use super::gaussian::row_of;
use super::lanes::sum;
use super::parallel::{HEAVY, for_each_block, rows};
use super::typed::{Extent, Float, check, for_float, operands};
use crate::backend::LogisticMixture;
use crate::{Result, View, ViewMut};
use lanes::{Running, Tile};

/// Pixels side by side: two registers of AVX-512, four of AVX2.
const LANES: usize = 32;

/// `logistic_mixture_log_prob`, as declared.
pub(super) fn logistic_mixture_log_prob(
    mixture: LogisticMixture,
    x: View<'_>,
    parameters: View<'_>,
    out: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "logistic_mixture_log_prob";
    mixture.check(NAME)?;
    check(NAME, Extent::Matrix(mixture.data_matrix()), operands!(x))?;
    check(NAME, Extent::Matrix(mixture.parameter_matrix()), operands!(parameters))?;
    check(NAME, Extent::Rows(mixture.images), operands!(out))?;
    for_float!(NAME, (x, parameters, out) => log_prob(&mixture, x, parameters, out));
    Ok(())
}

/// The work of a row: each parameter takes an exponential or two.
fn work(mixture: &LogisticMixture) -> usize {
    mixture.parameter_matrix().columns * HEAVY
}

fn log_prob<T: Float>(mixture: &LogisticMixture, x: &[T], parameters: &[T], out: &mut [T]) {
    for_each_block(out.len(), work(mixture), out, |range, out| {
        T::vectorised(
            #[inline(always)]
            || {
                for (image, out) in range.zip(out) {
                    let (x, parameters) = image_of(mixture, image, x, parameters);
                    let mut total = 0.0;
                    for pixels in tiles(mixture.pixels) {
                        let tile = Tile::new(mixture, x, parameters, pixels.clone());
                        let (weights, joint) = normalisers(&tile);
                        let (weights, joint) = (weights.finish(), joint.finish());
                        let mut terms = [T::ZERO; LANES];
                        for ((term, joint), weight) in terms.iter_mut().zip(joint).zip(weights) {
                            *term = joint - weight;
                        }
                        total += sum(&terms[..pixels.len()]);
                    }
                    *out = T::from_f64(total);
                }
            },
        );
    });
}

/// ln Σ_j of the mixture logits, and of the logits with the components' log-probabilities.
#[inline(always)]
fn normalisers<T: Float>(tile: &Tile<'_, T>) -> (Running<T>, Running<T>) {
    let (mut weights, mut joint) = (Running::EMPTY, Running::EMPTY);
    for component in 0..tile.components() {
        let logit = tile.logit(component);
        weights.add(&logit);
        joint.add(&tile.joint(component, &logit));
    }
    (weights, joint)
}

/// `logistic_mixture_log_prob_backward`, as declared.
pub(super) fn logistic_mixture_log_prob_backward(
    mixture: LogisticMixture,
    x: View<'_>,
    parameters: View<'_>,
    grad_out: View<'_>,
    grad_parameters: ViewMut<'_>,
) -> Result<()> {
    const NAME: &str = "logistic_mixture_log_prob_backward";
    mixture.check(NAME)?;
    check(NAME, Extent::Matrix(mixture.data_matrix()), operands!(x))?;
    check(
        NAME,
        Extent::Matrix(mixture.parameter_matrix()),
        operands!(parameters, grad_parameters),
    )?;
    check(NAME, Extent::Rows(mixture.images), operands!(grad_out))?;
    for_float!(NAME, (x, parameters, grad_out, grad_parameters) => {
        adjoints(&mixture, x, parameters, grad_out, grad_parameters);
    });
    Ok(())
}

fn adjoints<T: Float>(
    mixture: &LogisticMixture,
    x: &[T],
    parameters: &[T],
    grad_out: &[T],
    grad_parameters: &mut [T],
) {
    let columns = mixture.parameter_matrix().columns;
    for_each_block(
        mixture.images,
        work(mixture),
        rows(grad_parameters, columns),
        |range, mut grads| {
            T::vectorised(
                #[inline(always)]
                || {
                    for (at, image) in range.enumerate() {
                        let (x, parameters) = image_of(mixture, image, x, parameters);
                        let (grad, per_pixel) = (grad_out[image], mixture.parameters_per_pixel());
                        for pixels in tiles(mixture.pixels) {
                            let out = &mut grads.row(at)
                                [pixels.start * per_pixel..pixels.end * per_pixel];
                            let tile = Tile::new(mixture, x, parameters, pixels);
                            let (weights, joint) = normalisers(&tile);
                            let (weights, joint) = (weights.finish(), joint.finish());
                            for component in 0..tile.components() {
                                tile.write_adjoints(component, grad, &weights, &joint, out);
                            }
                        }
                    }
                },
            );
        },
    );
}

/// The data and the parameters of an image.
#[inline(always)]
fn image_of<'a, T>(
    mixture: &LogisticMixture,
    image: usize,
    x: &'a [T],
    parameters: &'a [T],
) -> (&'a [T], &'a [T]) {
    let x = row_of(x, mixture.data_matrix().columns, image / mixture.repeat);
    (x, row_of(parameters, mixture.parameter_matrix().columns, image))
}

/// The pixels that are taken side by side.
#[inline(always)]
fn tiles(pixels: usize) -> impl Iterator<Item = Range<usize>> {
    (0..pixels).step_by(LANES).map(move |start| start..pixels.min(start + LANES))
}

#[cfg(test)]
mod tests {
    use super::super::testing::same_on_any_threads;
    use super::*;

    /// One pixel of one channel under one component with this mean and log-scale: ln P and its
    /// gradient.
    fn single(x: f64, mean: f64, log_scale: f64, levels: usize) -> (f64, [f64; 3]) {
        let mixture =
            LogisticMixture { images: 1, repeat: 1, pixels: 1, channels: 1, components: 1, levels };
        let (parameters, mut out, mut grad) = ([0.3, mean, log_scale], [0.0], [0.0; 3]);
        let (x, parameters) = ([x], View::F64(&parameters));
        logistic_mixture_log_prob(mixture, View::F64(&x), parameters, ViewMut::F64(&mut out))
            .unwrap();
        let (one, grad_view) = ([1.0], ViewMut::F64(&mut grad));
        logistic_mixture_log_prob_backward(
            mixture,
            View::F64(&x),
            parameters,
            View::F64(&one),
            grad_view,
        )
        .unwrap();
        (out[0], grad)
    }

    /// Worked out by hand for the specification of the model, to eight digits.
    #[test]
    fn single_pixels_have_the_worked_out_probabilities() {
        let (log_prob, grad) = single(128.0 / 127.5 - 1.0, 0.1, -2.0, 256);
        assert!((log_prob - -4.357_895_7).abs() < 5e-8, "{log_prob}");
        assert!(
            (grad[1] - -2.517_508).abs() < 5e-7 && (grad[2] - -0.758_031).abs() < 5e-7,
            "{grad:?}"
        );
        assert_eq!(grad[0], 0.0, "one component has all the weight");
        let (black, white) = (single(-1.0, 0.1, -2.0, 256).0, single(1.0, 0.1, -2.0, 256).0);
        assert!(
            (black - -8.099_288_8).abs() < 5e-8 && (white - -6.622_504_8).abs() < 5e-8,
            "{black} {white}"
        );
    }

    #[test]
    fn log_scales_below_the_least_count_as_it_and_have_no_gradient() {
        let (log_prob, grad) = single(0.3, 0.31, -9.0, 256);
        let (at_least, _) = single(0.3, 0.31, -7.0, 256);
        assert_eq!((log_prob, grad[2]), (at_least, 0.0));
        assert!(grad[1] != 0.0);
    }

    #[test]
    fn bits_do_not_depend_on_the_number_of_threads() {
        let mixture = LogisticMixture {
            images: 12,
            repeat: 2,
            pixels: 37,
            channels: 3,
            components: 4,
            levels: 256,
        };
        let (matrix, data) = (mixture.parameter_matrix(), mixture.data_matrix());
        let parameters = super::super::testing::normals(1, matrix.element_count());
        let x: Vec<f32> = super::super::testing::normals(2, data.element_count())
            .iter()
            .map(|x| x.tanh())
            .collect();
        same_on_any_threads(|| {
            let (mut out, mut grad) = (vec![0f32; 12], vec![0f32; parameters.len()]);
            let (x, parameters) = (View::F32(&x), View::F32(&parameters));
            logistic_mixture_log_prob(mixture, x, parameters, ViewMut::F32(&mut out)).unwrap();
            let (ones, grad_view) = ([1f32; 12], ViewMut::F32(&mut grad));
            logistic_mixture_log_prob_backward(mixture, x, parameters, View::F32(&ones), grad_view)
                .unwrap();
            assert!(out.iter().chain(&grad).all(|value| value.is_finite()));
            (out, grad)
        });
    }

    #[test]
    fn two_channels_are_refused() {
        let mixture = LogisticMixture {
            images: 1,
            repeat: 1,
            pixels: 1,
            channels: 2,
            components: 1,
            levels: 256,
        };
        let error = logistic_mixture_log_prob(
            mixture,
            View::F32(&[]),
            View::F32(&[]),
            ViewMut::F32(&mut []),
        );
        assert_eq!(
            error.unwrap_err().to_string(),
            "logistic_mixture_log_prob: 2 channels; a pixel has 1 or 3"
        );
    }
}

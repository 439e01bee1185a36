//! Normalisation against a slow f64 reference, and on any number of threads.

use super::super::gaussian::{gaussian_head, gaussian_head_backward};
use super::super::testing::{assert_close, normals, positives, same_on_any_threads, widened};
use super::*;
use crate::UnaryFunction;
use crate::backend::NormalisedHead;

const ACTIVATIONS: [UnaryFunction; 6] = [
    UnaryFunction::Identity,
    UnaryFunction::LeakyRelu(0.1),
    UnaryFunction::Tanh,
    UnaryFunction::Softplus,
    UnaryFunction::Elu(1.0),
    UnaryFunction::Sin,
];

const SIZES: [(usize, usize); 6] = [(1, 1), (2, 63), (131, 64), (257, 65), (300, 331), (5, 0)];

/// Inputs with a mean of 3 and a spread of 1, so that a variance computed in one pass would lose
/// digits.
struct Case {
    norm: BatchNorm,
    x: Vec<f32>,
    scale: Vec<f32>,
    shift: Vec<f32>,
    grad_out: Vec<f32>,
}

fn case(activation: UnaryFunction, rows: usize, columns: usize) -> Case {
    Case {
        norm: BatchNorm { matrix: Matrix { rows, columns }, epsilon: 1e-3, activation },
        x: normals(1, rows * columns).into_iter().map(|x| x + 3.0).collect(),
        scale: positives(2, columns),
        shift: normals(3, columns),
        grad_out: normals(4, rows * columns),
    }
}

/// The value and the derivative of an activation in f64.
fn activate(activation: UnaryFunction, a: f64) -> (f64, f64) {
    let sigmoid = 1.0 / (1.0 + (-a).exp());
    match activation {
        UnaryFunction::Identity => (a, 1.0),
        UnaryFunction::LeakyRelu(s) => {
            if a > 0.0 {
                (a, 1.0)
            } else {
                (s * a, s)
            }
        }
        UnaryFunction::Tanh => (a.tanh(), 1.0 - a.tanh() * a.tanh()),
        UnaryFunction::Softplus => ((1.0 + a.exp()).ln(), sigmoid),
        UnaryFunction::Elu(s) => {
            if a > 0.0 {
                (a, 1.0)
            } else {
                (s * a.exp_m1(), s * a.exp())
            }
        }
        UnaryFunction::Sin => (a.sin(), a.cos()),
        other => panic!("no reference for {other:?}"),
    }
}

/// mean, variance, out, grad_x, grad_scale, grad_shift, column by column.
fn reference(
    case: &Case,
    through_statistics: bool,
    given: Option<(&[f64], &[f64])>,
) -> [Vec<f64>; 6] {
    let Matrix { rows, columns } = case.norm.matrix;
    let (x, grad_out, n) = (widened(&case.x), widened(&case.grad_out), rows as f64);
    let mut results = [columns, columns, rows * columns, rows * columns, columns, columns]
        .map(|len| vec![0.0; len]);
    for c in 0..columns {
        let column: Vec<f64> = (0..rows).map(|r| x[r * columns + c]).collect();
        let batch_mean = column.iter().sum::<f64>() / n;
        let batch_variance =
            column.iter().map(|x| (x - batch_mean) * (x - batch_mean)).sum::<f64>() / n;
        let (mean, variance) =
            given.map_or((batch_mean, batch_variance), |(mean, variance)| (mean[c], variance[c]));
        let (scale, shift) = (f64::from(case.scale[c]), f64::from(case.shift[c]));
        let inverse = 1.0 / (variance + case.norm.epsilon).sqrt();
        let normalised: Vec<f64> = column.iter().map(|x| (x - mean) * inverse).collect();
        let activated: Vec<(f64, f64)> =
            normalised.iter().map(|x| activate(case.norm.activation, scale * x + shift)).collect();
        let g: Vec<f64> = (0..rows).map(|r| grad_out[r * columns + c] * activated[r].1).collect();
        let (sum, product) =
            (g.iter().sum::<f64>(), g.iter().zip(&normalised).map(|(g, x)| g * x).sum::<f64>());
        let share = if through_statistics { 1.0 / n } else { 0.0 };
        (results[0][c], results[1][c], results[4][c], results[5][c]) =
            (batch_mean, batch_variance, product, sum);
        for r in 0..rows {
            results[2][r * columns + c] = activated[r].0;
            results[3][r * columns + c] =
                scale * inverse * (g[r] - sum * share - normalised[r] * product * share);
        }
    }
    results
}

#[test]
fn batch_norm_and_its_adjoints_agree_with_f64() {
    for activation in ACTIVATIONS {
        for (rows, columns) in SIZES {
            let case = case(activation, rows, columns);
            let results = same_on_any_threads(|| {
                let [mut mean, mut variance, mut grad_scale, mut grad_shift] =
                    [columns; 4].map(|len| vec![0f32; len]);
                let [mut out, mut grad_x] = [rows * columns; 2].map(|len| vec![0f32; len]);
                let (x, scale, shift) =
                    (View::F32(&case.x), View::F32(&case.scale), View::F32(&case.shift));
                let (mean_out, variance_out) =
                    (ViewMut::F32(&mut mean), ViewMut::F32(&mut variance));
                let statistics =
                    BatchStatistics { mean: mean_out, variance: variance_out, running: None };
                batch_norm(&case.norm, x, scale, shift, statistics, ViewMut::F32(&mut out))
                    .unwrap();
                let vectors = BatchNormVectors {
                    mean: View::F32(&mean),
                    variance: View::F32(&variance),
                    scale,
                    shift,
                };
                let grads = (
                    ViewMut::F32(&mut grad_x),
                    ViewMut::F32(&mut grad_scale),
                    ViewMut::F32(&mut grad_shift),
                );
                batch_norm_backward(
                    &case.norm,
                    x,
                    vectors,
                    View::F32(&case.grad_out),
                    grads.0,
                    grads.1,
                    grads.2,
                )
                .unwrap();
                [mean, variance, out, grad_x, grad_scale, grad_shift]
            });
            for (k, (result, expected)) in
                results.iter().zip(reference(&case, true, None)).enumerate()
            {
                assert_close(
                    &format!("result {k} of {activation:?} on {rows} × {columns}"),
                    result,
                    &expected,
                    2e-4,
                );
            }
        }
    }
}

/// What `batch_norm_head` and its adjoints write, in one step each way or in the two of
/// `batch_norm` and `gaussian_head`.
fn head_and_adjoints(case: &Case, is_one_step: bool) -> Vec<Vec<f32>> {
    let (joined, epsilon) = (case.norm.matrix, case.norm.epsilon);
    let matrix = Matrix { columns: joined.columns / 2, ..joined };
    let (len, columns) = (matrix.element_count(), joined.columns);
    let head = NormalisedHead { matrix, epsilon, floor: 1e-4 };
    let [mut m, mut v, mut grad_scale, mut grad_shift] = [columns; 4].map(|len| vec![0f32; len]);
    let (mut mean, mut variance, mut grad_x) =
        (vec![0f32; len], vec![0f32; len], vec![0f32; 2 * len]);
    let (x, scale, shift) = (View::F32(&case.x), View::F32(&case.scale), View::F32(&case.shift));
    let (grad_mean, grad_variance) = case.grad_out.split_at(len);
    let (grad_mean, grad_variance) = (View::F32(grad_mean), View::F32(grad_variance));
    let statistics = BatchStatistics {
        mean: ViewMut::F32(&mut m),
        variance: ViewMut::F32(&mut v),
        running: None,
    };
    let mut a = vec![0f32; 2 * len];
    {
        let (mean, variance) = (ViewMut::F32(&mut mean), ViewMut::F32(&mut variance));
        if is_one_step {
            batch_norm_head(&head, x, scale, shift, statistics, mean, variance).unwrap();
        } else {
            batch_norm(&case.norm, x, scale, shift, statistics, ViewMut::F32(&mut a)).unwrap();
            gaussian_head(matrix, head.floor, View::F32(&a), mean, variance).unwrap();
        }
    }
    let vectors = BatchNormVectors { mean: View::F32(&m), variance: View::F32(&v), scale, shift };
    {
        let (grad_x, grad_scale, grad_shift) = (
            ViewMut::F32(&mut grad_x),
            ViewMut::F32(&mut grad_scale),
            ViewMut::F32(&mut grad_shift),
        );
        let grads = (Some(grad_mean), Some(grad_variance));
        if is_one_step {
            batch_norm_head_backward(
                &head, x, vectors, grads.0, grads.1, grad_x, grad_scale, grad_shift,
            )
            .unwrap();
        } else {
            let mut grad_a = vec![0f32; 2 * len];
            let a = View::F32(&a);
            gaussian_head_backward(matrix, a, grads.0, grads.1, ViewMut::F32(&mut grad_a)).unwrap();
            let grad_a = View::F32(&grad_a);
            batch_norm_backward(&case.norm, x, vectors, grad_a, grad_x, grad_scale, grad_shift)
                .unwrap();
        }
    }
    vec![m, v, mean, variance, grad_x, grad_scale, grad_shift]
}

#[test]
fn a_normalised_head_has_the_bits_of_its_two_steps() {
    for (rows, columns) in SIZES {
        let case = case(UnaryFunction::Identity, rows, 2 * columns);
        let bits = |results: Vec<Vec<f32>>| -> Vec<u32> {
            results.concat().into_iter().map(f32::to_bits).collect()
        };
        let one = bits(same_on_any_threads(|| head_and_adjoints(&case, true)));
        assert_eq!(one, bits(head_and_adjoints(&case, false)), "{rows} x {columns}");
    }
}

#[test]
fn normalisation_with_given_statistics_agrees_with_f64() {
    for activation in ACTIVATIONS {
        for (rows, columns) in SIZES {
            let case = case(activation, rows, columns);
            let (mean, variance) = (normals(5, columns), positives(6, columns));
            let results = same_on_any_threads(|| {
                let [mut grad_scale, mut grad_shift] = [columns; 2].map(|len| vec![0f32; len]);
                let [mut out, mut grad_x] = [rows * columns; 2].map(|len| vec![0f32; len]);
                let x = View::F32(&case.x);
                let (scale, shift) = (View::F32(&case.scale), View::F32(&case.shift));
                let vectors = BatchNormVectors {
                    mean: View::F32(&mean),
                    variance: View::F32(&variance),
                    scale,
                    shift,
                };
                normalise(&case.norm, x, vectors, ViewMut::F32(&mut out)).unwrap();
                let grads = (
                    ViewMut::F32(&mut grad_x),
                    ViewMut::F32(&mut grad_scale),
                    ViewMut::F32(&mut grad_shift),
                );
                normalise_backward(
                    &case.norm,
                    x,
                    vectors,
                    View::F32(&case.grad_out),
                    grads.0,
                    grads.1,
                    grads.2,
                )
                .unwrap();
                [out, grad_x, grad_scale, grad_shift]
            });
            let expected = reference(&case, false, Some((&widened(&mean), &widened(&variance))));
            for (k, (result, expected)) in results.iter().zip(&expected[2..]).enumerate() {
                assert_close(
                    &format!("result {k} of {activation:?} on {rows} × {columns}"),
                    result,
                    expected,
                    2e-4,
                );
            }
        }
    }
}

#[test]
fn column_statistics_are_exact_for_small_integers() {
    let (mut mean, mut variance) = ([0.0; 2], [0.0; 2]);
    let (x, matrix) = ([1.0, 10.0, 3.0, 10.0, 5.0, 16.0], Matrix { rows: 3, columns: 2 });
    column_statistics(matrix, View::F64(&x), ViewMut::F64(&mut mean), ViewMut::F64(&mut variance))
        .unwrap();
    assert_eq!((mean, variance), ([3.0, 12.0], [8.0 / 3.0, 8.0]));
}

#[test]
fn a_large_mean_does_not_spoil_the_variance() {
    let matrix = Matrix { rows: 4, columns: 1 };
    let (mut mean, mut variance) = ([0f32], [0f32]);
    let x = [10_000.0f32, 10_001.0, 10_002.0, 10_003.0];
    column_statistics(matrix, View::F32(&x), ViewMut::F32(&mut mean), ViewMut::F32(&mut variance))
        .unwrap();
    assert_eq!((mean[0], variance[0]), (10_001.5, 1.25));
}

#[test]
fn a_first_band_far_from_all_other_rows_does_not_spoil_the_variance() {
    let (rows, columns) = (1000, 3);
    let mut x = normals(1, rows * columns);
    x[..128 * columns].iter_mut().for_each(|x| *x += 10_000.0);
    let matrix = Matrix { rows, columns };
    let wide = widened(&x);
    for c in 0..columns {
        let column: Vec<f64> = wide.iter().skip(c).step_by(columns).copied().collect();
        let mean = column.iter().sum::<f64>() / rows as f64;
        let variance = column.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / rows as f64;
        let (mut mean_out, mut variance_out) = ([0f32; 3], [0f32; 3]);
        column_statistics(
            matrix,
            View::F32(&x),
            ViewMut::F32(&mut mean_out),
            ViewMut::F32(&mut variance_out),
        )
        .unwrap();
        assert_close("mean", &mean_out[c..=c], &[mean], 1e-6);
        // A band adds up to 128 squares in f32.
        assert_close(
            "variance",
            &variance_out[c..=c],
            &[variance],
            128.0 * f64::from(f32::EPSILON) / 2.0,
        );
    }
}

#[test]
fn a_constant_column_has_no_variance_and_one_with_a_nan_shows_it() {
    let matrix = Matrix { rows: 300, columns: 2 };
    let mut x = vec![0.1f32; 600];
    x[401] = f32::NAN;
    let (mut mean, mut variance) = ([0f32; 2], [0f32; 2]);
    column_statistics(matrix, View::F32(&x), ViewMut::F32(&mut mean), ViewMut::F32(&mut variance))
        .unwrap();
    assert!(
        (mean[0] - 0.1).abs() < 1e-7 && (0.0..1e-12).contains(&variance[0]),
        "{mean:?} {variance:?}"
    );
    assert!(mean[1].is_nan() && variance[1].is_nan(), "{mean:?} {variance:?}");
}

#[test]
fn vectors_of_another_length_are_refused() {
    let norm = BatchNorm {
        matrix: Matrix { rows: 3, columns: 2 },
        epsilon: 0.0,
        activation: UnaryFunction::Identity,
    };
    let (short, x) = (View::F32(&[0.0]), View::F32(&[0.0; 6]));
    let vectors = BatchNormVectors { mean: short, variance: short, scale: short, shift: short };
    let error = normalise(&norm, x, vectors, ViewMut::F32(&mut [0.0; 6])).unwrap_err();
    assert_eq!(error.to_string(), "normalise: vectors has 1 elements, 2 columns need 2");
    let error =
        normalise(&norm, View::F32(&[0.0; 12]), vectors, ViewMut::F32(&mut [0.0; 6])).unwrap_err();
    assert_eq!(error.to_string(), "normalise: x has 12 elements, 3 rows of 2 columns need 6");
}

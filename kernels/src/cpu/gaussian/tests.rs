//! Gaussian primitives against f64: values by the formulas of the contract, adjoints by differences
//! of those values.

use super::super::testing::{assert_close, normals, positives, same_on_any_threads, widened};
use super::*;

const SIZES: [(usize, usize, usize); 7] =
    [(1, 1, 1), (4, 3, 2), (3, 0, 1), (0, 3, 1), (263, 67, 1), (15, 1031, 5), (2, 300, 2)];

fn view<'a>(mean: &'a [f32], variance: &'a [f32]) -> GaussianView<'a> {
    GaussianView { mean: View::F32(mean), variance: View::F32(variance) }
}

fn gradient<'a>(mean: &'a mut [f32], variance: &'a mut [f32]) -> GaussianGradient<'a> {
    GaussianGradient { mean: Some(ViewMut::F32(mean)), variance: Some(ViewMut::F32(variance)) }
}

fn unwanted() -> GaussianGradient<'static> {
    GaussianGradient { mean: None, variance: None }
}

fn log_density(x: f64, mean: f64, variance: f64) -> f64 {
    -0.5 * (TAU.ln() + variance.ln() + (x - mean) * (x - mean) / variance)
}

#[test]
fn log_probabilities_and_their_adjoints_agree_with_f64() {
    for (rows, columns, repeat) in SIZES {
        let matrix = Matrix { rows, columns };
        let (mean, variance, grad_out) =
            (normals(1, rows * columns), positives(2, rows * columns), normals(3, rows));
        let x = normals(4, rows / repeat * columns);
        let p = view(&mean, &variance);
        let results = same_on_any_threads(|| {
            let (mut out, mut grad_x) = (vec![0f32; rows], vec![9f32; x.len()]);
            let [mut grad_mean, mut grad_variance] =
                [9f32; 2].map(|filling| vec![filling; rows * columns]);
            gaussian_log_prob(matrix, repeat, View::F32(&x), p, ViewMut::F32(&mut out)).unwrap();
            let (g, grad_p) = (View::F32(&grad_out), gradient(&mut grad_mean, &mut grad_variance));
            gaussian_log_prob_backward(
                matrix,
                repeat,
                View::F32(&x),
                p,
                g,
                Some(ViewMut::F32(&mut grad_x)),
                grad_p,
            )
            .unwrap();
            [out, grad_x, grad_mean, grad_variance]
        });
        let mut expected =
            [rows, x.len(), rows * columns, rows * columns].map(|len| vec![0.0; len]);
        for i in 0..rows * columns {
            let (row, at_x) = (i / columns, i / columns / repeat * columns + i % columns);
            let [x, mean, variance, g] =
                [x[at_x], mean[i], variance[i], grad_out[row]].map(f64::from);
            expected[0][row] += log_density(x, mean, variance);
            expected[1][at_x] -= g * (x - mean) / variance;
            expected[2][i] = g * (x - mean) / variance;
            expected[3][i] = g * ((x - mean) * (x - mean) / variance - 1.0) / (2.0 * variance);
        }
        for (k, (result, expected)) in results.iter().zip(&expected).enumerate() {
            assert_close(
                &format!("result {k} on {rows} × {columns}, repeat {repeat}"),
                result,
                expected,
                2e-5,
            );
        }
    }
}

#[test]
fn an_adjoint_alone_is_the_adjoint_among_others() {
    let matrix = Matrix { rows: 4, columns: 300 };
    let (x, mean, variance, grad_out) =
        (normals(1, 600), normals(2, 1200), positives(3, 1200), normals(4, 4));
    let (p, g) = (view(&mean, &variance), View::F32(&grad_out));
    let (mut grad_x, mut grad_mean, mut grad_variance) =
        (vec![0f32; 600], vec![0f32; 1200], vec![0f32; 1200]);
    let all = gradient(&mut grad_mean, &mut grad_variance);
    gaussian_log_prob_backward(
        matrix,
        2,
        View::F32(&x),
        p,
        g,
        Some(ViewMut::F32(&mut grad_x)),
        all,
    )
    .unwrap();
    let (mut alone_x, mut alone_mean, mut alone_variance) =
        (vec![1f32; 600], vec![1f32; 1200], vec![1f32; 1200]);
    gaussian_log_prob_backward(
        matrix,
        2,
        View::F32(&x),
        p,
        g,
        Some(ViewMut::F32(&mut alone_x)),
        unwanted(),
    )
    .unwrap();
    let only = GaussianGradient { mean: Some(ViewMut::F32(&mut alone_mean)), variance: None };
    gaussian_log_prob_backward(matrix, 2, View::F32(&x), p, g, None, only).unwrap();
    let only = GaussianGradient { mean: None, variance: Some(ViewMut::F32(&mut alone_variance)) };
    gaussian_log_prob_backward(matrix, 2, View::F32(&x), p, g, None, only).unwrap();
    assert_eq!((alone_x, alone_mean, alone_variance), (grad_x, grad_mean, grad_variance));
}

#[test]
fn standard_normal_is_the_gaussian_with_mean_0_and_variance_1() {
    for (rows, columns, _) in SIZES {
        let matrix = Matrix { rows, columns };
        let (x, grad_out) = (normals(1, rows * columns), normals(2, rows));
        let (out, grad_x) = same_on_any_threads(|| {
            let (mut out, mut grad_x) = (vec![0f32; rows], vec![0f32; x.len()]);
            standard_normal_log_prob(matrix, View::F32(&x), ViewMut::F32(&mut out)).unwrap();
            standard_normal_log_prob_backward(
                matrix,
                View::F32(&x),
                View::F32(&grad_out),
                ViewMut::F32(&mut grad_x),
            )
            .unwrap();
            (out, grad_x)
        });
        let mut expected = vec![0.0; rows];
        widened(&x)
            .iter()
            .enumerate()
            .for_each(|(i, &x)| expected[i / columns] += log_density(x, 0.0, 1.0));
        assert_close("out", &out, &expected, 1e-6);
        assert!(grad_x.iter().enumerate().all(|(i, &grad)| grad == -grad_out[i / columns] * x[i]));
    }
}

#[test]
fn kls_and_their_adjoints_agree_with_f64() {
    for (rows, columns, _) in SIZES {
        for standard in [false, true] {
            let (matrix, len) = (Matrix { rows, columns }, rows * columns);
            let (q_mean, q_variance) = (normals(1, len), positives(2, len));
            let (p_mean, p_variance) = if standard {
                (vec![0.0; len], vec![1.0; len])
            } else {
                (normals(3, len), positives(4, len))
            };
            let (grad_out, q) = (normals(5, rows), view(&q_mean, &q_variance));
            let p = (!standard).then_some(view(&p_mean, &p_variance));
            let results = same_on_any_threads(|| {
                let [mut a, mut b, mut c, mut d] = [9f32; 4].map(|filling| vec![filling; len]);
                let mut out = vec![0f32; rows];
                gaussian_kl(matrix, q, p, ViewMut::F32(&mut out)).unwrap();
                let grads = (gradient(&mut a, &mut b), gradient(&mut c, &mut d));
                gaussian_kl_backward(matrix, q, p, View::F32(&grad_out), grads.0, grads.1).unwrap();
                [out, a, b, c, d]
            });
            let mut expected = [rows, len, len, len, len].map(|len| vec![0.0; len]);
            for i in 0..len {
                let [mq, vq, mp, vp, g] =
                    [q_mean[i], q_variance[i], p_mean[i], p_variance[i], grad_out[i / columns]]
                        .map(f64::from);
                let d = mq - mp;
                expected[0][i / columns] += 0.5 * (vp.ln() - vq.ln() + (vq + d * d) / vp - 1.0);
                expected[1][i] = g * d / vp;
                expected[2][i] = 0.5 * g * (1.0 / vp - 1.0 / vq);
                expected[3][i] = -g * d / vp;
                expected[4][i] = 0.5 * g * (1.0 / vp - (vq + d * d) / (vp * vp));
            }
            for (k, (result, expected)) in results.iter().zip(&expected).enumerate() {
                assert_close(
                    &format!("result {k} on {rows} × {columns}, standard: {standard}"),
                    result,
                    expected,
                    1e-5,
                );
            }
        }
    }
}

#[test]
fn equal_gaussians_do_not_diverge() {
    let (mean, variance) = (normals(1, 500), positives(2, 500));
    let mut out = [1f32];
    let q = view(&mean, &variance);
    gaussian_kl(Matrix { rows: 1, columns: 500 }, q, Some(q), ViewMut::F32(&mut out)).unwrap();
    assert!(out[0].abs() < 1e-4, "{}", out[0]);
}

#[test]
fn heads_split_and_join() {
    for (rows, columns, _) in SIZES {
        let (matrix, len) = (Matrix { rows, columns }, rows * columns);
        let (x, grad_mean, grad_variance) = (normals(1, 2 * len), normals(2, len), normals(3, len));
        let (mean, variance, grad_x) = same_on_any_threads(|| {
            let (mut mean, mut variance, mut grad_x) =
                (vec![0f32; len], vec![0f32; len], vec![0f32; 2 * len]);
            gaussian_head(
                matrix,
                0.01,
                View::F32(&x),
                ViewMut::F32(&mut mean),
                ViewMut::F32(&mut variance),
            )
            .unwrap();
            let grads = (Some(View::F32(&grad_mean)), Some(View::F32(&grad_variance)));
            gaussian_head_backward(
                matrix,
                View::F32(&x),
                grads.0,
                grads.1,
                ViewMut::F32(&mut grad_x),
            )
            .unwrap();
            (mean, variance, grad_x)
        });
        let at = |i: usize| {
            (
                i / columns * 2 * columns + i % columns,
                i / columns * 2 * columns + columns + i % columns,
            )
        };
        assert!((0..len).all(|i| mean[i] == x[at(i).0] && grad_x[at(i).0] == grad_mean[i]));
        let right: Vec<f64> = (0..len).map(|i| f64::from(x[at(i).1])).collect();
        let expected: Vec<f64> = right.iter().map(|x| x.exp().ln_1p() + 0.01).collect();
        assert_close("variance", &variance, &expected, 1e-6);
        let grad_right: Vec<f32> = (0..len).map(|i| grad_x[at(i).1]).collect();
        let expected: Vec<f64> = right
            .iter()
            .zip(&grad_variance)
            .map(|(x, &g)| f64::from(g) / (1.0 + (-x).exp()))
            .collect();
        assert_close("grad_x", &grad_right, &expected, 1e-6);
        let mut missing = vec![9f32; 2 * len];
        gaussian_head_backward(matrix, View::F32(&x), None, None, ViewMut::F32(&mut missing))
            .unwrap();
        assert!(missing.iter().all(|&grad| grad == 0.0));
    }
}

#[test]
fn samples_and_their_adjoints_follow_the_formulas() {
    for len in [0, 1, 17, 60_013] {
        let (mean, variance, noise, grad_out) =
            (normals(1, len), positives(2, len), normals(3, len), normals(4, len));
        let (out, grad_mean, grad_variance) = same_on_any_threads(|| {
            let [mut out, mut a, mut b] = [9f32; 3].map(|filling| vec![filling; len]);
            reparameterise(view(&mean, &variance), View::F32(&noise), ViewMut::F32(&mut out))
                .unwrap();
            reparameterise_backward(
                View::F32(&variance),
                View::F32(&noise),
                View::F32(&grad_out),
                false,
                gradient(&mut a, &mut b),
            )
            .unwrap();
            (out, a, b)
        });
        let expected: Vec<f64> = (0..len)
            .map(|i| f64::from(mean[i]) + f64::from(variance[i]).sqrt() * f64::from(noise[i]))
            .collect();
        assert_close("out", &out, &expected, 1e-6);
        assert_eq!(grad_mean, grad_out);
        let derivative = |i: usize| {
            f64::from(grad_out[i]) * f64::from(noise[i]) / (2.0 * f64::from(variance[i]).sqrt())
        };
        assert_close(
            "grad_variance",
            &grad_variance,
            &(0..len).map(derivative).collect::<Vec<_>>(),
            1e-6,
        );
    }
}

#[test]
fn merges_and_their_adjoints_follow_the_formulas() {
    for len in [0, 1, 300, 60_013] {
        let (m1, v1, m2, v2) =
            (normals(1, len), positives(2, len), normals(3, len), positives(4, len));
        let (grad_mean, grad_variance) = (normals(5, len), normals(6, len));
        let (first, second) = (view(&m1, &v1), view(&m2, &v2));
        let results = same_on_any_threads(|| {
            let [mut mean, mut variance, mut a, mut b, mut c, mut d] =
                [9f32; 6].map(|filling| vec![filling; len]);
            merge(first, second, ViewMut::F32(&mut mean), ViewMut::F32(&mut variance)).unwrap();
            let grads = (Some(View::F32(&grad_mean)), Some(View::F32(&grad_variance)));
            merge_backward(
                first,
                second,
                grads.0,
                grads.1,
                gradient(&mut a, &mut b),
                gradient(&mut c, &mut d),
            )
            .unwrap();
            [mean, variance, a, b, c, d]
        });
        let mut expected = [len; 6].map(|len| vec![0.0; len]);
        for i in 0..len {
            let [m1, v1, m2, v2, gm, gv] =
                [m1[i], v1[i], m2[i], v2[i], grad_mean[i], grad_variance[i]].map(f64::from);
            let s = v1 + v2;
            let adjoint = |from: f64, own: f64, other: f64| {
                gm * other * (own - from) / (s * s) + gv * (other / s) * (other / s)
            };
            let values = [
                (m1 * v2 + m2 * v1) / s,
                v1 * v2 / s,
                gm * v2 / s,
                adjoint(m1, m2, v2),
                gm * v1 / s,
                adjoint(m2, m1, v1),
            ];
            expected.iter_mut().zip(values).for_each(|(expected, value)| expected[i] = value);
        }
        for (k, (result, expected)) in results.iter().zip(&expected).enumerate() {
            assert_close(&format!("result {k} of {len}"), result, expected, 2e-6);
        }
    }
}

#[test]
fn a_missing_adjoint_of_a_merge_counts_as_zero() {
    let (first, second) = (([1f32], [2f32]), ([3f32], [4f32]));
    let (first, second) = (view(&first.0, &first.1), view(&second.0, &second.1));
    let mut grad = [9f32];
    let wanted = GaussianGradient { mean: None, variance: Some(ViewMut::F32(&mut grad)) };
    merge_backward(first, second, None, Some(View::F32(&[9.0])), unwanted(), wanted).unwrap();
    assert!((grad[0] - 1.0).abs() < 1e-6, "gᵥ(v₁/S)² = 9 · (2/6)² = 1, not {}", grad[0]);
}

#[test]
fn a_repeat_that_does_not_divide_the_rows_is_refused() {
    let matrix = Matrix { rows: 3, columns: 1 };
    let p = GaussianView { mean: View::F32(&[0.0; 3]), variance: View::F32(&[1.0; 3]) };
    for repeat in [0, 2] {
        let error =
            gaussian_log_prob(matrix, repeat, View::F32(&[0.0]), p, ViewMut::F32(&mut [0.0; 3]))
                .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("gaussian_log_prob: 3 rows are no multiple of repeat, which is {repeat}")
        );
    }
}

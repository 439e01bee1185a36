//! Log-sum-exp and softmax against slow f64 loops, and at the edges.

use super::super::testing::{assert_close, normals, same_on_any_threads};
use super::*;

const EXTENTS: [(usize, usize, usize); 8] = [
    (1, 1, 1),
    (0, 3, 2),
    (3, 5, 0),
    (2, 3, 4),
    (5, 67, 301),
    (211, 107, 1),
    (1, 40_009, 1),
    (3, 131, 17),
];

/// One column along the axis: the indices of its elements.
fn columns(extent: AxisExtent) -> Vec<Vec<usize>> {
    let pairs = (0..extent.outer).flat_map(|o| (0..extent.inner).map(move |i| (o, i)));
    pairs
        .map(|(o, i)| (0..extent.axis).map(|a| (o * extent.axis + a) * extent.inner + i).collect())
        .collect()
}

fn reference_log_sum_exp(x: &[f32], column: &[usize]) -> f64 {
    let largest = column.iter().map(|&i| f64::from(x[i])).fold(f64::NEG_INFINITY, f64::max);
    largest + column.iter().map(|&i| (f64::from(x[i]) - largest).exp()).sum::<f64>().ln()
}

#[test]
fn log_sum_exp_and_its_adjoint_agree_with_f64() {
    for (outer, axis, inner) in EXTENTS {
        let extent = AxisExtent { outer, axis, inner };
        let (x, grad_out) = (normals(1, outer * axis * inner), normals(2, outer * inner));
        let (out, grad_x) = same_on_any_threads(|| {
            let (mut out, mut grad_x) = (vec![0f32; outer * inner], vec![0f32; x.len()]);
            log_sum_exp(extent, View::F32(&x), ViewMut::F32(&mut out)).unwrap();
            let views = (View::F32(&x), View::F32(&out), View::F32(&grad_out));
            log_sum_exp_backward(extent, views.0, views.1, views.2, ViewMut::F32(&mut grad_x))
                .unwrap();
            (out, grad_x)
        });
        let mut expected_grad = vec![0.0; x.len()];
        let mut expected = Vec::new();
        for (column, &grad) in columns(extent).iter().zip(&grad_out) {
            let value = reference_log_sum_exp(&x, column);
            expected.push(value);
            column.iter().for_each(|&i| {
                expected_grad[i] = f64::from(grad) * (f64::from(x[i]) - value).exp()
            });
        }
        assert_close(&format!("out of {extent:?}"), &out, &expected, 1e-6);
        assert_close(&format!("grad_x of {extent:?}"), &grad_x, &expected_grad, 2e-6);
    }
}

#[test]
fn softmaxes_and_their_adjoints_agree_with_f64() {
    for (outer, axis, inner) in EXTENTS {
        let extent = AxisExtent { outer, axis, inner };
        let (x, grad_out) = (normals(3, outer * axis * inner), normals(4, outer * axis * inner));
        let results = same_on_any_threads(|| {
            let mut results = [
                vec![0f32; x.len()],
                vec![0f32; x.len()],
                vec![0f32; x.len()],
                vec![0f32; x.len()],
            ];
            let [probability, probability_grad, log, log_grad] = &mut results;
            softmax(extent, View::F32(&x), ViewMut::F32(probability)).unwrap();
            softmax_backward(
                extent,
                View::F32(probability),
                View::F32(&grad_out),
                ViewMut::F32(probability_grad),
            )
            .unwrap();
            log_softmax(extent, View::F32(&x), ViewMut::F32(log)).unwrap();
            log_softmax_backward(
                extent,
                View::F32(log),
                View::F32(&grad_out),
                ViewMut::F32(log_grad),
            )
            .unwrap();
            results
        });
        let mut expected =
            [vec![0.0; x.len()], vec![0.0; x.len()], vec![0.0; x.len()], vec![0.0; x.len()]];
        for column in columns(extent) {
            let normaliser = reference_log_sum_exp(&x, &column);
            let probability = |i: usize| (f64::from(x[i]) - normaliser).exp();
            let product: f64 =
                column.iter().map(|&i| probability(i) * f64::from(grad_out[i])).sum();
            let total: f64 = column.iter().map(|&i| f64::from(grad_out[i])).sum();
            for i in column {
                let (p, grad) = (probability(i), f64::from(grad_out[i]));
                for (expected, value) in
                    expected.iter_mut().zip([p, p * (grad - product), p.ln(), grad - p * total])
                {
                    expected[i] = value;
                }
            }
        }
        for (k, (result, expected)) in results.iter().zip(&expected).enumerate() {
            assert_close(&format!("result {k} of {extent:?}"), result, expected, 2e-5);
        }
    }
}

#[test]
fn infinities_and_nan_pass_through_log_sum_exp() {
    let infinity = f64::INFINITY;
    for inner in [1, 2] {
        let of = |values: [f64; 3]| {
            let x: Vec<f64> = values.iter().flat_map(|&x| vec![x; inner]).collect();
            let mut out = vec![0.0; inner];
            log_sum_exp(
                AxisExtent { outer: 1, axis: 3, inner },
                View::F64(&x),
                ViewMut::F64(&mut out),
            )
            .unwrap();
            out[inner - 1]
        };
        assert_eq!(of([-infinity; 3]), -infinity);
        assert_eq!(of([-infinity, 2.0, -infinity]), 2.0);
        assert_eq!(of([1.0, infinity, 2.0]), infinity);
        assert!(of([1.0, f64::NAN, infinity]).is_nan());
        assert!((of([1000.0; 3]) - 1000.0 - 3f64.ln()).abs() < 1e-12);
    }
}

#[test]
fn the_gradient_is_zero_where_everything_is_minus_infinity() {
    let minus = f64::NEG_INFINITY;
    for inner in [1, 2] {
        let (x, out, grad_out) = (vec![minus; 2 * inner], vec![minus; inner], vec![1.0; inner]);
        let mut grad_x = vec![9.0; 2 * inner];
        let views = (View::F64(&x), View::F64(&out), View::F64(&grad_out));
        log_sum_exp_backward(
            AxisExtent { outer: 1, axis: 2, inner },
            views.0,
            views.1,
            views.2,
            ViewMut::F64(&mut grad_x),
        )
        .unwrap();
        assert_eq!(grad_x, vec![0.0; 2 * inner]);
    }
}

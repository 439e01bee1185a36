//! The numbers of the specification (section 17) and its closed forms, through the public
//! interface.

use std::f64::consts::LN_2;

use rung_autograd::ops::{Gaussian, merge};
use rung_autograd::rng::Address;
use rung_autograd::{DType, Device, Tape, Tensor};
use rung_models::distributions::{Bernoulli, StandardNormal};
use rung_models::objective::importance_bound;
use rung_tests::devices;

/// How far a number may be from the specification's, which has six digits after the point.
fn digits(dtype: DType) -> f64 {
    if dtype == DType::F64 { 6e-7 } else { 3e-6 }
}

fn assert_near(what: &str, found: f64, expected: f64, tolerance: f64) {
    assert!(
        (found - expected).abs() <= tolerance * (1.0 + expected.abs()),
        "{what}: {found} against {expected}"
    );
}

fn everywhere(check: impl Fn(&Device, DType)) {
    for device in devices() {
        check(&device, DType::F32);
        check(&device, DType::F64);
    }
}

fn row(device: &Device, dtype: DType, values: &[f64]) -> Tensor {
    Tensor::from_values(device, dtype, values, [1, values.len()]).unwrap()
}

/// One Gaussian unit.
fn unit(device: &Device, dtype: DType, mean: f64, variance: f64) -> Gaussian {
    Gaussian { mean: row(device, dtype, &[mean]), variance: row(device, dtype, &[variance]) }
}

fn number(x: &Tensor) -> f64 {
    x.to_scalar().unwrap()
}

#[test]
fn softplus_has_the_values_of_the_specification() {
    everywhere(|device, dtype| {
        let values = row(device, dtype, &[0.0, 1.0, -20.0]).softplus().unwrap().to_f64().unwrap();
        assert_near("softplus(0)", values[0], LN_2, digits(dtype));
        assert_near("softplus(1)", values[1], 1.313_262, digits(dtype));
        assert!((values[2] / 2.061_153_6e-9 - 1.0).abs() < 1e-6, "softplus(-20): {}", values[2]);
    });
}

#[test]
fn gaussian_densities_and_kl_have_the_values_of_the_specification() {
    everywhere(|device, dtype| {
        let x = row(device, dtype, &[0.3]);
        assert_near(
            "log N(0.3; -0.2, 0.5)",
            number(&unit(device, dtype, -0.2, 0.5).log_prob(&x).unwrap()),
            -0.822_365,
            digits(dtype),
        );
        assert_near(
            "log N(0.3; 0, 1)",
            number(&StandardNormal.log_prob(&x).unwrap()),
            -0.963_939,
            digits(dtype),
        );
        let (q, p) = (unit(device, dtype, 0.3, 0.5), unit(device, dtype, -0.8, 1.9));
        assert_near(
            "KL(N(0.3,0.5)||N(-0.8,1.9))",
            number(&q.kl(&p).unwrap()),
            0.617_501,
            digits(dtype),
        );
        let to_standard = 0.5 * (0.3f64.powi(2) + 0.5 - 0.5f64.ln() - 1.0);
        assert_near(
            "KL(N(0.3,0.5)||N(0,1))",
            number(&q.kl_to_standard_normal().unwrap()),
            to_standard,
            digits(dtype),
        );
    });
}

/// KL(merge(d, p)‖p) = ½[ln(1 + v_p/v_d) + v_d/S + v_p (m_d − m_p)²/S² − 1] with S = v_d + v_p
/// (section 7.3).
fn kl_of_a_merge(m_d: f64, v_d: f64, m_p: f64, v_p: f64) -> f64 {
    let s = v_d + v_p;
    0.5 * ((v_p / v_d).ln_1p() + v_d / s + v_p * ((m_d - m_p) / s).powi(2) - 1.0)
}

#[test]
fn the_merge_has_the_values_of_the_specification() {
    everywhere(|device, dtype| {
        let (message, prior) = (unit(device, dtype, 0.5, 0.8), unit(device, dtype, -1.0, 2.0));
        for merged in [merge(&message, &prior).unwrap(), merge(&prior, &message).unwrap()] {
            assert_near("mean", number(&merged.mean), 0.071_428_6, digits(dtype));
            assert_near("variance", number(&merged.variance), 0.571_428_6, digits(dtype));
            assert_near(
                "KL to the prior",
                number(&merged.kl(&prior).unwrap()),
                0.556_228,
                digits(dtype),
            );
        }
        assert_near(
            "the other formula",
            kl_of_a_merge(0.5, 0.8, -1.0, 2.0),
            0.556_228,
            digits(DType::F64),
        );
    });
}

#[test]
fn the_kl_of_any_merge_has_its_closed_form() {
    let device = Device::cpu();
    let draw = |stream, low: f64, high: f64| {
        let uniform =
            Tensor::uniform(&device, DType::F64, Address::new(6, stream, 0), [500, 1]).unwrap();
        uniform.affine(high - low, low).unwrap()
    };
    let message =
        Gaussian { mean: draw(0, -3.0, 3.0), variance: draw(1, -5.0, 3.0).exp().unwrap() };
    let prior = Gaussian { mean: draw(2, -3.0, 3.0), variance: draw(3, -5.0, 3.0).exp().unwrap() };
    let found = merge(&message, &prior).unwrap().kl(&prior).unwrap().to_f64().unwrap();
    let [m_d, v_d, m_p, v_p] = [&message.mean, &message.variance, &prior.mean, &prior.variance]
        .map(|x| x.to_f64().unwrap());
    for (row, &found) in found.iter().enumerate() {
        let expected = kl_of_a_merge(m_d[row], v_d[row], m_p[row], v_p[row]);
        assert_near(&format!("row {row}"), found, expected, 1e-12);
    }
}

#[test]
fn bernoulli_log_probabilities_have_the_values_of_the_specification() {
    everywhere(|device, dtype| {
        let logits = Tensor::from_values(device, dtype, &[2.0, 2.0, -30.0], [3, 1]).unwrap();
        let x = Tensor::from_values(device, dtype, &[1.0, 0.0, 1.0], [3, 1]).unwrap();
        let found = Bernoulli { logits }.log_prob(&x).unwrap().to_f64().unwrap();
        for (found, expected) in found.iter().zip([-0.126_928, -2.126_928, -30.0]) {
            assert_near("log p", *found, expected, digits(dtype));
        }
        let blank = Bernoulli { logits: Tensor::zeros(device, dtype, [2, 784]).unwrap() };
        let images = Tensor::uniform(device, dtype, Address::new(1, 0, 0), [2, 784]).unwrap();
        let images = images.less(&Tensor::full(device, dtype, 0.4, [1]).unwrap()).unwrap();
        for found in blank.log_prob(&images).unwrap().to_f64().unwrap() {
            assert_near("784 even pixels", found, -784.0 * LN_2, digits(dtype));
            assert!((found + 543.43).abs() < 0.005);
        }
    });
}

/// The gradient of the bound with respect to each log weight is its share of the weights (section
/// 7.1).
#[test]
fn the_importance_bound_and_its_gradient_have_the_values_of_the_specification() {
    everywhere(|device, dtype| {
        let tape = Tape::new();
        let log_weights = Tensor::from_values(device, dtype, &[-90.0, -88.5, -93.0], [3]).unwrap();
        let log_weights = tape.variable(&log_weights).unwrap();
        let bound = importance_bound(&log_weights, 3).unwrap();
        assert_near("log-mean-exp", number(&bound), -89.388_158, digits(dtype));
        let average = importance_bound(&log_weights, 1).unwrap().mean_all().unwrap();
        assert_near("mean", number(&average), -90.5, digits(dtype));
        let shares = tape
            .backward(&bound.sum_all().unwrap())
            .unwrap()
            .of(&log_weights)
            .unwrap()
            .to_f64()
            .unwrap();
        for (found, expected) in shares.iter().zip([0.180_784, 0.810_216, 0.009_001]) {
            assert_near("share", *found, expected, 2.0 * digits(dtype));
        }
    });
}

#[test]
fn weights_beyond_the_range_of_floats_still_have_a_bound() {
    everywhere(|device, dtype| {
        for offset in [-1e4, 1e4] {
            let log_weights =
                Tensor::from_values(device, dtype, &[offset, offset + 1.0], [2]).unwrap();
            let expected = offset + ((1.0 + 1f64.exp()) / 2.0).ln();
            assert_near(
                "bound",
                number(&importance_bound(&log_weights, 2).unwrap()),
                expected,
                1e-6,
            );
        }
    });
}

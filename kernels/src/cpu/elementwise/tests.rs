//! Functions of one and of two numbers: values, derivatives, broadcasting, edges.

use super::super::testing::{assert_close, normals, positives, same_on_any_threads, widened};
use super::*;
use crate::Shape;

fn value(function: UnaryFunction, x: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; x.len()];
    unary(function, View::F64(x), ViewMut::F64(&mut out)).unwrap();
    out
}

#[test]
fn every_derivative_matches_differences() {
    let step = 1e-6;
    for &function in UnaryFunction::EXAMPLES {
        let x: Vec<f64> = [0.3, 0.61, 1.7, 2.9].to_vec();
        let y = value(function, &x);
        let saved = if function.derivative_needs() == DerivativeNeeds::Output { &y } else { &x };
        let mut derivative = [0.0; 4];
        unary_backward(
            function,
            View::F64(saved),
            View::F64(&[1.0; 4]),
            ViewMut::F64(&mut derivative),
        )
        .unwrap();
        let moved = |by: f64| value(function, &x.iter().map(|x| x + by).collect::<Vec<_>>());
        for ((derivative, above), below) in derivative.iter().zip(moved(step)).zip(moved(-step)) {
            let difference = (above - below) / (2.0 * step);
            assert!(
                (derivative - difference).abs() < 1e-6 * (1.0 + difference.abs()),
                "{function:?}: {derivative} against {difference}"
            );
        }
    }
}

#[test]
fn f32_agrees_with_f64_and_with_itself_on_any_threads() {
    for (i, &function) in UnaryFunction::EXAMPLES.iter().enumerate() {
        for len in [0, 1, 257, 50_021] {
            let x = positives(i as u32, len);
            let out = same_on_any_threads(|| {
                let mut out = vec![0f32; len];
                unary(function, View::F32(&x), ViewMut::F32(&mut out)).unwrap();
                out
            });
            assert_close(&format!("{function:?}"), &out, &value(function, &widened(&x)), 2e-6);
        }
    }
}

#[test]
fn what_is_not_a_number_stays_so() {
    for &function in UnaryFunction::EXAMPLES {
        assert!(value(function, &[f64::NAN])[0].is_nan(), "{function:?}");
    }
    assert_eq!(value(UnaryFunction::Relu, &[f64::NEG_INFINITY, -1.0, 2.0]), [0.0, 0.0, 2.0]);
    assert_eq!(value(UnaryFunction::Softplus, &[-1e4, 1e4]), [0.0, 1e4]);
    assert_eq!(value(UnaryFunction::Sigmoid, &[f64::NEG_INFINITY, f64::INFINITY]), [0.0, 1.0]);
}

#[test]
fn derivatives_at_kinks_follow_the_table() {
    let at_zero = |function| {
        let mut derivative = [9.0];
        unary_backward(
            function,
            View::F64(&[0.0]),
            View::F64(&[1.0]),
            ViewMut::F64(&mut derivative),
        )
        .unwrap();
        derivative[0]
    };
    assert_eq!(at_zero(UnaryFunction::Abs), 0.0);
    assert_eq!(at_zero(UnaryFunction::Relu), 0.0);
    assert_eq!(at_zero(UnaryFunction::LeakyRelu(0.1)), 0.1);
    assert_eq!(at_zero(UnaryFunction::Clamp(0.0, 1.0)), 0.0);
}

/// Any broadcast against index arithmetic on the shapes themselves.
#[test]
fn broadcasts_match_index_arithmetic() {
    let shapes: [(&[usize], &[usize]); 10] = [
        (&[60_007], &[60_007]),
        (&[211, 307], &[307]),
        (&[211, 307], &[211, 1]),
        (&[], &[70_001]),
        (&[3, 1, 5], &[1, 4, 1]),
        (&[2, 3, 4, 5], &[3, 1, 5]),
        (&[4, 1], &[1, 4]),
        (&[1], &[1]),
        (&[0, 3], &[3]),
        (&[50, 1, 40], &[50, 30, 1]),
    ];
    for (left_sizes, right_sizes) in shapes {
        let (left_shape, right_shape) =
            (Shape::from_slice(left_sizes).unwrap(), Shape::from_slice(right_sizes).unwrap());
        let (left, right) =
            (normals(1, left_shape.element_count()), normals(2, right_shape.element_count()));
        let broadcast = Broadcast::new(&left_shape, &right_shape).unwrap();
        let out = same_on_any_threads(|| {
            let mut out = vec![0f32; broadcast.element_count()];
            binary(
                BinaryFunction::Subtract,
                &broadcast,
                View::F32(&left),
                View::F32(&right),
                ViewMut::F32(&mut out),
            )
            .unwrap();
            out
        });
        let out_shape = left_shape.broadcast(&right_shape).unwrap();
        for (i, out) in out.iter().enumerate() {
            let expected = left[index_in(&left_shape, &out_shape, i)]
                - right[index_in(&right_shape, &out_shape, i)];
            assert_eq!(*out, expected, "{left_sizes:?} − {right_sizes:?} at {i}");
        }
    }
}

fn index_in(shape: &Shape, out: &Shape, mut index: usize) -> usize {
    let (mut at, mut stride) = (0, 1);
    for n in 1..=out.rank() {
        let position = index % out.from_last(n);
        index /= out.from_last(n);
        at += if shape.from_last(n) == 1 { 0 } else { position * stride };
        stride *= shape.from_last(n);
    }
    at
}

#[test]
fn comparisons_give_one_and_zero() {
    let broadcast = Broadcast::new(&[3].into(), &[3].into()).unwrap();
    let compare = |function| {
        let mut out = [9.0; 3];
        binary(
            function,
            &broadcast,
            View::F64(&[1.0, 2.0, f64::NAN]),
            View::F64(&[2.0, 2.0, 1.0]),
            ViewMut::F64(&mut out),
        )
        .unwrap();
        out
    };
    assert_eq!(compare(BinaryFunction::Less), [1.0, 0.0, 0.0]);
    assert_eq!(compare(BinaryFunction::GreaterOrEqual), [0.0, 1.0, 0.0]);
    assert_eq!(compare(BinaryFunction::NotEqual), [1.0, 0.0, 1.0]);
    assert!(compare(BinaryFunction::Maximum)[2].is_nan());
    assert!(compare(BinaryFunction::Minimum)[2].is_nan());
}

#[test]
fn an_operand_that_its_strides_leave_is_refused() {
    let broadcast = Broadcast::new(&[2, 3].into(), &[3].into()).unwrap();
    let error = binary(
        BinaryFunction::Add,
        &broadcast,
        View::F32(&[0.0; 6]),
        View::F32(&[0.0; 2]),
        ViewMut::F32(&mut [0.0; 6]),
    )
    .unwrap_err();
    assert_eq!(error.to_string(), "binary: right has 2 elements, its strides reach 3");
    let error = unary(UnaryFunction::Exp, View::F32(&[0.0]), ViewMut::F64(&mut [0.0])).unwrap_err();
    assert_eq!(error.to_string(), "unary: all floats must have one dtype: x f32, out f64");
}

#[test]
fn scaling_and_adding_updates_in_place() {
    let mut out = [1.0, 2.0];
    scale_and_add(3.0, View::F64(&[10.0, 20.0]), 0.5, ViewMut::F64(&mut out)).unwrap();
    assert_eq!(out, [30.5, 61.0]);
}

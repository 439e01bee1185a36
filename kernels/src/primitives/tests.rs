//! The checker finds what is wrong.

use super::*;
use crate::UnaryFunction;

/// The compiler sees to the functions; kernels are found by name when the program runs.
#[test]
fn every_room_has_kernels_under_its_stem() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/opencl/cl");
    let files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    for primitive in primitives() {
        let is_there = files.iter().any(|file| file.to_string_lossy().starts_with(primitive.room));
        assert!(is_there, "{} is declared in the room {}", primitive.name, primitive.room);
    }
}

#[test]
fn every_primitive_has_more_than_one_case() {
    for primitive in primitives() {
        assert!((primitive.cases)(&mut Draw::new(1, 0)).len() > 1, "{}", primitive.name);
    }
}

/// out = √x on the device, with what `break_it` does to the reference or the call.
fn square_roots(break_it: impl FnOnce(Case) -> Case) -> std::result::Result<(), Problem> {
    let x: Vec<f64> = (1..300).map(f64::from).collect();
    let len = x.len();
    let case = Case::new("mutant")
        .float(x)
        .output(len)
        .call(|device, x, out| device.unary(UnaryFunction::Sqrt, x[0], out[0].reborrow()))
        .expect(|x, _| vec![x[0].iter().map(|x| Expected::ulps(x.sqrt(), 4.0)).collect()]);
    check_case(&*Device::cpu(), DType::F32, &break_it(case))
}

#[test]
fn a_right_output_passes() {
    assert_eq!(square_roots(|case| case), Ok(()));
}

#[test]
fn an_element_wrong_by_three_bounds_is_reported() {
    let wrong = square_roots(|case| {
        case.expect(|x, _| {
            let mut expected: Vec<_> = x[0].iter().map(|x| Expected::ulps(x.sqrt(), 4.0)).collect();
            expected[117].value += 3.0 * expected[117].scale * f64::from(f32::EPSILON);
            vec![expected]
        })
    });
    assert!(matches!(wrong, Err(Problem::Value { output: 0, index: 117, .. })), "{wrong:?}");
}

#[test]
fn an_element_that_is_not_written_is_reported() {
    let wrong = square_roots(|case| {
        case.call(|device, x, out| {
            device.unary(UnaryFunction::Sqrt, x[0].range(0..298), out[0].reborrow().range(0..298))
        })
    });
    assert!(matches!(wrong, Err(Problem::Value { index: 298, .. })), "{wrong:?}");
}

#[test]
fn a_touched_guard_is_reported_on_both_sides() {
    let x: Vec<f64> = vec![4.0; 10];
    let whole = || Array { values: x.clone(), dtype: None };
    for (at, index) in [(GUARD - 1, -1), (GUARD + 10, 10)] {
        let device = Device::cpu();
        let (mut values, mut downloaded) = (vec![GUARD_VALUE; 10 + 2 * GUARD], Vec::new());
        values[GUARD..GUARD + 10].copy_from_slice(&whole().values);
        values[at] = 0.0;
        let buffer = to_device(&*device, DType::F64, &values).unwrap();
        downloaded.extend(to_host(&*device, buffer.view().range(0..values.len())).unwrap());
        let expected = vec![Expected::exact(4.0); 10];
        assert_eq!(
            check_output(0, DType::F64, &downloaded, &expected),
            Err(Problem::Guard { output: 0, index })
        );
    }
}

#[test]
fn a_refused_case_is_reported() {
    let refused = square_roots(|case| {
        case.call(|device, x, out| {
            device.unary(UnaryFunction::Sqrt, x[0].range(0..3), out[0].reborrow())
        })
    });
    assert!(matches!(refused, Err(Problem::Refused(_))), "{refused:?}");
}

#[test]
fn a_mismatch_names_all_that_repeats_it() {
    let problem = Problem::Value { output: 1, index: 3, got: 1.5, want: 1.0, bound: 0.125 };
    let mismatch = Mismatch {
        primitive: "merge",
        seed: 7,
        dtype: DType::F32,
        sizes: "length 5".into(),
        problem,
    };
    assert_eq!(
        mismatch.to_string(),
        "merge (f32, length 5, seed 7): output 1[3] is 1.5e0, not 1e0: off by 5e-1, bound 1.25e-1"
    );
}

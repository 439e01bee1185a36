//! Every way to a product against a plain sum in f64, and against itself on other numbers of
//! threads.

use super::*;
use proptest::prelude::*;

/// Numbers in (-1, 1) that depend on the seed alone.
fn numbers(length: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    };
    (0..length).map(|_| next()).collect()
}

/// How a product is computed.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// By an engine.
    Engine(Engine),
    /// Through the door, with a left matrix of zeros and ones.
    Binary,
}

impl Way {
    fn available() -> impl Iterator<Item = Way> {
        let engines = Engine::ALL.into_iter().filter(|engine| engine.is_available());
        engines.map(Way::Engine).chain([Way::Binary])
    }

    fn precision(self) -> Precision {
        match self {
            Way::Engine(engine) => engine.precision(),
            Way::Binary => Precision::Full,
        }
    }

    fn left(self, shape: MatmulShape, seed: u64) -> Vec<f32> {
        let mut left = numbers(shape.left_len(), seed);
        if let Way::Binary = self {
            left.iter_mut().for_each(|x| *x = f32::from(*x > 0.0));
        }
        left
    }

    fn multiply<T: MatmulElement>(
        self,
        shape: MatmulShape,
        left: &[T],
        right: &[T],
        epilogue: Epilogue<'_, T>,
        out: &mut [T],
    ) {
        match self {
            Way::Engine(engine) => matmul_with(engine, shape, left, right, epilogue, out),
            Way::Binary => matmul(shape, Precision::Full, left, right, epilogue, out),
        }
    }
}

/// (Σ terms, Σ |terms|) of element (i, j), in f64.
fn reference(shape: MatmulShape, left: &[f64], right: &[f64], i: usize, j: usize) -> (f64, f64) {
    let MatmulShape { rows, columns, inner, .. } = shape;
    (0..inner)
        .map(|p| {
            let a = left[if shape.left_transposed { p * rows + i } else { i * inner + p }];
            let b = right[if shape.right_transposed { j * inner + p } else { p * columns + j }];
            a * b
        })
        .fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()))
}

/// What a float type needs to be tested: its unit roundoff and its conversions.
trait TestElement: MatmulElement + PartialEq + std::fmt::Debug {
    const EPSILON: f64;
    fn from_f32(value: f32) -> Self;
    fn to_f64(self) -> f64;
    /// The number that an engine multiplies in its place.
    fn rounded(self, precision: Precision) -> Self;
}

impl TestElement for f32 {
    const EPSILON: f64 = f32::EPSILON as f64;
    fn from_f32(value: f32) -> f32 {
        value
    }
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    fn rounded(self, precision: Precision) -> f32 {
        match precision {
            Precision::Full => self,
            // Half of what the dropped bits can be, and 1 more where the last kept bit is odd.
            Precision::BFloat16 => {
                let bits = self.to_bits();
                f32::from_bits((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000)
            }
        }
    }
}

impl TestElement for f64 {
    const EPSILON: f64 = f64::EPSILON;
    fn from_f32(value: f32) -> f64 {
        f64::from(value)
    }
    fn to_f64(self) -> f64 {
        self
    }
    fn rounded(self, _precision: Precision) -> f64 {
        self
    }
}

/// The three epilogues by number, so that proptest can draw one.
fn epilogue<T>(kind: usize, bias: &[T]) -> Epilogue<'_, T> {
    match kind {
        0 => Epilogue::Store,
        1 => Epilogue::AddBias(bias),
        _ => Epilogue::Accumulate,
    }
}

fn convert<T: TestElement>(values: &[f32]) -> Vec<T> {
    values.iter().map(|&value| T::from_f32(value)).collect()
}

/// One product, checked element by element.
fn check<T: TestElement>(way: Way, shape: MatmulShape, kind: usize, seed: u64) {
    let left = convert::<T>(&way.left(shape, seed));
    let right = convert::<T>(&numbers(shape.right_len(), seed + 1));
    let bias = convert::<T>(&numbers(shape.columns, seed + 2));
    let before = convert::<T>(&numbers(shape.out_len(), seed + 3));
    let mut out = before.clone();
    way.multiply(shape, &left, &right, epilogue(kind, &bias), &mut out);
    let multiplied = |operand: Vec<T>| -> Vec<f64> {
        operand.into_iter().map(|x| x.rounded(way.precision()).to_f64()).collect()
    };
    let (left, right) = (multiplied(left), multiplied(right));
    for i in 0..shape.rows {
        for (j, bias) in bias.iter().enumerate() {
            let at = i * shape.columns + j;
            let (sum, size) = reference(shape, &left, &right, i, j);
            let added = [0.0, bias.to_f64(), before[at].to_f64()][kind];
            let bound =
                4.0 * (shape.inner.max(1) as f64).sqrt() * T::EPSILON * (size + added.abs());
            let (got, want) = (out[at].to_f64(), sum + added);
            assert!(
                (got - want).abs() <= bound,
                "{way:?} {shape:?} epilogue {kind} seed {seed} at ({i}, {j}): got {got}, want \
                {want}, bound {bound}"
            );
        }
    }
}

fn every_form(rows: usize, columns: usize, inner: usize) -> impl Iterator<Item = MatmulShape> {
    (0..4).map(move |form| MatmulShape {
        rows,
        columns,
        inner,
        left_transposed: form & 1 != 0,
        right_transposed: form & 2 != 0,
    })
}

/// Sizes at which an off-by-one shows: 0, 1, primes, and the neighbours of register, panel and
/// block sizes.
const SIDES: [usize; 24] =
    [0, 1, 2, 3, 5, 7, 8, 11, 13, 14, 15, 16, 17, 29, 31, 32, 33, 48, 49, 64, 65, 97, 129, 131];
/// The same for the length of the sums; the last ones need several blocks.
const INNERS: [usize; 14] = [0, 1, 2, 3, 7, 15, 16, 17, 32, 33, 64, 127, 257, 401];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn every_way_matches_sums_in_f64(
        rows in prop::sample::select(&SIDES[..]), columns in prop::sample::select(&SIDES[..]),
        inner in prop::sample::select(&INNERS[..]), left_transposed: bool, right_transposed: bool,
        kind in 0usize..3, seed in 0u64..1000,
    ) {
        let shape = MatmulShape { rows, columns, inner, left_transposed, right_transposed };
        Way::available().for_each(|way| check::<f32>(way, shape, kind, seed));
        check::<f64>(Way::Engine(Engine::Portable), shape, kind, seed);
        check::<f64>(Way::Binary, shape, kind, seed);
    }

    #[test]
    fn bits_do_not_depend_on_the_number_of_threads(
        rows in 1usize..300, columns in 1usize..300, inner in 1usize..600,
        left_transposed: bool, right_transposed: bool, kind in 0usize..3, seed in 0u64..1000,
    ) {
        let shape = MatmulShape { rows, columns, inner, left_transposed, right_transposed };
        Way::available().for_each(|way| check_threads(way, shape, kind, seed));
    }
}

fn pools() -> &'static [rayon::ThreadPool] {
    static POOLS: std::sync::OnceLock<Vec<rayon::ThreadPool>> = std::sync::OnceLock::new();
    let build = |threads| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool")
    };
    POOLS.get_or_init(|| (1..=4).map(build).collect())
}

fn check_threads(way: Way, shape: MatmulShape, kind: usize, seed: u64) {
    let left = way.left(shape, seed);
    let right = numbers(shape.right_len(), seed + 1);
    let bias = numbers(shape.columns, seed + 2);
    let before = numbers(shape.out_len(), seed + 3);
    let outs: Vec<Vec<f32>> = pools()
        .iter()
        .map(|pool| {
            let mut out = before.clone();
            pool.install(|| way.multiply(shape, &left, &right, epilogue(kind, &bias), &mut out));
            out
        })
        .collect();
    for (threads, out) in (2..).zip(&outs[1..]) {
        let same = outs[0].iter().zip(out).all(|(one, many)| one.to_bits() == many.to_bits());
        assert!(
            same,
            "{way:?} {shape:?} epilogue {kind} seed {seed}: 1 and {threads} threads differ"
        );
    }
}

#[test]
fn every_form_of_a_product_of_several_blocks_matches() {
    for shape in every_form(271, 97, 1031) {
        for way in Way::available() {
            (0..3).for_each(|kind| check::<f32>(way, shape, kind, 5));
            check_threads(way, shape, 1, 5);
        }
    }
}

/// The tables' product of a plain or transposed left matrix, if it was computed.
fn binary_product(shape: MatmulShape, left: &[f32], right: &[f32]) -> Option<Vec<f32>> {
    let mut out = vec![7.0; shape.out_len()];
    let is_computed = binary::multiply_if_binary(shape, left, right, Epilogue::Store, &mut out);
    assert!(
        is_computed || out.iter().all(|&x| x == 7.0),
        "a product that is not computed was written"
    );
    is_computed.then_some(out)
}

#[test]
fn a_left_matrix_of_zeros_and_ones_takes_the_tables_and_any_other_does_not() {
    for left_transposed in [false, true] {
        let shape = MatmulShape { left_transposed, ..MatmulShape::plain(33, 65, 71) };
        let left = Way::Binary.left(shape, 1);
        let right = numbers(shape.right_len(), 2);
        assert!(binary_product(shape, &left, &right).is_some());
        for at in [0, BORDER_OF_FIRST_LOOK, shape.left_len() - 1] {
            for other in [0.5, -1.0, 2.0, f32::NAN, f32::MIN_POSITIVE] {
                let mut left = left.clone();
                left[at] = other;
                assert!(binary_product(shape, &left, &right).is_none(), "{other} at {at}");
            }
        }
        assert!(
            binary_product(MatmulShape { right_transposed: true, ..shape }, &left, &right)
                .is_none()
        );
    }
}

/// The first element that is not looked at before the left matrix is packed.
const BORDER_OF_FIRST_LOOK: usize = 32;

#[test]
fn tables_of_more_rows_than_a_block_match() {
    for left_transposed in [false, true] {
        let shape = MatmulShape { left_transposed, ..MatmulShape::plain(2 * 1024 + 37, 64, 45) };
        (0..3).for_each(|kind| check::<f32>(Way::Binary, shape, kind, 3));
        check_threads(Way::Binary, shape, 2, 3);
    }
}

/// Infinities and NaNs meet rows of the left matrix, or 32 terms of one, that have no one, whose
/// sums are left out where all is finite.
#[test]
fn infinities_and_nans_pass_through_tables_as_through_multiplications() {
    let shape = MatmulShape::plain(40, 64, 70);
    let mut left = Way::Binary.left(shape, 4);
    left[..2 * 70].fill(0.0);
    left[5 * 70 + 32..5 * 70 + 64].fill(0.0);
    let finite = numbers(shape.right_len(), 5);
    let mut right = finite.clone();
    (right[3], right[64 * 42 + 9], right[64 * 7 + 20]) =
        (f32::INFINITY, f32::NAN, f32::NEG_INFINITY);
    for right in [finite, right] {
        let tables = binary_product(shape, &left, &right).expect("a binary matrix");
        let mut multiplied = vec![0.0; shape.out_len()];
        matmul_with(Engine::Portable, shape, &left, &right, Epilogue::Store, &mut multiplied);
        for (at, (&tables, &multiplied)) in tables.iter().zip(&multiplied).enumerate() {
            let is_near = (tables - multiplied).abs() < 1e-4;
            let is_same =
                is_near || tables == multiplied || (tables.is_nan() && multiplied.is_nan());
            assert!(is_same, "{tables}, {multiplied} at {at}");
        }
    }
}

#[test]
fn the_epilogue_is_given_each_element_of_tables_once() {
    let shape = MatmulShape::plain(1100, 70, 32);
    let (left, right) = (vec![1.0f32; shape.left_len()], vec![0.25f32; shape.right_len()]);
    let mut out = vec![0.0; shape.out_len()];
    let double = |Finished { mut elements, first_column }: Finished<'_, f32>| {
        assert!(first_column + elements.width() <= 70);
        (0..elements.rows()).for_each(|row| elements.row(row).iter_mut().for_each(|x| *x += 1.0));
    };
    matmul(shape, Precision::Full, &left, &right, Epilogue::Then(&double), &mut out);
    assert!(out.iter().all(|&x| x == 9.0));
}

#[test]
fn an_empty_sum_is_zero_or_the_bias() {
    let shape = MatmulShape {
        rows: 2,
        columns: 3,
        inner: 0,
        left_transposed: false,
        right_transposed: false,
    };
    let mut out = [7.0f32; 6];
    matmul(shape, Precision::Full, &[], &[], Epilogue::Accumulate, &mut out);
    assert_eq!(out, [7.0; 6]);
    matmul(shape, Precision::Full, &[], &[], Epilogue::AddBias(&[1.0, 2.0, 3.0]), &mut out);
    assert_eq!(out, [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]);
    matmul(shape, Precision::Full, &[], &[], Epilogue::Store, &mut out);
    assert_eq!(out, [0.0; 6]);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn no_part_of_a_product_takes_more_scratch_than_is_reserved() {
    use super::plan::Plan;
    use super::split::Part;
    use super::{avx2::Avx2, avx512::Avx512};

    const SIZES: [usize; 9] = [1, 5, 14, 33, 113, 225, 800, 2049, 5000];
    for (rows, columns) in SIZES.into_iter().flat_map(|rows| SIZES.map(|columns| (rows, columns))) {
        for (inner, left_transposed, right_transposed) in
            [(1, false, false), (257, true, false), (600, false, true), (1100, true, true)]
        {
            let shape = MatmulShape { rows, columns, inner, left_transposed, right_transposed };
            for tasks in [1, 2, 3, 7, 16] {
                Part::whole(shape).divide(tasks, [6, 16], &|part| {
                    let needed = Plan::new::<Avx2>(shape, &part).scratch_len();
                    assert!(needed <= Plan::most_scratch_len::<Avx2>(shape), "{shape:?} {part:?}");
                });
                Part::whole(shape).divide(tasks, [14, 32], &|part| {
                    let needed = Plan::new::<Avx512>(shape, &part).scratch_len();
                    assert!(
                        needed <= Plan::most_scratch_len::<Avx512>(shape),
                        "{shape:?} {part:?}"
                    );
                });
            }
        }
    }
}

//! What holds of spatial transformers on any device: what identity, shift and rotation show, what
//! there is outside, the published formulas by explicit loops, and the same bits in every run.

use proptest::prelude::{Strategy, any};
use proptest::sample::select;
use rung_autograd::gradcheck::{Options, gradcheck};
use rung_autograd::rng::Address;
use rung_autograd::{DType, Device, Outside, Tape, Tensor};
use rung_tests::{case_count, devices, opencl_devices, property};

const IDENTITY: [f64; 6] = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0];
const ALL_OUTSIDE: [Outside; 3] = [Outside::Zeros, Outside::Border, Outside::PaperTime];

fn normal(device: &Device, seed: u64, stream: u32, shape: &[usize]) -> Tensor {
    let shape = rung_autograd::Shape::from_slice(shape).unwrap();
    Tensor::normal(device, DType::F64, Address::new(seed, stream, 0), shape).unwrap()
}

/// The CPU and every OpenCL device in f32; those that have f64 in it too.
fn devices_and_types() -> Vec<(Device, DType)> {
    let single = [Device::cpu()].into_iter().chain(opencl_devices().iter().cloned());
    let double = devices().into_iter().map(|device| (device, DType::F64));
    single.map(|device| (device, DType::F32)).chain(double).collect()
}

/// One image of one channel under one transform.
fn seen(image: &Tensor, theta: [f64; 6], target: [usize; 2], outside: Outside) -> Vec<f64> {
    let theta = Tensor::from_values(image.device(), image.dtype(), &theta, [1, 6]).unwrap();
    image.spatial_transform(&theta, target, outside).unwrap().to_f64().unwrap()
}

/// Pixels between 0 and 1 that all differ.
fn picture(device: &Device, dtype: DType, [height, width]: [usize; 2]) -> (Tensor, Vec<f64>) {
    let shape = [1, height, width, 1];
    let image = Tensor::uniform(device, dtype, Address::new(5, 0, 0), shape).unwrap();
    let pixels = image.to_f64().unwrap();
    (image, pixels)
}

#[test]
fn the_identity_reproduces_the_image() {
    for (device, dtype) in devices_and_types() {
        for size in [[100, 100], [50, 50], [28, 31], [7, 1], [1, 9], [2, 33]] {
            let (image, pixels) = picture(&device, dtype, size);
            for outside in [Outside::Zeros, Outside::Border] {
                let found = seen(&image, IDENTITY, size, outside);
                let worst = found.iter().zip(&pixels).map(|(a, b)| (a - b).abs());
                let worst = worst.fold(0.0, f64::max);
                assert!(worst <= 1e-6, "{} {dtype} {size:?} {outside:?}: {worst}", device.name());
            }
        }
    }
}

/// A translation of 2k/(W − 1) is k pixels. The content that was k pixels further right and m
/// further down appears: the picture seems to move left and up.
#[test]
fn a_shift_of_whole_pixels_is_exact() {
    for (device, dtype) in devices_and_types() {
        // Of 65 pixels, the shift is a binary fraction; of 100 it is rounded.
        let rounded = if dtype == DType::F32 { 1e-5 } else { 1e-12 };
        for (size, bound) in [(65, 0.0), (100, rounded)] {
            let (image, pixels) = picture(&device, dtype, [size; 2]);
            for (k, m) in [(1, 0), (0, 1), (16, -5), (-40, 33)] {
                let shift = |pixels: i32| 2.0 * f64::from(pixels) / (size - 1) as f64;
                let theta = [1.0, 0.0, shift(k), 0.0, 1.0, shift(m)];
                let found = seen(&image, theta, [size; 2], Outside::Zeros);
                for (at, found) in found.into_iter().enumerate() {
                    let (row, column) = ((at / size) as i32 + m, (at % size) as i32 + k);
                    let inside =
                        (0..size as i32).contains(&row) && (0..size as i32).contains(&column);
                    let expected =
                        if inside { pixels[row as usize * size + column as usize] } else { 0.0 };
                    assert!(
                        (found - expected).abs() <= bound,
                        "{} {dtype}, {size} pixels, shift {k}, {m}: [{at}] is {found}, not \
                        {expected}",
                        device.name()
                    );
                }
            }
        }
    }
}

/// x comes first: θ₃ moves along columns, and a turn by 90° exchanges rows and columns the right
/// way round.
#[test]
fn translation_and_rotation_have_their_direction() {
    for device in devices() {
        let size = 6;
        let (image, pixels) = picture(&device, DType::F64, [size; 2]);
        // Half of the width of 5 steps to the right: column 0 shows what is at 2.5.
        let found = seen(&image, [1.0, 0.0, 1.0, 0.0, 1.0, 0.0], [size; 2], Outside::Zeros);
        assert!((found[0] - (pixels[2] + pixels[3]) / 2.0).abs() < 1e-12);
        assert_eq!(found[5], 0.0);
        // (0, −1, 0, 1, 0, 0): x_s = −y_t, y_s = x_t, so (row i, column j) shows (j, size − 1 − i).
        let found = seen(&image, [0.0, -1.0, 0.0, 1.0, 0.0, 0.0], [size; 2], Outside::Zeros);
        for (at, found) in found.into_iter().enumerate() {
            let (i, j) = (at / size, at % size);
            let expected = pixels[j * size + size - 1 - i];
            assert!((found - expected).abs() < 1e-12, "[{i}, {j}] is {found}, not {expected}");
        }
    }
}

/// A row 1, 2, 3, 4 read at −1.5, −0.5, 0, 2.5, 3, 3.5 and 4.5.
#[test]
fn each_rule_reads_its_own_outside() {
    let positions = [-1.5, -0.5, 0.0, 2.5, 3.0, 3.5, 4.5];
    let grid: Vec<f64> = positions.iter().flat_map(|&x| [x, 0.5]).collect();
    for device in devices() {
        let image =
            Tensor::from_f64(&device, &[1.0, 2.0, 3.0, 4.0].repeat(2), [1, 2, 4, 1]).unwrap();
        let grid = Tensor::from_f64(&device, &grid, [1, 1, positions.len(), 2]).unwrap();
        for (outside, expected) in [
            (Outside::Zeros, [0.0, 0.5, 1.0, 3.5, 4.0, 2.0, 0.0]),
            (Outside::Border, [1.0, 1.0, 1.0, 3.5, 4.0, 4.0, 4.0]),
            (Outside::PaperTime, [0.0, 0.0, 1.0, 3.5, 0.0, 0.0, 0.0]),
        ] {
            let found = image.sample_bilinear(&grid, outside).unwrap().to_f64().unwrap();
            assert_eq!(found, expected, "{outside:?} on {}", device.name());
        }
        // The published layer took [−1, 1] for all of the width, one pixel more than there is room.
        let theta = Tensor::from_f64(&device, &IDENTITY, [1, 6]).unwrap();
        let corners = theta.affine_grid([3, 5], [2, 2], Outside::PaperTime).unwrap();
        assert_eq!(corners.to_f64().unwrap(), [0.0, 0.0, 5.0, 0.0, 0.0, 3.0, 5.0, 3.0]);
    }
}

/// Images, transforms and a grid.
#[derive(Clone, Debug)]
struct Choice {
    images: usize,
    repeat: usize,
    source: [usize; 2],
    channels: usize,
    target: [usize; 2],
    outside: Outside,
    seed: u64,
}

fn choices() -> impl Strategy<Value = Choice> {
    let sizes = (1..4usize, 1..4usize, [1..9usize, 1..9usize], 1..4usize, [1..7usize, 1..7usize]);
    let rest = (select(ALL_OUTSIDE.to_vec()), any::<u64>().prop_map(|seed| seed >> 8));
    (sizes, rest).prop_map(|((images, repeat, source, channels, target), (outside, seed))| Choice {
        images,
        repeat,
        source,
        channels,
        target,
        outside,
        seed,
    })
}

/// The transform by explicit loops, with its gradients (specification sections 1 and 1.2).
struct Loops {
    out: Vec<f64>,
    grad_image: Vec<f64>,
    grad_theta: Vec<f64>,
}

fn loops(choice: &Choice, image: &[f64], theta: &[f64], grad_out: &[f64]) -> Loops {
    let &Choice { images, repeat, source: [height, width], channels, target, outside, .. } = choice;
    let [rows, columns] = target;
    let (mut out, mut grad_image) = (Vec::new(), vec![0.0; image.len()]);
    let mut grad_theta = vec![0.0; theta.len()];
    let normalised = |at: usize, size: usize| {
        if size == 1 { 0.0 } else { -1.0 + 2.0 * at as f64 / (size as f64 - 1.0) }
    };
    let half = |size: usize| match outside {
        Outside::PaperTime => size as f64 / 2.0,
        _ => (size as f64 - 1.0) / 2.0,
    };
    for row in 0..images * repeat {
        let t = &theta[6 * row..][..6];
        let first = row / repeat * height * width * channels;
        for (i, j) in (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))) {
            let (x, y) = (normalised(j, columns), normalised(i, rows));
            let px = (t[0] * x + t[1] * y + t[2] + 1.0) * half(width);
            let py = (t[3] * x + t[4] * y + t[5] + 1.0) * half(height);
            let (fx, fy) = (px - px.floor(), py - py.floor());
            let is_dark = outside == Outside::PaperTime
                && !(px >= 0.0 && px < width as f64 - 1.0 && py >= 0.0 && py < height as f64 - 1.0);
            // The place of a neighbour's first channel, if there is one.
            let place = |a: i64, b: i64| {
                let (v, u) = (py.floor() as i64 + a, px.floor() as i64 + b);
                let (last_v, last_u) = (height as i64 - 1, width as i64 - 1);
                match outside {
                    Outside::Border => Some((v.clamp(0, last_v), u.clamp(0, last_u))),
                    _ if is_dark => None,
                    _ => ((0..=last_v).contains(&v) && (0..=last_u).contains(&u)).then_some((v, u)),
                }
                .map(|(v, u)| first + (v as usize * width + u as usize) * channels)
            };
            let (mut gx, mut gy) = (0.0, 0.0);
            for c in 0..channels {
                let value = |a, b| place(a, b).map_or(0.0, |place| image[place + c]);
                let [i00, i01, i10, i11] = [value(0, 0), value(0, 1), value(1, 0), value(1, 1)];
                let grad = grad_out[out.len()];
                out.push(
                    (1.0 - fy) * ((1.0 - fx) * i00 + fx * i01) + fy * ((1.0 - fx) * i10 + fx * i11),
                );
                gx += grad * ((1.0 - fy) * (i01 - i00) + fy * (i11 - i10));
                gy += grad * ((1.0 - fx) * (i10 - i00) + fx * (i11 - i01));
                for (a, b) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                    let weight =
                        (if a == 0 { 1.0 - fy } else { fy }) * (if b == 0 { 1.0 - fx } else { fx });
                    if let Some(place) = place(a, b) {
                        grad_image[place + c] += grad * weight;
                    }
                }
            }
            let (gx, gy) = (gx * half(width), gy * half(height));
            for (k, term) in [gx * x, gx * y, gx, gy * x, gy * y, gy].into_iter().enumerate() {
                grad_theta[6 * row + k] += term;
            }
        }
    }
    Loops { out, grad_image, grad_theta }
}

#[test]
fn values_and_gradients_are_those_of_explicit_loops() {
    property(case_count(200), choices(), |choice| {
        let Choice { images, repeat, source: [height, width], channels, target, outside, seed } =
            choice;
        for device in devices() {
            let image = normal(&device, seed, 0, &[images, height, width, channels]);
            let theta = normal(&device, seed, 1, &[images * repeat, 6]);
            let shape = [images * repeat, target[0], target[1], channels];
            let weight = normal(&device, seed, 2, &shape);
            let tape = Tape::new();
            let inputs = [tape.variable(&image).unwrap(), tape.variable(&theta).unwrap()];
            let out = inputs[0].spatial_transform(&inputs[1], target, outside).unwrap();
            let loss = out.mul(&weight).unwrap().sum_all().unwrap();
            let gradients = tape.backward(&loss).unwrap();
            let values = |tensor: &Tensor| tensor.to_f64().unwrap();
            let expected = loops(&choice, &values(&image), &values(&theta), &values(&weight));
            for (what, found, expected) in [
                ("value", values(&out), expected.out),
                (
                    "gradient of the image",
                    values(&gradients.of(&inputs[0]).unwrap()),
                    expected.grad_image,
                ),
                ("gradient of θ", values(&gradients.of(&inputs[1]).unwrap()), expected.grad_theta),
            ] {
                for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
                    if (found - expected).abs() > 1e-10 * (1.0 + expected.abs()) {
                        let device = device.name();
                        return Err(format!("{device}: {what} [{at}] is {found}, not {expected}"));
                    }
                }
            }
        }
        Ok(())
    });
}

/// The positions that these transforms read are at least 0.05 of a pixel from a whole one, which
/// the differences do not cross.
#[test]
fn gradients_match_differences_away_from_the_kinks() {
    let theta = [0.86, -0.02, 0.28, -0.18, 0.99, 0.33, 0.29, -0.01, -0.3, 0.03, 0.34, 0.17];
    let (source, target) = ([7, 8], [3, 2]);
    for device in devices() {
        let theta = Tensor::from_f64(&device, &theta, [2, 6]).unwrap();
        let grid = theta.affine_grid(source, target, Outside::Zeros).unwrap().to_f64().unwrap();
        let nearest = grid.iter().map(|x| (x - x.round()).abs()).fold(1.0, f64::min);
        assert!(nearest > 0.05, "a position is {nearest} from a whole pixel");
        let image = normal(&device, 1, 0, &[1, source[0], source[1], 2]);
        let function =
            |x: &[Tensor]| Ok(vec![x[0].spatial_transform(&x[1], target, Outside::Zeros)?]);
        gradcheck(&[image, theta], function, &Options::default()).unwrap();
    }
}

/// Many positions hit one pixel, so that the order of the sum shows.
#[test]
fn the_gradient_of_an_image_has_the_same_bits_in_every_run() {
    for (device, dtype) in devices_and_types() {
        let image = Tensor::zeros(&device, dtype, [3, 9, 9, 2]).unwrap();
        let theta = normal(&Device::cpu(), 1, 0, &[6, 6]).scale(0.2).unwrap().to_f64().unwrap();
        let theta = Tensor::from_values(&device, dtype, &theta, [6, 6]).unwrap();
        let run = || {
            let tape = Tape::new();
            let image = tape.variable(&image).unwrap();
            let out = image.spatial_transform(&theta, [40, 40], Outside::Zeros).unwrap();
            let weight =
                Tensor::normal(&device, dtype, Address::new(2, 0, 0), *out.shape()).unwrap();
            let loss = out.mul(&weight).unwrap().sum_all().unwrap();
            tape.backward(&loss).unwrap().of(&image).unwrap().to_f64().unwrap()
        };
        let first = run();
        assert!(first.iter().any(|gradient| *gradient != 0.0));
        for _ in 0..3 {
            assert_eq!(run(), first, "{} {dtype}", device.name());
        }
    }
}

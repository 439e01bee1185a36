//! What holds of convolutions on any device: sizes, adjointness, the plain products among them, and
//! pooling.

use rung_autograd::gradcheck::{Options, gradcheck};
use rung_autograd::rng::Address;
use rung_autograd::{DType, Device, Result, Tensor};
use rung_tests::convnet::ConvNet;
use rung_tests::{devices, opencl_devices};

fn normal<const N: usize>(device: &Device, dtype: DType, stream: u32, shape: [usize; N]) -> Tensor {
    Tensor::normal(device, dtype, Address::new(3, stream, 0), shape).unwrap()
}

/// ⟨a, b⟩ and ‖a‖·‖b‖ in f64.
fn inner_product(a: &Tensor, b: &Tensor) -> (f64, f64) {
    let (a, b) = (a.to_f64().unwrap(), b.to_f64().unwrap());
    assert_eq!(a.len(), b.len());
    let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
    (a.iter().zip(&b).map(|(a, b)| a * b).sum(), norm(&a) * norm(&b))
}

/// The CPU and every OpenCL device, in f32 too where a device has nothing else.
fn all_devices() -> Vec<Device> {
    let mut all = vec![Device::cpu()];
    all.extend(opencl_devices().iter().cloned());
    all
}

#[test]
fn a_transposed_convolution_is_the_adjoint_of_the_convolution() {
    for device in all_devices() {
        for (size, kernel, stride) in [28, 14, 7]
            .into_iter()
            .flat_map(|size| [(size, 3, 1), (size, 5, 1), (size, 3, 2), (size, 5, 2)])
        {
            // A transposed convolution gives multiples of the stride, so an odd map has no
            // counterpart.
            if size % stride != 0 {
                continue;
            }
            let x = normal(&device, DType::F32, 0, [2, size, size, 6]);
            let weight = normal(&device, DType::F32, 1, [kernel, kernel, 6, 10]);
            let out = x.conv2d(&weight, None, stride).unwrap();
            let y = normal(&device, DType::F32, 2, [2, size / stride, size / stride, 10]);
            let turned = y.conv_transpose2d(&weight, None, stride).unwrap();
            let ((left, scale), (right, _)) = (inner_product(&out, &y), inner_product(&x, &turned));
            assert!(
                (left - right).abs() <= 1e-5 * scale,
                "{}: {size} {kernel} {stride}: {left} and {right}",
                device.name()
            );
        }
    }
}

#[test]
fn an_axis_gives_its_size_over_the_stride_rounded_up_and_back() {
    let device = Device::cpu();
    for (size, kernel, stride, out) in
        [(28, 5, 2, 14), (14, 3, 2, 7), (7, 3, 2, 4), (16, 16, 1, 16), (5, 1, 3, 2)]
    {
        let x = Tensor::zeros(&device, DType::F32, [1, size, 2 * size, 3]).unwrap();
        let weight = Tensor::zeros(&device, DType::F32, [kernel, kernel, 3, 2]).unwrap();
        let found = x.conv2d(&weight, None, stride).unwrap();
        assert_eq!(found.shape().sizes(), [1, out, (2 * size).div_ceil(stride), 2]);
        let weight = Tensor::zeros(&device, DType::F32, [kernel, kernel, 2, 3]).unwrap();
        let found = x.conv_transpose2d(&weight, None, stride).unwrap();
        assert_eq!(found.shape().sizes(), [1, size * stride, 2 * size * stride, 2]);
    }
}

/// A kernel of one number is a layer on each position, and so is any kernel on a map of one
/// position.
#[test]
fn convolutions_without_neighbours_are_layers() -> Result<()> {
    for device in devices() {
        let bias = normal(&device, DType::F64, 2, [5]);
        let (x, weight) = (
            normal(&device, DType::F64, 0, [2, 3, 4, 7]),
            normal(&device, DType::F64, 1, [1, 1, 7, 5]),
        );
        let layer = x.reshape([24, 7])?.linear(&weight.reshape([7, 5])?, Some(&bias))?;
        assert_eq!(
            x.conv2d(&weight, Some(&bias), 1)?.to_f64()?,
            layer.to_f64()?,
            "{}",
            device.name()
        );

        let (x, weight) = (
            normal(&device, DType::F64, 0, [6, 1, 1, 7]),
            normal(&device, DType::F64, 1, [3, 5, 7, 5]),
        );
        let centre = weight.reshape([15, 7, 5])?.slice(0, 7, 1)?.reshape([7, 5])?;
        let layer = x.reshape([6, 7])?.linear(&centre, Some(&bias))?;
        assert_eq!(
            x.conv2d(&weight, Some(&bias), 1)?.to_f64()?,
            layer.to_f64()?,
            "{}",
            device.name()
        );
    }
    Ok(())
}

/// Without padding, a convolution gives what one with padding gives where no zero is read.
#[test]
fn a_convolution_without_padding_is_the_middle_of_the_padded_one() -> Result<()> {
    for device in all_devices() {
        for (size, kernel) in [([9, 12], 3), ([7, 7], 5), ([3, 4], 3), ([6, 5], 1)] {
            let x = normal(&device, DType::F32, 0, [2, size[0], size[1], 4]);
            let weight = normal(&device, DType::F32, 1, [kernel, kernel, 4, 3]);
            let bias = normal(&device, DType::F32, 2, [3]);
            let edge = kernel / 2;
            let [height, width] = size.map(|size| size - kernel + 1);
            let padded = x.conv2d(&weight, Some(&bias), 1)?;
            let middle = padded.slice(1, edge, height)?.slice(2, edge, width)?.to_f64()?;
            let found = x.conv2d_valid(&weight, Some(&bias), 1)?;
            assert_eq!(found.shape().sizes(), [2, height, width, 3]);
            for (found, expected) in found.to_f64()?.into_iter().zip(middle) {
                assert!((found - expected).abs() < 1e-4, "{}: {found}, {expected}", device.name());
            }
        }
    }
    Ok(())
}

#[test]
fn pooling_means_its_windows() -> Result<()> {
    for device in devices() {
        let x = normal(&device, DType::F64, 0, [3, 4, 6, 5]);
        for (size, [height, width]) in [(1, [4, 6]), (2, [2, 3])] {
            let pooled = x.average_pool2d(size)?;
            assert_eq!(pooled.shape().sizes(), [3, height, width, 5]);
            let values = x.to_f64()?;
            for (i, found) in pooled.to_f64()?.into_iter().enumerate() {
                let (c, q, p, n) =
                    (i % 5, i / 5 % width, i / 5 / width % height, i / 5 / width / height);
                let at = |a: usize, b: usize| ((n * 4 + p * size + a) * 6 + q * size + b) * 5 + c;
                let window = (0..size).flat_map(|a| (0..size).map(move |b| (a, b)));
                let mean =
                    window.map(|(a, b)| values[at(a, b)]).sum::<f64>() / (size * size) as f64;
                assert!(
                    (found - mean).abs() < 1e-12,
                    "{}: [{i}] is {found}, not {mean}",
                    device.name()
                );
            }
        }
        gradcheck(&[x], |x| Ok(vec![x[0].average_pool2d(2)?]), &Options::default()).unwrap();
    }
    Ok(())
}

#[test]
fn pooling_refuses_windows_that_do_not_fit() {
    let x = Tensor::zeros(&Device::cpu(), DType::F32, [1, 4, 6, 2]).unwrap();
    for size in [0, 3, 4, 8] {
        let error = x.average_pool2d(size).unwrap_err().to_string();
        assert!(
            error.contains(&format!("multiples of the window, which is {size}: x [1, 4, 6, 2]")),
            "{error}"
        );
    }
    let error = x.reshape([4, 12]).unwrap().average_pool2d(2).unwrap_err().to_string();
    assert!(error.contains("x must be [batch, height, width, channel]"), "{error}");
}

/// Maps of odd size, a stride of 2 and its transpose cannot be added; 6 × 6 has a map of 3 × 3
/// within.
#[test]
fn the_gradients_of_a_convolutional_model_match_differences() {
    for device in devices() {
        let mut model = ConvNet::new(&device, DType::F64, 2, 6).unwrap();
        model.check_gradients(&Options { directions: 2, ..Options::default() }).unwrap();
    }
}

#[test]
fn a_convolutional_model_learns_its_batch() {
    for device in all_devices() {
        let mut model = ConvNet::new(&device, DType::F32, 8, 10).unwrap();
        let first = model.train_step().unwrap().to_scalar().unwrap();
        (0..60).for_each(|_| drop(model.train_step().unwrap()));
        let last = model.train_step().unwrap().to_scalar().unwrap();
        // A hundred pixels of 256 levels: the first guess is no better than even, and each pixel
        // gains a fifth of a nat at least.
        assert!(last < first - 20.0, "{}: {first} nats, then {last}", device.name());
    }
}

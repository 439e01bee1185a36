//! Products in bfloat16: on CPUs that have them a product of rounded operands, elsewhere refused.

use rung_autograd::{DType, Device, Tensor};
use rung_kernels::cpu::Cpu;
use rung_kernels::{MatmulShape, Precision};
use rung_tests::mlp::{Mlp, Sizes};
use rung_tests::opencl_devices;

/// The CPU with products in bfloat16, if it has the instructions; if not, the test of refusals is
/// what there is to see.
fn bfloat16() -> Option<Device> {
    let cpu = Cpu::new().with_precision(Precision::BFloat16).map(Device::new);
    if cpu.is_none() {
        println!("this CPU has no products in bfloat16");
    }
    cpu
}

/// Numbers in (-2, 2) with all their bits in use.
fn numbers(len: usize, seed: u32) -> Vec<f32> {
    let address = rung_autograd::rng::Address::new(7, seed, 0);
    let normal = Tensor::normal(&Device::cpu(), DType::F32, address, [len]).unwrap();
    normal.tanh().unwrap().scale(2.0).unwrap().to_f32().unwrap()
}

/// The nearest number of 8 significant bits, the even one of two.
fn rounded(x: f32) -> f32 {
    let unit = f64::from(x.abs()).log2().floor().exp2() / 128.0;
    ((f64::from(x) / unit).round_ties_even() * unit) as f32
}

#[test]
fn a_product_is_that_of_rounded_operands() {
    let Some(device) = bfloat16() else { return };
    let (rows, inner, columns) = (37, 83, 45);
    let (left, right) = (numbers(rows * inner, 1), numbers(inner * columns, 2));
    let tensor = |device: &Device, values: &[f32], shape: [usize; 2]| {
        Tensor::from_f32(device, values, shape).unwrap()
    };
    let product = |device: &Device, left: &[f32], right: &[f32]| {
        let left = tensor(device, left, [rows, inner]);
        let right = tensor(device, right, [inner, columns]);
        left.matmul(&right).unwrap().to_f32().unwrap()
    };
    let round = |values: &[f32]| values.iter().copied().map(rounded).collect::<Vec<_>>();
    let found = product(&device, &left, &right);
    let expected = product(&Device::cpu(), &round(&left), &round(&right));
    for (found, expected) in found.iter().zip(&expected) {
        assert!((found - expected).abs() < 1e-4, "{found} is not {expected}");
    }
    let unrounded = product(&Device::cpu(), &left, &right);
    let far = found.iter().zip(&unrounded).filter(|(a, b)| (*a - *b).abs() > 1e-3).count();
    assert!(far > found.len() / 2, "only {far} of {} sums differ from f32's", found.len());
}

#[test]
fn f64_is_never_rounded() {
    let Some(device) = bfloat16() else { return };
    let product = |device: &Device| {
        let values = |seed| numbers(30 * 30, seed).into_iter().map(f64::from).collect::<Vec<_>>();
        let tensor = |seed| Tensor::from_f64(device, &values(seed), [30, 30]).unwrap();
        tensor(3).matmul(&tensor(4)).unwrap().to_f64().unwrap()
    };
    assert_eq!(product(&device), product(&Device::cpu()));
}

/// Forward and backward products of a training round, and it learns as well as in `f32`.
#[test]
fn a_training_follows_that_of_f32() {
    let Some(device) = bfloat16() else { return };
    let losses = |device: &Device| {
        let sizes = Sizes { batch: 64, pixels: 200, hidden: 64, latent: 16 };
        let mut mlp = Mlp::new(device, DType::F32, sizes).unwrap();
        let loss = |_| mlp.train_step().unwrap().0.to_scalar().unwrap();
        (0..30).map(loss).collect::<Vec<f64>>()
    };
    let (found, expected) = (losses(&device), losses(&Device::cpu()));
    assert_ne!(found, expected, "nothing was rounded");
    assert!(expected[29] < 0.95 * expected[0], "the loss does not fall: {expected:?}");
    for (found, expected) in found.iter().zip(&expected) {
        assert!((found / expected - 1.0).abs() < 0.01, "{found} is far from {expected}");
    }
}

#[test]
fn a_device_without_it_refuses() {
    let mut without = opencl_devices().to_vec();
    without.extend(bfloat16().is_none().then(Device::cpu));
    for device in without {
        let x = Tensor::from_f32(&device, &[1.0; 4], [2, 2]).unwrap();
        let shape = MatmulShape::plain(2, 2, 2);
        let out = Tensor::build(&device, DType::F32, [2, 2].into(), |out| {
            device.matmul(shape, Precision::BFloat16, x.view(), x.view(), None, out)
        });
        let error = out.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("bfloat16") || error.contains("BFloat16"), "{device:?}: {error:?}");
    }
}

//! Convolutions of the sizes of convolutional models at a batch of 48: forward, and the adjoints in
//! the map and in the weight, on 1 and 2 threads.
//!
//! `cargo bench -p rung-kernels --bench convolution -- "28x28 64>64 k3"` runs one size.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rung_kernels::backend::{Convolution, Padding};
use rung_kernels::rng::Address;
use rung_kernels::{DType, Device, SharedBuffer, ViewMut};

const BATCH: usize = 48;

/// Height and width, channels in and out, kernel, stride.
type Case = (usize, [usize; 2], usize, usize);

/// With SAME padding, and those of stride 1 also without padding.
const CASES: [Case; 14] = [
    (28, [16, 16], 3, 1),
    (28, [24, 48], 3, 2),
    (28, [64, 64], 3, 1),
    (28, [64, 128], 3, 1),
    (28, [64, 64], 5, 1),
    (28, [64, 64], 5, 2),
    (14, [24, 48], 3, 1),
    (14, [32, 32], 3, 1),
    (14, [64, 64], 3, 1),
    (14, [64, 128], 3, 1),
    (14, [64, 64], 5, 1),
    (16, [96, 38], 16, 1),
    (24, [20, 20], 3, 1),
    (48, [96, 96], 3, 1),
];

fn normal(device: &Device, len: usize) -> SharedBuffer {
    let mut buffer = device.allocate(DType::F32, len).expect("there is memory");
    device.fill_normal(Address::new(1, 0, 0), whole(&mut buffer)).expect("it is a float");
    buffer
}

fn whole(buffer: &mut SharedBuffer) -> ViewMut<'_> {
    buffer.get_mut().expect("nobody else holds it").view_mut()
}

fn convolutions(criterion: &mut Criterion) {
    let device = Device::cpu();
    let padded = CASES.map(|case| (case, Padding::Same));
    let valid = CASES.map(|case| (case, Padding::Valid));
    let valid = valid.into_iter().filter(|((_, _, _, stride), _)| *stride == 1);
    for ((size, [in_channels, out_channels], kernel, stride), padding) in
        padded.into_iter().chain(valid)
    {
        let (batch, input, kernel) = (BATCH, [size; 2], [kernel; 2]);
        let sizes =
            Convolution { batch, input, in_channels, out_channels, kernel, stride, padding };
        let around = if padding == Padding::Valid { " valid" } else { "" };
        let name =
            format!("{size}x{size} {in_channels}>{out_channels} k{} s{stride}{around}", kernel[0]);
        let [mut x, mut weight, mut y] =
            [sizes.input_matrix(), sizes.weight_matrix(), sizes.output_matrix()]
                .map(|matrix| normal(&device, matrix.element_count()));
        let mut group = criterion.benchmark_group(name);
        // One element is one multiply-add.
        group.throughput(Throughput::Elements(sizes.product().multiply_adds() as u64));
        for threads in [1, 2] {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .expect("a thread pool");
            group.bench_function(BenchmarkId::new("forward", threads), |bencher| {
                pool.install(|| {
                    bencher
                        .iter(|| device.conv2d(sizes, x.view(), weight.view(), None, whole(&mut y)))
                });
            });
            group.bench_function(BenchmarkId::new("map", threads), |bencher| {
                pool.install(|| {
                    bencher.iter(|| {
                        device.conv2d_transpose(sizes, y.view(), weight.view(), None, whole(&mut x))
                    });
                });
            });
            group.bench_function(BenchmarkId::new("weight", threads), |bencher| {
                pool.install(|| {
                    bencher.iter(|| {
                        device.conv2d_weight_gradient(sizes, x.view(), y.view(), whole(&mut weight))
                    });
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, convolutions);
criterion_main!(benches);

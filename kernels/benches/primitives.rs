//! Times the primitives that a training step of the five-layer ladder spends its time in, at its
//! sizes.
//!
//! `cargo bench -p rung-kernels --bench primitives`; set RAYON_NUM_THREADS for another number of
//! threads. Throughput counts the bytes that must be read and written once. Everything runs inside
//! the rayon pool, as training does.

use std::hint::black_box;
use std::time::Instant;

use criterion::{
    BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime,
};
use rung_kernels::backend::{
    AdamStep, BatchNorm, BatchNormVectors, BatchStatistics, GaussianGradient, GaussianView, Matrix,
    PixelMap,
};
use rung_kernels::rng::Address;
use rung_kernels::{DType, Device, SharedBuffer, UnaryFunction, View, ViewMut};

const ADDRESS: Address = Address::new(1, 2, 3);

/// Memory as training uses it: from the pool, which aligns it to cache lines.
struct Array(SharedBuffer);

impl Array {
    fn new(cpu: &Device, len: usize) -> Self {
        Self(cpu.allocate(DType::F32, len).expect("there is memory"))
    }

    /// Uniform numbers on (0, 1), plus an offset.
    fn uniform(cpu: &Device, len: usize, offset: f64) -> Self {
        let (mut uniform, mut shifted) = (Self::new(cpu, len), Self::new(cpu, len));
        cpu.fill_uniform(ADDRESS, uniform.write()).expect("it is a float");
        cpu.unary(UnaryFunction::Affine(1.0, offset), uniform.read(), shifted.write())
            .expect("the lengths are equal");
        shifted
    }

    fn read(&self) -> View<'_> {
        self.0.view()
    }

    fn write(&mut self) -> ViewMut<'_> {
        self.0.get_mut().expect("nobody else holds it").view_mut()
    }
}

/// Times one call inside the pool.
fn time(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    bytes: usize,
    mut call: impl FnMut() -> rung_kernels::Result<()> + Send,
) {
    group.throughput(Throughput::Bytes(bytes as u64));
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|iterations| {
            let timed = || {
                let start = Instant::now();
                for _ in 0..iterations {
                    black_box(call()).expect("the sizes fit");
                }
                start.elapsed()
            };
            rayon::join(timed, || ()).0
        });
    });
}

fn normalisation(group: &mut BenchmarkGroup<'_, WallTime>, cpu: &Device) {
    let matrix = Matrix { rows: 256, columns: 512 };
    let len = matrix.element_count();
    let (x, grad_out) = (Array::uniform(cpu, len, 0.0), Array::uniform(cpu, len, -0.5));
    let (scale, shift, mean, variance) = (
        Array::uniform(cpu, 512, 0.5),
        Array::uniform(cpu, 512, 0.0),
        Array::uniform(cpu, 512, 0.0),
        Array::uniform(cpu, 512, 0.5),
    );
    let (mut out, mut a, mut b) =
        (Array::new(cpu, len), Array::new(cpu, 512), Array::new(cpu, 512));
    for (name, activation) in [
        ("identity", UnaryFunction::Identity),
        ("leaky_relu", UnaryFunction::LeakyRelu(0.1)),
        ("tanh", UnaryFunction::Tanh),
    ] {
        let norm = BatchNorm { matrix, epsilon: 1e-5, activation };
        let (x, scale, shift) = (x.read(), scale.read(), shift.read());
        time(group, &format!("batch_norm {name} 256x512"), len * 8, || {
            let statistics =
                BatchStatistics { mean: a.write(), variance: b.write(), running: None };
            cpu.batch_norm(&norm, x, scale, shift, statistics, out.write())
        });
        let vectors =
            BatchNormVectors { mean: mean.read(), variance: variance.read(), scale, shift };
        time(group, &format!("batch_norm_backward {name} 256x512"), len * 12, || {
            let grads = (out.write(), a.write(), b.write());
            cpu.batch_norm_backward(&norm, x, vectors, grad_out.read(), grads.0, grads.1, grads.2)
        });
    }
}

fn likelihoods(group: &mut BenchmarkGroup<'_, WallTime>, cpu: &Device) {
    let matrix = Matrix { rows: 256, columns: 784 };
    let len = matrix.element_count();
    let (x, logits, mut grad) =
        (Array::uniform(cpu, len, 0.0), Array::uniform(cpu, len, -0.5), Array::new(cpu, len));
    let (mut out, grad_out) = (Array::new(cpu, 256), Array::uniform(cpu, 256, 0.0));
    let (x, logits) = (x.read(), logits.read());
    time(group, "bernoulli_log_prob 256x784", len * 8, || {
        cpu.bernoulli_log_prob(matrix, 1, x, logits, out.write())
    });
    time(group, "bernoulli_log_prob_backward 256x784", len * 12, || {
        cpu.bernoulli_log_prob_backward(matrix, 1, x, logits, grad_out.read(), grad.write())
    });
    let matrix = Matrix { rows: 256, columns: 64 };
    let len = matrix.element_count();
    let (x, mean, variance) = (
        Array::uniform(cpu, len, 0.0),
        Array::uniform(cpu, len, 0.0),
        Array::uniform(cpu, len, 0.5),
    );
    let (mut grad_x, mut grad_mean, mut grad_variance) =
        (Array::new(cpu, len), Array::new(cpu, len), Array::new(cpu, len));
    let (x, p) = (x.read(), GaussianView { mean: mean.read(), variance: variance.read() });
    time(group, "gaussian_log_prob 256x64", len * 12, || {
        cpu.gaussian_log_prob(matrix, 1, x, p, out.write())
    });
    time(group, "gaussian_log_prob_backward 256x64", len * 24, || {
        let grad_p = GaussianGradient {
            mean: Some(grad_mean.write()),
            variance: Some(grad_variance.write()),
        };
        cpu.gaussian_log_prob_backward(
            matrix,
            1,
            x,
            p,
            grad_out.read(),
            Some(grad_x.write()),
            grad_p,
        )
    });
    time(group, "gaussian_kl 256x64", len * 16, || {
        cpu.gaussian_kl(matrix, p, Some(p), out.write())
    });
}

fn random_numbers(group: &mut BenchmarkGroup<'_, WallTime>, cpu: &Device) {
    let mut out = Array::new(cpu, 256 * 784);
    time(group, "fill_normal 256x64", 256 * 64 * 4, || {
        cpu.fill_normal(ADDRESS, out.write().range(0..256 * 64))
    });
    time(group, "fill_normal 256x784", 256 * 784 * 4, || cpu.fill_normal(ADDRESS, out.write()));
    let pixels: Vec<u8> = (0..60_000 * 784).map(|i| (i * 31 % 256) as u8).collect();
    let indices: Vec<u32> = (0..256).map(|i| i * 7919 % 60_000).collect();
    for (name, map) in
        [("scale", PixelMap::Scale(1.0 / 255.0)), ("bernoulli", PixelMap::Bernoulli(ADDRESS))]
    {
        time(group, &format!("gather_pixels {name} 256x784"), 256 * 784 * 5, || {
            cpu.gather_pixels(map, 784, View::U8(&pixels), View::U32(&indices), out.write())
        });
    }
}

fn parameters(group: &mut BenchmarkGroup<'_, WallTime>, cpu: &Device) {
    const COUNT: usize = 1_850_000;
    let (gradient, mut value, mut m, mut v) = (
        Array::uniform(cpu, COUNT, -0.5),
        Array::uniform(cpu, COUNT, 0.0),
        Array::uniform(cpu, COUNT, 0.0),
        Array::uniform(cpu, COUNT, 0.0),
    );
    let step = AdamStep { corrected_rate: 1e-4, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-8 };
    let gradient = gradient.read();
    time(group, "adam 1.85M", COUNT * 28, || {
        cpu.adam(step, None, gradient, value.write(), m.write(), v.write())
    });
    time(group, "sum_of_squares 1.85M", COUNT * 4, || {
        cpu.sum_of_squares(gradient, m.write().range(0..1))
    });
    // The yardstick for all of the above: what a copy moves.
    time(group, "copy 1.85M", COUNT * 8, || cpu.convert(gradient, value.write()));
    let (x, mut out) = (Array::uniform(cpu, 256 * 512, -0.5), Array::new(cpu, 256 * 512));
    let x = x.read();
    let functions = [
        ("relu", UnaryFunction::Relu),
        ("exp", UnaryFunction::Exp),
        ("log", UnaryFunction::Log),
        ("softplus", UnaryFunction::Softplus),
        ("tanh", UnaryFunction::Tanh),
    ];
    for (name, function) in functions {
        time(group, &format!("unary {name} 256x512"), 256 * 512 * 8, || {
            cpu.unary(function, x, out.write())
        });
    }
}

fn primitives(criterion: &mut Criterion) {
    let cpu = Device::cpu();
    println!("{}", cpu.description());
    let mut group = criterion.benchmark_group("primitives");
    normalisation(&mut group, &cpu);
    likelihoods(&mut group, &cpu);
    random_numbers(&mut group, &cpu);
    parameters(&mut group, &cpu);
    group.finish();
}

criterion_group!(benches, primitives);
criterion_main!(benches);
